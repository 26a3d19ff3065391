/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "capture/packet/import.h"
#include "cli/cmd.h"
#include "cli/packet_summary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct import_cmd_opts {
	struct option_list ports, servers;
	const char *output, *filter;
	bool force, quiet, json;
};

static const struct option_spec specs[] = {
	{ "output", 'o', OPTION_TEXT, OPTION_AT(import_cmd_opts, output), .metavar = "X.gait",
	  .help = "where the trace goes" },
	{ "port", 'P', OPTION_LIST, OPTION_AT(import_cmd_opts, ports), .metavar = "PORT", .min = 1,
	  .max = UINT16_MAX,
	  .help = "connections to that TCP or UDP port alone; default: all, and who opens one is "
		  "the client" },
	{ "server", 0, OPTION_LIST, OPTION_AT(import_cmd_opts, servers), .metavar = "ADDR:PORT",
	  .help = "connections to that end alone" },
	{ "filter", 0, OPTION_TEXT, OPTION_AT(import_cmd_opts, filter), .metavar = "EXPR",
	  .help = "packets that match alone, in tcpdump's words, as 'host 10.0.0.7'" },
	{ "force", 'f', OPTION_FLAG, OPTION_AT(import_cmd_opts, force),
	  .help = "replace a trace of that name" },
	{ "quiet", 'q', OPTION_FLAG, OPTION_AT(import_cmd_opts, quiet), .help = "no progress" },
	{ "json", 'j', OPTION_FLAG, OPTION_AT(import_cmd_opts, json),
	  .help = "the summary for scripts" },
};

static const struct options options = {
	.command = "import",
	.synopsis = "pcap FILE... -o X.gait",
	.about =
		"Makes a trace of captured packets, where nothing may be loaded on the service's "
		"host: pcap and pcapng, also packed by gzip or zstd, or - for standard input. "
		"Several files are one capture, by their stamps. Requests, replies, sizes and "
		"times are those at the place of the capture; a request from the address of "
		"another service is a call of one of its requests. What a service computed or "
		"stored, packets do not show. No payload is stored. Exits with 3 when packets are "
		"missing.",
	.examples = "  tcpdump -i eth0 -s 256 -w shop.pcap port 8080\n"
		    "  gait import pcap shop.pcap --port 8080 -o shop.gait\n"
		    "  gait import pcap day-*.pcap.gz --filter 'not net 10.9' -o day.gait\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
	.args_min = 2,
	.args_max = -1,
};

/* The next row of intake->servers; NULL: there is none left. */
static struct packet_end *add_server(struct intake_opts *intake, struct err *err)
{
	if (intake->servers_count < INTAKE_SERVERS_MAX)
		return &intake->servers[intake->servers_count++];
	err_set(err, E2BIG, "at most %d --port and --server", INTAKE_SERVERS_MAX);
	return NULL;
}

static int add_ports(struct intake_opts *intake, const struct option_list *ports, struct err *err)
{
	struct packet_end *end;
	uint64_t port;
	int rc = 0;

	for (size_t i = 0; i < ports->count && !rc; i++) {
		rc = unit_parse_u64(ports->items[i], 1, UINT16_MAX, &port, err);
		if (rc)
			break;
		end = add_server(intake, err);
		if (!end)
			return -E2BIG;
		end->port = (uint16_t)port;
		intake->any_address[intake->servers_count - 1] = true;
	}
	return rc;
}

/* Names are not looked up: packets have numbers. */
static int parse_address(const char *host, struct packet_end *end, struct err *err)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (inet_pton(AF_INET, host, end->address + 12) == 1) {
		memcpy(end->address, mapped, sizeof(mapped));
		return 0;
	}
	if (inet_pton(AF_INET6, host, end->address) == 1)
		return 0;
	return err_set(err, EINVAL,
		       "--server takes an address and a port, as 10.0.0.7:80 or [fd00::7]:80, and "
		       "'%s' is no address",
		       host);
}

static int add_servers(struct intake_opts *intake, const struct option_list *servers,
		       struct err *err)
{
	char host[UNIT_HOST_SIZE];
	struct packet_end *end;
	uint16_t port;
	int rc = 0;

	for (size_t i = 0; i < servers->count && !rc; i++) {
		rc = unit_parse_endpoint(servers->items[i], host, &port, err);
		if (rc)
			break;
		end = add_server(intake, err);
		if (!end)
			return -E2BIG;
		end->port = port;
		rc = parse_address(host, end, err);
	}
	return rc;
}

static void join(char *text, size_t size, const char *option, const char *value)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s--%s %s", len ? " " : "", option, value);
}

/* What the user asked for, as the manifest keeps it: no names of files. */
static void describe(const struct import_cmd_opts *opts, char *text, size_t size)
{
	text[0] = 0;
	for (size_t i = 0; i < opts->ports.count; i++)
		join(text, size, "port", opts->ports.items[i]);
	for (size_t i = 0; i < opts->servers.count; i++)
		join(text, size, "server", opts->servers.items[i]);
	if (opts->filter)
		join(text, size, "filter", opts->filter);
}

static int import_pcap(const struct import_cmd_opts *opts, char **files, size_t count)
{
	static struct import_opts import;
	static struct import_result result;
	struct err err = { "" };
	char text[256];
	int rc;

	if (add_ports(&import.intake, &opts->ports, &err) ||
	    add_servers(&import.intake, &opts->servers, &err))
		return cmd_misused(&options, &err);
	describe(opts, text, sizeof(text));
	import.files = (const char *const *)files;
	import.files_count = count;
	import.filter = opts->filter;
	import.intake.output = opts->output;
	import.intake.replace = opts->force;
	import.intake.description = text;
	import.progress = !opts->quiet && isatty(STDERR_FILENO);
	import.stop = cmd_count_signals();
	rc = import_packets(&import, &result, &err);
	if (import.progress)
		fputc('\n', stderr);
	if (rc)
		return cmd_failed(&err);
	return packet_summary_print(&(struct packet_summary){
		.path = opts->output,
		.manifest = &result.manifest,
		.note = result.cut.text,
		.note_name = "cut",
		.json = opts->json,
	});
}

int cmd_import(int argc, char **argv)
{
	struct option_args args;
	struct import_cmd_opts opts;
	struct err err;
	int code = cmd_parse(&options, argc, argv, &opts, &args);

	if (code >= 0)
		return code;
	if (strcmp(args.values[0], "pcap"))
		err_set(&err, EINVAL, "there is no format '%s'; there is: pcap", args.values[0]);
	else if (!opts.output)
		err_set(&err, EINVAL, "where does the trace go? Name it with -o X.gait");
	else
		return import_pcap(&opts, args.values + 1, (size_t)args.count - 1);
	return cmd_misused(&options, &err);
}
