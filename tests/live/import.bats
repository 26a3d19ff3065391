#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# Captures of real services by tcpdump: the trace must say what the services themselves say, and no
# more than that when the capture was cut, shuffled, or is short of packets.

load helper

setup()
{
	require_packets jq ss redis-server redis-cli redis-benchmark nginx curl openssl zstd
	trace=$BATS_TEST_TMPDIR/trace.gait
}

teardown()
{
	stop_all
}

# change WHAT N: of $packets, into changed.pcap; sets $wrote and $changed
change()
{
	local said

	changed_packets=$BATS_TEST_TMPDIR/changed.pcap
	said=$("$GAIT_TRUTH/recapture" "$1" "$2" "$packets" "$changed_packets")
	read -r _ wrote _ changed <<<"$said"
}

count() # CLASS: requests of it
{
	csv classes 'at("name") == "'"$1"'" { print at("requests") }'
}

entry() # of the ledger; 0 when it is not there
{
	jq ".ledger.$1 // 0" "$trace/manifest.json"
}

shapes() # of all requests: connection, bytes in and out, in order
{
	csv requests 'NR > 1 { print at("connection_id"), at("request_id"), at("request_bytes"), at("response_bytes") }' |
		sort -n | cut -d ' ' -f 1,3,4
}

# 1,000 SET and 1,000 GET from 5 connections, captured; sets $requests, all of them
capture_redis()
{
	start_redis
	redis_count
	sniff_start
	redis-benchmark -p "$port" -c 5 -n 1000 -t set,get -d 100 -q >/dev/null
	requests=$(redis_calls_sum)
	await "redis sees the connections end" connections_gone "$port"
	sniff_stop
}

@test "Redis: every command, byte by byte, and the same whatever the capture did to them" {
	capture_redis
	import 0 "$packets"
	# resetstat counts itself; the INFO that asks is in the packets and not yet in its own answer
	assert_equal "requests" "$(rows requests)" "$requests"
	assert_equal "SET" "$(count SET)" 1000
	assert_equal "GET" "$(count GET)" 1000
	assert_equal "sizes" "$(csv requests 'at("response_bytes") == 5 || at("response_bytes") == 108 {
		print at("request_bytes"), at("response_bytes") }' | sort | uniq -c | sort -n | tail -n 2 |
		awk '{ print $1, $2, $3 }' | sort -k 3n | xargs)" "1000 144 5 1000 36 108"
	assert_equal "protocol" "$(csv connections 'NR > 1 { print at("protocol") }' | sort -u)" resp
	assert_equal "gaps" "$(entry stream_gaps)" 0
	shapes >"$BATS_TEST_TMPDIR/shapes"

	change twice 0
	import 0 "$changed_packets"
	diff "$BATS_TEST_TMPDIR/shapes" <(shapes)
	assert_equal "duplicates" "$(entry packets_duplicate)" $((changed - 1)) # one is the datagram

	change shuffle 10
	import 0 "$changed_packets"
	assert_equal "requests, shuffled" "$(rows requests)" "$requests"
	assert_equal "GET, shuffled" "$(count GET)" 1000
	(($(entry packets_reordered) > 0)) || fail "nothing was out of order"

	change back 3600
	import 0 "$changed_packets"
	diff "$BATS_TEST_TMPDIR/shapes" <(shapes)
	assert_equal "clock steps" "$(entry clock_steps)" 1
	csv requests 'NR > 1 && at("end_ns") < at("arrival_ns") { exit 1 }'
}

@test "Redis: two parts of a capture are the whole, a part has the requests that are in it" {
	local first rest

	capture_redis
	import 0 "$packets"
	shapes >"$BATS_TEST_TMPDIR/shapes"
	change first 3001
	mv "$changed_packets" "$BATS_TEST_TMPDIR/first.pcap"
	change rest 3001
	gzip "$changed_packets"

	zstd -q --rm "$BATS_TEST_TMPDIR/first.pcap"
	import 0 "$changed_packets.gz" "$BATS_TEST_TMPDIR/first.pcap.zst"
	diff "$BATS_TEST_TMPDIR/shapes" <(shapes)
	import 0 "$BATS_TEST_TMPDIR/first.pcap.zst"
	first=$(rows requests)
	import 0 "$changed_packets.gz"
	rest=$(rows requests)
	assert_equal "requests of both parts" $((first + rest)) "$requests"
	(($(entry connections_joined) > 0)) || fail "the second part joins no connection"
}

