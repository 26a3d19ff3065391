/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests of io_uring: each stands for the system call that would have done the same. It is
 * looked at when it is submitted and when it is done (include/trace/events/io_uring.h).
 *
 * Its event belongs to the thread that submitted it and brings that thread's counters, which only
 * the thread itself can tell in order. So where another finishes the request (a worker of
 * io_uring, its polling thread), what there is to tell waits for the thread's next system call.
 */
#include "call.bpf.h"
#include "gait.bpf.h"
#include "receive.bpf.h"

#define REQUESTS_MAX 8192
#define DONE_MAX 4096
#define RINGS_MAX 1024
#define DONE_AT_ONCE 16

#define REQ_F_BUFFER_SELECT (1 << 5) /* the kernel chose the buffer: where is not known */
#define FSYNC_DATASYNC 1
#define AT_POSITION -1 /* of the file: no offset was given */

/* enum io_uring_op of include/uapi/linux/io_uring.h, as far as it is followed. */
enum uring_op {
	URING_NOP,
	URING_READV = 1,
	URING_WRITEV = 2,
	URING_FSYNC = 3,
	URING_READ_FIXED = 4,
	URING_WRITE_FIXED = 5,
	URING_SENDMSG = 9,
	URING_RECVMSG = 10,
	URING_ACCEPT = 13,
	URING_CONNECT = 16,
	URING_OPENAT = 18,
	URING_CLOSE = 19,
	URING_READ = 22,
	URING_WRITE = 23,
	URING_SEND = 26,
	URING_RECV = 27,
	URING_OPENAT2 = 28,
	URING_SPLICE = 30,
	URING_TEE = 33,
	URING_SEND_ZC = 47,
	URING_SENDMSG_ZC = 48,
	URING_READ_MULTISHOT = 49,
	URING_RECV_ZC = 58,
	URING_READV_FIXED = 60,
	URING_WRITEV_FIXED = 61,
	URING_OPS = 64,
};

#define MOVES_IN 1
#define MOVES_OUT 2
#define IN_PIECES 4  /* the address is of an iovec array */
#define IN_MESSAGE 8 /* of a struct msghdr */

struct uring_class {
	__u8 op; /* enum syscall_op, as if it had been that call */
	__u8 how;
};

static const struct uring_class classes[URING_OPS] = {
	[URING_READV] = { SYSCALL_PREAD, MOVES_IN | IN_PIECES },
	[URING_WRITEV] = { SYSCALL_PWRITE, MOVES_OUT | IN_PIECES },
	[URING_FSYNC] = { SYSCALL_SYNC, 0 },
	[URING_READ_FIXED] = { SYSCALL_PREAD, MOVES_IN },
	[URING_WRITE_FIXED] = { SYSCALL_PWRITE, MOVES_OUT },
	[URING_SENDMSG] = { SYSCALL_SENDMSG, MOVES_OUT | IN_MESSAGE },
	[URING_RECVMSG] = { SYSCALL_RECVMSG, MOVES_IN | IN_MESSAGE },
	[URING_ACCEPT] = { SYSCALL_ACCEPT, 0 },
	[URING_CONNECT] = { SYSCALL_CONNECT, 0 },
	[URING_OPENAT] = { SYSCALL_OPEN, 0 },
	[URING_CLOSE] = { SYSCALL_CLOSE, 0 },
	[URING_READ] = { SYSCALL_PREAD, MOVES_IN },
	[URING_WRITE] = { SYSCALL_PWRITE, MOVES_OUT },
	[URING_SEND] = { SYSCALL_SEND, MOVES_OUT },
	[URING_RECV] = { SYSCALL_RECV, MOVES_IN },
	[URING_OPENAT2] = { SYSCALL_OPEN, 0 },
	[URING_SPLICE] = { SYSCALL_UNSEEN, 0 },
	[URING_TEE] = { SYSCALL_UNSEEN, 0 },
	[URING_SEND_ZC] = { SYSCALL_SEND, MOVES_OUT },
	[URING_SENDMSG_ZC] = { SYSCALL_SENDMSG, MOVES_OUT | IN_MESSAGE },
	[URING_READ_MULTISHOT] = { SYSCALL_UNSEEN, 0 },
	[URING_RECV_ZC] = { SYSCALL_UNSEEN, 0 },
	[URING_READV_FIXED] = { SYSCALL_PREAD, MOVES_IN | IN_PIECES },
	[URING_WRITEV_FIXED] = { SYSCALL_PWRITE, MOVES_OUT | IN_PIECES },
};

