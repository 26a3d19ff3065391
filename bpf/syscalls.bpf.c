/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The system calls of a captured service: its ops, with the thread's counters around them. */
#include "call.bpf.h"
#include "datagram.bpf.h"
#include "gait.bpf.h"
#include "object.bpf.h"
#include "receive.bpf.h"
#include "tell.bpf.h"

#define EAGAIN 11

/* The thread is in this call from now on. */
static __always_inline void call_begin(struct task_struct *task, struct thread *thread,
				       struct thread_slot *slot, struct pt_regs *regs, __u64 nr,
				       __u64 now)
{
	struct syscall_class class = { SYSCALL_OTHER, TS_KERNEL_OTHER, TS_WAIT_OTHER };

	if (nr < SYSCALLS_MAX && !IS_COMPAT(task)) {
		class.op = cfg_syscalls[nr].op;
		class.cpu = cfg_syscalls[nr].cpu;
		class.wait = cfg_syscalls[nr].wait;
	}
	if (op_on_descriptor(class.op) || class.op == SYSCALL_SPLICE_IN) {
		if (class.op == SYSCALL_SPLICE_IN)
			class.op = object_look_splice(thread, regs);
		else
			object_look(thread, ARG1(regs));
		if (thread->object == OBJECT_SOCKET) {
			class.cpu = TS_KERNEL_NET;
			class.wait = TS_WAIT_NET;
		} else if (thread->object == OBJECT_SIGNAL) {
			class.cpu = TS_KERNEL_OTHER;
			class.wait = TS_WAIT_FUTEX;
		}
	} else if (class.op == SYSCALL_FUTEX) {
		class.op = futex_op(ARG2(regs));
	}
	slot->sequence++;
	account_sys_enter(slot, &class, now);
	account_mark(slot);
	slot->sequence++;
}

/*
 * Whoever is woken may be heard of before the writer is: what the writer gives away is told
 * before it writes.
 */
static __always_inline void tell_gift(const struct call *call)
{
	struct event_call *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 moved = call->slot->moved;

	if (!e) {
		call_lost(call);
		return;
	}
	fill_call(e, call, EVENT_CALL, NULL);
	account_told(call->slot, moved);
	e->op = SYSCALL_GIVE;
	bpf_ringbuf_submit(e, ring_flags());
}

static __always_inline bool op_gives(__u8 op)
{
	return op == SYSCALL_WRITE || op == SYSCALL_WRITEV || op == SYSCALL_SEND ||
	       op == SYSCALL_SENDMSG;
}

/* As far as it shows: a thread that is in a call on it holds it too, and then its end is not seen. */
static __always_inline bool is_last_reference(const struct file *file)
{
	if (bpf_core_field_exists(struct file___ref, f_ref))
		return !BPF_CORE_READ((const struct file___ref *)file, f_ref.refcnt.counter);
	return BPF_CORE_READ((const struct file___count *)file, f_count.counter) == 1;
}

SEC("?tp_btf/sys_enter")
int BPF_PROG(on_call_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *thread = thread_of(task);
	struct call call = { .thread = thread, .regs = regs };
	__u8 op;

	call.slot = thread ? slot_of(thread) : NULL;
	if (!call.slot)
		return 0;
	if (uring_used)
		uring_catch_up();
	call.now = slot_now(call.slot);
	call_begin(task, thread, call.slot, regs, nr, call.now);
	op = call.slot->sys_op;
	if (thread->object == OBJECT_SIGNAL && op_gives(op) && call.now >= resumed_ns)
		tell_gift(&call);
	else if (op == SYSCALL_CLOSE && thread->object == OBJECT_SOCKET &&
		 thread->socket_kind != SOCKET_TCP && is_last_reference(thread->file))
		socket_close(thread->sk);
	return 0;
}

/*
 * Bytes of a connection outside the sample. What the thread does from here on is not for those
 * inside: one event says so, and the next is due when it has told of anything else.
 */
