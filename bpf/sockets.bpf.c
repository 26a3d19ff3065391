/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections: when their bytes arrive in the kernel, when they leave it, and for
 * our own threads which stamps belong to the call they are in.
 */
#include "gait.bpf.h"
#include "receive.bpf.h"

#define TCP_PURE_ACK 2 /* the size that marks one: skb_is_tcp_pure_ack() of include/net/tcp.h */

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_LISTEN 10

__noinline int socket_add(const __u64 *sock, __u64 inode, __u32 kind, __u32 flags)
{
	struct socket_state fresh = {};
	__u64 key;

	if (!sock)
		return 0;
	key = *sock; /* before 6.2 the key of a map must lie on the stack */
	fresh.kind = kind;
	fresh.inode = inode;
	fresh.socket_id = __sync_fetch_and_add(&sockets_seen, 1) + 1;
	fresh.flags = flags;
	fresh.unsampled = kind != SOCKET_UDP && socket_is_unsampled(fresh.socket_id, flags);
	if (fresh.unsampled)
		__sync_fetch_and_add(&sockets_unsampled, 1);
	if (bpf_map_update_elem(&sockets, &key, &fresh, BPF_ANY))
		loss_count(LOSS_SOCKETS_OVER);
	return 0;
}

static __always_inline void fill_ends(struct event_socket *e, const struct sock *sk)
{
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	e->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	e->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (e->family == AF_INET) {
		BPF_CORE_READ_INTO((__be32 *)e->local_addr, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__be32 *)e->remote_addr, sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO(&e->local_addr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&e->remote_addr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	round_trips(sk, &e->srtt_us, &e->min_rtt_us);
}

static __always_inline void fill_socket(struct event_socket *e, enum event_kind kind,
					const struct socket_state *state, const struct sock *sk)
{
	event_head(&e->head, kind, NULL, 0, bpf_ktime_get_ns());
	e->socket_id = state->socket_id;
	e->flags = state->flags;
	__builtin_memset(e->local_addr, 0, sizeof(e->local_addr));
	__builtin_memset(e->remote_addr, 0, sizeof(e->remote_addr));
	e->srtt_us = e->min_rtt_us = 0;
	if (is_tcp_state(state)) {
		fill_ends(e, sk);
		return;
	}
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	e->local_port = e->remote_port = 0;
}

__noinline int socket_tell(const __u64 *sock, __u32 event_kind)
{
	const struct sock *sk = sock ? (const struct sock *)*sock : NULL;
	struct socket_state *state = socket_find(sk);
	struct event_socket *e;

	if (!state)
		return 0;
	state->announced = 1;
	if (is_tcp_state(state))
		followed_ports[BPF_CORE_READ(sk, __sk_common.skc_num)] |= FOLLOWED_TCP;
	else
		stamps_wanted = 1;
	if (state->unsampled)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		loss_count(LOSS_RING_FULL);
		return 0;
	}
	fill_socket(e, event_kind, state, sk);
	bpf_ringbuf_submit(e, ring_flags());
	return 0;
}

static __always_inline void socket_open(const struct sock *sk, int old_state)
{
	struct socket_state *state = socket_find(sk);

	if (state && state->kind != SOCKET_TCP) { /* of one that was here before, and is gone */
		socket_close(sk);
		state = NULL;
	}
	if (old_state == TCP_SYN_RECV && !state &&
	    followed_ports[sk->__sk_common.skc_num] & FOLLOWED_TCP)
		state = socket_create(sk, SOCKET_TCP, 0, 0);
	if (state && !state->announced)
		socket_announce(sk, EVENT_SOCKET);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, const struct sock *sk, int old_state, int new_state)
{
	if (sk->sk_protocol != IPPROTO_TCP_)
		return 0;
	if (new_state == TCP_SYN_SENT && thread_of(bpf_get_current_task_btf())) {
		socket_close(sk); /* it may have been connected before */
		socket_create(sk, SOCKET_TCP, 0, SOCKET_OUTGOING);
	} else if (new_state == TCP_ESTABLISHED) {
		socket_open(sk, old_state);
	} else if (new_state == TCP_LISTEN && thread_of(bpf_get_current_task_btf())) {
		followed_ports[sk->__sk_common.skc_num] |= FOLLOWED_TCP;
	}
	return 0;
}

/*
 * Not at TCP_CLOSE: when the peer resets a connection its bytes can still be read, and over
 * loopback the reset comes back within the very call that sends a reply.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_socket_destroy, const struct sock *sk)
{
	socket_close(sk);
	return 0;
}

/* An interrupt may destroy another one meanwhile; a program does not run where it interrupts itself, this one does. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_socket_destroy_again, const struct sock *sk)
{
	socket_close(sk);
	return 0;
}

/* The counters that the reading thread had when the first unread byte arrived. */
static __always_inline void stamp_reader(struct socket_state *state, __u64 now)
{
	__u32 index = state->reader - 1;
	struct thread_slot *slot;

	state->counted = 0;
	if (!state->reader)
		return;
	slot = bpf_map_lookup_elem(&slots, &index);
	if (slot)
		state->counted = account_peek(slot, now, state->counters);
}

static const struct segments no_segments; /* the stack has no room for one */

/* A segment that has come, all before it are here, and some of them nobody has read. */
static __always_inline void segment_waits(struct socket_state *state, const struct sock *sk,
					  __u32 seq, __u64 now)
{
	__u64 key = (__u64)sk;
	struct segments *s = bpf_map_lookup_elem(&segments, &key);
	struct segment *segment;

	if (!s) {
		bpf_map_update_elem(&segments, &key, &no_segments, BPF_ANY);
		s = bpf_map_lookup_elem(&segments, &key);
	}
	if (!s)
		return;
	segment = &s->at[s->put++ & (RX_PIECES_MAX - 1)];
	segment->ns = now;
	segment->seq = seq;
	state->pieces = 1;
}

/*
 * Fires for each segment that comes in on an established connection, before it is queued. One that
 * others have to come before can be read when they are here: the segment that fills the gap is its arrival.
 */
SEC("tp_btf/tcp_probe")
int BPF_PROG(on_segment, struct sock *sk, struct sk_buff *skb)
{
	struct socket_state *state;
	struct tcp_skb_cb cb;
	__u32 next;
	__u64 now;

	if (!(followed_ports[sk->__sk_common.skc_num] & FOLLOWED_TCP))
		return 0;
	state = socket_find(sk);
	if (!state || state->unsampled || bpf_probe_read_kernel(&cb, sizeof(cb), skb->cb) ||
	    cb.seq == cb.end_seq)
		return 0;
	next = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	if ((__s32)(cb.end_seq - next) <= 0)
		return 0; /* sent again though it was here */
	now = bpf_ktime_get_ns();
	/* of a pause nothing is known: bytes that came meanwhile are counted by those after them */
	if (state->latest_ns <= resumed_ns || (__s32)(cb.end_seq - state->latest_seq) > 0)
		state->latest_seq = cb.end_seq;
	state->latest_ns = now;
	if ((__s32)(cb.seq - next) > 0)
		return 0;
	if (state->arrival_ns) {
		if (!cfg_requests_only)
			segment_waits(state, sk, next, now);
		return 0;
	}
	state->arrival_ns = now;
	if (!cfg_requests_only)
		stamp_reader(state, now);
	return 0;
}

static __always_inline void stamp_datagram(const struct sock *sk, __u64 now)
{
	__u64 key = (__u64)sk;
	struct stamps *stamps = bpf_map_lookup_elem(&datagram_stamps, &key);

	if (stamps)
		stamps->ns[__sync_fetch_and_add(&stamps->put, 1) & (STAMPS_MAX - 1)] = now;
}

/*
 * Bytes have been queued on a socket: all that tells of those without segments. When they are
 * gone already whoever took them had no stamp, and the next must not have this one.
 */
static __always_inline int data_ready(const struct sock *sk)
{
	struct socket_state *state = socket_find(sk);

	if (!state || state->unsampled || state->kind == SOCKET_TCP || !socket_unread(state, sk))
		return 0;
	state->latest_ns = bpf_ktime_get_ns();
	if (state->kind == SOCKET_UDP)
		stamp_datagram(sk, state->latest_ns);
	if (state->arrival_ns)
		return 0;
	state->arrival_ns = state->latest_ns;
	stamp_reader(state, state->latest_ns);
	return 0;
}

SEC("?tp_btf/sk_data_ready")
int BPF_PROG(on_data_ready, const struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_TCP_ ? 0 : data_ready(sk);
}

/* Before 6.3 */
SEC("?fentry/sock_def_readable")
int BPF_PROG(on_data_readable, const struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_TCP_ ? 0 : data_ready(sk);
}

SEC("?kprobe/sock_def_readable")
int BPF_KPROBE(on_data_readable_probe, const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_ ? 0 : data_ready(sk);
}

static __always_inline bool is_followed(const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;

	return sk && followed_ports[sk->__sk_common.skc_num] && skb->truesize != TCP_PURE_ACK;
}

/* Loopback and the like have no queueing discipline (noqueue) unless they are given one. */
static __always_inline bool goes_at_once(const struct sk_buff *skb)
{
	const struct net_device *dev = skb->dev;

	return dev->num_tx_queues == 1 && !dev->_tx->qdisc->enqueue;
}

SEC("tp_btf/net_dev_queue")
int BPF_PROG(on_transmit, struct sk_buff *skb)
{
	struct socket_state *state;
	struct thread_slot *slot;

	if (!is_followed(skb))
		return 0;
	state = socket_find(skb->sk);
	if (!state || state->unsampled)
		return 0;
	state->tx_ns = bpf_ktime_get_ns();
	if (!goes_at_once(skb))
		return 0;
	state->left_ns = state->tx_ns;
	slot = cfg_logs ? slot_of_current() : NULL;
	if (slot)
		account_sending(slot);
	return 0;
}

/* Of runs: between the device queue and this lies the queueing discipline. */
SEC("?tp_btf/net_dev_start_xmit")
int BPF_PROG(on_leave, struct sk_buff *skb)
{
	struct socket_state *state;

	if (!is_followed(skb) || goes_at_once(skb))
		return 0;
	state = socket_find(skb->sk);
	if (state)
		state->left_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("?tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, const struct sock *sk)
{
	struct socket_state *state;

	if (!followed_ports[sk->__sk_common.skc_num])
		return 0;
	state = socket_find(sk);
	if (state)
		state->again_ns = bpf_ktime_get_ns();
	return 0;
}

/* Our own threads: a run has no system call hooks, the thread finds the stamps in its slot. */
static __always_inline int own_receive(struct sock *sk, int ret, int flags)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	struct socket_state *state;
	struct receive got;

	if (slot && slot->off_cpu)
		came_back(slot);
	if (slot)
		account_sent(slot);
	if (!slot || ret <= 0)
		return 0;
	state = socket_find(sk);
	if (!state)
		return 0;
	/* the thread itself looks how long ago that was */
	receive_look(state, sk, thread->slot, state->arrival_ns, &got);
	slot->rx_arrival_ns = got.arrival_ns;
	slot->rx_latest_ns = got.latest_ns;
	slot->rx_left_ns = state->left_ns;
	slot->rx_again_ns = state->again_ns;
	slot->rx_counted = got.counted ? got.arrival_ns : 0;
	if (got.counted)
		__builtin_memcpy(slot->rx_low, state->counters, sizeof(state->counters));
	slot->rx_pieces_count = 0;
	if (state->pieces) {
		__u32 count =
			segments_take(state, sk, got.copied_seq, slot->rx_pieces, &got.next_ns);

		slot->rx_pieces_count = count;
		slot->rx_latest_ns = count ? slot->rx_pieces[(count - 1) & (RX_PIECES_MAX - 1)].ns :
					     slot->rx_arrival_ns;
	}
	slot->rx_sequence++;
	receive_done(state, &got, thread->slot);
	return 0;
}

ON_RECEIVED(on_own_receive, own_receive)

static __always_inline int own_send(struct sock *sk, int ret)
{
	struct thread_slot *slot = slot_of_current();
	struct socket_state *state;

	if (slot)
		account_sent(slot);
	if (!slot || ret <= 0)
		return 0;
	state = socket_find(sk);
	if (!state)
		return 0;
	slot->tx_ns = state->tx_ns;
	slot->tx_sequence++;
	return 0;
}

ON_SENT(on_own_send, own_send)
