/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges a trace of tests/truth/server by the server's own log. Prints a row of measures; with
 * limits it exits with 1 and a sentence for each that is broken, 2 when it could not judge.
 */
#include "judge/judge.h"

#include <math.h>

static const struct figure {
	const char *name, *text; /* of the option and in CSV; of sentences */
	const char *unit;
	bool at_most;
	uint32_t or_else; /* broken only when that one's limit is too; M_COUNT: by itself */
	bool shown;	  /* in the table for people */
} figures[M_COUNT] = {
	[M_REQUESTS] = { "requests", "requests found", "%", false, M_COUNT, true },
	[M_EXTRA] = { "extra", "requests nobody sent", "", true, M_COUNT, true },
	[M_BYTES] = { "bytes", "requests with exact bytes", "%", false, M_COUNT, true },
	[M_OPS] = { "ops", "requests with exact operations", "%", false, M_COUNT, true },
	[M_OPS_SURE] = { "ops-sure", "sure requests with exact operations", "%", false, M_COUNT,
			 false },
	[M_OPS_COUNT] = { "ops-count", "requests with as many operations", "%", false, M_COUNT,
			  false },
	[M_OPS_KINDS] = { "ops-kinds", "requests with kinds in order", "%", false, M_COUNT, false },
	[M_OPS_BYTES] = { "ops-bytes", "requests with bytes of operations", "%", false, M_COUNT,
			  false },
	[M_THREADS] = { "threads", "requests with the right threads", "%", false, M_COUNT, true },
	[M_CALLS] = { "calls", "calls with the right parent", "%", false, M_COUNT, true },
	[M_CALLS_WRONG] = { "calls-wrong", "calls with a wrong parent", "%", true, M_COUNT, true },
	[M_CALLS_LOW] = { "calls-low", "calls of low confidence", "%", true, M_COUNT, false },
	[M_CPU_MEDIAN] = { "cpu", "CPU off in the median", "%", true, M_CPU_MEDIAN_US, true },
	[M_CPU_MEDIAN_US] = { "cpu-us", "CPU off in the median", " us", true, M_CPU_MEDIAN, true },
	[M_CPU_P99] = { "cpu-p99", "CPU off at p99", "%", true, M_CPU_P99_US, true },
	[M_CPU_P99_US] = { "cpu-p99-us", "CPU off at p99", " us", true, M_CPU_P99, false },
	[M_CPU_REST] = { "cpu-rest", "CPU beyond the known in the median", "%", true, M_CPU_REST_US,
			 true },
	[M_CPU_REST_US] = { "cpu-rest-us", "CPU beyond the known in the median", " us", true,
			    M_CPU_REST, true },
	[M_TIME] = { "time", "time off in the median", "%", true, M_TIME_US, true },
	[M_TIME_US] = { "time-us", "time off in the median", " us", true, M_TIME, true },
	[M_UNATTRIBUTED] = { "unattributed", "time unattributed in the median", "%", true, M_COUNT,
			     true },
	[M_CONFIDENCE] = { "confidence", "confidence in the median", "%", false, M_COUNT, true },
	[M_CONFIDENCE_LEAST] = { "confidence-least", "least confidence", "%", false, M_COUNT,
				 false },
	[M_LOW] = { "low", "requests of low confidence", "%", true, M_COUNT, true },
	[M_LOST] = { "lost", "events lost", "", true, M_COUNT, true },
};

enum format { FORMAT_TEXT, FORMAT_CSV, FORMAT_JSON };
static const char *const format_names[] = { "text", "csv", "json", NULL };

static struct {
	const char *trace, *log, *upstream_log, *name;
	uint64_t port, upstream_port, header;
	struct range connections;
	uint32_t format;
	double limits[M_COUNT]; /* NAN: none */
} opts = { .name = "trace", .connections = { 0, UINT64_MAX } };

static const char usage[] =
	"usage: judge --trace X.gait --log FILE [OPTION VALUE]...\n"
	"  --port N                         the service that listens there; default: any\n"
	"  --upstream-log FILE --upstream-port N  of the server it called, if captured too\n"
	"  --connections A..B               only those, by their number in the log\n"
	"  --format text|csv|json --header 1 --name NAME\n"
	"limits, in percent but for -us (micro seconds), extra and lost (counts); of a pair\n"
	"X and X-us one must hold:\n"
	"  --requests --extra --bytes --ops --ops-sure --ops-count --ops-kinds --ops-bytes --threads\n"
	"  --calls --calls-wrong --calls-low --cpu --cpu-us --cpu-p99 --cpu-p99-us --cpu-rest\n"
	"  --cpu-rest-us --time --time-us --unattributed --confidence --confidence-least --low --lost\n";

