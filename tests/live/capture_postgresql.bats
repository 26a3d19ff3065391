#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and variables come from the helper
# A real PostgreSQL, a process a connection, under pgbench: the trace must say what its own
# statistics say. A cluster is made once; each test starts a copy of it, as nobody.

load helper

WAL_SEGMENT=16777216
TRANSACTIONS=400 # of a pgbench run, over all its clients

setup_file()
{
	# nobody cannot enter the folder of the test
	BATS_CLUSTERS=$(mktemp -d /tmp/gait-postgresql-XXXXXX)
	export BATS_CLUSTERS
	chown nobody "$BATS_CLUSTERS"
	find_programs || return 0 # setup() says what is missing
	as_nobody initdb -N -A trust -U gait -E UTF8 --no-locale -D "$BATS_CLUSTERS/new" \
		>"$BATS_FILE_TMPDIR/initdb" || return
	cluster_configuration >>"$BATS_CLUSTERS/new/postgresql.conf"
}

teardown_file()
{
	rm -rf "$BATS_CLUSTERS"
}

setup()
{
	find_programs || true
	require_bpf jq ss setpriv psql initdb postgres pgbench
}

teardown()
{
	stop_all
	rm -rf "$BATS_CLUSTERS/data"
}

# Debian keeps the server's programs of each version in a folder of their own.
find_programs()
{
	local bin

	bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
	PATH=${bin:+$bin:}$PATH
	[[ -n $(type -P initdb) && $EUID == 0 ]]
}

as_nobody() # COMMAND...: the server refuses to run as root
{
	cd / && setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# Nothing writes WAL or dirty pages by its own clock, so that what is counted has a cause.
cluster_configuration()
{
	cat <<-EOF
		listen_addresses = '127.0.0.1'
		unix_socket_directories = ''
		shared_preload_libraries = 'pg_stat_statements'
		autovacuum = off
		wal_level = minimal
		max_wal_senders = 0
		checkpoint_timeout = 1h
		bgwriter_lru_maxpages = 0
		wal_writer_delay = 10s
	EOF
}

# start_postgresql SETTING...: sets $postgresql (the postmaster) and $port; with pgbench's tables
start_postgresql()
{
	local setting settings=()

	for setting; do
		settings+=(-c "$setting")
	done
	cp -a "$BATS_CLUSTERS/new" "$BATS_CLUSTERS/data"
	for _ in 1 2 3; do
		port=$(free_port)
		! start_listening postgresql "$port" as_nobody postgres -D "$BATS_CLUSTERS/data" \
			-p "$port" "${settings[@]}" || break
	done
	postgresql=$pid
	export PGHOST=127.0.0.1 PGPORT=$port PGUSER=gait PGDATABASE=postgres
	export PGSSLMODE=disable PGGSSENCMODE=disable # else a turn more: may it be encrypted?
	await "PostgreSQL answers" answers
	sql 'CREATE EXTENSION pg_stat_statements'
	pgbench -i -q >"$BATS_TEST_TMPDIR/pgbench" 2>&1
	# an empty segment of the log, which is enough for a test, and is there: CHECKPOINT writes to it
	sql 'SELECT pg_switch_wal()' >"$BATS_TEST_TMPDIR/psql"
	sql CHECKPOINT
}

answers()
{
	[[ $(psql -Atqc 'SELECT 1' 2>/dev/null) == 1 ]]
}

sql() # STATEMENT: in one message, on a connection of its own, which is over
{
	psql -Atqc "$1" && await "the backend has ended" backends_gone
}

# benchmark MODE CLIENTS OPTION...: TRANSACTIONS, dealt out to the clients
benchmark()
{
	pgbench -n -M "$1" -c "$2" -j 2 -t $((TRANSACTIONS / $2)) "${@:3}" \
		>"$BATS_TEST_TMPDIR/pgbench" 2>&1 || fail "pgbench failed"
	await "the backends have ended" backends_gone
}

# Their counts are in the statistics only then. A process that ends has lost its name before it
# closes its connection.
backends_gone()
{
	! pgrep -P "$postgresql" -f '127[.]0[.]0[.]1' >/dev/null && connections_gone "$port"
}

# Statements as the server counts them, without those that ask for the count.
statements() # CONDITION
{
	sql "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
		WHERE query NOT LIKE '%pg_stat%' AND $1"
}

# What is one turn: the start of a connection (StartupMessage; AuthenticationOk to ReadyForQuery),
# a simple Query, and everything up to a Sync, as pgbench sends Parse, Bind, Describe, Execute and
# Sync in one write. Terminate has no reply: it is a request that nobody answers.
assert_turns() # MODE CLIENTS
{
	local clients=$2 connections=$(($2 + 1)) prepares=0 data other

	[[ $1 != prepared ]] || prepares=$((7 * clients)) # each statement of the script, by each
	data=$(statements "query ~ '^(SELECT abalance|UPDATE|INSERT)'")
	# pgbench's first connection: the scale, and whether there are partitions
	other=$(statements "query !~ '^(SELECT abalance|UPDATE|INSERT|BEGIN|END)'")
	assert_equal "statements with data" "$data" $((5 * TRANSACTIONS))
	assert_equal "statements of pgbench's first connection" "$other" 2
	# BEGIN and END: pg_stat_statements has no count of utility statements run by Bind
	[[ $1 == prepared ]] || assert_equal "BEGIN and END" \
		"$(statements "query ~ '^(BEGIN|END)'")" $((2 * TRANSACTIONS))
	assert_equal "requests that were answered" "$(csv requests \
		'at("status") == "" { n++ } END { print n }')" \
		$((connections + data + other + 2 * TRANSACTIONS + prepares))
	assert_equal "requests that were not" "$(csv requests 'at("status") != "" {
		print at("status"), at("request_bytes"), at("response_bytes")
	}' | sort | uniq -c | sed 's/^ *//')" "$connections unanswered 5 0"
	assert_equal "connections" "$(rows connections)" "$connections"
	assert_equal "backends that serve" "$(csv services '{ print at("threads") }')" "$connections"
}

