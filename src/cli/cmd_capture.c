/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/units.h"
#include "capture/live.h"
#include "capture/packet/interface.h"
#include "cli/capture.h"
#include "cli/cmd.h"
#include "trace/ledger.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const sources[] = { "ebpf", "pcap", NULL };
static const char *const details[] = { "full", "requests", NULL };

static const struct option_spec specs[] = {
	{ "pid", 'p', OPTION_LIST, OPTION_AT(capture_opts, pids), .metavar = "PID", .min = 1,
	  .max = INT32_MAX, .help = "a process, with its threads and children" },
	{ "comm", 'c', OPTION_LIST, OPTION_AT(capture_opts, names), .metavar = "NAME",
	  .help = "all processes of that name" },
	{ "port", 'P', OPTION_LIST, OPTION_AT(capture_opts, ports), .metavar = "PORT", .min = 1,
	  .max = UINT16_MAX,
	  .help = "the processes that listen on that TCP or UDP port; of packets, those to and from "
		  "it" },
	{ "cgroup", 'g', OPTION_LIST, OPTION_AT(capture_opts, groups), .metavar = "PATH",
	  .help = "all processes of a control group (a container), below /sys/fs/cgroup" },
	{ "duration", 'd', OPTION_DURATION, OPTION_AT(capture_opts, duration_ns), .metavar = "TIME",
	  .help = "how long; default: until Ctrl-C or the service's end" },
	{ "output", 'o', OPTION_TEXT, OPTION_AT(capture_opts, output), .metavar = "X.gait",
	  .help = "where the trace goes; default: NAME.gait of the service" },
	{ "with", 0, OPTION_CHOICE, OPTION_AT(capture_opts, with), .choices = sources,
	  .metavar = "SOURCE",
	  .help = "ebpf: follow the service in the kernel; pcap: where that may not be, look at the "
		  "packets of an interface, which show requests, sizes and times alone" },
	{ "interface", 'i', OPTION_TEXT, OPTION_AT(capture_opts, interface), .metavar = "IF",
	  .help = "of packets: those that pass this network interface; any: all of them" },
	{ "filter", 0, OPTION_TEXT, OPTION_AT(capture_opts, filter), .metavar = "EXPR",
	  .help = "of packets: those alone that match, too, in tcpdump's words, as 'host 10.0.0.7'" },
	{ "snaplen", 0, OPTION_BYTES, OPTION_AT(capture_opts, snap_bytes), .min = 64,
	  .max = INTERFACE_SNAP_MAX, .metavar = "BYTES",
	  .help = "of packets: so much of each; default: all of it" },
	{ "save", 0, OPTION_TEXT, OPTION_AT(capture_opts, save), .metavar = "FILE.pcap",
	  .help = "of packets: keep them, with their payload, for gait import" },
	{ "detail", 'D', OPTION_CHOICE, OPTION_AT(capture_opts, detail), .choices = details,
	  .metavar = "HOW",
	  .help = "full: every operation and where the time went; requests: requests and sizes "
		  "alone, for less of the service's CPU and none of a bystander's" },
	{ "sample", 0, OPTION_TEXT, OPTION_AT(capture_opts, sample), .metavar = "1/N",
	  .help = "of the connections that come in, capture one in N, chosen by number: the events "
		  "of the others stay in the kernel" },
	{ "max-overhead", 0, OPTION_TEXT, OPTION_AT(capture_opts, max_overhead), .metavar = "LIMIT",
	  .help = "end by itself when the probes cost more than this part of the service's CPU, as "
		  "5%, or more a request, as 2us (an estimate)" },
	{ "measure-overhead", 0, OPTION_FLAG, OPTION_AT(capture_opts, measure_overhead),
	  .help = "measure what the probes cost, by detaching them half of the time: the trace has "
		  "holes" },
	{ "max-size", 0, OPTION_BYTES, OPTION_AT(capture_opts, max_bytes), .metavar = "BYTES",
	  .help = "end by itself when the trace is that large" },
	{ "ring", 0, OPTION_BYTES, OPTION_AT(capture_opts, ring_bytes), .metavar = "BYTES",
	  .help = "size of the buffer of events, a power of two, or of packets; default 64M" },
	{ "force", 'f', OPTION_FLAG, OPTION_AT(capture_opts, force),
	  .help = "replace a trace of that name" },
	{ "quiet", 'q', OPTION_FLAG, OPTION_AT(capture_opts, quiet), .help = "no progress" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(capture_opts, json),
	  .help = "the summary for scripts" },
};

