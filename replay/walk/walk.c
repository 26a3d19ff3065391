/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/walk.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "probe/probe.h"
#include "replay/attribution.h"
#include "replay/client/session.h"
#include "replay/pace.h"
#include "replay/run.h"
#include "replay/walk/agent.h"
#include "replay/walk/nodes.h"
#include "replay/walk/remotes.h"
#include "replay/walk/run.h"
#include "replay/walk/sender.h"
#include "replay/walk/sieve.h"
#include "replay/walk/tables.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAD_NS (20 * NS_PER_MS) /* from when the senders start to the first request */
#define POLL_MS 50
#define DESCRIPTORS_OTHER 32 /* the control connection's, files, one of each sender */

struct walk {
	const struct walk_opts *opts;
	struct walk_nodes nodes;
	struct tls_context *tls;   /* NULL: data connections are not encrypted */
	struct probe_guard *guard; /* NULL: the client has no probe */
	bool stamps;		   /* then: those of its sockets */
	struct walk_rows *rows;
	struct walk_run *run;	       /* NULL: none is written */
	struct walk_run_clock *clocks; /* of each session */
	struct walk_plan plan;
	struct walk_sender *senders;
	uint32_t senders_count, cpus;
	struct walk_agent *agents[WALK_AGENTS_MAX];
	struct walk_remotes remotes; /* on other hosts */
	struct walk_shared *shared;
	int64_t anchor_ns;
	int64_t started_ns; /* when nodes were told to start */
	struct walk_result *result;
};

/* What is not there yet is said, not passed over. */
static int check_forward(enum transport transport, struct err *err)
{
	if (transport == TRANSPORT_TCP || transport == TRANSPORT_UDP || transport == TRANSPORT_UNIX)
		return 0;
	return err_set(err, EPROTONOSUPPORT, "a forward does not go over %s so far",
		       transport_name(transport));
}

static int check_abilities(const struct walk_opts *o, struct err *err)
{
	const struct walk_tls *t = &o->tls;
	bool tls = t->cert || t->key || t->ca || t->ca_path || t->ciphers || t->verify;
	int rc = 0;

	for (size_t i = 0; i < o->chain.peers_count && !rc; i++)
		rc = check_forward(o->chain.peers[i].transport, err);
	if (rc)
		return rc;
	if (o->bound && o->bind.transport != TRANSPORT_TCP && o->bind.transport != o->to.transport)
		return err_set(err, EPROTONOSUPPORT,
			       "our own end can be bound to a tcp address, not to a %s one",
			       transport_name(o->bind.transport));
	if (tls)
		return err_set(
			err, EPROTONOSUPPORT,
			"what carries requests by tls looks at no certificate so far, as the "
			"--ssl- options ask for; --key and the --tls- options prove who is who");
	return 0;
}

/* Before there are agents and threads, which it follows. Without a run there is no use for it. */
static int start_probe(struct walk *w, struct err *err)
{
	uint32_t node = client_session_node(w->nodes.sessions[0])->attribution;
	bool wanted = w->opts->run && w->opts->attribution;
	struct err why = { "" };

	w->stamps = wanted && node == ATTRIBUTION_USER;
	if (!wanted || node != ATTRIBUTION_BPF || !probe_guard_new(&w->guard, &why))
		return 0;
	w->guard = NULL;
	w->stamps = true;
	snprintf(w->result->unattributed, sizeof(w->result->unattributed), "%.255s", why.text);
	return 0;
}

/* Where data connections go, unless it is where the control connection went. */
static int find_data(struct walk *w, struct err *err)
{
	static const struct tls_setup tls = { .node = false };
	const struct address *to = &w->opts->to;
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	int rc;

	w->plan.transport = to->transport;
	w->plan.endpoint = client_session_data(w->nodes.sessions[0]);
	if (!w->opts->has_control)
		return 0;
	rc = address_resolve(to, false, endpoints, err);
	if (rc < 0)
		return rc;
	w->plan.endpoint = endpoints[0];
	if (to->transport != TRANSPORT_TLS)
		return 0;
	rc = tls_context_new(&tls, &w->tls, err);
	w->plan.tls = w->tls;
	return rc;
}

