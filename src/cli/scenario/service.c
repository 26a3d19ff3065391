/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/reading.h"

#include <stdio.h>
#include <string.h>

const struct service *find_service(const struct reading *r, const char *name, size_t len)
{
	for (size_t i = 0; i < r->services_count; i++)
		if (strlen(r->services[i].name) == len && !memcmp(r->services[i].name, name, len))
			return &r->services[i];
	return NULL;
}

static int read_address(struct reading *r, const struct value *v, const char *text,
			char address[ADDRESS_TEXT_SIZE])
{
	const struct address_defaults defaults = { "localhost", CHAIN_PORT };
	struct address parsed;
	struct err why;
	int rc = pass_on(r, v, address_parse(text, &defaults, &parsed, &why), &why);

	if (!rc)
		address_format(&parsed, address);
	return rc;
}

static int read_service(struct reading *r, const yaml_node_pair_t *pair)
{
	struct value key = { yaml_document_get_node(&r->document, pair->key), "services" };
	struct value value = { yaml_document_get_node(&r->document, pair->value), "" };
	struct service *service = &r->services[r->services_count];
	const char *address = NULL;
	int rc = text_of(r, &key, &service->name);

	if (rc)
		return rc;
	snprintf(value.where, WHERE_BYTES, "services.%.60s", service->name);
	if (strpbrk(service->name, ",=:/ "))
		return complain(r, &key, "'%s' is no name: it has one of , = : / or a blank",
				service->name);
	if (find_service(r, service->name, strlen(service->name)))
		return complain(r, &key, "'%s' comes twice", service->name);
	rc = text_of(r, &value, &address);
	if (!rc)
		rc = read_address(r, &value, address, service->address);
	r->services_count++;
	return rc;
}

int read_services(struct reading *r, const struct value *v)
{
	int rc = 0;

	if (!v->node)
		return 0;
	if (v->node->type != YAML_MAPPING_NODE)
		return complain(r, v, "it must have 'name: address' each");
	for (yaml_node_pair_t *pair = v->node->data.mapping.pairs.start;
	     pair < v->node->data.mapping.pairs.top && !rc; pair++) {
		if (r->services_count == SCENARIO_SERVICES_MAX)
			return complain(r, v, "more than %d services", SCENARIO_SERVICES_MAX);
		rc = read_service(r, pair);
	}
	return rc;
}

int read_to(struct reading *r)
{
	const struct value *v = &r->load[LOAD_TO];
	const struct service *service;
	char address[ADDRESS_TEXT_SIZE];
	const char *text = NULL;
	int rc;

	if (!v->node && !r->services_count)
		return 0;
	if (!v->node)
		return complain(r, &r->top[TOP_SERVICES], "'to' must say which one clients call");
	rc = text_of(r, v, &text);
	if (rc)
		return rc;
	service = find_service(r, text, strlen(text));
	if (service)
		return add_option(r, "--to", service->address);
	rc = read_address(r, v, text, address);
	return rc ? rc : add_option(r, "--to", address);
}
