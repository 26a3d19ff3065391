/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_EDIT_JOIN_H
#define GAIT_EDIT_JOIN_H

#include "base/clock_offset.h"

/*
 * Which request of the called service each call on a connection became. Messages of a connection
 * keep their order, a request lies within its call in time, and both ends count the same bytes.
 * Pure: the two ends' messages in, pairs out.
 */
struct join_message {
	int64_t start_ns, end_ns;     /* call: sent, reply received; request: arrival, end */
	uint64_t out_bytes, in_bytes; /* request and reply; in_bytes 0: no reply was seen */
	uint64_t request_id;	      /* call: who made it, 0: unknown; request: its own */
	uint32_t connection;	      /* for the caller's use */
	uint32_t mate : 31;	      /* index of its partner, or JOIN_NONE */
	uint32_t doubtful : 1;	      /* joined, but the bytes differ */
};

#define JOIN_NONE 0x7fffffffU

/*
 * What a stamp may be late by: the end of a request whose transmit stamp is missing is its send
 * call's return, and the peer may have the bytes before that.
 */
#define JOIN_STAMP_NS 100000

/* Clocks of a connection's two ends; line NULL: it is one clock. */
struct join_clock {
	const struct clock_line *line;
	bool caller_is_a;
};

/* In caller's time. */
int64_t join_clock_of_request(const struct join_clock *clock, int64_t ns);

/* One connection. Both arrays by start_ns. */
struct join {
	struct join_message *calls, *requests;
	size_t calls_count, requests_count;
	struct join_clock clock;
	int64_t slack_ns; /* of that clock: times closer than this may be in either order */
};

/* Of a call that never had a reply, the end is that of the next one. Once, before the others. */
void join_close_calls(struct join_message *calls, size_t count);

/*
 * Pairs that are certain by order, time and bytes: whether calls are given to requests from the
 * front or from the back makes no difference. Sets mate; 0 or -ENOMEM.
 */
int join_certain(struct join *j);

/*
 * join_certain(), and then what lies between the certain pairs: with late stamps; several requests
 * in one call (sent in one piece, and their bytes add up); and those that only one call can have
 * caused although the bytes differ, which are doubtful. What is left has no mate.
 */
int join_all(struct join *j);

#endif