static __always_inline void leave_unsampled(const struct call *call)
{
	if (call->thread->others)
		return;
	call->thread->object = OBJECT_UNSAMPLED;
	emit_call(call, NULL);
	call->thread->others = !call->slot->unsaid;
}

/* A look at what has arrived takes nothing: it is still there for whoever reads it. */
static __always_inline bool call_peeks(const struct call *call)
{
	__u8 op = call->slot->sys_op;

	return ((op == SYSCALL_RECV || op == SYSCALL_RECVMMSG) && ARG4(call->regs) & MSG_PEEK) ||
	       (op == SYSCALL_RECVMSG && ARG3(call->regs) & MSG_PEEK);
}

static __always_inline __u64 inode_of(const struct call *call)
{
	struct file *file = call->thread->file;

	return BPF_CORE_READ(file, f_inode, i_ino);
}

static const struct stamps no_stamps; /* the stack has no room for one */

/* Each datagram says who talks to whom: there is nothing to announce. */
static __always_inline void udp_begin(struct socket_state *state, const struct sock *sk)
{
	__u64 key = (__u64)sk;

	state->announced = 1;
	stamps_wanted = 1;
	followed_ports[BPF_CORE_READ(sk, __sk_common.skc_num)] |= FOLLOWED_UDP;
	bpf_map_update_elem(&datagram_stamps, &key, &no_stamps, BPF_ANY);
}

/*
 * A UNIX or UDP socket is followed from now on, whatever was in its place before.
 */
__noinline int socket_begin(__u64 sock, __u64 inode, __u32 kind, __u32 flags)
{
	const struct sock *sk = (const struct sock *)sock;
	struct socket_state *state;

	socket_close(sk);
	state = socket_create(sk, kind, inode, flags);
	if (state && kind == SOCKET_UDP)
		udp_begin(state, sk);
	else if (state)
		socket_announce(sk, EVENT_SOCKET);
	return 0;
}

static __always_inline __u16 flags_when_met(const struct call *call)
{
	if (call->thread->socket_kind == SOCKET_UNIX)
		return unix_is_named(call->thread->sk) ? SOCKET_BEFORE :
							 SOCKET_BEFORE | SOCKET_OUTGOING;
	return op_receives(call->slot->sys_op) ? 0 : SOCKET_OUTGOING; /* who sends first, calls */
}

/* The state of a socket that is not TCP. */
static __always_inline struct socket_state *socket_meet_other(const struct call *call)
{
	struct sock *sk = call->thread->sk;
	struct socket_state *state = socket_find(sk);
	__u64 inode = inode_of(call);

	if (state && state->inode == inode)
		return state;
	socket_begin(socket_number(call->thread), inode, call->thread->socket_kind,
		     flags_when_met(call));
	return socket_find(sk);
}

__noinline long messages_bytes(__u64 mmsghdr, long count)
{
	long sum = 0;

	for (int i = 0; i < MESSAGES_MAX && i < count; i++)
		sum += message_bytes(mmsghdr + i * MMSGHDR_BYTES);
	return sum;
}

/* On a stream it makes no difference how its bytes were parted. */
static __always_inline void add_up_messages(struct call *call)
{
	__u64 first = ARG2(call->regs);

	if (call->ret > MESSAGES_MAX)
		loss_count(LOSS_OBJECTS_UNSEEN);
	call->shown = message_bytes(first);
	call->ret = messages_bytes(first, call->ret);
}

static __always_inline bool emit_datagram(const struct call *call, struct socket_state *socket,
					  __u64 message, __u32 bytes, __u64 arrival_ns,
					  bool counted)
{
	struct event_datagram *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 moved = call->slot->moved;

	if (!e) {
		call_lost(call);
		return true;
	}
	datagram_fill(&e->datagram, socket, socket_number(call->thread), call->slot->sys_op,
		      message, ARG5(call->regs), bytes);
	if (peer_is_unsampled(socket, &e->datagram)) {
		bpf_ringbuf_discard(e, 0);
		return false;
	}
	fill_plain_call(&e->call, call, EVENT_DATAGRAM, socket);
	counters_tell(call->slot, &e->call);
	e->call.ret = bytes;
	account_told(call->slot, moved);
	e->datagram.arrival_ns = arrival_ns;
	e->counted = counted;
	for (int i = 0; i < TS_COUNT; i++)
		e->arrival[i] = COUNTER_THEN(e->call.exit[i], socket->counters[i]);
	bpf_ringbuf_submit(e, ring_flags());
	return true;
}

