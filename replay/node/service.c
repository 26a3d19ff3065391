/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/service.h"

#include "replay/node/keeper.h"

#include "replay/node/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make_workers(struct service *s)
{
	s->workers = calloc(s->threads, sizeof(*s->workers));
	if (!s->workers)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->threads; i++) {
		int rc = worker_init(&s->workers[i], s, i);

		if (rc)
			return rc;
	}
	return 0;
}

static int make_parts(struct service *s, struct err *err)
{
	size_t requests = s->setup.requests_ahead;
	int rc = spool_init(&s->rows, sizeof(struct wire_row), err);

	if (!rc)
		rc = spool_init(&s->oprows, sizeof(struct wire_oprow), err);
	if (!rc && s->timelines)
		rc = spool_init(&s->stretches, sizeof(struct wire_stretch), err);
	if (!rc)
		rc = node_plan_init(&s->plan, requests, requests * NODE_OPS_PER_REQUEST, err);
	if (rc)
		return rc;
	s->conns = calloc(WIRE_CONNECTIONS_MAX, sizeof(*s->conns));
	s->background = calloc(WIRE_BACKGROUND_THREADS_MAX, sizeof(*s->background));
	if (!s->conns || !s->background || pipe2(s->strangers, O_NONBLOCK | O_CLOEXEC) ||
	    pipe2(s->offers, O_NONBLOCK | O_CLOEXEC) ||
	    idmap_init(&s->conn_ids, WIRE_CONNECTIONS_MAX) || groups_init(&s->groups))
		return err_errno(err, ENOMEM, "cannot set up a service");
	rc = make_workers(s);
	return rc ? err_errno(err, -rc, "cannot set up %u threads", s->threads) : 0;
}

/* Everything but its parts. */
static struct service *allocate(const struct service_setup *setup)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->setup = *setup;
	s->exec = (struct exec_setup){
		.slots = setup->slots,
		.counts_itself = setup->counts_itself,
		.storage = setup->storage,
		.oprows = &s->oprows,
		.encrypts = &s->encrypts,
		.demand = { setup->compute, setup->work_per_ms, &s->stopping },
		.stats = setup->stats,
	};
	io_init(&s->io, &setup->io, &s->exec);
	s->strangers[0] = s->strangers[1] = s->offers[0] = s->offers[1] = -1;
	s->rows.fd = s->oprows.fd = s->stretches.fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	admission_init(&s->admission);
	return s;
}

static int complete(struct service *s, struct service **ret_service, struct err *err)
{
	int rc = make_parts(s, err);

	if (rc)
		service_free(s);
	else
		*ret_service = s;
	return rc;
}

int service_new(const struct service_setup *setup, const struct wire_service *recorded,
		struct service **ret_service, struct err *err)
{
	struct service *s = allocate(setup);

	if (!s)
		return err_errno(err, ENOMEM, "cannot set up a service");
	s->batching = recorded->batching;
	s->recorded_threads = recorded->threads;
	s->timelines = recorded->timelines;
	s->call_timeout_ns = recorded->call_timeout_ns;
	if (forward_peers_init(&s->peers, recorded->peers)) {
		service_free(s);
		return err_errno(err, ENOMEM, "cannot hold %u peers", recorded->peers);
	}
	s->threads = setup->threads ? setup->threads : recorded->threads;
	return complete(s, ret_service, err);
}

/*
 * Its files are opened, and made, before a request comes to them. What is called on other
 * nodes may name devices that only they have: such an op is passed over here, and counted.
 */
static int prepare_chain(const struct service_setup *setup, const struct chain *chain,
			 struct err *err)
{
	static const bool on_files[OP_KIND_COUNT] = {
		[OP_LOAD] = true, [OP_STORE] = true, [OP_SYNC] = true, [OP_KERNEL] = true
	};
	static const atomic_bool never;
	uint32_t elsewhere = 0;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < chain->count; i++) {
		const struct chain_op *op = &chain->ops[i];
		struct plan_op shape = { .kind = op->kind,
					 .flags = op->flags,
					 .offset = TRACE_NONE };
		struct target *target = NULL;
		bool file = op->kind < OP_KIND_COUNT &&
			    (on_files[op->kind] || op->flags & OPF_SENDFILE);

		if (op->kind == OP_FORWARD && op->end > elsewhere)
			elsewhere = op->end;
		if (file)
			rc = storage_device(setup->storage, op->device, &never, &target, err);
		if (target)
			storage_prepare(setup->storage, target, &shape);
		if (rc == -ENODEV && i < elsewhere)
			rc = 0;
	}
	return rc;
}

