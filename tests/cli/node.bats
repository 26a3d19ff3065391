#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait node, from outside: one line when it is ready, a clean end, nothing left behind.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr
bats_require_minimum_version 1.5.0

setup() {
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir "$TMPDIR"
}

teardown() {
	[ -z "$node" ] || kill "$node" 2>/dev/null || true
}

# Sets $node, its pid, and $port.
start_node() {
	: >"$BATS_TEST_TMPDIR/out" # of an earlier one
	"$GAIT" node --no-attribution "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" &
	node=$!
	for _ in $(seq 400); do
		[ ! -s "$BATS_TEST_TMPDIR/out" ] || break
		sleep 0.05
	done
	port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$BATS_TEST_TMPDIR/out")
	[ -n "$port" ]
}

# stop_node SIGNAL: it ends with 0
stop_node() {
	kill "-$1" "$node"
	wait "$node"
	node=
}

@test "prints exactly one line when it is ready, and ends cleanly when interrupted" {
	for signal in INT TERM; do
		start_node
		[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 1 ]
		stop_node "$signal"
		[ ! -s "$BATS_TEST_TMPDIR/err" ]
		[ -z "$(ls -A "$TMPDIR")" ]
	done
}

@test "listens where it is told, and says when it cannot" {
	start_node --listen 127.0.0.1:0
	run --separate-stderr -1 "$GAIT" node --no-attribution --listen "127.0.0.1:$port"
	[[ $stderr == *"cannot listen on 127.0.0.1:$port"*"in use"* ]]
	run --separate-stderr -1 "$GAIT" node --no-attribution --dir "$BATS_TEST_TMPDIR/nowhere"
	[[ $stderr == *"cannot create the directory"*"nowhere"* ]]
}

@test "wrong options are a usage error" {
	for word in 127.0.0.1:nonsense 7400 dpdk://:7400 ::1:7400 '[::1]7400' unix:; do
		run --separate-stderr -2 "$GAIT" node --listen "$word"
		[[ $stderr == *"'$word'"* ]]
	done
	run --separate-stderr -2 "$GAIT" node --listen tls://:7443
	[[ $stderr == *"where do clients come in?"* ]]
	run --separate-stderr -2 "$GAIT" node --control udp://:7443
	run --separate-stderr -2 "$GAIT" node --data-key key.pem
	for cpus in "" "1," 4-2 1-2:0 x 0:2; do
		run --separate-stderr -2 "$GAIT" node --thread-affinity "$cpus"
		[[ $stderr == *"'$cpus' is no list of CPUs"* ]]
	done
	for policy in rr rr:100 fifo:0 other:20 dl:1 dl:2,1 batch; do
		run --separate-stderr -2 "$GAIT" node --sched-policy "$policy"
		[[ $stderr == *"'$policy' is no scheduling policy"* ]]
	done
	run --separate-stderr -2 "$GAIT" node --threads 1000
	run --separate-stderr -2 "$GAIT" node --max-requests-ahead 0
}

@test "garbage on its port does not end it, nor keep it from the next client" {
	start_node --once
	for garbage in 'GET / HTTP/1.1' 'GAIT and more, but no preface of ours' x; do
		exec {client}<>"/dev/tcp/127.0.0.1/$port"
		# It may hang up at the first line, before the second is written.
		printf '%s\r\n\r\n' "$garbage" >&"$client" || true
		exec {client}>&-
	done
	head -c 100000 /dev/urandom >"/dev/tcp/127.0.0.1/$port" || true
	run -0 --separate-stderr "$GAIT" replay "$GAIT_SOURCE/tests/data/golden-1.0.gait" \
		--node "127.0.0.1:$port" --no-attribution -o "$BATS_TEST_TMPDIR/run.gait" ||
		[ "$status" = 3 ]
	wait "$node" # --once: it ends by itself
	node=
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "storage devices are looked at before anything listens, and none is made" {
	run --separate-stderr -2 "$GAIT" node --storage ''
	run --separate-stderr -2 "$GAIT" node --storage "$TMPDIR/d,nonsense=1"
	[[ $stderr == *"knows no 'nonsense=1'"* ]]
	run --separate-stderr -2 "$GAIT" node --storage "$TMPDIR/d%d,count=17"
	run --separate-stderr -2 "$GAIT" node -s "$TMPDIR/d%d,count=9" -s "$TMPDIR/e%d,count=8"
	[[ $stderr == *"more than 16 storage devices"* ]]
	run --separate-stderr -1 "$GAIT" node --no-attribution -s "$BATS_TEST_TMPDIR/nowhere/d"
	[[ $stderr == *"nowhere/d"* ]]
	run --separate-stderr -1 "$GAIT" node --no-attribution -s "device=$TMPDIR"
	[[ $stderr == *"is no block device"* ]]
	for block in /dev/[vs]d[a-z]; do # given in passing, whatever is there
		[ -b "$block" ] || continue
		run --separate-stderr -1 "$GAIT" node --no-attribution -s "$block"
		[[ $stderr == *"is a block device"*"say device=$block"* ]]
	done
	start_node -s "$TMPDIR/a,size=1m,sync=10,odirect" -s "file=$TMPDIR/b%d,count=3" -m 64M
	stop_node INT
	[ -z "$(ls -A "$TMPDIR")" ]
}
