/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/chain/chain.h"
#include "replay/chain/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX (4 * CHAIN_OPS_MAX)

enum given { GIVEN_TIMEOUT = 1, GIVEN_RETRIES = 2, GIVEN_QUORUM = 4 };

/* The chain that a -R will end. */
struct level {
	uint32_t forward;     /* the -F whose block it is; of the outermost: none */
	uint32_t start;	      /* index of its first op */
	uint32_t commands;    /* ops that a skip would count, so far */
	uint32_t covered;     /* commands up to this one may be skipped */
	uint32_t branch_head; /* of the branches right before, if there are */
	uint32_t branch_last;
	bool branches;
	bool closed;
};

struct parser {
	struct chain c;
	const struct chain_defaults *defaults;
	struct spec load_offset, store_offset; /* SPEC_NONE: there is none */
	const char *const *words;
	size_t words_count;
	size_t at; /* of the option; errors name it */
	uint8_t given[CHAIN_OPS_MAX];
	size_t word_of[CHAIN_OPS_MAX];
	struct level levels[CHAIN_DEPTH_MAX + 1];
	size_t depth;
	struct err why;
};

static int parse_spec(struct parser *p, const char *text, enum spec_unit unit, uint64_t max,
		      struct spec *to)
{
	struct spec s;
	int rc = spec_parse(&s, text, unit, p->defaults->files, &p->why);

	if (rc)
		return rc;
	if (s.kind == SPEC_CONST && s.param[0] > (double)max) {
		spec_release(&s);
		return err_set(&p->why, ERANGE, "'%.*s' is too much: at most %llu%s", QUOTED_MAX,
			       text, (unsigned long long)max, unit == SPEC_NS ? " ns" : "");
	}
	spec_release(to);
	*to = s;
	return 0;
}

static struct level *level_of(struct parser *p)
{
	return &p->levels[p->depth];
}

/* A new op at the end, with nothing in it that needs a release. */
static int add_op(struct parser *p, uint32_t kind, struct chain_op **ret_op)
{
	struct chain *c = &p->c;

	if (p->levels[0].closed)
		return err_set(&p->why, EINVAL,
			       "it stands behind the reply that ends the chain, and would never be "
			       "done: put it in front of the -R");
	if (c->count == CHAIN_OPS_MAX)
		return err_set(&p->why, ERANGE, "a chain has at most %d ops", CHAIN_OPS_MAX);
	c->ops[c->count] = (struct chain_op){
		.kind = kind,
		.end = (uint32_t)c->count + 1,
		.skip = { .every = 1, .prob = 1 },
	};
	p->word_of[c->count] = p->at;
	*ret_op = &c->ops[c->count++];
	return 0;
}

/* Whether a skip may pass over it. */
static bool count_command(struct parser *p)
{
	struct level *level = level_of(p);

	level->branches = false;
	return ++level->commands <= level->covered;
}

static int add_command(struct parser *p, uint32_t kind, struct chain_op **ret_op)
{
	int rc = add_op(p, kind, ret_op);

	if (!rc)
		count_command(p);
	return rc;
}

static int blame(struct parser *p, uint32_t index, const char *text)
{
	p->at = p->word_of[index];
	return err_set(&p->why, EINVAL, "%s", text);
}

/* Where the skips of the level that ends here go on. */
static int resolve_skips(struct parser *p)
{
	struct chain *c = &p->c;

	for (uint32_t i = level_of(p)->start; i < c->count; i = chain_behind(c, i)) {
		uint32_t to = i + 1;

		if (c->ops[i].kind != CHAIN_SKIP)
			continue;
		for (uint32_t n = c->ops[i].skip.ops; n; n--) {
			if (to >= c->count)
				return blame(p, i, "it skips more ops than follow in its chain");
			to = chain_behind(c, to);
		}
		c->ops[i].end = to;
	}
	return 0;
}