# One capture of one pgbench run. Sets $before and $after, what COUNTER says then. The first that
# asks is captured too: a backend's counts are in the statistics when it has ended, not before.
capture_benchmark() # COUNTER MODE CLIENTS OPTION...
{
	capture_start --pid "$postgresql"
	before=$("$1")
	benchmark "${@:2}"
	await "the log is on disk" log_is_flushed
	capture_stop
	after=$("$1")
	assert_nothing_lost
}

log_is_flushed()
{
	[[ $(sql 'SELECT pg_current_wal_flush_lsn() = pg_current_wal_insert_lsn()') == t ]]
}

capture_turns() # MODE CLIENTS
{
	sql 'SELECT pg_stat_statements_reset()' >"$BATS_TEST_TMPDIR/psql"
	capture_start --pid "$postgresql"
	benchmark "$@"
	capture_stop
	assert_nothing_lost
	assert_turns "$@"
}

@test "simple queries: a turn each, and two a connection; from 1 client and from 8" {
	start_postgresql
	for clients in 1 8; do
		capture_turns simple "$clients"
		rm -r "$trace"
	done
}

@test "prepared statements: a turn for each Sync; from 1 client and from 8" {
	start_postgresql
	for clients in 1 8; do
		capture_turns prepared "$clients"
		rm -r "$trace"
	done
}

@test "unnamed statements: Parse to Sync is one turn" {
	start_postgresql
	capture_turns extended 8
}

# "writes syncs" of the log's segments, as the server counts them
wal_counts()
{
	sql 'SELECT wal_write, wal_sync FROM pg_stat_wal' | tr '|' ' '
}

# wal KIND CONDITION: how many ops of a kind are on files of the log's size
wal_ops()
{
	join -j 1 <(csv targets 'at("kind") == "file" && at("file_bytes") == '"$WAL_SEGMENT"' {
		print at("target_id")
	}' | sort) <(csv ops 'at("kind") == "'"$1"'" && '"$2"' { print at("target_id") }' | sort) |
		wc -l
}

