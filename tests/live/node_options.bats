#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# What the options of gait node do, seen from outside: by ss, strace, taskset, chrt, openssl. Each time
# the golden trace is replayed: 23 requests on 2 connections, in about 2.3 s.

load helper

setup()
{
	require_bpf jq ss strace taskset chrt openssl
	golden=$GAIT_SOURCE/tests/data/golden-1.0.gait
	run_dir=$BATS_TEST_TMPDIR/run.gait
}

teardown()
{
	stop_all
}

# start_node OPTION...: sets $node and $control, where clients come in
start_node()
{
	start node "$GAIT" node --no-attribution "$@"
	node=$pid
	node_listens
}

# The same under strace: a file node.trace.TID a thread.
trace_node() # CALLS OPTION...
{
	local calls=$1

	shift
	start node strace -ff -s 64 -o "$BATS_TEST_TMPDIR/node.trace" -e trace="prctl,$calls" \
		"$GAIT" node --no-attribution --once "$@"
	node=$pid
	node_listens
}

# The traced node ends, and with it strace: the other way round it would stay.
stop_traced()
{
	kill "$(pgrep -P "$node")"
	await "strace ends" ended "$node"
	reap "$node" || true
}

node_listens()
{
	await "the node listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/node.out"
	control=$(sed -n '1s/^listening on //p' "$BATS_TEST_TMPDIR/node.out")
}

word() # N: the N-th that the node says it listens on
{
	sed -n "$1s/^listening on //p" "$BATS_TEST_TMPDIR/node.out"
}

# replay_to WORD [OPTION...]: every request is answered, with the bytes that it should be
replay_to()
{
	local to=$1

	shift
	"$GAIT" replay "$golden" --node "$to" --no-attribution --force -o "$run_dir" "$@" \
		>"$BATS_TEST_TMPDIR/replay.out" 2>"$BATS_TEST_TMPDIR/replay.err" || [[ $? == 3 ]]
	check_run
}

check_run()
{
	local sizes='{ print at("request_id"), at("request_bytes"), at("response_bytes") }'

	assert_equal "requests answered" \
		"$(csv "$run_dir/requests.csv" 'at("outcome") == "ok" { n++ } END { print n }')" 23
	diff <(csv "$golden/requests.csv" "$sizes" | sort) <(csv "$run_dir/requests.csv" "$sizes" | sort)
}

# begin_replay WORD: returns while it is under way; sets $replay
begin_replay()
{
	start replay "$GAIT" replay "$golden" --node "$1" --no-attribution --force --progress -o "$run_dir"
	replay=$pid
	await "requests are answered" grep -qs answered "$BATS_TEST_TMPDIR/replay.err"
	! ended "$replay" || fail "the replay is over already"
}

end_replay()
{
	await "the replay ends" ended "$replay"
	reap "$replay" || [[ $? == 3 ]]
	check_run
}

