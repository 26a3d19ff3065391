/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "edit/assume.h"
#include "edit/merge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct edit_opts {
	const char *output;
	const char *compute;
	uint64_t clock_slack_ns, seed;
	bool force, json;
};

static const struct option_spec specs[] = {
	{ "output", 'o', OPTION_TEXT, OPTION_AT(edit_opts, output), .metavar = "Y.gait",
	  .help = "where the trace goes" },
	{ "clock-slack", 0, OPTION_DURATION, OPTION_AT(edit_opts, clock_slack_ns),
	  .fallback = NS_PER_SEC, .max = 3600 * NS_PER_SEC, .metavar = "TIME",
	  .help = "merge: the wall clocks of two hosts are at most this far apart" },
	{ "compute", 0, OPTION_TEXT, OPTION_AT(edit_opts, compute), .metavar = "MODEL",
	  .help = "assume: CPU time of each request: server-time (request to reply), a part of that "
		  "(0.3), or drawn (exp:100us)" },
	{ "seed", 0, OPTION_U64, OPTION_AT(edit_opts, seed), .fallback = 1, .metavar = "N",
	  .help = "assume: of what is drawn" },
	{ "force", 'f', OPTION_FLAG, OPTION_AT(edit_opts, force),
	  .help = "replace a trace of that name" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(edit_opts, json),
	  .help = "print the summary as JSON" },
};

static const struct options options = {
	.command = "edit",
	.synopsis = "ACTION X.gait... -o Y.gait",
	.about =
		"Makes a trace of others. The action 'merge' joins captures of several services and "
		"hosts: connections that one service opened and another one accepted, and on them "
		"each call with the request that it became, so that requests have parents. Clocks "
		"of different hosts are related by those calls, and all times are moved to the "
		"clock of the first trace's host. One trace may be given, to join the services in "
		"it. The action 'assume' gives the requests of a trace that has none, as one of packets, "
		"compute that somebody assumes, so that it can be replayed; the trace and its runs "
		"say so. Exits with 3 when the new trace is not to be trusted.",
	.examples = "  gait edit merge proxy.gait shop.gait db.gait -o all.gait\n"
		    "  gait show all.gait\n"
		    "  gait edit assume packets.gait -o shop.gait --compute 0.3\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
	.args_min = 2,
	.args_max = 1 + MERGE_INPUTS_MAX,
};

/* What is edited and how: the arguments behind the action's name. Returns an exit code. */
struct action {
	const char *name;
	int (*run)(const struct edit_opts *opts, char **inputs, size_t count);
};

static const char *const fit_notes[] = {
	[CLOCK_UNBOUNDED] = "",
	[CLOCK_CONSTANT] = "",
	[CLOCK_DRIFTS] = "",
	[CLOCK_INCONSISTENT] =
		"; the calls contradict each other, the bound is widened to hold them all",
};

static void print_clock_by_calls(const struct merge_clock *c)
{
	char offset[UNIT_TEXT_SIZE], bound[UNIT_TEXT_SIZE], calls[UNIT_TEXT_SIZE];
	bool wall = c->wall_ahead_ns != TRACE_NONE;
	int64_t ahead_ns = wall ? c->wall_ahead_ns : -c->line.offset_ns;

	unit_format_ns(offset, sizeof(offset), ahead_ns < 0 ? -ahead_ns : ahead_ns);
	unit_format_ns(bound, sizeof(bound), c->line.bound_ns);
	printf("clock of host %llu: %s %s host %llu's%s, within %s", (unsigned long long)c->host_id,
	       offset, ahead_ns < 0 ? "behind" : "ahead of", (unsigned long long)c->via,
	       wall ? "" : " (CLOCK_MONOTONIC)", bound);
	if (c->fit == CLOCK_DRIFTS || c->fit == CLOCK_INCONSISTENT)
		printf(", drifting by %.3f ppm", -c->line.drift * 1e6);
	printf("; by %s calls%s", unit_format_count(calls, sizeof(calls), c->calls),
	       fit_notes[c->fit]);
	if (c->against)
		printf(" (%s that contradict them left out)",
		       unit_format_count(calls, sizeof(calls), c->against));
	putchar('\n');
}

