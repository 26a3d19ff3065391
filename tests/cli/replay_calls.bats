#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait replay of services that call each other: a page asks the rows behind it twice, and the first
# of these asks what is deeper. Who called whom, how often and with how many bytes is seen by strace.

# shellcheck disable=SC2154 # await, node and at come from walk.bash
load walk
load ../lacks
load synthetic # its table, not that of walk.bash

PAGES=100

setup() {
	walk_setup
	RUN=$BATS_TEST_TMPDIR/run.gait
	pages "$BATS_TEST_TMPDIR/shop.gait" $PAGES
}

teardown() {
	walk_teardown
}

# pages DIR COUNT [STORE [SECOND [SHARED]]]: a page each 2 ms, on two connections and threads. Every
# tenth first row stores STORE bytes (none), if SHARED (not) together with that of the page after it;
# the second is asked for SECOND us after the page came (600), the first 100 to 500 us after it.
pages() {
	mkdir -p "$1"
	awk -v dir="$1" -v count="$2" -v store="${3:-0}" -v second="${4:-600}" -v shared="${5:-0}" '
	function put(table, line) { print line >(dir "/" table ".csv") }
	function op(request, service, kind, at, took, work, bytes, reply, target) {
		put("ops", ++ops "," request "," kind "," service "," service * 10 + lane "," at "000," took \
			"000," work "," bytes "," reply "," target)
	}
	function request(id, parent, service, at, bytes, reply) {
		put("requests", id "," parent "," service "," service "," service * 10 + lane "," \
			service * 10 + lane "," at "000," bytes "," reply)
	}
	BEGIN {
		put("services", "service_id,host_id,name,threads\n1,1,front,2\n2,1,back,2\n3,1,deep,2")
		put("classes", "class_id,service_id,name\n1,1,page\n2,2,row\n3,3,key")
		put("targets", "target_id,kind,service_id,file_bytes,name\n5,service,2,,:2\n6,service,3,,:3\n7,file,,0,")
		put("connections", "connection_id,service_id,requests")
		for (c = 10; c < 40; c += 10)
			put("connections", c "," c / 10 "," count "\n" c + 1 "," c / 10 "," count)
		put("requests", "request_id,parent_id,class_id,service_id,connection_id,thread_id,arrival_ns,request_bytes,response_bytes")
		if (shared)
			put("op_requests", "op_id,request_id")
		put("ops", "op_id,request_id,kind,service_id,thread_id,start_ns,elapsed_ns,work,bytes,reply_bytes,target_id")
		for (i = 0; i < count; i++) {
			lane = i % 2
			at = i * 2000 + 1000
			id = i * 4 + 1
			request(id, "", 1, at, 100, 700)
			op(id, 1, "compute", at, 10, 1000, 0, 0, "")
			op(id, 1, "forward", at + 100, 400, 0, 50, 300, 5)
			op(id, 1, "forward", at + second, 300, 0, 51, 301, 5)
			op(id, 1, "reply", at + 1000, 1, 0, 700, 0, "")
			request(id + 1, id, 2, at + 150, 50, 300)
			op(id + 1, 2, "forward", at + 200, 100, 0, 40, 60, 6)
			if (store && i % 10 == 0)
				op(id + 1, 2, "store", at + 310, 1, 0, store, 0, 7)
			if (shared && i % 10 == 0)
				put("op_requests", ops "," id + 5)
			op(id + 1, 2, "reply", at + 330, 1, 0, 5, 0, "")
			op(id + 1, 2, "reply", at + 340, 1, 0, 95, 0, "")
			op(id + 1, 2, "reply", at + 350, 1, 0, 190, 0, "")
			op(id + 1, 2, "reply", at + 360, 1, 0, 10, 0, "")
			request(id + 2, id, 2, at + second + 50, 51, 301)
			op(id + 2, 2, "compute", at + second + 60, 10, 1000, 0, 0, "")
			op(id + 2, 2, "reply", at + second + 100, 1, 0, 301, 0, "")
			request(id + 3, id + 1, 3, at + 230, 40, 60)
			op(id + 3, 3, "reply", at + 240, 1, 0, 60, 0, "")
		}
		printf "{\"schema\":{\"major\":1,\"minor\":0},\"tool\":\"script\",\"source\":\"synthetic\",\"duration_ns\":%d000000}", \
			2 * count >(dir "/manifest.json")
	}'
}

# replay OPTION...: sets $code
replay() {
	code=0
	timeout 60 "$GAIT" replay shop.gait --no-attribution -o "$RUN" "$@" >replay.out 2>replay.err || code=$?
	cat replay.out replay.err
}

