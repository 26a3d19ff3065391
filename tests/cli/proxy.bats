#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait proxy, from outside: proxy_ends is client and server, and measures what comes when.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr
bats_require_minimum_version 1.5.0

setup() {
	ENDS=$GAIT_SOURCE/tests/cli/proxy_ends
	PROGRAM=("$GAIT" proxy)
	# of builds with AddressSanitizer: it keeps no freed memory, as RSS is looked at
	export ASAN_OPTIONS=quarantine_size_mb=0:thread_local_quarantine_size_kb=0
	cd "$BATS_TEST_TMPDIR" || return
	server=127.0.0.1:$("$GAIT_TRUTH/freeport")
}

teardown() {
	[ -z "$proxy" ] || kill "$proxy" 2>/dev/null || true
	[ -z "$ends" ] || kill "$ends" 2>/dev/null || true
}

# until COMMAND...: polls for what must come
await() {
	for _ in $(seq 200); do
		! "$@" || return 0
		sleep 0.05
	done
	echo "did not come: $*"
	return 1
}

# Sets $proxy, its pid, and $at.
start_proxy() {
	"${PROGRAM[@]}" --to "$server" "$@" >out 2>err &
	proxy=$!
	await grep -q . out
	at=$(sed -n 's/^listening on //p; s/^    "\(.*\)"$/\1/p' out | head -n 1)
	[ -n "$at" ]
}

# It ends with 0; $stats has what it printed.
stop_proxy() {
	kill "-${1:-INT}" "$proxy"
	wait "$proxy"
	proxy=
	stats=$(cat out)
	echo "$stats"
}

# stat PATH: of the last statistics
stat() {
	jq -s -r ".[-1] | $1" out
}

ends() {
	timeout 60 "$ENDS" "$1" "$server" "$at" "${@:2}"
}

# In the background, told to go on by release().
start_ends() {
	mkfifo go
	timeout 60 "$ENDS" "$1" "$server" "$at" "${@:2}" <go >ends.out 2>ends.err &
	ends=$!
	exec {go}>go
	await grep -q . ends.out
}

release() {
	echo >&"$go"
	exec {go}>&-
	wait "$ends" || { cat ends.err; return 1; }
	ends=
}

rss_kb() {
	sed -n 's/^VmRSS:\s*\([0-9]*\) kB$/\1/p' "/proc/$proxy/status"
}

descriptors() {
	find "/proc/$proxy/fd" -mindepth 1 | wc -l
}

# printed N: so many JSON objects
printed() {
	[ "$(jq -s length out)" = "$1" ]
}

# holds N: so many descriptors
holds() {
	[ "$(descriptors)" = "$1" ]
}

@test "one line when it is ready, statistics when it is interrupted" {
	for signal in INT TERM HUP; do
		start_proxy
		[[ $at == 127.0.0.1:[1-9]* ]]
		[ "$(wc -l <out)" = 1 ]
		stop_proxy "$signal"
		[[ $stats == *"0 accepted, 0 open"*"client to server"*"server to client"* ]]
		[ ! -s err ]
	done
}

@test "SIGUSR1 prints statistics, and it goes on" {
	start_proxy --json
	ends fragments size=100000
	kill -USR1 "$proxy"
	await printed 2
	[ "$(stat .connections)" = 1 ]
	ends fragments size=5
	stop_proxy
	[ "$(jq -s length out)" = 3 ]
	[ "$(stat .connections)" = 2 ]
	[ "$(stat .open)" = 0 ]
	for way in client_to_server server_to_client; do
		[ "$(stat .$way.received_bytes)" = 100005 ]
		[ "$(stat .$way.sent_bytes)" = 100005 ]
		[ "$(stat .$way.lost_bytes)" = 0 ]
	done
}

@test "delays are exact, in both directions alike" {
	start_proxy --delay 5ms
	ends delays there_us=5000 back_us=5000
}

@test "each direction has a delay of its own, also none" {
	start_proxy --delay 300us --delay-back 12ms
	ends delays there_us=300 back_us=12000
	stop_proxy
	start_proxy --delay 2ms --delay-back 0
	ends delays there_us=2000 back_us=0
}

@test "long delays are as exact" {
	start_proxy --delay 50ms --delay-back 30ms
	ends delays there_us=50000 back_us=30000 count=31
}

