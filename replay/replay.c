/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/replay.h"

#include "base/clock.h"
#include "probe/probe.h"
#include "replay/client/clients.h"
#include "replay/pace.h"
#include "replay/plan/classes.h"
#include "replay/replay_nodes.h"
#include "replay/run.h"
#include "replay/run_summary.h"
#include "trace/trace.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define START_LEAD_NS (200 * NS_PER_MS) /* from START to due_ns 0 */
#define PUMP_MS 20			/* how often the plan is topped up */
#define FORGET_NS (200 * NS_PER_MS)

struct replay {
	const struct replay_opts *opts;
	struct replay_result *result;
	struct trace *trace;
	struct plan_set set;
	struct replay_nodes nodes;
	enum attribution attribution;
	struct probe_guard *guard;
	struct run *run;
	struct run_keep keep;
	struct secure *secure; /* NULL: the control connection is plain */
	struct clients *clients;
	char scratch[PATH_MAX]; /* where what memory shall not hold goes: the folder of the run */
	int64_t anchor_ns;
	struct ledger client_ledger;
	int64_t progress_ns; /* when progress was told last */
	int64_t forgot_ns;   /* when plan_set_forget() was called last */
};

static int refuse_edited(const struct replay *r, struct err *err)
{
	unsigned edited = trace_edited_tables(r->trace);

	for (int t = 0; t < TABLE_COUNT && !r->opts->accept_edited; t++) {
		if (edited & 1u << t)
			return err_set(err, EINVAL,
				       "'%s/%s.csv' differs from what the manifest says: if it was "
				       "edited on purpose, replay it with --accept-edited",
				       r->opts->trace, tables[t].name);
	}
	return 0;
}

static int open_trace(struct replay *r, struct err *err)
{
	int ret = trace_open(r->opts->trace, TRACE_OPEN_VERIFY, &r->trace, err);

	if (ret)
		return ret;
	r->result->trace_partial = trace_is_partial(r->trace);
	return refuse_edited(r, err);
}

static int shape_load(struct replay *r, struct err *err)
{
	char *text = r->result->manifest.load;
	int ret = plan_load_apply(&r->set, &r->opts->load, r->opts->plan.batching, text, err);

	r->result->planned = r->set.client.requests_count;
	if (!ret && text[0] && r->opts->say)
		r->opts->say(text);
	return ret;
}

static int choose_scratch(struct replay *r, struct err *err)
{
	char run[PATH_MAX];

	snprintf(run, sizeof(run), "%s", r->opts->run);
	snprintf(r->scratch, sizeof(r->scratch), "%s", dirname(run));
	return 0;
}

static int make_plan(struct replay *r, struct err *err)
{
	const char *names[PLAN_SERVICES_MAX];
	struct plan_choice choice = { .names = names, .all = !r->opts->places_count };
	struct plan_opts opts = r->opts->plan;
	int ret;

	for (size_t i = 0; i < r->opts->places_count; i++)
		if (r->opts->places[i].service)
			names[choice.names_count++] = r->opts->places[i].service;
	opts.scratch = r->scratch;
	ret = plan_set_build(r->trace, &opts, &choice, &r->set, err);
	return ret ? ret : shape_load(r, err);
}

/* Before there are threads, and before the local nodes, which share it. */
static int start_probe(struct replay *r, struct err *err)
{
	struct err why = { "" };
	int rc;

	r->attribution = r->opts->attribution;
	if (r->attribution == ATTRIBUTION_NONE || r->attribution == ATTRIBUTION_USER)
		return 0;
	r->attribution = ATTRIBUTION_BPF;
	rc = probe_guard_new(&r->guard, &why);
	if (!rc)
		return 0;
	r->guard = NULL;
	r->attribution = ATTRIBUTION_USER;
	if (r->opts->attribution == ATTRIBUTION_BPF)
		return err_set(err, -rc, "--attribution bpf: %s", why.text);
	snprintf(r->result->no_probes, sizeof(r->result->no_probes), "%.255s", why.text);
	return 0;
}

static int start_local(struct replay *r, struct err *err)
{
	const struct local_opts opts = { r->opts->directory, r->attribution,
					 r->guard ? probe_guard_slots_fd(r->guard) : -1 };

	return replay_nodes_place(&r->nodes, &r->set, r->opts, &opts, err);
}

/* Early too: a key that cannot be read need not wait for a trace to be. */
static int load_secrets(struct replay *r, struct err *err)
{
	return secure_wanted(&r->opts->secure) ?
		       secure_new(&r->opts->secure, SECURE_CLIENT, &r->secure, err) :
		       0;
}

