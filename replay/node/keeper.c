/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/keeper.h"

#include "replay/keep.h"
#include "replay/node/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT64_MAX /* a record of the ring that has been kept */

static uint64_t *name_place(const struct keeper *k, uint64_t request)
{
	return &k->names[request * 0x9e3779b97f4a7c15 >> 32 & (NODE_NAMES_MAX - 1)];
}

static bool is_named(const struct keeper *k, uint64_t request)
{
	return *name_place(k, request) == request + 1;
}

static uint64_t request_of(const struct keeper_ring *ring, const char *record)
{
	uint64_t request;

	memcpy(&request, record + ring->id_offset, sizeof(request));
	return request;
}

/* As the client has it (walk_class_of()). */
static uint32_t class_in_chain(const struct keeper *k, uint64_t request)
{
	const struct walk_program *p = k->program;

	for (uint32_t i = 0; i + 1 < k->classes_count; i++)
		if (!chain_skips(&p->chain, p->seed, request, k->at[i]))
			return i;
	return k->classes_count ? k->classes_count - 1 : 0;
}

static uint32_t class_of(const struct keeper *k, const struct wire_row *row)
{
	return k->program ? class_in_chain(k, row->request_id) : row->class;
}

/* From the oldest on. */
static char *record_at(const struct keeper_ring *ring, size_t i)
{
	size_t at = (ring->next + ring->capacity - ring->count + i) % ring->capacity;

	return ring->records + at * ring->record_bytes;
}

/* With all that stands behind it of the same request: what is left shall be whole. */
static void drop_oldest(struct keeper_ring *ring)
{
	uint64_t request = request_of(ring, record_at(ring, 0));

	do
		ring->count--;
	while (ring->count && request_of(ring, record_at(ring, 0)) == request);
}

/* The oldest gives way. Without memory nothing can be asked for later. */
static void ring_put(struct keeper_ring *ring, const char *record)
{
	if (!ring->records)
		ring->records = malloc(ring->capacity * ring->record_bytes);
	if (!ring->records)
		return;
	if (ring->count == ring->capacity)
		drop_oldest(ring);
	memcpy(ring->records + ring->next * ring->record_bytes, record, ring->record_bytes);
	ring->next = (ring->next + 1) % ring->capacity;
	ring->count++;
}

/* What the new names are of goes to the spool. */
static void ring_search(struct keeper_ring *ring)
{
	static const uint64_t nobody = NOBODY;

	for (size_t i = 0; i < ring->count; i++) {
		char *record = record_at(ring, i);
		uint64_t request = request_of(ring, record);

		if (request == NOBODY || !is_named(ring->keeper, request))
			continue;
		spool_write(ring->spool, record, ring->record_bytes);
		memcpy(record + ring->id_offset, &nobody, sizeof(nobody));
	}
}

static void take_record(struct keeper_ring *ring, const char *record)
{
	const struct keeper *k = ring->keeper;
	uint64_t request = request_of(ring, record);

	if (keep_is_sampled(k->share, k->seed, request) || is_named(k, request))
		spool_write(ring->spool, record, ring->record_bytes);
	else
		ring_put(ring, record);
}

/* In a replay 0 is no request; in a walk it is the first. */
static bool is_background(const struct keeper *k, const char *record)
{
	return !k->program && !request_of(&k->ops, record);
}

/* Nobody will ask for it. */
static void take_background(struct keeper *k, const char *record)
{
	struct wire_oprow op;

	memcpy(&op, record, sizeof(op));
	if (keep_is_sampled(k->share, k->seed, op.call_id))
		spool_write(k->ops.spool, record, sizeof(op));
}

static void take_ops(void *arg, const char *records, size_t bytes)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	for (size_t at = 0; at < bytes; at += k->ops.record_bytes) {
		if (is_background(k, records + at))
			take_background(k, records + at);
		else
			take_record(&k->ops, records + at);
	}
	pthread_mutex_unlock(&k->lock);
}

