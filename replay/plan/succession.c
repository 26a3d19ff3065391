/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/source.h"

#include <errno.h>
#include <stdlib.h>

/*
 * A closed loop that reconnects: its next connection comes because the one before
 * ended (a server that closes after 1,000 requests, a client that opens one for each),
 * so the first request of the new one waits for the last reply of the old one. By the
 * clock it would come on top of those that a slower server still has open.
 *
 * Nothing in a trace names the sender of two connections, so the load as a whole must
 * show it: whenever one comes, as many are under way as ever (independent senders come
 * and go at random), and nearly each comes promptly after another has ended.
 */
#define PROMPT_NS 2000000
#define SHARE_NEEDED 0.8
#define SUCCESSIONS_FEW 3

struct session {
	uint32_t first, last; /* requests */
	int64_t begin_ns, end_ns;
};

struct sessions {
	struct session *by_begin, *by_end;
	size_t count;
};

static int compare_begin(const void *a, const void *b)
{
	const struct session *x = a, *y = b;

	return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

static int compare_end(const void *a, const void *b)
{
	const struct session *x = a, *y = b;

	return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

static struct session session_of(const struct planner *p, const struct plan_chains *chains,
				 size_t connection)
{
	uint32_t last = chains->first[connection];

	while (chains->next[last] != PLAN_CHAIN_END)
		last = chains->next[last];
	return (struct session){
		.first = chains->first[connection],
		.last = last,
		.begin_ns = p->origins[chains->first[connection]].row->arrival_ns,
		.end_ns = p->origins[last].row->end_ns,
	};
}

static int sessions_init(struct sessions *s, const struct planner *p,
			 const struct plan_chains *chains)
{
	size_t connections = p->plan->connections_count;

	*s = (struct sessions){ .by_begin = calloc(connections + 1, sizeof(*s->by_begin)),
				.by_end = calloc(connections + 1, sizeof(*s->by_end)) };
	if (!s->by_begin || !s->by_end)
		return -ENOMEM;
	for (size_t c = 0; c < connections; c++) {
		if (!p->plan->connections[c].dependent || chains->first[c] == PLAN_CHAIN_END)
			continue;
		s->by_begin[s->count] = session_of(p, chains, c);
		s->by_end[s->count] = s->by_begin[s->count];
		s->count++;
	}
	qsort(s->by_begin, s->count, sizeof(*s->by_begin), compare_begin);
	qsort(s->by_end, s->count, sizeof(*s->by_end), compare_end);
	return 0;
}

static void sessions_release(struct sessions *s)
{
	free(s->by_begin);
	free(s->by_end);
}

/* How many sessions are under way once session i has begun. */
static size_t under_way(const struct sessions *s, size_t i, size_t *ended)
{
	while (*ended < s->count && s->by_end[*ended].end_ns <= s->by_begin[i].begin_ns)
		(*ended)++;
	return i + 1 - *ended;
}

/*
 * Whether about as many as ever are under way nearly whenever a session begins after
 * one has ended: when two end together, the first to come back is one short.
 */
static bool is_pool(const struct sessions *s)
{
	size_t ended = 0, most = 0, full = 0, later = 0, short_by;

	for (size_t i = 0; i < s->count; i++) {
		size_t now = under_way(s, i, &ended);

		most = now > most ? now : most;
	}
	short_by = most > 1 ? 1 + most / 10 : 0;
	ended = 0;
	for (size_t i = 0; i < s->count; i++) {
		size_t now = under_way(s, i, &ended);

		later += ended > 0;
		full += ended > 0 && now + short_by >= most;
	}
	return later >= SUCCESSIONS_FEW && full >= SHARE_NEEDED * later;
}

/*
 * Gives each session the longest-ended one that none has succeeded; with `apply`, its
 * first request then waits for that one's last reply. Returns how many had one.
 */
static size_t match(const struct sessions *s, struct planner *p, bool apply)
{
	size_t matched = 0, free_end = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct session *next = &s->by_begin[i];

		while (free_end < s->count &&
		       s->by_end[free_end].end_ns <= next->begin_ns - PROMPT_NS)
			free_end++;
		if (free_end == s->count || s->by_end[free_end].end_ns > next->begin_ns)
			continue;
		if (apply) {
			struct plan_request *r = &p->plan->requests[next->first];

			r->after_request = p->plan->requests[s->by_end[free_end].last].request_id;
			r->think_ns = next->begin_ns - s->by_end[free_end].end_ns;
		}
		free_end++;
		matched++;
	}
	return matched;
}

int plan_find_successions(struct planner *p, const struct plan_chains *chains)
{
	struct sessions s;
	size_t later = 0;
	int ret = sessions_init(&s, p, chains);

	if (!ret && is_pool(&s)) {
		for (size_t i = 0; i < s.count; i++)
			later += s.by_begin[i].begin_ns >= s.by_end[0].end_ns;
		if (match(&s, p, false) >= SHARE_NEEDED * later)
			match(&s, p, true);
	}
	sessions_release(&s);
	return ret;
}
