/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/paths.h"
#include "cli/cmd.h"
#include "probe/probe.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct doctor_opts {
	bool json;
};

static const struct option_spec specs[] = {
	{ "json", 'j', OPTION_FLAG, OPTION_AT(doctor_opts, json), .help = "for scripts" },
};

static const struct options options = {
	.command = "doctor",
	.synopsis = "",
	.about = "Tries every probe by loading it on this kernel and says what works, what is "
		 "missing and what that costs, and of each row of the breakdown by which way it "
		 "comes about here. Exit status 1 when capture or replay cannot attribute.",
	.examples = "gait doctor\n"
		    "gait doctor --json | jq '.checks[] | select(.ok | not)'\n"
		    "gait doctor --json | jq '.rows[] | select(.path != \"measured\")'\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

struct checks {
	struct probe_check at[PROBE_CHECKS_MAX];
	int count;
};

static bool is_optional(const struct probe_check *check)
{
	return !strcmp(check->needed, "optional");
}

/* The hook of that group which is here, from `from` on; NULL: none. */
static const struct probe_check *find_hook(const struct checks *checks, const char *group, int from)
{
	for (int i = from; i < checks->count; i++)
		if (checks->at[i].group && !strcmp(checks->at[i].group, group) &&
		    !checks->at[i].result)
			return &checks->at[i];
	return NULL;
}

static bool hook_loads(void *checks, const char *program)
{
	return find_hook(checks, program, 0);
}

/* Calls fn for each hook that a row has here. */
static void each_hook(const struct checks *checks, const struct path *path,
		      void (*fn)(void *arg, const struct probe_check *), void *arg)
{
	const struct probe_check *check;

	for (const char *const *program = path->programs; *program; program++)
		for (int from = 0; (check = find_hook(checks, *program, from));
		     from = check - checks->at + 1)
			fn(arg, check);
}

static void add_hook(void *array, const struct probe_check *check)
{
	json_add_text(array, check->name);
}

static struct json *row_to_json(const struct checks *checks, enum subsystem row)
{
	const struct path *path = &paths[row];
	enum path_kind kind = path_here(path, hook_loads, (void *)checks);
	struct json *json = json_new_object(), *hooks = json_new_array();

	json_put_text(json, "name", subsystems[row].name);
	json_put_text(json, "path", path_kind_names[kind]);
	if (kind == PATH_ABSENT)
		json_put_text(json, "time_is_in",
			      path->kind == PATH_ABSENT ? path->by : path->otherwise);
	else
		json_put_text(json, "by", path->by);
	each_hook(checks, path, add_hook, hooks);
	json_put(json, "hooks", hooks);
	json_put_text(json, "path_without_bpf", path_kind_names[paths_user[row].kind]);
	json_put_text(json,
		      paths_user[row].kind == PATH_ABSENT ? "time_without_bpf_is_in" :
							    "by_without_bpf",
		      paths_user[row].by);
	return json;
}

static int print_json(const struct checks *checks)
{
	struct json *json = json_new_object(), *array = json_new_array(), *rows = json_new_array();
	struct err err;

	for (int i = 0; i < checks->count; i++) {
		const struct probe_check *check = &checks->at[i];
		struct json *row = json_new_object();

		json_put_text(row, "name", check->name);
		if (check->hook)
			json_put_text(row, "hook", check->hook);
		json_put_text(row, "gives", check->what);
		json_put_text(row, "needed", check->needed);
		json_put_bool(row, "ok", !check->result);
		json_put_text(row, "text", check->text);
		json_add(array, row);
	}
	json_put(json, "checks", array);
	for (int i = 0; i < SUB_COUNT; i++)
		json_add(rows, row_to_json(checks, i));
	json_put(json, "rows", rows);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

static int needed_missing(const struct checks *checks)
{
	int missing = 0;

	for (int i = 0; i < checks->count; i++)
		missing += checks->at[i].result && !is_optional(&checks->at[i]);
	return missing;
}

static int optional_missing(const struct checks *checks)
{
	int missing = 0;

	for (int i = 0; i < checks->count; i++)
		missing += checks->at[i].result && is_optional(&checks->at[i]);
	return missing;
}

static void print_checks(const struct checks *checks)
{
	printf("%-4s %-31s %-11s %-16s %s\n", "", "probe", "hook", "needed for", "gives");
	for (int i = 0; i < checks->count; i++) {
		const struct probe_check *check = &checks->at[i];

		printf("%-4s %-31s %-11s %-16s %s\n", check->result ? "NO" : "ok", check->name,
		       check->hook ? check->hook : "", check->needed, check->what);
		if (check->result)
			printf("     -> %s\n",
			       check->text[0] ? check->text : strerror(-check->result));
	}
}

static void print_hook(void *separator, const struct probe_check *check)
{
	const char **before = separator;

	printf("%s%s", *before, check->name);
	*before = ", ";
}

/* What each row of a breakdown is worth here. */
static void print_rows(const struct checks *checks)
{
	printf("\n%-18s %-9s %s\n", "row", "path", "by");
	for (int i = 0; i < SUB_COUNT; i++) {
		const struct path *path = &paths[i];
		enum path_kind kind = path_here(path, hook_loads, (void *)checks);
		const char *separator = " (";

		printf("%-18s %-9s ", subsystems[i].name, path_kind_names[kind]);
		if (kind == PATH_ABSENT) {
			printf("its time is in: %s\n",
			       path->kind == PATH_ABSENT ? path->by : path->otherwise);
			continue;
		}
		printf("%s", path->by);
		each_hook(checks, path, print_hook, &separator);
		printf("%s\n", *separator == ',' ? ")" : "");
	}
}

/* And what it is worth in a run where the needed ones do not load. */
static void print_rows_of_user(void)
{
	printf("\n%-18s %-9s %s\n", "row without BPF", "path", "by user space, in runs");
	for (int i = 0; i < SUB_COUNT; i++)
		printf("%-18s %-9s %s%s\n", subsystems[i].name,
		       path_kind_names[paths_user[i].kind],
		       paths_user[i].kind == PATH_ABSENT ? "its time is in: " : "",
		       paths_user[i].by);
}

/* What it means for what the user wants to do. */
static void print_verdict(const struct checks *checks, int missing)
{
	if (missing)
		printf("\n%d needed probes do not load: what needs them does not work here; a replay "
		       "has the rows above that are by user space, and 'gait capture --with pcap' makes traces of "
		       "packets\n",
		       missing);
	else
		printf("\ncapture and replay work here, with attribution%s\n",
		       optional_missing(checks) ?
			       "; without the optional probes that are missing, their rows are "
			       "counted as the interrupted code's, and TLS is bytes" :
			       "");
}

int cmd_doctor(int argc, char **argv)
{
	static struct checks checks;
	struct doctor_opts opts;
	struct option_args args;
	int missing, rc = cmd_parse(&options, argc, argv, &opts, &args);

	if (rc >= 0)
		return rc;
	checks.count = probe_doctor(checks.at);
	missing = needed_missing(&checks);
	if (opts.json) {
		rc = print_json(&checks);
	} else {
		print_checks(&checks);
		print_rows(&checks);
		if (missing)
			print_rows_of_user();
		print_verdict(&checks, missing);
		rc = EXIT_FINE;
	}
	return rc == EXIT_FINE && missing ? EXIT_FAILED : rc;
}
