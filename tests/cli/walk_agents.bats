#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait walk --agents: processes that act as one client. Who has which connection is seen by ss.

# shellcheck disable=SC2154 # at and port are set by start_as
load walk

setup() {
	walk_setup
	start_as node "$GAIT" node --no-attribution
}

teardown() {
	walk_teardown
}

# pid of the process, for each connection that was opened to the node's data side by one alone
owners() {
	ss -tnpH state established "( dport = :$port )" | grep -v 'pid=.*pid=' |
		sed 's/.*pid=\([0-9]*\).*/\1/'
}

eight_are_open() {
	[ "$(owners | wc -l)" -eq 8 ]
}

four_are_open() {
	[ "$(owners | wc -l)" -eq 4 ]
}

# percentile NAME P: of the JSON summary's histogram
percentile() {
	jq ".$1.p$2_ns" summary.json
}

# of numbers on standard input
of_rows() { # P
	sort -n | awk -v p="$1" '{ v[NR] = $1 } END { n = NR * p / 100
		i = n == int(n) ? n : int(n) + 1; print v[i] }'
}

@test "each connection belongs to one agent, and each has its share" {
	"$GAIT" walk --to "$at" --nt 8 -n 1000000 -r 10 --agents 3 2>walk.err &
	client=$!
	await eight_are_open
	owners | sort | uniq -c | awk '{ print $1 }' | sort >shares
	children=$(cat "/proc/$client/task/$client/children")
	mine=$(owners | grep -cx "$client" || true)
	kill -INT "$client"
	wait "$client" || true
	is "$(xargs <shares)" "2 3 3"
	is "$(wc -w <<<"$children")" 3
	is "$mine" 0
	for child in $children; do # they end with it
		[ ! -d "/proc/$child" ]
	done
}

@test "what they did is added up exactly: rows, counts, histograms" {
	"$GAIT" walk --to "$at" --nt 8 -n 500 -r 2000 -R 64 --ps 64 --agents 3 --nano -o rows.csv \
		--json >summary.json || [ $? = 3 ] # late, on a busy machine
	is "$(jq .sent summary.json)" 4000
	is "$(jq .answered summary.json)" 4000
	is "$(cut -d, -f3,4 rows.csv | sort -u | wc -l)" 4000
	is "$(wc -l <rows.csv)" 4000
	is "$(jq .service.count summary.json)" 4000
	for p in 50 99; do
		want=$(cut -d, -f2 rows.csv | of_rows $p)
		between $((want * 998 / 1000)) "$(percentile service $p)" $((want * 1002 / 1000 + 1))
	done
	is "$(jq .service.max_ns summary.json)" "$(cut -d, -f2 rows.csv | of_rows 100)"
}

@test "a run of agents has every request once, with one start for all" {
	"$GAIT" walk --to "$at" --nt 6 -n 100 -r 1000 --agents 2 -O run.gait || [ $? = 3 ]
	is "$(tail -n +2 run.gait/requests.csv | cut -d, -f1 | sort -u | wc -l)" 600
	# as one process plans it: the same requests are due at the same times
	"$GAIT" walk --to "$at" --nt 6 -n 100 -r 1000 --plan-only -O plan.gait
	due() { # TRACE COLUMN
		awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }
			{ print $1, $at }' "$1/requests.csv" | sort
	}
	due run.gait intended_ns >run.due
	due plan.gait arrival_ns >plan.due
	cmp run.due plan.due
}

@test "an agent that dies makes the walk fail, and says which" {
	"$GAIT" walk --to "$at" --nt 4 -n 1000000 -r 10 --agents 2 2>walk.err &
	client=$!
	await four_are_open
	first=$(cut -d ' ' -f 1 "/proc/$client/task/$client/children")
	kill -KILL "$first"
	kill -INT "$client"
	status=0
	wait "$client" || status=$?
	is "$status" 1
	grep "an agent (process $first) ended before its time" walk.err
}
