/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/chain/chain.h"

#include <errno.h>

#define WORDS 4096

struct words {
	char *text;
	const char *word[WORDS];
	size_t count;
};

/* Splits at blanks; "''" is an empty word. */
static struct words split(const char *line)
{
	struct words w = { .text = strdup(line) };

	for (char *word = strtok(w.text, " "); word; word = strtok(NULL, " "))
		w.word[w.count++] = strcmp(word, "''") ? word : "";
	return w;
}

static int parse(struct chain *c, const char *line, bool lenient, struct err *err)
{
	static const struct spec_files files;
	struct chain_defaults defaults = chain_defaults();
	struct words w = split(line);
	int rc;

	defaults.files = &files;
	defaults.lenient = lenient;
	rc = chain_parse(c, w.word, w.count, &defaults, err);
	free(w.text);
	return rc;
}

/* The canonical text in one line; "" if it has none. */
static char *canonical(const struct chain *c)
{
	struct err err = { "" };
	struct buf out;
	char *text;

	buf_init(&out, CHAIN_TEXT_MAX);
	if (!CHECK_EQ(chain_format(c, &out, &err), 0))
		printf("#   %s\n", err.text);
	text = strdup(buf_text(&out));
	buf_release(&out);
	for (char *at = text; (at = strchr(at, '\n'));)
		*at = at[1] ? ' ' : '\0';
	return text;
}

#define FORWARD_TAIL ",timeout=10000000000ns,retry=0"
#define END "-R size=512"

static const struct {
	const char *line;
	const char *text;
} good[] = {
	{ "", END },
	{ "-R", END },
	{ "-R 64", "-R size=64" },
	{ "-R64", "-R size=64" },
	{ "--rs=64", "-R size=64" },
	{ "--rs 4k", "-R size=4000" },
	{ "-R exp:4k:max=8k", "-R size=exp:avg=4000:max=8000" },
	{ "-R sendfile,4k", "-R size=4000,sendfile,dev=0" },
	{ "-R dev=1,sendfile,4k", "-R size=4000,sendfile,dev=1" },
	{ "-R sendfile", "-R size=512,sendfile,dev=0" },
	{ "-C 10", "-C 10000ns " END },
	{ "-C10us -C=10us --comp-time 10us --comp-time=10us -R",
	  "-C 10000ns -C 10000ns -C 10000ns -C 10000ns " END },
	{ "-C exp:10ms:min=1", "-C exp:avg=10000000ns:min=1000ns " END },
	{ "--sleep 1ms", "--sleep 1000000ns " END },
	{ "--lock 5", "--lock 5000ns,id=0 " END },
	{ "--lock 5us,id=3", "--lock 5000ns,id=3 " END },
	{ "--memory 64ki", "--memory 65536 " END },
	{ "--kernel open", "--kernel open,count=1,dev=0 " END },
	{ "--kernel stat,count=unif:min=1:max=3,dev=2",
	  "--kernel stat,count=unif:min=1:max=3,dev=2 " END },
	{ "-L 4k", "-L size=4000,dev=0 " END },
	{ "-L size=4k,offset=1k,dev=1", "-L offset=1000,size=4000,dev=1 " END },
	{ "-L 1 --load-offset 17 -L 2 -L 3,offset=4 -L 5,offset=none --load-offset none -L 6",
	  "-L size=1,dev=0 -L offset=17,size=2,dev=0 -L offset=4,size=3,dev=0 -L size=5,dev=0 "
	  "-L size=6,dev=0 " END },
	{ "--load-offset unif:min=0:max=1g -R sendfile,1",
	  "-R offset=unif:min=0:max=1000000000,size=1,sendfile,dev=0" },
	{ "-S 4k", "-S size=4000,sync,dev=0 " END },
	{ "-S sync,4096", "-S size=4096,sync,dev=0 " END },
	{ "-S 4k,nosync", "-S size=4000,nosync,dev=0 " END },
	{ "-S offset=unif:min=0:max=9,nosync,size=exp:10,dev=15",
	  "-S offset=unif:min=0:max=9,size=exp:avg=10,nosync,dev=15 " END },
	{ "--store-offset=31 -S 65536", "-S offset=31,size=65536,sync,dev=0 " END },
	{ "--sync-data -C 1", "--sync-data dev=0 -C 1000ns " END },
	{ "--sync-data data -R", "--sync-data data,dev=0 " END },
	{ "--sync-data=dev=3,data", "--sync-data data,dev=3 " END },
	{ "-s 1 -C 1", "-s 1,prob=1,every=1 -C 1000ns " END },
	{ "--skip 2,prob=.5,every=3 -C 1 -C 2", "-s 2,prob=0.5,every=3 -C 1000ns -C 2000ns " END },
	/* a reply that may be skipped ends nothing */
	{ "-s 1,prob=0.5 -R 1 -R 2", "-s 1,prob=0.5,every=1 -R size=1 -R size=2" },
	{ "-s 1,prob=0.5 -R 1", "-s 1,prob=0.5,every=1 -R size=1 " END },
	{ "-F :1 -R", "-F localhost:1" FORWARD_TAIL ",nack=1,size=1024 " END " " END },
	{ "-F :1,udp::2,:1,timeout=5000,retry=2,nack=2,size=exp:9 -C 1 -R 7 -C 2 -R 8",
	  "-F localhost:1,udp://localhost:2,localhost:1,timeout=5000000ns,retry=2,nack=2,"
	  "size=exp:avg=9 -C 1000ns -R size=7 -C 2000ns -R size=8" },
	{ "-F :1 -F :2 -C 1 -R -R -R",
	  "-F localhost:1" FORWARD_TAIL ",nack=1,size=1024 -F localhost:2" FORWARD_TAIL
	  ",nack=1,size=1024 -C 1000ns " END " " END " " END },
	{ "-F :1,branch,nack=1 -C 1 -R -F :2,:3,branch -R",
	  "-F localhost:1" FORWARD_TAIL ",nack=1,size=1024,branch -C 1000ns " END
	  " -F localhost:2,localhost:3" FORWARD_TAIL ",nack=1,size=1024,branch " END
	  " " END },
	{ "-F :1,branch -R -F :2,:3,branch,retry=1 -R",
	  "-F localhost:1,timeout=10000000000ns,retry=1,nack=3,size=1024,branch " END
	  " -F localhost:2,localhost:3,timeout=10000000000ns,retry=1,nack=3,size=1024,"
	  "branch " END " " END },
	/* what stands between makes it another call */
	{ "-F :1,branch -R -C 1 -F :2,branch -R",
	  "-F localhost:1" FORWARD_TAIL ",nack=1,size=1024,branch " END
	  " -C 1000ns -F localhost:2" FORWARD_TAIL ",nack=1,size=1024,branch " END " " END },
};

