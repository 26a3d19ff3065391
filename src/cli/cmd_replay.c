/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/units.h"
#include "cli/agents.h"
#include "cli/cmd.h"
#include "cli/keep.h"
#include "cli/replay_sweep.h"
#include "replay/client/clients.h"
#include "replay/local.h"
#include "replay/plan/scale.h"
#include "replay/remote.h"
#include "replay/replay.h"
#include "replay/slowest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct replay_cmd_opts {
	const char *ssh, *control, *output, *directory, *speed, *until, *warm_up, *sweep, *hold;
	struct option_list nodes;
	uint32_t batching, arrivals;
	const char *agents, *keep;
	uint64_t timeout_ns, seed, loops, keep_slowest;
	struct secure_opts secure;
	uint32_t attribution;
	bool local, no_spin, no_attribution, force, accept_edited, progress, json, timeline;
};

/* As the enums in replay/plan/plan.h. */
static const char *const batchings[] = { "live", "recorded", NULL };
static const char *const attributions[] = { "none", "bpf", "user", "auto", NULL };
static const char *const arrivals[] = { "auto", "clock", "dependent", NULL };

static const struct option_spec specs[] = {
	{ "node", 'n', OPTION_LIST, OPTION_AT(replay_cmd_opts, nodes), .metavar = "[SERVICE=]WORD",
	  .help = "a running gait node that plays the service, by name or number: "
		  "[tcp://|tls://|udp://][HOST]:PORT or unix://PATH, where its data connections go; "
		  "may be given again, for services that call each other" },
	{ "control", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, control), .metavar = "WORD",
	  .help = "where that node is told what to play, tcp or unix (as --node)" },
	{ "key", 'k', OPTION_TEXT, OPTION_AT(replay_cmd_opts, secure.key), .metavar = "FILE",
	  .help = "the key that the node has too (gait keys new makes one)" },
	{ "tls-cert", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, secure.cert), .metavar = "FILE",
	  .help = "this client's certificate and its chain (PEM)" },
	{ "tls-key", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, secure.cert_key), .metavar = "FILE",
	  .help = "its private key (PEM)" },
	{ "tls-ca", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, secure.ca), .metavar = "FILE",
	  .help = "who signed the node's certificate, which has to be for its HOST (PEM)" },
	{ "local", 'l', OPTION_FLAG, OPTION_AT(replay_cmd_opts, local),
	  .help = "start a node on this machine for each service, for the time of the replay" },
	{ "ssh", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, ssh), .metavar = "[USER@]HOST",
	  .help = "start a node on that machine, by ssh, for the time of the replay: it plays one "
		  "service" },
	{ "output", 'o', OPTION_TEXT, OPTION_AT(replay_cmd_opts, output), .metavar = "RUN.gait",
	  .help = "where the run goes" },
	{ "batching", 'b', OPTION_CHOICE, OPTION_AT(replay_cmd_opts, batching),
	  .fallback = PLAN_BATCHING_LIVE, .choices = batchings, .metavar = "HOW",
	  .help = "what requests do together: live, as it comes (bytes equal, counts near), or "
		  "recorded, in the same groups (counts equal)" },
	{ "arrivals", 'a', OPTION_CHOICE, OPTION_AT(replay_cmd_opts, arrivals),
	  .fallback = PLAN_ARRIVALS_AUTO, .choices = arrivals, .metavar = "HOW",
	  .help = "when requests are due: auto, as each connection was found to behave; clock, at "
		  "the recorded time; dependent, at the reply before and the think time" },
	{ "speed", 's', OPTION_TEXT, OPTION_AT(replay_cmd_opts, speed), .metavar = "FACTOR",
	  .help = "so much more load, or less: by more or fewer connections like those recorded" },
	{ "seed", 0, OPTION_U64, OPTION_AT(replay_cmd_opts, seed), .fallback = 1, .metavar = "N",
	  .help = "another choice of connections for --speed" },
	{ "sweep", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, sweep), .metavar = "FROM..TO[:STEPS]",
	  .help = "a run at each of several speeds (7), in the folder of --output: latency against "
		  "load, and where the knee is" },
	{ "hold", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, hold), .metavar = "pNN=TIME",
	  .help = "with --sweep: find the highest load that holds this, as p99=5ms" },
	{ "loop", 'L', OPTION_U64, OPTION_AT(replay_cmd_opts, loops), .fallback = 1, .min = 1,
	  .max = 1000000, .metavar = "N",
	  .help = "the trace so many times, each on new connections" },
	{ "agents", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, agents),
	  .metavar = "N|HOST:PORT[,...]",
	  .help = "send from so many processes, or from other hosts, where gait agent listens: each "
		  "has its share of the connections" },
	{ "until", 'u', OPTION_TEXT, OPTION_AT(replay_cmd_opts, until), .metavar = "WHEN",
	  .help = "only what was due before a time, as 30s, or the first ones, as '5k requests'" },
	{ "warm-up", 'w', OPTION_TEXT, OPTION_AT(replay_cmd_opts, warm_up), .metavar = "HOW",
	  .help = "the beginning that summaries leave out: a time, or auto, found by MSER-5" },
	{ "keep", 0, OPTION_TEXT, OPTION_AT(replay_cmd_opts, keep), .metavar = "PERCENT",
	  .help = "of a long run: keep rows of a sample of the requests, and of the slowest; of all "
		  "of them totals.csv has sums" },
	{ "keep-slowest", 0, OPTION_U64, OPTION_AT(replay_cmd_opts, keep_slowest), .fallback = 10,
	  .max = SLOWEST_MAX, .metavar = "N",
	  .help = "with --keep: so many of the slowest of each second too" },
	{ "timeline", 0, OPTION_FLAG, OPTION_AT(replay_cmd_opts, timeline),
	  .help = "also write what each request of the run went through, stretch by stretch" },
	{ "timeout", 't', OPTION_DURATION, OPTION_AT(replay_cmd_opts, timeout_ns),
	  .fallback = 10 * NS_PER_SEC, .min = NS_PER_MS, .metavar = "TIME",
	  .help = "a request that is not answered so long after it was due has failed" },
	{ "dir", 'd', OPTION_TEXT, OPTION_AT(replay_cmd_opts, directory), .metavar = "DIR",
	  .help = "where the --local nodes keep the services' files" },
	{ "no-spin", 0, OPTION_FLAG, OPTION_AT(replay_cmd_opts, no_spin),
	  .help = "sleep until a request is due: sends come some 50 us late, for less CPU" },
	{ "attribution", 0, OPTION_CHOICE, OPTION_AT(replay_cmd_opts, attribution),
	  .metavar = "HOW", .fallback = ATTRIBUTION_AUTO, .choices = attributions,
	  .help = "who makes the breakdown, here and at the nodes that are started: bpf, probes in "
		  "the kernel; user, the programs themselves, with fewer rows; auto, bpf where it "
		  "loads, else user; none" },
	{ "no-attribution", 0, OPTION_FLAG, OPTION_AT(replay_cmd_opts, no_attribution),
	  .help = "the same as --attribution none" },
	{ "force", 'f', OPTION_FLAG, OPTION_AT(replay_cmd_opts, force),
	  .help = "replace a run of that name" },
	{ "accept-edited", 0, OPTION_FLAG, OPTION_AT(replay_cmd_opts, accept_edited),
	  .help = "replay a trace whose tables differ from its manifest" },
	{ "progress", 'p', OPTION_FLAG, OPTION_AT(replay_cmd_opts, progress),
	  .help = "a line a second on stderr, also when that is no terminal" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(replay_cmd_opts, json),
	  .help = "the summary for scripts" },
};

