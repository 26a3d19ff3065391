/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/forward.h"

#include "replay/net/datagram.h"
#include "replay/node/service.h"

#include "replay/chain/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A peer that is asked for one request; its index is the messages' cookie. */
struct forward_target {
	struct forward_call *call;
	uint64_t request;
	uint32_t cookie, attempt, bytes;
	uint32_t number; /* of a walk: of its first attempt (replay/chain/calls.h) */
	uint16_t peer, at;
	bool waits; /* for a reply, or for its time to be asked again */
	struct exec_result *result;
};

struct forward_call {
	struct active *active;
	int64_t timeout_ns;
	uint32_t retries;
	uint32_t needed, answered, waiting;
	int status;		     /* of the last that failed */
	bool beginning, over;	     /* while peers are asked it does not end */
	bool all;		     /* are waited for, well or not: of a replay */
	struct exec_result *results; /* of its ops */
	size_t ops, targets_count;
	struct forward_target targets[];
};

struct forward_deadline {
	int64_t ns;
	uint64_t request;
	uint32_t cookie, attempt;
};

int forward_peers_init(struct forward_peers *peers, size_t count)
{
	*peers = (struct forward_peers){ .all = calloc(count + 1, sizeof(*peers->all)),
					 .count = count };
	return peers->all ? 0 : -ENOMEM;
}

void forward_peers_release(struct forward_peers *peers)
{
	free(peers->all);
	*peers = (struct forward_peers){ 0 };
}

/* By datagrams only what may be asked again, and is known by its place in a chain. */
static int check_transport(const struct address *address, const char *text, bool walks,
			   struct err *err)
{
	if (address->transport == TRANSPORT_TCP || (walks && address->transport == TRANSPORT_UDP))
		return 0;
	return err_set(err, EPROTONOSUPPORT, "'%s': nodes call each other by TCP%s", text,
		       walks ? " or UDP" : " in a replay");
}

int forward_peers_tell(struct forward_peers *peers, const struct wire_peer *peer, bool walks,
		       struct err *err)
{
	const struct address_defaults defaults = { "localhost", CHAIN_PORT };
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	struct forward_peer *to;
	struct address address;
	int rc;

	if (peer->index >= peers->count)
		return err_set(err, EPROTO, "there is no peer %u", peer->index);
	rc = address_parse(peer->address, &defaults, &address, err);
	if (!rc)
		rc = check_transport(&address, peer->address, walks, err);
	if (!rc)
		rc = address_resolve(&address, false, endpoints, err);
	if (rc < 0)
		return rc;
	to = &peers->all[peer->index];
	to->endpoint = endpoints[0];
	memcpy(to->secret, peer->secret, sizeof(to->secret));
	to->thread = peer->thread;
	to->datagrams = address.transport == TRANSPORT_UDP;
	to->known = true;
	return 0;
}

static struct forward_call *call_new(struct active *a, size_t ops, size_t targets)
{
	struct forward_call *call = calloc(1, sizeof(*call) + targets * sizeof(call->targets[0]));

	if (!call)
		return NULL;
	call->results = calloc(ops, sizeof(*call->results));
	if (!call->results) {
		free(call);
		return NULL;
	}
	call->active = a;
	call->ops = ops;
	return call;
}

static void call_free(struct forward_call *call)
{
	if (!call)
		return;
	free(call->results);
	free(call);
}

int forward_work_init(struct forward_work *work, size_t peers)
{
	work->conns = calloc(peers + 1, sizeof(*work->conns));
	return work->conns ? 0 : -ENOMEM;
}

void forward_work_release(struct forward_work *work)
{
	for (size_t i = 0; i < work->targets_count; i++) /* each call once */
		if (work->targets[i] && work->targets[i] != work->targets[i]->call->targets)
			work->targets[i] = NULL;
	for (size_t i = 0; i < work->targets_count; i++)
		if (work->targets[i])
			call_free(work->targets[i]->call);
	free(work->conns);
	free(work->targets);
	free(work->spare);
	free(work->heap);
}

/* --- cookies and deadlines ----------------------------------------------------------------- */

