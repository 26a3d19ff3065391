/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/budget.h"

#include "base/clock.h"
#include "base/units.h"
#include "probe/probe.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_NS (100 * NS_PER_MS)
#define INTERVAL_NS (500 * NS_PER_MS)
#define CPU_MIN_NS NS_PER_MS /* of a window that is judged */
#define REQUESTS_MIN 10
#define WINDOWS_OVER 2 /* one may be an accident */

int budget_parse(const char *text, struct budget_limit *ret_limit, struct err *err)
{
	size_t len = strlen(text);
	char number[32];
	uint64_t value;

	*ret_limit = (struct budget_limit){ 0 };
	if (len && len < sizeof(number) && text[len - 1] == '%') {
		snprintf(number, sizeof(number), "%.*s", (int)len - 1, text);
		if (!unit_parse_u64(number, 1, 1000, &value, NULL)) {
			ret_limit->ppm = value * 10000;
			return 0;
		}
	} else if (len && isalpha((unsigned char)text[len - 1]) && /* a bare number says neither */
		   !unit_parse_duration(text, &value, NULL) && value) {
		ret_limit->ns_per_request = value;
		return 0;
	}
	return err_set(
		err, EINVAL,
		"'%s' is no limit: say how much of the service's CPU, as in 5%%, or how much "
		"a request, as in 2us",
		text);
}

bool budget_exceeded(const struct budget_limit *limit, uint64_t run_ns, uint64_t cpu_ns,
		     uint64_t requests)
{
	if (cpu_ns < CPU_MIN_NS)
		return false;
	if (limit->ppm && run_ns > cpu_ns / 1000 * limit->ppm / 1000)
		return true;
	return limit->ns_per_request && requests >= REQUESTS_MIN &&
	       run_ns / requests > limit->ns_per_request;
}

static void begin_window(struct budget *b, struct probe *probe, uint64_t requests)
{
	b->looking = !probe_look_at_runs(probe, true);
	b->run_ns = probe_run_ns(probe);
	b->cpu_ns = probe_service_cpu_ns(probe);
	b->requests = requests;
}

static void end_window(struct budget *b, struct probe *probe, uint64_t requests)
{
	bool over = budget_exceeded(&b->limit, probe_run_ns(probe) - b->run_ns,
				    probe_service_cpu_ns(probe) - b->cpu_ns,
				    requests - b->requests);

	probe_look_at_runs(probe, false);
	b->looking = false;
	b->over = over ? b->over + 1 : 0;
}

bool budget_step(struct budget *b, struct probe *probe, int64_t now_ns, uint64_t requests)
{
	if ((!b->limit.ppm && !b->limit.ns_per_request) || now_ns < b->next_ns)
		return false;
	if (b->looking)
		end_window(b, probe, requests);
	else
		begin_window(b, probe, requests);
	b->next_ns = now_ns + (b->looking ? WINDOW_NS : INTERVAL_NS - WINDOW_NS);
	return b->over >= WINDOWS_OVER;
}