static const struct options options = {
	.command = "replay",
	.synopsis = "X.gait",
	.about = "Sends the requests of a trace, when they came, to a node that does for each what "
		 "the captured service did, and writes what came of it into a run. Exits with 3 "
		 "when the run is not to be trusted: INVALID, losses, a trace cut short.",
	.examples =
		"gait replay redis.gait --local -o run.gait\n"
		"gait replay shop.gait --node front=10.0.0.7:7400 --node back=10.0.0.8:7400 -o run.gait\n"
		"gait replay redis.gait --node 10.0.0.7:7400 --key gait.key -o candidate.gait\n"
		"gait replay redis.gait --local --batching recorded -o same.gait\n"
		"gait replay redis.gait --local --speed 1.5 --loop 3 -o more.gait\n"
		"gait replay redis.gait --local --sweep 0.5..2 --hold p99=5ms -o sweep\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
	.args_min = 1,
	.args_max = 1,
};

/* "redis=10.0.0.7:80": what stands before an equals sign, unless that is part of a path. */
static size_t service_length(const char *text)
{
	size_t len = strcspn(text, "=:/");

	return text[len] == '=' ? len : 0;
}

/* The texts are kept here. */
static int parse_node(const char *text, struct replay_opts *replay, struct err *err)
{
	static const struct address_defaults defaults = { LOCAL_HOST, -1 };
	static char services[PLAN_SERVICES_MAX][64];
	struct replay_place *place = &replay->places[replay->places_count];
	char *service = services[replay->places_count];
	size_t len = service_length(text);
	int rc;

	if (replay->places_count++ == PLAN_SERVICES_MAX)
		return err_set(err, E2BIG, "more than %d nodes", PLAN_SERVICES_MAX);
	if (len) {
		snprintf(service, sizeof(services[0]), "%.*s", (int)len, text);
		place->service = service;
	}
	rc = address_parse(len ? text + len + 1 : text, &defaults, &place->address, err);
	return rc;
}

