/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_EVENT_H
#define GAIT_BPF_EVENT_H

/*
 * What the kernel side and user space say to each other: the microstates, the
 * slot of a thread in the mapped array, and the events of the ring buffer.
 * Nothing else is included by both. All times are bpf_ktime_get_ns(), which is
 * CLOCK_MONOTONIC.
 */
#ifndef __VMLINUX_H__
#include <stdint.h>
#endif

/*
 * A thread is always in exactly one of these; an event moves the time since the
 * last one into the counter of the old state. In a run no system calls are
 * traced: TS_USER is then all time on the CPU, and the node, which knows its own
 * calls, splits it.
 */
enum thread_state {
	TS_USER,
	TS_KERNEL_NET,
	TS_KERNEL_FS,
	TS_KERNEL_MM,
	TS_KERNEL_OTHER,
	TS_KERNEL_FAULT, /* user code touched a page that was not there; where the end is told */
	TS_IRQ_NET,	 /* softirqs NET_RX and NET_TX outside of a network call of its own */
	TS_IRQ_BLOCK,
	TS_IRQ_TIMER,
	TS_IRQ_OTHER,
	TS_WAKEUP,    /* woken, the CPU was idle */
	TS_RUNQUEUE,  /* woken, the CPU was busy */
	TS_PREEMPTED, /* runnable, the CPU was taken */
	TS_THROTTLED, /* runnable, the quota of the group was used up */
	TS_STEAL,     /* the hypervisor ran something else on the CPU */
	TS_WAIT_POLL, /* for anything: epoll, poll, select, accept */
	TS_WAIT_NET,
	TS_WAIT_SLEEP,
	TS_WAIT_FUTEX,
	TS_WAIT_BLOCK,	  /* in_iowait */
	TS_WAIT_QUEUE,	  /* of it, until the device got the last request */
	TS_WAIT_HELD,	  /* of it, until an I/O limit let the last request go */
	TS_WAIT_JOURNAL,  /* in a sync or file call, waiting for another task */
	TS_JOURNAL_BLOCK, /* of it, while the task that commits waits for its device */
	TS_WAIT_DIRTY,	  /* in_iowait, made to wait for too much is written and not on a device */
	TS_WAIT_MEM,	  /* for memory, or making room itself: direct reclaim */
	TS_COMPACTION,	  /* making room in one piece */
	TS_WAIT_LOCK,	  /* for a lock of the kernel that somebody has */
	TS_WAIT_FAULT,	  /* outside of a call, for a page that it touched */
	TS_WAIT_OTHER,
	TS_COUNT,
	TS_MAX = 32, /* counters in a slot: a power of two, for the verifier's mask */
};

/* Requests to block devices, by what a limit tells apart. */
enum queued { QUEUED_NONE, QUEUED_READ, QUEUED_WRITE };

#define SLOT_LOG_MAX 256 /* a power of two */
#define SLOT_LOG_BITS 5	 /* of TS_MAX; all ones: none */

/* Of a receive: its last so many bytes came from then on. */
#define RX_PIECES_MAX 64 /* a power of two; of more the first are forgotten */

struct rx_piece {
	uint64_t ns;
	uint32_t bytes; /* up to the end of the receive */
	uint32_t pad;
};

/*
 * A thread's slot. Written by the kernel side only; a thread that reads its own
 * slot sees no change under its hands but those of interrupts (`sequence`).
 */
struct thread_slot {
	/* One cache line: what most events touch. The thread's own CPU is not to fetch more of
	 * them back from the CPUs that look at it when bytes arrive. */
	uint32_t tid, tgid;  /* as the initial pid namespace numbers them; 0: free */
	uint32_t generation; /* grows each time the slot gets a new thread */
	uint32_t sequence;   /* odd while counters change */
	uint64_t last_ns;    /* the counters are true up to here */
	uint8_t off_cpu;     /* 0 on the CPU, else 1 + the state it waits in */
	uint8_t sys;	     /* 0 in user code, else 1 + the state of the call's CPU time */
	uint8_t sys_wait;    /* the state of a wait in this call */
	uint8_t sys_op;	     /* enum syscall_op of this call */
	uint8_t softirq;     /* 0 none, else 1 + its state */
	uint8_t hardirq;     /* 0 none, else 1 + its state */
	uint8_t hardirq_depth;
	uint8_t service;  /* index that user space gave the process */
	uint32_t moved;	  /* counters that moved since the last mark, a bit each */
	uint32_t unsaid;  /* of before the mark, those that no event has told */
	uint64_t mark_ns; /* the mark: entry to this system call */
	uint64_t ns[TS_MAX];

