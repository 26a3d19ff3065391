#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A real memcached: one thread accepts and hands the connections to four that serve them. The trace
# must say what `stats` says and what the client (tests/truth/memcached.c) has asked for.

load helper

setup()
{
	require_bpf jq ss setpriv memcached
}

teardown()
{
	stop_all
}

# Sets $memcached and $port.
start_memcached()
{
	for _ in 1 2 3; do
		port=$(free_port)
		! start_listening memcached "$port" setpriv --reuid=65534 --regid=65534 \
			--clear-groups memcached -t 4 -l 127.0.0.1 -p "$port" -U 0 || break
	done
	memcached=$pid
}

# stats NAME: a number that memcached counts. Asked on one connection for the whole test, so that
# what asking itself adds is known: see own_bytes_read and own_bytes_written.
stats()
{
	sed -n "s/^STAT $1 \([0-9]*\).*/\1/p" "$2"
}

# ask_stats FILE: the reply of `stats`, as it came
ask_stats()
{
	local line

	printf 'stats\r\n' >&5
	while IFS= read -r line <&5 && printf '%s\n' "$line" && [[ $line != END* ]]; do
		:
	done >"$1"
}

# Runs the client while gait captures; what memcached says before and after is in two files.
capture_load() # CLIENT OPTION...
{
	exec 5<>"/dev/tcp/127.0.0.1/$port"
	ask_stats "$BATS_TEST_TMPDIR/before"
	capture_start --pid "$memcached"
	"$GAIT_TRUTH/memcached" --port "$port" "$@" >"$BATS_TEST_TMPDIR/load.csv"
	capture_stop
	ask_stats "$BATS_TEST_TMPDIR/after"
	exec 5>&-
	assert_nothing_lost
}

counted() # NAME: by memcached, meanwhile
{
	echo $(($(stats "$1" "$BATS_TEST_TMPDIR/after") - $(stats "$1" "$BATS_TEST_TMPDIR/before")))
}

asked() # NAME: by the client
{
	csv "$BATS_TEST_TMPDIR/load.csv" '{ print at("'"$1"'") }'
}

sum_of() # COLUMN of requests.csv
{
	csv requests '{ n += at("'"$1"'") } END { print n + 0 }'
}

# The client and memcached agree; then the trace must agree with both.
assert_counts() # REQUESTS
{
	local before_bytes

	before_bytes=$(stat -c %s "$BATS_TEST_TMPDIR/before")
	assert_equal "sets that memcached counts" "$(counted cmd_set)" "$(asked sets)"
	assert_equal "gets that memcached counts" "$(counted cmd_get)" "$(asked gets)"
	assert_equal "hits that memcached counts" "$(counted get_hits)" "$(asked hits)"
	# less the second question, and the first answer
	assert_equal "bytes that memcached has read" \
		$(($(counted bytes_read) - 7)) "$(asked bytes_out)"
	assert_equal "bytes that memcached has written" \
		$(($(counted bytes_written) - before_bytes)) "$(asked bytes_in)"

	assert_equal "requests" "$(rows requests)" "$1"
	assert_equal "request bytes" "$(sum_of request_bytes)" "$(asked bytes_out)"
	assert_equal "response bytes" "$(sum_of response_bytes)" "$(asked bytes_in)"
}

@test "sets, gets, gets of 10 keys, deletes on 16 connections: as many requests, the same bytes" {
	start_memcached
	capture_load --connections 16 --rounds 500 --value 100 --keys 10
	# a round is a set, three gets of 12 keys in all - memcached counts every key - and a delete
	assert_equal "messages of five to a set" "$(asked messages)" $((5 * $(counted cmd_set)))
	assert_equal "gets of 12 keys to a set" "$(asked gets)" $((12 * $(counted cmd_set)))
	assert_equal "deletes, one to a set" "$(counted delete_misses)" "$(counted cmd_set)"
	assert_counts "$(asked messages)"
	assert_equal "requests not answered" \
		"$(csv requests 'at("status") != "" { n++ } END { print n + 0 }')" 0
	assert_equal "sizes that occur" "$(csv requests '{
		print at("request_bytes"), at("response_bytes")
	}' | sort | uniq -c | awk '{ print $1 }' | sort | uniq -c | sed 's/^ *//')" "$(sizes_due 16 500)"
}

# Of 5 messages a round two (get none, delete none) have the same size on all connections; in the
# others keys 0-9 are a byte shorter than keys 10-15.
sizes_due() # CONNECTIONS ROUNDS
{
	printf '%s\n' "3 $((10 * $2))" "2 $(($1 * $2))" "3 $((($1 - 10) * $2))" |
		awk '{ for (i = 0; i < $1; i++) print $2 }' | sort | uniq -c | sed 's/^ *//'
}

@test "values of 30 kB: written in many parts, one request each" {
	start_memcached
	capture_load --connections 4 --rounds 50 --value 30000 --keys 2
	assert_counts "$(asked messages)"
}

@test "every connection is served by one thread of four, and none by the one that accepts" {
	start_memcached
	capture_load --connections 8 --rounds 50
	assert_equal "threads of a connection" "$(csv requests '{
		print at("connection_id"), at("thread_id")
	}' | sort -u | awk '{ print $1 }' | uniq -c | awk '{ print $1 }' | sort -u)" 1
	assert_equal "threads that serve" "$(csv services '{ print at("threads") }')" 4
	assert_equal "requests of the thread that accepts" \
		"$(csv requests 'at("thread_id") == '"$memcached"' { n++ } END { print n + 0 }')" 0
}

@test "sets without a reply between the others: each is a request" {
	start_memcached
	capture_load --connections 4 --rounds 200 --noreply 1
	assert_counts "$(asked messages)"
	assert_equal "requests that nobody answers" \
		"$(csv requests '!at("response_bytes") { n++ } END { print n + 0 }')" 800
}
