#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait replay --agents: processes that act as one client. Who has which connection is seen by ss.

# shellcheck disable=SC2154 # at and port are set by start_as
load walk

setup() {
	walk_setup
	start_as node "$GAIT" node --no-attribution
}

teardown() {
	walk_teardown
}

made() { # REQUESTS RATE, of each of 8 connections
	"$GAIT" walk --plan-only -O made.gait --nt 8 -n "$1" -r "$2" --ps 64 -C 1 -R 64
}

# pid of the process, for each connection to the node that one process alone has
owners() {
	ss -tnpH state established "( dport = :$port )" | grep -v 'pid=.*pid=' |
		sed 's/.*pid=\([0-9]*\).*/\1/'
}

eight_are_open() {
	[ "$(owners | wc -l)" -eq 8 ]
}

# of a column of the run's requests
column() { # NAME
	awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }
		{ print $at }' run.gait/requests.csv
}

@test "the run of agents is that of one client: every request once, in the order of sending" {
	made 300 500
	"$GAIT" replay made.gait --node "$at" --agents 3 --no-attribution --json -o run.gait \
		>summary.json || [ $? = 3 ]
	is "$(jq .ledger.sent summary.json)" 2400
	is "$(jq .ledger.answered summary.json)" 2400
	is "$(column request_id | sort -u | wc -l)" 2400
	column sent_ns | sort -n -c
	is "$(column intended_ns | sort -n | cksum)" \
		"$(column intended_ns | sort -n -u | awk '{ for (i = 0; i < 8; i++) print }' | cksum)"
	paste <(column received_ns) <(column intended_ns) | awk '{ print $1 - $2 }' | sort -n >latencies
	for p in 50 99; do
		want=$(sed -n "$((24 * p))p" latencies)
		between $((want * 998 / 1000)) "$(jq ".latency_ns.p$p" summary.json)" \
			$((want * 1002 / 1000 + 1))
	done
	is "$(jq .latency_ns.max summary.json)" "$(tail -n 1 latencies)"
}

@test "each connection belongs to one agent; interrupted, all end, and what they did is written" {
	made 10000 10
	"$GAIT" replay made.gait --node "$at" --agents 3 --no-attribution -o run.gait 2>err &
	client=$!
	await test -d run.gait
	await eight_are_open
	owners | sort | uniq -c | awk '{ print $1 }' | sort >shares
	children=$(cat "/proc/$client/task/$client/children")
	is "$(wc -w <<<"$children")" 3
	kill -INT "$client"
	status=0
	wait "$client" || status=$?
	is "$(xargs <shares)" "2 3 3"
	for child in $children; do
		[ ! -d "/proc/$child" ]
	done
	is "$status" 1
	is "$(column request_id | sort -u | wc -l)" 80000
}

@test "an agent that dies makes the run INVALID, and is named" {
	made 10000 10
	"$GAIT" replay made.gait --node "$at" --agents 2 --no-attribution -o run.gait 2>err >out &
	client=$!
	await test -d run.gait
	await eight_are_open
	first=$(cut -d ' ' -f 1 "/proc/$client/task/$client/children")
	kill -KILL "$first"
	status=0
	wait "$client" || status=$?
	is "$status" 1
	grep "an agent (process $first) ended before its time" err
	grep '^verdict  INVALID' out
}
