/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/replay_sweep.h"

#include "base/units.h"
#include "cli/cmd.h"
#include "replay/plan/scale.h"
#include "report/grid.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX (1 << 20)

struct result {
	struct sweep_point point;
	char run[PATH_MAX];
	char why[256]; /* it is not used; else empty */
};

struct results {
	const struct sweep *sweep;
	struct result at[SWEEP_POINTS_MAX];
	struct sweep_point points[SWEEP_POINTS_MAX]; /* the same, for those who judge */
	size_t count;
};

static double per_second(uint64_t count, int64_t from_ns, int64_t to_ns)
{
	return count > 1 && to_ns > from_ns ?
		       (double)(count - 1) * 1e9 / (double)(to_ns - from_ns) :
		       0;
}

/* Of all requests: those without an answer count as slower than any. */
static int64_t percentile_of_all(const struct hist *latency, uint64_t requests, double percentile)
{
	uint64_t answered = hist_count(latency);
	double among = answered ? percentile * (double)requests / (double)answered : 101;

	return among > 100 ? SWEEP_NEVER : (int64_t)hist_value_at_percentile(latency, among);
}

static struct sweep_point measure(const struct sweep *sweep, const struct replay_result *result)
{
	const struct breakdown_summary *s = &result->summary;
	const struct ledger *ledger = &result->manifest.ledger;
	uint64_t sent = hist_count(&s->late), answered = hist_count(&s->latency);
	uint64_t unsent = ledger->count[LG_SENT] < result->planned ?
				  result->planned - ledger->count[LG_SENT] :
				  0;
	struct sweep_point point = {
		.requests = sent + unsent,
		.answered = answered,
		.intended_rate = per_second(sent, s->first_intended_ns, s->last_intended_ns),
		.answered_rate = per_second(sent, s->first_sent_ns, s->last_sent_ns),
		.mean_ns = hist_mean(&s->latency),
		.late_p99_ns = (int64_t)hist_value_at_percentile(&s->late, 99),
		.invalid = result->manifest.verdict[0] != '\0' || ledger_has_loss(ledger),
	};

	point.answered_rate *= sent ? (double)answered / (double)sent : 0;
	point.p50_ns = percentile_of_all(&s->latency, point.requests, 50);
	point.p99_ns = percentile_of_all(&s->latency, point.requests, 99);
	if (sweep->hold_percentile)
		point.held_ns =
			percentile_of_all(&s->latency, point.requests, sweep->hold_percentile);
	return point;
}

static void explain(const struct replay_result *result, char *why, size_t size)
{
	if (result->manifest.verdict[0])
		snprintf(why, size, "%s", result->manifest.verdict);
	else if (ledger_has_loss(&result->manifest.ledger))
		snprintf(why, size, "INVALID because something was lost (see its ledger)");
}

/* One more point. 1: it was the last one (interrupted, the node went away). */
static int add_point(struct results *results, const struct replay_opts *replay,
		     uint32_t speed_milli, struct err *err)
{
	static struct replay_result replayed;
	struct result *result = &results->at[results->count];
	struct replay_opts opts = *replay;
	int ret;

	snprintf(result->run, sizeof(result->run), "%s/%u.%03u.gait", replay->run,
		 speed_milli / PLAN_SPEED_ONE, speed_milli % PLAN_SPEED_ONE);
	opts.run = result->run;
	opts.load.speed_milli = speed_milli;
	ret = replay_run(&opts, &replayed, err);
	if (!ret) {
		result->point = measure(results->sweep, &replayed);
		result->point.speed_milli = speed_milli;
		explain(&replayed, result->why, sizeof(result->why));
		results->points[results->count++] = result->point;
		ret = replayed.failure[0] ? 1 : 0;
	}
	replay_result_release(&replayed);
	return ret;
}

static const char *time_text(char *text, size_t size, int64_t ns)
{
	return ns == SWEEP_NEVER ? "never" : unit_format_ns(text, size, ns);
}

static void put_time(struct grid *grid, int64_t ns)
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", time_text(text, sizeof(text), ns));
}

static void put_rate(struct grid *grid, double per)
{
	char text[UNIT_TEXT_SIZE];

	grid_cell(grid, "%s", unit_format_rate(text, sizeof(text), per));
}

/* In the order of speed, whatever the order of trying. */
static const struct result *next_slowest(const struct results *results, uint32_t above)
{
	const struct result *next = NULL;

	for (size_t i = 0; i < results->count; i++) {
		const struct result *r = &results->at[i];

		if (r->point.speed_milli > above &&
		    (!next || r->point.speed_milli < next->point.speed_milli))
			next = r;
	}
	return next;
}

static void put_point(const struct result *r, struct grid *grid)
{
	grid_cell(grid, "%g", r->point.speed_milli / (double)PLAN_SPEED_ONE);
	put_rate(grid, r->point.intended_rate);
	put_rate(grid, r->point.answered_rate);
	grid_cell(grid, "%llu", (unsigned long long)(r->point.requests - r->point.answered));
	put_time(grid, r->point.p50_ns);
	put_time(grid, r->point.p99_ns);
	put_time(grid, r->point.late_p99_ns);
	grid_cell(grid, "%s", r->why);
}

static void put_table(const struct results *results, struct buf *out)
{
	static const char *const heads[] = { "speed", "intended", "answered", "failed",
					     "p50",   "p99",	  "late p99", "" };
	const struct result *r = NULL;
	struct grid grid;

	grid_init(&grid, "rrrrrrrl");
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		grid_cell(&grid, "%s", heads[i]);
	while ((r = next_slowest(results, r ? r->point.speed_milli : 0)))
		put_point(r, &grid);
	grid_put(&grid, 0, out);
	grid_release(&grid);
}

