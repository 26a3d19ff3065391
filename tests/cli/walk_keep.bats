#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait walk --keep: rows of a sample and of the slowest, and totals of all, against the table of all.

# shellcheck disable=SC2154 # run sets stderr
load walk

setup() {
	walk_setup
}

teardown() {
	walk_teardown
}

sum() { # COLUMN WHERE of totals.csv
	table run.gait totals service_id "$1" | awk -F, -v service="$2" '$1 == service { n += $2 } END { print n + 0 }'
}

@test "all are counted, few have rows, and what took long is among them" {
	start_as node "$GAIT" node --no-attribution
	# a sleep of 2 s in one of 500: nothing else on a busy machine takes so long
	code=0
	"$GAIT" walk --to ":$port" -n 4000 -r 2000 -s 1,prob=0.998 --sleep 2s -C 5us -R 100 \
		-O run.gait --keep 1% --keep-slowest 10 -o all.csv,header=false --nano || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ] # late sending is the machine's

	for entry in sent answered requests_summed; do
		is "$(jq ".ledger.$entry" run.gait/manifest.json)" 4000
	done
	is "$(jq .ledger.rows_gone run.gait/manifest.json)" 0
	is "$(sum requests 0)" 4000
	is "$(sum requests 1)" 4000
	is "$(table run.gait classes requests)" 4000
	is "$(table run.gait connections requests)" 4000

	table run.gait requests request_id | sort >kept
	between 10 "$(wc -l <kept)" 250
	is "$(sort -u kept | wc -l)" "$(wc -l <kept)"
	for service in 0 1; do # both ends kept the same
		is "$(table run.gait latency request_id service_id | awk -F, -v s=$service '$2 == s { print $1 }' | sort)" \
			"$(cat kept)"
	done
	is "$(table run.gait ops request_id | sort -u)" "$(cat kept)"
	awk -F, '$2 >= 2e9 { print $3 + 1 }' all.csv | sort >slow
	between 1 "$(wc -l <slow)" 30
	is "$(comm -23 slow kept)" ""

	run "$GAIT" report run.gait
	[ "$status" = "$code" ]
	[[ $output == *"SAMPLE: $(wc -l <kept) of 4,000 requests have rows"* ]]
	run --separate-stderr -1 "$GAIT" replay run.gait --local -o again.gait
	[[ $stderr == *"rows of a sample of its requests alone (--keep)"* ]]
	is "$("$GAIT" show --json run.gait | jq .requests.server_span_ns.count)" 4000
	run --separate-stderr "$GAIT" report --json --against run.gait run.gait # of all as well
	is "$(jq -c '[.replay.requests, .services[0].replay.requests, .fidelity["bytes in"].replay]' <<<"$output")" \
		"[4000,4000,null]"
	is "$(jq '.fidelity.rate.replay + 0.5 | floor' <<<"$output")" \
		"$(jq '4000e9 / .duration_ns + 0.5 | floor' run.gait/manifest.json)"
}

@test "what is no share of a run is refused" {
	run --separate-stderr -2 "$GAIT" walk --to :1 -O run.gait --keep 7
	[[ $stderr == *"--keep: '7' is no share of the requests such as 1%"* ]]
	run --separate-stderr -2 "$GAIT" walk --to :1 --keep 1%
	[[ $stderr == *"name it with -O X.gait"* ]]
}
