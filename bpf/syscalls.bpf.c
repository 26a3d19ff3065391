/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The system calls of a captured service: its ops, with the thread's counters around them. */
#include "gait.bpf.h"
#include "receive.bpf.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000

#define TS_COMPAT 2 /* thread_info.status: a 32-bit call, numbered otherwise */

const volatile struct syscall_class cfg_syscalls[SYSCALLS_MAX] = {};

/* What a call was about, gathered at its return. */
struct call {
	struct thread *thread;
	struct thread_slot *slot;
	struct pt_regs *regs;
	long ret;
	__u64 now;
};

#if defined(__TARGET_ARCH_x86)
#define ARG1(regs) ((regs)->di)
#define ARG2(regs) ((regs)->si)
#define ARG3(regs) ((regs)->dx)
#define ARG4(regs) ((regs)->r10)
#define CALL_NUMBER(regs) ((regs)->orig_ax)
#elif defined(__TARGET_ARCH_arm64)
#define ARG1(regs) ((regs)->orig_x0)
#define ARG2(regs) ((regs)->user_regs.regs[1])
#define ARG3(regs) ((regs)->user_regs.regs[2])
#define ARG4(regs) ((regs)->user_regs.regs[3])
#define CALL_NUMBER(regs) ((regs)->user_regs.regs[8])
#endif

static __always_inline struct file *file_of(__u64 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file **table = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = NULL;

	if (fd >= BPF_CORE_READ(task, files, fdt, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), table + fd);
	return file;
}

/* Finds out what a descriptor is: a TCP socket, a file with contents, something else. */
static __always_inline void object_look(struct thread *thread, __u64 fd)
{
	struct file *file = file_of(fd);
	__u16 type;

	thread->object = OBJECT_NONE;
	thread->file = file;
	thread->sk = NULL;
	if (!file)
		return;
	type = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;
	if (type == S_IFREG || type == S_IFBLK) {
		thread->object = OBJECT_FILE;
	} else if (type == S_IFSOCK) {
		struct socket *socket = BPF_CORE_READ(file, private_data);
		struct sock *sk = BPF_CORE_READ(socket, sk);
		__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

		thread->object = OBJECT_UNSEEN; /* UDP, UNIX: not followed yet */
		if ((family == AF_INET || family == AF_INET6) &&
		    BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_) {
			thread->object = OBJECT_SOCKET;
			thread->sk = sk;
		}
	} else {
		thread->object = OBJECT_OTHER;
	}
}

/* Ops whose first argument is a descriptor that may be a file or a socket. */
static __always_inline bool op_moves_bytes(__u8 op)
{
	return op >= SYSCALL_READ && op <= SYSCALL_SENDFILE;
}