/* Of the addresses of our end, the first one of the node's family. */
static int resolve_own_end(const struct address *own, struct walk_plan *plan, struct err *err)
{
	struct endpoint ends[ADDRESS_ENDPOINTS_MAX];
	char text[ADDRESS_TEXT_SIZE];
	int count = address_resolve(own, true, ends, err);

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (ends[i].at.ss_family == plan->endpoint.at.ss_family) {
			plan->own = ends[i];
			plan->bound = true;
			return 0;
		}
	}
	return err_set(err, EAFNOSUPPORT,
		       "from %s there is no way to the node: one is IPv4, one IPv6",
		       address_format(own, text));
}

/* One CPU is left for who answers; more threads than that would be late for one another. */
static uint32_t senders_count(const struct walk *w)
{
	uint32_t most = w->cpus > 1 ? w->cpus - 1 : 1;

	most = w->opts->agents ? w->opts->agents : most;
	return w->opts->threads < most ? w->opts->threads : most;
}

static int make_plan(struct walk *w, struct err *err)
{
	const struct walk_opts *o = w->opts;
	int rc;

	w->plan = (struct walk_plan){
		.schedule = walk_schedule_of(o),
		.timeout_ns = o->timeout_ns,
		.spin_ns = o->no_spin || w->cpus <= senders_count(w) ? 0 : PACE_SPIN_NS,
		.wait_spin = o->wait_spin,
		.no_delay = o->no_delay,
		.session_rows = o->per_session_output,
		.slots = w->guard ? probe_guard_slots(w->guard) : NULL,
		.stamps = w->stamps,
		.connect_retries = o->retries,
		.connect_retry_ns = (int64_t)o->retry_period_ns,
	};
	memcpy(w->plan.secret, client_session_node(w->nodes.sessions[0])->secret,
	       sizeof(w->plan.secret));
	rc = find_data(w, err);
	return rc || !o->bound ? rc : resolve_own_end(&o->bind, &w->plan, err);
}

/* Each connection is a descriptor, and there are some others. */
static int raise_limit(uint32_t threads, struct err *err)
{
	uint64_t most = descriptors_raise();

	if (most > threads + DESCRIPTORS_OTHER)
		return 0;
	return err_set(err, EMFILE,
		       "%u connections need more open files than the %llu allowed here: raise them "
		       "with `ulimit -Hn`",
		       threads, (unsigned long long)most);
}

/* Each has its share of the connections, as a thread or as a process. */
static int make_senders(struct walk *w, struct err *err)
{
	w->senders_count = senders_count(w);
	w->senders = calloc(w->senders_count, sizeof(*w->senders));
	w->shared = walk_shared_new(w->senders_count);
	if (!w->senders || !w->shared)
		return err_errno(err, ENOMEM, "cannot hold %u threads", w->senders_count);
	for (uint32_t i = 0; i < w->senders_count; i++) {
		struct walk_sender *s = &w->senders[i];

		s->plan = &w->plan;
		s->stopping = &w->shared->stopping;
		s->live = &w->shared->live[i];
		s->counts = w->result->threads;
		s->first = i;
		s->step = w->senders_count;
	}
	return 0;
}

/* Before there are threads. */
static int fork_agents(struct walk *w, struct err *err)
{
	bool rows = w->opts->has_output || w->run;
	int rc = 0;

	for (uint32_t i = 0; w->opts->agents && !rc && i < w->senders_count; i++)
		rc = walk_agent_fork(&w->senders[i], rows, &w->agents[i], err);
	for (uint32_t i = 0; w->opts->agents && !rc && i < w->senders_count; i++)
		w->senders[i].agent = w->agents[i];
	return rc;
}

static int open_remotes(struct walk *w, struct err *err)
{
	const struct walk_remotes_setup setup = {
		.opts = w->opts,
		.plan = &w->plan,
		.secure = w->nodes.secure,
		.senders = w->senders,
		.senders_count = w->senders_count,
		.rows = w->opts->has_output || w->run,
	};

	return walk_remotes_open(&w->remotes, &setup, err);
}

