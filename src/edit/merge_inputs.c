/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be merged: captures that go together, and the hosts they are of. */
#include "edit/merge_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* "ebpf" and the like record a service; these do not. */
static const struct {
	const char *source, *advice;
} refused_sources[] = {
	{ "replay", "it is a run, what a replay made of a trace; only captures can be merged" },
	{ "walk", "it is a run, made by a generator; only captures can be merged" },
	{ "merge", "it is merged already; merge all the captures at once instead" },
};

static int check_source(const struct input *in, struct err *err)
{
	const struct manifest *m = trace_manifest(in->trace);

	for (size_t i = 0; i < sizeof(refused_sources) / sizeof(refused_sources[0]); i++) {
		if (!strcmp(m->source, refused_sources[i].source))
			return err_set(err, EINVAL, "cannot merge '%s': %s", trace_path(in->trace),
				       refused_sources[i].advice);
	}
	if (m->hosts_count > 1)
		return err_set(
			err, EINVAL,
			"cannot merge '%s': it is of %u hosts; merge captures of one host each",
			trace_path(in->trace), m->hosts_count);
	if (m->start_monotonic_ns > ROWS_TIME_MAX || m->duration_ns > ROWS_TIME_MAX)
		return err_set(err, EINVAL, "cannot merge '%s': its manifest has impossible times",
			       trace_path(in->trace));
	return 0;
}

