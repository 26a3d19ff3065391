#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Loads that differ from the trace's: what a node was sent is looked at, and that it is said. How late a
# busy machine sends is not what is tested: 3 is as good as 0.

bats_require_minimum_version 1.5.0
load synthetic

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# replayed OPTION...: the trace made.gait into run.gait
replayed() {
	local code=0

	"$GAIT" replay made.gait --local --no-attribution --force -o run.gait "$@" >out 2>err || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
}

requests() {
	table run.gait/requests.csv '{ n++ } END { print n + 0 }'
}

connections() {
	table run.gait/requests.csv '{ seen[at("connection_id")] = 1 } END { print length(seen) }'
}

@test "--speed has so many more connections, or fewer, with the requests and gaps of the recorded ones" {
	synthetic made.gait 20 400 2
	for speed in 0.5 1.5 3; do
		replayed --speed $speed
		want=$(awk -v speed=$speed 'BEGIN { print 800 * speed }')
		[ "$(requests)" = "$want" ]
		# what was shifted beyond the end comes at the beginning, on a connection of its own
		whole=$(table run.gait/requests.csv '{ n[at("connection_id")]++ }
			END { for (c in n) { split_up += n[c] < 40; all++ } print all - split_up / 2 }')
		[ "$whole" = "$(awk -v speed=$speed 'BEGIN { print 20 * speed }')" ]
		# each sends every 50 ms, as it did, and nobody comes after the end
		table run.gait/requests.csv '
			{ c = at("connection_id"); t = at("intended_ns")
			  if (t >= 2e9 || (c in last && t - last[c] != 5e7)) exit 1
			  last[c] = t }'
		grep -q "^gait: speed $speed: " err
		[[ "$(jq -r .run.load run.gait/manifest.json)" == "speed $speed: "* ]]
		[ "$(table run.gait/connections.csv '{ n += at("requests") } END { print n }')" = "$want" ]
	done
}

@test "--speed: the same seed is the same load, another one is another" {
	synthetic made.gait 10 100 1
	for round in 1.first 1.again 2.other; do
		replayed --speed 0.5 --seed "${round%.*}"
		table run.gait/requests.csv '{ print at("request_id"), at("intended_ns") }' | sort >"$round"
	done
	cmp 1.first 1.again
	run -1 cmp 1.first 2.other
}

@test "--speed 2 of those who wait: twice as many, each with its own replies" {
	"$GAIT" replay "$GAIT_SOURCE/tests/data/golden-1.0.gait" --local --no-attribution -o run.gait \
		--arrivals dependent --speed 2 || [ $? = 3 ]
	[ "$(requests)" = 46 ]
	[ "$(connections)" = 4 ]
	# what a request waited for is on its own connection, and was there before
	table run.gait/requests.csv '
		{ conn[at("request_id")] = at("connection_id"); got[at("request_id")] = at("received_ns") }
		at("after_request") != "" {
			n++
			before = at("after_request")
			if (conn[before] != at("connection_id") || got[before] > at("intended_ns")) exit 1
		}
		END { if (n != 22) exit 1 }'
}

@test "a run says that it is not the trace's load, and the report says it first" {
	synthetic made.gait 4 100 1
	replayed --loop 2
	grep -q '^load     2 passes, 2 s in all$' out
	"$GAIT" report run.gait --against made.gait >report || true
	grep -q '^not the load of the trace: 2 passes' report
	replayed
	[ "$(jq -r .run.load run.gait/manifest.json)" = "" ]
	run -1 grep -q '^load' out
}

@test "--loop N: the trace again and again, connections anew" {
	synthetic made.gait 4 100 1
	replayed --loop 3
	[ "$(requests)" = 300 ]
	[ "$(connections)" = 12 ]
	table run.gait/requests.csv '{ print at("intended_ns") }' | sort -n |
		awk 'NR > 1 && $1 - last != 1e7 { exit 1 } { last = $1 }'
}

@test "--until cuts by time and by number" {
	synthetic made.gait 4 100 2
	replayed --until 500ms
	[ "$(requests)" = 50 ]
	replayed --until '30 requests'
	[ "$(requests)" = 30 ]
	replayed --until 30requests --loop 2 --speed 2
	[ "$(requests)" = 30 ]
	run -1 "$GAIT" replay "$GAIT_SOURCE/tests/data/golden-1.0.gait" --local --until 1us -o none.gait
	[ "$output" = "gait: no request is left: the first one comes later" ]
}

@test "a run of another load can be replayed itself" {
	synthetic made.gait 4 100 1
	replayed --speed 2 --loop 2
	rm -r made.gait
	mv run.gait made.gait
	replayed
	[ "$(requests)" = 400 ]
	[ "$(table run.gait/requests.csv 'at("outcome") == "ok" { n++ } END { print n }')" = 400 ]
}

@test "wrong use" {
	synthetic made.gait 1 100 1
	for wrong in "--speed 0" "--speed 2000" "--speed fast" "--loop 0" "--until 0" "--until 3 requests"; do
		# shellcheck disable=SC2086 # words on purpose
		run -2 "$GAIT" replay made.gait --local -o run.gait $wrong
	done
	run -2 "$GAIT" replay made.gait --local -o run.gait --speed 2000
	[[ "$output" == "gait: a speed is between 0.001 and 1000, not '2000'"* ]]
	run -1 "$GAIT" replay made.gait --local -o run.gait --loop 70000
	[ "$output" = "gait: 70000 times 1 connections are more than the 65536 that a node takes" ]
	[ ! -e run.gait ]
}

@test "--warm-up: rows stay, times of the summary and the report begin later" {
	synthetic made.gait 2 100 2
	replayed --warm-up 1s --json
	[ "$(requests)" = 200 ]
	[ "$(jq .run.warm_up_ns run.gait/manifest.json)" = 1000000000 ]
	[ "$(jq -r .run.warm_up_rule run.gait/manifest.json)" = "as asked" ]
	worst=$(table run.gait/requests.csv '
		at("intended_ns") >= 1e9 { printf "%.0f\n", at("received_ns") - at("intended_ns") }' |
		percentile 100)
	[ "$(jq .latency_ns.max out)" = "$worst" ]
	"$GAIT" report run.gait --alone --json >report.json || true
	[ "$(jq .warm_up_ns report.json)" = 1000000000 ]
	replayed --warm-up 1s --force
	grep -q '^warm-up  1 s left out, as asked$' out
	"$GAIT" report run.gait --alone >report || true
	grep -q '^the first 1 s are left out of times: as asked$' report
	run -2 "$GAIT" replay made.gait --local -o other.gait --warm-up soon
}

@test "--warm-up auto says what it found" {
	synthetic made.gait 2 200 1
	replayed --warm-up auto
	grep -Eq '^warm-up  .* left out, (MSER-5 on medians of latency|none found by MSER-5: .*)$' out
	cut=$(jq .run.warm_up_ns run.gait/manifest.json)
	[ "$cut" -le 500000000 ]
}