	uint64_t wake_ns;      /* woken since the switch-out, 0: not yet; written by the waker */
	uint64_t issue_ns;     /* a device got a request of its; written by who gave it */
	uint64_t stolen_ns;    /* by the hypervisor from its CPU, up to its last event on it */
	uint64_t steal_at;     /* where the kernel says so; 0: not yet known, or never */
	uint64_t mark[TS_MAX]; /* the counters at the mark, of those that moved since */
	/* of a run: the last receive and transmit of this thread */
	uint64_t rx_arrival_ns;	 /* first byte of what the last receive returned; 0: unknown */
	uint64_t rx_latest_ns;	 /* last segment of it */
	uint32_t rx_low[TS_MAX]; /* low halves of this thread's counters at that arrival */
	uint64_t rx_counted;	 /* arrival the counters belong to; 0: there are none */
	uint64_t rx_sequence;	 /* grows with each receive */
	uint64_t tx_ns;		 /* handed to the device queue; of the last send */
	uint64_t tx_sequence;
	/* of the socket that was received from: what it had sent last left the queueing discipline,
	 * and was sent again; 0: never */
	uint64_t rx_left_ns, rx_again_ns;
	uint32_t rx_pieces_count; /* of the last receive: what came behind its first segment */
	struct rx_piece rx_pieces[RX_PIECES_MAX]; /* as it came */
	uint8_t making_room;			  /* 0, else 1 + TS_WAIT_MEM or TS_COMPACTION */
	uint8_t making_room_depth;
	uint8_t queued;	  /* enum queued: what it has queued itself since its last wait for I/O */
	uint8_t freed;	  /* requests that a limit let go in this wait */
	uint8_t held_at;  /* 1 + its place among those that may be held; 0: it has none */
	uint8_t dirty;	  /* the kernel is about to make it wait for what it has written */
	uint8_t faulted;  /* it has touched a page that was not there since it left its last call */
	uint8_t faulting; /* within such a fault, whose end will be told */
	uint8_t sending;  /* of a run: within a call that has sent what arrives within it too */
	uint8_t pad_bytes[7];
	uint64_t lock;	     /* the one of the kernel that it tries to get; 0: none */
	uint64_t held_group; /* whose limits hold its I/O, as the kernel calls it; while held_at */
	uint64_t freed_ns;   /* a limit let one of its requests go; written by who did that */
	uint64_t run_delay_ns; /* the scheduler's, when it left the CPU */
	uint64_t commit_io_ns; /* of this wait: by whom it was woken, in I/O wait for a commit */
	/*
	 * The last changes of its state, for timelines: up to when it was in which, the oldest
	 * overwritten. Of a run.
	 */
	uint64_t logged;
	uint64_t log[SLOT_LOG_MAX]; /* ns << SLOT_LOG_BITS | enum thread_state */
};

