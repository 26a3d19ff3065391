/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/replay_nodes.h"

#include "base/clock.h"
#include "replay/attribution.h"
#include "replay/client/datagram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whose node it was, when there are several. */
static void name_node(const struct replay_nodes *nodes, const struct replay_node *node,
		      struct err *err)
{
	char text[sizeof(err->text)];

	if (!err || nodes->count < 2)
		return;
	memcpy(text, err->text, sizeof(text));
	err_set(err, EIO, "the node of service '%s': %.400s", node->plan->service.name, text);
}

int replay_nodes_place(struct replay_nodes *nodes, const struct plan_set *set,
		       const struct replay_opts *opts, const struct local_opts *local,
		       struct err *err)
{
	int rc = 0;

	nodes->count = set->count;
	for (size_t i = 0; i < set->count && !rc; i++) {
		struct replay_node *node = &nodes->all[i];

		node->plan = &set->plans[i];
		node->usage.user_ns = node->usage.kernel_ns = TRACE_NONE;
		if (!opts->places_count) {
			rc = local_node_start(local, &node->local, err);
			continue;
		}
		node->address = &opts->places[i].address;
		node->control = opts->control ? opts->control : node->address;
	}
	return rc;
}

static int open_node(struct replay_node *node, struct secure *secure,
		     const volatile sig_atomic_t *interrupted, struct err *err)
{
	struct address local = { .host = LOCAL_HOST };
	struct manifest_host here;
	int rc;

	if (node->local)
		local.port = local_node_port(node->local);
	rc = client_session_open(node->local ? &local : node->control, secure, interrupted,
				 &node->session, err);
	if (rc)
		return rc;
	manifest_host_here(&here);
	node->one_clock = !strcmp(here.boot_id, client_session_node(node->session)->host.boot_id);
	return 0;
}

/* Where data connections go: by default where the control connection went. */
static int fill_route(struct replay_nodes *nodes, const struct replay_node *node,
		      struct client_route *route, struct err *err)
{
	static const struct tls_setup tls = { .node = false };
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	int rc;

	route->service_id = node->plan->service.service_id;
	route->data = client_session_data(node->session);
	route->transport = route->data.at.ss_family == AF_UNIX ? TRANSPORT_UNIX : TRANSPORT_TCP;
	memcpy(route->secret, client_session_node(node->session)->secret, sizeof(route->secret));
	if (node->local || node->control == node->address)
		return 0;
	rc = address_resolve(node->address, false, endpoints, err);
	if (rc < 0)
		return rc;
	route->data = endpoints[0];
	route->transport = node->address->transport;
	if (route->transport == TRANSPORT_UDP)
		return client_check_datagrams(node->plan, err);
	if (route->transport != TRANSPORT_TLS)
		return 0;
	rc = tls_context_new(&tls, &nodes->tls, err);
	route->tls = nodes->tls;
	return rc;
}

int replay_nodes_open(struct replay_nodes *nodes, struct secure *secure,
		      const volatile sig_atomic_t *interrupted, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < nodes->count && !rc; i++) {
		rc = open_node(&nodes->all[i], secure, interrupted, err);
		if (!rc)
			rc = fill_route(nodes, &nodes->all[i], &nodes->routes[i], err);
	}
	return rc;
}

/* One for each thread: it is a thread that is called. */
static void put_peers(struct replay_nodes *nodes, size_t i, size_t first)
{
	const struct replay_node *node = &nodes->all[i];
	struct address at = { .host = LOCAL_HOST };
	char text[ADDRESS_TEXT_SIZE];

	if (node->local)
		at.port = client_session_node(node->session)->data_port;
	else
		at = *node->address;
	address_format(&at, text);
	for (uint32_t thread = 0; thread < node->plan->threads; thread++) {
		struct wire_peer *peer = &nodes->peers[first + thread];

		peer->index = (uint32_t)(first + thread);
		peer->thread = thread;
		snprintf(peer->address, sizeof(peer->address), "%.255s", text);
		memcpy(peer->secret, nodes->routes[i].secret, sizeof(peer->secret));
	}
}