/* A request: from `object` on, as it is known when it is done. */
struct uring_request {
	struct user_bytes from;
	__u64 submit_ns;
	__s64 offset;
	__u32 slot, generation;
	__u8 op, how, object, unwanted;
	__u32 counted, unread;
	__u32 device;
	__s64 ret;
	__u64 done_ns;
	__u64 socket_id, tx_ns, arrival_ns, latest_ns;
	__u64 inode, inode_generation, file_bytes;
	__u32 magic, file_flags;
	__u32 srtt_us, min_rtt_us;
	__u32 counters[TS_COUNT];
};

struct done_key {
	__u32 slot, index;
};

/* What a slot's thread has not told yet: requests from `head` to before `tail`. */
struct done_queue {
	__u32 head, tail;
	__u32 holes; /* of these, that found no room */
	__u32 pad;
};

/* Who made a ring: its polling thread submits in that one's name. */
struct ring_owner {
	__u32 slot, generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REQUESTS_MAX);
	__type(key, __u64); /* struct io_kiocb * */
	__type(value, struct uring_request);
} uring_requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DONE_MAX);
	__type(key, struct done_key);
	__type(value, struct uring_request);
} uring_done SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct done_queue);
} uring_queues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RINGS_MAX);
	__type(key, __u64); /* struct io_ring_ctx * */
	__type(value, struct ring_owner);
} uring_rings SEC(".maps");

/* --- submitted ----------------------------------------------------------------------------- */

/* CPU time and waits of the call from here on are the request's kind. */
static __always_inline void call_is_for(struct thread_slot *slot, __u8 cpu, __u8 wait, __u64 now)
{
	if (!slot->sys || slot->sys_op != SYSCALL_URING)
		return;
	slot->sequence++;
	account_charge(slot, now);
	slot->sys = 1 + cpu;
	slot->sys_wait = wait;
	slot->sequence++;
}

static __always_inline bool is_of_files(struct file *file, __u8 op)
{
	__u16 type;

	if (op == SYSCALL_OPEN || op == SYSCALL_CLOSE || op == SYSCALL_SYNC ||
	    op == SYSCALL_DATASYNC)
		return true;
	type = file ? BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT : 0;
	return type == S_IFREG || type == S_IFBLK;
}

static __always_inline __u8 wait_for(__u8 op, bool files)
{
	if (op == SYSCALL_SYNC || op == SYSCALL_DATASYNC)
		return TS_WAIT_JOURNAL;
	if (files)
		return TS_WAIT_BLOCK;
	return op == SYSCALL_ACCEPT ? TS_WAIT_POLL : TS_WAIT_NET;
}

/* The result is no descriptor, but a place among the ring's own files. */
static __always_inline bool is_into_ring(struct io_kiocb *req, __u8 op)
{
	if (op == SYSCALL_OPEN)
		return BPF_CORE_READ((const struct io_open *)req, file_slot);
	return op == SYSCALL_ACCEPT && BPF_CORE_READ((const struct io_accept *)req, file_slot);
}

/* The bytes of io_kiocb that each kind of request has for itself. */
static __always_inline void look_command(struct io_kiocb *req, struct uring_request *r)
{
	const struct io_rw *rw = (const struct io_rw *)req;
	const struct io_sr_msg *message = (const struct io_sr_msg *)req;
	const struct io_sync *sync = (const struct io_sync *)req;
	bool known = !(BPF_CORE_READ(req, flags) & REQ_F_BUFFER_SELECT);

	if (r->op == SYSCALL_PREAD || r->op == SYSCALL_PWRITE) {
		r->offset = BPF_CORE_READ(rw, kiocb.ki_pos);
		r->from.base = BPF_CORE_READ(rw, addr);
		if (r->how & IN_PIECES) {
			r->from.iovec = r->from.base;
			r->from.iovecs = BPF_CORE_READ(rw, len);
		}
	} else if (r->op == SYSCALL_SYNC) {
		if (BPF_CORE_READ(sync, flags) & FSYNC_DATASYNC)
			r->op = SYSCALL_DATASYNC;
	} else if (is_into_ring(req, r->op)) {
		r->op = SYSCALL_UNSEEN;
	} else if (r->how) {
		r->from.base = (__u64)BPF_CORE_READ(message, buf);
	}
	if (!known)
		r->from.base = r->from.iovecs = 0;
}

