/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs of what a kernel told of one thread (tests/truth/record; tests/data/account/README has what the
 * threads did), replayed through the accounting core as the BPF side calls it. What the core finds is
 * held against what the scheduler itself had counted of that thread, which the log brings, and
 * against the counters that stand behind the log since they were looked through.
 */
#include "bpf/account.h"
#include "check.h"
#include "probe/syscalls.h"
#include "thread_states.h"
#include "truth/record/record.h"

#include <dirent.h>
#include <inttypes.h>

#define LOGS GAIT_TEST_DATA "/account"

static const char *const kinds[RECORD_COUNT] = {
#define X(symbol, name) [RECORD_##symbol] = name,
	RECORD_LIST(X)
#undef X
};

static struct syscall_class classes[SYSCALLS_MAX];

/* What is told of a thread from its first `out` to its last. */
struct log {
	struct thread_slot slot;
	uint64_t events, switches;
	uint64_t first_ns, last_ns;
	uint64_t run_delay_first, run_delay_last; /* the scheduler's */
	uint64_t cpu_first, cpu_last;
	uint64_t ns[TS_MAX]; /* ours, at the last one */
	uint64_t wanted[TS_COUNT];
	bool has_wanted;
};

static int kind_find(const char *name)
{
	for (int i = 0; i < RECORD_COUNT; i++)
		if (!strcmp(kinds[i], name))
			return i;
	return -1;
}

/* As arrive() of bpf/sched.bpf.c. */
static void switch_in(struct thread_slot *s, const struct record *r)
{
	if (s->off_cpu == 1 + TS_THROTTLED)
		account_refilled(s, r->b, r->ns);
	if (!s->wake_ns && account_waits(s))
		account_lined_up(s, r->at);
	account_switch_in(s, r->a, r->ns);
}

/* As leave() there. */
static void switch_out(struct log *log, const struct record *r)
{
	const struct account_leave why = {
		.runnable = r->a & LEFT_RUNNABLE,
		.throttled = r->a & LEFT_THROTTLED,
		.iowait = r->a & LEFT_IOWAIT,
		.memstall = r->a & LEFT_MEMSTALL,
		.run_delay_ns = r->b,
	};

	if (!log->first_ns) {
		account_start(&log->slot, r->ns, false);
		log->first_ns = r->ns;
		log->run_delay_first = r->b;
		log->cpu_first = r->c;
	}
	account_switch_out(&log->slot, &why, r->ns);
	log->switches++;
	log->last_ns = r->ns;
	log->run_delay_last = r->b;
	log->cpu_last = r->c;
	memcpy(log->ns, log->slot.ns, sizeof(log->ns));
}

static void replay(struct log *log, const struct record *r)
{
	struct thread_slot *s = &log->slot;

	if (!log->first_ns && r->kind != RECORD_OUT)
		return;
	log->events++;
	switch (r->kind) {
	case RECORD_IN:
		switch_in(s, r);
		break;
	case RECORD_OUT:
		switch_out(log, r);
		break;
	case RECORD_BACK:
		account_came_back(s, r->at, r->b, r->ns);
		break;
	case RECORD_WAKING:
		account_waking(s, r->ns);
		break;
	case RECORD_HARDIRQ:
		account_hardirq_enter(s, r->a ? TS_IRQ_TIMER : TS_IRQ_OTHER, r->ns);
		break;
	case RECORD_HARDIRQ_END:
		account_hardirq_exit(s, r->ns);
		break;
	case RECORD_SOFTIRQ:
		account_softirq_enter(s, (uint32_t)r->a, r->ns);
		break;
	case RECORD_SOFTIRQ_END:
		account_softirq_exit(s, r->ns);
		break;
	case RECORD_ENTER:
		account_sys_enter(s, &classes[r->a % SYSCALLS_MAX], r->ns);
		break;
	case RECORD_EXIT:
		account_sys_exit(s, r->ns);
		break;
	case RECORD_ROOM:
		account_room_begin(s, r->a ? TS_COMPACTION : TS_WAIT_MEM, r->ns);
		break;
	case RECORD_ROOM_END:
		account_room_end(s, r->ns);
		break;
	case RECORD_LOCK:
		account_lock_begin(s, r->a);
		break;
	case RECORD_LOCK_END:
		account_lock_end(s, r->a);
		break;
	}
}

