#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # variables come from the helper
# Two services, one calling the other, captured live and replayed on a node for each: what goes
# between the nodes is seen by strace, and is what the services' own logs say.

load helper

setup()
{
	require_bpf jq ss strace
	run_dir=$BATS_TEST_TMPDIR/run.gait
	tree=$BATS_TEST_TMPDIR/tree.gait
}

teardown()
{
	stop_all
}

# capture_tree MODEL CALLS: 200 requests, each of which calls so often
capture_tree()
{
	local behind behind_port

	start behind "$GAIT_TRUTH/server" --model threads --request 50 --reply 300 --cpu 100us \
		--log "$BATS_TEST_TMPDIR/behind.log"
	behind=$pid
	server_port behind
	behind_port=$port
	start_server --model "$1" --request 500 --reply 700 --cpu 200us \
		--upstream "127.0.0.1:$behind_port" --calls "$2" --call 50 --call-reply 300
	capture_start --pid "$server" --pid "$behind"
	"$GAIT_TRUTH/client" --port "$port" --request 500 --reply 700 --connections 4 --requests 200 \
		>"$BATS_TEST_TMPDIR/client.out"
	capture_stop
	stop "$server"
	stop "$behind"
	"$GAIT" edit merge "$trace" -o "$tree" >"$BATS_TEST_TMPDIR/merge.out"
}

listening() # NAME
{
	await "$1 listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/$1.out"
	sed -n '1s/^listening on //p' "$BATS_TEST_TMPDIR/$1.out"
}

# calls_are_made COUNT: of the trace, between two nodes
calls_are_made()
{
	local front front_pid behind connections sent to

	start front strace -ff -yy -s 0 -o "$BATS_TEST_TMPDIR/front.trace" \
		-e trace=connect,sendto,recvfrom "$GAIT" node --once
	front_pid=$pid
	start behind_node "$GAIT" node --once
	front=$(listening front)
	behind=$(listening behind_node)
	"$GAIT" replay "$tree" --node "1=$front" --node "2=$behind" -o "$run_dir" \
		>"$BATS_TEST_TMPDIR/replay.out" 2>"$BATS_TEST_TMPDIR/replay.err" || [[ $? == 3 ]]
	await "the node ends" ended "$front_pid"
	to="->127.0.0.1:${behind##*:}]"
	connections=$(cat "$BATS_TEST_TMPDIR"/front.trace.* | grep -c "^connect(.*htons(${behind##*:})")
	sent=$(awk -v to="$to" '/^sendto/ && index($0, to) { sum += $NF } END { print sum + 0 }' \
		"$BATS_TEST_TMPDIR"/front.trace.*)
	assert_equal "bytes of calls" $((sent - 32 * connections)) $((50 * $1))
	assert_equal "bytes of their replies" "$(awk -v to="$to" '/^recvfrom/ && index($0, to) &&
		$NF > 0 { sum += $NF } END { print sum + 0 }' "$BATS_TEST_TMPDIR"/front.trace.*)" $((300 * $1))
	assert_equal "requests that were called" \
		"$(csv "$run_dir/requests.csv" 'at("parent_id") != "" && at("outcome") == "ok"' | wc -l)" "$1"
}

@test "a thread a connection: every call is made again, and both services have their breakdown" {
	capture_tree threads 1
	calls_are_made 200
	assert_equal "rows of latency" "$(csv "$run_dir/latency.csv" '{ n[at("service_id")]++ }
		END { print n[0], n[1], n[2] }')" "200 200 200"
	csv "$run_dir/latency.csv" 'at("service_id") == 1 { call += at("call_ns"); total += at("total_ns") }
		at("service_id") == 2 { below += at("total_ns") }
		END { exit !(call > below / 2 && call < total) }' || fail "the calls' time is not the service's behind"
	"$GAIT" show "$run_dir" >"$BATS_TEST_TMPDIR/show.out"
	grep -q '^topology: 200 of 400 requests have a parent$' "$BATS_TEST_TMPDIR/show.out"
}

@test "an event loop calls twice" {
	capture_tree loop 2
	calls_are_made 400
}

@test "without a node the calls are left out, and that is said" {
	capture_tree pool 1
	start front "$GAIT" node --once
	"$GAIT" replay "$tree" --node "$(listening front)" -o "$run_dir" --json \
		>"$BATS_TEST_TMPDIR/replay.out" || [[ $? == 3 ]]
	assert_equal "calls left out" "$(jq .ledger.calls_stubbed "$BATS_TEST_TMPDIR/replay.out")" 200
	assert_equal "requests" "$(jq .ledger.answered "$BATS_TEST_TMPDIR/replay.out")" 200
}
