#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait edit merge, on two small captures of known content: a proxy on alpha, whose two requests
# call a shop on beta once and twice. Beta's wall clock is 37 ms ahead of alpha's.

bats_require_minimum_version 1.5.0

# manifest DIR NAME START_NS REALTIME_OFFSET_NS [SOURCE]
manifest() {
	cat >"$1/manifest.json" <<-EOF
	{ "schema": { "major": 1, "minor": 0 }, "tool": "gait 0.1.0", "source": "${5-ebpf}",
	  "filter": "--comm $2", "started_at": "2026-11-21T08:00:00Z",
	  "start_monotonic_ns": $3, "duration_ns": 1000000000, "calibration": { "work_per_ms": 1000 },
	  "ledger": { "requests": 2, "arrivals_unknown": 1 },
	  "hosts": [ { "host_id": 1, "name": "$2", "boot_id": "boot-$2",
	    "realtime_offset_start_ns": $4, "realtime_offset_end_ns": $4 } ] }
	EOF
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir proxy.gait shop.gait
	manifest proxy.gait alpha 5000000000 1700000000000000000
	manifest shop.gait beta 905000000000 1699999100037000000

	cat >proxy.gait/services.csv <<-EOF
	service_id,host_id,name,listen
	1,1,proxy,10.0.0.1:80
	EOF
	cat >proxy.gait/connections.csv <<-EOF
	connection_id,service_id,open_ns,outgoing,local,remote
	1,1,,0,10.0.0.1:80,10.0.0.9:5555
	2,1,1000,1,10.0.0.1:40000,10.0.0.2:8080
	EOF
	cat >proxy.gait/classes.csv <<-EOF
	class_id,service_id,name
	1,1,get
	EOF
	cat >proxy.gait/targets.csv <<-EOF
	target_id,kind,name
	1,service,10.0.0.2:8080
	EOF
	cat >proxy.gait/requests.csv <<-EOF
	request_id,class_id,service_id,connection_id,confidence,arrival_ns,end_ns,request_bytes,response_bytes
	1,1,1,1,100,100000000,101000000,50,500
	2,1,1,1,100,200000000,202000000,50,500
	EOF
	cat >proxy.gait/ops.csv <<-EOF
	op_id,request_id,kind,service_id,start_ns,elapsed_ns,bytes,reply_bytes,target_id,connection_id
	1,1,forward,1,100100000,800000,70,300,1,2
	2,2,forward,1,200100000,500000,70,300,1,2
	3,2,forward,1,201000000,700000,71,301,1,2
	EOF

	cat >shop.gait/services.csv <<-EOF
	service_id,host_id,name,listen
	1,1,shop,10.0.0.2:8080
	EOF
	cat >shop.gait/connections.csv <<-EOF
	connection_id,service_id,open_ns,outgoing,local,remote
	1,1,1050000,0,10.0.0.2:8080,10.0.0.1:40000
	EOF
	cp proxy.gait/classes.csv shop.gait/
	# in truth, beta's monotonic clock is 900 s ahead of alpha's
	cat >shop.gait/requests.csv <<-EOF
	request_id,class_id,service_id,connection_id,after_request,confidence,arrival_ns,end_ns,request_bytes,response_bytes
	1,1,1,1,,100,100200000,100800000,70,300
	2,1,1,1,1,100,200200000,200500000,70,300
	3,1,1,1,2,100,201100000,201600000,71,301
	EOF
}