int service_new_walk(const struct service_setup *setup, struct walk_program *program,
		     struct service **ret_service, struct err *err)
{
	struct service *s = allocate(setup);
	int rc;

	if (!s) {
		walk_program_release(program);
		free(program);
		return err_errno(err, ENOMEM, "cannot set up a service");
	}
	s->walk = program;
	s->timelines = program->timelines;
	if (!program->rows)
		s->exec.oprows = NULL;
	s->setup.requests_ahead = 1; /* no plan comes */
	s->recorded_threads = s->threads = setup->threads ? setup->threads : 1;
	rc = prepare_chain(setup, &program->chain, err);
	if (!rc && forward_peers_init(&s->peers, program->chain.peers_count))
		rc = err_errno(err, ENOMEM, "cannot hold the peers of a chain");
	if (!rc)
		return complete(s, ret_service, err);
	service_free(s);
	return rc;
}

static void close_pipe(const int fds[2])
{
	if (fds[0] < 0)
		return;
	close(fds[0]);
	close(fds[1]);
}

void service_free(struct service *s)
{
	struct stranger *stranger;

	if (!s)
		return;
	service_stop(s);
	while ((stranger = service_take_stranger(s)) || (stranger = service_take_offer(s)))
		stranger_free(stranger);
	for (uint32_t i = 0; s->workers && i < s->threads; i++)
		worker_release(&s->workers[i]);
	io_release(&s->io);
	for (uint32_t i = 0; s->background && i < WIRE_BACKGROUND_THREADS_MAX; i++)
		background_release(&s->background[i]);
	for (size_t i = 0; i < s->conns_count; i++)
		conn_free(s->conns[i]);
	close_pipe(s->strangers);
	close_pipe(s->offers);
	free(s->workers);
	free(s->background);
	free(s->conns);
	forward_peers_release(&s->peers);
	idmap_release(&s->conn_ids);
	groups_release(&s->groups);
	node_plan_release(&s->plan);
	keeper_free(s->keeper);
	spool_release(&s->rows);
	spool_release(&s->oprows);
	spool_release(&s->stretches);
	if (s->walk)
		walk_program_release(s->walk);
	free(s->walk);
	pthread_mutex_destroy(&s->lock);
	admission_release(&s->admission);
	free(s);
}

/* Refuses an op that would hold a thread for ever, and readies its file. */
static int prepare_op(struct service *s, const struct plan_op *op, struct err *err)
{
	struct target *target = storage_find(s->setup.storage, op->target_id);

	if (op->kind == OP_FORWARD && op->offset != TRACE_NONE && op->work >= s->peers.count)
		return err_set(err, EPROTO, "op %llu calls a node that nobody told of",
			       (unsigned long long)op->op_id);
	if (op->kind != OP_SLEEP && op->work / s->setup.work_per_ms >= NODE_COMPUTE_MAX_MS)
		return err_set(err, E2BIG, "op %llu computes for more than %d s",
			       (unsigned long long)op->op_id, NODE_COMPUTE_MAX_MS / 1000);
	if (exec_is_kernel_work(op))
		demand_kernel_calibrate();
	if (target)
		storage_prepare(s->setup.storage, target, op);
	return 0;
}

/* Threads that serve requests are numbered first, then the others. */
static struct background_queue *queue_of_thread(struct service *s, uint32_t thread)
{
	uint32_t other = (thread - s->recorded_threads) % WIRE_BACKGROUND_THREADS_MAX;

	if (thread < s->recorded_threads)
		return &s->workers[thread % s->threads].background;
	if (other >= s->background_threads)
		s->background_threads = other + 1;
	return &s->background[other].queue;
}

int service_add_background(struct service *s, const struct plan_background *background,
			   struct err *err)
{
	struct background_queue *queue = queue_of_thread(s, background->thread);
	struct target *target = storage_find(s->setup.storage, background->op.target_id);
	int rc = prepare_op(s, &background->op, err);

	if (rc)
		return rc;
	if (background_queue_add(queue, background, target))
		return err_errno(err, ENOMEM, "cannot hold the background ops");
	return 0;
}

static struct conn *find_conn(struct service *s, uint64_t connection_id)
{
	uint32_t index = connection_id ? idmap_get(&s->conn_ids, connection_id) : IDMAP_NONE;

