#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # awk has variables, too; tests are subshells, and variables come from the helper
# What packets tell of the network, beside what the kernel counts and what nginx logs: a wire of known length
# between two namespaces that loses packets behind the place of the capture.

load helper

DELAY_MS=10 # each way

setup()
{
	require_packets jq ip nstat nginx curl openssl python3 || return
	[[ -c /dev/net/tun ]] || lacks "there is no /dev/net/tun here" || return
	trace=$BATS_TEST_TMPDIR/trace.gait
	near=gait-near-$$
	far=gait-far-$$
	ip netns add "$near"
	ip netns add "$far"
}

teardown()
{
	stop_all
	ip netns del "$near" || true
	ip netns del "$far" || true
}

in_near()
{
	ip netns exec "$near" "$@"
}

in_far()
{
	ip netns exec "$far" "$@"
}

counter() # NAMESPACE NAME: as its kernel counts since it is there
{
	ip netns exec "$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'
}

start_wire()
{
	start wire "${BATS_TEST_FILENAME%/*}/long_wire" "$near" "$far" "$DELAY_MS" 37
	wire=$pid
	await "the wire is there" grep -qs ready "$BATS_TEST_TMPDIR/wire.out"
	in_near ip link set lo up
	in_near ip address add 10.9.0.1/32 peer 10.9.0.2 dev wire
	in_near ip link set wire up
	in_far ip address add 10.9.0.2/32 peer 10.9.0.1 dev wire
	in_far ip link set wire up
}

start_nginx()
{
	local at=$BATS_TEST_TMPDIR/nginx

	mkdir -p "$at/www"
	head -c 200007 /dev/urandom >"$at/www/file"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$at/key.pem" -out "$at/certificate.pem" \
		-days 2 -subj /CN=near 2>/dev/null
	cat >"$at/nginx.conf" <<-EOF
		$(nginx_alone)
		events { }
		http {
			log_format truth '\$remote_port \$ssl_protocol \$ssl_alpn_protocol \$request_length \$bytes_sent';
			access_log access.log truth;
			$(nginx_folders)
			ssl_certificate certificate.pem;
			ssl_certificate_key key.pem;
			ssl_protocols TLSv1.2 TLSv1.3;
			server {
				listen 10.9.0.1:443 ssl;
				listen 10.9.0.1:80;
				root www;
			}
		}
	EOF
	start nginx ip netns exec "$near" nginx -p "$at" -c nginx.conf -e error.log
	await "nginx listens" near_listens
}

near_listens()
{
	[[ $(in_near ss -Htln | wc -l) == 2 ]]
}

start_sniff()
{
	packets=$BATS_TEST_TMPDIR/packets.pcap
	start sniff ip netns exec "$near" tcpdump -Z root -i wire -U -B 65536 -w "$packets"
	sniff=$pid
	await "tcpdump listens" grep -qs 'listening on' "$BATS_TEST_TMPDIR/sniff.err"
}

# As the helper's: what is sent last is captured last.
stop_sniff()
{
	in_near bash -c 'printf that-is-all >/dev/udp/10.9.0.2/9'
	await "tcpdump has written all" grep -qs that-is-all "$packets"
	stop "$sniff" INT
	grep -q '^0 packets dropped by kernel' "$BATS_TEST_TMPDIR/sniff.err" || fail "tcpdump lost packets"
}

near_is_idle()
{
	[[ -z $(in_near ss -Htan state connected exclude time-wait) ]]
}

# One that takes nothing until the service was told so.
read_late()
{
	in_far python3 - <<-'EOF'
		import socket, subprocess
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
		s.settimeout(10)
		s.connect(("10.9.0.1", 80))
		s.send(b"GET /file HTTP/1.0\r\n\r\n")
		while "TcpExtTCPToZeroWindowAdv        0" in subprocess.run(
		        ["nstat", "-asz", "TcpExtTCPToZeroWindowAdv"], capture_output=True, text=True).stdout:
		    pass
		while s.recv(65536):
		    pass
	EOF
}

