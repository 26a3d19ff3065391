#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # variables come from the helper
# The rows of a walk's client: against disturbances of known amount (scripts/attribution has more of
# them), and with a node on another host.

load helper
# shellcheck source=tests/truth/inject/rows.bash
. "$GAIT_SOURCE/tests/truth/inject/rows.bash"

setup()
{
	require_bpf jq chrt taskset unshare
	(($(nproc) > SERVICE_CPU)) || lacks "it takes two CPUs"
}

teardown()
{
	stop_all
	inject_clean
}

# median_us COLUMN...: of the client's rows, of the sum of these
median_us()
{
	local columns=

	for column; do
		columns+=" + at(\"$column\")"
	done
	csv latency 'at("service_id") == 0 { printf "%.0f\n", (0'"$columns"') / 1000 }' | median
}

# Long enough that nothing on a busy machine is.
@test "a proxy's delay is net.wire of a walk's client" {
	local wire

	node_start "$GAIT" node
	delay "$node" --delay 50ms
	trace=$BATS_TEST_TMPDIR/run.gait
	"$GAIT" walk --to "$proxied" --control "$node" -n 40 -r 20 -C 100us -R 256 -O "$trace" \
		>"$BATS_TEST_TMPDIR/walk.out" 2>&1 || [[ $? == 3 ]]
	wire=$(median_us net_wire_ns)
	((wire >= 100000 && wire < 110000)) || fail "net.wire is $wire us of 100 ms"
	(($(median_us total_ns) - wire < 10000)) || fail "all is $(median_us total_ns) us"
	assert_equal "unattributed" "$(median_us unattributed_ns)" 0
}

@test "what a walk's client reads late is client.receive" {
	found walk-receive
}

# sum TABLE COLUMN: of the client
sum()
{
	csv "$1" 'at("service_id") == 0 { n += at("'"$2"'") } END { printf "%d\n", n }'
}

# To the walk it is one: what tells hosts apart is the boot_id.
@test "a node on another host: its replies bound its clock; totals are the sums of rows" {
	local column boot=$BATS_TEST_TMPDIR/boot

	echo 11111111-2222-3333-4444-555555555555 >"$boot"
	# shellcheck disable=SC2016 # it is that shell's own
	node_start unshare -m bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" node' bash "$boot" "$GAIT"
	trace=$BATS_TEST_TMPDIR/run.gait
	"$GAIT" walk --to "$node" -n 200 -r 400 -C 200us -R 256 -O "$trace" >"$BATS_TEST_TMPDIR/walk.out" 2>&1 || [[ $? == 3 ]]
	grep "^the node's clock is known within" "$BATS_TEST_TMPDIR/walk.out"
	# one kernel: they are 0 apart
	jq -e '.hosts[0] | (.clock_offset_ns | fabs) <= .clock_bound_ns and .clock_bound_ns > 0' "$trace/manifest.json"
	assert_equal "hosts" "$(jq '.hosts | length' "$trace/manifest.json")" 2
	assert_equal "requests out of order" "$(csv requests '
		at("sent_ns") > at("arrival_ns") || at("end_ns") > at("received_ns")')" ""
	(($(sum latency unattributed_ns) * 20 < $(sum latency total_ns))) # of replies that were read together
	(($(sum latency net_wire_ns) > 0))

	"$GAIT" walk --to "$node" -n 200 -r 400 -C 200us -R 256 -O "$trace" --force --keep 100% \
		>"$BATS_TEST_TMPDIR/walk.out" 2>&1 || [[ $? == 3 ]]
	for column in total client_late client_send client_receive; do
		assert_equal "$column" "$(sum totals "${column}_ns")" "$(sum latency "${column}_ns")"
	done
	(($(sum totals client_receive_ns) > 0))

	# and so it is to a replay
	"$GAIT" walk --plan-only -n 200 -r 400 -C 200us -R 256 -O "$BATS_TEST_TMPDIR/plan.gait" 2>"$BATS_TEST_TMPDIR/plan.err"
	"$GAIT" replay "$BATS_TEST_TMPDIR/plan.gait" --node "$node" -o "$trace" --force \
		>"$BATS_TEST_TMPDIR/replay.out" 2>"$BATS_TEST_TMPDIR/replay.err" || [[ $? == 3 ]]
	grep "^host 1  *its clock is known within" "$BATS_TEST_TMPDIR/replay.out"
	jq -e '.hosts[0] | (.clock_offset_ns | fabs) <= .clock_bound_ns and .clock_bound_ns > 0' "$trace/manifest.json"
	assert_equal "requests out of order" "$(csv requests '
		at("sent_ns") > at("arrival_ns") || at("end_ns") > at("received_ns")')" ""
}
