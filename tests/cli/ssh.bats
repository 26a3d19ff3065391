#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --ssh: nodes that are started by ssh, end with it, and get their key by standard input. Here ssh is
# a script that runs the command on this machine, and keeps what it was told.

load walk

setup() {
	walk_setup
	mkdir bin
	cat >bin/ssh <<-'END'
		#!/bin/sh
		host=$1
		shift
		echo "$host: $*" >>"$TOLD"
		case $host in
		gone) echo "ssh: connect to host gone port 22: No route to host" >&2; exit 255 ;;
		bare) PATH=/nowhere; exec /bin/sh -c "$*" ;;
		mute) exec /bin/cat ;;
		esac
		/bin/sh -c "echo \$\$ >>$TOLD.pids; exec $*"
	END
	chmod +x bin/ssh
	export TOLD=$BATS_TEST_TMPDIR/told
	PATH=$BATS_TEST_TMPDIR/bin:$(dirname "$GAIT"):$PATH
}

teardown() {
	walk_teardown
}

all_nodes_have_ended() {
	while read -r pid; do
		[ ! -d "/proc/$pid" ] || return 1
	done <told.pids
}

@test "a replay starts its node by ssh, and it ends with the replay" {
	gait walk --nt 2 -n 50 -r 1000 --plan-only -O made.gait
	gait replay made.gait --ssh user@localhost --no-attribution --dir "$PWD/it's here" \
		-o run.gait && false # the folder is not there: said by the node
	mkdir "it's here"
	gait replay made.gait --ssh user@localhost --no-attribution --dir "$PWD/it's here" \
		-o run.gait --json >summary.json || [ $? = 3 ]
	is "$(jq .ledger.answered summary.json)" 100
	grep -q '^user@localhost: gait node --attached --key - --listen' told
	run grep -c 'gait-key-1' told
	is "$output" 0
	all_nodes_have_ended
}

@test "a walk starts several, and a forward to one of them finds it" {
	gait walk --ssh 127.0.0.1,127.0.0.2 --nt 2 -n 50 -r 1000 -F 127.0.0.2 -R 64 -R 64 --json \
		>summary.json || [ $? = 3 ]
	is "$(jq .answered summary.json)" 100
	all_nodes_have_ended
}

@test "a node ends when the ssh connection does, also when nobody says goodbye" {
	gait walk --ssh localhost -n 100000 -r 10 2>walk.err &
	client=$!
	await grep -qs . told.pids
	kill -KILL "$client"
	wait "$client" || true
	await all_nodes_have_ended
}

@test "what goes wrong names the host" {
	run -1 gait walk --ssh localhost,gone -n 1
	[[ "$output" == *"'gone' cannot be reached by ssh"* ]]
	all_nodes_have_ended
	run -1 gait walk --ssh bare -n 1
	[[ "$output" == *"'bare': no program to start a node with"* ]]
	GAIT_SSH="nosuchssh -p 22" run -1 gait walk --ssh localhost -n 1
	[[ "$output" == *"'localhost': no program to start a node with"* ]]
	run -1 gait walk --ssh -oProxyCommand=x -n 1
	[[ "$output" == *"is no host"* ]]
	run -1 gait walk --ssh a,,b -n 1
	[[ "$output" == *"is no host"* ]]
}

@test "GAIT_SSH names another program, with arguments" {
	mv bin/ssh bin/other
	# shellcheck disable=SC2016 # for that script
	sed -i '2i [ "$1 $2" = "-p 2222" ] || exit 3; shift 2' bin/other
	GAIT_SSH="other -p 2222" gait walk --ssh localhost -n 5 --json >summary.json || [ $? = 3 ]
	is "$(jq .answered summary.json)" 5
}

@test "--attached: a node ends when its standard input does; --key -: and takes its key from there" {
	gait keys new a.key
	mkfifo input
	gait node --attached --key - --no-attribution <input >node.out 2>node.err &
	nodes+=($!)
	exec 7>input
	cat a.key >&7
	await grep -q '^listening on ' node.out
	at=$(sed -n '1s/^listening on //p' node.out)
	gait walk --to "$at" --key a.key -n 3 || [ $? = 3 ]
	run gait walk --to "$at" -n 3
	[ "$status" -eq 1 ]
	exec 7>&-
	wait "${nodes[0]}"
	nodes=()
}
