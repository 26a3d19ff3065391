#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait replay --keep: rows of a sample and of the slowest, and totals of all, which say how many there
# are of the slowest.

# shellcheck disable=SC2154 # run sets stderr; at comes from walk.bash
load walk

setup() {
	walk_setup
	"$GAIT" walk --plan-only -O made.gait --nt 4 -n 1000 -r 500 -C 5us -R 100
}

teardown() {
	walk_teardown
}

sum() { # COLUMN WHERE of totals.csv
	table run.gait totals service_id "$1" | awk -F, -v service="$2" '$1 == service { n += $2 } END { print n + 0 }'
}

replayed() { # OPTION...: code 3 is late sending, the machine's
	"$GAIT" replay made.gait --node "$at" --arrivals clock --no-attribution -o run.gait -f "$@" || [ $? = 3 ]
}

kept() { # the run's request_ids, once each
	table run.gait requests request_id | sort >kept
	is "$(sort -u kept | wc -l)" "$(wc -l <kept)"
}

# all_of_the_slowest COUNT: of the last bins of the client's totals, with no more requests than that
# together, all requests have rows.
all_of_the_slowest() {
	table run.gait totals service_id from_ns requests | awk -F, '$1 == 0 { print $2, $3 }' | sort -rn |
		awk -v most="$1" '(sum += $2) > most { exit } { from = $1; n = sum } END { print n + 0, from }' >want
	read -r count from <want
	between 1 "$count" "$1"
	is "$(table run.gait requests intended_ns received_ns | awk -F, -v from="$from" '$2 - $1 >= from' | wc -l)" "$count"
}

@test "all are counted, few have rows, and what took long is among them" {
	start_as node "$GAIT" node --no-attribution
	replayed --keep 1% --keep-slowest 20 --agents 2

	for entry in sent answered requests_summed; do
		is "$(jq ".ledger.$entry" run.gait/manifest.json)" 4000
	done
	is "$(jq .ledger.rows_gone run.gait/manifest.json)" 0
	is "$(sum requests 0)" 4000
	is "$(sum requests 1)" 4000
	kept
	between 20 "$(wc -l <kept)" 600
	all_of_the_slowest 20
	for service in 0 1; do # both ends kept the same
		is "$(table run.gait latency request_id service_id | awk -F, -v s=$service '$2 == s { print $1 }' | sort)" \
			"$(cat kept)"
	done
	is "$(table run.gait ops request_id | sort -u)" "$(cat kept)"
	run "$GAIT" report run.gait
	[[ $output == *"SAMPLE: $(wc -l <kept) of 4,000 requests have rows"* ]]

	# another replay keeps the same sample
	replayed --keep 1% --keep-slowest 0
	cp kept before
	kept
	between 1 "$(wc -l <kept)" 200
	is "$(comm -13 before kept)" ""
}

@test "what cannot be kept is refused" {
	run --separate-stderr -2 "$GAIT" replay made.gait --local -o run.gait --keep 7
	[[ $stderr == *"--keep: '7' is no share of the requests such as 1%"* ]]
	run --separate-stderr -2 "$GAIT" replay made.gait --local -o run.gait --keep 1% --warm-up 1s
	[[ $stderr == *"leave out --warm-up"* ]]
	run --separate-stderr -2 "$GAIT" replay made.gait --node :1 -o run.gait --keep 1% --agents 127.0.0.2:1
	[[ $stderr == *"give --keep-slowest 0 too"* ]]
	[ ! -e run.gait ]
}
