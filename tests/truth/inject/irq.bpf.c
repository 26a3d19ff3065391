/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An interrupt that takes a known time: a sample of the CPU clock that spins. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SPINS_MAX 65536

const volatile __u64 cfg_spin_ns = 0;
__u64 spins_count;
__u64 spins_start_ns[SPINS_MAX], spins_end_ns[SPINS_MAX];

static long look(__u32 i, __u64 *until)
{
	return bpf_ktime_get_ns() >= *until;
}

SEC("perf_event")
int on_sample(void *context)
{
	__u64 start = bpf_ktime_get_ns(), until = start + cfg_spin_ns, index = spins_count;

	if (index >= SPINS_MAX)
		return 0;
	bpf_loop(1 << 20, look, &until, 0);
	spins_start_ns[index] = start;
	spins_end_ns[index] = bpf_ktime_get_ns();
	spins_count = index + 1;
	return 0;
}
