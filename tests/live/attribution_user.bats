#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034,SC2154 # variables come from, and are for, the helper and rows.bash
# Rows of the breakdown that node and client make without BPF and without privilege, against the
# disturbances of scripts/attribution.

load helper
# shellcheck source=tests/truth/inject/rows.bash
. "$GAIT_SOURCE/tests/truth/inject/rows.bash"

setup()
{
	local program

	for program in jq chrt taskset setpriv; do
		[[ -n $(type -P "$program") ]] || lacks "there is no $program here" || return
	done
	[[ $EUID == 0 ]] || lacks "priorities need root" || return
	(($(nproc) > SERVICE_CPU)) || lacks "it takes two CPUs" || return
	inject_as=("${INJECT_UNPRIVILEGED[@]}")
}

teardown()
{
	stop_all
	inject_clean
}

# As in attribution.bats: what the host of this machine takes falls into one of three runs.
found() # NAME
{
	for _ in 1 2 3; do
		inject_run "$1"
		assert_equal "attribution" "$(jq -r .attribution "$BATS_TEST_TMPDIR/run.gait/manifest.json")" user
		! inject_judge "$1" || return 0
	done
	fail "$1 is not in its row"
}

@test "without privilege a CPU taken by another thread is sched.preempted" {
	found preempted
}

@test "without privilege a socket that is read late is net.rxqueue" {
	found node-receive-queue
}
