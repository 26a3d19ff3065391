#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# Real services on one host, clients on another (a network namespace each, with a wire between them),
# captured live from the service's end of it: the trace says what the services' own logs say, of every
# request, to the byte, and times within 5%.

load helper

SERVER=10.79.1.1

setup()
{
	require_packets jq ss ip nsenter unshare setpriv python3
	hosts=()
	new_host
	new_host
	on 0 ip link add eth type veth peer name eth netns "${hosts[1]}"
	on 0 ip addr add "$SERVER/24" dev eth
	on 1 ip addr add 10.79.1.2/24 dev eth
	on 0 ip link set eth up
	on 1 ip link set eth up
	at=$BATS_TEST_TMPDIR
}

teardown()
{
	local host

	stop_all
	for host in "${hosts[@]}"; do
		kill "$host" || true
	done
	[[ -z ${cluster:-} ]] || rm -rf "$cluster"
}

elsewhere() # PID
{
	[[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]
}

# A process that keeps a network namespace for as long as it lives
new_host()
{
	unshare --net sleep 120 3>&- &
	hosts+=($!)
	await "there is a host" elsewhere $!
	on $((${#hosts[@]} - 1)) ip link set lo up
}

on() # HOST COMMAND...
{
	nsenter --net --target "${hosts[$1]}" "${@:2}"
}

listens_there() # PORT, or has a datagram socket there
{
	[[ -n $(on 0 ss -Htuln "sport = :$1") ]]
}

gone_there() # PORT
{
	[[ -z $(on 0 ss -Htn state connected exclude time-wait "sport = :$1") ]]
}

# serve NAME PORT COMMAND...: on the first host; sets $port
serve()
{
	port=$2
	start "$1" nsenter --net --target "${hosts[0]}" "${@:3}"
	await "$1 listens" listens_there "$port"
}

# watch: captures what goes to and from $port on the service's end of the wire
watch()
{
	trace=$at/trace.gait
	start capture nsenter --net --target "${hosts[0]}" \
		"$GAIT" capture --with pcap --interface eth --port "$port" -o "$trace"
	export capture=$pid
	await "gait is capturing" capture_began_or_ended
	capture_began || fail "gait ended before it began to capture"
}

watched() # once nobody is connected any more
{
	await "the connections end" gone_there "$port"
	capture_stop
}

# requests_told [CLASS]: "client_port bytes_in bytes_out ns" of each, in the order of each connection
requests_told()
{
	local class

	class=$(csv classes 'at("name") == "'"${1:-}"'" { print at("class_id") }')
	csv connections 'NR > 1 { r = at("remote"); sub(/.*:/, "", r); print at("connection_id"), r }' >"$at/ports"
	csv requests 'NR > 1 && "'"$class"'" ~ "^(" at("class_id") ")?$" { print at("connection_id"),
		at("request_bytes"), at("response_bytes"), at("end_ns") - at("arrival_ns"), at("arrival_ns") }' |
		sort -k 1,1n -k 5,5n |
		awk 'FILENAME ~ /ports$/ { port[$1] = $2; next } { print port[$1], $2, $3, $4 }' "$at/ports" - |
		sort -s -k 1,1
}

# agree LOG [CLASS]: its lines are "client_port bytes_in bytes_out seconds" in the same order. Bytes are equal
# (- is unknown), and times of 400 ms and more within 5%: how many of those there are is printed
agree()
{
	requests_told "${2:-}" >"$at/told"
	assert_equal "requests" "$(wc -l <"$at/told")" "$(wc -l <"$1")"
	paste -d ' ' "$1" "$at/told" | awk '
		$1 != $5 || ($2 != "-" && $2 != $6) || ($3 != "-" && $3 != $7) { print "bytes:", $0; exit 1 }
		$4 < 0.4 { next }
		{ d = $8 / 1e9 / $4 - 1; d = d < 0 ? -d : d; n++; most = d > most ? d : most }
		d > 0.05 { print "time:", $0; exit 1 }
		END { print n + 0; if (n) printf "# times differ by %.2f%% at most\n", 100 * most >"/dev/fd/3" }'
}

@test "nginx: bytes and times of its access log" {
	require_packets nginx curl
	mkdir "$at/www"
	head -c 100007 /dev/zero >"$at/www/file"
	cat >"$at/nginx.conf" <<-EOF
		$(nginx_alone)
		events { }
		http {
			log_format truth '\$remote_port \$request_length \$bytes_sent \$request_time';
			access_log access.log truth;
			$(nginx_folders)
			limit_req_zone \$server_port zone=slow:32k rate=2r/s;
			server {
				listen $SERVER:80;
				root www;
				location /slow/ {
					alias $at/www/;
					limit_req zone=slow burst=9;
				}
			}
		}
	EOF
	serve nginx 80 nginx -p "$at" -c nginx.conf -e error.log
	watch
	on 1 curl -s -o /dev/null -Z --parallel-max 4 "http://$SERVER/file?[1-200]" # on connections that stay
	on 1 curl -s -o /dev/null -Z --parallel-max 5 --parallel-immediate "http://$SERVER/slow/file?[1-5]"
	watched
	sort -s -k 1,1 "$at/access.log" >"$at/log"
	assert_equal "lines of the log" "$(wc -l <"$at/log")" 205
	assert_equal "slow ones" "$(agree "$at/log")" 4 # the first waits for none
}

@test "PostgreSQL: statements and durations of its log" {
	local query bin asked=()

	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
	PATH=${bin:+$bin:}$PATH
	require_packets initdb postgres psql
	cluster=$(mktemp -d /tmp/gait-postgresql-XXXXXX) # nobody cannot enter the folder of the test
	chown nobody "$cluster"
	as_nobody initdb -N -A trust -U gait -E UTF8 --no-locale -D "$cluster/data" >"$at/initdb"
	echo "host all all 10.79.1.0/24 trust" >>"$cluster/data/pg_hba.conf"
	serve postgresql 5432 setpriv --reuid=65534 --regid=65534 --clear-groups \
		postgres -D "$cluster/data" -c listen_addresses="$SERVER" -c unix_socket_directories= \
		-c log_min_duration_statement=0 -c log_line_prefix='%r '
	await "PostgreSQL answers" psql_there -c "select"
	watch
	for query in 0.5 0.6 0.7; do
		psql_there -c "select $query" -c "select pg_sleep($query)" -c "select 'after'" >/dev/null &
		asked+=($!)
	done
	seq 40 | sed 's/.*/select repeat(md5(&::text), &);/' | psql_there -o /dev/null
	wait "${asked[@]}"
	watched
	# 10.79.1.2(PORT) LOG:  duration: MS ms  statement: TEXT; a Query has 6 bytes around it
	sed -En 's/^10[.]79[.]1[.]2\(([0-9]+)\) LOG:  duration: ([0-9.]+) ms  statement: (.+)$/\1 \2 \3/p' \
		"$at/postgresql.err" | sed 1d |
		awk '{ text = substr($0, length($1) + length($2) + 3)
			print $1, length(text) + 6, text ~ /pg_sleep/ ? 65 : "-", $2 / 1000 }' |
		sort -s -k 1,1 >"$at/log"
	assert_equal "lines of the log" "$(wc -l <"$at/log")" 49
	assert_equal "slow ones" "$(agree "$at/log" query)" 3
	assert_equal "beside them" "$(csv classes 'NR > 1 && at("name") != "query" { print at("name"), at("requests") }' | xargs)" \
		"startup 4 terminate 4"
}

as_nobody()
{
	(cd / && setpriv --reuid=65534 --regid=65534 --clear-groups "$@")
}

psql_there()
{
	PGSSLMODE=disable on 1 psql -X -q -h "$SERVER" -U gait postgres "$@"
}

@test "Redis: commands, bytes and slow log, from both ends of the wire" {
	local other

	require_packets redis-server redis-cli redis-benchmark
	serve redis 6379 redis-server --port 6379 --bind "$SERVER" --save '' --protected-mode no \
		--enable-debug-command yes --slowlog-log-slower-than 400000
	redis_there config resetstat >/dev/null
	await "redis sees the connection end" gone_there 6379
	watch
	start other nsenter --net --target "${hosts[1]}" \
		"$GAIT" capture --with pcap -i eth -P 6379 -o "$at/other.gait"
	other=$pid
	await "the other end is captured" grep -qs '^gait: capturing' "$at/other.err"
	on 1 redis-benchmark -h "$SERVER" -c 5 -n 1000 -t set,get -d 3000 -P 4 -q >/dev/null
	redis_there debug sleep 0.5 >/dev/null
	redis_there debug sleep 0.6 >/dev/null
	redis_there info >"$at/info"
	redis_there slowlog get >"$at/slowlog"
	watched
	stop "$other" INT
	# what INFO says is before its own answer and SLOWLOG, and behind RESETSTAT, but for its +OK
	assert_equal "bytes in" "$(csv requests 'NR > 1 { n += at("request_bytes") } END { print n }')" \
		"$(($(said total_net_input_bytes) + $(last request_bytes 1)))"
	assert_equal "bytes out" "$(csv requests 'NR > 1 { n += at("response_bytes") } END { print n }')" \
		"$(($(said total_net_output_bytes) - 5 + $(last response_bytes 2)))"
	# resetstat, which counts itself, is not in the packets, INFO and SLOWLOG are
	assert_equal "requests" "$(rows requests)" "$(($(said total_commands_processed) + 1))"
	requests_told | awk '$4 > 4e8 { print $4 / 1e3 }' | sort -n >"$at/slow"
	grep -E '^[45678][0-9]{5}$' "$at/slowlog" | sort -n | paste -d ' ' "$at/slow" - |
		awk '{ d = $1 / $2 - 1; n++ } d < -0.05 || d > 0.05 { print; exit 1 } END { exit n != 2 }'
	requests_told | cut -d ' ' -f 1-3 >"$at/told"
	trace=$at/other.gait
	diff "$at/told" <(requests_told | cut -d ' ' -f 1-3)
}

redis_there()
{
	on 1 redis-cli -h "$SERVER" "$@"
}

said() # by INFO
{
	tr -d '\r' <"$at/info" | sed -n "s/^$1://p"
}

last() # COLUMN N: its sum over the last N requests
{
	csv requests 'NR > 1 { print at("arrival_ns"), at("'"$1"'") }' | sort -n | tail -n "$2" |
		awk '{ n += $2 } END { print n }'
}

@test "memcached: what its counters and its log say" {
	require_packets memcached
	serve memcached 11211 setpriv --reuid=65534 --regid=65534 --clear-groups \
		memcached -t 1 -l "$SERVER" -p 11211 -U 0 -vv
	watch
	on 1 python3 - "$SERVER" >"$at/stats" <<-'EOF'
		import socket, sys
		def ask(s, text, end):
		    s.sendall(text)
		    answer = b""
		    while not answer.endswith(end):
		        answer += s.recv(65536)
		    return answer
		clients = [socket.create_connection((sys.argv[1], 11211)) for _ in range(4)]
		for i in range(200):
		    s = clients[i % 4]
		    ask(s, b"set key%d 0 0 %d\r\n%s\r\n" % (i, 37 * i, b"x" * (37 * i)), b"STORED\r\n")
		    ask(s, b"get key%d none key%d\r\n" % (i, i // 2), b"END\r\n")
		print(ask(clients[0], b"stats\r\n", b"END\r\n").decode().replace("\r", ""), end="")
	EOF
	watched
	assert_equal "requests" "$(rows requests)" "$(grep -cE '^<[0-9]+ (get|set|stats)' "$at/memcached.err")"
	assert_equal "requests" "$(rows requests)" 401
	assert_equal "bytes in" "$(csv requests 'NR > 1 { n += at("request_bytes") } END { print n }')" \
		"$(sed -n 's/^STAT bytes_read //p' "$at/stats")"
	# the lines that say so came without their carriage returns
	assert_equal "bytes out" "$(csv requests 'NR > 1 { n += at("response_bytes") } END { print n }')" \
		"$(($(sed -n 's/^STAT bytes_written //p' "$at/stats") + $(wc -c <"$at/stats") + $(wc -l <"$at/stats")))"
}

@test "dnsmasq: every query of its log, with the length of its name" {
	require_packets dnsmasq
	serve dnsmasq 53 dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= \
		--listen-address="$SERVER" --bind-interfaces --no-resolv --no-hosts --address=/test/127.0.0.9 \
		--log-queries=extra --log-facility=-
	watch
	on 1 python3 - "$SERVER" <<-'EOF'
		import socket, struct, sys
		for i in range(150):
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.settimeout(10)
		    label = b"x" * (1 + i % 50)
		    s.sendto(struct.pack(">HHHHHH", i, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\4test\0\0\1\0\1",
		             (sys.argv[1], 53))
		    s.recv(512)
	EOF
	capture_stop
	# serial ADDRESS/PORT query[A] NAME from ADDRESS; an answer repeats the question and adds 16 bytes
	sed -En 's|^.* [0-9]+ 10[.]79[.]1[.]2/([0-9]+) query\[A\] ([^ ]+) from .*|\1 \2|p' "$at/dnsmasq.err" |
		awk '{ n = length($2) + 18; print $1, n, n + 16, 0 }' | sort -s -k 1,1 >"$at/log"
	assert_equal "lines of the log" "$(wc -l <"$at/log")" 150
	agree "$at/log"
}

# Frames that nobody answers: to ports 53 and 54, with no, one and two VLAN tags
send_tagged()
{
	on 1 python3 - <<-'EOP'
		import socket, struct
		s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		s.bind(("eth", 0))
		number = 0
		for tags in [], [5], [5, 6]:
		    for port in 53, 54:
		        number += 1
		        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 29, number, 0, 64, 17, 0, bytes([10, 79, 1, 2]),
		                         bytes([10, 79, 1, 1]))
		        udp = struct.pack(">HHHHB", 999 + number, port, 9, 0, 0)
		        tagged = b"".join(struct.pack(">HH", 0x8100, tag) for tag in tags)
		        s.send(b"\xff" * 6 + b"\2\0\0\0\0\1" + tagged + b"\x08\0" + ip + udp)
	EOP
}

@test "VLAN tags hide no packet of a port, as they leave and as they arrive, and let no others in" {
	local other

	port=53
	watch
	start other nsenter --net --target "${hosts[1]}" \
		"$GAIT" capture --with pcap -i eth -P 53 -o "$at/other.gait"
	other=$pid
	await "the other end is captured" grep -qs '^gait: capturing' "$at/other.err"
	send_tagged
	capture_stop
	stop "$other" INT
	for trace in "$at/trace.gait" "$at/other.gait"; do
		assert_equal "from" "$(requests_told | cut -d ' ' -f 1,2 | xargs)" "1000 1 1002 1 1004 1"
		assert_equal "packets" "$(jq .ledger.packets "$trace/manifest.json")" 3
	done
}
