/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/extent.h"

#include "base/clock.h"
#include "replay/net/wire.h"
#include "replay/plan/compose.h"
#include "replay/plan/idmap.h"
#include "replay/plan/senders.h"
#include "replay/plan/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct extent {
	struct plan *plan;
	struct plan_chains chains;
	struct plan_senders senders;
	enum plan_batching batching;
};

static int extent_init(struct extent *e, struct err *err)
{
	if (!plan_chains_init(&e->chains, e->plan) &&
	    !plan_senders_init(&e->senders, e->plan, &e->chains))
		return 0;
	return err_errno(err, ENOMEM, "cannot hold %zu requests", e->plan->requests_count);
}

static void extent_release(struct extent *e)
{
	plan_senders_release(&e->senders);
	plan_chains_release(&e->chains);
}

/* All of it, `times` times. */
static int repeat_requests(struct extent *e, uint64_t times, int64_t period_ns, struct err *err)
{
	size_t connections = e->plan->connections_count, count = 0;
	struct plan_part *parts = calloc(times * connections + 1, sizeof(*parts));
	int ret;

	if (!parts)
		return err_errno(err, ENOMEM, "cannot hold the connections");
	for (uint32_t pass = 0; pass < times; pass++) {
		for (uint32_t c = 0; c < connections; c++)
			parts[count++] = (struct plan_part){
				.connection = c,
				.instance = pass,
				.before_ns = INT64_MAX,
				.shift_ns = pass * period_ns,
			};
	}
	ret = plan_compose(e->plan, &e->chains, parts, count, e->batching, err);
	free(parts);
	return ret;
}

/* The next pass begins at the earliest when the last request has come as it did before. */
static int64_t period_of(const struct plan *plan)
{
	size_t count = plan->requests_count;
	int64_t last = plan->requests[count - 1].due_ns;

	if (plan->duration_ns > last)
		return plan->duration_ns;
	return count > 1 && last ? last + last / (int64_t)(count - 1) : last + NS_PER_SEC;
}

/* Between two passes of a sender that waits for replies. */
struct seam {
	uint64_t last_id; /* of its last request of a pass */
	int64_t think_ns;
};

static int find_seams(const struct extent *e, int64_t period_ns, struct idmap *firsts,
		      struct seam *seams)
{
	const struct plan_request *requests = e->plan->requests;

	if (idmap_init(firsts, e->senders.count))
		return -ENOMEM;
	for (size_t i = 0; i < e->senders.count; i++) {
		const struct plan_sender *sender = &e->senders.at[i];

		if (!sender->waits)
			continue;
		idmap_put(firsts, requests[sender->first].request_id, (uint32_t)i);
		seams[i] = (struct seam){ requests[sender->last].request_id,
					  requests[sender->first].due_ns + period_ns -
						  requests[sender->last].due_ns };
	}
	return 0;
}

static void join_passes(struct plan *plan, uint64_t span, const struct idmap *firsts,
			const struct seam *seams)
{
	for (size_t i = 0; i < plan->requests_count; i++) {
		struct plan_request *r = &plan->requests[i];
		uint64_t pass = r->request_id / span;
		uint32_t sender = idmap_get(firsts, r->request_id % span);

		if (!pass || sender == IDMAP_NONE)
			continue;
		r->after_request = seams[sender].last_id + (pass - 1) * span;
		r->think_ns = seams[sender].think_ns;
	}
}

static int compare_background(const void *a, const void *b)
{
	const struct plan_background *x = a, *y = b;

	return (x->due_ns > y->due_ns) - (x->due_ns < y->due_ns);
}

static struct plan_background *repeat_background(const struct plan *plan, uint64_t times,
						 int64_t period_ns, size_t *ret_count)
{
	size_t before = plan->background_count, most = WIRE_BACKGROUND_MAX;
	size_t count = before && times > most / before ? most : before * times;
	struct plan_background *background = calloc(count + 1, sizeof(*background));

	for (size_t i = 0; i < count && background; i++) {
		background[i] = plan->background[i % before];
		background[i].due_ns += (int64_t)(i / before) * period_ns;
	}
	if (background)
		qsort(background, count, sizeof(*background), compare_background);
	*ret_count = count;
	return background;
}

