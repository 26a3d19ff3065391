/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "check.h"
#include "replay/node/limits.h"
#include "replay/node/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#define IDLE_NS (NODE_PEER_IDLE_S * NS_PER_SEC)

static int ports[2]; /* their addresses alone count */

static struct endpoint v4(uint16_t port)
{
	struct endpoint at = { .size = sizeof(struct sockaddr_in) };
	struct sockaddr_in *in = (struct sockaddr_in *)&at.at;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
}

static struct endpoint v6(uint16_t port)
{
	struct endpoint at = { .size = sizeof(struct sockaddr_in6) };
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)&at.at;

	in->sin6_family = AF_INET6;
	in->sin6_port = htons(port);
	in->sin6_addr = in6addr_loopback;
	return at;
}

static struct peers start(void)
{
	struct peers peers;

	if (!CHECK_EQ(peers_init(&peers), 0))
		exit(1);
	return peers;
}

static struct peer of_walk(struct endpoint at, uint64_t connection_id)
{
	return (struct peer){
		.port = &ports[0], .at = at, .connection_id = connection_id, .ages = true
	};
}

/* Who differs in one thing is somebody else. */
static void test_find(void)
{
	struct peer all[] = { of_walk(v4(1000), 1), of_walk(v4(1000), 2), of_walk(v4(1001), 1),
			      of_walk(v6(1000), 1), of_walk(v4(1000), 1) };
	const size_t count = sizeof(all) / sizeof(all[0]);
	struct peers peers = start();

	all[4].port = &ports[1];
	for (size_t i = 0; i < count; i++)
		peers_add(&peers, &all[i], 0);
	for (size_t i = 0; i < count; i++) {
		struct peer *p = &all[i];

		check_case("peer %zu", i);
		CHECK(peers_find(&peers, p->port, &p->at, p->connection_id) == p);
		peers_remove(&peers, p);
		CHECK(!peers_find(&peers, p->port, &p->at, p->connection_id));
	}
	CHECK_EQ(peers.aging, 0);
	CHECK(!peers.oldest && !peers.newest);
	peers_release(&peers, NULL);
}

static struct peer *overdue(const struct peers *peers, int64_t now_ns)
{
	return peers_overdue(peers, NODE_PEERS_MAX, IDLE_NS, now_ns);
}

/* As many as there may be, and one more: the one that was silent longest gives way, and no other. */
static void test_limit(void)
{
	struct peer *all = calloc(NODE_PEERS_MAX + 1, sizeof(*all));
	const int64_t now_ns = NODE_PEERS_MAX + 1;
	struct peers peers = start();

	for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
		all[i] = of_walk(v4(1000), i);
		peers_add(&peers, &all[i], (int64_t)i);
	}
	peers_heard(&peers, &all[0], NODE_PEERS_MAX);
	CHECK(!overdue(&peers, now_ns));
	all[NODE_PEERS_MAX] = of_walk(v4(1001), 0);
	peers_add(&peers, &all[NODE_PEERS_MAX], now_ns);
	CHECK(overdue(&peers, now_ns) == &all[1]);
	peers_remove(&peers, &all[1]);
	CHECK(!overdue(&peers, now_ns));
	CHECK(peers_find(&peers, &ports[0], &all[0].at, 0) == &all[0]);
	CHECK_EQ(peers.aging, NODE_PEERS_MAX);
	peers_release(&peers, NULL);
	free(all);
}

static void test_silence(void)
{
	struct peer all[] = { of_walk(v4(1), 1), of_walk(v4(2), 1), of_walk(v4(3), 1) };
	struct peers peers = start();

	for (size_t i = 0; i < 3; i++)
		peers_add(&peers, &all[i], 0);
	peers_heard(&peers, &all[0], 30 * NS_PER_SEC);
	CHECK(!overdue(&peers, IDLE_NS));
	CHECK(overdue(&peers, IDLE_NS + 1) == &all[1]);
	peers_remove(&peers, &all[1]);
	CHECK(overdue(&peers, IDLE_NS + 1) == &all[2]);
	peers_remove(&peers, &all[2]);
	CHECK(!overdue(&peers, IDLE_NS + 30 * NS_PER_SEC));
	CHECK(overdue(&peers, IDLE_NS + 30 * NS_PER_SEC + 1) == &all[0]);
	peers_release(&peers, NULL);
}

static int dropped;

static void drop(struct peer *p)
{
	dropped++;
}

/* Of a recorded service: its plan bounds them. */
static void test_some_stay(void)
{
	struct peer all[] = { of_walk(v4(1), 1), of_walk(v4(1), 2) };
	struct peers peers = start();

	all[0].ages = false;
	peers_add(&peers, &all[0], 0);
	peers_add(&peers, &all[1], 0);
	peers_heard(&peers, &all[0], 1);
	CHECK_EQ(peers.aging, 1);
	CHECK(overdue(&peers, 10 * IDLE_NS) == &all[1]);
	peers_remove(&peers, &all[1]);
	CHECK(!overdue(&peers, 10 * IDLE_NS));
	peers_release(&peers, drop);
	CHECK_EQ(dropped, 1);
	peers_release(&peers, drop);
}

int main(void)
{
	RUN(test_find);
	RUN(test_limit);
	RUN(test_silence);
	RUN(test_some_stay);
	return check_done();
}
