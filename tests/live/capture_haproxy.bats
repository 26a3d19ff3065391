#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A real HAProxy of two threads in front of a real nginx: the trace must say what HAProxy's log
# says of its requests, and what nginx's log says of its calls.

load helper

FILES=200

setup()
{
	require_bpf jq ss curl nginx haproxy perl
}

teardown()
{
	stop_all
}

# Sets $upstream, its port. Every file has a size of its own, which tells the request.
start_nginx()
{
	at=$BATS_TEST_TMPDIR/nginx
	mkdir -p "$at/www"
	for ((i = 100; i < 100 + FILES; i++)); do
		head -c $((1000 + 31 * (i - 100))) /dev/zero >"$at/www/$i"
	done
	for _ in 1 2 3; do
		upstream=$(free_port)
		nginx_configuration >"$at/nginx.conf"
		! start_listening nginx "$upstream" nginx -p "$at" -c nginx.conf -e error.log || break
	done
	await "nginx answers" curl -sfo /dev/null "http://127.0.0.1:$upstream/100"
}

nginx_configuration()
{
	cat <<-EOF
		$(nginx_alone)
		worker_processes 1;
		events { }
		http {
			log_format truth '\$request_length \$bytes_sent';
			access_log access.log truth;
			keepalive_requests 1000000;
			$(nginx_folders)
			server {
				listen 127.0.0.1:$upstream;
				root www;
			}
		}
	EOF
}

# What HAProxy logs, a datagram a request, goes to log.out; sets $log_port. (To a file it drops
# lines when both threads have one at a time.) Its buffer has room for all of a test.
start_log()
{
	# shellcheck disable=SC2016 # these are Perl's
	start log perl -MSocket -e '
		$| = 1;
		socket(S, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
		setsockopt(S, SOL_SOCKET, 33, pack("l", 64 << 20)) or die "SO_RCVBUFFORCE: $!";
		bind(S, sockaddr_in(0, INADDR_LOOPBACK)) or die "bind: $!";
		print "port ", (sockaddr_in(getsockname(S)))[0], "\n";
		print $line while defined(recv(S, $line, 4096, 0));'
	await "the log has a port" grep -qs '^port ' "$BATS_TEST_TMPDIR/log.out"
	log_port=$(sed -n 's/^port //p' "$BATS_TEST_TMPDIR/log.out")
}

# What is in the log now was sent before.
log_is_whole()
{
	echo end >"/dev/udp/127.0.0.1/$log_port"
	await "the end of the log" grep -q '^end' "$BATS_TEST_TMPDIR/log.out"
}

# start_haproxy MODE: sets $haproxy and $port. It reads its clock once a loop: were it preempted in one,
# the times of its log would be off by as much. So it goes before others.
start_haproxy()
{
	mode=$1
	start_log
	for _ in 1 2 3; do
		port=$(free_port)
		haproxy_configuration >"$BATS_TEST_TMPDIR/haproxy.cfg"
		! start_listening haproxy "$port" nice -n -20 haproxy -W -db \
			-f "$BATS_TEST_TMPDIR/haproxy.cfg" || break
	done
	haproxy=$pid
	await "HAProxy answers" curl -sfo /dev/null "http://127.0.0.1:$port/100"
	await "HAProxy sees the connection end" connections_gone "$port"
}

# %U and %B: bytes from and to the client, %Ta or %Tt: ms of the request or of the connection
haproxy_configuration()
{
	local format='%ci:%cp %U %B %Tt'

	[[ $mode != http ]] || format='%ci:%cp %U %B %Ta %ST'
	cat <<-EOF
		global
			nbthread 2
			log 127.0.0.1:$log_port format raw local0
		defaults
			mode $mode
			timeout connect 5s
			timeout client 10s
			timeout server 10s
		frontend front
			bind 127.0.0.1:$port
			log global
			log-format "$format"
			default_backend back
		backend back
			server nginx 127.0.0.1:$upstream
	EOF
}

# 20 times each file, from 8 connections that are kept, all of it answered. (wrk leaves in the middle
# of its last requests, and HAProxy does not log every one of these.)
load_haproxy()
{
	curl -sf -Z --parallel-immediate --parallel-max 8 -o /dev/null \
		"http://127.0.0.1:$port/[100-$((99 + FILES))]?[1-20]" 2>"$BATS_TEST_TMPDIR/curl.err"
	await "HAProxy sees the connections end" connections_gone "$port"
}

# capture_load MODE: sets $logged_before and $called_before, lines of both logs
capture_load()
{
	start_nginx
	start_haproxy "$1"
	await "the first request is logged" grep -q '^127' "$BATS_TEST_TMPDIR/log.out"
	logged_before=$(wc -l <"$BATS_TEST_TMPDIR/log.out")
	called_before=$(wc -l <"$at/access.log")
	capture_start --pid "$haproxy" --ring 256M # it may have to wait for those that go before it
	load_haproxy
	stop "$haproxy" USR1 # once it has logged the last: then the service has ended
	capture_await
	log_is_whole
	assert_nothing_lost
}

haproxy_log() # without what it says of itself at its end
{
	tail -n +$((logged_before + 1)) "$BATS_TEST_TMPDIR/log.out" | grep '^127'
}

nginx_log()
{
	tail -n +$((called_before + 1)) "$at/access.log"
}

counted() # lines and how often they occur
{
	sort | uniq -c | sed 's/^ *//'
}

@test "http: as many requests as HAProxy logs, with the bytes of both ways" {
	capture_load http
	assert_equal "requests" "$(rows requests)" "$(haproxy_log | wc -l)"
	assert_equal "requests" "$(rows requests)" $((20 * FILES))
	# HAProxy counts the bytes of http in a form of its own; nginx counts those of the wire, and
	# of its replies HAProxy takes a line out: "Connection: keep-alive"
	diff <(nginx_log | awk '{ print $1, $2 - 24 }' | counted) \
		<(csv requests '{ print at("request_bytes"), at("response_bytes") }' | counted) \
		>"$BATS_TEST_TMPDIR/sizes.out" ||
		fail "sizes in the trace (>) are not those of nginx's log (<)"
}

@test "http: its calls are what nginx logs, byte by byte" {
	capture_load http
	assert_calls
}

# calls PORT: of those to 127.0.0.1:PORT the request, bytes and bytes of the reply, in order
calls()
{
	local to

	to=" $(csv connections "at(\"remote\") == \"127.0.0.1:$1\" { print at(\"connection_id\") }" |
		tr '\n' ' ')"
	csv ops 'at("kind") == "forward" && index("'"$to"'", " " at("connection_id") " ") {
		print at("request_id") + 0, at("bytes"), at("reply_bytes"), at("after_reply") }'
}