static __always_inline bool op_on_descriptor(__u8 op)
{
	return op_moves_bytes(op) || op == SYSCALL_SYNC || op == SYSCALL_DATASYNC;
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(on_call_enter, struct pt_regs *regs, long nr)
{
	struct syscall_class class = { SYSCALL_OTHER, TS_KERNEL_OTHER, TS_WAIT_OTHER };
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *thread = thread_of(task);
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;

	if (!slot)
		return 0;
	if (nr >= 0 && nr < SYSCALLS_MAX && !(task->thread_info.status & TS_COMPAT)) {
		class.op = cfg_syscalls[nr].op;
		class.cpu = cfg_syscalls[nr].cpu;
		class.wait = cfg_syscalls[nr].wait;
	}
	if (op_on_descriptor(class.op)) {
		object_look(thread, ARG1(regs));
		if (thread->object == OBJECT_SOCKET) {
			class.cpu = TS_KERNEL_NET;
			class.wait = TS_WAIT_NET;
		}
	}
	slot->sequence++;
	account_sys_enter(slot, &class, bpf_ktime_get_ns());
	if (class.op != SYSCALL_OTHER && class.op != SYSCALL_NONE)
		slot->enter_ns = account_copy(slot, slot->enter);
	slot->sequence++;
	return 0;
}

static __always_inline void fill_file(struct event_call *e, const struct call *call,
				      struct file *file)
{
	__u8 op = call->slot->sys_op;
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	e->inode = BPF_CORE_READ(inode, i_ino);
	e->generation = BPF_CORE_READ(inode, i_generation);
	e->file_bytes = BPF_CORE_READ(inode, i_size);
	e->device = BPF_CORE_READ(inode, i_sb, s_dev);
	e->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	e->file_flags = BPF_CORE_READ(file, f_flags);
	if (op == SYSCALL_PREAD || op == SYSCALL_PWRITE)
		e->offset = ARG4(call->regs);
	else if (op_moves_bytes(op) && call->ret >= 0)
		e->offset = BPF_CORE_READ(file, f_pos) - call->ret;
}

/* sendfile says its offset through a pointer, which it has moved on by what it sent. */
static __always_inline void fill_sendfile(struct event_call *e, const struct call *call)
{
	__u64 pointer = ARG3(call->regs);
	struct file *in = file_of(ARG2(call->regs));
	__s64 offset;

	if (!in)
		return;
	fill_file(e, call, in);
	if (pointer && !bpf_probe_read_user(&offset, sizeof(offset), (void *)pointer))
		e->offset = offset - call->ret;
}

static __always_inline void fill_call(struct event_call *e, const struct call *call,
				      enum event_kind kind, struct socket_state *socket)
{
	struct thread *thread = call->thread;

	event_head(&e->head, kind, call->slot, thread->slot, call->now);
	e->enter_ns = call->slot->enter_ns;
	e->socket_id = socket ? socket->socket_id : 0;
	e->tx_ns = socket ? socket->tx_ns : 0;
	e->inode = e->generation = e->file_bytes = 0;
	e->device = e->magic = e->file_flags = 0;
	e->offset = -1;
	e->ret = call->ret;
	e->syscall_nr = CALL_NUMBER(call->regs);
	e->op = call->slot->sys_op;
	e->object = thread->object;
	if (e->op == SYSCALL_SENDFILE)
		fill_sendfile(e, call);
	else if (thread->object == OBJECT_FILE && thread->file)
		fill_file(e, call, thread->file);
	for (int i = 0; i < TS_COUNT; i++)
		e->enter[i] = call->slot->enter[i];
	e->head.ns = account_copy(call->slot, e->exit);
}

static __always_inline void emit_call(const struct call *call, struct socket_state *socket)
{
	struct event_call *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		loss_count(LOSS_RING_FULL);
		return;
	}
	fill_call(e, call, EVENT_CALL, socket);
	bpf_ringbuf_submit(e, ring_flags());
}

/* Where the bytes of a receive begin in user memory. */
static __always_inline __u64 receive_buffer(const struct call *call)
{
	__u64 pointer = ARG2(call->regs), base = 0;

	if (call->slot->sys_op == SYSCALL_RECVMSG) /* struct msghdr: msg_iov at 16 */
		bpf_probe_read_user(&pointer, sizeof(pointer), (void *)(pointer + 16));
	if (call->slot->sys_op == SYSCALL_RECVMSG || call->slot->sys_op == SYSCALL_READV) {
		bpf_probe_read_user(&base, sizeof(base), (void *)pointer);
		return base;
	}
	return pointer;
}

static __always_inline void emit_receive(const struct call *call, struct socket_state *socket)
{
	struct event_receive *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 slot = call->thread->slot;
	struct receive got;
	__u64 bytes = call->ret;

	if (!e)
		loss_count(LOSS_RING_FULL);
	receive_look(socket, call->thread->sk, slot, &got);
	if (!e) {
		receive_done(socket, &got, slot);
		return;
	}
	fill_call(&e->call, call, EVENT_RECEIVE, socket);
	e->arrival_ns = got.arrival_ns;
	e->latest_ns = got.latest_ns;
	e->counted = got.counted;
	for (int i = 0; i < TS_COUNT; i++)
		e->arrival[i] = socket->counters[i];
	if (bytes > EVENT_HEAD_BYTES)
		bytes = EVENT_HEAD_BYTES;
	e->head_bytes = bytes;
	if (bpf_probe_read_user(e->bytes, bytes, (void *)receive_buffer(call)))
		e->head_bytes = 0;
	round_trips(call->thread->sk, &e->srtt_us, &e->min_rtt_us);
	e->unread = receive_done(socket, &got, slot);
	bpf_ringbuf_submit(e, ring_flags());
}