static void test_canonical_text(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct chain c = { 0 }, again = { 0 };
		struct err err = { "" };
		char *text, *twice, *lines;

		check_case("%s", good[i].line);
		if (!CHECK_EQ(parse(&c, good[i].line, false, &err), 0)) {
			printf("#   %s\n", err.text);
			continue;
		}
		text = canonical(&c);
		CHECK_STR(text, good[i].text);
		/* and back, by lines and by words */
		CHECK_EQ(parse(&again, text, false, &err), 0);
		twice = canonical(&again);
		CHECK_STR(twice, text);
		chain_release(&again);
		free(twice);
		lines = strdup(text);
		for (char *at = lines; (at = strchr(at, ' '));)
			*at = '\n';
		CHECK_EQ(chain_parse_text(&again, lines, strlen(lines), &err), 0);
		twice = canonical(&again);
		CHECK_STR(twice, text);
		chain_release(&again);
		chain_release(&c);
		free(twice);
		free(text);
		free(lines);
	}
}

/* As DistWalk's own tests write them. */
static const struct {
	const char *line;
	const char *text;
} lenient[] = {
	{ "-C 1000 --skip=1,every=2 -F localhost:7892 -C 10ms",
	  "-C 1000000ns -s 1,prob=1,every=2 -F localhost:7892" FORWARD_TAIL
	  ",nack=1,size=1024 -C 10000000ns " END " " END },
	{ "-F :1,branch,nack=1 -C 5 -F:2,:3,branch -C 6 -R",
	  "-F localhost:1" FORWARD_TAIL ",nack=1,size=1024,branch -C 5000ns " END
	  " -F localhost:2,localhost:3" FORWARD_TAIL
	  ",nack=1,size=1024,branch -C 6000ns " END " " END },
	{ "-F :1 -C 5 -F :2 -C 6", "-F localhost:1" FORWARD_TAIL
				   ",nack=1,size=1024 -C 5000ns -F localhost:2" FORWARD_TAIL
				   ",nack=1,size=1024 -C 6000ns " END " " END " " END },
};

