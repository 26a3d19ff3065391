#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the ops of a node cost, seen from outside: the golden trace with its 23 compute ops made into
# others, and the node's /proc/PID/stat.

# shellcheck disable=SC2154 # run sets stderr
bats_require_minimum_version 1.5.0

# A node says what its work units are worth; traces of this machine have the same.
setup_file() {
	"$GAIT" replay "$GAIT_SOURCE/tests/data/golden-1.0.gait" --local --no-attribution \
		-o "$BATS_FILE_TMPDIR/first.gait" || [ "$?" = 3 ]
	WORK_PER_MS=$(jq .calibration.work_per_ms "$BATS_FILE_TMPDIR/first.gait/manifest.json")
	export WORK_PER_MS
}

setup() {
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir "$TMPDIR"
	cd "$BATS_TEST_TMPDIR" || return
	cp -r "$GAIT_SOURCE/tests/data/golden-1.0.gait" made.gait
	jq ".calibration.work_per_ms = $WORK_PER_MS" made.gait/manifest.json >manifest
	mv manifest made.gait/manifest.json
}

teardown() {
	[ -z "$node" ] || kill "$node" 2>/dev/null || true
}

start_node() {
	rm -f out
	"$GAIT" node --no-attribution "$@" >out 2>err &
	node=$!
	for _ in $(seq 100); do
		[ ! -s out ] || break
		sleep 0.05
	done
	port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' out)
	[ -n "$port" ]
}

# make_ops KIND FIELD=VALUE...: the compute ops of made.gait become ops of that kind
make_ops() {
	local kind=$1
	shift
	awk -F, -v OFS=, -v kind="$kind" -v set="$*" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(set, pairs, " ") }
		$5 == "compute" {
			$5 = kind
			$(at["work"]) = $(at["cpu_ns"]) = 0
			for (i = 1; i <= n; i++) { split(pairs[i], p, "="); $(at[p[1]]) = p[2] }
		}
		{ print }' made.gait/ops.csv >ops.csv
	mv ops.csv made.gait/ops.csv
}

# stat_of FIELD: of the node, as proc(5) numbers them
stat_of() {
	sed 's/.*) //' "/proc/$node/stat" | cut -d ' ' -f $(($1 - 2))
}
MINFLT=10 UTIME=14 STIME=15

# The trace, on the node that runs, or there: every request is answered.
replay_made() { # [ADDRESS OPTION...]
	local code=0 at=${1:-127.0.0.1:$port}

	"$GAIT" replay made.gait --node "$at" "${@:2}" --no-attribution --accept-edited --json \
		-o run.gait >summary.json 2>replay.err || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	[ "$(jq .ledger.answered summary.json)" = 23 ]
}

skipped() {
	jq '.ledger.ops_skipped // 0' summary.json
}

ops_of() {
	awk -F, -v kind="$1" '$5 == kind' run.gait/ops.csv | wc -l
}

@test "memory: a fault for every page, 1024 for 4 MiB" {
	start_node
	make_ops memory bytes=4194304
	before=$(stat_of $MINFLT)
	replay_made
	faults=$(($(stat_of $MINFLT) - before))
	echo "$faults faults"
	[ "$faults" -ge $((23 * 1024)) ]
	[ "$faults" -le $((23 * 1024 + 2500)) ]
	[ "$(skipped)" = 0 ]
	[ "$(ops_of memory)" = 23 ]
}

@test "memory, cached: the bytes pass, and hardly a page is new" {
	start_node
	make_ops memory bytes=4194304 flags=cached
	before=$(stat_of $MINFLT)
	replay_made
	faults=$(($(stat_of $MINFLT) - before))
	echo "$faults faults"
	[ "$faults" -le $((3 * 1024 + 2500)) ] # each of two threads has them once
	[ "$(ops_of memory)" = 23 ]
}

@test "lock: its CPU is used, under any number" {
	start_node
	make_ops lock cpu_ns=30000000 target_id=99999
	before=$(stat_of $UTIME)
	replay_made
	ticks=$(($(stat_of $UTIME) - before)) # of 10 ms; 69 asked
	echo "$ticks ticks"
	[ "$ticks" -ge 45 ]
	[ "$ticks" -le 110 ]
	[ "$(skipped)" = 0 ]
	[ "$(ops_of lock)" = 23 ]
}

@test "kernel work: CPU in the kernel, not in the node's own code" {
	start_node
	make_ops kernel cpu_ns=30000000
	user=$(stat_of $UTIME) kernel=$(stat_of $STIME)
	replay_made
	user=$(($(stat_of $UTIME) - user)) kernel=$(($(stat_of $STIME) - kernel))
	echo "$user and $kernel ticks"
	[ "$kernel" -ge 45 ]
	[ "$kernel" -le 120 ]
	[ "$user" -lt $((kernel / 4)) ]
	[ "$(skipped)" = 0 ]
}

