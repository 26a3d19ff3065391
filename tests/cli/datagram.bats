#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Walks and replays by datagrams: what goes over the wire, what becomes of what is lost, and what strangers get.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr
load walk

# Where nothing is to be lost, no more is sent in all than a socket of the usual size holds: then a
# machine that stands still for a moment loses nothing either.

setup() {
	walk_setup
}

teardown() {
	[ -z "$relay" ] || kill "$relay" 2>/dev/null || true
	walk_teardown
}

# A node at one port for datagrams and, by TCP, for clients.
start_node() { # HOST OPTION...
	local host=$1
	shift
	start_as node "$GAIT" node --no-attribution \
		--listen "udp://$host:$("$GAIT_TRUTH/freeport")" "$@"
}

start_relay() { # HOW...; sets $relay_port
	"$BATS_TEST_DIRNAME/datagram_relay" "$at" "$@" >relay.out 3>&- &
	relay=$!
	await grep -q . relay.out
	relay_port=$(head -n 1 relay.out)
}

end_relay() {
	kill "$relay"
	wait "$relay" || true
	relay=
}

# walk CODE OPTION...: how it ends; late sending, which makes a 0 a 3, is the machine's
walk() {
	local want=$1 code=0
	shift
	timeout 60 "$GAIT" walk --json "$@" >out 2>err || code=$?
	[ "$code" = "$want" ] || [ "$want$code" = 03 ] || {
		cat out err
		return 1
	}
}

outcomes() {
	jq -r '"\(.sent) \(.answered) \(.timeouts) \(.errors) \(.unsent) late \(.replies_late)"' out
}

refused() { # WORDS OPTION...
	local words=$1
	shift
	run -2 --separate-stderr "$GAIT" walk --to "udp://$at" "$@"
	[[ $stderr == *"$words"* ]] || is "$stderr" "$words"
}

@test "a datagram for each request and each reply, of the size that was asked for" {
	start_node 127.0.0.1
	start_relay
	walk 0 --to "udp://127.0.0.1:$relay_port" --control "$at" -n 200 -r 1000 --ps 100 -R 200
	is "$(outcomes)" "200 200 0 0 0 late 0"
	# no op waits: many leave by one call; smaller than their headers they are raised
	walk 0 --to "udp://127.0.0.1:$relay_port" --control "$at" -n 200 -r 1000 --ps 20 -C 1us -R 1
	is "$(outcomes)" "200 200 0 0 0 late 0"
	is "$(jq .raised out)" 200
	walk 0 --to "udp://127.0.0.1:$relay_port" --control "$at" -n 3 --ps 65507 -R 65507
	is "$(outcomes)" "3 3 0 0 0 late 0"
	end_relay
	is "$(tail -n 1 relay.out)" "requests 403 56 100 65507 replies 403 24 200 65507"
}

@test "IPv6; a socket for all threads, or one for each; each session has its own at the client" {
	for mode in shared:1 child:3; do
		start_node '[::1]' --threads 3 --accept-mode "${mode%:*}"
		"$GAIT" walk --to "udp://[::1]:$port" --nt 8 --ns 2 -n 30 -r 20 --json >out 2>err 3>&- &
		client=$!
		sockets() {
			[ "$(ss -Hun "dport = :$port" | wc -l)" = 8 ]
		}
		await sockets
		is "$(ss -Huln "sport = :$port" | wc -l)" "${mode#*:}"
		wait "$client" || [ $? = 3 ]
		is "$(outcomes)" "240 240 0 0 0 late 0"
		stop_node
	done
}

@test "what is lost times out, and nothing else does" {
	start_node 127.0.0.1
	start_relay drop=10
	walk 1 --to "udp://127.0.0.1:$relay_port" --control "$at" -n 100 -r 200 --timeout 2s -o rows.csv
	is "$(outcomes)" "100 90 10 0 0 late 0"
	is "$(awk -F, '!$2 { print $3 }' rows.csv | paste -sd' ')" "0 10 20 30 40 50 60 70 80 90"
}

