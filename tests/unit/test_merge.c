/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hosts of known truth: a proxy on alpha whose requests call a shop on beta. Each request of
 * the shop has the request that caused it written in its label, which the merge does not look at.
 */
#include "check.h"

#include "edit/merge.h"

#include <errno.h>
#include <unistd.h>

#define SEC 1000000000LL
#define MS 1000000LL
#define US 1000LL

#define WALL_AHEAD (37 * MS) /* beta's wall clock */
#define CONNECTIONS_MAX 64

static char scratch[200];

struct scenario {
	const char *name;
	int requests, connections;
	int calls;	   /* of each request, one after the other... */
	int pipelined;	   /* ...or so many sent at once */
	int64_t every_ns;  /* requests arrive */
	int64_t jitter_ns; /* of each way of the wire */
	int64_t late_ns;   /* beta's capture begins so much later */
	double drift;	   /* beta's clock is so much faster */
	bool one_size;	   /* all calls have the same bytes */
	int lose_requests; /* each so-many-th is missing in beta's capture */
	int lose_calls;	   /* in alpha's */
	int retry;	   /* each so-many-th call gets no reply in time, and is made again */
	int reuse;	   /* a connection's ports are used again after so many calls */
	bool reuse_all;	   /* of all connections, not of the second half only */
	bool same_host;	   /* both on alpha */
};

/* Where the truth meets the traces. */
struct host {
	struct trace_writer *writer;
	int64_t boot_ns, start_ns; /* of its clock; true time of the capture's start */
	double drift;
	uint64_t requests, ops, connections;
};

struct line {
	int64_t free_ns;
	int64_t open_ns;
	int calls;
	uint64_t out_id, in_id;
	bool opened;
};

struct world {
	const struct scenario *s;
	struct host alpha, beta;
	struct line lines[CONNECTIONS_MAX];
	uint64_t random;
	int joinable; /* calls that both captures have */
	int sent;
};

