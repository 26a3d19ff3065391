/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "cli/cmd.h"
#include "replay/proxy/proxy.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_NS (3600 * NS_PER_SEC)
#define BUFFER_BYTES (1 << 20)
#define BUFFER_BYTES_MIN 4096
#define BUFFER_BYTES_MAX (1 << 30)

/* --- gait proxy ------------------------------------------------------------------------------ */

struct proxy_cmd_opts {
	const char *bind, *to;
	const char *delay_back; /* a text: 0 is not the same as none */
	uint64_t delay_ns, frag_bytes, buffer_bytes;
	bool no_spin, json;
};

static const struct option_spec specs[] = {
	{ "bind", 'b', OPTION_TEXT, OPTION_AT(proxy_cmd_opts, bind), .metavar = "ADDRESS",
	  .help = "where clients come in: HOST:PORT or unix:///PATH (127.0.0.1:0: any free port)" },
	{ "to", '\0', OPTION_TEXT, OPTION_AT(proxy_cmd_opts, to), .metavar = "ADDRESS",
	  .help = "the server: HOST:PORT or unix:///PATH" },
	{ "delay", 'd', OPTION_DURATION, OPTION_AT(proxy_cmd_opts, delay_ns), .metavar = "TIME",
	  .max = DELAY_MAX_NS,
	  .help = "of what goes to the server, and back unless told otherwise" },
	{ "delay-back", '\0', OPTION_TEXT, OPTION_AT(proxy_cmd_opts, delay_back), .metavar = "TIME",
	  .help = "of what goes back to the client" },
	{ "frag", 'f', OPTION_BYTES, OPTION_AT(proxy_cmd_opts, frag_bytes), .metavar = "BYTES",
	  .help = "writes of at most so many, both ways" },
	{ "buffer", '\0', OPTION_BYTES, OPTION_AT(proxy_cmd_opts, buffer_bytes), .metavar = "BYTES",
	  .fallback = BUFFER_BYTES, .min = BUFFER_BYTES_MIN, .max = BUFFER_BYTES_MAX,
	  .help = "under way in each direction of a connection" },
	{ "no-spin", '\0', OPTION_FLAG, OPTION_AT(proxy_cmd_opts, no_spin),
	  .help = "sleep until a delay is over: less exact, less CPU" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(proxy_cmd_opts, json),
	  .help = "address and statistics as JSON" },
};

