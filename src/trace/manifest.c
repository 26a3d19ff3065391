/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/manifest.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum member_type {
	MEMBER_TEXT,  /* char[size] */
	MEMBER_COUNT, /* uint64_t */
	MEMBER_TIME,  /* int64_t; TRACE_NONE is null */
};

/* A member of the JSON text and where it lives in the struct. */
struct member {
	const char *section; /* object within the manifest; NULL: the manifest itself */
	const char *name;
	enum member_type type;
	size_t offset;
	size_t size;
};

#define MEMBER(section, name, type, owner, field)                   \
	{                                                           \
		section, name, type, offsetof(struct owner, field), \
			sizeof(((struct owner *)0)->field)          \
	}
#define TEXT(section, name, field) MEMBER(section, name, MEMBER_TEXT, manifest, field)
#define COUNT(section, name, field) MEMBER(section, name, MEMBER_COUNT, manifest, field)
#define TIME(section, name, field) MEMBER(section, name, MEMBER_TIME, manifest, field)

static const struct member manifest_members[] = {
	TEXT(NULL, "tool", tool),
	TEXT(NULL, "source", source),
	TEXT(NULL, "filter", filter),
	TEXT(NULL, "started_at", started_at),
	TIME(NULL, "start_monotonic_ns", start_monotonic_ns),
	TIME(NULL, "duration_ns", duration_ns),
	TEXT(NULL, "attribution", attribution),
	TEXT(NULL, "detail", detail),
	TEXT(NULL, "assumed", assumed),
	COUNT(NULL, "sample_one_in", sample_one_in),
	TIME(NULL, "probe_overhead_ns_per_request", price.ns_per_request),
	COUNT("probe_price", "rounds", price.rounds),
	TIME("probe_price", "low_ns", price.low_ns),
	TIME("probe_price", "high_ns", price.high_ns),
	TIME("probe_price", "throughput_ppm", price.throughput_ppm),
	TIME("probe_price", "bystander_on_ps", price.bystander_on_ps),
	TIME("probe_price", "bystander_off_ps", price.bystander_off_ps),
	COUNT("calibration", "work_per_ms", work_per_ms),
	TEXT("calibration", "demand_method", demand_method),
	TIME("service_cpu", "user_ns", service_user_ns),
	TIME("service_cpu", "kernel_ns", service_kernel_ns),
	TEXT("run", "batching", batching),
	TEXT("run", "origin", origin),
	TEXT("run", "origin_sha256", origin_sha256),
	TEXT("run", "load", load),
	COUNT("run", "warm_up_ns", warm_up_ns),
	TEXT("run", "warm_up_rule", warm_up_rule),
	TEXT("run", "verdict", verdict),
};

#define HOST(name, type) MEMBER(NULL, #name, type, manifest_host, name)

static const struct member host_members[] = {
	HOST(host_id, MEMBER_COUNT),
	HOST(name, MEMBER_TEXT),
	HOST(boot_id, MEMBER_TEXT),
	HOST(kernel, MEMBER_TEXT),
	HOST(cpu_model, MEMBER_TEXT),
	HOST(cpus, MEMBER_COUNT),
	HOST(memory_bytes, MEMBER_COUNT),
	HOST(clock_source, MEMBER_TEXT),
	HOST(mitigations, MEMBER_TEXT),
	HOST(cgroup_cpu_quota, MEMBER_TEXT),
	HOST(realtime_offset_start_ns, MEMBER_TIME),
	HOST(realtime_offset_end_ns, MEMBER_TIME),
	HOST(work_per_ms, MEMBER_COUNT),
	HOST(clock_offset_ns, MEMBER_TIME),
	HOST(clock_drift_ppb, MEMBER_TIME),
	HOST(clock_bound_ns, MEMBER_TIME),
};

