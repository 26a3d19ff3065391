/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "report/tree.h"

/* Every function returns 0, or non-zero when memory ran out. */
static const char *name_of(const struct summary *s, uint64_t service_id)
{
	for (size_t i = 0; i < s->services_count; i++)
		if (s->services[i].row.service_id == service_id)
			return s->services[i].row.name;
	return "";
}

/* Sums over the band, as those of `breakdown`. */
static int put_band(struct json *object, const struct tree *tree, const struct tree_place *place,
		    int kind)
{
	const struct tree_place *root = &tree->places[place->root];
	const struct summary_band *band = &place->bands[kind];
	struct json *rows;
	int rc = !object || json_put_text(object, "band", summary_band_names[kind]) ||
		 json_put_u64(object, "root_requests", root->bands[kind].requests) ||
		 json_put_int(object, "root_total_ns", root->root_ns[kind]) ||
		 json_put_int(object, "total_ns", band->total_ns) ||
		 json_put_int(object, "unattributed_ns", band->unattributed_ns);

	rows = rc ? NULL : json_put_object(object, "subsystems_ns");
	for (int i = 0; i < SUB_COUNT && rows && !rc; i++)
		rc = json_put_int(rows, subsystems[i].name, band->ns[i]);
	return !rows || rc;
}

static int put_place(struct json *object, const struct tree *tree, const struct tree_place *place,
		     const struct summary *s)
{
	struct json *bands;
	int64_t above = place->above == CALL_TREE_NONE ? INT64_MIN : (int64_t)place->above;
	int rc = !object || json_put_u64(object, "service_id", place->service_id) ||
		 json_put_text(object, "name", name_of(s, place->service_id)) ||
		 json_put_int(object, "called_by", above) ||
		 json_put_u64(object, "requests", place->requests);

	bands = rc ? NULL : json_put_array(object, "bands");
	rc = !bands;
	for (int i = 0; i < BAND_COUNT && !rc; i++)
		rc = put_band(json_add_object(bands), tree, place, i);
	return rc;
}

static uint64_t host_of(const struct manifest *m, uint32_t clock)
{
	return clock < m->hosts_count ? m->hosts[clock].host_id : 0;
}

static int put_clocks(struct json *object, const struct tree_clocks *clocks,
		      const struct manifest *m)
{
	int rc = !object || json_put_u64(object, "host_id", host_of(m, clocks->a)) ||
		 json_put_u64(object, "other_host_id", host_of(m, clocks->b)) ||
		 json_put_u64(object, "calls", clocks->bounds.count) ||
		 json_put_bool(object, "bounded", clocks->good);

	if (rc || !clocks->good)
		return rc;
	return json_put_int(object, "offset_ns", clocks->line.offset_ns) ||
	       json_put_int(object, "bound_ns", clocks->line.bound_ns);
}

struct json *tree_to_json(const struct tree *tree, const struct summary *s,
			  const struct manifest *m)
{
	struct json *root = json_new_object(), *places, *clocks;
	int rc = !root || json_put_bool(root, "too_large", tree->too_large) ||
		 json_put_u64(root, "calls", tree->calls.waits) ||
		 json_put_u64(root, "calls_replaced", tree->calls.waits_replaced) ||
		 json_put_u64(root, "requests_beside", tree->calls.beside);

	places = rc ? NULL : json_put_array(root, "places");
	clocks = places ? json_put_array(root, "clocks") : NULL;
	rc = !clocks;
	for (size_t i = 0; i < tree->places_count && !rc; i++)
		rc = put_place(json_add_object(places), tree, &tree->places[i], s);
	for (size_t i = 0; i < tree->calls.clocks_count && !rc; i++)
		rc = put_clocks(json_add_object(clocks), &tree->calls.clocks[i], m);
	if (!rc)
		return root;
	json_free(root);
	return NULL;
}