static const struct options options = {
	.command = "proxy",
	.synopsis = "",
	.about =
		"Passes connections on to a server, each byte, each end of a half and each reset a "
		"fixed time after it came. Prints \"listening on ADDRESS\" when it is ready, and "
		"statistics when it is interrupted and at SIGUSR1.",
	.examples = "gait proxy --bind 127.0.0.1:6380 --to 127.0.0.1:6379 --delay 5ms\n"
		    "gait proxy -b 127.0.0.1:6380 --to unix:///run/redis.sock -d 1ms "
		    "--delay-back 20ms -f 100\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

static const struct proxy_address_defaults defaults = { "127.0.0.1", -1 };

/* --- what it prints -------------------------------------------------------------------------- */

static const char *const way_names[PROXY_SIDES] = { "client to server", "server to client" };
static const char *const way_keys[PROXY_SIDES] = { "client_to_server", "server_to_client" };

static const char *reason_text(const struct proxy_reason *reason)
{
	return reason->code ? strerror(reason->code) : "other reasons";
}

static char *count_text(char *text, uint64_t count)
{
	return unit_format_count(text, UNIT_TEXT_SIZE, count);
}

static void print_way(const char *name, const struct proxy_way_stats *way)
{
	char received[UNIT_TEXT_SIZE], sent[UNIT_TEXT_SIZE], lost[UNIT_TEXT_SIZE];
	char writes[UNIT_TEXT_SIZE], full[UNIT_TEXT_SIZE], resets[UNIT_TEXT_SIZE];

	printf("%s  %s bytes in, %s out by %s writes, %s lost; full %s times, %s resets\n", name,
	       count_text(received, way->received_bytes), count_text(sent, way->sent_bytes),
	       count_text(writes, way->writes), count_text(lost, way->lost_bytes),
	       count_text(full, way->full), count_text(resets, way->resets));
}

static void print_late(const struct hist *late_ns)
{
	char p50[UNIT_TEXT_SIZE], p99[UNIT_TEXT_SIZE], max[UNIT_TEXT_SIZE];

	if (!hist_count(late_ns))
		return;
	printf("late              p50 %s, p99 %s, max %s\n",
	       unit_format_ns(p50, sizeof(p50), (int64_t)hist_value_at_percentile(late_ns, 50)),
	       unit_format_ns(p99, sizeof(p99), (int64_t)hist_value_at_percentile(late_ns, 99)),
	       unit_format_ns(max, sizeof(max), (int64_t)hist_max(late_ns)));
}

static void print_text(const struct proxy_stats *stats)
{
	char all[UNIT_TEXT_SIZE], open[UNIT_TEXT_SIZE], failed[UNIT_TEXT_SIZE];
	char away[UNIT_TEXT_SIZE];

	printf("connections       %s accepted, %s open, %s could not be opened to the server, "
	       "%s turned away\n",
	       count_text(all, stats->connections), count_text(open, stats->open),
	       count_text(failed, stats->failed), count_text(away, stats->turned_away));
	for (size_t i = 0; i < PROXY_REASONS_MAX && stats->reasons[i].count; i++)
		printf("not opened        %s: %s\n", count_text(all, stats->reasons[i].count),
		       reason_text(&stats->reasons[i]));
	for (size_t side = 0; side < PROXY_SIDES; side++)
		print_way(way_names[side], &stats->ways[side]);
	print_late(&stats->late_ns);
}

static struct json *reasons_json(const struct proxy_stats *stats)
{
	struct json *array = json_new_array();

	for (size_t i = 0; i < PROXY_REASONS_MAX && stats->reasons[i].count; i++) {
		struct json *row = json_new_object();

		json_put_text(row, "reason", reason_text(&stats->reasons[i]));
		json_put_u64(row, "count", stats->reasons[i].count);
		json_add(array, row);
	}
	return array;
}

static struct json *way_json(const struct proxy_way_stats *way)
{
	struct json *object = json_new_object();

	json_put_u64(object, "received_bytes", way->received_bytes);
	json_put_u64(object, "sent_bytes", way->sent_bytes);
	json_put_u64(object, "lost_bytes", way->lost_bytes);
	json_put_u64(object, "writes", way->writes);
	json_put_u64(object, "full", way->full);
	json_put_u64(object, "resets", way->resets);
	return object;
}

static struct json *late_json(const struct hist *late_ns)
{
	struct json *object = json_new_object();

	json_put_u64(object, "count", hist_count(late_ns));
	json_put_u64(object, "p50_ns", hist_value_at_percentile(late_ns, 50));
	json_put_u64(object, "p99_ns", hist_value_at_percentile(late_ns, 99));
	json_put_u64(object, "max_ns", hist_max(late_ns));
	return object;
}

static int print_json(const struct proxy_stats *stats, struct err *err)
{
	struct json *object = json_new_object();

	json_put_u64(object, "connections", stats->connections);
	json_put_u64(object, "open", stats->open);
	json_put_u64(object, "turned_away", stats->turned_away);
	json_put_u64(object, "failed", stats->failed);
	json_put(object, "reasons", reasons_json(stats));
	for (size_t side = 0; side < PROXY_SIDES; side++)
		json_put(object, way_keys[side], way_json(&stats->ways[side]));
	json_put(object, "late", late_json(&stats->late_ns));
	return cmd_print_json(object, err);
}

static int print_stats(const struct proxy *p, bool json, struct err *err)
{
	int rc = 0;

	if (json)
		rc = print_json(proxy_stats(p), err);
	else
		print_text(proxy_stats(p));
	fflush(stdout);
	return rc;
}

/* What a script waits for, and what its user should know. */
static int announce(const struct proxy *p, bool json, struct err *err)
{
	const struct proxy_sockaddrs *at = proxy_listens_at(p);
	struct json *list = json_new_array(), *object = json_new_object();
	char text[PROXY_ADDRESS_TEXT_SIZE];
	int rc = 0;

	for (size_t i = 0; i < at->count; i++) {
		proxy_sockaddr_format(&at->items[i], text, sizeof(text));
		if (!proxy_sockaddr_is_local(&at->items[i]))
			cmd_complain("whoever can reach %s can reach the server too", text);
		if (!json)
			printf("listening on %s\n", text);
		json_add_text(list, text);
	}
	json_put(object, "listening", list);
	if (json)
		rc = cmd_print_json(object, err);
	else
		json_free(object);
	fflush(stdout);
	return rc;
}

/* --- running --------------------------------------------------------------------------------- */

static struct proxy *running; /* for the signal handler */

static void on_signal(int signal)
{
	int code = errno;

	if (signal == SIGUSR1)
		proxy_ask(running);
	else
		proxy_stop(running);
	errno = code;
}

static void heed_signals(struct proxy *p)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1 };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	running = p;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static int serve(struct proxy *p, bool json, struct err *err)
{
	int rc = announce(p, json, err);

	while (!rc && proxy_run(p) == PROXY_ASKED)
		rc = print_stats(p, json, err);
	proxy_close_all(p);
	return rc ? rc : print_stats(p, json, err);
}