/* In the memory of the thread that submits, or of a thread that shares it. */
static __always_inline void look_pieces(struct uring_request *r)
{
	if (r->how & IN_MESSAGE && r->from.base) {
		/* struct msghdr: msg_iov at 16, msg_iovlen at 24 */
		__u64 pointer = r->from.base;

		bpf_probe_read_user(&r->from.iovec, sizeof(__u64), (void *)(pointer + 16));
		bpf_probe_read_user(&r->from.iovecs, sizeof(__u64), (void *)(pointer + 24));
	}
	if (r->from.iovecs)
		bpf_probe_read_user(&r->from.base, sizeof(__u64), (void *)r->from.iovec);
}

/* Whose request it is: the current thread's, or of the one for which the current thread polls. */
static __always_inline bool look_submitter(struct io_kiocb *req, struct uring_request *r,
					   struct thread_slot **ret_slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *thread = thread_of(task);
	__u64 ring = (__u64)BPF_CORE_READ(req, ctx);
	struct ring_owner *owner;

	*ret_slot = thread ? slot_of(thread) : NULL;
	if (*ret_slot) {
		r->slot = thread->slot;
		r->generation = (*ret_slot)->generation;
		return true;
	}
	if (!(task->flags & PF_IO_WORKER))
		return false;
	owner = bpf_map_lookup_elem(&uring_rings, &ring);
	if (!owner)
		return false;
	r->slot = owner->slot;
	r->generation = owner->generation;
	return true;
}

static __always_inline int submitted(struct io_kiocb *req)
{
	struct uring_request r = { .offset = AT_POSITION };
	__u64 key = (__u64)req;
	struct thread_slot *slot;
	__u32 op = BPF_CORE_READ(req, opcode) & (URING_OPS - 1);
	bool files;

	r.op = classes[op].op;
	r.how = classes[op].how;
	if (r.op == SYSCALL_NONE || !look_submitter(req, &r, &slot))
		return 0;
	uring_used = true;
	r.submit_ns = bpf_ktime_get_ns();
	look_command(req, &r);
	look_pieces(&r);
	if (slot) {
		/* before it is issued it has a descriptor, or a number among the ring's own files */
		files = is_of_files(file_of(BPF_CORE_READ(req, cqe.fd)), r.op);
		call_is_for(slot, files ? TS_KERNEL_FS : TS_KERNEL_NET, wait_for(r.op, files),
			    r.submit_ns);
	}
	if (bpf_map_update_elem(&uring_requests, &key, &r, BPF_ANY))
		loss_count(LOSS_OBJECTS_UNSEEN);
	return 0;
}

SEC("?tp_btf/io_uring_submit_req")
int BPF_PROG(on_uring_submit, struct io_kiocb *req)
{
	return submitted(req);
}

/* Before 6.5 */
SEC("?tp_btf/io_uring_submit_sqe")
int BPF_PROG(on_uring_submit_sqe, struct io_kiocb *req)
{
	return submitted(req);
}

SEC("?tp_btf/io_uring_create")
int BPF_PROG(on_uring_create, int fd, void *ring)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	struct ring_owner owner = {};
	__u64 key = (__u64)ring;

	if (!slot) {
		bpf_map_delete_elem(&uring_rings, &key);
		return 0;
	}
	owner.slot = thread->slot;
	owner.generation = slot->generation;
	bpf_map_update_elem(&uring_rings, &key, &owner, BPF_ANY);
	return 0;
}

/* --- told ---------------------------------------------------------------------------------- */

static __always_inline __u32 copy_seen(__u8 *to, const struct uring_request *r, __u32 room)
{
	if (!r->from.base || r->ret <= 0)
		return 0;
	if (r->from.iovecs > 1)
		return copy_pieces(to, &r->from, r->ret, room / 2 - 1);
	return copy_flat(to, r->from.base, r->ret, room);
}