static int gather_peers(struct replay_nodes *nodes, const struct plan_set *set, struct err *err)
{
	if (!plan_set_count_calls(set))
		return 0;
	nodes->peers = calloc(set->links, sizeof(*nodes->peers));
	if (!nodes->peers)
		return err_errno(err, ENOMEM, "cannot hold %zu peers", set->links);
	nodes->peers_count = set->links;
	for (size_t i = 0; i < nodes->count; i++)
		put_peers(nodes, i, plan_set_first_link(set, i));
	return 0;
}

/* Those that the plan's forwards lead to. */
static void note_calls(const struct plan *plan, bool *calls)
{
	for (size_t i = 0; i < plan->requests_count; i++) {
		const struct plan_request *r = &plan->requests[i];

		for (uint32_t k = 0; k < r->ops_count; k++) {
			const struct plan_op *op = &plan->ops[r->first_op + k];

			if (op->kind == OP_FORWARD && op->offset != TRACE_NONE)
				calls[op->work] = true;
		}
	}
}

static int prepare_node(struct replay_nodes *nodes, size_t i, struct client_session_replay *replay,
			struct err *err)
{
	bool *calls = calloc(nodes->peers_count + 1, sizeof(*calls));
	int rc;

	if (!calls)
		return err_errno(err, ENOMEM, "cannot hold %zu peers", nodes->peers_count);
	replay->plan = nodes->all[i].plan;
	replay->calls = calls;
	if (nodes->peers_count)
		note_calls(replay->plan, calls);
	rc = client_session_prepare(nodes->all[i].session, replay, err);
	free(calls);
	return rc;
}

int replay_nodes_prepare(struct replay_nodes *nodes, const struct plan_set *set,
			 const struct replay_opts *opts, const struct wire_keep *keep,
			 struct err *err)
{
	struct client_session_replay replay = { .batching = opts->plan.batching,
						.call_timeout_ns = opts->timeout_ns,
						.keep = keep,
						.timelines = opts->timeline };
	int rc = gather_peers(nodes, set, err);

	replay.peers = nodes->peers;
	replay.peers_count = nodes->peers_count;
	for (size_t i = 0; i < nodes->count && !rc; i++) {
		rc = prepare_node(nodes, i, &replay, err);
		if (rc)
			name_node(nodes, &nodes->all[i], err);
	}
	return rc;
}

int replay_nodes_start(struct replay_nodes *nodes, int64_t anchor_ns, int64_t lead_ns,
		       struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < nodes->count && !rc; i++) {
		bool one_clock = nodes->all[i].one_clock;
		struct wire_start start = { .relative = !one_clock,
					    .anchor_ns = one_clock ? anchor_ns : lead_ns };

		rc = client_session_start(nodes->all[i].session, &start, err);
	}
	return rc;
}

int replay_nodes_pump(struct replay_nodes *nodes, struct pollfd *polls, size_t *ret_count,
		      struct err *err)
{
	struct err why = { "" };
	int rc = 0;

	*ret_count = 0;
	for (size_t i = 0; i < nodes->count; i++) {
		struct replay_node *node = &nodes->all[i];
		struct pollfd *at = &polls[*ret_count];

		if (node->gone)
			continue;
		*at = (struct pollfd){ .fd = client_session_fd(node->session) };
		node->gone = client_session_pump(node->session, &at->events, &why) != 0;
		*ret_count += !node->gone;
		if (!node->gone)
			continue;
		name_node(nodes, node, &why);
		rc = err_set(err, EIO, "%s", why.text);
	}
	return rc;
}

void replay_nodes_name(struct replay_nodes *nodes, const struct wire_slow *slow)
{
	for (size_t i = 0; i < nodes->count; i++)
		if (!nodes->all[i].gone)
			client_session_name(nodes->all[i].session, slow, NULL);
}

static int fetch(struct replay_node *node, struct run *run, uint32_t service, struct err *err)
{
	struct run_node rows = { run, service };
	const struct client_session_sink sink = {
		.row = run_take_row,
		.oprow = run_take_oprow,
		.total = run_take_total,
		.stretch = run_take_stretch,
		.arg = &rows,
		.ledger = &node->ledger,
		.usage = &node->usage,
	};

	return client_session_fetch(node->session, &sink, err);
}

