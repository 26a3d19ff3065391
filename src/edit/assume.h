/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_EDIT_ASSUME_H
#define GAIT_EDIT_ASSUME_H

#include "base/spec.h"
#include "trace/trace.h"

/*
 * A trace that has requests and sizes alone gets compute that somebody assumes, so that it can be
 * replayed; docs/EDIT.md says what that is worth. Rows are read once or twice and never held: in
 * memory are 24 bytes for each call that a request of the trace made (packets show none yet).
 */
enum assume_kind {
	ASSUME_SERVER_TIME, /* the time from a request to its reply, less its calls; or a part of it */
	ASSUME_DIST,	    /* drawn for each request */
};

struct assume_model {
	enum assume_kind kind;
	double fraction;  /* of the server time; above 0, at most 1 */
	struct spec dist; /* of ns */
};

/* "server-time", a fraction ("0.3"), or a spec of times. 0, or a sentence that quotes what is wrong. */
int assume_model_parse(struct assume_model *ret_model, const char *text, struct err *err);
void assume_model_release(struct assume_model *model);

struct assume_opts {
	const char *input, *output;
	bool replace; /* an older trace of that name */
	struct assume_model model;
	const char *text; /* of the model, for the manifest */
	uint64_t seed;	  /* of what is drawn */
};

struct assume_result {
	struct manifest manifest;
	uint64_t requests;
	uint64_t without; /* of these: have no reply, or one before they came, so no server time */
	uint64_t compute_ns; /* of all, on the CPU of manifest.work_per_ms */
};

/*
 * 0, or a sentence. -EINVAL: the trace says itself what its requests demand, or somebody assumed it
 * already. Failures while writing leave tables as *.partial.
 */
int assume_compute(const struct assume_opts *opts, struct assume_result *ret_result,
		   struct err *err);

#endif
