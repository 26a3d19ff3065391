/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_GAIT_BPF_H
#define GAIT_BPF_GAIT_BPF_H

/* Maps, knobs and helpers that the BPF programs share. Linked into one object. */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "account.h"
#include "event.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP_ 6
#define IPPROTO_UDP_ 17
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define PF_IO_WORKER 0x10     /* include/linux/sched.h: a thread of io_uring */

#define THREADS_MAX 4096
#define SOCKETS_MAX 65536
#define TARGETS_MAX 1024

/* A connection under a TLS library. */
struct tls_socket {
	__u64 socket_id;   /* 0: no ciphertext has moved */
	__u32 unwanted_at; /* index into unwanted_bytes: its local port; 0: no bytes are wanted */
	__u32 unsampled;
};

/* The function of a TLS library that a thread is in. */
struct tls_call {
	__u64 ssl; /* the library's object: what it calls a connection */
	__u64 sp;
	__u64 buffer;
	__u64 moved; /* where it will say how much it has moved; 0: it returns that */
	struct tls_socket socket;
	__u64 enter_ns;
	__u64 enter[TS_COUNT]; /* the thread's counters then */
};

enum socket_kind {
	SOCKET_TCP,
	SOCKET_UNIX, /* a stream, or packets in order */
	SOCKET_PAIR, /* of socketpair(): threads signal each other by it */
	SOCKET_UDP,
};

/* What gait keeps of a thread beside its slot. */
struct thread {
	__u32 slot;
	__u32 object;	   /* enum object_kind of the call it is in */
	struct file *file; /* of that call */
	struct sock *sk;
	__u8 others;	  /* its last event said that it is with unsampled connections */
	__u8 socket_kind; /* enum socket_kind, of sk */
	__u16 pad;
	/* where only kprobes tell: what a function was called with, up to its return */
	struct sock *called; /* NULL: it is in none */
	__u64 called_since;  /* resumed_ns then: what began before a pause has no return */
	__u32 called_flags;
	__u32 pad_called;
	__u64 tls_op; /* enum tls_op; not TLS_NONE: `tls` is filled */
	struct tls_call tls;
};

struct socket_state {
	__u64 socket_id;
	__u64 arrival_ns; /* of the first byte nobody has read; 0: all are read */
	__u64 latest_ns;
	__u64 tx_ns;
	__u64 left_ns;	  /* runs: its last segment left the queueing discipline */
	__u64 again_ns;	  /* runs: one was sent again, at the latest */
	__u32 latest_seq; /* behind the last byte that arrived */
	__u16 flags;	  /* enum socket_flag */
	__u8 announced;
	__u8 unsampled; /* none of its events leave the kernel */
	__u8 in;	/* --detail requests: bytes came in last */
	__u8 kind;	/* enum socket_kind */
	__u8 pieces;	/* several segments are unread, and `segments` has them */
	__u8 pad[3];
	__u32 reader;  /* 1 + slot of the thread that last read it */
	__u32 counted; /* `counters` are the reader's at arrival_ns */
	__u32 counters[TS_COUNT] __attribute__((aligned(8))); /* low halves */
	__u64 inode; /* not of TCP: nothing says that such a socket is gone */
};

struct thread_map {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
};

struct slot_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct thread_slot);
};

struct free_slot_map {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, THREADS_MAX);
	__type(value, __u32);
};

struct target_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);   /* tgid */
	__type(value, __u32); /* service */
};

struct socket_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, __u64); /* struct sock * */
	__type(value, struct socket_state);
};

/* Of datagrams that wait in a socket, each has its own arrival; what is older is forgotten. */
#define STAMPS_MAX 64

struct stamps {
	__u64 put, taken; /* grow */
	__u64 ns[STAMPS_MAX];
};

struct stamp_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, __u64); /* struct sock * */
	__type(value, struct stamps);
};

/*
 * Of segments that wait in a socket behind others: where each begins, and when it came.
 * Most sockets are read before a second one comes, and are not in here.
 */
struct segments {
	__u32 put, taken; /* grow */
	struct segment {
		__u64 ns;
		__u32 seq;
		__u32 pad;
	} at[RX_PIECES_MAX];
};

struct segment_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, __u64); /* struct sock * */
	__type(value, struct segments);
};

struct event_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
};

extern struct thread_map threads SEC(".maps");
extern struct slot_map slots SEC(".maps");
extern struct free_slot_map free_slots SEC(".maps");
extern struct target_map targets SEC(".maps");
extern struct socket_map sockets SEC(".maps");
extern struct stamp_map datagram_stamps SEC(".maps");
extern struct segment_map segments SEC(".maps");
extern struct event_map events SEC(".maps");

