/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_WALK_SUMMARY_H
#define GAIT_CLI_WALK_SUMMARY_H

#include "base/buf.h"
#include "base/json.h"
#include "replay/walk/walk.h"

/* What came of a walk, in a few lines or as JSON. The losses first. */
void walk_summary_put(const struct walk_opts *opts, const struct walk_result *r, struct buf *out);

/* NULL when memory ran out. */
struct json *walk_summary_json(const struct walk_result *r);

/* DistWalk's line of each thread. */
void walk_summary_put_threads(const struct walk_opts *opts, const struct walk_result *r,
			      struct buf *out);

#endif
