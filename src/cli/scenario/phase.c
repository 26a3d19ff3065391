/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/reading.h"

#include "base/clock.h"
#include "replay/walk/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum phase_field {
	PHASE_NAME,
	PHASE_RATE,
	PHASE_PERIOD,
	PHASE_EVERY,
	PHASE_DURATION,
	PHASE_REQUESTS,
	PHASE_FIELDS
};

static const char *const phase_fields[PHASE_FIELDS] = { "name",	 "rate",     "period",
							"every", "duration", "requests" };

static int add_step(struct reading *r, const struct value *v, double rate, uint64_t ns)
{
	if (r->steps_count == SCENARIO_STEPS_MAX)
		return complain(r, v, "more than %d steps", SCENARIO_STEPS_MAX);
	r->steps[r->steps_count++] = (struct step){ rate, ns };
	return 0;
}

/* How long it takes: what it says, or its requests at its rate. */
static int phase_ns(struct reading *r, const struct value *v, const struct value *fields,
		    const struct spec *rate, uint64_t *ret_ns)
{
	uint64_t requests;
	double ns;
	int rc;

	if (!fields[PHASE_DURATION].node == !fields[PHASE_REQUESTS].node)
		return complain(r, v, "either 'duration' or 'requests' must say how long it is");
	if (fields[PHASE_DURATION].node)
		return duration_of(r, &fields[PHASE_DURATION], ret_ns);
	rc = number_of(r, &fields[PHASE_REQUESTS], 1, 1ull << 40, &requests);
	if (rc)
		return rc;
	if (!spec_is_constant(rate))
		return complain(r, &fields[PHASE_REQUESTS],
				"of a rate that changes 'duration' says how long it is");
	ns = (double)requests / rate->param[0] * NS_PER_SEC + 0.5;
	if (ns >= INT64_MAX)
		return complain(r, &fields[PHASE_REQUESTS], "they take for ever");
	if (ns < 1)
		return complain(r, &fields[PHASE_REQUESTS], "they take no time");
	*ret_ns = (uint64_t)ns;
	return 0;
}

static int add_steps(struct reading *r, const struct value *fields, const struct spec *rate,
		     uint64_t ns)
{
	uint64_t every;
	int rc = duration_of(r, &fields[PHASE_EVERY], &every);

	if (rc)
		return rc;
	if (ns % every)
		return complain(r, &fields[PHASE_EVERY],
				"the phase does not last a whole number of these");
	for (uint64_t k = 0; k < ns / every && !rc; k++) {
		const struct spec_key key = { .request = k,
					      .op = WALK_OP_CLIENT,
					      .slot = WALK_SLOT_RATE };
		double value = spec_draw_real(rate, &key);

		rc = value > 0 ? add_step(r, &fields[PHASE_EVERY], value, every) :
				 complain(r, &fields[PHASE_RATE],
					  "its value %" PRIu64 " is not above 0", k + 1);
	}
	return rc;
}

static int read_rate(struct reading *r, const struct value *v, const struct value *fields)
{
	struct spec rate;
	uint64_t ns;
	int rc;

	if (!fields[PHASE_RATE].node)
		return complain(r, v, "it has no 'rate'");
	rc = spec_of(r, &fields[PHASE_RATE], SPEC_COUNT, &rate);
	if (rc)
		return rc;
	if (spec_is_constant(&rate) && !(rate.param[0] > 0))
		rc = complain(r, &fields[PHASE_RATE], "it must be above 0");
	if (!rc)
		rc = phase_ns(r, v, fields, &rate, &ns);
	if (!rc && spec_is_constant(&rate))
		rc = add_step(r, v, rate.param[0], ns);
	else if (!rc && !fields[PHASE_EVERY].node)
		rc = complain(r, v, "its rate changes: 'every' must say how long each value holds");
	else if (!rc)
		rc = add_steps(r, fields, &rate, ns);
	spec_release(&rate);
	return rc;
}

/* A period is drawn for each request, so when it would be over is not known before. */
static int read_period(struct reading *r, const struct value *v, const struct value *fields)
{
	struct spec period;
	uint64_t requests;
	const char *text = NULL;
	char number[32];
	int rc;

	if (fields[PHASE_RATE].node || fields[PHASE_EVERY].node || fields[PHASE_DURATION].node ||
	    !fields[PHASE_REQUESTS].node)
		return complain(r, v, "with a 'period' it has 'requests', and no rate or duration");
	if (r->load[LOAD_PHASES].node->data.sequence.items.top -
		    r->load[LOAD_PHASES].node->data.sequence.items.start !=
	    1)
		return complain(r, &fields[PHASE_PERIOD], "only a single phase may have it");
	rc = number_of(r, &fields[PHASE_REQUESTS], 1, 1ull << 40, &requests);
	if (!rc)
		rc = spec_of(r, &fields[PHASE_PERIOD], SPEC_NS, &period);
	if (rc)
		return rc;
	spec_release(&period);
	snprintf(number, sizeof(number), "%" PRIu64, requests);
	text_of(r, &fields[PHASE_PERIOD], &text);
	rc = add_option(r, "--period", text);
	return rc ? rc : add_option(r, "-n", number);
}

static int read_phase(struct reading *r, const struct value *item)
{
	struct value fields[PHASE_FIELDS];
	int rc = fields_of(r, item, phase_fields, PHASE_FIELDS, fields);

	if (rc)
		return rc;
	return fields[PHASE_PERIOD].node ? read_period(r, item, fields) :
					   read_rate(r, item, fields);
}

static uint64_t common_ns(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* One rate that changes, in steps that all phases are whole numbers of. */
static int add_rates(struct reading *r)
{
	uint64_t step_ns = 0, steps = 0;
	struct buf text;
	char number[32];
	int rc;

	for (size_t i = 0; i < r->steps_count; i++)
		step_ns = common_ns(step_ns, r->steps[i].ns);
	for (size_t i = 0; i < r->steps_count && steps <= SCENARIO_STEPS_MAX; i++)
		steps += r->steps[i].ns / step_ns;
	if (steps > SCENARIO_STEPS_MAX)
		return complain(
			r, &r->load[LOAD_PHASES],
			"their lengths have no common measure that is long enough: make them "
			"multiples of one");
	buf_init(&text, SPEC_TEXT_MAX);
	buf_puts(&text, "values");
	for (size_t i = 0; i < r->steps_count; i++)
		for (uint64_t left = r->steps[i].ns / step_ns; left; left--)
			buf_printf(&text, ":%.6f", r->steps[i].rate);
	rc = buf_failed(&text) ? err_set(r->err, E2BIG, "%s: the phases are too many", r->path) :
				 add_option(r, "--rate", buf_text(&text));
	buf_release(&text);
	snprintf(number, sizeof(number), "%" PRIu64 "ns", step_ns);
	if (!rc)
		rc = add_option(r, "--rate-step-secs", number);
	return rc ? rc : add_option(r, "-n", "auto");
}

int read_phases(struct reading *r)
{
	const struct value *v = &r->load[LOAD_PHASES];
	int rc;

	if (!v->node)
		return 0;
	r->steps = calloc(SCENARIO_STEPS_MAX, sizeof(*r->steps));
	if (!r->steps)
		return no_memory(r);
	rc = each_item(r, v, SCENARIO_PHASES_MAX, read_phase);
	return rc || !r->steps_count ? rc : add_rates(r);
}
