#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A server of known cost is captured: the trace must say what the server's own log says.

load helper

REQUESTS=23
REQUEST_BYTES=7168
REPLY_BYTES=2000
CPU_NS=3000000
CPU_OFF_US=150 # 5%

setup()
{
	require_bpf jq ss
}

teardown()
{
	stop_all
}

# The server's options: 3 ms of CPU, 512 bytes read from offset 1024 on, 4 KiB written and synced.
known_cost()
{
	head -c 64K /dev/zero >"$BATS_TEST_TMPDIR/load"
	cost=(--request "$REQUEST_BYTES" --reply "$REPLY_BYTES" --cpu "$CPU_NS"
		--store "$BATS_TEST_TMPDIR/store" --store-bytes 4096
		--load "$BATS_TEST_TMPDIR/load" --load-bytes 512 --load-from 1024)
}

ask() # CLIENT OPTION...: the client has all its replies
{
	"$GAIT_TRUTH/client" --port "$port" --requests "$REQUESTS" --request "$REQUEST_BYTES" \
		--reply "$REPLY_BYTES" "$@" >"$BATS_TEST_TMPDIR/client.csv"
}

by_key()
{
	sort -k 1b,1
}

# One line a request: connection and number on it, bytes in, bytes out, its file operations in
# their order with bytes and offset. Computing lies in between and has a check of its own.
what_the_server_did()
{
	csv "$BATS_TEST_TMPDIR/server.log" '{
		print at("connection"), at("request"), at("bytes_in"), at("bytes_out"), at("ops")
	}' | sort
}

what_the_trace_says()
{
	join <(requests_of_trace | by_key) <(operations_of_trace | by_key) | cut -d ' ' -f 2- | sort
}

requests_of_trace()
{
	csv requests '{
		print at("request_id"), at("connection_id"), ++number[at("connection_id")],
			at("request_bytes"), at("response_bytes")
	}'
}

operations_of_trace()
{
	csv ops 'at("request_id") != "" && at("kind") != "compute" {
		said[at("request_id")] = said[at("request_id")] " " \
			at("kind") ":" at("bytes") "@" at("offset")
	}
	END { for (id in said) print id said[id] }'
}

assert_truth()
{
	diff -u <(what_the_server_did) <(what_the_trace_says) || fail "the trace (+) is not the truth (-)"
	assert_equal "requests in the trace" "$(rows requests)" "$REQUESTS"
	assert_equal "request bytes" "$(csv requests '{ print at("request_bytes") }' | sort -u)" \
		"$REQUEST_BYTES"
	assert_nothing_lost
	assert_cpu
}

# The compute operations in which the server burnt its CPU time against what it burnt.
assert_cpu()
{
	"$GAIT_TRUTH/judge" --trace "$trace" --log "$BATS_TEST_TMPDIR/server.log" --port "$port" \
		--cpu-us "$CPU_OFF_US" --header 1 | sed 's/^/# /' >&3
	assert_equal "the judge's answer" "${PIPESTATUS[0]}" 0
}

# known_requests MODEL CONNECTIONS
known_requests()
{
	known_cost
	start_server --model "$1" "${cost[@]}"
	capture_start --pid "$server"
	ask --connections "$2"
	await "the server sees the connections end" connections_gone "$port"
	capture_stop
	stop "$server"
	assert_truth
	assert_equal "connections" "$(rows connections)" "$2"
}

@test "23 requests of 7 KiB and 3 ms: event loop, 1 connection" {
	known_requests loop 1
	assert_equal "io model" "$(csv services '{ print at("io_model") }')" event-loop
	assert_equal "threads that serve" "$(csv services '{ print at("threads") }')" 1
}

@test "23 requests of 7 KiB and 3 ms: event loop, 8 connections" {
	known_requests loop 8
}

@test "23 requests of 7 KiB and 3 ms: a thread a connection, 1 connection" {
	known_requests threads 1
	assert_equal "io model" "$(csv services '{ print at("io_model") }')" per-connection
}

@test "23 requests of 7 KiB and 3 ms: a thread a connection, 8 connections" {
	known_requests threads 8
	assert_equal "threads that serve" "$(csv services '{ print at("threads") }')" 8
}

@test "101 requests of 7 KiB and 100 us: the price of the probes stays out of a small demand" {
	REQUESTS=101
	CPU_NS=100000
	CPU_OFF_US=10 # 2 us are the server's own, to look at the clock
	known_requests loop 2
}

