/* SPDX-License-Identifier: Apache-2.0 */
#include "report/tree.h"

#include "attribution/call_split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of the bands of one root, as hist_round() has them. */
struct limits {
	uint64_t median_from, median_to, tail_from;
};

struct build {
	struct trace *trace;
	const struct summary *summary;
	struct tree *tree;
	uint64_t *targets; /* the services that targets are, by target_id */
	size_t targets_count;
	struct limits limits[TREE_PLACES_MAX];
	struct err *err;
};

typedef int (*row_fn)(struct build *b, const void *row);

#define TARGETS_MAX (1U << 20) /* further ones are unknown services */

static int read_table(struct build *b, enum trace_table table, row_fn fn)
{
	_Alignas(8) char row[sizeof(struct row_latency)];
	struct trace_reader *r;
	int rc = trace_reader_new(b->trace, table, &r, b->err);

	if (rc)
		return rc;
	while ((rc = trace_reader_next(r, row, b->err)) > 0) {
		rc = fn(b, row);
		if (rc)
			break;
	}
	trace_reader_free(r);
	return rc;
}

/* Beyond a limit is no failure: then there is no tree. */
static int take(struct build *b, int rc)
{
	if (rc == -ENOSPC)
		b->tree->too_large = true;
	if (rc == -ENOMEM)
		err_set(b->err, ENOMEM, "not enough memory for the calls of '%s'",
			trace_path(b->trace));
	return rc;
}

/* --- what goes in -------------------------------------------------------------------------- */

/* A machine that was booted once has one clock, under however many names. */
static uint32_t clock_of_host(const struct manifest *m, uint64_t host_id)
{
	uint32_t own = MANIFEST_HOSTS_MAX;

	for (uint32_t i = 0; i < m->hosts_count; i++)
		if (m->hosts[i].host_id == host_id)
			own = i;
	for (uint32_t i = 0; i < m->hosts_count && own < MANIFEST_HOSTS_MAX; i++)
		if (m->hosts[own].boot_id[0] && !strcmp(m->hosts[i].boot_id, m->hosts[own].boot_id))
			return i;
	return own;
}

static uint32_t clock_of(const struct build *b, uint64_t service_id)
{
	const struct summary *s = b->summary;

	for (size_t i = 0; i < s->services_count; i++)
		if (s->services[i].row.service_id == service_id)
			return clock_of_host(trace_manifest(b->trace), s->services[i].row.host_id);
	return MANIFEST_HOSTS_MAX;
}

static int on_request(struct build *b, const void *data)
{
	const struct row_request *row = data;
	const struct tree_request request = {
		.request_id = row->request_id,
		.parent_id = row->parent_id,
		.service_id = row->service_id,
		.clock = clock_of(b, row->service_id),
		.arrival_ns = row->arrival_ns,
		.end_ns = row->end_ns,
	};

	return take(b, call_tree_add_request(&b->tree->calls, &request));
}

/* By its own word, or as it listens where the target is. */
static uint64_t service_of_target(const struct summary *s, const struct row_target *row)
{
	for (size_t i = 0; i < s->services_count && !row->service_id && row->name[0]; i++)
		if (!strcmp(s->services[i].row.listen, row->name))
			return s->services[i].row.service_id;
	return row->service_id;
}

static int on_target(struct build *b, const void *data)
{
	const struct row_target *row = data;
	size_t wanted = row->target_id + 1;
	uint64_t *more;

	if (row->kind != TARGET_SERVICE || row->target_id >= TARGETS_MAX)
		return 0;
	if (wanted > b->targets_count) {
		more = realloc(b->targets, wanted * sizeof(*more));
		if (!more)
			return take(b, -ENOMEM);
		memset(more + b->targets_count, 0, (wanted - b->targets_count) * sizeof(*more));
		b->targets = more;
		b->targets_count = wanted;
	}
	b->targets[row->target_id] = service_of_target(b->summary, row);
	return 0;
}

static int on_op(struct build *b, const void *data)
{
	const struct row_op *row = data;
	struct tree_call call = {
		.request_id = row->request_id,
		.service_id = row->target_id < b->targets_count ? b->targets[row->target_id] : 0,
		.start_ns = row->start_ns,
	};

	if (row->kind != OP_FORWARD || !row->request_id || row->after_reply ||
	    row->elapsed_ns > INT64_MAX ||
	    __builtin_add_overflow(row->start_ns, (int64_t)row->elapsed_ns, &call.end_ns))
		return 0;
	return take(b, call_tree_add_call(&b->tree->calls, &call));
}

