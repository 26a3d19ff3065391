#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# The whole loop on services of known behaviour: what a node does is checked from outside, by
# strace, and not by what it says of itself.

load helper

setup()
{
	require_bpf jq ss strace
	run_dir=$BATS_TEST_TMPDIR/run.gait
}

teardown()
{
	stop_all
}

# capture_load SERVER_OPTION... -- CLIENT_OPTION...: a trace of tests/truth/server under load
capture_load()
{
	local options=()

	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	start_server "${options[@]}"
	capture_start --pid "$server"
	"$GAIT_TRUTH/client" --port "$port" "$@"
	capture_stop
	stop "$server"
}

# replay_watched OPTION...: on a node that strace watches, a file node.trace.TID a thread, paths with them
replay_watched()
{
	mkdir -p "$BATS_TEST_TMPDIR/store"
	start node strace -ff -y -s 0 -o "$BATS_TEST_TMPDIR/node.trace" \
		-e trace=pwrite64,fdatasync,fsync,recvfrom,sendto,sendfile \
		"$GAIT" node --once --dir "$BATS_TEST_TMPDIR/store"
	await "the node listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/node.out"
	"$GAIT" replay "$trace" --node "$(sed -n 's/^listening on //p' "$BATS_TEST_TMPDIR/node.out")" \
		-o "$run_dir" "$@" >"$BATS_TEST_TMPDIR/replay.out" 2>"$BATS_TEST_TMPDIR/replay.err" || true
	await "the node ends" ended "$pid"
	[[ -s $run_dir/manifest.json ]] || fail "there is no run" "$(<"$BATS_TEST_TMPDIR/replay.err")"
}

# The calls of the node on files of its storage folder: "name result" a line.
storage_calls()
{
	sed -En 's/^([a-z0-9]+)\([0-9]+<[^>]*\/store\/[^>]*\/t[0-9]+>.* = ([0-9]+)$/\1 \2/p' \
		"$BATS_TEST_TMPDIR"/node.trace.*
}

ops_of() # KIND: "count bytes" in the trace
{
	csv ops 'at("kind") == "'"$1"'" { n++; bytes += at("bytes") } END { print n + 0, bytes + 0 }'
}

watched() # CALLS...: "count bytes" that strace saw
{
	storage_calls | awk -v names=" $* " 'index(names, " " $1 " ") { n++; bytes += $2 }
		END { print n + 0, bytes + 0 }'
}

# Requests and replies of the trace, and those the run says went: one line each, sorted.
sizes()
{
	csv "$1/requests.csv" '{ print at("request_id"), at("request_bytes"), at("response_bytes") }' |
		sort
}

@test "recorded batching: every write and sync once, each byte, seen by strace" {
	capture_load --model loop --request 700 --reply 5 --store "$BATS_TEST_TMPDIR/log" --store-bytes 300 -- \
		--connections 4 --requests 200 --request 700 --reply 5
	replay_watched --batching recorded
	assert_equal "stores and their bytes" "$(watched pwrite64)" "$(ops_of store)"
	assert_equal "syncs" "$(watched fdatasync | cut -d' ' -f1)" "$(ops_of sync | cut -d' ' -f1)"
	assert_equal "sizes of requests and replies" "$(sizes "$run_dir" | sha256sum)" \
		"$(sizes "$trace" | sha256sum)"
}

@test "live batching: the bytes are equal, down to replies of 5 bytes" {
	local requested replied

	capture_load --model loop --request 700 --reply 5 --store "$BATS_TEST_TMPDIR/log" --store-bytes 300 -- \
		--connections 4 --requests 200 --request 700 --reply 5
	replay_watched
	assert_equal "bytes written" "$(watched pwrite64 | cut -d' ' -f2)" "$(ops_of store | cut -d' ' -f2)"
	requested=$(csv requests '{ n += at("request_bytes") } END { print n }')
	replied=$(csv requests '{ n += at("response_bytes") } END { print n }')
	assert_equal "bytes of replies on the wire" "$(socket_bytes sendto 5)" "$replied"
	assert_equal "bytes of requests on the wire" "$(socket_bytes recvfrom 700)" "$requested"
}

# Bytes that calls of the working threads (those that store) moved on sockets, counted where they
# are whole messages of that size: prefaces of 32 bytes are none.
socket_bytes() # CALL SIZE
{
	grep -lZ '^pwrite64.*/store/' "$BATS_TEST_TMPDIR"/node.trace.* |
		xargs -0 sed -En 's/^'"$1"'\([0-9]+<[^>]*>.* = ([0-9]+)$/\1/p' |
		awk -v size="$2" '$1 && $1 % size == 0 { n += $1 } END { print n + 0 }'
}

