/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/tables.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void walk_extents_add(struct walk_extents *extents, const struct row_op *op)
{
	uint64_t device = op->target_id - 1, end = op->bytes;

	if (op->kind == OP_LOCK || !op->target_id || device >= CHAIN_DEVICES_MAX)
		return;
	extents->used[device] = true;
	if (op->offset != TRACE_NONE)
		end += (uint64_t)op->offset;
	if ((op->kind == OP_LOAD || op->flags & OPF_SENDFILE) && end > extents->read_bytes[device])
		extents->read_bytes[device] = end;
}

uint64_t walk_peer_target(uint32_t peer)
{
	return 1 + CHAIN_DEVICES_MAX + peer;
}

/* "compute store reply": a client's own chain, whatever skips pass over. */
static void put_signature(const struct chain *c, const struct walk_class *class, char *text,
			  size_t size)
{
	size_t len = 0;

	for (uint32_t at = class->at; at < class->end && len < size; at = chain_behind(c, at)) {
		if (c->ops[at].kind == CHAIN_SKIP)
			continue;
		len += (size_t)snprintf(text + len, size - len, "%s%s", len ? " " : "",
					op_kind_names[c->ops[at].kind]);
	}
}

static int write_class(struct trace_writer *writer, const struct chain *chain,
		       const struct walk_class *class, struct row_class *row, struct err *err)
{
	row->service_id = WALK_SERVICE;
	row->demand_ppm = 1000000; /* what ops say is what they demand */
	snprintf(row->name, sizeof(row->name), "%s", class->name);
	put_signature(chain, class, row->signature, sizeof(row->signature));
	return trace_write(writer, TABLE_CLASSES, row, err);
}

static int write_classes(struct trace_writer *writer, const struct walk_opts *opts,
			 const uint64_t *requests, struct err *err)
{
	const struct walk_class all = { .name = "walk", .end = (uint32_t)opts->chain.count };
	const struct walk_class *classes = opts->classes_count ? opts->classes : &all;
	size_t count = opts->classes_count ? opts->classes_count : 1;
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		struct row_class row = { .class_id = WALK_CLASS + i, .requests = requests[i] };

		rc = write_class(writer, &opts->chain, &classes[i], &row, err);
	}
	return rc;
}

static int write_files(struct trace_writer *writer, const struct walk_extents *extents,
		       struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < CHAIN_DEVICES_MAX && !rc; i++) {
		struct row_target row = {
			.target_id = 1 + i,
			.kind = TARGET_FILE,
			.file_bytes = extents->read_bytes[i],
		};

		if (extents->used[i])
			rc = trace_write(writer, TABLE_TARGETS, &row, err);
	}
	return rc;
}

static int write_peers(struct trace_writer *writer, const struct chain *chain, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < chain->peers_count && !rc; i++) {
		struct row_target row = { .target_id = walk_peer_target(i),
					  .kind = TARGET_SERVICE };
		char text[ADDRESS_TEXT_SIZE];

		snprintf(row.name, sizeof(row.name), "%.31s",
			 address_format(&chain->peers[i], text));
		rc = trace_write(writer, TABLE_TARGETS, &row, err);
	}
	return rc;
}

int walk_tables_write(struct trace_writer *writer, const struct walk_opts *opts,
		      const uint64_t *requests, const struct walk_extents *extents, struct err *err)
{
	int rc = write_classes(writer, opts, requests, err);

	if (!rc)
		rc = write_files(writer, extents, err);
	return rc ? rc : write_peers(writer, &opts->chain, err);
}

struct row_op walk_op_row(const struct chain *chain, const struct plan_op *op)
{
	struct row_op row = {
		.kind = op->kind,
		.flags = op->flags,
		.work = op->work,
		.bytes = op->bytes,
		.offset = op->offset,
		.target_id = op->target_id,
	};

	if (!row.work && (op->kind == OP_COMPUTE || op->kind == OP_LOCK))
		row.work = 1; /* 0 is a work that nobody knows */
	if (op->kind == OP_FORWARD)
		row.target_id = walk_peer_target(chain->ops[op->op_id - 1].forward->peers[0]);
	return row;
}

/* In the words of the command line, cut to fit. */
static void describe_chain(const struct chain *chain, char *text, size_t size)
{
	struct buf out;

	buf_init(&out, CHAIN_TEXT_MAX);
	if (!chain_format(chain, &out, NULL) && out.len)
		snprintf(text, size, "%.*s", (int)(out.len - 1), buf_text(&out));
	for (char *at = text; *at; at++)
		if (*at == '\n')
			*at = ' ';
	buf_release(&out);
}

void walk_manifest_init(const struct walk_opts *opts, int64_t anchor_ns, struct manifest *m)
{
	time_t seconds = time(NULL) - (clock_now_ns() - anchor_ns) / NS_PER_SEC;
	struct tm utc;

	manifest_init(m);
	snprintf(m->tool, sizeof(m->tool), "gait " GAIT_VERSION);
	snprintf(m->source, sizeof(m->source), "walk");
	snprintf(m->demand_method, sizeof(m->demand_method), "given: what ops were told to do");
	describe_chain(&opts->chain, m->filter, sizeof(m->filter));
	gmtime_r(&seconds, &utc);
	strftime(m->started_at, sizeof(m->started_at), "%Y-%m-%dT%H:%M:%SZ", &utc);
}
