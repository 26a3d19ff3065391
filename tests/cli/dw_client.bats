#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dw_client: what each option of DistWalk's client does, seen from outside: by strace, /proc, the
# clock, files, and by what reaches the node.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr

load walk

setup() {
	walk_setup
	export ASAN_OPTIONS=detect_leaks=0 # it cannot under strace
	CLIENT=$PROGRAMS/dw_client
}

teardown() {
	walk_teardown
}

start_node() {
	start_as node "$PROGRAMS/dw_node" -b 127.0.0.1:0 "$@"
}

# client OPTION...: all is well; what it printed is in `out` and `err`
client() {
	timeout 60 "$CLIENT" --to ":$port" "$@" >out 2>err || {
		echo "exits with $?"
		cat err
		return 1
	}
}

# refused WORDS OPTION...: wrong use, or something that there is not
refused() {
	local words=$1 code=0
	shift
	timeout 20 "$CLIENT" "$@" >out 2>err || code=$?
	[ "$code" = 1 ] || [ "$code" = 2 ] || is "$code" "1 or 2"
	grep -qF -e "$words" err || {
		cat err
		return 1
	}
}

traced_client() {
	trace network "$CLIENT" --to ":$port" "$@"
}

@test "--help, -h, --usage: exit with 0, and name the options" {
	for word in --help -h --usage; do
		run -0 --separate-stderr "$CLIENT" $word
		[[ $output == "usage: dw_client [options]"* ]]
		[ -z "$stderr" ]
	done
	for name in to bind-addr num-pkts period rate rate-step-secs wait-spin ps rs comp-time load-data \
		load-offset store-data store-offset skip forward num-threads num-sessions retry-num \
		retry-period conn-times non-block no-delay stag-send per-session-output interactive-pso \
		script-filename seed nano output ssl-cert ssl-key ssl-ca ssl-ca-path ssl-ciphers ssl-verify; do
		grep -qE -e "--$name([ ,]|\$)" <<<"$output" || is "no --$name" there
	done
	for alias in nt ns rss ws nd pso output-file; do
		grep -qE -e "--$alias([ ,]|\$)" <<<"$output" || is "no --$alias" there
	done
}

@test "a line of each request on standard output, then one of each thread" {
	start_node
	client -n 3 --nt 2
	is "$(grep -cE '^t: [0-9]+ us, elapsed: [0-9]+ us, req_id: [0-2], thr_id: [01], sess_id: 0$' out)" 6
	is "$(tail -n 2 out | paste -sd' ')" \
		"Sent pkts - success: 3, error: 0, thr_id: 0 Sent pkts - success: 3, error: 0, thr_id: 1"
	is "$(wc -l <out)" 8
}

@test "--to: transport, host and port, each of which may lack; localhost:7891 without it" {
	start_node
	for to in ":$port" "localhost:$port" "tcp://127.0.0.1:$port" "tcp:127.0.0.1:$port" "tcp::$port"; do
		"$CLIENT" --to "$to" >out
		grep -q "success: 1," out
	done
	for to in "" "--to localhost" "--to=tcp://"; do
		# whoever listens there, or nobody: it is where it goes
		# shellcheck disable=SC2086 # no word, or two
		strace -f -o trace -e trace=connect timeout 5 "$CLIENT" $to >out 2>err || true
		grep -q 'sin6\?_port=htons(7891)' trace
	done
	refused "dpdk" --to dpdk://aa:bb:cc:dd:ee:ff
}

@test "-b, --bind-addr: our end of the connection" {
	start_node
	for option in "-b 127.0.0.9" "--bind-addr=127.0.0.9"; do
		# shellcheck disable=SC2086 # two words
		traced_client $option --nt 2
		is "$(grep -c ' bind(.*sin_port=htons(0), sin_addr=inet_addr("127.0.0.9")' trace)" 2
	done
	own=$("$GAIT_TRUTH/freeport")
	"$CLIENT" --to ":$port" -b "127.0.0.1:$own" -C 1s >out & pid=$!
	connected() { # to the node, from that port
		ss -Htn state established "sport = :$own and dport = :$port" | grep -q .
	}
	await connected
	wait "$pid"
	grep -q "success: 1," out
}

