#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Nodes that call each other by datagrams: what goes over the wire, and what becomes of what is lost
# there. Between the two nodes stands a relay that counts, and loses what it is told to.

# shellcheck disable=SC2154 # variables come from the helper
load walk

setup() {
	walk_setup
	start_as far "$GAIT" node --no-attribution --listen "udp://127.0.0.1:$("$GAIT_TRUTH/freeport")"
	far=$at far_pid=$node
	# the client comes in by TCP at the port that datagrams go to
	"$GAIT" proxy --bind 127.0.0.1:0 --to "$far" >proxy.out 3>&- &
	nodes+=("$!")
	await grep -q '^listening on ' proxy.out
	relay_port=$(sed -n '1s/^listening on .*://p' proxy.out)
	start_as near "$GAIT" node --no-attribution --listen 127.0.0.1:0
	near=$at
}

teardown() {
	[ -z "$relay" ] || kill "$relay" 2>/dev/null || true
	walk_teardown
}

start_relay() { # HOW
	"$BATS_TEST_DIRNAME/datagram_relay" "$far" "$1" "$relay_port" >relay.out 3>&- &
	relay=$!
	await grep -q . relay.out
}

end_relay() {
	kill "$relay"
	wait "$relay" || true
	relay=
}

# walk CODE OPTION...: how it ends; late sending, which makes a 0 a 3, is the machine's
walk() {
	local want=$1 code=0
	shift
	timeout 60 "$GAIT" walk --to "$near" --json -o rows.csv,header=true "$@" >out 2>err || code=$?
	[ "$code" = "$want" ] || [ "$want$code" = 03 ] || {
		cat out err
		return 1
	}
}

outcomes() {
	jq -r '"\(.sent) \(.answered) \(.timeouts) \(.errors) \(.unsent)"' out
}

@test "a call is a datagram, and so is its reply, of the sizes that were asked for" {
	start_relay drop=0
	walk 0 -n 100 -r 500 -F "udp://127.0.0.1:$relay_port,size=300" -C 100us -R 128 -R 64
	is "$(outcomes)" "100 100 0 0 0"
	walk 0 -n 20 -r 500 -F "udp://127.0.0.1:$relay_port,size=1" -R 1 -R 64 # raised to their headers
	is "$(outcomes)" "20 20 0 0 0"
	end_relay
	is "$(tail -n 1 relay.out)" "requests 120 56 300 replies 120 24 128"
	kill -INT "$far_pid"
	wait "$far_pid"
	grep -qx "120 requests served" far.err
}

@test "a call that is lost is made again after its timeout" {
	start_relay first=10
	walk 0 -n 60 -r 200 -F "udp://127.0.0.1:$relay_port,timeout=2s,retry=1" -C 10us -R -R 64
	is "$(outcomes)" "60 60 0 0 0"
	is "$(awk -F, 'NR > 1 && $2 >= 2e6 { print $3 }' rows.csv | sort -n | paste -sd' ')" "0 10 20 30 40 50"
	end_relay
	[[ $(tail -n 1 relay.out) == "requests 66 "*" replies 60 "* ]]
}

@test "what is lost for good is a timeout, and fails nobody else" {
	start_relay drop=10
	walk 1 -n 60 -r 200 -F "udp://127.0.0.1:$relay_port,timeout=1s,retry=1" -C 10us -R -R 64
	is "$(outcomes)" "60 54 6 0 0"
	end_relay
	[[ $(tail -n 1 relay.out) == "requests 66 "*" replies 54 "* ]]
}

@test "one reply of two is enough, whichever way it comes; a peer that nobody hears holds up none" {
	start_relay drop=1
	walk 0 -n 60 -r 200 -F "udp://127.0.0.1:$relay_port,$near,nack=1,timeout=5s" -C 10us -R -R 64
	is "$(outcomes)" "60 60 0 0 0"
	end_relay # from here on the kernel says that nobody is there
	walk 0 -n 60 -r 200 -F "udp://127.0.0.1:$relay_port,$near,nack=1,timeout=5s" -C 10us -R -R 64
	is "$(outcomes)" "60 60 0 0 0"
	walk 1 -n 20 -r 200 -F "udp://127.0.0.1:$relay_port,timeout=200ms,retry=2" -C 10us -R -R 64
	is "$(outcomes)" "20 0 20 0 0"
}
