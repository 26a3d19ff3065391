/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges one row of the breakdown. A disturbance of known amount hit some requests of a run; the
 * same load ran without it. The row named must have risen by that amount, and the sum of all other
 * rows must not. Prints a row of measures; exits with 1 when a limit is broken, 2 when it cannot judge.
 */
#include "trace/trace.h"
#include "truth.h"

#include <inttypes.h>

#define ROW_OFF_PERCENT 10 /* of the amount, or */
#define ROW_OFF_NS 20000   /* so much, whichever is more */
#define OTHERS_PERCENT 10  /* of the amount */
#define UNATTRIBUTED_PERCENT 1
#define UNATTRIBUTED_P99_PERCENT 3
#define HITS_LEAST 20 /* fewer requests judge nothing */

static struct {
	const char *base, *run, *row, *besides, *log, *truth, *name, *from, *to;
	uint64_t amount, client, service, least, header;
} opts = { .service = 1, .least = 500000, .from = "arrival_ns", .to = "end_ns", .name = "row" };

static const char usage[] =
	"usage: judge --base X.gait --run Y.gait --row NAME --amount NS|--client 1|--log FILE|--truth FILE\n"
	"  --amount NS     every request was hit by so much\n"
	"  --client 1      by what the client's own clock says that it took longer\n"
	"  --log FILE      start_ns,end_ns of each disturbance: a request was hit by what of them lies\n"
	"                  between --from and --to, columns of requests.csv (arrival_ns, end_ns)\n"
	"  --truth FILE    peer,request,ns: the k-th request from that peer was hit by so much\n"
	"  --least TIME    less is no hit, and such requests are left out (500us)\n"
	"  --besides ROW   what the disturbance truly does too: not among the others\n"
	"  --service N     whose rows are judged (1); 0: the client's\n"
	"  --name NAME --header 1\n";

struct interval {
	int64_t start, end;
};

struct truth {
	char peer[64];
	uint64_t request;
	int64_t ns;
};

struct log {
	struct interval *intervals;
	struct truth *truths;
	size_t count;
};

struct rows {
	struct trace *trace;
	struct row_request *requests;
	struct row_connection *connections;
	struct row_latency *latencies;
	size_t requests_count, connections_count, latencies_count;
};

/* A request that counts, and what it was hit by. */
struct hit {
	int64_t truth, row, others, total, unattributed, client;
};

struct hits {
	struct hit *hits;
	size_t count;
};

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "base", .text = &opts.base },
		{ "run", .text = &opts.run },
		{ "row", .text = &opts.row },
		{ "besides", .text = &opts.besides },
		{ "log", .text = &opts.log },
		{ "truth", .text = &opts.truth },
		{ "name", .text = &opts.name },
		{ "from", .text = &opts.from },
		{ "to", .text = &opts.to },
		{ "amount", .number = &opts.amount },
		{ "client", .number = &opts.client },
		{ "service", .number = &opts.service },
		{ "least", .number = &opts.least },
		{ "header", .number = &opts.header },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (!opts.base || !opts.run || !opts.row ||
	    !(opts.log || opts.truth || opts.amount || opts.client)) {
		fputs(usage, stderr);
		exit(2);
	}
}

_Noreturn static void cannot(const char *why)
{
	fprintf(stderr, "judge: %s: %s\n", opts.name, why);
	exit(2);
}

/* --- reading ------------------------------------------------------------------------------- */

static size_t read_table(struct trace *t, enum trace_table table, void **ret_rows)
{
	size_t count;
	struct err err = { 0 };

	if (trace_read_all(t, table, ret_rows, &count, &err))
		cannot(err.text);
	return count;
}

static void rows_read(const char *path, struct rows *rows)
{
	struct err err = { 0 };
	const struct ledger *ledger;

	if (trace_open(path, 0, &rows->trace, &err))
		cannot(err.text);
	ledger = &trace_manifest(rows->trace)->ledger;
	for (int i = 0; i < LG_COUNT; i++)
		if (ledger_infos[i].severity == LEDGER_LOST && ledger->count[i])
			cannot(ledger_infos[i].text);
	rows->requests_count = read_table(rows->trace, TABLE_REQUESTS, (void **)&rows->requests);
	rows->connections_count =
		read_table(rows->trace, TABLE_CONNECTIONS, (void **)&rows->connections);
	rows->latencies_count = read_table(rows->trace, TABLE_LATENCY, (void **)&rows->latencies);
}

static bool parse_line(const char *line, struct log *log)
{
	struct interval *i = &log->intervals[log->count];
	struct truth *t = &log->truths[log->count];

	if (opts.log)
		return sscanf(line, "%" SCNd64 ",%" SCNd64, &i->start, &i->end) == 2;
	return sscanf(line, "%63[^,],%" SCNu64 ",%" SCNd64, t->peer, &t->request, &t->ns) == 3;
}

