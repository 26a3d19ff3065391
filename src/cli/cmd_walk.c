/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/datagram.h"
#include "replay/walk/walk.h"

#include "base/clock.h"
#include "cli/cmd.h"
#include "cli/scenario.h"
#include "cli/script.h"
#include "cli/walk_summary.h"
#include "replay/remote.h"
#include "replay/walk/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUMMARY_BYTES (128 * WALK_THREADS_MAX) /* with a line of each thread */
#define STEPS_MAX (16u << 20)		       /* that `-n auto` adds up */
#define NAME_MAX_BYTES 32		       /* "--store-offset" */

struct walk_cmd_opts {
	const char *to, *ssh, *control, *bind, *requests, *period, *rate, *request_bytes,
		*reply_bytes, *rows;
	const char *retry_period, *script, *output, *run;
	struct option_series ops;
	struct walk_tls tls;
	struct secure_opts secure;
	uint64_t rate_step_ns, threads, sessions, agents, seed, retries, timeout_ns;
	uint32_t no_delay;
	bool wait_spin, no_spin, stagger, per_session, interactive, conn_times, non_block, nano,
		dry_run, force, plan_only, progress, json;
};

/* What differs between gait walk and dw_client. */
struct walk_program {
	const struct options *options;
	uint64_t timeout_ns; /* of who gives none */
	bool is_distwalk;    /* chains need not be whole, and what it prints is DistWalk's */
};

static volatile sig_atomic_t signals; /* how many came */

static const char *const zero_or_one[] = { "0", "1", NULL };

#define AT(member) OPTION_AT(walk_cmd_opts, member)
#define OP(name, letter, metavar, help)                                                         \
	{                                                                                       \
		name, letter, OPTION_SERIES, AT(ops), 0, 0, 0, metavar, help, NULL, NULL, false \
	}
#define OP_PERHAPS(name, letter, metavar, help)                                                \
	{                                                                                      \
		name, letter, OPTION_SERIES, AT(ops), 0, 0, 0, metavar, help, NULL, NULL, true \
	}