# The ops on the log's segments are as many as pg_stat_wal counts.
assert_wal()
{
	local was now

	read -r -a was <<<"$before"
	read -r -a now <<<"$after"
	assert_equal "writes to the log" "$(wal_ops store 1)" $((now[0] - was[0]))
	assert_equal "syncs of the log" "$(wal_ops sync 1)" $((now[1] - was[1]))
}

@test "every commit writes the log and syncs it: as often as pg_stat_wal counts, each by its END" {
	start_postgresql
	capture_benchmark wal_counts simple 1
	assert_wal
	assert_equal "requests that own one sync" "$(csv ops 'at("kind") == "sync" &&
		at("request_id") { print at("request_id") }' | uniq_counts)" "$TRANSACTIONS 1"
}

uniq_counts() # how many lines occur how often
{
	sort | uniq -c | awk '{ print $1 }' | sort -n | uniq -c | awk '{ print $1, $2 }'
}

@test "8 clients commit together: the log's writes and syncs are still those of pg_stat_wal" {
	start_postgresql
	capture_benchmark wal_counts prepared 8
	assert_wal
}

@test "commits that do not wait: every sync of the log is in the background" {
	start_postgresql synchronous_commit=off wal_writer_delay=10ms
	capture_benchmark wal_counts simple 8
	assert_wal
	assert_equal "syncs of requests" \
		"$(csv ops 'at("kind") == "sync" && at("request_id") { n++ } END { print n + 0 }')" 0
	(($(wal_ops sync 1) > 0)) || fail "the log writer never synced"
}

@test "a checkpoint is the checkpointer's: in the background, as many pages as it says" {
	local pages

	start_postgresql
	benchmark simple 1
	capture_start --pid "$postgresql"
	sql CHECKPOINT
	capture_stop
	pages=$(sed -n 's/.*checkpoint complete: wrote \([0-9]*\) buffers.*/\1/p' \
		"$BATS_TEST_TMPDIR/postgresql.err" | tail -n 1)

	assert_nothing_lost
	((pages > 20)) || fail "only $pages pages were dirty"
	assert_equal "stores of requests" "$(csv ops 'at("kind") == "store" &&
		at("request_id") && at("bytes") == 8192 { n++ } END { print n + 0 }')" 0
	assert_equal "syncs of requests" \
		"$(csv ops 'at("kind") == "sync" && at("request_id") { n++ } END { print n + 0 }')" 0
	# beside the pages: the checkpoint's record in the log, and the control file
	assert_equal "pages written in the background" "$(csv ops 'at("kind") == "store" &&
		at("bytes") == 8192 { n++ } END { print n + 0 }')" $((pages + 2))
}

# Blocks that backends had to read, of this database and of what all share. The one that asks has
# been asking since before the capture: all it needs is in its own caches.
blocks_read()
{
	local blocks

	printf '%s\n' "$blocks_query" >&"${asking[1]}"
	read -r -t 10 blocks <&"${asking[0]}"
	echo "$blocks"
}

ask_for_blocks()
{
	local database

	database=$(sql 'SELECT oid FROM pg_database WHERE datname = current_database()')
	blocks_query="SELECT pg_stat_get_db_blocks_fetched(0) - pg_stat_get_db_blocks_hit(0) +
		pg_stat_get_db_blocks_fetched($database) - pg_stat_get_db_blocks_hit($database);"
	coproc asking { psql -Atq 3>&-; }
	started+=("$asking_PID")
	blocks_read
	blocks_read
	# what it read for these is told now: by itself it would be a second later, or in the next
	printf 'SELECT pg_stat_force_next_flush();\n' >&"${asking[1]}"
	read -r -t 10 _ <&"${asking[0]}"
}

@test "pages that are not in shared buffers: as many loads as the server counts reads" {
	local before after

	start_postgresql shared_buffers=1MB
	ask_for_blocks
	capture_start --pid "$postgresql"
	before=$(blocks_read)
	pgbench -n -M prepared -c 8 -j 2 -S -t 50 >"$BATS_TEST_TMPDIR/pgbench" 2>&1
	await "only the backend that asks is left" one_backend
	capture_stop
	after=$(blocks_read)

	assert_nothing_lost
	assert_equal "pages loaded" "$(csv ops 'at("kind") == "load" && at("bytes") == 8192 { n++ }
		END { print n + 0 }')" "$((after - before))"
}