/* What a system call does, as far as gait follows it (src/probe/syscalls.c has the table). */
enum syscall_op {
	SYSCALL_NONE,
	SYSCALL_READ,  /* (fd, buf, len): file or socket */
	SYSCALL_READV, /* (fd, iov, n) */
	SYSCALL_PREAD, /* (fd, buf, len, offset) */
	SYSCALL_WRITE,
	SYSCALL_WRITEV,
	SYSCALL_PWRITE,
	SYSCALL_RECV,	  /* (fd, buf, len) */
	SYSCALL_RECVMSG,  /* (fd, msghdr) */
	SYSCALL_SEND,	  /* (fd, buf, len) */
	SYSCALL_SENDMSG,  /* (fd, msghdr) */
	SYSCALL_RECVMMSG, /* (fd, mmsghdr, n): returns messages; told as bytes, or one by one */
	SYSCALL_SENDMMSG,
	SYSCALL_SENDFILE, /* (out, in, offset *, len) */
	SYSCALL_SYNC,	  /* fsync(fd) */
	SYSCALL_DATASYNC, /* fdatasync(fd), sync_file_range(fd) */
	SYSCALL_OPEN,	  /* returns fd */
	SYSCALL_STAT,
	SYSCALL_POLL,	 /* epoll_wait and its kin */
	SYSCALL_ACCEPT,	 /* returns fd */
	SYSCALL_CONNECT, /* (fd) */
	SYSCALL_SLEEP,
	SYSCALL_FUTEX,	/* (addr, command): one of the next two, or of no interest */
	SYSCALL_WAIT,	/* slept until another thread woke it */
	SYSCALL_WAKE,	/* woke a thread that slept there */
	SYSCALL_GIVE,	/* is about to write to a signal: told at the entry, before anyone wakes */
	SYSCALL_CLOSE,	/* (fd) */
	SYSCALL_UNSEEN, /* moves bytes in a way that is not followed yet: counted */
	SYSCALL_SPLICE_IN, /* (in, offset *, out, offset *): into a pipe, out of what is looked at */
	SYSCALL_SPLICE_OUT, /* the same call, when that is at the other end */
	SYSCALL_URING,	    /* io_uring_enter: bpf/uring.bpf.c tells of the requests in it */
	SYSCALL_OTHER,
};

struct syscall_class {
	uint8_t op;   /* enum syscall_op */
	uint8_t cpu;  /* enum thread_state of its CPU time */
	uint8_t wait; /* enum thread_state of its waits */
};

/*
 * A slot whose last_ns is this is frozen: no time passes for it while its programs are not
 * attached. Calls told with such a time happened half unseen: src/probe/expand.c drops them.
 */
#define SLOT_FROZEN_NS (1ull << 62)

enum rebase { REBASE_CLOSE, REBASE_FREEZE, REBASE_THAW };

#define SYSCALLS_MAX 512

enum event_kind {
	EVENT_THREAD = 1, /* a thread is followed from now on */
	EVENT_THREAD_EXIT,
	EVENT_SOCKET, /* a connection is followed from now on */
	EVENT_SOCKET_CLOSE,
	EVENT_CALL,	     /* a system call that gait follows has returned */
	EVENT_RECEIVE,	     /* one that took bytes from a socket: a longer record */
	EVENT_SEND,	     /* one that gave bytes to a socket, with them */
	EVENT_TLS,	     /* a function of the TLS library has returned */
	EVENT_DATAGRAM,	     /* a call that moved a datagram: who the peer is stands in it */
	EVENT_DATAGRAM_MORE, /* another one of the same call, which has been told */
	EVENT_PIECES,	     /* of the thread's next EVENT_RECEIVE: several segments were waiting */
	/* of the ring only: src/probe/expand.c makes the first two above of them */
	EVENT_BRIEF_CALL = 64,
	EVENT_BRIEF_RECEIVE,
	EVENT_BYTES_IN, /* --detail requests: what moved on a connection, and no more */
	EVENT_BYTES_OUT,
};

enum socket_flag {
	SOCKET_OUTGOING = 1, /* opened by the service */
	SOCKET_BEFORE = 2,   /* open before it was followed: its start is unknown */
};

enum object_kind {
	OBJECT_NONE,
	OBJECT_FILE,
	OBJECT_SOCKET,
	OBJECT_UNSEEN,
	OBJECT_SIGNAL, /* one thread writes to it so that another wakes: eventfd, pipe, futex */
	OBJECT_OTHER,
	OBJECT_UNSAMPLED, /* a connection outside the sample: from here on the thread is with others */
};

struct event_head {
	uint16_t kind;
	uint16_t slot;
	uint32_t generation;
	uint64_t ns;
};

struct event_thread {
	struct event_head head;
	uint32_t tid, tgid;
	uint32_t service;
	uint32_t pad;
	char comm[16];
	uint64_t ns[TS_COUNT]; /* at the exit; 0 at the start */
};

