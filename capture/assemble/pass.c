/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests that a thread has read in this pass of its loop and not begun to
 * answer. A write or sync that comes then may be for all of them: Redis reads
 * several connections, writes its log once, syncs once, and answers them all.
 */
#include "capture/assemble/assembly.h"

#include <errno.h>
#include <stdlib.h>

void pass_add(struct assembler *a, struct athread *t, struct request *r)
{
	if (t->pass_count == t->pass_capacity) {
		size_t capacity = t->pass_capacity ? t->pass_capacity * 2 : 16;
		struct request **pass = realloc(t->pass, capacity * sizeof(*pass));

		if (!pass) {
			a->failed = -ENOMEM;
			return;
		}
		t->pass = pass;
		t->pass_capacity = capacity;
	}
	r->in_pass = true;
	r->pass_index = t->pass_count;
	t->pass[t->pass_count++] = r;
}

void pass_remove(struct athread *t, struct request *r)
{
	if (!r->in_pass)
		return;
	r->in_pass = false;
	t->pass[r->pass_index] = t->pass[--t->pass_count];
	t->pass[r->pass_index]->pass_index = r->pass_index;
}

/* The thread looks for new work: what it left unanswered waits for something else. */
void pass_clear(struct athread *t)
{
	for (size_t i = 0; i < t->pass_count; i++)
		t->pass[i]->in_pass = false;
	t->pass_count = 0;
}

void pass_release(struct athread *t)
{
	pass_clear(t);
	free(t->pass);
	t->pass = NULL;
	t->pass_capacity = 0;
}

/*
 * Behind another on its connection, or of its call: only a service that answers several at once
 * does them at once, or one that was seen to.
 */
static bool has_its_turn(const struct request *r)
{
	return (r->connection->first == r && !r->behind) || r->worked_on ||
	       r->thread->service->together;
}

static bool may_own(const struct request *r, enum op_kind kind, uint64_t target, bool stored)
{
	if (r->called || !has_its_turn(r))
		return false; /* it waits for a reply, or for its turn */
	if (kind == OP_STORE)
		return r->stored_target != target;
	return r->synced_target != target && (!stored || r->stored_target == target);
}

static bool anyone_stored(const struct athread *t, uint64_t target)
{
	for (size_t i = 0; i < t->pass_count; i++)
		if (t->pass[i]->stored_target == target)
			return true;
	return false;
}

/*
 * Whether it only reads, so that another thread of its process works: connections are read now
 * by this thread and now by that, and it never waits for any, nor does anything on a file.
 */
static bool reads_for(const struct athread *reader, const struct athread *t)
{
	return reader != t && reader->tgid == t->tgid && !reader->on_files && !reader->polls &&
	       !reader->gone;
}

size_t pass_owners_elsewhere(struct assembler *a, const struct athread *t, size_t n,
			     enum op_kind kind, uint64_t target)
{
	bool stored = kind == OP_SYNC && anyone_stored(t, target);
	struct request *r;

	if (!t->service->readers_change || !t->serves)
		return n;
	for (r = t->service->waiting_first; r && kind == OP_SYNC && !stored; r = r->newer)
		stored = reads_for(r->thread, t) && r->stored_target == target;
	for (r = t->service->waiting_first; r && n < REQUESTS_SHARED_MAX; r = r->newer)
		if (reads_for(r->thread, t) && r->complete && !request_is_answered(r) &&
		    may_own(r, kind, target, stored))
			a->together[n++] = r;
	return n;
}

bool pass_is_of(const struct athread *t, size_t owners, const struct connection *c)
{
	for (size_t i = 0; i < owners; i++)
		if (t->pass[i]->connection != c)
			return false;
	return true;
}

/*
 * Moves the owners of a store or sync to the front of t->pass and returns how many
 * there are. A request owns a file's store once a pass; a sync is for those that
 * stored. 0 when the op is the current request's alone.
 */
size_t pass_owners(struct athread *t, struct request *current, enum op_kind kind, uint64_t target)
{
	bool stored = kind == OP_SYNC && anyone_stored(t, target);
	size_t owners = 0;

	if (!current->in_pass || !may_own(current, kind, target, stored))
		return 0;
	for (size_t i = 0; i < t->pass_count; i++) {
		struct request *r = t->pass[i], *other = t->pass[owners];

		if (!may_own(r, kind, target, stored))
			continue;
		t->pass[i] = other;
		other->pass_index = i;
		t->pass[owners] = r;
		r->pass_index = owners++;
	}
	return owners;
}