/* Early, so that nobody waits for a replay that cannot be written. */
static int refuse_existing(struct replay *r, struct err *err)
{
	struct trace *existing = NULL;
	struct stat run, trace;

	if (!stat(r->opts->run, &run) && !stat(r->opts->trace, &trace) &&
	    run.st_dev == trace.st_dev && run.st_ino == trace.st_ino)
		return err_set(err, EEXIST,
			       "'%s' is the trace to be replayed: name another for the run",
			       r->opts->run);
	if (r->opts->replace || trace_open(r->opts->run, 0, &existing, NULL))
		return 0;
	trace_free(existing);
	return err_set(err, EEXIST, "there is a trace '%s' already: --force replaces it",
		       r->opts->run);
}

/* Late, so that an older run is not replaced by nothing. */
static int create_run(struct replay *r, struct err *err)
{
	unsigned flags = r->opts->replace ? TRACE_WRITER_REPLACE : 0;

	return run_new(r->opts->run, flags, &r->set, r->trace, r->opts->keeps ? &r->keep : NULL,
		       &r->run, err);
}

/* Before nodes hear of the plan, in which it numbers the classes. */
static int open_totals(struct replay *r, struct err *err)
{
	uint64_t classes[WIRE_CLASSES_MAX], services[PLAN_SERVICES_MAX];
	int rc;

	r->keep.share = r->opts->keep_share;
	if (!r->opts->keeps)
		return 0;
	rc = plan_set_number_classes(&r->set, WIRE_CLASSES_MAX, classes, &r->keep.classes, err);
	if (rc)
		return rc;
	for (size_t p = 0; p < r->set.count; p++)
		services[p] = r->set.plans[p].service.service_id;
	r->keep.totals = run_totals_new(classes, r->keep.classes, services, (uint32_t)r->set.count);
	return r->keep.totals ? 0 : err_errno(err, ENOMEM, "cannot hold the totals of the run");
}

static int open_nodes(struct replay *r, struct err *err)
{
	struct wire_keep keep = { .share = r->keep.share, .classes = r->keep.classes };
	int ret = replay_nodes_open(&r->nodes, r->secure, r->opts->interrupted, err);

	return ret ? ret :
		     replay_nodes_prepare(&r->nodes, &r->set, r->opts,
					  r->opts->keeps ? &keep : NULL, err);
}

/* Without a CPU more than there are clients, spinning would only take it from the node. */
static bool may_spin(const struct replay *r)
{
	int clients = r->opts->agents ? (int)r->opts->agents : 1;
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) > clients;
}

/* One elsewhere would look for the node on its own host. */
static int check_agents(const struct replay *r, struct err *err)
{
	char text[ADDRESS_TEXT_SIZE];

	for (uint32_t a = 0; r->opts->agents_at && a < r->opts->agents; a++)
		for (size_t i = 0; i < r->nodes.count; i++) {
			struct address node;
			int rc = endpoint_address(&r->nodes.routes[i].data,
						  r->nodes.routes[i].transport, &node, err);

			if (rc)
				return rc;
			if (address_is_local(&node) && !address_is_local(&r->opts->agents_at[a]))
				return err_set(err, EINVAL,
					       "agents on other hosts cannot reach the node at %s, "
					       "which is an address of this host alone",
					       address_format(&node, text));
		}
	return 0;
}

static int open_client(struct replay *r, struct err *err)
{
	struct client_setup setup = {
		.plan = &r->set.client,
		.routes = r->nodes.routes,
		.routes_count = r->nodes.count,
		.timeout_ns = r->opts->timeout_ns,
		.spin_ns = r->opts->spin && may_spin(r) ? PACE_SPIN_NS : 0,
		.slots = r->guard ? probe_guard_slots(r->guard) : NULL,
		.stamps = r->attribution == ATTRIBUTION_USER,
	};
	const struct clients_agents agents = { r->opts->agents, r->opts->agents_at, r->secure,
					       r->opts->spin,
					       r->opts->keeps ? r->opts->keep_slowest : 0 };
	int ret = check_agents(r, err);

	if (!ret)
		ret = clients_new(&setup, &agents, r->scratch, &r->clients, err);

	plan_set_forget(&r->set);
	return ret;
}

static int start(struct replay *r, struct err *err)
{
	int ret;

	r->anchor_ns = clock_now_ns() + START_LEAD_NS;
	r->progress_ns = r->anchor_ns;
	ret = replay_nodes_start(&r->nodes, r->anchor_ns, START_LEAD_NS, err);
	return ret ? ret : clients_start(r->clients, r->anchor_ns, err);
}