@test "an open and a stat that failed are tried, on a name that is not there" {
	for how in open stat; do
		make_ops kernel "flags=$how+failed"
		rm -f out
		strace -f -o calls -e trace=openat,newfstatat,fstatat64,statx \
			"$GAIT" node --no-attribution --once >out 2>err &
		node=$!
		until [ -s out ]; do sleep 0.05; done
		port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' out)
		replay_made
		wait "$node"
		node=
		[ "$(grep -c '"missing".*ENOENT' calls)" = 23 ]
		[ "$(skipped)" = 0 ]
		rm -r run.gait
		cp "$GAIT_SOURCE/tests/data/golden-1.0.gait/ops.csv" made.gait/
	done
}

@test "a handshake: in the clear its CPU is used, on TLS the connection's own is all there is" {
	make_ops handshake cpu_ns=30000000
	for listen in 127.0.0.1:0 "tls://127.0.0.1:0 --control 127.0.0.1:0"; do
		# shellcheck disable=SC2086 # words
		start_node --listen $listen
		data=$(sed -n 's/^listening on \(tls:.*\)/\1/p' out)
		before=$(stat_of $UTIME)
		replay_made "${data:-127.0.0.1:$port}" --control "127.0.0.1:$port"
		ticks=$(($(stat_of $UTIME) - before)) # of 10 ms; 69 asked in the clear
		echo "${data:-clear}: $ticks ticks"
		[ -n "$data" ] || [ "$ticks" -ge 45 ]
		[ -z "$data" ] || [ "$ticks" -le 25 ]
		[ "$(skipped)" = 0 ]
		[ "$(ops_of handshake)" = 23 ]
		kill "$node"
		wait "$node"
		rm -r run.gait
	done
}

@test "--compute cpu and wall: as much CPU, as much time" {
	make_ops compute cpu_ns=20000000
	for how in cpu wall; do
		start_node --compute "$how"
		before=$(stat_of $UTIME)
		replay_made
		ticks=$(($(stat_of $UTIME) - before)) # 46 asked
		echo "$how: $ticks ticks"
		[ "$ticks" -le 80 ]
		[ "$how" = wall ] || [ "$ticks" -ge 35 ]
		# nothing took less than asked: 94% of it in one class of the trace, in units of work,
		# which this node may have found to be worth more or less than the one before it
		least=$((18700000 * $(jq .calibration.work_per_ms made.gait/manifest.json) /
			$(jq .calibration.work_per_ms run.gait/manifest.json)))
		echo "least $least"
		awk -F, -v least="$least" '$5 == "compute" && $9 < least { bad = 1 } END { exit bad }' \
			run.gait/ops.csv
		kill "$node"
		wait "$node"
		rm -r run.gait
	done
}

@test "--io: who makes the calls on files, as strace sees it" {
	make_ops store bytes=4096 offset=0 target_id=1
	for how in worker threads:2 uring; do
		rm -f out calls*
		strace -f -o calls -e trace=pwrite64,io_uring_enter,io_uring_setup,clone3,clone \
			"$GAIT" node --no-attribution --once --io "$how" >out 2>err &
		node=$!
		until [ -s out ]; do sleep 0.05; done
		port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' out)
		replay_made
		wait "$node"
		node=
		[ "$(skipped)" = 0 ]
		[ "$(awk -F, '$5 == "store" && $12 == 4096' run.gait/ops.csv | wc -l)" = 23 ]
		writers=$(awk '/pwrite64\(.*, 4096, 0\)/ { print $1 }' calls | sort -u | wc -l)
		echo "$how: $writers threads write"
		case $how in
		worker) [ "$writers" -ge 1 ] && ! grep -q io_uring calls ;;
		threads:2) [ "$writers" -ge 1 ] && [ "$writers" -le 2 ] && ! grep -q io_uring calls ;;
		uring) [ "$writers" = 0 ] && [ "$(grep -c 'io_uring_enter(' calls)" -ge 1 ] ;;
		esac
		rm -r run.gait
	done
}

@test "a reply by sendfile comes out of the device, behind its header, as strace sees it" {
	head -c 2000 /dev/zero >device
	for reply in sendfile,offset=300,1k sendfile,1k sendfile,offset=1500,1k; do
		rm -f out calls
		strace -f -qq -o calls -e trace=sendfile "$GAIT" node --no-attribution --once \
			--storage "$PWD/device" >out 2>err &
		node=$!
		until [ -s out ]; do sleep 0.05; done
		"$GAIT" walk --to "$(sed -n 's/^listening on //p' out)" -n 20 -R "$reply" --json >walk.json || [ $? = 3 ]
		wait "$node"
		node=
		[ "$(jq .answered walk.json)" = 20 ]
		sed -E 's/^[^[]*\[([0-9]+)(\] => \[[0-9]+)?\], ([0-9]+)\) *= ([0-9]+)$/\1 \3 \4/' calls | sort | uniq -c |
			sed 's/^ *//' >got
		case $reply in
		*=300,*) diff got - <<<"20 300 976 976" ;;
		sendfile,1k) diff got - <<<"10 0 976 976"$'\n'"10 976 976 976" ;; # and from the beginning again
		*) diff got - <<<"20 1500 976 500"$'\n'"20 2000 476 0" ;;	   # what is missing is made up
		esac
	done
}

@test "wrong ways to do I/O are a usage error" {
	for how in aio threads:0 threads:65 uring:4097 worker:1; do
		run --separate-stderr -2 "$GAIT" node --io "$how"
	done
}
