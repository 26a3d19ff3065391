#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait replay --sweep, and when a run is INVALID: traces whose limit is known, on one side or the other.

bats_require_minimum_version 1.5.0
load synthetic

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# work_of MS: units of CPU that take so long here
work_of() {
	synthetic short.gait 1 10 1
	"$GAIT" replay short.gait --local --no-attribution --until 1requests -o short.run >/dev/null 2>&1 || true
	jq "(.calibration.work_per_ms * $1) | floor" short.run/manifest.json
}

# of_latency PERCENTILE RUN.gait: from its rows, of what was answered
of_latency() {
	table "$2/requests.csv" 'at("received_ns") != "" { printf "%.0f\n", at("received_ns") - at("intended_ns") }' | percentile "$1"
}

@test "--sweep: 5 ms a request cannot hold four times 80/s, and it is seen between which points" {
	# 5 ms each on one thread is 200/s at most
	synthetic made.gait 40 80 2 "$(work_of 5)"
	"$GAIT" replay made.gait --local --no-attribution -o sweep --sweep 0.25..4:4 --hold p50=200ms --json \
		>sweep.json
	jq -e '.points | length >= 4 and (map(.speed) == (map(.speed) | sort))' sweep.json
	jq -e '.points[0].speed == 0.25 and .points[-1].speed == 4' sweep.json
	# each point is a run; its load is the speed's, by whole connections of 4, its p99 that of its rows
	jq -r '.points[] | [.run, .speed, .requests, .p99_ns] | @tsv' sweep.json >points
	while read -r run speed requests p99; do
		[ "$(jq .ledger.sent "$run/manifest.json")" = "$requests" ]
		awk -v n="$requests" -v speed="$speed" 'BEGIN { exit !(n >= 160 * speed - 4 && n <= 160 * speed + 4) }'
		# the histogram is within 0.1%
		awk -v a="$p99" -v b="$(of_latency 99 "$run")" 'BEGIN { exit !(a > b * 0.998 && a < b * 1.002) }'
	done <points
	# overload: 2 s at 320/s leave a queue of more than a second
	jq -e '.points[-1] | .verdict == "" and .p99_ns > 1e9' sweep.json
	# what holds does, by its rows, and is no point that was INVALID; the next used one does not
	jq -e '.holds_bounded and .holds.verdict == "" and .holds.speed < 4' sweep.json
	[ "$(of_latency 50 "$(jq -r .holds.run sweep.json)")" -le 200200000 ]
	jq -e '.holds.speed as $h | [.points[] | select(.verdict == "" and .speed > $h)][0].p50_ns > 199e6' sweep.json
	jq -e '.knee == null or .knee.verdict == ""' sweep.json
}

@test "--sweep prints a table, and asks where the runs go" {
	synthetic made.gait 20 100 0.5 "$(work_of 2)"
	run --separate-stderr "$GAIT" replay made.gait --local --no-attribution -o sweep --sweep 0.5..1:2 \
		--hold p50=10s
	# a busy machine may make both INVALID, or one
	[ "$status" = 0 ] || [ "$status" = 3 ]
	[[ "${lines[0]}" =~ ^"speed  intended  answered  failed" ]]
	[[ "$output" == *"knee     none within what was tried and can be used"* ]]
	grep -Eq '^hold     p50 of 10 s: (up to speed (0.5|1), .*; more was not tried, or cannot be used|no point can tell .*)$' \
		<<<"$output"
	[ "$(echo sweep/*)" = "sweep/0.500.gait sweep/1.000.gait" ]
	# not over what is there
	run -1 "$GAIT" replay made.gait --local --no-attribution -o sweep --sweep 0.5..1:2
	[[ "$output" == "gait: there is a trace 'sweep/0.500.gait' already"* ]]
	run -2 "$GAIT" replay made.gait --local --sweep 0.5..1
	run -2 "$GAIT" replay made.gait --local -o sweep --sweep 2..1
	run -2 "$GAIT" replay made.gait --local -o sweep --sweep 1..2 --speed 2
	run -2 "$GAIT" replay made.gait --local -o sweep --hold p99=1ms
	run -2 "$GAIT" replay made.gait --local -o sweep --sweep 1..2 --hold 1ms
}

# standing_still COMMAND...: it is stopped for 0.4 s, after a second of sending
standing_still() {
	local code=0

	"$@" --progress >out 2>err &
	until grep -q answered err; do sleep 0.05; done
	kill -STOP $!
	sleep 0.4 # the disturbance
	kill -CONT $!
	wait $! || code=$?
	return $code
}

@test "a client that stands still was the limit: the run is INVALID, and a sweep does not use it" {
	synthetic made.gait 8 200 2
	run -3 standing_still "$GAIT" replay made.gait --local --no-attribution -o run.gait --json
	grep -q '^gait: the run is INVALID because late sending is' err
	[ "$(jq .ledger.answered out)" = 400 ]
	# 80 of 400 were due meanwhile: the 10 slowest are all of that, and nearly all of their time,
	# but for what the node has to wait where others take the machine
	jq -e '.late_share_p99_band > 0.5 and .latency_ns.max > 350e6' out
	table run.gait/requests.csv 'at("sent_ns") - at("intended_ns") > 1e7 { n++ } END { print n }' >late
	[ "$(<late)" -ge 70 ]
	# Which point that was, and whether the other one is INVALID too, is up to a busy machine.
	standing_still "$GAIT" replay made.gait --local --no-attribution -o sweep --sweep 1..1.5:2 \
		--hold p99=10s --json || [ $? = 3 ]
	jq -e '[.points[].verdict | startswith("INVALID")] | any' out
	jq -e '.holds == null or .holds.verdict == ""' out
}

@test "a node that is the limit does not: latency counts from when a request was due" {
	# 5 ms each, 5 times what one thread can do: the last ones wait most of 0.8 s
	synthetic made.gait 8 1000 0.2 "$(work_of 5)"
	"$GAIT" replay made.gait --local --no-attribution -o run.gait --json >summary.json
	jq -e '.verdict == "" and .latency_ns.p99 > 500e6 and .late_share_p99_band < 0.1' summary.json
}