assert_calls()
{
	diff <(nginx_log | counted) <(calls "$upstream" | awk '{ print $2, $3 }' | counted) \
		>"$BATS_TEST_TMPDIR/calls.out" ||
		fail "calls in the trace (>) are not those of nginx's log (<)"
}

@test "http: times are those of the log, within its resolution" {
	capture_load http
	# In order of size they agree to the log's 1 ms, but for one in a hundred at most: HAProxy reads
	# its clock once a loop. It knows of a request once it has read it, so not how long that waited.
	paste <(csv requests '{ print (at("end_ns") - at("read_ns")) / 1e6 }' | sort -g) \
		<(haproxy_log | awk '{ print $4 }' | sort -g) |
		awk '{ if ($1 < $2 - 1 || $1 > $2 + 1) bad++ } END { exit bad > NR / 100 }' ||
		fail "times in the trace are not those of HAProxy's log"
}

@test "tcp: as many bytes as HAProxy logs of each connection" {
	capture_load tcp
	diff <(haproxy_log | awk '{ print $2, $3 }' | sort) <(csv requests '{
			id = at("connection_id")
			bytes_in[id] += at("request_bytes")
			bytes_out[id] += at("response_bytes")
		}
		END { for (id in bytes_in) print bytes_in[id], bytes_out[id] }' | sort) ||
		fail "bytes of connections in the trace (>) are not those of HAProxy's log (<)"
	assert_calls
}

@test "http: each call is owned by the request that it was for" {
	capture_load http
	# what HAProxy changes in a reply is the same for all: the size tells which request it was
	assert_equal "replies to clients less those of nginx" "$(join \
		<(csv requests 'at("status") == "" { print at("request_id"), at("response_bytes") }' |
			sort -k 1b,1) \
		<(calls "$upstream" | sort -k 1b,1) | awk '{ print $2 - $4 }' | sort -u | wc -l)" 1
	assert_equal "requests with one call" "$(calls "$upstream" | awk '$1' | sort -k 1b,1 -u | wc -l)" \
		"$(rows requests)"
}

@test "http: a line of the log is a call of its own, after the reply" {
	local owned

	capture_load http
	diff <(tail -n +$((logged_before + 1)) "$BATS_TEST_TMPDIR/log.out" |
		awk '!/^end/ { print length + 1 }' | counted) \
		<(calls "$log_port" | awk '!$3 { print $2 }' | counted) ||
		fail "datagrams in the trace (>) are not lines of the log (<)"
	# one in a thousand is sent when its thread has turned to another connection: nobody's
	owned=$(calls "$log_port" | awk '$1 && $4 { print $1 }' | sort -u | wc -l)
	((owned >= 3960)) || fail "only $owned of 4000 requests have their line"
}
