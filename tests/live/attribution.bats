#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # variables come from the helper
# Rows of the breakdown against disturbances of known amount: the quick ones of scripts/attribution,
# which says how the others do.

load helper
# shellcheck source=tests/truth/inject/rows.bash
. "$GAIT_SOURCE/tests/truth/inject/rows.bash"

setup()
{
	require_bpf jq ss chrt taskset
	(($(nproc) > SERVICE_CPU)) || lacks "it takes two CPUs"
}

teardown()
{
	stop_all
	inject_clean
}

# found NAME: in its row and in no other. What the host of this machine takes from it falls into one
# of three runs; a row that is wrong is wrong in all.
found()
{
	for _ in 1 2 3; do
		inject_run "$1"
		! inject_judge "$1" || return 0
	done
	fail "$1 is not in its row"
}

@test "a CPU taken by another thread is sched.preempted" {
	found preempted
}

@test "a late accept() is net.accept" {
	found accept
}

@test "a request ahead in the same read is app.queue" {
	found queue
}

# A switch that the kernel tells nobody of comes along now and then (docs/ARCHITECTURE.md): of three.
@test "waits for the CPU are what the scheduler has counted, within 1%, and no time is lost" {
	local log=$BATS_TEST_TMPDIR/counters off

	disturb_hog --cpu "$SERVICE_CPU" --priority 50 --on 5ms..8ms --off 1ms..3ms
	for _ in 1 2 3; do
		"$GAIT_TRUTH/counters" --cpu "$SERVICE_CPU" --for 1s >"$log"
		cat "$log"
		csv "$log" '{ print at("elapsed") - at("counted"), at("misses") }' >>"$log.lost"
		csv "$log" '{ off = at("waited") / at("run_delay") - 1; print off < 0 ? -off : off }' >>"$log.off"
	done
	assert_equal "time lost, and probe runs" "$(sort -u "$log.lost")" "0 0"
	off=$(median <"$log.off")
	awk -v off="$off" 'BEGIN { exit !(off <= 0.01) }' || fail "off by $off"
}
