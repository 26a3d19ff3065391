#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A capture that cannot be, or does not end as planned: one sentence, the right exit code, and
# nothing lost that was written already.

load helper

setup()
{
	require_bpf jq ss setpriv unshare mount
	to=$BATS_TEST_TMPDIR/trace.gait
}

teardown()
{
	stop_all
	! mountpoint -q "$BATS_TEST_TMPDIR/small" || umount "$BATS_TEST_TMPDIR/small"
	[[ -z ${nobodys:-} ]] || rm -rf "$nobodys"
}

# refuses CODE SENTENCE COMMAND...: exits with CODE, and this is all it says on stderr
refuses()
{
	local code=$1 sentence=$2

	shift 2
	run "-$code" --separate-stderr "$@"
	assert_sentence "$sentence" "$stderr"
}

assert_sentence() # PATTERN STDERR: one line, once what is no complaint is left out
{
	local said

	said=$(grep -v '^gait: capturing' <<<"$2")
	[[ $said == "gait: "* && $said != *$'\n'* ]] || fail "one sentence was due, not: $2"
	grep -q "$1" <<<"$said" || fail "'$1' is not in: $said"
}

assert_untouched()
{
	[[ ! -e $to ]] || fail "$to was made all the same"
}

ask() # REQUESTS [CLIENT OPTION...]
{
	"$GAIT_TRUTH/client" --port "$port" --requests "$@" >/dev/null
}

# gait as a user without rights can run it: its folder is open to all
as_nobody() # COMMAND...
{
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

copy_for_nobody()
{
	nobodys=$(mktemp -d /tmp/gait-nobody-XXXXXX)
	chmod 777 "$nobodys"
	install -m 755 "$GAIT" "$nobodys/gait"
	to=$nobodys/trace.gait
}

@test "no such process" {
	local gone

	gone=$(sh -c 'echo $$')
	refuses 1 "no process $gone" "$GAIT" capture --pid "$gone" -o "$to"
	refuses 1 "no process named 'no-such-name'" "$GAIT" capture --comm no-such-name -o "$to"
	assert_untouched
}

@test "no such command, or one that fails" {
	refuses 1 "cannot start 'no-such-command': No such file" \
		"$GAIT" capture -o "$to" -- no-such-command
	refuses 1 "cannot start '/etc/passwd': Permission denied" \
		"$GAIT" capture -o "$to" -- /etc/passwd
	assert_untouched
	refuses 1 "the command ended with an error" "$GAIT" capture -o "$to" -- false
	trace=$to
	assert_complete
}

@test "nobody listens on the port" {
	refuses 1 "no process listens on port" "$GAIT" capture --port "$(free_port)" -o "$to"
	assert_untouched
}

@test "nothing to capture, or options that make no sense: usage, exit 2" {
	run -2 "$GAIT" capture -o "$to"
	run -2 "$GAIT" capture --pid 1 --ring 5000 -o "$to"
	run -2 "$GAIT" capture --pid no-number -o "$to"
	run -2 "$GAIT" capture --port 65536 -o "$to"
	assert_untouched
}

@test "a trace of that name exists: it is kept, and --force replaces it" {
	start_server
	capture_start --pid "$server"
	ask 3
	capture_stop
	refuses 1 "holds a trace already" "$GAIT" capture --pid "$server" -d 1ms -o "$trace"
	assert_equal "requests of the old trace" "$(rows requests)" 3
	assert_complete
	"$GAIT" capture --pid "$server" -d 1ms --force -o "$trace"
	assert_equal "requests of the new trace" "$(rows requests)" 0
	assert_complete
}

@test "-d ends it by itself" {
	start_server
	run -0 "$GAIT" capture --pid "$server" -d 100ms -o "$to"
	[[ $output == *"time was up"* ]] || fail "said: $output"
	trace=$to
	assert_complete
}

@test "Ctrl-C before -d is over: a complete trace, exit 0" {
	start_server
	capture_start --pid "$server" -d 60s
	ask 23
	capture_stop
	grep -q '(stopped)' "$BATS_TEST_TMPDIR/capture.out"
	assert_complete
	assert_equal requests "$(rows requests)" 23
}

@test "the service is killed with a request half read: all is there, exit 0" {
	start_server --request 10
	capture_start --pid "$server"
	ask 5 --request 10
	exec 4<>"/dev/tcp/127.0.0.1/$port"
	printf half >&4
	await "the server reads what there is" all_read
	kill -KILL "$server"
	capture_await
	exec 4>&-
	grep -q 'the service has ended' "$BATS_TEST_TMPDIR/capture.out"
	assert_complete
	assert_equal "bytes and status of requests" \
		"$(csv requests '{ print at("request_bytes"), at("response_bytes"), at("status") }' |
			sort | uniq -c | sed 's/^ *//')" \
		$'5 10 1 \n1 4 0 unanswered'
}

