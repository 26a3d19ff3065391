/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/reading.h"

#include "replay/walk/walk.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_NAMES "to", "threads", "sessions", "timeout", "request", "classes", "phases"

enum client_field { CLIENT_NAME = LOAD_FIELDS, CLIENT_FIELDS };

static const char *const top_fields[TOP_FIELDS] = { LOAD_NAMES, "services", "seed", "clients" };
static const char *const client_fields[CLIENT_FIELDS] = { LOAD_NAMES, "name" };

static int read_number(struct reading *r, const struct value *v, const char *option, uint64_t min,
		       uint64_t max)
{
	uint64_t number;
	char text[32];
	int rc;

	if (!v->node)
		return 0;
	rc = number_of(r, v, min, max, &number);
	snprintf(text, sizeof(text), "%" PRIu64, rc ? 0 : number);
	return rc ? rc : add_option(r, option, text);
}

static int read_timeout(struct reading *r)
{
	const struct value *v = &r->load[LOAD_TIMEOUT];
	uint64_t ns;
	char text[32];
	int rc;

	if (!v->node)
		return 0;
	rc = duration_of(r, v, &ns);
	snprintf(text, sizeof(text), "%" PRIu64 "ns", rc ? 0 : ns);
	return rc ? rc : add_option(r, "--timeout", text);
}

static int read_request(struct reading *r)
{
	const struct value *v = &r->load[LOAD_REQUEST];
	const char *text = NULL;
	int rc;

	if (!v->node)
		return 0;
	rc = spec_of(r, v, SPEC_BYTES, &r->request_bytes);
	if (rc)
		return rc;
	r->has_size = true;
	text_of(r, v, &text);
	return add_option(r, "--ps", text);
}

static void forget_client(struct reading *r)
{
	for (size_t i = 0; i < r->parts_count; i++) {
		spec_release(&r->parts[i].request_bytes);
		chain_release(&r->parts[i].chain);
	}
	spec_release(&r->request_bytes);
	free(r->parts);
	free(r->steps);
	r->parts = NULL;
	r->steps = NULL;
	r->parts_count = r->steps_count = 0;
	r->has_size = false;
}

/* What r->load says, as the words of r->to. Options first, the chain last. */
static int read_load(struct reading *r, const struct value *seed)
{
	int rc = read_to(r);

	if (!rc)
		rc = read_number(r, &r->load[LOAD_THREADS], "--num-threads", 1, WALK_THREADS_MAX);
	if (!rc)
		rc = read_number(r, &r->load[LOAD_SESSIONS], "--num-sessions", 1,
				 WALK_SESSIONS_MAX);
	if (!rc)
		rc = read_number(r, seed, "--seed", 0, UINT64_MAX);
	if (!rc)
		rc = read_timeout(r);
	if (!rc)
		rc = read_request(r);
	if (!rc)
		rc = read_phases(r);
	if (!rc)
		rc = read_classes(r);
	forget_client(r);
	return rc;
}

/* It becomes part of the names of files. */
static int check_name(struct reading *r, const struct value *v, const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_-", *c))
			return complain(r, v, "a name has letters, digits, - and _ alone");
	for (const struct scenario_client *other = r->scenario->clients; other < r->to; other++)
		if (!strcmp(other->name, name))
			return complain(r, v, "'%s' comes twice", name);
	return 0;
}

static int read_client(struct reading *r, const struct value *item)
{
	struct value fields[CLIENT_FIELDS];
	int rc = fields_of(r, item, client_fields, CLIENT_FIELDS, fields);

	if (rc)
		return rc;
	r->to = &r->scenario->clients[r->scenario->count++];
	snprintf(r->to->name, sizeof(r->to->name), "client-%zu", r->scenario->count);
	if (fields[CLIENT_NAME].node)
		rc = name_of(r, &fields[CLIENT_NAME], r->to->name, sizeof(r->to->name));
	if (!rc)
		rc = check_name(r, fields[CLIENT_NAME].node ? &fields[CLIENT_NAME] : item,
				r->to->name);
	for (size_t i = 0; i < LOAD_FIELDS; i++)
		r->load[i] = fields[i].node ? fields[i] : r->top[i];
	return rc ? rc : read_load(r, &r->top[TOP_SEED]);
}