@test "-n, --num-pkts: so many requests reach the node" {
	start_node
	for option in "-n 7" "-n7" "--num-pkts=7" "--num-pkts 7"; do
		# shellcheck disable=SC2086 # two words
		traced_client $option -r 200
		is "$(sent_by_senders | awk '{ sum += $2 } END { print sum }')" $((7 * 1024))
		is "$(grep -c '^t: ' out)" 7
	done
}

@test "-r, --rate and -p, --period: when requests leave" {
	start_node
	for option in "-r 20" "--rate=20" "-p 50000" "--period 50ms"; do
		# shellcheck disable=SC2086 # two words
		traced_client -n 11 $option
		is "$(requests_sent 1024 | wc -l)" 11
		between 0.4 "$(sent_by_senders | span)" 0.8
	done
	# drawn for each: 50 ms, then 250 ms
	traced_client -n 3 -p aseq:min=50ms:max=250ms:step=200ms
	sent_by_senders | awk 'NR > 1 { print $1 - last } { last = $1 }' >gaps
	between "$(sed -n 1p gaps)" "$(sed -n 2p gaps)" 0.5
	between 0.2 "$(sent_by_senders | span)" 0.48 # not 250 ms twice
}

@test "--rate-step-secs, --rss: each value of the rate holds so long; -n auto adds them up" {
	start_node
	for option in --rate-step-secs --rss; do
		traced_client -n auto -r aseq:min=20:max=60:step=20 $option 0.5
		is "$(requests_sent 1024 | wc -l)" 60
		# the gap that half of a step's requests have; a moment of nothing bunches a few
		requests_sent 1024 | awk 'NR > 1 { print NR <= 10 ? 1 : NR <= 30 ? 2 : 3, $1 - last }
			{ last = $1 }' | sort -k1n -k2g |
			awk '{ gap[$1, ++n[$1]] = $2 }
				END { for (i = 1; i <= 3; i++) print gap[i, int((n[i] + 1) / 2)] }' >gaps
		between 0.04 "$(sed -n 1p gaps)" 0.06
		between 0.02 "$(sed -n 2p gaps)" 0.03
		between 0.013 "$(sed -n 3p gaps)" 0.02
	done
	refused "--rate-step-secs must say how long" -r aseq:min=1:max=3
}

@test "--ws, --wait-spin: it never sleeps" {
	start_node
	for option in --ws --wait-spin; do
		trace epoll_pwait2,epoll_wait "$CLIENT" --to ":$port" -n 11 -r 20 $option
		is "$(grep -c 'epoll_pwait2' trace)" 0
		between 1000 "$(grep -c 'epoll_wait(.*, 0)' trace)" 100000000
	done
	trace epoll_pwait2,epoll_wait "$CLIENT" --to ":$port" -n 3 -r 20
	between 2 "$(grep -c 'epoll_pwait2' trace)" 200
}

@test "--ps: bytes of a request; --rs, -R: of a reply" {
	start_node
	traced_client -n 5 --ps 3000 --rs 7k
	is "$(sent_by_senders | awk '{ sum += $2 } END { print sum }')" 15000
	is "$(received_by_senders)" 35000
	traced_client -n 5 -R 100
	is "$(received_by_senders)" 500
	traced_client -n 5
	is "$(received_by_senders)" 2560
	traced_client -n 5 --ps 1 # there is a header
	is "$(sent_by_senders | awk '{ sum += $2 } END { print sum }')" 120
}

@test "-C, --comp-time: CPU of the node" {
	start_node
	for option in "-C 20ms" "--comp-time=20000"; do
		before=$(cpu_of "$node")
		# shellcheck disable=SC2086 # two words
		client -n 20 -r 40 $option
		between 0.38 "$(minus "$(cpu_of "$node")" "$before")" 0.5
		sed -n 's/.*elapsed: \([0-9]*\) us.*/\1/p' out | sort -n >elapsed
		between 20000 "$(head -n 1 elapsed)" 200000
	done
}

