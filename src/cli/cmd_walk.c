/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/datagram.h"
#include "replay/walk/walk.h"

#include "base/clock.h"
#include "cli/cmd.h"
#include "cli/scenario/scenario.h"
#include "cli/script.h"
#include "cli/walk/clients.h"
#include "cli/walk/options.h"
#include "cli/walk/summary.h"
#include "replay/remote.h"
#include "replay/walk/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUMMARY_BYTES (128 * WALK_THREADS_MAX) /* with a line of each thread */

static int print_description(const struct walk_opts *opts)
{
	struct err err;
	struct buf out;
	int rc;

	buf_init(&out, 8 * CHAIN_TEXT_MAX);
	rc = walk_options_describe(opts, &out, &err);
	if (!rc)
		cmd_put(buf_text(&out));
	buf_release(&out);
	return rc ? cmd_failed(&err) : EXIT_FINE;
}

/* Late sending is a flaw of the figures; a script of DistWalk's expects no failure of that. */
static int judge(const struct walk_program *program, const struct walk_result *r)
{
	if (r->unattributed[0])
		cmd_complain("the client's stamps are those of its sockets: %s", r->unattributed);
	if (r->failure[0])
		cmd_complain("%s", r->failure);
	if (r->failure[0] || r->outcomes[WALK_ERROR] || r->outcomes[WALK_TIMEOUT] ||
	    r->outcomes[WALK_UNSENT])
		return EXIT_FAILED;
	if (!r->invalid)
		return EXIT_FINE;
	cmd_complain("INVALID: late sending is more than 10%% of the time of the p99");
	return program->is_distwalk ? EXIT_FINE : EXIT_DOUBTFUL;
}

/* Standard output is for lines of requests, and for JSON. */
static int report(const struct walk_program *program, const struct walk_opts *opts, bool json,
		  const struct walk_result *r)
{
	struct err err;
	struct buf out;

	buf_init(&out, SUMMARY_BYTES);
	if (program->is_distwalk)
		walk_summary_put_threads(opts, r, &out);
	cmd_put(buf_text(&out));
	buf_reset(&out);
	walk_summary_put(opts, r, &out);
	if (!json)
		fputs(buf_text(&out), stderr);
	buf_release(&out);
	if (json && cmd_print_json(walk_summary_json(r), &err))
		return cmd_failed(&err);
	return judge(program, r);
}

static void print_progress(void *arg, const struct walk_progress *p)
{
	const bool *terminal = arg;

	fprintf(stderr,
		"%s%lld s  sent %" PRIu64 " of %" PRIu64 "  answered %" PRIu64 "  failed %" PRIu64
		"%s",
		*terminal ? "\r" : "", (long long)(p->elapsed_ns / NS_PER_SEC), p->sent,
		p->requests, p->answered, p->failed, *terminal ? "\033[K" : "\n");
}

/* A forward that names the host of one of them goes to it, at the port that it got. */
static void use_remotes(struct walk_opts *opts, const struct remotes *remotes)
{
	opts->to = *remotes_at(remotes, 0);
	opts->secure.key = remotes_key(remotes);
	for (size_t i = 0; i < opts->chain.peers_count; i++)
		for (size_t r = 0; r < remotes_count(remotes); r++)
			if (!strcmp(opts->chain.peers[i].host, remotes_at(remotes, r)->host))
				opts->chain.peers[i] = *remotes_at(remotes, r);
}

static int start_remotes(const struct walk_cmd_opts *given, struct walk_opts *opts,
			 struct remotes **ret_remotes, struct err *err)
{
	const struct remote_opts remote = { given->ssh, NULL, ATTRIBUTION_AUTO };
	int rc;

	if (!given->ssh)
		return 0;
	if (given->to || given->control || secure_wanted(&given->secure))
		return err_set(err, EINVAL,
			       "--ssh starts the nodes and makes their key: leave out --to, "
			       "--control, --key and certificates");
	rc = remotes_start(&remote, ret_remotes, err);
	if (!rc)
		use_remotes(opts, *ret_remotes);
	return rc;
}

/* On a terminal where lines of requests are printed it would spoil them. */
static int run(const struct walk_program *program, const struct walk_cmd_opts *given,
	       struct walk_opts *opts)
{
	struct remotes *remotes = NULL;
	struct walk_result result;
	bool lines = opts->has_output && !opts->output.path;
	bool terminal = isatty(STDERR_FILENO);
	struct err err;
	int rc;

