/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The system calls of a captured service: its ops, with the thread's counters around them. */
#include "call.bpf.h"
#include "datagram.bpf.h"
#include "gait.bpf.h"
#include "receive.bpf.h"

#define EAGAIN 11

#define SOCK_STREAM 1
#define SOCK_SEQPACKET 5

/* What a call was about, gathered at its return. */
struct call {
	struct thread *thread;
	struct thread_slot *slot;
	struct pt_regs *regs;
	long ret;   /* on sockets: bytes */
	long shown; /* of them, how many lie where the first argument says */
	__u64 now;
};

/* Since 6.2: an address is of that type, so plain loads (of nothing bad: 0) do for helper calls. */
extern void *bpf_rdonly_cast(const void *address, __u32 btf_id) __ksym __weak;

#define LOADABLE(address, type) \
	((struct type *)bpf_rdonly_cast(address, bpf_core_type_id_kernel(struct type)))

/* At its own end of a connection whoever accepted it finds the address that he listened at. */
static __always_inline bool unix_is_named(const struct sock *sk)
{
	return sk && BPF_CORE_READ((const struct unix_sock *)sk, addr);
}

static __always_inline struct sock *unix_peer(const struct sock *sk)
{
	return BPF_CORE_READ((const struct unix_sock *)sk, peer);
}

/*
 * Neither end of a pair has a name; a connection has one, and that is where it was accepted.
 * SOCKET_TCP: neither. As the others that are not inlined: the verifier looks at it once.
 */
__noinline int unix_kind(__u64 sock)
{
	const struct sock *sk = (const struct sock *)sock;
	__u16 type = BPF_CORE_READ(sk, sk_type);

	if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
		return SOCKET_TCP;
	return unix_is_named(sk) || unix_is_named(unix_peer(sk)) ? SOCKET_UNIX : SOCKET_PAIR;
}

static __always_inline void object_look_other(struct thread *thread, struct sock *sk, __u8 kind)
{
	thread->object = kind == SOCKET_TCP  ? OBJECT_UNSEEN :
			 kind == SOCKET_PAIR ? OBJECT_SIGNAL :
					       OBJECT_SOCKET;
	thread->socket_kind = kind;
	thread->sk = sk;
}

/* Read back as a number: functions that are not inlined take no pointer that is not trusted. */
static __always_inline __u64 socket_number(const struct thread *thread)
{
	return *(const volatile __u64 *)&thread->sk;
}

static __always_inline void object_look_socket(struct thread *thread, struct sock *sk, __u16 family,
					       __u16 protocol)
{
	if ((family == AF_INET || family == AF_INET6) && protocol == IPPROTO_TCP_) {
		thread->object = OBJECT_SOCKET;
		thread->socket_kind = SOCKET_TCP;
		thread->sk = sk;
	} else if (family == AF_UNIX && bpf_core_type_exists(struct unix_sock)) {
		thread->sk = sk;
		object_look_other(thread, sk, unix_kind(socket_number(thread)));
	} else if ((family == AF_INET || family == AF_INET6) && protocol == IPPROTO_UDP_) {
		object_look_other(thread, sk, SOCKET_UDP);
	} else {
		thread->object = OBJECT_UNSEEN;
	}
}

static __always_inline void object_look_probing(struct thread *thread, struct file *file)
{
	__u16 type = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;

	if (type == S_IFREG || type == S_IFBLK) {
		thread->object = OBJECT_FILE;
	} else if (type == S_IFSOCK) {
		struct socket *socket = BPF_CORE_READ(file, private_data);
		struct sock *sk = BPF_CORE_READ(socket, sk);

		object_look_socket(thread, sk, BPF_CORE_READ(sk, __sk_common.skc_family),
				   BPF_CORE_READ(sk, sk_protocol));
	} else {
		thread->object = type == S_IFIFO || type == S_ANONYMOUS ? OBJECT_SIGNAL :
									  OBJECT_OTHER;
	}
}