@test "delays hold on IPv6 and on UNIX sockets" {
	server="[::1]:$("$GAIT_TRUTH/freeport")"
	start_proxy --bind '[::1]:0' --delay 3ms
	[[ $at == "[::1]:"* ]]
	ends delays there_us=3000 back_us=3000
	stop_proxy
	# these have no arrival stamps: each end's waking up is in it
	server=unix://$PWD/server.sock
	start_proxy --bind "unix://$PWD/proxy.sock" --delay 3ms
	[ "$at" = "unix://$PWD/proxy.sock" ]
	ends delays there_us=3000 back_us=3000 within_us=1000
	stop_proxy
	[ ! -e proxy.sock ]
}

@test "the opening of a connection takes the delay too" {
	start_proxy --delay 200ms
	ends opening there_us=200000
}

@test "a half that is closed is closed a delay later, and the other half goes on" {
	for delay in 0 30; do
		start_proxy --delay "${delay}ms"
		ends halves there_us=$((delay * 1000))
		stop_proxy
		[[ $stats == *"1 accepted, 0 open"* ]]
	done
}

@test "a reset comes out as a reset, a delay later" {
	for delay in 0 30; do
		start_proxy --delay "${delay}ms" --delay-back 10ms
		ends resets there_us=$((delay * 1000)) back_us=10000
		stop_proxy
		[[ $stats == *"3 accepted, 0 open"* ]]
	done
}

@test "a server that answers and breaks at once has been reached" {
	start_proxy --json
	ends curt count=500
	stop_proxy
	[ "$(stat .failed)" = 0 ]
	[ "$(stat .server_to_client.resets)" = 500 ]
	[ "$(stat .server_to_client.sent_bytes)" = 2000 ]
}

@test "writes have at most as many bytes as asked for, at once" {
	export ASAN_OPTIONS=detect_leaks=0 # it cannot under strace
	PROGRAM=(strace -D -o calls -e "trace=sendto,setsockopt" "$GAIT" proxy)
	start_proxy --frag 1000
	ends fragments size=123456
	stop_proxy
	sed -n 's/^sendto(.* = \([0-9]*\)$/\1/p' calls >sizes
	[ "$(awk '{ sum += $1 } END { print sum }' sizes)" = 246912 ]
	[ "$(sort -n sizes | tail -n 1)" = 1000 ]
	# no piece waits for another, or is joined with it
	[ "$(grep -c 'TCP_NODELAY, \[1\]' calls)" = 2 ]
	[ "$(grep -c sendto calls)" = "$(grep -c MSG_EOR calls)" ]
	PROGRAM=(strace -D -o calls -e "trace=sendto" "$GAIT" proxy)
	start_proxy
	ends fragments size=123456
	stop_proxy
	[ "$(sed -n 's/^sendto(.* = \([0-9]*\)$/\1/p' calls | sort -n | tail -n 1)" -gt 1000 ]
}

@test "a server that does not read stops the client, and memory stays bounded" {
	start_proxy --json --buffer 256k
	before=$(rss_kb)
	start_ends pressure limit=268435456
	kill -USR1 "$proxy"
	await printed 2
	held=$(($(stat .client_to_server.received_bytes) - $(stat .client_to_server.sent_bytes)))
	echo "holds $held bytes, RSS $before -> $(rss_kb) kB"
	[ "$held" -gt 128000 ]
	[ "$held" -le 262144 ]
	[ "$(stat .client_to_server.full)" -ge 1 ]
	[ "$(rss_kb)" -le $((before + 2048)) ]
	release
	stop_proxy
	[ "$(stat .client_to_server.sent_bytes)" = "$(sed 's/stuck //' ends.out)" ]
	[ "$(stat .client_to_server.lost_bytes)" = 0 ]
}

@test "300 connections at once" {
	start_proxy --json --delay 2ms
	idle=$(descriptors)
	start_ends many count=300
	[ "$(descriptors)" = $((idle + 600)) ]
	release
	await holds "$idle"
	stop_proxy
	[ "$(stat .connections)" = 300 ]
	[ "$(stat .failed)" = 0 ]
	[ "$(stat .client_to_server.sent_bytes)" = 120000 ]
	[ "$(stat .server_to_client.sent_bytes)" = 120000 ]
}

@test "2,000 connections one after the other leave nothing behind" {
	start_proxy --json
	idle=$(descriptors)
	ends sequence count=200
	before=$(rss_kb)
	ends sequence count=1800
	after=$(rss_kb)
	echo "RSS $before -> $after kB"
	[ "$after" -le $((before + 128)) ]
	await holds "$idle"
	stop_proxy
	[ "$(stat .connections)" = 2000 ]
	[ "$(stat .open)" = 0 ]
	[ "$(stat .client_to_server.sent_bytes)" = 4000000 ]
}

