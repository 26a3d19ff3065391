/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/nodes.h"

#include "base/clock.h"
#include "replay/client/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* True: a signal has come meanwhile. */
static bool wait_or_signal(const struct walk_nodes *n, int64_t ns)
{
	struct timespec ts = { ns / NS_PER_SEC, ns % NS_PER_SEC };

	return nanosleep(&ts, NULL) || *n->opts->interrupted;
}

/* A node may be about to start. Who speaks, but refuses, is not asked again. */
static int reach_node(const struct walk_nodes *n, const struct address *address,
		      struct client_session **ret_session, struct err *err)
{
	for (uint32_t left = n->opts->retries;; left--) {
		int rc = client_session_open(address, n->secure, n->opts->interrupted, ret_session,
					     err);
		bool absent = rc == -ECONNREFUSED || rc == -ETIMEDOUT || rc == -EHOSTUNREACH ||
			      rc == -ENETUNREACH || rc == -ENOENT;

		if (!absent || !left || wait_or_signal(n, (int64_t)n->opts->retry_period_ns))
			return rc;
	}
}

/* The node at that address, which is greeted once. */
static int open_session(struct walk_nodes *n, const struct address *address,
			struct client_session **ret_session, struct err *err)
{
	int rc;

	for (size_t i = 0; i < n->count; i++)
		if (address_equal(&n->addresses[i], address)) {
			*ret_session = n->sessions[i];
			return 0;
		}
	rc = reach_node(n, address, &n->sessions[n->count], err);
	if (rc)
		return rc;
	n->addresses[n->count] = *address;
	*ret_session = n->sessions[n->count++];
	return 0;
}

/* Where a peer takes clients in: beside datagrams by TCP, at a port of the same number. */
static struct address control_of(const struct address *data)
{
	struct address control = *data;

	if (control.transport == TRANSPORT_UDP)
		control.transport = TRANSPORT_TCP;
	return control;
}

int walk_nodes_open(struct walk_nodes *n, const struct walk_opts *opts, struct err *err)
{
	const struct chain *chain = &opts->chain;
	struct client_session *session;
	int rc = 0;

	n->opts = opts;
	n->sessions = calloc(chain->peers_count + 1, sizeof(*n->sessions));
	n->addresses = calloc(chain->peers_count + 1, sizeof(*n->addresses));
	n->peers = calloc(chain->peers_count + 1, sizeof(*n->peers));
	if (!n->sessions || !n->addresses || !n->peers)
		return err_errno(err, ENOMEM, "cannot hold %zu nodes", chain->peers_count + 1);
	if (secure_wanted(&n->opts->secure))
		rc = secure_new(&n->opts->secure, SECURE_CLIENT, &n->secure, err);
	if (!rc)
		rc = open_session(n, n->opts->has_control ? &n->opts->control : &n->opts->to,
				  &session, err);
	for (size_t i = 0; !rc && i < chain->peers_count; i++) {
		struct wire_peer *peer = &n->peers[i];
		struct address data = chain->peers[i], control = control_of(&data);
		char text[ADDRESS_TEXT_SIZE];

		rc = open_session(n, &control, &session, err);
		if (rc)
			break;
		peer->index = (uint32_t)i;
		snprintf(peer->address, sizeof(peer->address), "%s", address_format(&data, text));
		memcpy(peer->secret, client_session_node(session)->secret, sizeof(peer->secret));
	}
	return rc;
}

static bool is_at(const struct address *peer, const struct address *session)
{
	const struct address control = control_of(peer);

	return address_equal(&control, session);
}

/* The -F around an op; chain->count: it is of the outermost chain. */
static size_t around(const struct chain *c, size_t at)
{
	for (size_t i = at; i-- > 0;)
		if (c->ops[i].kind == OP_FORWARD && c->ops[i].end > at)
			return i;
	return c->count;
}

