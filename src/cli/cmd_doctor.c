/* SPDX-License-Identifier: Apache-2.0 */
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
	.about =
		"Tries every probe by loading it on this kernel and says what works, what is "
		"missing and what that costs. Exit status 1 when capture or replay cannot attribute.",
	.examples = "gait doctor\n"
		    "gait doctor --json | jq '.checks[] | select(.ok | not)'\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

static bool is_optional(const struct probe_check *check)
{
	return !strcmp(check->needed, "optional");
}

static int print_json(const struct probe_check *checks, int count)
{
	struct json *json = json_new_object(), *array = json_new_array();
	struct err err;

	for (int i = 0; i < count; i++) {
		struct json *row = json_new_object();

		json_put_text(row, "name", checks[i].name);
		json_put_text(row, "gives", checks[i].what);
		json_put_text(row, "needed", checks[i].needed);
		json_put_bool(row, "ok", !checks[i].result);
		json_put_text(row, "text", checks[i].text);
		json_add(array, row);
	}
	json_put(json, "checks", array);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

static int needed_missing(const struct probe_check *checks, int count)
{
	int missing = 0;

	for (int i = 0; i < count; i++)
		missing += checks[i].result && !is_optional(&checks[i]);
	return missing;
}

static int optional_missing(const struct probe_check *checks, int count)
{
	int missing = 0;

	for (int i = 0; i < count; i++)
		missing += checks[i].result && is_optional(&checks[i]);
	return missing;
}

/* The table, and what it means for what the user wants to do. */
static int print_table(const struct probe_check *checks, int count, int missing)
{
	printf("%-4s %-28s %-16s %s\n", "", "probe", "needed for", "gives");
	for (int i = 0; i < count; i++) {
		printf("%-4s %-28s %-16s %s\n", checks[i].result ? "NO" : "ok", checks[i].name,
		       checks[i].needed, checks[i].what);
		if (checks[i].result)
			printf("     -> %s\n",
			       checks[i].text[0] ? checks[i].text : strerror(-checks[i].result));
	}
	if (missing)
		printf("\n%d needed probes do not load: what needs them does not work here; a replay "
		       "goes on without a breakdown\n",
		       missing);
	else
		printf("\ncapture and replay work here, with attribution%s\n",
		       optional_missing(checks, count) ?
			       "; without the optional probes that are missing, their rows are "
			       "counted as the interrupted code's, and TLS is bytes" :
			       "");
	return EXIT_FINE;
}

int cmd_doctor(int argc, char **argv)
{
	static struct probe_check checks[PROBE_CHECKS_MAX];
	struct doctor_opts opts;
	struct option_args args;
	int count, missing, rc = cmd_parse(&options, argc, argv, &opts, &args);

	if (rc >= 0)
		return rc;
	count = probe_doctor(checks);
	missing = needed_missing(checks, count);
	if (opts.json)
		rc = print_json(checks, count);
	else
		rc = print_table(checks, count, missing);
	return rc == EXIT_FINE && missing ? EXIT_FAILED : rc;
}