/* Takes the limits out of argv; what is left is for take_options(). */
static void take_limits(char **argv)
{
	char **kept = argv + 1;

	for (int i = 0; i < M_COUNT; i++)
		opts.limits[i] = NAN;
	while (*++argv) {
		int m = 0;

		while (m < M_COUNT &&
		       (strncmp(*argv, "--", 2) || strcmp(*argv + 2, figures[m].name)))
			m++;
		if (m < M_COUNT && argv[1])
			opts.limits[m] = strtod(*++argv, NULL);
		else
			*kept++ = *argv;
	}
	*kept = NULL;
}

static void parse(char **argv)
{
	const struct truth_option table[] = {
		{ "trace", .text = &opts.trace },
		{ "log", .text = &opts.log },
		{ "upstream-log", .text = &opts.upstream_log },
		{ "port", .number = &opts.port },
		{ "upstream-port", .number = &opts.upstream_port },
		{ "connections", .range = &opts.connections },
		{ "name", .text = &opts.name },
		{ "header", .number = &opts.header },
		{ "format", .choice = &opts.format, .names = format_names },
		{ 0 },
	};

	take_limits(argv);
	take_options(table, argv, usage);
	if (!opts.trace || !opts.log) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* --- output -------------------------------------------------------------------------------- */

static const char *number(char text[32], double value, const char *nothing)
{
	if (isnan(value))
		return nothing;
	snprintf(text, 32, value == floor(value) && fabs(value) < 1e9 ? "%.0f" : "%.2f", value);
	return text;
}

static int width(int m)
{
	int len = strlen(figures[m].name);

	return len < 7 ? 7 : len;
}

static void print_text(const char *model, size_t count, const double *values)
{
	char text[32];

	if (opts.header) {
		printf("%-34s %-14s %6s", "case", "io_model", "n");
		for (int m = 0; m < M_COUNT; m++)
			if (figures[m].shown)
				printf(" %*s", width(m), figures[m].name);
		putchar('\n');
	}
	printf("%-34s %-14s %6zu", opts.name, model, count);
	for (int m = 0; m < M_COUNT; m++)
		if (figures[m].shown)
			printf(" %*s", width(m), number(text, values[m], "-"));
	putchar('\n');
}

static void print_csv(const char *model, size_t count, const double *values)
{
	char text[32];

	if (opts.header) {
		printf("case,io_model,n");
		for (int m = 0; m < M_COUNT; m++)
			printf(",%s", figures[m].name);
		putchar('\n');
	}
	printf("%s,%s,%zu", opts.name, model, count);
	for (int m = 0; m < M_COUNT; m++)
		printf(",%s", number(text, values[m], ""));
	putchar('\n');
}

static void print_json(const char *model, size_t count, const double *values)
{
	char text[32];

	printf("{\"case\":\"%s\",\"io_model\":\"%s\",\"n\":%zu", opts.name, model, count);
	for (int m = 0; m < M_COUNT; m++)
		printf(",\"%s\":%s", figures[m].name, number(text, values[m], "null"));
	printf("}\n");
}

static void (*const prints[])(const char *model, size_t count, const double *values) = {
	[FORMAT_TEXT] = print_text,
	[FORMAT_CSV] = print_csv,
	[FORMAT_JSON] = print_json,
};

/* --- limits -------------------------------------------------------------------------------- */

/* What could not be measured keeps no limit. */
static bool holds(int m, const double *values)
{
	if (isnan(values[m]))
		return false;
	return figures[m].at_most ? values[m] <= opts.limits[m] : values[m] >= opts.limits[m];
}

static bool is_broken(int m, const double *values)
{
	uint32_t other = figures[m].or_else;

	if (isnan(opts.limits[m]) || holds(m, values))
		return false;
	return other == M_COUNT || isnan(opts.limits[other]) || !holds(other, values);
}

static int complain(const double *values)
{
	int broken = 0;
	char text[32];

	for (int m = 0; m < M_COUNT; m++) {
		if (!is_broken(m, values))
			continue;
		broken = 1;
		fprintf(stderr, "judge: %s: %s: %s%s, limit: at %s %g%s\n", opts.name,
			figures[m].text, number(text, values[m], "not measurable"),
			isnan(values[m]) ? "" : figures[m].unit,
			figures[m].at_most ? "most" : "least", opts.limits[m], figures[m].unit);
	}
	return broken;
}

int main(int argc, char **argv)
{
	struct log log, upstream = { 0 };
	struct trace_rows trace;
	double values[M_COUNT];
	const char *model;
	size_t count;

	parse(argv);
	log_read(opts.log, &log);
	trace_read(opts.trace, &trace);
	if (opts.upstream_log) {
		log_read(opts.upstream_log, &upstream);
		join(&upstream, &trace, opts.upstream_port);
	}
	join(&log, &trace, opts.port);
	model = trace.service ? trace.service->io_model : "";
	count = measure_all(&log, &upstream, &trace, opts.connections, values);
	prints[opts.format](model, count, values);
	return complain(values);
}
