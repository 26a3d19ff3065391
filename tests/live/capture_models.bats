#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every service model, at 1, 8 and 64 connections: the trace says what the server's own log says.
# What the servers do and the limits are in tests/truth/cases.bash.

load helper
load ../truth/cases

setup()
{
	require_bpf jq ss
}

teardown()
{
	stop_all
}

judged() # CASE
{
	case_run "$1"
	case_judge "$1" || fail "the trace is not the truth"
}

# Whoever judges must be able to condemn.
@test "the judge finds a byte, an operation and a request that are not true" {
	local log=$BATS_TEST_TMPDIR/server.log truth=$BATS_TEST_TMPDIR/truth

	case_run threads
	cp "$log" "$truth"
	sed '5s/store:\([0-9]*\)@/store:1\1@/' "$truth" >"$log"
	run -1 case_judge threads
	[[ $output == *"requests with exact operations"* ]]
	awk -F, -v OFS=, 'NR == 9 { $5++ } { print }' "$truth" >"$log"
	run -1 case_judge threads
	[[ $output == *"requests with exact bytes"* ]]
	sed '$d' "$truth" >"$log"
	run -1 case_judge threads
	[[ $output == *"requests nobody sent"* ]]
	awk -F, -v OFS=, '{ print } END { $3++; print }' "$truth" >"$log"
	run -1 case_judge threads
	[[ $output == *"requests found"* ]]
	sed -E 's/,([0-9]+)@([0-9/]+)$/,2\1@\2/' "$truth" >"$log"
	run -1 case_judge threads
	[[ $output == *"CPU off in the median"* ]]
	sed -E 's/,([0-9]+)@[0-9]+/,\1@1/' "$truth" >"$log"
	run -1 case_judge threads
	[[ $output == *"CPU off in the median"* && $output == *"CPU beyond the known"* ]]
}

@test "a process a connection" {
	judged process
}

@test "a thread a connection" {
	judged threads
}

@test "one event loop" {
	judged loop
}

@test "several event loops, a listener each" {
	judged loops
}

@test "several processes with a loop, one listener" {
	judged prefork
}

@test "a thread accepts and gives connections away by a pipe" {
	judged accept-pipe
}

@test "a thread accepts and gives connections away by an eventfd" {
	judged accept-eventfd
}

@test "replies by I/O threads that spin" {
	judged iothreads-spin
}

@test "replies by I/O threads that sleep" {
	judged iothreads-futex
}

@test "a pool fed by condition variable" {
	judged pool-futex
}

@test "a pool fed by eventfd" {
	judged pool-eventfd
}

@test "a pool fed by pipe" {
	judged pool-pipe
}

@test "a pool by condition variable, and back by eventfd" {
	judged pool-futex-reader
}

@test "a pool by pipe, and back by pipe" {
	judged pool-pipe-reader
}

@test "all that is ready is written and synced at once" {
	judged batch
}

@test "what an accept costs is no request's" {
	judged loop-accepts
}

@test "pipelined RESP, a reply each" {
	judged loop-pipelined
}

@test "pipelined RESP, replies in one write" {
	judged loop-pipelined-all
}

@test "pipelined HTTP to a pool" {
	judged pool-pipelined
}

@test "pipelined RESP, replies by I/O threads" {
	judged iothreads-pipelined
}

@test "pipelined RESP, written and synced at once" {
	judged batch-pipelined
}

@test "TCP over IPv6" {
	judged tcp6
}

@test "UNIX sockets" {
	judged unix-loop
}

@test "UNIX sockets, a thread a connection" {
	judged unix-threads
}

@test "UDP" {
	judged udp-loop
}

@test "UDP to a pool, over IPv6" {
	judged udp-pool
}

@test "UDP by recvmmsg and sendmmsg" {
	judged udp-recvmmsg
}

@test "recvmmsg, sendmsg, preadv2, pwritev2 on streams" {
	judged mmsg-preadv2
}

@test "io_uring" {
	judged uring
}

@test "io_uring by its workers" {
	judged uring-worker
}

@test "io_uring by its polling thread" {
	judged uring-poller
}

@test "splice" {
	judged splice
}

@test "sendfile" {
	judged sendfile
}

@test "replies in parts" {
	judged parts
}

@test "openat, fstat, close" {
	judged metadata
}

@test "work after the reply" {
	judged after-reply
}

@test "calls of threads to another service" {
	judged calls-threads
}

@test "calls over one shared connection" {
	judged calls-shared
}

@test "calls of a pool" {
	judged calls-pool
}