/* The level's reply is there: back to the one around it. */
static int close_level(struct parser *p)
{
	uint32_t forward = level_of(p)->forward;
	int rc = resolve_skips(p);

	if (rc)
		return rc;
	if (!p->depth) {
		level_of(p)->closed = true;
		return 0;
	}
	p->depth--;
	p->c.ops[forward].end = (uint32_t)p->c.count;
	level_of(p)->branches = p->c.ops[forward].forward->branch;
	level_of(p)->branch_last = forward;
	return 0;
}

/* A reply that nobody wrote; no skip reaches it. */
static int close_by_default(struct parser *p)
{
	struct chain_op *op;
	int rc = resolve_skips(p);

	if (!rc)
		rc = add_op(p, OP_REPLY, &op);
	if (!rc && spec_copy(&op->amount, &p->defaults->reply))
		rc = err_set(&p->why, ENOMEM, "not enough memory");
	return rc ? rc : close_level(p);
}

static int parse_time(struct parser *p, const char *value, uint32_t kind)
{
	struct chain_op *op = NULL;
	int rc = add_command(p, kind, &op);

	return rc ? rc : parse_spec(p, value, SPEC_NS, CHAIN_TIME_MAX_NS, &op->amount);
}

static int parse_memory(struct parser *p, const char *value, uint32_t kind)
{
	struct chain_op *op = NULL;
	int rc = add_command(p, kind, &op);

	return rc ? rc : parse_spec(p, value, SPEC_BYTES, CHAIN_BYTES_MAX, &op->amount);
}

/* The rest take fields. */
typedef int (*fields_fn)(struct parser *p, struct fields *f, struct chain_op *op);

static int take_device(struct parser *p, struct fields *f, struct chain_op *op)
{
	int rc = fields_number(f, "dev", 0, CHAIN_DEVICES_MAX - 1, &op->device, &p->why);

	return rc < 0 ? rc : 0;
}

static int op_lock(struct parser *p, struct fields *f, struct chain_op *op)
{
	int rc = fields_number(f, "id", 0, CHAIN_LOCKS_MAX - 1, &op->device, &p->why);
	char *time = fields_bare(f);

	if (rc < 0)
		return rc;
	return parse_spec(p, time ? time : "", SPEC_NS, CHAIN_TIME_MAX_NS, &op->amount);
}

static int op_kernel(struct parser *p, struct fields *f, struct chain_op *op)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} classes[] = { { "open", OPF_OPEN }, { "stat", OPF_STAT }, { "close", OPF_CLOSE } };
	char *count = fields_key(f, "count");

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]) && !op->flags; i++) {
		if (fields_flag(f, classes[i].name))
			op->flags = classes[i].flag;
	}
	if (!op->flags)
		return err_set(&p->why, EINVAL, "it needs one of open, stat, close");
	op->amount = spec_constant(1, SPEC_COUNT);
	if (count) {
		int rc = parse_spec(p, count, SPEC_COUNT, CHAIN_CALLS_MAX, &op->amount);

		if (rc)
			return rc;
	}
	return take_device(p, f, op);
}

/* offset=SPEC, or the default of its kind */
static int take_offset(struct parser *p, struct fields *f, struct chain_op *op,
		       const struct spec *fallback)
{
	char *text = fields_key(f, "offset");
	int rc = 0;

	if (text)
		rc = parse_spec(p, text, SPEC_BYTES, SPEC_VALUE_MAX, &op->offset);
	else if (spec_copy(&op->offset, fallback))
		rc = err_set(&p->why, ENOMEM, "not enough memory");
	op->has_offset = op->offset.kind != SPEC_NONE;
	return rc;
}

/* size=SPEC, or what is left, or the fallback (NULL: there must be one) */
static int take_size(struct parser *p, struct fields *f, struct chain_op *op,
		     const struct spec *fallback)
{
	char *text = fields_key(f, "size");

	if (!text)
		text = fields_bare(f);
	if (text && !*text && fallback)
		text = NULL;
	if (text || !fallback)
		return parse_spec(p, text ? text : "", SPEC_BYTES, CHAIN_BYTES_MAX, &op->amount);
	return spec_copy(&op->amount, fallback) ? err_set(&p->why, ENOMEM, "not enough memory") : 0;
}

