# shellcheck shell=bash
# shellcheck disable=SC2154 # variables come from the helper
# SPDX-License-Identifier: Apache-2.0
# Disturbances of known amount, a row of the breakdown each. A load runs twice, with the disturbance
# and without; the judge holds the row named against what the injector itself knows of the times.
# With helper.bash of tests/live: inject_run NAME, then inject_judge.

# Who is measured has one CPU and the load comes from another; both are above what else runs here.
# Injectors are above them.
SERVICE_CPU=1
CLIENT_CPU=0
SERVICE_PRIORITY=5

# Who node and client are: a test may make them others, as those without privilege (INJECT_UNPRIVILEGED).
inject_as=()

# Nobody who may load BPF programs: of root's capabilities the priority alone is left.
INJECT_UNPRIVILEGED=(setpriv --inh-caps=-all --bounding-set=-all,+sys_nice --no-new-privs)

# NAME|ROW|LOAD|DISTURBANCE|JUDGE_OPTIONS
#
# Loads: `replay` is a node that plays what `gait walk` would send with these options, `walk` such a walk
# itself, `capture` the truth server with these options, -- and those of its client.
# A thread that has quota again still has to wait for whoever has the CPU then: that is the run queue.
# DIR is the test's folder. The disturbance `client` or `server` is further options of that one.
INJECTIONS=(
	'preempted|sched.preempted|replay -n 400 -r 200 -C 1ms -R 256|hog --cpu 1 --priority 50 --on 2ms..3ms --off 4ms..8ms|--log DIR/log --from read_ns'
	'run-queue|sched.runqueue|replay -n 200 -r 100 -C 300us -R 256|hog --cpu 1 --priority 50 --on 2ms..3ms --off 4ms..7ms|--log DIR/log --to read_ns'
	'together|sched.runqueue|walk -- -n 3000 -r 1500 -C 5us -R 256|hog --cpu 1 --priority 50 --on 3ms..4ms --off 8ms..12ms|--log DIR/log --from sent_ns --to read_ns'
	'throttled|sched.throttled|quota -n 50 -r 8 -C 20ms -R 256|quota 3000 10000|--log DIR/log --least 1ms --besides sched.runqueue'
	'irq|cpu.irq.timer|replay -n 300 -r 90 -C 500us -R 256|irq --cpu 1 --spin 500us --period 3ms|--log DIR/log --from read_ns --least 400us'
	'late|client.late|replay -n 300 -r 100 -C 300us -R 256|hog --cpu 0 --priority 50 --on 2ms..3ms --off 4ms..7ms|--log DIR/log --from intended_ns --to sent_ns --service 0'
	'receive|client.receive|replay -n 200 -r 100 -C 2ms -R 256|hog --cpu 0 --priority 50 --on 2ms..3ms --off 4ms..7ms|--log DIR/log --from end_ns --to received_ns --service 0'
	'wire|net.wire|replay -n 200 -r 100 -C 300us -R 256|proxy --delay 2ms|--amount 4ms --service 0'
	'walk-late|client.late|walk -- -n 300 -r 100 -C 300us -R 256|hog --cpu 0 --priority 50 --on 2ms..3ms --off 4ms..7ms|--log DIR/log --from intended_ns --to sent_ns --service 0'
	'walk-receive|client.receive|walk -- -n 200 -r 100 -C 2ms -R 256|hog --cpu 0 --priority 50 --on 2ms..3ms --off 4ms..7ms|--log DIR/log --from end_ns --to received_ns --service 0'
	'walk-wire|net.wire|walk -- -n 100 -r 100 -C 300us -R 256|proxy --delay 2ms|--amount 4ms --service 0'
	'walk-qdisc|net.qdisc|walk_link -n 200 -r 50 -C 100us -R 256|flood --rate 1000000 --burst 2000 --behind 1090 --on 4ms..8ms --off 8ms..20ms|--log DIR/log --from sent_ns --to arrival_ns --service 0 --least 1ms'
	'device|block.device|walk --storage device=DISK,odirect -- -n 100 -r 50 -L 4k -C 100us -R 256|slow|--log DIR/log --least 1ms'
	'journal|fs.journal.block|walk_journal --storage file=FS/store,size=1M -- -n 40 -r 5 -S 4k,nosync --sync-data -C 100us -R 256|slow|--log DIR/log --least 1ms'
	'qdisc|net.qdisc|link -n 200 -r 50 -C 100us -R 256|flood --rate 1000000 --burst 2000 --behind 1090 --on 4ms..8ms --off 8ms..20ms|--log DIR/log --from sent_ns --to arrival_ns --service 0 --least 1ms'
	'retransmit|net.retransmit|link -n 24 -r 4 -C 100us -R 256|loss|--log DIR/log --from sent_ns --to arrival_ns --service 0'
	'behind-retransmit|net.retransmit|link -n 48 -r 8 -C 100us -R 256|loss|--log DIR/log --from sent_ns --to arrival_ns --service 0'
	'device-queue|block.queue|walk_shallow --storage device=DISK,odirect -- -n 100 -r 10 -L offset=aseq:min=0:max=1000000:step=4096,size=4k -C 100us -R 256|neighbours 12|--log DIR/truth --least 1ms'
	'io-limit|block.throttled|walk_limited --storage device=DISK,odirect -- -n 60 -r 5 -L offset=aseq:min=0:max=60000000:step=131072,size=128k -C 100us -R 256|io_limit 1000000|--log DIR/truth --least 1ms'
	'dirty|fs.writeback|walk_dirty --storage file=FS/store,size=32M -- -n 40 -r 4 -S 512k,nosync -C 100us -R 256|dirty_limit 1000000|--client 1 --least 2ms'
	'memory|mem.reclaim|walk_group -- -n 40 -r 4 --memory 8M -C 100us -R 256|limit 32M|--client 1 --least 2ms'
	'node-receive-queue|net.rxqueue|replay -n 100 -r 50 -C 2ms -R 256|plan --nt 2|--log DIR/truth --to read_ns --least 1ms'
	'sleep|app.sleep|replay -n 100 -r 50 -C 300us -R 256|plan --sleep 3ms|--amount 3ms'
	'node-call|call|walk -- -n 100 -r 50 -C 300us -F CALLEE -C 100us -R 300 -R 256|callee --delay 2ms|--amount 4ms'
	'accept|net.accept|capture --model threads --cpu 200us -- --connections 60 --requests 60 --rate 500|server --accept-late 3ms|--truth DIR/truth'
	'receive-queue|net.rxqueue|capture --model threads --cpu 2ms -- --requests 100 --think 5ms|client --pipeline 2|--truth DIR/truth'
	'queue|app.queue|capture --model threads --protocol resp --read all --cpu 2ms -- --protocol resp --requests 100 --think 5ms|client --pipeline 2|--truth DIR/truth'
	'hand-off|app.handoff|capture_apart --model pool --workers 1 --cpu 2ms -- --requests 100|client --connections 2|--truth DIR/truth'
	'lock|lock.user|capture --model threads --lock DIR/lock --cpu 300us -- --requests 300 --think 5ms|hog --lock DIR/lock --on 2ms..3ms --off 4ms..7ms|--log DIR/log'
	'kernel-lock|lock.kernel|walk --storage file=FAST/store,size=1M -- -n 150 -r 30 -S 4k,nosync -C 10us -R 256|hog --cpu 1 --priority 1 --file FAST/store --bytes 40M --off 9ms..14ms|--log DIR/log --least 2ms'
	'fault|mem.fault|capture --model threads --cpu 300us -- --requests 100 --think 5ms|server --fault 3ms --fault-log DIR/log|--log DIR/log'
	'call|call|capture --model threads --cpu 300us UPSTREAM -- --requests 100 --think 5ms|upstream --delay 2ms|--amount 4ms'
)