static bool cookies_grow(struct forward_work *work)
{
	size_t capacity = work->targets_capacity ? 2 * work->targets_capacity : 64;
	void *targets = realloc(work->targets, capacity * sizeof(*work->targets));
	void *spare;

	if (!targets)
		return false;
	work->targets = targets;
	spare = realloc(work->spare, capacity * sizeof(*work->spare));
	if (!spare)
		return false;
	work->spare = spare;
	work->targets_capacity = capacity;
	return true;
}

static bool cookie_take(struct forward_work *work, struct forward_target *t)
{
	if (!work->spare_count && work->targets_count == work->targets_capacity &&
	    !cookies_grow(work))
		return false;
	t->cookie = work->spare_count ? work->spare[--work->spare_count] :
					(uint32_t)work->targets_count++;
	work->targets[t->cookie] = t;
	return true;
}

static void cookie_give(struct forward_work *work, const struct forward_target *t)
{
	work->targets[t->cookie] = NULL;
	work->spare[work->spare_count++] = t->cookie;
}

static bool deadline_add(struct forward_work *work, struct forward_deadline d)
{
	size_t at = work->heap_count;

	if (work->heap_count == work->heap_capacity) {
		size_t capacity = work->heap_capacity ? 2 * work->heap_capacity : 64;
		void *heap = realloc(work->heap, capacity * sizeof(*work->heap));

		if (!heap)
			return false;
		work->heap = heap;
		work->heap_capacity = capacity;
	}
	for (work->heap_count++; at && work->heap[(at - 1) / 2].ns > d.ns; at = (at - 1) / 2)
		work->heap[at] = work->heap[(at - 1) / 2];
	work->heap[at] = d;
	return true;
}

static struct forward_deadline deadline_take(struct forward_work *work)
{
	struct forward_deadline first = work->heap[0], moved = work->heap[--work->heap_count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < work->heap_count) {
		if (child + 1 < work->heap_count && work->heap[child + 1].ns < work->heap[child].ns)
			child++;
		if (work->heap[child].ns >= moved.ns)
			break;
		work->heap[at] = work->heap[child];
		at = child;
	}
	work->heap[at] = moved;
	return first;
}

/* --- calls --------------------------------------------------------------------------------- */

/* Enough have answered, or cannot any more: the request goes on. */
static void call_end(struct worker *w, struct forward_call *call)
{
	for (size_t i = 0; i < call->targets_count; i++)
		cookie_give(&w->walk.forward, &call->targets[i]);
	if (!call->all) { /* its peers are of one op */
		call->results->end_ns = w->exec.meter.last.ns;
		call->results->status = call->answered >= call->needed ? 0 : call->status;
	}
	serve_called(w, call->active, call->results, call->ops);
	call_free(call);
}

static bool is_over(const struct forward_call *call)
{
	if (call->all)
		return !call->waiting;
	return call->answered >= call->needed || call->answered + call->waiting < call->needed;
}

/* The call may be no more then. */
static void target_failed(struct worker *w, struct forward_target *t, int status)
{
	struct forward_call *call = t->call;

	t->waits = false;
	t->result->status = status;
	t->result->end_ns = w->exec.meter.last.ns;
	call->waiting--;
	call->status = status;
	call->over = is_over(call);
	if (call->over && !call->beginning)
		call_end(w, call);
}

/* False: there is no way to it. */
static bool ask(struct worker *w, struct forward_target *t)
{
	struct forward_work *work = &w->walk.forward;
	struct walk_conn **wc = &work->conns[t->peer];
	const struct forward_call *call = t->call;
	struct forward_deadline deadline = {
		.ns = w->exec.meter.last.ns + call->timeout_ns,
		.request = t->request,
		.cookie = t->cookie,
		.attempt = t->attempt,
	};

	if (!deadline_add(work, deadline))
		return false;
	if (!*wc && w->service->peers.all[t->peer].known)
		*wc = walk_dial(w, t->peer);
	if (!*wc)
		return false;
	walk_post(w, *wc,
		  &(struct wire_message){ .request = t->request,
					  .size = t->bytes,
					  .attempt = t->number + t->attempt,
					  .cookie = t->cookie,
					  .at = t->at });
	return true;
}

