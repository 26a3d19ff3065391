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
#include <linux/types.h>
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
	TS_IRQ_NET, /* softirqs NET_RX and NET_TX outside of a network call of its own */
	TS_IRQ_BLOCK,
	TS_IRQ_TIMER,
	TS_IRQ_OTHER,
	TS_WAKEUP,    /* woken, the CPU was idle */
	TS_RUNQUEUE,  /* woken, the CPU was busy */
	TS_PREEMPTED, /* runnable, the CPU was taken */
	TS_THROTTLED, /* runnable, the quota of the group was used up */
	TS_STEAL,
	TS_WAIT_POLL, /* for anything: epoll, poll, select, accept */
	TS_WAIT_NET,
	TS_WAIT_SLEEP,
	TS_WAIT_FUTEX,
	TS_WAIT_BLOCK,   /* in_iowait */
	TS_WAIT_JOURNAL, /* in a sync or file call, waiting for another task */
	TS_WAIT_MEM,
	TS_WAIT_OTHER,
	TS_COUNT,
	TS_MAX = 32, /* counters in a slot: a power of two, for the verifier's mask */
};

#define TS_ON_CPU_LAST TS_IRQ_OTHER

/*
 * A thread's slot. Written by the kernel side only; a thread that reads its own
 * slot sees no change under its hands but those of interrupts (`sequence`).
 */
struct thread_slot {
	__u32 tid, tgid; /* as the initial pid namespace numbers them; 0: free */
	__u32 generation; /* grows each time the slot gets a new thread */
	__u32 sequence;	  /* odd while counters change */
	__u64 last_ns;	  /* the counters are true up to here */
	__u64 wake_ns;	  /* woken since the switch-out, 0: not yet */
	__u64 ns[TS_MAX];
	__u8 off_cpu;	/* 0 on the CPU, else 1 + the state it waits in */
	__u8 sys;	/* 0 in user code, else 1 + the state of the call's CPU time */
	__u8 sys_wait;	/* the state of a wait in this call */
	__u8 sys_op;	/* enum syscall_op of this call */
	__u8 softirq;	/* 0 none, else 1 + its state */
	__u8 hardirq;	/* 0 none, else 1 + its state */
	__u8 hardirq_depth;
	__u8 service;	/* index that user space gave the process */
	__u32 switches;	/* times it left the CPU */
	__u64 enter_ns;	/* of this system call */
	__u64 enter[TS_MAX]; /* the counters then */
	/* of a run: the last receive and transmit of this thread */
	__u64 rx_arrival_ns; /* first byte of what the last receive returned; 0: unknown */
	__u64 rx_latest_ns;  /* last segment of it */
	__u64 rx_counters[TS_MAX]; /* this thread's counters at that arrival */
	__u64 rx_counted;    /* arrival the counters belong to; 0: there are none */
	__u64 rx_sequence;   /* grows with each receive */
	__u64 tx_ns;	     /* handed to the device queue; of the last send */
	__u64 tx_sequence;
};

/* What a system call does, as far as gait follows it (src/probe/syscalls.c has the table). */
enum syscall_op {
	SYSCALL_NONE,
	SYSCALL_READ,	   /* (fd, buf, len): file or socket */
	SYSCALL_READV,	   /* (fd, iov, n) */
	SYSCALL_PREAD,	   /* (fd, buf, len, offset) */
	SYSCALL_WRITE,
	SYSCALL_WRITEV,
	SYSCALL_PWRITE,
	SYSCALL_RECV,	   /* (fd, buf, len) */
	SYSCALL_RECVMSG,   /* (fd, msghdr) */
	SYSCALL_SEND,
	SYSCALL_SENDFILE,  /* (out, in, offset *, len) */
	SYSCALL_SYNC,	   /* fsync(fd) */
	SYSCALL_DATASYNC,  /* fdatasync(fd), sync_file_range(fd) */
	SYSCALL_OPEN,	   /* returns fd */
	SYSCALL_STAT,
	SYSCALL_POLL,	   /* epoll_wait and its kin */
	SYSCALL_ACCEPT,	   /* returns fd */
	SYSCALL_CONNECT,   /* (fd) */
	SYSCALL_LISTEN,	   /* (fd) */
	SYSCALL_SLEEP,
	SYSCALL_OTHER,
};

struct syscall_class {
	__u8 op;   /* enum syscall_op */
	__u8 cpu;  /* enum thread_state of its CPU time */
	__u8 wait; /* enum thread_state of its waits */
};

#define SYSCALLS_MAX 512

enum event_kind {
	EVENT_THREAD = 1, /* a thread is followed from now on */
	EVENT_THREAD_EXIT,
	EVENT_SOCKET, /* a connection is followed from now on */
	EVENT_SOCKET_CLOSE,
	EVENT_LISTEN,
	EVENT_CALL, /* a system call that gait follows has returned */
	EVENT_RECEIVE, /* one that took bytes from a socket: a longer record */
};

enum socket_flag {
	SOCKET_OUTGOING = 1, /* opened by the service */
	SOCKET_BEFORE = 2,   /* open before it was followed: its start is unknown */
};

enum object_kind { OBJECT_NONE, OBJECT_FILE, OBJECT_SOCKET, OBJECT_OTHER };

struct event_head {
	__u16 kind;
	__u16 slot;
	__u32 generation;
	__u64 ns;
};

struct event_thread {
	struct event_head head;
	__u32 tid, tgid;
	__u32 service;
	__u32 pad;
	char comm[16];
	__u64 ns[TS_COUNT]; /* at the exit; 0 at the start */
};

struct event_socket {
	struct event_head head;
	__u64 socket_id;
	__u16 family;
	__u16 local_port, remote_port; /* host order */
	__u16 flags;		       /* enum socket_flag */
	__u8 local_addr[16], remote_addr[16];
	__u32 srtt_us;
	__u32 pad;
};

struct event_call {
	struct event_head head; /* ns: the return */
	__u64 enter_ns;
	__u64 socket_id; /* of the socket it moved bytes on; 0: none */
	__u64 inode, generation; /* of the file; 0: none */
	__u64 file_bytes; /* its size at the return */
	__s64 offset;	  /* of the bytes moved; < 0: none */
	__s64 ret;
	__u64 tx_ns; /* when the socket last handed bytes to the device queue */
	__u32 device; /* of the file's file system */
	__u32 magic;  /* of the file's file system */
	__u32 file_flags; /* O_* */
	__u16 syscall_nr;
	__u8 op;     /* enum syscall_op */
	__u8 object; /* enum object_kind */
	__u64 enter[TS_COUNT]; /* the thread's counters at entry and at return */
	__u64 exit[TS_COUNT];
};

#define EVENT_HEAD_BYTES 64

struct event_receive {
	struct event_call call;
	__u64 arrival_ns; /* first byte in the kernel; 0: unknown */
	__u64 latest_ns;  /* last segment */
	__u64 counted;	  /* 1: `arrival` holds the thread's counters at arrival_ns */
	__u64 arrival[TS_COUNT];
	__u32 head_bytes; /* of `bytes` that are filled; never stored */
	__u32 unread;	  /* 1: bytes were left in the socket */
	__u8 bytes[EVENT_HEAD_BYTES];
};

/* Losses, counted where they happen. */
enum loss_kind {
	LOSS_RING_FULL,
	LOSS_THREADS_OVER,
	LOSS_SOCKETS_OVER,
	LOSS_OBJECTS_UNSEEN,
	LOSS_COUNT,
};

#endif
