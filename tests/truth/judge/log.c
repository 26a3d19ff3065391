/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what the server wrote. Nobody else writes such files, so what is odd ends the program. */
#include "judge/judge.h"

static const char header[] =
	"connection,peer,request,bytes_in,bytes_out,read_start_ns,read_end_ns,"
	"reply_start_ns,reply_last_ns,reply_end_ns,read_tid,work_tid,reply_tid,ops,calls,burns\n";

#define FIELDS 16

static const struct {
	const char *name;
	enum op_kind kind;
	uint32_t flag;
} kinds[] = {
	{ "load", OP_LOAD, 0 },		 { "store", OP_STORE, 0 },
	{ "sync", OP_SYNC, 0 },		 { "open", OP_KERNEL, OPF_OPEN },
	{ "stat", OP_KERNEL, OPF_STAT }, { "close", OP_KERNEL, OPF_CLOSE },
	{ "forward", OP_FORWARD, 0 },	 { "reply", OP_REPLY, 0 },
};

_Noreturn static void odd(const char *what)
{
	fprintf(stderr, "judge: the log has '%s'\n", what);
	exit(2);
}

/* KIND:BYTES[/REPLY_BYTES]@[OFFSET|?][+] */
static struct log_op parse_op(const char *text)
{
	struct log_op op = { .offset = NO_OFFSET };
	const char *colon = strchr(text, ':'), *at = strchr(text, '@');
	size_t i = 0;

	while (i < sizeof(kinds) / sizeof(kinds[0]) && colon &&
	       (strncmp(kinds[i].name, text, colon - text) || kinds[i].name[colon - text]))
		i++;
	if (!colon || !at || i == sizeof(kinds) / sizeof(kinds[0]))
		odd(text);
	op.kind = kinds[i].kind;
	op.flag = kinds[i].flag;
	op.bytes = strtoull(colon + 1, NULL, 10);
	if (strchr(colon, '/'))
		op.reply_bytes = strtoull(strchr(colon, '/') + 1, NULL, 10);
	if (at[1] == '?')
		op.offset = ANY_OFFSET;
	else if (at[1] && at[1] != '+')
		op.offset = strtoll(at + 1, NULL, 10);
	op.after_reply = strchr(at, '+');
	return op;
}

static struct log_call parse_call(const char *text)
{
	struct log_call call;

	if (sscanf(text, "%lu/%lu@%lu/%lu", &call.bytes_out, &call.bytes_in, &call.port,
		   &call.number) != 4)
		odd(text);
	return call;
}

static struct log_burn parse_burn(const char *text)
{
	struct log_burn burn;

	if (sscanf(text, "%ld@%ld/%lu", &burn.ns, &burn.middle_ns, &burn.tid) != 3)
		odd(text);
	return burn;
}

static size_t words(const char *text)
{
	size_t count = *text != '\0';

	for (; *text; text++)
		count += *text == ' ';
	return count;
}

static void parse_lists(struct log_row *row, char *ops, char *calls, char *burns)
{
	char *word;

	row->ops = must_alloc(calloc(words(ops) + 1, sizeof(*row->ops)));
	row->calls = must_alloc(calloc(words(calls) + 1, sizeof(*row->calls)));
	row->burns = must_alloc(calloc(words(burns) + 1, sizeof(*row->burns)));
	while ((word = strsep(&ops, " ")) && *word)
		row->ops[row->ops_count++] = parse_op(word);
	while ((word = strsep(&calls, " ")) && *word)
		row->calls[row->calls_count++] = parse_call(word);
	while ((word = strsep(&burns, " ")) && *word)
		row->burns[row->burns_count++] = parse_burn(word);
}

static struct log_row parse_row(char *line)
{
	struct log_row row = { 0 };
	char *fields[FIELDS];

	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < FIELDS; i++) {
		fields[i] = strsep(&line, ",");
		if (!fields[i])
			odd("too few fields");
	}
	row.connection = strtoull(fields[0], NULL, 10);
	snprintf(row.peer, sizeof(row.peer), "%s", fields[1]);
	row.request = strtoull(fields[2], NULL, 10);
	row.bytes_in = strtoull(fields[3], NULL, 10);
	row.bytes_out = strtoull(fields[4], NULL, 10);
	row.read_end_ns = strtoll(fields[6], NULL, 10);
	row.reply_start_ns = strtoll(fields[7], NULL, 10);
	row.reply_last_ns = strtoll(fields[8], NULL, 10);
	row.reply_end_ns = strtoll(fields[9], NULL, 10);
	row.read_tid = strtoull(fields[10], NULL, 10);
	row.work_tid = strtoull(fields[11], NULL, 10);
	row.reply_tid = strtoull(fields[12], NULL, 10);
	parse_lists(&row, fields[13], fields[14], fields[15]);
	return row;
}

static int by_place(const void *left, const void *right)
{
	const struct log_row *a = left, *b = right;
	int order = strcmp(a->peer, b->peer);

	if (order)
		return order;
	if (a->connection != b->connection)
		return a->connection < b->connection ? -1 : 1;
	return a->request < b->request ? -1 : a->request > b->request;
}

void log_read(const char *path, struct log *ret_log)
{
	FILE *f = fopen(path, "re");
	size_t room = 0, capacity = 0;
	struct log log = { 0 };
	char *line = NULL;

	if (!f)
		die(path);
	if (getline(&line, &room, f) < 0 || strcmp(line, header))
		odd("another header");
	while (getline(&line, &room, f) > 0) {
		if (log.count == capacity) {
			capacity = capacity ? capacity * 2 : 1024;
			log.rows = must_alloc(realloc(log.rows, capacity * sizeof(*log.rows)));
		}
		log.rows[log.count++] = parse_row(line);
	}
	free(line);
	fclose(f);
	if (log.count)
		qsort(log.rows, log.count, sizeof(*log.rows), by_place);
	*ret_log = log;
}