static int parse_nodes(const struct option_list *nodes, struct replay_opts *replay, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < nodes->count && !rc; i++) {
		rc = parse_node(nodes->items[i], replay, err);
		if (!rc && nodes->count > 1 && !replay->places[i].service)
			rc = err_set(err, EINVAL,
				     "which service does '%s' play? Of several nodes each is "
				     "SERVICE=ADDRESS",
				     nodes->items[i]);
		if (!rc && nodes->count > 1 && replay->places[i].address.transport == TRANSPORT_UDP)
			rc = err_set(err, EPROTONOSUPPORT,
				     "'%s': nodes do not call each other by datagrams yet",
				     nodes->items[i]);
	}
	return rc;
}

static int parse_speed(const char *text, uint32_t *ret_milli, struct err *err)
{
	uint64_t milli;
	int rc = unit_parse_factor(text, &milli, err);

	if (!rc && (!milli || milli > PLAN_SPEED_MAX))
		return err_set(err, ERANGE, "a speed is between 0.001 and %u, not '%s'",
			       PLAN_SPEED_MAX / PLAN_SPEED_ONE, text);
	if (!rc)
		*ret_milli = (uint32_t)milli;
	return rc;
}

/* "30s" or "5k requests" */
static int parse_until(const char *text, struct plan_load *load, struct err *err)
{
	uint64_t ns = 0;
	int rc;

	if (strchr(text, 'r'))
		rc = unit_parse_requests(text, &load->requests, err);
	else
		rc = unit_parse_duration(text, &ns, err);
	load->before_ns = (int64_t)ns;
	if (!rc && !load->before_ns && !load->requests)
		return err_set(err, EINVAL, "--until %s leaves no request", text);
	return rc;
}

/* "5s" or "auto" */
static int parse_warm_up(const char *text, int64_t *ret_ns, struct err *err)
{
	uint64_t ns = 0;
	bool automatic = !strcmp(text, "auto");
	int rc = automatic ? 0 : unit_parse_duration(text, &ns, err);

	*ret_ns = automatic ? RUN_WARM_UP_AUTO : (int64_t)ns;
	return rc;
}

