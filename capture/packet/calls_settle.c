/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have made a call: the requests that it lies in, of services that make such calls at all.
 * An address may be that of others, too - programs without a service, hosts behind one NAT - and
 * theirs lie in requests by chance only. How often chance has it is known from those that lie in none.
 */
#include "capture/packet/calls_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define OTHERWISE 0.5	/* a service whose calls are more likely a stranger's makes none */
#define KNOWN_LEAST 16	/* calls from one service to another; of fewer one waits for more */
#define NESTED_MOST 60	/* confidence where the innermost of several services is taken */
#define GUESSED_MOST 49 /* where nothing beyond doubt has shown what such requests do */
#define CHOSEN_MOST 89	/* and of whatever was chosen among several, percent: less than of turns */

/* --- which services call which -------------------------------------------------------------------- */

static struct edge *edge_of(struct host *h, uint16_t from, uint16_t to)
{
	for (size_t i = 0; i < h->edges_count; i++)
		if (h->edges[i].from == from && h->edges[i].to == to)
			return &h->edges[i];
	return NULL;
}

static struct edge *have_edge(struct calls *c, struct host *h, uint16_t from, uint16_t to)
{
	size_t room = h->edges_room ? h->edges_room * 2 : 8;
	struct edge *grown, *edge = edge_of(h, from, to);

	if (edge)
		return edge;
	if (h->edges_count == h->edges_room) {
		grown = reallocarray(h->edges, room, sizeof(*grown));
		if (!grown) {
			c->failed = -ENOMEM;
			return NULL;
		}
		h->edges = grown;
		h->edges_room = room;
	}
	h->edges[h->edges_count] = (struct edge){ .from = from, .to = to };
	return &h->edges[h->edges_count++];
}

/* The part of its time in which a service had a request. */
static double busy_part(const struct calls *c, const struct service_state *s)
{
	int64_t busy_ns = s->busy_ns, all_ns = c->now_ns - s->first_ns;

	if (s->open && c->now_ns > s->since_ns)
		busy_ns += c->now_ns - s->since_ns;
	if (all_ns <= 0 || busy_ns >= all_ns)
		return 1;
	return (double)busy_ns / (double)all_ns;
}

/*
 * Of the calls that lie in requests of `from`, the part that is no chance: strangers' calls come
 * busy or not, so as many of them lie inside as the busy time is longer than the rest.
 */
static double share_of(const struct calls *c, const struct edge *e)
{
	double busy = busy_part(c, &c->services[e->from]);

	if (!e->in)
		return 0;
	if (!e->out)
		return 1;
	if (busy >= 1)
		return 0;
	return fmax(0, 1 - (double)e->out * busy / (1 - busy) / (double)e->in);
}

/* How much less likely it is that all that came by chance. */
static double evidence_of(const struct calls *c, const struct edge *e)
{
	double busy = fmin(fmax(busy_part(c, &c->services[e->from]), 1e-6), 1 - 1e-6);
	double in = (double)e->in, out = (double)e->out, all = in + out;

	return in * log(fmax(in / all, 1e-12) / busy) +
	       (out > 0 ? out * log(out / all / (1 - busy)) : 0);
}

/* Services of one host that seem to call each other: one of them does. */
static double admitted(const struct calls *c, struct host *h, uint16_t from, uint16_t to)
{
	const struct edge *there = edge_of(h, from, to), *back = edge_of(h, to, from);
	double share = there ? share_of(c, there) : 0;

	if (share <= OTHERWISE)
		return 0;
	if (back && share_of(c, back) > OTHERWISE && evidence_of(c, back) >= evidence_of(c, there))
		return 0;
	return share;
}

/* --- candidates ------------------------------------------------------------------------------------ */

static bool lies_in(const struct calls *c, const struct span *call, int64_t end_ns,
		    const struct span *s)
{
	return s->row->arrival_ns <= call->row->arrival_ns && span_end(c, s) >= end_ns;
}

/* The latest request that had come when the call began; `from`: that of a call before it. */
static struct span *reach(const struct host *h, struct span *from, const struct span *call)
{
	int64_t ns = call->row->arrival_ns;

	if (!from)
		from = h->first && h->first->row->arrival_ns <= ns ? h->first : NULL;
	while (from && from->newer && from->newer->row->arrival_ns <= ns)
		from = from->newer;
	return from;
}

