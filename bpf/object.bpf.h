/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef GAIT_BPF_OBJECT_BPF_H
#define GAIT_BPF_OBJECT_BPF_H

/* What a system call acts on: the file or the socket behind a descriptor, or what threads signal by. */
#include "call.bpf.h"
#include "gait.bpf.h"

#define SOCK_STREAM 1
#define SOCK_SEQPACKET 5

/* Since 6.2: an address is of that type, so plain loads (of nothing bad: 0) do for helper calls. */
extern void *bpf_rdonly_cast(const void *address, __u32 btf_id) __ksym __weak;

#define LOADABLE(address, type) \
	((struct type *)bpf_rdonly_cast(address, bpf_core_type_id_kernel(struct type)))

/* At its own end of a connection whoever accepted it finds the address that he listened at. */
static __always_inline bool unix_is_named(const struct sock *sk)
{
	return sk && BPF_CORE_READ((const struct unix_sock *)sk, addr);
}

static __always_inline struct sock *unix_peer(const struct sock *sk)
{
	return BPF_CORE_READ((const struct unix_sock *)sk, peer);
}

/*
 * Neither end of a pair has a name; a connection has one, and that is where it was accepted.
 * SOCKET_TCP: neither. As the others that are not inlined: the verifier looks at it once.
 */
__noinline int unix_kind(__u64 sock)
{
	const struct sock *sk = (const struct sock *)sock;
	__u16 type = BPF_CORE_READ(sk, sk_type);

	if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
		return SOCKET_TCP;
	return unix_is_named(sk) || unix_is_named(unix_peer(sk)) ? SOCKET_UNIX : SOCKET_PAIR;
}

static __always_inline void object_look_other(struct thread *thread, struct sock *sk, __u8 kind)
{
	thread->object = kind == SOCKET_TCP  ? OBJECT_UNSEEN :
			 kind == SOCKET_PAIR ? OBJECT_SIGNAL :
					       OBJECT_SOCKET;
	thread->socket_kind = kind;
	thread->sk = sk;
}

/* Read back as a number: functions that are not inlined take no pointer that is not trusted. */
static __always_inline __u64 socket_number(const struct thread *thread)
{
	return *(const volatile __u64 *)&thread->sk;
}

static __always_inline void object_look_socket(struct thread *thread, struct sock *sk, __u16 family,
					       __u16 protocol)
{
	if ((family == AF_INET || family == AF_INET6) && protocol == IPPROTO_TCP_) {
		thread->object = OBJECT_SOCKET;
		thread->socket_kind = SOCKET_TCP;
		thread->sk = sk;
	} else if (family == AF_UNIX && bpf_core_type_exists(struct unix_sock)) {
		thread->sk = sk;
		object_look_other(thread, sk, unix_kind(socket_number(thread)));
	} else if ((family == AF_INET || family == AF_INET6) && protocol == IPPROTO_UDP_) {
		object_look_other(thread, sk, SOCKET_UDP);
	} else {
		thread->object = OBJECT_UNSEEN;
	}
}

static __always_inline void object_look_probing(struct thread *thread, struct file *file)
{
	__u16 type = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;

	if (type == S_IFREG || type == S_IFBLK) {
		thread->object = OBJECT_FILE;
	} else if (type == S_IFSOCK) {
		struct socket *socket = BPF_CORE_READ(file, private_data);
		struct sock *sk = BPF_CORE_READ(socket, sk);

		object_look_socket(thread, sk, BPF_CORE_READ(sk, __sk_common.skc_family),
				   BPF_CORE_READ(sk, sk_protocol));
	} else {
		thread->object = type == S_IFIFO || type == S_ANONYMOUS ? OBJECT_SIGNAL :
									  OBJECT_OTHER;
	}
}

static __always_inline void object_look_loading(struct thread *thread, struct file *address)
{
	struct file *file = LOADABLE(address, file);
	__u16 type = file->f_inode->i_mode & S_IFMT;

	if (type == S_IFREG || type == S_IFBLK) {
		thread->object = OBJECT_FILE;
	} else if (type == S_IFSOCK) {
		struct sock *sk = LOADABLE(file->private_data, socket)->sk;

		object_look_socket(thread, sk, sk->__sk_common.skc_family, sk->sk_protocol);
	} else {
		thread->object = type == S_IFIFO || type == S_ANONYMOUS ? OBJECT_SIGNAL :
									  OBJECT_OTHER;
	}
}

/* Finds out what a descriptor is: a socket, a file with contents, a signal, something else. */
static __always_inline void object_look(struct thread *thread, __u64 fd)
{
	struct file *file = file_of(fd);

	thread->object = OBJECT_NONE;
	thread->file = file;
	thread->sk = NULL;
	thread->socket_kind = SOCKET_TCP;
	if (!file)
		return;
	if (bpf_rdonly_cast)
		object_look_loading(thread, file);
	else
		object_look_probing(thread, file);
}

/* What a futex call is for: linux/futex.h, without its flags. */
static __always_inline __u8 futex_op(__u32 command)
{
	switch (command & 0x7f) {
	case 0: /* FUTEX_WAIT */
	case 9: /* FUTEX_WAIT_BITSET */
		return SYSCALL_WAIT;
	case 1:	 /* FUTEX_WAKE */
	case 3:	 /* FUTEX_REQUEUE */
	case 4:	 /* FUTEX_CMP_REQUEUE */
	case 5:	 /* FUTEX_WAKE_OP */
	case 10: /* FUTEX_WAKE_BITSET */
		return SYSCALL_WAKE;
	default:
		return SYSCALL_OTHER;
	}
}

/* Ops whose first argument is a descriptor that may be a file or a socket. */
static __always_inline bool op_moves_bytes(__u8 op)
{
	return op >= SYSCALL_READ && op <= SYSCALL_SENDFILE;
}

static __always_inline bool op_on_descriptor(__u8 op)
{
	return op_moves_bytes(op) || op == SYSCALL_SYNC || op == SYSCALL_DATASYNC ||
	       op == SYSCALL_CLOSE;
}

static __always_inline bool op_splices(__u8 op)
{
	return op == SYSCALL_SPLICE_IN || op == SYSCALL_SPLICE_OUT;
}

/* A splice has a pipe at one end; the other end is what it is about. Both pipes: nothing is. */
static __always_inline __u8 object_look_splice(struct thread *thread, struct pt_regs *regs)
{
	object_look(thread, ARG1(regs));
	if (thread->object != OBJECT_SIGNAL)
		return SYSCALL_SPLICE_IN;
	object_look(thread, ARG3(regs));
	if (thread->object == OBJECT_SIGNAL)
		thread->object = OBJECT_OTHER;
	return SYSCALL_SPLICE_OUT;
}

#endif
