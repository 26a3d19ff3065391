/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/agent/serving.h"
#include "replay/client/share.h"
#include "replay/scratch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define OUT_BYTES 65536 /* of facts, in one call */

/* A client's share of a replay: a client of its own, of a plan that has nothing else. */
struct serving {
	struct talk *talk;
	struct client_share share;
	struct tls_context *tls; /* for all routes; NULL: none of them encrypts */
	struct client_rows *rows;
	struct client *client;
};

static int take_share(struct serving *s, const struct wire_frame *first, struct err *err)
{
	struct wire_frame frame;
	int rc = client_share_begin(&s->share, first, err);

	while (!rc) {
		rc = agent_hear(s->talk, &frame, err);
		if (!rc)
			rc = client_share_take(&s->share, &frame, err);
	}
	return rc < 0 ? rc : 0;
}

static int find_node(struct serving *s, size_t i, struct err *err)
{
	static const struct tls_setup tls = { .node = false };
	struct client_route *route = &s->share.routes[i];
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	int rc = address_resolve(&s->share.addresses[i], false, endpoints, err);

	if (rc < 0)
		return rc;
	route->data = endpoints[0];
	if (route->transport != TRANSPORT_TLS)
		return 0;
	rc = s->tls ? 0 : tls_context_new(&tls, &s->tls, err);
	route->tls = s->tls;
	return rc;
}

static int open_client(struct serving *s, struct err *err)
{
	struct client_share *share = &s->share;
	struct client_setup setup = {
		.plan = &share->plan,
		.routes = share->routes,
		.routes_count = share->routes_count,
		.timeout_ns = share->load.timeout_ns,
		.spin_ns = agent_spin_ns(share->load.spins, share->load.beside),
	};
	int rc = client_rows_new(scratch_directory(), &s->rows, err);

	for (size_t i = 0; i < share->routes_count && !rc; i++)
		rc = find_node(s, i, err);
	setup.rows = s->rows;
	if (!rc)
		rc = client_new(&setup, &s->client, err);
	if (rc)
		return rc;
	free(share->plan.requests); /* client_new() has read them */
	share->plan.requests = NULL;
	return client_connect(s->client, err);
}

/* --- while it sends ------------------------------------------------------------------------ */

static bool is_over(void *arg)
{
	struct serving *s = arg;
	struct pollfd done = { .fd = client_done_fd(s->client), .events = POLLIN };

	return poll(&done, 1, 0) > 0;
}

static void stop(void *arg)
{
	struct serving *s = arg;

	client_stop(s->client);
}

static void tell(void *arg, struct wire_live *ret_live)
{
	struct serving *s = arg;
	struct client_progress now;

	client_progress(s->client, &now);
	*ret_live = (struct wire_live){ now.sent, now.answered, now.failed,
					client_rows_late_p99(s->rows) };
}

/* --- and when it is through ---------------------------------------------------------------- */

static int send_fact(void *arg, const struct client_fact *fact, struct err *err)
{
	struct talk *t = arg;

	client_fact_put(&t->out, fact);
	return t->out.len < OUT_BYTES ? 0 : talk_send(t, AGENT_SEND_MS, err);
}

static int send_all(struct serving *s, struct err *err)
{
	const struct client_rows_set rows = { .at = { s->rows }, .count = 1 };
	struct ledger ledger = { 0 };
	int rc = client_rows_finish(s->rows, err);

	if (!rc)
		rc = client_rows_each(&rows, send_fact, s->talk, err);
	if (rc)
		return rc;
	client_count(s->client, &ledger);
	wire_put_ledgers(&s->talk->out, &ledger);
	wire_put_empty(&s->talk->out, WIRE_BYE);
	return talk_send(s->talk, AGENT_SEND_MS, err);
}

static int run(struct serving *s, struct err *err)
{
	const struct agent_work work = { is_over, stop, tell, s };
	int64_t anchor_ns;
	int rc = agent_await_start(s->talk, &anchor_ns, err);

	if (!rc)
		rc = client_start(s->client, anchor_ns, err);
	if (rc)
		return rc;
	rc = agent_watch(s->talk, &work, err);
	client_stop(s->client);
	client_join(s->client);
	if (!rc)
		rc = send_all(s, err);
	return rc ? rc : agent_part(s->talk, err);
}

static void release(struct serving *s)
{
	client_free(s->client);
	client_rows_free(s->rows);
	client_share_release(&s->share);
	tls_context_free(s->tls);
	free(s);
}

int agent_serve_replay(struct talk *t, const struct wire_frame *first, struct err *err)
{
	struct serving *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_errno(err, ENOMEM, "cannot serve a client");
	s->talk = t;
	rc = take_share(s, first, err);
	if (!rc)
		rc = open_client(s, err);
	if (!rc)
		rc = run(s, err);
	release(s);
	return rc;
}