struct event_socket {
	struct event_head head;
	uint64_t socket_id;
	uint16_t family;		  /* AF_UNIX: no addresses */
	uint16_t local_port, remote_port; /* host order */
	uint16_t flags;			  /* enum socket_flag */
	uint8_t local_addr[16], remote_addr[16];
	uint32_t srtt_us, min_rtt_us;
};

/* The functions of a TLS library that are followed, by what they do. */
enum tls_op {
	TLS_NONE,
	TLS_READ,  /* plaintext to the program */
	TLS_WRITE, /* plaintext from it */
	TLS_HANDSHAKE,
};

struct event_call {
	struct event_head head; /* ns: the return */
	uint64_t enter_ns;
	uint64_t socket_id;	    /* of the socket it moved bytes on; 0: none */
	uint64_t inode, generation; /* of the file, identity of the signal; 0: none */
	uint64_t file_bytes;	    /* its size at the return */
	int64_t offset;		    /* of the bytes moved; < 0: none */
	int64_t ret;
	uint64_t tx_ns;	     /* when the socket last handed bytes to the device queue */
	uint32_t device;     /* of the file's file system */
	uint32_t magic;	     /* of the file's file system */
	uint32_t file_flags; /* O_* */
	uint16_t syscall_nr;
	uint8_t op;	/* enum syscall_op */
	uint8_t object; /* enum object_kind */
	uint8_t tls;	/* enum tls_op that the thread was in; it moved ciphertext */
	uint8_t pad[3];
	uint32_t more; /* 1: of a call that was told before; it takes no more time */
	/* of a request of io_uring, in whose place the event stands: when it was submitted and
	 * when it was done, which may both be outside of the thread's call; else 0 */
	uint64_t submit_ns, done_ns;
	uint64_t enter[TS_COUNT]; /* the thread's counters at entry and at return */
	uint64_t exit[TS_COUNT];
};

/*
 * How many of a message's bytes a record may hold: the least that has room for all of
 * them; of a call to another service the first ones. They are never stored.
 */
#define EVENT_BYTES_SMALL 64
#define EVENT_BYTES_MIDDLE 1024
#define EVENT_BYTES_LARGE 16384

struct event_receive {
	struct event_call call;
	uint64_t arrival_ns; /* first byte in the kernel; 0: unknown */
	uint64_t latest_ns;  /* last segment */
	uint64_t counted;    /* 1: `arrival` holds the thread's counters at arrival_ns */
	uint64_t arrival[TS_COUNT];
	uint32_t seen;	 /* of `bytes` that are filled: the first ones of call.ret */
	uint32_t unread; /* 1: bytes were left in the socket */
	uint32_t srtt_us, min_rtt_us;
	uint8_t bytes[];
};

struct event_pieces {
	struct event_head head;
	uint64_t socket_id;
	uint32_t count, pad;
	struct rx_piece at[RX_PIECES_MAX]; /* what came behind the first segment, as it came */
};

struct event_send {
	struct event_call call;
	uint32_t seen;
	uint32_t pad;
	uint8_t bytes[];
};

/* IPv4 addresses are mapped into IPv6 here. */
struct datagram {
	uint64_t socket_id;
	uint64_t arrival_ns; /* 0: unknown, or it was sent */
	uint8_t local_addr[16], remote_addr[16];
	uint16_t local_port, remote_port; /* host order */
	uint16_t sent;			  /* 1: by the service */
	uint16_t pad;
	uint32_t bytes;
	uint32_t seen; /* of `first` that are filled; never stored */
	uint8_t first[EVENT_BYTES_SMALL];
};

struct event_datagram {
	struct event_call call; /* ret: bytes of this datagram */
	uint64_t counted;	/* as in struct event_receive */
	uint64_t arrival[TS_COUNT];
	struct datagram datagram;
};

struct event_datagram_more {
	struct event_head head;
	struct datagram datagram;
};

/*
 * Bytes that user space has no use for, by the local port, and says so: beyond the first of
 * what comes in, all of what goes out.
 */
enum unwanted { UNWANTED_IN = 1, UNWANTED_OUT = 2 };

/*
 * Nearly every call moves no counter but its own class's, and TS_USER moved alone since the
 * call before: then the two times say all that the counters would. Whoever reads keeps the
 * counters and moves them on; any other call, and the first after a loss, brings them whole.
 */