@test "Redis: what packets do not show is assumed, said, and computed by the node that replays it" {
	local run=$BATS_TEST_TMPDIR/run.gait assumed=$BATS_TEST_TMPDIR/assumed.gait

	capture_redis
	import 0 "$packets"
	run -1 "$GAIT" replay "$trace" --local --until "100 requests" -o "$run"
	[[ $output == *"gait edit assume"* ]]
	run -0 --separate-stderr "$GAIT" edit assume "$trace" -o "$assumed" --compute 300us --json
	assert_equal "assumed" "$(jq -c '[.requests, .compute_ns]' <<<"$output")" \
		"[$requests,$((requests * 300000))]"
	run -0 "$GAIT" show "$assumed"
	[[ $output =~ ASSUMED\ +compute:\ 300us ]]
	run "$GAIT" replay "$assumed" --local --no-attribution --until "200 requests" -o "$run" # however late it sends
	[[ $output == *"compute: 300us"* ]]
	assert_equal "the run says it" "$(jq -r .assumed "$run/manifest.json")" "compute: 300us"
	# the rate is the best of short runs: nothing does it in less
	assert_equal "answered" "$(csv "$run/requests.csv" '
		at("outcome") == "ok" { n++; fast += at("received_ns") - at("sent_ns") < 0.9 * 300000 }
		END { print n, fast }')" "200 0"
}

@test "Redis: where headers are cut or packets missing, no request is made up" {
	local have

	capture_redis
	for snap in 54 68 96; do
		change snap "$snap"
		import 0 "$changed_packets"
		# the benchmark asks for its configuration by a pipeline of two, which is one turn
		assert_equal "requests of $snap bytes a packet" "$(rows requests)" $((requests - 1))
		assert_equal "GET" "$(csv requests '{ n += at("response_bytes") == 108 } END { print n }')" 1000
	done
	change drop 7
	import 3 "$changed_packets"
	have=$(rows requests)
	echo "# $have of $requests requests of a capture that lacks every 7th packet" >&3
	((have <= requests && have * 100 >= requests * 98)) || fail "$have requests, not $requests"
	(($(count GET) <= 1000 && $(count SET) <= 1000)) || fail "more GET or SET than there were"
	assert_equal "packets" "$(entry packets)" "$wrote"
	(($(entry stream_gaps) > 0 && $(entry stream_gaps) <= changed)) || fail "gaps are miscounted"
	(($(entry requests_gapped) >= $(entry stream_gaps) / 2)) || fail "requests with gaps are miscounted"
}

# start_nginx LISTEN_OPTION LINE...: sets $at and $port; LINEs are the server's
start_nginx()
{
	at=$BATS_TEST_TMPDIR/nginx
	mkdir -p "$at/www"
	head -c 100007 /dev/zero >"$at/www/file"
	for _ in 1 2 3; do
		port=$(free_port)
		cat >"$at/nginx.conf" <<-EOF
			$(nginx_alone)
			events { }
			http {
				log_format truth '\$request_length \$bytes_sent \$remote_port';
				access_log access.log truth;
				$(nginx_folders)
				server {
					listen 127.0.0.1:$port $1;
					root www;
					$(printf '%s\n' "${@:2}")
				}
			}
		EOF
		! start_listening nginx "$port" nginx -p "$at" -c nginx.conf -e error.log || break
	done
}

@test "nginx: the lines of its access log, byte by byte" {
	start_nginx ""
	sniff_start
	curl -s -o /dev/null -Z --parallel-max 4 "http://127.0.0.1:$port/file?[1-200]"
	curl -s -o /dev/null "http://127.0.0.1:$port/{none,file,none}"
	await "nginx sees the connections end" connections_gone "$port"
	sniff_stop
	import 0 "$packets"
	assert_equal "requests" "$(rows requests)" 203
	diff <(cut -d ' ' -f 1,2 "$at/access.log" | sort) \
		<(csv requests 'NR > 1 { print at("request_bytes"), at("response_bytes") }' | sort)
	assert_equal "GET" "$(count GET)" 203
	csv requests 'NR > 1 && !(at("arrival_ns") <= at("write_ns") && at("write_ns") <= at("end_ns")) { exit 1 }'
	# 128 bytes of a packet hold no header of a request: turns are as many
	change snap 128
	import 0 "$changed_packets"
	assert_equal "requests, cut" "$(rows requests)" 203
	assert_equal "bytes, cut" "$(csv requests '{ n += at("response_bytes") } END { print n }')" \
		"$(awk '{ n += $2 } END { print n }' "$at/access.log")"
}

@test "nginx under TLS: as many requests as lines of the access log, on each connection" {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$BATS_TEST_TMPDIR/key.pem" \
		-out "$BATS_TEST_TMPDIR/certificate.pem" -days 2 -subj /CN=localhost 2>/dev/null
	start_nginx ssl "ssl_certificate $BATS_TEST_TMPDIR/certificate.pem;" \
		"ssl_certificate_key $BATS_TEST_TMPDIR/key.pem;" "ssl_protocols TLSv1.2 TLSv1.3;"
	sniff_start
	curl -sk -o /dev/null --tls-max 1.2 "https://127.0.0.1:$port/file?[1-20]"
	curl -sk -o /dev/null --tlsv1.3 "https://127.0.0.1:$port/file?[1-30]"
	curl -sk -o /dev/null --tls-max 1.2 "https://127.0.0.1:$port/none"
	curl -sk -o /dev/null --tlsv1.3 "https://127.0.0.1:$port/none"
	await "nginx sees the connections end" connections_gone "$port"
	sniff_stop
	import 0 "$packets"
	diff <(cut -d ' ' -f 3 "$at/access.log" | sort | uniq -c) \
		<(told | sed 's/^[^:]*:\([0-9]*\) .*/\1/' | sort | uniq -c)
	assert_equal "encrypted" "$(entry tls_opaque)" 4
	# a record has a header and a tag: no less than what is in it, and little more
	csv requests 'NR > 1 && !(at("response_bytes") > 100007 && at("response_bytes") < 103000) { n++ }
		END { print n + 0 }' >"$BATS_TEST_TMPDIR/others"
	assert_equal "replies that are no file" "$(<"$BATS_TEST_TMPDIR/others")" 2
}