static int op_load(struct parser *p, struct fields *f, struct chain_op *op)
{
	int rc = take_device(p, f, op);

	if (!rc)
		rc = take_offset(p, f, op, &p->load_offset);
	return rc ? rc : take_size(p, f, op, NULL);
}

static int op_store(struct parser *p, struct fields *f, struct chain_op *op)
{
	bool sync = fields_flag(f, "sync"), nosync = fields_flag(f, "nosync");
	int rc = take_device(p, f, op);

	if (sync && nosync)
		return err_set(&p->why, EINVAL, "it cannot be both sync and nosync");
	op->flags = nosync ? 0 : OPF_DSYNC;
	if (!rc)
		rc = take_offset(p, f, op, &p->store_offset);
	return rc ? rc : take_size(p, f, op, NULL);
}

static int op_sync(struct parser *p, struct fields *f, struct chain_op *op)
{
	op->flags = fields_flag(f, "data") ? OPF_DSYNC : OPF_SYNC;
	fields_flag(f, ""); /* no value at all */
	return take_device(p, f, op);
}

static int take_probability(struct parser *p, struct fields *f, double *to)
{
	char *text = fields_key(f, "prob");
	struct spec s = { 0 };
	int rc;

	if (!text)
		return 0;
	rc = parse_spec(p, text, SPEC_COUNT, 1, &s);
	if (!rc && s.kind != SPEC_CONST)
		rc = err_set(&p->why, EINVAL, "prob must be one number from 0 to 1");
	if (!rc)
		*to = s.param[0];
	spec_release(&s);
	return rc;
}

static int op_skip(struct parser *p, struct fields *f, struct chain_op *op)
{
	struct level *level = level_of(p);
	int rc = fields_number(f, "every", 1, UINT32_MAX, &op->skip.every, &p->why);
	char *count;
	uint64_t ops;

	if (rc < 0)
		return rc;
	rc = take_probability(p, f, &op->skip.prob);
	if (rc)
		return rc;
	count = fields_bare(f);
	rc = unit_parse_u64(count ? count : "", 1, CHAIN_OPS_MAX, &ops, &p->why);
	if (rc)
		return rc;
	op->skip.ops = (uint32_t)ops;
	if (level->covered < level->commands + op->skip.ops)
		level->covered = level->commands + op->skip.ops;
	return 0;
}

static const fields_fn op_fields[CHAIN_SKIP + 1] = {
	[OP_LOCK] = op_lock,   [OP_KERNEL] = op_kernel, [OP_LOAD] = op_load,
	[OP_STORE] = op_store, [OP_SYNC] = op_sync,	[CHAIN_SKIP] = op_skip,
};

static int parse_fields(struct parser *p, const char *value, uint32_t kind)
{
	struct chain_op *op = NULL;
	struct fields f;
	int rc = fields_init(&f, value, &p->why);

	if (!rc)
		rc = add_command(p, kind, &op);
	if (!rc)
		rc = op_fields[kind](p, &f, op);
	if (!rc)
		rc = fields_all_taken(&f, &p->why);
	fields_release(&f);
	return rc;
}

/* Where in a file it comes from. */
static int take_source(struct parser *p, struct fields *f, struct chain_op *op)
{
	int rc;

	if (!fields_flag(f, "sendfile"))
		return fields_key(f, "dev") || fields_key(f, "offset") ?
			       err_set(&p->why, EINVAL, "dev and offset are of a sendfile") :
			       0;
	op->flags = OPF_SENDFILE;
	rc = take_device(p, f, op);
	return rc ? rc : take_offset(p, f, op, &p->load_offset);
}

static int op_reply(struct parser *p, struct fields *f, struct chain_op *op)
{
	int rc = take_source(p, f, op);

	if (!rc)
		rc = take_size(p, f, op, &p->defaults->reply);
	return rc ? rc : fields_all_taken(f, &p->why);
}

