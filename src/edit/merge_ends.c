/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of which both ends may be in the traces, and the messages on them. */
#include "edit/merge_state.h"

#include "base/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_addresses(const struct end *x, const struct end *y)
{
	int order = memcmp(&x->caller, &y->caller, sizeof(x->caller));

	return order ? order : memcmp(&x->called, &y->called, sizeof(x->called));
}

/* Ends of one pair of addresses side by side, in an order that does not depend on qsort(). */
static int by_connection(const void *a, const void *b)
{
	const struct end *x = a, *y = b;
	int order = by_addresses(x, y);

	if (order)
		return order;
	if (x->outgoing != y->outgoing)
		return x->outgoing ? -1 : 1;
	if (x->open_ns != y->open_ns)
		return x->open_ns < y->open_ns ? -1 : 1;
	if (x->input != y->input)
		return x->input < y->input ? -1 : 1;
	return x->connection_id < y->connection_id ? -1 : x->connection_id > y->connection_id;
}

static bool parse_address(const char *text, struct address *ret)
{
	struct address address;
	char host[UNIT_HOST_SIZE];
	struct in_addr v4;

	memset(&address, 0, sizeof(address));
	if (!text[0] || unit_parse_endpoint(text, host, &address.port, NULL))
		return false;
	if (inet_pton(AF_INET, host, &v4) == 1) {
		address.bytes[10] = address.bytes[11] = 0xff;
		memcpy(address.bytes + 12, &v4, sizeof(v4));
	} else if (inet_pton(AF_INET6, host, address.bytes) != 1) {
		return false;
	}
	*ret = address;
	return true;
}

static bool is_loopback(const struct address *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(address->bytes, mapped, sizeof(mapped)))
		return address->bytes[12] == 127;
	return !memcmp(address->bytes, &in6addr_loopback, sizeof(in6addr_loopback));
}

static bool read_end(const struct input *in, const struct row_connection *row, uint32_t index,
		     struct end *ret)
{
	struct address local, remote;

	if (!row->connection_id || !parse_address(row->local, &local) ||
	    !parse_address(row->remote, &remote))
		return false;
	*ret = (struct end){
		.caller = row->outgoing ? local : remote,
		.called = row->outgoing ? remote : local,
		.input = index,
		.outgoing = row->outgoing != 0,
		.loopback = is_loopback(&local) || is_loopback(&remote),
		.connection_id = row->connection_id,
		.service_id = row->service_id,
		.open_ns = row->open_ns == TRACE_NONE ? INT64_MIN : row->open_ns + in->start_ns,
		.close_ns = row->close_ns == TRACE_NONE ? INT64_MAX : row->close_ns + in->start_ns,
		.mate = JOIN_NONE,
	};
	return true;
}

static int add_end(struct merge *m, const struct end *end)
{
	if (m->ends_count == JOIN_NONE)
		return err_set(m->err, E2BIG, "too many connections to merge");
	if (merge_grow(m, (void **)&m->ends, m->ends_count, &m->ends_room, sizeof(*end)))
		return -ENOMEM;
	m->ends[m->ends_count++] = *end;
	return 0;
}

static int on_outgoing(struct merge *m, struct input *in, enum trace_table table, void *data)
{
	const struct row_connection *row = data;
	struct end end;

	m->connections += row->outgoing != 0;
	if (!row->outgoing || !read_end(in, row, (uint32_t)(in - m->inputs), &end))
		return 0;
	return add_end(m, &end);
}

static int on_service(struct merge *m, struct input *in, enum trace_table table, void *data)
{
	const struct row_service *row = data;

	if (m->listens_count < MERGE_LISTENS_MAX &&
	    parse_address(row->listen, &m->listens[m->listens_count]))
		m->listens_count++;
	return 0;
}

/*
 * A connection that was open before a capture began may look accepted although the service made
 * it. Its calls are replies to the capture, and replies calls: there is nothing to join.
 */
static bool is_reversed(const struct merge *m, const struct end *end)
{
	for (size_t i = 0; i < m->listens_count; i++)
		if (!memcmp(&m->listens[i], &end->caller, sizeof(end->caller)))
			return true;
	return false;
}

