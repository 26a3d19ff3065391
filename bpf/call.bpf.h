/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_CALL_BPF_H
#define GAIT_BPF_CALL_BPF_H

/* The system call a thread is in: its number, arguments, and what gait follows it for. */
#include "gait.bpf.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFIFO 0010000
#define S_ANONYMOUS 0 /* eventfd, timerfd and their kin */

#define IOVECS_MAX 8

extern const volatile struct syscall_class cfg_syscalls[SYSCALLS_MAX];

#if defined(__TARGET_ARCH_x86)
#define ARG1(r) ((r)->di)
#define ARG2(r) ((r)->si)
#define ARG3(r) ((r)->dx)
#define ARG4(r) ((r)->r10)
#define ARG5(r) ((r)->r8)
#define CALL_NUMBER(r) ((r)->orig_ax)
#define TS_COMPAT 2
#define IS_COMPAT(task) ((task)->thread_info.status & TS_COMPAT)
#elif defined(__TARGET_ARCH_arm64)
#define ARG1(r) ((r)->orig_x0)
#define ARG2(r) ((r)->user_regs.regs[1])
#define ARG3(r) ((r)->user_regs.regs[2])
#define ARG4(r) ((r)->user_regs.regs[3])
#define ARG5(r) ((r)->user_regs.regs[4])
#define CALL_NUMBER(r) ((r)->user_regs.regs[8])
#define TIF_32BIT (1ul << 22)
#define IS_COMPAT(task) ((task)->thread_info.flags & TIF_32BIT)
#endif
/* IS_COMPAT: a 32-bit call, numbered otherwise */

static __always_inline bool op_receives(__u8 op)
{
	return op == SYSCALL_READ || op == SYSCALL_READV || op == SYSCALL_RECV ||
	       op == SYSCALL_RECVMSG || op == SYSCALL_RECVMMSG || op == SYSCALL_SPLICE_IN;
}

static __always_inline bool op_is_mmsg(__u8 op)
{
	return op == SYSCALL_RECVMMSG || op == SYSCALL_SENDMMSG;
}

static __always_inline bool op_has_message(__u8 op)
{
	return op == SYSCALL_RECVMSG || op == SYSCALL_SENDMSG || op_is_mmsg(op);
}

/* recvmmsg(), sendmmsg(): struct mmsghdr is a msghdr with its length behind it. */
#define MESSAGES_MAX 64
#define MMSGHDR_BYTES 64
#define MMSGHDR_LEN 56

static __always_inline __u32 message_bytes(__u64 mmsghdr)
{
	__u32 len = 0;

	bpf_probe_read_user(&len, sizeof(len), (void *)(mmsghdr + MMSGHDR_LEN));
	return len;
}

/* Where a call's bytes lie in user memory: from base on, or in several pieces. */
struct user_bytes {
	__u64 base; /* of the first piece */
	__u64 iovec;
	__u64 iovecs; /* pieces; 0: one, without a vector */
};

static __always_inline void user_bytes_look(struct pt_regs *regs, __u8 op, struct user_bytes *ret)
{
	__u64 pointer = ARG2(regs);

	ret->base = pointer;
	ret->iovec = ret->iovecs = 0;
	if (op == SYSCALL_READV || op == SYSCALL_WRITEV) {
		ret->iovec = pointer;
		ret->iovecs = ARG3(regs);
	} else if (op_has_message(op)) {
		/* of several the first; struct msghdr: msg_iov at 16, msg_iovlen at 24 */
		bpf_probe_read_user(&ret->iovec, sizeof(ret->iovec), (void *)(pointer + 16));
		bpf_probe_read_user(&ret->iovecs, sizeof(ret->iovecs), (void *)(pointer + 24));
	}
	if (ret->iovecs)
		bpf_probe_read_user(&ret->base, sizeof(ret->base), (void *)ret->iovec);
}

/* The task's own pointers are walked by plain loads, which the verifier knows from BTF. */
static __always_inline struct file *file_of(__u64 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct files_struct *files = task->files;
	struct fdtable *table;
	struct file *file = NULL;

	if (!files)
		return NULL;
	table = files->fdt;
	if (!table || fd >= table->max_fds)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

/*
 * Before 6.8 the verifier does not see that a number in a register and the same number on the stack
 * are one: what bounds the first must bound what is used, so the compiler may not fetch it again.
 */
#define HELD(number) asm volatile("" : "+r"(number))

/* Copies up to `room` of `bytes` from one piece; how many it were. */
static __always_inline __u32 copy_flat(__u8 *to, __u64 from, __u64 bytes, __u32 room)
{
	HELD(bytes);
	if (bytes > room)
		bytes = room;
	HELD(bytes);
	return bpf_probe_read_user(to, bytes, (void *)from) ? 0 : bytes;
}

/* From several pieces: half of the room, so that no piece can reach beyond its end. */
static __always_inline __u32 copy_pieces(__u8 *to, const struct user_bytes *from, __u64 bytes,
					 __u32 half)
{
	__u32 filled = 0;

	for (__u32 i = 0; i < IOVECS_MAX && i < from->iovecs && filled < half; i++) {
		__u64 iovec[2]; /* struct iovec: base, length */
		__u64 len;

		if (bpf_probe_read_user(iovec, sizeof(iovec), (void *)(from->iovec + 16 * i)))
			break;
		len = iovec[1] < bytes ? iovec[1] : bytes;
		if (len > half)
			len = half;
		if (bpf_probe_read_user(to + filled, len, (void *)iovec[0]))
			break;
		filled += len;
		bytes -= len;
		if (len < iovec[1])
			break;
	}
	return filled;
}

#endif
