#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait replay, on the golden trace: 23 requests on 2 connections, in about 2.3 s. A busy machine may
# send late and call the run INVALID (3): how good it was is not what is tested here.

load ../lacks

# shellcheck disable=SC2030,SC2031 # a test may replace TRACE for itself
bats_require_minimum_version 1.5.0

setup() {
	TRACE=$GAIT_SOURCE/tests/data/golden-1.0.gait
	RUN=$BATS_TEST_TMPDIR/run.gait
	cd "$BATS_TEST_TMPDIR" || return
}

# A replay of the golden trace with further options; its exit code is 0, or 3 when it is doubtful.
replay() {
	local code=0

	"$GAIT" replay "$TRACE" --local --no-attribution -o "$RUN" "$@" || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
}

# column TABLE NAME: the values of a column of the run
column() {
	awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next }
		{ print $at }' "$RUN/$1.csv"
}

@test "23 requests in, 23 requests out, each answered in full" {
	replay
	[ "$(column requests outcome | sort | uniq -c | tr -s ' ')" = " 23 ok" ]
	[ "$(column requests response_bytes | sort -u)" = 7168 ]
	cmp <(column requests request_id | sort -n) <(seq 23)
}

@test "nothing is sent before it is due" {
	replay
	paste <(column requests intended_ns) <(column requests sent_ns) <(column requests received_ns) |
		awk '!($1 <= $2 && $2 < $3) { bad = 1 } END { exit bad }'
}

@test "both batchings write the recorded bytes" {
	for how in live recorded; do
		replay --batching "$how" --force
		want=$(awk -F, '$5 == "store" { bytes += $12 } END { print bytes }' "$TRACE/ops.csv")
		[ "$(awk -F, '$5 == "store" { bytes += $12 } END { print bytes }' "$RUN/ops.csv")" = "$want" ]
	done
}

@test "the summary for scripts" {
	replay --json >summary.json
	[ "$(jq .planned summary.json)" = 23 ]
	[ "$(jq .ledger.answered summary.json)" = 23 ]
	[ "$(jq .ledger.plan_overtaken summary.json)" = 0 ]
	[ "$(jq .source "$RUN/manifest.json")" = '"replay"' ]
	[ "$(jq -r .run.batching "$RUN/manifest.json")" = live ]
}

@test "a run can be replayed itself" {
	replay
	mv "$RUN" first.gait
	TRACE=first.gait
	replay
	[ "$(column requests outcome | sort | uniq -c | tr -s ' ')" = " 23 ok" ]
}

