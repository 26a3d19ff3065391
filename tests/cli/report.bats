#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait report of two traces whose numbers are known. Of two services that call each other each has
# rows of its own.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# trace DIR FACTOR SERVICE...: of each service, which is NUMBER=NAME, 10 requests; the n-th one's take n
# ms times FACTOR, a quarter of which is user CPU and the rest a call.
trace() {
	local dir=$1 factor=$2 service n=0

	shift 2
	mkdir -p "$dir"
	echo 'service_id,host_id,name,threads' >"$dir/services.csv"
	echo 'request_id,service_id,connection_id,arrival_ns,end_ns,request_bytes,response_bytes' >"$dir/requests.csv"
	echo 'request_id,service_id,total_ns,unattributed_ns,cpu_user_ns,call_ns' >"$dir/latency.csv"
	for service; do
		n=$((n + 1))
		echo "${service%%=*},1,${service#*=},1" >>"$dir/services.csv"
		awk -v dir="$dir" -v service="${service%%=*}" -v ns=$((n * factor * 1000000)) -v n=$n 'BEGIN {
			for (i = 1; i <= 10; i++) {
				id = service * 100 + i
				printf "%d,%d,1,%d,%d,%d,50\n", id, service, i * 1000, i * 1000 + ns, 10 * n >>(dir "/requests.csv")
				printf "%d,%d,%d,0,%d,%d\n", id, service, ns, ns / 4, ns * 3 / 4 >>(dir "/latency.csv")
			}
		}'
	done
	echo '{"schema":{"major":1,"minor":0},"tool":"script","source":"synthetic","duration_ns":1000000000}' \
		>"$dir/manifest.json"
}

is() { # GOT WANT
	[ "$1" = "$2" ] || { printf 'got  %s\nwant %s\n' "$1" "$2" >&2; return 1; }
}

# rows OF: those of the mean of all requests in the report
rows() {
	sed -n "/^server span $1by subsystem, mean of all requests\$/,/^\$/p" report.txt |
		awk 'NR > 1 && NF > 4 { print $1, $2 $3, $5 $6 }'
}

@test "services that call each other: each beside itself, whatever their order" {
	trace was.gait 1 1=front 2=back
	trace is.gait 2 7=back 1=front
	"$GAIT" report is.gait --against was.gait >report.txt
	is "$(rows 'of front ')" "$(printf '%s\n' "cpu.user 250us 1ms" "call 750us 3ms" \
		"unattributed 0ns 0ns" "total 1ms 4ms")"
	is "$(rows 'of back ')" "$(printf '%s\n' "cpu.user 500us 500us" "call 1.50ms 1.50ms" \
		"unattributed 0ns 0ns" "total 2ms 2ms")"
	is "$(grep -c '^fidelity' report.txt)" 3
	grep '^fidelity of all services: rate ' report.txt
	is "$(grep -c '^fidelity of all .*span' report.txt)" 0 # a percentile of two services is neither's
	grep '^fidelity of front: .* span p50 1 ms -> 4 ms .* bytes in 100 B -> 200 B (+100.0%)' report.txt
	"$GAIT" report is.gait --against was.gait --json >report.json
	is "$(jq -r '.services[] | "\(.name) \(.capture.mean_ns.total_ns) \(.replay.mean_ns.call_ns) \(.replay.requests)"' \
		report.json)" "$(printf '%s\n' "back 2000000 1500000 10" "front 1000000 3000000 10")"
	is "$(jq '.services[1].fidelity["bytes in"].percent, .fidelity["bytes in"].percent' report.json)" \
		"$(printf '100\n0')"
}

@test "services of one name are told apart by their numbers" {
	trace was.gait 1 1=app 2=app
	trace is.gait 2 2=app 1=app
	"$GAIT" report is.gait --against was.gait >report.txt
	is "$(rows 'of app (service 1) ' | tail -n 1)" "total 1ms 4ms"
	is "$(rows 'of app (service 2) ' | tail -n 1)" "total 2ms 2ms"
	is "$("$GAIT" show is.gait | grep '^breakdown')" "$(printf 'breakdown of app (service %d)\n' 2 1)"
}

@test "one service: nothing is said of several, and its name need not be the same" {
	trace was.gait 1 1=front
	trace is.gait 2 1=candidate
	"$GAIT" report is.gait --against was.gait >report.txt
	is "$(rows '')" "$(printf '%s\n' "cpu.user 250us 500us" "call 750us 1.50ms" \
		"unattributed 0ns 0ns" "total 1ms 2ms")"
	is "$(grep -c '^fidelity: .* span p50 1 ms -> 2 ms' report.txt)" 1
}

@test "one that was not played is in no column of another" {
	trace was.gait 1 1=back 2=front
	trace is.gait 2 2=front
	"$GAIT" report is.gait --against was.gait >report.txt
	is "$(rows 'of front ' | tail -n 1)" "total 2ms 2ms"
	grep -q '^fidelity of front: .* bytes in 200 B -> 100 B (-50.0%)' report.txt
	is "$(grep '^not compared' report.txt)" "not compared: back, which is in the capture alone"
	"$GAIT" report is.gait --alone >report.txt
	is "$(grep '^breakdown' report.txt)" "breakdown of front"
}

