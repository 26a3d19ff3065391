/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_TREE_H
#define GAIT_REPORT_TREE_H

#include "attribution/call_tree.h"
#include "base/buf.h"
#include "report/summary.h"

/*
 * The breakdown of whole requests, over all services that worked for them: on the critical path,
 * what a service waited for another is that one's own rows and the wire (attribution/call_tree.h).
 *
 * Memory: attribution/call_tree.h says what a request and a call take, 1 GiB at the very most; a
 * trace without requests that cause each other takes none. A larger trace has no tree, and
 * `too_large` says so.
 */
#define TREE_PLACES_MAX 64

/* A service in the tree, below the one that calls it. The rows are its own, and the wire to it. */
struct tree_place {
	uint32_t above; /* index of the caller's place, which comes before; CALL_TREE_NONE: a root */
	uint32_t root;	/* index of its root's place */
	unsigned depth;
	uint64_t service_id;
	uint64_t requests;	     /* on a path */
	struct hist total;	     /* of a root: the totals of its requests */
	int64_t root_ns[BAND_COUNT]; /* of a root: their sums, which all places below add up to */
	struct summary_band bands[BAND_COUNT]; /* sums; `requests`: of a root */
};

struct tree {
	struct call_tree calls; /* its clocks and counts; requests and calls are forgotten */
	bool too_large;
	size_t places_count; /* 0: nothing calls anything */
	struct tree_place places[TREE_PLACES_MAX];
};

/*
 * A malloc'd tree, of a trace that `summary` was made of. Requests of services beyond
 * TREE_PLACES_MAX places stay calls of those that called them.
 */
int tree_build(struct trace *t, const struct summary *summary, struct tree **ret_tree,
	       struct err *err);
/* Takes NULL. */
void tree_free(struct tree *tree);

/* A table for each root, and what is known of the clocks of each two hosts; nothing of no tree. */
void tree_put_text(const struct tree *tree, const struct summary *s, const struct manifest *m,
		   struct buf *out);

struct json;

/* An object for scripts; NULL when memory ran out. */
struct json *tree_to_json(const struct tree *tree, const struct summary *s,
			  const struct manifest *m);

#endif
