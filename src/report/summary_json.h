/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_SUMMARY_JSON_H
#define GAIT_REPORT_SUMMARY_JSON_H

#include "base/json.h"
#include "report/summary.h"

/*
 * The same numbers as summary_put_text() for scripts: integers in the unit of
 * their name. To free; NULL when memory ran out.
 */
struct json *summary_to_json(const struct summary *s, const struct manifest *m);

#endif
