/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/ground.h"

#if GAIT_BPF

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INITIAL_PID_NAMESPACE 0xeffffffcu /* include/linux/proc_ns.h: PROC_PID_INIT_INO */
#define BTF_PATH "/sys/kernel/btf/vmlinux"

/* The kernel side numbers processes as the initial namespace does; elsewhere pids mean others. */
static bool in_initial_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NAMESPACE;
}

int ground_check(struct err *err)
{
	if (!in_initial_pid_namespace())
		return err_set(
			err, ENOTSUP,
			"gait runs in a PID namespace of its own (a container?), where process "
			"numbers are not the kernel's: run it on the host, or share the host's "
			"PID namespace");
	if (access(BTF_PATH, R_OK))
		return err_set(
			err, ENOTSUP,
			"this kernel shows no type information (%s is missing): gait needs a "
			"kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions ship it",
			BTF_PATH);
	return 0;
}

static __thread char word[160];

__attribute__((format(printf, 2, 0))) static int keep_word(enum libbpf_print_level level,
							   const char *fmt, va_list args)
{
	size_t len;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(word, sizeof(word), fmt, args);
	len = strcspn(word, "\n");
	word[len] = 0;
	return 0;
}

void ground_listen(void)
{
	libbpf_set_print(keep_word);
	word[0] = 0;
}

const char *ground_word(void)
{
	return word;
}

#endif