/* Once for each call: of which services' requests it lies in one. */
static void count_edges(struct calls *c, struct host *h, struct span *call, const struct span *from)
{
	bool in[CALLS_SERVICES_MAX] = { false };
	int64_t end_ns = span_end(c, call);
	uint16_t host = (uint16_t)(h - c->hosts + 1);
	unsigned left = 0, looked = 0;

	for (unsigned i = 0; i < c->services_count; i++)
		left += i != call->service && c->services[i].host == host;
	for (const struct span *s = from; s && left && looked < CANDIDATES_LOOKED; s = s->older) {
		looked++;
		if (in[s->service] || !lies_in(c, call, end_ns, s))
			continue;
		in[s->service] = true;
		left -= s->service != call->service;
	}
	for (unsigned i = 0; i < c->services_count; i++) {
		struct edge *e = i != call->service && c->services[i].host == host ?
					 have_edge(c, h, (uint16_t)i, call->service) :
					 NULL;

		if (!e)
			continue;
		e->in += in[i];
		e->out += !in[i] && end_ns > c->services[i].unseen_ns;
	}
	call->counted = true;
}

static bool add_candidate(struct calls *c, struct span *s)
{
	size_t room = c->candidates_room * 2;
	struct candidate *grown;

	if (c->candidates_count == c->candidates_room) {
		grown = reallocarray(c->candidates, room, sizeof(*grown));
		if (!grown) {
			c->failed = -ENOMEM;
			return false;
		}
		c->candidates = grown;
		c->candidates_room = room;
	}
	c->candidates[c->candidates_count++] = (struct candidate){ .span = s };
	return true;
}

/* Of the services called by one another, the requests of the innermost remain. */
static void keep_innermost(struct calls *c, struct host *h, struct call_choice *choice)
{
	struct candidate *at = &c->candidates[choice->first];
	bool outer[CANDIDATES_MAX] = { false };
	unsigned kept = 0;

	for (unsigned i = 0; i < choice->count; i++)
		for (unsigned k = 0; k < choice->count && !outer[i]; k++)
			outer[i] = at[k].span->service != at[i].span->service &&
				   admitted(c, h, at[i].span->service, at[k].span->service) > 0;
	for (unsigned i = 0; i < choice->count; i++) {
		choice->nested |= outer[i];
		if (!outer[i])
			at[kept++] = at[i];
	}
	choice->count = kept;
}

/* Of few calls chance may have all. */
static bool is_known(const struct edge *e)
{
	return e->in + e->out >= KNOWN_LEAST;
}

/* False: it is too early, for some of them go on, and what they do yet may tell. */
static bool find_candidates(struct calls *c, struct host *h, struct call_choice *choice,
			    struct span *from)
{
	double share[CALLS_SERVICES_MAX] = { 0 };
	uint16_t host = (uint16_t)(h - c->hosts + 1);
	bool over = true;
	unsigned looked = 0;

	for (unsigned i = 0; i < c->services_count; i++) {
		if (i != choice->call->service && c->services[i].host == host)
			share[i] = admitted(c, h, (uint16_t)i, choice->call->service);
		choice->owned |= share[i] > 0;
		choice->more |= share[i] > 0 && choice->made.end_ns <= c->services[i].unseen_ns;
		over &= !share[i] || is_known(edge_of(h, (uint16_t)i, choice->call->service));
	}
	for (struct span *s = choice->owned ? from : NULL; s; s = s->older) {
		if (++looked > CANDIDATES_LOOKED || choice->count == CANDIDATES_MAX) {
			choice->more = true;
			break;
		}
		if (share[s->service] <= 0 || !lies_in(c, choice->call, choice->made.end_ns, s))
			continue;
		if (!add_candidate(c, s))
			break;
		choice->count++;
		over &= span_end(c, s) != INT64_MAX;
		choice->share = fmin(choice->share, share[s->service]);
	}
	keep_innermost(c, h, choice);
	return over;
}

/* --- settling --------------------------------------------------------------------------------------- */

static bool is_ready(const struct calls *c, const struct span *call, bool all)
{
	int64_t end_ns = span_end(c, call);

	return end_ns != INT64_MAX && (all || c->now_ns >= end_ns + CALLS_LATE_NS);
}