/* It ends its chain, unless a skip may pass over it. */
static int parse_reply(struct parser *p, const char *value, uint32_t kind)
{
	struct chain_op *op;
	struct fields f;
	int rc = fields_init(&f, value ? value : "", &p->why);
	bool covered = false;

	if (!rc)
		rc = add_op(p, kind, &op);
	if (!rc) {
		covered = count_command(p);
		rc = op_reply(p, &f, op);
	}
	fields_release(&f);
	return rc || covered ? rc : close_level(p);
}

static const struct address_defaults chain_peer_defaults = { "localhost", CHAIN_PORT };

/* Each address once. */
static int add_peer(struct parser *p, const struct address *a, uint16_t *ret_index)
{
	struct chain *c = &p->c;
	size_t i = 0;

	while (i < c->peers_count && !address_equal(&c->peers[i], a))
		i++;
	if (i == CHAIN_PEERS_MAX)
		return err_set(&p->why, ERANGE, "a chain has at most %d addresses",
			       CHAIN_PEERS_MAX);
	if (i == c->peers_count)
		c->peers[c->peers_count++] = *a;
	*ret_index = (uint16_t)i;
	return 0;
}

static int take_addresses(struct parser *p, struct fields *f, struct chain_forward *forward)
{
	char *text;

	while ((text = fields_bare(f))) {
		struct address a;
		int rc;

		if (forward->peers_count == CHAIN_FORWARD_PEERS_MAX)
			return err_set(&p->why, ERANGE, "a forward has at most %d addresses",
				       CHAIN_FORWARD_PEERS_MAX);
		rc = strchr(text, '=') ? err_set(&p->why, EINVAL, "'%s' is no address", text) :
					 address_parse(text, &chain_peer_defaults, &a, &p->why);
		if (!rc)
			rc = add_peer(p, &a, &forward->peers[forward->peers_count]);
		if (rc)
			return rc;
		forward->peers_count++;
	}
	if (!forward->peers_count)
		return err_set(&p->why, EINVAL, "it needs an address");
	return 0;
}

static int take_timeout(struct parser *p, struct fields *f, struct chain_forward *forward)
{
	char *text = fields_key(f, "timeout");
	struct spec s = { 0 };
	int rc;

	forward->timeout_ns = CHAIN_TIMEOUT_NS;
	if (!text)
		return 0;
	rc = parse_spec(p, text, SPEC_NS, SPEC_VALUE_MAX, &s);
	if (!rc && (s.kind != SPEC_CONST || s.param[0] < 1))
		rc = err_set(&p->why, EINVAL, "timeout must be one time above 0");
	if (!rc)
		forward->timeout_ns = spec_draw(&s, &(struct spec_key){ 0 });
	spec_release(&s);
	return rc ? rc : GIVEN_TIMEOUT;
}

/* What it says of the call as a whole: which of it, in *ret_given. */
static int take_call(struct parser *p, struct fields *f, struct chain_forward *forward,
		     uint8_t *ret_given)
{
	int timeout = take_timeout(p, f, forward), retries, quorum;

	if (timeout < 0)
		return timeout;
	retries = fields_number(f, "retry", 0, CHAIN_RETRIES_MAX, &forward->retries, &p->why);
	if (retries < 0)
		return retries;
	quorum = fields_number(f, "nack", 1, CHAIN_OPS_MAX * CHAIN_FORWARD_PEERS_MAX,
			       &forward->quorum, &p->why);
	if (quorum < 0)
		return quorum;
	*ret_given =
		(uint8_t)(timeout | (retries ? GIVEN_RETRIES : 0) | (quorum ? GIVEN_QUORUM : 0));
	return 0;
}

