/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_RUN_TOTALS_H
#define GAIT_REPLAY_RUN_TOTALS_H

#include "replay/net/wire.h"
#include "trace/trace.h"

/*
 * totals.csv of a run of which only a sample has rows: of its client, row by row, and of its nodes,
 * which have added up theirs by the number of a class.
 */
struct run_totals;

/* What the numbers of classes and services stand for in the tables; it is copied. NULL: no memory. */
struct run_totals *run_totals_new(const uint64_t *class_ids, uint32_t classes,
				  const uint64_t *service_ids, uint32_t services);
void run_totals_free(struct run_totals *totals); /* takes NULL */

/* What the client knows of a request by itself; the node's time is in the rest. */
int run_totals_add(struct run_totals *totals, uint32_t class, const struct row_latency *client,
		   struct err *err);

/* What the node of a service says of a class; -EPROTO: there is no such class. */
int run_totals_take(struct run_totals *totals, uint32_t service, const struct wire_total *total,
		    struct err *err);

/* Counts those of the client (LG_REQUESTS_SUMMED). */
int run_totals_write(const struct run_totals *totals, struct trace_writer *writer,
		     struct ledger *ledger, struct err *err);

#endif