static int read_clients(struct reading *r)
{
	const struct value *v = &r->top[TOP_CLIENTS];

	r->scenario->clients = calloc(v->node ? SCENARIO_CLIENTS_MAX : 1, sizeof(*r->to));
	if (!r->scenario->clients)
		return no_memory(r);
	if (v->node)
		return each_item(r, v, SCENARIO_CLIENTS_MAX, read_client);
	r->to = r->scenario->clients;
	r->scenario->count = 1;
	memcpy(r->load, r->top, sizeof(r->load));
	return read_load(r, &r->top[TOP_SEED]);
}

static int read_document(struct reading *r)
{
	const struct value root = { yaml_document_get_root_node(&r->document), "" };
	int rc;

	if (!root.node)
		return complain_at(r, 1, "", "there is nothing in it");
	rc = fields_of(r, &root, top_fields, TOP_FIELDS, r->top);
	if (!rc)
		rc = read_services(r, &r->top[TOP_SERVICES]);
	return rc ? rc : read_clients(r);
}

static int parse(struct reading *r, const char *text, size_t bytes)
{
	yaml_parser_t parser;
	int rc = 0;

	if (!yaml_parser_initialize(&parser))
		return no_memory(r);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
	if (!yaml_parser_load(&parser, &r->document)) {
		rc = complain_at(r, parser.problem_mark.line + 1, "",
				 parser.problem ? parser.problem : "it is no YAML");
	} else {
		rc = read_document(r);
		yaml_document_delete(&r->document);
	}
	yaml_parser_delete(&parser);
	return rc;
}

static int read_file(const char *path, char **ret_text, size_t *ret_bytes, struct err *err)
{
	FILE *file = fopen(path, "r");
	char *text = malloc(SCENARIO_BYTES_MAX + 1);
	int rc = 0;

	if (!file || !text) {
		rc = err_errno(err, file ? ENOMEM : errno, "cannot open scenario '%s'", path);
	} else {
		*ret_bytes = fread(text, 1, SCENARIO_BYTES_MAX + 1, file);
		if (ferror(file))
			rc = err_errno(err, errno, "cannot read scenario '%s'", path);
		else if (*ret_bytes > SCENARIO_BYTES_MAX)
			rc = err_set(err, E2BIG, "scenario '%s' is longer than %u bytes", path,
				     SCENARIO_BYTES_MAX);
	}
	if (file)
		fclose(file);
	if (rc)
		free(text);
	else
		*ret_text = text;
	return rc;
}

int scenario_parse(const char *name, const char *text, size_t bytes, const struct spec_files *files,
		   struct scenario *ret_scenario, struct err *err)
{
	struct reading *r = calloc(1, sizeof(*r));
	struct scenario s = { 0 };
	int rc;

	if (!r)
		return err_set(err, ENOMEM, "not enough memory");
	r->path = name;
	r->files = files;
	r->scenario = &s;
	r->err = err;
	rc = parse(r, text, bytes);
	free(r);
	if (rc)
		scenario_release(&s);
	else
		*ret_scenario = s;
	return rc;
}

int scenario_load(const char *path, struct scenario *ret_scenario, struct err *err)
{
	const struct spec_files files = { 0 };
	size_t bytes = 0;
	char *text = NULL;
	int rc = read_file(path, &text, &bytes, err);

	if (!rc)
		rc = scenario_parse(path, text, bytes, &files, ret_scenario, err);
	free(text);
	return rc;
}

void scenario_release(struct scenario *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		struct scenario_client *client = &s->clients[i];

		words_release(&client->words);
		for (size_t k = 0; k < client->classes_count; k++)
			spec_release(&client->classes[k].request_bytes);
		free(client->classes);
	}
	free(s->clients);
	*s = (struct scenario){ 0 };
}