# The threads of the service, in their order: a tid a line.
workers() # PID
{
	grep -lx gait-worker /proc/"$1"/task/*/comm | cut -d/ -f5 | sort -n
}

# What strace saw of them: a file a line.
worker_traces()
{
	grep -l 'PR_SET_NAME, "gait-worker"' "$BATS_TEST_TMPDIR"/node.trace.* | sort -t. -k4n
}

worker_calls()
{
	worker_traces | xargs cat
}

count() # PATTERN: lines with it
{
	grep -cE -e "$1" || true
}

port_of() # WORD
{
	echo "${1##*:}"
}

@test "several listeners at once, a replay over each: TCP and TLS, IPv4 and IPv6, a UNIX socket" {
	start_node -b 127.0.0.1:0 -b '[::1]:0' -b tls://127.0.0.1:0 -b 'ssl:[::1]' \
		-b "unix://$BATS_TEST_TMPDIR/node.sock" --threads 2
	assert_equal "lines" "$(wc -l <"$BATS_TEST_TMPDIR/node.out")" 5
	assert_equal "their kinds" "$(sed -E 's/[0-9]+$/PORT/; s,unix:.*,unix,' "$BATS_TEST_TMPDIR/node.out" |
		sed 's/listening on //' | xargs)" \
		"127.0.0.1:PORT [::1]:PORT tls://127.0.0.1:PORT tls://[::1]:PORT unix"
	for n in 1 2 3 4 5; do
		replay_to "$(word $n)" --control "$control"
	done
	stop "$node"
	[[ ! -e $BATS_TEST_TMPDIR/node.sock ]] || fail "the UNIX socket is still there"
}

@test "a UNIX socket alone is enough, for control and data" {
	start_node -b "unix:$BATS_TEST_TMPDIR/node.sock"
	replay_to "unix:$BATS_TEST_TMPDIR/node.sock"
	# one that a killed node left behind is replaced, one that is in use is not
	run -1 --separate-stderr "$GAIT" node --no-attribution -b "unix:$BATS_TEST_TMPDIR/node.sock"
	[[ $stderr == *"cannot listen on unix://$BATS_TEST_TMPDIR/node.sock: Address already in use"* ]]
	stop "$node" KILL || true
	[[ -S $BATS_TEST_TMPDIR/node.sock ]]
	start_node -b "unix:$BATS_TEST_TMPDIR/node.sock"
	replay_to "unix:$BATS_TEST_TMPDIR/node.sock"
}

@test "clients come in at --control only" {
	start_node -b 127.0.0.1:0 -b 127.0.0.1:0 --control "unix:$BATS_TEST_TMPDIR/control.sock"
	assert_equal "said first" "$control" "unix://$BATS_TEST_TMPDIR/control.sock"
	run -1 "$GAIT" replay "$golden" --node "$(word 2)" --no-attribution -o "$run_dir"
	[[ $output == *"closed its control connection"* || $output == *"lost the connection"* ]] ||
		fail "$output"
	replay_to "$(word 3)" --control "$control"
}

@test "tls:// speaks TLS, with a certificate of its own or the one given" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=given" -days 1 \
		-keyout "$BATS_TEST_TMPDIR/key.pem" -out "$BATS_TEST_TMPDIR/cert.pem" 2>/dev/null
	for names in "gait node:" "given:--data-cert $BATS_TEST_TMPDIR/cert.pem --data-key $BATS_TEST_TMPDIR/key.pem"; do
		# shellcheck disable=SC2086 # several words
		start_node -b 127.0.0.1:0 -b tls://127.0.0.1:0 ${names#*:}
		start replay "$GAIT" replay "$golden" --node "$(word 2)" --control "$control" \
			--no-attribution --force --progress -o "$run_dir"
		replay=$pid
		await "requests are answered" grep -qs answered "$BATS_TEST_TMPDIR/replay.err"
		for version in tls1_2 tls1_3; do
			openssl s_client -connect "127.0.0.1:$(port_of "$(word 2)")" -$version </dev/null \
				>"$BATS_TEST_TMPDIR/s_client" 2>&1 || true
			grep -q "subject=CN = ${names%%:*}" "$BATS_TEST_TMPDIR/s_client"
			grep -qE "(New|Protocol).*TLSv${version:3:1}.${version:5:1}" "$BATS_TEST_TMPDIR/s_client"
		done
		run -1 openssl s_client -connect "127.0.0.1:$(port_of "$(word 2)")" -tls1_1 \
			-cipher ALL:@SECLEVEL=0 </dev/null
		end_replay
		stop "$node"
	done
}

@test "what goes over a tls:// connection is TLS records, over others it is not" {
	trace_node recvfrom,sendto -b 127.0.0.1:0 -b tls://127.0.0.1:0
	replay_to "$(word 2)" --control "$control"
	await "the node ends" ended "$node"
	# a record of application data is 23, 3, 3 and its length
	(("$(worker_calls | count 'sendto\([0-9]+, "\\27\\3\\3')" >= 23))
	assert_equal "prefaces in the clear" "$(worker_calls | count 'recvfrom\([0-9]+, "GAIT')" 0
	trace_node recvfrom -b 127.0.0.1:0
	replay_to "$control"
	await "the node ends" ended "$node"
	assert_equal "prefaces in the clear" "$(worker_calls | count 'recvfrom\([0-9]+, "GAIT')" 2
}

@test "backlog-length is the queue of each listener" {
	start_node -b 127.0.0.1:0 -b tls://127.0.0.1:0 --backlog-length 7
	for n in 1 2; do
		assert_equal "queue of $(word $n)" \
			"$(ss -Htln "sport = :$(port_of "$(word $n)")" | awk '{ print $3 }')" 7
	done
	stop "$node"
	start_node --bl 5
	assert_equal "queue" "$(ss -Htln "sport = :$(port_of "$control")" | awk '{ print $3 }')" 5
}

@test "no-delay decides about TCP_NODELAY" {
	for value in 0 1; do
		trace_node setsockopt --nd $value -b 127.0.0.1:0 -b tls://127.0.0.1:0
		stop_traced
		assert_equal "listeners with TCP_NODELAY $value" \
			"$(cat "$BATS_TEST_TMPDIR"/node.trace.* | count "TCP_NODELAY, \[$value\]")" 2
		assert_equal "listeners with the other" \
			"$(cat "$BATS_TEST_TMPDIR"/node.trace.* | count "TCP_NODELAY, \[$((1 - value))\]")" 0
		rm "$BATS_TEST_TMPDIR"/node.trace.*
	done
}

listening_sockets() # WORD
{
	ss -Htln "sport = :$(port_of "$1")" | wc -l
}

@test "accept mode child: a socket a thread while they run; shared and parent: one" {
	for mode in shared:1 child:3 parent:1; do
		start_node --accept-mode "${mode%:*}" --threads 3
		begin_replay "$control"
		assert_equal "sockets of ${mode%:*}" "$(listening_sockets "$control")" "${mode#*:}"
		end_replay
		await "one is left" test "$(listening_sockets "$control")" = 1
		replay_to "$control" # the next client finds it
		stop "$node"
	done
}

@test "accept mode parent: the first thread accepts all, and others serve" {
	trace_node accept4,recvfrom --accept-mode parent --threads 2
	replay_to "$control"
	await "the node ends" ended "$node"
	mapfile -t traces < <(worker_traces)
	assert_equal threads ${#traces[@]} 2
	assert_equal "accepted by the first" "$(count 'accept4\(.* = [0-9]+$' <"${traces[0]}")" 2
	assert_equal "calls of accept by the second" "$(count 'accept4\(' <"${traces[1]}")" 0
	(("$(count 'recvfrom\(.* = [1-9][0-9]*$' <"${traces[1]}")" > 0)) ||
		fail "the second thread has read nothing"
}

@test "poll modes: the system call that threads wait in" {
	for mode in epoll:epoll_p?wait2? poll:ppoll select:pselect6; do
		trace_node epoll_wait,epoll_pwait,epoll_pwait2,ppoll,poll,pselect6,select \
			--poll-mode "${mode%:*}" -b 127.0.0.1:0 -b tls://127.0.0.1:0
		replay_to "$(word 2)" --control "$control"
		await "the node ends" ended "$node"
		(("$(worker_calls | count "^${mode#*:}\(")" >= 20)) || fail "no waits in ${mode#*:}"
		assert_equal "waits of another kind in mode ${mode%:*}" \
			"$(worker_calls | grep -E '^(epoll_p?wait|p?poll|p?select)' |
				grep -vcE "^${mode#*:}\(" || true)" 0
		rm "$BATS_TEST_TMPDIR"/node.trace.*
	done
}

@test "wait-spin: threads look and never sleep" {
	local spins

	trace_node epoll_wait,epoll_pwait,epoll_pwait2 --wait-spin
	replay_to "$control"
	await "the node ends" ended "$node"
	spins=$(worker_calls | count '^epoll_wait\(.*, 0\) += 0$')
	((spins > 1000)) || fail "only $spins looks"
	assert_equal "sleeps" "$(worker_calls | grep '^epoll' | grep -vcE '^epoll_wait\(.*, 0\) += ' || true)" 0
	rm "$BATS_TEST_TMPDIR"/node.trace.*
	trace_node epoll_wait,epoll_pwait,epoll_pwait2
	replay_to "$control"
	await "the node ends" ended "$node"
	spins=$(worker_calls | count '^epoll_wait\(.*, 0\) += 0$')
	((spins < 100)) || fail "$spins looks without --wait-spin"
}

allowed() # TID
{
	taskset -pc "$1" | sed 's/.*: //'
}

@test "thread affinity: a CPU for each thread, in turn" {
	local last=$(($(nproc --all) - 1)) want

	((last > 0)) || lacks "two CPUs are needed"
	for list in 0 1,0 0-1 0-1:2 auto; do
		case $list in
		0 | 0-1:2) want="0 0 0" ;;
		1,0) want="1 0 1" ;;
		0-1) want="0 1 0" ;;
		auto) want=$(taskset -pc $$ | sed 's/.*: //' | tr , '\n' |
			awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) cpu[n++] = i }
				END { print cpu[0], cpu[1 % n], cpu[2 % n] }') ;;
		esac
		start_node -c "$list" --threads 3
		begin_replay "$control"
		assert_equal "CPUs of -c $list" \
			"$(for tid in $(workers "$node"); do allowed "$tid"; done | xargs)" "$want"
		assert_equal "CPUs of the control thread" "$(allowed "$node")" "$(allowed $$)"
		end_replay
		stop "$node"
	done
	run -1 --separate-stderr "$GAIT" node --no-attribution -c 1000
	[[ $stderr == *"cannot run a thread on CPU 1000: Invalid argument"* ]] || fail "$stderr"
}

scheduled() # TID: "SCHED_FIFO 7"
{
	chrt -p "$1" | sed 's/.*: //' | head -n 2 | xargs
}

@test "scheduling policies are those of the service's threads" {
	for policy in other:5 rr:3 fifo:7 dl:1000,20000; do
		start_node --sched-policy $policy --threads 2
		begin_replay "$control"
		mapfile -t tids < <(workers "$node")
		assert_equal threads ${#tids[@]} 2
		for tid in "${tids[@]}"; do
			case $policy in
			other:*)
				assert_equal policy "$(scheduled "$tid")" "SCHED_OTHER 0"
				assert_equal nice "$(awk '{ print $19 }' "/proc/$tid/stat")" 5
				;;
			rr:*) assert_equal policy "$(scheduled "$tid")" "SCHED_RR 3" ;;
			fifo:*) assert_equal policy "$(scheduled "$tid")" "SCHED_FIFO 7" ;;
			dl:*)
				assert_equal policy "$(scheduled "$tid")" "SCHED_DEADLINE 0"
				chrt -p "$tid" | grep -q '1000000/20000000/20000000' ||
					fail "$(chrt -p "$tid")"
				;;
			esac
		done
		assert_equal "the control thread" "$(scheduled "$node")" "SCHED_OTHER 0"
		end_replay
		stop "$node"
	done
}

@test "a policy that is not permitted is said at the start" {
	# the folders above may be closed to others
	open=$(mktemp -d)
	chmod 755 "$open"
	cp "$GAIT" "$open/gait"
	run -1 --separate-stderr setpriv --reuid=65534 --regid=65534 --clear-groups \
		--inh-caps=-all --bounding-set=-all env TMPDIR=/tmp "$open/gait" node --no-attribution \
		--sched-policy fifo:7
	rm -rf "$open"
	[[ $stderr == *"cannot give a thread the scheduling policy asked for: Operation not permitted"* ]] ||
		fail "$stderr"
}
