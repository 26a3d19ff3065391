/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/load.h"

#include "base/units.h"
#include "replay/plan/extent.h"
#include "replay/plan/scale.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One clause more. */
static void __attribute__((format(printf, 2, 3))) say(char *text, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list args;

	if (len && len + 2 < PLAN_LOAD_TEXT) {
		strcpy(text + len, "; ");
		len += 2;
	}
	va_start(args, fmt);
	vsnprintf(text + len, PLAN_LOAD_TEXT - len, fmt, args);
	va_end(args);
}

static int apply_speed(struct plan *plan, const struct plan_load *load, enum plan_batching batching,
		       char *text, struct err *err)
{
	struct plan_scaled scaled;
	char sentence[PLAN_LOAD_TEXT / 2];
	int ret;

	if (!load->speed_milli || load->speed_milli == PLAN_SPEED_ONE)
		return 0;
	ret = plan_scale(plan, load->speed_milli, load->seed, batching, &scaled, err);
	if (!ret)
		say(text, "%s", plan_scaled_text(&scaled, sentence, sizeof(sentence)));
	return ret;
}

static int apply_loop(struct plan *plan, const struct plan_load *load, enum plan_batching batching,
		      char *text, struct err *err)
{
	int ret = load->loops > 1 ? plan_loop(plan, load->loops, batching, err) : 0;
	char duration[UNIT_TEXT_SIZE];

	if (!ret && load->loops > 1)
		say(text, "%llu passes, %s in all", (unsigned long long)load->loops,
		    unit_format_ns(duration, sizeof(duration), plan->duration_ns));
	return ret;
}

static int apply_cut(struct plan *plan, const struct plan_load *load, enum plan_batching batching,
		     char *text, struct err *err)
{
	int64_t before_ns = load->before_ns ? load->before_ns : INT64_MAX;
	uint64_t requests = load->requests ? load->requests : UINT64_MAX;
	size_t all = plan->requests_count;
	char duration[UNIT_TEXT_SIZE];
	int ret;

	if (!load->before_ns && !load->requests)
		return 0;
	ret = plan_cut(plan, before_ns, requests, batching, err);
	if (!ret)
		say(text, "cut at %s: %zu of %zu requests",
		    unit_format_ns(duration, sizeof(duration), plan->duration_ns),
		    plan->requests_count, all);
	return ret;
}

int plan_load_apply(struct plan *plan, const struct plan_load *load, enum plan_batching batching,
		    char ret_text[PLAN_LOAD_TEXT], struct err *err)
{
	int ret;

	ret_text[0] = '\0';
	ret = apply_speed(plan, load, batching, ret_text, err);
	if (!ret)
		ret = apply_loop(plan, load, batching, ret_text, err);
	return ret ? ret : apply_cut(plan, load, batching, ret_text, err);
}