/*
 * Local ports whose connections or datagrams are followed: the cheapest filter there is. The
 * two protocols number theirs apart.
 */
enum followed { FOLLOWED_TCP = 1, FOLLOWED_UDP = 2 };
extern __u8 followed_ports[65536];
extern __u8 unwanted_bytes[65536]; /* enum unwanted, by local port */
extern __u8 stamps_wanted;	   /* sockets that only sk_data_ready can stamp are followed */
extern __u64 losses[LOSS_COUNT];
extern __u64 sockets_seen;
extern __u64 sockets_unsampled;
extern __u64 sends; /* of followed threads on TCP sockets, counted also while all else is off */
extern __u64 resumed_ns; /* stamps from before are stale: something was not seen since */
extern bool uring_used;	 /* some followed thread has submitted to io_uring */
extern __u32 rebase_how; /* enum rebase, for rebase_threads */

extern const volatile __u32 cfg_sample; /* one connection in so many is told of; 0: all */

extern const volatile __s64 cfg_steal_from_rq; /* src/probe/steal.h; 0: nobody steals, or says so */
extern const volatile __u32 cfg_held_flag; /* src/probe/held.h; 0: what a limit held is not known */
extern const volatile bool cfg_requests_only; /* --detail requests: no counters are kept */
extern __u64 tls_stopped; /* by user space: from now on no TLS function is told of */

static __always_inline void loss_count(enum loss_kind kind)
{
	__sync_fetch_and_add(&losses[kind], 1);
}

/* bpf/uring.bpf.c: tells what others have finished for the current thread. */
int uring_catch_up(void);

/*
 * A thread that is not followed has no storage: the lookup is the filter, and
 * costs a bystander two loads.
 */
static __always_inline struct thread *thread_of(struct task_struct *task)
{
	return bpf_task_storage_get(&threads, task, 0, 0);
}

static __always_inline struct thread_slot *slot_of(const struct thread *thread)
{
	__u32 index = thread->slot;

	return bpf_map_lookup_elem(&slots, &index);
}

static __always_inline struct thread_slot *slot_of_task(struct task_struct *task)
{
	struct thread *thread = thread_of(task);

	return thread ? slot_of(thread) : NULL;
}

static __always_inline struct thread_slot *slot_of_current(void)
{
	return slot_of_task(bpf_get_current_task_btf());
}

#define SLOT_CHANGE(slot, change)   \
	do {                        \
		(slot)->sequence++; \
		change;             \
		(slot)->sequence++; \
	} while (0)

/* What the hypervisor has taken so far from the CPU that the slot's thread came to last. */
static __always_inline __u64 cpu_stolen_ns(const struct thread_slot *slot)
{
	__u64 ns = 0;

	bpf_probe_read_kernel(&ns, sizeof(ns), (const void *)slot->steal_at);
	return ns;
}

/* The thread comes to this CPU: what was taken from it before was not the thread's. */
static __always_inline void steal_begin(struct thread_slot *slot, struct task_struct *task)
{
	if (!bpf_core_field_exists(struct cfs_rq, rq))
		return; /* a kernel without groups in its scheduler: the way to the run queue is another */
	slot->steal_at = (__u64)BPF_CORE_READ(task, se.cfs_rq, rq) + cfg_steal_from_rq;
	slot->stolen_ns = cpu_stolen_ns(slot);
}

/* bpf/sched.bpf.c: the current thread runs, and its slot does not know it yet. */
int came_back(struct thread_slot *slot);

/* The time of an event of the slot's thread, on its CPU: what was stolen is told first. */
static __always_inline __u64 slot_now(struct thread_slot *slot)
{
	__u64 now, stolen;

	if (slot->off_cpu)
		came_back(slot);
	now = bpf_ktime_get_ns();
	if (!cfg_steal_from_rq || !slot->steal_at)
		return now;
	stolen = cpu_stolen_ns(slot);
	if (stolen != slot->stolen_ns)
		SLOT_CHANGE(slot, account_stolen(slot, stolen, now));
	return now;
}

/*
 * Consumers look every few ms by themselves; only a ring that fills up wakes them, and then once
 * a MiB: who is behind is awake, and a wake-up an event would cost the traced thread more than
 * all the rest.
 */
#define RING_WAKE_BYTES (16 << 20)
#define RING_WAKE_EVERY (1 << 20)
#define RING_WAKE_WITHIN 1024 /* more than any event, so that no MiB is stepped over */

static __always_inline __u64 ring_flags(void)
{
	__u64 bytes = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	return bytes > RING_WAKE_BYTES && bytes % RING_WAKE_EVERY < RING_WAKE_WITHIN ?
		       BPF_RB_FORCE_WAKEUP :
		       BPF_RB_NO_WAKEUP;
}