static int parse_sweep(const struct replay_cmd_opts *opts, struct sweep *sweep, struct err *err)
{
	int rc = opts->sweep ? sweep_parse(opts->sweep, sweep, err) : 0;

	return rc || !opts->hold ? rc : sweep_parse_hold(opts->hold, sweep, err);
}

static int parse_load(const struct replay_cmd_opts *opts, struct plan_load *load, struct err *err)
{
	int rc = 0;

	load->seed = opts->seed;
	load->loops = opts->loops;
	if (opts->speed)
		rc = parse_speed(opts->speed, &load->speed_milli, err);
	if (!rc && opts->until)
		rc = parse_until(opts->until, load, err);
	return rc;
}

static int parse_keep(const struct replay_cmd_opts *opts, struct replay_opts *replay,
		      struct err *err)
{
	int rc = opts->keep ? keep_parse(opts->keep, &replay->keep_share, err) : 0;

	replay->keeps = opts->keep;
	replay->keep_slowest = (uint32_t)opts->keep_slowest;
	if (rc || !opts->keep)
		return rc;
	if (opts->warm_up)
		return err_set(err, EINVAL,
			       "--keep: what it adds up is of all requests, the first ones too: "
			       "leave out --warm-up, or --keep");
	return keep_check_agents(replay->agents_at, replay->keep_slowest, err);
}

static bool any_is_tls(const struct replay_opts *replay)
{
	for (size_t i = 0; i < replay->places_count; i++)
		if (replay->places[i].address.transport == TRANSPORT_TLS)
			return true;
	return false;
}

static int parse_control(const char *text, struct replay_opts *replay, struct err *err)
{
	static const struct address_defaults defaults = { LOCAL_HOST, -1 };
	static struct address control;
	int rc = text ? address_parse(text, &defaults, &control, err) : 0;

	if (rc)
		return rc;
	if (text && replay->places_count > 1)
		return err_set(err, EINVAL, "--control is that of one --node");
	if (!text && any_is_tls(replay))
		return err_set(err, EINVAL,
			       "where is the node told what to play? --node tls:// is for data "
			       "connections; --control HOST:PORT names its tcp or unix address");
	if (!text && replay->places_count == 1 &&
	    replay->places[0].address.transport == TRANSPORT_UDP) {
		control = replay->places[0].address;
		control.transport = TRANSPORT_TCP;
		text = "beside it";
	}
	if (text && control.transport != TRANSPORT_TCP && control.transport != TRANSPORT_UNIX)
		return err_set(err, EINVAL, "--control is tcp or unix, not '%s'", text);
	replay->control = text ? &control : NULL;
	return 0;
}

static int check_use(const struct replay_cmd_opts *opts, struct err *err)
{
	if (!opts->output)
		return err_set(err, EINVAL, "where does the run go? Name it with -o RUN.gait");
	if ((opts->local != 0) + (opts->nodes.count != 0) + (opts->ssh != NULL) != 1)
		return err_set(err, EINVAL,
			       "who plays the service? Either --local, --node HOST:PORT or --ssh "
			       "HOST");
	if (opts->sweep && opts->speed)
		return err_set(err, EINVAL, "--sweep sets the speed itself: leave out --speed");
	if (opts->hold && !opts->sweep)
		return err_set(err, EINVAL, "--hold is for --sweep");
	if (opts->control && !opts->nodes.count)
		return err_set(err, EINVAL, "--control is that of a --node");
	if (opts->ssh && strchr(opts->ssh, ','))
		return err_set(
			err, EINVAL,
			"--ssh starts one node, for one service: name one HOST; for services that "
			"call each other, start the nodes and name each with --node SERVICE=ADDRESS");
	if (opts->directory && opts->nodes.count)
		return err_set(
			err, EINVAL,
			"--dir is for --local and --ssh; a node that runs has its own option");
	if (!opts->nodes.count && secure_wanted(&opts->secure))
		return err_set(err, EINVAL,
			       "keys and certificates are for a --node; a --local one is a child "
			       "of this process, on loopback, and --ssh makes its own key");
	return secure_check(&opts->secure, err);
}

