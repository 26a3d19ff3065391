/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_RUN_TOTALS_H
#define GAIT_REPLAY_RUN_TOTALS_H

#include "replay/client/fact.h"
#include "replay/net/wire.h"
#include "replay/plan/set.h"
#include "trace/trace.h"

/*
 * totals.csv of a replay: of its client, fact by fact, and of its nodes, which have added up their
 * rows by the numbers that the classes of the plans get here.
 */
struct run_totals;

/* Numbers the classes in the plans, too. -E2BIG: there are more than WIRE_CLASSES_MAX. */
int run_totals_new(struct plan_set *set, struct run_totals **ret_totals, struct err *err);
void run_totals_free(struct run_totals *totals);

uint32_t run_totals_classes(const struct run_totals *totals);

/* What the client knows of a request of a class, however the node got on with it. */
int run_totals_add(struct run_totals *totals, uint32_t class, const struct client_fact *fact,
		   struct err *err);

/* Of the node of set->plans[service]. */
int run_totals_take(struct run_totals *totals, uint32_t service, const struct wire_total *total,
		    struct err *err);

/* Counts those of the client (LG_REQUESTS_SUMMED). */
int run_totals_write(const struct run_totals *totals, struct trace_writer *writer,
		     struct ledger *ledger, struct err *err);

#endif