int replay_nodes_fetch(struct replay_nodes *nodes, struct run *run, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < nodes->count; i++) {
		struct err why = { "" };

		if (nodes->all[i].gone || !fetch(&nodes->all[i], run, i, &why))
			continue;
		name_node(nodes, &nodes->all[i], &why);
		rc = err_set(rc ? NULL : err, EIO, "%s", why.text);
	}
	return rc;
}

static const struct manifest_host *host_of(const struct replay_node *node)
{
	return &client_session_node(node->session)->host;
}

/* Hosts are numbered as their first nodes come. */
static uint64_t host_id_of(const struct replay_nodes *nodes, size_t i)
{
	uint64_t id = 1;

	for (size_t before = 0; before < i; before++) {
		if (!strcmp(host_of(&nodes->all[before])->boot_id,
			    host_of(&nodes->all[i])->boot_id))
			return nodes->clocks[before].host_id;
		if (nodes->clocks[before].host_id >= id)
			id = nodes->clocks[before].host_id + 1;
	}
	return id;
}

void replay_nodes_clocks(struct replay_nodes *nodes, int64_t anchor_ns)
{
	for (size_t i = 0; i < nodes->count; i++) {
		const struct replay_node *node = &nodes->all[i];

		nodes->clocks[i] = (struct run_clock){
			.clock.anchor_ns = node->one_clock ? anchor_ns : node->usage.anchor_ns,
			.clock.is_clients = node->one_clock,
			.host_id = host_id_of(nodes, i),
			.client_anchor_ns = anchor_ns,
		};
	}
}

static void put_host(struct manifest *m, uint64_t host_id, const struct manifest_host *host,
		     uint64_t work_per_ms)
{
	struct manifest_host *to = &m->hosts[host_id - 1];

	if (host_id <= m->hosts_count)
		return;
	*to = *host;
	to->host_id = host_id;
	to->work_per_ms = work_per_ms;
	m->hosts_count = (uint32_t)host_id;
}

static void put_hosts(const struct replay_nodes *nodes, struct manifest *m)
{
	struct manifest_host here;
	bool client_is_there = false;

	for (size_t i = 0; i < nodes->count; i++) {
		const struct wire_hello *hello = client_session_node(nodes->all[i].session);

		put_host(m, nodes->clocks[i].host_id, &hello->host,
			 nodes->count > 1 ? hello->work_per_ms : 0);
		node_clock_put(&nodes->clocks[i].clock, nodes->clocks[i].client_anchor_ns,
			       &m->hosts[nodes->clocks[i].host_id - 1]);
		if (!nodes->all[i].one_clock)
			continue;
		m->hosts[nodes->clocks[i].host_id - 1].realtime_offset_end_ns =
			clock_realtime_offset_ns();
		client_is_there = true;
	}
	manifest_host_here(&here);
	if (!client_is_there)
		put_host(m, m->hosts_count + 1, &here, 0);
}

/* A sum is known when all its parts are. */
static void add_known(int64_t *sum, int64_t ns)
{
	*sum = *sum == TRACE_NONE || ns == TRACE_NONE ? TRACE_NONE : *sum + ns;
}

void replay_nodes_describe(const struct replay_nodes *nodes, struct manifest *m)
{
	uint32_t attribution = ATTRIBUTION_BPF;

	m->service_user_ns = m->service_kernel_ns = 0;
	for (size_t i = 0; i < nodes->count; i++) {
		add_known(&m->service_user_ns, nodes->all[i].usage.user_ns);
		add_known(&m->service_kernel_ns, nodes->all[i].usage.kernel_ns);
		attribution = attribution_worse(
			attribution, client_session_node(nodes->all[i].session)->attribution);
	}
	m->work_per_ms = client_session_node(nodes->all[0].session)->work_per_ms;
	snprintf(m->attribution, sizeof(m->attribution), "%s", attribution_name(attribution));
	put_hosts(nodes, m);
}

void replay_nodes_release(struct replay_nodes *nodes)
{
	for (size_t i = 0; i < nodes->count; i++)
		client_session_free(nodes->all[i].session);
	for (size_t i = 0; i < nodes->count; i++)
		local_node_free(nodes->all[i].local);
	tls_context_free(nodes->tls);
	free(nodes->peers);
}