static void take_stretches(void *arg, const char *records, size_t bytes)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	for (size_t at = 0; at < bytes; at += k->stretches.record_bytes)
		take_record(&k->stretches, records + at);
	pthread_mutex_unlock(&k->lock);
}

static void add_to_totals(struct keeper *k, const struct wire_row *row)
{
	struct total part = {
		.requests = 1,
		.total_ns = row->total_ns,
		.unattributed_ns = row->unattributed_ns,
	};

	if (!row->end_ns)
		return;
	memcpy(part.ns, row->ns, sizeof(part.ns));
	if (totals_add(&k->totals, class_of(k, row), totals_bin(row->total_ns), &part))
		k->failed = true;
}

static void take_rows(void *arg, const char *records, size_t bytes)
{
	struct keeper *k = arg;

	pthread_mutex_lock(&k->lock);
	for (size_t at = 0; at < bytes; at += k->rows.record_bytes) {
		struct wire_row row;

		memcpy(&row, records + at, sizeof(row));
		add_to_totals(k, &row);
		take_record(&k->rows, records + at);
	}
	pthread_mutex_unlock(&k->lock);
}

static void ring_init(struct keeper_ring *ring, struct keeper *k, struct spool *spool,
		      size_t id_offset, spool_take_fn take)
{
	*ring = (struct keeper_ring){
		.keeper = k,
		.spool = spool,
		.record_bytes = spool->record_bytes,
		.id_offset = id_offset,
		.capacity = NODE_RING_BYTES / spool->record_bytes,
	};
	spool->take = take;
	spool->take_arg = k;
}

int keeper_new(const struct wire_keep *keep, const struct walk_program *program, struct spool *rows,
	       struct spool *ops, struct spool *stretches, struct keeper **ret_keeper,
	       struct err *err)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (k)
		k->names = calloc(NODE_NAMES_MAX, sizeof(*k->names));
	if (!k || !k->names) {
		free(k);
		return err_errno(err, ENOMEM, "cannot keep a sample of the rows");
	}
	k->program = program;
	k->seed = program ? program->seed : KEEP_SEED;
	k->share = keep->share;
	k->classes_count = keep->classes;
	pthread_mutex_init(&k->lock, NULL);
	ring_init(&k->rows, k, rows, offsetof(struct wire_row, root_id), take_rows);
	ring_init(&k->ops, k, ops, offsetof(struct wire_oprow, root_id), take_ops);
	if (stretches)
		ring_init(&k->stretches, k, stretches, offsetof(struct wire_stretch, root_id),
			  take_stretches);
	*ret_keeper = k;
	return 0;
}

void keeper_free(struct keeper *k)
{
	if (!k)
		return;
	free(k->rows.records);
	free(k->ops.records);
	free(k->stretches.records);
	free(k->names);
	totals_release(&k->totals);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

int keeper_add_class(struct keeper *k, const struct wire_class *class, struct err *err)
{
	const struct chain *chain = k->program ? &k->program->chain : NULL;
	bool last = k->classes_known + 1 == k->classes_count;

	if (!chain || k->classes_known == k->classes_count || class->at >= chain->count ||
	    (!last && chain->ops[class->at].kind != CHAIN_SKIP))
		return err_set(err, EPROTO, "class %u is not in the chain", k->classes_known);
	k->at[k->classes_known++] = class->at;
	return 0;
}

bool keeper_is_ready(const struct keeper *k)
{
	return !k->program || k->classes_known == k->classes_count;
}

void keeper_name(struct keeper *k, const struct wire_slow *slow)
{
	pthread_mutex_lock(&k->lock);
	for (uint32_t i = 0; i < slow->count; i++)
		*name_place(k, slow->requests[i]) = slow->requests[i] + 1;
	ring_search(&k->rows);
	ring_search(&k->ops);
	ring_search(&k->stretches);
	pthread_mutex_unlock(&k->lock);
}