@test "what cannot be opened is closed and counted with the reason" {
	start_proxy --json --delay 1ms
	ends refused count=20
	ends fragments size=10
	stop_proxy
	[ "$(stat .failed)" = 20 ]
	[ "$(stat '.reasons | length')" = 1 ]
	[ "$(stat '.reasons[0].reason')" = "Connection refused" ]
	[ "$(stat '.reasons[0].count')" = 20 ]
	# 8 bytes of each that could still send them
	(($(stat .client_to_server.lost_bytes) <= 160))
	server=unix://$PWD/nobody.sock
	start_proxy --json
	for _ in 1 2; do # it is closed, not left waiting
		run timeout 20 bash -c "exec 3<>/dev/tcp/${at/://} && read -r -u 3 line"
		[ "$status" = 1 ]
	done
	stop_proxy
	[ "$(stat '.reasons[0].reason')" = "No such file or directory" ]
	[ "$(stat '.reasons[0].count')" = 2 ]
}

@test "connections beyond its descriptors are broken off and counted, and it goes on" {
	# shellcheck disable=SC2016 # the inner shell's
	PROGRAM=(bash -c 'ulimit -n 60 && exec "$0" "$@"' "$GAIT" proxy)
	start_proxy --json
	idle=$(descriptors)
	ends crowd count=100
	await holds "$idle"
	ends fragments size=1000
	stop_proxy
	# Which of the two descriptors of a connection is the first that is missing, the schedule decides.
	[ "$(stat '.turned_away + .failed')" -gt 0 ]
	[ "$(stat '[.reasons[].reason] - ["Too many open files"] | length')" = 0 ]
	[ "$(stat '[.reasons[].count] | add // 0')" = "$(stat .failed)" ]
	[ "$(stat '.turned_away + .connections')" = 101 ]
}

@test "an end of several addresses is served by the one that answers" {
	port=$("$GAIT_TRUTH/freeport")
	for family in 127.0.0.1 '[::1]'; do
		getent ahosts localhost | grep -qF "$(tr -d '[]' <<<"$family")" || continue
		server=localhost:$port
		start_proxy
		server=$family:$port
		ends fragments size=10
		stop_proxy
		[[ $stats == *"1 accepted, 0 open, 0 could not be opened"* ]]
	done
}

@test "listens on the loopback, and says so when elsewhere" {
	start_proxy
	[ ! -s err ]
	stop_proxy
	start_proxy --bind 0.0.0.0:0
	grep -q "whoever can reach 0.0.0.0:.* can reach the server too" err
}

@test "says when it cannot listen" {
	start_proxy
	run --separate-stderr -1 "$GAIT" proxy --to "$server" --bind "$at"
	[[ $stderr == *"cannot listen on $at"*"in use"* ]]
	run --separate-stderr -1 "$GAIT" proxy --to "$server" --bind unix:///no/where.sock
	[[ $stderr == *"cannot listen on unix:///no/where.sock"* ]]
}

@test "wrong options are a usage error" {
	run --separate-stderr -2 "$GAIT" proxy
	[[ $stderr == *"--to"* ]]
	for wrong in "--to nonsense" "--to :1 --delay 5x" "--to :1 -d -1ms" "--to :1 --delay-back x" \
		"--to :1 --delay-back 2h" "--to :1 --buffer 1" "--to :1 --bind udp://:1" "--to :1 x"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr -2 timeout -s KILL 5 "$GAIT" proxy $wrong
	done
}

@test "dw_proxy has DistWalk's command line: -d in ms, to the server only" {
	PROGRAM=("$(dirname "$GAIT")/dw_proxy")
	port=$("$GAIT_TRUTH/freeport")
	start_proxy -b ":$port" -d 10
	[ "$at" = "127.0.0.1:$port" ]
	ends delays there_us=10000 back_us=0
	stop_proxy
	start_proxy --bind "127.0.0.1:$port" --delay 3 -f 100
	ends delays there_us=3000 back_us=0
	stop_proxy
	# 7891 where no port is given
	start_proxy -b 127.78.91.1
	[ "$at" = 127.78.91.1:7891 ]
	ends fragments size=10
	run --separate-stderr -0 "${PROGRAM[@]}" --help
	[[ $output == "usage: dw_proxy [options]"* ]]
	run --separate-stderr -2 "${PROGRAM[@]}" --delay-back 3
	[[ $stderr == *"try 'dw_proxy --help'"* ]]
}