static int start_senders(struct walk *w, struct err *err)
{
	const struct walk_opts *o = w->opts;
	int rc = 0;

	w->anchor_ns = o->begin ? o->begin(o->begin_arg) :
				  clock_now_ns() + LEAD_NS + walk_remotes_lead_ns(&w->remotes);
	if (w->anchor_ns < 0)
		return err_set(err, ECANCELED,
			       "it did not begin, as not all that begin together were ready");
	for (uint32_t i = 0; !rc && i < w->senders_count; i++) {
		w->senders[i].rows = w->rows;
		w->senders[i].anchor_ns = w->anchor_ns;
		rc = walk_sender_start(&w->senders[i], err);
	}
	return rc;
}

static struct walk_progress progress_of(const struct walk *w)
{
	struct walk_progress p = { .requests = w->opts->requests * w->opts->threads,
				   .elapsed_ns = clock_now_ns() - w->anchor_ns };

	for (uint32_t i = 0; i < w->senders_count; i++) {
		p.sent += w->shared->live[i].sent;
		p.answered += w->shared->live[i].answered;
		p.failed += w->shared->live[i].failed;
	}
	return p;
}

static bool all_over(const struct walk *w)
{
	for (uint32_t i = 0; i < w->senders_count; i++)
		if (!atomic_load(&w->senders[i].over))
			return false;
	return true;
}

/* Whose rows are to be kept, as far as it is known now. */
static int name_slow(struct walk *w, struct err *err)
{
	struct walk_sieve *sieve = w->run ? walk_run_sieve(w->run) : NULL;
	struct wire_slow slow;
	int rc = 0;

	while (sieve && !rc && walk_sieve_names(sieve, &slow))
		rc = walk_nodes_name(&w->nodes, &slow, err);
	return rc;
}

/* The senders run by themselves. */
static int watch(struct walk *w, struct err *err)
{
	int64_t told_ns = clock_now_ns();
	int rc = 0;

	while (!rc && !all_over(w)) {
		poll(NULL, 0, POLL_MS);
		rc = walk_nodes_hear(&w->nodes, err);
		if (!rc)
			rc = name_slow(w, err);
		if (*w->opts->interrupted || rc || walk_remotes_lost_one(&w->remotes))
			atomic_store(&w->shared->stopping, true);
		if (w->opts->progress && clock_now_ns() - told_ns >= NS_PER_SEC) {
			struct walk_progress progress = progress_of(w);

			told_ns += NS_PER_SEC;
			w->opts->progress(w->opts->progress_arg, &progress);
		}
	}
	return rc;
}

static int ignore_row(void *arg, const struct wire_row *row, struct err *err)
{
	return 0;
}

static int ignore_oprow(void *arg, const struct wire_oprow *row, struct err *err)
{
	return 0;
}

static int fetch_session(struct walk *w, size_t i, struct err *err)
{
	struct walk_run_node node = { w->run, (uint32_t)i };
	const struct client_session_sink sink = {
		.row = w->run ? walk_run_take_row : ignore_row,
		.oprow = w->run ? walk_run_take_oprow : ignore_oprow,
		.total = w->run ? walk_run_take_total : NULL,
		.stretch = w->run ? walk_run_take_stretch : NULL,
		.arg = &node,
		.ledger = &w->result->ledger,
		.usage = &w->clocks[i].usage,
	};

	return client_session_fetch(w->nodes.sessions[i], &sink, err);
}

/* From all nodes, whichever of them are still there. */
static int fetch(struct walk *w, struct err *err)
{
	struct err ignored;
	int rc = 0;

	for (size_t i = 0; i < w->nodes.count; i++) {
		int lost = fetch_session(w, i, rc ? &ignored : err);

		rc = rc ? rc : lost;
	}
	return rc;
}

