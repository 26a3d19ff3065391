/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/import.h"

#include "base/clock.h"
#include "capture/packet/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOOK_PACKETS (1 << 16) /* between looks at the clock and the signal */

static void print_progress(const struct intake *in)
{
	fprintf(stderr, "\r%lu packets  %lu requests  %zu connections open ", intake_packets(in),
		intake_requests(in), intake_open(in));
}

static int run(const struct import_opts *opts, struct sources *sources, struct intake *in)
{
	struct packet_record record;
	int64_t progress_at = clock_now_ns() + NS_PER_SEC;
	int rc = 0;

	while (!rc && sources_next(sources, &record)) {
		rc = intake_packet(in, &record);
		if (intake_packets(in) % LOOK_PACKETS)
			continue;
		if (*opts->stop)
			break;
		if (opts->progress && clock_now_ns() > progress_at) {
			progress_at += NS_PER_SEC;
			print_progress(in);
		}
	}
	return rc;
}

/* What the files did not give. */
static void add_sources(const struct sources *sources, struct import_result *result)
{
	struct ledger *ledger = &result->manifest.ledger;
	const char *why;

	ledger->count[LG_PACKETS] += sources_filtered(sources);
	ledger->count[LG_PACKETS_IGNORED] += sources_filtered(sources);
	sources_dropped(sources, &ledger->count[LG_PACKETS_DROPPED],
			&ledger->count[LG_PACKETS_DROPPED_DEVICE]);
	ledger->count[LG_CAPTURES_CUT] = sources_cut(sources, &why);
	if (ledger->count[LG_CAPTURES_CUT])
		snprintf(result->cut.text, sizeof(result->cut.text), "%s", why);
}

int import_packets(const struct import_opts *opts, struct import_result *ret_result,
		   struct err *err)
{
	struct sources *sources = NULL;
	struct intake *in = NULL;
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	manifest_init(&ret_result->manifest);
	rc = sources_open(opts->files, opts->files_count, opts->filter, opts->stop, &sources, err);
	if (!rc)
		rc = intake_new(&opts->intake, &in, err);
	if (!rc)
		rc = run(opts, sources, in);
	if (!rc)
		rc = intake_finish(in, &ret_result->manifest);
	if (!rc) {
		add_sources(sources, ret_result);
		rc = intake_write(in, &ret_result->manifest);
	}
	intake_free(in);
	sources_free(sources);
	return rc < 0 ? rc : 0;
}
