# shellcheck shell=bash
# shellcheck disable=SC2154 # variables come from the helper
# SPDX-License-Identifier: Apache-2.0
# Service models, ways to move bytes and connections, of which each trace is judged by the server's
# own log. With helper.bash of tests/live: judge_case NAME [JUDGE_OPTION...].

# What each request takes, unless the case says otherwise. DIR is the test's folder.
CASE_SERVER='--request 500 --reply 700 --cpu 1ms..2ms
	--load DIR/load --load-bytes 512..4096 --load-at random
	--store DIR/store --store-bytes 100..4000'
CASE_CLIENT='--request 500 --reply 700 --check 1'

# What must hold, always. Of the pairs X and X-us one must hold. What a busy machine decides is judged
# by scripts/accuracy alone, on a quiet one: the 99th percentile of CPU, which with 100 requests is the
# worst but one, and how little the server takes beyond what it burns (its caches are others' then:
# 15 us become 300). Here that only has to be less than another request's burning.
CASE_LIMITS='--requests 100 --extra 0 --bytes 100 --ops 100 --ops-sure 100 --cpu 5 --cpu-us 5
	--cpu-rest 50 --cpu-rest-us 500 --time 5 --time-us 20 --lost 0'
CASE_QUIET_LIMITS='--cpu-p99 10 --cpu-rest 5 --cpu-rest-us 5'

# NAME|SERVER_OPTIONS|CLIENT_OPTIONS|LIMITS, on top of these. UPSTREAM is another server, which is called.
CASES=(
	'process|--model process'
	'threads|--model threads'
	'loop|--model loop'
	'loops|--model loops'
	'prefork|--model prefork --share accept'
	'accept-pipe|--model accept --handoff pipe'
	'accept-eventfd|--model accept --handoff eventfd'
	'iothreads-spin|--model iothreads --wait spin --workers 2'
	'iothreads-futex|--model iothreads --wait futex --workers 2'
	'pool-futex|--model pool --handoff futex'
	'pool-eventfd|--model pool --handoff eventfd'
	'pool-pipe|--model pool --handoff pipe'
	# A worker that is preempted between putting its result into the queue and telling of it lets
	# another's be told of first: the two orders that tell whose it is differ. Then both are doubtful.
	'pool-futex-reader|--model pool --handoff futex --reply-by reader --back eventfd||--ops 95'
	'pool-pipe-reader|--model pool --handoff pipe --reply-by reader --back pipe --parse 20us..50us||--ops 95'
	'batch|--model batch'
	'small-demands|--model loop --cpu 30us..100us'
	'loop-accepts|--model loop --accept-cpu 100us'

	'loop-pipelined|--model loop --protocol resp|--protocol resp --pipeline 8'
	'loop-pipelined-all|--model loop --protocol resp --answer all|--protocol resp --pipeline 8'
	'threads-pipelined|--model threads --protocol http|--protocol http --pipeline 8'
	'iothreads-pipelined|--model iothreads --protocol resp --answer all --workers 2|--protocol resp --pipeline 8'
	'pool-pipelined|--model pool --protocol http|--protocol http --pipeline 8'
	'batch-pipelined|--model batch --protocol resp|--protocol resp --pipeline 8'

	'tcp6|--model loop --listen tcp6|--family tcp6'
	'unix-loop|--model loop --listen unix --socket DIR/socket|--family unix --socket DIR/socket'
	'unix-threads|--model threads --listen unix --socket DIR/socket|--family unix --socket DIR/socket'
	'udp-loop|--model loop --listen udp|--family udp'
	'udp-pool|--model pool --listen udp6 --recv-by recvmsg --send-by sendmsg|--family udp6'
	'udp-recvmmsg|--model loop --listen udp --recv-by recvmmsg --send-by sendmmsg|--family udp'

	'readv-writev|--model loop --recv-by readv --send-by writev --load-by readv --store-by writev'
	'msg-preadv|--model threads --recv-by recvmsg --send-by sendmsg --load-by preadv --store-by pwritev'
	'mmsg-preadv2|--model threads --recv-by recvmmsg --send-by sendmmsg --load-by preadv2 --store-by pwritev2'
	'mmap|--model threads --load-by mmap'
	'uring|--model threads --recv-by uring --send-by uring --load-by uring --store-by uring'
	'uring-worker|--model threads --recv-by uring --send-by uring --load-by uring --store-by uring --uring worker'
	'uring-poller|--model threads --recv-by uring --send-by uring --load-by uring --store-by uring --uring poller'
	'splice|--model threads --recv-by splice --send-by splice --load-by splice --store-by splice'
	'sendfile|--model threads --protocol http --send-by sendfile|--protocol http --check 0'
	'parts|--model loop --parts 4'
	'large-reply|--model threads --protocol http --reply 100k..300k --parts 3|--protocol http --reply 300k'
	'append|--model threads --append 1 --sync fsync'
	'direct|--model threads --direct 1 --store-at random --sync none'
	'dsync|--model threads --dsync 1 --sync none'
	'after-reply|--model loop --after-reply 1'
	'metadata|--model loop --meta 2 --meta-file DIR/load'

	'calls-threads|--model threads UPSTREAM||--calls 99.9 --calls-wrong 0.1'
	'calls-shared|--model threads --upstream-by shared UPSTREAM||--calls 99.9 --calls-wrong 0.1'
	'calls-loop|--model loop --calls 2 UPSTREAM||--calls 99.9 --calls-wrong 0.1'
	'calls-pool|--model pool UPSTREAM||--calls 99 --calls-wrong 0.1'
)

