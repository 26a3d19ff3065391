/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it takes to plan a replay of a trace: time, and memory that no file stands behind.
 *
 *	bench_plan make X.gait REQUESTS OPS	writes a trace: a service of 4 threads on 64
 *						connections, every eighth store and sync shared
 *	bench_plan X.gait... [DIRECTORY]	DIRECTORY: where files without names may be, as the
 *						folder of a run in a replay
 *
 * CSV on stdout: trace, batching, requests, ops, seconds, CPU seconds, the most anonymous memory
 * in bytes a request, and a SHA-256 of the plan, by which two versions of the planner are held
 * against each other.
 */
#include "base/clock.h"
#include "base/digest.h"
#include "replay/plan/set.h"
#include "trace/trace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 64
#define THREADS 4
#define SAMPLE_US 2000

static void die(const char *what)
{
	fprintf(stderr, "bench_plan: %s\n", what);
	exit(1);
}

/* --- a trace ------------------------------------------------------------------------------- */

static uint64_t next_random(void)
{
	static uint64_t state = 23;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33;
}

static void put(struct trace_writer *w, enum trace_table table, const void *row)
{
	struct err err;

	if (trace_write(w, table, row, &err))
		die(err.text);
}

static struct row_request request_row(uint64_t i)
{
	int64_t arrival_ns = 1520033 + (int64_t)(i * 20000 + next_random() % 190000);

	return (struct row_request){
		.request_id = 1 + i,
		.class_id = 1 + i % 3,
		.service_id = 1,
		.connection_id = 1 + i % CONNECTIONS,
		.thread_id = 4100 + i % THREADS,
		.after_request = i < CONNECTIONS ? 0 : 1 + i - CONNECTIONS,
		.think_ns = i < CONNECTIONS ? TRACE_NONE : (int64_t)(next_random() % 900000),
		.confidence = 100,
		.arrival_ns = arrival_ns,
		.read_ns = arrival_ns + 4000 + (int64_t)(next_random() % 9000),
		.write_ns = arrival_ns + 40000 + (int64_t)(next_random() % 90000),
		.end_ns = arrival_ns + 140000 + (int64_t)(next_random() % 90000),
		.request_bytes = 40 + next_random() % 900,
		.response_bytes = 100 + next_random() % 4000,
		.intended_ns = TRACE_NONE,
		.sent_ns = TRACE_NONE,
		.received_ns = TRACE_NONE,
	};
}

static const struct {
	enum op_kind kind;
	uint32_t flags;
} steps[] = {
	{ OP_COMPUTE, 0 }, { OP_REPLY, 0 },   { OP_STORE, OPF_APPEND }, { OP_SYNC, 0 },
	{ OP_LOAD, 0 },	   { OP_COMPUTE, 0 }, { OP_KERNEL, 0 },		{ OP_COMPUTE, 0 },
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* Further owners are the two requests before. */
static void put_op(struct trace_writer *w, const struct row_request *r, uint64_t id, size_t step)
{
	bool file = steps[step].kind == OP_STORE || steps[step].kind == OP_SYNC ||
		    steps[step].kind == OP_LOAD;
	bool shared = file && steps[step].kind != OP_LOAD && r->request_id % 8 == 0;

	put(w, TABLE_OPS,
	    &(struct row_op){
		    .op_id = id,
		    .request_id = r->request_id,
		    .kind = steps[step].kind,
		    .service_id = 1,
		    .thread_id = r->thread_id,
		    .start_ns = r->read_ns + (int64_t)step * 1000,
		    .elapsed_ns = next_random() % 1000,
		    .cpu_ns = steps[step].kind == OP_COMPUTE ? next_random() % 50000 : 0,
		    .work = steps[step].kind == OP_COMPUTE ? next_random() % 100000 : 0,
		    .bytes = next_random() % 8192,
		    .offset = file ? (int64_t)(next_random() % 4096 * 4096) : TRACE_NONE,
		    .target_id = file,
		    .flags = steps[step].flags | (shared ? OPF_SHARED : 0),
	    });
	for (uint64_t i = 1; shared && i <= 2; i++)
		put(w, TABLE_OP_REQUESTS,
		    &(struct row_op_request){ .op_id = id, .request_id = r->request_id - i });
}

static void put_tables(struct trace_writer *w)
{
	put(w, TABLE_SERVICES,
	    &(struct row_service){ .service_id = 1, .name = "bench", .threads = THREADS });
	put(w, TABLE_TARGETS,
	    &(struct row_target){ .target_id = 1, .kind = TARGET_FILE, .file_bytes = 32 << 20 });
	for (uint64_t i = 1; i <= 3; i++)
		put(w, TABLE_CLASSES,
		    &(struct row_class){ .class_id = i, .service_id = 1, .demand_ppm = 900000 });
	for (uint64_t i = 1; i <= CONNECTIONS; i++)
		put(w, TABLE_CONNECTIONS,
		    &(struct row_connection){ .connection_id = i,
					      .service_id = 1,
					      .open_ns = TRACE_NONE,
					      .close_ns = TRACE_NONE,
					      .srtt_ns = TRACE_NONE,
					      .min_rtt_ns = 20000,
					      .dependent = i % 2 });
}

static void make(const char *path, uint64_t requests, size_t ops)
{
	struct trace_writer *w;
	struct manifest m;
	struct err err;
	uint64_t op_id = 0;

	manifest_init(&m);
	snprintf(m.source, sizeof(m.source), "ebpf");
	if (trace_writer_new(path, 0, &w, &err))
		die(err.text);
	put_tables(w);
	for (uint64_t i = 0; i < requests; i++) {
		struct row_request r = request_row(i);

		put(w, TABLE_REQUESTS, &r);
		for (size_t step = 0; step < ops; step++)
			put_op(w, &r, ++op_id, step % STEPS);
	}
	if (trace_writer_finish(w, &m, &err))
		die(err.text);
	trace_writer_free(w);
}

/* --- what its plan takes ------------------------------------------------------------------- */

static uint64_t anonymous_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib << 10;
}

