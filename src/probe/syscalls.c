/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/syscalls.h"

#include <stddef.h>
#include <sys/syscall.h>

struct row {
	int nr;
	struct syscall_class class;
};

#define NET TS_KERNEL_NET, TS_WAIT_NET
#define POLL TS_KERNEL_NET, TS_WAIT_POLL
#define FS TS_KERNEL_FS, TS_WAIT_JOURNAL
#define MM TS_KERNEL_MM, TS_WAIT_OTHER
#define FUTEX TS_KERNEL_OTHER, TS_WAIT_FUTEX
#define SLEEP TS_KERNEL_OTHER, TS_WAIT_SLEEP
#define OTHER TS_KERNEL_OTHER, TS_WAIT_OTHER

/* A call on a descriptor is classed as one on a file; on a socket the kernel side corrects it. */
static const struct row rows[] = {
	{ SYS_read, { SYSCALL_READ, FS } },
	{ SYS_readv, { SYSCALL_READV, FS } },
	{ SYS_pread64, { SYSCALL_PREAD, FS } },
	{ SYS_preadv, { SYSCALL_PREAD, FS } },
	{ SYS_preadv2, { SYSCALL_PREAD, FS } },
	{ SYS_write, { SYSCALL_WRITE, FS } },
	{ SYS_writev, { SYSCALL_WRITEV, FS } },
	{ SYS_pwrite64, { SYSCALL_PWRITE, FS } },
	{ SYS_pwritev, { SYSCALL_PWRITE, FS } },
	{ SYS_pwritev2, { SYSCALL_PWRITE, FS } },
	{ SYS_recvfrom, { SYSCALL_RECV, NET } },
	{ SYS_recvmsg, { SYSCALL_RECVMSG, NET } },
	{ SYS_sendto, { SYSCALL_SEND, NET } },
	{ SYS_sendmsg, { SYSCALL_SENDMSG, NET } },
	{ SYS_sendfile, { SYSCALL_SENDFILE, NET } },
	{ SYS_fsync, { SYSCALL_SYNC, FS } },
	{ SYS_fdatasync, { SYSCALL_DATASYNC, FS } },
	{ SYS_sync_file_range, { SYSCALL_DATASYNC, FS } },
	{ SYS_openat, { SYSCALL_OPEN, FS } },
	{ SYS_openat2, { SYSCALL_OPEN, FS } },
	{ SYS_newfstatat, { SYSCALL_STAT, FS } },
	{ SYS_fstat, { SYSCALL_STAT, FS } },
	{ SYS_statx, { SYSCALL_STAT, FS } },
	{ SYS_faccessat, { SYSCALL_STAT, FS } },
	{ SYS_lseek, { SYSCALL_OTHER, FS } },
	{ SYS_close, { SYSCALL_CLOSE, FS } },
	{ SYS_ftruncate, { SYSCALL_OTHER, FS } },
	{ SYS_renameat, { SYSCALL_OTHER, FS } },
	{ SYS_renameat2, { SYSCALL_OTHER, FS } },
	{ SYS_unlinkat, { SYSCALL_OTHER, FS } },
	{ SYS_fallocate, { SYSCALL_OTHER, FS } },
	{ SYS_epoll_pwait, { SYSCALL_POLL, POLL } },
	{ SYS_epoll_pwait2, { SYSCALL_POLL, POLL } },
	{ SYS_ppoll, { SYSCALL_POLL, POLL } },
	{ SYS_pselect6, { SYSCALL_POLL, POLL } },
	{ SYS_epoll_ctl, { SYSCALL_OTHER, NET } },
	{ SYS_accept, { SYSCALL_ACCEPT, POLL } },
	{ SYS_accept4, { SYSCALL_ACCEPT, POLL } },
	{ SYS_connect, { SYSCALL_CONNECT, NET } },
	{ SYS_socket, { SYSCALL_OTHER, NET } },
	{ SYS_setsockopt, { SYSCALL_OTHER, NET } },
	{ SYS_getsockopt, { SYSCALL_OTHER, NET } },
	{ SYS_shutdown, { SYSCALL_OTHER, NET } },
	{ SYS_recvmmsg, { SYSCALL_RECVMMSG, NET } },
	{ SYS_sendmmsg, { SYSCALL_SENDMMSG, NET } },
	{ SYS_splice, { SYSCALL_SPLICE_IN, FS } },
	{ SYS_io_uring_enter, { SYSCALL_URING, POLL } },
	{ SYS_nanosleep, { SYSCALL_SLEEP, SLEEP } },
	{ SYS_clock_nanosleep, { SYSCALL_SLEEP, SLEEP } },
	{ SYS_futex, { SYSCALL_FUTEX, FUTEX } },
	{ SYS_futex_waitv, { SYSCALL_OTHER, FUTEX } },
	{ SYS_mmap, { SYSCALL_OTHER, MM } },
	{ SYS_munmap, { SYSCALL_OTHER, MM } },
	{ SYS_mprotect, { SYSCALL_OTHER, MM } },
	{ SYS_madvise, { SYSCALL_OTHER, MM } },
	{ SYS_brk, { SYSCALL_OTHER, MM } },
#ifdef SYS_epoll_wait /* the calls that newer architectures left out */
	{ SYS_epoll_wait, { SYSCALL_POLL, POLL } },
	{ SYS_poll, { SYSCALL_POLL, POLL } },
	{ SYS_select, { SYSCALL_POLL, POLL } },
	{ SYS_open, { SYSCALL_OPEN, FS } },
	{ SYS_stat, { SYSCALL_STAT, FS } },
	{ SYS_lstat, { SYSCALL_STAT, FS } },
	{ SYS_access, { SYSCALL_STAT, FS } },
	{ SYS_rename, { SYSCALL_OTHER, FS } },
	{ SYS_unlink, { SYSCALL_OTHER, FS } },
#endif
};

void syscalls_classify(struct syscall_class ret_classes[SYSCALLS_MAX])
{
	for (size_t i = 0; i < SYSCALLS_MAX; i++)
		ret_classes[i] = (struct syscall_class){ SYSCALL_OTHER, OTHER };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].nr < SYSCALLS_MAX)
			ret_classes[rows[i].nr] = rows[i].class;
}
