#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The run that gait walk writes, against the table of the same walk and against its replay.

# shellcheck disable=SC2030,SC2031,SC2054,SC2094,SC2119,SC2120,SC2154 # specs have commas; run sets stderr
load walk

setup() {
	walk_setup
	mkdir store
}

teardown() {
	walk_teardown
}

# start_node OPTION...: one more; sets $port
start_node() {
	start_as "node.${#nodes[@]}" "$GAIT" node --no-attribution "$@"
}

# finished COMMAND...: it ran to its end. Late sending, which makes it exit with 3, is the machine's.
finished() {
	local code=0

	"$@" >said 2>complaint || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ] || {
		cat complaint
		return 1
	}
}

count() { # LEDGER ENTRY of run.gait
	jq ".ledger.$1" "${2:-run.gait}/manifest.json"
}

# What requests are: identity, sizes, and when they are due.
requests_of() {
	table "$1" requests request_id connection_id request_bytes response_bytes "${2:-intended_ns}" |
		sort -t, -n
}

# Ops of each request in their order; the work of a compute comes apart.
ops_of() {
	table "$1" ops request_id op_id kind work bytes offset target_id flags |
		awk -F, -v OFS=, '$3 == "compute" || $3 == "lock" { $4 = "" } { print }' |
		sort -t, -k1,1n -k2,2n | cut -d, -f1,3-
}

works_of() { # of computes and locks
	table "$1" ops request_id kind work | grep -E ',(compute|lock),' | sort -t, -k1,1n -k2,2
}

CHAIN=(-C exp:30us -S 4k,nosync --sleep exp:300us -L offset=100,size=unif:min=1:max=3000
	--lock 5us,id=3 --memory 8ki --kernel stat,count=2 -s 1,prob=0.5 --sync-data -R exp:400)

