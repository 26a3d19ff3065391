#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait walk's command line and scripts, as --dry-run shows them, and what its own options do with a
# node. What DistWalk's options do is in dw_client.bats.

# shellcheck disable=SC2030,SC2031,SC2154 # tests are subshells, and run sets stderr

load walk

setup() {
	walk_setup
	export ASAN_OPTIONS=detect_leaks=0 # it cannot under strace
}

teardown() {
	walk_teardown
}

# shows OPTION VALUE -- ARGUMENTS: that line is in the description
shows() {
	local want="$1 $2"
	shift 3
	run -0 --separate-stderr "$GAIT" walk --dry-run "$@"
	[ -z "$stderr" ]
	grep -qxF -e "$want" <<<"$output" || {
		printf 'not there: %s\n%s\n' "$want" "$output"
		return 1
	}
}

# chain WANT ARGUMENTS: the ops, in one line
chain() {
	local want=$1
	shift
	run -0 --separate-stderr "$GAIT" walk --dry-run "$@"
	[ "$(sed -n '/^--ps /,$p' <<<"$output" | sed 1d | paste -sd' ')" = "$want" ]
}

# complains WORDS ARGUMENTS: wrong use, with these words
complains() {
	local want=$1
	shift
	run -2 --separate-stderr "$GAIT" walk "$@"
	[ -z "$output" ]
	[[ ${stderr_lines[0]} == "gait: "*"$want"* ]] || {
		printf 'says: %s\n' "${stderr_lines[0]}"
		return 1
	}
	[ "${stderr_lines[1]}" = "try 'gait walk --help'" ]
}

@test "without options it says all that is a default" {
	run -0 --separate-stderr "$GAIT" walk --dry-run
	diff <(echo "$output") - <<-END
		--to localhost:7891
		--num-pkts 1
		--num-threads 1
		--num-sessions 1
		--seed 1
		--rate 1000
		--ps 1024
		-R size=512
	END
}

@test "options of the load, by all their names" {
	shows --to localhost:7892 -- --to :7892
	shows --to udp://10.0.0.7:7891 -- --to=udp://10.0.0.7
	shows --to "[::1]:80" -- --to "tcp://[::1]:80"
	shows --to tls://localhost:443 -- --to ssl://:443
	shows --to unix:///run/x -- --to unix:/run/x
	shows --bind-addr 10.0.0.1:0 -- -b 10.0.0.1
	shows --bind-addr localhost:99 -- --bind-addr=:99
	shows --num-pkts 1500 -- -n 1.5k
	shows --num-pkts 7 -- --num-pkts=7
	for name in --nt --num-threads; do
		shows --num-threads 4 -- $name 4
	done
	for name in --ns --num-sessions; do
		shows --num-sessions 9 -- $name=9
	done
	shows --rate 2500 -- -r 2.5k
	shows --rate 0.5 -- --rate .5
	shows --period 1000000ns -- -p 1000
	shows --period exp:avg=2000000ns -- --period exp:2ms
	for name in --rss --rate-step-secs; do
		shows --rate-step-secs 1500000000ns -- $name 1.5 -r aseq:min=1:max=3
	done
	shows --ps exp:avg=4000 -- --ps exp:4k
	shows --seed 17 -- --seed 17
}

@test "options that are said elsewhere are taken" {
	run -0 "$GAIT" walk --dry-run --ws --wait-spin --stag-send --conn-times --non-block --nd 0 \
		--no-delay=1 --nano --pso --per-session-output -i --interactive-pso --retry-num 3 \
		--retry-period 200 --ssl-cert a --ssl-key b --ssl-ca c --ssl-ca-path d \
		--ssl-ciphers e --ssl-verify -O run.gait
}

@test "ops keep their order, and every default is written out" {
	chain "-C 10000ns -S size=4000,sync,dev=0 -R size=64" -C 10us -S 4k -R 64
	chain "-S size=4000,nosync,dev=1 -C 1000ns -R size=64" -S nosync,4k,dev=1 --comp-time=1 --rs=64
	chain "-L offset=17,size=1,dev=0 -S offset=31,size=2,sync,dev=0 -R size=512" \
		--load-offset 17 --store-offset=31 -L 1 -S 2
	chain "--sync-data dev=0 --sleep 1000ns --lock 1000ns,id=0 --memory 4096 --kernel open,count=1,dev=0 -R size=512" \
		--sync-data --sleep 1 --lock 1us --memory 4ki --kernel open
	chain "-s 1,prob=0.5,every=2 -C 1000ns -R size=512,sendfile,dev=0" \
		--skip 1,prob=.5,every=2 -C 1 -R sendfile
}