static void test_lenient(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(lenient); i++) {
		struct chain c = { 0 };
		struct err err = { "" };
		char *text;

		check_case("%s", lenient[i].line);
		if (!CHECK_EQ(parse(&c, lenient[i].line, true, &err), 0)) {
			printf("#   %s\n", err.text);
			continue;
		}
		text = canonical(&c);
		CHECK_STR(text, lenient[i].text);
		free(text);
		chain_release(&c);
		CHECK_EQ(parse(&c, lenient[i].line, false, &err), -EINVAL);
	}
}

static const struct {
	const char *line;
	int rc;
	const char *says;
} wrong[] = {
	{ "-R 64 -C 100ms", -EINVAL,
	  "word 3 of the chain, '-C': it stands behind the reply that ends the chain" },
	{ "-R 64 -R 64", -EINVAL, "word 3 of the chain, '-R': it stands behind the reply" },
	{ "-R --rs=64", -EINVAL, "word 2 of the chain, '--rs=64': it stands behind the reply" },
	{ "-C 1 -F :7892 -C 2", -EINVAL, "word 3 of the chain, '-F': this forward is not closed" },
	{ "-F :1 -F :2 -R", -EINVAL, "word 1 of the chain, '-F': this forward is not closed" },
	{ "-F :1 -s 1 -R", -EINVAL, "word 1 of the chain, '-F': this forward is not closed" },
	{ "-C", -EINVAL, "word 1 of the chain, '-C': it needs a value" },
	{ "-C ''", -EINVAL, "'' is not a time" },
	{ "-C ten", -EINVAL, "word 1 of the chain, '-C': 'ten' is not a time" },
	{ "-C -R", -EINVAL, "'-R' is not a time" },
	{ "-C 61s", -ERANGE, "'61s' is too much: at most 60000000000 ns" },
	{ "-R 1073741825", -ERANGE, "is too much: at most 1073741824" },
	{ "-X 1", -EINVAL, "word 1 of the chain, '-X': it is no op of a chain" },
	{ "-C 1 4k", -EINVAL, "word 3 of the chain, '4k': it is no op" },
	{ "--comp 1", -EINVAL, "it is no op" },
	{ "-L 4k,sync", -EINVAL, "word 1 of the chain, '-L': 'sync' has no place in it" },
	{ "-L dev=0", -EINVAL, "'' is not a size" },
	{ "-L 4k,dev=16", -ERANGE, "dev: '16' is not within 0 .. 15" },
	{ "-L 4k,dev=200", -ERANGE, "dev: '200'" },
	{ "-L size=4k,size=5k", -EINVAL, "'size=5k' has no place" },
	{ "-S 4k,sync,nosync", -EINVAL, "cannot be both" },
	{ "-S 4k,offset=x", -EINVAL, "'x' is not a size" },
	{ "-R dev=1,4k", -EINVAL, "dev and offset are of a sendfile" },
	{ "--kernel 3", -EINVAL, "it needs one of open, stat, close" },
	{ "--kernel open,stat", -EINVAL, "'stat' has no place" },
	{ "--lock 1,id=256", -ERANGE, "id: '256'" },
	{ "--sync-data 1", -EINVAL, "'1' has no place" },
	{ "-s 0", -ERANGE, "'0' is not within 1" },
	{ "-s 2 -C 1 -s 3 -C 2", -EINVAL,
	  "word 5 of the chain, '-s': it skips more ops than follow in its chain" },
	{ "-F :1 -s 2 -C 1 -R 1 -s 2 -R 2 -R 3", -EINVAL, "this forward is not closed" },
	{ "-s 1,prob=2 -C 1", -ERANGE, "'2' is too much: at most 1" },
	{ "-s 1,prob=exp:1 -C 1", -EINVAL, "prob must be one number" },
	{ "-s 1,every=0 -C 1", -ERANGE, "every: '0'" },
	{ "-s 1,2 -C 1", -EINVAL, "'2' has no place" },
	{ "-F timeout=5 -R", -EINVAL, "it needs an address" },
	{ "-F :1,timeout=0 -R", -EINVAL, "timeout must be one time above 0" },
	{ "-F :1,timeout=exp:1 -R", -EINVAL, "timeout must be one time above 0" },
	{ "-F :1,nack=2 -R", -ERANGE,
	  "word 1 of the chain, '-F': nack=2, but it goes to 1 addresses" },
	{ "-F :1,nack=0 -R", -ERANGE, "nack: '0'" },
	{ "-F :1,foo=2 -R", -EINVAL, "'foo=2' is no address" },
	{ "-F :1,branch,nack=1 -R -F :2,branch,nack=2 -R", -EINVAL, "must be equal" },
	{ "-C file:/nowhere/x", -ENOENT, "word 1 of the chain, '-C': cannot open '/nowhere/x'" },
};

