# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What live tests share: real programs, started and stopped by their pid, and tables to look into.
# Nothing sleeps to be in time: await() polls for what a test needs, and fails when it does not come.

bats_require_minimum_version 1.5.0
export LC_ALL=C # sort as join and comparisons expect

AWAIT_SECONDS=10
started=() # pids, the latest last

fail()
{
	printf '%s\n' "$@" >&2
	return 1
}

assert_equal() # WHAT GOT WANT
{
	[[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"
}

# --- what a test needs -------------------------------------------------------------------------

# shellcheck source=tests/lacks.bash
. "${BASH_SOURCE[0]%/*}/../lacks.bash"

# In setup(): the programs named, root, and a kernel that loads gait's probes.
require_bpf()
{
	local program

	for program; do
		[[ -n $(type -P "$program") ]] || lacks "there is no $program here" || return
	done
	[[ $EUID == 0 ]] || lacks "capturing needs root" || return
	doctor_is_content || lacks "gait doctor: $(tail -n 1 "$BATS_FILE_TMPDIR/doctor")"
}

# The same for tests that capture packets.
require_packets()
{
	local program

	for program in tcpdump "$@"; do
		[[ -n $(type -P "$program") ]] || lacks "there is no $program here" || return
	done
	[[ $EUID == 0 ]] || lacks "capturing needs root" || return
}

# It takes most of a second, so it is asked once a file.
doctor_is_content()
{
	local verdict=$BATS_FILE_TMPDIR/doctor

	[[ -e $verdict ]] || "$GAIT" doctor >"$verdict" 2>&1 || touch "$verdict.failed"
	[[ ! -e $verdict.failed ]]
}

# --- programs ----------------------------------------------------------------------------------

# start NAME COMMAND...: sets $pid; output in NAME.out and NAME.err of the test's folder.
start()
{
	local name=$1

	shift
	rm -f "$BATS_TEST_TMPDIR/$name".{out,err} # what an earlier one said is no answer
	"$@" >"$BATS_TEST_TMPDIR/$name.out" 2>"$BATS_TEST_TMPDIR/$name.err" 3>&- &
	pid=$!
	started+=("$pid")
}

ended() # PID: it is gone, or nothing but its exit status is left
{
	local state

	state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
	[[ -z $state || $state == Z* ]]
}

await() # WHAT COMMAND...
{
	local what=$1 limit=$((SECONDS + AWAIT_SECONDS))

	shift
	until "$@"; do
		((SECONDS < limit)) || fail "waited $AWAIT_SECONDS s in vain: $what" || return
		sleep 0.01
	done
}

stop() # PID [SIGNAL]: returns its exit status
{
	ended "$1" || kill -s "${2:-TERM}" "$1"
	await "process $1 ends" ended "$1" || kill -KILL "$1"
	reap "$1"
}

reap() # PID that has ended: returns its exit status
{
	local other still=()

	for other in "${started[@]}"; do
		[[ $other == "$1" ]] || still+=("$other")
	done
	started=("${still[@]}")
	wait "$1"
}

# For teardown(): what is still there ends, the latest first; after a failure, what they said.
stop_all()
{
	local file

	while ((${#started[@]})); do
		stop "${started[-1]}" || true
	done
	[[ -z ${BATS_TEST_COMPLETED:-} ]] || return 0
	for file in "$BATS_TEST_TMPDIR"/*.{out,err}; do
		[[ ! -s $file ]] || tail -n 5 -v "$file" >&2
	done
}

# Of the configuration of an nginx that keeps to the folder that it is started in: at its top
nginx_alone()
{
	echo "daemon off; user root; pid nginx.pid; error_log error.log;"
}

# and in its http block
nginx_folders()
{
	printf '%s_temp_path %s; ' client_body body proxy proxy fastcgi fastcgi uwsgi uwsgi scgi scgi
}

free_port()
{
	"$GAIT_TRUTH/freeport"
}

listens() # PORT
{
	[[ -n $(ss -Htln "sport = :$1") ]]
}

connections_gone() # PORT: nobody is connected to it any more
{
	[[ -z $(ss -Htn state connected exclude time-wait "sport = :$1") ]]
}

# start_listening NAME PORT COMMAND...: start, and wait until it listens. 1 when it ended instead:
# somebody may have taken the port since it was free.
start_listening()
{
	local name=$1 port=$2

	shift 2
	start "$name" "$@"
	await "$name listens on port $port" listens_or_ended "$port" "$pid" && listens "$port"
}

listens_or_ended() # PORT PID
{
	listens "$1" || ended "$2"
}

# start_server OPTION...: tests/truth/server; sets $server and $port, its log is server.log.
start_server()
{
	start server "$GAIT_TRUTH/server" --log "$BATS_TEST_TMPDIR/server.log" "$@"
	export server=$pid
	server_port server
}

server_port() # NAME, once it says so; sets $port
{
	await "the server listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/$1.out"
	port=$(sed -n 's/^listening on //p' "$BATS_TEST_TMPDIR/$1.out")
}

# --- captures ----------------------------------------------------------------------------------

# capture_start OPTION...: sets $capture and $trace; returns when nothing is missed any more.
capture_start()
{
	trace=$BATS_TEST_TMPDIR/trace.gait
	start capture "$GAIT" capture -o "$trace" "$@"
	capture=$pid
	await "gait is capturing" capture_began_or_ended
	capture_began || fail "gait ended before it began to capture"
}

capture_began()
{
	grep -qs '^gait: capturing' "$BATS_TEST_TMPDIR/capture.err"
}

capture_began_or_ended()
{
	capture_began || ended "$capture"
}

capture_stop() # [STATUS]: as Ctrl-C does; it must exit with STATUS (0)
{
	kill -INT "$capture"
	capture_await "$@"
}

capture_await() # [STATUS]: it ends by itself
{
	local status=0

	await "gait ends" ended "$capture"
	reap "$capture" || status=$?
	assert_equal "exit status of gait capture" "$status" "${1:-0}"
}

# --- Redis -------------------------------------------------------------------------------------

# start_redis OPTION...: sets $redis and $port, and it answers
start_redis()
{
	mkdir -p "$BATS_TEST_TMPDIR/redis"
	for _ in 1 2 3; do
		port=$(free_port)
		! start_listening redis "$port" redis-server --port "$port" --bind 127.0.0.1 --save '' \
			--dir "$BATS_TEST_TMPDIR/redis" "$@" || break
	done
	export redis=$pid
	await "redis answers" redis_answers
}

redis_answers()
{
	[[ $(redis-cli -p "$port" ping 2>/dev/null) == PONG ]]
}

# Counts anew what it is asked; the connections that said so are gone.
redis_count()
{
	redis-cli -p "$port" config resetstat >/dev/null
	await "redis sees the connection end" connections_gone "$port"
}

# "command calls" as Redis counts them; INFO itself is not counted by the INFO that asks.
redis_calls()
{
	redis-cli -p "$port" info commandstats | sed -En 's/^cmdstat_([^:]*):calls=([0-9]+),.*/\1 \2/p'
}

redis_calls_sum()
{
	redis_calls | awk '{ n += $2 } END { print n }'
}

# --- packets -----------------------------------------------------------------------------------

# sniff_start: what goes to and from $port on loopback, into $packets
sniff_start()
{
	packets=$BATS_TEST_TMPDIR/packets.pcap
	start sniff tcpdump -Z root -i lo -U -B 65536 -w "$packets" \
		"tcp port $port or udp port $port"
	sniff=$pid
	await "tcpdump listens" grep -qs 'listening on' "$BATS_TEST_TMPDIR/sniff.err"
}

# A datagram is the last that is captured: then all before it is in the file.
sniff_stop()
{
	printf that-is-all >"/dev/udp/127.0.0.1/$port"
	await "tcpdump has written all" grep -qs that-is-all "$packets"
	stop "$sniff" INT
	grep -q '^0 packets dropped by kernel' "$BATS_TEST_TMPDIR/sniff.err" ||
		fail "tcpdump lost packets"
}

# import STATUS FILE...: into $trace
import()
{
	local want=$1 status=0

	shift
	"$GAIT" import pcap "$@" --filter "tcp port $port" -P "$port" -o "$trace" -f >/dev/null ||
		status=$?
	assert_equal "exit status of gait import" "$status" "$want"
}

# of $trace: "client number class bytes_in bytes_out arrival_ns", a line for each request
told()
{
	local rows=$BATS_TEST_TMPDIR/rows

	csv classes 'NR > 1 { print at("class_id"), at("name") }' >"$rows.classes"
	csv connections 'NR > 1 { print at("connection_id"), at("remote") }' >"$rows.clients"
	csv requests 'NR > 1 { print at("request_id"), at("connection_id"), at("class_id"), at("request_bytes"),
		at("response_bytes"), at("status"), at("arrival_ns") }' | sort -n |
		awk 'FILENAME ~ /classes$/ { class[$1] = $2; next }
			FILENAME ~ /clients$/ { client[$1] = $2; next }
			{ print client[$2], ++n[$2], class[$3], $4, $5, NF == 7 ? $6 : "-", $NF }' \
			"$rows.classes" "$rows.clients" - | sort -k 1,1 -k 2,2n
}

# --- memory ------------------------------------------------------------------------------------

# Of its own: the ring buffer and the other maps are not counted, which hide a leak by their size.
resident_kb() # PID
{
	sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}

# All that there is at once is there early; what grows later is what nobody gives back.
assert_flat() # KB_EARLY KB_LATE [KB_AT_MOST]: what may come on top
{
	echo "# gait has $1 kB after a third, $2 kB at the end" >&3
	(($2 <= $1 + ${3:-256})) || fail "gait grew from $1 kB to $2 kB"
}

# --- tables ------------------------------------------------------------------------------------

# csv TABLE PROGRAM: awk over the rows of a table of $trace (or of a CSV file); at("name") is the
# column of that name. Good for tables without quotes, as those of the tests are.
csv()
{
	local file=$trace/$1.csv

	[[ ! -f $1 ]] || file=$1
	awk -F, '
		function at(name) {
			if (name in column)
				return $column[name]
			print "no column " name " in " FILENAME >"/dev/stderr"
			exit missing = 3
		}
		END { if (missing) exit missing }
		NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
		'"$2" "$file"
}

rows() # TABLE
{
	csv "$1" 'END { print NR - 1 }'
}

ledger() # ENTRY
{
	jq -e ".ledger.$1" "$trace/manifest.json"
}

# Whole: nothing is left in *.partial, and gait itself trusts it.
assert_complete()
{
	[[ -z $(find "$trace" -name '*.partial') ]] || fail "$trace is only partial"
	"$GAIT" show "$trace" >"$BATS_TEST_TMPDIR/show" || fail "gait show does not trust $trace"
}

# No event was lost and no probe run skipped.
assert_nothing_lost()
{
	assert_equal "events lost" "$(ledger events_lost)" 0
	assert_equal "probe misses" "$(ledger probe_misses)" 0
}

# --- sums --------------------------------------------------------------------------------------

# $trace, and what a replay of it on nodes of this machine makes: nothing is lost, the rows of each
# request are its whole, and of each service's, and the client's, at most 1% is unattributed in the
# median, 3% at p99.
assert_sum_closes()
{
	local run=$BATS_TEST_TMPDIR/sum.gait

	assert_closed
	"$GAIT" replay "$trace" --local -f -o "$run" >"$BATS_TEST_TMPDIR/replay.out" 2>&1 || [[ $? == 3 ]]
	trace=$run assert_closed
}

assert_closed()
{
	local service shares

	assert_nothing_lost
	assert_equal "requests whose rows are not the whole" "$(csv latency '{
		sum = at("unattributed_ns") - at("total_ns")
		for (name in column)
			if (name ~ /_ns$/ && name != "total_ns" && name != "unattributed_ns")
				sum += at(name)
		wrong += sum != 0
	} END { print wrong + 0 }')" 0
	for service in $(csv latency '{ print at("service_id") }' | sort -nu); do
		shares=$(csv latency 'at("service_id") == '"$service"' { print at("unattributed_ns") / at("total_ns") }' |
			sort -g | awk '{ of[NR] = $1 } END { print NR, of[int((NR + 1) / 2)], of[int((99 * NR + 99) / 100)] }')
		echo "# ${trace##*/}, service $service: requests, unattributed p50, p99: $shares" >&3
		awk '{ exit !($2 <= 0.01 && $3 <= 0.03) }' <<<"$shares" || fail "unattributed: $shares"
	done
}

# The middle one of the numbers on stdin.
median()
{
	sort -g | awk '{ value[NR] = $1 } END { if (!NR) exit 1; print value[int((NR + 1) / 2)] }'
}
