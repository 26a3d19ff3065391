#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A real nginx, a master and two workers: the trace must say what its access log says.

load helper

FILE_BYTES=10007

setup()
{
	require_bpf jq ss curl nginx wrk
}

teardown()
{
	stop_all
}

# Sets $nginx (the master) and $port; it serves one file and keeps its log here.
start_nginx()
{
	at=$BATS_TEST_TMPDIR/nginx
	mkdir -p "$at/www"
	head -c "$FILE_BYTES" /dev/zero >"$at/www/file"
	for _ in 1 2 3; do
		port=$(free_port)
		configuration >"$at/nginx.conf"
		! start_listening nginx "$port" nginx -p "$at" -c nginx.conf -e error.log || break
	done
	nginx=$pid
	await "nginx answers" curl -sfo /dev/null "http://127.0.0.1:$port/file"
}

configuration()
{
	cat <<-EOF
		$(nginx_alone)
		worker_processes 2;
		events { }
		http {
			log_format truth '\$connection \$request_length \$bytes_sent \$pid';
			access_log access.log truth;
			sendfile on;
			keepalive_requests 1000000;
			$(nginx_folders)
			server {
				listen 127.0.0.1:$port;
				root www;
			}
		}
	EOF
}

# load SECONDS: from 8 connections, until nginx has seen the end of all
load_nginx()
{
	wrk -t 1 -c 8 -d "$1" "http://127.0.0.1:$port/file" >"$BATS_TEST_TMPDIR/wrk"
	await "nginx sees the connections end" connections_gone "$port"
}

# What the log has to say since it was $logged_before bytes long.
access_log()
{
	tail -c +$((logged_before + 1)) "$at/access.log"
}

@test "as many requests as lines of the access log, byte by byte, and as many on each connection" {
	local headers

	start_nginx
	headers=$(curl -sD - -o /dev/null "http://127.0.0.1:$port/file" | wc -c)
	await "nginx sees the connection end" connections_gone "$port"
	logged_before=$(stat -c %s "$at/access.log")
	capture_start --port "$port"
	load_nginx 2s
	capture_stop

	assert_nothing_lost
	assert_equal "requests" "$(rows requests)" "$(access_log | wc -l)"
	diff <(access_log | awk '{ print $2, $3 }' | sort | uniq -c) \
		<(csv requests '{ print at("request_bytes"), at("response_bytes") }' | sort | uniq -c) ||
		fail "sizes in the trace (>) are not those of the access log (<)"
	diff <(access_log | awk '{ print $1 }' | uniq_counts) \
		<(csv connections 'at("requests") { print at("requests") }' | sort -n) ||
		fail "requests of connections in the trace (>) are not those of the access log (<)"
	assert_equal "bytes of the usual reply" "$(csv requests '{ print at("response_bytes") }' |
		median)" "$((headers + FILE_BYTES))"
	assert_equal "workers that serve" "$(csv services '{ print at("threads") }')" \
		"$(access_log | awk '{ print $4 }' | sort -u | wc -l)"
	grep Requests/sec "$BATS_TEST_TMPDIR/wrk" | sed 's/^/# /' >&3
}

uniq_counts() # how often each line occurs, in order
{
	sort | uniq -c | awk '{ print $1 }' | sort -n
}

@test "replies go out by sendfile, from the file's start; the access log is nobody's delay" {
	local file log

	start_nginx
	logged_before=$(stat -c %s "$at/access.log")
	capture_start --pid "$nginx"
	load_nginx 1s
	capture_stop

	assert_nothing_lost
	assert_equal "what sendfile sent" "$(csv ops 'at("kind") == "reply" && at("flags") ~ /sendfile/ {
		print at("bytes"), at("offset")
	}' | sort | uniq -c | sort -n | tail -n 1 | sed 's/^ *[0-9]* //')" "$FILE_BYTES 0"
	file=$(csv ops 'at("flags") ~ /sendfile/ { print at("target_id") }' | sort -u)
	assert_equal "size of the file" \
		"$(csv targets 'at("target_id") == '"$file"' { print at("file_bytes") }')" "$FILE_BYTES"
	log=$(csv ops 'at("kind") == "store" { print at("target_id") }' | sort -u)
	assert_equal "bytes stored" "$(csv ops 'at("kind") == "store" { n += at("bytes") }
		END { print n }')" "$(access_log | wc -c)"
	assert_equal "log writes" "$(csv ops 'at("target_id") == "'"$log"'" && at("kind") == "store" { n++ }
		END { print n }')" "$(access_log | wc -l)"
	assert_equal "log writes before the reply" "$(csv ops 'at("kind") == "store" &&
		at("request_id") != "" && !at("after_reply") { n++ }
		END { print n + 0 }')" 0
}

@test "the sum of the rows is the whole, captured and replayed: next to nothing is unattributed" {
	start_nginx
	capture_start --port "$port"
	curl -sf -o /dev/null "http://127.0.0.1:$port/file?[1-1000]"
	capture_stop
	assert_sum_closes
}
