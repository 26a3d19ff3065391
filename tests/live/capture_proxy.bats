#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A real nginx of two workers in front of another, over connections that are kept: the trace must
# say what the log of the one says of its requests, and that of the other of the calls.

load helper

FILES=200

setup()
{
	require_bpf jq ss curl nginx
}

teardown()
{
	stop_all
}

# start_nginx NAME CONFIGURATION: sets $pid and $port; logs to NAME/access.log
# It reads its clock once a loop: were it preempted in one, its log would be off by as much. So it
# goes before others.
start_nginx()
{
	local at=$BATS_TEST_TMPDIR/$1

	mkdir -p "$at"
	for _ in 1 2 3; do
		port=$(free_port)
		"$2" >"$at/nginx.conf"
		! start_listening "$1" "$port" nice -n -20 nginx -p "$at" -c nginx.conf \
			-e error.log || break
	done
	await "nginx answers" curl -sfo /dev/null "http://127.0.0.1:$port/100"
	await "nginx sees the connection end" connections_gone "$port"
}

common_configuration()
{
	cat <<-EOF2
		$(nginx_alone)
		events { }
	EOF2
}

http_configuration()
{
	cat <<-EOF2
		log_format truth '\$request_length \$bytes_sent \$request_time';
		access_log access.log truth;
		keepalive_requests 1000000;
		$(nginx_folders)
	EOF2
}

upstream_configuration()
{
	common_configuration
	cat <<-EOF2
		worker_processes 1;
		http {
			$(http_configuration)
			server {
				listen 127.0.0.1:$port;
				root $BATS_TEST_TMPDIR/www;
			}
		}
	EOF2
}

front_configuration()
{
	common_configuration
	cat <<-EOF2
		worker_processes 2;
		http {
			$(http_configuration)
			upstream back {
				server 127.0.0.1:$upstream;
				keepalive 8;
			}
			server {
				listen 127.0.0.1:$port reuseport;
				location / {
					proxy_pass http://back;
					proxy_http_version 1.1;
					proxy_set_header Connection "";
				}
			}
		}
	EOF2
}

# Every file has a size of its own, which tells the request. Sets $front, logs since $*_before.
capture_load()
{
	mkdir -p "$BATS_TEST_TMPDIR/www"
	for ((i = 100; i < 100 + FILES; i++)); do
		head -c $((1000 + 31 * (i - 100))) /dev/zero >"$BATS_TEST_TMPDIR/www/$i"
	done
	start_nginx upstream upstream_configuration
	upstream=$port
	start_nginx front front_configuration
	export front_before upstream_before # by log_of
	front_before=$(wc -l <"$BATS_TEST_TMPDIR/front/access.log")
	upstream_before=$(wc -l <"$BATS_TEST_TMPDIR/upstream/access.log")
	capture_start --pid "$pid" --ring 256M # it may have to wait for those that go before it
	curl -sf -Z --parallel-immediate --parallel-max 8 -o /dev/null \
		"http://127.0.0.1:$port/[100-$((99 + FILES))]?[1-20]" 2>"$BATS_TEST_TMPDIR/curl.err"
	await "nginx sees the connections end" connections_gone "$port"
	capture_stop
	assert_nothing_lost
}

log_of() # NAME, since the capture began
{
	tail -n +$(($1_before + 1)) "$BATS_TEST_TMPDIR/$1/access.log"
}

counted() # lines and how often they occur
{
	sort | uniq -c | sed 's/^ *//'
}

@test "as many requests as the log has lines, byte by byte, and the times of the log" {
	capture_load
	assert_equal "requests" "$(rows requests)" $((20 * FILES))
	diff <(log_of front | awk '{ print $1, $2 }' | counted) \
		<(csv requests '{ print at("request_bytes"), at("response_bytes") }' | counted) \
		>"$BATS_TEST_TMPDIR/sizes.out" ||
		fail "sizes in the trace (>) are not those of the log (<)"
	# In order of size they agree to the log's 1 ms, but for one in a hundred at most: nginx reads
	# its clock once a loop. It knows of a request once it has read it, so not how long that waited.
	paste <(csv requests '{ print (at("end_ns") - at("read_ns")) / 1e6 }' | sort -g) \
		<(log_of front | awk '{ print $3 * 1000 }' | sort -g) |
		awk '{ if ($1 < $2 - 1 || $1 > $2 + 1) bad++ } END { exit bad > NR / 100 }' ||
		fail "times in the trace are not those of the log"
}

@test "its calls are what the other logs, byte by byte" {
	capture_load
	diff <(log_of upstream | awk '{ print $1, $2 }' | counted) \
		<(csv ops 'at("kind") == "forward" { print at("bytes"), at("reply_bytes") }' |
			counted) >"$BATS_TEST_TMPDIR/calls.out" ||
		fail "calls in the trace (>) are not those of the other's log (<)"
}

@test "each call is owned by the request that it was for" {
	capture_load
	assert_equal "calls of nobody" "$(ledger calls_unowned)" 0
	# nginx changes every reply in the same way: the size tells which request it was
	assert_equal "replies to clients less those of the other" "$(join \
		<(csv requests '{ print at("request_id"), at("response_bytes") }' | sort -k 1b,1) \
		<(csv ops 'at("kind") == "forward" { print at("request_id"), at("reply_bytes") }' |
			sort -k 1b,1) | awk '{ print $2 - $3 }' | sort -u | wc -l)" 1
	assert_equal "requests with one call" "$(csv ops 'at("kind") == "forward" {
		print at("request_id") }' | sort | uniq -c | awk '$1 == 1' | wc -l)" "$(rows requests)"
}
