/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_FACT_H
#define GAIT_REPLAY_CLIENT_FACT_H

#include "trace/schema.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What the client knows of a request. Times are CLOCK_MONOTONIC of the client in
 * ns; 0: it did not happen, or nobody took the stamp.
 */
struct client_fact {
	int64_t intended_ns; /* when it was due; latency counts from here */
	int64_t sent_ns;     /* the client set about sending it */
	int64_t tx_ns;	     /* its first bytes were handed to the device queue */
	int64_t again_ns;    /* the socket had last sent something again */
	int64_t left_ns;     /* what it had last sent left the queueing discipline */
	int64_t sent_end_ns; /* the call that took its first bytes returned */
	int64_t came_ns;     /* the reply came to the client's socket, at the earliest; 0: then */
	int64_t arrival_ns;  /* its last byte came to it, or at the latest then */
	int64_t received_ns; /* that byte was read */
	uint32_t request;    /* index in the plan */
	uint32_t order;	     /* of sending, 1..; 0: it was not sent */
	uint32_t replied_bytes; /* by datagrams, so far */
	uint8_t outcome;	/* enum outcome */
	bool settled;		/* answered or failed */
};

#endif