@test "the node's time is accounted for: unattributed at most 2% of the median request" {
	capture_load --model loop --cpu 200000 --store "$BATS_TEST_TMPDIR/log" --store-bytes 300 -- --connections 4 --requests 400
	"$GAIT" replay "$trace" --local -o "$run_dir" >/dev/null 2>&1 || true
	csv "$run_dir/latency.csv" 'at("service_id") != 0 {
		sum = at("unattributed_ns")
		for (name in column)
			if (name ~ /_ns$/ && name != "total_ns" && name != "unattributed_ns")
				sum += at(name)
		if (sum != at("total_ns")) { print "parts are not the total" >"/dev/stderr"; exit 1 }
		print at("unattributed_ns") / at("total_ns")
	}' >"$BATS_TEST_TMPDIR/shares"
	assert_equal "requests" "$(wc -l <"$BATS_TEST_TMPDIR/shares")" 400
	awk -v share="$(median <"$BATS_TEST_TMPDIR/shares")" 'BEGIN { exit !(share <= 0.02) }' ||
		fail "unattributed: $(median <"$BATS_TEST_TMPDIR/shares")"
}

@test "clock-driven requests keep the recorded schedule: no drift over 10 s" {
	capture_load --model loop -- --rate 500 --requests 5000
	"$GAIT" replay "$trace" --local --arrivals clock -o "$run_dir" >/dev/null 2>&1 || true
	# the schedule is the trace's arrivals, to the ns, and has one origin
	join -t, <(csv requests '{ print at("request_id") "," at("arrival_ns") }' | sort -t, -k1,1) \
		<(csv "$run_dir/requests.csv" '{ print at("request_id") "," at("intended_ns") "," at("sent_ns") }' |
			sort -t, -k1,1) | sort -t, -n -k2,2 >"$BATS_TEST_TMPDIR/schedule"
	assert_equal "requests sent" "$(wc -l <"$BATS_TEST_TMPDIR/schedule")" 5000
	assert_equal "origins of the schedule" \
		"$(awk -F, '{ printf "%d\n", $3 - $2 }' "$BATS_TEST_TMPDIR/schedule" | sort -u | wc -l)" 1
	# lateness at the end is what it was at the start
	lateness() { "$1" -n 500 "$BATS_TEST_TMPDIR/schedule" | awk -F, '{ print $4 - $3 }' | median; }
	awk -v first="$(lateness head)" -v last="$(lateness tail)" 'BEGIN {
		drift = last - first
		exit !(drift < 1e6 && drift > -1e6)
	}' || fail "lateness went from $(lateness head) to $(lateness tail) ns"
}

@test "CPU per request of the replay is that of the service, when there is enough to measure" {
	capture_load --model loop --cpu 1000000 -- --connections 2 --requests 1000
	# equal costs do not tell that the client waited for replies, and by the clock a slower moment
	# of the machine would pile requests up
	"$GAIT" replay "$trace" --local --arrivals dependent -o "$run_dir" >/dev/null 2>&1 || true
	"$GAIT" report "$run_dir" --against "$trace" --json >"$BATS_TEST_TMPDIR/report.json" || true
	jq -e '.fidelity["CPU/request"].percent | . > -10 and . < 10' "$BATS_TEST_TMPDIR/report.json" ||
		fail "$(jq .fidelity "$BATS_TEST_TMPDIR/report.json")"
}

@test "without root a replay runs, with the rows of the breakdown that user space knows" {
	capture_load --model loop -- --requests 23
	chmod -R a+rX "$BATS_TEST_TMPDIR" "$trace"
	install -d -m 777 "$BATS_TEST_TMPDIR/open"
	# the folders above may be closed to others: bring the trace to where they can see it
	open=$(mktemp -d)
	chmod 755 "$open"
	cp -r "$trace" "$open/t.gait"
	cp "$GAIT" "$open/gait"
	chmod -R a+rX "$open"
	install -d -m 777 "$open/out"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$open/gait" replay "$open/t.gait" --local -o "$open/out/run.gait" \
		>"$BATS_TEST_TMPDIR/replay.out" 2>"$BATS_TEST_TMPDIR/replay.err" || status=$?
	answered=$(jq .ledger.answered "$open/out/run.gait/manifest.json")
	attribution=$(jq -r .attribution "$open/out/run.gait/manifest.json")
	cp "$open/out/run.gait/latency.csv" "$BATS_TEST_TMPDIR/latency.csv"
	rm -rf "$open"
	[[ $status == 0 || $status == 3 ]] || fail "exit status $status"
	assert_equal answered "$answered" 23
	assert_equal attribution "$attribution" user
	assert_equal "rows of the node and of the client with their own parts" "$(csv "$BATS_TEST_TMPDIR/latency.csv" '
		at("service_id") { node += at("unattributed_ns") < at("total_ns"); next }
		{ client += at("client_send_ns") > 0 && at("call_ns") > 0 }
		END { print node, client }')" "23 23"
	assert_equal "rows that do not sum up" "$(awk -F, '
		NR == 1 { for (i = 1; i <= NF; i++) { total = $i == "total_ns" ? i : total; ns[i] = $i ~ /_ns$/ } next }
		{ sum = 0; for (i = 1; i <= NF; i++) if (ns[i] && i != total) sum += $i; wrong += sum != $total }
		END { print wrong + 0 }' "$BATS_TEST_TMPDIR/latency.csv")" 0
	assert_equal "sentences about permission" "$(grep -c 'not permitted' "$BATS_TEST_TMPDIR/replay.err")" 1
}
