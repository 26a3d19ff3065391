/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_WALK_CLIENTS_H
#define GAIT_CLI_WALK_CLIENTS_H

#include "replay/walk/walk.h"

#include <signal.h>

/*
 * Several walks at once, a process each, forked before there are threads: the clients of a scenario.
 * They begin at one time, when the last of them is ready; when one cannot, none does. What each
 * prints is printed when all have ended, under its name.
 */
struct walk_clients {
	size_t count; /* SCENARIO_CLIENTS_MAX at most */
	const char *(*name)(void *arg, size_t index);
	/*
	 * In its process: opts->begin and opts->progress are to be those that walk_clients_join() sets.
	 * Returns its exit status.
	 */
	int (*run)(void *arg, size_t index);
	void *arg;
	bool json; /* each prints JSON: a document of all of them is printed */
	const volatile sig_atomic_t *interrupted;			   /* passed on to them */
	void (*progress)(void *arg, const struct walk_progress *progress); /* of all, or NULL */
	void *progress_arg;
};

/* The worst of their exit statuses. */
int walk_clients_run(const struct walk_clients *clients);

/* In run(): this walk is one of them. */
void walk_clients_join(struct walk_opts *opts);

#endif
