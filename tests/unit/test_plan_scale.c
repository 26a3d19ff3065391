/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/net/wire.h"
#include "replay/plan/compose.h"
#include "replay/plan/extent.h"
#include "replay/plan/scale.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdint.h>

#define MS 1000000ll
#define SECOND (1000 * MS)

static uint64_t random_state;

static double random_unit(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(random_state >> 11) / (double)(1ull << 53);
}

static int64_t exponential(double mean)
{
	return (int64_t)(-log(1 - random_unit()) * mean);
}

/* --- plans made by hand ------------------------------------------------------------------- */

#define REQUESTS_MAX 200000

static void plan_new(struct plan *plan, size_t connections)
{
	*plan = (struct plan){ .threads = 2 };
	plan->connections = calloc(connections + 1, sizeof(*plan->connections));
	plan->requests = scratch_alloc(NULL, REQUESTS_MAX * sizeof(*plan->requests), NULL);
	plan->ops = scratch_alloc(NULL, 2 * REQUESTS_MAX * sizeof(*plan->ops), NULL);
	plan->background = calloc(4, sizeof(*plan->background));
	plan->targets = calloc(1, sizeof(*plan->targets));
	for (size_t c = 0; c < connections; c++)
		plan->connections[c] = (struct plan_connection){ .connection_id = c + 1,
								 .origin_id = c + 1,
								 .thread = c % 2 };
	plan->connections_count = connections;
}

static struct plan_request *add(struct plan *plan, uint32_t connection, int64_t due_ns)
{
	struct plan_request *r = &plan->requests[plan->requests_count++];

	*r = (struct plan_request){ .connection_id = connection + 1,
				    .request_bytes = 10,
				    .response_bytes = 20,
				    .due_ns = due_ns };
	return r;
}

static int compare_due(const void *a, const void *b)
{
	const struct plan_request *x = a, *y = b;

	return (x->due_ns > y->due_ns) - (x->due_ns < y->due_ns);
}

/* Sorts, and gives each request an id in that order, a compute op and a reply. */
static void plan_done(struct plan *plan, int64_t duration_ns)
{
	qsort(plan->requests, plan->requests_count, sizeof(*plan->requests), compare_due);
	for (size_t i = 0; i < plan->requests_count; i++) {
		struct plan_request *r = &plan->requests[i];

		r->request_id = i + 1;
		r->first_op = (uint32_t)plan->ops_count;
		r->ops_count = 2;
		plan->ops[plan->ops_count++] = (struct plan_op){
			.op_id = 2 * i + 1, .kind = OP_COMPUTE, .owners = 1, .work = 100 + i % 7
		};
		plan->ops[plan->ops_count++] = (struct plan_op){
			.op_id = 2 * i + 2, .kind = OP_REPLY, .owners = 1, .bytes = 20
		};
	}
	plan->duration_ns = duration_ns;
}

/*
 * Senders by the clock whose load changes slowly (a period of 20 s, from 0.2 to 1.8 of the mean) and
 * comes in bursts of 5 requests within a few 100 us.
 */
static void plan_bursts(struct plan *plan, size_t connections, double per_second,
			int64_t duration_ns)
{
	random_state = 42;
	plan_new(plan, connections);
	for (uint32_t c = 0; c < connections; c++) {
		int64_t at = 0;

		for (;;) {
			double phase, mean = 1e9 * 5 * (double)connections / per_second / 1.8;

			at += exponential(mean);
			phase = 1 + 0.8 * sin(2 * M_PI * (double)at / (20.0 * SECOND));
			if (at >= duration_ns - MS)
				break;
			if (random_unit() > phase / 1.8)
				continue;
			for (int i = 0; i < 5; i++)
				add(plan, c, at + i * 80000);
		}
	}
	plan_done(plan, duration_ns);
}

static uint64_t total_work(const struct plan *plan)
{
	uint64_t work = 0;

	for (size_t r = 0; r < plan->requests_count; r++) {
		for (uint32_t o = 0; o < plan->requests[r].ops_count; o++)
			work += plan->ops[plan->requests[r].first_op + o].work;
	}
	return work;
}

