/* SPDX-License-Identifier: Apache-2.0 */
/* A client's share of a replay, told to another host over a socket; and what is wrong with one. */
#include "check.h"
#include "replay/client/share.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4
#define REQUESTS 12

static struct plan_connection connections[CONNECTIONS];
static struct plan_request requests[REQUESTS];
static struct plan plan = { .connections = connections,
			    .requests = requests,
			    .connections_count = CONNECTIONS,
			    .requests_count = REQUESTS };
static const uint32_t share_of[CONNECTIONS] = { 0, 1, 0, 1 };

static void make_plan(void)
{
	for (uint64_t i = 0; i < CONNECTIONS; i++)
		connections[i] = (struct plan_connection){ .connection_id = 10 + i,
							   .service_id = 1 + i % 2,
							   .first_due_ns = (int64_t)i * 1000,
							   .requests = REQUESTS / CONNECTIONS };
	for (uint64_t i = 0; i < REQUESTS; i++)
		requests[i] = (struct plan_request){ .request_id = 100 + i,
						     .connection_id = 10 + i % CONNECTIONS,
						     .request_bytes = 50 + i,
						     .response_bytes = i,
						     .due_ns = (int64_t)i * 1000,
						     .ops_count = 3 };
	requests[9].after_request = 105; /* of connection 11, as 105 and 101 */
	requests[9].think_ns = 77;
}

static struct client_route route_of(uint64_t service_id, uint16_t port)
{
	struct client_route route = { .service_id = service_id, .transport = TRANSPORT_TCP };
	struct sockaddr_in *at = (struct sockaddr_in *)&route.data.at;

	route.data.size = sizeof(*at);
	at->sin_family = AF_INET;
	at->sin_port = htons(port);
	inet_pton(AF_INET, "10.0.0.7", &at->sin_addr);
	memset(route.secret, (int)service_id, sizeof(route.secret));
	return route;
}

static void pair(struct talk *a, struct talk *b)
{
	struct talk *const ends[] = { a, b };
	struct control *control;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(control_new(fds[i], NULL, NULL, &control, NULL), 0);
		talk_init(ends[i], control, "the other");
	}
}

static int take_all(struct talk *t, struct client_share *s, struct err *err)
{
	struct wire_frame frame;
	bool begun = false;
	int rc = 0;

	while (!rc && talk_next(t, 1000, &frame, err) > 0) {
		rc = begun ? client_share_take(s, &frame, err) : client_share_begin(s, &frame, err);
		begun = true;
	}
	return rc;
}

static void test_share(void)
{
	const struct client_route routes[] = { route_of(1, 7000), route_of(2, 7001) };
	const struct client_setup setup = { .plan = &plan,
					    .routes = routes,
					    .routes_count = 2,
					    .share = share_of,
					    .self = 1,
					    .timeout_ns = 5000 };
	struct client_share s = { .routes_count = 0 };
	struct err err = { "" };
	struct talk here, there;
	uint32_t *places;
	size_t count;

	make_plan();
	pair(&here, &there);
	CHECK_EQ(client_share_send(&here, &setup, true, 2, &places, &count, &err), 0);
	CHECK_EQ(take_all(&there, &s, &err), 1);
	check_case("%s", err.text);
	CHECK_EQ(count, 6);
	CHECK_EQ(s.load.timeout_ns, 5000);
	CHECK_EQ(s.load.beside, 2);
	CHECK_EQ(s.routes_count, 2);
	CHECK_EQ(s.addresses[1].port, 7001);
	CHECK_MEM(s.routes[1].secret, routes[1].secret, sizeof(routes[1].secret));
	CHECK_EQ(s.plan.connections_count, 2);
	CHECK_EQ(s.plan.connections[1].connection_id, 13);
	CHECK_EQ(s.plan.connections[1].service_id, 2);
	CHECK_EQ(s.plan.connections[1].first_due_ns, 3000);
	CHECK_EQ(s.plan.requests_count, 6);
	for (size_t i = 0; i < 6; i++) {
		const struct plan_request *from = &requests[places[i]], *r = &s.plan.requests[i];

		CHECK_EQ(places[i] % 2, 1);
		CHECK_EQ(r->request_id, from->request_id);
		CHECK_EQ(r->due_ns, from->due_ns);
		CHECK_EQ(r->request_bytes, from->request_bytes);
		CHECK_EQ(r->response_bytes, from->response_bytes);
		CHECK_EQ(r->after_request, from->after_request);
		CHECK_EQ(r->think_ns, from->think_ns);
		CHECK_EQ(r->ops_count, 0);
	}
	free(places);
	client_share_release(&s);
	talk_release(&here);
	talk_release(&there);
}