static const struct member table_members[] = {
	MEMBER(NULL, "rows", MEMBER_COUNT, manifest_table, rows),
	MEMBER(NULL, "sha256", MEMBER_TEXT, manifest_table, sha256),
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

void manifest_price_init(struct manifest_price *price)
{
	*price = (struct manifest_price){
		0, TRACE_NONE, TRACE_NONE, TRACE_NONE, TRACE_NONE, TRACE_NONE, TRACE_NONE,
	};
}

void manifest_init(struct manifest *m)
{
	memset(m, 0, sizeof(*m));
	m->schema_major = TRACE_SCHEMA_MAJOR;
	m->schema_minor = TRACE_SCHEMA_MINOR;
	m->service_user_ns = TRACE_NONE;
	m->service_kernel_ns = TRACE_NONE;
	manifest_price_init(&m->price);
}

/* The object that a member lives in, made when it is not there yet; NULL: no memory. */
static struct json *section_get(struct json *root, const char *section)
{
	struct json *made;

	if (!section)
		return root;
	if (json_get(root, section))
		return (struct json *)json_get(root, section);
	made = json_new_object();
	return made && !json_put(root, section, made) ? made : NULL;
}

static int put_member(struct json *object, const struct member *member, const void *from)
{
	uint64_t count;
	int64_t time;

	switch (member->type) {
	case MEMBER_TEXT:
		return json_put_text(object, member->name, from);
	case MEMBER_COUNT:
		memcpy(&count, from, sizeof(count));
		return json_put_u64(object, member->name, count);
	case MEMBER_TIME:
		memcpy(&time, from, sizeof(time));
		return json_put_int(object, member->name, time);
	}
	return -EINVAL;
}

static int put_members(struct json *root, const struct member *members, size_t count,
		       const void *owner)
{
	for (size_t i = 0; i < count; i++) {
		struct json *object = section_get(root, members[i].section);

		if (!object ||
		    put_member(object, &members[i], (const char *)owner + members[i].offset))
			return -ENOMEM;
	}
	return 0;
}

/* A child object under `name` (of an object) or at the end (of an array). */
static struct json *new_child(struct json *parent, const char *name)
{
	struct json *child = json_new_object();

	if (!child)
		return NULL;
	if (name ? json_put(parent, name, child) : json_add(parent, child))
		return NULL;
	return child;
}

static int put_schema(struct json *root, const struct manifest *m)
{
	struct json *schema = new_child(root, "schema");

	if (!schema || json_put_u64(schema, "major", m->schema_major))
		return -ENOMEM;
	return json_put_u64(schema, "minor", m->schema_minor);
}

static int put_hosts(struct json *root, const struct manifest *m)
{
	struct json *hosts = json_new_array();

	if (!hosts || json_put(root, "hosts", hosts))
		return -ENOMEM;
	for (uint32_t i = 0; i < m->hosts_count; i++) {
		struct json *host = new_child(hosts, NULL);

		if (!host || put_members(host, host_members, COUNT_OF(host_members), &m->hosts[i]))
			return -ENOMEM;
	}
	return 0;
}

static int put_ledger(struct json *root, const struct manifest *m)
{
	struct json *ledger = new_child(root, "ledger");

	for (int i = 0; ledger && i < LG_COUNT; i++) {
		if (json_put_u64(ledger, ledger_infos[i].name, m->ledger.count[i]))
			return -ENOMEM;
	}
	return ledger ? 0 : -ENOMEM;
}

static int put_tables(struct json *root, const struct manifest *m)
{
	struct json *all = new_child(root, "tables");

	for (int t = 0; all && t < TABLE_COUNT; t++) {
		struct json *table;

		if (tables[t].optional && !m->tables[t].sha256[0])
			continue;
		table = new_child(all, tables[t].name);
		if (!table ||
		    put_members(table, table_members, COUNT_OF(table_members), &m->tables[t]))
			return -ENOMEM;
	}
	return all ? 0 : -ENOMEM;
}

char *manifest_to_json(const struct manifest *m)
{
	struct json *root = json_new_object();
	char *text = NULL;

	if (root && !put_schema(root, m) &&
	    !put_members(root, manifest_members, COUNT_OF(manifest_members), m) &&
	    !put_hosts(root, m) && !put_ledger(root, m) && !put_tables(root, m))
		text = json_to_text(root);
	json_free(root);
	return text;
}

static int wrong_type(const char *name, const char *want, struct err *err)
{
	return err_set(err, EINVAL, "manifest: '%s' is not %s", name, want);
}

static int get_count(const struct json *object, const char *name, uint64_t *ret_count,
		     struct err *err)
{
	int64_t value;

	if (json_get_int(object, name, 0, &value) || value < 0)
		return wrong_type(name, "a count", err);
	*ret_count = (uint64_t)value;
	return 0;
}

static int get_member(const struct json *object, const struct member *member, char *to,
		      struct err *err)
{
	const char *text;
	int64_t time;
	uint64_t count = 0;

	switch (member->type) {
	case MEMBER_TEXT:
		if (json_get_text(object, member->name, "", &text))
			return wrong_type(member->name, "a text", err);
		snprintf(to, member->size, "%s", text);
		return 0;
	case MEMBER_COUNT:
		if (get_count(object, member->name, &count, err))
			return -EINVAL;
		memcpy(to, &count, sizeof(count));
		return 0;
	case MEMBER_TIME:
		if (json_get_int(object, member->name, TRACE_NONE, &time))
			return wrong_type(member->name, "a number of ns", err);
		memcpy(to, &time, sizeof(time));
		return 0;
	}
	return -EINVAL;
}

static int get_members(const struct json *root, const struct member *members, size_t count,
		       void *owner, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		const char *section = members[i].section;

		rc = get_member(section ? json_get(root, section) : root, &members[i],
				(char *)owner + members[i].offset, err);
	}
	return rc;
}