static int op_forward(struct parser *p, struct fields *f, struct chain_op *op, uint8_t *ret_given)
{
	char *size = fields_key(f, "size");
	int rc = take_call(p, f, op->forward, ret_given);

	op->forward->branch = fields_flag(f, "branch");
	if (rc)
		return rc;
	if (size)
		rc = parse_spec(p, size, SPEC_BYTES, CHAIN_BYTES_MAX, &op->amount);
	else if (spec_copy(&op->amount, &p->defaults->forward_bytes))
		rc = err_set(&p->why, ENOMEM, "not enough memory");
	return rc ? rc : take_addresses(p, f, op->forward);
}

/* timeout, retry, nack hold for all branches of a call, whichever says them. */
static int agree(struct parser *p, uint32_t head, uint32_t further)
{
	struct chain_forward *a = p->c.ops[head].forward, *b = p->c.ops[further].forward;
	uint8_t given = p->given[further], both = p->given[head] & given;

	if ((both & GIVEN_TIMEOUT && a->timeout_ns != b->timeout_ns) ||
	    (both & GIVEN_RETRIES && a->retries != b->retries) ||
	    (both & GIVEN_QUORUM && a->quorum != b->quorum))
		return err_set(&p->why, EINVAL,
			       "timeout, retry and nack of the branches of one call must be equal");
	if (given & GIVEN_TIMEOUT)
		a->timeout_ns = b->timeout_ns;
	if (given & GIVEN_RETRIES)
		a->retries = b->retries;
	if (given & GIVEN_QUORUM)
		a->quorum = b->quorum;
	p->given[head] |= given;
	return 0;
}

/* A call of its own, or a further branch of the one before. */
static int place_forward(struct parser *p, uint32_t index)
{
	struct level *level = level_of(p);
	bool branch = p->c.ops[index].forward->branch;

	if (branch && level->branches) {
		p->c.ops[level->branch_last].forward->next_branch = index;
		level->branch_last = index;
		return agree(p, level->branch_head, index);
	}
	count_command(p);
	level->branch_head = index;
	return 0;
}

static int open_level(struct parser *p, uint32_t forward)
{
	if (p->depth == CHAIN_DEPTH_MAX)
		return err_set(&p->why, ERANGE, "forwards are at most %d deep", CHAIN_DEPTH_MAX);
	p->levels[++p->depth] = (struct level){ .forward = forward, .start = forward + 1 };
	return 0;
}

static bool in_branch(struct parser *p)
{
	return p->depth && p->c.ops[level_of(p)->forward].forward->branch;
}

static int read_forward(struct parser *p, struct fields *f)
{
	struct chain_op *op;
	uint32_t index;
	int rc = 0;

	if (p->defaults->lenient && in_branch(p)) {
		for (size_t i = 0; i < f->count && !rc; i++) {
			if (!strcmp(f->items[i], "branch"))
				rc = close_by_default(p);
		}
	}
	if (!rc)
		rc = add_op(p, OP_FORWARD, &op);
	if (rc)
		return rc;
	index = (uint32_t)(op - p->c.ops);
	op->forward = calloc(1, sizeof(*op->forward));
	if (!op->forward)
		return err_set(&p->why, ENOMEM, "not enough memory");
	rc = op_forward(p, f, op, &p->given[index]);
	if (!rc)
		rc = place_forward(p, index);
	return rc ? rc : open_level(p, index);
}

static int parse_forward(struct parser *p, const char *value, uint32_t kind)
{
	struct fields f;
	int rc = fields_init(&f, value, &p->why);

	if (!rc)
		rc = read_forward(p, &f);
	fields_release(&f);
	return rc;
}

static int parse_offset(struct parser *p, const char *value, uint32_t kind)
{
	return parse_spec(p, value, SPEC_BYTES, SPEC_VALUE_MAX,
			  kind == OP_LOAD ? &p->load_offset : &p->store_offset);
}