static void test_complaints(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct chain c = { .count = 23 };
		struct err err = { "" };

		check_case("%s", wrong[i].line);
		CHECK_EQ(parse(&c, wrong[i].line, false, &err), wrong[i].rc);
		if (!CHECK(strstr(err.text, wrong[i].says)))
			printf("#   says: %s\n", err.text);
		CHECK_EQ(c.count, 23);
	}
}

/* "kind:amount ..." of what a request does from op `at` on. */
static const char *drawn(const struct chain *c, uint64_t request, uint32_t at)
{
	static char text[1024];
	struct plan_op ops[CHAIN_OPS_MAX];
	struct chain_request r;
	size_t used = 0;

	if (!CHECK_EQ(chain_draw(c, 5, request, at, ops, CHAIN_OPS_MAX, &r), 0))
		return "";
	text[0] = '\0';
	for (size_t i = 0; i < r.ops; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s:%llu",
					 i ? " " : "", op_kind_names[ops[i].kind],
					 (unsigned long long)(ops[i].work ? ops[i].work :
									    ops[i].bytes));
	return text;
}

static struct chain parsed(const char *line)
{
	struct chain c = { 0 };
	struct err err = { "" };

	if (!CHECK_EQ(parse(&c, line, false, &err), 0))
		printf("#   %s: %s\n", line, err.text);
	return c;
}

static void test_skip_every(void)
{
	struct chain c = parsed("-s 1,every=2 -C 1 -C 2 -s 2,every=3 -C 3 -F :1 -C 9 -R -C 4");

	/* DistWalk: in even requests it is skipped */
	CHECK_STR(drawn(&c, 0, 0), "compute:2000 compute:4000 reply:512");
	CHECK_STR(drawn(&c, 1, 0),
		  "compute:1000 compute:2000 compute:3000 forward:1024 compute:4000 reply:512");
	CHECK_STR(drawn(&c, 2, 0), "compute:2000 compute:3000 forward:1024 compute:4000 reply:512");
	CHECK_STR(drawn(&c, 3, 0), "compute:1000 compute:2000 compute:4000 reply:512");
	chain_release(&c);
}

static void test_skip_of_skip_and_of_reply(void)
{
	struct chain c = parsed("-s 2,every=2 -s 1,every=3 -C 1 -s 1,every=4 -R 1 -R 2");

	CHECK_STR(drawn(&c, 0, 0), "reply:2");		    /* the first skip, and the third */
	CHECK_STR(drawn(&c, 1, 0), "compute:1000 reply:1"); /* none */
	CHECK_STR(drawn(&c, 2, 0), "reply:1");		    /* the first */
	CHECK_STR(drawn(&c, 3, 0), "reply:1");		    /* the second */
	CHECK_STR(drawn(&c, 4, 0), "reply:2");
	chain_release(&c);
}

static void test_skip_with_probability(void)
{
	struct chain c = parsed("-s 1,prob=0.3 -C 1 -s 1,prob=0.3 -C 2");
	struct plan_op ops[CHAIN_OPS_MAX];
	struct chain_request r;
	int first = 0, both = 0;

	for (uint64_t i = 0; i < 10000; i++) {
		CHECK_EQ(chain_draw(&c, 9, i, 0, ops, CHAIN_OPS_MAX, &r), 0);
		first += ops[0].kind == OP_COMPUTE && ops[0].work == 1000;
		both += r.ops == 3;
	}
	CHECK_NEAR(first, 7000, 4 * sqrt(10000 * 0.3 * 0.7));
	CHECK_NEAR(both, 4900, 4 * sqrt(10000 * 0.49 * 0.51)); /* each decides for itself */
	chain_release(&c);
}