static int compare_starts(const void *a, const void *b)
{
	const struct interval *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* What was disturbed twice at a time was disturbed once. */
static void log_merge(struct log *log)
{
	size_t count = 0;

	qsort(log->intervals, log->count, sizeof(*log->intervals), compare_starts);
	for (size_t i = 0; i < log->count; i++) {
		struct interval *last = &log->intervals[count ? count - 1 : 0];
		struct interval next = log->intervals[i];

		if (count && next.start <= last->end)
			last->end = next.end > last->end ? next.end : last->end;
		else
			log->intervals[count++] = next;
	}
	log->count = count;
}

static void log_read(struct log *log)
{
	const char *path = opts.log ? opts.log : opts.truth;
	FILE *f = path ? fopen(path, "re") : NULL;
	size_t room = 0;
	char line[256];

	if (!path)
		return;
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (log->count == room) {
			room = room ? 2 * room : 1024;
			log->intervals =
				must_alloc(realloc(log->intervals, room * sizeof(*log->intervals)));
			log->truths = must_alloc(realloc(log->truths, room * sizeof(*log->truths)));
		}
		log->count += parse_line(line, log); /* its header is none */
	}
	fclose(f);
	if (opts.log)
		log_merge(log);
}

/* --- what a request was hit by -------------------------------------------------------------- */

static int64_t column(const struct row_request *r, const char *name)
{
	const struct table *table = &tables[TABLE_REQUESTS];

	for (size_t i = 0; i < table->columns_count; i++)
		if (!strcmp(table->columns[i].name, name))
			return *(const int64_t *)((const char *)r + table->columns[i].offset);
	cannot("no such column of requests.csv");
}

static int64_t overlap(const struct log *log, int64_t from, int64_t to)
{
	int64_t sum = 0;

	for (size_t i = 0; i < log->count; i++) {
		int64_t start = log->intervals[i].start, end = log->intervals[i].end;

		start = start > from ? start : from;
		end = end < to ? end : to;
		sum += end > start ? end - start : 0;
	}
	return sum;
}

static const char *peer_of(const struct rows *rows, const struct row_request *r)
{
	for (size_t i = 0; i < rows->connections_count; i++)
		if (rows->connections[i].connection_id == r->connection_id)
			return rows->connections[i].remote;
	return "";
}

/* From 1, on its connection; the table is in the order of replies there. */
static uint64_t number_of(const struct rows *rows, const struct row_request *r)
{
	uint64_t number = 1;

	for (const struct row_request *other = rows->requests;
	     other < rows->requests + rows->requests_count; other++)
		if (other->connection_id == r->connection_id &&
		    (other->read_ns < r->read_ns ||
		     (other->read_ns == r->read_ns && other->request_id < r->request_id)))
			number++;
	return number;
}

static int64_t known(const struct log *log, const struct rows *rows, const struct row_request *r)
{
	const char *peer = peer_of(rows, r);
	uint64_t number = number_of(rows, r);

	for (size_t i = 0; i < log->count; i++)
		if (log->truths[i].request == number && !strcmp(log->truths[i].peer, peer))
			return log->truths[i].ns;
	return 0;
}

static int64_t truth_of(const struct log *log, const struct rows *rows, const struct row_request *r)
{
	int64_t anchor = trace_manifest(rows->trace)->start_monotonic_ns;

	if (opts.truth)
		return known(log, rows, r);
	if (opts.log)
		return overlap(log, anchor + column(r, opts.from), anchor + column(r, opts.to));
	return (int64_t)opts.amount;
}

static const struct row_request *request_find(const struct rows *rows, uint64_t id)
{
	for (size_t i = 0; i < rows->requests_count; i++)
		if (rows->requests[i].request_id == id)
			return &rows->requests[i];
	return NULL;
}

static enum subsystem row_find(const char *name)
{
	for (int i = 0; i < SUB_COUNT; i++)
		if (!strcmp(subsystems[i].name, name))
			return i;
	cannot("no such row of the breakdown");
}

/* `log` is NULL for a run without a disturbance: all its requests count. */
static int64_t base_client; /* what a request took the client without a disturbance */

static struct hits hits_of(const struct rows *rows, const struct log *log)
{
	enum subsystem sub = row_find(opts.row);
	struct hits hits = { must_alloc(calloc(rows->latencies_count + 1, sizeof(*hits.hits))), 0 };

	for (size_t i = 0; i < rows->latencies_count; i++) {
		const struct row_latency *l = &rows->latencies[i];
		const struct row_request *r = request_find(rows, l->request_id);
		struct hit hit = { .row = l->ns[sub],
				   .others = l->total_ns - l->ns[sub],
				   .total = l->total_ns,
				   .unattributed = l->unattributed_ns,
				   .client = r ? r->received_ns - r->sent_ns : 0 };

		if (l->service_id != opts.service || !r || r->outcome != OUTCOME_OK)
			continue;
		if (opts.besides)
			hit.others -= l->ns[row_find(opts.besides)];
		if (log)
			hit.truth = opts.client ? hit.client - base_client : truth_of(log, rows, r);
		if (!log || hit.truth >= (int64_t)opts.least)
			hits.hits[hits.count++] = hit;
	}
	return hits;
}

