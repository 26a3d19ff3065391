#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# Call trees of packets against those of eBPF, captured at once: what packets call sure is so.

load helper

setup()
{
	require_packets jq ss
	require_bpf
}

teardown()
{
	stop_all
}

# sniff_both FRONT BEHIND: packets of both ports; sniff_stop asks for $port
sniff_both()
{
	port=$1
	packets=$BATS_TEST_TMPDIR/packets.pcap
	start sniff tcpdump -Z root -i lo -U -B 65536 -w "$packets" \
		"tcp port $1 or tcp port $2 or udp port $1"
	export sniff=$pid
	await "tcpdump listens" grep -qs 'listening on' "$BATS_TEST_TMPDIR/sniff.err"
}

# tree TRACE: of each request with a parent "CLIENT:PORT#N PARENTS_CLIENT:PORT#N CONFIDENCE", N of its connection
tree()
{
	local trace=$1

	csv connections 'NR > 1 && at("outgoing") != 1 { print at("connection_id"), at("remote") }' \
		>"$BATS_TEST_TMPDIR/remotes"
	csv requests 'NR > 1 { print at("request_id"), at("connection_id"), at("confidence"), at("parent_id") }' |
		sort -n | awk 'NR == FNR { remote[$1] = $2; next }
			$2 in remote { name[$1] = remote[$2] "#" ++n[$2]; sure[$1] = $3; parent[$1] = $4 }
			END { for (id in parent) if (parent[id]) print name[id], name[parent[id]], sure[id] }' \
			"$BATS_TEST_TMPDIR/remotes" - | sort
}

# agree CALLS RIGHT SURE: packets tell of as many calls (but those whose requests came before the capture), all
# of confidence SURE have the parent of eBPF's tree ($trace), and of all at least RIGHT percent.
agree()
{
	local calls=$1 least=$2 sure=$3 found judged right sure_count sure_wrong

	"$GAIT" edit merge "$trace" -o "$BATS_TEST_TMPDIR/tree.gait" >"$BATS_TEST_TMPDIR/merge.out"
	"$GAIT" import pcap "$packets" -P "$front_port" -P "$behind_port" \
		-o "$BATS_TEST_TMPDIR/packets.gait" >"$BATS_TEST_TMPDIR/import.out"
	tree "$BATS_TEST_TMPDIR/tree.gait" >"$BATS_TEST_TMPDIR/ebpf"
	tree "$BATS_TEST_TMPDIR/packets.gait" >"$BATS_TEST_TMPDIR/pcap"
	found=$(wc -l <"$BATS_TEST_TMPDIR/pcap")
	((found <= calls && found * 100 >= calls * 99)) || fail "packets tell of $found calls with a request"
	read -r judged right sure_count sure_wrong < <(
		join "$BATS_TEST_TMPDIR/ebpf" "$BATS_TEST_TMPDIR/pcap" | awk -v sure="$sure" '
			{ n++; right += $2 == $4 }
			$5 >= sure { sure_count++; wrong += $2 != $4 }
			END { print n + 0, right + 0, sure_count + 0, wrong + 0 }'
	)
	echo "# $calls calls: $judged of them in eBPF's tree, $right alike; $sure_count sure, $sure_wrong of these not alike" >&3
	((judged * 100 >= calls * 99)) || fail "eBPF's tree has $judged calls"
	assert_equal "sure, and not alike" "$sure_wrong" 0
	((right * 100 >= judged * least)) || fail "$right of $judged are alike"
	((sure_count > 0)) || fail "none is sure"
}