static __always_inline void fill_done(struct event_call *e, enum event_kind kind,
				      struct thread *thread, struct thread_slot *slot,
				      const struct uring_request *r)
{
	__u32 moved = slot->moved;

	event_head(&e->head, kind, slot, thread->slot, 0);
	thread->others = 0;
	e->enter_ns = slot->mark_ns;
	e->socket_id = r->socket_id;
	e->inode = r->inode;
	e->generation = r->inode_generation;
	e->file_bytes = r->file_bytes;
	e->offset = r->offset;
	e->ret = r->ret;
	e->tx_ns = r->tx_ns;
	e->device = r->device;
	e->magic = r->magic;
	e->file_flags = r->file_flags;
	e->syscall_nr = 0;
	e->op = r->op;
	e->object = r->object;
	e->tls = TLS_NONE;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	e->more = 0;
	e->submit_ns = r->submit_ns;
	e->done_ns = r->done_ns;
	counters_tell(slot, e);
	account_told(slot, moved);
}

static __always_inline void done_lost(struct thread_slot *slot)
{
	loss_count(LOSS_RING_FULL);
	slot->unsaid = ~0u;
}

#define TELL_RECEIVE(room)                                                                      \
	do {                                                                                    \
		struct event_receive *e = bpf_ringbuf_reserve(&events, sizeof(*e) + (room), 0); \
                                                                                                \
		if (!e) {                                                                       \
			done_lost(slot);                                                        \
			return;                                                                 \
		}                                                                               \
		fill_done(&e->call, EVENT_RECEIVE, thread, slot, r);                            \
		e->arrival_ns = r->arrival_ns;                                                  \
		e->latest_ns = r->latest_ns;                                                    \
		e->counted = r->counted;                                                        \
		for (int i = 0; i < TS_COUNT; i++)                                              \
			e->arrival[i] = COUNTER_THEN(e->call.exit[i], r->counters[i]);          \
		e->srtt_us = r->srtt_us;                                                        \
		e->min_rtt_us = r->min_rtt_us;                                                  \
		e->unread = r->unread;                                                          \
		e->seen = bytes ? copy_seen(e->bytes, r, room) : 0;                             \
		bpf_ringbuf_submit(e, ring_flags());                                            \
	} while (0)

#define TELL_SEND(room)                                                                      \
	do {                                                                                 \
		struct event_send *e = bpf_ringbuf_reserve(&events, sizeof(*e) + (room), 0); \
                                                                                             \
		if (!e) {                                                                    \
			done_lost(slot);                                                     \
			return;                                                              \
		}                                                                            \
		fill_done(&e->call, EVENT_SEND, thread, slot, r);                            \
		e->seen = bytes ? copy_seen(e->bytes, r, room) : 0;                          \
		e->pad = 0;                                                                  \
		bpf_ringbuf_submit(e, ring_flags());                                         \
	} while (0)

static __always_inline void tell_call(struct thread *thread, struct thread_slot *slot,
				      const struct uring_request *r)
{
	struct event_call *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		done_lost(slot);
		return;
	}
	fill_done(e, EVENT_CALL, thread, slot, r);
	bpf_ringbuf_submit(e, ring_flags());
}

static __always_inline void tell_done(struct thread *thread, struct thread_slot *slot,
				      const struct uring_request *r, bool bytes)
{
	bool large = r->ret > EVENT_BYTES_MIDDLE / 2;

	if (r->object == OBJECT_UNSAMPLED) {
		if (thread->others)
			return;
		tell_call(thread, slot, r);
		thread->others = !slot->unsaid;
	} else if (r->object != OBJECT_SOCKET || r->op == SYSCALL_ACCEPT ||
		   r->op == SYSCALL_CONNECT) {
		tell_call(thread, slot, r);
	} else if (r->how & MOVES_IN) {
		if (large && !(r->unwanted & UNWANTED_IN))
			TELL_RECEIVE(EVENT_BYTES_LARGE);
		else
			TELL_RECEIVE(EVENT_BYTES_MIDDLE);
	} else if (r->unwanted & UNWANTED_OUT) {
		tell_call(thread, slot, r);
	} else if (large) {
		TELL_SEND(EVENT_BYTES_LARGE);
	} else {
		TELL_SEND(EVENT_BYTES_MIDDLE);
	}
}