static __always_inline void object_look_loading(struct thread *thread, struct file *address)
{
	struct file *file = LOADABLE(address, file);
	__u16 type = file->f_inode->i_mode & S_IFMT;

	if (type == S_IFREG || type == S_IFBLK) {
		thread->object = OBJECT_FILE;
	} else if (type == S_IFSOCK) {
		struct sock *sk = LOADABLE(file->private_data, socket)->sk;

		object_look_socket(thread, sk, sk->__sk_common.skc_family, sk->sk_protocol);
	} else {
		thread->object = type == S_IFIFO || type == S_ANONYMOUS ? OBJECT_SIGNAL :
									  OBJECT_OTHER;
	}
}

/* Finds out what a descriptor is: a socket, a file with contents, a signal, something else. */
static __always_inline void object_look(struct thread *thread, __u64 fd)
{
	struct file *file = file_of(fd);

	thread->object = OBJECT_NONE;
	thread->file = file;
	thread->sk = NULL;
	thread->socket_kind = SOCKET_TCP;
	if (!file)
		return;
	if (bpf_rdonly_cast)
		object_look_loading(thread, file);
	else
		object_look_probing(thread, file);
}

/* What a futex call is for: linux/futex.h, without its flags. */
static __always_inline __u8 futex_op(__u32 command)
{
	switch (command & 0x7f) {
	case 0: /* FUTEX_WAIT */
	case 9: /* FUTEX_WAIT_BITSET */
		return SYSCALL_WAIT;
	case 1:	 /* FUTEX_WAKE */
	case 3:	 /* FUTEX_REQUEUE */
	case 4:	 /* FUTEX_CMP_REQUEUE */
	case 5:	 /* FUTEX_WAKE_OP */
	case 10: /* FUTEX_WAKE_BITSET */
		return SYSCALL_WAKE;
	default:
		return SYSCALL_OTHER;
	}
}

/* Ops whose first argument is a descriptor that may be a file or a socket. */
static __always_inline bool op_moves_bytes(__u8 op)
{
	return op >= SYSCALL_READ && op <= SYSCALL_SENDFILE;
}

static __always_inline bool op_on_descriptor(__u8 op)
{
	return op_moves_bytes(op) || op == SYSCALL_SYNC || op == SYSCALL_DATASYNC ||
	       op == SYSCALL_CLOSE;
}

static __always_inline bool op_splices(__u8 op)
{
	return op == SYSCALL_SPLICE_IN || op == SYSCALL_SPLICE_OUT;
}

/* A splice has a pipe at one end; the other end is what it is about. Both pipes: nothing is. */
static __always_inline __u8 object_look_splice(struct thread *thread, struct pt_regs *regs)
{
	object_look(thread, ARG1(regs));
	if (thread->object != OBJECT_SIGNAL)
		return SYSCALL_SPLICE_IN;
	object_look(thread, ARG3(regs));
	if (thread->object == OBJECT_SIGNAL)
		thread->object = OBJECT_OTHER;
	return SYSCALL_SPLICE_OUT;
}

