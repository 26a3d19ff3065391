#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # variables come from the helper
# Three nodes that call each other: what the called ones slept is in the caller's tree, as their sleep.

load helper

setup()
{
	require_bpf jq
	run_dir=$BATS_TEST_TMPDIR/run.gait
}

teardown()
{
	stop_all
}

# sets $NAME to where it listens
start_node() # NAME
{
	start "$1" "$GAIT" node --once --listen 127.0.0.1:0
	await "node $1" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/$1.out"
	declare -g "$1=$(sed -n '1s/^listening on //p' "$BATS_TEST_TMPDIR/$1.out")"
}

# tree FILTER: of the report's tree
tree()
{
	jq -r ".tree | $1" "$BATS_TEST_TMPDIR/report.json"
}

# sleeps_us NAME CALLED_BY: a request around the median, of that service below that place
sleeps_us()
{
	tree ".places[] | select(.name == \"$1\" and .called_by == $2) | .bands[1] |
		.subsystems_ns[\"app.sleep\"] / .root_requests / 1000 | floor"
}

# busy_us: a request around the median, all that is neither asleep, wire nor call
busy_us()
{
	tree '[.places[] | .bands[1] | (.subsystems_ns | del(.["app.sleep", "net.wire", "call"]) | add) /
		.root_requests] | add / 1000 | ceil'
}

# What a caller does itself while the callee sleeps (it waits for its CPU, on a busy machine) is the
# caller's time on the path, and the sleep is so much less. 2% for rounding.
is_near() # WHAT GOT WANT
{
	(($2 > $3 * 98 / 100 - $(busy_us) && $2 < $3 * 102 / 100)) ||
		fail "$1: got $2 us, want $3 us, busy $(busy_us) us"
}

@test "a callee's sleep is its own in the tree: called, called by the called, and the later of two branches" {
	start_node a
	start_node b
	start_node c
	"$GAIT" walk --to "$a" -n 30 -r 20 -F "$b" --sleep 8ms -F "$c" --sleep 4ms -R -R \
		-F "$b,branch" --sleep 2ms -R -F "$c,branch" --sleep 24ms -R -R 64 -O "$run_dir" \
		>"$BATS_TEST_TMPDIR/walk.out" 2>"$BATS_TEST_TMPDIR/walk.err" || [[ $? == 3 ]]
	"$GAIT" report "$run_dir" --json >"$BATS_TEST_TMPDIR/report.json" || [[ $? == 3 ]]
	is_near "b, called by a" "$(sleeps_us node-2 0)" 8000
	is_near "c, called by b" "$(sleeps_us node-3 1)" 4000
	is_near "c, called by a" "$(sleeps_us node-3 0)" 24000
	assert_equal "calls, replaced, beside" "$(tree '"\(.calls) \(.calls_replaced) \(.requests_beside)"')" "90 90 30"
	assert_equal "sums that are not the total" "$(tree '[.places | map(.bands) | transpose[] |
		select((map(.total_ns) | add) != .[0].root_total_ns)] | length')" 0
	assert_equal "rows that are not their place's" "$(tree '[.places[].bands[] |
		select((.subsystems_ns | add) + .unattributed_ns != .total_ns)] | length')" 0
	"$GAIT" report "$run_dir" >"$BATS_TEST_TMPDIR/report.out" || [[ $? == 3 ]]
	grep -q '^tree of node' "$BATS_TEST_TMPDIR/report.out"
	grep -q '^      node-3 ' "$BATS_TEST_TMPDIR/report.out" # below node-2
}

# What is behind the reply that was enough is beside the path.
@test "of branches within a call the one counts whose reply was enough: the first, or all" {
	local enough

	for enough in 1 2; do
		start_node a
		start_node b
		start_node c
		start_node d
		"$GAIT" walk --to "$a" -n 15 -r 10 -F "$b" -F "$c,branch,nack=$enough" --sleep 20ms -R -F "$d,branch" --sleep 50ms \
			-R -R -R 64 -O "$run_dir" --force >"$BATS_TEST_TMPDIR/walk.out" 2>"$BATS_TEST_TMPDIR/walk.err" ||
			[[ $? == 3 ]]
		"$GAIT" report "$run_dir" --json >"$BATS_TEST_TMPDIR/report.json" || [[ $? == 3 ]]
		assert_equal "below the one that called, enough: $enough" \
			"$(tree '[.places[] | select(.called_by == 1) | .name] | join(" ")')" "node-$((2 + enough))"
		is_near "who ended the wait" "$(sleeps_us "node-$((2 + enough))" 1)" $((enough == 1 ? 20000 : 50000))
		assert_equal "the root waited for the second" \
			"$(tree '.places[0].bands[1] | .root_total_ns / .root_requests >= 50e6')" "$( ((enough == 1)) && echo false || echo true)"
	done
}