/* None is less than its headers. */
static uint32_t message_size(uint64_t bytes, bool datagram)
{
	uint64_t least = datagram ? DATAGRAM_REQUEST_BYTES : WIRE_MESSAGE_BYTES;

	return (uint32_t)(bytes > least ? bytes : least);
}

static size_t count_targets(const struct chain *c, const struct chain_op *op)
{
	size_t n = 0;

	for (;; op = &c->ops[op->forward->next_branch]) {
		n += op->forward->peers_count;
		if (!op->forward->next_branch)
			return n;
	}
}

static void add_target(struct worker *w, struct forward_call *call, struct forward_target t,
		       uint64_t bytes)
{
	t.call = call;
	t.waits = true;
	t.bytes = message_size(bytes, w->service->peers.all[t.peer].datagrams);
	t.result->bytes += t.bytes;
	call->targets[call->targets_count++] = t;
	call->waiting++;
}

/*
 * In a replay each op calls one request, once: if the service asked again, that is an op of its
 * own. Ops that were under way together are so here.
 */
static struct forward_call *call_of_replay(struct worker *w, struct active *a,
					   const struct plan_op *op)
{
	size_t ops = op->owners ? op->owners : 1;
	struct forward_call *call = ops <= WIRE_OPS_MAX ? call_new(a, ops, ops) : NULL;
	const struct queued_op *q = a->op;

	if (!call)
		return NULL;
	call->timeout_ns = w->service->call_timeout_ns;
	call->all = true;
	for (size_t i = 0; i < ops; i++, q = queued_op_next(q)) {
		if (!q || q->op.kind != OP_FORWARD) { /* no plan of ours says so */
			call->ops = i;
			return call;
		}
		if (q->op.offset == TRACE_NONE) {
			w->exec.ledger.count[LG_CALLS_STUBBED]++;
			continue;
		}
		call->results[i].done = true;
		add_target(w, call,
			   (struct forward_target){ .request = (uint64_t)q->op.offset,
						    .peer = (uint16_t)q->op.work,
						    .result = &call->results[i] },
			   q->op.bytes);
	}
	return call;
}

/* The call of its i-th address, so that the callee's row says who called. */
static uint32_t number_of(const struct worker *w, const struct active *a, const struct chain_op *op,
			  uint32_t i)
{
	const struct walk_program *p = w->service->walk;

	return chain_call(&p->calls, (uint32_t)(op - p->chain.ops) + 1, a->plan->request.call, i,
			  op->forward->retries + 1);
}

static struct forward_call *call_of_walk(struct worker *w, struct active *a,
					 const struct plan_op *op)
{
	const struct chain *c = &w->service->walk->chain;
	const struct chain_op *of_chain = &c->ops[op->op_id - 1];
	const struct chain_forward *f = of_chain->forward;
	struct forward_call *call = call_new(a, 1, count_targets(c, of_chain));

	if (!call)
		return NULL;
	call->timeout_ns = (int64_t)f->timeout_ns;
	call->retries = f->retries;
	call->needed = f->quorum;
	call->results->done = true;
	for (;; of_chain = &c->ops[of_chain->forward->next_branch]) {
		for (uint32_t i = 0; i < of_chain->forward->peers_count; i++)
			add_target(w, call,
				   (struct forward_target){ .request = a->plan->request.request_id,
							    .peer = of_chain->forward->peers[i],
							    .at = (uint16_t)(of_chain - c->ops + 1),
							    .number = number_of(w, a, of_chain, i),
							    .result = call->results },
				   op->bytes);
		if (!of_chain->forward->next_branch)
			return call;
	}
}

static bool take_cookies(struct forward_work *work, struct forward_call *call)
{
	for (size_t i = 0; i < call->targets_count; i++) {
		if (cookie_take(work, &call->targets[i]))
			continue;
		while (i-- > 0)
			cookie_give(work, &call->targets[i]);
		return false;
	}
	return true;
}

