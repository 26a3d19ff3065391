/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "cli/cmd.h"
#include "report/compare.h"
#include "report/summary.h"
#include "report/summary_json.h"
#include "report/summary_text.h"
#include "report/tree.h"
#include "trace/trace.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (16UL << 20)

struct report_opts {
	const char *against;
	bool alone, json;
};

static const struct option_spec specs[] = {
	{ "against", 'a', OPTION_TEXT, OPTION_AT(report_opts, against), .metavar = "X.gait",
	  .help = "the trace to compare with; default: the one the run replays" },
	{ "alone", 0, OPTION_FLAG, OPTION_AT(report_opts, alone),
	  .help = "the run by itself, without comparing" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(report_opts, json),
	  .help = "print JSON, for scripts" },
};

static const struct options options = {
	.command = "report",
	.synopsis = "RUN.gait",
	.about =
		"Tells what came of a replay: both ledgers, what the client saw, the time of a "
		"request at the server by subsystem beside the captured one (same probes), and how "
		"faithful the replay was. Exits with 3 when either is not to be trusted.",
	.examples = "  gait report run.gait\n"
		    "  gait report run.gait --against redis.gait\n"
		    "  gait report run.gait --json | jq .fidelity\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
	.args_min = 1,
	.args_max = 1,
};

struct side {
	struct trace *trace;
	struct summary *summary;
	struct tree *tree;
};

static int side_open(const char *path, struct side *side, struct err *err)
{
	int rc = trace_open(path, TRACE_OPEN_VERIFY, &side->trace, err);

	if (!rc)
		rc = summary_build(side->trace, &side->summary, err);
	return rc ? rc : tree_build(side->trace, side->summary, &side->tree, err);
}

static void side_close(struct side *side)
{
	tree_free(side->tree);
	summary_free(side->summary);
	trace_free(side->trace);
}

static struct compare_side side_view(const struct side *side, const char *title)
{
	return (struct compare_side){ title, side->summary, trace_manifest(side->trace) };
}

static void put_percentiles(const char *name, const struct hist *hist, struct buf *out)
{
	static const double at[] = { 50, 90, 99, 99.9, 100 };
	static const char *const names[] = { "p50", "p90", "p99", "p99.9", "max" };
	char text[UNIT_TEXT_SIZE];

	if (!hist_count(hist))
		return;
	buf_printf(out, "  %-8s", name);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		buf_printf(out, "  %s %s", names[i],
			   unit_format_ns(text, sizeof(text),
					  hist_value_at_percentile(hist, at[i])));
	buf_putc(out, '\n');
}

/* What the load generator saw: from when a request was due, and how late it was sent. */
static void put_client(const struct side *run, struct buf *out)
{
	const struct summary *s = run->summary;

	if (!hist_count(&s->client_span))
		return;
	buf_puts(out, "\nclient\n");
	put_percentiles("latency", &s->client_span, out);
	put_percentiles("late", &s->client_late, out);
}

static void put_ledger(const struct side *side, const char *title, struct buf *out)
{
	buf_printf(out, "%s: %s\n", title, trace_path(side->trace));
	summary_put_ledger(side->summary, trace_manifest(side->trace), out);
	summary_put_price(trace_manifest(side->trace), out);
	buf_putc(out, '\n');
}

static void put_tree(const struct side *side, struct buf *out)
{
	tree_put_text(side->tree, side->summary, trace_manifest(side->trace), out);
}

static void put_alone(const struct side *run, struct buf *out)
{
	put_ledger(run, "run", out);
	put_client(run, out);
	for (size_t i = 0; i < run->summary->services_count; i++) {
		if (hist_count(&run->summary->services[i].total))
			summary_put_breakdown(run->summary, &run->summary->services[i], out);
	}
	put_tree(run, out);
}

static void put_both(const struct side *original, const struct side *run, struct buf *out)
{
	const struct compare_side a = side_view(original, "capture");
	const struct compare_side b = side_view(run, "replay");

	put_ledger(original, "capture", out);
	put_ledger(run, "replay", out);
	put_client(run, out);
	compare_put_breakdown(&a, &b, out);
	put_tree(run, out);
	buf_putc(out, '\n');
	compare_put_fidelity(&a, &b, out);
}

static int print_text(const struct side *original, const struct side *run, struct err *err)
{
	struct buf text;
	int rc;

	buf_init(&text, TEXT_MAX);
	if (original->summary)
		put_both(original, run, &text);
	else
		put_alone(run, &text);
	rc = buf_failed(&text);
	if (rc)
		rc = err_errno(err, -rc, "cannot print the report");
	else
		cmd_put(buf_text(&text));
	buf_release(&text);
	return rc;
}

static int print_json(const struct side *original, const struct side *run, struct err *err)
{
	const struct compare_side b = side_view(run, "replay");
	struct compare_side a;
	struct json *json;

	if (original->summary) {
		a = side_view(original, "capture");
		json = compare_to_json(&a, &b);
	} else {
		json = summary_to_json(run->summary, trace_manifest(run->trace));
	}
	if (json && json_put(json, "tree",
			     tree_to_json(run->tree, run->summary, trace_manifest(run->trace)))) {
		json_free(json);
		json = NULL;
	}
	return cmd_print_json(json, err);
}

static bool doubtful(const struct side *side)
{
	return side->summary && summary_is_doubtful(side->summary, trace_manifest(side->trace));
}

/* Another trace may have taken the original's place since. */
static bool is_origin(const struct side *original, const struct side *run, struct err *err)
{
	const char *was = trace_manifest(run->trace)->origin_sha256;
	const char *is = trace_manifest(original->trace)->tables[TABLE_REQUESTS].sha256;

	if (!was[0] || !strcmp(was, is))
		return true;
	err_set(err, ESTALE,
		"'%s' is not the trace any more that was replayed; --against compares all "
		"the same",
		trace_path(original->trace));
	return false;
}

/* The trace to compare with: what was asked for, or the run's own origin if it is still there. */
static int open_original(const struct report_opts *opts, const struct side *run,
			 struct side *original, struct err *err)
{
	const char *origin = trace_manifest(run->trace)->origin;

	if (opts->alone)
		return 0;
	if (opts->against)
		return side_open(opts->against, original, err);
	if (!origin[0])
		return 0;
	if (!side_open(origin, original, err) && is_origin(original, run, err))
		return 0;
	cmd_complain("the replayed trace is not compared: %s", err->text);
	side_close(original);
	memset(original, 0, sizeof(*original));
	return 0;
}

static int report(const struct report_opts *opts, const char *path, struct side *run,
		  struct side *original, struct err *err)
{
	int rc = side_open(path, run, err);

	if (!rc)
		rc = open_original(opts, run, original, err);
	if (!rc)
		rc = opts->json ? print_json(original, run, err) : print_text(original, run, err);
	return rc;
}

int cmd_report(int argc, char **argv)
{
	struct side run = { 0 }, original = { 0 };
	struct report_opts opts;
	struct option_args args;
	struct err err = { "" };
	int code = cmd_parse(&options, argc, argv, &opts, &args);

	if (code >= 0)
		return code;
	if (report(&opts, args.values[0], &run, &original, &err))
		code = cmd_failed(&err);
	else
		code = doubtful(&run) || doubtful(&original) ? EXIT_DOUBTFUL : EXIT_FINE;
	side_close(&run);
	side_close(&original);
	return code;
}
