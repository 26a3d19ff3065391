/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For which request a thread calls another service. The one it read last, if it goes on with it at
 * once. A proxy may read several before it passes on the first: then the bytes show it, as
 * the head of a message (an HTTP request's first line) is passed on as it came; else the
 * oldest of them is the next.
 */
#include "capture/assembly.h"

#include <string.h>

enum confidence {
	BY_HEAD = 90,
	OLDEST_OF_PASS = 50,
};

#define HEAD_LEAST 4	    /* bytes that are the same by chance otherwise */
#define CANDIDATES_MAX 1024 /* that are looked at for one call */

/* The same up to the end of the first line, or as far as both are known. */
static bool same_head(const struct request *r, const uint8_t *bytes, size_t n)
{
	size_t least = r->head_bytes < n ? r->head_bytes : n;
	const uint8_t *end = memchr(r->head, '\n', r->head_bytes);
	size_t line = end ? (size_t)(end - r->head) + 1 : least;

	if (line > least)
		line = least;
	return line >= HEAD_LEAST && !memcmp(r->head, bytes, line);
}

static bool may_call(const struct request *r, const struct athread *t)
{
	return r->thread == t && !r->called && !r->elsewhere && !request_is_answered(r);
}

/* Of those that no call was for the oldest; NULL when none has this head. */
static struct request *by_head(const struct athread *t, const struct event_call *e)
{
	const struct event_send *send = (const struct event_send *)e;
	struct request *r = t->service->waiting_first;

	if (e->head.kind != EVENT_SEND)
		return NULL;
	for (size_t i = 0; r && i < CANDIDATES_MAX; i++, r = r->newer)
		if (may_call(r, t) && same_head(r, send->bytes, send->seen))
			return r;
	return NULL;
}

/* Of the pass, those without a call: how many, and the oldest. */
static size_t without_call(const struct athread *t, bool connects, struct request **ret_oldest)
{
	struct request *oldest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->pass_count; i++) {
		struct request *r = t->pass[i];

		if (!may_call(r, t) || (connects && r->connects))
			continue;
		n++;
		if (!oldest || r->row.request_id < oldest->row.request_id)
			oldest = r;
	}
	*ret_oldest = oldest;
	return n;
}

struct request *call_owner(struct athread *t, const struct event_call *e, struct request *opener,
			   unsigned *ret_confidence)
{
	struct request *current = owner_current(t), *oldest;
	struct request *r = by_head(t, e);
	size_t n = without_call(t, false, &oldest);

	*ret_confidence = 100;
	if (r) {
		*ret_confidence = r == current && n == 1 ? 100 : BY_HEAD;
		return r;
	}
	if (opener || !current || current->called || n < 2)
		return opener;
	*ret_confidence = OLDEST_OF_PASS;
	return oldest;
}

bool call_is_after_reply(const struct athread *t)
{
	struct request *oldest;

	return t->owner == OWNER_AFTER && !without_call(t, false, &oldest);
}

struct request *call_connects(struct athread *t, bool *ret_guessed)
{
	struct request *current = owner_current(t), *oldest;

	*ret_guessed = current && !current->called && without_call(t, true, &oldest) > 1;
	if (*ret_guessed)
		current = oldest;
	if (current)
		current->connects = true;
	return current;
}