@test "a reply that comes too late is counted as that, and is no other request's" {
	start_node 127.0.0.1
	start_relay hold=10:30 # 1.5 s; those of 40 and 50 never come
	walk 1 --to "udp://127.0.0.1:$relay_port" --control "$at" -n 60 -r 20 --timeout 1s -O run.gait
	is "$(outcomes)" "60 54 6 0 0 late 4"
	is "$(table run.gait requests outcome | sort | uniq -c | awk '{ print $1, $2 }' | paste -sd' ')" \
		"54 ok 6 timeout"
	is "$(jq .ledger.replies_late run.gait/manifest.json)" 4
}

@test "a datagram that was read on its way gets nothing, sent again from elsewhere" {
	start_node 127.0.0.1 --threads 2 --accept-mode child
	start_relay again=2
	walk 0 --to "udp://127.0.0.1:$relay_port" --control "$at" -n 60 -r 200
	is "$(outcomes)" "60 60 0 0 0 late 0"
	end_relay
	is "$(tail -n 1 relay.out)" "strangers 0"
	stop_node
	grep -qx "30 datagrams refused" node.err
}

@test "who has no token is dropped and counted, and never answered; the node serves on" {
	start_node 127.0.0.1
	cat >stray.py <<-'END'
		import random, socket, struct, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.connect(("127.0.0.1", int(sys.argv[1])))
		header = lambda size: struct.pack(">IHBBQII", size, 0, 0, 0, 1, 0, 0)
		preface = lambda flags: struct.pack(">IHH16sQ", 0x47414954, 2, flags, b"x" * 16, 1)
		strays = [b"", b"\0", b"\0" * 12, random.randbytes(56), random.randbytes(65507),
		          b"GET / HTTP/1.1\r\n\r\n", preface(3), preface(3) + header(56),
		          preface(1) + header(56), preface(3) + header(2**30), preface(2) + header(56)]
		for stray in strays:
		    s.send(stray)
		print(len(strays), flush=True)
		sys.stdin.read() # the node has dealt with them
		s.setblocking(False)
		try:
		    sys.exit(f"answered: {s.recv(65536)}")
		except BlockingIOError:
		    pass
	END
	mkfifo walked
	# some when nobody walks, some while somebody does
	python3 stray.py "$port" <walked >strays & stray=$!
	exec 5>walked
	await grep -qx 11 strays
	"$GAIT" walk --to "udp://$at" -n 30 -r 20 --json >out 2>err 3>&- 5>&- & client=$!
	walks() { # beside the stray
		[ "$(ss -Hun "dport = :$port" | wc -l)" = 2 ]
	}
	await walks
	python3 stray.py "$port" </dev/null
	wait "$client" || [ $? = 3 ]
	is "$(outcomes)" "30 30 0 0 0 late 0"
	exec 5>&-
	wait "$stray"
	stop_node
	grep -qx "22 datagrams refused" node.err
}

@test "a peer that was silent for long is forgotten, and may come again" {
	for idle in 60s 50ms; do # three peers, each silent for 200 ms at a time
		start_node 127.0.0.1 --threads 1 --peer-idle "$idle"
		walk 0 --to "udp://$at" --nt 3 -n 6 --period exp:200ms
		is "$(outcomes)" "18 18 0 0 0 late 0"
		stop_node
		jq '.node_ledger.peers_forgotten // 0' out
	done >forgotten
	is "$(head -n 1 forgotten)" 0
	between 1 "$(tail -n 1 forgotten)" 17
}

@test "what a socket has no room for is counted" {
	start_node 127.0.0.1
	"$GAIT" walk --to "udp://$at" -n 40 -r 20 --timeout 3s --json >out 2>err 3>&- & client=$!
	walks() {
		[ "$(ss -Hun "dport = :$port" | wc -l)" = 1 ]
	}
	await walks
	kill -STOP "$node"
	python3 - "$port" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		for _ in range(3000):
		    s.sendto(b"x" * 4000, ("127.0.0.1", int(sys.argv[1])))
	END
	kill -CONT "$node"
	wait "$client" || true
	jq -e '.node_ledger.datagrams_dropped > 100 and .node_ledger.datagrams_refused > 20 and
		.node_ledger.datagrams_dropped + .node_ledger.datagrams_refused == 3000 + .timeouts' out
}