# DISK is a loop device over a file of slowfs; FS an ext4 that has its journal there, and no more;
# FAST an ext4 in memory.
DISK_MB=64
DISK_DELAY=5ms

# How much of what is known of the server's requests is in the truth file of a case.
declare -gA INJECT_TRUTHS=(
	[node-receive-queue]=computed [device-queue]=issued [io-limit]=issued [accept]=unread [receive-queue]=unread [queue]=queued [hand-off]=queued
)

inject_find() # NAME: sets row, load, disturbance, judged
{
	local line name

	for line in "${INJECTIONS[@]}"; do
		IFS='|' read -r name row load disturbance judged <<<"$line"
		[[ $name != "$1" ]] || return 0
	done
	fail "there is no injection '$1'"
}

# Both runs of a case: base.gait and run.gait in the test's folder.
inject_run() # NAME
{
	local row load disturbance judged

	inject_find "$1" || return
	inject_once base "$load" none || return
	inject_once run "$load" "$disturbance" || return
	case ${INJECT_TRUTHS[$1]:-} in
	computed) truth_computed ;;
	issued) truth_issued ;;
	unread) truth_unread ;;
	queued) truth_queued ;;
	esac >"$BATS_TEST_TMPDIR/truth"
}

inject_judge() # NAME [JUDGE_OPTION...]
{
	local name=$1 row load disturbance judged words

	shift
	inject_find "$name" || return
	inject_words "$judged"
	"$GAIT_TRUTH/inject_judge" --name "$name" --row "$row" --base "$BATS_TEST_TMPDIR/base.gait" \
		--run "$BATS_TEST_TMPDIR/run.gait" "${words[@]}" "$@"
}