/* The client's row is not of the tree, which begins at the service it sent to. */
static struct tree_request *request_of(const struct build *b, const struct row_latency *row)
{
	if (row->service_id == TRACE_CLIENT_SERVICE)
		return NULL;
	return call_tree_find(&b->tree->calls, row->request_id);
}

static int on_latency_times(struct build *b, const void *data)
{
	const struct row_latency *row = data;
	struct tree_request *r = request_of(b, row);

	if (r) {
		r->total_ns = row->total_ns;
		r->call_ns = row->ns[SUB_CALL];
	}
	return 0;
}

/* Requests of the warm-up are in no summary: they and what they cause have no rows here. */
static int on_request_warming(struct build *b, const void *data)
{
	const struct row_request *row = data;
	struct tree_request *r;

	if (row->intended_ns == TRACE_NONE ||
	    row->intended_ns >= (int64_t)trace_manifest(b->trace)->warm_up_ns)
		return 0;
	r = call_tree_find(&b->tree->calls, row->request_id);
	if (r)
		r->total_ns = r->call_ns = 0;
	return 0;
}

/* --- places -------------------------------------------------------------------------------- */

static uint32_t place_get(struct tree *tree, uint32_t above, uint64_t service_id)
{
	struct tree_place *p;

	for (uint32_t i = 0; i < tree->places_count; i++)
		if (tree->places[i].above == above && tree->places[i].service_id == service_id)
			return i;
	if (tree->places_count == TREE_PLACES_MAX)
		return CALL_TREE_NONE;
	p = &tree->places[tree->places_count];
	p->above = above;
	p->service_id = service_id;
	p->root = above == CALL_TREE_NONE ? (uint32_t)tree->places_count : tree->places[above].root;
	p->depth = above == CALL_TREE_NONE ? 0 : tree->places[above].depth + 1;
	return (uint32_t)tree->places_count++;
}

/*
 * Callers first; at most CALL_TREE_DEPTH_MAX deep. What has no place any more is a call of its
 * caller again.
 */
static uint32_t place_of(struct tree *tree, struct tree_request *r)
{
	struct tree_request *parent;
	uint32_t above = CALL_TREE_NONE;

	if (r->place != CALL_TREE_NONE || r->root == CALL_TREE_NONE)
		return r->place;
	if (r->root != (uint32_t)(r - tree->calls.requests)) {
		parent = &tree->calls.requests[r->parent];
		above = place_of(tree, parent);
		if (above == CALL_TREE_NONE) /* given up, with all below */
			return r->root = CALL_TREE_NONE;
	}
	r->place = place_get(tree, above, r->service_id);
	if (r->place == CALL_TREE_NONE) {
		if (above != CALL_TREE_NONE)
			tree->calls.requests[r->parent].left_ns += r->path_ns + r->wire_ns;
		r->root = CALL_TREE_NONE;
	}
	return r->place;
}

static bool has_calls(const struct call_tree *calls)
{
	for (size_t i = 0; i < calls->requests_count; i++)
		if (calls->requests[i].root != CALL_TREE_NONE &&
		    calls->requests[i].root != (uint32_t)i)
			return true;
	return false;
}

static int give_places(struct build *b)
{
	struct call_tree *calls = &b->tree->calls;

	for (size_t i = 0; i < calls->requests_count; i++) {
		struct tree_request *r = &calls->requests[i];
		uint32_t place = place_of(b->tree, r);

		if (place == CALL_TREE_NONE)
			continue;
		b->tree->places[place].requests++;
		if (r->root == (uint32_t)i &&
		    hist_record(&b->tree->places[place].total, (uint64_t)r->total_ns))
			return take(b, -ENOMEM);
	}
	for (size_t i = 0; i < b->tree->places_count; i++) {
		const struct hist *total = &b->tree->places[b->tree->places[i].root].total;

		b->limits[i] = (struct limits){
			.median_from = hist_round(hist_value_at_percentile(total, 40)),
			.median_to = hist_round(hist_value_at_percentile(total, 60)),
			.tail_from = hist_round(hist_value_at_percentile(total, 99)),
		};
	}
	return 0;
}

/* --- what comes out ------------------------------------------------------------------------ */

/* A trace may hold any numbers, also such as overflow. */
static void add_ns(int64_t *sum, int64_t ns)
{
	if (__builtin_add_overflow(*sum, ns, sum))
		*sum = ns > 0 ? INT64_MAX : INT64_MIN;
}

static void take_ns(int64_t *left, int64_t ns)
{
	if (__builtin_sub_overflow(*left, ns, left))
		*left = ns > 0 ? INT64_MIN : INT64_MAX;
}

