/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_COMPARE_H
#define GAIT_REPORT_COMPARE_H

#include "base/buf.h"
#include "base/json.h"
#include "report/summary.h"

/*
 * Two traces of the same load side by side: what was captured and what came of its
 * replay, measured by the same probes at the server.
 */
struct compare_side {
	const char *title; /* "capture", "replay" */
	const struct summary *summary;
	const struct manifest *manifest;
};

/* A service that is on both. */
#define COMPARE_PAIRS_MAX (SUMMARY_SERVICES_MAX + 2)

struct compare_pair {
	const struct summary_service *original, *replay;
};

/*
 * Those of the same name, of several of that name the ones with the same number; when no name is on
 * both, the first of each. Services without requests are none. Returns how many there are.
 */
size_t compare_services(const struct compare_side *original, const struct compare_side *replay,
			struct compare_pair ret_pairs[COMPARE_PAIRS_MAX]);

/* What both are judged by; one figure a row of `fidelity` below. */
struct fidelity_row {
	const char *name;
	enum { FIDELITY_RATE, FIDELITY_NS, FIDELITY_BYTES, FIDELITY_COUNT } unit;
	double original, replay; /* NaN: unknown */
};

#define FIDELITY_ROWS 10

/*
 * Fills in the rows, of one service those that are known of it, of several together (`of` is NULL) those
 * that add up; returns how many there are.
 */
size_t compare_fidelity(const struct compare_side *original, const struct compare_side *replay,
			const struct compare_pair *of, struct fidelity_row ret_rows[FIDELITY_ROWS]);

/* Replay over original minus 1, in percent; NaN where one is unknown or the original is 0. */
double fidelity_percent(const struct fidelity_row *row);

/*
 * Whether both have rows of the breakdown that come about in one way: else what one tells apart is in
 * another row of the other, and totals alone compare.
 */
bool compare_rows_alike(const struct compare_side *original, const struct compare_side *replay);

/* Which services are on one side alone; whether rows compare; mean time of a request at each other by subsystem, in columns. */
void compare_put_breakdown(const struct compare_side *original, const struct compare_side *replay,
			   struct buf *out);

/* "fidelity: rate 15.0 k/s -> 14.9 k/s (-0.6%), ..." on one line; of several services one each more. */
void compare_put_fidelity(const struct compare_side *original, const struct compare_side *replay,
			  struct buf *out);

/* Both of them: of all, with the first service's breakdown, and of each service. NULL when memory ran out. */
struct json *compare_to_json(const struct compare_side *original,
			     const struct compare_side *replay);

#endif
