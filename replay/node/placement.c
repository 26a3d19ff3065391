/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/placement.h"

#include "base/clock.h"
#include "base/units.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As sched_setattr(2) wants it; the C library has it only since 2.41. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

#define POLICY_DEADLINE 6

static int add_range(struct cpu_list *list, unsigned long first, unsigned long last,
		     unsigned long step)
{
	for (unsigned long cpu = first; cpu <= last; cpu += step) {
		if (cpu >= CPU_SETSIZE || list->count == CPU_LIST_MAX)
			return -ERANGE;
		list->cpus[list->count++] = (uint16_t)cpu;
	}
	return 0;
}

static bool take_number(const char **at, unsigned long *ret_number)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	*ret_number = strtoul(*at, &end, 10);
	*at = end;
	return true;
}

/* "4", "4-8", "4-8:2" */
static int take_range(const char **at, struct cpu_list *list)
{
	unsigned long first, last, step = 1;

	if (!take_number(at, &first))
		return -EINVAL;
	last = first;
	if (**at == '-') {
		++*at;
		if (!take_number(at, &last) || last < first)
			return -EINVAL;
		if (**at == ':') {
			++*at;
			if (!take_number(at, &step) || !step)
				return -EINVAL;
		}
	}
	return add_range(list, first, last, step);
}

static int all_allowed(struct cpu_list *list, struct err *err)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return err_errno(err, errno, "cannot tell which CPUs may be used");
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			add_range(list, cpu, cpu, 1);
	return 0;
}

int cpu_list_parse(const char *text, struct cpu_list *ret_list, struct err *err)
{
	struct cpu_list list = { 0 };
	const char *at = text;
	int rc;

	if (!strcmp(text, "auto")) {
		rc = all_allowed(&list, err);
	} else {
		do
			rc = take_range(&at, &list);
		while (!rc && *at == ',' && *++at);
		if (rc == -ERANGE)
			return err_set(err, ERANGE,
				       "'%s' has a CPU beyond %d, or more than %d CPUs", text,
				       CPU_SETSIZE - 1, CPU_LIST_MAX);
		if (rc || *at || at[-1] == ',')
			return err_set(err, EINVAL,
				       "'%s' is no list of CPUs: write auto, or as in 0,2,4-8:2",
				       text);
	}
	if (!rc)
		*ret_list = list;
	return rc;
}

/* "-5" or "5" */
static bool parse_nice(const char *text, int32_t *ret_nice)
{
	bool negative = *text == '-';
	uint64_t value;

	if (unit_parse_u64(text + negative, 0, negative ? 20 : 19, &value, NULL))
		return false;
	*ret_nice = negative ? -(int32_t)value : (int32_t)value;
	return true;
}

static bool parse_priority(const char *text, uint32_t *ret_priority)
{
	uint64_t value;

	if (unit_parse_u64(text, 1, 99, &value, NULL))
		return false;
	*ret_priority = (uint32_t)value;
	return true;
}

/* "10000,20000" in us */
static bool parse_deadline(const char *text, struct sched_choice *choice)
{
	unsigned long runtime_us, deadline_us;

	if (!take_number(&text, &runtime_us) || *text++ != ',' ||
	    !take_number(&text, &deadline_us) || *text)
		return false;
	if (!runtime_us || runtime_us > deadline_us || deadline_us > 4000000)
		return false;
	choice->runtime_ns = runtime_us * NS_PER_US;
	choice->deadline_ns = deadline_us * NS_PER_US;
	return true;
}

static const struct {
	const char *name;
	uint32_t policy;
} policies[] = {
	{ "other", SCHED_OTHER },
	{ "rr", SCHED_RR },
	{ "fifo", SCHED_FIFO },
	{ "dl", POLICY_DEADLINE },
};

static bool parse_rest(const char *rest, struct sched_choice *choice)
{
	if (choice->policy == SCHED_OTHER)
		return !rest || parse_nice(rest, &choice->nice);
	if (!rest)
		return false;
	if (choice->policy == POLICY_DEADLINE)
		return parse_deadline(rest, choice);
	return parse_priority(rest, &choice->priority);
}

int sched_choice_parse(const char *text, struct sched_choice *ret_choice, struct err *err)
{
	size_t len = strcspn(text, ":");
	const char *rest = text[len] ? text + len + 1 : NULL;

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct sched_choice choice = { .chosen = true, .policy = policies[i].policy };

		if (strlen(policies[i].name) != len || strncmp(text, policies[i].name, len))
			continue;
		if (!parse_rest(rest, &choice))
			break;
		*ret_choice = choice;
		return 0;
	}
	return err_set(err, EINVAL,
		       "'%s' is no scheduling policy: write other[:NICE] (-20..19), rr:PRIORITY or "
		       "fifo:PRIORITY (1..99), or dl:RUNTIME_US,DEADLINE_US",
		       text);
}

static int apply_sched(const struct sched_choice *choice)
{
	struct attributes attributes = {
		.size = sizeof(attributes),
		.policy = choice->policy,
		.nice = choice->nice,
		.priority = choice->priority,
		.runtime_ns = choice->runtime_ns,
		.deadline_ns = choice->deadline_ns,
		.period_ns = choice->deadline_ns,
	};

	if (!choice->chosen)
		return 0;
	return syscall(SYS_sched_setattr, 0, &attributes, 0) ? -errno : 0;
}

static int apply_cpu(const struct cpu_list *list, size_t index)
{
	cpu_set_t set;

	if (!list->count)
		return 0;
	CPU_ZERO(&set);
	CPU_SET(list->cpus[index % list->count], &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int placement_apply(const struct placement *p, size_t index)
{
	int rc = apply_cpu(&p->cpus, index);

	return rc ? rc : apply_sched(&p->sched);
}

struct trial {
	const struct placement *placement;
	struct err *err;
	int rc;
};

static void *try_all(void *arg)
{
	struct trial *t = arg;
	const struct cpu_list *cpus = &t->placement->cpus;

	for (size_t i = 0; i < cpus->count && !t->rc; i++) {
		t->rc = apply_cpu(cpus, i);
		if (t->rc)
			err_errno(t->err, -t->rc, "cannot run a thread on CPU %u", cpus->cpus[i]);
	}
	if (t->rc)
		return NULL;
	t->rc = apply_sched(&t->placement->sched);
	if (t->rc)
		err_errno(t->err, -t->rc, "cannot give a thread the scheduling policy asked for");
	return NULL;
}

int placement_try(const struct placement *p, struct err *err)
{
	struct trial t = { p, err, 0 };
	pthread_t thread;
	int rc;

	if (!p->cpus.count && !p->sched.chosen)
		return 0;
	rc = pthread_create(&thread, NULL, try_all, &t);
	if (rc)
		return err_errno(err, rc, "cannot start a thread");
	pthread_join(thread, NULL);
	return t.rc;
}
