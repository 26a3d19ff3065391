/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_DATAGRAM_BPF_H
#define GAIT_BPF_DATAGRAM_BPF_H

/* One datagram of a call: whose it is, when it came, what it begins with. */
#include "call.bpf.h"
#include "gait.bpf.h"

static __always_inline void map_v4(__u8 *ret_addr, __be32 v4)
{
	__builtin_memset(ret_addr, 0, 16);
	ret_addr[10] = ret_addr[11] = 0xff;
	__builtin_memcpy(ret_addr + 12, &v4, sizeof(v4));
}

static __always_inline void local_of(struct datagram *d, const struct sock *sk)
{
	d->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		map_v4(d->local_addr, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO(&d->local_addr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
}

/* Of a connected socket; else zeros. */
static __always_inline void remote_of_socket(struct datagram *d, const struct sock *sk)
{
	d->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		map_v4(d->remote_addr, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	else
		BPF_CORE_READ_INTO(&d->remote_addr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
}

/* struct sockaddr_in: family, port, address. sockaddr_in6: family, port, flow, address at 8. */
static __always_inline bool remote_of_name(struct datagram *d, __u64 name)
{
	__be16 head[2];
	__be32 v4;

	if (!name || bpf_probe_read_user(head, sizeof(head), (void *)name))
		return false;
	d->remote_port = bpf_ntohs(head[1]);
	if (head[0] == AF_INET && !bpf_probe_read_user(&v4, sizeof(v4), (void *)(name + 4))) {
		map_v4(d->remote_addr, v4);
		return true;
	}
	return head[0] == AF_INET6 && !bpf_probe_read_user(d->remote_addr, 16, (void *)(name + 8));
}

/* What the call says of the peer, at its return: by the msghdr, or by its fifth argument. */
static __always_inline __u64 name_of(__u8 op, __u64 message, __u64 fifth)
{
	__u64 name = 0;
	__u32 len = 0;

	if (op == SYSCALL_RECV || op == SYSCALL_SEND)
		return fifth;
	if (!op_has_message(op))
		return 0;
	bpf_probe_read_user(&name, sizeof(name), (void *)message);
	bpf_probe_read_user(&len, sizeof(len), (void *)(message + 8));
	return len ? name : 0;
}

static __always_inline void remote_of(struct datagram *d, const struct sock *sk, __u8 op,
				      __u64 message, __u64 fifth)
{
	if (!remote_of_name(d, name_of(op, message, fifth)))
		remote_of_socket(d, sk);
}

/* Its first bytes: of several pieces, of the first one. */
static __always_inline void first_bytes(struct datagram *d, __u8 op, __u64 message)
{
	__u64 base = message, length = d->bytes, vector = message;
	__u32 len = sizeof(d->first);

	if (op_has_message(op))
		bpf_probe_read_user(&vector, sizeof(vector), (void *)(message + 16));
	if (op_has_message(op) || op == SYSCALL_READV || op == SYSCALL_WRITEV) {
		bpf_probe_read_user(&base, sizeof(base), (void *)vector);
		bpf_probe_read_user(&length, sizeof(length), (void *)(vector + 8));
	}
	if (length > d->bytes)
		length = d->bytes;
	if (length < len)
		len = length;
	d->seen = bpf_probe_read_user(d->first, len, (void *)base) ? 0 : len;
}

static __always_inline struct stamps *stamps_of(const struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&datagram_stamps, &key);
}

/* The arrival of the datagram that has just been taken; 0: unknown. */
static __always_inline __u64 stamp_take(struct stamps *stamps)
{
	__u64 ns, at;

	if (!stamps || stamps->taken >= stamps->put)
		return 0;
	at = stamps->taken++;
	ns = stamps->ns[at & (STAMPS_MAX - 1)];
	return stamps->put - at > STAMPS_MAX || ns < resumed_ns ? 0 : ns;
}

/* An empty socket has none left: should they have come apart, here they meet again. */
static __always_inline void stamps_settle(struct stamps *stamps, bool unread)
{
	if (stamps && !unread)
		stamps->taken = stamps->put;
}

/* Not inlined: the verifier looks at it once, and not on each way that leads here. */
__noinline int datagram_look(struct datagram *d, __u64 sock, __u32 op, __u64 message, __u64 fifth)
{
	const struct sock *sk = (const struct sock *)sock;

	if (!d)
		return 0;
	local_of(d, sk);
	remote_of(d, sk, op, message, fifth);
	first_bytes(d, op, message);
	return 0;
}

static __always_inline void datagram_fill(struct datagram *d, const struct socket_state *socket,
					  __u64 sock, __u8 op, __u64 message, __u64 fifth,
					  __u32 bytes)
{
	d->socket_id = socket->socket_id;
	d->sent = !op_receives(op);
	d->bytes = bytes;
	d->pad = 0;
	datagram_look(d, sock, op, message, fifth);
}

/* Of a server each peer is a connection, so it is peers that are sampled. */
static __always_inline bool peer_is_unsampled(const struct socket_state *socket,
					      const struct datagram *d)
{
	__u32 tail;

	if (cfg_sample <= 1)
		return false;
	__builtin_memcpy(&tail, d->remote_addr + 12, sizeof(tail));
	return socket_is_unsampled((__u64)tail << 16 | d->remote_port, socket->flags);
}

#endif