# called DIR OFFSET_US: service 2, on another host whose clock is so far ahead, is called by each of 1's
# ten requests: 4 ms, 3 of them a call, in which the other works for 2 ms. The wire is 300 us there.
called() {
	local dir=$1

	mkdir "$dir"
	printf '%s\n' service_id,host_id,name 1,1,front 2,2,back >"$dir/services.csv"
	awk -v dir="$dir" -v off="$2" 'BEGIN {
		print "request_id,parent_id,service_id,arrival_ns,end_ns" >(dir "/requests.csv")
		print "request_id,service_id,total_ns,unattributed_ns,cpu_user_ns,app_sleep_ns,call_ns" >(dir "/latency.csv")
		print "op_id,request_id,kind,service_id,start_ns,elapsed_ns" >(dir "/ops.csv")
		for (i = 1; i <= 10; i++) {
			at = i * 10000
			printf "%d,,1,%d000,%d000\n", i, at, at + 4000 >>(dir "/requests.csv")
			printf "%d,%d,2,%d000,%d000\n", 10 + i, i, at + 800 + off, at + 2800 + off >>(dir "/requests.csv")
			printf "%d,1,4000000,0,1000000,0,3000000\n", i >>(dir "/latency.csv")
			printf "%d,2,2000000,0,500000,1500000,0\n", 10 + i >>(dir "/latency.csv")
			printf "%d,%d,forward,1,%d000,3000000\n", i, i, at + 500 >>(dir "/ops.csv")
		}
	}'
	echo '{"schema":{"major":1,"minor":0},"tool":"script","source":"synthetic","duration_ns":1000000000,
		"hosts":[{"host_id":1,"boot_id":"one"},{"host_id":2,"boot_id":"other"}]}' >"$dir/manifest.json"
}

@test "a call is replaced by the callee's rows and the wire, and how far apart the clocks are is told" {
	called run.gait 70000
	"$GAIT" report run.gait >report.txt
	sed -n '/^tree of front/,$p' report.txt >tree.txt
	is "$(awk '$2 != "per" && $1 != "requests" { print $1, $2 $3, $4 }' tree.txt | head -9)" "$(printf '%s\n' \
		"tree offront: what" "front 1ms 25.0%" "cpu.user 1ms 25.0%" "unattributed -- -" "back 3ms 75.0%" \
		"net.wire 1ms 25.0%" "app.sleep 1.50ms 37.5%" "cpu.user 500us 12.5%" "unattributed -- -")"
	grep -E '^  clocks of hosts 1 and 2: -(69\.|70\.?)[0-9]* ms apart, off by [0-9.]+ us at most, by 10 calls$' tree.txt
	grep -x '  10 of 10 calls are replaced; 0 requests beside the path do not count' tree.txt
	"$GAIT" report run.gait --json >report.json
	is "$(jq -c '[.tree.places[] | [.name, .bands[0].total_ns]]' report.json)" '[["front",10000000],["back",30000000]]'
	is "$(jq '.tree.clocks[0] | (.offset_ns + 70000000 | fabs) <= .bound_ns and .bound_ns < 1000000' report.json)" true
	sed -i '/^1[1-5],/d' run.gait/requests.csv # the callees of five are lost: theirs stay calls
	"$GAIT" report run.gait >report.txt || [ $? = 3 ]
	sed -n '/^tree of front/,$p' report.txt >tree.txt
	is "$(awk '$1 == "call" || $1 == "back" || $1 == "total" { print $1, $2 $3, $4 }' tree.txt)" \
		"$(printf '%s\n' "call 1.50ms 37.5%" "back 1.50ms 37.5%" "total 4ms 100%")"
	grep -x '  5 of 10 calls are replaced; 0 requests beside the path do not count' tree.txt
}

# made_by WHOM DIR
made_by() {
	jq --arg by "$1" '.attribution = $by' "$2/manifest.json" >manifest.json
	mv manifest.json "$2/manifest.json"
}

@test "rows of a run without probes beside captured ones are compared with a caution" {
	trace was.gait 1 1=front
	trace is.gait 2 1=front
	made_by ebpf was.gait
	for by in user ebpf none; do
		made_by "$by" is.gait
		"$GAIT" report is.gait --against was.gait >"$by.txt"
		"$GAIT" report is.gait --against was.gait --json >"$by.json"
	done
	is "$(grep -h '^caution' user.txt ebpf.txt none.txt | cut -d: -f2 | sed 's/^ //')" \
		"the rows of the capture were made by ebpf, those of the replay by user"
	is "$(jq -c .rows_alike user.json ebpf.json none.json | tr '\n' ' ')" "false true true "
	made_by user is.gait
	"$GAIT" show is.gait >show.txt
	grep -E '^ *rows +by the nodes. own clocks, without probes: fewer are told apart$' show.txt
}