static bool same_folder(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The same folder, or a copy: two captures do not have the same requests table, unless it is empty. */
static bool same_trace(const struct input *a, const struct input *b)
{
	const struct manifest *x = trace_manifest(a->trace), *y = trace_manifest(b->trace);

	if (same_folder(trace_path(a->trace), trace_path(b->trace)))
		return true;
	return x->tables[TABLE_REQUESTS].rows && x->tables[TABLE_REQUESTS].sha256[0] &&
	       x->start_monotonic_ns == y->start_monotonic_ns &&
	       !strcmp(x->tables[TABLE_REQUESTS].sha256, y->tables[TABLE_REQUESTS].sha256) &&
	       !strcmp(x->tables[TABLE_OPS].sha256, y->tables[TABLE_OPS].sha256);
}

static int check_twice(const struct merge *m, const struct input *in)
{
	for (const struct input *other = m->inputs; other < in; other++) {
		if (same_trace(other, in))
			return err_set(m->err, EINVAL, "'%s' and '%s' are the same trace",
				       trace_path(other->trace), trace_path(in->trace));
	}
	if (same_folder(trace_path(in->trace), m->opts->output))
		return err_set(
			m->err, EINVAL,
			"'%s' is to be merged and to be written: choose another name for the "
			"output",
			m->opts->output);
	return 0;
}

static struct host *find_boot(struct merge *m, const char *boot_id)
{
	for (size_t i = 0; i < m->hosts_count; i++) {
		if (boot_id[0] && m->hosts[i].facts && !strcmp(m->hosts[i].facts->boot_id, boot_id))
			return &m->hosts[i];
	}
	return NULL;
}

/* A trace that does not say where it is from is of a host of its own. */
static int find_host(struct merge *m, struct input *in)
{
	const struct manifest *manifest = trace_manifest(in->trace);
	const struct manifest_host *facts = manifest->hosts_count ? &manifest->hosts[0] : NULL;
	struct host *host = facts ? find_boot(m, facts->boot_id) : NULL;

	if (!host) {
		if (m->hosts_count == MANIFEST_HOSTS_MAX)
			return err_set(m->err, E2BIG,
				       "traces of more than %d hosts cannot be merged",
				       MANIFEST_HOSTS_MAX);
		host = &m->hosts[m->hosts_count++];
		host->facts = facts;
		host->work_per_ms = manifest->work_per_ms;
		host->has_wall = facts && facts->realtime_offset_start_ns != TRACE_NONE &&
				 facts->realtime_offset_start_ns > 0 &&
				 facts->realtime_offset_start_ns < 2 * ROWS_TIME_MAX;
		host->wall_ns = host->has_wall ? facts->realtime_offset_start_ns : 0;
	}
	in->host = (uint32_t)(host - m->hosts);
	in->start_ns = manifest->start_monotonic_ns > 0 ? manifest->start_monotonic_ns : 0;
	return 0;
}

/* By wall clocks where both have one; else their first traces begin together. */
static void guess_clocks(struct merge *m)
{
	const struct host *first = &m->hosts[0];

	for (size_t h = 1; h < m->hosts_count; h++) {
		struct host *host = &m->hosts[h];
		const struct input *in = m->inputs;

		while (in->host != h)
			in++;
		host->guess_ns = host->has_wall && first->has_wall ?
					 host->wall_ns - first->wall_ns :
					 m->inputs[0].start_ns - in->start_ns;
	}
}

/* When a trace was taken, on host 0's clock; false when that is not known. */
static bool span_of(const struct merge *m, const struct input *in, int64_t *ret_from,
		    int64_t *ret_to)
{
	const struct host *host = &m->hosts[in->host];
	int64_t duration_ns = trace_manifest(in->trace)->duration_ns;

	if (trace_is_partial(in->trace) || duration_ns <= 0)
		return false;
	if (in->host && !(host->has_wall && m->hosts[0].has_wall))
		return false;
	*ret_from = in->start_ns + host->guess_ns;
	*ret_to = *ret_from + duration_ns;
	return true;
}

static bool may_overlap(const struct merge *m, const struct input *a, const struct input *b)
{
	int64_t slack_ns = a->host == b->host ? 0 : m->opts->clock_slack_ns;
	int64_t a_from, a_to, b_from, b_to;

	if (!span_of(m, a, &a_from, &a_to) || !span_of(m, b, &b_from, &b_to))
		return true;
	return a_from <= b_to + slack_ns && b_from <= a_to + slack_ns;
}

/* A trace of another time has no connection with the others. */
static int check_overlap(const struct merge *m, const struct input *in)
{
	const struct input *other = m->inputs;

	for (size_t i = 0; i < m->inputs_count; i++) {
		if (&m->inputs[i] == in)
			continue;
		if (may_overlap(m, in, &m->inputs[i]))
			return 0;
		other = &m->inputs[i];
	}
	if (m->inputs_count == 1)
		return 0;
	return err_set(m->err, EINVAL,
		       "'%s' (from %s) overlaps no other trace in time ('%s' is from %s): there is "
		       "nothing to join",
		       trace_path(in->trace), trace_manifest(in->trace)->started_at,
		       trace_path(other->trace), trace_manifest(other->trace)->started_at);
}

/* Of a trace that says something is assumed, nobody expects parts without any demand. */
static int check_assumed(const struct merge *m)
{
	const struct input *with = NULL, *without = NULL;

	for (const struct input *in = m->inputs; in < m->inputs + m->inputs_count; in++) {
		const struct manifest *manifest = trace_manifest(in->trace);

		if (manifest->assumed[0])
			with = in;
		else if (!strcmp(manifest->detail, "requests"))
			without = in;
	}
	if (!with || !without)
		return 0;
	return err_set(m->err, EINVAL,
		       "'%s' has assumptions, '%s' has none and needs them: merge the traces that "
		       "have none, and then gait edit assume",
		       trace_path(with->trace), trace_path(without->trace));
}

int merge_open(struct merge *m)
{
	int rc = 0;

	for (size_t i = 0; i < m->opts->inputs_count && !rc; i++) {
		struct input *in = &m->inputs[i];

		rc = trace_open(m->opts->inputs[i], TRACE_OPEN_VERIFY, &in->trace, m->err);
		if (rc)
			break;
		m->inputs_count++;
		rc = check_source(in, m->err);
		if (!rc)
			rc = check_twice(m, in);
		if (!rc)
			rc = find_host(m, in);
	}
	if (!rc)
		rc = check_assumed(m);
	if (rc)
		return rc;
	guess_clocks(m);
	for (size_t i = 0; i < m->inputs_count && !rc; i++)
		rc = check_overlap(m, &m->inputs[i]);
	return rc;
}

void merge_close(struct merge *m)
{
	for (size_t i = 0; i < m->inputs_count; i++)
		trace_free(m->inputs[i].trace);
	trace_writer_free(m->writer);
	free(m->ends);
	free(m->by_id);
	free(m->messages);
	free(m->parents);
	free(m->called);
}
