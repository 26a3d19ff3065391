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

# The first may come before the kernel has begun to take stamps.
@test "datagrams have the stamps of their sockets" {
	local udp

	"$GAIT" walk --plan-only -O "$BATS_TEST_TMPDIR/plan.gait" -n 100 -r 200 -C 100us -R 64
	udp=udp://127.0.0.1:$("$GAIT_TRUTH/freeport")
	node_start "${inject_as[@]}" "$GAIT" node --once --listen 127.0.0.1:0 --listen "$udp"
	"${inject_as[@]}" "$GAIT" replay "$BATS_TEST_TMPDIR/plan.gait" --node "$udp" --control "$node" \
		-o "$BATS_TEST_TMPDIR/run.gait" || [[ $? == 3 ]]
	jq -e '.ledger.answered > 90 and .ledger.stamps_missing < 10' "$BATS_TEST_TMPDIR/run.gait/manifest.json"
	csv "$BATS_TEST_TMPDIR/run.gait/latency.csv" 'at("service_id") == 0 && at("net_wire_ns") > 0 { stamped++ }
		END { exit !(stamped > 80) }' || fail "requests without a wire"
}
