/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/packet_summary.h"

#include "base/units.h"
#include "cli/cmd.h"

#include <stdio.h>

static int print_json(const struct packet_summary *s)
{
	const struct ledger *ledger = &s->manifest->ledger;
	struct json *json = json_new_object();
	struct err err;

	json_put_text(json, "trace", s->path);
	if (s->end)
		json_put_text(json, "end", s->end);
	json_put_int(json, "duration_ns", s->manifest->duration_ns);
	if (s->note[0])
		json_put_text(json, s->note_name, s->note);
	for (size_t i = 0; i < LG_COUNT; i++)
		if (ledger->count[i] || ledger_infos[i].severity == LEDGER_LOST)
			json_put_u64(json, ledger_infos[i].name, ledger->count[i]);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

static void print_text(const struct packet_summary *s)
{
	const struct ledger *ledger = &s->manifest->ledger;
	char requests[32], connections[32], packets[32], time[32];

	for (size_t i = 0; i < LG_COUNT; i++)
		if (ledger->count[i] && ledger_infos[i].severity != LEDGER_SEEN)
			printf("%s: %s %s\n",
			       ledger_infos[i].severity == LEDGER_LOST ? "LOST" : "note",
			       unit_format_count(requests, sizeof(requests), ledger->count[i]),
			       ledger_infos[i].text);
	if (s->note[0])
		printf("note: %s\n", s->note);
	printf("%s requests on %s connections in %s%s%s%s, of %s packets; 'gait show %s' tells "
	       "more\n",
	       unit_format_count(requests, sizeof(requests), ledger->count[LG_REQUESTS]),
	       unit_format_count(connections, sizeof(connections), ledger->count[LG_CONNECTIONS]),
	       unit_format_ns(time, sizeof(time), s->manifest->duration_ns), s->end ? " (" : "",
	       s->end ? s->end : "", s->end ? ")" : "",
	       unit_format_count(packets, sizeof(packets), ledger->count[LG_PACKETS]), s->path);
}

int packet_summary_print(const struct packet_summary *s)
{
	int code = EXIT_FINE;

	if (s->json)
		code = print_json(s);
	else
		print_text(s);
	return code == EXIT_FINE && ledger_has_loss(&s->manifest->ledger) ? EXIT_DOUBTFUL : code;
}