@test "the run has what the table has, and its parts add up" {
	start_node --storage "$PWD/store/device"
	finished "$GAIT" walk --to ":$port" -n 60 --nt 3 --ns 2 -r 300 --ps unif:min=30:max=3000 \
		"${CHAIN[@]}" -O run.gait -o table.csv --nano
	[ "$(wc -l <table.csv)" = 180 ]
	diff <(awk -F, '{ print $3 * 3 + $4 + 1 "," $5 * 3 + $4 + 1 "," $1 "," $2 }' table.csv | sort -n) \
		<(table run.gait requests request_id connection_id sent_ns received_ns |
			awk -F, '{ print $1 "," $2 "," $3 "," $4 - $3 }' | sort -n)
	for entry in requests sent answered; do
		[ "$(count $entry)" = 180 ]
	done
	[ "$(count unsent)" = 0 ]
	[ "$(count connections)" = 6 ]
	[ "$(table run.gait connections connection_id requests | sort -n)" = "$(printf '%s,30\n' 1 2 3 4 5 6)" ]
	[ "$(table run.gait requests outcome | sort -u)" = ok ]
	[ "$(table run.gait latency service_id | sort | uniq -c | awk '{ print $2, $1 }')" = "0 180
1 180" ]
	awk -F, 'NR > 1 { for (i = 4; i <= NF; i++) $3 -= $i; bad += $3 != 0 } END { exit bad || NR != 361 }' \
		run.gait/latency.csv
	# late is what it was, and the call what the node says
	diff <(table run.gait requests request_id sent_ns intended_ns | awk -F, '{ print $1 "," $2 - $3 }' | sort) \
		<(table run.gait latency service_id request_id client_late_ns | sed -n 's/^0,//p' | sort)
	[ "$(jq -r .source run.gait/manifest.json)" = walk ]
	[[ $(jq -r .filter run.gait/manifest.json) == "-C exp:avg=30000ns -S "* ]]
	finished "$GAIT" show run.gait
	[[ $(<said) == *"compute store sleep load lock memory kernel sync reply"* ]]
	finished "$GAIT" report run.gait
}

@test "a replay of the run sends the same requests at the same times, and its ops are the same" {
	start_node --storage "$PWD/store/device"
	finished "$GAIT" walk --to ":$port" -n 60 --nt 3 --ns 2 -r 300 --ps unif:min=30:max=3000 \
		"${CHAIN[@]}" -O run.gait -o table.csv
	finished "$GAIT" replay run.gait --local --no-attribution -o again.gait
	diff <(requests_of run.gait) <(requests_of again.gait)
	diff <(ops_of run.gait) <(ops_of again.gait)
	[ "$(ops_of run.gait | cut -d, -f2 | sort | uniq -c | awk '$1 == 180' | wc -l)" = 8 ]
	# but a node takes what it needs for itself off its largest compute
	diff <(works_of run.gait | grep lock) <(works_of again.gait | grep lock)
	diff <(works_of run.gait | head -n 60) <(works_of again.gait | head -n 60)
	# and once more: a run of a run
	finished "$GAIT" replay again.gait --local --no-attribution -o third.gait
	diff <(requests_of run.gait) <(requests_of third.gait)
	diff <(ops_of run.gait) <(ops_of third.gait)
}

@test "the plan alone is the walk that would be" {
	start_node --storage "$PWD/store/device"
	local load=(-n 40 --nt 2 -r 200 --ps unif:min=30:max=3000 --seed 5 -C exp:30us
		-S "offset=unif:min=0:max=100000,size=4k,nosync" --sleep exp:300us -s 1,prob=0.5 -C 1us
		-R exp:400)

	run -0 --separate-stderr "$GAIT" walk --to ":$port" "${load[@]}" -O plan.gait --plan-only
	[ -z "$output" ]
	[[ $stderr == "planned 80 requests, "*" operations: 'plan.gait'" ]]
	[ "$(table plan.gait requests arrival_ns | sort -n | uniq -c | awk '{ print $2, $1 }')" = \
		"$(for i in $(seq 0 39); do echo "$((i * 5000000)) 2"; done)" ]
	finished "$GAIT" walk --to ":$port" "${load[@]}" -O run.gait -o table.csv
	diff <(table plan.gait requests request_id connection_id request_bytes response_bytes | sort) \
		<(table run.gait requests request_id connection_id request_bytes response_bytes | sort)
	diff <(ops_of plan.gait) <(ops_of run.gait)
	diff <(table plan.gait targets target_id kind) <(table run.gait targets target_id kind)
	run -0 "$GAIT" show plan.gait
	finished "$GAIT" replay plan.gait --local --no-attribution -o again.gait
	diff <(requests_of plan.gait arrival_ns) <(requests_of again.gait)
	diff <(ops_of plan.gait) <(ops_of again.gait)
	run -2 "$GAIT" walk --plan-only
	[[ $output == *"--plan-only: name the trace with -O X.gait"* ]]
}

@test "sessions of a plan begin where those before them end" {
	run -0 "$GAIT" walk -n 5 --ns 3 -r 1k --plan-only -O plan.gait
	[ "$(table plan.gait requests connection_id arrival_ns | paste -sd' ')" = \
		"1,0 1,1000000 2,1000000 2,2000000 3,2000000" ]
	[ "$(table plan.gait connections connection_id open_ns close_ns requests | paste -sd' ')" = \
		"1,,1000000,2 2,1000000,2000000,2 3,2000000,,1" ]
	run -0 "$GAIT" walk -n 2 --nt 4 --stag-send -r 1k --plan-only -O staggered.gait
	[ "$(table staggered.gait requests arrival_ns | paste -sd' ')" = \
		"0 250000 500000 750000 1000000 1250000 1500000 1750000" ]
}

@test "requests that fail are in it, with how" {
	start_node
	run -1 "$GAIT" walk --to ":$port" -n 20 -r 1k -s 1,every=2 --sleep 15s -R 100 --timeout 1s \
		-O run.gait -o table.csv
	[ "$(table run.gait requests outcome | sort | uniq -c | awk '{ print $2, $1 }')" = "ok 10
timeout 10" ]
	[ "$(count answered)" = 10 ]
	[ "$(count timeouts)" = 10 ]
	[ "$(table run.gait requests outcome received_ns response_bytes | grep timeout | sort -u)" = "timeout,,0" ]
	[ "$(table run.gait latency service_id | grep -c '^0$')" = 10 ]
	# it replays: all are due when they were
	"$GAIT" replay run.gait --local --no-attribution -o again.gait >said 2>complaint || true
	diff <(table run.gait requests request_id intended_ns | sort) \
		<(table again.gait requests request_id intended_ns | sort)
}

@test "calls of nodes to each other are requests with a parent" {
	start_node
	local to=$port

	start_node
	finished "$GAIT" walk --to ":$to" -n 20 -r 500 -C 5us -F "localhost:$port" -C 7us -R 100 -R 200 \
		-O run.gait -o table.csv
	[ "$(count requests)" = 40 ]
	[ "$(table run.gait requests parent_id service_id response_bytes | grep ',2,' | sort -n)" = \
		"$(for i in $(seq 20); do echo "$i,2,100"; done)" ]
	[ "$(table run.gait requests service_id connection_id response_bytes | sort -u)" = "1,1,200
2,,100" ]
	# each op belongs to the request of the node that did it
	join -t, <(table run.gait requests request_id service_id | sort -t, -k1,1) \
		<(table run.gait ops request_id service_id kind | sort -t, -k1,1) |
		awk -F, '$2 != $3 { bad = 1 } { n[$3 " " $4]++ }
			END { for (i in n) print i, n[i]; if (bad) print "bad" }' | sort >ops
	diff ops - <<-END
		1 compute 20
		1 forward 20
		1 reply 20
		2 compute 20
		2 reply 20
	END
	[ "$(table run.gait targets kind name)" = "service,localhost:$port" ]
	finished "$GAIT" show run.gait
}

# service <- its caller's, of all requests of the run, with the outcome of both
callers() {
	join -t, -1 2 -2 1 <(table run.gait requests request_id parent_id service_id | sort -t, -k2,2) \
		<(table run.gait requests request_id service_id | sort -t, -k1,1) |
		awk -F, '{ n[$3 "<-" $4]++ } END { for (i in n) print i, n[i] }' | sort
}

@test "a call's parent is who made it, also of those that several make, and that are made again" {
	start_node
	local a=$port b c d

	start_node
	b=localhost:$port
	start_node
	c=localhost:$port
	start_node
	d=localhost:$port
	finished "$GAIT" walk --to ":$a" -n 20 -r 200 -F "$b,$c" -C 5us -F "$d" -C 5us -R 100 -F "$d" -R -R 200 \
		-F "$d" -C 1us -R -R 300 -O run.gait -o table.csv
	[ "$(count requests)" = 160 ]
	[ "$(table run.gait requests request_id | sort -u | wc -l)" = 160 ]
	is "$(callers)" "2<-1 20
3<-1 20
4<-1 20
4<-2 40
4<-3 40"
	# and ops are of who did them: two calls of each of the two, two of the first
	is "$(join -t, <(table run.gait requests request_id service_id | sort -t, -k1,1) \
		<(table run.gait ops request_id service_id kind | grep ',forward' | sort -t, -k1,1) |
		awk -F, '$2 == $3 { n[$1]++ } END { for (i in n) m[n[i]]++; print m[2] }')" 60

	# one who answers late is asked again, and each attempt is a request; of the last requests a second
	# one may be under way when all is over
	code=0
	"$GAIT" walk --to ":$a" -n 3 -r 20 -F "$b,timeout=100ms,retry=1" --sleep 150ms -F "$d" -R -R -R 300 \
		-O run.gait --force -o table.csv || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	[[ $(callers) == "2<-1 "[456]$'\n'"3<-2 "[456] ]]
}

@test "a run that is there is kept, unless --force says otherwise" {
	start_node
	finished "$GAIT" walk --to ":$port" -n 3 -O run.gait -o table.csv
	run -1 "$GAIT" walk --to ":$port" -n 4 -O run.gait -o table.csv
	[[ $output == *"'run.gait' holds a trace already: --force replaces it"* ]]
	[ "$(count requests)" = 3 ]
	finished "$GAIT" walk --to ":$port" -n 4 -O run.gait -o table.csv --force
	[ "$(count requests)" = 4 ]
	run -1 "$GAIT" walk -n 4 -O run.gait --plan-only
	run -0 "$GAIT" walk -n 5 -O run.gait --plan-only --force
	[ "$(count requests)" = 5 ]
}

has_rows() { # FILE COUNT
	[ "$(wc -l 2>/dev/null <"$1")" -ge "$2" ]
}

@test "an interrupted walk leaves a run that says so" {
	local code=0

	start_node
	"$GAIT" walk --to ":$port" -n 1000000 -r 1k -O run.gait -o table.csv 2>complaint 3>&- &
	nodes+=($!)
	await has_rows table.csv 1000
	kill -INT "${nodes[-1]}"
	wait "${nodes[-1]}" || code=$?
	unset "nodes[-1]"
	[ "$code" = 1 ]
	[ "$(jq -r .run.verdict run.gait/manifest.json)" = "INVALID because it was cut short: interrupted" ]
	[ "$(count requests)" = "$(count sent)" ]
	[ "$(count sent)" -ge 1000 ]
	[ $(($(count sent) + $(count unsent))) = 1000000 ]
	[ "$(wc -l <table.csv)" = "$(count sent)" ]
	[ -z "$(find run.gait -name '*.partial')" ]
}

@test "a node that dies leaves what the client knows" {
	start_node
	"$GAIT" walk --to ":$port" -n 1000000 -r 1k -O run.gait -o table.csv 2>complaint 3>&- &
	nodes+=($!)
	await has_rows table.csv 1000
	kill -KILL "${nodes[0]}"
	local code=0
	wait "${nodes[1]}" || code=$?
	nodes=()
	[ "$code" = 1 ]
	[[ $(jq -r .run.verdict run.gait/manifest.json) == "INVALID because it was cut short: "* ]]
	[ "$(count requests)" = "$(count sent)" ]
	[ "$(table run.gait requests outcome | grep -c ok)" = "$(count answered)" ]
	[ "$(table run.gait latency service_id | sort -u)" = 0 ]
}
