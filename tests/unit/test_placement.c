/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/node/placement.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

static const struct {
	const char *text;
	size_t count; /* 0: refused */
	uint16_t cpus[8];
} lists[] = {
	{ "0", 1, { 0 } },
	{ "3,1", 2, { 3, 1 } },
	{ "2-4", 3, { 2, 3, 4 } },
	{ "0,2,4-8:2", 5, { 0, 2, 4, 6, 8 } },
	{ "4-9:3,1", 3, { 4, 7, 1 } },
	{ "5-5:7", 1, { 5 } },
	{ "1,1", 2, { 1, 1 } },
	{ "", 0, { 0 } },
	{ ",", 0, { 0 } },
	{ "1,", 0, { 0 } },
	{ ",1", 0, { 0 } },
	{ "1-", 0, { 0 } },
	{ "2-1", 0, { 0 } },
	{ "1-2:", 0, { 0 } },
	{ "1-2:0", 0, { 0 } },
	{ "1:2", 0, { 0 } },
	{ "-1", 0, { 0 } },
	{ "x", 0, { 0 } },
	{ "1 ", 0, { 0 } },
	{ "1024", 0, { 0 } },
	{ "0-99999999999999999999", 0, { 0 } },
};

static void test_cpu_lists(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct cpu_list list = { .count = 23 };
		struct err err = { "" };
		int rc = cpu_list_parse(lists[i].text, &list, &err);

		check_case("%s", lists[i].text);
		CHECK_EQ(rc == 0, lists[i].count > 0);
		CHECK_EQ(list.count, lists[i].count ? lists[i].count : 23);
		for (size_t k = 0; k < lists[i].count; k++)
			CHECK_EQ(list.cpus[k], lists[i].cpus[k]);
		CHECK_EQ(strlen(err.text) > 0, rc != 0);
	}
}

static void test_auto_is_what_is_allowed(void)
{
	struct cpu_list list;
	cpu_set_t allowed;

	CHECK_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	CHECK_EQ(cpu_list_parse("auto", &list, NULL), 0);
	CHECK_EQ(list.count, CPU_COUNT(&allowed));
	for (size_t i = 0; i < list.count; i++)
		CHECK(CPU_ISSET(list.cpus[i], &allowed));
}

static const struct {
	const char *text;
	bool good;
	struct sched_choice choice;
} policies[] = {
	{ "other", true, { true, SCHED_OTHER, 0, 0, 0, 0 } },
	{ "other:19", true, { true, SCHED_OTHER, 19, 0, 0, 0 } },
	{ "other:-20", true, { true, SCHED_OTHER, -20, 0, 0, 0 } },
	{ "rr:1", true, { true, SCHED_RR, 0, 1, 0, 0 } },
	{ "fifo:99", true, { true, SCHED_FIFO, 0, 99, 0, 0 } },
	{ "dl:1000,20000", true, { true, 6, 0, 0, 1000000, 20000000 } },
	{ "dl:5,5", true, { true, 6, 0, 0, 5000, 5000 } },
	{ .text = "" },
	{ .text = "rr" },
	{ .text = "rr:" },
	{ .text = "rr:0" },
	{ .text = "fifo:100" },
	{ .text = "other:" },
	{ .text = "other:20" },
	{ .text = "other:-21" },
	{ .text = "other:--1" },
	{ .text = "others" },
	{ .text = "dl" },
	{ .text = "dl:1" },
	{ .text = "dl:2,1" },
	{ .text = "dl:0,1" },
	{ .text = "dl:1,2,3" },
	{ .text = "dl:1,4000001" },
	{ .text = "batch" },
};

static void test_policies(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		const struct sched_choice *want = &policies[i].choice;
		struct sched_choice got = { 0 };

		check_case("%s", policies[i].text);
		CHECK_EQ(sched_choice_parse(policies[i].text, &got, NULL),
			 policies[i].good ? 0 : -EINVAL);
		CHECK_EQ(got.chosen, want->chosen);
		CHECK_EQ(got.policy, want->policy);
		CHECK_EQ(got.nice, want->nice);
		CHECK_EQ(got.priority, want->priority);
		CHECK_EQ(got.runtime_ns, want->runtime_ns);
		CHECK_EQ(got.deadline_ns, want->deadline_ns);
	}
}

/* The second thread of two is on the second CPU of the list, and all return to the first. */
static void *apply_and_look(void *arg)
{
	struct placement p;
	cpu_set_t set;

	memset(&p, 0, sizeof(p));
	CHECK_EQ(cpu_list_parse("auto", &p.cpus, NULL), 0);
	for (size_t i = 0; i < 2 * p.cpus.count; i++) {
		CHECK_EQ(placement_apply(&p, i), 0);
		CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
		CHECK_EQ(CPU_COUNT(&set), 1);
		CHECK(CPU_ISSET(p.cpus.cpus[i % p.cpus.count], &set));
	}
	CHECK_EQ(sched_choice_parse("other:3", &p.sched, NULL), 0);
	CHECK_EQ(placement_apply(&p, 0), 0);
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	return NULL;
}

static void test_apply(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, apply_and_look, NULL);
	pthread_join(thread, NULL);
}

/* Trying leaves the thread that asks as it was. */
static void test_try(void)
{
	struct placement p = { .cpus = { .count = 1, .cpus = { CPU_LIST_MAX - 1 } } };
	struct placement nothing = { .cpus.count = 0 };
	cpu_set_t before, after;
	struct err err = { "" };

	sched_getaffinity(0, sizeof(before), &before);
	CHECK_EQ(placement_try(&p, &err), -EINVAL);
	CHECK_STR(err.text, "cannot run a thread on CPU 1023: Invalid argument");
	CHECK_EQ(cpu_list_parse("auto", &p.cpus, NULL), 0);
	CHECK_EQ(placement_try(&p, NULL), 0);
	CHECK_EQ(placement_try(&nothing, NULL), 0);
	sched_getaffinity(0, sizeof(after), &after);
	CHECK(CPU_EQUAL(&before, &after));
}

int main(void)
{
	RUN(test_cpu_lists);
	RUN(test_auto_is_what_is_allowed);
	RUN(test_policies);
	RUN(test_apply);
	RUN(test_try);
	return check_done();
}
