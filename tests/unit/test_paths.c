/* SPDX-License-Identifier: Apache-2.0 */
/* By which way each row of the breakdown comes about. */
#include "attribution/paths.h"
#include "check.h"
#include "probe/hooks.h"

static bool all(void *arg, const char *program)
{
	return true;
}

static bool none(void *arg, const char *program)
{
	return false;
}

static bool all_but_timer(void *arg, const char *program)
{
	return !strstr(program, "local_timer");
}

/* Every row says where it comes from, of hooks that exist, and where its time is without them. */
static void test_table(void)
{
	for (int i = 0; i < SUB_COUNT; i++) {
		check_case("%s", subsystems[i].name);
		CHECK(paths[i].by);
		CHECK_EQ(!!paths[i].programs[0], !!paths[i].otherwise);
		CHECK(paths[i].kind != PATH_ABSENT || !paths[i].programs[0]);
		for (const char *const *p = paths[i].programs; *p; p++) {
			const struct hook *hook = hook_find(*p);

			if (CHECK(hook))
				CHECK(!hook->instead_of);
		}
	}
}

/* So does every row of a run without BPF. */
static void test_user(void)
{
	for (int i = 0; i < SUB_COUNT; i++) {
		check_case("%s", subsystems[i].name);
		CHECK(paths_user[i].by && paths_user[i].by[0]);
	}
	CHECK_EQ(paths_user[SUB_SCHED_THROTTLED].kind, PATH_ABSENT);
	CHECK_EQ(paths_user[SUB_NET_WIRE].kind, PATH_MEASURED);
}

/* A row that a hook is said to give is not said to be absent. */
static void test_given(void)
{
	for (size_t h = 0; h < hooks_count; h++)
		for (int i = 0; i < SUB_COUNT; i++) {
			check_case("%s gives %s", hooks[h].program, subsystems[i].name);
			CHECK(!strstr(hooks[h].what, subsystems[i].name) ||
			      paths[i].kind != PATH_ABSENT);
		}
}

static void test_here(void)
{
	CHECK_EQ(path_here(&paths[SUB_NET_WIRE], all, NULL), PATH_MEASURED);
	CHECK_EQ(path_here(&paths[SUB_NET_WIRE], none, NULL), PATH_ABSENT);
	CHECK_EQ(path_here(&paths[SUB_BLOCK_DEVICE], all, NULL), PATH_INFERRED);
	CHECK_EQ(path_here(&paths[SUB_CLIENT_LATE], none, NULL), PATH_MEASURED);
	/* the softirqs are left */
	CHECK_EQ(path_here(&paths[SUB_CPU_IRQ_TIMER], all_but_timer, NULL), PATH_MEASURED);
}

int main(void)
{
	RUN(test_table);
	RUN(test_user);
	RUN(test_given);
	RUN(test_here);
	return check_done();
}