/* An offset that is said by a pointer has been moved on by what the call moved. */
static __always_inline void fill_splice(struct event_call *e, const struct call *call)
{
	__u64 pointer = e->op == SYSCALL_SPLICE_IN ? ARG2(call->regs) : ARG4(call->regs);
	__s64 offset;

	if (pointer && !bpf_probe_read_user(&offset, sizeof(offset), (void *)pointer))
		e->offset = offset - call->ret;
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
	else if ((op_moves_bytes(op) || op_splices(op)) && call->ret >= 0)
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

/*
 * Identity of what threads signal each other by: of a pipe its inode, of a pair of sockets the end
 * that is read, else the kernel's object.
 */
static __always_inline void fill_signal(struct event_call *e, const struct call *call)
{
	struct file *file = call->thread->file;

	if (e->op == SYSCALL_WAIT || e->op == SYSCALL_WAKE)
		e->inode = ARG1(call->regs);
	else if (call->thread->socket_kind == SOCKET_PAIR && call->thread->sk)
		e->inode = (__u64)(op_receives(e->op) ? call->thread->sk :
							unix_peer(call->thread->sk));
	else if (file && (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFIFO)
		e->inode = BPF_CORE_READ(file, f_inode, i_ino);
	else if (file)
		e->inode = (__u64)BPF_CORE_READ(file, private_data);
}

static __always_inline void fill_plain_call(struct event_call *e, const struct call *call,
					    enum event_kind kind, struct socket_state *socket)
{
	struct thread *thread = call->thread;

	event_head(&e->head, kind, call->slot, thread->slot, call->now);
	call->thread->others = 0;
	e->enter_ns = call->slot->mark_ns;
	e->socket_id = socket ? socket->socket_id : 0;
	e->tx_ns = socket ? socket->tx_ns : 0;
	e->inode = e->generation = e->file_bytes = 0;
	e->device = e->magic = e->file_flags = 0;
	e->offset = -1;
	e->ret = call->ret;
	e->syscall_nr = CALL_NUMBER(call->regs);
	e->op = call->slot->sys_op;
	e->object = thread->object;
	e->tls = in_tls(thread) ? thread->tls_op : TLS_NONE;
	e->more = 0;
	e->submit_ns = e->done_ns = 0;
}

static __always_inline void fill_call(struct event_call *e, const struct call *call,
				      enum event_kind kind, struct socket_state *socket)
{
	struct thread *thread = call->thread;

	fill_plain_call(e, call, kind, socket);
	if (thread->object == OBJECT_SIGNAL)
		fill_signal(e, call);
	else if (e->op == SYSCALL_SENDFILE)
		fill_sendfile(e, call);
	else if (thread->object == OBJECT_FILE && thread->file)
		fill_file(e, call, thread->file);
	if (thread->object == OBJECT_FILE && op_splices(e->op))
		fill_splice(e, call);
	counters_tell(call->slot, e);
}

/* An event was lost: the next brings the counters whole. */
static __always_inline void call_lost(const struct call *call)
{
	loss_count(LOSS_RING_FULL);
	call->slot->unsaid = ~0u;
}

/*
 * Whether the short record holds all there is to tell: no file, no ciphertext, and no counter out
 * of the way.
 */
static __always_inline bool call_is_brief(const struct call *call)
{
	__u8 op = call->slot->sys_op;

	return (call->thread->object == OBJECT_SOCKET || call->thread->object == OBJECT_UNSAMPLED ||
		op == SYSCALL_POLL) &&
	       op != SYSCALL_SENDFILE && !in_tls(call->thread) && account_is_brief(call->slot);
}

static __always_inline void fill_brief(struct event_brief *e, const struct call *call,
				       enum event_kind kind, const struct socket_state *socket)
{
	event_head(&e->head, kind, call->slot, call->thread->slot, call->slot->last_ns);
	call->thread->others = 0;
	e->enter_ns = call->slot->mark_ns;
	e->socket_id = socket ? socket->socket_id : 0;
	e->tx_ns = socket ? socket->tx_ns : 0;
	e->ret = call->ret;
	e->syscall_nr = CALL_NUMBER(call->regs);
	e->op = call->slot->sys_op;
	e->object = call->thread->object;
	e->state = call->slot->sys - 1;
}

static __always_inline void emit_brief_call(const struct call *call, struct socket_state *socket)
{
	struct event_brief *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		call_lost(call);
		return;
	}
	fill_brief(e, call, EVENT_BRIEF_CALL, socket);
	account_told(call->slot, account_own(call->slot));
	bpf_ringbuf_submit(e, ring_flags());
}

static __always_inline void emit_whole_call(const struct call *call, struct socket_state *socket)
{
	struct event_call *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 moved = call->slot->moved;

	if (!e) {
		call_lost(call);
		return;
	}
	fill_call(e, call, EVENT_CALL, socket);
	account_told(call->slot, moved);
	bpf_ringbuf_submit(e, ring_flags());
}

static __always_inline void emit_call(const struct call *call, struct socket_state *socket)
{
	if (call_is_brief(call))
		emit_brief_call(call, socket);
	else
		emit_whole_call(call, socket);
}

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
 * Several pieces take a loop of reads: a function of its own for each room, which the verifier
 * looks at once instead of in each place that tells of bytes (before 6.6 that is beyond it).
 */
#define COPY_PIECES(room)                                                                    \
	struct room_##room {                                                                 \
		__u8 bytes[EVENT_BYTES_##room];                                              \
	};                                                                                   \
	__noinline int copy_pieces_##room(struct room_##room *to, __u64 iovec, __u64 iovecs, \
					  __u64 bytes)                                       \
	{                                                                                    \
		struct user_bytes from = { .iovec = iovec, .iovecs = iovecs };               \
                                                                                             \
		return to ? copy_pieces(to->bytes, &from, bytes, sizeof(*to) / 2 - 1) : 0;   \
	}