/* Whether the node of a session has that op to do: the first one, or one that is called for it. */
static bool has_op(const struct walk_nodes *n, size_t session, size_t at)
{
	const struct chain *c = &n->opts->chain;
	size_t call = around(c, at);

	if (call == c->count)
		return !session;
	for (uint32_t i = 0; i < c->ops[call].forward->peers_count; i++)
		if (is_at(&c->peers[c->ops[call].forward->peers[i]], &n->addresses[session]))
			return true;
	return false;
}

/* Which peers of the chain it calls. */
static void note_calls(const struct walk_nodes *n, size_t session, bool *calls)
{
	const struct chain *c = &n->opts->chain;

	memset(calls, 0, c->peers_count * sizeof(*calls));
	for (size_t i = 0; i < c->count; i++) {
		const struct chain_forward *f = c->ops[i].forward;

		if (c->ops[i].kind != OP_FORWARD || !has_op(n, session, i))
			continue;
		for (uint32_t k = 0; k < f->peers_count; k++)
			calls[f->peers[k]] = true;
	}
}

/* What nodes need to choose the rows that they keep, and to know classes. */
static void describe_keeping(const struct walk_opts *o, struct wire_keep *ret_keep,
			     struct wire_class ret_classes[WALK_CLASSES_MAX])
{
	*ret_keep = (struct wire_keep){
		.share = o->keep_share,
		.classes = (uint32_t)o->classes_count,
	};
	for (size_t i = 0; i < o->classes_count; i++) {
		ret_classes[i] = (struct wire_class){
			.at = o->classes[i].at,
			.end = o->classes[i].end,
		};
		memcpy(ret_classes[i].name, o->classes[i].name, sizeof(ret_classes[i].name));
	}
}

int walk_nodes_start(const struct walk_nodes *n, bool rows, int64_t *ret_started_ns,
		     struct err *err)
{
	struct wire_class classes[WALK_CLASSES_MAX];
	struct wire_keep keep;
	struct client_session_walk walk = { .seed = n->opts->seed,
					    .rows = rows,
					    .timelines = n->opts->timeline,
					    .peers = n->peers,
					    .peers_count = n->opts->chain.peers_count };
	bool calls[CHAIN_PEERS_MAX];
	struct buf text;
	int rc;

	buf_init(&text, CHAIN_TEXT_MAX);
	walk.calls = calls;
	walk.classes = classes;
	if (rows && n->opts->keeps) {
		describe_keeping(n->opts, &keep, classes);
		walk.keep = &keep;
	}
	rc = chain_format(&n->opts->chain, &text, err);
	walk.chain = buf_text(&text);
	walk.chain_bytes = text.len;
	for (size_t i = n->count; !rc && i-- > 0;) { /* whoever calls is ready last */
		note_calls(n, i, calls);
		rc = client_session_prepare_walk(n->sessions[i], &walk, err);
	}
	*ret_started_ns = clock_now_ns();
	for (size_t i = 0; !rc && i < n->count; i++)
		rc = client_session_start(n->sessions[i], &(struct wire_start){ 1, 0, 0 }, err);
	buf_release(&text);
	return rc;
}

int walk_nodes_hear(const struct walk_nodes *n, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n->count; i++) {
		struct pollfd pfd = { client_session_fd(n->sessions[i]), POLLIN, 0 };
		short events;

		if (poll(&pfd, 1, 0) > 0)
			rc = client_session_pump(n->sessions[i], &events, err);
	}
	return rc;
}

int walk_nodes_name(const struct walk_nodes *n, const struct wire_slow *slow, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n->count; i++)
		rc = client_session_name(n->sessions[i], slow, err);
	return rc;
}

void walk_nodes_free(struct walk_nodes *n)
{
	for (size_t i = 0; i < n->count; i++)
		client_session_free(n->sessions[i]);
	free(n->sessions);
	free(n->addresses);
	free(n->peers);
	secure_free(n->secure);
}