@test "a command that gait starts is followed from its first instruction, and ends the capture" {
	known_cost
	capture_start -- "$GAIT_TRUTH/server" "${cost[@]}" --requests "$REQUESTS" \
		--log "$BATS_TEST_TMPDIR/server.log"
	server_port capture
	ask --connections 3
	capture_await
	assert_truth
	# what it does at start and end is nobody's request
	csv ops 'at("kind") == "store" && at("request_id") == "" {
		bytes[at("target_id")] += at("bytes")
	}
	END { for (target in bytes) print bytes[target] }' |
		grep -qx "$(stat -c %s "$BATS_TEST_TMPDIR/server.log")" ||
		fail "its log is not among the background stores"
}

@test "children of a command are followed; Ctrl-C ends both, and nothing is missing" {
	known_cost
	# shellcheck disable=SC2016
	capture_start -- sh -c 'trap "kill \$!; wait \$!; exit" TERM; "$@" & wait' sh \
		"$GAIT_TRUTH/server" --model threads "${cost[@]}" --log "$BATS_TEST_TMPDIR/server.log"
	server_port capture
	ask --connections 2
	await "the server sees the connections end" connections_gone "$port"
	capture_stop
	assert_truth
}

@test "requests of a program found by its name, on its port" {
	local name=gt-$$

	cp "$GAIT_TRUTH/server" "$BATS_TEST_TMPDIR/$name"
	start server "$BATS_TEST_TMPDIR/$name" --log "$BATS_TEST_TMPDIR/server.log"
	server_port server
	capture_start --comm "$name" --port "$port"
	"$GAIT_TRUTH/client" --port "$port" --requests 5
	capture_stop
	assert_equal "requests" "$(rows requests)" 5
	assert_equal "name" "$(csv services '{ print at("name") }')" "$name"
	assert_equal "address" "$(csv services '{ print at("listen") }')" "127.0.0.1:$port"
	assert_nothing_lost
}

# The client sends and goes; the server reads what there is and replies to nobody, as far as the
# kernel takes it. assert_gone MODEL LEAVE: connections, requests and bytes are those of its log.
assert_gone()
{
	start_server --model "$1" --request 10 --reply 2000 --cpu 20000000 --requests 5
	capture_start --pid "$server"
	"$GAIT_TRUTH/client" --port "$port" --connections 5 --request 10 --leave "$2"
	capture_await
	assert_equal "requests, bytes in and out" \
		"$(csv requests '{ print at("request_bytes"), at("response_bytes") }' | sort | uniq -c)" \
		"$(csv "$BATS_TEST_TMPDIR/server.log" '{ print at("bytes_in"), at("bytes_out") }' |
			sort | uniq -c)"
	assert_equal requests "$(rows requests)" 5
	assert_equal connections "$(rows connections)" 5
	assert_equal "replies without a request" "$(ledger open_at_start) $(ledger replies_unpaired)" "0 0"
	assert_nothing_lost
}

@test "a client that closes without waiting: its request and the bytes of the reply are there" {
	assert_gone threads fin
	assert_equal "bytes of the replies" \
		"$(csv requests '{ n += at("response_bytes") } END { print n }')" 10000
}

@test "a client that resets the connection: what was read before and after is there" {
	assert_gone loop reset
}

# Costs that differ from request to request, so that there is something to tell by.
assert_dependent() # 0|1 CLIENT OPTION...: whether the trace says that requests waited for replies
{
	local want=$1

	shift
	start_server --cpu 100000 --cpu-steps 5
	capture_start --pid "$server"
	"$GAIT_TRUTH/client" --port "$port" --requests 101 "$@"
	capture_stop
	assert_equal dependent "$(csv connections '{ print at("dependent") }')" "$want"
}

@test "who waits for replies is told from who sends by the clock: closed loop" {
	assert_dependent 1
}

@test "who waits for replies is told from who sends by the clock: open loop" {
	assert_dependent 0 --rate 500
}

# The program on the kernel's waits for locks interrupts itself there tens of times a second.
@test "what is skipped of an interrupt's own waits for locks is no loss" {
	start_server --model loop
	capture_start --pid "$server"
	"$GAIT_TRUTH/contend" --file "$BATS_TEST_FILENAME" --reads 3000000
	"$GAIT_TRUTH/client" --port "$port" --requests 5 >"$BATS_TEST_TMPDIR/client.csv"
	capture_stop
	stop "$server"
	assert_equal "requests" "$(rows requests)" 5
	assert_nothing_lost
}
