/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CLI_SCENARIO_READING_H
#define GAIT_CLI_SCENARIO_READING_H

#include "base/buf.h"
#include "cli/scenario/scenario.h"
#include "replay/chain/chain.h"

#include <yaml.h>

/* Inside the reader of scenarios. Functions that may fail say why in reading.err. */
#define WHERE_BYTES 96

/* A value of the file and what it is called: "classes[1].weight". */
struct value {
	const yaml_node_t *node; /* NULL: it is not there */
	char where[WHERE_BYTES];
};

/* What a client does: fields of the scenario, or of each of its clients. */
enum load_field {
	LOAD_TO,
	LOAD_THREADS,
	LOAD_SESSIONS,
	LOAD_TIMEOUT,
	LOAD_REQUEST,
	LOAD_CLASSES,
	LOAD_PHASES,
	LOAD_FIELDS
};

enum top_field { TOP_SERVICES = LOAD_FIELDS, TOP_SEED, TOP_CLIENTS, TOP_FIELDS };

struct service {
	const char *name;
	char address[ADDRESS_TEXT_SIZE];
};

struct part {
	char name[32];
	double weight;
	struct value value, ops;
	bool has_size;
	struct spec request_bytes;
	struct chain chain;
};

struct graph; /* graph.c */

/* A rate that holds so long. */
struct step {
	double rate;
	uint64_t ns;
};

struct reading {
	const char *path;
	const struct spec_files *files;
	struct err *err;
	yaml_document_t document;
	struct service services[SCENARIO_SERVICES_MAX];
	size_t services_count;
	struct value top[TOP_FIELDS];
	struct scenario *scenario;

	/* Of the client that is being read. */
	struct scenario_client *to;
	struct value load[LOAD_FIELDS];
	bool has_size; /* of requests whose class does not say */
	struct spec request_bytes;
	struct part *parts;
	size_t parts_count;
	struct step *steps;
	size_t steps_count;
	struct graph *graph; /* of the ops that are being read */
};

/* --- value.c ------------------------------------------------------------------------------- */

int complain_at(struct reading *r, unsigned long line, const char *where, const char *why);
int complain(struct reading *r, const struct value *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What another parser says of a value. */
int pass_on(struct reading *r, const struct value *v, int rc, const struct err *why);
int no_memory(struct reading *r);

int text_of(struct reading *r, const struct value *v, const char **ret_text);
int number_of(struct reading *r, const struct value *v, uint64_t min, uint64_t max,
	      uint64_t *ret_number);
int duration_of(struct reading *r, const struct value *v, uint64_t *ret_ns);
int spec_of(struct reading *r, const struct value *v, enum spec_unit unit, struct spec *ret_spec);

/* A name that fits into size bytes. */
int name_of(struct reading *r, const struct value *v, char *ret_name, size_t size);

/* The values of a mapping by the index of their names; those that lack have no node. */
int fields_of(struct reading *r, const struct value *v, const char *const *names, size_t count,
	      struct value *ret_values);

/* Calls fn with each item of a list of 1 to max. */
int each_item(struct reading *r, const struct value *list, size_t max,
	      int (*fn)(struct reading *r, const struct value *item));

/* Into the words of the client. */
int add_word(struct reading *r, const char *word, size_t len);
int add_option(struct reading *r, const char *name, const char *value);

/* --- the fields, a file each --------------------------------------------------------------- */

int read_services(struct reading *r, const struct value *v);
int read_to(struct reading *r);
const struct service *find_service(const struct reading *r, const char *name, size_t len);

int read_classes(struct reading *r);
int read_phases(struct reading *r);

/* The words of a class's ops, with addresses for the names of services, are added. */
int read_ops(struct reading *r, const struct value *v, struct words *w);
int read_graph(struct reading *r, const struct value *v, struct words *w);
int read_words(struct reading *r, const struct value *v, struct words *w); /* of one text */

#endif