@test "-S, --store-data and --store-offset: what the node writes, where, and whether it syncs" {
	start_node -s "$PWD/disk"
	node_calls pwrite64,openat
	client -S 4096
	client --store-data=sync,8192
	client -S nosync,100
	client -S offset=1000,size=200,nosync
	client --store-offset 5000 -S nosync,300 --store-offset none -S nosync,400
	end_calls
	is "$(calls pwrite64 | paste -sd,)" \
		"4096 0,8192 4096,100 12288,200 1000,300 5000,400 12388"
	is "$(grep -cE " pwrite64\($(synced_fds), " calls)" 2
}

@test "-L, --load-data and --load-offset: what the node reads, and where" {
	start_node -s "$PWD/disk"
	node_calls pread64
	client -L 4096 --load-data=8192 --load-offset 1000 -L 10 --load-offset=none -L offset=77,size=5 -L 3
	end_calls
	is "$(calls pread64 | paste -sd,)" "4096 0,8192 4096,10 1000,5 77,3 12288"
	is "$(stat -c %s disk)" 16777216 # what there was to load
}

@test "dev=: the device" {
	start_node -s "$PWD/one" -s "$PWD/two"
	client -S dev=1,nosync,20m -S nosync,4k
	is "$(stat -c %s two)" 20000000
	is "$(stat -c %s one)" 16777216
	node_calls pread64
	client -L dev=1,offset=16999990,10 -L offset=9,size=7,dev=0
	end_calls
	is "$(calls pread64 | paste -sd,)" "10 16999990,7 9"
}

# stores N: so many writes reach the node's device
stores() {
	local want=$1
	shift
	node_calls pwrite64
	client "$@"
	end_calls
	is "$(calls pwrite64 | wc -l)" "$want"
}

@test "-s, --skip: next ops, on each m-th request, with a probability" {
	start_node -s "$PWD/disk"
	stores 10 -n 10 -S nosync,10
	stores 0 -n 10 -s 1 -S nosync,10
	stores 10 -n 10 --skip=1 -S nosync,10 -S nosync,10
	stores 5 -n 10 -s 1,every=2 -S nosync,10
	stores 14 -n 10 -s 2,every=4 -S nosync,10 -S nosync,10 # not of requests 0, 4, 8
	node_calls pwrite64
	client -n 400 -r 4000 --seed 3 -s 1,prob=0.3 -S nosync,10
	end_calls
	between 230 "$(calls pwrite64 | wc -l)" 330 # 280 and five deviations
}

@test "-F, --forward: to another node, which does what follows" {
	start_node -s "$PWD/first"
	first=$port first_pid=$node
	start_as second "$PROGRAMS/dw_node" -b 127.0.0.1:0 -s "$PWD/second"
	second=$port
	node_calls pwrite64
	port=$first
	client -n 3 -C 10 -F ":$second" -S nosync,100 -R 64 -C 10 --rs=32
	client -n 2 --forward="127.0.0.1:$second,timeout=1000000,retry=1" -S nosync,200 # closed, as there
	end_calls
	is "$(calls pwrite64 | awk '{ print $1 }' | paste -sd,)" 100,100,100,200,200
	is "$(stat -c %s first)" "$(stat -c %s second)"
	[ -d "/proc/$first_pid" ]
}

@test "-F nack=, branch: the fastest is enough" {
	start_node
	first=$port
	start_as fast "$PROGRAMS/dw_node" -b 127.0.0.1:0
	fast=$port
	start_as slow "$PROGRAMS/dw_node" -b 127.0.0.1:0
	slow=$port port=$first
	client -F ":$fast,branch,nack=1" -C 5ms -F ":$slow,branch" -C 1s -R
	between 5000 "$(sed -n 's/.*elapsed: \([0-9]*\) us.*/\1/p' out)" 400000
	grep -q "success: 1, error: 0" out
	client -F ":$fast,:$slow" -C 100ms -R # both
	between 100000 "$(sed -n 's/.*elapsed: \([0-9]*\) us.*/\1/p' out)" 4000000
}

@test "--nt, --num-threads: connections at a time; --ns, --num-sessions: one after another" {
	start_node
	for option in "--nt 5" "--num-threads=5"; do
		# shellcheck disable=SC2086 # two words
		traced_client $option -C 1000
		is "$(data_connects | wc -l)" 5
		is "$(sends)" 5
	done
	for option in "--ns 3" "--num-sessions=3"; do
		# shellcheck disable=SC2086 # two words
		traced_client -n 7 $option
		is "$(data_connects | wc -l)" 3
		is "$(sent_by_senders | awk '{ sum += $2 } END { print sum }')" $((7 * 1024))
		is "$(sed -n 's/^t: .*sess_id: //p' out | uniq -c | tr -s ' \n' ' ')" " 3 0 2 1 2 2 "
	done
}

@test "--retry-num and --retry-period: attempts to connect, so far apart" {
	free=$("$GAIT_TRUTH/freeport")
	code=0
	timeout 20 strace -f -ttt -o trace -e trace=connect "$CLIENT" --to "127.0.0.1:$free" \
		--retry-num 3 --retry-period 250 >out 2>err || code=$?
	is "$code" 1
	grep "AF_INET," trace >attempts
	is "$(wc -l <attempts)" 4
	between 0.74 "$(sed 's/^[0-9]* *//' attempts | span)" 3
	refused "less than 200 ms" --retry-period 199
	# a node that comes up meanwhile is found
	"$CLIENT" --to "127.0.0.1:$free" --retry-num 200 --retry-period 200 >out & pid=$!
	port=$free
	start_as node "$PROGRAMS/dw_node" -b "127.0.0.1:$free"
	wait "$pid"
	grep -q "success: 1," out
}

@test "--conn-times: how long connects took" {
	start_node
	client -n 3 --ns 3 --conn-times
	grep -qE '^connect +p50 [0-9]' err
	client -n 3 --ns 3
	run -1 grep -q '^connect' err
}

@test "--non-block: sockets do not block" {
	start_node
	traced_client --non-block --nt 3
	is "$(awk 'NR == 1 { main = $1 } $1 != main' trace | grep -c ' socket(AF_INET.*SOCK_NONBLOCK')" 3
}

@test "--nd, --no-delay: TCP_NODELAY" {
	start_node
	for option in "--nd 0:0" "--no-delay=0:0" "--nd=1:1" "--no-delay 1:1" ":1"; do
		# shellcheck disable=SC2086 # one word, two, or none
		traced_client ${option%:*}
		is "$(awk 'NR == 1 { main = $1 } $1 != main' trace |
			grep -o 'TCP_NODELAY, \[[01]\]')" "TCP_NODELAY, [${option##*:}]"
	done
}

@test "--stag-send: threads begin one after the other, over one period" {
	start_node
	traced_client --nt 4 -r 5 --stag-send
	sent_by_senders | sort -n >first
	is "$(wc -l <first)" 4
	between 0.12 "$(span <first)" 0.5
	traced_client --nt 4 -r 5
	between 0 "$(sent_by_senders | sort -n | span)" 0.11
}

# rows FILE: how many it has now
rows() {
	wc -l <"$1"
}

@test "--pso, --per-session-output, -i, --interactive-pso: rows are there when their session ends" {
	start_node
	for option in --pso --per-session-output -i --interactive-pso; do
		rm -f rows.csv
		traced_client -n 4 --ns 2 -r 100 $option -o rows.csv
		is "$(rows rows.csv)" 4
	done
	# the second session takes 2 s: the first one's row does not wait for it
	"$CLIENT" --to ":$port" -n 2 --ns 2 --pso -o first.csv -C values:1:2s >out 2>&1 & pid=$!
	await test -s first.csv
	[ -d "/proc/$pid" ]
	is "$(cut -d, -f 3- first.csv)" 0,0,0
	wait "$pid"
	is "$(rows first.csv)" 2
	# else all come in one piece
	for option in --pso ""; do
		# shellcheck disable=SC2086 # a word or none
		trace write,openat "$CLIENT" --to ":$port" -n 4 --ns 2 -r 100 $option -o rows.csv
		fd=$(sed -nE 's/.*openat\(.*"rows.csv".* = ([0-9]+)$/\1/p' trace)
		is "$(grep -c " write($fd, \"[0-9]" trace)" "$([ -n "$option" ] && echo 2 || echo 1)"
	done
}

@test "-f, --script-filename: options out of a file" {
	start_node
	printf '# five\n-n 5\n--ps=2000\nrs=64' >script
	for option in "-f script" "--script-filename=script"; do
		# shellcheck disable=SC2086 # two words
		traced_client $option
		is "$(sent_by_senders | awk '{ sum += $2 } END { print sum }')" 10000
		is "$(received_by_senders)" 320
	done
}

@test "--seed: what is drawn is the same again, or another" {
	start_node
	sizes() { # --seed N
		traced_client -n 5 -r 100 --ps unif:min=100:max=9000 "$@"
		sent_by_senders | awk '{ print $2 }' | paste -sd,
	}
	first=$(sizes --seed 7)
	is "$(tr , '\n' <<<"$first" | wc -l)" 5
	is "$(sizes --seed=7)" "$first"
	[ "$(sizes --seed 8)" != "$first" ]
}

@test "--nano: times in ns" {
	start_node
	client -C 2ms --nano -o a.csv,header=true
	is "$(head -n 1 a.csv)" "t(ns),elapsed(ns),req_id,thr_id,sess_id"
	between 2000000 "$(sed -n 2p a.csv | cut -d, -f 2)" 200000000
	client -C 2ms -o a.csv,header=true
	is "$(head -n 1 a.csv)" "t(us),elapsed(us),req_id,thr_id,sess_id"
	between 2000 "$(sed -n 2p a.csv | cut -d, -f 2)" 200000
	client --nano
	grep -qE '^t: [0-9]+ ns, elapsed: [0-9]+ ns, req_id: 0, thr_id: 0, sess_id: 0$' out
}

@test "-o, --output, --output-file: DistWalk's columns, in CSV or text" {
	start_node
	columns='[0-9]+,[0-9]+,[01],0,0'
	for option in "-o a.csv" "--output=a.csv" "--output-file a.csv,header=false" "-o a.csv,header=0"; do
		# shellcheck disable=SC2086 # two words
		client -n 2 $option
		is "$(grep -cE "^$columns\$" a.csv)" 2
		is "$(wc -l <a.csv)" 2
		run -1 grep -q '^t: ' out
	done
	for header in true 1; do
		client -n 2 -o "a.csv,sep=#,header=$header"
		is "$(head -n 1 a.csv)" 't(us)#elapsed(us)#req_id#thr_id#sess_id'
		is "$(tail -n 2 a.csv | grep -cE "^${columns//,/#}\$")" 2
	done
	client -o "a.csv,sep=';'"
	grep -qE '^[0-9]+;[0-9]+;0;0;0$' a.csv
	client -o 'a.txt,sep=|'
	grep -qE '^t:[0-9]+\|elapsed:[0-9]+\|req_id:0\|thr_id:0\|sess_id:0$' a.txt
	refused "Unknown output file extension" --output a.data
	refused "cannot write '/nowhere/a.csv'" --to ":$port" -o /nowhere/a.csv
}

@test "--ssl- and dpdk options are refused, not passed over" {
	start_node
	for option in --ssl-cert=a --ssl-key=a --ssl-ca=a --ssl-ca-path=a --ssl-ciphers=a --ssl-verify; do
		refused "looks at no certificate so far" --to ":$port" $option
	done
	refused "no option '--dpdk-tx-cpu'" --dpdk-tx-cpu 1
	refused "no option '--dpdk-rx-cpu'" --dpdk-rx-cpu 1
}

@test "requests that fail are counted, and it exits with 1" {
	start_node
	code=0
	"$CLIENT" --to ":$port" -n 2 -F "127.0.0.1:$("$GAIT_TRUTH/freeport"),timeout=200ms" -C 1 >out 2>err ||
		code=$?
	is "$code" 1
}

@test "Ctrl-C ends it: what was answered is written, the rest is counted, exit code 1" {
	start_node
	"$CLIENT" --to ":$port" -n 1000 -r 50 >out 2>err & pid=$!
	await_answers() {
		[ "$(ss -Htni state established "dport = :$port" | grep -o 'segs_in:[0-9]*' |
			cut -d: -f 2 | sort -n | tail -n 1)" -ge 20 ]
	}
	await await_answers
	kill -INT "$pid"
	code=0
	wait "$pid" || code=$?
	is "$code" 1
	between 10 "$(grep -c '^t: ' out)" 990
	grep -qE '^sent [0-9]+  answered [0-9]+  errors 0  timeouts 0  unsent [1-9]' err
}
