/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_CALL_BPF_H
#define GAIT_BPF_CALL_BPF_H

/* The system call a thread is in: its number, arguments, and what gait follows it for. */
#include "gait.bpf.h"

#define TS_COMPAT 2 /* thread_info.status: a 32-bit call, numbered otherwise */

extern const volatile struct syscall_class cfg_syscalls[SYSCALLS_MAX];

#if defined(__TARGET_ARCH_x86)
#define ARG1(regs) ((regs)->di)
#define ARG2(regs) ((regs)->si)
#define ARG3(regs) ((regs)->dx)
#define ARG4(regs) ((regs)->r10)
#define ARG5(regs) ((regs)->r8)
#define CALL_NUMBER(regs) ((regs)->orig_ax)
#elif defined(__TARGET_ARCH_arm64)
#define ARG1(regs) ((regs)->orig_x0)
#define ARG2(regs) ((regs)->user_regs.regs[1])
#define ARG3(regs) ((regs)->user_regs.regs[2])
#define ARG4(regs) ((regs)->user_regs.regs[3])
#define ARG5(regs) ((regs)->user_regs.regs[4])
#define CALL_NUMBER(regs) ((regs)->user_regs.regs[8])
#endif

static __always_inline bool op_receives(__u8 op)
{
	return op == SYSCALL_READ || op == SYSCALL_READV || op == SYSCALL_RECV ||
	       op == SYSCALL_RECVMSG || op == SYSCALL_RECVMMSG;
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

#endif
