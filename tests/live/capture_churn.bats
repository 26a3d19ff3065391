#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# Connections that come and go: one request each, thousands of them; captures that begin in the
# middle of traffic; a service in a pid namespace of its own. GAIT_LONG=SECONDS makes churn as long.

load helper

FILE_BYTES=10007
LARGE_BYTES=20011

setup()
{
	require_bpf jq ss curl nginx wrk redis-server redis-cli redis-benchmark unshare
}

teardown()
{
	stop_all
}

# Sets $nginx (the master) and $port; two files, one of which is served at a time.
start_nginx()
{
	at=$BATS_TEST_TMPDIR/nginx
	mkdir -p "$at/www"
	head -c "$FILE_BYTES" /dev/zero >"$at/www/small"
	head -c "$LARGE_BYTES" /dev/zero >"$at/www/large"
	for _ in 1 2 3; do
		port=$(free_port)
		nginx_configuration >"$at/nginx.conf"
		! start_listening nginx "$port" nginx -p "$at" -c nginx.conf -e error.log || break
	done
	nginx=$pid
	await "nginx answers" curl -sfo /dev/null "http://127.0.0.1:$port/small"
	await "nginx sees the connection end" connections_gone "$port"
}

nginx_configuration()
{
	cat <<-EOF2
		$(nginx_alone)
		worker_processes 2;
		events { worker_connections 4096; }
		http {
			log_format truth '\$request_length \$bytes_sent';
			access_log access.log truth;
			keepalive_timeout 0;
			sendfile on;
			$(nginx_folders)
			server {
				listen 127.0.0.1:$port;
				root www;
			}
		}
	EOF2
}

# churn SECONDS: nginx closes after every reply; both files in turn
churn()
{
	cat >"$BATS_TEST_TMPDIR/files.lua" <<-EOF2
		local n = 0
		request = function()
			n = n + 1
			return wrk.format("GET", n % 2 == 0 and "/small" or "/large")
		end
	EOF2
	wrk -t 1 -c 8 -d "${1}s" -s "$BATS_TEST_TMPDIR/files.lua" "http://127.0.0.1:$port" \
		>>"$BATS_TEST_TMPDIR/wrk"
	await "nginx sees the connections end" connections_gone "$port"
}

@test "open, one request, close: every request, its bytes and its file; gait does not grow" {
	local seconds=${GAIT_LONG:-6} early late logged_before

	export AWAIT_SECONDS=60
	start_nginx
	logged_before=$(wc -l <"$at/access.log")
	capture_start --pid "$nginx"
	churn $((seconds / 3))
	early=$(resident_kb "$capture")
	churn $((seconds - seconds / 3))
	late=$(resident_kb "$capture")
	capture_stop

	assert_nothing_lost
	# some 60,000 connections later: one forgotten block of 32 bytes each is 1.9 MB
	assert_flat "$early" "$late" 1024
	assert_equal "requests" "$(rows requests)" "$(tail -n +$((logged_before + 1)) \
		"$at/access.log" | wc -l)"
	diff <(tail -n +$((logged_before + 1)) "$at/access.log" | sort | uniq -c) \
		<(csv requests '{ print at("request_bytes"), at("response_bytes") }' | sort |
			uniq -c) || fail "sizes in the trace (>) are not those of the log (<)"
	assert_equal "requests of a connection" "$(csv connections 'at("requests") {
		print at("requests") }' | sort -u)" 1
	# the descriptors of files and connections are taken again and again: no op may be on the
	# file that had the descriptor before
	assert_equal "files that sendfile sent less than, or more" "$(join \
		<(csv targets 'at("kind") == "file" { print at("target_id"), at("file_bytes") }' |
			sort -k 1b,1) \
		<(csv ops 'at("flags") ~ /sendfile/ { print at("target_id"), at("bytes") }' |
			sort -k 1b,1) | awk '$2 != $3 { n++ } END { print n + 0 }')" 0
}

# start_redis_by COMMAND...: it may be another process that is Redis then; sets $port
start_redis_by()
{
	for _ in 1 2 3; do
		port=$(free_port)
		! start_listening redis "$port" "$@" redis-server --port "$port" --bind 127.0.0.1 \
			--save '' --dir "$BATS_TEST_TMPDIR" || break
	done
}

calls() # COMMAND: of Redis so far
{
	redis_calls | awk -v command="$1" '$1 == command { print $2 }'
}

@test "attached and detached in the middle of traffic: between what the service counts" {
	local outer_before inner_before inner_after outer_after found load

	start_redis_by env
	start load redis-benchmark -p "$port" -c 20 -n 100000000 -t get -d 100 -q
	load=$pid
	await "traffic" traffic
	outer_before=$(calls get)
	capture_start --port "$port"
	inner_before=$(calls get)
	await "10,000 requests more" called "$((inner_before + 10000))"
	inner_after=$(calls get)
	capture_stop
	outer_after=$(calls get)
	stop "$load" KILL || true

	assert_nothing_lost
	found=$(csv classes 'at("name") == "GET" { print at("requests") }')
	((found >= inner_after - inner_before && found <= outer_after - outer_before)) ||
		fail "$found requests, not between $((inner_after - inner_before)) and" \
			"$((outer_after - outer_before))"
	(($(ledger open_at_start) <= 20 && $(ledger open_at_end) <= 20)) ||
		fail "more requests than connections were cut off"
	assert_equal "sizes" "$(csv requests 'at("request_bytes") == 36 && at("status") == "" {
		print at("response_bytes") }' | sort -u)" 5
}

traffic()
{
	[[ -n $(calls get) ]]
}

called() # CALLS
{
	(($(calls get) >= $1))
}

@test "a service in a pid namespace of its own, by the pid that the host gives it" {
	local inside

	start_redis_by unshare --pid --fork --mount-proc
	inside=$(pgrep -P "$pid" -x redis-server)
	started+=("$inside")
	[[ $(sed -n 's/^NSpid:.*[[:space:]]//p' "/proc/$inside/status") == 1 ]]
	capture_start --pid "$inside"
	redis-benchmark -p "$port" -c 8 -n 5000 -t get -q >"$BATS_TEST_TMPDIR/benchmark"
	capture_stop
	stop "$inside" || true

	assert_nothing_lost
	assert_equal "GETs" "$(csv classes 'at("name") == "GET" { print at("requests") }')" 5000
	assert_equal "threads of requests" "$(csv requests '{ print at("thread_id") }' | sort -u)" \
		"$inside"
}
