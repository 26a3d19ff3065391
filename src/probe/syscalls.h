/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_SYSCALLS_H
#define GAIT_PROBE_SYSCALLS_H

#include "bpf/event.h"

/*
 * Fills in the class of every system call of this architecture: what gait follows
 * it for, and the states of its CPU time and of its waits.
 */
void syscalls_classify(struct syscall_class ret_classes[SYSCALLS_MAX]);

#endif
