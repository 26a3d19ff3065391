/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

/*
 * The few kernel types that gait reads, with the few members it reads of them.
 * CO-RE looks members up by name in the running kernel's BTF, so neither order
 * nor neighbours matter. A name with three underscores is a flavour: the same
 * struct as another kernel version has it.
 */
#include <linux/bpf.h>
#include <stdbool.h>

typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
typedef __s64 int64_t;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	long long i_size;
	__u32 i_generation;
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
	void *private_data;
	unsigned int f_flags;
	long long f_pos;
};

struct long_counter {
	long counter;
};

struct file___count {
	struct long_counter f_count; /* how many hold it */
};

struct file_ref {
	struct long_counter refcnt;
};

/* 6.13: the same less one */
struct file___ref {
	struct file_ref f_ref;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct rq {
	__u64 clock; /* as of its last update: each switch is one */
};

struct timerqueue_node {
	__s64 expires;
};

struct hrtimer {
	struct timerqueue_node node;
};

struct cfs_bandwidth {
	__s64 period;
	__u64 quota;
	struct hrtimer period_timer;
};

struct task_group {
	struct task_group *parent;
	struct cfs_bandwidth cfs_bandwidth;
};

struct cfs_rq {
	struct rq *rq;
	struct task_group *tg;
	int throttle_count;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 alone has it */
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
};

enum cgroup_subsys_id {
	io_cgrp_id,
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct bio *bi_next; /* of the same request */
	unsigned int bi_opf;
	unsigned short bi_flags;
	struct blkcg_gq *bi_blkg;
};

struct request {
	struct bio *bio;
};

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_arrival, last_queued; /* by the clock of its run queue */
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int on_cpu;
	unsigned int __state;
	struct sched_entity se;
	struct sched_info sched_info;
	unsigned in_iowait : 1;
	unsigned in_memstall : 1;
	int pid, tgid;
	char comm[16];
	struct files_struct *files;
	struct css_set *cgroups;
};

/* 6.18: bandwidth control throttles tasks one by one */
struct task_struct___throttled {
	bool throttled;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__u16 skc_num;
	__be16 skc_dport;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sk_buff_head {
	__u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct udp_sock {
	struct sk_buff_head reader_queue; /* the reader's part of sk_receive_queue */
};

struct unix_address {
	int len;
};

struct unix_sock {
	struct unix_address *addr; /* what it was bound to, or accepted at */
	struct sock *peer;
};

struct minmax_sample {
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	__u32 copied_seq;
	__u32 rcv_nxt;	       /* behind the last byte that came in order */
	struct minmax rtt_min; /* in us, over the last five minutes; s[0] is the least */
	__u32 srtt_us;	       /* smoothed round trip, in us, shifted left by 3 */
};

struct socket {
	struct sock *sk;
};

struct io_cqe {
	int fd; /* of the request, until it is done */
};

struct io_ring_ctx {
	unsigned int flags;
};

struct io_kiocb {
	struct file *file;
	__u8 opcode;
	__u64 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
};

struct io_uring_cqe {
	__s32 res;
};

struct kiocb {
	long long ki_pos;
};

/* what requests that read and write, and those on sockets, have in the front of io_kiocb */
struct io_rw {
	struct kiocb kiocb;
	__u64 addr;
	__u32 len;
};

struct io_sr_msg {
	void *buf;
};

struct io_sync {
	int flags;
};

struct io_open {
	__u32 file_slot;
};

struct io_accept {
	__u32 file_slot;
};

struct Qdisc {
	int (*enqueue)(void);
};

struct netdev_queue {
	struct Qdisc *qdisc;
};

struct net_device {
	struct netdev_queue *_tx;
	unsigned int num_tx_queues;
};

struct sk_buff {
	struct sock *sk;
	struct net_device *dev;
	unsigned int truesize;
	char cb[48];
};

/* what TCP keeps in sk_buff::cb */
struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
};

struct bpf_iter_meta {
	__u64 session_id;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	unsigned long regs[31];
};
struct pt_regs {
	struct user_pt_regs user_regs;
	unsigned long orig_x0;
};
#endif

#pragma clang attribute pop

#endif