	return index == IDMAP_NONE ? NULL : s->conns[index];
}

int service_add_connection(struct service *s, const struct wire_connection *connection,
			   struct err *err)
{
	uint64_t id = connection->connection_id;
	struct conn *c;

	if (s->conns_count == WIRE_CONNECTIONS_MAX)
		return err_set(err, E2BIG, "more than %d connections", WIRE_CONNECTIONS_MAX);
	if (find_conn(s, id))
		return err_set(err, EEXIST, "connection %llu comes twice", (unsigned long long)id);
	c = conn_new(id, &s->workers[connection->thread % s->threads]);
	if (!c)
		return err_errno(err, ENOMEM, "cannot hold connection %llu",
				 (unsigned long long)id);
	pthread_mutex_lock(&s->lock);
	idmap_put(&s->conn_ids, id, (uint32_t)s->conns_count);
	s->conns[s->conns_count++] = c;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int service_add_request(struct service *s, const struct plan_request *request,
			const struct plan_op *ops, struct err *err)
{
	struct conn *c = find_conn(s, request->connection_id);
	struct queued_request *q;

	if (!c)
		return err_set(err, ENOENT, "request %llu is of an unknown connection",
			       (unsigned long long)request->request_id);
	for (size_t i = 0; i < request->ops_count; i++) {
		int rc = prepare_op(s, &ops[i], err);

		if (rc)
			return rc;
	}
	q = node_plan_take(&s->plan, request, ops, s->setup.storage);
	if (!q)
		return err_set(err, ENOBUFS,
			       "more than %llu requests, or %d times as many ops, ahead: start "
			       "the node with a larger --max-requests-ahead",
			       (unsigned long long)s->setup.requests_ahead, NODE_OPS_PER_REQUEST);
	if (!request->parent_id)
		conn_put(c, q);
	else if (called_put(&c->worker->called, q))
		worker_wake(c->worker);
	return 0;
}

static int start_threads(struct service *s)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < s->threads; i++)
		rc = forward_work_init(&s->workers[i].walk.forward, s->peers.count);
	for (uint32_t i = 0; !rc && i < s->threads; i++)
		rc = worker_start(&s->workers[i]);
	for (uint32_t i = 0; !rc && i < s->background_threads; i++)
		if (s->background[i].queue.count)
			rc = background_start(&s->background[i], &s->exec, s->threads + i);
	return rc;
}

/* Signals are the control thread's. */
int service_start(struct service *s, struct err *err)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = start_threads(s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->started = true;
	return rc ? err_errno(err, -rc, "cannot start %u threads", s->threads) : 0;
}

void service_go(struct service *s, int64_t anchor_ns)
{
	atomic_store(&s->anchor_ns, anchor_ns);
	for (uint32_t i = 0; i < s->threads; i++)
		worker_wake(&s->workers[i]);
	for (uint32_t i = 0; i < s->background_threads; i++)
		if (s->background[i].thread)
			background_go(&s->background[i], anchor_ns);
}

void service_wake(struct service *s)
{
	for (uint32_t i = 0; s->started && i < s->threads; i++)
		worker_wake(&s->workers[i]);
}

void service_tick(struct service *s)
{
	spool_drain(&s->rows);
	spool_drain(&s->oprows);
	if (s->timelines)
		spool_drain(&s->stretches);
}

void service_credit(const struct service *s, struct wire_credit *ret_credit)
{
	ret_credit->requests = s->plan.requests_done;
	ret_credit->ops = s->plan.ops_done;
}

/* What was being served and has no row. */
static void count_open(struct service *s)
{
	for (size_t i = 0; i < s->conns_count; i++) {
		for (const struct active *a = s->conns[i]->first; a; a = a->behind)
			s->ledger.count[LG_OPEN_AT_END] += !a->answered;
		s->ledger.count[LG_OPEN_AT_END] += s->conns[i]->incoming != NULL;
	}
	for (uint32_t i = 0; i < s->threads; i++)
		s->ledger.count[LG_OPEN_AT_END] += walk_work_open(&s->workers[i].walk);
}

