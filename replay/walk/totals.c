/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/totals.h"

#include "replay/node_clock.h"
#include "replay/walk/tables.h"
#include "trace/totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct walk_totals {
	uint32_t classes, nodes;
	struct totals client;
	struct totals of[]; /* each node */
};

struct walk_totals *walk_totals_new(const struct walk_opts *opts, uint32_t nodes)
{
	struct walk_totals *t = calloc(1, sizeof(*t) + nodes * sizeof(t->of[0]));

	if (!t)
		return NULL;
	t->classes = opts->classes_count ? (uint32_t)opts->classes_count : 1;
	t->nodes = nodes;
	return t;
}

void walk_totals_free(struct walk_totals *t)
{
	if (!t)
		return;
	totals_release(&t->client);
	for (uint32_t i = 0; i < t->nodes; i++)
		totals_release(&t->of[i]);
	free(t);
}

static int no_memory(struct err *err)
{
	return err_errno(err, ENOMEM, "cannot hold the totals of the run");
}

/* What a node says of it is not known: the node's time and the wire stay in the rest. */
int walk_totals_add(struct walk_totals *t, uint32_t class, const struct walk_row *client,
		    struct err *err)
{
	static const struct node_clock none;
	const struct client_fact fact = walk_fact(client);
	struct row_latency row;

	if (client->received_ns < 0)
		return 0;
	node_clock_split(&none, &fact, NULL, &row);
	return totals_add_row(&t->client, class, &row) ? no_memory(err) : 0;
}

int walk_totals_take(struct walk_totals *t, uint32_t node, const struct wire_total *total,
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
	return totals_add(&t->of[node], total->class, total->bin, &part) ? no_memory(err) : 0;
}

static int write_of(const struct totals *totals, uint64_t service_id, struct trace_writer *writer,
		    uint64_t *ret_requests, struct err *err)
{
	const struct total *total;
	int rc = 0;

	for (uint32_t class = 0, bin = 0; !rc && (total = totals_next(totals, &class, &bin));
	     bin++) {
		struct row_total row = totals_row(total, bin);

		row.class_id = WALK_CLASS + class;
		row.service_id = service_id;
		*ret_requests += row.requests;
		rc = trace_write(writer, TABLE_TOTALS, &row, err);
	}
	return rc;
}

int walk_totals_write(const struct walk_totals *t, struct trace_writer *writer,
		      struct ledger *ledger, struct err *err)
{
	uint64_t ignored = 0;
	int rc = write_of(&t->client, TRACE_CLIENT_SERVICE, writer,
			  &ledger->count[LG_REQUESTS_SUMMED], err);

	for (uint32_t i = 0; i < t->nodes && !rc; i++)
		rc = write_of(&t->of[i], WALK_SERVICE + i, writer, &ignored, err);
	return rc;
}
