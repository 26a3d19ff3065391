/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_CLIENT_ROWS_H
#define GAIT_REPLAY_CLIENT_ROWS_H

#include "base/err.h"
#include "replay/client/fact.h"
#include "replay/plan/plan.h"
#include "replay/row_stream.h"
#include "replay/slowest.h"

/*
 * What came of each request of a replay, on disk while it runs: the client hands over a fact when
 * it is through with the request, a thread of the rows' own puts it in the place of its order of
 * sending. They are files without a name, so nothing of them stays.
 */
struct client_rows;

int client_rows_new(const char *directory, struct client_rows **ret_rows, struct err *err);
void client_rows_free(struct client_rows *rows);

/*
 * Before that: the numbers of the slowest requests of each second of sending are put into `names`,
 * so many at most. The plan and the names are lent.
 */
int client_rows_watch(struct client_rows *rows, const struct plan *plan, uint32_t slowest,
		      struct names *names);

/* The thread that writes; in the process that fills them in. */
int client_rows_start(struct client_rows *rows, struct err *err);

/* For the one thread that sends: a place for a fact, to be filled in before the next call. */
struct client_fact *client_rows_next(struct client_rows *rows);

/* Once that thread has ended: writes the rest. 0, or what went wrong with a file. */
int client_rows_finish(struct client_rows *rows, struct err *err);

/* p99 of sent - intended in ns, of the facts since the last call; 0: there were none. */
int64_t client_rows_late_p99(struct client_rows *rows);

/* Those of several clients, that were finished here or elsewhere. */
#define CLIENT_ROWS_MAX 64
struct client_rows_set {
	struct client_rows *at[CLIENT_ROWS_MAX];
	size_t count;
};

/*
 * Each fact in the order of sending, over all of them, those never sent last; fn may return a
 * failure, which ends it.
 */
typedef int (*client_fact_fn)(void *arg, const struct client_fact *fact, struct err *err);
int client_rows_each(const struct client_rows_set *rows, client_fact_fn fn, void *arg,
		     struct err *err);

#endif