static int run(const struct proxy_opts *opts, bool json)
{
	struct proxy *p;
	struct err err;
	int rc = proxy_new(opts, &p, &err);

	if (rc)
		return cmd_failed(&err);
	heed_signals(p);
	rc = serve(p, json, &err);
	proxy_free(p);
	return rc ? cmd_failed(&err) : EXIT_FINE;
}

static int take_delay_back(const char *text, uint64_t delay_ns, struct proxy_opts *opts,
			   struct err *err)
{
	uint64_t back_ns = delay_ns;
	struct err why;

	if (text && unit_parse_duration(text, &back_ns, &why))
		return err_set(err, EINVAL, "--delay-back: %s", why.text);
	if (back_ns > DELAY_MAX_NS)
		return err_set(err, EINVAL, "--delay-back: '%s' is more than an hour", text);
	opts->delay_ns[PROXY_CLIENT] = (int64_t)delay_ns;
	opts->delay_ns[PROXY_SERVER] = (int64_t)back_ns;
	return 0;
}

static int take_addresses(const char *bind, const char *to,
			  const struct proxy_address_defaults *missing, struct proxy_opts *opts,
			  struct err *err)
{
	int rc = proxy_address_parse(bind, missing, &opts->bind, err);

	return rc ? rc : proxy_address_parse(to, missing, &opts->to, err);
}

int cmd_proxy(int argc, char **argv)
{
	struct proxy_cmd_opts given;
	struct proxy_opts opts = { 0 };
	struct option_args args;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &given, &args);

	if (code >= 0)
		return code;
	if (!given.to) {
		err_set(&err, EINVAL, "where to? --to ADDRESS is missing");
		return cmd_misused(&options, &err);
	}
	opts.frag_bytes = given.frag_bytes;
	opts.buffer_bytes = given.buffer_bytes;
	opts.no_spin = given.no_spin;
	if (take_addresses(given.bind ? given.bind : ":0", given.to, &defaults, &opts, &err) ||
	    take_delay_back(given.delay_back, given.delay_ns, &opts, &err))
		return cmd_misused(&options, &err);
	return run(&opts, given.json);
}

/* --- dw_proxy: DistWalk's command line ------------------------------------------------------- */

struct dw_proxy_opts {
	const char *bind, *to;
	uint64_t delay_ms, frag_bytes;
};

#define DW_PORT 7891

static const struct option_spec dw_specs[] = {
	{ "bind", 'b', OPTION_TEXT, OPTION_AT(dw_proxy_opts, bind), .metavar = "ADDR[:PORT]",
	  .help = "where clients come in (localhost:7891)" },
	{ "to", '\0', OPTION_TEXT, OPTION_AT(dw_proxy_opts, to), .metavar = "ADDR[:PORT]",
	  .help = "the server (localhost:7891)" },
	{ "delay", 'd', OPTION_U64, OPTION_AT(dw_proxy_opts, delay_ms), .metavar = "MSEC",
	  .max = DELAY_MAX_NS / NS_PER_MS,
	  .help = "of what goes to the server; what comes back is not delayed" },
	{ "frag", 'f', OPTION_BYTES, OPTION_AT(dw_proxy_opts, frag_bytes), .metavar = "BYTES",
	  .help = "writes of at most so many, both ways" },
};

static const struct options dw_options = {
	.command = "dw_proxy",
	.is_program = true,
	.synopsis = "",
	.about = "gait proxy with the command line of DistWalk's dw_proxy.",
	.examples = "dw_proxy -b :7892 --to :7893 -d 10\n",
	.specs = dw_specs,
	.specs_count = sizeof(dw_specs) / sizeof(dw_specs[0]),
};

static const struct proxy_address_defaults dw_defaults = { "127.0.0.1", DW_PORT };

int cmd_dw_proxy(int argc, char **argv)
{
	struct proxy_opts opts = { .buffer_bytes = BUFFER_BYTES };
	struct dw_proxy_opts given;
	struct option_args args;
	struct err err;
	int code = cmd_parse(&dw_options, argc, argv, &given, &args);

	if (code >= 0)
		return code;
	opts.frag_bytes = given.frag_bytes;
	opts.delay_ns[PROXY_CLIENT] = (int64_t)(given.delay_ms * NS_PER_MS);
	if (take_addresses(given.bind ? given.bind : ":7891", given.to ? given.to : ":7891",
			   &dw_defaults, &opts, &err))
		return cmd_misused(&dw_options, &err);
	return run(&opts, false);
}