# Of a busy machine the run may be INVALID for late sending: that is not what is tested.
replays() {
	replay "$@"
	[ "$code" = 0 ] || [ "$code" = 3 ]
}

start_node() { # NAME COMMAND_BEFORE... -- OPTION...
	local name=$1 before=()

	shift
	while [ "$1" != -- ]; do
		before+=("$1")
		shift
	done
	shift
	start_as "$name" "${before[@]}" "$GAIT" node --no-attribution --listen 127.0.0.1:0 "$@"
}

# "service parent's_service request_bytes response_bytes outcome count" of a trace's or run's requests
requests_of() {
	table "$1/requests.csv" '{ service[at("request_id")] = at("service_id")
		row[NR] = at("service_id") " " at("request_bytes") " " at("response_bytes") " " at("outcome")
		parent[NR] = at("parent_id") }
		END { for (i in row) print service[parent[i]] + 0, row[i] }' | sort | uniq -c
}

ended() { # PID
	[ ! -d "/proc/$1" ]
}

# bytes_to CALL PORT FILE...: that went over sockets to the port, as strace tells
bytes_to() {
	local call=$1 to="->127.0.0.1:$2]"

	shift 2
	awk -v call="$call" -v to="$to" 'index($0, call "(") && index($0, to) &&
		match($0, /= [0-9]+$/) { sum += substr($0, RSTART + 2) } END { print sum + 0 }' "$@"
}

# Every page and all that it calls for, with their bytes.
all_were_played() {
	requests_of "$RUN" >got
	diff got - <<-EOF
		    100 0 1 100 700 ok
		    100 1 2 50 300 ok
		    100 1 2 51 301 ok
		    100 2 3 40 60 ok
	EOF
}

@test "a node for each service: every call is made, and is a request of who was called" {
	replays --local
	all_were_played
	table "$RUN/ops.csv" 'at("kind") == "forward" { print at("service_id"), at("bytes"), at("reply_bytes") }' |
		sort | uniq -c >got
	diff got - <<-EOF
		    100 1 50 300
		    100 1 51 301
		    100 2 40 60
	EOF
	join -t, -j1 <(table shop.gait/requests.csv '{ print at("request_id") "," at("parent_id") }' | sort -t, -k1,1) \
		<(table "$RUN/requests.csv" '{ print at("request_id") "," at("parent_id") }' | sort -t, -k1,1) |
		awk -F, '$2 != $3 { bad++ } END { exit bad || NR != 400 }'
	"$GAIT" show "$RUN" | grep -q '^topology: 300 of 400 requests have a parent$'
	is "$(table "$RUN/ops.csv" '{ print at("op_id") }' | sort -n | uniq | sed -n '1p;$p' | xargs)" \
		"1 $(($(wc -l <"$RUN/ops.csv") - 1))"
	run -1 grep '^note:.* calls' replay.out
}

@test "a call ends within the request that makes it, and begins after it" {
	replays --local
	table "$RUN/requests.csv" '{ id = at("request_id"); parent[id] = at("parent_id")
		read_at[id] = at("read_ns"); end[id] = at("end_ns") }
		END { for (id in parent) if (parent[id] != "") { n++
			bad += read_at[id] + 0 < read_at[parent[id]] + 0 || end[id] + 0 > end[parent[id]] + 0 }
			print n, bad + 0 }' >got
	is "$(<got)" "300 0"
}

# "calls_of_pages pairs that were under way together" of the run
together() {
	table "$RUN/ops.csv" 'at("kind") == "forward" && at("service_id") == 1 { n++
		from = at("start_ns") + 0; id = at("request_id")
		pairs += id in until && from < until[id]
		until[id] = from + at("elapsed_ns") } END { print n, pairs + 0 }'
}

@test "calls that were under way together are so again, others wait for each other" {
	replays --local
	is "$(together)" "200 0"
	pages shop.gait $PAGES 0 200
	replays --local -f
	is "$(together)" "200 100"
	is "$(requests_of "$RUN" | wc -l)" 4
	# both leave in one piece
	awk -F, -v OFS=, '$3 == "forward" && $9 == 51 { next } $9 == 50 { $9 = 101; $10 = 601 } { print }' \
		shop.gait/ops.csv >ops.csv
	mv ops.csv shop.gait
	replays --local -f
	is "$(together)" "200 100"
	pages_called "$RUN" 100
	run -1 grep '^note:.* calls' replay.out
}