static void put_knee(const struct results *results, struct buf *out)
{
	size_t knee = sweep_knee(results->points, results->count);
	char rate[UNIT_TEXT_SIZE], p99[UNIT_TEXT_SIZE];

	if (knee == SWEEP_NONE) {
		buf_puts(out, "knee     none within what was tried and can be used\n");
		return;
	}
	buf_printf(
		out,
		"knee     speed %g, %s answered, p99 %s (largest throughput over mean latency)\n",
		results->points[knee].speed_milli / (double)PLAN_SPEED_ONE,
		unit_format_rate(rate, sizeof(rate), results->points[knee].answered_rate),
		time_text(p99, sizeof(p99), results->points[knee].p99_ns));
}

static void put_hold(const struct results *results, struct buf *out)
{
	const struct sweep *sweep = results->sweep;
	bool bounded;
	size_t best = sweep_holds(sweep, results->points, results->count, &bounded);
	char limit[UNIT_TEXT_SIZE], rate[UNIT_TEXT_SIZE];

	if (!sweep->hold_percentile)
		return;
	unit_format_ns(limit, sizeof(limit), sweep->hold_ns);
	if (best == SWEEP_NONE) {
		buf_printf(out, "hold     p%g of %s: %s\n", sweep->hold_percentile, limit,
			   bounded ? "not even at the lowest load" :
				     "no point can tell (INVALID, or too few requests)");
		return;
	}
	buf_printf(out, "hold     p%g of %s: up to speed %g, %s answered%s\n",
		   sweep->hold_percentile, limit,
		   results->points[best].speed_milli / (double)PLAN_SPEED_ONE,
		   unit_format_rate(rate, sizeof(rate), results->points[best].answered_rate),
		   bounded ? "" : "; more was not tried, or cannot be used");
}

static int print_text(const struct results *results, struct err *err)
{
	struct buf text;
	int rc;

	buf_init(&text, TEXT_MAX);
	put_table(results, &text);
	put_knee(results, &text);
	put_hold(results, &text);
	rc = buf_failed(&text);
	if (rc)
		rc = err_errno(err, -rc, "cannot print the table");
	else
		fputs(buf_text(&text), stdout);
	buf_release(&text);
	return rc;
}

static int put_ns(struct json *json, const char *name, int64_t ns)
{
	return ns == SWEEP_NEVER ? json_put_double(json, name, NAN) : json_put_int(json, name, ns);
}

static struct json *point_json(const struct result *r)
{
	struct json *json = json_new_object();

	if (!json)
		return NULL;
	json_put_double(json, "speed", r->point.speed_milli / (double)PLAN_SPEED_ONE);
	json_put_text(json, "run", r->run);
	json_put_double(json, "intended_rate", r->point.intended_rate);
	json_put_double(json, "answered_rate", r->point.answered_rate);
	json_put_u64(json, "requests", r->point.requests);
	json_put_u64(json, "answered", r->point.answered);
	json_put_double(json, "mean_ns", r->point.mean_ns);
	put_ns(json, "p50_ns", r->point.p50_ns);
	put_ns(json, "p99_ns", r->point.p99_ns);
	put_ns(json, "late_p99_ns", r->point.late_p99_ns);
	json_put_text(json, "verdict", r->why);
	return json;
}

static int put_choice(struct json *root, const char *name, const struct results *results,
		      size_t choice)
{
	return choice == SWEEP_NONE ? json_put_double(root, name, NAN) :
				      json_put(root, name, point_json(&results->at[choice]));
}

static struct json *to_json(const struct results *results)
{
	struct json *root = json_new_object(), *points = json_new_array();
	const struct result *r = NULL;
	bool bounded;

	if (!root || !points || json_put(root, "points", points)) {
		json_free(root);
		return NULL;
	}
	while ((r = next_slowest(results, r ? r->point.speed_milli : 0)))
		json_add(points, point_json(r));
	put_choice(root, "knee", results, sweep_knee(results->points, results->count));
	if (!results->sweep->hold_percentile)
		return root;
	put_choice(root, "holds", results,
		   sweep_holds(results->sweep, results->points, results->count, &bounded));
	json_put_bool(root, "holds_bounded", bounded);
	return root;
}

static bool is_any_used(const struct results *results)
{
	for (size_t i = 0; i < results->count; i++)
		if (!results->points[i].invalid && results->points[i].answered)
			return true;
	return false;
}

int replay_sweep(const struct sweep *sweep, const struct replay_opts *replay, bool json)
{
	static struct results results;
	struct err err = { "" }, unprinted;
	uint32_t speed;
	int ret = 0;

	results.sweep = sweep;
	if (mkdir(replay->run, 0777) && errno != EEXIST) {
		err_errno(&err, errno, "cannot make '%s'", replay->run);
		return cmd_failed(&err);
	}
	while (!ret && (speed = sweep_next(sweep, results.points, results.count)))
		ret = add_point(&results, replay, speed, &err);
	if (ret < 0)
		cmd_failed(&err);
	if (results.count && (json ? cmd_print_json(to_json(&results), &unprinted) :
				     print_text(&results, &unprinted)))
		return cmd_failed(&unprinted);
	return ret ? EXIT_FAILED : is_any_used(&results) ? EXIT_FINE : EXIT_DOUBTFUL;
}