all_read() # no connection to $port holds bytes that nobody has taken
{
	[[ -z $(ss -Htn state established "sport = :$port" | awk '$1') ]]
}

@test "the disk is full: what was written is kept, and readable" {
	local requests

	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=1m none "$BATS_TEST_TMPDIR/small"
	start_server
	capture_start --pid "$server" -o "$BATS_TEST_TMPDIR/small/trace.gait"
	ask 10000 --connections 4
	capture_await 1
	trace=$BATS_TEST_TMPDIR/small/trace.gait
	assert_sentence "No space left on device" "$(cat "$BATS_TEST_TMPDIR/capture.err")"
	[[ -f $trace/requests.csv.partial && ! -e $trace/manifest.json ]]

	run -3 --separate-stderr "$GAIT" show --json "$trace"
	assert_sentence "cut short" "$stderr"
	requests=$(jq .requests.count <<<"$output")
	((requests > 1000 && requests < 10000)) || fail "gait show finds $requests requests"
}

@test "gait itself is killed: the service goes on, and what was written is readable" {
	start_server
	capture_start --pid "$server"
	ask 5000 --connections 4
	await "rows are on disk" rows_on_disk
	stop "$capture" KILL || true
	ask 3
	refuses 3 "cut short" "$GAIT" show --json "$trace"
	(($(jq .requests.count <<<"$output") > 0)) || fail "gait show finds no request"
}

rows_on_disk() # beside the header
{
	(($(wc -l <"$trace/requests.csv.partial") > 1))
}

@test "not root: not permitted, exit 1" {
	copy_for_nobody
	start_server
	refuses 1 "not permitted" as_nobody "$nobodys/gait" capture --pid "$server" -o "$to"
	refuses 1 "not permitted" as_nobody "$nobodys/gait" capture --port "$port" -o "$to"
	refuses 1 "not permitted" as_nobody "$nobodys/gait" capture -o "$to" -- true
	assert_untouched
	run -1 as_nobody "$nobodys/gait" doctor
}

# without_btf COMMAND...: as on a kernel that was built without type information
without_btf()
{
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$@"' sh "$@"
}

@test "a kernel without BTF: says what is missing, exit 1" {
	start_server
	refuses 1 CONFIG_DEBUG_INFO_BTF without_btf "$GAIT" capture --pid "$server" -o "$to"
	assert_untouched
	run -1 without_btf "$GAIT" doctor
	[[ $output == *CONFIG_DEBUG_INFO_BTF* ]] || fail "doctor says: $output"
}

@test "--max-size ends it by itself, near that size, complete" {
	local size

	start_server
	capture_start --pid "$server" --max-size 300k
	ask 10000 --connections 4
	capture_await
	grep -q 'max-size was reached' "$BATS_TEST_TMPDIR/capture.out"
	assert_complete
	size=$(cat "$trace"/*.csv | wc -c)
	((size >= 300 * 1024 && size < 330 * 1024)) || fail "the tables have $size bytes"
}

@test "a ring buffer too small for the load: losses are counted, exit 3" {
	start_server
	capture_start --pid "$server" --ring 4096
	ask 10000 --connections 4
	capture_stop 3
	(($(ledger events_lost) > 0)) || fail "no event was lost"
	grep -q '^LOST: ' "$BATS_TEST_TMPDIR/capture.out"
	run -3 --separate-stderr "$GAIT" show "$trace"
	[[ $output == LOSSES* ]] || fail "gait show says first: ${lines[0]}"
}
