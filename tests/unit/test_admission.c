/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/net/wire.h"
#include "replay/node/admission.h"

#include <arpa/inet.h>
#include <malloc.h>

/* Every id once, whatever the order; a page that is full is as closed as one that is not. */
static void test_streams(void)
{
	const uint64_t ids[] = { 1, 2, 0, UINT64_MAX, 1ull << 63, 5000, 4095, 4096 };
	struct admission a;

	admission_init(&a);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		CHECK(admission_take(&a, ids[i]));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		CHECK(!admission_take(&a, ids[i]));
	for (uint64_t id = 8192; id < 8192 + 4096; id++)
		CHECK(admission_take(&a, id));
	for (uint64_t id = 8192; id < 8192 + 4096; id += 511)
		CHECK(!admission_take(&a, id));
	CHECK(admission_take(&a, 8192 + 4096));
	admission_release(&a);
}

/* Ten million connections, as they end and begin: next to nothing of them stays. */
static void test_many(void)
{
	struct admission a;
	size_t before, held;
	bool all = true;

	admission_init(&a);
	before = mallinfo2().uordblks;
	for (uint64_t i = 0; i < 10000000; i++)
		all &= admission_take(&a, i ^ 63); /* not quite in order */
	CHECK(all);
	held = mallinfo2().uordblks - before;
	check_case("%zu bytes", held);
	CHECK(held < 256 * 1024);
	admission_release(&a);
}

/* Nodes that connect again and again, each thread with serials of its own: the same. */
static void test_calls(void)
{
	const uint64_t from[] = { 77, (1ull << WIRE_CALL_SERIAL_BITS) - 1000000,
				  0x123456789abcull };
	struct admission a;
	size_t before, held;
	bool all = true;

	admission_init(&a);
	before = mallinfo2().uordblks;
	for (uint64_t i = 0; i < 2000000; i++)
		for (uint32_t thread = 0; thread < 3; thread++)
			all &= admission_take(&a, WIRE_CALL_ID(thread, from[thread] + i));
	CHECK(all);
	CHECK(!admission_take(&a, WIRE_CALL_ID(2, from[2])));
	held = mallinfo2().uordblks - before;
	check_case("%zu bytes", held);
	CHECK(held < 256 * 1024);
	CHECK_EQ(WIRE_CALL_THREAD(WIRE_CALL_ID(65535, UINT64_MAX)), 65535);
	CHECK_EQ(WIRE_CALL_THREAD(WIRE_CALL_ID(0, UINT64_MAX)), 0);
	admission_release(&a);
}

/* Ids far apart each take a page: there is a limit, and it holds. */
static void test_limit(void)
{
	uint64_t taken = 0;
	struct admission a;

	admission_init(&a);
	while (taken < ADMISSION_PAGES_MAX + 5 && admission_take(&a, taken * ADMISSION_PAGE_IDS))
		taken++;
	CHECK_EQ(taken, ADMISSION_PAGES_MAX);
	CHECK(admission_take(&a, 1)); /* of a page that there is */
	admission_release(&a);
}

static struct endpoint at(const char *host, uint16_t port)
{
	struct endpoint e = { .size = sizeof(struct sockaddr_in) };
	struct sockaddr_in *in = (struct sockaddr_in *)&e.at;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	inet_pton(AF_INET, host, &in->sin_addr);
	return e;
}

static struct endpoint at6(const char *host, uint16_t port)
{
	struct endpoint e = { .size = sizeof(struct sockaddr_in6) };
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)&e.at;

	in->sin6_family = AF_INET6;
	in->sin6_port = htons(port);
	inet_pton(AF_INET6, host, &in->sin6_addr);
	return e;
}

static void test_datagrams(void)
{
	const struct endpoint first = at("10.0.0.1", 5000), port = at("10.0.0.1", 5001),
			      host = at("10.0.0.2", 5000), v6 = at6("fe80::1", 5000),
			      v6_other = at6("fe80::2", 5000);
	struct admission a;

	admission_init(&a);
	for (uint64_t id = 0; id < 1000; id++)
		CHECK(admission_bind(&a, id, id % 2 ? &v6 : &first));
	for (uint64_t id = 0; id < 1000; id++)
		CHECK(admission_bind(&a, id, id % 2 ? &v6 : &first));
	CHECK(!admission_bind(&a, 0, &port));
	CHECK(!admission_bind(&a, 0, &host));
	CHECK(!admission_bind(&a, 0, &v6));
	CHECK(!admission_bind(&a, 1, &v6_other));
	CHECK(admission_bind(&a, 1000, &host));
	admission_release(&a);
}

int main(void)
{
	RUN(test_streams);
	RUN(test_many);
	RUN(test_calls);
	RUN(test_limit);
	RUN(test_datagrams);
	return check_done();
}