static __always_inline void emit_datagram_more(const struct thread_slot *slot, __u32 index,
					       const struct socket_state *socket, __u64 sock,
					       __u64 message, __u64 arrival_ns)
{
	struct event_datagram_more *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		loss_count(LOSS_RING_FULL);
		return;
	}
	event_head(&e->head, EVENT_DATAGRAM_MORE, slot, index, slot->last_ns);
	datagram_fill(&e->datagram, socket, sock, slot->sys_op, message, 0, message_bytes(message));
	e->datagram.arrival_ns = arrival_ns;
	if (peer_is_unsampled(socket, &e->datagram))
		bpf_ringbuf_discard(e, 0);
	else
		bpf_ringbuf_submit(e, ring_flags());
}

/* The messages of a call behind the first, which has been told. */
__noinline int tell_more_datagrams(__u32 index, __u64 sock, __u64 messages, long count)
{
	const struct sock *sk = (const struct sock *)sock;
	struct thread_slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct socket_state *socket = socket_find(sk);
	struct stamps *stamps;

	if (!slot || !socket)
		return 0;
	stamps = op_receives(slot->sys_op) ? stamps_of(sk) : NULL;
	for (int i = 1; i < MESSAGES_MAX && i < count; i++)
		emit_datagram_more(slot, index, socket, sock, messages + i * MMSGHDR_BYTES,
				   stamp_take(stamps));
	return 0;
}

static __always_inline void leave_datagrams(const struct call *call)
{
	bool several = op_is_mmsg(call->slot->sys_op), receives = op_receives(call->slot->sys_op);
	struct socket_state *socket = socket_meet_other(call);
	__u64 message = ARG2(call->regs), arrival_ns = 0;
	struct stamps *stamps = NULL;
	struct receive got = {};

	if (!socket)
		return;
	if (receives) {
		stamps = stamps_of(call->thread->sk);
		arrival_ns = stamp_take(stamps);
		receive_look(socket, call->thread->sk, call->thread->slot, call->now, &got);
	}
	if (!emit_datagram(call, socket, message, several ? message_bytes(message) : call->ret,
			   arrival_ns, got.counted && got.arrival_ns == arrival_ns))
		leave_unsampled(call);
	if (several && call->ret > 1)
		tell_more_datagrams(call->thread->slot, socket_number(call->thread), message,
				    call->ret);
	if (several && call->ret > MESSAGES_MAX)
		loss_count(LOSS_OBJECTS_UNSEEN);
	if (receives) {
		stamps_settle(stamps, got.unread);
		receive_done(socket, &got, call->thread->slot);
	}
}

static __always_inline void leave_socket_call(const struct call *call)
{
	__u8 op = call->slot->sys_op, unwanted;
	struct sock *sk = call->thread->sk;
	struct socket_state *socket;
	__u16 port;

	socket = call->thread->socket_kind == SOCKET_TCP ? socket_meet(sk) :
							   socket_meet_other(call);
	if (!socket)
		return;
	port = BPF_CORE_READ(sk, __sk_common.skc_num);
	/* of calls the first bytes out tell whose they are */
	unwanted = socket->flags & SOCKET_OUTGOING ? UNWANTED_IN : unwanted_bytes[port];
	call->thread->tls.socket = (struct tls_socket){
		.socket_id = socket->socket_id,
		.unwanted_at = socket->flags & SOCKET_OUTGOING ? 0 : port,
		.unsampled = socket->unsampled,
	};
	if (in_tls(call->thread))
		unwanted = UNWANTED_IN | UNWANTED_OUT; /* ciphertext */
	if (socket->unsampled)
		leave_unsampled(call);
	else if (op_receives(op))
		emit_receive(call, socket, !(unwanted & UNWANTED_IN));
	else if (!(unwanted & UNWANTED_OUT) && op != SYSCALL_SENDFILE && op != SYSCALL_SPLICE_OUT)
		emit_send(call, socket);
	else
		emit_call(call, socket);
}

