/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_BUDGET_H
#define GAIT_CAPTURE_BUDGET_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Ends a capture that costs too much (--max-overhead). Looks twice a second for 100 ms at the
 * kernel's own statistics of how long the probes ran, against the CPU the service used meanwhile.
 * That is an estimate: the statistics add some 20 ns to each run while they are looked at, they
 * leave out the way into a program, and they count the runs for bystanders too.
 */
struct budget_limit {
	uint64_t ppm;		 /* of the service's CPU; 0: no such limit */
	uint64_t ns_per_request; /* 0: no such limit */
};

/* "5%" or "2us" (a request). -EINVAL with a sentence. */
int budget_parse(const char *text, struct budget_limit *ret_limit, struct err *err);

struct budget {
	struct budget_limit limit;
	bool looking;
	int over; /* windows in a row */
	int64_t next_ns;
	uint64_t run_ns, cpu_ns, requests; /* when the window began */
};

struct probe;

/* Call it every few ms. Whether the limit was exceeded in two windows in a row. */
bool budget_step(struct budget *b, struct probe *probe, int64_t now_ns, uint64_t requests);

/* Whether a window exceeds the limit; one with next to no work says nothing. */
bool budget_exceeded(const struct budget_limit *limit, uint64_t run_ns, uint64_t cpu_ns,
		     uint64_t requests);

#endif