static uint64_t next_random(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static int64_t between(struct world *w, int64_t from, int64_t to)
{
	return from + (int64_t)(next_random(w) % (uint64_t)(to - from + 1));
}

/* As the host's trace has it. */
static int64_t on(const struct host *h, int64_t true_ns)
{
	int64_t since_ns = true_ns - h->start_ns;

	return since_ns + (int64_t)(h->drift * (double)since_ns);
}

static void put(struct host *h, enum trace_table table, const void *row)
{
	struct err err = { "" };

	if (!CHECK_EQ(trace_write(h->writer, table, row, &err), 0))
		printf("# %s\n", err.text);
}

static bool is_nth(int count, int n)
{
	return n && count % n == n - 1;
}

/* Both ends of the connection that is over. */
static void put_line(struct world *w, int i, int64_t close_ns)
{
	struct line *line = &w->lines[i];
	struct row_connection row = { .srtt_ns = TRACE_NONE, .min_rtt_ns = TRACE_NONE };

	if (!line->opened)
		return;
	row.connection_id = line->out_id;
	row.service_id = 1;
	row.outgoing = 1;
	row.open_ns = line->open_ns < w->alpha.start_ns ? TRACE_NONE : on(&w->alpha, line->open_ns);
	row.close_ns = close_ns ? on(&w->alpha, close_ns) : TRACE_NONE;
	snprintf(row.local, sizeof(row.local), "10.0.0.1:%d", 40000 + i);
	snprintf(row.remote, sizeof(row.remote), "10.0.0.2:8080");
	put(&w->alpha, TABLE_CONNECTIONS, &row);
	row.connection_id = line->in_id;
	row.outgoing = 0;
	row.open_ns = line->open_ns < w->beta.start_ns ? TRACE_NONE :
							 on(&w->beta, line->open_ns + 30 * US);
	row.close_ns = close_ns ? on(&w->beta, close_ns + 30 * US) : TRACE_NONE;
	snprintf(row.local, sizeof(row.local), "10.0.0.2:8080");
	snprintf(row.remote, sizeof(row.remote), "10.0.0.1:%d", 40000 + i);
	put(&w->beta, TABLE_CONNECTIONS, &row);
	line->opened = false;
}

static void open_line(struct world *w, int i, int64_t ns)
{
	struct row_target target = { .kind = TARGET_SERVICE, .name = "10.0.0.2:8080" };
	struct line *line = &w->lines[i];

	if (line->opened)
		return;
	line->opened = true;
	line->open_ns = ns;
	line->calls = 0;
	line->out_id = target.target_id = ++w->alpha.connections;
	line->in_id = ++w->beta.connections;
	put(&w->alpha, TABLE_TARGETS, &target);
}

/* A message on its way, its work there, and the way back. */
struct call {
	int64_t send_ns, arrive_ns, end_ns, receive_ns;
	uint64_t out_bytes, in_bytes;
	bool given_up;
};

static void put_call(struct world *w, const struct line *line, const struct call *c,
		     uint64_t parent)
{
	struct row_op op = {
		.op_id = ++w->alpha.ops,
		.request_id = parent,
		.kind = OP_FORWARD,
		.service_id = 1,
		.start_ns = on(&w->alpha, c->send_ns),
		.elapsed_ns = c->given_up ? 0 : (uint64_t)(c->receive_ns - c->send_ns),
		.bytes = c->out_bytes,
		.reply_bytes = c->given_up ? 0 : c->in_bytes,
		.offset = TRACE_NONE,
		.target_id = line->out_id,
		.connection_id = line->out_id,
	};
	struct row_request request = {
		.request_id = ++w->beta.requests,
		.class_id = 1,
		.service_id = 1,
		.connection_id = line->in_id,
		.confidence = 100,
		.think_ns = TRACE_NONE,
		.arrival_ns = on(&w->beta, c->arrive_ns),
		.read_ns = on(&w->beta, c->arrive_ns + 2000),
		.write_ns = on(&w->beta, c->end_ns - 1000),
		.end_ns = on(&w->beta, c->end_ns),
		.request_bytes = c->out_bytes,
		.response_bytes = c->in_bytes,
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
	};
	bool has_call = c->send_ns >= w->alpha.start_ns && !is_nth(w->sent, w->s->lose_calls);
	bool has_request = c->arrive_ns >= w->beta.start_ns &&
			   !is_nth(w->sent, w->s->lose_requests);

	snprintf(request.label, sizeof(request.label), "%llu", (unsigned long long)parent);
	if (has_call)
		put(&w->alpha, TABLE_OPS, &op);
	if (has_request)
		put(&w->beta, TABLE_REQUESTS, &request);
	w->joinable += has_call && has_request;
	w->sent++;
}

static struct call make_call(struct world *w, int64_t send_ns, int64_t busy_until_ns)
{
	struct call c = { .send_ns = send_ns };

	c.arrive_ns = send_ns + 20 * US + between(w, 0, w->s->jitter_ns);
	c.end_ns = (c.arrive_ns > busy_until_ns ? c.arrive_ns : busy_until_ns) +
		   between(w, 20 * US, 200 * US);
	c.receive_ns = c.end_ns + 20 * US + between(w, 0, w->s->jitter_ns);
	c.out_bytes = w->s->one_size ? 100 : (uint64_t)between(w, 90, 120);
	c.in_bytes = w->s->one_size ? 1000 : (uint64_t)between(w, 500, 520);
	c.given_up = is_nth(w->sent, w->s->retry);
	return c;
}

/* On this connection from now on; returns when the last reply is there. */
static int64_t make_calls(struct world *w, int i, int64_t now_ns, int count, uint64_t parent)
{
	struct line *line = &w->lines[i];
	int64_t end_ns = now_ns, arrive_ns = 0, receive_ns = 0;

	for (int k = 0; k < count; k++) {
		struct call c = make_call(w, now_ns + k * 5 * US, end_ns);

		/* a connection keeps its order */
		if (c.arrive_ns < arrive_ns)
			c.arrive_ns = arrive_ns + 1;
		if (c.receive_ns < receive_ns)
			c.receive_ns = receive_ns + 1;
		put_call(w, line, &c, parent);
		arrive_ns = c.arrive_ns;
		end_ns = c.end_ns;
		receive_ns = c.receive_ns;
		if (c.given_up) { /* closes, and the caller tries again on a new one */
			put_line(w, i, c.send_ns + 10 * US);
			open_line(w, i, receive_ns + 1 * MS);
			return make_calls(w, i, receive_ns + 2 * MS, count - k, parent);
		}
	}
	line->calls += count;
	return receive_ns;
}

static bool uses_ports_again(const struct world *w, int i)
{
	return w->s->reuse && (w->s->reuse_all || i >= w->s->connections / 2);
}

static void put_root(struct world *w, uint64_t id, int64_t from_ns, int64_t to_ns)
{
	struct row_request row = {
		.request_id = id,
		.class_id = 1,
		.service_id = 1,
		.connection_id = 1000000,
		.confidence = 100,
		.think_ns = TRACE_NONE,
		.arrival_ns = on(&w->alpha, from_ns),
		.read_ns = on(&w->alpha, from_ns + 5000),
		.write_ns = on(&w->alpha, to_ns - 5000),
		.end_ns = on(&w->alpha, to_ns),
		.request_bytes = 100,
		.response_bytes = 2000,
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
	};

	snprintf(row.label, sizeof(row.label), "%llu", (unsigned long long)id);
	put(&w->alpha, TABLE_REQUESTS, &row);
}

static void play(struct world *w, uint64_t id, int64_t arrival_ns)
{
	int i = (int)(id % (uint64_t)w->s->connections);
	struct line *line = &w->lines[i];
	int64_t now_ns = arrival_ns > line->free_ns ? arrival_ns : line->free_ns;

	if (uses_ports_again(w, i) && line->calls >= w->s->reuse) {
		put_line(w, i, now_ns);
		now_ns += 1 * MS;
	}
	open_line(w, i, now_ns - 50 * US);
	if (w->s->pipelined)
		now_ns = make_calls(w, i, now_ns + 10 * US, w->s->pipelined, id);
	for (int k = 0; k < w->s->calls; k++)
		now_ns = make_calls(w, i, now_ns + between(w, 2 * US, 30 * US), 1, id);
	line->free_ns = now_ns + 15 * US;
	put_root(w, id, arrival_ns, now_ns + 10 * US);
}

static void begin_host(struct host *h, const char *path)
{
	struct row_service service = { 1, 1, "service", "10.0.0.2:8080", 1, "event-loop", 0 };
	struct row_class class = { 1, 1, "get", "compute reply", 0, 1000000 };
	struct err err = { "" };

	if (!CHECK_EQ(trace_writer_new(path, TRACE_WRITER_REPLACE, &h->writer, &err), 0)) {
		printf("# %s\n", err.text);
		exit(1);
	}
	put(h, TABLE_SERVICES, &service);
	put(h, TABLE_CLASSES, &class);
}

static void end_host(struct world *w, struct host *h, const char *name, int64_t end_ns)
{
	bool is_beta = h == &w->beta;
	struct manifest m;
	struct err err;

	manifest_init(&m);
	strcpy(m.source, "ebpf");
	snprintf(m.filter, sizeof(m.filter), "--comm %s", name);
	strcpy(m.started_at, "2026-11-21T08:00:00Z");
	m.start_monotonic_ns = h->boot_ns + h->start_ns;
	m.duration_ns = on(h, end_ns);
	m.work_per_ms = is_beta ? 900000 : 700000;
	m.hosts_count = 1;
	m.hosts[0].host_id = 1;
	strcpy(m.hosts[0].name, name);
	snprintf(m.hosts[0].boot_id, sizeof(m.hosts[0].boot_id), "boot-of-%s",
		 w->s->same_host ? "alpha" : name);
	m.hosts[0].realtime_offset_start_ns =
		1763625600 * SEC - h->boot_ns + (is_beta && !w->s->same_host ? WALL_AHEAD : 0);
	m.ledger.count[LG_REQUESTS] = h->requests;
	CHECK_EQ(trace_writer_finish(h->writer, &m, &err), 0);
	trace_writer_free(h->writer);
}

static const char *path_of(const char *name)
{
	static char paths[4][300];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s.gait", scratch, name);
	return path;
}

static void write_world(struct world *w, const struct scenario *s)
{
	int64_t now_ns = 1 * SEC;

	memset(w, 0, sizeof(*w));
	w->s = s;
	w->random = 88172645463325252u;
	w->alpha.boot_ns = 5000 * SEC;
	w->beta.boot_ns = s->same_host ? 5000 * SEC : 90000 * SEC;
	w->alpha.start_ns = 1 * SEC - 3 * MS;
	w->beta.start_ns = w->alpha.start_ns + s->late_ns;
	w->beta.drift = s->drift;
	begin_host(&w->alpha, path_of("alpha"));
	begin_host(&w->beta, path_of("beta"));
	for (int i = 0; i < s->requests; i++) {
		now_ns += between(w, s->every_ns / 2, s->every_ns * 3 / 2);
		play(w, (uint64_t)i + 1, now_ns);
	}
	w->alpha.requests = (uint64_t)s->requests;
	for (int i = 0; i < s->connections; i++)
		put_line(w, i, 0);
	end_host(w, &w->alpha, "alpha", now_ns + 5 * SEC);
	end_host(w, &w->beta, "beta", now_ns + 5 * SEC);
}

struct merged {
	struct merge_result result;
	struct row_request *requests;
	size_t count;
};

static int merge_two(struct merged *merged, const char *a, const char *b, struct err *err)
{
	const char *inputs[] = { a, b };
	const struct merge_opts opts = { inputs, 2, path_of("all"), true, SEC };

	return merge_traces(&opts, &merged->result, err);
}

static struct row_request *read_requests(const char *path, size_t *ret_count)
{
	struct row_request *rows = NULL;
	struct trace *t;
	struct err err;

	if (!CHECK_EQ(trace_open(path, TRACE_OPEN_VERIFY, &t, &err), 0))
		exit(1);
	CHECK_EQ(trace_edited_tables(t), 0);
	CHECK_EQ(trace_read_all(t, TABLE_REQUESTS, (void **)&rows, ret_count, &err), 0);
	trace_free(t);
	return rows;
}

struct verdict {
	int right, wrong, outside; /* parents; children that are not within theirs */
};

/* Alpha's requests come first and keep their ids, so a parent's id is its label. */
static struct verdict judge(const struct world *w, const struct merged *merged)
{
	struct verdict v = { 0, 0, 0 };
	int64_t bound_ns = merged->result.clocks_count ? merged->result.clocks[0].line.bound_ns : 0;

	for (size_t i = 0; i < merged->count; i++) {
		const struct row_request *row = &merged->requests[i], *parent;

		if (!row->parent_id)
			continue;
		if (row->parent_id != strtoull(row->label, NULL, 10)) {
			v.wrong++;
			continue;
		}
		v.right++;
		parent = &merged->requests[row->parent_id - 1];
		v.outside += row->arrival_ns + bound_ns < parent->arrival_ns ||
			     (!w->s->retry && row->end_ns - bound_ns > parent->end_ns);
	}
	return v;
}

/* How far beta's clock is from what the merge believes, at both ends and in the middle. */
static int64_t clock_error(const struct world *w, const struct merged *merged, int64_t true_ns)
{
	const struct clock_line *line = &merged->result.clocks[0].line;
	int64_t alpha_ns = w->alpha.boot_ns + true_ns;
	int64_t beta_ns = w->beta.boot_ns + w->beta.start_ns + on(&w->beta, true_ns);

	return llabs(clock_line_to_a(line, beta_ns) - alpha_ns);
}

static void check_clock(const struct world *w, const struct merged *merged)
{
	const struct merge_clock *clock = &merged->result.clocks[0];
	int64_t end_ns = 1 * SEC + w->s->requests * w->s->every_ns;

	if (w->s->same_host) {
		CHECK_EQ(merged->result.clocks_count, 0);
		return;
	}
	if (!CHECK_EQ(merged->result.clocks_count, 1))
		return;
	CHECK_EQ(clock->how, MERGE_CLOCK_CALLS);
	CHECK(clock->fit == (w->s->drift != 0 ? CLOCK_DRIFTS : CLOCK_CONSTANT));
	CHECK(clock->line.bound_ns < 20 * US + w->s->jitter_ns + 5 * US);
	CHECK(clock_error(w, merged, w->beta.start_ns) <= clock->line.bound_ns);
	CHECK(clock_error(w, merged, (w->beta.start_ns + end_ns) / 2) <= clock->line.bound_ns);
	CHECK(clock_error(w, merged, end_ns) <= clock->line.bound_ns);
	if (w->s->drift == 0)
		CHECK(llabs(clock->wall_ahead_ns - WALL_AHEAD) <= clock->line.bound_ns);
	CHECK_EQ(merged->result.manifest.hosts[1].clock_bound_ns, clock->line.bound_ns);
	CHECK_EQ(merged->result.manifest.hosts[1].work_per_ms, 900000);
}

static const struct scenario scenarios[] = {
	{ .name = "closed loop",
	  .requests = 2000,
	  .connections = 8,
	  .calls = 2,
	  .every_ns = MS,
	  .jitter_ns = 300 * US },
	{ .name = "one size",
	  .requests = 2000,
	  .connections = 4,
	  .calls = 3,
	  .every_ns = 400 * US,
	  .jitter_ns = 300 * US,
	  .one_size = true },
	{ .name = "one connection",
	  .requests = 500,
	  .connections = 1,
	  .calls = 2,
	  .every_ns = MS,
	  .jitter_ns = 50 * US,
	  .one_size = true },
	{ .name = "few",
	  .requests = 3,
	  .connections = 2,
	  .calls = 1,
	  .every_ns = 50 * MS,
	  .jitter_ns = 100 * US },
	{ .name = "beta later",
	  .requests = 3000,
	  .connections = 8,
	  .calls = 1,
	  .every_ns = MS,
	  .jitter_ns = 300 * US,
	  .one_size = true,
	  .late_ns = 700 * MS },
	{ .name = "beta earlier",
	  .requests = 3000,
	  .connections = 8,
	  .calls = 1,
	  .every_ns = MS,
	  .jitter_ns = 300 * US,
	  .one_size = true,
	  .late_ns = -400 * MS },
	{ .name = "pipelined",
	  .requests = 1500,
	  .connections = 4,
	  .pipelined = 5,
	  .every_ns = 2 * MS,
	  .jitter_ns = 100 * US,
	  .one_size = true },
	{ .name = "drift 50 ppm",
	  .requests = 6000,
	  .connections = 8,
	  .calls = 1,
	  .every_ns = 10 * MS,
	  .jitter_ns = 200 * US,
	  .drift = 50e-6 },
	{ .name = "drift, one size",
	  .requests = 6000,
	  .connections = 2,
	  .calls = 1,
	  .every_ns = 5 * MS,
	  .jitter_ns = 200 * US,
	  .drift = -80e-6,
	  .one_size = true },
	{ .name = "lost in the callee",
	  .requests = 2000,
	  .connections = 4,
	  .calls = 2,
	  .every_ns = MS,
	  .jitter_ns = 200 * US,
	  .one_size = true,
	  .lose_requests = 13 },
	{ .name = "lost in the caller",
	  .requests = 2000,
	  .connections = 4,
	  .calls = 2,
	  .every_ns = MS,
	  .jitter_ns = 200 * US,
	  .one_size = true,
	  .lose_calls = 17 },
	{ .name = "retries",
	  .requests = 1000,
	  .connections = 4,
	  .calls = 2,
	  .every_ns = 2 * MS,
	  .jitter_ns = 200 * US,
	  .one_size = true,
	  .retry = 50 },
	{ .name = "ports used again",
	  .requests = 3000,
	  .connections = 8,
	  .calls = 1,
	  .every_ns = MS,
	  .jitter_ns = 200 * US,
	  .one_size = true,
	  .reuse = 20 },
	{ .name = "all ports again",
	  .requests = 3000,
	  .connections = 8,
	  .calls = 1,
	  .every_ns = MS,
	  .jitter_ns = 200 * US,
	  .reuse = 20,
	  .reuse_all = true },
	{ .name = "one host",
	  .requests = 2000,
	  .connections = 4,
	  .calls = 3,
	  .every_ns = 500 * US,
	  .jitter_ns = 10 * US,
	  .one_size = true,
	  .same_host = true,
	  .late_ns = 300 * MS },
};

/* Parents are right or none; all calls that both have are joined; the clock is within its bound. */
static void test_known_trees(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		struct merged *merged = calloc(1, sizeof(*merged));
		struct world *w = calloc(1, sizeof(*w));
		struct err err = { "" };
		struct verdict v;

		check_case("%s", scenarios[i].name);
		write_world(w, &scenarios[i]);
		if (!CHECK_EQ(merge_two(merged, path_of("alpha"), path_of("beta"), &err), 0)) {
			printf("# %s\n", err.text);
			continue;
		}
		merged->requests = read_requests(path_of("all"), &merged->count);
		CHECK_EQ(merged->count, merged->result.manifest.tables[TABLE_REQUESTS].rows);
		v = judge(w, merged);
		printf("# %s: %d calls of both, %d parents right, %d wrong, %d outside; bound %lld ns\n",
		       scenarios[i].name, w->joinable, v.right, v.wrong, v.outside,
		       (long long)merged->result.clocks[0].line.bound_ns);
		CHECK_EQ(v.wrong, 0);
		CHECK_EQ(v.outside, 0);
		CHECK_EQ(v.right, w->joinable);
		CHECK_EQ(merged->result.manifest.ledger.count[LG_CALLS_JOINED], w->joinable);
		CHECK_EQ(merged->result.manifest.ledger.count[LG_JOINS_DOUBTFUL], 0);
		check_clock(w, merged);
		free(merged->requests);
		free(merged);
		free(w);
	}
}

int main(void)
{
	char command[300];

	strcpy(scratch, "/tmp/gait-test-merge.XXXXXX");
	if (!mkdtemp(scratch))
		return 1;
	RUN(test_known_trees);
	snprintf(command, sizeof(command), "rm -r %s", scratch);
	CHECK_EQ(system(command), 0);
	return check_done();
}
