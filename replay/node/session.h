/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_SESSION_H
#define GAIT_REPLAY_NODE_SESSION_H

#include "probe/probe.h"
#include "replay/attribution.h"
#include "replay/net/control.h"
#include "replay/node/reach.h"
#include "replay/node/service.h"

/* What a session finds on its node. */
struct session_setup {
	struct listeners *listeners;
	const struct worker_opts *workers;
	struct storage *storage;
	const struct reach *reach;    /* whom it may call */
	struct probe_guard *guard;    /* NULL: no probes */
	enum attribution attribution; /* what the rows are made by */
	const atomic_bool *stopping;
	const struct session **replaying; /* the node's one session that replays; NULL: none */
	uint64_t work_per_ms;
	struct node_stats *stats;
	enum compute_mode compute;
	struct io_opts io;
	uint64_t requests_ahead;
	uint32_t threads; /* 0: as recorded */
};

/*
 * The node's end of a control connection (docs/PROTOCOL.md). It never blocks on
 * reading; what it sends the client must take within NODE_SEND_TIMEOUT_S.
 */
struct session;

/* Takes the connection over, also on failure. Whoever it is has proved itself already. */
int session_new(const struct session_setup *setup, struct control *control,
		struct session **ret_session, struct err *err);
void session_free(struct session *s);

/* The client has sent something, or time has passed. False: it is over (session_free()). */
bool session_read(struct session *s);
bool session_tick(struct session *s);

/* Whether client and node have greeted each other. */
bool session_has_met(const struct session *s);

int session_fd(const struct session *s);

/*
 * While its service runs, the service's threads accept. What comes to them and is
 * none of theirs can be taken when strangers_fd is readable: a socket, or -EAGAIN.
 */
bool session_accepts(const struct session *s);
int session_strangers_fd(const struct session *s); /* -1: none */
struct stranger *session_take_stranger(struct session *s);

/* A data connection that was let in elsewhere. True: the session has it now. */
bool session_takes(struct session *s, const struct wire_preface *preface,
		   struct stranger *stranger);

/* A stranger was another session's. */
void session_not_refused(struct session *s, const struct wire_preface *preface);

/* service_wake() */
void session_wake(struct session *s);

/* Ends the service; then a last look at the strangers, and session_free(). */
void session_end(struct session *s);

/* Tells a client on a connection that is no session why not, and frees it. */
void session_refuse(struct control *control, const char *why);

#endif