static void add_choice(struct calls *c, struct host *h, struct span *call, struct span *from,
		       bool all)
{
	size_t room = c->choices_room ? c->choices_room * 2 : 64;
	int64_t end_ns = span_end(c, call);
	struct call_choice *grown, choice = {
		.call = call,
		.made = { call->row->arrival_ns, end_ns, 0, span_class(call), call },
		.first = c->candidates_count,
		.share = 1,
		.more = end_ns <= h->swept_ns, /* it came too late for some */
	};

	if (c->choices_count == c->choices_room) {
		grown = reallocarray(c->choices, room, sizeof(*grown));
		if (!grown) {
			c->failed = -ENOMEM;
			return;
		}
		c->choices = grown;
		c->choices_room = room;
	}
	choice.early = !find_candidates(c, h, &choice, from) && !all &&
		       c->now_ns < end_ns + CALLS_WAIT_NS;
	c->choices[c->choices_count++] = choice;
}

/* How sure it is that this one has made it, in percent. */
static uint8_t confidence_of(const struct calls *c, const struct call_choice *choice,
			     const struct span *parent)
{
	double percent = 100 * choice->share / (1 + choice->others), most = CHOSEN_MOST;

	if (choice->count == 1 && !choice->more && !choice->nested)
		return (uint8_t)percent;
	if (choice->nested || choice->more)
		most = NESTED_MOST;
	if (!calls_class_is_known(c, span_class(parent)))
		most = GUESSED_MOST;
	return (uint8_t)fmax(1, fmin(percent, most));
}

/* What ended last before it began: it waited for that, if for any. */
static uint64_t op_before(const struct span *parent, const struct call_made *made)
{
	const struct call_made *last = NULL;

	for (size_t i = 0; i < parent->made_count; i++)
		if (parent->made[i].end_ns <= made->start_ns && parent->made[i].op_id &&
		    (!last || parent->made[i].end_ns > last->end_ns))
			last = &parent->made[i];
	return last ? last->op_id : 0;
}

static void doubt(struct row_request *row, uint8_t confidence)
{
	if (row->confidence > confidence)
		row->confidence = confidence;
}

static void take_parent(struct calls *c, struct call_choice *choice)
{
	struct candidate *at = &c->candidates[choice->first];
	struct span *call = choice->call, *parent = at[choice->chosen].span;
	uint8_t confidence = confidence_of(c, choice, parent);

	c->ledger->count[LG_CALLS_JOINED]++;
	c->ledger->count[LG_CALLS_AMBIGUOUS] += confidence < 100;
	if (confidence == 100)
		call->link->for_connection = parent->row->connection_id;
	call->op_id = ++c->ledger->count[LG_OPS];
	call->after_op = op_before(parent, &choice->made);
	call->parent_service = parent->row->service_id;
	call->row->parent_id = parent->row->request_id;
	doubt(call->row, confidence);
	doubt(parent->row, confidence);
	for (unsigned i = 0; i < choice->count; i++)
		if (at[i].span->certainty > confidence)
			at[i].span->certainty = confidence;
	for (size_t i = 0; i < parent->made_count; i++)
		if (parent->made[i].span == call) {
			parent->made[i].op_id = call->op_id;
			parent->made[i].span = NULL;
		}
}

static void leave_waiting(struct host *h, struct span *s)
{
	*(s->before ? &s->before->next : &h->waiting) = s->next;
	*(s->next ? &s->next->before : &h->latest) = s->before;
	h->waiting_count--;
	s->settled = true;
	s->choice = NULL;
}

static void settle(struct calls *c, struct host *h, struct call_choice *choice)
{
	if (choice->count)
		take_parent(c, choice);
	else
		c->ledger->count[LG_CALLS_UNOWNED] += choice->owned;
	leave_waiting(h, choice->call);
}

void calls_settle(struct calls *c, struct host *h, bool all)
{
	struct span *from = NULL;

	c->choices_count = c->candidates_count = 0;
	for (struct span *s = h->waiting; s; s = s->next) {
		if (s->counted || !is_ready(c, s, all) || span_end(c, s) <= h->swept_ns)
			continue;
		from = reach(h, from, s);
		count_edges(c, h, s, from);
	}
	from = NULL;
	for (struct span *s = h->waiting; s; s = s->next) {
		if (!is_ready(c, s, all))
			continue;
		from = reach(h, from, s);
		add_choice(c, h, s, from, all);
	}
	if (c->failed)
		return;
	c->failed = calls_choose(c);
	for (size_t i = 0; i < c->choices_count; i++) {
		struct call_choice *choice = &c->choices[i];

		if (!choice->early)
			settle(c, h, choice);
		else if (choice->count)
			span_remove_call(c->candidates[choice->first + choice->chosen].span,
					 choice->call);
	}
}
