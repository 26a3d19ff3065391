#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dw_node: what each option of DistWalk's node does, seen from outside: by ss, strace, /proc,
# taskset, chrt, openssl and files.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr

load walk

setup() {
	walk_setup
	export ASAN_OPTIONS=detect_leaks=0 # it cannot under strace
	NODE=$PROGRAMS/dw_node
}

teardown() {
	[ -z "$client" ] || kill "$client" 2>/dev/null || true
	walk_teardown
}

start_node() {
	start_as node "$NODE" -b 127.0.0.1:0 "$@"
}

# The same under strace, into the file `calls`
trace_node() { # CALLS OPTION...
	local calls=$1
	shift
	start_as node strace -f -o calls -e "trace=$calls" "$NODE" -b 127.0.0.1:0 "$@"
}

# It ends, and all of the file is there.
end_traced() {
	kill -INT "$(pgrep -P "$node" | head -n 1)"
	wait "$node"
}

client() {
	timeout 60 "$PROGRAMS/dw_client" --to "$at" "$@" >out 2>err || {
		echo "exits with $?"
		cat err
		return 1
	}
}

served() { # N connections of requests, beside the one that controls
	[ "$(ss -Htn state established "sport = :$port" | wc -l)" -ge $(($1 + 1)) ]
}

# A client that stays; sets $client.
begin_client() { # N, OPTION...
	local connections=$1
	shift
	"$PROGRAMS/dw_client" --to "$at" --nt "$connections" -n 100000 -r 20 "$@" >client.out 2>&1 3>&- &
	client=$!
	await served "$connections"
}

end_client() {
	kill -INT "$client"
	wait "$client" || true
	client=
}

refused() { # WORDS OPTION...
	local words=$1 code=0
	shift
	timeout 20 "$NODE" "$@" >out 2>err || code=$?
	[ "$code" = 1 ] || [ "$code" = 2 ] || is "$code" "1 or 2"
	grep -qF -e "$words" err || {
		cat err
		return 1
	}
}

# The threads of the service, in their order.
workers() {
	grep -lx gait-worker "/proc/$node/task/"*/comm | cut -d/ -f5 | sort -n
}

@test "--help, -h, --usage: exit with 0, and name the options" {
	for word in --help -h --usage; do
		run -0 --separate-stderr "$NODE" $word
		[[ $output == "usage: dw_node [options]"* ]]
		[ -z "$stderr" ]
	done
	for name in bind-addr accept-mode poll-mode backlog-length bl num-threads nt thread-affinity \
		sched-policy wait-spin ws wait-spin-storage wss no-delay nd no-defrag loops-per-usec storage \
		max-storage-size sync odirect ssl-cert ssl-key ssl-ca ssl-ca-path ssl-ciphers ssl-verify; do
		grep -qE -e "--$name([ ,]|\$)" <<<"$output" || is "no --$name" there
	done
}

@test "-b, --bind-addr: where it listens; 127.0.0.1:7891 without it" {
	free=$("$GAIT_TRUTH/freeport")
	for word in ":$free" "tcp://:$free" "tcp::$free" "localhost:$free" "tcp://127.0.0.1:$free"; do
		start_as node "$NODE" --bind-addr="$word"
		is "$(ss -Htln "sport = :$free" | awk '{ print $4 }')" "127.0.0.1:$free"
		stop_node
	done
	start_as node "$NODE" -b :0 -b 127.0.0.2:0
	second=$(sed -n '2s/^listening on //p' node.out)
	is "$(ss -Htln "sport = :${second##*:}" | awk '{ print $4 }')" "$second"
	[[ $second == 127.0.0.2:* ]]
	client
	# whoever has that port: it is what it asks for
	timeout 5 strace -f -o trace -e trace=bind "$NODE" >out 2>err || true &
	pid=$!
	await grep -qs 'bind(.*sin_port=htons(7891), sin_addr=inet_addr("127.0.0.1")' trace
	kill "$pid" || true
	wait "$pid" || true
	refused "dpdk" -b dpdk://eth0
	refused "more than one colon" -b udp:tcp://:7000
}

@test "off loopback it wants a key, and with one serves who has it" {
	refused "others than this machine can reach 0.0.0.0" -b 0.0.0.0:0
	"$GAIT" keys new shared.key
	start_as node "$NODE" -b 0.0.0.0:0 --key shared.key
	at=127.0.0.1:$port
	client --key shared.key
	grep -q "success: 1," out
	run -1 "$PROGRAMS/dw_client" --to "$at"
	stop_node
	start_as node "$NODE" -b 0.0.0.0:0 --insecure
	grep -q 'can use this machine' node.err
}

@test "-a, --accept-mode: child has a socket for each thread, shared and parent one" {
	for mode in shared:1 child:3 parent:1; do
		start_node -a "${mode%:*}" --nt 3
		begin_client 3
		is "$(ss -Htln "sport = :$port" | wc -l)" "${mode#*:}"
		end_client
		stop_node
	done
	start_node --accept-mode=child
	client
	refused "'nobody' is not" -a nobody
}

@test "-a parent: one thread accepts for all, in turn" {
	trace_node accept4,recvfrom --accept-mode parent --nt 2
	client --nt 4 -C 10ms -n 5 -r 50
	end_traced
	is "$(awk '/accept4(\(| resumed).* = [0-9]+$/ { print $1 }' calls | sort | uniq -c | sort -n | tail -n 1 |
		awk '{ print $1 }')" 4
	is "$(sed -n 's/^t: .*thr_id: \([0-9]\),.*/\1/p' out | sort | uniq -c | tr -s ' \n' ' ')" \
		" 5 0 5 1 5 2 5 3 "
}

