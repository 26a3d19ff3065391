/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/load.h"

#include "base/units.h"
#include "replay/plan/compose.h"
#include "replay/plan/extent.h"
#include "replay/plan/scale.h"
#include "replay/plan/tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct shaper {
	const struct plan_load *load;
	struct plan *plan; /* of what is sent */
	enum plan_batching batching;
	char *text;
	/* what came of it that plans of several services follow */
	uint32_t copies;
	int64_t period_ns; /* 0: there is one pass */
};

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

static int apply_speed(struct shaper *s, struct err *err)
{
	const struct plan_load *load = s->load;
	struct plan_scaled scaled;
	char sentence[PLAN_LOAD_TEXT / 2];
	int ret;

	if (!load->speed_milli || load->speed_milli == PLAN_SPEED_ONE)
		return 0;
	ret = plan_scale(s->plan, load->speed_milli, load->seed, s->batching, &scaled, err);
	if (ret)
		return ret;
	s->copies = scaled.copies;
	say(s->text, "%s", plan_scaled_text(&scaled, sentence, sizeof(sentence)));
	return 0;
}

static int apply_loop(struct shaper *s, struct err *err)
{
	uint64_t loops = s->load->loops;
	int ret = loops > 1 ? plan_loop(s->plan, loops, s->batching, err) : 0;
	char duration[UNIT_TEXT_SIZE];

	if (ret || loops < 2)
		return ret;
	s->period_ns = s->plan->duration_ns / (int64_t)loops;
	say(s->text, "%llu passes, %s in all", (unsigned long long)loops,
	    unit_format_ns(duration, sizeof(duration), s->plan->duration_ns));
	return 0;
}

static bool is_cut(const struct plan_load *load)
{
	return load->before_ns || load->requests;
}

static int apply_cut(struct shaper *s, struct err *err)
{
	const struct plan_load *load = s->load;
	int64_t before_ns = load->before_ns ? load->before_ns : INT64_MAX;
	uint64_t requests = load->requests ? load->requests : UINT64_MAX;
	size_t all = s->plan->requests_count;
	char duration[UNIT_TEXT_SIZE];
	int ret = is_cut(load) ? plan_cut(s->plan, before_ns, requests, s->batching, err) : 0;

	if (!ret && is_cut(load))
		say(s->text, "cut at %s: %zu of %zu requests",
		    unit_format_ns(duration, sizeof(duration), s->plan->duration_ns),
		    s->plan->requests_count, all);
	return ret;
}

static int apply(struct shaper *s, struct err *err)
{
	int ret = apply_speed(s, err);

	if (!ret)
		ret = apply_loop(s, err);
	return ret ? ret : apply_cut(s, err);
}

/* What a plan has beside its requests. */
static int follow(const struct shaper *s, struct plan *plan, struct err *err)
{
	int ret = plan_scale_threads(plan, s->copies, err);

	if (!ret && s->period_ns && plan_loop_background(plan, s->load->loops, s->period_ns))
		ret = err_errno(err, ENOMEM, "cannot hold the background ops");
	if (!ret && is_cut(s->load))
		plan_cut_background(plan, s->plan->duration_ns);
	plan->duration_ns = s->plan->duration_ns;
	return ret;
}

static int apply_to_several(struct shaper *s, struct plan_set *set, enum plan_batching batching,
			    struct err *err)
{
	uint64_t span = plan_id_span(&set->client);
	size_t calls = plan_set_count_calls(set);
	int ret = apply(s, err);

	if (ret || !s->text[0])
		return ret;
	ret = plan_follow(set, span, batching, err);
	for (size_t p = 0; p < set->count && !ret; p++)
		ret = follow(s, &set->plans[p], err);
	if (!ret && plan_link(set))
		ret = err_errno(err, ENOMEM, "cannot hold the calls");
	set->links = plan_set_first_link(set, set->count);
	say(s->text, "%zu calls follow, instead of %zu", plan_set_count_calls(set), calls);
	return ret;
}

int plan_load_apply(struct plan_set *set, const struct plan_load *load, enum plan_batching batching,
		    char ret_text[PLAN_LOAD_TEXT], struct err *err)
{
	struct shaper s = { .load = load, .text = ret_text, .copies = 1 };
	int ret;

	ret_text[0] = '\0';
	if (set->count > 1) {
		s.plan = &set->client; /* whose ops are the plans' */
		s.batching = PLAN_BATCHING_LIVE;
		return apply_to_several(&s, set, batching, err);
	}
	s.plan = &set->plans[0];
	s.batching = batching;
	ret = apply(&s, err);
	plan_set_renew_client(set);
	return ret;
}
