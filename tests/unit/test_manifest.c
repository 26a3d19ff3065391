/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <errno.h>

static int parse(const char *text, struct manifest *ret_manifest, struct err *err)
{
	return manifest_from_json(text, strlen(text), ret_manifest, err);
}

static void test_round_trip(void)
{
	struct manifest *m = malloc(sizeof(*m)), *again = malloc(sizeof(*again));
	struct err err = { "" };
	char *text, *text_again;

	golden_manifest(m);
	m->tables[TABLE_REQUESTS].rows = 23;
	memset(m->tables[TABLE_REQUESTS].sha256, 'a', 64);
	text = manifest_to_json(m);
	if (CHECK_EQ(parse(text, again, &err), 0)) {
		text_again = manifest_to_json(again);
		CHECK_STR(text_again, text);
		CHECK_STR(again->hosts[0].cpu_model, "Example CPU 3000");
		CHECK_EQ(again->ledger.count[LG_OPS_UNSEEN], 2);
		CHECK_EQ(again->tables[TABLE_REQUESTS].rows, 23);
		free(text_again);
	}
	free(text);
	free(m);
	free(again);
}

static void test_unknown_is_null(void)
{
	struct manifest m;
	struct err err = { "" };
	char *text;

	manifest_init(&m);
	text = manifest_to_json(&m);
	CHECK(strstr(text, "\"probe_overhead_ns_per_request\": null") != NULL);
	CHECK_EQ(parse(text, &m, &err), 0);
	CHECK_EQ(m.price.ns_per_request, TRACE_NONE);
	CHECK_EQ(m.service_user_ns, TRACE_NONE);
	free(text);
}

/* A file name of the command line may be any bytes; JSON may not. */
static void test_bytes_that_are_no_utf8(void)
{
	struct manifest m;
	struct err err = { "" };
	char *text;

	manifest_init(&m);
	strcpy(m.origin, "caf\xe9.gait");
	text = manifest_to_json(&m);
	CHECK_EQ(parse(text, &m, &err), 0);
	CHECK_STR(m.origin, "caf?.gait");
	free(text);
}

#define SCHEMA "\"schema\": {\"major\": 1, \"minor\": 0}"

static const struct {
	const char *text;
	int code;
	const char *sentence;
} cases[] = {
	{ "{" SCHEMA "}", 0, "" },
	{ "{" SCHEMA ", \"colour\": [1, {\"a\": 2}]}", 0, "" },
	{ "{\"schema\": {\"major\": 1, \"minor\": 7}}", 0, "" },
	{ "{" SCHEMA ", \"hosts\": null, \"ledger\": null, \"tables\": {\"requests\": null}}", 0,
	  "" },
	{ "", EINVAL,
	  "the manifest is not JSON: line 1, column 0: '[' or '{' expected near end of file" },
	{ "[]", EINVAL, "manifest: no schema version, so this is no trace" },
	{ "{}", EINVAL, "manifest: no schema version, so this is no trace" },
	{ "{\"schema\": {\"major\": 2, \"minor\": 0}}", EPROTONOSUPPORT,
	  "the trace has schema 2, this gait reads up to 1: use the gait that wrote it (see 'tool' "
	  "in its manifest) or a newer one" },
	{ "{\"schema\": {\"major\": \"1\"}}", EINVAL, "manifest: 'major' is not a count" },
	{ "{" SCHEMA ", \"tool\": 7}", EINVAL, "manifest: 'tool' is not a text" },
	{ "{" SCHEMA ", \"duration_ns\": \"long\"}", EINVAL,
	  "manifest: 'duration_ns' is not a number of ns" },
	{ "{" SCHEMA ", \"hosts\": {}}", EINVAL, "manifest: 'hosts' is not a list" },
	{ "{" SCHEMA ", \"ledger\": {\"events\": -1}}", EINVAL,
	  "manifest: 'events' is not a count" },
	{ "{" SCHEMA ", \"hosts\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", E2BIG,
	  "manifest: 17 hosts, at most 16 are supported" },
};

static void test_parse(void)
{
	struct manifest *m = malloc(sizeof(*m));

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = { "" };

		check_case("%s", cases[i].text);
		CHECK_EQ(parse(cases[i].text, m, &err), -cases[i].code);
		CHECK_STR(err.text, cases[i].sentence);
	}
	free(m);
}

static void test_long_texts_are_cut(void)
{
	char text[600] = "{" SCHEMA ", \"source\": \"";
	struct manifest m;
	struct err err = { "" };

	memset(text + strlen(text), 's', 400);
	strcat(text, "\"}");
	CHECK_EQ(parse(text, &m, &err), 0);
	CHECK_EQ(strlen(m.source), sizeof(m.source) - 1);
}

static void test_nesting_is_limited(void)
{
	char text[400] = "";
	struct manifest m;
	struct err err = { "" };

	memset(text, '[', 200);
	CHECK_EQ(parse(text, &m, &err), -EINVAL);
	CHECK_STR(err.text, "the manifest is nested deeper than 64 levels");
}

/* Cut anywhere, it is no manifest. */
static void test_every_prefix(void)
{
	struct manifest *m = malloc(sizeof(*m));
	struct err err;
	char *text;

	golden_manifest(m);
	text = manifest_to_json(m);
	for (size_t len = 0; len + 2 < strlen(text); len += 7) {
		char *copy = malloc(len ? len : 1);

		memcpy(copy, text, len);
		check_case("prefix of %zu bytes", len);
		CHECK_EQ(manifest_from_json(copy, len, m, &err), -EINVAL);
		free(copy);
	}
	free(text);
	free(m);
}

static void test_host_here(void)
{
	struct manifest_host host;

	manifest_host_here(&host);
	CHECK(host.cpus > 0);
	CHECK(host.memory_bytes > 1 << 20);
	CHECK(host.kernel[0] != '\0');
	CHECK_EQ(strlen(host.boot_id), 36);
	CHECK(host.realtime_offset_start_ns != 0);
}

static void test_ledger(void)
{
	struct ledger a = { { 0 } }, b = { { 0 } };

	a.count[LG_REQUESTS] = 5;
	a.count[LG_OPS_UNSEEN] = 1;
	CHECK(!ledger_has_loss(&a));
	b.count[LG_EVENTS_LOST] = 2;
	b.count[LG_REQUESTS] = 3;
	ledger_merge(&a, &b);
	CHECK_EQ(a.count[LG_REQUESTS], 8);
	CHECK(ledger_has_loss(&a));
}

int main(void)
{
	RUN(test_round_trip);
	RUN(test_unknown_is_null);
	RUN(test_bytes_that_are_no_utf8);
	RUN(test_parse);
	RUN(test_long_texts_are_cut);
	RUN(test_nesting_is_limited);
	RUN(test_every_prefix);
	RUN(test_host_here);
	RUN(test_ledger);
	return check_done();
}
