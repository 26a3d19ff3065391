#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who may use a node: shared keys, certificates, and what both ends say when they do not fit. The
# golden trace is replayed where it may be: 23 requests in about 2.3 s.

load ../lacks

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr
bats_require_minimum_version 1.5.0

# request NAME: NAME.pem, a private key, and NAME.csr
request() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
		-keyout "$1.pem" -out "$1.csr" 2>/dev/null
}

# ca NAME: an authority
ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj "/CN=$1" -keyout "$1.pem" -out "$1.crt" 2>/dev/null
}

# certificate CA NAME DAYS [SAN]
certificate() {
	request "$2"
	openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.pem" -CAcreateserial -days "$3" \
		-extfile <(echo "subjectAltName=${4:-DNS:client.test}") -out "$2.crt" 2>/dev/null
}

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	"$GAIT" keys new right.key
	"$GAIT" keys new wrong.key
	ca ours
	ca theirs
	certificate ours node 2 IP:127.0.0.1,DNS:localhost
	certificate ours elsewhere 2 DNS:elsewhere.test,IP:10.9.8.7
	certificate ours oldnode 0 IP:127.0.0.1
	certificate theirs theirnode 2 IP:127.0.0.1
	certificate ours client 2
	certificate ours oldclient 0
	certificate theirs theirclient 2
}

setup() {
	TRACE=$GAIT_SOURCE/tests/data/golden-1.0.gait
	export TMPDIR=$BATS_TEST_TMPDIR
	cd "$BATS_FILE_TMPDIR" || return
	OUT=$BATS_TEST_TMPDIR
}

teardown() {
	[ -z "$node" ] || kill "$node" 2>/dev/null || true
	[ -z "$helper" ] || kill "$helper" 2>/dev/null || true
}

# eventually COMMAND...: within 30 s
eventually() {
	for _ in $(seq 600); do
		! "$@" || return 0
		sleep 0.05
	done
	return 1
}

# Sets $node, its pid, and $port.
start_node() {
	: >"$OUT/out" # of an earlier one
	"$GAIT" node --no-attribution "$@" >"$OUT/out" 2>"$OUT/err" &
	node=$!
	eventually test -s "$OUT/out"
	port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$OUT/out")
	[ -n "$port" ]
}

# certificates NAME [CA]: the three options
certificates() {
	echo "--tls-cert $1.crt --tls-key $1.pem --tls-ca ${2:-ours}.crt"
}

# replay OPTION...: against the node, which must answer all 23
replay() {
	local code=0

	"$GAIT" replay "$TRACE" --node "${host:-127.0.0.1}:$port" --no-attribution --force \
		-o "$OUT/run.gait" --json "$@" >"$OUT/summary.json" || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ]
	[ "$(jq .ledger.answered "$OUT/summary.json")" = 23 ]
}

# fails TEXT OPTION...: a replay that is refused in one sentence that has TEXT in it
fails() {
	local text=$1
	shift
	run -1 --separate-stderr "$GAIT" replay "$TRACE" --node "${host:-127.0.0.1}:$port" \
		--no-attribution -o "$OUT/refused.gait" "$@"
	echo "client: $stderr"
	[[ $stderr == "gait: "*"$text"* ]]
	[ "${#stderr_lines[@]}" = 1 ]
	[ ! -e "$OUT/refused.gait" ]
}

# The node says TEXT of somebody it turned away.
node_says() {
	eventually grep -qF -- "$1" "$OUT/err" || {
		cat "$OUT/err"
		return 1
	}
	grep -qE '^gait: turned (127\.0\.0\.1|\[::1\]|10\.[0-9.]*):[0-9]+ away: ' "$OUT/err"
}

@test "a key is made once, for its owner alone" {
	"$GAIT" keys new "$OUT/key"
	[ "$(stat -c %a "$OUT/key")" = 600 ]
	grep -qxE 'gait-key-1 [0-9a-f]{64}' "$OUT/key"
	cp "$OUT/key" "$OUT/before"
	run -1 "$GAIT" keys new "$OUT/key"
	[[ $output == "gait: there is a file '$OUT/key' already:"* ]]
	cmp "$OUT/key" "$OUT/before"
	"$GAIT" keys new "$OUT/other"
	run -1 cmp -s "$OUT/key" "$OUT/other"
	run -2 "$GAIT" keys old "$OUT/key"
	run -2 "$GAIT" keys new
}