static __always_inline void leave_socket(struct call *call)
{
	if (call->thread->socket_kind == SOCKET_UDP) {
		leave_datagrams(call);
		return;
	}
	if (op_is_mmsg(call->slot->sys_op))
		add_up_messages(call);
	leave_socket_call(call);
}

static __always_inline void leave_accept(const struct call *call)
{
	struct sock *sk;

	if (call->ret < 0)
		return;
	object_look(call->thread, call->ret);
	if (call->thread->object != OBJECT_SOCKET)
		return;
	sk = call->thread->sk;
	if (call->thread->socket_kind == SOCKET_UNIX)
		socket_begin(socket_number(call->thread), inode_of(call), SOCKET_UNIX, 0);
	else
		socket_meet(sk);
	emit_call(call, socket_find(sk));
}

static __always_inline void leave_connect(const struct call *call)
{
	object_look(call->thread, ARG1(call->regs));
	if (call->thread->object != OBJECT_SOCKET)
		return;
	if (call->thread->socket_kind == SOCKET_UNIX && !call->ret)
		socket_begin(socket_number(call->thread), inode_of(call), SOCKET_UNIX,
			     SOCKET_OUTGOING);
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

/*
 * Waits that another thread ended, or would have (the word had changed before: -EAGAIN), and
 * wake-ups that reached one.
 */
static __always_inline void leave_futex(const struct call *call)
{
	if (call->slot->sys_op == SYSCALL_WAIT ? call->ret && call->ret != -EAGAIN : call->ret <= 0)
		return;
	call->thread->object = OBJECT_SIGNAL;
	emit_call(call, NULL);
}

static __always_inline void leave_call(struct call *call)
{
	__u8 op = call->slot->sys_op;

	if (op_on_descriptor(op) || op_splices(op)) {
		if (op == SYSCALL_CLOSE)
			call->thread->file = NULL; /* it may be gone */
		if (call->thread->object == OBJECT_SOCKET && call->ret > 0 && !call_peeks(call))
			leave_socket(call);
		else if (call->thread->object == OBJECT_FILE)
			emit_call(call, NULL);
		else if (call->thread->object == OBJECT_SIGNAL && call->ret > 0)
			emit_call(call, NULL);
		else if (call->thread->object == OBJECT_UNSEEN && call->ret > 0)
			loss_count(LOSS_OBJECTS_UNSEEN);
		return;
	}
	call->thread->object = OBJECT_NONE;
	call->thread->file = NULL;
	if (op == SYSCALL_POLL || op == SYSCALL_SLEEP)
		emit_call(call, NULL);
	else if (op == SYSCALL_WAIT || op == SYSCALL_WAKE)
		leave_futex(call);
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
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *thread = thread_of(task);
	struct call call = { .thread = thread, .regs = regs, .ret = ret, .shown = ret };

	call.slot = thread ? slot_of(thread) : NULL;
	if (!call.slot)
		return 0;
	call.now = slot_now(call.slot);
	/* it was in the call before it was followed: its end is the first that is seen */
	if (!call.slot->sys)
		call_begin(task, thread, call.slot, regs, CALL_NUMBER(regs), call.now);
	call.slot->sequence++;
	account_charge(call.slot, call.now);
	call.slot->sequence++;
	/* while programs come and go nobody reads the ring, and half a turn is of no use */
	if (call.slot->sys_op == SYSCALL_URING)
		uring_catch_up();
	else if (call.slot->sys_op != SYSCALL_NONE && call.slot->sys_op != SYSCALL_OTHER &&
		 call.now >= resumed_ns)
		leave_call(&call);
	account_sys_exit(call.slot, call.now);
	return 0;
}