static const struct options options = {
	.command = "capture",
	.synopsis = "[-- COMMAND [ARG...]]",
	.about =
		"Records the requests of a running service with what each of them did and where "
		"its time went, by eBPF, into a trace. The service is not stopped or changed. No "
		"payload is stored. With --with pcap, what packets show of it, where no eBPF may be "
		"loaded.",
	.examples = "gait capture --port 6379 -d 60s -o redis.gait\n"
		    "gait capture --pid 4711 -o api.gait        until Ctrl-C\n"
		    "gait capture --comm haproxy --port 8080    two services, one trace\n"
		    "gait capture --with pcap -i eth0 --port 80  by its packets\n"
		    "gait capture -o mine.gait -- ./server 8080  until it ends\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
	.args_max = -1,
};

/* From here on nothing is missed: who drives the load, a person or a test, waits for it. */
void capture_say_ready(void)
{
	fputs("gait: capturing (Ctrl-C ends it)\n", stderr);
}

static int add_pids(struct live_opts *live, const struct option_list *pids, struct err *err)
{
	uint64_t pid;
	int rc = 0;

	for (size_t i = 0; i < pids->count && !rc; i++) {
		rc = unit_parse_u64(pids->items[i], 1, INT32_MAX, &pid, err);
		if (!rc && kill(pid, 0) && errno == ESRCH)
			rc = err_set(err, ESRCH, "there is no process %d", (int)pid);
		if (!rc)
			rc = processes_begin_service(&live->processes, err);
		if (!rc)
			rc = processes_add(&live->processes, pid, err);
	}
	return rc;
}

static int add_ports(struct live_opts *live, const struct option_list *ports, struct err *err)
{
	uint64_t port;
	int rc = 0;

	for (size_t i = 0; i < ports->count && !rc; i++) {
		rc = unit_parse_u64(ports->items[i], 1, UINT16_MAX, &port, err);
		if (rc || i >= PORTS_MAX)
			continue;
		live->ports.ports[live->ports.count++] = port;
		rc = processes_begin_service(&live->processes, err);
		if (!rc)
			rc = processes_add_listening(&live->processes, port, err);
	}
	return rc;
}

static int choose(const struct capture_opts *opts, struct live_opts *live, struct err *err)
{
	int rc = add_pids(live, &opts->pids, err);

	for (size_t i = 0; i < opts->names.count && !rc; i++) {
		rc = processes_begin_service(&live->processes, err);
		if (!rc)
			rc = processes_add_named(&live->processes, opts->names.items[i], err);
	}
	for (size_t i = 0; i < opts->groups.count && !rc; i++) {
		rc = processes_begin_service(&live->processes, err);
		if (!rc)
			rc = processes_add_cgroup(&live->processes, opts->groups.items[i], err);
	}
	if (!rc)
		rc = add_ports(live, &opts->ports, err);
	return rc;
}

static void join(char *text, size_t size, const char *option, const struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		size_t len = strlen(text);

		snprintf(text + len, size - len, "%s--%s %s", len ? " " : "", option,
			 list->items[i]);
	}
}

