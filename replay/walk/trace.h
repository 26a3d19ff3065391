/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_WALK_TRACE_H
#define GAIT_REPLAY_WALK_TRACE_H

#include "replay/walk/walk.h"

/*
 * Writes opts->run as a trace of the walk as it is meant, without sending anything: every request
 * when it is due, with its ops, as if nothing took time. A session begins when the last request
 * of the one before is due. Work is that of this machine, which stands for the node's. Memory does
 * not grow with the requests. -EINTR when interrupted.
 */
int walk_trace_write(const struct walk_opts *opts, struct ledger *ret_ledger, struct err *err);

#endif