static void test_chains_within(void)
{
	struct chain c = parsed("-C 1 -F :1,:2,nack=1 -C 2 -F :3,size=9 -C 3 -R 3 -R 2 -R 1");
	struct plan_op ops[8];
	struct chain_request r;

	CHECK_STR(drawn(&c, 0, 0), "compute:1000 forward:1024 reply:1");
	CHECK_STR(drawn(&c, 0, 2), "compute:2000 forward:9 reply:2");
	CHECK_STR(drawn(&c, 0, 4), "compute:3000 reply:3");
	CHECK_EQ(chain_draw(&c, 0, 0, 1, ops, 8, &r), -EINVAL);
	CHECK_EQ(chain_draw(&c, 0, 0, 8, ops, 8, &r), -EINVAL);
	CHECK_EQ(chain_draw(&c, 0, 0, 0, ops, 2, &r), -ENOBUFS);
	CHECK_EQ(chain_draw(&c, 0, 0, 0, ops, 3, &r), 0);
	CHECK_EQ(ops[1].op_id, 2); /* so its chain begins at op 2 */
	CHECK_EQ(r.end, 8);
	CHECK_EQ(r.ops, 3);
	CHECK_EQ(c.ops[1].end, 7);
	CHECK_EQ(c.ops[1].forward->quorum, 1);
	CHECK_EQ(c.peers_count, 3);
	CHECK_EQ(c.peers[c.ops[3].forward->peers[0]].port, 3);
	chain_release(&c);
}

static void test_branches(void)
{
	struct chain c =
		parsed("-F :1,branch,nack=1 -C 2 -R 7 -F :2,:3,branch,size=5 -C 3 -R 8 -C 1");

	CHECK_STR(drawn(&c, 0, 0), "forward:1024 compute:1000 reply:512");
	CHECK_STR(drawn(&c, 0, 1), "compute:2000 reply:7");
	CHECK_STR(drawn(&c, 0, 4), "compute:3000 reply:8");
	CHECK_EQ(c.ops[0].forward->next_branch, 3);
	CHECK_EQ(c.ops[3].forward->next_branch, 0);
	CHECK_EQ(c.ops[3].forward->quorum, 1);
	CHECK_EQ(chain_forward_bytes(&c, 0, 0, 3), 5);
	CHECK_EQ(chain_behind(&c, 0), 6);
	chain_release(&c);
}

static void test_fields_of_ops(void)
{
	struct chain c =
		parsed("-S 4096,offset=17,dev=2 -L 5,dev=1 --sync-data data --kernel stat,count=3 "
		       "--lock 2us,id=7 --sleep 3us --memory 9 -C 4us -R sendfile,8,dev=3");
	static const struct plan_op want[] = {
		{ .kind = OP_STORE,
		  .flags = OPF_DSYNC,
		  .bytes = 4096,
		  .offset = 17,
		  .target_id = 3 },
		{ .kind = OP_LOAD, .bytes = 5, .offset = TRACE_NONE, .target_id = 2 },
		{ .kind = OP_SYNC, .flags = OPF_DSYNC, .offset = TRACE_NONE, .target_id = 1 },
		{ .kind = OP_KERNEL,
		  .flags = OPF_STAT,
		  .work = 3,
		  .offset = TRACE_NONE,
		  .target_id = 1 },
		{ .kind = OP_LOCK, .work = 5000, .offset = TRACE_NONE, .target_id = 7 },
		{ .kind = OP_SLEEP, .work = 3000, .offset = TRACE_NONE }, /* time, not work */
		{ .kind = OP_MEMORY, .bytes = 9, .offset = TRACE_NONE },
		{ .kind = OP_COMPUTE, .work = 10000, .offset = TRACE_NONE },
		{ .kind = OP_REPLY,
		  .flags = OPF_SENDFILE,
		  .bytes = 8,
		  .offset = TRACE_NONE,
		  .target_id = 4 },
	};
	struct plan_op got[CHAIN_OPS_MAX];
	struct chain_request r;

	c.work_per_ms = 2500000; /* 2.5 units a ns */
	CHECK_EQ(chain_draw(&c, 0, 0, 0, got, CHAIN_OPS_MAX, &r), 0);
	CHECK_EQ(r.ops, ARRAY_SIZE(want));
	CHECK_EQ(r.response_bytes, 8);
	CHECK_EQ(r.cut, 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		check_case("op %zu", i);
		CHECK_EQ(got[i].op_id, i + 1);
		CHECK_EQ(got[i].kind, want[i].kind);
		CHECK_EQ(got[i].flags, want[i].flags);
		CHECK_EQ(got[i].mode, PLAN_INLINE);
		CHECK_EQ(got[i].work, want[i].work);
		CHECK_EQ(got[i].bytes, want[i].bytes);
		CHECK_EQ(got[i].offset, want[i].offset);
		CHECK_EQ(got[i].target_id, want[i].target_id);
	}
	chain_release(&c);
}

