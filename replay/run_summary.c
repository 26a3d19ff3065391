/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/run_summary.h"

#include "replay/warm_up.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct latencies {
	double *at;
	size_t count, room;
};

static int count_answered(void *arg, const struct client_fact *fact, struct err *err)
{
	struct latencies *l = arg;

	l->room += fact->received_ns != 0;
	return 0;
}

static int take_latency(void *arg, const struct client_fact *fact, struct err *err)
{
	struct latencies *l = arg;

	if (fact->received_ns)
		l->at[l->count++] = (double)(fact->received_ns - fact->intended_ns);
	return 0;
}

/* The first answered one that is not left out. */
struct cut {
	size_t left;
	int64_t from_ns;
};

static int find_cut(void *arg, const struct client_fact *fact, struct err *err)
{
	struct cut *cut = arg;

	if (fact->received_ns && cut->left-- == 0)
		cut->from_ns = fact->intended_ns;
	return 0;
}

/* When what counts begins by MSER-5, 0: at once; 1: it never became steady. Or a failure. */
static int find_steady(const struct client_rows_set *rows, int64_t *ret_from_ns, struct err *err)
{
	struct latencies l = { NULL };
	struct cut cut = { 0 };
	int ret = client_rows_each(rows, count_answered, &l, err);

	if (ret)
		return ret;
	l.at = malloc((l.room + 1) * sizeof(*l.at));
	if (!l.at)
		return err_errno(err, ENOMEM, "cannot sum up the run");
	ret = client_rows_each(rows, take_latency, &l, err);
	cut.left = warm_up_of(l.at, l.count);
	free(l.at);
	if (ret || cut.left == WARM_UP_UNSTEADY)
		return ret ? ret : 1;
	if (cut.left)
		ret = client_rows_each(rows, find_cut, &cut, err);
	*ret_from_ns = cut.from_ns;
	return ret;
}

static int find_warm_up(const struct client_rows_set *rows, int64_t anchor_ns, int64_t warm_up_ns,
			struct manifest *m, int64_t *ret_from_ns, struct err *err)
{
	bool by_rule = warm_up_ns == RUN_WARM_UP_AUTO;
	int64_t from_ns = 0;
	int ret = 0;

	if (!warm_up_ns)
		return 0;
	if (by_rule)
		ret = find_steady(rows, &from_ns, err);
	else
		from_ns = anchor_ns + warm_up_ns;
	if (ret < 0)
		return ret;
	snprintf(m->warm_up_rule, sizeof(m->warm_up_rule), "%s",
		 !by_rule ? "as asked" :
		 ret	  ? "none found by MSER-5: latencies did not become steady" :
			    "MSER-5 on medians of latency");
	m->warm_up_ns = from_ns > anchor_ns ? (uint64_t)(from_ns - anchor_ns) : 0;
	*ret_from_ns = from_ns;
	return 0;
}

struct summary {
	struct breakdown_summary *to;
	int64_t from_ns;
};

static int add(void *arg, const struct client_fact *fact, struct err *err)
{
	struct summary *s = arg;
	int ret = fact->intended_ns >= s->from_ns ? breakdown_add(s->to, fact) : 0;

	return ret ? err_errno(err, -ret, "cannot sum up the run") : 0;
}

static int add_to_band(void *arg, const struct client_fact *fact, struct err *err)
{
	struct summary *s = arg;

	if (fact->intended_ns >= s->from_ns)
		breakdown_band_add(s->to, fact);
	return 0;
}

int run_summarise(const struct client_rows_set *rows, int64_t anchor_ns, int64_t warm_up_ns,
		  struct manifest *m, struct breakdown_summary *ret_summary, struct err *err)
{
	struct summary s = { .to = ret_summary };
	int ret = find_warm_up(rows, anchor_ns, warm_up_ns, m, &s.from_ns, err);

	memset(ret_summary, 0, sizeof(*ret_summary));
	if (!ret)
		ret = client_rows_each(rows, add, &s, err);
	breakdown_band_begin(ret_summary);
	return ret ? ret : client_rows_each(rows, add_to_band, &s, err);
}
