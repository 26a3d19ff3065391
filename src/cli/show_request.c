/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/show_request.h"

#include "base/json.h"
#include "base/units.h"
#include "cli/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct stretches {
	struct row_stretch *at;
	size_t count, room;
};

static int take(struct stretches *s, const struct row_stretch *row, struct err *err)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct row_stretch *at = reallocarray(s->at, room, sizeof(*at));

		if (!at)
			return err_errno(err, ENOMEM, "cannot hold the timeline");
		s->at = at;
		s->room = room;
	}
	s->at[s->count++] = *row;
	return 0;
}

static int read_stretches(struct trace *t, uint64_t request_id, struct stretches *s,
			  struct err *err)
{
	struct trace_reader *reader = NULL;
	struct row_stretch row;
	int rc = trace_reader_new(t, TABLE_TIMELINE, &reader, err);

	while (rc >= 0) {
		rc = trace_reader_next(reader, &row, err);
		if (rc <= 0)
			break;
		if (row.request_id == request_id)
			rc = take(s, &row, err);
	}
	trace_reader_free(reader);
	return rc;
}

static int compare_stretches(const void *a, const void *b)
{
	const struct row_stretch *x = a, *y = b;

	return (x->from_ns > y->from_ns) - (x->from_ns < y->from_ns);
}

static const char *name_of(const struct row_stretch *row)
{
	const struct table *table = &tables[TABLE_TIMELINE];

	return table->columns[table->columns_count - 1].names[row->subsystem];
}

static void print_text(const struct stretches *s)
{
	const struct row_stretch *first = &s->at[0], *last = &s->at[s->count - 1];
	char a[UNIT_TEXT_SIZE], b[UNIT_TEXT_SIZE];

	printf("request %" PRIu64 ": service %" PRIu64 ", thread %" PRIu64 ", from %s, for %s\n",
	       first->request_id, first->service_id, first->thread_id,
	       unit_format_ns(a, sizeof(a), first->from_ns),
	       unit_format_ns(b, sizeof(b), last->until_ns - first->from_ns));
	printf("  %10s  %10s  %s\n", "after", "for", "row");
	for (size_t i = 0; i < s->count; i++)
		printf("  %10s  %10s  %s\n",
		       unit_format_ns(a, sizeof(a), s->at[i].from_ns - first->from_ns),
		       unit_format_ns(b, sizeof(b), s->at[i].until_ns - s->at[i].from_ns),
		       name_of(&s->at[i]));
}

static struct json *to_json(const struct stretches *s)
{
	struct json *json = json_new_object(), *list = json_new_array();

	json_put_u64(json, "request_id", s->at[0].request_id);
	json_put_u64(json, "service_id", s->at[0].service_id);
	json_put_u64(json, "thread_id", s->at[0].thread_id);
	for (size_t i = 0; i < s->count; i++) {
		struct json *stretch = json_new_object();

		json_put_int(stretch, "from_ns", s->at[i].from_ns);
		json_put_int(stretch, "until_ns", s->at[i].until_ns);
		json_put_text(stretch, "subsystem", name_of(&s->at[i]));
		json_add(list, stretch);
	}
	json_put(json, "timeline", list);
	return json;
}

int show_request(struct trace *t, uint64_t request_id, bool json, struct err *err)
{
	struct stretches s = { NULL };
	int rc = read_stretches(t, request_id, &s, err);

	if (!rc && !s.count)
		rc = err_set(err, ENOENT,
			     "'%s' has no timeline of request %" PRIu64
			     ": runs with --timeline have, of the requests with rows that a node "
			     "answered",
			     trace_path(t), request_id);
	if (!rc)
		qsort(s.at, s.count, sizeof(*s.at), compare_stretches);
	if (!rc && json)
		rc = cmd_print_json(to_json(&s), err);
	else if (!rc)
		print_text(&s);
	free(s.at);
	return rc;
}
