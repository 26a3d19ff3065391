/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_SHOW_REQUEST_H
#define GAIT_CLI_SHOW_REQUEST_H

#include "trace/trace.h"

#include <stdbool.h>

/* `gait show --request`: the timeline of one request. -ENOENT with a sentence: it has none. */
int show_request(struct trace *t, uint64_t request_id, bool json, struct err *err);

#endif