static const struct option {
	char letter; /* '\0': none */
	const char *name;
	enum chain_word takes;
	int (*parse)(struct parser *p, const char *value, uint32_t kind);
	uint32_t kind;
} options[] = {
	{ 'C', "comp-time", CHAIN_WORD_VALUE, parse_time, OP_COMPUTE },
	{ '\0', "sleep", CHAIN_WORD_VALUE, parse_time, OP_SLEEP },
	{ '\0', "lock", CHAIN_WORD_VALUE, parse_fields, OP_LOCK },
	{ '\0', "memory", CHAIN_WORD_VALUE, parse_memory, OP_MEMORY },
	{ '\0', "kernel", CHAIN_WORD_VALUE, parse_fields, OP_KERNEL },
	{ 'L', "load-data", CHAIN_WORD_VALUE, parse_fields, OP_LOAD },
	{ '\0', "load-offset", CHAIN_WORD_VALUE, parse_offset, OP_LOAD },
	{ 'S', "store-data", CHAIN_WORD_VALUE, parse_fields, OP_STORE },
	{ '\0', "store-offset", CHAIN_WORD_VALUE, parse_offset, OP_STORE },
	{ '\0', "sync-data", CHAIN_WORD_PERHAPS, parse_fields, OP_SYNC },
	{ 's', "skip", CHAIN_WORD_VALUE, parse_fields, CHAIN_SKIP },
	{ 'F', "forward", CHAIN_WORD_VALUE, parse_forward, OP_FORWARD },
	{ 'R', "rs", CHAIN_WORD_PERHAPS, parse_reply, OP_REPLY },
};

/* With *ret_value what the word itself holds: NULL, or behind "=" or the letter. */
static const struct option *find_option(const char *word, const char **ret_value)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option *o = &options[i];
		size_t len = strlen(o->name);

		if (word[0] != '-')
			return NULL;
		if (o->letter && word[1] == o->letter) {
			*ret_value = word[2] ? word + 2 + (word[2] == '=') : NULL;
			return o;
		}
		if (word[1] == '-' && !strncmp(word + 2, o->name, len) &&
		    (!word[2 + len] || word[2 + len] == '=')) {
			*ret_value = word[2 + len] ? word + 3 + len : NULL;
			return o;
		}
	}
	return NULL;
}

enum chain_word chain_word(const char *word)
{
	const char *value;
	const struct option *o = find_option(word, &value);

	if (!o)
		return CHAIN_WORD_OTHER;
	return value ? CHAIN_WORD_WHOLE : o->takes;
}

static int parse_word(struct parser *p, size_t *ret_used)
{
	const char *next = p->at + 1 < p->words_count ? p->words[p->at + 1] : NULL, *value;
	const struct option *o = find_option(p->words[p->at], &value);

	*ret_used = 1;
	if (!o)
		return err_set(&p->why, EINVAL, "it is no op of a chain");
	if (value || (o->takes == CHAIN_WORD_PERHAPS && (!next || *next == '-')))
		return o->parse(p, value ? value : "", o->kind);
	if (!next)
		return err_set(&p->why, EINVAL, "it needs a value");
	*ret_used = 2;
	return o->parse(p, next, o->kind);
}

/* The words are over. */
static int close_all(struct parser *p)
{
	int rc = 0;

	if (p->depth && !p->defaults->lenient)
		return blame(p, level_of(p)->forward,
			     "this forward is not closed: it needs a -R of its own, which no -s "
			     "passes over");
	while (!rc && !p->levels[0].closed)
		rc = close_by_default(p);
	return rc;
}

/* All of a call's branches say the same, and its quorum can be reached. */
static int finish_call(struct parser *p, uint32_t head)
{
	struct chain_forward *first = p->c.ops[head].forward;
	uint32_t total = first->peers_count;

	for (uint32_t i = first->next_branch; i; i = p->c.ops[i].forward->next_branch)
		total += p->c.ops[i].forward->peers_count;
	if (!first->quorum)
		first->quorum = total;
	if (first->quorum > total) {
		p->at = p->word_of[head];
		return err_set(&p->why, ERANGE, "nack=%u, but it goes to %u addresses",
			       first->quorum, total);
	}
	for (uint32_t i = first->next_branch; i; i = p->c.ops[i].forward->next_branch) {
		struct chain_forward *f = p->c.ops[i].forward;

		f->timeout_ns = first->timeout_ns;
		f->retries = first->retries;
		f->quorum = first->quorum;
	}
	return 0;
}