/* Of incoming connections, of which most are the world's, only those of a known caller. */
static int on_incoming(struct merge *m, struct input *in, enum trace_table table, void *data)
{
	const struct row_connection *row = data;
	size_t from = 0, to = m->outgoing_count;
	struct end end;

	if (row->outgoing || !read_end(in, row, (uint32_t)(in - m->inputs), &end))
		return 0;
	m->ledger.count[LG_CONNECTIONS_REVERSED] += is_reversed(m, &end);
	while (from < to) {
		size_t middle = (from + to) / 2;
		int order = by_addresses(&m->ends[middle], &end);

		if (!order)
			return add_end(m, &end);
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return 0;
}

static int by_id(const void *a, const void *b, void *arg)
{
	const struct merge *m = arg;
	const struct end *x = &m->ends[*(const uint32_t *)a], *y = &m->ends[*(const uint32_t *)b];

	if (x->input != y->input)
		return x->input < y->input ? -1 : 1;
	return x->connection_id < y->connection_id ? -1 : x->connection_id > y->connection_id;
}

static int index_ends(struct merge *m)
{
	m->by_id = calloc(m->ends_count + 1, sizeof(*m->by_id));
	if (!m->by_id)
		return merge_no_memory(m);
	for (size_t i = 0; i < m->ends_count; i++)
		m->by_id[i] = (uint32_t)i;
	qsort_r(m->by_id, m->ends_count, sizeof(*m->by_id), by_id, m);
	return 0;
}

static int each_input(struct merge *m, enum trace_table table, merge_row_fn fn)
{
	int rc = 0;

	for (size_t i = 0; i < m->inputs_count && !rc; i++)
		rc = merge_each_row(m, &m->inputs[i], table, fn);
	return rc;
}

static void sort_ends(struct merge *m)
{
	if (m->ends_count)
		qsort(m->ends, m->ends_count, sizeof(*m->ends), by_connection);
}

int merge_find_ends(struct merge *m)
{
	int rc = each_input(m, TABLE_SERVICES, on_service);

	if (!rc)
		rc = each_input(m, TABLE_CONNECTIONS, on_outgoing);
	if (rc)
		return rc;
	sort_ends(m);
	m->outgoing_count = m->ends_count;
	rc = each_input(m, TABLE_CONNECTIONS, on_incoming);
	if (rc)
		return rc;
	sort_ends(m);
	return index_ends(m);
}

static struct end *find_end(struct merge *m, uint32_t input, uint64_t connection_id)
{
	size_t from = 0, to = m->ends_count;

	while (connection_id && from < to) {
		size_t middle = (from + to) / 2;
		struct end *end = &m->ends[m->by_id[middle]];

		if (end->input == input && end->connection_id == connection_id)
			return end;
		if (end->input < input ||
		    (end->input == input && end->connection_id < connection_id))
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

static int add_message(struct merge *m, struct end *end, struct join_message message)
{
	if (merge_grow(m, (void **)&m->messages, m->messages_count, &m->messages_room,
		       sizeof(message)))
		return -ENOMEM;
	if (end->count == JOIN_NONE - 1)
		return err_set(m->err, E2BIG, "too many requests on one connection to merge");
	message.connection = (uint32_t)(end - m->ends);
	message.mate = JOIN_NONE;
	m->messages[m->messages_count++] = message;
	end->count++;
	return 0;
}

static int on_request(struct merge *m, const struct input *in, const struct row_request *row)
{
	struct end *end = find_end(m, (uint32_t)(in - m->inputs), row->connection_id);

	if (!end || end->outgoing || row->arrival_ns == TRACE_NONE)
		return 0;
	return add_message(
		m, end,
		(struct join_message){
			.start_ns = row->arrival_ns + in->start_ns,
			.end_ns = (row->end_ns == TRACE_NONE ? row->arrival_ns : row->end_ns) +
				  in->start_ns,
			.out_bytes = row->request_bytes,
			.in_bytes = row->response_bytes,
			.request_id = row->request_id,
		});
}

static int on_op(struct merge *m, const struct input *in, const struct row_op *row)
{
	struct end *end;

	if (row->kind != OP_FORWARD || row->start_ns == TRACE_NONE)
		return 0;
	end = find_end(m, (uint32_t)(in - m->inputs), row->connection_id);
	if (!end || !end->outgoing)
		return 0;
	if (row->elapsed_ns > ROWS_TIME_MAX)
		return err_set(m->err, EINVAL, "'%s': operation %llu took longer than 36 years",
			       trace_path(in->trace), (unsigned long long)row->op_id);
	end->target_id = row->target_id;
	return add_message(m, end,
			   (struct join_message){
				   .start_ns = row->start_ns + in->start_ns,
				   .end_ns =
					   row->start_ns + in->start_ns + (int64_t)row->elapsed_ns,
				   .out_bytes = row->bytes,
				   .in_bytes = row->reply_bytes,
				   .request_id = row->request_id,
			   });
}

/* The first reading of everything: the ids in use, and the messages between the services. */
static int on_row(struct merge *m, struct input *in, enum trace_table table, void *row)
{
	rows_note_ids(table, row, in->largest);
	if (table == TABLE_REQUESTS)
		return on_request(m, in, row);
	return table == TABLE_OPS ? on_op(m, in, row) : 0;
}

static int by_time(const void *a, const void *b)
{
	const struct join_message *x = a, *y = b;

	if (x->connection != y->connection)
		return x->connection < y->connection ? -1 : 1;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->request_id < y->request_id ? -1 : x->request_id > y->request_id;
}

static void sort_messages(struct merge *m)
{
	size_t first = 0;

	if (m->messages_count)
		qsort(m->messages, m->messages_count, sizeof(*m->messages), by_time);
	for (struct end *end = m->ends; end < m->ends + m->ends_count; end++) {
		end->first = first;
		first += end->count;
		if (end->outgoing)
			join_close_calls(m->messages + end->first, end->count);
	}
}

int merge_read_messages(struct merge *m)
{
	int rc = 0;

	for (size_t i = 0; i < m->inputs_count; i++) {
		for (int t = 0; t < TABLE_COUNT && !rc; t++)
			rc = merge_each_row(m, &m->inputs[i], t, on_row);
	}
	if (!rc)
		sort_messages(m);
	return rc;
}

/* How long both were open at once, clocks being at most slack_ns off; < 0: never. */
static double overlap(const struct merge *m, const struct end *out, const struct end *in)
{
	struct join_clock clock;
	int64_t slack_ns, open_ns = in->open_ns, close_ns = in->close_ns;
	double from, to;

	if (out->loopback && m->inputs[out->input].host != m->inputs[in->input].host)
		return -1;
	clock = merge_clock_of(m, out->input, in->input, &slack_ns);
	if (open_ns != INT64_MIN)
		open_ns = join_clock_of_request(&clock, open_ns);
	if (close_ns != INT64_MAX)
		close_ns = join_clock_of_request(&clock, close_ns);
	from = (double)(out->open_ns > open_ns ? out->open_ns : open_ns);
	to = (double)(out->close_ns < close_ns ? out->close_ns : close_ns);
	return to - from + (double)slack_ns;
}

/* The free end in [from, to) that was open the longest at the same time, or NULL; how many could be. */
static struct end *best_mate(struct merge *m, struct end *end, struct end *from, struct end *to,
			     unsigned *ret_candidates)
{
	struct end *best = NULL;
	double longest = -1;

	*ret_candidates = 0;
	for (struct end *other = from; other < to; other++) {
		double both = other->mate != JOIN_NONE ? -1 :
			      end->outgoing	       ? overlap(m, end, other) :
							 overlap(m, other, end);

		if (both < 0)
			continue;
		++*ret_candidates;
		if (both > longest) {
			longest = both;
			best = other;
		}
	}
	return best;
}

/*
 * Ends of one pair of addresses, outgoing ones up to `in`. Addresses are used again, so it takes
 * that each end finds the other the best; `unique`: that there is no choice.
 */
static void mate_group(struct merge *m, struct end *from, struct end *in, struct end *to,
		       bool unique)
{
	for (struct end *out = from; out < in; out++) {
		unsigned theirs, ours;
		struct end *mate;

		if (out->mate != JOIN_NONE)
			continue;
		mate = best_mate(m, out, in, to, &theirs);
		if (!mate || best_mate(m, mate, from, in, &ours) != out ||
		    (unique && theirs + ours != 2))
			continue;
		out->mate = (uint32_t)(mate - m->ends);
		mate->mate = (uint32_t)(out - m->ends);
		m->connections_called++;
	}
}

void merge_mate_ends(struct merge *m, bool unique)
{
	struct end *last = m->ends + m->ends_count;

	for (struct end *from = m->ends; from < last;) {
		struct end *in = from, *to;

		while (in < last && in->outgoing && !by_addresses(from, in))
			in++;
		for (to = in; to < last && !by_addresses(from, to);)
			to++;
		mate_group(m, from, in, to, unique);
		from = to;
	}
}

void merge_part_ends(struct merge *m)
{
	for (struct end *end = m->ends; end < m->ends + m->ends_count; end++)
		end->mate = JOIN_NONE;
	m->connections_called = 0;
}
