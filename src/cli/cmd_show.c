/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "cli/show_request.h"

#include "report/network.h"
#include "report/summary.h"
#include "report/summary_json.h"
#include "report/summary_text.h"
#include "trace/trace.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#define TEXT_MAX (16UL << 20)

struct show_opts {
	uint64_t request;
	bool json;
};

static const struct option_spec specs[] = {
	{ "request", 'r', OPTION_U64, OPTION_AT(show_opts, request), .metavar = "ID",
	  .help = "of a run with timelines: what this request went through, and nothing else" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(show_opts, json), .help = "print JSON, for scripts" },
};

static const struct options options = {
	.command = "show",
	.synopsis = "X.gait",
	.about = "Tells what a trace or a run holds: what was lost while it was written (first, as "
		 "it decides how much the rest is worth), where it comes from, its load, "
		 "services, classes of requests, operations, sizes and times, and the time of the "
		 "requests by subsystem when the trace was attributed. Of a trace of packets also "
		 "the network: connections, round trips, retransmissions, TLS, who talks to whom. "
		 "Exits with 3 when the "
		 "numbers are not to be trusted: events were lost, tables edited, the trace was "
		 "cut short, the run is INVALID.",
	.examples = "gait show shop.gait\n"
		    "gait show shop.gait --json | jq '.requests.server_span_ns.p99'\n"
		    "gait show shop.gait --json | jq '.network.out.retransmitted'\n"
		    "gait show run.gait | sed -n '/^breakdown/,$p'\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
	.args_min = 1,
	.args_max = 1,
};

/* What a trace holds; `network` only where packets told of it. */
struct shown {
	struct summary *summary;
	struct network *network;
};

static int print_text(const struct shown *shown, const struct manifest *m, struct err *err)
{
	struct buf text;
	int rc;

	buf_init(&text, TEXT_MAX);
	summary_put_text(shown->summary, m, &text);
	if (shown->network)
		network_put_text(shown->network, shown->summary, &text);
	rc = buf_failed(&text);
	if (rc)
		rc = err_errno(err, -rc, "cannot show the trace");
	else
		cmd_put(buf_text(&text));
	buf_release(&text);
	return rc;
}

static int print_json(const struct shown *shown, const struct manifest *m, struct err *err)
{
	struct json *root = summary_to_json(shown->summary, m);

	if (root && shown->network && network_put_json(shown->network, shown->summary, root)) {
		json_free(root);
		root = NULL;
	}
	return cmd_print_json(root, err);
}

/* What the numbers do not say by themselves goes to stderr too, where a script's user sees it. */
static void warn(const struct trace *t, const struct summary *s)
{
	if (s->partial)
		cmd_complain("'%s' was cut short: it has no manifest; showing what is whole",
			     trace_path(t));
	for (int i = 0; i < TABLE_COUNT; i++) {
		if (s->edited & 1U << i)
			cmd_complain("'%s/%s.csv' was edited: its SHA-256 is not the manifest's",
				     trace_path(t), tables[i].name);
	}
	if (ledger_has_loss(&s->ledger))
		cmd_complain("'%s' has losses: see the ledger", trace_path(t));
}

static int show(struct trace *t, const struct show_opts *opts, struct err *err)
{
	const struct manifest *m = trace_manifest(t);
	struct shown shown = { NULL, NULL };
	int rc = summary_build(t, &shown.summary, err);
	int code = EXIT_FINE;

	if (!rc)
		rc = network_build(t, &shown.network, err);
	if (!rc) {
		warn(t, shown.summary);
		code = summary_is_doubtful(shown.summary, m) ? EXIT_DOUBTFUL : EXIT_FINE;
		rc = opts->json ? print_json(&shown, m, err) : print_text(&shown, m, err);
	}
	network_free(shown.network);
	summary_free(shown.summary);
	return rc ? cmd_failed(err) : code;
}

int cmd_show(int argc, char **argv)
{
	struct option_args args;
	struct show_opts opts;
	struct trace *t;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &opts, &args);

	if (code >= 0)
		return code;
	if (trace_open(args.values[0], TRACE_OPEN_VERIFY, &t, &err))
		return cmd_failed(&err);
	if (opts.request)
		code = show_request(t, opts.request, opts.json, &err) ? cmd_failed(&err) :
									EXIT_FINE;
	else
		code = show(t, &opts, &err);
	trace_free(t);
	return code;
}
