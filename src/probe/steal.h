/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_STEAL_H
#define GAIT_PROBE_STEAL_H

#include <stdint.h>

struct btf;

/*
 * In a guest of KVM the hypervisor writes into a variable of each CPU how long it let that CPU
 * wait (arch/x86/kernel/kvm.c: steal_time; Documentation/virt/kvm/x86/msr.rst). No program can
 * name it where the kernel lists no symbols of data, but variables of a CPU lie in one block, and
 * the kernel's types say where: this is the distance, in bytes, from the CPU's run queue, which
 * each thread knows. 0: another hypervisor, another architecture, or none.
 */
int64_t steal_from_rq(const struct btf *btf);

#endif
