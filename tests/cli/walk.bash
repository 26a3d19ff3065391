# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What tests of gait walk and of DistWalk's programs share: a node, a run's tables, and what strace
# saw of a client.
# Nothing sleeps to be in time.

bats_require_minimum_version 1.5.0
export LC_ALL=C # numbers of date, strace and sort

# It has its own home: the node's default storage is there.
walk_setup() {
	# shellcheck disable=SC2034 # for those who use this
	PROGRAMS=$(dirname "$GAIT")
	export HOME=$BATS_TEST_TMPDIR/home TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir "$HOME" "$TMPDIR"
	nodes=()
	cd "$BATS_TEST_TMPDIR" || return
}

walk_teardown() {
	for pid in "${nodes[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

await() { # COMMAND...: polls for what must come
	for _ in $(seq 600); do
		! "$@" || return 0
		sleep 0.025
	done
	echo "did not come: $*"
	return 1
}

# is TEXT WANT, with both in the log
is() {
	[ "$1" = "$2" ] || {
		echo "got '$1', want '$2'"
		return 1
	}
}

# between LOW VALUE HIGH: numbers, fractions too
between() {
	echo "$1 <= $2 <= $3 ?"
	awk -v low="$1" -v value="$2" -v high="$3" \
		'BEGIN { exit !(value != "" && low + 0 <= value + 0 && value + 0 <= high + 0) }'
}

listens_or_ended() { # NAME
	grep -qs '^listening on ' "$1.out" || [[ ! -d /proc/$node ]]
}

# start_as NAME COMMAND...: a node; sets $node, its pid, $at, where clients come in, and $port.
start_as() {
	local name=$1
	shift
	: >"$name.out" # of an earlier one of this name
	"$@" >"$name.out" 2>"$name.err" 3>&- &
	node=$!
	nodes+=("$node")
	await listens_or_ended "$name"
	grep -q '^listening on ' "$name.out" || {
		cat "$name.err"
		return 1
	}
	at=$(sed -n '1s/^listening on //p' "$name.out")
	# shellcheck disable=SC2034 # for those who use this
	port=${at##*:}
}

stop_node() {
	kill -INT "$node"
	wait "$node"
}

# table TRACE NAME COLUMN...: those columns of a table without quotes
table() {
	local file=$1/$2.csv

	shift 2
	awk -F, -v OFS=, -v names="$*" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(names, name, " ") }
		NR > 1 { for (i = 1; i <= n; i++) printf "%s%s", $(at[name[i]]), i < n ? OFS : "\n" }
	' "$file"
}

# trace CALLS COMMAND...: what the threads of the command did, with times, is in the file `trace`;
# what it printed in `out` and `err`.
trace() {
	local calls=$1
	shift
	timeout 60 strace -f -ttt -s 256 -o trace -e "trace=$calls" "$@" >out 2>err || [ $? = 3 ] || {
		cat err
		return 1
	}
}

# Of a client's trace: the thread that sends requests is not the first one.
sent_by_senders() { # "SECONDS BYTES" of each send of a request (32 bytes: what greets the node)
	awk 'NR == 1 { main = $1 }
		$1 != main && /sendto/ && !/<unfinished/ && $NF != 32 { print $2, $NF }' trace
}

sends() {
	sent_by_senders | wc -l
}

# requests_sent BYTES: when each left, with so many bytes a request. On a busy machine what became due
# meanwhile leaves in one call.
requests_sent() {
	sent_by_senders | awk -v bytes="$1" '{ for (n = $2 / bytes; n > 0; n--) print $1 }'
}

received_by_senders() { # bytes, in all
	awk 'NR == 1 { main = $1 }
		$1 != main && (/recvfrom\(/ || /recvfrom resumed/) && $NF > 0 { sum += $NF }
		END { print sum + 0 }' trace
}

data_connects() { # seconds of each
	awk 'NR == 1 { main = $1 } $1 != main && / connect\(/ { print $2 }' trace
}

# Of the seconds on stdin, those from the first to the last.
span() {
	awk '{ $1 += 0 } NR == 1 { first = $1 } { last = $1 } END { printf "%.6f\n", last - first }'
}

# CPU seconds of a process so far.
cpu_of() { # PID
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat"
}

now() {
	date +%s.%N
}

minus() { # A B
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6f\n", a - b }'
}

# node_calls CALLS: of the node, from now on into `calls`; end_calls ends it
node_calls() {
	: >strace.err # of an earlier one
	strace -f -o calls -e "trace=$1" -p "$node" 2>strace.err & strace=$!
	await grep -q attached strace.err
}

end_calls() {
	kill "$strace"
	wait "$strace" || true
}

# calls NAME: "BYTES OFFSET" of each; a call that was interrupted has its parts in one line or the other
calls() {
	sed -nE "s/.* $1(\(| resumed>).*, ([0-9]+), ([0-9]+)(\) += .*| <unfinished.*)/\2 \3/p" calls |
		grep -v '^0 ' # of the node's own files
}

# synced: descriptors of stores that are on the device when they return
synced_fds() {
	sed -nE 's/.*openat\(.*O_D?SYNC.* = ([0-9]+)$/\1/p' calls | sort -u
}