static void add_tally(struct walk_result *r, const struct walk_sender *s)
{
	const struct walk_tally *t = &s->tally;

	r->sent += t->sent;
	r->bytes_out += t->bytes_out;
	r->bytes_in += t->bytes_in;
	r->raised += t->raised;
	r->replies_late += t->replies_late;
	r->rows_waited += t->rows_waited;
	if (t->ended_ns > r->duration_ns)
		r->duration_ns = t->ended_ns;
	for (size_t i = 0; i < WALK_OUTCOMES; i++)
		r->outcomes[i] += t->outcomes[i];
	hist_merge(&r->latency, &t->latency);
	hist_merge(&r->service, &t->service);
	hist_merge(&r->late, &t->late);
	hist_merge(&r->connect, &t->connect);
	if (s->err.text[0] && !r->failure[0])
		memcpy(r->failure, s->err.text, sizeof(r->failure) - 1);
}

static void sum_up(struct walk *w)
{
	struct walk_result *r = w->result;

	for (uint32_t i = 0; i < w->remotes.count; i++)
		r->clocks[r->clocks_count++] = walk_remote_clock(w->remotes.at[i]);
	for (uint32_t i = 0; i < w->senders_count; i++)
		add_tally(r, &w->senders[i]);
	r->invalid = hist_value_at_percentile(&r->late, 99) >
			     hist_value_at_percentile(&r->latency, 99) / 10 &&
		     hist_count(&r->latency);
}

static void join_senders(struct walk *w)
{
	for (uint32_t i = 0; w->senders && i < w->senders_count; i++)
		walk_sender_join(&w->senders[i]);
}

/* --- the run ------------------------------------------------------------------------------- */

/* Once nodes are there, so that an older run is not replaced by nothing. */
static int open_run(struct walk *w, struct err *err)
{
	w->clocks = calloc(w->nodes.count, sizeof(*w->clocks));
	if (!w->clocks)
		return err_errno(err, ENOMEM, "cannot hold %zu nodes", w->nodes.count);
	for (size_t i = 0; i < w->nodes.count; i++) {
		w->clocks[i].hello = client_session_node(w->nodes.sessions[i]);
		w->clocks[i].address = w->nodes.addresses[i];
		w->clocks[i].usage.user_ns = w->clocks[i].usage.kernel_ns = TRACE_NONE;
	}
	return w->opts->run ? walk_run_new(w->opts, (uint32_t)w->nodes.count, &w->run, err) : 0;
}

/* Nodes of this machine have our clock; others count from when they were told to start. */
static void set_clocks(struct walk *w, const struct manifest_host *here)
{
	for (size_t i = 0; i < w->nodes.count; i++) {
		struct walk_run_clock *c = &w->clocks[i];

		c->clock.is_clients = !strcmp(here->boot_id, c->hello->host.boot_id);
		if (c->clock.is_clients)
			c->clock.anchor_ns = w->anchor_ns;
		else if (c->usage.anchor_ns)
			c->clock.anchor_ns = c->usage.anchor_ns + w->anchor_ns - w->started_ns;
	}
}

/* The node's on another host, by what requests took there and back. */
static int bind_clock(struct walk *w, struct err *err)
{
	struct walk_run_clock *node = &w->clocks[0];
	struct node_clock *clock = &node->clock;
	int rc;

	if (clock->is_clients)
		return 0;
	rc = walk_run_bind_clock(w->run, w->result->duration_ns, clock, err);
	if (!rc && clock->is_bound)
		w->result->node_clock = (struct clock_offset){
			.offset_ns = clock->anchor_ns - clock->line.offset_ns - w->anchor_ns,
			.bound_ns = clock->line.bound_ns,
		};
	return rc;
}

/* The node first, then those it calls, then the client: each machine once. */
static void add_host(struct manifest *m, const struct manifest_host *host)
{
	for (uint32_t i = 0; i < m->hosts_count; i++)
		if (!strcmp(m->hosts[i].boot_id, host->boot_id))
			return;
	if (m->hosts_count == MANIFEST_HOSTS_MAX)
		return;
	m->hosts[m->hosts_count] = *host;
	m->hosts[m->hosts_count].host_id = m->hosts_count + 1;
	m->hosts_count++;
}