/* What every plan keeps: order, ids of its own, whole connections, nobody who waits for ever. */
static void check_sound(const struct plan *plan)
{
	struct plan_chains chains = { 0 };
	uint64_t counted = 0;

	if (!CHECK(plan_chains_init(&chains, plan) == 0))
		return;
	for (size_t i = 1; i < plan->requests_count; i++)
		CHECK(plan->requests[i - 1].due_ns <= plan->requests[i].due_ns);
	for (size_t c = 0; c < plan->connections_count; c++) {
		const struct plan_connection *connection = &plan->connections[c];
		uint64_t requests = 0;

		for (uint32_t r = chains.first[c]; r != PLAN_CHAIN_END; r = chains.next[r]) {
			const struct plan_request *request = &plan->requests[r];

			if (!requests++)
				CHECK_EQ(request->due_ns, connection->first_due_ns);
			if (chains.next[r] == PLAN_CHAIN_END)
				CHECK_EQ(request->due_ns, connection->last_due_ns);
		}
		CHECK_EQ(requests, connection->requests);
		CHECK(requests > 0);
		counted += requests;
	}
	CHECK_EQ(counted, plan->requests_count);
	counted = 0;
	for (size_t i = 0; i < plan->requests_count; i++)
		counted += chains.successor[i] != PLAN_CHAIN_END;
	for (size_t i = 0; i < plan->requests_count; i++)
		counted -= plan->requests[i].after_request != 0;
	CHECK_EQ(counted, 0); /* each of those waited for is there, and has one that waits */
	plan_chains_release(&chains);
}

static bool scale(struct plan *plan, uint32_t speed_milli, uint64_t seed, struct plan_scaled *ret)
{
	struct err err = { "" };
	int rc = plan_scale(plan, speed_milli, seed, PLAN_BATCHING_LIVE, ret, &err);

	if (!CHECK_EQ(rc, 0))
		printf("# %s\n", err.text);
	return rc == 0;
}

/* --- more and less load ------------------------------------------------------------------- */

static void test_totals(void)
{
	static const uint32_t speeds[] = { 100, 500, 1000, 1500, 2000, 3250 };

	for (size_t i = 0; i < ARRAY_SIZE(speeds); i++) {
		double speed = speeds[i] / 1000.0, work;
		struct plan_scaled scaled;
		struct plan plan;
		size_t requests;

		check_case("speed %g", speed);
		plan_bursts(&plan, 200, 2000, 20 * SECOND);
		requests = plan.requests_count;
		work = (double)total_work(&plan);
		if (!scale(&plan, speeds[i], 7, &scaled))
			return;
		CHECK_NEAR((double)scaled.senders, 200 * speed, 0.999);
		CHECK_EQ(scaled.requests, plan.requests_count);
		/* by whole connections: as near as the spread of their sizes allows */
		CHECK_NEAR((double)plan.requests_count, (double)requests * speed,
			   0.02 * (double)requests);
		CHECK_NEAR((double)total_work(&plan), work * speed, 0.02 * work);
		CHECK_EQ(plan.duration_ns, 20 * SECOND);
		CHECK(plan.requests[plan.requests_count - 1].due_ns <= plan.duration_ns);
		check_sound(&plan);
		plan_release(&plan);
	}
}

/* Whole copies are exact. */
static void test_whole_copies(void)
{
	struct plan_scaled scaled;
	struct plan plan;
	size_t requests;
	uint64_t work;

	plan_bursts(&plan, 20, 1000, 10 * SECOND);
	requests = plan.requests_count;
	work = total_work(&plan);
	scale(&plan, 3000, 1, &scaled);
	CHECK_EQ(plan.requests_count, 3 * requests);
	CHECK_EQ(total_work(&plan), 3 * work);
	CHECK(scaled.shift_ns > 0 && scaled.shift_ns <= SECOND);
	plan_release(&plan);
}

/* A copy's requests on a connection are neighbours in the trace, as far apart as there. */
static void test_gaps(void)
{
	struct plan_chains chains, before;
	struct plan_scaled scaled;
	struct plan plan, trace;
	uint64_t span;

	plan_bursts(&trace, 30, 1000, 10 * SECOND);
	plan_bursts(&plan, 30, 1000, 10 * SECOND);
	span = plan_id_span(&plan);
	scale(&plan, 2500, 3, &scaled);
	CHECK(plan_chains_init(&chains, &plan) == 0 && plan_chains_init(&before, &trace) == 0);
	for (size_t r = 0; r < plan.requests_count; r++) {
		uint32_t next = chains.next[r];
		uint64_t was = (plan.requests[r].request_id - 1) % span, will;

		if (next == PLAN_CHAIN_END)
			continue;
		will = (plan.requests[next].request_id - 1) % span;
		CHECK_EQ(before.next[was], will);
		CHECK_EQ(plan.requests[next].due_ns - plan.requests[r].due_ns,
			 trace.requests[will].due_ns - trace.requests[was].due_ns);
	}
	plan_chains_release(&chains);
	plan_chains_release(&before);
	plan_release(&trace);
	plan_release(&plan);
}