@test "two clients at one port: each is served by its own threads" {
	start_node 127.0.0.1 --accept-mode child --threads 2
	"$GAIT" walk --to "udp://$at" --nt 3 -n 40 -r 50 -R 100 --json >first 2>err.first 3>&- & client=$!
	walk 0 --to "udp://$at" --nt 3 -n 40 -r 50 -C 10us -R 200
	wait "$client" || [ $? = 3 ]
	is "$(jq -r .answered first out | paste -sd' ')" "120 120"
	is "$(jq -r .bytes_in first out | paste -sd' ')" "12000 24000"
}

@test "what no datagram can carry is refused before anything is sent" {
	at=127.0.0.1:1
	refused "carries 65507 bytes" --ps 65508
	refused "a reply (-R) may be larger than a datagram" -R 65508
	refused "give it a smaller size, or a distribution a max=65507" -R exp:1k
	refused "a reply (-R) may be larger" -F :1 -R 100k -R unif:min=1:max=66k
	refused "a reply (-R) may be larger" -F udp://:1 -R 66k -R 1k
	refused "what a forward sends (-F) may be larger" -F udp://:1,size=66k -R 1k -R 1k
	run -0 "$GAIT" walk --to "udp://$at" --dry-run -F :1 -R 100k -R exp:1k:max=65507
}

replay() { # CODE OPTION...: as walk()
	local want=$1 code=0
	shift
	timeout 60 "$GAIT" replay x.gait --node "udp://127.0.0.1:$relay_port" --control "$at" "$@" \
		-o run.gait --force >out 2>err || code=$?
	[ "$code" = "$want" ] || [ "$want$code" = 03 ] || {
		cat out err
		return 1
	}
}

plan() { # OPTION...: x.gait
	"$GAIT" walk --plan-only -O x.gait --force "$@"
}

@test "a replay: a datagram for each request and reply of the trace, also on several threads" {
	start_node 127.0.0.1 --threads 3
	start_relay
	plan -n 120 -r 500 --ps aseq:min=56:max=800:step=93 -C 20us -R aseq:min=24:max=9000:step=1496
	replay 0
	end_relay
	is "$(tail -n 1 relay.out)" "requests 120 56 149 242 335 428 521 614 707 800 \
replies 120 24 1520 3016 4512 6008 7504 9000"
	diff <(table x.gait requests request_id request_bytes response_bytes) \
		<(table run.gait requests request_id request_bytes response_bytes | sort -n)
	is "$(table run.gait requests outcome | sort -u)" ok
	# many connections, whichever thread reads them
	plan -n 10 -r 20 --nt 20 --ps 20 -R 10
	relay_port=$port
	replay 0
	is "$(jq -c '.ledger | [.answered, .messages_raised, .plan_overtaken]' run.gait/manifest.json)" \
		"[200,200,0]"
}

@test "a replay: what is lost times out alone, what is overtaken is served" {
	start_node 127.0.0.1
	plan -n 100 -r 200 --ps 100 -C 20us -R 200
	start_relay drop=10
	replay 0 --timeout 2s
	is "$(table run.gait requests request_id outcome | grep timeout | cut -d, -f1 | paste -sd' ')" \
		"1 11 21 31 41 51 61 71 81 91"
	is "$(jq -c '.ledger | [.answered, .timeouts, .errors]' run.gait/manifest.json)" "[90,10,0]"
	end_relay
	start_relay swap=2
	replay 0
	is "$(jq .ledger.answered run.gait/manifest.json)" 100
	end_relay
	plan -n 1 -R 65508
	replay 1
	grep -q "has a reply of 65508 bytes, and a datagram carries 65507" err
}

@test "DistWalk's names" {
	free=$("$GAIT_TRUTH/freeport")
	start_as node "$PROGRAMS/dw_node" -b "udp://:$free"
	is "$(ss -Huln "sport = :$free" | awk '{ print $4 }')" "127.0.0.1:$free"
	for to in "udp://:$free" "udp::$free" "udp://localhost:$free"; do
		timeout 20 "$PROGRAMS/dw_client" --to "$to" -n 20 -r 500 -C 100us >out
		is "$(grep -c '^t: ' out)" 20
		grep -q "success: 20, error: 0" out
	done
}