static void tell_progress(struct replay *r)
{
	struct replay_progress progress = { .planned = r->set.client.requests_count,
					    .duration_ns = r->set.client.duration_ns };
	struct client_progress now;

	if (!r->opts->progress || clock_now_ns() < r->progress_ns + NS_PER_SEC)
		return;
	r->progress_ns = clock_now_ns();
	clients_progress(r->clients, &now, &progress.late_p99_ns);
	progress.sent = now.sent;
	progress.answered = now.answered;
	progress.failed = now.failed;
	progress.elapsed_ns = r->progress_ns - r->anchor_ns;
	r->opts->progress(r->opts->progress_arg, &progress);
}

/* Seldom: the client's thread is interrupted for it, as it may have looked at the same pages. */
static void forget_plans(struct replay *r)
{
	int64_t now = clock_now_ns();

	if (now < r->forgot_ns + FORGET_NS)
		return;
	r->forgot_ns = now;
	plan_set_forget(&r->set);
}

/* Whose rows are to be kept, as far as it is known now. */
static void name_slow(struct replay *r)
{
	struct wire_slow slow;

	while (clients_names(r->clients, &slow)) {
		run_name(r->run, &slow);
		replay_nodes_name(&r->nodes, &slow);
	}
}

/* Keeps the plans ahead until the client is done, or there is no node left. */
static int drive(struct replay *r, struct err *err)
{
	struct pollfd polls[PLAN_SERVICES_MAX + 1];
	const struct clock_offset *clocks;
	struct err ignored;
	bool done = false;
	int lost, ret = 0;

	polls[0] = (struct pollfd){ .fd = clients_fd(r->clients), .events = POLLIN };
	while (!done) {
		size_t count;

		if (*r->opts->interrupted)
			clients_stop(r->clients);
		lost = replay_nodes_pump(&r->nodes, &polls[1], &count, err);
		ret = lost ? lost : ret;
		name_slow(r);
		forget_plans(r);
		tell_progress(r);
		if (!count)
			break;
		if (poll(polls, count + 1, PUMP_MS) > 0 && polls[0].revents)
			done = clients_are_done(r->clients);
	}
	clients_stop(r->clients);
	lost = clients_join(r->clients, &r->client_ledger, ret ? &ignored : err);
	name_slow(r);
	r->result->clocks_count = clients_clocks(r->clients, &clocks);
	memcpy(r->result->clocks, clocks, r->result->clocks_count * sizeof(*clocks));
	return ret ? ret : lost;
}

/* From here on there is a run to write, whatever happens. */
static void replay_requests(struct replay *r)
{
	struct replay_result *result = r->result;
	struct err err = { "" };
	int ret = drive(r, &err);
	bool interrupted = *r->opts->interrupted;

	ret = replay_nodes_fetch(&r->nodes, r->run, ret ? NULL : &err) || ret;
	if (interrupted)
		snprintf(result->failure, sizeof(result->failure),
			 "interrupted; '%s' holds what was replayed up to then", r->opts->run);
	else if (ret)
		snprintf(result->failure, sizeof(result->failure), "%s", err.text);
}

static void fill_origin(const struct replay *r, struct manifest *m)
{
	const struct manifest *origin = trace_manifest(r->trace);

	snprintf(m->origin, sizeof(m->origin), "%s", r->opts->trace);
	memcpy(m->demand_method, origin->demand_method, sizeof(m->demand_method));
	memcpy(m->assumed, origin->assumed, sizeof(m->assumed));
	memcpy(m->origin_sha256, origin->tables[TABLE_REQUESTS].sha256, sizeof(m->origin_sha256));
}

static void fill_ledger(const struct replay *r, struct ledger *ledger)
{
	struct probe_losses losses = { 0 };

	for (size_t i = 0; i < r->set.count; i++) {
		ledger_merge(ledger, &r->set.plans[i].ledger);
		ledger_merge(ledger, &r->nodes.all[i].ledger);
	}
	ledger_merge(ledger, &r->client_ledger);
	if (r->guard)
		probe_guard_losses(r->guard, &losses);
	ledger->count[LG_PROBE_MISSES] += losses.misses;
	ledger->count[LG_STAMP_MISSES] += losses.stamp_misses;
	ledger->count[LG_TABLE_EDITED] +=
		(uint64_t)__builtin_popcount(trace_edited_tables(r->trace));
	/* run_finish() counts the rows it writes */
	ledger->count[LG_REQUESTS] = ledger->count[LG_CONNECTIONS] = 0;
	ledger->count[LG_OPS] = ledger->count[LG_BACKGROUND_OPS] = 0;
}