static const struct option_spec specs[] = {
	{ "to", '\0', OPTION_TEXT, AT(to), .metavar = "ADDRESS",
	  .help = "the node, [tcp|tls|udp:[//]][HOST][:PORT] or unix:PATH (localhost:7891)" },
	{ "ssh", '\0', OPTION_TEXT, AT(ssh), .metavar = "HOST[,...]",
	  .help = "start nodes on these machines, [USER@]HOST, by ssh, for the time of the walk; "
		  "the first one is --to" },
	{ "control", '\0', OPTION_TEXT, AT(control), .metavar = "ADDRESS",
	  .help = "where the node is told what to do, tcp or unix, if that is not where it takes "
		  "requests" },
	{ "bind-addr", 'b', OPTION_TEXT, AT(bind), .metavar = "HOST[:PORT]",
	  .help = "our own end of the connections" },
	{ "num-pkts", 'n', OPTION_TEXT, AT(requests), .metavar = "N",
	  .help = "requests of each thread, over all its sessions (1); auto: as many as the steps "
		  "of the rate, or the values of the period, are" },
	{ "num-threads", '\0', OPTION_U64, AT(threads), .fallback = 1, .min = 1,
	  .max = WALK_THREADS_MAX, .metavar = "N", .help = "threads, a connection each",
	  .alias = "nt" },
	{ "num-sessions", '\0', OPTION_U64, AT(sessions), .fallback = 1, .min = 1,
	  .max = WALK_SESSIONS_MAX, .metavar = "N",
	  .help = "of each thread: a new connection for each", .alias = "ns" },
	{ "agents", '\0', OPTION_U64, AT(agents), .min = 1, .max = WALK_AGENTS_MAX, .metavar = "N",
	  .help = "send from so many processes, each with its share of the threads" },
	{ "rate", 'r', OPTION_TEXT, AT(rate), .metavar = "SPEC",
	  .help = "requests a second of each thread (1000); a changing one needs "
		  "--rate-step-secs" },
	{ "rate-step-secs", '\0', OPTION_DURATION, AT(rate_step_ns), .min = 1, .metavar = "TIME",
	  .help = "how long each value of the rate holds", .alias = "rss" },
	{ "period", 'p', OPTION_TEXT, AT(period), .metavar = "SPEC",
	  .help = "time from one request to the next, instead of a rate" },
	{ "wait-spin", '\0', OPTION_FLAG, AT(wait_spin),
	  .help = "do not sleep until the next request is due, but turn a loop", .alias = "ws" },
	{ "no-spin", '\0', OPTION_FLAG, AT(no_spin),
	  .help = "sleep all the time until then, and be some 50 us late" },
	{ "timeout", '\0', OPTION_DURATION, AT(timeout_ns), .min = NS_PER_MS, .metavar = "TIME",
	  .help = "how long after it was due a reply may come (10 s)" },
	{ "stag-send", '\0', OPTION_FLAG, AT(stagger),
	  .help = "spread the first requests of the threads over one period" },
	{ "ps", '\0', OPTION_TEXT, AT(request_bytes), .metavar = "SPEC",
	  .help = "bytes of a request, also of what a -F sends (1024)" },
	OP("comp-time", 'C', "TIME", "compute for so long"),
	OP("load-data", 'L', "BYTES|FIELDS", "read; [offset=SPEC,]size=SPEC[,dev=N]"),
	OP("load-offset", '\0', "SPEC", "where the -L behind it read that do not say"),
	OP("store-data", 'S', "BYTES|FIELDS",
	   "write; [offset=SPEC,][sync|nosync,]size=SPEC[,dev=N]; sync unless it says nosync"),
	OP("store-offset", '\0', "SPEC", "where the -S behind it write that do not say"),
	OP_PERHAPS("sync-data", '\0', "[FIELDS]", "fsync; [dev=N][,data], with data an fdatasync"),
	OP("sleep", '\0', "TIME", "a timer that the described service sets"),
	OP("lock", '\0', "TIME[,id=N]", "compute for so long while holding a lock"),
	OP("memory", '\0', "BYTES", "take memory, write to each page, give it back"),
	OP("kernel", '\0', "FIELDS", "system calls; open|stat|close[,count=N][,dev=N]"),
	OP("skip", 's', "N[,FIELDS]", "pass over the next N of these; [,prob=P][,every=M]"),
	OP("forward", 'F', "ADDRESS[,FIELDS]",
	   "call other nodes with what follows, up to its own -R; "
	   "fields: more addresses, timeout=TIME, retry=N, nack=N, size=SPEC, branch"),
	OP_PERHAPS("rs", 'R', "[BYTES|FIELDS]",
		   "reply (512), the end of the chain; [sendfile,][dev=N,][offset=SPEC,]BYTES"),
	{ "rows", '\0', OPTION_TEXT, AT(rows), .metavar = "FILE[,sep=C]",
	  .help = "the file of every row:COLUMN spec: all of a request come from the same line" },
	{ "script-filename", 'f', OPTION_TEXT, AT(script), .metavar = "FILE",
	  .help = "take options from a file, as if they stood here" },
	{ "seed", '\0', OPTION_U64, AT(seed), .fallback = 1, .metavar = "N",
	  .help = "of everything that is drawn" },
	{ "retry-num", '\0', OPTION_U64, AT(retries), .max = UINT32_MAX, .metavar = "N",
	  .help = "try so often again to connect (0)" },
	{ "retry-period", '\0', OPTION_TEXT, AT(retry_period), .metavar = "TIME",
	  .help = "wait so long before that; ms without a unit, at least 200 (200)" },
	{ "conn-times", '\0', OPTION_FLAG, AT(conn_times), .help = "tell how long connects took" },
	{ "non-block", '\0', OPTION_FLAG, AT(non_block), .help = "connect without blocking" },
	{ "no-delay", '\0', OPTION_CHOICE, AT(no_delay), .fallback = 1, .metavar = "0|1",
	  .help = "TCP_NODELAY", .choices = zero_or_one, .alias = "nd" },
	{ "output", 'o', OPTION_TEXT, AT(output), .metavar = "FILE[,FIELDS]",
	  .help = "the table of requests, FILE.csv or FILE.txt; [,sep=C][,header=true|false]; "
		  "-: lines on standard output",
	  .alias = "output-file" },
	{ "run", 'O', OPTION_TEXT, AT(run), .metavar = "RUN.gait",
	  .help = "write a run, for gait report and gait replay" },
	{ "force", '\0', OPTION_FLAG, AT(force), .help = "replace a run of that name" },
	{ "plan-only", '\0', OPTION_FLAG, AT(plan_only),
	  .help = "write -O as a trace of what would be sent, and send nothing" },
	{ "nano", '\0', OPTION_FLAG, AT(nano), .help = "times of the table in ns, not us" },
	{ "per-session-output", '\0', OPTION_FLAG, AT(per_session),
	  .help = "the table of a session when it ends, not all at the end", .alias = "pso" },
	{ "interactive-pso", 'i', OPTION_FLAG, AT(interactive), .help = "the same, shown at once" },
	{ "json", 'j', OPTION_FLAG, AT(json), .help = "the summary for scripts" },
	{ "progress", '\0', OPTION_FLAG, AT(progress),
	  .help = "a line a second on stderr, also when that is no terminal" },
	{ "key", 'k', OPTION_TEXT, AT(secure.key), .metavar = "FILE",
	  .help = "the key that the node has too (gait keys new makes one)" },
	{ "tls-cert", '\0', OPTION_TEXT, AT(secure.cert), .metavar = "FILE",
	  .help = "this client's certificate and its chain (PEM)" },
	{ "tls-key", '\0', OPTION_TEXT, AT(secure.cert_key), .metavar = "FILE",
	  .help = "its private key (PEM)" },
	{ "tls-ca", '\0', OPTION_TEXT, AT(secure.ca), .metavar = "FILE",
	  .help = "who signed the node's certificate, which has to be for its host (PEM)" },
	{ "ssl-cert", '\0', OPTION_TEXT, AT(tls.cert), .metavar = "FILE",
	  .help = "our certificate" },
	{ "ssl-key", '\0', OPTION_TEXT, AT(tls.key), .metavar = "FILE", .help = "its key" },
	{ "ssl-ca", '\0', OPTION_TEXT, AT(tls.ca), .metavar = "FILE",
	  .help = "who may have signed the node's certificate" },
	{ "ssl-ca-path", '\0', OPTION_TEXT, AT(tls.ca_path), .metavar = "DIR",
	  .help = "the same, a directory" },
	{ "ssl-ciphers", '\0', OPTION_TEXT, AT(tls.ciphers), .metavar = "LIST",
	  .help = "ciphers to offer" },
	{ "ssl-verify", '\0', OPTION_FLAG, AT(tls.verify),
	  .help = "check the node's certificate and its name" },
	{ "dry-run", '\0', OPTION_FLAG, AT(dry_run),
	  .help = "show what would be sent, in full, and send nothing" },
};

