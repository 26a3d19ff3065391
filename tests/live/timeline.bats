#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --timeline: what requests went through, in its order. Each computes, sleeps, and computes half as much;
# whatever happens besides, its stretches have the sums of its row.

# shellcheck disable=SC2154 # at is set by start_as
load helper
load ../cli/walk

setup() {
	require_bpf
	walk_setup
}

teardown() {
	walk_teardown
}

# Of how many requests the stretches follow each other from arrival (read, without probes) to end, and sum up to
# the row of latency.csv; then of how many not.
agreeing() { # RUN
	{ head -n 1 "$1/timeline.csv"; sed 1d "$1/timeline.csv" | sort -t, -k1,1n -k4,4n; } >timeline_sorted
	awk -F, '
		FNR == 1 { delete at; for (i = 1; i <= NF; i++) { at[$i] = i; name[FILENAME, i] = $i } next }
		FILENAME ~ /requests/ { arrival[$at["request_id"]] = $at["arrival_ns"] == "" ? $at["read_ns"] : $at["arrival_ns"]; end[$at["request_id"]] = $at["end_ns"] }
		FILENAME ~ /timeline/ {
			id = $at["request_id"]
			if (!(id in until)) until[id] = arrival[id]
			if (until[id] != $at["from_ns"]) bad[id] = 1
			until[id] = $at["until_ns"]
			row = $at["subsystem"] "_ns"
			gsub(/\./, "_", row)
			sum[id, row] += $at["until_ns"] - $at["from_ns"]
		}
		FILENAME ~ /latency/ && $at["service_id"] > 0 {
			id = $at["request_id"]
			if (until[id] != end[id]) bad[id] = 1
			for (i = 1; i <= NF; i++) {
				row = name[FILENAME, i]
				if (row ~ /_ns$/ && row != "total_ns" && sum[id, row] + 0 != $i + 0) bad[id] = 1
			}
			n++
		}
		END { for (id in bad) wrong++; print n - wrong, wrong + 0 }' \
		"$1/requests.csv" timeline_sorted "$1/latency.csv"
}

median() {
	sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'
}

# us of user code before and behind the sleep, of each request of the last agreeing()
around() {
	awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ id = $at["request_id"]; row = $at["subsystem"] }
		row == "app.sleep" { slept[id] = 1 }
		row == "cpu.user" { us[id, slept[id] + 0] += ($at["until_ns"] - $at["from_ns"]) / 1000 }
		END { for (id in slept) print us[id, 0], us[id, 1] }' timeline_sorted
}

@test "stretches come in the order of what was done, with the sums of the row" {
	start_as node "$GAIT" node
	code=0
	"$GAIT" walk --to "$at" --nt 2 -n 150 -r 50 -C 2ms --sleep 3ms -C 1ms -R 100 --timeline -O run.gait || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ] # late sending is the machine's
	is "$(agreeing run.gait)" "300 0"
	around >us
	is "$(wc -l <us)" 300
	between 1.4 "$(awk '{ print $1 / $2 }' us | median)" 2.8
	# what was put where its row alone says it belongs; of what came too fast it is more
	[ "$(jq .ledger.timeline_lost run.gait/manifest.json)" -gt 0 ] ||
		between 0 "$(jq .ledger.timeline_placed_ns run.gait/manifest.json)" \
			"$(awk -F, 'NR > 1 && $2 == 1 { n += $3 } END { print int(n / 10) }' run.gait/latency.csv)"

	run "$GAIT" show run.gait --request 7
	[[ ${lines[0]} == "request 7: service 1, thread 1, from "* ]]
	[[ $output == *"cpu.user"*"app.sleep"*"cpu.user"* ]]
	is "$("$GAIT" show run.gait --request 7 --json | jq '[.timeline[] | .until_ns - .from_ns] | add')" \
		"$(table run.gait latency request_id service_id total_ns | sed -n 's/^7,1,//p')"
	run --separate-stderr -1 "$GAIT" show run.gait --request 9999
	[[ $stderr == *"'run.gait' has no timeline of request 9999"* ]]

	# again, by a node that counts itself, of a sample
	"$GAIT" replay run.gait --local --attribution user --keep 20% --timeline -o again.gait || [ $? = 3 ]
	kept=$(table again.gait requests request_id | wc -l)
	between 20 "$kept" 200
	is "$(agreeing again.gait)" "$kept 0"
}

@test "a call stands between what was done before it and behind it, and has a timeline of its own" {
	start_as called "$GAIT" node
	called=$at
	start_as node "$GAIT" node
	code=0
	"$GAIT" walk --to "$at" -n 100 -r 100 -C 200us -F "$called" -C 500us -R 50 -C 200us -R 100 \
		--timeline -O run.gait || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	is "$(agreeing run.gait)" "200 0"
	is "$(awk -F, '$2 == 1 && ($6 == "cpu.user" || $6 == "call") && $6 != last[$1] { order[$1] = order[$1] " " $6; last[$1] = $6 }
		END { for (id in order) if (order[id] ~ /^ cpu.user call/ && order[id] ~ /call cpu.user$/) n++; print n + 0 }' \
		timeline_sorted)" 100
	is "$(awk -F, '$2 == 2 && $6 == "call"' timeline_sorted)" ""
}

@test "only a run has timelines" {
	run --separate-stderr -2 "$GAIT" walk --to :1 --timeline
	[[ $stderr == *"name it with -O X.gait"* ]]
}
