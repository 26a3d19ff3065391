/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_RECEIVE_BPF_H
#define GAIT_BPF_RECEIVE_BPF_H

#include "gait.bpf.h"

#define MSG_PEEK 2 /* a look at what has arrived: it is still there for whoever reads it */

struct receive {
	__u64 arrival_ns, latest_ns;
	__u64 next_ns; /* the first byte that is left came then; 0: at the latest with the latest */
	__u32 copied_seq;
	bool unread;  /* not of TCP */
	bool gap;     /* of TCP: what came is behind bytes that are missing */
	bool counted; /* state->counters are this thread's at arrival_ns */
};

/* Whether a socket that is not TCP has bytes nobody has taken. */
static __always_inline bool socket_unread(const struct socket_state *state, const struct sock *sk)
{
	if (BPF_CORE_READ(sk, sk_receive_queue.qlen))
		return true;
	return state->kind == SOCKET_UDP &&
	       BPF_CORE_READ((const struct udp_sock *)sk, reader_queue.qlen);
}

/* A thread has taken bytes from a socket: when had they arrived? */
static __always_inline void receive_look(const struct socket_state *state, const struct sock *sk,
					 __u32 slot, __u64 now, struct receive *ret)
{
	ret->arrival_ns = state->arrival_ns >= resumed_ns ? state->arrival_ns : 0;
	ret->latest_ns = state->latest_ns;
	ret->next_ns = 0;
	ret->copied_seq = 0;
	ret->unread = ret->gap = false;
	if (state->kind == SOCKET_TCP) {
		ret->copied_seq = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
		ret->gap = (__s32)(state->latest_seq - ret->copied_seq) > 0 &&
			   BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt) == ret->copied_seq;
	} else {
		ret->unread = socket_unread(state, sk);
	}
	ret->counted = state->counted && ret->arrival_ns && state->reader == slot + 1 &&
		       now - state->arrival_ns < COUNTED_WITHIN_NS;
}

/*
 * When the bytes of a receive came that ends before `copied`: how many pieces of it, behind the first, are
 * in `to`. *ret_next_ns: when the first byte that is left came; 0: with what the socket's stamps say.
 */
static __always_inline __u32 segments_take(struct socket_state *state, const struct sock *sk,
					   __u32 copied, struct rx_piece to[RX_PIECES_MAX],
					   __u64 *ret_next_ns)
{
	__u64 key = (__u64)sk;
	struct segments *s = bpf_map_lookup_elem(&segments, &key);
	const struct segment *segment;
	__u32 count = 0;

	*ret_next_ns = 0;
	if (!s)
		return 0;
	if (s->put - s->taken > RX_PIECES_MAX)
		s->taken = s->put - RX_PIECES_MAX;
	for (int i = 0; i < RX_PIECES_MAX && s->taken != s->put; i++) {
		segment = &s->at[s->taken & (RX_PIECES_MAX - 1)];
		if ((__s32)(copied - segment->seq) <= 0)
			break;
		*ret_next_ns = segment->ns;
		to[i].ns = segment->ns;
		to[i].bytes = copied - segment->seq;
		count = i + 1;
		s->taken++;
	}
	state->pieces = s->taken != s->put;
	segment = &s->at[s->taken & (RX_PIECES_MAX - 1)];
	if (state->pieces && segment->seq == copied)
		*ret_next_ns = segment->ns;
	return count;
}

/* Somebody has read who does not tell them apart. */
static __always_inline void segments_drop(struct socket_state *state, const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct segments *s = bpf_map_lookup_elem(&segments, &key);

	if (s)
		s->taken = s->put;
	state->pieces = 0;
}

/*
 * Done with the stamps. What is left unread, or came meanwhile, arrived at the
 * latest with the last segment, unless more is known. Returns whether there is any.
 */
static __always_inline bool receive_done(struct socket_state *state, const struct receive *got,
					 __u32 slot)
{
	bool unread;

	state->counted = 0;
	state->reader = slot + 1;
	state->arrival_ns = 0;
	unread = state->kind == SOCKET_TCP ?
			 !got->gap && (__s32)(state->latest_seq - got->copied_seq) > 0 :
			 got->unread;
	unread = unread && state->latest_ns;
	if (unread)
		state->arrival_ns = got->next_ns ? got->next_ns : state->latest_ns;
	return unread;
}

#endif