#define SPECS .specs = specs, .specs_count = sizeof(specs) / sizeof(specs[0])

static const struct options options = {
	.command = "walk",
	.synopsis = "[SCENARIO.yaml]",
	.about =
		"Sends requests to a node; what each asks for is the chain of -C, -L, -S, "
		"--sync-data, --sleep, --lock, --memory, --kernel, -F, -s and -R, in their order. A "
		"SPEC, and so every TIME (us without a unit) and BYTES of these, is a value or "
		"unif:min=A:max=B, exp:AVG, norm:AVG:std=S, lognorm:AVG:std=S, gamma:AVG:std=S, "
		"aseq:min=A:max=B:step=S, gseq:min=A:max=B:step=F, file:PATH:col=N, row:COLUMN; "
		"gait-walk(1) tells all. A scenario describes services, classes of requests and "
		"phases of load in a file; options beside it win.",
	.examples = "gait walk --to 10.0.0.7 -n 1000 -r 500 -C exp:100us -R 4k\n"
		    "gait walk -n 10 -S 4k,sync -F :7892,:7893,nack=1 -C 2ms -R -R 64\n"
		    "gait walk -n auto -r aseq:min=100:max=1000:step=100 --rss 5 -C 50us\n",
	SPECS,
	.args_max = 1,
};