/* --- bursts ------------------------------------------------------------------------------- */

/* How many are due in each window of length t, over a duration of whole windows. */
static double *count_windows(const struct plan *plan, int64_t duration_ns, int64_t t,
			     size_t *ret_count)
{
	double *counts = calloc((size_t)(duration_ns / t) + 1, sizeof(*counts));

	*ret_count = (size_t)(duration_ns / t);
	for (size_t i = 0; i < plan->requests_count && counts; i++) {
		if (plan->requests[i].due_ns / t < (int64_t)*ret_count)
			counts[plan->requests[i].due_ns / t]++;
	}
	return counts;
}

static double mean(const double *x, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += x[i];
	return sum / (double)count;
}

/* Of x, and of x a number of windows later (the end goes on at the beginning). */
static double covariance(const double *x, size_t count, size_t later)
{
	double m = mean(x, count), sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (x[i] - m) * (x[(i + later) % count] - m);
	return sum / (double)count;
}

static double dispersion(const struct plan *plan, int64_t duration_ns, int64_t t)
{
	size_t count;
	double *counts = count_windows(plan, duration_ns, t, &count), index;

	index = covariance(counts, count, 0) / mean(counts, count);
	free(counts);
	return index;
}

/* 1 + r_t(s): the correlation at the copy's shift, between the two whole numbers of windows. */
static double superposition(const struct plan *plan, int64_t duration_ns, int64_t t,
			    int64_t shift_ns)
{
	size_t count, later = (size_t)(shift_ns / t);
	double *counts = count_windows(plan, duration_ns, t, &count), part, r;

	part = (double)(shift_ns - (int64_t)later * t) / (double)t;
	r = (1 - part) * covariance(counts, count, later) +
	    part * covariance(counts, count, later + 1);
	r /= covariance(counts, count, 0);
	free(counts);
	return 1 + r;
}

static void test_dispersion(void)
{
	static const int64_t windows[] = { MS, 10 * MS, 100 * MS, 500 * MS };
	const int64_t duration_ns = 200 * SECOND;
	struct plan_scaled scaled;
	struct plan trace, plan;

	plan_bursts(&trace, 100, 500, duration_ns);
	plan_bursts(&plan, 100, 500, duration_ns);
	scale(&plan, 2000, 11, &scaled);
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		double one = dispersion(&trace, duration_ns, windows[i]);
		double two = dispersion(&plan, duration_ns, windows[i]);
		double factor = superposition(&trace, duration_ns, windows[i], scaled.shift_ns);

		check_case("windows of %lld ms: %.3f became %.3f", (long long)(windows[i] / MS),
			   one, two);
		CHECK(one > 3); /* no Poisson process, which has 1 */
		CHECK_NEAR(two / one, factor, 0.05 * factor);
	}
	check_case("bursts within 1 ms are others' bursts: they do not come together");
	CHECK_NEAR(dispersion(&plan, duration_ns, MS) / dispersion(&trace, duration_ns, MS), 1,
		   0.1);
	check_case("a rush hour is everybody's: it is twice as high");
	CHECK_NEAR(dispersion(&plan, duration_ns, 5 * SECOND) /
			   dispersion(&trace, duration_ns, 5 * SECOND),
		   2, 0.15);
	plan_release(&trace);
	plan_release(&plan);
}

/* --- those who wait for replies ------------------------------------------------------------ */

/*
 * Closed loops: each sends 3 requests on a connection, and then on another one that it opens when
 * the last reply has come.
 */
static void plan_loops(struct plan *plan, uint32_t loops)
{
	uint32_t connections = 2 * loops;

	plan_new(plan, connections);
	for (uint32_t c = 0; c < connections; c++) {
		plan->connections[c].dependent = 1;
		for (uint32_t r = 0; r < 3; r++)
			add(plan, c, (c / loops) * 50 * MS + r * 10 * MS + c % loops);
	}
	plan_done(plan, 100 * MS);
	for (uint32_t i = 0; i < plan->requests_count; i++) {
		if (i < loops)
			continue;
		plan->requests[i].after_request = plan->requests[i - loops].request_id;
		plan->requests[i].think_ns = 9 * MS;
	}
}

static size_t count_waiting(const struct plan *plan)
{
	size_t waiting = 0;

	for (size_t i = 0; i < plan->requests_count; i++)
		waiting += plan->requests[i].after_request != 0;
	return waiting;
}