@test "a run of that name is not replaced unasked" {
	mkdir run.gait
	cp "$TRACE"/* run.gait
	run -1 "$GAIT" replay "$TRACE" --local -o run.gait
	[ "$output" = "gait: there is a trace 'run.gait' already: --force replaces it" ]
	cmp "$TRACE/manifest.json" run.gait/manifest.json
}

@test "a node that cannot be reached costs one sentence and leaves nothing behind" {
	run -1 "$GAIT" replay "$TRACE" --node 127.0.0.1:1 --no-attribution -o run.gait
	[ "$output" = "gait: cannot reach the node at 127.0.0.1:1 (is \`gait node\` running there?): Connection refused" ]
	[ ! -e run.gait ]
}

@test "a node is for one service" {
	run -1 "$GAIT" replay "$TRACE" --node other=127.0.0.1:1 -o run.gait
	[ "$output" = "gait: the trace has no service 'other'" ]
}

@test "an edited trace is replayed only when that is meant" {
	cp -r "$TRACE" edited.gait
	sed -i 's/,7168,/,7169,/' edited.gait/requests.csv
	TRACE=edited.gait
	run -1 "$GAIT" replay "$TRACE" --local -o run.gait
	[[ "$output" == *"requests.csv' differs from what the manifest says"*"--accept-edited" ]]
	replay --accept-edited
	[ "$(column requests response_bytes | sort -u)" = 7169 ]
}

@test "of a trace that was cut short, what is whole is replayed, and it is said" {
	cp -r "$TRACE" cut.gait
	rm cut.gait/manifest.json
	size=$(wc -c <cut.gait/requests.csv)
	truncate -s $((size - 20)) cut.gait/requests.csv
	run -3 --separate-stderr "$GAIT" replay cut.gait --local --no-attribution -o run.gait
	[[ "$stderr" == *"'cut.gait' was cut short"* ]]
	[ "$(column requests outcome | sort | uniq -c | tr -s ' ')" = " 22 ok" ]
}

@test "of a capture that was killed, whose last tables are missing, the requests are replayed" {
	cp -r "$TRACE" killed.gait
	rm killed.gait/{manifest.json,services.csv,connections.csv,classes.csv}
	run -3 --separate-stderr "$GAIT" replay killed.gait --local --no-attribution -o run.gait
	[[ "$stderr" == *"'killed.gait' was cut short"* ]]
	[ "$(column requests outcome | sort | uniq -c | tr -s ' ')" = " 23 ok" ]
}

@test "requests without a reply in time are counted, and their connection goes on" {
	replay --timeout 1ms --json >summary.json
	[ "$(jq '.ledger.answered + (.ledger.timeouts // 0)' summary.json)" = 23 ]
	[ "$(jq .ledger.sent summary.json)" = 23 ]
}

@test "Ctrl-C keeps what was replayed" {
	"$GAIT" replay "$TRACE" --local --no-attribution -o run.gait --progress 2>progress &
	pid=$!
	until grep -q answered progress; do sleep 0.1; done
	kill -TERM "$pid" # a shell's background job ignores SIGINT
	code=0
	wait "$pid" || code=$?
	[ "$code" = 1 ]
	grep -q "^gait: interrupted; 'run.gait' holds what was replayed" progress
	[[ "$(jq -r .run.verdict run.gait/manifest.json)" == "INVALID because it was cut short"* ]]
	[ "$(column requests request_id | wc -l)" = 23 ]
	column requests sent_ns | grep -q '[0-9]'
}

@test "a full disk is one sentence, and what was written stays" {
	[ -w /dev/full ] && [ "$(id -u)" = 0 ] || lacks "needs root for a small file system"
	mkdir small
	mount -t tmpfs -o size=20k none small || lacks "cannot mount"
	run -1 "$GAIT" replay "$TRACE" --local --no-attribution -o small/run.gait
	ls small/run.gait >files
	umount small
	[[ "$output" == *"No space left on device; what was written so far is kept"* ]]
	grep -q partial files
}

@test "a plan that the disk cannot hold is one sentence, before anything is sent" {
	[ "$(id -u)" = 0 ] || lacks "needs root for a small file system"
	"$GAIT" walk -r 100k -n 20000 -C 1us -R 8 --plan-only -O long.gait
	mkdir small
	mount -t tmpfs -o size=100k none small || lacks "cannot mount"
	run -1 "$GAIT" replay long.gait --local --no-attribution -o small/run.gait
	ls small >files
	umount small
	[ "$output" = "gait: cannot keep the rows of 'long.gait/requests.csv' in 'small': No space left on device" ]
	[ ! -s files ]
}

@test "wrong use" {
	run -2 "$GAIT" replay "$TRACE" --local
	[[ "$output" == "gait: where does the run go?"* ]]
	run -2 "$GAIT" replay "$TRACE" -o run.gait
	[[ "$output" == "gait: who plays the service?"* ]]
	run -2 "$GAIT" replay "$TRACE" --local --node :1 -o run.gait
	[[ "$output" == "gait: who plays the service?"* ]]
	run -2 "$GAIT" replay "$TRACE" --node 10.0.0.1 -o run.gait
	[[ "$output" == *"'10.0.0.1' has no port: write HOST:PORT"* ]]
	run -2 "$GAIT" replay "$TRACE" --node tls://10.0.0.1:1 -o run.gait
	[[ "$output" == "gait: where is the node told what to play?"* ]]
	run -2 "$GAIT" replay "$TRACE" --local --control 10.0.0.1:1 -o run.gait
	[[ "$output" == "gait: --control is that of a --node"* ]]
	run -2 "$GAIT" replay "$TRACE" --node :1 --dir x -o run.gait
	[[ "$output" == "gait: --dir is for --local"* ]]
}
