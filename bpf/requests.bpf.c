/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests and their sizes alone (gait capture --detail requests): no system call is traced, so
 * who moves no bytes on a socket pays nothing, and no time is told apart.
 */
#include "call.bpf.h"
#include "gait.bpf.h"
#include "receive.bpf.h"

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) &&
	       BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_;
}

/* The first bytes of a turn, out of the buffer of the call that the thread is in. */
static __always_inline __u8 look_head(struct task_struct *task, __u64 bytes, __u8 *ret_first)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	__u64 nr = CALL_NUMBER(regs);
	struct user_bytes from;
	__u8 op;

	if (nr >= SYSCALLS_MAX || IS_COMPAT(task))
		return 0;
	op = cfg_syscalls[nr].op;
	if (bytes > EVENT_BYTES_HEAD)
		bytes = EVENT_BYTES_HEAD;
	if (!op_receives(op))
		return 0;
	user_bytes_look(regs, op, &from);
	return bpf_probe_read_user(ret_first, bytes, (void *)from.base) ? 0 : bytes;
}

static __always_inline struct event_bytes *bytes_begin(const struct thread *thread,
						       const struct socket_state *socket,
						       enum event_kind kind, int bytes, __u64 now)
{
	struct event_bytes *e;

	if (now < resumed_ns)
		return NULL; /* not all programs are attached (again): half of a turn would be seen */
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		loss_count(LOSS_RING_FULL);
		return NULL;
	}
	event_head(&e->head, kind, slot_of(thread), thread->slot, now);
	e->socket_id = socket->socket_id;
	e->bytes = bytes;
	e->head_bytes = 0;
	e->unread = 0;
	e->pad = 0;
	return e;
}

static __always_inline int bytes_in(struct sock *sk, int ret, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *thread = thread_of(task);
	struct socket_state *socket;
	struct event_bytes *e;
	struct receive got;
	bool unread;

	if (!thread || ret <= 0 || flags & MSG_PEEK || !is_tcp(sk))
		return 0;
	socket = socket_meet(sk);
	if (!socket || socket->unsampled)
		return 0;
	receive_look(socket, sk, thread->slot, 0, &got);
	unread = receive_done(socket, &got, thread->slot);
	e = bytes_begin(thread, socket, EVENT_BYTES_IN, ret, bpf_ktime_get_ns());
	if (e) {
		e->stamp_ns = got.arrival_ns;
		e->unread = unread;
		if (!socket->in)
			e->head_bytes = look_head(task, ret, e->first);
		bpf_ringbuf_submit(e, ring_flags());
	}
	socket->in = 1;
	socket->tx_ns = 0;
	return 0;
}

ON_RECEIVED(on_bytes_in, bytes_in)

static __always_inline int bytes_out(struct sock *sk, int ret)
{
	__u64 tx_ns;
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct socket_state *socket;
	struct event_bytes *e;

	if (!thread || ret <= 0 || !is_tcp(sk))
		return 0;
	socket = socket_meet(sk);
	if (!socket || socket->unsampled)
		return 0;
	/* bytes that went out within the call: their stamp does, and is one clock less */
	tx_ns = socket->tx_ns >= resumed_ns ? socket->tx_ns : 0;
	e = bytes_begin(thread, socket, EVENT_BYTES_OUT, ret, tx_ns ? tx_ns : bpf_ktime_get_ns());
	if (e) {
		e->stamp_ns = tx_ns;
		bpf_ringbuf_submit(e, ring_flags());
	}
	socket->in = 0;
	socket->tx_ns = 0;
	return 0;
}

ON_SENT(on_bytes_out, bytes_out)

/* What a price is per: it must be counted the same way with all other programs and without. */
static __always_inline int send_counted(struct sock *sk, int ret)
{
	if (ret > 0 && thread_of(bpf_get_current_task_btf()) &&
	    BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_)
		__sync_fetch_and_add(&sends, 1);
	return 0;
}

ON_SENT(on_send_counted, send_counted)
