/* SPDX-License-Identifier: Apache-2.0 */
/* Any frames as a walk's job, that an agent draws requests of, and as what an agent has counted. */
#include "replay/walk/job.h"

#include <stdlib.h>
#include <string.h>

#define REQUESTS 16

static void draw(const struct walk_job *job)
{
	uint32_t thread = job->head.first;
	double fraction = 0;
	struct walk_plan plan;
	int64_t due_ns = 0;
	bool raised;

	walk_job_plan(job, &plan);
	for (uint64_t r = 0; r < REQUESTS; r++) {
		uint32_t bytes = walk_request_bytes(&plan.schedule, thread, r, &raised);

		walk_next_due(&plan.schedule, thread, r, &due_ns, &fraction);
		if (bytes < WIRE_MESSAGE_BYTES || due_ns < 0)
			abort();
		due_ns = 0;
	}
}

static void count(const struct walk_tally *t)
{
	const struct hist *hists[] = { &t->latency, &t->service, &t->late, &t->connect };

	for (size_t i = 0; i < 4; i++)
		hist_value_at_percentile(hists[i], 99);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk_job *job = calloc(1, sizeof(*job));
	struct walk_tally tally = { 0 };
	struct wire_frame frame;
	struct err err, failure;
	bool begun = false;
	int n, rc = 0;

	while (!rc && (n = wire_frame_decode(data, size, &frame, &err)) > 0) {
		if (walk_tally_take(&tally, &frame, &failure, &err) > 0)
			count(&tally);
		if (frame.type <= WIRE_CLASS) {
			rc = begun ? walk_job_take(job, &frame, &err) :
				     walk_job_begin(job, &frame, &err);
			begun = true;
		}
		data += n;
		size -= (size_t)n;
	}
	if (rc > 0)
		draw(job);
	walk_job_release(job);
	free(job);
	hist_release(&tally.latency);
	hist_release(&tally.service);
	hist_release(&tally.late);
	hist_release(&tally.connect);
	return 0;
}