/* Both ends draw the same, from text that went over the wire. */
static void test_drawn_alike_from_text(void)
{
	struct chain
		c = parsed(
			"-C exp:10us -L 1k,offset=unif:min=0:max=1m -s 1,prob=0.5 -C norm:5us:std=1us "
			"-F :1 -C lognorm:3us:std=2us -R gamma:k=0.5:scale=100 -R exp:1k"),
		other;
	struct buf text;

	buf_init(&text, CHAIN_TEXT_MAX);
	CHECK_EQ(chain_format(&c, &text, NULL), 0);
	CHECK_EQ(chain_parse_text(&other, text.data, text.len, NULL), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		for (uint32_t at = 0; at < 6; at += 5) {
			struct plan_op a[CHAIN_OPS_MAX] = { 0 }, b[CHAIN_OPS_MAX] = { 0 };
			struct chain_request r, s;

			CHECK_EQ(chain_draw(&c, 1, i, at, a, CHAIN_OPS_MAX, &r), 0);
			CHECK_EQ(chain_draw(&other, 1, i, at, b, CHAIN_OPS_MAX, &s), 0);
			CHECK_EQ(r.ops, s.ops);
			CHECK_MEM(a, b, sizeof(a[0]) * r.ops);
		}
	}
	buf_release(&text);
	chain_release(&c);
	chain_release(&other);
}

static void test_what_is_too_much_is_cut_and_counted(void)
{
	struct chain c = parsed("-C exp:30s -R exp:800m");
	struct plan_op ops[2];
	struct chain_request r;
	uint32_t cut = 0, over = 0;

	for (uint64_t i = 0; i < 1000; i++) {
		CHECK_EQ(chain_draw(&c, 1, i, 0, ops, 2, &r), 0);
		CHECK(ops[0].work <= CHAIN_TIME_MAX_NS);
		CHECK(ops[1].bytes <= CHAIN_BYTES_MAX);
		cut += r.cut;
		over += (ops[0].work == CHAIN_TIME_MAX_NS) + (ops[1].bytes == CHAIN_BYTES_MAX);
	}
	CHECK_EQ(cut, over);
	/* exp(-2) and exp(-1.342) of 1000 */
	CHECK_NEAR(cut, 135.3 + 261.3, 4 * sqrt(1000 * (0.117 + 0.193)));
	chain_release(&c);
}

static void repeat(char *line, const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++)
		line = stpcpy(line, word);
}

static const struct {
	const char *word;
	size_t most;	    /* times it may stand */
	const char *behind; /* then */
	const char *says;
} limits[] = {
	{ "-C 1 ", CHAIN_OPS_MAX - 1, "", "a chain has at most 1024 ops" },
	{ "-F :1 ", CHAIN_DEPTH_MAX, "-R -R -R -R -R -R -R -R -R -R -R -R -R -R -R -R -R",
	  "forwards are at most 16 deep" },
};

static void test_limits(void)
{
	static char line[64 * CHAIN_OPS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct chain c;
		struct err err = { "" };

		check_case("%s", limits[i].word);
		repeat(line, limits[i].word, limits[i].most);
		strcat(line, limits[i].behind);
		CHECK_EQ(parse(&c, line, false, &err), 0);
		chain_release(&c);
		repeat(line, limits[i].word, limits[i].most + 1);
		strcat(line, limits[i].behind);
		CHECK_EQ(parse(&c, line, false, &err), -ERANGE);
		if (!CHECK(strstr(err.text, limits[i].says)))
			printf("#   says: %s\n", err.text);
	}
}