@test "-p, --poll-mode: the system call that threads wait in" {
	for mode in epoll:epoll_p?wait2? poll:ppoll select:pselect6 io_uring:io_uring_enter; do
		trace_node epoll_wait,epoll_pwait,epoll_pwait2,ppoll,pselect6,io_uring_enter -p "${mode%:*}"
		client -n 40 -r 200
		end_traced
		between 10 "$(grep -cE " ${mode#*:}\(" calls)" 100000
		rm calls
	done
	start_node --poll-mode=poll
	client
	refused "'kqueue' is not" -p kqueue
}

@test "--bl, --backlog-length: connections that may wait" {
	for option in "--bl 7" "--backlog-length=7"; do
		# shellcheck disable=SC2086 # two words
		start_node $option
		is "$(ss -Htln "sport = :$port" | awk '{ print $3 }')" 7
		stop_node
	done
}

@test "--nt, --num-threads: threads that serve; 1 without it" {
	for option in "--nt 3:3" "--num-threads=2:2" ":1"; do
		# shellcheck disable=SC2086 # two words, one, or none
		start_node ${option%:*}
		begin_client 1
		is "$(workers | wc -l)" "${option##*:}"
		end_client
		stop_node
	done
}

@test "-c, --thread-affinity: a CPU for each thread, in turn" {
	[ "$(nproc --all)" -ge 2 ]
	for option in "-c 1,0:1 0 1" "--thread-affinity=0-1:0 1 0" "-c auto:0 1"; do
		count=$(wc -w <<<"${option##*:}")
		# shellcheck disable=SC2086 # two words, or one
		start_node ${option%:*} --nt "$count"
		begin_client 1
		is "$(for tid in $(workers); do taskset -pc "$tid" | sed 's/.*: //'; done | xargs)" \
			"${option##*:}"
		end_client
		stop_node
	done
}

@test "--sched-policy: of the threads that serve" {
	for policy in other:5 rr:3 fifo:7 dl:1000,20000; do
		start_node --sched-policy $policy
		begin_client 1
		tid=$(workers)
		got=$(chrt -p "$tid" | sed 's/.*: //' | head -n 2 | xargs)
		case $policy in
		other:*) is "$got $(awk '{ print $19 }' "/proc/$tid/stat")" "SCHED_OTHER 0 5" ;;
		rr:*) is "$got" "SCHED_RR 3" ;;
		fifo:*) is "$got" "SCHED_FIFO 7" ;;
		dl:*) chrt -p "$tid" | grep '1000000/20000000/20000000' ;;
		esac
		end_client
		stop_node
	done
}

@test "--ws, --wait-spin: threads never sleep" {
	for option in --ws --wait-spin; do
		trace_node epoll_wait,epoll_pwait2 $option
		client -n 20 -r 20
		end_traced
		between 1000 "$(grep -c ' epoll_wait(.*, 0) ' calls)" 100000000
	done
	trace_node epoll_wait,epoll_pwait2
	client -n 5 -r 20
	end_traced
	between 0 "$(grep -c ' epoll_wait(.*, 0) ' calls)" 100
}

@test "--wss, --wait-spin-storage: nor do those of storage" {
	for option in --wss:0.4:9 --wait-spin-storage:0.4:9 :0:0.3; do
		IFS=: read -r words low high <<<"$option"
		# shellcheck disable=SC2086 # one word or none
		start_node $words
		before=$(cpu_of "$node")
		client -n 40 -r 20 -S nosync,10
		between "$low" "$(minus "$(cpu_of "$node")" "$before")" "$high"
		stop_node
	done
}

@test "--nd, --no-delay: TCP_NODELAY" {
	for option in "--nd 0:0" "--no-delay=1:1"; do
		# shellcheck disable=SC2086 # two words, or one
		trace_node setsockopt ${option%:*}
		client
		end_traced
		is "$(grep -o 'TCP_NODELAY, \[[01]\]' calls | sort -u)" "TCP_NODELAY, [${option##*:}]"
	done
}

@test "--no-defrag is taken, and changes nothing" {
	start_node --no-defrag
	client -n 200 -r 2000 --ps 100k --rs=100k # there it died after 16 MiB
	grep -q "success: 200, error: 0" out
}

