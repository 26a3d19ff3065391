/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_TOTALS_H
#define GAIT_REPLAY_WALK_TOTALS_H

#include "replay/net/wire.h"
#include "replay/walk/rows.h"
#include "replay/walk/walk.h"
#include "trace/trace.h"

/*
 * totals.csv of a walk: of its client, request by request, and of its nodes, which have added
 * up theirs. It lends the options.
 */
struct walk_totals;

/* NULL without memory. */
struct walk_totals *walk_totals_new(const struct walk_opts *opts, uint32_t nodes);
void walk_totals_free(struct walk_totals *totals);

/* What the client knows of a request by itself: late, send and receive of the time it took. */
int walk_totals_add(struct walk_totals *totals, uint32_t class, const struct walk_row *client,
		    struct err *err);

int walk_totals_take(struct walk_totals *totals, uint32_t node, const struct wire_total *total,
		     struct err *err);

/* Counts those of the client (LG_REQUESTS_SUMMED). */
int walk_totals_write(const struct walk_totals *totals, struct trace_writer *writer,
		      struct ledger *ledger, struct err *err);

#endif
