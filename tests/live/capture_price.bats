#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# What makes a capture cheaper, prices it or ends it: what it must not change is counted.

load helper

setup()
{
	require_bpf jq ss
}

teardown()
{
	stop_all
}

ask() # REQUESTS CLIENT OPTION...
{
	"$GAIT_TRUTH/client" --port "$port" --requests "$@" >/dev/null
}

sizes_of_trace()
{
	csv requests '{ print at("request_bytes"), at("response_bytes") }' | sort | uniq -c | sed 's/^ *//'
}

# --- --detail requests ---------------------------------------------------------------------------

assert_requests_alone() # MODEL: 8 connections, some of them closed before the capture ends
{
	start_server --model "$1" --request 300 --reply 2000
	capture_start --pid "$server" --detail requests
	ask 25 --connections 8 --request 300 --reply 2000
	await "connections are gone" connections_gone "$port"
	capture_stop

	assert_complete
	assert_nothing_lost
	assert_equal "requests and their sizes" "$(sizes_of_trace)" "25 300 2000"
	assert_equal connections "$(rows connections)" 8
	assert_equal classes "$(csv classes '{ print at("name"), at("requests") }')" "requests 25"
	assert_equal "rows of other tables" "$(rows ops) $(rows latency) $(rows targets)" "0 0 0"
	assert_equal "requests out of order" "$(csv requests '
		at("arrival_ns") > at("read_ns") || at("read_ns") > at("write_ns") ||
		at("write_ns") > at("end_ns") { n++ } END { print n + 0 }')" 0
	assert_equal "arrivals not stamped" "$(ledger arrivals_unknown || true)" 0
	assert_equal detail "$(jq -r '.detail + " " + .attribution' "$trace/manifest.json")" \
		"requests none"
	assert_equal "CPU that nobody measured" "$(jq .service_cpu.user_ns "$trace/manifest.json")" null
}

@test "requests and sizes alone: event loop" {
	assert_requests_alone loop
}

@test "requests and sizes alone: a thread a connection" {
	assert_requests_alone threads
}

@test "requests and sizes alone: show says so, replay refuses and says what to do" {
	start_server
	capture_start --pid "$server" --detail requests
	ask 3
	capture_stop
	"$GAIT" show "$trace" | grep -q 'requests and sizes alone'
	run -1 --separate-stderr "$GAIT" replay "$trace" --local -o "$BATS_TEST_TMPDIR/run.gait"
	[[ $stderr == *"--detail full"* ]] || fail "replay says: $stderr"
	[[ ! -e $BATS_TEST_TMPDIR/run.gait ]]
}

# --- --sample ------------------------------------------------------------------------------------

assert_sampled() # CAPTURE OPTION...: 40 connections in turn of one request each; every 4th or so
{
	local unsampled

	start_server --request 300 --reply 2000 --cpu 200000
	capture_start --pid "$server" --sample 1/4 "$@"
	ask 80 --connections 40 --request 300 --reply 2000
	await "connections are gone" connections_gone "$port"
	capture_stop

	assert_complete
	assert_nothing_lost
	unsampled=$(ledger connections_unsampled)
	assert_equal "connections in all" "$(($(rows connections) + unsampled))" 40
	(($(rows connections) >= 6 && $(rows connections) <= 14)) ||
		fail "$(rows connections) of 40 connections are no quarter"
	assert_equal "requests of those" "$(sizes_of_trace)" "$(($(rows connections) * 2)) 300 2000"
	assert_equal "the sample in the manifest" "$(jq .sample_one_in "$trace/manifest.json")" 4
	"$GAIT" show "$trace" | grep -q 'one connection in 4'
}

@test "one connection in four: all of these, nothing of the others" {
	assert_sampled --detail requests
}

@test "one connection in four, with what they did: no time of the others is charged to them" {
	assert_sampled
	# 200 us of CPU a request; 3 of 4 requests stay in the kernel, and their time with them
	csv ops 'at("kind") == "compute" && at("request_id") != "" { cpu += at("cpu_ns") }
	at("kind") == "compute" && at("request_id") == "" { background += at("cpu_ns") }
	END { print int(cpu / 1000), int(background / 1000) }' >"$BATS_TEST_TMPDIR/cpu"
	read -r cpu background <"$BATS_TEST_TMPDIR/cpu"
	want=$(($(rows requests) * 200))
	((cpu >= want * 9 / 10 && cpu <= want * 13 / 10)) ||
		fail "$cpu us of CPU in the sample, want about $want"
	((background < 40 * 200)) || fail "$background us of CPU is nobody's"
}

@test "a share that is none: usage" {
	run -2 "$GAIT" capture --pid 1 --sample 0.1 -o "$BATS_TEST_TMPDIR/x.gait"
	run -2 "$GAIT" capture --pid 1 --sample 1/0 -o "$BATS_TEST_TMPDIR/x.gait"
}

