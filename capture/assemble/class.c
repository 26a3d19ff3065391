/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of requests: by the framer's verb, else by the kinds of their ops. */
#include "capture/assemble/assembly.h"

#include <stdio.h>
#include <string.h>

#define QUIET_MIN 20 /* undisturbed requests that a class needs to have its demand estimated */

static struct class *class_find(struct assembler *a, uint64_t service_id, const char *name)
{
	for (size_t i = 0; i < a->classes_count; i++)
		if (a->classes[i].row.service_id == service_id &&
		    !strncmp(a->classes[i].row.name, name, sizeof(a->classes[i].row.name) - 1))
			return &a->classes[i];
	return NULL;
}

static struct class *class_add(struct assembler *a, uint64_t service_id, const char *name,
			       const char *signature)
{
	struct class *class = &a->classes[a->classes_count++];

	class->row.class_id = a->classes_count;
	class->row.service_id = service_id;
	snprintf(class->row.name, sizeof(class->row.name), "%.31s", name);
	if (!a->opts.requests_only)
		snprintf(class->row.signature, sizeof(class->row.signature), "%s", signature);
	return class;
}

uint64_t class_of(struct assembler *a, struct request *r)
{
	const char *name = r->verb[0] ? r->verb : r->signature;
	uint64_t service_id = r->row.service_id;
	struct class *class;

	if (a->opts.requests_only)
		snprintf(r->signature, sizeof(r->signature), "requests");
	class = class_find(a, service_id, name);
	if (!class && a->classes_count >= CLASSES_MAX - SERVICES_MAX) {
		name = "other";
		class = class_find(a, service_id, name);
	}
	if (!class)
		class = class_add(a, service_id, name, r->signature);
	class->row.requests++;
	class->user_ns += r->user_ns;
	if (!r->disturbed) {
		class->quiet_ns += r->user_ns;
		class->quiet++;
	}
	return class->row.class_id;
}

/*
 * CPU time inflates when it is interrupted (caches, predictors): demand is what the
 * undisturbed requests of a class take, as a ratio to all of them.
 */
static uint64_t demand_ppm(const struct class *class)
{
	double all = class->row.requests ? class->user_ns / class->row.requests : 0;
	double quiet = class->quiet ? class->quiet_ns / class->quiet : 0;

	if (class->quiet < QUIET_MIN || quiet <= 0 || quiet > all)
		return 1000000;
	return (uint64_t)(quiet / all * 1e6 + 0.5);
}

void classes_finish(struct assembler *a)
{
	for (size_t i = 0; i < a->classes_count; i++) {
		a->classes[i].row.demand_ppm = demand_ppm(&a->classes[i]);
		assembly_write(a, TABLE_CLASSES, &a->classes[i].row);
	}
}
