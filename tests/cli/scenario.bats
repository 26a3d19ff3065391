#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait walk's scenario files: what they come to, as --dry-run and --plan-only show it, what they do
# to nodes, and what is said of those that are wrong.

# shellcheck disable=SC2030,SC2031,SC2054,SC2094,SC2119,SC2120,SC2154 # specs have commas; run sets stderr
load walk

setup() {
	walk_setup
	cat >shop.yaml <<-'END'
		services:
		  front: 10.0.0.7
		  db: "10.0.0.8:80"
		to: front
		threads: 4
		seed: 9
		request: 200
		timeout: 2s
		classes:
		  - name: read
		    weight: 9
		    request: 100
		    ops: -C 10us -F db,timeout=5ms -L 4k -R 4k -R 4k
		  - name: write   # two more words than it looks
		    ops: [-C 20us, "-S 4k,sync", -s 1, -R 64, -R 65]
		  - {weight: 0.5, ops: -R 1k, request: "exp:2k"}
		phases:
		  - {rate: 100, duration: 2s}
		  - {rate: "aseq:min=200:max=600:step=200", every: 500ms, duration: 1500ms}
		  - {name: top, rate: 1000, requests: 500}
	END
}

teardown() {
	walk_teardown
}

# start_node OPTION...: one more; sets $port
start_node() {
	start_as "node.${#nodes[@]}" "$GAIT" node --no-attribution "$@"
}

# wrong WORDS <<TEXT: a scenario of that text is refused with these words behind "gait: x.yaml:"
wrong() {
	cat >x.yaml
	run -2 --separate-stderr "$GAIT" walk --dry-run x.yaml
	[ -z "$output" ]
	[[ ${stderr_lines[0]} == "gait: x.yaml:$1"* ]] || {
		printf 'says: %s\n' "${stderr_lines[0]}"
		return 1
	}
}

@test "a scenario is options: services, classes as skips, phases as the steps of a rate" {
	run -0 --separate-stderr "$GAIT" walk --dry-run shop.yaml
	diff <(echo "$output") - <<-'END'
		--to 10.0.0.7:7891
		--num-pkts 1300
		--num-threads 4
		--num-sessions 1
		--seed 9
		--rate values:100:100:100:100:200:400:600:1000
		--rate-step-secs 500000000ns
		--ps 200
		-s 3,prob=0.142857142857,every=1
		-C 10000ns
		-F 10.0.0.8:80,timeout=5000000ns,retry=0,nack=1,size=100
		-L size=4000,dev=0
		-R size=4000
		-R size=4000
		-s 5,prob=0.333333333333,every=1
		-C 20000ns
		-S size=4000,sync,dev=0
		-s 1,prob=1,every=1
		-R size=64
		-R size=65
		-R size=1000
	END
}