@test "the bytes of calls between nodes, seen from outside" {
	start_node front strace -ff -qq -yy -s 0 -e trace=connect,sendto,recvfrom -o front.strace -- --once
	front=$at
	start_node back strace -ff -qq -yy -s 0 -e trace=sendto -o back.strace -- --once
	back=$at back_port=$port
	start_node deep -- --once
	replays --node "deep=$at" --node "2=$back" --node "front=$front"
	await ended "${nodes[0]}"
	await ended "${nodes[1]}"
	connections=$(cat front.strace.* | grep -c "connect(.*htons($back_port)")
	between 1 "$connections" 4
	is "$(bytes_to sendto "$back_port" front.strace.*)" $((PAGES * (50 + 51) + connections * 32))
	is "$(bytes_to recvfrom "$back_port" front.strace.*)" $((PAGES * (300 + 301)))
	# the first reply in its parts: 5 bytes leave with the next ones, the last 10 with those before
	is "$(cat back.strace.* | grep -c ' = 100$')" $PAGES
	between 1 "$(cat back.strace.* | grep -cE ' = (200|501)$')" $PAGES
}

@test "agents that share the connections among them: the same requests and calls" {
	replays --local --agents 2 --json
	is "$(jq .ledger.sent replay.out)" 100
	is "$(jq .ledger.answered replay.out)" 100
	all_were_played
}

# pages_called RUN COUNT: each of its pages made the calls that it makes, and no other was made
pages_called() {
	requests_of "$1" | sed 's/^ *//' >got
	diff got - <<-EOF
		$2 0 1 100 700 ok
		$2 1 2 50 300 ok
		$2 1 2 51 301 ok
		$2 2 3 40 60 ok
	EOF
	is "$(table "$1/requests.csv" '{ id = at("request_id"); tree[id] = at("parent_id") == "" ? id : at("parent_id") }
		END { for (id in tree) if (!(tree[id] in tree)) orphans++; print orphans + 0 }')" 0
}

@test "another load than the trace's: calls follow from what is sent" {
	replays --local --speed 1.5 --loop 2
	pages_called "$RUN" 300
	grep -q '^load .*; 900 calls follow, instead of 300$' replay.out
	is "$(table "$RUN/connections.csv" '{ n[at("service_id")] += at("requests") } END { print n[1], n[2], n[3] }')" \
		"300 600 300"
	replays --local --until '30 requests' -f
	pages_called "$RUN" 30
	rm -r "$RUN"
	replay --local --sweep 0.5..1:2
	pages_called "$RUN/0.500.gait" 50
	pages_called "$RUN/1.000.gait" 100
}

# "stores bytes further_owners" of the run
stores() {
	table "$RUN/ops.csv" 'at("kind") == "store" { n++; bytes += at("bytes") } END { printf "%d %d ", n, bytes }'
	table "$RUN/op_requests.csv" '{ n++ } END { print n + 0 }'
}

@test "--batching recorded: those who are called do together what they did, on two threads" {
	pages shop.gait $PAGES 1000 200 1
	replays --local
	pages_called "$RUN" 100
	is "$(stores)" "20 10000 0"
	replays --local --batching recorded --loop 2 -f
	pages_called "$RUN" 200
	is "$(stores)" "20 20000 20"
}

@test "calls to a service that has no node are left out, and that is said" {
	start_node front --
	front=$at
	start_node back --
	replays --node "front=$front" --node "back=$at" --json
	is "$(jq .ledger.calls_stubbed replay.out)" 100
	requests_of "$RUN" | grep -qx ' *100 1 2 50 300 ok'
	replays --node "$front" -f
	is "$(grep '^note:' replay.out)" "note: 200 calls to services that no node plays, left out"
	requests_of "$RUN" >got
	diff got - <<<"    100 0 1 100 700 ok"
}

@test "a call that fails fails who made it, and is counted" {
	pages shop.gait $PAGES 100000
	start_node front --
	front=$at
	start_node deep --
	deep=$at
	start_node back -- --max-storage-size 64k
	replays --node "front=$front" --node "deep=$deep" --node "back=$at" --json
	is "$(jq .ledger.errors replay.out)" 10
	is "$(jq .ledger.answered replay.out)" 90
	requests_of "$RUN" >got
	diff got - <<-EOF
		     10 0 1 100 700 error
		     90 0 1 100 700 ok
		     10 1 2 50 300 error
		     90 1 2 50 300 ok
		    100 1 2 51 301 ok
		    100 2 3 40 60 ok
	EOF
}

