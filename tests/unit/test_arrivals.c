/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/client/schedule.h"
#include "replay/plan/chains.h"

/* Connection 1 goes by the clock, connections 2 and 3 wait for their replies. */
static struct plan_connection connections[] = { { 1, .requests = 4 },
						{ 2, .requests = 3, .dependent = 1 },
						{ 3, .requests = 2, .dependent = 1 } };
#define BY_CLOCK(id, connection, due)                                        \
	{                                                                    \
		.request_id = id, .connection_id = connection, .due_ns = due \
	}
#define AFTER(before, id, connection, due, think)                             \
	{                                                                     \
		.request_id = id, .connection_id = connection, .due_ns = due, \
		.after_request = before, .think_ns = think                    \
	}

static struct plan_request requests[] = {
	BY_CLOCK(11, 1, 0),	   BY_CLOCK(21, 2, 5),	      BY_CLOCK(31, 3, 6),
	BY_CLOCK(12, 1, 100),	   AFTER(21, 22, 2, 110, 50), BY_CLOCK(13, 1, 200),
	AFTER(31, 32, 3, 205, 10), AFTER(22, 23, 2, 210, 50), BY_CLOCK(14, 1, 300),
};
static const struct plan plan = {
	.connections = connections,
	.requests = requests,
	.connections_count = ARRAY_SIZE(connections),
	.requests_count = ARRAY_SIZE(requests),
};

struct sent {
	uint64_t request_id;
	int64_t due_ns;
};

/* A service that answers every request service_ns after it was due. */
static size_t simulate(int64_t service_ns, struct sent *ret_sent)
{
	struct {
		int64_t at_ns;
		uint32_t request;
	} replies[16];
	size_t replies_count = 0, replied = 0, sent = 0;
	struct plan_chains chains;
	struct schedule s;

	CHECK_EQ(plan_chains_init(&chains, &plan), 0);
	CHECK_EQ(schedule_init(&s, &plan, &chains), 0);
	for (;;) {
		struct schedule_entry entry;
		bool due = schedule_peek(&s, &entry);

		if (replied < replies_count && (!due || replies[replied].at_ns <= entry.due_ns)) {
			schedule_answered(&s, replies[replied].request, replies[replied].at_ns);
			replied++;
			continue;
		}
		if (!due)
			break;
		schedule_take(&s);
		ret_sent[sent++] =
			(struct sent){ requests[entry.request].request_id, entry.due_ns };
		replies[replies_count].at_ns = entry.due_ns + service_ns;
		replies[replies_count++].request = entry.request;
	}
	schedule_release(&s);
	plan_chains_release(&chains);
	return sent;
}

static void check_sent(const struct sent *sent, size_t count, const struct sent *want)
{
	CHECK_EQ(count, plan.requests_count);
	for (size_t i = 0; i < count && i < plan.requests_count; i++) {
		check_case("send %zu", i);
		CHECK_EQ(sent[i].request_id, want[i].request_id);
		CHECK_EQ(sent[i].due_ns, want[i].due_ns);
	}
}

/* As fast as in the capture: the recorded schedule comes out. */
static void test_same_speed(void)
{
	static const struct sent want[] = { { 11, 0 },	 { 21, 5 },   { 31, 6 },
					    { 32, 71 },	 { 12, 100 }, { 22, 110 },
					    { 13, 200 }, { 23, 215 }, { 14, 300 } };
	struct sent sent[16];

	check_sent(sent, simulate(55, sent), want);
}

/* Ten times slower: the clock goes on, the conversations stretch. */
static void test_slow_service(void)
{
	static const struct sent want[] = { { 11, 0 },	 { 21, 5 },   { 31, 6 },
					    { 12, 100 }, { 13, 200 }, { 14, 300 },
					    { 32, 566 }, { 22, 605 }, { 23, 1205 } };
	struct sent sent[16];

	check_sent(sent, simulate(550, sent), want);
}

static void test_nothing_due_before_its_reply(void)
{
	struct schedule_entry entry;
	struct plan_chains chains;
	struct schedule s;
	size_t taken = 0;

	CHECK_EQ(plan_chains_init(&chains, &plan), 0);
	CHECK_EQ(schedule_init(&s, &plan, &chains), 0);
	for (; schedule_peek(&s, &entry); taken++) {
		CHECK_EQ(requests[entry.request].after_request, 0);
		schedule_take(&s);
	}
	CHECK_EQ(taken, 6);
	schedule_answered(&s, 1, 1000);
	CHECK(schedule_peek(&s, &entry));
	CHECK_EQ(entry.request, 4);
	CHECK_EQ(entry.due_ns, 1050);
	schedule_release(&s);
	plan_chains_release(&chains);
}

int main(void)
{
	RUN(test_same_speed);
	RUN(test_slow_service);
	RUN(test_nothing_due_before_its_reply);
	return check_done();
}