# ask N: N queries for names of growing length, four at a time before the answers are read; prints
# "bytes_out bytes_in" of each. Sockets stay open: no port is given twice.
ask()
{
	python3 - "$port" "$1" <<-'EOF'
		import socket, struct, sys
		port, n, sockets = int(sys.argv[1]), int(sys.argv[2]), []
		for first in range(0, n, 4):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    sockets.append(s)
		    s.settimeout(10)
		    s.connect(("127.0.0.1", port))
		    sent = {}
		    for i in range(first, min(first + 4, n)):
		        label = b"x" * (1 + i % 40)
		        query = struct.pack(">HHHHHH", i, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\4test\0\0\1\0\1"
		        s.send(query)
		        sent[i] = len(query)
		    while sent:
		        answer = s.recv(512)
		        print(sent.pop(struct.unpack(">H", answer[:2])[0]), len(answer))
	EOF
}

@test "dnsmasq: every query with its answer, though four are under way at once" {
	require_packets dnsmasq python3
	for _ in 1 2 3; do
		port=$(free_port)
		! start_listening dnsmasq "$port" dnsmasq --keep-in-foreground --conf-file=/dev/null \
			--user=root --pid-file= --listen-address=127.0.0.1 --bind-interfaces --port="$port" \
			--no-resolv --no-hosts --address=/test/127.0.0.9 || break
	done
	sniff_start
	ask 200 >"$BATS_TEST_TMPDIR/asked"
	sniff_stop
	"$GAIT" import pcap "$packets" --filter "udp port $port and greater 60" -P "$port" -o "$trace" -f
	diff <(sort "$BATS_TEST_TMPDIR/asked") \
		<(csv requests 'NR > 1 { print at("request_bytes"), at("response_bytes") }' | sort)
	assert_equal "queries" "$(count query)" 200
	assert_equal "connections" "$(csv connections 'NR > 1 { print at("protocol") }' | sort | uniq -c | xargs)" \
		"50 dns"
	csv requests 'NR > 1 && at("confidence") != 100 { exit 1 }'
}

# of $trace: what is to be added to its times to have the wall clock's
epoch()
{
	# 64 bits are too many for jq
	sed -En 's/.*"(start_monotonic_ns|realtime_offset_start_ns)": ([0-9]+).*/\2/p' \
		"$trace/manifest.json" | paste -sd +
}

@test "memcached: captured by eBPF and by tcpdump at once, the same requests at the same times" {
	local ahead memcached

	require_bpf memcached setpriv
	for _ in 1 2 3; do
		port=$(free_port)
		! start_listening memcached "$port" setpriv --reuid=65534 --regid=65534 \
			--clear-groups memcached -t 2 -l 127.0.0.1 -p "$port" -U 0 || break
	done
	memcached=$pid
	sniff_start
	capture_start --pid "$memcached"
	"$GAIT_TRUTH/memcached" --port "$port" --connections 8 --rounds 40 --value 3000 --keys 3 --noreply 1 >/dev/null
	await "memcached sees the connections end" connections_gone "$port"
	capture_stop
	sniff_stop
	told >"$BATS_TEST_TMPDIR/ebpf"
	ahead=$(epoch)
	trace=$BATS_TEST_TMPDIR/packets.gait
	import 0 "$packets"
	told >"$BATS_TEST_TMPDIR/pcap"
	ahead=$((($(epoch)) - (ahead)))
	(($(wc -l <"$BATS_TEST_TMPDIR/pcap") > 8 * 40 * 5)) || fail "there are too few requests"
	diff <(cut -d ' ' -f 1-6 "$BATS_TEST_TMPDIR/ebpf") <(cut -d ' ' -f 1-6 "$BATS_TEST_TMPDIR/pcap")
	paste -d ' ' "$BATS_TEST_TMPDIR/ebpf" "$BATS_TEST_TMPDIR/pcap" |
		awk -v ahead="$ahead" '{ d = $14 + ahead - $7; print d < 0 ? -d : d }' | median >"$BATS_TEST_TMPDIR/median"
	echo "# arrivals differ by $(<"$BATS_TEST_TMPDIR/median") ns in the median" >&3
	(($(<"$BATS_TEST_TMPDIR/median") < 100000)) || fail "they differ by 100 us and more"
}