# Connections, how many requests there are on all of them, and the numbers that the server gives them.
CASE_LOADS=('1 100 1..1' '8 104 2..9' '64 128 10..73')

case_find() # NAME: sets case_server, case_client, case_limits
{
	local row name

	for row in "${CASES[@]}"; do
		IFS='|' read -r name case_server case_client case_limits <<<"$row"
		[[ $name != "$1" ]] || return 0
	done
	fail "there is no case '$1'"
}

# case_words TEXT: the array `words`, with the placeholders filled in
case_words()
{
	local text=${1//DIR/$BATS_TEST_TMPDIR}

	text=${text//UPSTREAM/--upstream 127.0.0.1:${upstream_port:-0} --call 50 --call-reply 300}
	read -r -d '' -a words <<<"$text" || true
}

case_start_upstream()
{
	start upstream "$GAIT_TRUTH/server" --model threads --request 50 --reply 300 --cpu 100us \
		--log "$BATS_TEST_TMPDIR/upstream.log"
	upstream=$pid
	server_port upstream
	upstream_port=$port
}

# After start_server: the loads, one after the other. The client has the last reply before the server
# is through with the request: once it has closed the connection too, it is.
case_clients()
{
	local load

	for load in "${CASE_LOADS[@]}"; do
		read -r -a load <<<"$load"
		case_words "$CASE_CLIENT $case_client"
		"$GAIT_TRUTH/client" --port "$port" --connections "${load[0]}" --requests "${load[1]}" \
			"${words[@]}" >"$BATS_TEST_TMPDIR/client.out" || fail "a reply is missing or wrong"
		await "the server is through with it" connections_gone "$port"
	done
}

# case_run NAME: sets $trace and leaves server.log
case_run()
{
	case_find "$1" || return
	head -c 1M /dev/zero >"$BATS_TEST_TMPDIR/load"
	upstream=
	[[ $case_server != *UPSTREAM* ]] || case_start_upstream
	case_words "$CASE_SERVER $case_server"
	start_server "${words[@]}"
	[[ $port == [0-9]* ]] || port=0
	capture_start --pid "$server"
	case_clients || return
	capture_stop
	stop "$server"
	[[ -z $upstream ]] || stop "$upstream"
}

# case_judge NAME [JUDGE_OPTION...]: a row for each load, the first with a header if $case_header is
# 1; returns 1 when one of them is out of its limits
case_judge()
{
	local name=$1 load status=0

	shift
	case_words "$CASE_LIMITS $case_limits"
	for load in "${CASE_LOADS[@]}"; do
		read -r -a load <<<"$load"
		"$GAIT_TRUTH/judge" --trace "$trace" --log "$BATS_TEST_TMPDIR/server.log" --port "$port" \
			--connections "${load[2]}" --name "$name/${load[0]}" --header "${case_header:-0}" \
			"${words[@]}" "$@" || status=1
		case_header=0
	done
	return $status
}
