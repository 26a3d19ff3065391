/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_ATTRIBUTION_CALL_SPLIT_H
#define GAIT_ATTRIBUTION_CALL_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/*
 * The time that one request waited for other services, given to the requests that it waited for.
 * Pure: its waits (forward operations) and the requests that they caused come in, and each of
 * those gets the part of its span that the waiting request's end depended on.
 *
 * Waits that overlap are walked from the last end backwards, as critical paths are found in traces
 * of parallel programs (Yang and Miller, "Critical path analysis for the execution of parallel and
 * distributed programs", 1988): from an end, back to where that wait began, and on from there. So
 * the parts of waits that are left do not overlap. Of several requests in one wait - a quorum,
 * branches, attempts - the one counts that ended last before the wait did, and no other.
 *
 * What is left of such a part beside that request's span is the wire, both ways: the difference of
 * two durations, each by one clock. The time between the arrivals of the first request of a wait
 * and of the one that ended it (an attempt that came to nothing) is neither: it stays a call.
 */

/* What a stamp may be late by: an end whose transmit stamp is missing is its send call's return. */
#define CALL_STAMP_NS 100000

/* No wait of a request, or no request of a wait. */
#define CALL_NONE SIZE_MAX

/* Beyond these a request's time of waiting stays a call. */
#define CALL_WAITS_MAX 1024
#define CALL_CALLEES_MAX 1024

struct call_wait {
	int64_t start_ns, end_ns; /* by the caller's clock */
	uint64_t service;	  /* that was called first; 0: unknown */
	/* out */
	int64_t part_ns; /* of it on the path */
	size_t callee;	 /* who ended it; CALL_NONE */
};

struct callee {
	int64_t arrival_ns, end_ns; /* by the caller's clock; TRACE_NONE: there is no common one */
	int64_t bound_ns;	    /* how far off these two may be */
	int64_t total_ns;	    /* of its rows: its span by its own clock; 0: it has no rows */
	uint64_t service;
	/* out */
	size_t wait;	  /* which one it belongs to; CALL_NONE */
	int64_t taken_ns; /* of total_ns, on the path */
	int64_t wire_ns;
};

/*
 * Sorts waits by their end, the last first. The sum of all taken_ns, wire_ns and of what is
 * returned, which stays a call, is call_ns. Where the caller itself was busy during its waits
 * (call_ns is less than they are long) all parts of the path shrink alike, and the callee's share
 * in what the caller waited is at most that.
 */
int64_t call_split(int64_t call_ns, struct call_wait *waits, size_t waits_count,
		   struct callee *callees, size_t callees_count);

/* ns * part / whole without overflow, towards 0; whole > 0, 0 <= part <= whole. */
int64_t call_scale(int64_t ns, int64_t part, int64_t whole);

#endif