static void replace_background(struct plan *plan, uint64_t times,
			       struct plan_background *background, size_t count)
{
	plan->ledger.count[LG_OPS_SKIPPED] += plan->background_count * times - count;
	free(plan->background);
	plan->background = background;
	plan->background_count = count;
}

int plan_loop_background(struct plan *plan, uint64_t times, int64_t period_ns)
{
	size_t count;
	struct plan_background *background = repeat_background(plan, times, period_ns, &count);

	if (!background)
		return -ENOMEM;
	replace_background(plan, times, background, count);
	return 0;
}

static int refuse_times(const struct plan *plan, uint64_t times, struct err *err)
{
	if (plan->requests_count > PLAN_ROWS_MAX / times)
		return err_set(
			err, E2BIG,
			"%llu times %zu requests are more than the %llu that a replay can count",
			(unsigned long long)times, plan->requests_count,
			(unsigned long long)PLAN_ROWS_MAX);
	if (plan->connections_count > WIRE_CONNECTIONS_MAX / times)
		return err_set(err, E2BIG,
			       "%llu times %zu connections are more than the %u that a node takes",
			       (unsigned long long)times, plan->connections_count,
			       WIRE_CONNECTIONS_MAX);
	return 0;
}

static int loop(struct extent *e, uint64_t times, struct err *err)
{
	struct plan *plan = e->plan;
	int64_t period_ns = period_of(plan);
	uint64_t span = plan_id_span(plan);
	struct idmap firsts = { 0 };
	struct seam *seams = calloc(e->senders.count + 1, sizeof(*seams));
	size_t background_count;
	struct plan_background *background =
		repeat_background(plan, times, period_ns, &background_count);
	int ret = -ENOMEM;

	if (!seams || !background || find_seams(e, period_ns, &firsts, seams))
		err_errno(err, ENOMEM, "cannot hold the connections");
	else
		ret = repeat_requests(e, times, period_ns, err);
	if (!ret) {
		join_passes(plan, span, &firsts, seams);
		replace_background(plan, times, background, background_count);
		plan->duration_ns = (int64_t)times * period_ns;
		background = NULL;
	}
	idmap_release(&firsts);
	free(background);
	free(seams);
	return ret;
}

int plan_loop(struct plan *plan, uint64_t times, enum plan_batching batching, struct err *err)
{
	struct extent e = { .plan = plan, .batching = batching };
	int ret;

	if (times < 2)
		return 0;
	ret = refuse_times(plan, times, err);
	if (!ret)
		ret = extent_init(&e, err);
	if (!ret)
		ret = loop(&e, times, err);
	extent_release(&e);
	return ret;
}

void plan_cut_background(struct plan *plan, int64_t end_ns)
{
	while (plan->background_count &&
	       plan->background[plan->background_count - 1].due_ns >= end_ns)
		plan->background_count--;
}

static size_t count_before(const struct plan *plan, int64_t before_ns, uint64_t requests)
{
	size_t count = 0;

	while (count < plan->requests_count && count < requests &&
	       plan->requests[count].due_ns < before_ns)
		count++;
	return count;
}

/* The time of the first that is left out. */
static int64_t end_of(const struct plan *plan, size_t count, int64_t before_ns)
{
	int64_t end = plan->duration_ns < before_ns ? plan->duration_ns : before_ns;

	if (count < plan->requests_count && plan->requests[count].due_ns < end)
		end = plan->requests[count].due_ns;
	return end;
}

int plan_cut(struct plan *plan, int64_t before_ns, uint64_t requests, enum plan_batching batching,
	     struct err *err)
{
	struct extent e = { .plan = plan, .batching = batching };
	size_t all = plan->requests_count, count = count_before(plan, before_ns, requests);
	int64_t end_ns = end_of(plan, count, before_ns);
	int ret;

	if (!count)
		return err_set(err, ENODATA, "no request is left: the first one comes later");
	plan->requests_count = count; /* those behind are no part of any connection any more */
	ret = extent_init(&e, err);
	if (!ret)
		ret = repeat_requests(&e, 1, 0, err);
	extent_release(&e);
	if (ret) {
		plan->requests_count = all;
		return ret;
	}
	plan->duration_ns = end_ns;
	plan_cut_background(plan, end_ns);
	return 0;
}
