#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait show, on the golden trace: 23 requests of 7 KiB with 3 ms of CPU each.

bats_require_minimum_version 1.5.0

setup() {
	TRACE=$BATS_TEST_TMPDIR/t.gait
	cp -r "$GAIT_SOURCE/tests/data/golden-1.0.gait" "$TRACE"
}

@test "the ledger comes first, and known truth follows" {
	run -0 --separate-stderr "$GAIT" show "$TRACE"
	[ "${lines[0]}" = "ledger (nothing lost)" ]
	[ -z "$stderr" ]
	[[ "$output" == *"requests  23: 9.20/s"* ]]
	[[ "$output" =~ compute\ +23\ +1.00\ .*\ 69\ ms ]]
	[[ "$output" =~ "response size  7 KiB    7 KiB" ]]
	[[ "$output" == *"breakdown of shop"* ]]
	[[ "$output" =~ unattributed\ +758\ us ]]
}

@test "--json is JSON with the same numbers" {
	run -0 --separate-stderr "$GAIT" show --json "$TRACE"
	echo "$output" | python3 -c '
import json, sys
s = json.load(sys.stdin)
assert s["trusted"] is True
assert s["requests"]["count"] == 23
assert s["requests"]["response_bytes"]["p50"] == 7168
assert s["operations"][0]["cpu_ns"] == 23 * 3000000
assert s["breakdown"][0]["bands"][0]["subsystems_ns"]["cpu.user"] == 22 * 3000000
'
}

@test "a trace without a manifest was cut short: shown, with exit code 3" {
	rm "$TRACE/manifest.json"
	run -3 --separate-stderr "$GAIT" show "$TRACE"
	[[ "$stderr" == *"was cut short: it has no manifest"* ]]
	[ "${lines[0]}" = "CUT SHORT: no manifest; what is whole of each table is shown" ]
	[[ "$output" == *"requests  23:"* ]]
}

@test "a partial table loses the line that was cut, and says so" {
	rm "$TRACE/manifest.json"
	head -c -5 "$TRACE/requests.csv" >"$TRACE/requests.csv.partial"
	rm "$TRACE/requests.csv"
	run -3 --separate-stderr "$GAIT" show "$TRACE"
	[[ "$output" == *"requests  22:"* ]]
	[[ "$output" =~ cut\ +1\ +"rows cut short at the end of a table" ]]
}

@test "an edited table is named, with exit code 3" {
	sed -i '2s/,7168,/,7169,/' "$TRACE/requests.csv"
	run -3 --separate-stderr "$GAIT" show "$TRACE"
	[[ "$stderr" == *"requests.csv' was edited: its SHA-256 is not the manifest's"* ]]
	[ "${lines[0]}" = "EDITED: requests.csv is not what was written" ]
}

@test "losses are loud, with exit code 3" {
	sed -i 's/"events_lost": 0/"events_lost": 1234/' "$TRACE/manifest.json"
	run -3 --separate-stderr "$GAIT" show "$TRACE"
	[ "${lines[0]}" = "LOSSES: the numbers below are not to be trusted" ]
	[[ "${lines[2]}" =~ ^\ +LOST\ +1,234\ +"events lost to a full ring buffer" ]]
	[[ "$stderr" == *"has losses"* ]]
}

@test "a malformed table is named with line and column" {
	sed -i '18s/^17,/x1,/' "$TRACE/requests.csv"
	run -1 --separate-stderr "$GAIT" show "$TRACE"
	[[ "$stderr" == *"requests.csv line 18, column request_id: 'x1' is not a number" ]]
	[ -z "$output" ]
}

@test "a newer major schema is refused with advice" {
	sed -i 's/"major": 1/"major": 2/' "$TRACE/manifest.json"
	run -1 "$GAIT" show "$TRACE"
	[[ "$output" == *"the trace has schema 2, this gait reads up to 1: use the gait that wrote it"* ]]
}

@test "what is no trace is one sentence" {
	run -1 "$GAIT" show "$BATS_TEST_TMPDIR/nowhere.gait"
	[ "$output" = "gait: cannot open trace '$BATS_TEST_TMPDIR/nowhere.gait': No such file or directory" ]
	run -1 "$GAIT" show /etc/passwd
	[ "$output" = "gait: '/etc/passwd' is no directory, as every trace is" ]
}

@test "unknown columns, another order and quotes are read" {
	printf 'colour,response_bytes,request_id\r\nred,"10","1"\r\n"a,""b""",20,2\r\n' \
		>"$TRACE/requests.csv"
	run -3 --separate-stderr "$GAIT" show --json "$TRACE"
	[[ "$output" == *'"count": 2'* ]]
}

@test "a full disk behind stdout is an error" {
	run -1 --separate-stderr sh -c '"$1" show "$2" >/dev/full' sh "$GAIT" "$TRACE"
	[[ "$stderr" == "gait: cannot write the results to standard output: No space left on device" ]]
}