static __always_inline bool op_receives(__u8 op)
{
	return op == SYSCALL_READ || op == SYSCALL_READV || op == SYSCALL_RECV ||
	       op == SYSCALL_RECVMSG;
}

/* The state of the call's socket; one that was open before gait came is met here first. */
static __always_inline struct socket_state *socket_meet(struct sock *sk)
{
	struct socket_state *state = socket_find(sk);

	if (!state)
		state = socket_create(sk, SOCKET_BEFORE);
	if (state && !state->announced)
		socket_announce(state, sk, EVENT_SOCKET);
	return state;
}

static __always_inline void leave_socket_call(const struct call *call)
{
	struct socket_state *socket;

	if (call->ret <= 0)
		return;
	socket = socket_meet(call->thread->sk);
	if (!socket)
		return;
	if (op_receives(call->slot->sys_op))
		emit_receive(call, socket);
	else
		emit_call(call, socket);
}

static __always_inline void leave_accept(const struct call *call)
{
	if (call->ret < 0)
		return;
	object_look(call->thread, call->ret);
	if (call->thread->object == OBJECT_SOCKET)
		emit_call(call, socket_meet(call->thread->sk));
}

static __always_inline void leave_connect(const struct call *call)
{
	object_look(call->thread, ARG1(call->regs));
	if (call->thread->object == OBJECT_SOCKET)
		emit_call(call, socket_find(call->thread->sk));
}

/* fstat and its kin name a descriptor; a path has no object here. */
static __always_inline void leave_stat(const struct call *call)
{
	object_look(call->thread, ARG1(call->regs));
	if (call->thread->object != OBJECT_FILE) {
		call->thread->object = OBJECT_NONE;
		call->thread->file = NULL;
	}
	emit_call(call, NULL);
}

static __always_inline void leave_open(const struct call *call)
{
	call->thread->object = OBJECT_NONE;
	if (call->ret >= 0)
		object_look(call->thread, call->ret);
	if (call->thread->object == OBJECT_FILE || call->thread->object == OBJECT_NONE)
		emit_call(call, NULL);
}

static __always_inline void leave_call(const struct call *call)
{
	__u8 op = call->slot->sys_op;

	if (op_on_descriptor(op)) {
		if (call->thread->object == OBJECT_SOCKET)
			leave_socket_call(call);
		else if (call->thread->object == OBJECT_FILE)
			emit_call(call, NULL);
		else if (call->thread->object == OBJECT_UNSEEN && call->ret > 0)
			loss_count(LOSS_OBJECTS_UNSEEN);
		return;
	}
	call->thread->object = OBJECT_NONE;
	call->thread->file = NULL;
	if (op == SYSCALL_POLL || op == SYSCALL_SLEEP)
		emit_call(call, NULL);
	else if (op == SYSCALL_STAT)
		leave_stat(call);
	else if (op == SYSCALL_UNSEEN && call->ret > 0)
		loss_count(LOSS_OBJECTS_UNSEEN);
	else if (op == SYSCALL_OPEN)
		leave_open(call);
	else if (op == SYSCALL_ACCEPT)
		leave_accept(call);
	else if (op == SYSCALL_CONNECT)
		leave_connect(call);
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(on_call_exit, struct pt_regs *regs, long ret)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct call call = { .thread = thread, .regs = regs, .ret = ret };

	call.slot = thread ? slot_of(thread) : NULL;
	if (!call.slot)
		return 0;
	call.now = bpf_ktime_get_ns();
	call.slot->sequence++;
	account_charge(call.slot, call.now);
	call.slot->sequence++;
	if (call.slot->sys && call.slot->sys_op != SYSCALL_NONE &&
	    call.slot->sys_op != SYSCALL_OTHER)
		leave_call(&call);
	account_sys_exit(call.slot, call.now);
	return 0;
}