# found NAME: in its row and in no other. What the host of this machine takes from it falls into one
# of three runs; a row that is wrong is wrong in all.
found()
{
	for _ in 1 2 3; do
		inject_run "$1"
		! inject_judge "$1" || return 0
	done
	fail "$1 is not in its row"
}

inject_words() # TEXT: the array `words`, with the placeholders filled in
{
	local text=${1//DIR/$BATS_TEST_TMPDIR}

	text=${text//UPSTREAM/--upstream 127.0.0.1:${upstream_port:-0} --call 50 --call-reply 300}
	read -r -d '' -a words <<<"$text" || true
}

# inject_once base|run LOAD DISTURBANCE. What a disturbance changes of the load it leaves in these:
inject_once()
{
	local words disturber='' upstream_port='' more_client=() more_server=() node='' callee=''

	rm -rf "$BATS_TEST_TMPDIR/$1.gait" "$BATS_TEST_TMPDIR/log"
	read -r -d '' -a load_words <<<"$2" || true
	read -r -d '' -a disturb_words <<<"${3//DIR/$BATS_TEST_TMPDIR}" || true
	"load_${load_words[0]}" "$1" "${load_words[@]:1}"
}

disturb() # the disturbance's words, once the service is there
{
	"disturb_${disturb_words[0]}" "${disturb_words[@]:1}"
}

undisturb()
{
	[[ ${disturb_words[0]} != slow ]] || kill -USR1 "$slowfs"
	[[ -z $disturber ]] || stop "$disturber"
	disturber=
}

# --- loads -------------------------------------------------------------------------------------

as_service() # COMMAND...
{
	chrt -f "$SERVICE_PRIORITY" taskset -c "$SERVICE_CPU" "$@"
}

# plan WALK_OPTION...: plan.gait, once for both runs unless the disturbance is in it
plan()
{
	[[ ${disturb_words[0]} != plan ]] || set -- "${disturb_words[@]:1}" "$@"
	[[ -d $BATS_TEST_TMPDIR/plan.gait && ${disturb_words[0]} != plan ]] ||
		"$GAIT" walk --plan-only --force -O "$BATS_TEST_TMPDIR/plan.gait" "$@" >"$BATS_TEST_TMPDIR/plan.out" 2>&1
}

node_start() # NODE_COMMAND...: sets $node, where it listens
{
	start node "$@"
	node_pid=$pid
	await "the node listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/node.out"
	node=$(sed -n '1s/^listening on //p' "$BATS_TEST_TMPDIR/node.out")
}

# A run that is INVALID for late sending is what some rows are about.
replay_plan() # OUT OPTION...
{
	local out=$1

	shift
	taskset -c "$CLIENT_CPU" "${inject_as[@]}" "$GAIT" replay "$BATS_TEST_TMPDIR/plan.gait" --arrivals clock --node "$node" \
		-o "$BATS_TEST_TMPDIR/$out.gait" "$@" >"$BATS_TEST_TMPDIR/replay.out" \
		2>"$BATS_TEST_TMPDIR/replay.err" || [[ $? == 3 ]]
}

load_replay() # OUT WALK_OPTION...
{
	local out=$1 control

	plan "${@:2}" || return
	node_start "${inject_as[@]}" "$GAIT" node --once --threads 1 --sched-policy "fifo:$SERVICE_PRIORITY" -c "$SERVICE_CPU"
	control=$node
	disturb
	replay_plan "$out" --control "$control"
	undisturb
	await "the node ends" ended "$node_pid"
	reap "$node_pid"
}

# The same with the node behind a link of 1 MB/s, in a network of its own.
load_link() # OUT WALK_OPTION...
{
	local out=$1 space=gait-inject-$$

	plan "${@:2}" || return
	link_start "$space" || return
	node_start nsenter "--net=/run/netns/$space" "${inject_as[@]}" "$GAIT" node --once --listen "$LINK_FAR:0" --insecure \
		--sched-policy "fifo:$SERVICE_PRIORITY" -c "$SERVICE_CPU"
	disturb
	replay_plan "$out"
	undisturb
	await "the node ends" ended "$node_pid"
	reap "$node_pid"
	link_end
}

LINK_NEAR=10.213.77.1
LINK_FAR=10.213.77.2
LINK_DEVICE=gaitinj0

link_start() # NETWORK_NAMESPACE
{
	ip netns add "$1" || return
	link=$1
	ip link add "$LINK_DEVICE" type veth peer name gaitinj1 netns "$1"
	ip addr add "$LINK_NEAR/30" dev "$LINK_DEVICE"
	ip link set "$LINK_DEVICE" up
	ip -n "$1" addr add "$LINK_FAR/30" dev gaitinj1
	ip -n "$1" link set gaitinj1 up
	tc qdisc add dev "$LINK_DEVICE" root tbf rate 8mbit burst 2000 limit 1000000
}

link_end()
{
	[[ -z $link ]] || ip netns del "$link"
	link=
}

# The same without a real-time priority, which no quota touches: in a group that outweighs all else.
load_quota() # OUT WALK_OPTION...
{
	local out=$1

	plan "${@:2}" || return
	group=/sys/fs/cgroup/cpu/gait-inject-$$
	[[ -d $group ]] || mkdir "$group" || return
	echo 262144 >"$group/cpu.shares"
	node_start "${inject_as[@]}" "$GAIT" node --once -c "$SERVICE_CPU"
	echo "$node_pid" >"$group/cgroup.procs"
	disturb
	replay_plan "$out"
	undisturb
	await "the node ends" ended "$node_pid"
	reap "$node_pid"
}

# What the device is for, between these two:
disk_start() # DELAY: sets $disk
{
	mkdir -p "$BATS_TEST_TMPDIR/slow"
	start slowfs chrt -f 50 "$GAIT_TRUTH/slowfs" --at "$BATS_TEST_TMPDIR/slow" --bytes "${DISK_MB}M" --delay "$DISK_DELAY" \
		--log "$BATS_TEST_TMPDIR/log"
	slowfs=$pid
	await "the slow file is there" test -e "$BATS_TEST_TMPDIR/slow/disk"
	disk=$(losetup --find --show --direct-io=on "$BATS_TEST_TMPDIR/slow/disk")
}

fs_start()
{
	mke2fs -q -F -b 4096 -O journal_dev "$disk"
	fs_mount -b 4096 -J "device=$disk"
	chrt -f -p "$SERVICE_PRIORITY" "$(pgrep -x "jbd2/${disk#/dev/}")" # who commits has no CPU to wait for
}

fs_mount() # OPTION...: of mke2fs; sets $fs, where a disk that is never slow is mounted
{
	fs=$BATS_TEST_TMPDIR/fs
	mkdir -p "$fs"
	truncate -s "${DISK_MB}M" "$BATS_TEST_TMPDIR/fast"
	fs_disk=$(losetup --find --show "$BATS_TEST_TMPDIR/fast")
	mke2fs -q -F -t ext4 "$@" "$fs_disk"
	mount "$fs_disk" "$fs"
}

fs_end()
{
	[[ -z $fs_disk ]] || ! mountpoint -q "$fs" || umount "$fs"
	[[ -z $fs_disk || $fs_disk == "$disk" ]] || losetup -d "$fs_disk"
	fs_disk=
}

disk_end()
{
	fs_end
	[[ -z $disk ]] || losetup -d "$disk"
	disk=
	[[ -z $slowfs ]] || ! mountpoint -q "$BATS_TEST_TMPDIR/slow" || umount "$BATS_TEST_TMPDIR/slow"
	slowfs=
}

# load_walk OUT NODE_OPTION... -- WALK_OPTION...
load_walk()
{
	local out=$1 node_words=()

	shift
	[[ $* != *DISK* && $* != *FS/* ]] || disk_start
	[[ $* != *FS/* || ${disk_is:-} == disk_dirty ]] || fs_start
	[[ $* != *FAST/* ]] || fs_mount -b 4096
	[[ $* != *CALLEE* ]] || callee_start
	${disk_is:-:}
	while [[ $1 != -- ]]; do
		node_words+=("${1//DISK/$disk}")
		node_words[-1]=${node_words[-1]//FS/$fs}
		node_words[-1]=${node_words[-1]//FAST/$fs}
		shift
	done
	shift
	node_start "${inject_as[@]}" "$GAIT" node --sched-policy "fifo:$SERVICE_PRIORITY" -c "$SERVICE_CPU" "${node_words[@]}"
	[[ -z $group ]] || echo "$node_pid" >"$group/cgroup.procs"
	walk_to_node "$out" "$@"
	stop "$node_pid"
	[[ -z $callee ]] || stop "$callee_pid"
	[[ -z $neighbour ]] || stop "$neighbour"
	neighbour=
	inject_clean
}

# walk_to_node OUT WALK_OPTION...
walk_to_node()
{
	local out=$1 control=$node

	shift
	disturb
	taskset -c "$CLIENT_CPU" chrt -f "$SERVICE_PRIORITY" "${inject_as[@]}" "$GAIT" walk --to "$node" \
		--control "$control" "${@//CALLEE/$callee}" -O "$BATS_TEST_TMPDIR/$out.gait" \
		>"$BATS_TEST_TMPDIR/walk.out" 2>&1 || [[ $? == 3 ]]
	undisturb
}

# The same behind the link of load_link.
load_walk_link() # OUT WALK_OPTION...
{
	local space=gait-inject-$$

	link_start "$space" || return
	node_start nsenter "--net=/run/netns/$space" "${inject_as[@]}" "$GAIT" node --listen "$LINK_FAR:0" --insecure \
		--sched-policy "fifo:$SERVICE_PRIORITY" -c "$SERVICE_CPU"
	walk_to_node "$@"
	stop "$node_pid"
	link_end
}

# The same, slower: between a commit and its disk there are kernel threads that wait for a CPU themselves.
load_walk_journal()
{
	DISK_DELAY=50ms load_walk "$@"
}

# The same in a memory group, with a neighbour that writes to a file of a slow disk again and again: what is
# cached of it is the group's.
load_walk_group()
{
	group=/sys/fs/cgroup/memory/gait-inject-$$
	local DISK_DELAY=20ms

	mkdir "$group"
	disk_start
	fs=$BATS_TEST_TMPDIR/fs
	mkdir -p "$fs"
	mke2fs -q -F -t ext4 -b 4096 "$disk"
	mount "$disk" "$fs"
	fs_disk=$disk
	disturb_slow
	# shellcheck disable=SC2016 # it is that shell's own
	start neighbour bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' bash "$group" \
		taskset -c "$CLIENT_CPU" "$GAIT_TRUTH/neighbour" --write 1 --file "$fs/neighbour" --from 0 --to 44M --threads 1
	neighbour=$pid
	await "the neighbour writes" test -s "$fs/neighbour"
	load_walk "$@"
}

# The same on a file system without a journal whose disk is slow always.
load_walk_dirty()
{
	local DISK_DELAY=10ms

	disk_is=disk_dirty load_walk "$@"
}

disk_dirty()
{
	fs=$BATS_TEST_TMPDIR/fs
	mkdir -p "$fs"
	mke2fs -q -F -t ext4 -b 4096 -O ^has_journal "$disk"
	mount "$disk" "$fs"
	fs_disk=$disk
	disturb_slow
}

# The same on a device that is slow always, takes four requests at a time, and has a scheduler.
load_walk_shallow()
{
	disk_is=disk_shallow load_walk "$@"
}

# The same in a group whose I/O can be limited, on a disk that always tells when a request reached it.
load_walk_limited()
{
	local DISK_DELAY=1ms

	group=/sys/fs/cgroup/blkio/gait-inject-$$
	mkdir "$group"
	disk_is=disturb_slow load_walk "$@"
}

disk_shallow()
{
	local queue=/sys/block/${disk#/dev/}/queue

	echo none >"$queue/scheduler"
	echo 4 >"$queue/nr_requests"
	echo mq-deadline >"$queue/scheduler"
	disturb_slow
}

# The server's threads on both CPUs: one that reads is not to wait for one that works.
load_capture_apart()
{
	SERVICE_CPU=$CLIENT_CPU,$SERVICE_CPU load_capture "$@"
}

load_capture() # OUT SERVER_OPTION... -- CLIENT_OPTION...
{
	local out=$1 server_words=() text

	shift
	[[ $* != *UPSTREAM* ]] || upstream_start
	while [[ $1 != -- ]]; do
		server_words+=("$1")
		shift
	done
	shift
	[[ ${disturb_words[0]} != upstream ]] || disturb
	[[ ${disturb_words[0]} != server ]] || disturb
	inject_words "${server_words[*]}"
	start server chrt -f "$SERVICE_PRIORITY" taskset -c "$SERVICE_CPU" "$GAIT_TRUTH/server" \
		--log "$BATS_TEST_TMPDIR/server.log" --request 50 --reply 300 "${words[@]}" "${more_server[@]}"
	server=$pid
	server_port server
	trace=$BATS_TEST_TMPDIR/$out.gait
	start capture "$GAIT" capture -o "$trace" --pid "$server"
	export capture=$pid
	await "gait is capturing" capture_began_or_ended
	[[ ${disturb_words[0]} == upstream || ${disturb_words[0]} == server ]] || disturb
	taskset -c "$CLIENT_CPU" chrt -f "$SERVICE_PRIORITY" "$GAIT_TRUTH/client" --port "$port" \
		--request 50 --reply 300 "$@" "${more_client[@]}" --log "$BATS_TEST_TMPDIR/client.log" \
		>"$BATS_TEST_TMPDIR/client.out" || fail "a reply is missing"
	await "the server is through with it" connections_gone "$port"
	capture_stop
	undisturb
	stop "$server"
	[[ -z $upstream_port ]] || stop "$upstream"
}

callee_start() # another node, for walks; sets $callee
{
	start callee "$GAIT" node --sched-policy "fifo:$SERVICE_PRIORITY" -c "$CLIENT_CPU"
	callee_pid=$pid
	await "the callee listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/callee.out"
	callee=$(sed -n '1s/^listening on //p' "$BATS_TEST_TMPDIR/callee.out")
}

upstream_start()
{
	start upstream taskset -c "$CLIENT_CPU" "$GAIT_TRUTH/server" --model threads --request 50 --reply 300
	upstream=$pid
	server_port upstream
	upstream_port=$port
}

# --- disturbances ------------------------------------------------------------------------------

disturb_none()
{
	:
}

disturb_plan() # it was made with these
{
	:
}

disturb_client()
{
	more_client=("$@")
}

disturb_server()
{
	more_server=("$@")
}

injector() # COMMAND...: sets $disturber once it is at it
{
	start injector "$@"
	disturber=$pid
	await "$1 injects" grep -qs '^ready' "$BATS_TEST_TMPDIR/injector.out"
}

disturb_hog()
{
	injector "$GAIT_TRUTH/hog" --log "$BATS_TEST_TMPDIR/log" "${@//FAST/$fs}"
}

disturb_irq()
{
	injector "$GAIT_TRUTH/irq" --log "$BATS_TEST_TMPDIR/log" "$@"
}

# The node's group has a quota; its cpu.stat tells when it was held up.
disturb_quota() # QUOTA_US PERIOD_US
{
	echo "$2" >"$group/cpu.cfs_period_us"
	echo "$1" >"$group/cpu.cfs_quota_us"
	injector "$GAIT_TRUTH/quota" --cpu "$CLIENT_CPU" --stat "$group/cpu.stat" --log "$BATS_TEST_TMPDIR/log"
}

disturb_flood()
{
	injector "$GAIT_TRUTH/flood" --to "$LINK_FAR" --log "$BATS_TEST_TMPDIR/log" "$@"
}

# Every other packet that is as long as a request is lost at the far end: each of them once.
disturb_loss()
{
	nsenter "--net=/run/netns/$link" nft -f - <<-'RULES'
	table inet gait {
		chain in {
			type filter hook input priority 0
			ip length > 1000 tcp dport > 0 numgen inc mod 2 == 0 drop
		}
	}
	RULES
	injector "$GAIT_TRUTH/resent" --device "$LINK_DEVICE" --log "$BATS_TEST_TMPDIR/log"
}

disturb_io_limit() # BYTES_A_SECOND
{
	echo "$(cat "/sys/block/${disk#/dev/}/dev") $1" >"$group/blkio.throttle.read_bps_device"
}

# No more of that disk is kept that is not written yet.
disturb_dirty_limit() # BYTES
{
	limited=/sys/class/bdi/$(cat "/sys/block/${disk#/dev/}/dev")
	echo 1 >"$limited/strict_limit"
	echo "$1" >"$limited/max_bytes"
}

dirty_limit_end() # a loop device keeps it
{
	[[ -z $limited ]] || {
		echo 100 >"$limited/max_ratio"
		echo 0 >"$limited/strict_limit"
	}
	limited=
}

# A group that has more does not take it before it has less.
disturb_limit() # BYTES
{
	await "the group has a limit" limit_memory "$1"
}

limit_memory()
{
	echo "$1" 2>/dev/null >"$group/memory.limit_in_bytes"
}

# In the half of the disk that the service does not use.
disturb_neighbours() # N
{
	injector "$GAIT_TRUTH/neighbour" --file "$disk" --from $((DISK_MB / 2))M --to "${DISK_MB}M" \
		--threads "$1"
}

disturb_slow()
{
	kill -USR1 "$slowfs"
	await "the disk is slow" grep -qs '^ready' "$BATS_TEST_TMPDIR/slowfs.out"
}

# A proxy in front of ADDRESS; sets $proxied.
delay() # ADDRESS PROXY_OPTION...
{
	start injector chrt -f 50 taskset -c "$CLIENT_CPU" "$GAIT" proxy --to "$@"
	disturber=$pid
	await "the proxy listens" grep -qs '^listening on ' "$BATS_TEST_TMPDIR/injector.out"
	proxied=$(sed -n 's/^listening on //p' "$BATS_TEST_TMPDIR/injector.out")
}

disturb_proxy()
{
	delay "$node" "$@"
	node=$proxied
}

disturb_callee()
{
	delay "$callee" "$@"
	callee=$proxied
}

disturb_upstream()
{
	delay "127.0.0.1:$upstream_port" "$@"
	upstream_port=${proxied##*:}
}

# What outlives the processes: a group goes when nobody is in it.
group=
neighbour=
link=
disk=
slowfs=
fs=
fs_disk=
limited=
inject_clean()
{
	dirty_limit_end
	disk_end
	link_end
	[[ ! -d $group ]] || rmdir "$group"
	group=
}

# --- what the logs of server and client say ------------------------------------------------------

# peer,request,ns: between reading a request and working on it
truth_queued()
{
	csv "$BATS_TEST_TMPDIR/server.log" '{
		split(at("burns"), burn, "[@/]")
		printf "%s,%s,%.0f\n", at("peer"), at("request"), burn[2] - burn[1] / 2 - at("read_end_ns")
	}'
}

# start_ns,end_ns: when the run's node computed; a request that is not read yet waits for another one
truth_computed()
{
	local anchor

	anchor=$(jq .start_monotonic_ns "$BATS_TEST_TMPDIR/run.gait/manifest.json")
	trace=$BATS_TEST_TMPDIR/run.gait csv ops 'at("kind") == "compute" {
		printf "%.0f,%.0f\n", at("start_ns") + '"$anchor"', at("start_ns") + at("elapsed_ns") + '"$anchor"' }'
}

# start_ns,end_ns: from when a request of the run set about reading to when the disk had that
truth_issued()
{
	local anchor

	anchor=$(jq .start_monotonic_ns "$BATS_TEST_TMPDIR/run.gait/manifest.json")
	trace=$BATS_TEST_TMPDIR/run.gait csv ops 'at("kind") == "load" { print at("offset") "," at("start_ns") }' |
		awk -F, -v anchor="$anchor" 'NR == FNR { begun[$1] = $2 + anchor; next }
			$3 in begun && $1 > begun[$3] { printf "%.0f,%.0f\n", begun[$3], $1; delete begun[$3] }' \
			- "$BATS_TEST_TMPDIR/log"
}

# peer,request,ns: between sending a request and the call that read it
truth_unread()
{
	awk -F, 'FNR == 1 { next }
		NR == FNR { sent[$1, $2] = $3; next }
		{ printf "%s,%s,%.0f\n", $2, $3, $6 - sent[$1, $3] }' \
		"$BATS_TEST_TMPDIR/client.log" "$BATS_TEST_TMPDIR/server.log"
}