/*
 * The current thread tells of a request of its own. What it did since it entered its call, or
 * since the request before, is this one's part of the thread's time; out of a call, none is.
 */
static __noinline void tell(struct thread *thread, struct thread_slot *slot,
			    const struct uring_request *r, bool bytes)
{
	__u64 now = bpf_ktime_get_ns();

	if (now < resumed_ns)
		return; /* while programs come and go nobody reads the ring */
	slot->sequence++;
	account_charge(slot, now);
	if (!slot->sys)
		account_mark(slot);
	slot->sequence++;
	tell_done(thread, slot, r, bytes);
	slot->sequence++;
	account_mark(slot);
	slot->sequence++;
}

/* What is next in the queue; NULL when it found no room there. False: there is nothing. */
static __always_inline bool queue_next(struct done_queue *queue, struct done_key *key,
				       struct uring_request **ret)
{
	if (queue->head == queue->tail)
		return false;
	key->index = queue->head;
	*ret = bpf_map_lookup_elem(&uring_done, key);
	if (!*ret && !queue->holes)
		return false; /* it is being written */
	queue->head++;
	if (!*ret)
		__sync_fetch_and_add(&queue->holes, -1);
	return true;
}

/*
 * One of what others have finished for the current thread; 0 when there is none. Within
 * io_uring_enter it cannot have touched the bytes since; later it may have. (Not static: the
 * verifier looks at it once, not at each call.)
 */
__noinline int uring_tell_next(void)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	struct uring_request *r = NULL;
	struct done_queue *queue;
	struct done_key key = {};

	if (!slot)
		return 0;
	key.slot = thread->slot;
	queue = bpf_map_lookup_elem(&uring_queues, &key.slot);
	if (!queue || !queue_next(queue, &key, &r))
		return 0;
	if (!r)
		return 1;
	if (r->generation == slot->generation)
		tell(thread, slot, r, slot->sys && slot->sys_op == SYSCALL_URING);
	else
		loss_count(LOSS_OBJECTS_UNSEEN); /* its thread has ended */
	bpf_map_delete_elem(&uring_done, &key);
	return 1;
}

__noinline int uring_catch_up(void)
{
	for (int i = 0; i < DONE_AT_ONCE; i++)
		if (!uring_tell_next())
			return 0;
	return 1;
}

/* --- done ---------------------------------------------------------------------------------- */

static __always_inline void look_file(struct uring_request *r, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	r->inode = BPF_CORE_READ(inode, i_ino);
	r->inode_generation = BPF_CORE_READ(inode, i_generation);
	r->file_bytes = BPF_CORE_READ(inode, i_size);
	r->device = BPF_CORE_READ(inode, i_sb, s_dev);
	r->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	r->file_flags = BPF_CORE_READ(file, f_flags);
	if (r->how && r->offset == AT_POSITION && r->ret >= 0)
		r->offset = BPF_CORE_READ(file, f_pos) - r->ret;
}

static __always_inline void look_moved(struct uring_request *r, struct socket_state *socket,
				       struct sock *sk)
{
	struct receive got;

	r->offset = -1;
	r->unwanted = socket->flags & SOCKET_OUTGOING ?
			      UNWANTED_IN | UNWANTED_OUT :
			      unwanted_bytes[BPF_CORE_READ(sk, __sk_common.skc_num)];
	if (!(r->how & MOVES_IN))
		return;
	receive_look(socket, sk, r->slot, r->done_ns, &got);
	if (socket->pieces)
		segments_drop(socket, sk);
	r->arrival_ns = got.arrival_ns;
	r->latest_ns = got.latest_ns;
	r->counted = got.counted;
	for (int i = 0; i < TS_COUNT; i++)
		r->counters[i] = socket->counters[i];
	round_trips(sk, &r->srtt_us, &r->min_rtt_us);
	r->unread = receive_done(socket, &got, r->slot);
}

