/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_DEMAND_H
#define GAIT_REPLAY_NODE_DEMAND_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Demand that needs nothing but a CPU and memory. Amounts of CPU are in work units
 * (base/work.h); what takes long looks at *stopping every few ms and ends early.
 */

/* How a stretch of compute is measured out. */
enum compute_mode {
	COMPUTE_WORK, /* so many units: the same work whatever disturbs it */
	COMPUTE_CPU,  /* until the thread's CPU clock says that it had as much time */
	COMPUTE_WALL, /* until the clock on the wall does */
	COMPUTE_MODE_COUNT
};

struct demand {
	enum compute_mode compute;
	uint64_t work_per_ms; /* what a unit is in time */
	const atomic_bool *stopping;
};

void demand_compute(const struct demand *d, uint64_t work);

/*
 * Computes under lock number `lock` of the process, of which there are
 * NODE_LOCKS (a larger number means that modulo NODE_LOCKS). Who finds it taken
 * sleeps in the kernel (futex) until it is free.
 */
void demand_lock(const struct demand *d, uint64_t lock, uint64_t work);

/*
 * Allocates fresh pages for `bytes` bytes, writes to each and gives them back: one
 * page fault a page (huge pages are declined), NODE_MEMORY_BYTES at a time. 0 or
 * -errno of what the kernel refused.
 */
int demand_touch(const struct demand *d, uint64_t bytes);

/* Memory that is there already, for demand_stream(). A thread's own. */
struct streamed {
	uint64_t *words;
	uint64_t bytes; /* that have been touched */
};

/* Before the stream: touches as much as it will need. 0 or -ENOMEM. */
int streamed_prepare(struct streamed *s, uint64_t bytes);
void streamed_release(struct streamed *s);

/* Reads and writes so many bytes one after the other, beginning again at NODE_MEMORY_BYTES. */
void demand_stream(const struct demand *d, struct streamed *s, uint64_t bytes);

/*
 * CPU time in the kernel, as much as `work` would take in user space: random bytes
 * are drawn (getrandom(2)), at the rate that demand_kernel_calibrate() found.
 */
void demand_kernel(const struct demand *d, uint64_t work);

/* Once for all threads; takes some 10 ms the first time. To be called before demand_kernel(). */
void demand_kernel_calibrate(void);

#endif