static int finish_calls(struct parser *p)
{
	bool further[CHAIN_OPS_MAX] = { false };

	for (uint32_t i = 0; i < p->c.count; i++) {
		int rc;

		if (p->c.ops[i].kind != OP_FORWARD)
			continue;
		further[p->c.ops[i].forward->next_branch] = true;
		rc = i && further[i] ? 0 : finish_call(p, i);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_words(struct parser *p)
{
	size_t used;
	int rc;

	for (; p->at < p->words_count; p->at += used) {
		rc = parse_word(p, &used);
		if (rc)
			return rc;
	}
	p->at = p->words_count ? p->words_count - 1 :
				 0; /* what now goes wrong is the end's fault */
	rc = close_all(p);
	return rc ? rc : finish_calls(p);
}

static bool parser_init(struct parser *p)
{
	p->c.ops = calloc(CHAIN_OPS_MAX, sizeof(*p->c.ops));
	p->c.peers = calloc(CHAIN_PEERS_MAX, sizeof(*p->c.peers));
	return p->c.ops && p->c.peers;
}

/* Most chains are short. */
static void trim(struct chain *c)
{
	void *ops = reallocarray(c->ops, c->count, sizeof(*c->ops));
	void *peers;

	c->ops = ops ? ops : c->ops;
	if (!c->peers_count) {
		free(c->peers);
		c->peers = NULL;
		return;
	}
	peers = reallocarray(c->peers, c->peers_count, sizeof(*c->peers));
	c->peers = peers ? peers : c->peers;
}

int chain_parse(struct chain *ret_chain, const char *const *words, size_t words_count,
		const struct chain_defaults *defaults, struct err *err)
{
	struct parser *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, ENOMEM, "not enough memory");
	p->defaults = defaults;
	p->words = words;
	p->words_count = words_count;
	rc = parser_init(p) ? parse_words(p) : err_set(&p->why, ENOMEM, "not enough memory");
	if (!rc) {
		trim(&p->c);
		*ret_chain = p->c;
	} else {
		err_set(err, -rc, "word %zu of the chain, '%.*s': %s", p->at + 1, QUOTED_MAX,
			words_count ? words[p->at] : "", p->why.text);
		chain_release(&p->c);
	}
	spec_release(&p->load_offset);
	spec_release(&p->store_offset);
	free(p);
	return rc;
}

/* Cuts text into words at its line ends; how many, or -E2BIG. */
static int cut_lines(char *text, size_t len, const char **words)
{
	int count = 0;

	for (char *at = text; at < text + len; at += strlen(at) + 1) {
		char *end = memchr(at, '\n', len - (size_t)(at - text));

		if (count == WORDS_MAX)
			return -E2BIG;
		if (end)
			*end = '\0';
		words[count++] = at;
	}
	return count;
}

int chain_parse_text(struct chain *ret_chain, const char *text, size_t len, struct err *err)
{
	struct chain_defaults defaults = chain_defaults();
	const char **words;
	char *copy;
	int rc;

	if (len > CHAIN_TEXT_MAX || memchr(text, '\0', len))
		return err_set(err, EINVAL, "a chain's text is at most %u bytes, none of them 0",
			       CHAIN_TEXT_MAX);
	copy = strndup(text, len);
	words = calloc(WORDS_MAX, sizeof(*words));
	rc = copy && words ? cut_lines(copy, len, words) : -ENOMEM;
	if (rc < 0)
		err_set(err, -rc,
			rc == -E2BIG ? "a chain has too many words" : "not enough memory");
	else
		rc = chain_parse(ret_chain, words, (size_t)rc, &defaults, err);
	free(words);
	free(copy);
	return rc;
}