@test "--loops-per-usec: by the CPU clock, or by calibrated work" {
	for option in "" "--loops-per-usec=-1" "--loops-per-usec=0"; do
		# shellcheck disable=SC2086 # a word or none
		start_node $option
		client # what a first session costs
		before=$(cpu_of "$node")
		client -n 40 -r 40 -C 20ms
		case $option in
		*=0) between 0.4 "$(minus "$(cpu_of "$node")" "$before")" 2 ;; # a CPU that others slow
		*) between 0.79 "$(minus "$(cpu_of "$node")" "$before")" 0.95 ;;
		esac
		stop_node
	done
	refused "counts loops of DistWalk's" --loops-per-usec 100
}

@test "without -s it stores to ~/.dw_store_0, which it does not empty" {
	start_node
	client -S nosync,9 -L 2m
	is "$(stat -c %s "$HOME/.dw_store_0")" 16777216
	sum=$(cksum <"$HOME/.dw_store_0")
	stop_node
	start_node
	client -L 100
	is "$(cksum <"$HOME/.dw_store_0")" "$sum"
}

@test "-s, --storage: a file, of that size, several of them" {
	start_node -s "$PWD/plain" --storage="file=$PWD/sized,size=3000000" -s "$PWD/n%d,count=2"
	client -S nosync,32m # it grows
	is "$(stat -c %s plain)" 32000000
	client -S dev=1,nosync,10
	is "$(stat -c %s sized)" 3000000
	client -S dev=3,nosync,12345
	is "$(stat -c %s n1)" 12345
	run -1 "$PROGRAMS/dw_client" --to "$at" -S dev=4,nosync,10
	# at its end a device begins again
	client -n 3 -S dev=1,nosync,1m
	is "$(stat -c %s sized)" 3000000
}

@test "-m, --max-storage-size: of all files" {
	for option in "-m 20m" "--max-storage-size=20m"; do
		rm -f disk
		# shellcheck disable=SC2086 # two words
		start_node -s "$PWD/disk" $option
		client -n 5 -S nosync,10000000
		between 16000000 "$(stat -c %s disk)" 20971520
		stop_node
	done
}

@test "--sync, sync=: one fsync in so long, which stores wait for" {
	for option in "--sync 100 -s $PWD/disk" "-s $PWD/disk,sync=100"; do
		# shellcheck disable=SC2086 # several words
		trace_node fsync,fdatasync $option
		client -n 100 -r 100 -S 100
		end_traced
		between 5 "$(grep -cE 'f(data)?sync\(' calls)" 30
		between 20000 "$(sed -n 's/.*elapsed: \([0-9]*\) us.*/\1/p' out | sort -n | sed -n 50p)" 400000
	done
}

@test "--odirect: past the page cache" {
	for option in "--odirect -s $PWD/disk" "-s $PWD/disk,odirect"; do
		# shellcheck disable=SC2086 # several words
		trace_node openat $option
		client -S 4096
		end_traced
		grep -q 'openat(.*/disk", .*O_DIRECT' calls
	done
	trace_node openat -s "$PWD/disk"
	client -S 4096
	end_traced
	run -1 grep -q 'openat(.*/disk", .*O_DIRECT' calls
}

@test "--ssl-cert, --ssl-key: what ssl: listeners show; the others are refused, not passed over" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=given" -days 1 \
		-keyout key.pem -out cert.pem 2>openssl.err
	start_node -b ssl://:0 --ssl-cert cert.pem --ssl-key=key.pem
	begin_client 1
	tls=$(sed -n '2s/^listening on tls:\/\///p' node.out)
	openssl s_client -connect "$tls" </dev/null >shown 2>&1 || true
	grep -q 'subject=CN = given' shown
	end_client
	# nothing but ssl: the port above is where clients come in
	until free=$("$GAIT_TRUTH/freeport") && [ -z "$(ss -Han "sport = :$((free + 1))")" ]; do :; done
	start_as node "$NODE" -b "ssl://:$free"
	is "$(paste -sd' ' node.out)" \
		"listening on 127.0.0.1:$((free + 1)) listening on tls://127.0.0.1:$free"
	at=ssl://:$free
	strace -f -o trace -s 8 -e trace=sendto "$PROGRAMS/dw_client" --to "$at" -n 20 -r 100 >out 2>err
	is "$(grep -c '^t: ' out)" 20
	# records of application data
	between 20 "$(grep -c 'sendto([0-9]*, "\\27\\3\\3' trace)" 100
	for option in --ssl-ca=a --ssl-ca-path=a --ssl-ciphers=a --ssl-verify; do
		refused "there is no option '${option%=*}'" $option
	done
}

@test "--dry-run shows the gait node that it is" {
	run -0 --separate-stderr "$NODE" --dry-run -b :7000 -a child --nt 2 -c auto --ws
	is "$output" "gait node --no-attribution --listen=127.0.0.1:7000 --threads=2 --thread-affinity=0-1 --compute=cpu --io=threads:1 --storage=$HOME/.dw_store_0 --accept-mode=child --wait-spin"
	[ ! -e "$HOME/.dw_store_0" ]
}
