#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait walk and replay --agents HOST:PORT,...: gait agents on other hosts act as one client; and whom a
# node on another host calls. Each host is a network namespace; one of them has another clock too, 1000 s ahead.

# shellcheck disable=SC2154 # at and port are set by start_as
load walk
load ../lacks

setup() {
	walk_setup
	[ "$(id -u)" = 0 ] || lacks "needs root for network namespaces"
	hosts=()
	"$GAIT" keys new a.key
	new_host
	new_host
	new_host
	joined 1 10.78.1
	joined 2 10.78.2
	on 0 start_as node "$GAIT" node --no-attribution --key a.key --listen 0.0.0.0:0
	port_of_node=$port
	to=10.78.1.1:$port
	on 1 start_as first "$GAIT" agent --key a.key --listen 10.78.1.2:0
	first=$node first_at=$at
	prefix=(unshare --time --monotonic 1000)
	on 2 start_as second "${prefix[@]}" "$GAIT" agent --key a.key --listen 10.78.2.2:0
	second_at=$at
}

teardown() {
	walk_teardown
	for pid in "${hosts[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
}

elsewhere() { # PID
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

# A process that keeps a network namespace for as long as it lives
new_host() {
	unshare --net sleep 120 3>&- &
	hosts+=($!)
	await elsewhere $!
	nsenter --net --target $! ip link set lo up
}

# on HOST COMMAND...: there; start_as gives its place to what it starts
on() {
	local enter=(nsenter --net --target "${hosts[$1]}")

	shift
	if [ "$1" = start_as ]; then
		start_as "$2" "${enter[@]}" "${@:3}"
	else
		"${enter[@]}" "$@"
	fi
}

# joined HOST NETWORK: host 0 has .1 in it, that one .2, and its way to all of host 0
joined() {
	on 0 ip link add "to$1" type veth peer name eth netns "${hosts[$1]}"
	on 0 ip addr add "$2.1/24" dev "to$1"
	on 0 ip link set "to$1" up
	on "$1" ip addr add "$2.2/24" dev eth
	on "$1" ip link set eth up
	on "$1" ip route add default via "$2.1"
}

walks() { # OPTION...
	on 0 timeout 60 "$GAIT" walk --to "$to" --key a.key "$@"
}

# connections that the node has from each host, "COUNT HOST"
shares() {
	on 0 ss -tnH state established "( sport = :$port_of_node )" | awk '{ print $4 }' |
		grep -v "^10.78.1.1\|::ffff:10.78.1.1" | sed 's/.*\(10\.78\.[12]\.2\).*/\1/' | sort | uniq -c |
		awk '{ print $1, $2 }'
}

all_are_open() {
	[ "$(shares | paste -sd' ')" = "4 10.78.1.2 4 10.78.2.2" ]
}

# of requests with odd or even ids: least time from due to read at the node, in us
least_way() { # PARITY
	table run.gait requests connection_id intended_ns read_ns | awk -F, -v parity="$1" '
		$1 % 2 == parity { way = $3 - $2; if (!n++ || way < least) least = way }
		END { if (n) printf "%d\n", least / 1000 }'
}

@test "what agents on two hosts did is one walk: rows, counts, histograms, one start" {
	walks --nt 8 -n 250 -r 1000 -R 64 --ps 64 --agents "$first_at,$second_at" -O run.gait \
		--nano -o rows.csv --json >summary.json || [ $? = 3 ] # late, on a busy machine
	is "$(jq -c '[.sent, .answered, .errors, .latency.count, .failure]' summary.json)" \
		'[2000,2000,0,2000,""]'
	is "$(wc -l <rows.csv)" 2000
	is "$(cut -d, -f3,4 rows.csv | sort -u | wc -l)" 2000
	is "$(jq .service.max_ns summary.json)" "$(cut -d, -f2 rows.csv | sort -n | tail -1)"
	is "$(table run.gait requests request_id | sort -u | wc -l)" 2000
	# the clock that is 1000 s ahead is known as well as is said
	between 0 "$(jq '.agents[0] | .clock_bound_ns - (.clock_offset_ns | fabs)' summary.json)" 1e9
	between 0 "$(jq '.agents[1] | .clock_bound_ns - (.clock_offset_ns - 1e12 | fabs)' \
		summary.json)" 1e9
	between 1 "$(jq '[.agents[].clock_bound_ns] | max' summary.json)" 20000000
	# connections 1, 3, ... are the first agent's
	between -1000 "$(least_way 1)" 100000
	between -1000 "$(least_way 0)" 100000
}

@test "an agent that is killed in mid-run: the walk ends and says so" {
	walks --nt 8 -n 1000000 -r 10 --agents "$first_at,$second_at" 2>walk.err &
	client=$!
	await all_are_open
	kill -KILL "$first"
	status=0
	wait "$client" || status=$?
	is "$status" 1
	grep "^gait: the agent at $first_at" walk.err
}

replays() { # OPTION...
	on 0 timeout 60 "$GAIT" replay made.gait --node "$to" --key a.key --no-attribution -o run.gait "$@"
}

# as requests_of_trace, of what was sent: every request once, with its sizes and when it was due
shape() { # TRACE TIME
	table "$1" requests request_id connection_id "$2" request_bytes response_bytes | sort
}

@test "what agents on two hosts replayed is one run: every request once, when it was due" {
	"$GAIT" walk --nt 8 -n 200 -r 500 --ps unif:min=50:max=90 -R unif:min=10:max=99 --plan-only \
		-O made.gait
	replays --agents "$first_at,$second_at,$first_at" --json >summary.json || [ $? = 3 ]
	is "$(jq -c '[.ledger.sent, .ledger.answered, .planned, .failure]' summary.json)" \
		'[1600,1600,1600,""]'
	# as one client plans it, by our clock: what agents tell is off by the error of theirs
	shape made.gait arrival_ns | awk -F, -v OFS=, '{ $3 = int($3 / 1e6 + 0.5); print }' >want
	shape run.gait intended_ns | awk -F, -v OFS=, '{ $3 = int($3 / 1e6 + 0.5); print }' >got
	cmp want got
	between 1 "$(jq '[.agents[].clock_bound_ns] | max' summary.json)" 20000000
	between 999e9 "$(jq '.agents[1].clock_offset_ns' summary.json)" 1001e9
	for id in 1 2 3; do # the first of each agent
		between -1000 "$(table run.gait requests connection_id intended_ns read_ns | awk -F, -v id=$id '
			$1 == id { way = $3 - $2; if (!n++ || way < least) least = way }
			END { if (n) printf "%d\n", least / 1000 }')" 100000
	done
}

@test "an agent that is killed in mid-run: the replay ends, is INVALID and says so" {
	"$GAIT" walk --nt 8 -n 10000 -r 10 --plan-only -O made.gait
	replays --agents "$first_at,$second_at" 2>replay.err >replay.out &
	client=$!
	await all_are_open
	kill -KILL "$first"
	status=0
	wait "$client" || status=$?
	is "$status" 1
	grep "^gait: the agent at $first_at" replay.err
	jq -r .run.verdict run.gait/manifest.json | grep '^INVALID because it was cut short: the agent at'
	grep -c . run.gait/requests.csv # what the other one did
}

@test "a node calls only whom its operator allowed" {
	on 2 start_as behind "$GAIT" node --no-attribution --key a.key --listen 10.78.2.2:0
	behind_at=$at
	run -1 walks -n 3 -F "$behind_at" -R -R
	[[ "$output" == *"the node refuses: it calls nobody at $behind_at"* ]]
	walks -n 3 -F "127.0.0.1:$port_of_node" -R -R --json >summary.json || [ $? = 3 ]
	is "$(jq .answered summary.json)" 3
	on 0 start_as free "$GAIT" node --no-attribution --key a.key --listen 10.78.2.1:0 \
		--forward-to 10.0.0.1,10.78.2.0/24
	walks --to "$at" -n 3 -F "$behind_at" -R -R --json >summary.json || [ $? = 3 ]
	is "$(jq .answered summary.json)" 3
}

@test "an agent serves only who has its key, and is no node" {
	"$GAIT" keys new b.key
	run -1 on 1 "$GAIT" agent --listen 10.78.1.2:0
	[[ "$output" == "gait: others than this machine can reach 10.78.1.2:"* ]]
	on 0 start_as open "$GAIT" node --no-attribution --insecure --listen 10.78.1.1:0
	run -1 on 0 "$GAIT" walk --to "$at" --agents "$first_at"
	[[ "$output" == *"the agent at $first_at: the agent serves only who proves itself"* ]]
	on 0 start_as other "$GAIT" node --no-attribution --key b.key --listen 10.78.1.1:0
	run -1 on 0 "$GAIT" walk --to "$at" --key b.key --agents "$first_at"
	[[ "$output" == *"has another key"* ]]
	run -1 walks --agents "$to"
	[[ "$output" == *"the agent at $to is none, it is a node"* ]]
	run -1 walks --to 127.0.0.1:1 --agents "$first_at"
	[[ "$output" == *"127.0.0.1:1"* ]]
}