static int get_schema(const struct json *root, struct manifest *m, struct err *err)
{
	const struct json *schema = json_get(root, "schema");
	uint64_t major = 0, minor = 0;

	if (get_count(schema, "major", &major, err) || get_count(schema, "minor", &minor, err))
		return -EINVAL;
	if (!major)
		return err_set(err, EINVAL, "manifest: no schema version, so this is no trace");
	if (major > TRACE_SCHEMA_MAJOR)
		return err_set(
			err, EPROTONOSUPPORT,
			"the trace has schema %llu, this gait reads up to %d: "
			"use the gait that wrote it (see 'tool' in its manifest) or a newer one",
			(unsigned long long)major, TRACE_SCHEMA_MAJOR);
	m->schema_major = (uint32_t)major;
	m->schema_minor = minor > UINT32_MAX ? UINT32_MAX : (uint32_t)minor;
	return 0;
}

static int get_hosts(const struct json *root, struct manifest *m, struct err *err)
{
	const struct json *hosts = json_get(root, "hosts");
	size_t count = json_length(hosts);
	int rc = 0;

	if (hosts && !json_holds_items(hosts))
		return wrong_type("hosts", "a list", err);
	if (count > MANIFEST_HOSTS_MAX)
		return err_set(err, E2BIG, "manifest: %zu hosts, at most %d are supported", count,
			       MANIFEST_HOSTS_MAX);
	for (size_t i = 0; i < count && !rc; i++)
		rc = get_members(json_at(hosts, i), host_members, COUNT_OF(host_members),
				 &m->hosts[i], err);
	m->hosts_count = (uint32_t)count;
	return rc;
}

static int get_ledger(const struct json *root, struct manifest *m, struct err *err)
{
	const struct json *ledger = json_get(root, "ledger");
	int rc = 0;

	for (int i = 0; i < LG_COUNT && !rc; i++)
		rc = get_count(ledger, ledger_infos[i].name, &m->ledger.count[i], err);
	return rc;
}

static int get_tables(const struct json *root, struct manifest *m, struct err *err)
{
	const struct json *all = json_get(root, "tables");
	int rc = 0;

	for (int t = 0; t < TABLE_COUNT && !rc; t++)
		rc = get_members(json_get(all, tables[t].name), table_members,
				 COUNT_OF(table_members), &m->tables[t], err);
	return rc;
}

static int get_all(const struct json *root, struct manifest *m, struct err *err)
{
	int rc = get_schema(root, m, err);

	if (!rc)
		rc = get_members(root, manifest_members, COUNT_OF(manifest_members), m, err);
	if (!rc)
		rc = get_hosts(root, m, err);
	if (!rc)
		rc = get_ledger(root, m, err);
	return rc ? rc : get_tables(root, m, err);
}

int manifest_from_json(const char *text, size_t len, struct manifest *ret_manifest, struct err *err)
{
	struct manifest m;
	struct json *root;
	int rc = json_from_text(text, len, "the manifest", &root, err);

	if (rc)
		return rc;
	manifest_init(&m);
	rc = get_all(root, &m, err);
	json_free(root);
	if (!rc)
		*ret_manifest = m;
	return rc;
}
