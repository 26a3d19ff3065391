/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_TELL_BPF_H
#define GAIT_BPF_TELL_BPF_H

/* The events of a system call at its return: what it did, and the bytes that it moved. */
#include "object.bpf.h"
#include "receive.bpf.h"

/* What a call was about, gathered at its return. */
struct call {
	struct thread *thread;
	struct thread_slot *slot;
	struct pt_regs *regs;
	long ret;   /* on sockets: bytes */
	long shown; /* of them, how many lie where the first argument says */
	__u64 now;
};

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

#endif
