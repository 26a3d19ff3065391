#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # variables come from the helper
# What the probes count of a thread against counters of the kernel's own, which know nothing of them.

load helper
# shellcheck source=tests/truth/inject/rows.bash
. "$GAIT_SOURCE/tests/truth/inject/rows.bash"

setup()
{
	require_bpf chrt losetup
	(($(nproc) > SERVICE_CPU)) || lacks "it takes two CPUs"
}

teardown()
{
	stop_all
	inject_clean
}

# agree GAIT KERNEL LIMIT OPTION...: two columns of tests/truth/counters. A switch that the kernel tells
# nobody of comes along now and then (docs/ARCHITECTURE.md): of three runs.
agree()
{
	local log=$BATS_TEST_TMPDIR/counters ours=$1 kernel=$2 limit=$3 off

	shift 3
	for _ in 1 2 3; do
		"$GAIT_TRUTH/counters" --cpu "$SERVICE_CPU" "$@" >"$log"
		cat "$log"
		csv "$log" '{ print at("elapsed") - at("counted"), at("misses") }' >>"$log.lost"
		csv "$log" '{ off = at("'"$ours"'") / at("'"$kernel"'") - 1; print off < 0 ? -off : off }' >>"$log.off"
	done
	assert_equal "time lost, and probe runs" "$(sort -u "$log.lost")" "0 0"
	off=$(median <"$log.off")
	awk -v off="$off" -v limit="$limit" 'BEGIN { exit !(off <= limit) }' || fail "off by $off"
}

@test "waits for the CPU are what the scheduler has counted, within 1%, and no time is lost" {
	disturb_hog --cpu "$SERVICE_CPU" --priority 50 --on 5ms..8ms --off 1ms..3ms
	agree waited run_delay 0.01 --for 500ms
}

# Of a thread that is alone in its group: the group's clock is its own.
@test "what a quota takes from a thread is what its cgroup has counted, within 2%" {
	group=/sys/fs/cgroup/cpu/gait-inject-$$
	[[ -e ${group%/*}/cpu.cfs_quota_us ]] || lacks "there is no cgroup of version 1 with a quota"
	mkdir "$group"
	echo 50000 >"$group/cpu.cfs_period_us"
	echo 15000 >"$group/cpu.cfs_quota_us"
	agree throttled group_throttled 0.02 --for 500ms --sleep 0 --group "$group"
}

@test "waits for a device are what the device has counted, within 5%" {
	[[ -x $GAIT_TRUTH/slowfs ]] || lacks "slowfs was not built: there was no libfuse3"
	disk_start
	disturb_slow
	agree blocked device 0.05 --for 500ms --read "$disk" --stat "/sys/block/${disk#/dev/}/stat"
}

# A device that takes four requests at a time, with twelve other threads at it: whose request is next is
# given to it by whoever finds it ready.
crowded_disk()
{
	[[ -x $GAIT_TRUTH/slowfs ]] || lacks "slowfs was not built: there was no libfuse3"
	disk_start
	disk_shallow
	disturb_neighbours 12
}

# queue_told BYTES OPTION...: of each reading of so many in a row the device's log knows from when to when it had
# it; between the two lie threads of the kernel, which wait for a CPU on a busy machine.
queue_told()
{
	local bytes=$1

	shift
	"$GAIT_TRUTH/counters" --cpu "$SERVICE_CPU" --for 700ms --read "$disk" "$@" >"$BATS_TEST_TMPDIR/counters"
	cat "$BATS_TEST_TMPDIR/counters"
	csv "$BATS_TEST_TMPDIR/counters" '{
		printf "%.0f %.0f %.0f %.0f\n", at("began"), at("began") + at("elapsed"), at("blocked"), at("queued")
	}' >"$BATS_TEST_TMPDIR/window"
	awk -F'[, ]' -v half=$((DISK_MB * 512 * 1024)) -v bytes="$bytes" '
		NR == FNR { from = $1; to = $2; device = $3 - $4; queued = $4; next }
		$1 >= from && $2 <= to && $3 < half { had += $2 - $1; times++; at[int($3 / bytes)] }
		END { print "# " length(at) " readings in " times ", " had " ns at the device, found " device ", before it " queued
			exit !(times > 10 && device > had * 0.9 && device < had * 1.5 && queued > had * 2) }' \
		"$BATS_TEST_TMPDIR/window" "$BATS_TEST_TMPDIR/log" >&3
}

@test "what waits in front of a device is told from what the device does, though others issue it" {
	crowded_disk
	queue_told 4096
}

# Of a reading that was not merged the device has two or three: few are.
@test "what was merged into another thread's request waits in front of the device until that is issued" {
	crowded_disk
	echo 64 >"/sys/block/${disk#/dev/}/queue/nr_requests" # all of them are in the queue, none in front of it
	for merge in back front requests; do
		queue_told 12288 --stat "/sys/block/${disk#/dev/}/stat" --merge "$merge"
		csv "$BATS_TEST_TMPDIR/counters" '{ exit !(at("merged") > 10) }' || fail "hardly any was merged"
	done
}

# interrupted OPTION...: a thread above all others, for 300 ms without a pause
interrupted()
{
	chrt -f "$SERVICE_PRIORITY" "$GAIT_TRUTH/counters" --cpu "$SERVICE_CPU" --for 300ms --sleep 0 "$@" \
		>"$BATS_TEST_TMPDIR/counters"
	cat "$BATS_TEST_TMPDIR/counters"
}

# A tracepoint of interrupt handlers tells neither of these: they are the local APIC's.
@test "interrupts of the CPU's own timer are cpu.irq.timer, for as long as they last" {
	disturb_irq --cpu "$SERVICE_CPU" --spin 500us --period 3ms
	interrupted
	undisturb
	csv "$BATS_TEST_TMPDIR/counters" '{
		printf "%.0f %.0f %.0f\n", at("began"), at("began") + at("elapsed"), at("irq_timer")
	}' >"$BATS_TEST_TMPDIR/window"
	awk -F'[, ]' 'NR == FNR { from = $1; to = $2; found = $3; next }
		$1 >= from && $2 <= to { spun += $2 - $1; times++ }
		END { print "# " times " interrupts, " spun " ns, found " found
			exit !(times > 50 && found > spun && found < spun * 1.1) }' \
		"$BATS_TEST_TMPDIR/window" "$BATS_TEST_TMPDIR/log" >&3
}

@test "interrupts by another CPU are cpu.irq.other" {
	[[ $(uname -m) == x86_64 ]] || skip "no hook tells of them on this architecture"
	interrupted --nudge 1000
	csv "$BATS_TEST_TMPDIR/counters" '{ exit !(at("interrupts") > 500 && at("irq_other") > 100 * at("interrupts")) }' ||
		fail "too little for so many"
}