static void test_senders_stay_whole(void)
{
	static const struct {
		uint32_t speed_milli;
		size_t loops;
	} cases[] = { { 500, 4 }, { 1000, 8 }, { 1250, 10 }, { 3000, 24 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plan_scaled scaled;
		struct plan plan;

		check_case("speed %u/1000", cases[i].speed_milli);
		plan_loops(&plan, 8);
		scale(&plan, cases[i].speed_milli, 5, &scaled);
		CHECK_EQ(scaled.senders_before, 8);
		CHECK_EQ(scaled.waiting, cases[i].loops);
		CHECK_EQ(plan.connections_count, 2 * cases[i].loops);
		CHECK_EQ(plan.requests_count, 6 * cases[i].loops);
		CHECK_EQ(count_waiting(&plan), 5 * cases[i].loops);
		check_sound(&plan);
		plan_release(&plan);
	}
}

static void test_seeds(void)
{
	struct plan_scaled scaled;
	struct plan a, b, c;

	plan_bursts(&a, 50, 500, 10 * SECOND);
	plan_bursts(&b, 50, 500, 10 * SECOND);
	plan_bursts(&c, 50, 500, 10 * SECOND);
	scale(&a, 1500, 1, &scaled);
	scale(&b, 1500, 1, &scaled);
	scale(&c, 1500, 2, &scaled);
	if (CHECK_EQ(a.requests_count, b.requests_count))
		CHECK_MEM(a.requests, b.requests, a.requests_count * sizeof(*a.requests));
	CHECK(c.requests_count != a.requests_count ||
	      memcmp(a.requests, c.requests, a.requests_count * sizeof(*a.requests)) != 0);
	plan_release(&a);
	plan_release(&b);
	plan_release(&c);
}

/* A fraction of one connection is that connection, and the numbers say so. */
static void test_one_is_left(void)
{
	struct plan_scaled scaled;
	struct plan plan;
	char text[512];

	plan_bursts(&plan, 1, 100, 10 * SECOND);
	scale(&plan, 1, 3, &scaled);
	CHECK_EQ(scaled.senders, 1);
	CHECK_EQ(scaled.requests, scaled.requests_before);
	CHECK_STR(
		plan_scaled_text(&scaled, text, sizeof(text)),
		"speed 0.001: 1 senders instead of 1 (0 instead of 0 wait for replies), 1.000 times "
		"the requests");
	plan_release(&plan);
}

static void test_limits(void)
{
	struct plan_scaled scaled;
	struct err err = { "" };
	struct plan plan;

	plan_bursts(&plan, 100, 200, 10 * SECOND);
	CHECK_EQ(plan_scale(&plan, 700 * 1000, 1, PLAN_BATCHING_LIVE, &scaled, &err), -E2BIG);
	CHECK(strstr(err.text, " connections; a node takes at most 65536") != NULL);
	CHECK_EQ(plan.connections_count, 100);

	check_case("a thread for each connection");
	strcpy(plan.service.io_model, "per-connection");
	plan.background_count = 1;
	plan.background[0].thread = 2;
	CHECK_EQ(plan_scale(&plan, 129 * 1000, 1, PLAN_BATCHING_LIVE, &scaled, &err), -E2BIG);
	CHECK_EQ(plan.threads, 2);
	CHECK_EQ(plan_scale(&plan, 3000, 1, PLAN_BATCHING_LIVE, &scaled, &err), 0);
	CHECK_EQ(plan.threads, 6);
	CHECK_EQ(plan.background[0].thread, 6);
	for (size_t c = 0; c < plan.connections_count; c++)
		CHECK(plan.connections[c].thread < 6);
	plan_release(&plan);
}

/* Of 3 that shared a sync, those that are left share it, in each copy apart. */
static void test_groups(void)
{
	struct plan_scaled scaled;
	struct err err = { "" };
	struct plan plan;
	size_t groups = 0;

	plan_new(&plan, 9);
	for (uint32_t c = 0; c < 9; c++)
		add(&plan, c, SECOND + c);
	plan_done(&plan, 10 * SECOND);
	for (size_t i = 0; i < 9; i++)
		plan.ops[2 * i] = (struct plan_op){
			.op_id = 1000, .kind = OP_SYNC, .owners = 9, .mode = PLAN_SHARED
		};
	CHECK_EQ(plan_scale(&plan, 1333, 1, PLAN_BATCHING_RECORDED, &scaled, &err), 0);
	CHECK(plan.requests_count == 11 || plan.requests_count == 12);
	for (size_t i = 0; i < plan.ops_count; i++) {
		if (plan.ops[i].kind != OP_SYNC)
			continue;
		groups += plan.ops[i].op_id != 1000;
		CHECK_EQ(plan.ops[i].owners,
			 plan.ops[i].op_id == 1000 ? 9 : plan.requests_count - 9);
	}
	CHECK_EQ(groups, plan.requests_count - 9);
	plan_release(&plan);
}

/* --- again and again, and cut --------------------------------------------------------------- */

static void test_loop(void)
{
	struct err err = { "" };
	struct plan plan;
	size_t requests;

	plan_bursts(&plan, 10, 200, 10 * SECOND);
	plan.background_count = 2;
	plan.background[1].due_ns = 3 * SECOND;
	requests = plan.requests_count;
	CHECK_EQ(plan_loop(&plan, 3, PLAN_BATCHING_LIVE, &err), 0);
	CHECK_EQ(plan.requests_count, 3 * requests);
	CHECK_EQ(plan.connections_count, 30);
	CHECK_EQ(plan.duration_ns, 30 * SECOND);
	for (size_t i = 0; i < requests; i++) {
		CHECK_EQ(plan.requests[requests + i].due_ns, plan.requests[i].due_ns + 10 * SECOND);
		CHECK_EQ(plan.requests[2 * requests + i].due_ns,
			 plan.requests[i].due_ns + 20 * SECOND);
	}
	CHECK_EQ(plan.background_count, 6);
	CHECK_EQ(plan.background[5].due_ns, 23 * SECOND);
	check_sound(&plan);
	plan_release(&plan);
}

/* A closed loop stays one: its next pass waits for its last reply of this one. */
static void test_loop_of_loops(void)
{
	struct err err = { "" };
	struct plan plan;

	plan_loops(&plan, 4);
	CHECK_EQ(plan_loop(&plan, 3, PLAN_BATCHING_LIVE, &err), 0);
	CHECK_EQ(plan.requests_count, 3 * 24);
	CHECK_EQ(count_waiting(&plan), 3 * 24 - 4);
	CHECK_EQ(plan.requests[24].after_request, plan.requests[20].request_id);
	CHECK_EQ(plan.requests[24].think_ns, 30 * MS); /* from 70 ms to 100 ms */
	check_sound(&plan);
	plan_release(&plan);
}

static void test_cut(void)
{
	struct err err = { "" };
	struct plan plan;

	plan_loops(&plan, 4);
	plan.background_count = 2;
	plan.background[1].due_ns = 60 * MS;
	CHECK_EQ(plan_cut(&plan, 55 * MS, UINT64_MAX, PLAN_BATCHING_LIVE, &err), 0);
	CHECK_EQ(plan.requests_count, 16);
	CHECK_EQ(plan.connections_count, 8);
	CHECK_EQ(plan.background_count, 1);
	CHECK_EQ(plan.duration_ns, 55 * MS);
	check_sound(&plan);
	CHECK_EQ(plan_cut(&plan, INT64_MAX, 7, PLAN_BATCHING_LIVE, &err), 0);
	CHECK_EQ(plan.requests_count, 7);
	CHECK_EQ(plan.connections_count, 4);
	CHECK_EQ(plan.duration_ns, 10 * MS + 3); /* when the eighth came */
	check_sound(&plan);
	CHECK_EQ(plan_cut(&plan, 0, UINT64_MAX, PLAN_BATCHING_LIVE, &err), -ENODATA);
	CHECK_EQ(plan.requests_count, 7);
	plan_release(&plan);
}

static void test_loop_limits(void)
{
	struct err err = { "" };
	struct plan plan;

	plan_loops(&plan, 4);
	CHECK_EQ(plan_loop(&plan, 10000, PLAN_BATCHING_LIVE, &err), -E2BIG);
	CHECK_STR(err.text, "10000 times 8 connections are more than the 65536 that a node takes");
	CHECK_EQ(plan_loop(&plan, 1000000, PLAN_BATCHING_LIVE, &err), -E2BIG);
	CHECK_EQ(plan.requests_count, 24);
	plan.requests[3].request_id = UINT64_MAX - 7;
	CHECK_EQ(plan_loop(&plan, 2, PLAN_BATCHING_LIVE, &err), -E2BIG);
	CHECK_STR(err.text, "the trace's ids are too large for copies");
	plan_release(&plan);
}

int main(void)
{
	RUN(test_totals);
	RUN(test_whole_copies);
	RUN(test_gaps);
	RUN(test_dispersion);
	RUN(test_senders_stay_whole);
	RUN(test_seeds);
	RUN(test_one_is_left);
	RUN(test_limits);
	RUN(test_groups);
	RUN(test_loop);
	RUN(test_loop_of_loops);
	RUN(test_cut);
	RUN(test_loop_limits);
	return check_done();
}