sum() # COLUMN of all connections
{
	csv connections 'NR > 1 { n += at("'"$1"'") } END { print n + 0 }'
}

least() # COLUMN
{
	csv connections 'NR > 1 { print at("'"$1"'") }' | sort -n | head -n 1
}

packets_with() # FILTER, of TCP
{
	tcpdump -n -r "$packets" "tcp and ($1)" 2>/dev/null | wc -l
}

@test "round trips, retransmissions, zero windows and TLS are those of the wire, the kernel and nginx" {
	local lost

	start_wire
	start_nginx
	start_sniff
	in_far curl -sk -o /dev/null --no-alpn --tlsv1.3 "https://10.9.0.1/file"
	in_far curl -sk --http1.1 --tls-max 1.2 -o /dev/null "https://10.9.0.1/file" -o /dev/null "https://10.9.0.1/none"
	in_far curl -sk -o /dev/null --http1.1 --tlsv1.3 "https://10.9.0.1/none"
	read_late
	await "all connections have ended" near_is_idle
	stop_sniff
	stop "$wire"
	"$GAIT" import pcap "$packets" --filter tcp -o "$trace" >/dev/null
	assert_equal "gaps" "$(jq '.ledger.stream_gaps // 0' "$trace/manifest.json")" 0

	lost=$(sed -n 's/^lost //p' "$BATS_TEST_TMPDIR/wire.out")
	((lost > 5)) || fail "the wire lost $lost packets only"
	assert_equal "sent twice by nginx" "$(sum retransmitted_out)" "$(counter "$near" TcpRetransSegs)"
	assert_equal "sent twice by the clients" "$(sum retransmitted_in)" "$(counter "$far" TcpRetransSegs)"
	assert_equal "zero windows" "$(sum zero_windows_in)" "$(packets_with 'dst 10.9.0.1 and tcp[14:2] == 0')"
	(($(sum zero_windows_in) > 0)) || fail "no window was 0"
	assert_equal "packets" "$(sum packets_in) $(sum packets_out)" \
		"$(packets_with 'dst 10.9.0.1') $(packets_with 'src 10.9.0.1')"

	# the wire is on the client's side, and nothing is faster than it
	csv connections 'NR > 1 && (at("handshake_ns") < '"$DELAY_MS"' * 2e6 || at("client_min_rtt_ns") < '"$DELAY_MS"' * 2e6) {
		exit 1 }' || fail "a round trip is shorter than the wire"
	(($(least client_min_rtt_ns) < DELAY_MS * 2500000)) || fail "the wire is said to be longer than it is"
	(($(least server_min_rtt_ns) < DELAY_MS * 200000)) || fail "the service is said to be behind the wire"

	# TLS 1.3 hides what was chosen
	diff <(sed -n 's/TLSv//p' "$BATS_TEST_TMPDIR/nginx/access.log" | cut -d ' ' -f 1-3 | sed 's/1.3 .*/1.3 -/' | sort -u) \
		<(csv connections 'at("tls") == 1 { sub(/.*:/, "", $column["remote"])
			print at("remote"), at("tls_version"), at("tls_alpn") ? at("tls_alpn") : "-" }' | sort)
	# a record has no more than 16 KiB and its cipher's tag, and the file is in them
	csv connections 'at("tls_version") && at("tls_record_max_bytes_out") > 16384 + 256 { exit 1 }'
	(($(sum tls_record_bytes_out) > 400000 && $(sum tls_record_bytes_out) < 420000)) || fail "bytes of records"

	assert_equal "in the view" "$("$GAIT" show --json "$trace" | jq -c '.network |
		[.connections.opened, .connections.closed_fin, .in.zero_windows, .out.retransmitted]')" \
		"[4,4,$(sum zero_windows_in),$(sum retransmitted_out)]"
	run -0 "$GAIT" show "$trace"
	[[ $output =~ "TCP      4 connections: 4 opened" && $output =~ "to the client, least" ]]
}