static void fill_manifest(const struct replay *r, struct manifest *m)
{
	time_t seconds = time(NULL) - (clock_now_ns() - r->anchor_ns) / NS_PER_SEC;
	struct tm utc;

	m->schema_major = TRACE_SCHEMA_MAJOR;
	m->schema_minor = TRACE_SCHEMA_MINOR;
	snprintf(m->tool, sizeof(m->tool), "gait " GAIT_VERSION);
	snprintf(m->source, sizeof(m->source), "replay");
	gmtime_r(&seconds, &utc);
	strftime(m->started_at, sizeof(m->started_at), "%Y-%m-%dT%H:%M:%SZ", &utc);
	m->start_monotonic_ns = r->nodes.clocks[0].clock.anchor_ns;
	m->duration_ns = clock_now_ns() - r->anchor_ns;
	snprintf(m->batching, sizeof(m->batching), "%s",
		 r->opts->plan.batching == PLAN_BATCHING_LIVE ? "live" : "recorded");
	manifest_price_init(&m->price);
	replay_nodes_describe(&r->nodes, m);
	fill_origin(r, m);
	fill_ledger(r, &m->ledger);
}

/* The first reason not to believe the run, into its manifest. */
static void judge(const struct replay_result *result, struct manifest *m)
{
	unsigned long long overtaken = m->ledger.count[LG_PLAN_OVERTAKEN];
	double late_percent = 100 * result->summary.late_share;
	char *verdict = m->verdict;
	size_t size = sizeof(m->verdict);

	if (result->failure[0])
		snprintf(verdict, size, "INVALID because it was cut short: %.200s",
			 result->failure);
	else if (overtaken)
		snprintf(verdict, size,
			 "INVALID because %llu requests came to the node before "
			 "their plan",
			 overtaken);
	else if (late_percent > 100 * BREAKDOWN_LATE_SHARE_MAX)
		snprintf(verdict, size,
			 "INVALID because late sending is %.1f%% of the time of the "
			 "slowest 1%% of requests",
			 late_percent);
	else if (!m->ledger.count[LG_ANSWERED])
		snprintf(verdict, size, "INVALID because no request was answered");
}

static int write_run(struct replay *r, struct err *err)
{
	struct replay_result *result = r->result;
	const struct run_result facts = {
		.rows = clients_rows(r->clients),
		.client_anchor_ns = r->anchor_ns,
		.clocks = r->nodes.clocks,
	};
	int ret = run_summarise(facts.rows, r->anchor_ns, r->opts->warm_up_ns, &result->manifest,
				&result->summary, err);

	if (ret)
		return ret;
	replay_nodes_clocks(&r->nodes, r->anchor_ns);
	ret = run_bind_clocks(r->run, &facts, clock_now_ns() - r->anchor_ns, r->nodes.clocks, err);
	if (ret)
		return ret;
	fill_manifest(r, &result->manifest);
	judge(result, &result->manifest);
	return run_finish(r->run, &facts, &result->manifest, err);
}

static void replay_release(struct replay *r)
{
	clients_free(r->clients);
	replay_nodes_release(&r->nodes);
	secure_free(r->secure);
	run_free(r->run);
	run_totals_free(r->keep.totals);
	probe_guard_free(r->guard);
	plan_set_release(&r->set);
	trace_free(r->trace);
}

typedef int (*replay_step)(struct replay *r, struct err *err);

int replay_run(const struct replay_opts *opts, struct replay_result *ret_result, struct err *err)
{
	static const replay_step preparations[] = {
		refuse_existing, load_secrets, open_trace, choose_scratch, make_plan,  start_probe,
		start_local,	 open_totals,  open_nodes, open_client,	   create_run, start,
	};
	struct replay r = { .opts = opts, .result = ret_result };
	int ret = 0;

	memset(ret_result, 0, sizeof(*ret_result));
	for (size_t i = 0; i < sizeof(preparations) / sizeof(preparations[0]) && !ret; i++)
		ret = preparations[i](&r, err);
	if (!ret) {
		replay_requests(&r);
		ret = write_run(&r, err);
	}
	replay_release(&r);
	return ret;
}

void replay_result_release(struct replay_result *result)
{
	breakdown_summary_release(&result->summary);
}