/* What is told, message by message; a step that cannot be is refused, and says so. */
static const struct wire_load load = {
	.routes = 1, .connections = 1, .requests = 2, .timeout_ns = 1
};

static void put_begin(struct buf *out)
{
	struct wire_route route = { .service_id = 1, .address = "10.0.0.7:7000" };

	wire_put_load(out, &load);
	wire_put_route(out, &route);
	wire_put_opening(out, &(struct wire_opening){ 10, 1, 0, 2 });
}

static void put_request(struct buf *out, uint64_t id, uint64_t connection, uint64_t after)
{
	const struct plan_request r = { .request_id = id,
					.connection_id = connection,
					.request_bytes = 1,
					.after_request = after };

	wire_put_plan(out, &r, NULL);
}

static void test_what_cannot_be(void)
{
	static const char *const cases[] = {
		"nothing wrong",	   "a connection twice",
		"a connection to nowhere", "a request of no connection",
		"a request too many",	   "one that waits for another connection's",
		"a request too few",	   "another message",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_share s = { .routes_count = 0 };
		struct err err = { "" };
		struct talk here, there;

		check_case("%s", cases[i]);
		pair(&here, &there);
		put_begin(&here.out);
		if (i == 1)
			wire_put_opening(&here.out, &(struct wire_opening){ 10, 1, 0, 1 });
		if (i == 2)
			wire_put_opening(&here.out, &(struct wire_opening){ 11, 9, 0, 1 });
		put_request(&here.out, 1, i == 3 ? 99 : 10, 0);
		if (i != 6)
			put_request(&here.out, 2, 10, i == 5 ? 77 : 1);
		if (i == 4)
			put_request(&here.out, 3, 10, 0);
		wire_put_empty(&here.out, i == 7 ? WIRE_LAYOUT : WIRE_PLAN_END);
		CHECK_EQ(talk_send(&here, 1000, NULL), 0);
		CHECK_EQ(take_all(&there, &s, &err), i ? -EPROTO : 1);
		CHECK_EQ(err.text[0] != '\0', i != 0);
		client_share_release(&s);
		talk_release(&here);
		talk_release(&there);
	}
}

/* Times that are there move by the offset; 0 stays. */
static void test_fact(void)
{
	const struct client_fact fact = { .intended_ns = 5000,
					  .sent_ns = 5100,
					  .received_ns = 6000,
					  .request = 3,
					  .order = 4,
					  .outcome = OUTCOME_TIMEOUT };
	struct client_fact back;
	struct wire_frame frame;
	struct buf out;

	buf_init(&out, 4096);
	client_fact_put(&out, &fact);
	CHECK(wire_frame_decode((uint8_t *)out.data, out.len, &frame, NULL) > 0);
	CHECK_EQ(client_fact_get(&frame, 1000, &back, NULL), 0);
	CHECK_EQ(back.intended_ns, 4000);
	CHECK_EQ(back.sent_ns, 4100);
	CHECK_EQ(back.received_ns, 5000);
	CHECK_EQ(back.arrival_ns, 0);
	CHECK_EQ(back.tx_ns, 0);
	CHECK_EQ(back.request, 3);
	CHECK_EQ(back.order, 4);
	CHECK_EQ(back.outcome, OUTCOME_TIMEOUT);
	CHECK_EQ(back.settled, true);
	buf_release(&out);
}

int main(void)
{
	RUN(test_share);
	RUN(test_what_cannot_be);
	RUN(test_fact);
	return check_done();
}
