/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/run_totals.h"

#include "replay/breakdown.h"
#include "replay/plan/idmap.h"
#include "trace/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct run_totals {
	const struct plan_set *set;
	struct idmap classes; /* class_id -> number */
	uint64_t ids[WIRE_CLASSES_MAX];
	uint32_t count;
	struct totals client;
	struct totals of[PLAN_SERVICES_MAX]; /* each service */
};

static int no_memory(struct err *err)
{
	return err_errno(err, ENOMEM, "cannot hold the totals of the run");
}

/* 0 is a class too, of which nobody knows more; an idmap has no place for that. */
static uint64_t key_of(uint64_t class_id)
{
	return class_id ? class_id : UINT64_MAX;
}

static int number_class(struct run_totals *t, struct plan_request *request, struct err *err)
{
	uint64_t key = key_of(request->class_id);
	uint32_t number = idmap_get(&t->classes, key);

	if (number == IDMAP_NONE && t->count == WIRE_CLASSES_MAX)
		return err_set(
			err, E2BIG,
			"the trace has more than %d classes of requests, which --keep adds up "
			"one by one: filter it with gait edit, or leave out --keep",
			WIRE_CLASSES_MAX);
	if (number == IDMAP_NONE) {
		number = t->count++;
		t->ids[number] = request->class_id;
		idmap_put(&t->classes, key, number);
	}
	request->class = number;
	return 0;
}

static int number_classes(struct run_totals *t, struct plan *plan, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < plan->requests_count && !rc; i++)
		rc = number_class(t, &plan->requests[i], err);
	return rc;
}

int run_totals_new(struct plan_set *set, struct run_totals **ret_totals, struct err *err)
{
	struct run_totals *t = calloc(1, sizeof(*t));
	int rc = 0;

	if (!t || idmap_init(&t->classes, WIRE_CLASSES_MAX)) {
		free(t);
		return no_memory(err);
	}
	t->set = set;
	for (size_t p = 0; p < set->count && !rc; p++)
		rc = number_classes(t, &set->plans[p], err);
	if (!rc)
		rc = number_classes(t, &set->client, err);
	plan_set_forget(set);
	if (rc)
		run_totals_free(t);
	else
		*ret_totals = t;
	return rc;
}

void run_totals_free(struct run_totals *t)
{
	if (!t)
		return;
	idmap_release(&t->classes);
	totals_release(&t->client);
	for (size_t p = 0; p < PLAN_SERVICES_MAX; p++)
		totals_release(&t->of[p]);
	free(t);
}

uint32_t run_totals_classes(const struct run_totals *t)
{
	return t->count;
}

/* What a node says of it is not known: the node's time stays in the rest. */
int run_totals_add(struct run_totals *t, uint32_t class, const struct client_fact *fact,
		   struct err *err)
{
	struct row_latency row;

	if (!fact->received_ns)
		return 0;
	breakdown_client(fact, NULL, false, &row);
	return totals_add_row(&t->client, class, &row) ? no_memory(err) : 0;
}

int run_totals_take(struct run_totals *t, uint32_t service, const struct wire_total *total,
		    struct err *err)
{
	struct total part = {
		.requests = total->requests,
		.total_ns = total->total_ns,
		.unattributed_ns = total->unattributed_ns,
	};

	if (total->class >= t->count)
		return err_set(err, EPROTO, "the node has totals of a class that there is not");
	memcpy(part.ns, total->ns, sizeof(part.ns));
	return totals_add(&t->of[service], total->class, total->bin, &part) ? no_memory(err) : 0;
}

static int write_of(const struct run_totals *t, const struct totals *totals, uint64_t service_id,
		    struct trace_writer *writer, uint64_t *ret_requests, struct err *err)
{
	const struct total *total;
	int rc = 0;

	for (uint32_t class = 0, bin = 0; !rc && (total = totals_next(totals, &class, &bin));
	     bin++) {
		struct row_total row = totals_row(total, bin);

		row.class_id = t->ids[class];
		row.service_id = service_id;
		*ret_requests += row.requests;
		rc = trace_write(writer, TABLE_TOTALS, &row, err);
	}
	return rc;
}

int run_totals_write(const struct run_totals *t, struct trace_writer *writer, struct ledger *ledger,
		     struct err *err)
{
	uint64_t ignored = 0;
	int rc = write_of(t, &t->client, TRACE_CLIENT_SERVICE, writer,
			  &ledger->count[LG_REQUESTS_SUMMED], err);

	for (size_t p = 0; p < t->set->count && !rc; p++)
		rc = write_of(t, &t->of[p], t->set->plans[p].service.service_id, writer, &ignored,
			      err);
	return rc;
}