static __always_inline bool look_socket(struct uring_request *r, struct file *file)
{
	struct socket *of_file = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(of_file, sk);
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	struct socket_state *socket;

	if (r->how && r->ret <= 0)
		return false;
	if ((family != AF_INET && family != AF_INET6) ||
	    BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP_) {
		loss_count(LOSS_OBJECTS_UNSEEN);
		return false;
	}
	socket = r->op == SYSCALL_CONNECT ? socket_find(sk) : socket_meet(sk);
	r->object = OBJECT_SOCKET;
	if (!socket)
		return r->op == SYSCALL_CONNECT;
	r->socket_id = socket->socket_id;
	r->tx_ns = socket->tx_ns;
	if (r->how && socket->unsampled) {
		r->object = OBJECT_UNSAMPLED;
		r->socket_id = 0;
	} else if (r->how) {
		look_moved(r, socket, sk);
	}
	return true;
}

/* Whether there is anything to tell. */
static __always_inline bool look_object(struct uring_request *r, struct io_kiocb *req)
{
	struct file *file = BPF_CORE_READ(req, file);
	__u16 type;

	if (r->op == SYSCALL_UNSEEN) {
		if (r->ret > 0)
			loss_count(LOSS_OBJECTS_UNSEEN);
		return false;
	}
	if (r->op == SYSCALL_OPEN || r->op == SYSCALL_ACCEPT)
		file = r->ret >= 0 ? file_of(r->ret) : NULL;
	if (r->op == SYSCALL_CLOSE)
		file = NULL; /* it may be gone */
	if (!file)
		return r->op == SYSCALL_OPEN || r->op == SYSCALL_CLOSE;
	type = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;
	if (type == S_IFSOCK)
		return look_socket(r, file);
	if (type == S_IFREG || type == S_IFBLK) {
		r->object = OBJECT_FILE;
		look_file(r, file);
		return true;
	}
	if (r->how && r->ret > 0)
		loss_count(
			LOSS_OBJECTS_UNSEEN); /* pipes and eventfds hand work over by calls only */
	return false;
}

/* The thread tells it at its next boundary. */
static __always_inline void leave_for_later(const struct uring_request *r)
{
	__u32 index = r->slot;
	struct done_queue *queue = bpf_map_lookup_elem(&uring_queues, &index);
	struct done_key key = { .slot = index };

	if (!queue)
		return;
	key.index = __sync_fetch_and_add(&queue->tail, 1);
	if (!bpf_map_update_elem(&uring_done, &key, r, BPF_ANY))
		return;
	__sync_fetch_and_add(&queue->holes, 1);
	loss_count(LOSS_RING_FULL);
}

static __always_inline void call_goes_on(struct thread_slot *slot)
{
	call_is_for(slot, TS_KERNEL_NET, TS_WAIT_POLL, slot->last_ns);
}

static __always_inline int completed(struct io_kiocb *req, __s64 result)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	__u64 key = (__u64)req;
	struct uring_request *r = bpf_map_lookup_elem(&uring_requests, &key);

	if (!r)
		return 0;
	r->ret = result;
	r->done_ns = bpf_ktime_get_ns();
	if (look_object(r, req)) {
		if (slot && thread->slot == r->slot && slot->generation == r->generation) {
			tell(thread, slot, r, true);
			call_goes_on(slot);
		} else {
			leave_for_later(r);
		}
	}
	bpf_map_delete_elem(&uring_requests, &key);
	return 0;
}

/* Results of a request that stays (multishot) come without it: nothing says whose they are. */
static __always_inline void count_unseen(__s64 result)
{
	if (result > 0 && thread_of(bpf_get_current_task_btf()))
		loss_count(LOSS_OBJECTS_UNSEEN);
}

SEC("?tp_btf/io_uring_complete")
int BPF_PROG(on_uring_complete, struct io_ring_ctx *ring, struct io_kiocb *req,
	     struct io_uring_cqe *cqe)
{
	__s32 result = BPF_CORE_READ(cqe, res);

	if (req)
		return completed(req, result);
	count_unseen(result);
	return 0;
}

/* Before the result came as the entry of the ring it is in: told apart by its arguments. */
SEC("?tp_btf/io_uring_complete")
int BPF_PROG(on_uring_complete_parts, struct io_ring_ctx *ring, struct io_kiocb *req,
	     __u64 user_data, int result)
{
	if (req)
		return completed(req, result);
	count_unseen(result);
	return 0;
}