static const struct options dw_options = {
	.command = "dw_client",
	.is_program = true,
	.synopsis = "",
	.about = "gait walk with the command line and the output of DistWalk's dw_client: without "
		 "-o a line of each request on standard output, then one of each thread; chains "
		 "whose -R are missing get them; replies may take 2 min. The node is a gait node "
		 "or a dw_node of gait's. gait-walk(1) tells more.",
	.examples = "dw_client -n 10 -r 1000 -C 100us\n"
		    "dw_client --to :7892 --nt 4 -n 5000 -r 250 -S 4k --rs=64 -o out.csv\n",
	SPECS,
};

static const struct walk_program walk_program = { &options, WALK_TIMEOUT_NS, false };
static const struct walk_program dw_program = { &dw_options, 12 * WALK_TIMEOUT_NS, true };

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
	if (!rc && given->plan_only && !given->run)
		rc = err_set(err, EINVAL, "--plan-only: name the trace with -O X.gait");
	return rc ? rc : read_chain(&given->ops, &files, program->is_distwalk, opts, err);
}

/* given's texts are our own copies (script_expand() made them), so they may be cut. */
static int read_options(const struct walk_cmd_opts *given, const struct walk_program *program,
			struct walk_opts *opts, struct err *err)
{
	*opts = (struct walk_opts){
		.request_bytes = spec_constant(WALK_REQUEST_BYTES, SPEC_BYTES),
		.threads = (uint32_t)given->threads,
		.sessions = given->sessions,
		.agents = (uint32_t)given->agents,
		.wait_spin = given->wait_spin,
		.no_spin = given->no_spin,
		.timeout_ns =
			(int64_t)(given->timeout_ns ? given->timeout_ns : program->timeout_ns),
		.has_output = given->output || program->is_distwalk,
		.interrupted = &signals,
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
		.tls = given->tls,
		.secure = given->secure,
	};
	return read_texts(given, program, opts, err);
}

static void release_options(struct walk_opts *opts)
{
	for (size_t i = 0; i < opts->classes_count; i++)
		spec_release(&opts->classes[i].request_bytes);
	free(opts->classes);
	chain_release(&opts->chain);
	spec_release(&opts->request_bytes);
	spec_release(&opts->period);
	spec_release(&opts->rate);
}

static void put_address(struct buf *out, const char *name, const struct address *a)
{
	char text[ADDRESS_TEXT_SIZE];

	buf_printf(out, "%s %s\n", name, address_format(a, text));
}

static int put_spec(struct buf *out, const char *name, const struct spec *s, struct err *err)
{
	int rc;

	buf_printf(out, "%s ", name);
	rc = spec_format(s, out, err);
	buf_putc(out, '\n');
	return rc;
}

/* Options and values take turns; a script wants a value on the line of its option. */
static int put_chain(const struct chain *c, struct buf *out, struct err *err)
{
	size_t start = out->len;
	bool value = false;
	int rc = chain_format(c, out, err);

	for (size_t i = start; i < out->len && !rc; i++) {
		if (out->data[i] != '\n')
			continue;
		value = !value;
		out->data[i] = value ? ' ' : '\n';
	}
	return rc;
}

/* A script that does the same. */
static int describe(const struct walk_opts *opts, struct buf *out, struct err *err)
{
	int rc;

	put_address(out, "--to", &opts->to);
	if (opts->bound)
		put_address(out, "--bind-addr", &opts->bind);
	if (opts->has_control)
		put_address(out, "--control", &opts->control);
	buf_printf(out,
		   "--num-pkts %" PRIu64 "\n--num-threads %u\n--num-sessions %" PRIu64
		   "\n--seed %" PRIu64 "\n",
		   opts->requests, opts->threads, opts->sessions, opts->seed);
	rc = opts->by_period ? put_spec(out, "--period", &opts->period, err) :
			       put_spec(out, "--rate", &opts->rate, err);
	if (opts->rate_step_ns)
		buf_printf(out, "--rate-step-secs %" PRIu64 "ns\n", opts->rate_step_ns);
	if (!rc)
		rc = put_spec(out, "--ps", &opts->request_bytes, err);
	return rc ? rc : put_chain(&opts->chain, out, err);
}