@test "a forward sends as much as a request, and ends with a reply of its own" {
	chain "-F localhost:7892,timeout=5000000ns,retry=0,nack=1,size=77 -C 1000ns -R size=1 -R size=2" \
		--ps 77 -F :7892,timeout=5000 -C 1 -R 1 -R 2
	complains "'-F': this forward is not closed" -F :7892 -C 1
	complains "'-F': this forward is not closed" -F :1 -F :2 -C 1 -R
}

@test "an op behind the final reply is an error that names it" {
	complains "word 3 of the chain, '-C': it stands behind the reply that ends the chain" \
		--rs=64 -C 100ms
	complains "'-S': it stands behind" -C 1 -R -n 5 -S 4k
}

@test "what is wrong is named" {
	complains "--to: 'http://x' begins with 'http'" --to http://x
	complains "--to: 'dpdk://aa" --to dpdk://aa
	complains "-n: 'ten' is not a number" -n ten
	complains "-n: '0' is not a whole number above 0" -n 0
	complains "-n: '1.5' is not a whole number" -n 1.5
	complains "'65537' is more than 65536" --nt 65537
	complains "--num-threads: '0' is less than 1" --nt 0
	complains "--agents: '0' is not within 1 .. 64" --agents 0
	complains "--agents: '65' is not within 1 .. 64" --agents 65
	complains "--agents: the port '' of 'host:'" --agents host:
	complains "--keep: agents on other hosts tell of their requests in the end" --keep 1% -O x.gait \
		--agents 127.0.0.1:1
	complains "--rate: it must be above 0" -r 0
	complains "--rate: 'exp:3' changes; --rate-step-secs must say" -r exp:3
	complains "give one of them" -r 3 -p 5
	complains "--period: '5x' is not a time" -p 5x
	complains "--ps: '-1' is not a size" --ps -1
	complains "--retry-period: '199' is less than 200 ms" --retry-period 199
	complains "word 1 of the chain, '-C': '10,max=20' is not a time" -C unif:min=10,max=20
	complains "there is no option '--send-pkt-size'" --send-pkt-size 3
	complains "--rate: 'row:0' needs the file of --rows" -r row:0
	complains "--no-delay: '2' is not 0 or 1" --nd 2
}

@test "auto is as many requests as the steps of the rate give" {
	shows --num-pkts 55 -- -n auto -r aseq:min=1:max=10 --rss 1
	shows --num-pkts 110 -- -n auto -r aseq:min=1:max=10 --rss 2
	shows --num-pkts 15 -- -n auto -r values:1:2 --rss 5
	shows --num-pkts 3 -- -n auto -p values:1:2:3
	complains "-n auto needs a rate with steps" -n auto -r 5
	complains "-n auto needs a rate with steps" -n auto
}

@test "values of files come from their lines, a pipe's too" {
	printf 'gap;bytes\n1;100\n2;200\n' >rows.csv
	shows --period values:unit=ns:1000000:2000000 -- -p file:rows.csv:sep=\;:unit=ms
	shows --ps values:100:200 -- --ps file:rows.csv:sep=\;:col=bytes
	shows --rate values:1:2:3 -- --rss 1 -r file:<(printf '1\n2\n3\n')
	complains "--period: cannot open 'none.csv': No such file" -p file:none.csv
	printf '1\nx\n' >bad.csv
	complains "'-C': bad.csv: line 2: 'x' is not a value" -C file:bad.csv
}

@test "--rows binds several options to the columns of one file" {
	printf 'gap,work,bytes\n1,10,100\n2,20,200\n' >rows.csv
	shows --period values:unit=ns:1000000:2000000 -- --rows rows.csv -p row:gap:unit=ms
	chain "-C values:unit=ns:10000:20000 -R size=values:100:200" --rows rows.csv -C row:1 -R row:bytes
	sed 's/,/;/g' rows.csv >semicolons.csv
	chain "-C values:unit=ns:10000:20000 -R size=512" --rows 'semicolons.csv,sep=;' -C row:work
	complains "the first line has no column 'none'" --rows rows.csv -C row:none
}

@test "a script stands for its options, where it stands" {
	printf 'to my-host\nn 5 r=200\nC 10us\nrs=64' >with-dashes-in-words
	shows --to my-host:7891 -- -f with-dashes-in-words
	shows --num-pkts 5 -- --script-filename with-dashes-in-words
	shows --rate 200 -- --script-filename=with-dashes-in-words
	chain "-C 1000ns -C 10000ns -R size=64" -C 1 -fwith-dashes-in-words # the last line too
	complains "'-C': it stands behind" -f with-dashes-in-words -C 1
}