	if (!opts->has_control && opts->to.transport != TRANSPORT_TCP &&
	    opts->to.transport != TRANSPORT_UNIX) {
		err_set(&err, EINVAL,
			"--to: a node is told what to do on tcp or unix: "
			"--control ADDRESS says where");
		return cmd_failed(&err);
	}
	if (!opts->progress && (given->progress || (terminal && !lines && !program->is_distwalk)))
		opts->progress = print_progress;
	opts->progress_arg = &terminal;
	rc = start_remotes(given, opts, &remotes, &err);
	if (!rc)
		rc = walk_run(opts, &result, &err);
	remotes_free(remotes);
	if (opts->progress && terminal)
		fputs("\r\033[K", stderr);
	if (rc)
		return cmd_failed(&err);
	rc = report(program, opts, given->json, &result);
	walk_result_release(&result);
	return rc;
}

/* What would be sent, as a trace. */
static int write_plan(const struct walk_opts *opts)
{
	struct ledger ledger;
	struct err err;

	if (walk_trace_write(opts, &ledger, &err))
		return cmd_failed(&err);
	fprintf(stderr, "planned %" PRIu64 " requests, %" PRIu64 " operations: '%s'\n",
		ledger.count[LG_REQUESTS], ledger.count[LG_OPS], opts->run);
	return EXIT_FINE;
}

/* --- one walk, or those of a scenario ------------------------------------------------------- */

/* A client of a scenario, or what the command line alone says. */
struct walker {
	const char *name;   /* empty: there is only this one */
	const char **words; /* lent ones */
	struct walk_cmd_opts given;
	struct walk_opts opts;
	char *output, *run; /* paths with its name */
	bool read;
};

struct walkers {
	const struct walk_program *program;
	struct walker *items;
	size_t count;
};

/* What the scenario says comes first, so that options beside it win. */
static int put_in_front(const struct words *words, int argc, char **argv, const char *path,
			struct walker *w)
{
	const char **at = calloc((size_t)argc + words->count + 1, sizeof(*at));

	w->words = at;
	if (!at)
		return -ENOMEM;
	*at++ = argv[0];
	for (size_t i = 0; i < words->count; i++)
		*at++ = words->items[i];
	for (int i = 1; i < argc; i++)
		if (argv[i] != path)
			*at++ = argv[i];
	return (int)(at - w->words);
}

/* "dir/x.csv" of the client "web" is "dir/x.web.csv". */
static char *name_path(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	int stem = (int)(dot && dot > (slash ? slash : path) ? dot - path : (long)strlen(path));
	char *named;

	return asprintf(&named, "%.*s.%s%s", stem, path, name, path + stem) < 0 ? NULL : named;
}

static int name_files(struct walker *w, struct err *err)
{
	struct walk_opts *o = &w->opts;

	if (!*w->name)
		return 0;
	if (w->given.ssh)
		return err_set(err, EINVAL,
			       "--ssh starts nodes for one client, and the scenario has several");
	if (o->has_output && !o->output.path)
		return err_set(err, EINVAL,
			       "--output: several clients need a file each: give FILE.csv or "
			       "FILE.txt");
	if (o->output.path)
		o->output.path = w->output = name_path(o->output.path, w->name);
	if (o->run)
		o->run = w->run = name_path(o->run, w->name);
	return (w->given.output && !w->output) || (w->given.run && !w->run) ?
		       err_set(err, ENOMEM, "not enough memory") :
		       0;
}

/* Negative: go on; else the exit status. */
static int read_walker(const struct walk_program *program, struct walker *w,
		       struct scenario_client *client)
{
	struct walk_opts *o = &w->opts;
	struct err err;
	int rc = walk_options_read(&w->given, program, o, &err);

	w->read = true;
	if (client) {
		o->classes = client->classes;
		o->classes_count = client->classes_count;
		client->classes = NULL;
		client->classes_count = 0;
	}
	if (!rc)
		rc = walk_check_datagrams(o, &err);
	if (!rc)
		rc = name_files(w, &err);
	return rc ? cmd_misused(program->options, &err) : -1;
}

