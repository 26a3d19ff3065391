/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what the kernel tells of one thread in --for, as tests/unit/test_account_logs.c reads it:
 * a fixture for the accounting core. Lock addresses are numbered, and times begin at 0.
 *
 *	tests/truth/record --tid 1234 --for 100ms >tests/data/account/NAME
 */
#include "record.h"
#include "record.skel.h"
#include "truth.h"

#include <bpf/libbpf.h>
#include <inttypes.h>
#include <sys/utsname.h>

#define LOCKS_MAX 64

static uint64_t tid, for_ns = 100000000, first_ns;

static const char *const names[RECORD_COUNT] = {
#define X(symbol, name) [RECORD_##symbol] = name,
	RECORD_LIST(X)
#undef X
};

static uint64_t lock_number(uint64_t address)
{
	static uint64_t locks[LOCKS_MAX];
	static size_t count;

	for (size_t i = 0; i < count; i++)
		if (locks[i] == address)
			return i + 1;
	if (count < LOCKS_MAX)
		locks[count++] = address;
	return count;
}

/* As the log has it: it begins at 0; what was before says nothing. */
static uint64_t in_log(uint64_t ns)
{
	return ns > first_ns ? ns - first_ns : 0;
}

static int print(void *ctx, void *data, size_t size)
{
	const struct record *r = data;
	uint64_t a = r->a, b = r->b;

	if (!first_ns)
		first_ns = r->ns;
	if (r->kind == RECORD_LOCK || r->kind == RECORD_LOCK_END)
		a = lock_number(a);
	if (r->kind == RECORD_IN)
		b = in_log(b);
	printf("%" PRIu64 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", in_log(r->ns),
	       names[r->kind], a, in_log(r->at), b, r->c);
	return 0;
}

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "tid", .number = &tid },
		{ "for", .number = &for_ns },
		{ 0 },
	};
	struct timespec pause;
	struct record_bpf *skel;
	struct ring_buffer *ring;
	struct utsname kernel;

	take_options(table, argv, "usage: record --tid TID [--for TIME]\n");
	pause = (struct timespec){ (time_t)(for_ns / 1000000000), (long)(for_ns % 1000000000) };
	skel = must_alloc(record_bpf__open());
	skel->rodata->cfg_tid = (int)tid;
	must(record_bpf__load(skel), "load");
	ring = must_alloc(ring_buffer__new(bpf_map__fd(skel->maps.records), print, NULL, NULL));
	must(record_bpf__attach(skel), "attach");
	skel->bss->recording = 1;
	nanosleep(&pause, NULL);
	skel->bss->recording = 0;
	record_bpf__detach(skel);
	must(uname(&kernel), "uname");
	printf("# %s %s\n", kernel.sysname, kernel.release);
	must(ring_buffer__consume(ring), "consume");
	if (skel->bss->lost)
		die("the ring was full");
	ring_buffer__free(ring);
	record_bpf__destroy(skel);
	return 0;
}
