/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/sniff.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POLL_MS 5
/* When it ends, the kernel still holds packets back that passed before. */
#define DRAIN_NS (2 * INTERFACE_HOLD_NS)

struct sniff {
	const struct sniff_opts *opts;
	struct interface *interface;
	struct intake *intake;
	int64_t start_ns; /* on CLOCK_MONOTONIC */
	struct err *err;
};

static int64_t stamp_now(void)
{
	return clock_now_ns() + clock_realtime_offset_ns();
}

static int on_packet(void *arg, const struct packet_record *record)
{
	struct sniff *s = arg;

	return intake_packet(s->intake, record);
}

static int begin(struct sniff *s)
{
	int rc = interface_open(&s->opts->interface, &s->interface, s->err);
	int64_t start = stamp_now();

	s->start_ns = clock_now_ns();
	if (!rc)
		rc = intake_new(&s->opts->intake, &s->intake, s->err);
	if (!rc && s->opts->save)
		rc = interface_save(s->interface, s->opts->save, s->opts->intake.replace, s->err);
	if (rc)
		return rc;
	interface_begin(s->interface, start);
	return intake_pass(s->intake, start);
}

static void print_progress(const struct sniff *s, int64_t elapsed_ns)
{
	struct interface_losses losses;

	interface_losses(s->interface, &losses);
	fprintf(stderr, "\r%5.1f s  %lu requests  %lu packets  %lu packets lost ", elapsed_ns / 1e9,
		intake_requests(s->intake), intake_packets(s->intake), losses.ring_full);
}

static bool is_full(const struct sniff *s)
{
	return s->opts->max_bytes && intake_bytes(s->intake) >= s->opts->max_bytes;
}

static int run(struct sniff *s, struct sniff_result *ret)
{
	int64_t look_at = s->start_ns + NS_PER_SEC, now;
	int64_t end = s->opts->duration_ns ? s->start_ns + (int64_t)s->opts->duration_ns :
					     INT64_MAX;

	ret->end = SNIFF_STOPPED;
	while (!*s->opts->stop) {
		int rc = interface_read(s->interface, POLL_MS, on_packet, s, &ret->gone);

		now = clock_now_ns();
		if (rc == -ENETDOWN) {
			ret->end = SNIFF_GONE;
			break;
		}
		if (!rc && now >= look_at) {
			look_at += NS_PER_SEC;
			rc = intake_flush(s->intake);
			if (s->opts->progress)
				print_progress(s, now - s->start_ns);
		}
		if (rc)
			return rc;
		if (is_full(s) || now >= end) {
			ret->end = now >= end ? SNIFF_DURATION : SNIFF_FULL;
			break;
		}
	}
	return 0;
}

/* Those that passed before the end and have not been read yet. */
static int drain(struct sniff *s)
{
	int64_t give_up = clock_now_ns() + DRAIN_NS, end = stamp_now();
	struct err gone;
	int rc = 0;

	interface_end(s->interface, end);
	while (!rc && clock_now_ns() < give_up)
		rc = interface_read(s->interface, POLL_MS, on_packet, s, &gone);
	if (!rc || rc == -ENETDOWN)
		rc = intake_pass(s->intake, end);
	return rc;
}

static int finish(struct sniff *s, struct sniff_result *ret)
{
	struct ledger *ledger = &ret->manifest.ledger;
	struct interface_losses losses;
	int rc = drain(s);

	interface_losses(s->interface, &losses);
	if (!rc)
		rc = intake_finish(s->intake, &ret->manifest);
	if (rc)
		return rc;
	ledger->count[LG_PACKETS_DROPPED] = losses.ring_full;
	ledger->count[LG_PACKETS_DROPPED_DEVICE] = losses.device;
	rc = intake_write(s->intake, &ret->manifest);
	return rc ? rc : interface_save_end(s->interface, s->err);
}

int sniff_packets(const struct sniff_opts *opts, struct sniff_result *ret_result, struct err *err)
{
	struct sniff s = { .opts = opts, .err = err };
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	manifest_init(&ret_result->manifest);
	rc = begin(&s);
	if (!rc && opts->on_ready)
		opts->on_ready();
	if (!rc)
		rc = run(&s, ret_result);
	if (!rc)
		rc = finish(&s, ret_result);
	intake_free(s.intake);
	interface_close(s.interface);
	return rc;
}