bool forward_begin(struct worker *w, struct active *a, const struct plan_op *op)
{
	bool walks = w->service->walk != NULL;
	struct forward_call *call = walks ? call_of_walk(w, a, op) : call_of_replay(w, a, op);

	if (!call || !take_cookies(&w->walk.forward, call)) {
		call_free(call);
		serve_failed(a, ENOMEM);
		return false;
	}
	call->beginning = true;
	for (size_t i = 0; i < call->targets_count && !call->over; i++)
		if (!ask(w, &call->targets[i]) && !call->retries)
			target_failed(w, &call->targets[i], ECONNREFUSED);
	call->beginning = false;
	if (call->over)
		call_end(w, call);
	return true;
}

/* No reply comes, so there is nothing to wait for. */
static void tell_forgotten(struct worker *w, uint32_t peer, uint64_t request)
{
	struct walk_conn **wc = &w->walk.forward.conns[peer];

	if (!*wc)
		*wc = walk_dial(w, peer);
	if (*wc)
		walk_post(w, *wc,
			  &(struct wire_message){ .request = request,
						  .size = WIRE_MESSAGE_BYTES,
						  .status = WIRE_STATUS_FORGET });
}

void forward_forget(struct worker *w, const struct queued_request *q)
{
	for (const struct queued_op *op = q->ops; op; op = queued_op_next(op))
		if (op->op.kind == OP_FORWARD && op->op.offset != TRACE_NONE)
			tell_forgotten(w, (uint32_t)op->op.work, (uint64_t)op->op.offset);
}

void forward_drop_unwanted(struct worker *w)
{
	struct queued_request *q;

	while ((q = called_unwanted(&w->called))) {
		forward_forget(w, q);
		node_plan_give(&w->service->plan, q);
	}
}

void forward_reply(struct worker *w, const struct wire_message *m)
{
	static const int statuses[WIRE_STATUS_COUNT] = {
		[WIRE_STATUS_ERROR] = EIO,
		[WIRE_STATUS_TIMEOUT] = ETIMEDOUT,
		[WIRE_STATUS_FORGET] = EIO, /* no reply is that */
	};
	struct forward_work *work = &w->walk.forward;
	struct forward_target *t = m->cookie < work->targets_count ? work->targets[m->cookie] :
								     NULL;

	if (!t || !t->waits || t->request != m->request || t->at != m->at)
		return; /* nobody waits for it any more; an earlier attempt's will do */
	t->result->reply_bytes += m->size;
	if (m->status == WIRE_STATUS_PART)
		return;
	if (m->status != WIRE_STATUS_OK) {
		target_failed(w, t, statuses[m->status]);
		return;
	}
	t->waits = false;
	t->result->end_ns = w->exec.meter.last.ns;
	t->call->waiting--;
	t->call->answered++;
	if (is_over(t->call))
		call_end(w, t->call);
}

/* Its last attempt fails; one that is not the last has its time still to wait. */
void forward_lost(struct worker *w, struct walk_conn *wc)
{
	struct forward_work *work = &w->walk.forward;
	uint32_t peer = wc->peer - 1;

	if (work->conns[peer] != wc)
		return;
	work->conns[peer] = NULL;
	for (size_t i = 0; i < work->targets_count; i++) {
		struct forward_target *t = work->targets[i];

		if (t && t->waits && t->peer == peer && t->attempt == t->call->retries)
			target_failed(w, t, ECONNRESET);
	}
}

int64_t forward_next_ns(const struct worker *w)
{
	return w->walk.forward.heap_count ? w->walk.forward.heap[0].ns : INT64_MAX;
}

static void expire(struct worker *w, const struct forward_deadline *d)
{
	struct forward_target *t = w->walk.forward.targets[d->cookie];

	if (!t || !t->waits || t->request != d->request || t->attempt != d->attempt)
		return;
	if (t->attempt == t->call->retries) {
		target_failed(w, t, ETIMEDOUT);
		return;
	}
	t->attempt++;
	if (!ask(w, t) && t->attempt == t->call->retries)
		target_failed(w, t, ECONNREFUSED);
}

void forward_expire(struct worker *w)
{
	while (forward_next_ns(w) <= w->exec.meter.last.ns) {
		struct forward_deadline d = deadline_take(&w->walk.forward);

		expire(w, &d);
	}
}
