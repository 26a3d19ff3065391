#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # variables come from the helper
# Two services in one capture, one calling the other: each has a row of its own, and merged every
# call has the request that made it. Both servers log what they did.

load helper

setup()
{
	require_bpf jq ss
}

teardown()
{
	stop_all
	[[ -z ${group:-} ]] || rmdir "$group/below" "$group" || true
}

# Sets $group: a control group of our own, in whichever hierarchy there is.
make_group()
{
	local at

	for at in /sys/fs/cgroup/pids /sys/fs/cgroup /sys/fs/cgroup/unified; do
		group=$at/gait-$$-$BATS_TEST_NUMBER
		! mkdir -p "$group/below" 2>/dev/null || [[ ! -e $group/below/cgroup.procs ]] || return 0
	done
	group=
	fail "no control group can be made here"
}

# calls_are_a_tree MODEL: of the service in front
calls_are_a_tree()
{
	local tree=$BATS_TEST_TMPDIR/tree.gait behind behind_port

	start behind "$GAIT_TRUTH/server" --model threads --request 50 --reply 300 --cpu 100us \
		--log "$BATS_TEST_TMPDIR/behind.log"
	behind=$pid
	server_port behind
	behind_port=$port
	start_server --model "$1" --request 500 --reply 700 --cpu 500us..1ms \
		--upstream "127.0.0.1:$behind_port" --call 50 --call-reply 300
	capture_start --pid "$server" --pid "$behind"
	"$GAIT_TRUTH/client" --port "$port" --request 500 --reply 700 --connections 8 --requests 400 \
		>"$BATS_TEST_TMPDIR/client.out"
	capture_stop
	stop "$server"
	stop "$behind"
	"$GAIT" edit merge "$trace" -o "$tree" >"$BATS_TEST_TMPDIR/merge.out"
	"$GAIT_TRUTH/judge" --trace "$tree" --log "$BATS_TEST_TMPDIR/server.log" --port "$port" \
		--upstream-log "$BATS_TEST_TMPDIR/behind.log" --upstream-port "$behind_port" \
		--requests 100 --extra 0 --bytes 100 --ops 100 --calls 99.9 --calls-wrong 0.1 --lost 0
	"$GAIT" show "$tree" >"$BATS_TEST_TMPDIR/show.out"
	grep -q '^topology: 400 of 800 requests have a parent$' "$BATS_TEST_TMPDIR/show.out"
}

@test "a thread a connection calls another service" {
	calls_are_a_tree threads
}

@test "an event loop calls another service" {
	calls_are_a_tree loop
}

@test "the workers of a pool call another service" {
	calls_are_a_tree pool
}

@test "each service has its own row, port and model" {
	local first first_port

	start first "$GAIT_TRUTH/server" --model threads --request 10 --reply 20
	first=$pid
	server_port first
	first_port=$port
	start_server --model loop --request 30 --reply 40
	capture_start --pid "$first" --pid "$server"
	"$GAIT_TRUTH/client" --port "$first_port" --request 10 --reply 20 --requests 30 >/dev/null
	"$GAIT_TRUTH/client" --port "$port" --request 30 --reply 40 --requests 50 >/dev/null
	capture_stop
	run -0 "$GAIT" show --json "$trace"
	jq -e --arg a "127.0.0.1:$first_port" --arg b "127.0.0.1:$port" '
		[.services[] | [.listen, .io_model, .requests]]
		== [[$a, "per-connection", 30], [$b, "event-loop", 50]]' <<<"$output" ||
		fail "$(jq -c .services <<<"$output")"
}

@test "all processes of a control group, and of those below it" {
	local first first_port

	make_group
	start first "$GAIT_TRUTH/server" --model threads --request 10 --reply 20
	first=$pid
	server_port first
	first_port=$port
	start_server --model loop --request 30 --reply 40
	echo "$first" >"$group/cgroup.procs"
	echo "$server" >"$group/below/cgroup.procs"
	capture_start --cgroup "$group"
	"$GAIT_TRUTH/client" --port "$first_port" --request 10 --reply 20 --requests 30 >/dev/null
	"$GAIT_TRUTH/client" --port "$port" --request 30 --reply 40 --requests 50 >/dev/null
	capture_stop
	assert_equal "requests" "$("$GAIT" show --json "$trace" | jq .requests.count)" 80
	run --separate-stderr -1 "$GAIT" capture --cgroup "$group/none"
	[[ $stderr == *"cannot open the control group"* ]]
	stop "$first"
	stop "$server"
	run --separate-stderr -1 "$GAIT" capture --cgroup "$group"
	[[ $stderr == *"there is no process in the control group"* ]]
}
