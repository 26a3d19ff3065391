/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_WALK_OPTIONS_H
#define GAIT_CLI_WALK_OPTIONS_H

#include "cli/options.h"
#include "replay/walk/walk.h"

/* The command line of gait walk and of dw_client, and what it comes to. */
struct walk_cmd_opts {
	const char *to, *ssh, *control, *bind, *requests, *period, *rate, *request_bytes,
		*reply_bytes, *rows;
	const char *agents, *retry_period, *script, *output, *run, *keep;
	struct option_series ops;
	struct walk_tls tls;
	struct secure_opts secure;
	uint64_t keep_slowest, rate_step_ns, threads, sessions, seed, retries, timeout_ns;
	uint32_t no_delay;
	bool wait_spin, no_spin, stagger, per_session, interactive, conn_times, non_block, nano,
		dry_run, force, plan_only, progress, json, no_attribution, timeline;
};

/* What differs between gait walk and dw_client. */
struct walk_program {
	const struct options *options;
	uint64_t timeout_ns; /* of who gives none */
	bool is_distwalk;    /* chains need not be whole, and what it prints is DistWalk's */
};

extern const struct walk_program walk_program, dw_client_program;

/*
 * What is given as what a walk needs; texts of `given` are cut in place, and lent. -EINVAL and others
 * with a sentence that names the option.
 */
int walk_options_read(const struct walk_cmd_opts *given, const struct walk_program *program,
		      struct walk_opts *opts, struct err *err);
void walk_options_release(struct walk_opts *opts);

/* A script that does the same. */
int walk_options_describe(const struct walk_opts *opts, struct buf *out, struct err *err);

#endif