/* "= us 1234 rq 56": the counters that are not 0. */
static void read_wanted(struct log *log, const char *text)
{
	char name[8];
	uint64_t ns;
	int used;

	for (; sscanf(text, "%7s %" SCNu64 "%n", name, &ns, &used) == 2; text += used) {
		int state = 0;

		while (state < TS_COUNT && strcmp(state_names[state], name))
			state++;
		if (CHECK(state < TS_COUNT))
			log->wanted[state] = ns;
	}
	log->has_wanted = true;
}

static void read_line(struct log *log, const char *line)
{
	struct record r = { 0 };
	char name[32];
	int kind;

	if (line[0] == '#')
		return;
	if (line[0] == '=') {
		read_wanted(log, line + 1);
		return;
	}
	if (!CHECK_EQ(sscanf(line, "%" SCNu64 " %31s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
			     &r.ns, name, &r.a, &r.at, &r.b, &r.c),
		      6))
		return;
	kind = kind_find(name);
	if (!CHECK(kind >= 0))
		return;
	r.kind = (uint32_t)kind;
	replay(log, &r);
}

static bool read_log(const char *name, struct log *ret_log)
{
	char path[512], line[1024];
	FILE *f;

	snprintf(path, sizeof(path), LOGS "/%s", name);
	f = fopen(path, "re");
	if (!CHECK(f))
		return false;
	memset(ret_log, 0, sizeof(*ret_log));
	while (fgets(line, sizeof(line), f))
		read_line(ret_log, line);
	fclose(f);
	return true;
}

static uint64_t sum(const uint64_t *ns, int from, int to)
{
	uint64_t all = 0;

	for (int i = from; i <= to; i++)
		all += ns[i];
	return all;
}

/* What a switch or a wake-up itself takes: the two see different ends of it. */
#define SWITCH_NS 15000

static void check_agree(const struct log *log, uint64_t ours, uint64_t kernels, const char *what)
{
	uint64_t off = ours > kernels ? ours - kernels : kernels - ours;

	check_case("%s: %" PRIu64 " by us, %" PRIu64 " by the scheduler", what, ours, kernels);
	CHECK(off <= kernels / 100 + log->switches * SWITCH_NS);
}

static void print_wanted(const struct log *log)
{
	printf("#   looked through, this is its last line:\n=");
	for (int i = 0; i < TS_COUNT; i++)
		if (log->ns[i])
			printf(" %s %" PRIu64, state_names[i], log->ns[i]);
	putchar('\n');
}

static void check_log(const char *name)
{
	static struct log log;
	uint64_t waits, cpu;

	check_case("%s", name);
	if (!read_log(name, &log) || !CHECK(log.events > 20))
		return;
	CHECK_EQ(sum(log.ns, 0, TS_MAX - 1), log.last_ns - log.first_ns);
	waits = sum(log.ns, TS_RUNQUEUE, TS_THROTTLED);
	cpu = sum(log.ns, TS_USER, TS_IRQ_OTHER);
	check_agree(&log, waits, log.run_delay_last - log.run_delay_first, name);
	check_agree(&log, cpu, log.cpu_last - log.cpu_first, name);
	check_case("%s", name);
	if (!CHECK(log.has_wanted) || !CHECK_MEM(log.ns, log.wanted, sizeof(log.wanted)))
		print_wanted(&log);
}

static void test_logs(void)
{
	DIR *dir = opendir(LOGS);
	struct dirent *entry;
	int logs = 0;

	syscalls_classify(classes);
	if (!CHECK(dir))
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "README"))
			continue;
		check_log(entry->d_name);
		logs++;
	}
	closedir(dir);
	CHECK(logs >= 4);
}

int main(void)
{
	RUN(test_logs);
	return check_done();
}