@test "a node that is killed: what called it fails, all are counted, nothing hangs" {
	pages shop.gait 1000
	start_node front --
	front=$at
	start_node deep --
	deep=$at
	start_node back --
	back=$node
	timeout 60 "$GAIT" replay shop.gait --no-attribution --node "front=$front" --node "deep=$deep" \
		--node "back=$at" --progress -o "$RUN" >replay.out 2>replay.err &
	pid=$!
	await grep -qs 'answered [1-9]' replay.err
	kill -KILL "$back"
	code=0
	wait "$pid" || code=$?
	is "$code" 1
	grep "^gait: the node of service 'back'" replay.err
	is "$(jq '.ledger | .answered + .errors' "$RUN/manifest.json")" 1000
	between 1 "$(jq .ledger.answered "$RUN/manifest.json")" 999
	is "$(jq .ledger.answered "$RUN/manifest.json")" \
		"$(table "$RUN/requests.csv" 'at("service_id") == 1 && at("outcome") == "ok" { print }' | wc -l)"
}

# In a network namespace of its own, beside that of process $1: the front here, all else there.
two_hosts() {
	local name code=0 there=(nsenter --net --target "$1") pids=()

	ip link set lo up # the way to one's own addresses, too
	"${there[@]}" ip link set lo up
	ip link add here type veth peer name there netns "$1"
	ip addr add 10.77.0.1/24 dev here
	ip link set here up
	"${there[@]}" ip addr add 10.77.0.2/24 dev there
	"${there[@]}" ip link set there up
	"$GAIT" node --no-attribution --key a.key --once --listen 10.77.0.1:0 \
		--forward-to 10.77.0.2 >front.out 2>front.err &
	pids+=($!)
	for name in back deep; do
		"${there[@]}" "$GAIT" node --no-attribution --key a.key --once --listen 10.77.0.2:0 \
			>$name.out 2>$name.err &
		pids+=($!)
	done
	for name in front back deep; do
		until grep -qs '^listening on ' $name.out; do
			kill -0 "${pids[@]}" || return 1
			sleep 0.025
		done
		nodes+=(--node "$name=$(sed -n '1s/^listening on //p' $name.out)")
	done
	"$GAIT" replay shop.gait --no-attribution --key a.key "${nodes[@]}" -o run.gait || code=$?
	kill "${pids[@]}" 2>/dev/null || true
	return "$code"
}

elsewhere() { # PID
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

@test "nodes on two hosts, with a key" {
	[ "$(id -u)" = 0 ] || lacks "needs root for network namespaces"
	"$GAIT" keys new a.key
	unshare --net sleep 120 3>&- &
	nodes+=($!)
	await elsewhere $!
	export GAIT
	code=0
	unshare --net bash -c "$(declare -f two_hosts); nodes=(); two_hosts $!" 3>&- || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	all_were_played
}

@test "wrong use of several nodes" {
	run -2 "$GAIT" replay shop.gait --node front=:1 --node :2 -o run.gait
	[[ "$output" == "gait: which service does ':2' play?"* ]]
	run -1 "$GAIT" replay shop.gait --node front=:1 --node front=:2 -o run.gait
	[ "$output" = "gait: service 'front' has two nodes" ]
	run -2 "$GAIT" replay shop.gait --node front=:1 --node back=:2 --control :3 -o run.gait
	[[ "$output" == "gait: --control is that of one --node"* ]]
	run -2 "$GAIT" replay shop.gait --ssh one,two -o run.gait
	[[ "$output" == "gait: --ssh starts one node, for one service"* ]]
}

@test "a node by ssh plays the one service that is called from outside" {
	# shellcheck disable=SC2016 # for that script
	printf '#!/bin/sh\nPATH=%s:$PATH exec /bin/sh -c "$2"\n' "$(dirname "$GAIT")" >ssh
	chmod +x ssh
	GAIT_SSH=./ssh replays --ssh localhost
	is "$(grep '^note:' replay.out)" "note: 200 calls to services that no node plays, left out"
	requests_of "$RUN" >got
	diff got - <<<"    100 0 1 100 700 ok"
}

@test "of a sample of the pages all that comes of them has rows, and totals are of all" {
	replays --local --keep 10% --keep-slowest 3
	requests_of "$RUN" >got
	pages=$(awk '$2 == 0 { print $1 }' got)
	between 3 "$pages" 40
	diff <(sed "s/^ *$pages /n /" got) - <<-EOF
		n 0 1 100 700 ok
		n 1 2 50 300 ok
		n 1 2 51 301 ok
		n 2 3 40 60 ok
	EOF
	for service in 0:100 1:100 2:200 3:100; do
		is "$(table "$RUN/totals.csv" 'at("service_id") == '"${service%:*}"' { n += at("requests") }
			END { print n + 0 }')" "${service#*:}"
	done
	is "$(table "$RUN/ops.csv" 'at("kind") == "forward" { print at("request_id") }' | wc -l)" $((3 * pages))
}