static int do_one(const struct walk_program *program, struct walker *w)
{
	return w->given.dry_run	  ? print_description(&w->opts) :
	       w->given.plan_only ? write_plan(&w->opts) :
				    run(program, &w->given, &w->opts);
}

static const char *walker_name(void *arg, size_t index)
{
	const struct walkers *all = arg;

	return all->items[index].name;
}

static int run_client(void *arg, size_t index)
{
	const struct walkers *all = arg;
	struct walker *w = &all->items[index];

	walk_clients_join(&w->opts);
	return run(all->program, &w->given, &w->opts);
}

static int do_all(struct walkers *all)
{
	const struct walk_cmd_opts *given = &all->items[0].given;
	bool terminal = isatty(STDERR_FILENO);
	struct walk_clients clients = {
		.count = all->count,
		.name = walker_name,
		.run = run_client,
		.arg = all,
		.json = given->json,
		.interrupted = cmd_count_signals(),
		.progress = given->progress || terminal ? print_progress : NULL,
		.progress_arg = &terminal,
	};
	int code = EXIT_FINE;

	for (size_t i = 0; i < all->count; i++)
		all->items[i].opts.interrupted = clients.interrupted;
	if (all->count == 1)
		return do_one(all->program, &all->items[0]);
	if (given->dry_run || given->plan_only) {
		for (size_t i = 0; i < all->count && !code; i++) {
			if (given->dry_run)
				printf("# %s\n", all->items[i].name);
			code = do_one(all->program, &all->items[i]);
		}
		return code;
	}
	return walk_clients_run(&clients);
}

static void release_walkers(struct walkers *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct walker *w = &all->items[i];

		if (w->read)
			walk_options_release(&w->opts);
		free(w->words);
		free(w->output);
		free(w->run);
	}
	free(all->items);
}

/* Negative: go on; else the exit status. */
static int parse_walker(const struct walkers *all, int argc, char **argv, const char *path,
			struct scenario_client *client, struct walker *w)
{
	static const struct words none;
	struct option_args args;
	int count, code;

	w->name = client ? client->name : "";
	count = put_in_front(client ? &client->words : &none, argc, argv, path, w);
	if (count < 0)
		return EXIT_FAILED;
	code = cmd_parse(all->program->options, count, (char **)w->words, &w->given, &args);
	return code < 0 ? read_walker(all->program, w, client) : code;
}

static int walk_scenario(const struct walk_program *program, int argc, char **argv,
			 const char *path, struct scenario *scenario)
{
	struct walkers all = { program, NULL, path ? scenario->count : 1 };
	int code = -1;

	all.items = calloc(all.count, sizeof(*all.items));
	if (!all.items)
		return EXIT_FAILED;
	for (size_t i = 0; i < all.count && code < 0; i++)
		code = parse_walker(&all, argc, argv, path, path ? &scenario->clients[i] : NULL,
				    &all.items[i]);
	if (code < 0)
		code = do_all(&all);
	release_walkers(&all);
	return code;
}

/* The argument, if there is one; whatever is wrong with options is said later. */
static const char *find_scenario(const struct walk_program *program, int argc, char **argv)
{
	static struct walk_cmd_opts given;
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	struct option_args args = { 0 };
	const char *path = NULL;
	struct err err;

	for (int i = 0; copy && i < argc; i++)
		copy[i] = argv[i];
	if (copy && !options_parse(program->options, argc, copy, &given, &args, &err) && args.count)
		path = args.values[0];
	free(copy);
	return path;
}

static int walk_with_scripts(const struct walk_program *program, int argc, char **argv)
{
	struct scenario scenario = { 0 };
	struct script script;
	const char *path;
	struct err err;
	int code;

	if (script_expand(program->options, "script-filename", 'f', argc, argv, &script, &err))
		return cmd_misused(program->options, &err);
	path = find_scenario(program, script.argc, script.argv);
	if (path && scenario_load(path, &scenario, &err))
		code = cmd_misused(program->options, &err);
	else
		code = walk_scenario(program, script.argc, script.argv, path, &scenario);
	scenario_release(&scenario);
	script_release(&script);
	return code;
}

int cmd_walk(int argc, char **argv)
{
	return walk_with_scripts(&walk_program, argc, argv);
}

int cmd_dw_client(int argc, char **argv)
{
	dw_usage_is_help(argc, argv);
	return walk_with_scripts(&dw_client_program, argc, argv);
}