static void print_clock(const struct merge_clock *c)
{
	if (c->how == MERGE_CLOCK_CALLS)
		print_clock_by_calls(c);
	else
		printf("clock of host %llu: no calls relate it to the others; %s\n",
		       (unsigned long long)c->host_id,
		       c->how == MERGE_CLOCK_WALL ?
			       "placed by the hosts' wall clocks, by how much they are off is unknown" :
			       "its trace is taken to begin with the first one");
}

static void print_ledger(const struct ledger *ledger)
{
	char count[UNIT_TEXT_SIZE];

	for (size_t i = 0; i < LG_COUNT; i++)
		if (ledger->count[i] && ledger_infos[i].severity != LEDGER_SEEN)
			printf("%s: %s %s\n",
			       ledger_infos[i].severity == LEDGER_LOST ? "LOST" : "note",
			       unit_format_count(count, sizeof(count), ledger->count[i]),
			       ledger_infos[i].text);
}

static void print_merge(const struct edit_opts *opts, const struct merge_result *r, size_t count)
{
	char joined[UNIT_TEXT_SIZE], called[UNIT_TEXT_SIZE], all[UNIT_TEXT_SIZE];

	print_ledger(&r->manifest.ledger);
	for (size_t i = 0; i < r->clocks_count; i++)
		print_clock(&r->clocks[i]);
	printf("%zu %s of %u %s: both ends of %s of %s outgoing connections, %s calls joined; "
	       "'gait show %s' tells more\n",
	       count, count == 1 ? "trace" : "traces", r->manifest.hosts_count,
	       r->manifest.hosts_count == 1 ? "host" : "hosts",
	       unit_format_count(called, sizeof(called), r->connections_called),
	       unit_format_count(all, sizeof(all), r->connections),
	       unit_format_count(joined, sizeof(joined), r->manifest.ledger.count[LG_CALLS_JOINED]),
	       opts->output);
}

static const char *const how_names[] = {
	[MERGE_CLOCK_CALLS] = "calls",
	[MERGE_CLOCK_WALL] = "wall clock",
	[MERGE_CLOCK_NOTHING] = "nothing",
};

static const char *const fit_names[] = {
	[CLOCK_UNBOUNDED] = "unbounded",
	[CLOCK_CONSTANT] = "constant",
	[CLOCK_DRIFTS] = "drifts",
	[CLOCK_INCONSISTENT] = "inconsistent",
};

static void put_clock(struct json *json, const struct merge_clock *c)
{
	json_put_u64(json, "host_id", c->host_id);
	json_put_u64(json, "via_host_id", c->via);
	json_put_text(json, "by", how_names[c->how]);
	json_put_text(json, "fit", fit_names[c->fit]);
	json_put_int(json, "offset_ns", c->line.offset_ns);
	json_put_int(json, "drift_ppb", (int64_t)(c->line.drift * 1e9));
	json_put_int(json, "bound_ns", c->line.bound_ns);
	json_put_int(json, "wall_ahead_ns", c->wall_ahead_ns);
	json_put_u64(json, "calls", c->calls);
	json_put_u64(json, "contradicting_calls", c->against);
}

