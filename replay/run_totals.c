/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/run_totals.h"

#include "trace/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct run_totals {
	uint32_t classes, services;
	uint64_t *class_ids;
	struct totals client;
	struct part {
		uint64_t service_id;
		struct totals totals;
	} of[]; /* each service */
};

struct run_totals *run_totals_new(const uint64_t *class_ids, uint32_t classes,
				  const uint64_t *service_ids, uint32_t services)
{
	struct run_totals *t = calloc(1, sizeof(*t) + services * sizeof(t->of[0]));
	uint64_t *ids = calloc(classes ? classes : 1, sizeof(*ids));

	if (!t || !ids) {
		free(ids);
		free(t);
		return NULL;
	}
	t->classes = classes;
	t->services = services;
	t->class_ids = ids;
	for (uint32_t i = 0; i < classes; i++)
		ids[i] = class_ids[i];
	for (uint32_t i = 0; i < services; i++)
		t->of[i].service_id = service_ids[i];
	return t;
}

void run_totals_free(struct run_totals *t)
{
	if (!t)
		return;
	totals_release(&t->client);
	for (uint32_t i = 0; i < t->services; i++)
		totals_release(&t->of[i].totals);
	free(t->class_ids);
	free(t);
}

static int no_memory(struct err *err)
{
	return err_errno(err, ENOMEM, "cannot hold the totals of the run");
}

int run_totals_add(struct run_totals *t, uint32_t class, const struct row_latency *client,
		   struct err *err)
{
	return totals_add_row(&t->client, class, client) ? no_memory(err) : 0;
}

int run_totals_take(struct run_totals *t, uint32_t service, const struct wire_total *total,
		    struct err *err)
{
	struct total part = {
		.requests = total->requests,
		.total_ns = total->total_ns,
		.unattributed_ns = total->unattributed_ns,
	};

	if (total->class >= t->classes)
		return err_set(err, EPROTO, "the node has totals of a class that there is not");
	memcpy(part.ns, total->ns, sizeof(part.ns));
	return totals_add(&t->of[service].totals, total->class, total->bin, &part) ?
		       no_memory(err) :
		       0;
}

static int write_of(const struct run_totals *t, const struct totals *totals, uint64_t service_id,
		    struct trace_writer *writer, uint64_t *ret_requests, struct err *err)
{
	const struct total *total;
	int rc = 0;

	for (uint32_t class = 0, bin = 0; !rc && (total = totals_next(totals, &class, &bin));
	     bin++) {
		struct row_total row = totals_row(total, bin);

		row.class_id = t->class_ids[class];
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

	for (uint32_t i = 0; i < t->services && !rc; i++)
		rc = write_of(t, &t->of[i].totals, t->of[i].service_id, writer, &ignored, err);
	return rc;
}
