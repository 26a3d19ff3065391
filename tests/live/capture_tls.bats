#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# Services under TLS: sizes and turns in the trace must be those of the plaintext.

load helper

REQUESTS=23
REQUEST_BYTES=7168
REPLY_BYTES=2000
RECORD_BYTES=22 # TLS 1.3 adds to a record: 5 of head, 1 of type, 16 of tag (RFC 8446, 5.2)
PAIR_LIMIT_NS=5000

setup()
{
	require_bpf jq ss curl openssl nginx wrk
}

teardown()
{
	stop_all
}

# start_tls PROGRAM MODEL: sets $server and $port
start_tls()
{
	start server "$1" --serve "$2" --request "$REQUEST_BYTES" --reply "$REPLY_BYTES" \
		--log "$BATS_TEST_TMPDIR/server.log"
	server=$pid
	server_port server
}

ask() # CONNECTIONS: the client has all its replies
{
	"$GAIT_TRUTH/tls" --ask "$port" --connections "$1" --requests "$REQUESTS" \
		--request "$REQUEST_BYTES" --reply "$REPLY_BYTES"
	await "the server sees the connections end" connections_gone "$port"
}

requests_of_server()
{
	csv "$BATS_TEST_TMPDIR/server.log" '{
		print at("connection"), at("request"), at("bytes_in"), at("bytes_out")
	}' | sort
}

requests_of_trace()
{
	csv requests '{
		print at("connection_id"), ++number[at("connection_id")],
			at("request_plain_bytes"), at("response_plain_bytes")
	}' | sort
}

# assert_truth CONNECTIONS
assert_truth()
{
	assert_nothing_lost
	diff -u <(requests_of_server) <(requests_of_trace) ||
		fail "the trace (+) is not the truth (-)"
	assert_equal "requests" "$(rows requests)" "$REQUESTS"
	assert_equal "ciphertext" "$(csv requests '{ print at("request_bytes"), at("response_bytes") }' |
		sort -u)" "$((REQUEST_BYTES + RECORD_BYTES)) $((REPLY_BYTES + RECORD_BYTES))"
	assert_equal "handshakes" "$(csv ops 'at("kind") == "handshake"' | wc -l)" "$1"
	assert_equal "handshakes that failed, or are a request's" "$(csv ops 'at("kind") == "handshake" &&
		(at("flags") != "" || at("request_id") != "") { n++ } END { print n + 0 }')" 0
	assert_equal "handshakes without bytes or CPU" "$(csv ops 'at("kind") == "handshake" &&
		(at("bytes") < 500 || at("reply_bytes") < 200 || at("cpu_ns") < 50000 ||
		at("elapsed_ns") < at("cpu_ns")) { n++ } END { print n + 0 }')" 0
	assert_equal "encrypted connections" \
		"$(csv connections 'at("tls") == 1 { n++ } END { print n + 0 }')" "$1"
	assert_equal "encrypted service" "$(csv services '{ print at("tls") }')" 1
	assert_equal "connections not seen into" "$(ledger tls_opaque)" 0
}

# known_requests PROGRAM MODEL CONNECTIONS
known_requests()
{
	start_tls "$GAIT_TRUTH/$1" "$2"
	capture_start --pid "$server"
	ask "$3"
	capture_stop
	stop "$server"
	assert_truth "$3"
}

@test "23 requests of 7 KiB of plaintext, 1 connection" {
	known_requests tls threads 1
}

@test "23 requests of 7 KiB of plaintext, 8 connections" {
	known_requests tls threads 8
}

@test "SSL_read_ex() and SSL_write_ex() say the same" {
	known_requests tls ex 8
}

@test "a handshake inside the first SSL_read() is a handshake" {
	known_requests tls lazy 8
}

@test "a library that is linked into the program" {
	known_requests tls_static threads 8
}