static void say(const char *sentence)
{
	cmd_complain("%s", sentence);
}

static void print_progress(void *arg, const struct replay_progress *p)
{
	const bool *terminal = arg;
	char late[UNIT_TEXT_SIZE];

	fprintf(stderr,
		"%s%lld/%lld s  sent %llu of %llu  answered %llu  failed %llu  late p99 %s%s",
		*terminal ? "\r" : "", (long long)(p->elapsed_ns / NS_PER_SEC),
		(long long)(p->duration_ns / NS_PER_SEC), (unsigned long long)p->sent,
		(unsigned long long)p->planned, (unsigned long long)p->answered,
		(unsigned long long)p->failed, unit_format_ns(late, sizeof(late), p->late_p99_ns),
		*terminal ? "\033[K" : "\n");
}

/* Sends a second, over the time from the first to the last. */
static double rate(uint64_t sent, int64_t first_ns, int64_t last_ns)
{
	return sent > 1 && last_ns > first_ns ?
		       (double)(sent - 1) * 1e9 / (double)(last_ns - first_ns) :
		       0;
}

static double intended_rate(const struct breakdown_summary *s)
{
	return rate(hist_count(&s->late), s->first_intended_ns, s->last_intended_ns);
}

static double achieved_rate(const struct breakdown_summary *s)
{
	return rate(hist_count(&s->late), s->first_sent_ns, s->last_sent_ns);
}

static void print_ledger(const struct ledger *ledger)
{
	char count[UNIT_TEXT_SIZE];

	for (size_t i = 0; i < LG_COUNT; i++) {
		if (!ledger->count[i] || ledger_infos[i].severity == LEDGER_SEEN)
			continue;
		printf("%s: %s %s\n", ledger_infos[i].severity == LEDGER_LOST ? "LOST" : "note",
		       unit_format_count(count, sizeof(count), ledger->count[i]),
		       ledger_infos[i].text);
	}
}

static void print_times(const char *name, const struct hist *times)
{
	static const struct {
		const char *name;
		double percentile;
	} columns[] = { { "p50", 50 }, { "p99", 99 }, { "max", 100 } };
	char text[UNIT_TEXT_SIZE];

	printf("%-9s", name);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]) && hist_count(times); i++)
		printf("%s%s %s", i ? ", " : "", columns[i].name,
		       unit_format_ns(text, sizeof(text),
				      (int64_t)hist_value_at_percentile(times,
									columns[i].percentile)));
	printf("%s\n", hist_count(times) ? "" : "none");
}

/* How far apart the starts of agents on other hosts may have been. */
static void print_clocks(const struct replay_result *result)
{
	char bound[UNIT_TEXT_SIZE];

	for (uint32_t i = 0; i < result->clocks_count; i++) {
		unit_format_ns(bound, sizeof(bound), result->clocks[i].bound_ns);
		printf("agent %-2u its clock is known within %s\n", i + 1, bound);
	}
	for (uint32_t i = 0; i < result->manifest.hosts_count; i++) {
		const struct manifest_host *host = &result->manifest.hosts[i];

		if (host->clock_bound_ns <= 0)
			continue;
		unit_format_ns(bound, sizeof(bound), host->clock_bound_ns);
		printf("host %-3llu its clock is known within %s, by the requests\n",
		       (unsigned long long)host->host_id, bound);
	}
}