void service_stop(struct service *s)
{
	if (!s->started)
		return;
	s->started = false;
	atomic_store(&s->stopping, true);
	for (uint32_t i = 0; i < s->threads; i++)
		worker_join(&s->workers[i]);
	for (uint32_t i = 0; i < s->background_threads; i++)
		background_stop(&s->background[i]);
	io_stop(&s->io);
	ledger_merge(&s->ledger, &s->io.ledger);
	for (uint32_t i = 0; i < s->threads; i++) {
		worker_pass_newcomers(&s->workers[i]);
		if (s->workers[i].timelines)
			timelines_end(s->workers[i].timelines);
		ledger_merge(&s->ledger, &s->workers[i].exec.ledger);
		spool_writer_end(&s->workers[i].rows);
		spool_writer_end(&s->workers[i].exec.oprows);
	}
	for (uint32_t i = 0; i < s->background_threads; i++) {
		ledger_merge(&s->ledger, &s->background[i].exec.ledger);
		spool_writer_end(&s->background[i].exec.oprows);
	}
	s->ledger.count[LG_DATAGRAMS_REFUSED] += s->datagrams_refused;
	count_open(s);
}

void service_usage(const struct service *s, struct wire_usage *ret_usage)
{
	*ret_usage = (struct wire_usage){
		.user_ns = s->io.user_ns,
		.kernel_ns = s->io.kernel_ns,
		.anchor_ns = s->anchor_ns,
		.refused = s->refused,
	};
	for (uint32_t i = 0; i < s->threads; i++) {
		ret_usage->user_ns += s->workers[i].user_ns;
		ret_usage->kernel_ns += s->workers[i].kernel_ns;
		ret_usage->own_ns_per_request += s->workers[i].own.mean_ns / s->threads;
	}
	for (uint32_t i = 0; i < s->background_threads; i++)
		ret_usage->control_ns += s->background[i].cpu_ns;
}

bool service_signed(const struct service *s, const struct wire_preface *preface)
{
	return wire_preface_is_signed(preface, s->setup.secret);
}

/* Connections that are not of a plan, each once. */
static bool admit(struct service *s, const struct wire_preface *preface,
		  const struct endpoint *from)
{
	if (from)
		return admission_bind(&s->admission, preface->connection_id, from);
	return admission_take(&s->admission, preface->connection_id);
}

struct conn *service_claim(struct service *s, struct worker *w, const struct wire_preface *preface,
			   const struct endpoint *from, bool *ret_ours)
{
	bool walks = preface->flags & WIRE_PREFACE_WALK;
	struct conn *c = NULL;

	*ret_ours = service_signed(s, preface);
	if (!*ret_ours || walks != (s->walk != NULL))
		return NULL;
	if (preface->flags & (WIRE_PREFACE_WALK | WIRE_PREFACE_CALL))
		return admit(s, preface, from) ? walk_conn_new(w, preface->connection_id) : NULL;
	pthread_mutex_lock(&s->lock);
	c = find_conn(s, preface->connection_id);
	if (c && c->claimed)
		c = NULL;
	if (c)
		c->claimed = true;
	if (c && preface->flags & WIRE_PREFACE_DATAGRAM)
		c->worker = w;
	pthread_mutex_unlock(&s->lock);
	return c;
}

struct worker *service_worker_of(struct service *s, const struct wire_preface *preface)
{
	struct worker *w = NULL;
	struct conn *c;

	if (s->walk)
		return NULL;
	pthread_mutex_lock(&s->lock);
	c = find_conn(s, preface->connection_id);
	if (c && c->claimed)
		w = c->worker;
	pthread_mutex_unlock(&s->lock);
	return w;
}

/* They go by their address through a pipe, whole, from thread to thread. */
static void put_stranger(const int pipe[2], struct stranger *stranger)
{
	if (write(pipe[1], &stranger, sizeof(stranger)) != sizeof(stranger))
		stranger_free(stranger);
}

static struct stranger *get_stranger(const int pipe[2])
{
	struct stranger *stranger;

	return read(pipe[0], &stranger, sizeof(stranger)) == sizeof(stranger) ? stranger : NULL;
}

void service_pass_stranger(struct service *s, struct stranger *stranger)
{
	put_stranger(s->strangers, stranger);
}

struct stranger *service_take_stranger(struct service *s)
{
	return get_stranger(s->strangers);
}

bool service_takes(struct service *s, const struct wire_preface *preface, struct stranger *stranger)
{
	if (!service_signed(s, preface))
		return false;
	put_stranger(s->offers, stranger);
	return true;
}

struct stranger *service_take_offer(struct service *s)
{
	return get_stranger(s->offers);
}