@test "a library whose file has been replaced since" {
	local lib

	lib=$(ldd "$GAIT_TRUTH/tls" | sed -n 's/.*libssl[^ ]* => \([^ ]*\).*/\1/p')
	mkdir "$BATS_TEST_TMPDIR/lib"
	cp "$lib" "$BATS_TEST_TMPDIR/lib/"
	LD_LIBRARY_PATH=$BATS_TEST_TMPDIR/lib start_tls "$GAIT_TRUTH/tls" threads
	rm "$BATS_TEST_TMPDIR/lib"/*
	capture_start --pid "$server"
	ask 1
	capture_stop
	stop "$server"
	assert_truth 1
}

@test "a command's own library is found when it comes" {
	capture_start -- "$GAIT_TRUTH/tls" --serve threads --request "$REQUEST_BYTES" \
		--reply "$REPLY_BYTES" --log "$BATS_TEST_TMPDIR/server.log"
	server_port capture
	await "the library is found" library_is_followed
	ask 2
	capture_stop
	assert_truth 2
}

# gait holds a link for each probe in the library: two a function at least.
library_probes()
{
	cat "/proc/$capture/fdinfo"/* 2>/dev/null | grep -c '^link_type:.*perf'
}

library_is_followed()
{
	(($(library_probes) >= 6))
}

library_is_left_alone()
{
	(($(library_probes) == 0))
}

@test "attached in the middle of traffic: what is read from then on is plaintext" {
	start_tls "$GAIT_TRUTH/tls" threads
	start client "$GAIT_TRUTH/tls" --ask "$port" --requests 1000000 \
		--request "$REQUEST_BYTES" --reply "$REPLY_BYTES"
	capture_start --pid "$server" --duration 500ms
	capture_await
	stop "$pid" || true
	assert_nothing_lost
	(($(rows requests) > 100)) || fail "only $(rows requests) requests"
	assert_equal "sizes" "$(csv requests 'at("status") == "" {
		print at("request_plain_bytes"), at("response_plain_bytes")
	}' | sort | uniq -c | sort -n | tail -n 1 | sed 's/^ *[0-9]* //')" "$REQUEST_BYTES $REPLY_BYTES"
	assert_equal "requests of other sizes, but for the one at the start" "$(csv requests '
		at("status") == "" && (at("request_plain_bytes") != '"$REQUEST_BYTES"' ||
		at("response_plain_bytes") != '"$REPLY_BYTES"') { n++ }
		END { print (n > 1 ? n : 0) }')" 0
}

@test "encryption that gait does not see into is counted, and said" {
	start_server --request 5 --reply 5
	capture_start --pid "$server"
	exec 5<>"/dev/tcp/127.0.0.1/$port"
	printf '\x16\x03\x01\x00\xc8' >&5
	head -c 5 <&5 | wc -c | grep -qx 5 || fail "no reply"
	exec 5>&-
	await "the server sees the connection end" connections_gone "$port"
	capture_stop
	assert_equal "connections not seen into" "$(ledger tls_opaque)" 1
	"$GAIT" show "$trace" | grep -q "encrypted connections that were not seen into" ||
		fail "gait show does not say so"
}

# --- nginx -------------------------------------------------------------------------------------

start_nginx()
{
	at=$BATS_TEST_TMPDIR/nginx
	mkdir -p "$at/www"
	head -c 10007 /dev/zero >"$at/www/file"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=truth \
		-keyout "$at/key.pem" -out "$at/cert.pem" 2>/dev/null
	for _ in 1 2 3; do
		port=$(free_port)
		configuration >"$at/nginx.conf"
		! start_listening nginx "$port" nginx -p "$at" -c nginx.conf -e error.log || break
	done
	await "nginx answers" curl -skfo /dev/null "https://127.0.0.1:$port/file"
	await "nginx sees the connection end" connections_gone "$port"
}

configuration()
{
	cat <<-EOF
		$(nginx_alone)
		worker_processes 2;
		events { }
		http {
			log_format truth '\$connection \$request_length \$bytes_sent';
			access_log access.log truth;
			keepalive_requests 1000000;
			$(nginx_folders)
			${protocols:+ssl_protocols $protocols;}
			server {
				listen 127.0.0.1:$port ssl;
				ssl_certificate cert.pem;
				ssl_certificate_key key.pem;
				root www;
			}
		}
	EOF
}

# assert_access_log BYTES: what came behind them is what the trace says
assert_access_log()
{
	diff <(tail -c +$(($1 + 1)) "$at/access.log" | awk '{ print $2, $3 }' | sort | uniq -c) \
		<(csv requests '{ print at("request_plain_bytes"), at("response_plain_bytes") }' |
			sort | uniq -c) ||
		fail "plaintext in the trace (>) is not that of the access log (<)"
}

@test "nginx: as many requests as lines of the access log, byte by byte of plaintext" {
	local before

	start_nginx
	before=$(stat -c %s "$at/access.log")
	capture_start --port "$port"
	wrk -t 1 -c 8 -d 1s "https://127.0.0.1:$port/file" >"$BATS_TEST_TMPDIR/wrk"
	await "nginx sees the connections end" connections_gone "$port"
	capture_stop

	assert_nothing_lost
	assert_access_log "$before"
	assert_equal "protocol" "$(csv connections 'at("requests") { print at("protocol") }' | sort -u)" http/1
	assert_equal "connections with requests, and no handshake each" \
		"$(csv ops 'at("kind") == "handshake" && at("flags") == ""' | wc -l)" \
		"$(csv connections 'at("requests")' | wc -l)"
	grep Requests/sec "$BATS_TEST_TMPDIR/wrk" | sed 's/^/# /' >&3
}

# Eight requests of different lengths, in one record; the last ends the connection.
pipeline()
{
	local i

	for i in 1 22 333 4444 55555 666666 7777777; do
		printf 'GET /file?%s HTTP/1.1\r\nHost: truth\r\n\r\n' "$i"
	done
	printf 'GET /none HTTP/1.1\r\nHost: truth\r\nConnection: close\r\n\r\n'
}

replies_came() # HOW_MANY
{
	(($(grep -ao 'HTTP/1.1 ' "$BATS_TEST_TMPDIR/replies" 2>/dev/null | wc -l) >= $1))
}

@test "nginx: requests that are pipelined in one record are told apart" {
	local before protocols=TLSv1.3

	start_nginx
	before=$(stat -c %s "$at/access.log")
	pipeline >"$BATS_TEST_TMPDIR/pipeline"
	mkfifo "$BATS_TEST_TMPDIR/requests"
	capture_start --port "$port"
	# shellcheck disable=SC2016
	start s_client sh -c 'exec openssl s_client -quiet -connect "127.0.0.1:$0" <"$1" >"$2"' \
		"$port" "$BATS_TEST_TMPDIR/requests" "$BATS_TEST_TMPDIR/replies"
	exec 6>"$BATS_TEST_TMPDIR/requests"
	# the first may come in one read with the end of the handshake, and its ciphertext with that
	printf 'GET /first HTTP/1.1\r\nHost: truth\r\n\r\n' >&6
	await "the first reply" replies_came 1
	cat "$BATS_TEST_TMPDIR/pipeline" >&6
	await "all replies" replies_came 9
	exec 6>&-
	await "nginx sees the connection end" connections_gone "$port"
	capture_stop

	assert_nothing_lost
	assert_access_log "$before"
	# what encryption adds is shared among them all
	assert_equal "ciphertext of the eight, beyond the plaintext" "$(csv requests 'k++ {
		n += at("request_bytes") - at("request_plain_bytes") } END { print n }')" "$RECORD_BYTES"
}

# --- the price ---------------------------------------------------------------------------------

# Rounds of pairs by $pairs_pid; the median, in ns of CPU a pair.
time_pairs() # ROUNDS
{
	local before

	before=$(wc -l <"$BATS_TEST_TMPDIR/pairs.out")
	for ((i = 0; i < $1; i++)); do
		echo >&6
	done
	await "the pairs are done" pairs_are_done $((before + $1))
	tail -n "$1" "$BATS_TEST_TMPDIR/pairs.out" | median
}

pairs_are_done() # LINES
{
	(($(wc -l <"$BATS_TEST_TMPDIR/pairs.out") >= $1))
}

@test "while the price is measured the library's probes come and go: sizes stay those of plaintext" {
	start_tls "$GAIT_TRUTH/tls" threads
	start client "$GAIT_TRUTH/tls" --ask "$port" --requests 1000000 \
		--request "$REQUEST_BYTES" --reply "$REPLY_BYTES"
	client=$pid
	capture_start --pid "$server" --measure-overhead
	await "the library's probes are off" library_is_left_alone
	await "they are on again" library_is_followed
	capture_stop
	stop "$client" || true
	assert_nothing_lost
	(($(rows requests) > 100)) || fail "only $(rows requests) requests"
	# at the edges of a pause: a request that is cut, or whose beginning was not seen
	assert_equal "requests of other sizes, but for some at the edges" "$(csv requests '
		at("status") == "" && (at("request_plain_bytes") != '"$REQUEST_BYTES"' ||
		at("response_plain_bytes") != '"$REPLY_BYTES"') { n++ }
		END { print (n > 8 ? n : 0) }')" 0
}

@test "the probes of an SSL_write() and an SSL_read() take far less than one single step" {
	local without with

	mkfifo "$BATS_TEST_TMPDIR/pairs.in"
	# shellcheck disable=SC2016
	start pairs sh -c 'exec "$0" --pairs 5000 <"$1"' "$GAIT_TRUTH/tls" "$BATS_TEST_TMPDIR/pairs.in"
	exec 6>"$BATS_TEST_TMPDIR/pairs.in"
	await "it is ready" grep -qs ready "$BATS_TEST_TMPDIR/pairs.out"
	without=$(time_pairs 7)
	capture_start --pid "$pid"
	with=$(time_pairs 7)
	exec 6>&-
	capture_stop
	echo "# SSL_write() and SSL_read(): $without ns without probes, $with ns with them" >&3
	((with > without)) || fail "the probes cost nothing: they are not there"
	((with - without < PAIR_LIMIT_NS)) || fail "the probes of a pair take $((with - without)) ns"
}