COPY_PIECES(SMALL)
COPY_PIECES(MIDDLE)
COPY_PIECES(LARGE)

static __always_inline __u32 copy_bytes(__u8 *to, const struct call *call, __u32 room)
{
	struct user_bytes from;

	user_bytes_look(call->regs, call->slot->sys_op, &from);
	if (from.iovecs <= 1)
		return copy_flat(to, from.base, call->shown, room);
	if (room == EVENT_BYTES_SMALL)
		return copy_pieces_SMALL((void *)to, from.iovec, from.iovecs, call->shown);
	if (room == EVENT_BYTES_MIDDLE)
		return copy_pieces_MIDDLE((void *)to, from.iovec, from.iovecs, call->shown);
	return copy_pieces_LARGE((void *)to, from.iovec, from.iovecs, call->shown);
}

/* With room for so many bytes. */
#define EMIT_SEND(room)                                                                      \
	do {                                                                                 \
		struct event_send *e = bpf_ringbuf_reserve(&events, sizeof(*e) + (room), 0); \
		__u32 moved = call->slot->moved;                                             \
                                                                                             \
		if (!e) {                                                                    \
			call_lost(call);                                                     \
			return;                                                              \
		}                                                                            \
		fill_call(&e->call, call, EVENT_SEND, socket);                               \
		account_told(call->slot, moved);                                             \
		e->seen = copy_bytes(e->bytes, call, room);                                  \
		e->pad = 0;                                                                  \
		bpf_ringbuf_submit(e, ring_flags());                                         \
	} while (0)

static __always_inline void emit_send(const struct call *call, struct socket_state *socket)
{
	if (call->ret <= EVENT_BYTES_SMALL || socket->flags & SOCKET_OUTGOING)
		EMIT_SEND(EVENT_BYTES_SMALL);
	else if (call->ret <= EVENT_BYTES_MIDDLE / 2) /* several pieces need twice the room */
		EMIT_SEND(EVENT_BYTES_MIDDLE);
	else
		EMIT_SEND(EVENT_BYTES_LARGE);
}

static __always_inline void fill_round_trips(const struct call *call, __u32 *srtt_us,
					     __u32 *min_rtt_us)
{
	*srtt_us = *min_rtt_us = 0;
	if (call->thread->socket_kind == SOCKET_TCP)
		round_trips(call->thread->sk, srtt_us, min_rtt_us);
}

static __always_inline void fill_brief_receive(struct event_brief_receive *e,
					       const struct call *call, struct socket_state *socket,
					       const struct receive *got)
{
	fill_brief(&e->call, call, EVENT_BRIEF_RECEIVE, socket);
	account_told(call->slot, account_own(call->slot));
	e->arrival_ns = got->arrival_ns;
	e->latest_ns = got->latest_ns;
	e->counted = got->counted;
	if (got->counted)
		for (int i = 0; i < TS_COUNT; i++)
			e->arrival_low[i] = socket->counters[i];
	fill_round_trips(call, &e->srtt_us, &e->min_rtt_us);
	e->unread = receive_done(socket, got, call->thread->slot);
	e->pad = 0;
}