# One is the datagram that ended the capture. The replay makes the calls that the packets' tree has of the
# requests that it sends: about two each, for some are given to the request before or behind.
replays_calls()
{
	local sent=$BATS_TEST_TMPDIR/sent

	"$GAIT" show "$BATS_TEST_TMPDIR/packets.gait" >"$BATS_TEST_TMPDIR/show.out"
	grep -q '^topology: 1,600 of 2,401 requests have a parent$' "$BATS_TEST_TMPDIR/show.out"
	"$GAIT" edit assume "$BATS_TEST_TMPDIR/packets.gait" --compute 50us -o "$BATS_TEST_TMPDIR/assumed.gait" \
		>"$BATS_TEST_TMPDIR/assume.out"
	trace=$BATS_TEST_TMPDIR/run.gait
	"$GAIT" replay "$BATS_TEST_TMPDIR/assumed.gait" --local --no-attribution --until "100 requests" -o "$trace" \
		>"$BATS_TEST_TMPDIR/replay.out" 2>"$BATS_TEST_TMPDIR/replay.err" || [[ $? == 3 ]] # however late it sends
	csv requests 'NR > 1 && at("outcome") == "ok" && !at("parent_id") { print at("request_id") }' >"$sent"
	assert_equal "answered" "$(wc -l <"$sent")" 100
	assert_equal "calls of them" "$(csv requests 'NR > 1 && at("parent_id") { n++ } END { print n }')" \
		"$(trace=$BATS_TEST_TMPDIR/packets.gait csv requests 'NR > 1 && at("parent_id") { print at("parent_id") }' |
			grep -cxFf "$sent")"
}

# start_both OPTION...: of the one in front
start_both()
{
	start behind "$GAIT_TRUTH/server" --model threads --request 50 --reply 300 --cpu 100us
	behind=$pid
	server_port behind
	behind_port=$port
	start_server --request 500 --reply 700 --upstream "127.0.0.1:$behind_port" --call 50 \
		--call-reply 300 "$@"
	front_port=$port
}

@test "a thread a connection calls twice: the calls of packets are those of eBPF" {
	start_both --model threads --protocol fixed --cpu 300us..1ms --calls 2
	sniff_both "$front_port" "$behind_port"
	capture_start --pid "$server" --pid "$behind"
	"$GAIT_TRUTH/client" --port "$front_port" --request 500 --reply 700 --connections 4 \
		--requests 800 --think 2ms >"$BATS_TEST_TMPDIR/client.out"
	capture_stop
	stop "$server"
	await "the one behind sees the connections end" connections_gone "$behind_port"
	sniff_stop
	agree 1600 85 90 # by turns nothing is surer
	replays_calls
}

# Sets $behind_port: nginx with a file of any length of 1 to 200
start_nginx()
{
	local i at=$BATS_TEST_TMPDIR/nginx

	mkdir -p "$at/www"
	for ((i = 1; i <= 200; i++)); do
		head -c $((i * 31)) /dev/zero >"$at/www/$i"
	done
	for _ in 1 2 3; do
		behind_port=$(free_port)
		cat >"$at/nginx.conf" <<-EOF
			$(nginx_alone)
			events { }
			http {
				access_log off;
				keepalive_requests 1000000;
				$(nginx_folders)
				server {
					listen 127.0.0.1:$behind_port;
					root www;
				}
			}
		EOF
		! start_listening nginx "$behind_port" nginx -p "$at" -c nginx.conf -e error.log || break
	done
	behind=$pid
	await "nginx answers" curl -sfo /dev/null "http://127.0.0.1:$behind_port/1"
}

# Sets $server and $front_port. Connections to nginx are anybody's who needs one.
start_haproxy()
{
	for _ in 1 2 3; do
		front_port=$(free_port)
		cat >"$BATS_TEST_TMPDIR/haproxy.cfg" <<-EOF
			global
				nbthread 2
			defaults
				mode http
				timeout connect 5s
				timeout client 10s
				timeout server 10s
			frontend front
				bind 127.0.0.1:$front_port
				default_backend back
			backend back
				http-reuse always
				server nginx 127.0.0.1:$behind_port
		EOF
		! start_listening haproxy "$front_port" haproxy -W -db -f "$BATS_TEST_TMPDIR/haproxy.cfg" || break
	done
	server=$pid
	await "HAProxy answers" curl -sfo /dev/null "http://127.0.0.1:$front_port/1"
	await "HAProxy sees the connection end" connections_gone "$front_port"
}

@test "HAProxy calls nginx over a pool: the calls of packets are those of eBPF" {
	require_bpf haproxy nginx curl
	start_nginx
	start_haproxy
	sniff_both "$front_port" "$behind_port"
	capture_start --pid "$server" --pid "$behind" --ring 256M
	curl -sf -Z --parallel-immediate --parallel-max 4 -o /dev/null \
		"http://127.0.0.1:$front_port/[1-200]?[1-5]" 2>"$BATS_TEST_TMPDIR/curl.err"
	await "HAProxy sees the connections end" connections_gone "$front_port"
	capture_stop
	sniff_stop
	agree 1000 85 100
}