@test "scripts: dashes or none, = or blanks, quotes, comments, negative steps, file after file" {
	cat >inner <<-'END'
		# a comment ; -C 99
		--comp-time=2us   -C 3us C 4us comp-time 5us # and one more
		C=6us
	END
	cat >outer <<-'END'
		'-C' "1us"
		f inner
		R   # the value may lack
		n 7
	END
	chain "-C 1000ns -C 2000ns -C 3000ns -C 4000ns -C 5000ns -C 6000ns -R size=512" -f outer
	shows --num-pkts 7 -- -f outer
	printf 'rss 1\r\nr aseq:min=1:max=9:step=-2\r\n' >down
	shows --rate aseq:step=-2:min=1:max=9 -- -f down
	chain "-R size=9" -f <(echo 'R 9')
}

@test "what a script does wrong is named with file and line" {
	printf '# one\n\nC 10us\nsend-pkt-size 256\n' >wrong
	complains "wrong:4: there is no option 'send-pkt-size'" -f wrong
	printf 'C 10us\nn' >lacks
	complains "lacks:2: the last option lacks its value" -f lacks
	printf "to 'host\nn 3" >quote
	complains "quote:1: a quote is not closed" -f quote
	printf 'f self\n' >self
	complains "scripts that name scripts go 8 deep at most" -f self
	complains "cannot open script 'nowhere': No such file" -f nowhere
	head -c 1048577 /dev/zero | tr '\0' ' ' >long
	complains "script 'long' is longer than 1048576 bytes" -f long
	head -c 100 /dev/zero >zeros
	complains "script 'zeros' is not text" -f zeros
	complains "cannot read script '.': Is a directory" -f .
}

@test "what --dry-run shows is a script that does the same" {
	"$GAIT" walk --dry-run -n auto -r gseq:min=1:max=64 --rss 2 --nt 3 --ps lognorm:2k:std=1k \
		-C gamma:k=0.3:scale=9us -s 1,prob=0.1 -F :1,branch,nack=1 -R -F udp::2,branch,size=99 -L 3 -R \
		-S values:1:2:3 -R exp:9 >first
	"$GAIT" walk --dry-run -f first >second
	diff first second
	grep -q '^-s 1,prob=0.1,every=1$' first
}

@test "where the table goes is checked before anything is sent" {
	for good in a.csv a.txt 'a.csv,sep=;' "a.csv,sep=';'" a.csv,sep=,,header=1 a.csv,header=true \
		a.csv,header=false a.csv,header=0 'a.txt,sep=|' 'a.csv,sep=#,header=true'; do
		run -0 "$GAIT" walk --dry-run -o "$good"
	done
	complains "Unknown output file extension of 'a.data'" --output a.data,sep=\|
	complains "header= option" --output-file a.txt,header=true
	complains "Wrong value for header=, 'maybe'" -o a.csv,header=maybe
	complains "Missing separator char" -o a.csv,sep=
	complains "in the txt format" -o a.txt,sep=_
	complains "in the txt format" -o a.txt,sep=:
	complains "in the csv format" -o a.csv,sep=_
	complains "Missing file name" -o ',sep=;'
	complains "'foo=1' is neither" -o a.csv,foo=1
}

# --- with a node ------------------------------------------------------------------------------

start_node() {
	start_as node "$GAIT" node --no-attribution --listen 127.0.0.1:0 --threads 1 "$@"
}

# walk OPTION...: all were answered, maybe late, where others keep the CPU busy; into `out` and `err`
walk() {
	local code=0
	timeout 60 "$GAIT" walk --to "$at" "$@" >out 2>err || code=$?
	[ "$code" = 0 ] || [ "$code" = 3 ] || {
		cat err
		return 1
	}
	sed -i '/^gait: INVALID: /d' err
}

@test "without -o a summary alone, on standard error; -o - gives lines on standard output" {
	start_node
	walk -n 500 -r 1000 -C 500
	[ ! -s out ]
	is "$(head -n 1 err)" "sent 500  answered 500  errors 0  timeouts 0  unsent 0"
	walk -n 20 -r 100 -C 2ms -o -
	is "$(grep -c '^t: ' out)" 20
	is "$(wc -l <out)" 20
	is "$(head -n 1 err)" "sent 20  answered 20  errors 0  timeouts 0  unsent 0"
}