one_backend()
{
	(($(pgrep -c -P "$postgresql" -f "127[.]0[.]0[.]1") <= 1))
}

# A fork, a connection, one SELECT and the end, again and again. GAIT_LONG=SECONDS makes it as long.
reconnect() # SECONDS
{
	pgbench -n -C -S -M simple -c 4 -j 2 -T "$1" >"$BATS_TEST_TMPDIR/pgbench.$1" 2>&1
	await "the backends have ended" backends_gone
}

transactions() # of both runs
{
	sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' \
		"$BATS_TEST_TMPDIR"/pgbench.* | awk '{ n += $1 } END { print n }'
}

@test "a backend for every SELECT: every turn of every connection is found" {
	start_postgresql
	capture_start --pid "$postgresql"
	reconnect 1
	capture_stop
	assert_nothing_lost
	assert_reconnects 1
}

# Each connection: its start, the SELECT, the end. pgbench's first has two statements.
assert_reconnects() # RUNS
{
	local n

	n=$(transactions)
	echo "# $n connections" >&3
	assert_equal "requests that were answered" "$(csv requests \
		'at("status") == "" { n++ } END { print n }')" $((2 * n + 3 * $1))
	assert_equal "requests that were not" "$(csv requests 'at("status") != "" {
		print at("status"), at("request_bytes")
	}' | sort | uniq -c | sed 's/^ *//')" "$((n + $1)) unanswered 5"
	assert_equal "connections" "$(rows connections)" $((n + $1))
}

@test "forks without end: gait does not grow" {
	local seconds=${GAIT_LONG:-7} early late

	export AWAIT_SECONDS=60
	start_postgresql
	capture_start --pid "$postgresql"
	reconnect $((seconds / 3))
	early=$(resident_kb "$capture")
	reconnect $((seconds - seconds / 3))
	late=$(resident_kb "$capture")
	capture_stop
	assert_nothing_lost
	assert_reconnects 2
	assert_flat "$early" "$late"
}

@test "it is known as a process a connection" {
	start_postgresql
	capture_start --pid "$postgresql"
	benchmark simple 8 -S
	capture_stop
	assert_equal "model" "$(csv services '{ print at("io_model") }')" per-connection
}

@test "a backend that waits for a lock goes on with the same request: none of its ops is nobody's" {
	start_postgresql
	echo 'UPDATE pgbench_branches SET bbalance = bbalance + 1' >"$BATS_TEST_TMPDIR/update.sql"
	capture_benchmark wal_counts simple 8 -f "$BATS_TEST_TMPDIR/update.sql"
	assert_wal
	assert_equal "loads, stores and syncs of backends that no request owns" "$(join \
		<(csv requests '{ print at("thread_id") }' | sort -u) \
		<(csv ops 'at("request_id") == "" && at("kind") ~ /load|store|sync/ {
			print at("thread_id")
		}' | sort) | wc -l)" 0
}

# "client bytes_in bytes_out" of each request that was answered, in order
answered()
{
	told | awk '$6 == "-" { print $1, $4, $5 }'
}

@test "tcpdump of the same run: the same turns on each connection, byte by byte" {
	require_packets
	start_postgresql
	sniff_start
	capture_start --pid "$postgresql"
	benchmark simple 2
	benchmark prepared 3
	capture_stop
	sniff_stop
	answered >"$BATS_TEST_TMPDIR/ebpf"
	import 0 "$packets"
	answered >"$BATS_TEST_TMPDIR/pcap"
	(($(wc -l <"$BATS_TEST_TMPDIR/pcap") > 2 * 7 * TRANSACTIONS)) || fail "there are too few requests"
	diff "$BATS_TEST_TMPDIR/ebpf" "$BATS_TEST_TMPDIR/pcap"
	assert_equal "protocol" "$(csv connections 'NR > 1 { print at("protocol") }' | sort -u)" postgresql
}

@test "the sum of the rows is the whole, captured and replayed: next to nothing is unattributed" {
	start_postgresql
	capture_start --pid "$postgresql"
	TRANSACTIONS=100 benchmark simple 4
	capture_stop
	assert_sum_closes
}