static atomic_bool done;
static uint64_t most_bytes;

static void *sample(void *arg)
{
	while (!atomic_load(&done)) {
		uint64_t now = anonymous_bytes();

		most_bytes = now > most_bytes ? now : most_bytes;
		usleep(SAMPLE_US);
	}
	return arg;
}

#define HASH(d, member) digest_update(d, &(member), sizeof(member))

static void hash_connection(struct digest *d, const struct plan_connection *c)
{
	HASH(d, c->connection_id);
	HASH(d, c->origin_id);
	HASH(d, c->service_id);
	HASH(d, c->thread);
	HASH(d, c->dependent);
	HASH(d, c->first_due_ns);
	HASH(d, c->last_due_ns);
	HASH(d, c->requests);
}

/* What there is none of is left out: versions may know of more. */
static void hash_ledger(struct digest *d, const struct ledger *ledger)
{
	for (size_t i = 0; i < LG_COUNT; i++) {
		if (!ledger->count[i])
			continue;
		digest_update(d, ledger_infos[i].name, strlen(ledger_infos[i].name));
		HASH(d, ledger->count[i]);
	}
}

static void hash_plan(struct digest *d, const struct plan *p)
{
	digest_update(d, p->requests, p->requests_count * sizeof(*p->requests));
	digest_update(d, p->ops, p->ops_count * sizeof(*p->ops));
	for (size_t i = 0; i < p->connections_count; i++)
		hash_connection(d, &p->connections[i]);
	for (size_t i = 0; i < p->background_count; i++) {
		HASH(d, p->background[i].due_ns);
		HASH(d, p->background[i].thread);
		HASH(d, p->background[i].op);
	}
	for (size_t i = 0; i < p->targets_count; i++)
		HASH(d, p->targets[i].target_id);
	HASH(d, p->threads);
	HASH(d, p->duration_ns);
	hash_ledger(d, &p->ledger);
}

static void hash_set(const struct plan_set *set, char ret_hex[DIGEST_HEX_SIZE])
{
	struct digest *d = digest_new();

	for (size_t i = 0; i < set->count; i++)
		hash_plan(d, &set->plans[i]);
	if (set->client_is_own)
		hash_plan(d, &set->client);
	digest_hex(d, ret_hex);
	digest_free(d);
}

static void measure(const char *path, enum plan_batching batching, const char *directory)
{
	const struct plan_opts opts = { .batching = batching, .scratch = directory };
	const struct plan_choice choice = { .all = batching == PLAN_BATCHING_LIVE };
	size_t requests = 0, ops = 0;
	char hex[DIGEST_HEX_SIZE];
	struct plan_set set;
	struct trace *t;
	struct err err;
	pthread_t sampler;
	uint64_t before;
	int64_t start, ns;
	clock_t cpu;

	if (trace_open(path, 0, &t, &err))
		die(err.text);
	before = anonymous_bytes();
	most_bytes = before;
	atomic_store(&done, false);
	if (pthread_create(&sampler, NULL, sample, NULL))
		die("cannot start a thread");
	start = clock_now_ns();
	cpu = clock();
	if (plan_set_build(t, &opts, &choice, &set, &err))
		die(err.text);
	ns = clock_now_ns() - start;
	cpu = clock() - cpu;
	atomic_store(&done, true);
	pthread_join(sampler, NULL);
	for (size_t i = 0; i < set.count; i++) {
		requests += set.plans[i].requests_count;
		ops += set.plans[i].ops_count;
	}
	hash_set(&set, hex);
	printf("%s,%s,%zu,%zu,%.2f,%.2f,%.0f,%s\n", path,
	       batching == PLAN_BATCHING_LIVE ? "live" : "recorded", requests, ops,
	       (double)ns / 1e9, (double)cpu / CLOCKS_PER_SEC,
	       (double)(most_bytes - before) / (double)requests, hex);
	fflush(stdout);
	plan_set_release(&set);
	trace_free(t);
}

int main(int argc, char **argv)
{
	const char *directory = NULL;
	struct stat st;
	char manifest[4096];

	if (argc == 5 && !strcmp(argv[1], "make")) {
		make(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
		return 0;
	}
	if (argc > 2) {
		snprintf(manifest, sizeof(manifest), "%s/requests.csv", argv[argc - 1]);
		if (stat(manifest, &st))
			directory = argv[--argc];
	}
	printf("trace,batching,requests,ops,seconds,cpu_seconds,anonymous_bytes_per_request,sha256\n");
	for (int i = 1; i < argc; i++) {
		measure(argv[i], PLAN_BATCHING_LIVE, directory);
		measure(argv[i], PLAN_BATCHING_RECORDED, directory);
	}
	return 0;
}