@test "merge finds parents, called services and the clocks" {
	run -0 --separate-stderr "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[ -z "$stderr" ]
	[[ "$output" == *"clock of host 2: 37 ms ahead of host 1's, within 100 us; by 3 calls"* ]]
	[[ "$output" == *"both ends of 1 of 1 outgoing connections, 3 calls joined"* ]]
	[ "$(cut -d, -f1,2,7,10 all.gait/requests.csv)" = "request_id,parent_id,after_request,arrival_ns
1,,,100000000
2,,,200000000
3,1,,100200000
4,2,3,200200000
5,2,4,201100000" ]
	[ "$(tail -1 all.gait/targets.csv)" = "1,service,2,0,,10.0.0.2:8080" ]
	[ "$(cut -d, -f1-3 all.gait/services.csv | tail -1)" = "2,2,shop" ]
	[ "$(cut -d, -f1,2 all.gait/connections.csv | tail -1)" = "3,2" ]
	python3 - <<-EOF
	import json
	m = json.load(open("all.gait/manifest.json"))
	assert m["source"] == "merge" and m["filter"] == "--comm alpha; --comm beta"
	assert m["start_monotonic_ns"] == 5000000000 and m["duration_ns"] == 1000000000
	alpha, beta = m["hosts"]
	assert (alpha["clock_offset_ns"], alpha["clock_bound_ns"]) == (0, 0)
	assert abs(beta["clock_offset_ns"] + 900 * 10**9) <= beta["clock_bound_ns"] <= 100002
	assert m["ledger"]["arrivals_unknown"] == 2 and m["ledger"]["calls_joined"] == 3
	EOF
}

@test "show prints the tree of a merged trace" {
	"$GAIT" edit merge proxy.gait shop.gait -o all.gait
	run -0 "$GAIT" show all.gait
	[[ "$output" =~ "topology: 3 of 5 requests have a parent" ]]
	[[ "$output" =~ proxy\ +2\ + ]]
	[[ "$output" =~ "  shop "\ +3\ +1\.50 ]]
	run -0 --separate-stderr "$GAIT" show --json all.gait
	echo "$output" | python3 -c '
import json, sys
t = json.load(sys.stdin)["topology"]
assert t["requests_with_parent"] == 3
assert t["calls"] == [{"from_service_id": 1, "to_service_id": 2, "calls": 3, "calls_per_request": 1.5}]
'
	run -0 "$GAIT" show shop.gait
	[[ "$output" != *topology* ]]
}

@test "--json is JSON" {
	run -0 --separate-stderr "$GAIT" edit merge --json proxy.gait shop.gait -o all.gait
	echo "$output" | python3 -c '
import json, sys
s = json.load(sys.stdin)
assert s["calls_joined"] == 3 and s["joined_connections"] == 1
clock = s["clocks"][0]
assert clock["by"] == "calls" and clock["fit"] == "constant"
assert abs(clock["wall_ahead_ns"] - 37000000) <= clock["bound_ns"]
'
}

@test "bytes that differ make a join doubtful, a lost request a call without partner" {
	sed -i 's/,71,301$/,71,299/; /^1,1,1,1,/d' shop.gait/requests.csv
	run -0 "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[[ "$output" == *"note: 1 calls to captured services that no request there matches"* ]]
	[[ "$output" == *"note: 1 calls joined although the two ends count other bytes"* ]]
	[ "$(cut -d, -f1,2,9 all.gait/requests.csv | tail -2)" = "4,2,100
5,2,40" ]
}

@test "a call's connection that says it was accepted is told" {
	sed -i 's/^2,1,1000,1,/2,1,,0,/' proxy.gait/connections.csv
	run -0 "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[[ "$output" == *"note: 1 connections to captured services that say they were accepted"* ]]
	[[ "$output" == *" 0 calls joined"* ]]
}

@test "hosts are chained: bounds add up, and a request has one parent" {
	mkdir db.gait
	# gamma's monotonic clock is 100 s ahead of beta's, its wall clock is right by alpha's
	manifest db.gait gamma 1005000000000 1699999000000000000
	cp proxy.gait/classes.csv db.gait/
	printf 'service_id,host_id,name\n1,1,db\n' >db.gait/services.csv
	printf 'connection_id,service_id,outgoing,local,remote\n1,1,0,[fd00::3]:5432,[fd00::2]:6000\n' \
		>db.gait/connections.csv
	printf '2,1,,1,[fd00::2]:6000,[fd00::3]:5432\n' >>shop.gait/connections.csv
	cat >shop.gait/ops.csv <<-EOF
	op_id,request_id,kind,service_id,start_ns,elapsed_ns,bytes,reply_bytes,target_id,connection_id
	1,2,forward,1,200250000,200000,9,19,1,2
	EOF
	cp proxy.gait/targets.csv shop.gait/
	cat >db.gait/requests.csv <<-EOF
	request_id,class_id,service_id,connection_id,confidence,arrival_ns,end_ns,request_bytes,response_bytes
	1,1,1,1,100,200300000,200400000,9,19
	EOF
	run -0 "$GAIT" edit merge proxy.gait db.gait shop.gait -o all.gait
	[[ "$output" == *"clock of host 3: 37 ms ahead of host 1's, within 100 us; by 3 calls"* ]]
	[[ "$output" == *"clock of host 2: "*" behind host 3's, within 50.0 us; by 1 calls"* ]]
	[ "$(cut -d, -f1,2,4 all.gait/requests.csv | tail -4)" = "3,5,2
4,1,3
5,2,3
6,2,3" ]
	python3 - <<-EOF
	import json
	alpha, gamma, beta = json.load(open("all.gait/manifest.json"))["hosts"]
	assert gamma["name"] == "gamma" and abs(gamma["clock_bound_ns"] - 150000) < 10
	assert abs(gamma["clock_offset_ns"] + 1000 * 10**9) <= gamma["clock_bound_ns"]
	EOF
	run -0 "$GAIT" show all.gait
	[[ "$output" =~ "      db "\ +1\ +0\.33 ]]
}

@test "one host is one clock, and one trace may hold both services" {
	sed -i 's/boot-beta/boot-alpha/; s/905000000000/5000000000/' shop.gait/manifest.json
	run -0 "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[[ "$output" != *"clock of host"* ]]
	[[ "$output" == *"2 traces of 1 host:"*"3 calls joined"* ]]
	# the same as a capture of both services would be, but for the parents
	sed -i 's/"source": "merge"/"source": "ebpf"/; /"sha256"/s/: ".*"/: ""/' all.gait/manifest.json
	awk -F, -v OFS=, 'NR > 1 { $2 = "" } 1' all.gait/requests.csv >r && mv r all.gait/requests.csv
	run -0 "$GAIT" edit merge all.gait -o again.gait
	[[ "$output" == *"1 trace of 1 host:"*"3 calls joined"* ]]
	[ "$(cut -d, -f2 again.gait/requests.csv | tr '\n' ' ')" = "parent_id   1 2 2 " ]
}

@test "what does not go together is refused in a sentence" {
	run -1 "$GAIT" edit merge proxy.gait proxy.gait -o all.gait
	[ "$output" = "gait: 'proxy.gait' and 'proxy.gait' are the same trace" ]
	run -1 "$GAIT" edit merge proxy.gait shop.gait -o ./shop.gait --force
	[[ "$output" == "gait: './shop.gait' is to be merged and to be written: choose another name"* ]]
	manifest shop.gait beta 905000000000 1700000100000000000
	run -1 "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[[ "$output" == *"overlaps no other trace in time"*"there is nothing to join" ]]
	for source in replay walk merge; do
		manifest shop.gait beta 905000000000 1699999100037000000 $source
		run -1 "$GAIT" edit merge proxy.gait shop.gait -o all.gait
		[[ "$output" == "gait: cannot merge 'shop.gait': it is "* ]]
	done
	run -1 "$GAIT" edit merge proxy.gait nowhere.gait -o all.gait
	[ "$output" = "gait: cannot open trace 'nowhere.gait': No such file or directory" ]
	[ ! -e all.gait ]
}

@test "a trace that is there is replaced only with --force" {
	"$GAIT" edit merge proxy.gait shop.gait -o all.gait
	run -1 "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[ "$output" = "gait: 'all.gait' holds a trace already: --force replaces it" ]
	run -0 "$GAIT" edit merge proxy.gait shop.gait -o all.gait --force
}

@test "a trace without a manifest is merged as far as it is whole, with exit code 3" {
	rm shop.gait/manifest.json
	run -3 --separate-stderr "$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[[ "$stderr" == *"'shop.gait' was cut short: it has no manifest"* ]]
	[[ "$output" == *"traces without a manifest that were merged"* ]]
	[[ "$output" == *"3 calls joined"* ]]
	[ "$(cut -d, -f2 all.gait/requests.csv | tr '\n' ' ')" = "parent_id   1 2 2 " ]
}

@test "a write that fails leaves *.partial" {
	run -1 sh -c 'trap "" XFSZ; exec prlimit --fsize=200 "$@"' sh \
		"$GAIT" edit merge proxy.gait shop.gait -o all.gait
	[[ "$output" == "gait: cannot write to 'all.gait/"* ]]
	[ -e all.gait/connections.csv.partial ]
	[ ! -e all.gait/manifest.json ]
}

@test "what traces lack and what is assumed of them, a merged one still says" {
	sed -i 's/"ledger"/"detail": "requests", &/' proxy.gait/manifest.json shop.gait/manifest.json
	"$GAIT" edit merge proxy.gait shop.gait -o all.gait
	run -1 "$GAIT" replay all.gait --local -o run.gait
	[[ "$output" == *"'all.gait' has requests and sizes alone"*"gait edit assume"* ]]
	"$GAIT" edit assume all.gait -o assumed.gait --compute 100us
	[[ $(grep -c ,compute, assumed.gait/ops.csv) == 5 ]]
	[[ $(grep ,forward, assumed.gait/ops.csv) == "$(grep ,forward, all.gait/ops.csv)" ]]
	for name in proxy shop; do
		"$GAIT" edit assume "$name.gait" -o "$name-2.gait" --compute 100us
	done
	run -1 "$GAIT" edit merge proxy-2.gait shop.gait -o both.gait
	[[ "$output" == *"'proxy-2.gait' has assumptions, 'shop.gait' has none"* ]]
	run -0 "$GAIT" edit merge proxy-2.gait shop-2.gait -o both.gait
	run -0 "$GAIT" show both.gait
	[[ "$output" =~ ASSUMED\ +compute:\ 100us ]]
}

@test "wrong use" {
	run -2 "$GAIT" edit merge proxy.gait shop.gait
	[[ "$output" == "gait: where does the trace go? Name it with -o Y.gait"* ]]
	run -2 "$GAIT" edit melt proxy.gait -o all.gait
	[[ "$output" == "gait: there is no action 'melt'; there are: merge, assume"* ]]
	run -2 "$GAIT" edit assume proxy.gait -o all.gait
	[[ "$output" == "gait: what is assumed? --compute server-time"* ]]
	run -2 "$GAIT" edit assume proxy.gait -o all.gait --compute 1.5
	[[ "$output" == "gait: '1.5' is no fraction of the server time"* ]]
	run -1 "$GAIT" edit assume proxy.gait -o all.gait --compute 0.5
	[[ "$output" == "gait: 'proxy.gait' says itself what its requests demand"* ]]
	[ ! -e all.gait ]
	run -2 "$GAIT" edit merge
	[[ "$output" == "gait: something is missing: gait edit ACTION X.gait... -o Y.gait"* ]]
}