# --- --measure-overhead --------------------------------------------------------------------------

# loads_until PID: a client that asks until it ends
load_while() # PID
{
	while ! ended "$1"; do
		ask 2000 --connections 4 --request 100 --reply 100
	done
}

assert_priced() # CAPTURE OPTION...: the price itself is the machine's affair, what it stands on is not
{
	start_server --request 100 --reply 100
	capture_start --pid "$server" --measure-overhead -d 2s "$@"
	load_while "$capture"
	capture_await

	assert_complete
	assert_nothing_lost
	(($(jq .probe_price.rounds "$trace/manifest.json") >= 6)) || fail "too few rounds"
	jq -e '.probe_price | .low_ns != null and .low_ns <= .high_ns and .bystander_off_ps > 10000' \
		"$trace/manifest.json"
	jq -e '(.probe_overhead_ns_per_request >= .probe_price.low_ns) and
		(.probe_overhead_ns_per_request <= .probe_price.high_ns)' "$trace/manifest.json"
	assert_equal "requests of other sizes (two made one, or halves)" \
		"$(csv requests 'at("status") == "" &&
			(at("request_bytes") != 100 || at("response_bytes") != 100) { n++ }
			END { print n + 0 }')" 0
	assert_equal "requests that end before they come" \
		"$(csv requests 'at("end_ns") < at("arrival_ns") { n++ } END { print n + 0 }')" 0
	grep -q '^overhead: ' "$BATS_TEST_TMPDIR/capture.out"
	"$GAIT" show "$trace" | grep -q 'of CPU per request (95%'
	"$GAIT" report --alone "$trace" | grep -q 'of CPU per request (95%'
}

@test "the price of the probes, by detaching them half of the time: no request is half seen" {
	assert_priced
	# nor is time of a thread made up while nobody looked: two seconds have no more
	assert_equal "requests that took longer than the capture" \
		"$(csv latency 'at("total_ns") > 3e9 || at("unattributed_ns") < -1e6 { n++ }
			END { print n + 0 }')" 0
	(($(jq '.service_cpu.user_ns + .service_cpu.kernel_ns' "$trace/manifest.json") < 3000000000))
}

@test "the price of --detail requests" {
	assert_priced --detail requests
}

# --- --max-overhead ------------------------------------------------------------------------------

@test "a limit that is passed ends the capture by itself, complete" {
	start_server --request 100 --reply 100
	capture_start --pid "$server" --max-overhead 1ns
	load_while "$capture"
	capture_await
	grep -q 'max-overhead was exceeded' "$BATS_TEST_TMPDIR/capture.out"
	assert_complete
	assert_nothing_lost
	(($(rows requests) > 0))
}

@test "a limit that is not passed ends nothing" {
	start_server --request 100 --reply 100
	capture_start --pid "$server" --max-overhead 1000% -d 1500ms
	load_while "$capture"
	capture_await
	grep -q 'time was up' "$BATS_TEST_TMPDIR/capture.out"
}

@test "a limit that is none: usage" {
	run -2 "$GAIT" capture --pid 1 --max-overhead 5 -o "$BATS_TEST_TMPDIR/x.gait"
	run -2 "$GAIT" capture --pid 1 --max-overhead 5% --measure-overhead -o "$BATS_TEST_TMPDIR/x.gait"
}

# --- losses --------------------------------------------------------------------------------------

# Of one connection a thread that does nothing else: a request is one receive and one send.
@test "a tiny ring: what was read and what was lost are all there was, to the event" {
	local requests=20000 seen lost

	start_server --model threads --request 100 --reply 100
	capture_start --pid "$server" --ring 4096 --detail requests
	ask "$requests" --request 100 --reply 100
	await "the connection is gone" connections_gone "$port"
	capture_stop 3
	seen=$(ledger events)
	lost=$(ledger events_lost)
	# two threads, one of them new: begun, begun and ended; a connection opened and closed
	assert_equal "events seen ($seen) and lost ($lost)" "$((seen + lost))" "$((requests * 2 + 5))"
	((lost > 0)) || fail "nothing was lost"
}

assert_none_lost() # CAPTURE OPTION...: at the rate that closed loops on 8 connections make
{
	start_server --request 100 --reply 100
	capture_start --pid "$server" "$@"
	ask 60000 --connections 8 --request 100 --reply 100
	capture_stop
	assert_nothing_lost
	assert_equal requests "$(rows requests)" 60000
	echo "# $(csv requests 'NR == 2 { first = at("arrival_ns") } { last = at("end_ns") }
		END { printf "%d requests/s", (NR - 2) / (last - first) * 1e9 }')," \
		"$(ledger events) events" >&3
}

@test "a ring of the default size loses nothing of all that a client can ask for" {
	assert_none_lost
}

@test "nor with requests alone" {
	assert_none_lost --detail requests
}
