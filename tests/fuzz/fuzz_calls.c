/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of four services on three hosts that begin, are answered and end in any order, also back in
 * time, over connections that open and close: each has one row, its parent is of another service, of
 * the host that its connection is from, and had come before, and a call has one operation. An event of
 * the input is 4 bytes: what, who, when, which.
 */
#include "capture/packet/calls.h"

#include <stdlib.h>
#include <string.h>

#define SPANS_MAX 48
#define LINKS_MAX 6
#define SERVICES 4
#define REQUESTS_MAX 4096
#define MS 1000000LL

struct request {
	int64_t arrival_ns;
	uint8_t service, link; /* link: number + 1; 0: none */
	bool written;
};

struct place {
	struct span span;
	struct row_request row;
	bool open, held;
	uint8_t link;
};

struct world {
	struct calls *calls;
	struct ledger ledger;
	struct place places[SPANS_MAX];
	struct call_link *links[LINKS_MAX];
	struct request requests[REQUESTS_MAX + 1];
	int64_t closed_ns[LINKS_MAX];
	uint64_t begun, rows, ops, parents;
	int64_t now_ns;
};

static const uint8_t host_of[SERVICES] = { 1, 1, 2, 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
	if (!held)
		abort();
}

static uint8_t link_host(unsigned link)
{
	return (uint8_t)(1 + link % 3);
}

static void check_request(struct world *w, const struct row_request *row)
{
	struct request *r = &w->requests[row->request_id], *parent = &w->requests[row->parent_id];

	must(row->request_id <= w->begun && !r->written);
	must(row->confidence <= 100);
	r->written = true;
	w->rows++;
	if (!row->parent_id)
		return;
	w->parents++;
	must(r->link && host_of[parent->service] == link_host(r->link - 1u));
	must(parent->service != r->service);
	must(parent->arrival_ns <= r->arrival_ns);
}

static int on_row(void *arg, enum trace_table table, const void *row)
{
	const struct row_op *op = row;
	struct world *w = arg;

	if (table == TABLE_REQUESTS)
		check_request(w, row);
	if (table != TABLE_OPS)
		return 0;
	w->ops++;
	must(op->op_id && op->request_id && op->target_id && op->connection_id);
	must(op->after < op->op_id);
	return 0;
}

static void on_release(void *arg, struct span *span)
{
	struct place *p = (struct place *)((char *)span - offsetof(struct place, span));

	(void)arg;
	must(p->held && !p->open);
	p->held = false;
}

static void begin(struct world *w, const uint8_t *at)
{
	struct place *p = &w->places[at[3] % SPANS_MAX];
	unsigned service = at[1] % SERVICES, link = at[1] / SERVICES % (LINKS_MAX + 1);

	if (p->held || w->begun == REQUESTS_MAX)
		return;
	if (link && !w->links[link - 1])
		w->links[link - 1] =
			calls_link(w->calls, link_host(link - 1), &w->closed_ns[link - 1], 0);
	*p = (struct place){ .open = true, .held = true, .link = (uint8_t)link };
	p->row = (struct row_request){ .request_id = ++w->begun,
				       .service_id = service + 1,
				       .connection_id = 1 + link,
				       .confidence = 100,
				       .arrival_ns = w->now_ns,
				       .write_ns = TRACE_NONE,
				       .end_ns = TRACE_NONE };
	p->span = (struct span){ .row = &p->row,
				 .link = link ? w->links[link - 1] : NULL,
				 .head = at[1] >> 6,
				 .host = host_of[service],
				 .service = (uint16_t)service,
				 .framed = at[3] & 0x80 };
	w->requests[w->begun] =
		(struct request){ w->now_ns, (uint8_t)service, (uint8_t)link, false };
	calls_begin(w->calls, &p->span);
}

static void answer(struct world *w, struct place *p)
{
	int64_t ns = w->now_ns > p->row.arrival_ns ? w->now_ns : p->row.arrival_ns;

	if (!p->open)
		return;
	if (p->row.write_ns == TRACE_NONE)
		p->row.write_ns = ns;
	if (ns > p->row.end_ns)
		p->row.end_ns = ns;
}

static void end(struct world *w, struct place *p)
{
	if (!p->open)
		return;
	p->open = false;
	p->row.class_id = p->row.service_id;
	calls_end(w->calls, &p->span, w->now_ns);
}

static void close_link(struct world *w, unsigned link)
{
	const struct row_connection row = { .connection_id = 1 };

	if (!w->links[link])
		return;
	for (size_t i = 0; i < SPANS_MAX; i++)
		if (w->places[i].link == link + 1)
			end(w, &w->places[i]);
	calls_unlink(w->calls, w->links[link], &row);
	w->links[link] = NULL;
	w->closed_ns[link] = 0;
}

static void play(struct world *w, const uint8_t *at)
{
	struct place *p = &w->places[at[3] % SPANS_MAX];

	w->now_ns += ((int8_t)at[2]) * (at[0] & 0x80 ? 100 * MS : MS / 4);
	w->now_ns = w->now_ns > 0 ? w->now_ns : 0;
	calls_advance(w->calls, w->now_ns);
	switch (at[0] % 6) {
	case 0:
	case 1:
		begin(w, at);
		break;
	case 2:
		answer(w, p);
		break;
	case 3:
		answer(w, p);
		end(w, p);
		break;
	case 4:
		end(w, p);
		break;
	default:
		if (at[1] & 1)
			close_link(w, at[3] % LINKS_MAX);
		else
			w->closed_ns[at[3] % LINKS_MAX] = w->now_ns;
	}
}

static void add_services(struct world *w)
{
	for (uint16_t i = 0; i < SERVICES; i++) {
		const uint8_t address[16] = { [15] = host_of[i] };
		const struct row_service row = { .service_id = i + 1u };

		must(calls_add_service(w->calls, i, address, &row) == host_of[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct calls_sink sink = { { on_row, w }, on_release, w };

	w->calls = calls_new(&sink, &w->ledger);
	add_services(w);
	for (; size >= 4; data += 4, size -= 4)
		play(w, data);
	for (unsigned i = 0; i < LINKS_MAX; i++)
		close_link(w, i);
	for (size_t i = 0; i < SPANS_MAX; i++)
		end(w, &w->places[i]);
	must(!calls_finish(w->calls));
	must(w->rows == w->begun && w->ops == w->parents);
	must(w->ledger.count[LG_CALLS_JOINED] == w->parents);
	calls_free(w->calls);
	free(w);
	return 0;
}