@test "a key that others can read, or that is none, is refused by both ends" {
	cp right.key "$OUT/open.key"
	chmod 644 "$OUT/open.key"
	echo gait-key-1 12 >"$OUT/short.key"
	chmod 600 "$OUT/short.key"
	port=1
	for row in "open chmod 600" "short gait keys new" "absent No such file"; do
		name=${row%% *}
		run -1 "$GAIT" node --no-attribution --key "$OUT/$name.key"
		[[ $output == *"${row#* }"* ]]
		fails "${row#* }" --key "$OUT/$name.key"
	done
}

@test "off loopback a node demands to know by whom it is used, or --insecure" {
	for at in 0.0.0.0:0 '[::]:0'; do
		run -1 "$GAIT" node --no-attribution --listen "$at"
		[[ $output == "gait: others than this machine can reach "*"gait keys new"*"--insecure"* ]]
	done
	start_node --listen 127.0.0.2:0
	[ ! -s "$OUT/err" ]
	kill "$node"
	wait "$node"
	start_node --listen 0.0.0.0:0 --key right.key
	[ ! -s "$OUT/err" ]
	replay --key right.key
	kill "$node"
	wait "$node"
	for _ in 1 2; do
		start_node --listen 0.0.0.0:0 --insecure
		grep -q '^gait: --insecure: whoever can reach 0.0.0.0:[0-9]* can use' "$OUT/err"
		kill "$node"
		wait "$node"
	done
	node=
}

@test "wrong use" {
	run -2 "$GAIT" node --key right.key --tls-cert node.crt
	run -2 "$GAIT" node --tls-cert node.crt --tls-key node.pem
	run -2 "$GAIT" replay "$TRACE" -o x.gait --node :1 --tls-ca ours.crt
	run -2 "$GAIT" replay "$TRACE" -o x.gait --local --key right.key
	# shellcheck disable=SC2046
	run -1 "$GAIT" node --no-attribution $(certificates absent)
	[[ $output == "gait: cannot use the certificate 'absent.crt': "* ]]
	run -1 "$GAIT" node --no-attribution --tls-cert node.crt --tls-key client.pem --tls-ca ours.crt
	[[ $output == "gait: cannot use the certificate's key 'client.pem': "*mismatch* ]]
}

@test "the right key, and after each client with a wrong one the next is served" {
	start_node --key right.key
	replay --key right.key
	fails "the node has another key" --key wrong.key
	node_says "the client has another key"
	fails "the node serves only who proves itself: give gait replay --key with the same key"
	node_says "the node serves only who proves itself"
	# shellcheck disable=SC2046
	fails "the node wants a key, not certificates" $(certificates client)
	node_says "the client shows no key"
	[ "$(wc -l <"$OUT/err")" = 3 ]
	replay --key right.key
}

@test "a node without a key hears of one, and goes on" {
	start_node
	fails "the node speaks no TLS" --key right.key
	node_says "the node has no key"
	replay
}

@test "certificates of one CA prove both ends" {
	# shellcheck disable=SC2046
	{
		start_node $(certificates node)
		replay $(certificates client)
		host=localhost replay $(certificates client)
		fails "the node does not accept what this end shows" $(certificates theirclient)
		node_says "the client's certificate is not good: "
		fails "expired" $(certificates oldclient)
		node_says "the client's certificate is not good: certificate has expired"
		fails "the node's certificate is not good: " $(certificates client theirs)
		node_says "the client does not accept what this end shows: "
		fails "the node proves itself by a certificate, not by a key" --key right.key
		fails "the node serves only who proves itself: give gait replay --tls-cert"
		replay $(certificates client)
	}
}

@test "a node's certificate has to be good, and for the node" {
	# shellcheck disable=SC2046
	for row in "elsewhere the node's certificate is not for '127.0.0.1'" \
		"oldnode the node's certificate is not good: certificate has expired" \
		"theirnode the node's certificate is not good: "; do
		start_node $(certificates "${row%% *}")
		fails "${row#* }" $(certificates client)
		node_says "the client does not accept what this end shows: "
		kill "$node"
		wait "$node"
	done
	node=
}

