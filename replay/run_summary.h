/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_RUN_SUMMARY_H
#define GAIT_REPLAY_RUN_SUMMARY_H

#include "replay/breakdown.h"
#include "replay/client/rows.h"
#include "trace/manifest.h"

/* What the client's rows come to, in a few passes over them. */
#define RUN_WARM_UP_AUTO -1

/*
 * warm_up_ns of the beginning are left out, RUN_WARM_UP_AUTO: by rule (warm_up.h); the manifest
 * gets how much, and the rule. *ret_summary is to be released.
 */
int run_summarise(const struct client_rows_set *rows, int64_t anchor_ns, int64_t warm_up_ns,
		  struct manifest *m, struct breakdown_summary *ret_summary, struct err *err);

#endif