static int print_description(const struct walk_opts *opts)
{
	struct err err;
	struct buf out;
	int rc;

	buf_init(&out, 8 * CHAIN_TEXT_MAX);
	rc = describe(opts, &out, &err);
	if (!rc)
		fputs(buf_text(&out), stdout);
	buf_release(&out);
	return rc ? cmd_failed(&err) : EXIT_FINE;
}

static void on_signal(int signal)
{
	signals++;
}

static void stop_on_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* Late sending is a flaw of the figures; a script of DistWalk's expects no failure of that. */
static int judge(const struct walk_program *program, const struct walk_result *r)
{
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
	fputs(buf_text(&out), stdout);
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
	const struct remote_opts remote = { given->ssh, NULL, true };
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
	stop_on_signals();
	if (given->progress || (terminal && !lines && !program->is_distwalk))
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

	stop_on_signals();
	if (walk_trace_write(opts, &ledger, &err))
		return cmd_failed(&err);
	fprintf(stderr, "planned %" PRIu64 " requests, %" PRIu64 " operations: '%s'\n",
		ledger.count[LG_REQUESTS], ledger.count[LG_OPS], opts->run);
	return EXIT_FINE;
}

static int walk(const struct walk_program *program, struct walk_cmd_opts *given,
		struct scenario *scenario)
{
	struct walk_opts opts;
	struct err err;
	int code = read_options(given, program, &opts, &err);

	opts.classes = scenario->classes;
	opts.classes_count = scenario->classes_count;
	scenario->classes = NULL;
	scenario->classes_count = 0;
	if (!code)
		code = walk_check_datagrams(&opts, &err);
	if (code)
		code = cmd_misused(program->options, &err);
	else
		code = given->dry_run	? print_description(&opts) :
		       given->plan_only ? write_plan(&opts) :
					  run(program, given, &opts);
	release_options(&opts);
	return code;
}

/* What the scenario says comes first, so that options beside it win. Words are lent. */
static char **put_in_front(const struct scenario *scenario, int argc, char **argv, const char *path)
{
	char **words = calloc((size_t)argc + scenario->count + 1, sizeof(*words)), **at = words;

	if (!words)
		return NULL;
	*at++ = argv[0];
	for (size_t i = 0; i < scenario->count; i++)
		*at++ = scenario->words[i];
	for (int i = 1; i < argc; i++)
		if (argv[i] != path)
			*at++ = argv[i];
	return words;
}

static int walk_scenario(const struct walk_program *program, int argc, char **argv,
			 const char *path)
{
	static struct walk_cmd_opts given; /* too large for a stack */
	struct scenario scenario = { 0 };
	struct option_args args;
	struct err err;
	char **words;
	int code;

	if (path && scenario_load(path, &scenario, &err))
		return cmd_misused(program->options, &err);
	words = put_in_front(&scenario, argc, argv, path);
	if (!words) {
		scenario_release(&scenario);
		return EXIT_FAILED;
	}
	code = cmd_parse(program->options, argc - (path != NULL) + (int)scenario.count, words,
			 &given, &args);
	if (code < 0)
		code = walk(program, &given, &scenario);
	scenario_release(&scenario);
	free(words);
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
	struct script script;
	struct err err;
	int code;

	if (script_expand(program->options, "script-filename", 'f', argc, argv, &script, &err))
		return cmd_misused(program->options, &err);
	code = walk_scenario(program, script.argc, script.argv,
			     find_scenario(program, script.argc, script.argv));
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
	return walk_with_scripts(&dw_program, argc, argv);
}
