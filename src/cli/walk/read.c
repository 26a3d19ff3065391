/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/walk/options.h"

#include "base/clock.h"
#include "base/units.h"
#include "cli/agents.h"
#include "cli/keep.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX (16u << 20) /* that `-n auto` adds up */
#define NAME_MAX_BYTES 32     /* "--store-offset" */

/* Blames an option for what is wrong with its value. */
static int blame(int rc, const char *option, const struct err *why, struct err *err)
{
	return rc ? err_set(err, -rc, "%s: %s", option, why->text) : 0;
}

static int read_address(const char *option, const char *text, int port, struct address *to,
			struct err *err)
{
	const struct address_defaults defaults = { "localhost", port };
	struct err why;

	return blame(address_parse(text ? text : "", &defaults, to, &why), option, &why, err);
}

static int read_spec(const char *option, const char *text, enum spec_unit unit,
		     const struct spec_files *files, struct spec *to, struct err *err)
{
	struct err why;

	return text ? blame(spec_parse(to, text, unit, files, &why), option, &why, err) : 0;
}

static bool is_digits(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

/* ms without a unit */
static int read_retry_period(const char *text, uint64_t *to, struct err *err)
{
	uint64_t value = WALK_RETRY_PERIOD_MS;
	struct err why;
	int rc = 0;

	if (text && is_digits(text))
		rc = unit_parse_u64(text, 0, INT64_MAX / NS_PER_MS, &value, &why);
	*to = value * NS_PER_MS;
	if (text && !is_digits(text))
		rc = unit_parse_duration(text, to, &why);
	if (!rc && *to < WALK_RETRY_PERIOD_MS * NS_PER_MS)
		rc = err_set(&why, ERANGE, "'%s' is less than %d ms", text, WALK_RETRY_PERIOD_MS);
	return blame(rc, "--retry-period", &why, err);
}

/* One of the words behind the commas of FILE,sep=;,header=1. A separator may be a comma itself. */
static char *next_field(char **rest)
{
	char *field = *rest, *comma = field ? strchr(field, ',') : NULL;

	if (comma && !strncmp(field, "sep=", 4) && comma == field + 4)
		comma = strchr(comma + 1, ',');
	if (comma)
		*comma++ = '\0';
	*rest = comma;
	return field;
}

/* It must not look like a part of what it separates. */
static int read_sep(char *text, struct walk_output *to, struct err *err)
{
	size_t len = strlen(text);

	if (len == 3 && text[0] == text[2] && (*text == '\'' || *text == '"'))
		text++, len -= 2;
	if (!len)
		return err_set(err, EINVAL, "--output: Missing separator char behind sep=");
	if (len != 1 || isalnum((unsigned char)*text) || strchr("_.-'\"", *text) ||
	    (to->format == WALK_TXT && *text == ':'))
		return err_set(err, EINVAL, "--output: '%s' separates nothing in the %s format",
			       text, to->format == WALK_TXT ? "txt" : "csv");
	to->sep = *text;
	return 0;
}

static int read_header(const char *text, struct walk_output *to, struct err *err)
{
	bool yes = !strcmp(text, "true") || !strcmp(text, "1");

	if (to->format != WALK_CSV)
		return err_set(err, EINVAL, "--output: the header= option is of the csv format");
	if (!yes && strcmp(text, "false") && strcmp(text, "0"))
		return err_set(err, EINVAL,
			       "--output: Wrong value for header=, '%s': it is true or false",
			       text);
	to->header = yes;
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && !strcmp(text + len - end_len, end);
}

/* Cuts the path off what stands behind it, in place. */
static int read_output(char *text, struct walk_output *to, struct err *err)
{
	char *rest = text, *field = next_field(&rest);
	int rc = 0;

	if (!*field)
		return err_set(err, EINVAL, "--output: Missing file name");
	if (!strcmp(field, "-") && !rest)
		return 0;
	to->path = field;
	to->sep = ',';
	to->format = ends_with(field, ".txt") ? WALK_TXT : WALK_CSV;
	if (!ends_with(field, ".txt") && !ends_with(field, ".csv"))
		return err_set(
			err, EINVAL,
			"--output: Unknown output file extension of '%s': it is .csv or .txt",
			field);
	while (!rc && rest) {
		field = next_field(&rest);
		if (!strncmp(field, "sep=", 4))
			rc = read_sep(field + 4, to, err);
		else if (!strncmp(field, "header=", 7))
			rc = read_header(field + 7, to, err);
		else
			rc = err_set(err, EINVAL,
				     "--output: '%s' is neither sep= nor header=", field);
	}
	return rc;
}

/* FILE[,sep=C], cut in place */
static int read_rows(char *text, struct spec_files *to, struct err *err)
{
	char *rest = text;

	to->rows = next_field(&rest);
	if (!rest)
		return 0;
	if (!strcmp(rest, "sep=tab")) {
		to->rows_sep = '\t';
	} else if (!strncmp(rest, "sep=", 4) && rest[4] && !rest[5] && !is_digits(rest + 4)) {
		to->rows_sep = rest[4];
	} else {
		return err_set(err, EINVAL, "--rows: '%s' is not sep= and one character", rest);
	}
	return 0;
}

/* What the steps of a rate, or the values of a period, come to. */
static int count_requests(const struct walk_opts *opts, uint64_t *ret_requests, struct err *err)
{
	const struct spec *s = opts->by_period ? &opts->period : &opts->rate;
	uint64_t length = spec_length(s);
	double total = 0;

	if (!length)
		return err_set(
			err, EINVAL,
			"-n auto needs a rate with steps, or a period, that has an end: aseq, "
			"gseq, values, file or row");
	if (length > STEPS_MAX)
		return err_set(err, ERANGE, "-n auto: more than %u values", STEPS_MAX);
	for (uint64_t i = 0; i < length && !opts->by_period; i++)
		total += spec_draw_real(s, &(struct spec_key){ .request = i }) *
			 (double)opts->rate_step_ns / NS_PER_SEC;
	*ret_requests = opts->by_period ? length : (uint64_t)(total + 0.5);
	return *ret_requests ? 0 : err_set(err, EINVAL, "-n auto: the rate gives no request");
}

static int read_requests(const char *text, struct walk_opts *opts, struct err *err)
{
	struct spec s = spec_constant(1, SPEC_COUNT);
	int rc;

	if (text && !strcmp(text, "auto"))
		return count_requests(opts, &opts->requests, err);
	rc = read_spec("-n", text, SPEC_COUNT, NULL, &s, err);
	if (rc)
		return rc;
	opts->requests = spec_draw(&s, &(struct spec_key){ 0 });
	if (!spec_is_constant(&s) || !opts->requests || s.param[0] != (double)opts->requests)
		rc = err_set(err, EINVAL, "-n: '%s' is not a whole number above 0, nor auto", text);
	spec_release(&s);
	return rc;
}

static int read_pace(const struct walk_cmd_opts *given, const struct spec_files *files,
		     struct walk_opts *opts, struct err *err)
{
	int rc;

	opts->rate = spec_constant(WALK_RATE, SPEC_COUNT);
	opts->by_period = given->period;
	opts->rate_step_ns = given->rate_step_ns;
	if (given->wait_spin && given->no_spin)
		return err_set(err, EINVAL, "--wait-spin and --no-spin contradict each other");
	if (given->period && given->rate)
		return err_set(err, EINVAL, "--period and --rate both say when: give one of them");
	rc = read_spec("--period", given->period, SPEC_NS, files, &opts->period, err);
	if (!rc)
		rc = read_spec("--rate", given->rate, SPEC_COUNT, files, &opts->rate, err);
	if (rc)
		return rc;
	if (!opts->by_period && spec_is_constant(&opts->rate) && !(opts->rate.param[0] > 0))
		return err_set(err, EINVAL, "--rate: it must be above 0");
	if (opts->by_period && opts->rate_step_ns)
		return err_set(err, EINVAL, "--rate-step-secs is of a --rate, not of a --period");
	if (!spec_is_constant(&opts->rate) && !opts->rate_step_ns)
		return err_set(
			err, EINVAL,
			"--rate: '%s' changes; --rate-step-secs must say how long each value "
			"holds (a --period is drawn for every request)",
			given->rate);
	return 0;
}

/* The ops in their order, as words: "--comp-time", "10us". */
static int read_chain(const struct option_series *ops, const struct spec_files *files, bool lenient,
		      struct walk_opts *opts, struct err *err)
{
	struct chain_defaults defaults = chain_defaults();
	const char **words = calloc(2 * ops->count + 1, sizeof(*words));
	char(*names)[NAME_MAX_BYTES] = calloc(ops->count + 1, sizeof(*names));
	size_t count = 0;
	int rc;

	if (!words || !names) {
		rc = err_set(err, ENOMEM, "not enough memory");
		goto out;
	}
	for (size_t i = 0; i < ops->count; i++) {
		const struct option_spec *spec = ops->items[i].spec;

		if (spec->letter)
			snprintf(names[i], sizeof(names[i]), "-%c", spec->letter);
		else
			snprintf(names[i], sizeof(names[i]), "--%s", spec->name);
		words[count++] = names[i];
		if (ops->items[i].value)
			words[count++] = ops->items[i].value;
	}
	defaults.forward_bytes = opts->request_bytes;
	defaults.files = files;
	defaults.lenient = lenient;
	rc = chain_parse(&opts->chain, words, count, &defaults, err);
out:
	free(words);
	free(names);
	return rc;
}

/*
 * Beside datagrams, clients come in by TCP at a port of the same number. Scripts of DistWalk's name
 * one port for TLS too; gait's dw_node takes clients in at the next one, then.
 */
static int read_control(const struct walk_cmd_opts *given, const struct walk_program *program,
			struct walk_opts *opts, struct err *err)
{
	opts->has_control = given->control;
	if (given->control)
		return read_address("--control", given->control, CHAIN_PORT, &opts->control, err);
	opts->has_control = opts->to.transport == TRANSPORT_UDP ||
			    (program->is_distwalk && opts->to.transport == TRANSPORT_TLS);
	opts->control = opts->to;
	opts->control.transport = TRANSPORT_TCP;
	opts->control.port += opts->to.transport == TRANSPORT_TLS;
	return 0;
}

static int read_agents(const char *text, struct walk_opts *opts, struct err *err)
{
	struct agents agents;
	struct address *at;
	int rc = agents_parse(text, &agents, err);

	opts->agents = agents.count;
	if (rc || !agents.elsewhere)
		return rc;
	at = calloc(agents.count, sizeof(*at));
	if (!at)
		return err_errno(err, ENOMEM, "--agents");
	memcpy(at, agents.at, agents.count * sizeof(*at));
	opts->agents_at = at;
	return 0;
}

static int read_keep(const struct walk_cmd_opts *given, struct walk_opts *opts, struct err *err)
{
	int rc = given->keep ? keep_parse(given->keep, &opts->keep_share, err) : 0;

	opts->timeline = given->timeline;
	if (given->timeline && (!given->run || given->plan_only))
		return err_set(err, EINVAL,
			       "--timeline: what requests of a run went through; name it with -O "
			       "X.gait");
	opts->keeps = given->keep;
	opts->keep_slowest = (uint32_t)given->keep_slowest;
	if (rc || !given->keep)
		return rc;
	if (!given->run || given->plan_only)
		return err_set(err, EINVAL, "--keep: which rows a run has; name it with -O X.gait");
	return keep_check_agents(opts->agents_at, opts->keep_slowest, err);
}

static int read_texts(const struct walk_cmd_opts *given, const struct walk_program *program,
		      struct walk_opts *opts, struct err *err)
{
	struct spec_files files = { 0 };
	int rc = read_address("--to", given->to, CHAIN_PORT, &opts->to, err);

	if (!rc)
		rc = read_control(given, program, opts, err);
	opts->bound = given->bind;
	if (!rc && given->bind)
		rc = read_address("--bind-addr", given->bind, 0, &opts->bind, err);
	if (!rc && given->rows)
		rc = read_rows((char *)given->rows, &files, err);
	if (!rc && given->output)
		rc = read_output((char *)given->output, &opts->output, err);
	if (!rc)
		rc = read_retry_period(given->retry_period, &opts->retry_period_ns, err);
	if (!rc)
		rc = read_pace(given, &files, opts, err);
	if (!rc)
		rc = read_requests(given->requests, opts, err);
	if (!rc)
		rc = read_spec("--ps", given->request_bytes, SPEC_BYTES, &files,
			       &opts->request_bytes, err);
	if (!rc)
		rc = secure_check(&given->secure, err);
	if (!rc)
		rc = read_agents(given->agents, opts, err);
	if (!rc)
		rc = read_keep(given, opts, err);
	if (!rc && given->plan_only && !given->run)
		rc = err_set(err, EINVAL, "--plan-only: name the trace with -O X.gait");
	return rc ? rc : read_chain(&given->ops, &files, program->is_distwalk, opts, err);
}

int walk_options_read(const struct walk_cmd_opts *given, const struct walk_program *program,
		      struct walk_opts *opts, struct err *err)
{
	*opts = (struct walk_opts){
		.request_bytes = spec_constant(WALK_REQUEST_BYTES, SPEC_BYTES),
		.threads = (uint32_t)given->threads,
		.sessions = given->sessions,
		.wait_spin = given->wait_spin,
		.no_spin = given->no_spin,
		.timeout_ns =
			(int64_t)(given->timeout_ns ? given->timeout_ns : program->timeout_ns),
		.has_output = given->output || program->is_distwalk,
		.stagger = given->stagger,
		.seed = given->seed,
		.retries = (uint32_t)given->retries,
		.conn_times = given->conn_times,
		.non_block = given->non_block,
		.no_delay = given->no_delay,
		.per_session_output = given->per_session || given->interactive,
		.output = { .sep = ',', .nano = given->nano },
		.run = given->run,
		.replace_run = given->force,
		.attribution = !given->no_attribution,
		.tls = given->tls,
		.secure = given->secure,
	};
	return read_texts(given, program, opts, err);
}

void walk_options_release(struct walk_opts *opts)
{
	for (size_t i = 0; i < opts->classes_count; i++)
		spec_release(&opts->classes[i].request_bytes);
	free(opts->classes);
	free(opts->agents_at);
	chain_release(&opts->chain);
	spec_release(&opts->request_bytes);
	spec_release(&opts->period);
	spec_release(&opts->rate);
}