@test "--json: the summary, whose percentiles are those of the rows" {
	start_node --compute cpu
	walk -n 50 -r 100 -C 3ms --ps 2000 --rs=100 --json -o rows.csv,header=1
	mv out json
	is "$(jq -c '[.sent, .answered, .errors, .timeouts, .unsent, .bytes_out, .bytes_in]' json)" \
		"[50,50,0,0,0,100000,5000]"
	is "$(wc -l <rows.csv)" 51
	median=$(sed 1d rows.csv | cut -d, -f 2 | sort -n | sed -n 25p)
	between "$((median * 990))" "$(jq .service.p50_ns json)" "$((median * 1010 + 1000))"
	# it counts from when a request was due, service from when it was sent
	jq -e '.latency.p50_ns >= 3e6 and .latency.p50_ns >= .service.p50_ns * 0.999' json
	between 490000000 "$(jq .duration_ns json)" 5000000000
}

@test "--timeout: a reply that comes later does not count, and the run ends" {
	start_node
	run -1 --separate-stderr "$GAIT" walk --to "$at" -n 4 -r 1000 --sleep values:1us:20s --timeout 760ms --json
	is "$(jq -c '[.answered, .timeouts, .errors]' <<<"$output")" "[2,2,0]"
	walk -n 3 -r 1000 -C 50ms
	# a node that does not answer at all
	kill -STOP "$node"
	started=$(now)
	code=0
	timeout 60 "$GAIT" walk --to "$at" -n 1 --timeout 200ms >out 2>err || code=$?
	kill -CONT "$node"
	is "$code" 1
	between 0.1 "$(minus "$(now)" "$started")" 40
}

@test "--no-spin: it sleeps all the time until a request is due" {
	start_node
	looks() { # OPTION...: taken instead of sleeping; between so many a CPU sleeps lightly
		# only these calls are slowed by being watched
		timeout 60 strace -f --seccomp-bpf -o trace -e trace=epoll_wait \
			"$GAIT" walk --to "$at" -n 2000 -r 8k "$@" >out 2>err || [ $? = 3 ]
		grep -c ' epoll_wait(.*, 0)' trace || true
	}
	sleeping=$(looks --no-spin)
	between $((2 * sleeping + 100)) "$(looks)" 1000000
}

@test "--progress: a line a second on standard error" {
	start_node
	walk -n 60 -r 20 -C 5ms --progress
	between 2 "$(grep -cE '^[0-9]+ s  sent [0-9]+ of 60  answered [0-9]+  failed 0$' err)" 6
	walk -n 30 -r 20 -C 5ms
	is "$(head -n 1 err)" "sent 30  answered 30  errors 0  timeouts 0  unsent 0"
}

@test "--key: both ends prove themselves" {
	"$GAIT" keys new shared.key
	"$GAIT" keys new other.key
	start_node --key shared.key
	walk -C 5ms --key shared.key
	run -1 "$GAIT" walk --to "$at" -C 5ms --key other.key
	run -1 "$GAIT" walk --to "$at" -C 5ms
	run -1 "$GAIT" walk --to "$at" -C 5ms --key none.key
	run -2 "$GAIT" walk --to "$at" --key shared.key --tls-ca ca.pem
}

@test "--bind-addr of the other family than the node is said" {
	start_node
	run -1 --separate-stderr "$GAIT" walk --to "$at" -b '[::1]'
	[[ $stderr == *"from [::1]:0 there is no way to the node"* ]]
	run -1 --separate-stderr "$GAIT" walk --to "$at" -b 192.0.2.1
	[[ $stderr == *"Cannot assign requested address"* ]]
}

@test "a node at a UNIX socket" {
	start_as unix "$GAIT" node --no-attribution --listen "unix://$PWD/socket" --threads 1
	walk -n 3 -C 5ms
	is "$(head -n 1 err)" "sent 3  answered 3  errors 0  timeouts 0  unsent 0"
}

@test "what a walk does not do yet is refused" {
	start_node
	for option in "-F tls://127.0.0.1:1 -R 1 -R 1" "--ssl-verify"; do
		# shellcheck disable=SC2086 # two words
		run -1 --separate-stderr "$GAIT" walk --to "$at" $option
		[[ $stderr == *"so far"* ]]
	done
}

@test "standard output that is full is told" {
	start_node
	run -1 --separate-stderr bash -c "'$GAIT' walk --to '$at' -n 3 -C 5ms -o - >/dev/full"
	[[ $stderr == *"cannot write the rows to 'stdout': No space left on device"* ]]
}