static void add_usage(struct manifest *m, const struct wire_usage *usage)
{
	if (usage->user_ns == TRACE_NONE || usage->kernel_ns == TRACE_NONE)
		return;
	if (m->service_user_ns == TRACE_NONE)
		m->service_user_ns = m->service_kernel_ns = 0;
	m->service_user_ns += usage->user_ns;
	m->service_kernel_ns += usage->kernel_ns;
}

static void fill_ledger(const struct walk *w, struct ledger *ledger)
{
	const struct walk_result *r = w->result;
	struct probe_losses losses = { 0 };

	*ledger = r->ledger;
	if (w->guard)
		probe_guard_losses(w->guard, &losses);
	ledger->count[LG_PROBE_MISSES] += losses.misses;
	ledger->count[LG_STAMP_MISSES] += losses.stamp_misses;
	ledger->count[LG_SENT] = r->sent;
	ledger->count[LG_ANSWERED] = r->outcomes[WALK_OK];
	ledger->count[LG_TIMEOUTS] = r->outcomes[WALK_TIMEOUT];
	ledger->count[LG_ERRORS] = r->outcomes[WALK_ERROR];
	ledger->count[LG_UNSENT] = r->outcomes[WALK_UNSENT];
	ledger->count[LG_REPLIES_LATE] = r->replies_late;
	/* walk_run_finish() counts the rows it writes */
	ledger->count[LG_REQUESTS] = ledger->count[LG_CONNECTIONS] = 0;
	ledger->count[LG_OPS] = ledger->count[LG_BACKGROUND_OPS] = 0;
}

/* The first reason not to believe the run. */
static void judge(const struct walk *w, bool cut_short, struct manifest *m)
{
	const struct walk_result *r = w->result;

	if (cut_short)
		snprintf(m->verdict, sizeof(m->verdict), "INVALID because it was cut short: %.200s",
			 r->failure[0] ? r->failure : "interrupted");
	else if (r->invalid)
		snprintf(m->verdict, sizeof(m->verdict),
			 "INVALID because late sending is more than 10%% of the time of the p99");
	else if (!r->outcomes[WALK_OK])
		snprintf(m->verdict, sizeof(m->verdict), "INVALID because no request was answered");
}

static void fill_manifest(struct walk *w, struct manifest *m)
{
	struct manifest_host here;

	manifest_host_here(&here);
	walk_manifest_init(w->opts, w->anchor_ns, m);
	m->start_monotonic_ns = w->clocks[0].clock.anchor_ns;
	m->duration_ns = w->result->duration_ns;
	m->work_per_ms = w->clocks[0].hello->work_per_ms;
	snprintf(m->attribution, sizeof(m->attribution), "%s",
		 attribution_name(w->clocks[0].hello->attribution));
	for (size_t i = 0; i < w->nodes.count; i++) {
		add_host(m, &w->clocks[i].hello->host);
		add_usage(m, &w->clocks[i].usage);
	}
	node_clock_put(&w->clocks[0].clock, w->anchor_ns, &m->hosts[0]);
	add_host(m, &here);
	for (uint32_t i = 0; i < w->remotes.count; i++)
		add_host(m, walk_remote_host(w->remotes.at[i]));
	fill_ledger(w, &m->ledger);
}

static int write_run(struct walk *w, bool cut_short, struct err *err)
{
	const struct walk_run_result result = { w->result, w->clocks, cut_short };
	struct manifest *m = calloc(1, sizeof(*m));
	struct manifest_host here;
	int rc;

	if (!m)
		return err_errno(err, ENOMEM, "cannot write '%s'", w->opts->run);
	manifest_host_here(&here);
	set_clocks(w, &here);
	rc = bind_clock(w, err);
	fill_manifest(w, m);
	judge(w, cut_short, m);
	if (!rc)
		rc = walk_run_finish(w->run, &result, m, err);
	free(m);
	return rc;
}

/* --- all of it ----------------------------------------------------------------------------- */

static void sift(void *sieve, const struct walk_row *rows, size_t count)
{
	walk_sieve_take(sieve, rows, count, clock_now_ns());
}