struct event_brief {
	struct event_head head;
	uint64_t enter_ns;
	uint64_t socket_id;
	int64_t ret;
	uint64_t tx_ns;
	uint16_t syscall_nr;
	uint8_t op;
	uint8_t object;
	uint8_t state; /* enum thread_state: all of the call */
	uint8_t pad[3];
};

struct event_brief_receive {
	struct event_brief call;
	uint64_t arrival_ns; /* from here on as in struct event_receive */
	uint64_t latest_ns;
	uint32_t counted;
	uint32_t arrival_low[TS_COUNT]; /* low halves of the counters: they moved by less since */
	uint32_t seen, unread;
	uint32_t srtt_us, min_rtt_us;
	uint32_t pad;
	uint8_t bytes[];
};

/* All that --detail requests tells of a call: one cache line. */
#define EVENT_BYTES_HEAD 24

struct event_bytes {
	struct event_head head; /* ns: the bytes are read, or given to the kernel */
	uint64_t socket_id;
	uint64_t stamp_ns; /* in: the first arrived; out: the last went to the device; 0: unknown */
	uint32_t bytes;
	uint8_t head_bytes; /* of `first` that are filled: of a turn's first bytes; never stored */
	uint8_t unread;
	uint16_t pad;
	uint8_t first[EVENT_BYTES_HEAD];
};

/* A counter that moved by less than this from then to now is known by its low half then. */
#define COUNTED_WITHIN_NS 4000000000ull
#define COUNTER_THEN(now, low) ((now) - (uint32_t)((uint32_t)(now) - (low)))

/* The calls to the kernel that it made have been events before. */
struct event_tls {
	struct event_head head; /* ns: the return */
	uint64_t enter_ns;
	uint64_t socket_id;	  /* of the connection below */
	int64_t bytes;		  /* of plaintext that it moved; of a handshake 1: it is done */
	uint64_t enter[TS_COUNT]; /* the thread's counters at entry and at return */
	uint64_t exit[TS_COUNT];
	uint32_t seen; /* of `plain` that are filled: the first ones of `bytes` */
	uint8_t op;    /* enum tls_op */
	uint8_t pad[3];
	uint8_t plain[]; /* never stored */
};

/* Where an argument lies when a probe of a TLS function hits, as uprobe_site.h finds it. */
enum probe_register {
	PR_AX,
	PR_BX,
	PR_CX,
	PR_DX,
	PR_SI,
	PR_DI,
	PR_BP,
	PR_SP,
	PR_R8,
	PR_R9,
	PR_R10,
	PR_R11,
	PR_R12,
	PR_R13,
	PR_R14,
	PR_R15,
	PR_COUNT,
};

/* How a TLS function says what it has moved. */
enum tls_form {
	TLS_FORM_COUNT,	  /* it returns the number of bytes */
	TLS_FORM_POINTER, /* it returns 1, and the number where its fourth argument points */
};

/* What the probes of a function must know, in the cookie of each: four bits a register. */
#define TLS_COOKIE(op, form, ssl, buffer, moved)                         \
	((uint64_t)(op) | (uint64_t)(form) << 4 | (uint64_t)(ssl) << 8 | \
	 (uint64_t)(buffer) << 12 | (uint64_t)(moved) << 16)
#define TLS_COOKIE_OP(cookie) ((cookie)&15)
#define TLS_COOKIE_FORM(cookie) ((cookie) >> 4 & 15)
#define TLS_COOKIE_SSL(cookie) ((cookie) >> 8 & 15)
#define TLS_COOKIE_BUFFER(cookie) ((cookie) >> 12 & 15)
#define TLS_COOKIE_MOVED(cookie) ((cookie) >> 16 & 15)

/* Losses, counted where they happen. */
enum loss_kind {
	LOSS_RING_FULL,
	LOSS_THREADS_OVER,
	LOSS_SOCKETS_OVER,
	LOSS_OBJECTS_UNSEEN,
	LOSS_RETURNS, /* of hooked functions: more threads were in one than the kernel keeps in mind */
	LOSS_COUNT,
};

#endif