static __always_inline void fill_whole_receive(struct event_receive *e, const struct call *call,
					       struct socket_state *socket,
					       const struct receive *got)
{
	__u32 moved = call->slot->moved;

	fill_call(&e->call, call, EVENT_RECEIVE, socket);
	account_told(call->slot, moved);
	e->arrival_ns = got->arrival_ns;
	e->latest_ns = got->latest_ns;
	e->counted = got->counted;
	for (int i = 0; i < TS_COUNT; i++)
		e->arrival[i] = COUNTER_THEN(e->call.exit[i], socket->counters[i]);
	fill_round_trips(call, &e->srtt_us, &e->min_rtt_us);
	e->unread = receive_done(socket, got, call->thread->slot);
}

/* With room for so many bytes; a record that is lost still takes the stamps. */
#define EMIT_RECEIVE(record, fill, room)                                                 \
	do {                                                                             \
		struct record *e = bpf_ringbuf_reserve(&events, sizeof(*e) + (room), 0); \
                                                                                         \
		if (!e) {                                                                \
			call_lost(call);                                                 \
			receive_done(socket, &got, call->thread->slot);                  \
			return;                                                          \
		}                                                                        \
		fill(e, call, socket, &got);                                             \
		e->seen = copy_bytes(e->bytes, call, room);                              \
		bpf_ringbuf_submit(e, ring_flags());                                     \
	} while (0)

#define EMIT_BRIEF_RECEIVE(room) EMIT_RECEIVE(event_brief_receive, fill_brief_receive, room)
#define EMIT_WHOLE_RECEIVE(room) EMIT_RECEIVE(event_receive, fill_whole_receive, room)

/* Before the receive that they are of. Returns when the first byte that is left came, if that is known. */
__noinline __u64 emit_pieces(__u32 index, __u64 sock, __u32 copied)
{
	const struct sock *sk = (const struct sock *)sock;
	struct thread_slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct socket_state *socket = socket_find(sk);
	struct event_pieces *e;
	__u64 next_ns;

	if (!slot || !socket)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) { /* the receive has the first arrival for all of it */
		segments_drop(socket, sk);
		return 0;
	}
	event_head(&e->head, EVENT_PIECES, slot, index, bpf_ktime_get_ns());
	e->socket_id = socket->socket_id;
	e->count = segments_take(socket, sk, copied, e->at, &next_ns);
	bpf_ringbuf_submit(e, ring_flags());
	return next_ns;
}

static __always_inline void emit_receive(const struct call *call, struct socket_state *socket,
					 bool wanted)
{
	bool brief = call_is_brief(call);
	struct receive got;

	receive_look(socket, call->thread->sk, call->thread->slot, call->now, &got);
	if (socket->pieces)
		got.next_ns =
			emit_pieces(call->thread->slot, (__u64)call->thread->sk, got.copied_seq);
	if (brief && call->ret <= EVENT_BYTES_SMALL)
		EMIT_BRIEF_RECEIVE(EVENT_BYTES_SMALL);
	else if (brief && call->ret <= EVENT_BYTES_MIDDLE)
		EMIT_BRIEF_RECEIVE(EVENT_BYTES_MIDDLE);
	else if (call->ret <= EVENT_BYTES_SMALL)
		EMIT_WHOLE_RECEIVE(EVENT_BYTES_SMALL);
	else if (call->ret <= EVENT_BYTES_MIDDLE || !wanted)
		EMIT_WHOLE_RECEIVE(EVENT_BYTES_MIDDLE);
	else
		EMIT_WHOLE_RECEIVE(EVENT_BYTES_LARGE);
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