static int open_rows(struct walk *w, struct err *err)
{
	const struct walk_output *output = w->opts->has_output ? &w->opts->output : NULL;
	struct walk_sieve *sieve;
	int rc;

	if (!output && !w->run)
		return 0;
	sieve = w->run ? walk_run_sieve(w->run) : NULL;
	rc = walk_rows_new(output, w->run && !sieve ? walk_run_rows_fd(w->run) : -1, &w->rows, err);
	if (!rc && sieve)
		walk_rows_pass(w->rows, sift, sieve);
	return rc;
}

static int prepare(struct walk *w, struct err *err)
{
	int rc = check_abilities(w->opts, err);

	if (!rc)
		rc = raise_limit(w->opts->threads, err);
	if (!rc)
		rc = walk_nodes_open(&w->nodes, w->opts, err);
	if (!rc)
		rc = start_probe(w, err);
	if (!rc)
		rc = make_plan(w, err);
	if (!rc)
		rc = make_senders(w, err);
	if (!rc)
		rc = open_run(w, err);
	if (!rc)
		rc = w->opts->agents_at ? open_remotes(w, err) : fork_agents(w, err);
	if (!rc)
		rc = open_rows(w, err);
	return rc ? rc : walk_nodes_start(&w->nodes, w->run, &w->started_ns, err);
}

/* The rows are all there: the slowest of the last of them are known too. */
static int end_rows(struct walk *w, struct err *err)
{
	int rc = w->rows ? walk_rows_finish(w->rows, err) : 0;

	if (!rc && w->run && walk_run_sieve(w->run))
		walk_sieve_end(walk_run_sieve(w->run));
	return rc;
}

static void note_failure(struct walk *w, int failed, const struct err *err)
{
	if (failed && !w->result->failure[0])
		memcpy(w->result->failure, err->text, sizeof(w->result->failure) - 1);
}

static int walk(struct walk *w, struct err *err)
{
	int rc = prepare(w, err), lost;

	if (!rc)
		rc = start_senders(w, err);
	if (rc)
		return rc;
	lost = watch(w, err);
	join_senders(w);
	sum_up(w);
	note_failure(w, lost, err);
	rc = end_rows(w, err);
	if (rc)
		return rc;
	if (!lost)
		lost = name_slow(w, err);
	if (!lost)
		lost = fetch(w, err);
	note_failure(w, lost, err);
	if (w->run)
		rc = write_run(w, lost || *w->opts->interrupted, err);
	return rc;
}

int walk_run(const struct walk_opts *opts, struct walk_result *ret_result, struct err *err)
{
	struct walk w = { .opts = opts,
			  .result = ret_result,
			  .cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN) };
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	ret_result->threads = calloc(opts->threads, sizeof(*ret_result->threads));
	if (!ret_result->threads)
		return err_errno(err, ENOMEM, "cannot count the answers of %u threads",
				 opts->threads);
	hist_init(&ret_result->latency);
	hist_init(&ret_result->service);
	hist_init(&ret_result->late);
	hist_init(&ret_result->connect);
	rc = walk(&w, err);
	if (w.shared)
		atomic_store(&w.shared->stopping, true);
	join_senders(&w);
	for (uint32_t i = 0; w.senders && i < w.senders_count; i++)
		walk_sender_release(&w.senders[i]);
	for (uint32_t i = 0; i < WALK_AGENTS_MAX; i++)
		walk_agent_free(w.agents[i]);
	walk_remotes_free(&w.remotes);
	walk_shared_free(w.shared, w.senders_count);
	free(w.senders);
	walk_rows_free(w.rows);
	walk_run_free(w.run);
	probe_guard_free(w.guard);
	free(w.clocks);
	walk_nodes_free(&w.nodes);
	tls_context_free(w.tls);
	if (rc)
		walk_result_release(ret_result);
	return rc;
}

void walk_result_release(struct walk_result *result)
{
	free(result->threads);
	hist_release(&result->latency);
	hist_release(&result->service);
	hist_release(&result->late);
	hist_release(&result->connect);
}
