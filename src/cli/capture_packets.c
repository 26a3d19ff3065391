/* SPDX-License-Identifier: Apache-2.0 */
/* gait capture --with pcap. */
#include "base/units.h"
#include "capture/packet/sniff.h"
#include "cli/capture.h"
#include "cli/cmd.h"
#include "cli/packet_summary.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Names the first option that was given of a list. */
struct given {
	bool is;
	const char *name;
};

static const char *first_given(const struct given *given, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (given[i].is)
			return given[i].name;
	return NULL;
}

int capture_check_ebpf(const struct capture_opts *opts, struct err *err)
{
	const struct given given[] = {
		{ opts->interface, "--interface" },
		{ opts->filter, "--filter" },
		{ opts->snap_bytes, "--snaplen" },
		{ opts->save, "--save" },
	};
	const char *name = first_given(given, sizeof(given) / sizeof(given[0]));

	if (!name)
		return 0;
	return err_set(err, EINVAL, "%s is for captures of packets: add --with pcap", name);
}

/* What packets do not show: whose process they are of, what it does, and what probes would cost. */
static int check_ebpf_options(const struct capture_opts *opts, bool has_command, struct err *err)
{
	const struct given given[] = {
		{ opts->pids.count, "--pid" },
		{ opts->names.count, "--comm" },
		{ opts->groups.count, "--cgroup" },
		{ has_command, "-- COMMAND" },
		{ opts->sample, "--sample" },
		{ opts->max_overhead, "--max-overhead" },
		{ opts->measure_overhead, "--measure-overhead" },
	};
	const char *name = first_given(given, sizeof(given) / sizeof(given[0]));

	if (!name)
		return 0;
	return err_set(
		err, EINVAL,
		"%s needs eBPF; --with pcap captures the packets of an --interface, by --port",
		name);
}

static int check_use(const struct capture_opts *opts, bool has_command, struct err *err)
{
	int rc = check_ebpf_options(opts, has_command, err);

	if (rc)
		return rc;
	if (!opts->interface)
		return err_set(
			err, EINVAL,
			"the packets of which interface? Name it with --interface, as eth0, lo, "
			"or any for all");
	if (!opts->ports.count)
		return err_set(err, EINVAL, "the packets of which service? Name its --port");
	if (opts->ring_bytes > INT_MAX)
		return err_set(err, EINVAL, "--ring of packets is less than 2G");
	return 0;
}

static int add_ports(struct sniff_opts *sniff, const struct option_list *ports, struct err *err)
{
	struct intake_opts *intake = &sniff->intake;
	uint64_t port;

	_Static_assert(OPTION_LIST_MAX <= INTERFACE_PORTS_MAX, "any list of ports fits");
	_Static_assert(OPTION_LIST_MAX <= INTAKE_SERVERS_MAX, "any list of ports fits");
	for (size_t i = 0; i < ports->count; i++) {
		int rc = unit_parse_u64(ports->items[i], 1, UINT16_MAX, &port, err);

		if (rc)
			return rc;
		sniff->interface.ports[sniff->interface.ports_count++] = (uint16_t)port;
		intake->servers[intake->servers_count].port = (uint16_t)port;
		intake->any_address[intake->servers_count++] = true;
	}
	return 0;
}

static void put(char *text, size_t size, const char *option, const char *value)
{
	size_t len = strlen(text);

	if (value)
		snprintf(text + len, size - len, "%s--%s %s", len ? " " : "", option, value);
}

/* What the user asked for, as the manifest keeps it. */
static void describe(const struct capture_opts *opts, char *text, size_t size)
{
	text[0] = 0;
	put(text, size, "interface", opts->interface);
	for (size_t i = 0; i < opts->ports.count; i++)
		put(text, size, "port", opts->ports.items[i]);
	put(text, size, "filter", opts->filter);
}

static int report(const struct capture_opts *opts, const struct sniff_result *result,
		  const char *path)
{
	static const char *const ends[] = {
		[SNIFF_STOPPED] = "stopped",
		[SNIFF_DURATION] = "time was up",
		[SNIFF_FULL] = "--max-size was reached",
		[SNIFF_GONE] = "the interface went away",
	};
	int code = packet_summary_print(&(struct packet_summary){
		.path = path,
		.manifest = &result->manifest,
		.end = ends[result->end],
		.note = result->gone.text,
		.note_name = "gone",
		.json = opts->json,
	});

	return code == EXIT_FINE && result->end == SNIFF_GONE ? EXIT_DOUBTFUL : code;
}

int capture_packets(const struct options *options, const struct capture_opts *opts,
		    bool has_command)
{
	static struct sniff_opts sniff;
	static struct sniff_result result;
	char description[256];
	struct err err = { "" };
	int rc;

	if (check_use(opts, has_command, &err) || add_ports(&sniff, &opts->ports, &err))
		return cmd_misused(options, &err);
	describe(opts, description, sizeof(description));
	sniff.intake.output = opts->output ? opts->output : "capture.gait";
	sniff.intake.replace = opts->force;
	sniff.intake.description = description;
	sniff.interface.name = opts->interface;
	sniff.interface.filter = opts->filter;
	sniff.interface.snap_bytes = (int)opts->snap_bytes;
	sniff.interface.buffer_bytes = (int)opts->ring_bytes;
	sniff.save = opts->save;
	sniff.duration_ns = opts->duration_ns;
	sniff.max_bytes = opts->max_bytes;
	sniff.progress = !opts->quiet && isatty(STDERR_FILENO);
	sniff.on_ready = opts->quiet ? NULL : capture_say_ready;
	sniff.stop = cmd_count_signals();
	rc = sniff_packets(&sniff, &result, &err);
	if (sniff.progress)
		fputc('\n', stderr);
	if (rc == -EINVAL)
		return cmd_misused(options, &err);
	return rc ? cmd_failed(&err) : report(opts, &result, sniff.intake.output);
}