static void print_summary(const struct replay_result *result, const char *run)
{
	const struct ledger *ledger = &result->manifest.ledger;
	const struct breakdown_summary *s = &result->summary;
	char a[UNIT_TEXT_SIZE], b[UNIT_TEXT_SIZE];

	print_ledger(ledger);
	if (result->manifest.load[0])
		printf("load     %s\n", result->manifest.load);
	if (result->manifest.assumed[0])
		printf("ASSUMED  %s\n", result->manifest.assumed);
	printf("requests %s planned, %llu sent, %llu answered\n",
	       unit_format_count(a, sizeof(a), result->planned),
	       (unsigned long long)ledger->count[LG_SENT],
	       (unsigned long long)ledger->count[LG_ANSWERED]);
	if (result->manifest.warm_up_rule[0])
		printf("warm-up  %s left out, %s\n",
		       unit_format_ns(a, sizeof(a), (int64_t)result->manifest.warm_up_ns),
		       result->manifest.warm_up_rule);
	printf("rate     %s intended, %s achieved\n",
	       unit_format_rate(a, sizeof(a), intended_rate(s)),
	       unit_format_rate(b, sizeof(b), achieved_rate(s)));
	print_times("late", &s->late);
	print_times("latency", &s->latency);
	print_clocks(result);
	printf("verdict  %s\n", result->manifest.verdict[0] ? result->manifest.verdict : "valid");
	printf("'gait report %s' tells more\n", run);
}

static void put_times(struct json *json, const char *key, const struct hist *times)
{
	struct json *child = json_new_object();

	json_put_u64(child, "p50", hist_value_at_percentile(times, 50));
	json_put_u64(child, "p99", hist_value_at_percentile(times, 99));
	json_put_u64(child, "max", hist_max(times));
	json_put(json, key, child);
}

static struct json *clocks_json(const struct replay_result *result)
{
	struct json *json = json_new_array();

	for (uint32_t i = 0; i < result->clocks_count; i++) {
		struct json *clock = json_new_object();

		json_put_int(clock, "clock_offset_ns", result->clocks[i].offset_ns);
		json_put_int(clock, "clock_bound_ns", result->clocks[i].bound_ns);
		json_add(json, clock);
	}
	return json;
}

static struct json *summary_json(const struct replay_result *result, const char *run)
{
	const struct ledger *counts = &result->manifest.ledger;
	struct json *json = json_new_object(), *ledger = json_new_object();

	if (!json || !ledger) {
		json_free(json);
		json_free(ledger);
		return NULL;
	}
	for (size_t i = 0; i < LG_COUNT; i++) {
		if (counts->count[i] || ledger_infos[i].severity == LEDGER_LOST)
			json_put_u64(ledger, ledger_infos[i].name, counts->count[i]);
	}
	json_put(json, "ledger", ledger);
	json_put_text(json, "run", run);
	json_put_u64(json, "planned", result->planned);
	json_put_double(json, "intended_rate", intended_rate(&result->summary));
	json_put_double(json, "achieved_rate", achieved_rate(&result->summary));
	put_times(json, "late_ns", &result->summary.late);
	put_times(json, "latency_ns", &result->summary.latency);
	json_put_double(json, "late_share_p99_band", result->summary.late_share);
	json_put_text(json, "load", result->manifest.load);
	json_put_u64(json, "warm_up_ns", result->manifest.warm_up_ns);
	json_put_text(json, "warm_up_rule", result->manifest.warm_up_rule);
	json_put(json, "agents", clocks_json(result));
	json_put_text(json, "assumed", result->manifest.assumed);
	json_put_text(json, "verdict", result->manifest.verdict);
	json_put_text(json, "failure", result->failure);
	json_put_bool(json, "trace_partial", result->trace_partial);
	json_put_bool(json, "attribution", strcmp(result->manifest.attribution, "none") != 0);
	json_put_text(json, "attributed_by", result->manifest.attribution);
	return json;
}

/* A run that was cut short failed; one that was not, but lies, is doubtful. */
static int judge(const struct replay_result *result, const char *trace)
{
	bool lost = ledger_has_loss(&result->manifest.ledger);

	if (result->failure[0]) {
		cmd_complain("%s", result->failure);
		return EXIT_FAILED;
	}
	if (result->trace_partial)
		cmd_complain("'%s' was cut short: it has no manifest; what is whole was replayed",
			     trace);
	if (result->manifest.verdict[0])
		cmd_complain("the run is %s", result->manifest.verdict);
	return result->trace_partial || lost || result->manifest.verdict[0] ? EXIT_DOUBTFUL :
									      EXIT_FINE;
}

