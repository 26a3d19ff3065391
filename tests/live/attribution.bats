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

@test "a CPU taken by another thread is sched.preempted" {
	found preempted
}

@test "of requests that wait in a socket together each has its own arrival" {
	found together
}

@test "a late accept() is net.accept" {
	found accept
}

@test "a request ahead in the same read is app.queue" {
	found queue
}
