/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/own_slot.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TOGETHER_NS 2000 /* two clocks read within this are read at one time */
#define TRIES 3

static int64_t within(int64_t value, int64_t most)
{
	return value < 0 ? 0 : value > most ? most : value;
}

int64_t own_off_ns(const struct own_reading *from, const struct own_reading *to, int64_t length_ns)
{
	return within((to->ns - from->ns) - (to->cpu_ns - from->cpu_ns), length_ns);
}

void own_split(const struct own_reading *from, const struct own_reading *to, int64_t length_ns,
	       int64_t off_ns, uint64_t counters[TS_COUNT])
{
	bool waited = to->willing != from->willing, taken_off = to->unwilling != from->unwilling;
	int64_t delay_ns = waited ? 0 : off_ns, wait_ns;

	if (to->delay_ns >= 0 && from->delay_ns >= 0)
		delay_ns = within(to->delay_ns - from->delay_ns, off_ns);
	if (!waited && !taken_off) /* it never left: somebody else's time on its CPU */
		delay_ns = 0;
	wait_ns = waited ? off_ns - delay_ns : 0;
	counters[waited ? TS_RUNQUEUE : TS_PREEMPTED] += (uint64_t)delay_ns;
	counters[TS_WAIT_OTHER] += (uint64_t)wait_ns;
	counters[TS_USER] += (uint64_t)(length_ns - delay_ns - wait_ns);
}

static int64_t cpu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* Both clocks at one time: whatever comes between two of them is time of neither. */
static void read_clocks(struct own_reading *r)
{
	int64_t before;
	int tries = TRIES;

	do {
		before = clock_now_ns();
		r->cpu_ns = cpu_now_ns();
		r->ns = clock_now_ns();
	} while (r->ns - before > TOGETHER_NS && --tries);
}

/* "CPU_NS RUN_DELAY_NS TIMES": only the second is up to date while the thread runs. */
static int64_t read_delay(int fd)
{
	char text[96];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	unsigned long long delay;

	if (n <= 0)
		return -1;
	text[n] = '\0';
	return sscanf(text, "%*u %llu", &delay) == 1 ? (int64_t)delay : -1;
}

static void read_counts(const struct own_slot *own, struct own_reading *r)
{
	struct rusage usage;

	r->delay_ns = read_delay(own->schedstat_fd);
	getrusage(RUSAGE_THREAD, &usage);
	r->willing = usage.ru_nvcsw;
	r->unwilling = usage.ru_nivcsw;
}

void own_slot_init(struct own_slot *own)
{
	memset(own, 0, sizeof(*own));
	own->schedstat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	read_clocks(&own->last);
	read_counts(own, &own->last);
	own->slot.last_ns = (uint64_t)own->last.ns;
}

void own_slot_release(struct own_slot *own)
{
	if (own->slot.last_ns && own->schedstat_fd >= 0)
		close(own->schedstat_fd);
	own->schedstat_fd = -1;
}

/* Counts are read when there is something to tell by them, and are then of all time before. */
static void look(struct own_slot *own)
{
	struct own_reading now = own->last;
	int64_t length_ns, off_ns;

	read_clocks(&now);
	length_ns = now.ns - (int64_t)own->slot.last_ns;
	off_ns = own_off_ns(&own->last, &now, length_ns);
	if (off_ns >= OWN_NOISE_NS)
		read_counts(own, &now);
	own_split(&own->last, &now, length_ns, off_ns, own->slot.ns);
	own->slot.last_ns = (uint64_t)now.ns;
	own->last = now;
}

int64_t own_slot_read(struct own_slot *own)
{
	int64_t now_ns = clock_now_ns(), length_ns = now_ns - (int64_t)own->slot.last_ns;

	if (length_ns >= OWN_SHORT_NS) {
		look(own);
	} else {
		own->slot.ns[TS_USER] += (uint64_t)length_ns;
		own->slot.last_ns = (uint64_t)now_ns;
	}
	return (int64_t)own->slot.last_ns;
}