/* What the user asked for, as the manifest keeps it. */
static void describe(const struct capture_opts *opts, char **command, char *text, size_t size)
{
	text[0] = 0;
	join(text, size, "pid", &opts->pids);
	join(text, size, "comm", &opts->names);
	join(text, size, "port", &opts->ports);
	join(text, size, "cgroup", &opts->groups);
	if (command) {
		const char *slash = strrchr(command[0], '/');
		size_t len = strlen(text);

		snprintf(text + len, size - len, "%s-- %s", len ? " " : "",
			 slash ? slash + 1 : command[0]);
	}
}

/* NAME.gait in the current folder, after the first process or the command. */
static void default_output(const struct live_opts *live, char *path, size_t size)
{
	char name[64] = "";
	const char *base;

	if (live->command) {
		base = strrchr(live->command[0], '/');
		snprintf(name, sizeof(name), "%s", base ? base + 1 : live->command[0]);
	} else {
		process_name(live->processes.pids[0], name, sizeof(name));
	}
	for (char *c = name; *c; c++)
		if (*c == '/' || *c == ' ')
			*c = '_';
	snprintf(path, size, "%s.gait", name[0] ? name : "capture");
}

static const char *const end_texts[] = {
	[LIVE_STOPPED] = "stopped",
	[LIVE_DURATION] = "time was up",
	[LIVE_SERVICE_ENDED] = "the service has ended",
	[LIVE_FULL] = "--max-size was reached",
	[LIVE_OVERHEAD] = "--max-overhead was exceeded",
};

