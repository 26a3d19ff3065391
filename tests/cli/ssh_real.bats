#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --ssh by OpenSSH's own client and server, with a configuration, keys and a port of their own. What
# goes wrong in between is in ssh.bats, with a script in place of ssh.

load walk
load ../lacks

setup() {
	walk_setup
	[ "$(id -u)" = 0 ] || lacks "needs root for a server that lets root in"
	daemon=$(PATH=$PATH:/usr/sbin command -v sshd) || lacks "no sshd (openssh-server)"
	mkdir -p /run/sshd # where it wants to be able to chroot to
	ssh-keygen -q -t ed25519 -N '' -f host_key
	ssh-keygen -q -t ed25519 -N '' -f user_key
	ssh_port=$("$GAIT_TRUTH/freeport")
	serve
	echo "[127.0.0.1]:$ssh_port $(cut -d ' ' -f 1,2 host_key.pub)" >known_hosts
	cat >ssh_config <<-END
		Host *
		Port $ssh_port
		User root
		IdentityFile $PWD/user_key
		IdentitiesOnly yes
		UserKnownHostsFile $PWD/known_hosts
		GlobalKnownHostsFile /dev/null
		StrictHostKeyChecking yes
		BatchMode yes
		LogLevel ERROR
	END
	export GAIT_SSH="ssh -F $PWD/ssh_config"
}

# Who comes gets the directory of the gait that is tested in its PATH.
serve() {
	cat >sshd_config <<-END
		ListenAddress 127.0.0.1:$ssh_port
		HostKey $PWD/host_key
		PidFile none
		AuthorizedKeysFile $PWD/user_key.pub
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		PermitRootLogin prohibit-password
		SetEnv PATH=$(dirname "$GAIT"):/usr/bin:/bin STARTED_BY=$BATS_TEST_TMPDIR
	END
	"$daemon" -D -e -f sshd_config 2>sshd.log 3>&- &
	nodes+=($!)
	await grep -qs "Server listening on 127.0.0.1" sshd.log
}

teardown() {
	walk_teardown
}

# pids of what is called gait and was started by this server, whoever is its parent now
remote_nodes() {
	grep -lsaF "STARTED_BY=$BATS_TEST_TMPDIR" /proc/[0-9]*/environ | cut -d / -f 3 |
		while read -r pid; do
			[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != gait ] || echo "$pid"
		done
}

some_run() {
	[ -n "$(remote_nodes)" ]
}

none_runs() {
	[ -z "$(remote_nodes)" ]
}

# ended PID...: none of them is there
ended() {
	for pid in "$@"; do
		[ ! -d "/proc/$pid" ] || return 1
	done
}

@test "a walk and a replay on a node that ssh starts; it ends with them, and its key is seen nowhere" {
	"$GAIT" walk --ssh 127.0.0.1 --nt 2 -n 50 -r 1000 --json >summary.json || [ $? = 3 ]
	is "$(jq .answered summary.json)" 100
	await none_runs
	"$GAIT" walk --nt 2 -n 50 -r 1000 --plan-only -O made.gait
	"$GAIT" replay made.gait --ssh root@127.0.0.1 --no-attribution -o run.gait --json \
		>summary.json || [ $? = 3 ]
	is "$(jq .ledger.answered summary.json)" 100
	await none_runs
	is "$(grep -c 'Accepted publickey for root' sshd.log)" 2
	run ! grep -q gait-key sshd.log
}

@test "a node ends when its client is killed, and a walk when the way to its node is" {
	"$GAIT" walk --ssh 127.0.0.1 -n 100000 -r 10 2>walk.err 3>&- &
	client=$!
	await some_run
	mapfile -t there < <(remote_nodes)
	kill -KILL "$client"
	wait "$client" || true
	await ended "${there[@]}"

	"$GAIT" walk --ssh 127.0.0.1 -n 100000 -r 10 --progress 2>walk.err 3>&- &
	client=$!
	await grep -qs 'sent [1-9]' walk.err
	mapfile -t there < <(remote_nodes)
	[ "${#there[@]}" -ge 1 ]
	pkill -KILL -P "${nodes[0]}" # the server's process for this connection, which it started
	status=0
	wait "$client" || status=$?
	is "$status" 1
	grep '^gait: ' walk.err
	await ended "${there[@]}"
}

@test "a host that is another one, and one that lets nobody in, are told apart from a node's failure" {
	ssh-keygen -q -t ed25519 -N '' -f other_key
	echo "[127.0.0.1]:$ssh_port $(cut -d ' ' -f 1,2 other_key.pub)" >known_hosts
	run -1 "$GAIT" walk --ssh 127.0.0.1 -n 1
	[[ "$output" == *"'127.0.0.1' cannot be reached by ssh (see above)"* ]]
	echo "[127.0.0.1]:$ssh_port $(cut -d ' ' -f 1,2 host_key.pub)" >known_hosts
	cp other_key user_key
	run -1 "$GAIT" walk --ssh 127.0.0.1 -n 1
	[[ "$output" == *"'127.0.0.1' cannot be reached by ssh (see above)"* ]]
}