/* --- the verdict --------------------------------------------------------------------------- */

static int64_t base_row;

static int64_t hit_truth(const struct hit *h)
{
	return h->truth;
}

/* What the row rose by beyond what was injected into this one request. */
static int64_t hit_beyond(const struct hit *h)
{
	return h->row - base_row - h->truth;
}

static int64_t hit_row(const struct hit *h)
{
	return h->row;
}

static int64_t hit_client(const struct hit *h)
{
	return h->client;
}

static int64_t hit_others(const struct hit *h)
{
	return h->others;
}

static int64_t hit_unattributed_ppm(const struct hit *h)
{
	return h->total > 0 ? h->unattributed * 1000000 / h->total : 0;
}

static int64_t hit_off(const struct hit *h)
{
	int64_t off = hit_beyond(h);

	return off < 0 ? -off : off;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int64_t percentile(const struct hits *hits, int64_t (*value)(const struct hit *), int p)
{
	int64_t *values = must_alloc(calloc(hits->count, sizeof(*values))), found;

	for (size_t i = 0; i < hits->count; i++)
		values[i] = value(&hits->hits[i]);
	qsort(values, hits->count, sizeof(*values), compare);
	found = values[(hits->count - 1) * p / 100];
	free(values);
	return found;
}

static int64_t median(const struct hits *hits, int64_t (*value)(const struct hit *))
{
	return percentile(hits, value, 50);
}

struct verdict {
	size_t hits;
	int64_t truth, rise, off, others, unattributed_ppm, unattributed_p99_ppm;
};

static struct verdict judge(const struct hits *base, const struct hits *run)
{
	base_row = median(base, hit_row);
	return (struct verdict){
		.hits = run->count,
		.truth = median(run, hit_truth),
		.rise = median(run, hit_truth) + median(run, hit_beyond),
		.off = median(run, hit_off),
		.others = median(run, hit_others) - median(base, hit_others),
		.unattributed_ppm = median(run, hit_unattributed_ppm),
		.unattributed_p99_ppm = percentile(run, hit_unattributed_ppm, 99),
	};
}

static int complain(const struct verdict *v)
{
	int64_t off_most = v->truth * ROW_OFF_PERCENT / 100;
	int broken = 0;

	off_most = off_most > ROW_OFF_NS ? off_most : ROW_OFF_NS;
	if (v->off > off_most || v->rise < v->truth - off_most || v->rise > v->truth + off_most) {
		fprintf(stderr,
			"judge: %s: %s rose by %ld us, a request is %ld us off, injected: %ld us\n",
			opts.name, opts.row, v->rise / 1000, v->off / 1000, v->truth / 1000);
		broken = 1;
	}
	if (v->others > v->truth * OTHERS_PERCENT / 100) {
		fprintf(stderr, "judge: %s: all other rows rose by %ld us, injected: %ld us\n",
			opts.name, v->others / 1000, v->truth / 1000);
		broken = 1;
	}
	if (v->unattributed_ppm > UNATTRIBUTED_PERCENT * 10000 ||
	    v->unattributed_p99_ppm > UNATTRIBUTED_P99_PERCENT * 10000) {
		fprintf(stderr, "judge: %s: %.2f%% unattributed in the median, %.2f%% at p99\n",
			opts.name, v->unattributed_ppm / 1e4, v->unattributed_p99_ppm / 1e4);
		broken = 1;
	}
	return broken;
}

int main(int argc, char **argv)
{
	struct rows base = { 0 }, run = { 0 };
	struct log log = { 0 };
	struct hits base_hits, run_hits;
	struct verdict v;

	parse(argv);
	log_read(&log);
	rows_read(opts.base, &base);
	rows_read(opts.run, &run);
	base_hits = hits_of(&base, NULL);
	if (base_hits.count >= HITS_LEAST)
		base_client = median(&base_hits, hit_client);
	run_hits = hits_of(&run, &log);
	if (base_hits.count < HITS_LEAST || run_hits.count < HITS_LEAST)
		cannot("too few requests were hit to judge");
	v = judge(&base_hits, &run_hits);
	if (opts.header)
		puts("case,row,hits,injected_ns,rise_ns,off_ns,others_ns,unattributed_ppm,"
		     "unattributed_p99_ppm");
	printf("%s,%s,%zu,%ld,%ld,%ld,%ld,%ld,%ld\n", opts.name, opts.row, v.hits, v.truth, v.rise,
	       v.off, v.others, v.unattributed_ppm, v.unattributed_p99_ppm);
	return complain(&v);
}
