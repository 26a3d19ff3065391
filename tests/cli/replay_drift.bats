#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# 10,000 requests a second while every core has something else to do: the schedule has one origin, so
# lateness does not grow. (A chain of sleeps is 40% behind here.)

bats_require_minimum_version 1.5.0
load synthetic

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	busy=()
}

teardown() {
	((${#busy[@]} == 0)) || kill "${busy[@]}"
}

@test "no drift within 6 s at 10k/s with every core loaded" {
	synthetic made.gait 4 10000 6
	for ((i = 0; i < $(nproc); i++)); do
		(while :; do :; done) 3>&- &
		busy+=($!)
	done
	"$GAIT" replay made.gait --local --no-attribution -o run.gait >out 2>err || [ $? = 3 ]
	kill "${busy[@]}"
	busy=()
	[ "$(jq .ledger.sent run.gait/manifest.json)" = 60000 ]
	# to the ns, and with one origin
	table run.gait/requests.csv '{
		printf "%.0f\n", at("intended_ns") - (at("request_id") - 1) * 100000 }' | sort -u >origins
	[ "$(wc -l <origins)" = 1 ]
	# the lower decile of a second: what others take from us for a while is no drift, falling behind is
	for second in 0 5; do
		table run.gait/requests.csv '{
			printf "%s %.0f\n", at("intended_ns"), at("sent_ns") - at("intended_ns") }' |
			awk -v second=$second 'int($1 / 1e9) == second { print $2 }' | percentile 10 >late.$second
	done
	echo "lateness: $(<late.0) ns in the first second, $(<late.5) ns in the last"
	[ $(($(<late.5) - $(<late.0))) -lt 1000000 ]
	[ "$(<late.5)" -lt 1000000 ]
}
