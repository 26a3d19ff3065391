/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_HIST_JSON_H
#define GAIT_REPORT_HIST_JSON_H

#include "base/hist.h"
#include "base/json.h"

/* Count, least, mean, percentiles and most, as an object of that name; an empty one is left out. 0 or -ENOMEM. */
int hist_put_json(struct json *parent, const char *name, const struct hist *hist);

#endif