/*
 * The part of its rows that is on the path, without what its callees have of it; what rounding
 * leaves is unattributed.
 */
static void cut_row(const struct tree_request *r, const struct row_latency *row,
		    struct summary_band *ret_band)
{
	int64_t own_ns = r->path_ns - call_scale(r->call_ns, r->path_ns, r->total_ns);

	*ret_band = (struct summary_band){ .total_ns = own_ns + r->left_ns + r->wire_ns,
					   .unattributed_ns = own_ns };
	for (int i = 0; i < SUB_COUNT; i++) {
		if (i == SUB_CALL)
			continue;
		ret_band->ns[i] = call_scale(row->ns[i], r->path_ns, r->total_ns);
		take_ns(&ret_band->unattributed_ns, ret_band->ns[i]);
	}
	ret_band->ns[SUB_CALL] = r->left_ns;
	add_ns(&ret_band->ns[SUB_NET_WIRE], r->wire_ns);
}

static void add_band(struct tree_place *place, int band, const struct summary_band *from,
		     int64_t root_ns)
{
	struct summary_band *to = &place->bands[band];

	to->requests += root_ns > 0;
	add_ns(&place->root_ns[band], root_ns);
	add_ns(&to->total_ns, from->total_ns);
	add_ns(&to->unattributed_ns, from->unattributed_ns);
	for (int i = 0; i < SUB_COUNT; i++)
		add_ns(&to->ns[i], from->ns[i]);
}

static int on_latency_rows(struct build *b, const void *data)
{
	const struct row_latency *row = data;
	struct tree_request *r = request_of(b, row), *root;
	const struct limits *limits;
	struct summary_band band;
	struct tree_place *place;
	int64_t root_ns;
	uint64_t total;

	if (!r || r->place == CALL_TREE_NONE || r->total_ns != row->total_ns || r->total_ns <= 0)
		return 0;
	cut_row(r, row, &band);
	place = &b->tree->places[r->place];
	limits = &b->limits[r->place];
	root = &b->tree->calls.requests[r->root];
	root_ns = r == root ? r->total_ns : 0;
	total = hist_round((uint64_t)root->total_ns);
	add_band(place, BAND_ALL, &band, root_ns);
	if (total >= limits->median_from && total <= limits->median_to)
		add_band(place, BAND_MEDIAN, &band, root_ns);
	if (total >= limits->tail_from)
		add_band(place, BAND_TAIL, &band, root_ns);
	return 0;
}

static int read_in(struct build *b)
{
	int rc = read_table(b, TABLE_TARGETS, on_target);

	if (!rc)
		rc = read_table(b, TABLE_REQUESTS, on_request);
	if (!rc)
		rc = read_table(b, TABLE_OPS, on_op);
	if (rc)
		return rc;
	call_tree_sort(&b->tree->calls);
	rc = read_table(b, TABLE_LATENCY, on_latency_times);
	if (!rc && trace_manifest(b->trace)->warm_up_ns)
		rc = read_table(b, TABLE_REQUESTS, on_request_warming);
	return rc ? rc : take(b, call_tree_close(&b->tree->calls));
}

static int add_up(struct build *b)
{
	int rc;

	if (!has_calls(&b->tree->calls))
		return 0;
	rc = give_places(b);
	return rc ? rc : read_table(b, TABLE_LATENCY, on_latency_rows);
}

/* Clocks and counts are kept. */
static void forget_rows(struct call_tree *calls)
{
	free(calls->requests);
	free(calls->calls);
	free(calls->children);
	free(calls->first_child);
	calls->requests = NULL;
	calls->calls = NULL;
	calls->children = calls->first_child = NULL;
	calls->requests_count = calls->requests_room = 0;
	calls->calls_count = calls->calls_room = 0;
}

int tree_build(struct trace *t, const struct summary *summary, struct tree **ret_tree,
	       struct err *err)
{
	struct build b = { .trace = t, .summary = summary, .err = err };
	int rc = 0;

	b.tree = calloc(1, sizeof(*b.tree));
	if (!b.tree)
		return err_set(err, ENOMEM, "not enough memory for the calls of '%s'",
			       trace_path(t));
	if (summary->with_parent && summary->rows[TABLE_LATENCY]) {
		rc = read_in(&b);
		if (!rc)
			rc = add_up(&b);
	}
	if (b.tree->too_large)
		rc = 0;
	forget_rows(&b.tree->calls);
	free(b.targets);
	if (rc) {
		tree_free(b.tree);
		return rc;
	}
	*ret_tree = b.tree;
	return 0;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->places_count; i++)
		hist_release(&tree->places[i].total);
	call_tree_release(&tree->calls);
	free(tree);
}