static int report(const struct replay_cmd_opts *opts, const struct replay_result *result,
		  const char *trace)
{
	struct err err;

	if (!opts->json)
		print_summary(result, opts->output);
	else if (cmd_print_json(summary_json(result, opts->output), &err))
		return cmd_failed(&err);
	if (result->no_probes[0])
		cmd_complain("attribution without probes, with fewer rows: %s", result->no_probes);
	return judge(result, trace);
}

static int run(const struct replay_cmd_opts *opts, const struct replay_opts *replay, bool terminal)
{
	static struct replay_result result;
	struct err err = { "" };
	int ret;

	ret = replay_run(replay, &result, &err);
	if (replay->progress && terminal)
		fputc('\n', stderr);
	ret = ret ? cmd_failed(&err) : report(opts, &result, replay->trace);
	replay_result_release(&result);
	return ret;
}

/* Starts the node of --ssh, which is then one like any other. */
static int start_remote(const struct replay_cmd_opts *opts, struct replay_opts *replay,
			struct remotes **ret_remotes, struct err *err)
{
	const struct remote_opts remote = { opts->ssh, opts->directory, replay->attribution };
	int rc = opts->ssh ? remotes_start(&remote, ret_remotes, err) : 0;

	if (rc || !opts->ssh)
		return rc;
	replay->places[0].address = *remotes_at(*ret_remotes, 0);
	replay->places_count = 1;
	replay->secure.key = remotes_key(*ret_remotes);
	return 0;
}

int cmd_replay(int argc, char **argv)
{
	bool terminal = isatty(STDERR_FILENO);
	struct replay_cmd_opts opts;
	static struct agents agents;
	struct option_args args;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &opts, &args);
	struct sweep sweep = { 0 };
	struct remotes *remotes = NULL;
	struct replay_opts replay = { .progress_arg = &terminal };

	if (code >= 0)
		return code;
	if (check_use(&opts, &err) || parse_sweep(&opts, &sweep, &err) ||
	    parse_load(&opts, &replay.load, &err) ||
	    (opts.warm_up && parse_warm_up(opts.warm_up, &replay.warm_up_ns, &err)) ||
	    agents_parse(opts.agents, &agents, &err) || parse_nodes(&opts.nodes, &replay, &err) ||
	    parse_control(opts.control, &replay, &err))
		return cmd_misused(&options, &err);
	replay.agents = agents.count;
	replay.agents_at = agents.elsewhere ? agents.at : NULL;
	if (parse_keep(&opts, &replay, &err))
		return cmd_misused(&options, &err);
	replay.trace = args.values[0];
	replay.run = opts.output;
	replay.directory = opts.directory;
	replay.secure = opts.secure;
	replay.plan.batching = (enum plan_batching)opts.batching;
	replay.plan.arrivals = (enum plan_arrivals)opts.arrivals;
	replay.timeout_ns = (int64_t)opts.timeout_ns;
	replay.timeline = opts.timeline;
	replay.spin = !opts.no_spin;
	replay.attribution = opts.no_attribution ? ATTRIBUTION_NONE : opts.attribution;
	replay.replace = opts.force;
	replay.accept_edited = opts.accept_edited;
	replay.say = say;
	replay.progress = opts.progress || terminal ? print_progress : NULL;
	replay.interrupted = cmd_count_signals();
	if (start_remote(&opts, &replay, &remotes, &err))
		return cmd_failed(&err);
	code = opts.sweep ? replay_sweep(&sweep, &replay, opts.json) :
			    run(&opts, &replay, terminal);
	remotes_free(remotes);
	return code;
}
