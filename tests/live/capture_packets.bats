#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# gait capture --with pcap: the trace that gait import makes of the same packets, every packet once,
# and what the kernel dropped counted to the last one.

load helper

setup()
{
	require_packets jq ss redis-server redis-cli redis-benchmark setpriv unshare
	to=$BATS_TEST_TMPDIR/trace.gait
}

teardown()
{
	stop_all
	[[ -z ${nobodys:-} ]] || rm -rf "$nobodys"
}

# refuses CODE SENTENCE COMMAND...: nothing is made, and this is what it says
refuses()
{
	local code=$1 sentence=$2

	shift 2
	run "-$code" --separate-stderr timeout 10 "$@"
	grep -qe "$sentence" <<<"$stderr" || fail "'$sentence' is not in: $stderr"
	[[ ! -e $to ]] || fail "$to was made all the same"
}

@test "what cannot be captured is refused in a sentence" {
	local sniff=(capture --with pcap -o "$to")

	refuses 1 "no interface 'none'; there are: .*lo, .*any" "$GAIT" "${sniff[@]}" -i none -P 80
	refuses 1 "'lo' is down; 'ip link set lo up' brings it up" \
		unshare -n "$GAIT" "${sniff[@]}" -i lo -P 80
	refuses 2 "which interface" "$GAIT" "${sniff[@]}" -P 80
	refuses 2 "which service" "$GAIT" "${sniff[@]}" -i lo
	refuses 2 "'70000' is more than 65535" "$GAIT" "${sniff[@]}" -i lo -P 70000
	refuses 2 "--pid needs eBPF" "$GAIT" "${sniff[@]}" -i lo -P 80 -p 1
	refuses 2 "-- COMMAND needs eBPF" "$GAIT" "${sniff[@]}" -i lo -P 80 -- true
	refuses 2 "add --with pcap" "$GAIT" capture -i lo -P 80 -o "$to"
	# by itself it is no expression, and with the ports around it it would let others in
	refuses 2 "syntax error" "$GAIT" "${sniff[@]}" -i lo -P 80 --filter "tcp) or (udp"
	nobodys=$(mktemp -d /tmp/gait-nobody-XXXXXX)
	chmod 755 "$nobodys"
	install -m 755 "$GAIT" "$nobodys/gait"
	refuses 1 "not permitted; run as root, or give CAP_NET_RAW" \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$nobodys/gait" "${sniff[@]}" -i lo -P 80
	tcpdump -D | grep -q nflog || lacks "libpcap has no interface nflog" || return
	refuses 1 "link type NFLOG (239), which gait does not know" "$GAIT" "${sniff[@]}" -i nflog -P 80
}

# ask N: N SET and N GET, from 5 connections
ask()
{
	redis-benchmark -p "$port" -c 5 -n "$1" -t set,get -d 100 -q >/dev/null
}

entry() # of the ledger; 0 when it is not there
{
	jq ".ledger.$1 // 0" "$trace/manifest.json"
}

# The rows of requests, times as they lie between each other and before the first
told_rows()
{
	csv requests 'NR == 2 { t = at("arrival_ns") }
		NR > 1 { print at("request_id"), at("connection_id"), at("class_id"), at("request_bytes"),
			at("response_bytes"), at("arrival_ns") - t, at("request_end_ns") - t, at("write_ns") - t,
			at("end_ns") - t }'
}

# told_alike INTERFACE SIGNAL: captured there, the same as by import of what was saved
told_alike()
{
	local saved=$BATS_TEST_TMPDIR/$1.pcap requests

	start_redis
	redis_count
	capture_start --with pcap -i "$1" -P "$port" --save "$saved"
	ask 1000
	requests=$(redis_calls_sum)
	await "redis sees the connections end" connections_gone "$port"
	kill -s "$2" "$capture"
	capture_await
	assert_complete
	# resetstat is not in the packets, INFO that asks is
	assert_equal "requests on $1" "$(rows requests)" "$requests"
	assert_equal "duplicates, gaps, drops" \
		"$(entry packets_duplicate) $(entry stream_gaps) $(entry packets_dropped)" "0 0 0"
	told_rows >"$BATS_TEST_TMPDIR/told"
	trace=$BATS_TEST_TMPDIR/imported.gait
	import 0 "$saved"
	diff "$BATS_TEST_TMPDIR/told" <(told_rows)
	assert_equal "packets" "$(entry packets)" "$(jq .ledger.packets "$to/manifest.json")"
	assert_equal "mode of what has payload" "$(stat -c %a "$saved")" 600
}

@test "loopback: each packet once, the rows that an import of the same packets has" {
	told_alike lo TERM
}

@test "any interface: each packet once, the rows that an import of the same packets has" {
	told_alike any INT
}

@test "packets of other ports are not taken, those of several are, and no more than match" {
	local other

	start_redis
	redis_count
	other=$port
	start_redis
	redis_count
	capture_start --with pcap -i lo -P 1 -P "$port"
	redis-cli -p "$other" ping
	redis-cli -p "$port" ping
	capture_stop
	assert_equal "requests" "$(rows requests)" 1
	assert_equal "services" "$(csv services 'NR > 1 { print at("name") }')" "127.0.0.1:$port"
	assert_equal "ignored" "$(entry packets_ignored)" 0
	capture_start -f --with pcap -i lo -P "$port" -P "$other" --filter "dst port $other or src port $other"
	redis-cli -p "$other" ping
	redis-cli -p "$port" ping
	capture_stop
	assert_equal "services" "$(csv services 'NR > 1 { print at("name") }')" "127.0.0.1:$other"
}

@test "a capture ends by itself, when its time is up" {
	run -0 --separate-stderr "$GAIT" capture --with pcap -i lo -P 1 -d 200ms -qj -o "$to"
	jq -e '.end == "time was up" and .duration_ns >= 2e8 and (.requests // 0) == 0' <<<"$output" || fail "$output"
}

@test "what the ring had no room for is counted, to the last packet" {
	local passed

	start_redis
	redis_count
	sniff_start
	capture_start --with pcap -i lo -P "$port" --ring 1M
	kill -STOP "$capture"
	ask 5000
	kill -CONT "$capture"
	capture_stop 3
	sniff_stop
	# one is the datagram by which that ends
	passed=$(($(sed -n 's/^\([0-9]*\) packets captured$/\1/p' "$BATS_TEST_TMPDIR/sniff.err") - 1))
	(($(entry packets_dropped) > 0)) || fail "the ring had room"
	assert_equal "packets and dropped" $(($(entry packets) + $(entry packets_dropped))) "$passed"
	run -3 "$GAIT" show "$trace"
	[[ $output == *"packets that the kernel dropped before they were captured"* ]]
}