static __always_inline void event_head(struct event_head *head, enum event_kind kind,
				       const struct thread_slot *slot, __u32 index, __u64 now)
{
	head->kind = kind;
	head->slot = index;
	head->generation = slot ? slot->generation : 0;
	head->ns = now;
}

/* bpf/block.bpf.c: the thread waits for block I/O of its group, and does no more. */
int hold_begin(__u32 slot_index, __u64 group);

#define HELD_MAX 64
extern __u32 held[HELD_MAX]; /* 1 + slot of a thread whose I/O a limit may hold back; 0: free */
extern __u32 held_count;

static __always_inline void hold_end(struct thread_slot *slot)
{
	__u32 at = slot->held_at - 1;

	slot->held_at = 0;
	if (at >= HELD_MAX)
		return;
	held[at] = 0;
	__sync_fetch_and_sub(&held_count, 1);
}

/* Whose limits are those of the task's I/O: the address of its group's state; 0: it has no limits. */
static __always_inline __u64 io_group(struct task_struct *task)
{
	struct cgroup_subsys_state *css = NULL, **at;
	struct css_set *set;
	__u32 id;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, io_cgrp_id))
		return 0;
	id = bpf_core_enum_value(enum cgroup_subsys_id, io_cgrp_id);
	set = BPF_CORE_READ(task, cgroups);
	at = (void *)set + bpf_core_field_offset(struct css_set, subsys);
	bpf_probe_read_kernel(&css, sizeof(css), at + id);
	return css && BPF_CORE_READ(css, parent) ? (__u64)css : 0;
}

/* bpf/sched.bpf.c: the slot's counters into an event, and the time up to which they are true. */
int counters_tell(const struct thread_slot *slot, struct event_call *e);

/* It is in one that it was seen to enter: what it moves is ciphertext. */
static __always_inline bool in_tls(const struct thread *thread)
{
	return thread->tls_op && thread->tls.enter_ns >= resumed_ns;
}

static __always_inline struct socket_state *socket_find(const struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&sockets, &key);
}

/*
 * A fixed share of ids, spread evenly (Fibonacci hashing). Calls to other services stay: they
 * belong to requests, sampled or not.
 */
static __always_inline bool socket_is_unsampled(__u64 socket_id, __u16 flags)
{
	return cfg_sample > 1 && !(flags & SOCKET_OUTGOING) &&
	       (socket_id * 0x9e3779b97f4a7c15ull >> 32) % cfg_sample;
}

/*
 * Who opened a connection that was there before gait is not to be seen any more: where
 * nobody listens at its own end it was the service.
 */
static __always_inline __u16 socket_flags_before(const struct sock *sk)
{
	return followed_ports[BPF_CORE_READ(sk, __sk_common.skc_num)] & FOLLOWED_TCP ?
		       SOCKET_BEFORE :
		       SOCKET_BEFORE | SOCKET_OUTGOING;
}

/*
 * bpf/sockets.bpf.c: what follows a socket, and what says who is connected to whom. Functions of
 * their own, for the stack of a program has no room for them and the verifier looks at them once;
 * a socket's address is a pointer that only by way of memory becomes a number.
 */
int socket_add(const __u64 *sock, __u64 inode, __u32 kind, __u32 flags);
int socket_tell(const __u64 *sock, __u32 event_kind);

static __always_inline struct socket_state *
socket_create(const struct sock *sk, enum socket_kind kind, __u64 inode, __u16 flags)
{
	__u64 key = (__u64)sk;

	socket_add(&key, inode, kind, flags);
	return bpf_map_lookup_elem(&sockets, &key);
}

static __always_inline bool is_tcp_state(const struct socket_state *state)
{
	return state->kind == SOCKET_TCP;
}

static __always_inline void round_trips(const struct sock *sk, __u32 *srtt_us, __u32 *min_rtt_us)
{
	const struct tcp_sock *tcp = (const struct tcp_sock *)sk;

	*srtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	*min_rtt_us = BPF_CORE_READ(tcp, rtt_min.s[0].v);
}

/* From now on its segments are stamped. */
static __always_inline void socket_announce(const struct sock *sk, enum event_kind kind)
{
	__u64 key = (__u64)sk;

	socket_tell(&key, kind);
}

/* The state of a socket that bytes move on; one that was open before gait came is met here first. */
static __always_inline struct socket_state *socket_meet(struct sock *sk)
{
	struct socket_state *state = socket_find(sk);

	if (!state)
		state = socket_create(sk, SOCKET_TCP, 0, socket_flags_before(sk));
	if (state && !state->announced)
		socket_announce(sk, EVENT_SOCKET);
	return state;
}