@test "options beside it win, before it and behind it" {
	run -0 "$GAIT" walk --nt 2 --dry-run shop.yaml --to :99 -n 7
	[[ $output == *"--to localhost:99"*"--num-pkts 7"*"--num-threads 2"* ]]
	run -2 "$GAIT" walk shop.yaml -C 5us
	[[ $output == *"'-C': it stands behind the reply"* ]]
	run -2 "$GAIT" walk shop.yaml shop.yaml
	run -0 "$GAIT" walk --dry-run <(printf 'classes: [{ops: -C 1us}]')
	[[ $output == *"-C 1000ns
-R size=512" ]]
}

@test "requests are drawn in the proportion of the weights, with sizes and ops of their class" {
	run -0 "$GAIT" walk shop.yaml --plan-only -O plan.gait
	[ "$(table plan.gait classes name | paste -sd' ')" = "read write class-3" ]
	[ "$(table plan.gait classes signature | paste -sd,)" = \
		"compute forward reply,compute store reply reply,reply" ]
	# 5200 requests, 9 : 1 : 0.5, within four deviations of chance
	table plan.gait classes requests | awk '
		{ n += $1; part = (NR == 1 ? 9 : NR == 2 ? 1 : 0.5) / 10.5
		  far = $1 - 5200 * part; if (far * far > 16 * 5200 * part * (1 - part)) bad = 1 }
		END { exit bad || n != 5200 }'
	[ "$(table plan.gait requests class_id request_bytes response_bytes | grep -v ^3 | sort -u)" = \
		"1,100,4000
2,200,65" ]
	table plan.gait requests class_id request_bytes response_bytes | awk -F, '
		$1 == 3 { n++; sum += $2; if ($3 != 1000) exit 1 }
		END { exit sum / n < 1500 || sum / n > 2500 }'
	for i in 1 2 3; do
		[ "$(table plan.gait requests class_id | grep -cx $i)" = \
			"$(table plan.gait classes requests | sed -n ${i}p)" ]
	done
	# arrivals of four threads in each half second
	[ "$(table plan.gait requests arrival_ns | awk '{ n[int($1 / 5e8)]++ }
		END { for (i = 0; i < 8; i++) printf "%d ", n[i] }')" = \
		"200 200 200 200 400 800 1200 2000 " ]
}

@test "nodes do for each class what it says, and the run tells them apart" {
	start_node
	local front=$port code=0

	start_node
	printf '%s\n' "services: {front: ':$front', db: ':$port'}" 'to: front' 'classes:' \
		'- {name: call, weight: 2, request: 300, ops: -F db -C 10us -R 100 -R 200}' \
		'- {name: plain, ops: -C 5us -R 50}' 'phases: [{rate: 500, requests: 300}]' >two.yaml
	"$GAIT" walk two.yaml -O run.gait -o table.csv 2>said || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	[ "$(jq .ledger.answered run.gait/manifest.json)" = 300 ]
	[ "$(table run.gait classes name | paste -sd' ')" = "call plain" ]
	[ "$(table run.gait classes requests | awk '{ n += $1 } END { print n }')" = 300 ]
	[ "$(table run.gait requests class_id request_bytes response_bytes | grep '^[12]' | sort -u)" = \
		"1,300,200
2,1024,50" ]
	[ "$(table run.gait ops kind service_id | grep -c forward,1)" = \
		"$(table run.gait classes requests | head -n 1)" ]
	[ "$(table run.gait requests parent_id | grep -c .)" = "$(table run.gait classes requests | head -n 1)" ]
	"$GAIT" walk two.yaml -O plan.gait --plan-only
	diff <(table plan.gait requests request_id class_id request_bytes response_bytes | sort) \
		<(table run.gait requests request_id class_id request_bytes response_bytes |
			grep -v ',,' | sort)
}

@test "a period, for a single phase" {
	run -0 "$GAIT" walk --dry-run <(printf 'phases: [{period: "exp:2ms", requests: 50}]')
	[[ $output == *"--num-pkts 50"*"--period exp:avg=2000000ns"* ]]
	wrong '3: phases[1].period: only a single phase may have it' <<-END
		phases:
		- {rate: 5, duration: 1s}
		- {period: 5ms, requests: 7}
	END
	wrong '1: phases[0]: with a '\''period'\'' it has '\''requests'\''' <<<'phases: [{period: 5ms, duration: 7s}]'
}

@test "ops that wait for one another as they say: calls that do not are made at once" {
	cat >graph.yaml <<-'END'
		services: {db: ":1", ads: ":2", log: ":3"}
		to: ":9"
		classes:
		  - ops:
		      - {name: parse, do: -C 20us}
		      - {name: user, do: "-F db -L 4k -R 1k"}
		      - {name: ads, do: "-Fads,timeout=10s -C 50us -R 2k", after: parse}
		      - {name: more, do: "-F log -R 1", after: [user, ads]}
		      - {name: most, do: "-F db -R 2", after: [ads, user]}
		      - {do: -C 100us, after: [more, most]}
		      - -R 8k
	END
	run -0 --separate-stderr "$GAIT" walk --dry-run graph.yaml
	diff <(tail -n +8 <<<"$output" | sed -E 's/,(timeout|retry)=[^,]*//g; s/,size=1024//') - <<-'END'
		-C 20000ns
		-F localhost:1,nack=2,branch
		-L size=4000,dev=0
		-R size=1000
		-F localhost:2,nack=2,branch
		-C 50000ns
		-R size=2000
		-C 0ns
		-F localhost:3,nack=2,branch
		-R size=1
		-F localhost:1,nack=2,branch
		-R size=2
		-C 100000ns
		-R size=8000
	END
	wrong "3: classes[0].ops[1].after: there is no op 'x' above" <<-END
		classes:
		- ops: [{name: a, do: -C 1},
		        {do: -C 1, after: x}]
	END
	wrong "1: classes[0].ops[0].after: there is no op 'a' above" <<<'classes: [{ops: [{name: a, do: -C 1, after: a}]}]'
	wrong "1: classes[0].ops[1].name: 'a' comes twice" <<<'classes: [{ops: [{name: a, do: -C 1}, {name: a, do: -R}]}]'
	wrong "1: classes[0].ops[0]: it has no 'do'" <<<'classes: [{ops: [{name: a}]}]'
	wrong "1: classes[0].ops[1]: it does not wait for op 0, but here it would have to" \
		<<<'classes: [{ops: ["-F :1 -R", {do: -C 1, after: []}]}]'
	wrong "1: classes[0].ops[2]: it does not wait for op 1, but here it would have to" \
		<<<'classes: [{ops: [{name: a, do: "-F :1 -R"}, {do: "-F :2 -R", after: []}, {do: "-F :3 -R", after: a}]}]'
}

@test "several clients at once: each with its load, files and summary" {
	start_node
	local front=$port code=0

	start_node
	printf '%s\n' "services: {front: ':$front', db: ':$port'}" 'to: front' \
		'phases: [{rate: 200, requests: 200}]' 'clients:' \
		'- {name: web, classes: [{ops: -C 10us -R 100}]}' \
		'- {name: batch, to: db, request: 300, threads: 2, phases: [{rate: 50, requests: 50}]}' >both.yaml
	"$GAIT" walk both.yaml -O run.gait -o table.csv --json >said.json || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	[ "$(jq -c '.clients | map_values(.answered)' said.json)" = '{"web":200,"batch":100}' ]
	[ "$(wc -l <table.web.csv) $(wc -l <table.batch.csv)" = "200 100" ]
	[ "$(table run.web.gait requests response_bytes | sort | uniq -c | xargs)" = "200 100" ]
	[ "$(table run.batch.gait requests request_bytes | sort | uniq -c | xargs)" = "100 300" ]
	# one start: what was due first was due at the same time, of a second of load each
	[ "$(jq .start_monotonic_ns run.web.gait/manifest.json)" = \
		"$(jq .start_monotonic_ns run.batch.gait/manifest.json)" ]
	# where one cannot begin, none does
	run -1 --separate-stderr "$GAIT" walk <(sed "s/:$port/:1/" both.yaml)
	[[ $stderr == *"web:"*"did not begin"*"batch:"*"cannot reach the node"* ]]
	[[ $stderr != *"answered 200"* ]]
	run -2 "$GAIT" walk both.yaml -o -
	[[ $output == *"several clients need a file each"* ]]
	wrong "2: clients[1]: 'client-2' comes twice" <<<$'clients: [{name: client-2},\n{}]'
	wrong "1: clients[0].name: a name has letters" <<<'clients: [{name: a/b}]'
	wrong "1: clients[0]: there is no field 'seed' here" <<<'clients: [{seed: 5}]'
}

@test "what is wrong is named with file, line and field" {
	wrong "3: there is no field 'theads' here" <<-END
		seed: 1

		theads: 5
	END
	wrong "2: 'seed' comes twice" <<<$'seed: 1\nseed: 2'
	wrong "1: seed: 'x' is not a whole number" <<<'seed: x'
	wrong "1: threads: '0' is not within 1 .. 65536" <<<'threads: 0'
	wrong "1: timeout: it must be above 0" <<<'timeout: 0'
	wrong "1: request: '5x' is not a size" <<<'request: 5x'
	wrong "1: request: cannot open 'y'" <<<'request: file:y'
	wrong "2: to: 'http://x' begins" <<<$'\nto: http://x'
	wrong "1: services: 'to' must say" <<<'services: {a: ":1"}'
	wrong "1: services: 'a=b' is no name" <<<'services: {a=b: ":1"}'
	wrong "3: services.b: " <<<$'services:\n  a: ":1"\n  b: ":99999"\nto: a'
	wrong "1: classes: it must be a list" <<<'classes: {ops: -R 1}'
	wrong "1: classes: it has 0 items" <<<'classes: []'
	wrong "2: classes[0]: it has no 'ops'" <<<$'classes:\n- {name: x}'
	wrong "3: classes[1].weight: '-1' is no number" <<<$'classes:\n- {ops: -R 1}\n- {ops: -R 1, weight: -1}'
	wrong "2: classes[0].ops: word 3 of the chain, '-C': it stands behind" <<<$'classes:\n- ops: -R 1 -C 5'
	wrong "1: classes[0].ops: word 1 of the chain, 'X'" <<<'classes: [{ops: X}]'
	wrong "1: phases[0]: either 'duration' or 'requests'" <<<'phases: [{rate: 5}]'
	wrong "1: phases[0]: either 'duration' or 'requests'" <<<'phases: [{rate: 5, requests: 1, duration: 1s}]'
	wrong "1: phases[0].rate: it must be above 0" <<<'phases: [{rate: 0, duration: 1s}]'
	wrong "1: phases[0].rate: it must be above 0" <<<'phases: [{rate: 0, requests: 1}]'
	wrong "1: phases[0].requests: they take for ever" <<<'phases: [{rate: 0.001, requests: 1000000000}]'
	wrong "1: phases[0].requests: they take no time" <<<'phases: [{rate: 10000000000, requests: 1}]'
	wrong "1: phases[0]: its rate changes" <<<'phases: [{rate: "exp:5", duration: 1s}]'
	wrong "1: phases[0].every: the phase does not last" <<<'phases: [{rate: "exp:5", every: 3s, duration: 10s}]'
	wrong "1: phases: their lengths have no common measure" <<<'phases: [{rate: 1, duration: 1s}, {rate: 2, duration: 1000000001ns}]'
	wrong "3: did not find expected" <<<$'a: [1,\nb: 2'
	wrong "1: it must have fields" <<<'just words'
	wrong "1: there is nothing in it" <<<''
	wrong "1: found undefined alias" <<<'*x'
	wrong "1: phases[0]: it must have fields" <<<'phases: &a [*a]'
	wrong "1: classes[0].ops: a value is missing" <<<'classes: [{ops: }]'
	wrong "1: classes[0].ops: it is not text" <<<'classes: [{ops: "-R\0"}]'
	for i in $(seq 200); do
		echo "- ops: [$(printf -- '-C 1us, %.0s' 1 2 3 4 5) -R 1]"
	done | sed '1i classes:' | wrong "2: classes: "
	run -2 "$GAIT" walk nowhere.yaml
	[[ $output == "gait: cannot open scenario 'nowhere.yaml': No such file"* ]]
	head -c 1048577 /dev/zero | tr '\0' ' ' >long.yaml
	run -2 "$GAIT" walk long.yaml
	[[ $output == "gait: scenario 'long.yaml' is longer than 1048576 bytes"* ]]
}

@test "every beginning of a scenario is taken, or refused with a line" {
	local size code

	size=$(wc -c <shop.yaml)
	for ((n = 0; n < size; n += 7)); do
		head -c "$n" shop.yaml >cut.yaml
		code=0
		"$GAIT" walk --dry-run cut.yaml >out 2>err || code=$?
		[ "$code" = 0 ] || { [ "$code" = 2 ] && grep -q '^gait: cut.yaml:[0-9]*: ' err; } || {
			printf '%s bytes: exit code %s\n' "$n" "$code"
			return 1
		}
	done
}