static int print_merge_json(const struct edit_opts *opts, const struct merge_result *r)
{
	struct json *json = json_new_object(), *clocks = json_new_array();
	struct err err;

	json_put_text(json, "trace", opts->output);
	json_put_u64(json, "outgoing_connections", r->connections);
	json_put_u64(json, "joined_connections", r->connections_called);
	for (size_t i = 0; i < r->clocks_count; i++) {
		struct json *clock = json_new_object();

		put_clock(clock, &r->clocks[i]);
		json_add(clocks, clock);
	}
	json_put(json, "clocks", clocks);
	for (size_t i = 0; i < LG_COUNT; i++)
		json_put_u64(json, ledger_infos[i].name, r->manifest.ledger.count[i]);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

/* Something was lost before, or the times of two hosts do not fit together. */
static bool is_doubtful(const struct merge_result *r)
{
	bool doubtful = ledger_has_loss(&r->manifest.ledger) ||
			r->manifest.ledger.count[LG_TRACES_CUT] ||
			r->manifest.ledger.count[LG_TABLE_EDITED];

	for (size_t i = 0; i < r->clocks_count; i++)
		doubtful |= r->clocks[i].fit == CLOCK_INCONSISTENT;
	return doubtful;
}

static int run_merge(const struct edit_opts *opts, char **inputs, size_t count)
{
	static struct merge_result result;
	const struct merge_opts merge = {
		.inputs = (const char *const *)inputs,
		.inputs_count = count,
		.output = opts->output,
		.replace = opts->force,
		.clock_slack_ns = (int64_t)opts->clock_slack_ns,
	};
	struct err err = { "" };
	int code = EXIT_FINE;

	if (merge_traces(&merge, &result, &err))
		return cmd_failed(&err);
	for (size_t i = 0; i < count; i++)
		if (result.cut[i])
			cmd_complain(
				"'%s' was cut short: it has no manifest; what is whole of it is merged",
				inputs[i]);
	if (opts->json)
		code = print_merge_json(opts, &result);
	else
		print_merge(opts, &result, count);
	return code == EXIT_FINE && is_doubtful(&result) ? EXIT_DOUBTFUL : code;
}

static void print_assumed(const struct edit_opts *opts, const struct assume_result *r)
{
	char compute[UNIT_TEXT_SIZE], count[UNIT_TEXT_SIZE];

	print_ledger(&r->manifest.ledger);
	if (r->without)
		printf("note: %s requests have no server time, and get no compute\n",
		       unit_format_count(count, sizeof(count), r->without));
	unit_format_ns(compute, sizeof(compute), (int64_t)r->compute_ns);
	printf("assumed %s: %s of CPU time for %s requests; 'gait show %s' tells more\n",
	       r->manifest.assumed, compute, unit_format_count(count, sizeof(count), r->requests),
	       opts->output);
}

static int print_assumed_json(const struct edit_opts *opts, const struct assume_result *r)
{
	struct json *json = json_new_object();
	struct err err;

	json_put_text(json, "trace", opts->output);
	json_put_text(json, "assumed", r->manifest.assumed);
	json_put_u64(json, "requests", r->requests);
	json_put_u64(json, "requests_without_compute", r->without);
	json_put_u64(json, "compute_ns", r->compute_ns);
	json_put_u64(json, "work_per_ms", r->manifest.work_per_ms);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

static int run_assume(const struct edit_opts *opts, char **inputs, size_t count)
{
	static struct assume_result result;
	struct assume_opts assume = {
		.input = inputs[0],
		.output = opts->output,
		.replace = opts->force,
		.text = opts->compute,
		.seed = opts->seed,
	};
	struct err err = { "" };
	int code = EXIT_FINE, rc;

	if (count > 1)
		rc = err_set(&err, EINVAL, "assume takes one trace, not %zu", count);
	else if (!opts->compute)
		rc = err_set(
			&err, EINVAL,
			"what is assumed? --compute server-time, a fraction of it, or times as "
			"exp:100us");
	else
		rc = assume_model_parse(&assume.model, opts->compute, &err);
	if (rc)
		return cmd_misused(&options, &err);
	if (assume_compute(&assume, &result, &err))
		code = cmd_failed(&err);
	else if (opts->json)
		code = print_assumed_json(opts, &result);
	else
		print_assumed(opts, &result);
	assume_model_release(&assume.model);
	return code == EXIT_FINE && (ledger_has_loss(&result.manifest.ledger) ||
				     result.manifest.ledger.count[LG_TABLE_EDITED]) ?
		       EXIT_DOUBTFUL :
		       code;
}

static const struct action actions[] = {
	{ "merge", run_merge },
	{ "assume", run_assume },
};

int cmd_edit(int argc, char **argv)
{
	struct option_args args;
	struct edit_opts opts;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &opts, &args);

	if (code >= 0)
		return code;
	if (!opts.output) {
		err_set(&err, EINVAL, "where does the trace go? Name it with -o Y.gait");
		return cmd_misused(&options, &err);
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (!strcmp(actions[i].name, args.values[0]))
			return actions[i].run(&opts, args.values + 1, (size_t)args.count - 1);
	}
	err_set(&err, EINVAL, "there is no action '%s'; there are: merge, assume", args.values[0]);
	return cmd_misused(&options, &err);
}