@test "a certificate is demanded of the client" {
	# shellcheck disable=SC2046
	start_node $(certificates node)
	openssl s_client -connect "127.0.0.1:$port" -CAfile ours.crt -tls1_3 <<<x >"$OUT/s_client" 2>&1 ||
		true
	node_says "the client shows no certificate"
	openssl s_client -connect "127.0.0.1:$port" -CAfile ours.crt -tls1_2 <<<x >"$OUT/s_client" 2>&1 ||
		true
	node_says "unsupported protocol"
	# shellcheck disable=SC2046
	replay $(certificates client)
}

# Connects and sends what is on stdin; prints how many bytes came back before the node hung up.
# It gives up after 10 s.
converse() {
	python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(10)
got = 0
try:
    s.sendall(sys.stdin.buffer.read())
    while True:
        n = len(s.recv(65536))
        if not n:
            break
        got += n
except ConnectionError:
    pass
print(got)' "$port"
}

@test "rubbish and broken handshakes end themselves alone" {
	start_node --key right.key
	{ printf '\x16\x03\x01'; head -c 4000 /dev/urandom; } | converse
	{ printf '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'; head -c 4000 /dev/zero; } | converse
	# a first flight of our own client, with every 7th byte of it turned
	helper_port=$("$GAIT_TRUTH/freeport")
	python3 -c '
import socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
s = l.accept()[0]
open(sys.argv[2], "wb").write(s.recv(65536))' "$helper_port" "$OUT/hello" >"$OUT/helper" &
	helper=$!
	eventually test -s "$OUT/helper"
	run -1 "$GAIT" replay "$TRACE" --node "127.0.0.1:$helper_port" --no-attribution \
		-o "$OUT/refused.gait" --key right.key
	wait "$helper"
	helper=
	size=$(wc -c <"$OUT/hello")
	[ "$size" -gt 100 ]
	for ((at = 0; at < size; at += 7)); do
		python3 -c '
import sys
data = bytearray(sys.stdin.buffer.read())
data[int(sys.argv[1])] ^= 0x55
sys.stdout.buffer.write(data)' "$at" <"$OUT/hello" >"$OUT/turned"
		timeout 0.05 bash -c "cat '$OUT/turned' >/dev/tcp/127.0.0.1/$port" || true
	done
	kill -0 "$node"
	replay --key right.key
}

@test "64 half-open handshakes, and more, keep nobody out" {
	start_node --key right.key
	python3 -c '
import socket, sys, time
sockets = []
for i in range(200):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60)[: i % 60 + 30])
    sockets.append(s)
print("ready", flush=True)
time.sleep(60)' "$port" >"$OUT/helper" &
	helper=$!
	eventually test -s "$OUT/helper"
	replay --key right.key
	# those that were not pushed out have been told to go
	eventually grep -q "it did not prove itself in time" "$OUT/err"
	[ "$(wc -l <"$OUT/err")" -le 30 ]
	replay --key right.key
}

@test "half-open handshakes do not hold up a session that runs" {
	start_node --key right.key
	"$GAIT" replay "$TRACE" --node "127.0.0.1:$port" --no-attribution --key right.key --progress \
		-o "$OUT/run.gait" --json >"$OUT/summary.json" 2>"$OUT/progress" &
	helper=$!
	eventually grep -q answered "$OUT/progress"
	for _ in $(seq 20); do
		printf '\x16\x03\x01\x02\x00\x01%040d' 0 >"/dev/tcp/127.0.0.1/$port"
	done
	fails "the node is busy with another client" --key right.key
	code=0
	wait "$helper" || code=$?
	helper=
	[ "$code" = 0 ] || [ "$code" = 3 ]
	[ "$(jq .ledger.answered "$OUT/summary.json")" = 23 ]
}