static int print_summary_json(const struct live_result *result, const char *path)
{
	struct json *json = json_new_object();
	struct err err;

	json_put_text(json, "trace", path);
	json_put_text(json, "end", end_texts[result->end]);
	json_put_int(json, "duration_ns", result->manifest.duration_ns);
	json_put_int(json, "probe_overhead_ns_per_request", result->manifest.price.ns_per_request);
	for (size_t i = 0; i < LG_COUNT; i++)
		if (result->manifest.ledger.count[i] || ledger_infos[i].severity == LEDGER_LOST)
			json_put_u64(json, ledger_infos[i].name, result->manifest.ledger.count[i]);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

static void print_summary(const struct live_result *result, const char *path)
{
	const struct ledger *ledger = &result->manifest.ledger;
	char count[32], time_text[32];

	for (size_t i = 0; i < LG_COUNT; i++)
		if (ledger->count[i] && ledger_infos[i].severity != LEDGER_SEEN)
			printf("%s: %s %s\n",
			       ledger_infos[i].severity == LEDGER_LOST ? "LOST" : "note",
			       unit_format_count(count, sizeof(count), ledger->count[i]),
			       ledger_infos[i].text);
	if (result->missed[0])
		printf("note: programs of which runs were skipped: %s\n", result->missed);
	if (result->tls.text[0])
		printf("note: %s\n", result->tls.text);
	printf("%s requests", unit_format_count(count, sizeof(count), ledger->count[LG_REQUESTS]));
	printf(" on %s connections",
	       unit_format_count(count, sizeof(count), ledger->count[LG_CONNECTIONS]));
	printf(" in %s (%s), %s operations; 'gait show %s' tells more\n",
	       unit_format_ns(time_text, sizeof(time_text), result->manifest.duration_ns),
	       end_texts[result->end],
	       unit_format_count(count, sizeof(count), ledger->count[LG_OPS]), path);
}

static void print_price(const struct manifest_price *p)
{
	char price[32], low[32], high[32];

	if (p->ns_per_request == TRACE_NONE) {
		puts("overhead: not measured, there was too little load or time for six rounds");
		return;
	}
	printf("overhead: %s of CPU per request (95%%: %s to %s, %lu rounds), %.1f%% of "
	       "throughput; a bystander's call %.0f ns instead of %.0f\n",
	       unit_format_ns(price, sizeof(price), p->ns_per_request),
	       unit_format_ns(low, sizeof(low), p->low_ns),
	       unit_format_ns(high, sizeof(high), p->high_ns), p->rounds, p->throughput_ppm / 1e4,
	       p->bystander_on_ps / 1e3, p->bystander_off_ps / 1e3);
}

static int report(const struct capture_opts *opts, const struct live_result *result,
		  const char *path)
{
	int rc = EXIT_FINE;

	if (opts->json)
		rc = print_summary_json(result, path);
	else
		print_summary(result, path);
	if (!opts->json && opts->measure_overhead)
		print_price(&result->manifest.price);
	if (rc == EXIT_FINE && result->command_failed) {
		cmd_complain("the command ended with an error");
		rc = EXIT_FAILED;
	}
	if (rc == EXIT_FINE && ledger_has_loss(&result->manifest.ledger))
		rc = EXIT_DOUBTFUL;
	return rc;
}

/* "1/N" */
static int parse_sample(const char *text, uint32_t *ret_sample, struct err *err)
{
	uint64_t n;

	if (!text)
		return 0;
	if (strncmp(text, "1/", 2) || unit_parse_u64(text + 2, 1, UINT32_MAX, &n, NULL))
		return err_set(err, EINVAL, "--sample is 1/N, as in 1/100, not '%s'", text);
	*ret_sample = n;
	return 0;
}

static int check_use(const struct capture_opts *opts, const struct live_opts *live,
		     const struct option_args *args, struct err *err)
{
	if (args->dashes > 0)
		return err_set(err, EINVAL, "'%s' is no option; a command stands behind --",
			       args->values[0]);
	if (opts->max_overhead && opts->measure_overhead)
		return err_set(err, EINVAL,
			       "--max-overhead cannot watch probes that "
			       "--measure-overhead detaches: use one of them");
	if (!opts->pids.count && !opts->names.count && !opts->ports.count && !opts->groups.count &&
	    !live->command)
		return err_set(err, EINVAL,
			       "what to capture? Name it with --port, --pid, --comm, --cgroup or "
			       "-- COMMAND");
	if (opts->ring_bytes &&
	    (opts->ring_bytes & (opts->ring_bytes - 1) || opts->ring_bytes < 4096))
		return err_set(err, EINVAL, "--ring must be a power of two from 4096 on");
	return capture_check_ebpf(opts, err);
}

int cmd_capture(int argc, char **argv)
{
	static struct live_opts live;
	static struct live_result result;
	struct capture_opts opts;
	struct option_args args;
	char filter[256], path[256];
	struct err err = { "" };
	int rc = cmd_parse(&options, argc, argv, &opts, &args);

	if (rc >= 0)
		return rc;
	live.command = args.count > args.dashes ? args.values + args.dashes : NULL;
	if (opts.with == WITH_PCAP)
		return capture_packets(&options, &opts, live.command || args.dashes > 0);
	if (check_use(&opts, &live, &args, &err) || parse_sample(opts.sample, &live.sample, &err) ||
	    (opts.max_overhead && budget_parse(opts.max_overhead, &live.budget, &err)))
		return cmd_misused(&options, &err);
	rc = choose(&opts, &live, &err);
	if (rc == -EINVAL || rc == -ERANGE)
		return cmd_misused(&options, &err);
	if (rc)
		return cmd_failed(&err);
	describe(&opts, live.command, filter, sizeof(filter));
	default_output(&live, path, sizeof(path));
	live.output = opts.output ? opts.output : path;
	live.duration_ns = opts.duration_ns;
	live.max_bytes = opts.max_bytes;
	live.ring_bytes = opts.ring_bytes;
	live.requests_only = opts.detail == DETAIL_REQUESTS;
	live.measure_overhead = opts.measure_overhead;
	live.replace = opts.force;
	live.progress = !opts.quiet && isatty(STDERR_FILENO);
	live.filter = filter;
	live.on_ready = opts.quiet ? NULL : capture_say_ready;
	live.stop = cmd_count_signals();
	rc = live_capture(&live, &result, &err);
	if (live.progress)
		fputc('\n', stderr);
	if (rc)
		return cmd_failed(&err);
	return report(&opts, &result, live.output);
}