static __always_inline void socket_close(const struct sock *sk)
{
	struct socket_state *state = socket_find(sk);
	__u64 key = (__u64)sk;

	if (!state)
		return;
	if (state->announced)
		socket_announce(sk, EVENT_SOCKET_CLOSE);
	if (state->kind == SOCKET_UDP)
		bpf_map_delete_elem(&datagram_stamps, &key);
	else if (!cfg_requests_only)
		bpf_map_delete_elem(&segments, &key);
	bpf_map_delete_elem(&sockets, &key);
}

/* The kernel keeps few returns of a function in mind at once: one that it forgot is counted. */
static __always_inline int call_enter(struct sock *sk, int flags)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());

	if (!thread)
		return 0;
	if (thread->called && thread->called_since == resumed_ns)
		loss_count(LOSS_RETURNS);
	thread->called = sk;
	thread->called_since = resumed_ns;
	thread->called_flags = flags;
	return 0;
}

static __always_inline struct sock *call_leave(int *ret_flags)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct sock *sk;

	if (!thread)
		return NULL;
	sk = thread->called;
	*ret_flags = thread->called_flags;
	thread->called = NULL;
	return sk;
}

/* A socket's function, at its entry and at its return: `call` is what is done with sk, ret and flags. */
#define ON_CALL(name, function, call)                                                         \
	SEC("?kprobe/" function)                                                              \
	int BPF_KPROBE(name##_enter, struct socket *socket, void *msg, __u64 size, int flags) \
	{                                                                                     \
		return call_enter(BPF_CORE_READ(socket, sk), flags);                          \
	}                                                                                     \
	SEC("?kretprobe/" function)                                                           \
	int BPF_KRETPROBE(name##_leave, int ret)                                              \
	{                                                                                     \
		int flags = 0;                                                                \
		struct sock *sk = call_leave(&flags);                                         \
                                                                                              \
		return sk ? call : 0;                                                         \
	}

/*
 * What came on an inet socket, and what went: body(sk, ret, flags) by the tracepoint of 6.3, or at the
 * return of the functions that all calls pass, which may be hooked in two ways. src/probe/hooks.c says
 * which is attached. By kprobes sk is a number: bodies read its fields by BPF_CORE_READ().
 */
#define ON_RECEIVED(name, body)                                                             \
	SEC("?tp_btf/sock_recv_length")                                                     \
	int BPF_PROG(name, struct sock *sk, int ret, int flags)                             \
	{                                                                                   \
		return body(sk, ret, flags);                                                \
	}                                                                                   \
	SEC("?fexit/inet_recvmsg")                                                          \
	int BPF_PROG(name##_inet, struct socket *socket, void *msg, __u64 size, int flags,  \
		     int ret)                                                               \
	{                                                                                   \
		return body(socket->sk, ret, flags);                                        \
	}                                                                                   \
	SEC("?fexit/inet6_recvmsg")                                                         \
	int BPF_PROG(name##_inet6, struct socket *socket, void *msg, __u64 size, int flags, \
		     int ret)                                                               \
	{                                                                                   \
		return body(socket->sk, ret, flags);                                        \
	}                                                                                   \
	ON_CALL(name##_inet, "inet_recvmsg", body(sk, ret, flags))                          \
	ON_CALL(name##_inet6, "inet6_recvmsg", body(sk, ret, flags))

#define ON_SENT(name, body)                                                                  \
	SEC("?tp_btf/sock_send_length")                                                      \
	int BPF_PROG(name, struct sock *sk, int ret)                                         \
	{                                                                                    \
		return body(sk, ret);                                                        \
	}                                                                                    \
	SEC("?fexit/inet_sendmsg")                                                           \
	int BPF_PROG(name##_inet, struct socket *socket, void *msg, __u64 size, int ret)     \
	{                                                                                    \
		return body(socket->sk, ret);                                                \
	}                                                                                    \
	SEC("?fexit/inet6_sendmsg")                                                          \
	int BPF_PROG(name##_inet6, struct socket *socket, void *msg, __u64 size, int ret)    \
	{                                                                                    \
		return body(socket->sk, ret);                                                \
	}                                                                                    \
	SEC("?fexit/inet_sendpage") /* sendfile, before it was a kind of sendmsg */          \
	int BPF_PROG(name##_page, struct socket *socket, void *page, int offset, __u64 size, \
		     int flags, int ret)                                                     \
	{                                                                                    \
		return body(socket->sk, ret);                                                \
	}                                                                                    \
	ON_CALL(name##_inet, "inet_sendmsg", body(sk, ret))                                  \
	ON_CALL(name##_inet6, "inet6_sendmsg", body(sk, ret))                                \
	ON_CALL(name##_page, "inet_sendpage", body(sk, ret))

#endif