# A relay keeps every byte of the control connection. Tokens are known from the data connections,
# which open with one each; the plain run shows that the search would find the secret that they are made by.
@test "what is said on a control connection cannot be read on the way" {
	for how in plain key; do
		secret=
		[ "$how" = plain ] || secret="--key right.key"
		# shellcheck disable=SC2086
		start_node $secret
		relay_port=$("$GAIT_TRUTH/freeport")
		# The data connections go to the node's port, so the relay sees control alone.
		python3 -c '
import select, socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
a = l.accept()[0]
b = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
log = open(sys.argv[3], "wb")
while True:
    for s in select.select([a, b], [], [])[0]:
        data = s.recv(65536)
        if not data:
            sys.exit()
        log.write(data)
        (b if s is a else a).sendall(data)' "$relay_port" "$port" "$OUT/$how.bytes" >"$OUT/helper" &
		helper=$!
		eventually test -s "$OUT/helper"
		# Leaks cannot be looked for under strace, should this be a build that does.
		# shellcheck disable=SC2086
		ASAN_OPTIONS=detect_leaks=0 strace -f -qq -xx -s 64 -e trace=sendto -o "$OUT/$how.strace" \
			"$GAIT" replay "$TRACE" --node "127.0.0.1:$relay_port" --no-attribution $secret \
			-o "$OUT/$how.gait" >/dev/null || [ "$?" = 3 ]
		wait "$helper" || true
		helper=
		kill "$node"
		wait "$node"
	done
	python3 -c '
import hashlib, hmac, re, sys
out, boot = sys.argv[1], open("/proc/sys/kernel/random/boot_id").read().strip().encode()
for how in "plain", "key":
    wire = open(f"{out}/{how}.bytes", "rb").read()
    # a data connection opens with GAIT, version 2, flags 0, a token of its own, and its id
    sent = open(f"{out}/{how}.strace").read()
    shown = re.findall(r"\"(\\x47\\x41\\x49\\x54\\x00\\x02\\x00\\x00(?:\\x[0-9a-f]{2}){24})", sent)
    shown = [bytes.fromhex(bytes_of.replace("\\x", "")) for bytes_of in shown]
    tokens = [one[8:24] for one in shown]
    assert len(shown) == len(set(tokens)) == 2, (how, shown)
    of = shown[0][:8] + bytes(16) + shown[0][24:]
    signs = lambda secret: hmac.new(secret, of, hashlib.sha256).digest()[:16] == tokens[0]
    secret = any(signs(wire[i:i + 16]) for i in range(len(wire)))
    assert not any(token in wire for token in tokens), how
    assert len(wire) > 5000, (how, len(wire))
    plan = (7168).to_bytes(8, "big") # the bytes of every response
    seen = [secret, boot in wire, plan in wire, b"GAIT" in wire]
    assert seen == [how == "plain"] * 4, (how, seen)' "$OUT"
	node=
}

# elsewhere PID: PID lives in another network than ours
elsewhere() {
	[ "$(readlink /proc/self/ns/net)" != "$(readlink "/proc/$1/ns/net")" ]
}

# Of the two networks that a veth pair joins, the node's: runs it and the clients of the other one.
two_hosts() {
	local code

	set -e
	there() { nsenter --net --target "$1" "${@:2}"; }
	ip link add here type veth peer name there netns "$1"
	ip addr add 10.77.0.1/24 dev here
	ip link set here up
	there "$1" ip addr add 10.77.0.2/24 dev there
	there "$1" ip link set there up
	"$GAIT" node --no-attribution --listen 10.77.0.1:0 --key right.key >"$OUT/out" 2>"$OUT/err" &
	node=$!
	# shellcheck disable=SC2064 # the node of now
	trap "kill $node" EXIT
	eventually test -s "$OUT/out"
	for how in "" "--key wrong.key" "--key right.key"; do
		code=0
		# shellcheck disable=SC2086
		there "$1" "$GAIT" replay "$TRACE" --node "$(sed 's/listening on //' "$OUT/out")" \
			--no-attribution --json -o "$OUT/run.gait" $how >"$OUT/summary.json" 2>>"$OUT/client" ||
			code=$?
		echo "$code" >>"$OUT/codes"
	done
}

@test "two hosts: a key, and no way around it" {
	[ "$(id -u)" = 0 ] || lacks "needs root for network namespaces"
	unshare --net sleep 120 &
	helper=$!
	eventually elsewhere "$helper"
	export OUT TRACE GAIT
	unshare --net bash -c "$(declare -f eventually two_hosts); two_hosts $helper"
	[[ "$(tr '\n' ' ' <"$OUT/codes")" =~ ^"1 1 "[03]" "$ ]]
	grep -q "serves only who proves itself" "$OUT/client"
	grep -q "the node has another key" "$OUT/client"
	[ "$(jq .ledger.answered "$OUT/summary.json")" = 23 ]
	grep -q '^gait: turned 10\.77\.0\.2:[0-9]* away: the client has another key' "$OUT/err"
}
