#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What becomes of a walk's requests when things break in the middle: every one is counted once, as
# answered, error, timeout or unsent, each that was sent has its row, and the walk ends by itself.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr
load walk

setup() {
	walk_setup
	walk=
	start_node 0
}

teardown() {
	[ -z "$walk" ] || kill -KILL "$walk" 2>/dev/null || true
	kill -KILL "$node" 2>/dev/null || true # it may be stopped
	walk_teardown
}

start_node() { # PORT [OPTION...]
	local own=$1

	shift
	start_as node "$GAIT" node --no-attribution --listen "127.0.0.1:$own" "$@"
}

# begins OPTION...: a walk that has sent some thousand requests, and is not through
begins() {
	"$GAIT" walk --to "127.0.0.1:$port" --ps 64 -R 64 -o rows.csv "$@" >walk.out 2>walk.err &
	walk=$!
	await test -s rows.csv
}

has_ended() {
	[[ $(sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$walk/status" 2>/dev/null) == [Z] ]] ||
		[ ! -e "/proc/$walk" ]
}

# ends CODE: by itself, with that exit code
ends() {
	local code=0

	await has_ended
	wait "$walk" || code=$?
	walk=
	[ "$code" = "$1" ] || {
		echo "exit code $code"
		cat walk.err
		return 1
	}
}

counted() { # OUTCOME
	sed -n "s/^.*\b$1 \([0-9]*\).*/\1/p" walk.err | head -n 1
}

# adds_up TOTAL: each request is counted once, and each that was sent has a row of its own
adds_up() {
	local answered errors timeouts sent unsent

	sent=$(counted sent) answered=$(counted answered) errors=$(counted errors)
	timeouts=$(counted timeouts) unsent=$(counted unsent)
	cat walk.err
	[ $((sent + unsent)) = "$1" ]
	[ $((answered + errors + timeouts)) = "$sent" ]
	[ "$(wc -l <rows.csv)" = "$sent" ]
	[ "$(cut -d , -f 3-5 rows.csv | sort -u | wc -l)" = "$sent" ]
	[ "$(awk -F, '$2 > 0' rows.csv | wc -l)" = "$answered" ]
}

@test "all are answered: each has its row, session by session" {
	begins -n 3000 -r 50k --nt 3 --ns 7
	await has_ended
	wait "$walk" || [ $? = 3 ] # a busy machine sends late
	walk=
	adds_up 9000
	[ "$(counted answered)" = 9000 ]
	[ "$(cut -d , -f 5 rows.csv | sort -n | uniq -c | tr -s ' ')" = "$(
		for s in 0 1 2 3; do echo " 1287 $s"; done
		for s in 4 5 6; do echo " 1284 $s"; done
	)" ]
}

@test "those that take too long have timed out, the others are answered" {
	run -1 "$GAIT" walk --to "127.0.0.1:$port" -n 40 -r 1000 --timeout 500ms \
		--sleep values:1us:20s -R 64 -o rows.csv
	echo "$output" >walk.err
	adds_up 40
	[ "$(counted answered)" = 20 ]
	[ "$(counted timeouts)" = 20 ]
	[ "$(awk -F, '$2 == 0 { print $3 % 2 }' rows.csv | sort -u)" = 1 ]
}

@test "a node that is killed in the middle" {
	begins -n 100k -r 5k --nt 4 --ns 10
	kill -KILL "$node"
	ends 1
	adds_up 400000
	[ "$(counted answered)" -gt 0 ]
	[ "$(counted unsent)" -gt 0 ]
	[ "$(grep -c ^gait: walk.err)" = 1 ] # one sentence says why
}

@test "a node that is killed and comes back is another: the walk ends, the next one finds it" {
	begins -n 100k -r 5k --nt 2 --ns 1000 --retry-num 3
	kill -KILL "$node"
	wait "$node" || true
	start_node "$port"
	ends 1
	adds_up 200000
	[ "$(counted unsent)" -gt 0 ]
	begins -n 3000 -r 50k
	await has_ended
	wait "$walk" || [ $? = 3 ]
	walk=
	adds_up 3000
	[ "$(counted answered)" = 3000 ]
}

@test "a node that is stopped in the middle" {
	begins -n 8000 -r 2k --nt 2 --timeout 500ms
	kill -STOP "$node"
	ends 1
	adds_up 16000
	[ "$(counted answered)" -gt 0 ]
	[ "$(counted timeouts)" -gt 0 ]
}

@test "a node that is stopped while the connection is full" {
	begins -n 100k -r 2k --ps 100k --timeout 500ms
	kill -STOP "$node"
	ends 1
	adds_up 100000
	[ "$(counted unsent)" -gt 0 ]
	[[ "$(<walk.err)" == *"Connection timed out"* ]]
}

@test "an interrupt ends the sending, and every request of every session is counted" {
	begins -n 100k -r 5k --nt 3 --ns 50
	kill -TERM "$walk" # a shell's background job ignores SIGINT
	ends 1
	adds_up 300000
	[ "$(counted errors)" = 0 ]
	[ "$(counted answered)" -gt 0 ]
	[ "$(counted unsent)" -gt 0 ]
	kill -0 "$node"
}

holds() { # DESCRIPTORS, the node, at least
	(($(find "/proc/$node/fd" -mindepth 1 | wc -l) >= $1))
}

@test "an interrupt while nothing is answered" {
	local before

	before=$(find "/proc/$node/fd" -mindepth 1 | wc -l)
	"$GAIT" walk --to "127.0.0.1:$port" -n 2000 -r 2k --sleep 50s -R 64 -o rows.csv \
		--ns 2 >walk.out 2>walk.err &
	walk=$!
	await holds $((before + 3)) # and what a session has besides
	kill -TERM "$walk"
	ends 1
	adds_up 2000
	[ "$(counted answered)" = 0 ]
}

@test "a port where nobody listens" {
	kill "$node"
	wait "$node" || true
	run -1 --separate-stderr "$GAIT" walk --to "127.0.0.1:$port" -n 5 -o rows.csv
	[[ "$stderr" == "gait: cannot reach the node at 127.0.0.1:$port"* ]]
	[ "$(wc -l <<<"$stderr")" = 1 ]
}