static void test_addresses_have_limits(void)
{
	static char line[64 * CHAIN_PEERS_MAX];
	struct chain c;
	struct err err = { "" };

	for (int n = CHAIN_FORWARD_PEERS_MAX; n <= CHAIN_FORWARD_PEERS_MAX + 1; n++) {
		strcpy(line, "-F ");
		for (int i = 0; i < n; i++)
			sprintf(line + strlen(line), "%s:%d", i ? "," : "", i + 1);
		strcat(line, " -R");
		CHECK_EQ(parse(&c, line, false, &err), n > CHAIN_FORWARD_PEERS_MAX ? -ERANGE : 0);
		if (n <= CHAIN_FORWARD_PEERS_MAX)
			chain_release(&c);
	}
	CHECK(strstr(err.text, "a forward has at most 64 addresses"));
	for (int n = CHAIN_PEERS_MAX; n <= CHAIN_PEERS_MAX + 1; n++) {
		line[0] = '\0';
		for (int i = 0; i < n; i++)
			sprintf(line + strlen(line), "-F :%d -R ", i + 1);
		CHECK_EQ(parse(&c, line, false, &err), n > CHAIN_PEERS_MAX ? -ERANGE : 0);
		if (n <= CHAIN_PEERS_MAX)
			chain_release(&c);
	}
	CHECK(strstr(err.text, "a chain has at most 256 addresses"));
}

static void test_text_of_others(void)
{
	static const struct {
		const char *text;
		size_t len;
		int rc;
	} cases[] = {
		{ "-C\n1\n", 5, 0 },
		{ "-C\n1", 4, 0 },
		{ "-C\n10", 4, 0 }, /* no further than told */
		{ "", 0, 0 },
		{ "\n", 1, -EINVAL },
		{ "-C\n1\0", 5, -EINVAL },
		{ "-C\nfile:/etc/passwd\n", 20, -EACCES },
		{ "-C\nrow:1\n", 9, -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct chain c = { 0 };
		struct err err;

		check_case("text %zu", i);
		CHECK_EQ(chain_parse_text(&c, cases[i].text, cases[i].len, &err), cases[i].rc);
		if (i < 3)
			CHECK_STR(drawn(&c, 0, 0), "compute:1000 reply:512");
		chain_release(&c);
	}
}

static const struct {
	const char *word;
	enum chain_word is;
} words[] = {
	{ "-C", CHAIN_WORD_VALUE },	 { "-C1", CHAIN_WORD_WHOLE },
	{ "--rs", CHAIN_WORD_PERHAPS },	 { "--rs=1", CHAIN_WORD_WHOLE },
	{ "-R", CHAIN_WORD_PERHAPS },	 { "--sync-data", CHAIN_WORD_PERHAPS },
	{ "--sleep", CHAIN_WORD_VALUE }, { "--sleeps", CHAIN_WORD_OTHER },
	{ "-n", CHAIN_WORD_OTHER },	 { "--rss", CHAIN_WORD_OTHER },
	{ "C", CHAIN_WORD_OTHER },	 { "-", CHAIN_WORD_OTHER },
	{ "--", CHAIN_WORD_OTHER },	 { "", CHAIN_WORD_OTHER },
};

static void test_words(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		check_case("%s", words[i].word);
		CHECK_EQ(chain_word(words[i].word), words[i].is);
	}
}

int main(void)
{
	RUN(test_words);
	RUN(test_canonical_text);
	RUN(test_lenient);
	RUN(test_complaints);
	RUN(test_skip_every);
	RUN(test_skip_of_skip_and_of_reply);
	RUN(test_skip_with_probability);
	RUN(test_chains_within);
	RUN(test_branches);
	RUN(test_fields_of_ops);
	RUN(test_drawn_alike_from_text);
	RUN(test_what_is_too_much_is_cut_and_counted);
	RUN(test_limits);
	RUN(test_addresses_have_limits);
	RUN(test_text_of_others);
	return check_done();
}
