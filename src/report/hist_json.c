/* SPDX-License-Identifier: Apache-2.0 */
#include "report/hist_json.h"

#include <errno.h>

int hist_put_json(struct json *parent, const char *name, const struct hist *hist)
{
	struct json *object;
	int failed;

	if (!hist_count(hist))
		return 0;
	object = json_put_object(parent, name);
	failed = !object || json_put_u64(object, "count", hist_count(hist)) ||
		 json_put_u64(object, "min", hist_min(hist)) ||
		 json_put_double(object, "mean", hist_mean(hist)) ||
		 json_put_u64(object, "p50", hist_value_at_percentile(hist, 50)) ||
		 json_put_u64(object, "p90", hist_value_at_percentile(hist, 90)) ||
		 json_put_u64(object, "p99", hist_value_at_percentile(hist, 99)) ||
		 json_put_u64(object, "p99.9", hist_value_at_percentile(hist, 99.9)) ||
		 json_put_u64(object, "max", hist_max(hist));
	return failed ? -ENOMEM : 0;
}
