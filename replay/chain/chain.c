/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/chain/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct chain_defaults chain_defaults(void)
{
	return (struct chain_defaults){
		.reply = spec_constant(CHAIN_REPLY_BYTES, SPEC_BYTES),
		.forward_bytes = spec_constant(CHAIN_FORWARD_BYTES, SPEC_BYTES),
	};
}

void chain_release(struct chain *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++) {
		spec_release(&c->ops[i].amount);
		spec_release(&c->ops[i].offset);
		free(c->ops[i].forward);
	}
	free(c->ops);
	free(c->peers);
	*c = (struct chain){ 0 };
}

/* The text of an op, word by word. */
struct writer {
	const struct chain *c;
	struct buf *out;
	struct err *err;
	int rc;
};

static void put_spec(struct writer *w, const char *before, const struct spec *s)
{
	buf_puts(w->out, before);
	if (!w->rc)
		w->rc = spec_format(s, w->out, w->err);
}

static void put_size(struct writer *w, const struct chain_op *op)
{
	if (op->has_offset) {
		put_spec(w, "offset=", &op->offset);
		buf_putc(w->out, ',');
	}
	put_spec(w, "size=", &op->amount);
}

static void put_time(struct writer *w, const struct chain_op *op)
{
	put_spec(w, "", &op->amount);
}

static void put_lock(struct writer *w, const struct chain_op *op)
{
	put_spec(w, "", &op->amount);
	buf_printf(w->out, ",id=%u", op->device);
}

static void put_kernel(struct writer *w, const struct chain_op *op)
{
	buf_puts(w->out, op->flags & OPF_OPEN ? "open" : op->flags & OPF_STAT ? "stat" : "close");
	put_spec(w, ",count=", &op->amount);
	buf_printf(w->out, ",dev=%u", op->device);
}

static void put_load(struct writer *w, const struct chain_op *op)
{
	put_size(w, op);
	buf_printf(w->out, ",dev=%u", op->device);
}

static void put_store(struct writer *w, const struct chain_op *op)
{
	put_size(w, op);
	buf_printf(w->out, ",%s,dev=%u", op->flags & OPF_DSYNC ? "sync" : "nosync", op->device);
}

static void put_sync(struct writer *w, const struct chain_op *op)
{
	buf_printf(w->out, "%sdev=%u", op->flags & OPF_DSYNC ? "data," : "", op->device);
}

static void put_reply(struct writer *w, const struct chain_op *op)
{
	put_size(w, op);
	if (op->flags & OPF_SENDFILE)
		buf_printf(w->out, ",sendfile,dev=%u", op->device);
}

static void put_skip(struct writer *w, const struct chain_op *op)
{
	struct spec prob = { .kind = SPEC_CONST, .unit = SPEC_COUNT, .param = { op->skip.prob } };

	buf_printf(w->out, "%u", op->skip.ops);
	put_spec(w, ",prob=", &prob);
	buf_printf(w->out, ",every=%u", op->skip.every);
}

static void put_forward(struct writer *w, const struct chain_op *op)
{
	const struct chain_forward *f = op->forward;
	char text[ADDRESS_TEXT_SIZE];

	for (uint32_t i = 0; i < f->peers_count; i++) {
		if (i)
			buf_putc(w->out, ',');
		buf_puts(w->out, address_format(&w->c->peers[f->peers[i]], text));
	}
	buf_printf(w->out, ",timeout=%lluns,retry=%u,nack=%u", (unsigned long long)f->timeout_ns,
		   f->retries, f->quorum);
	put_spec(w, ",size=", &op->amount);
	if (f->branch)
		buf_puts(w->out, ",branch");
}

static const struct {
	const char *option;
	void (*put)(struct writer *w, const struct chain_op *op);
} texts[CHAIN_SKIP + 1] = {
	[OP_COMPUTE] = { "-C", put_time },	 [OP_KERNEL] = { "--kernel", put_kernel },
	[OP_LOAD] = { "-L", put_load },		 [OP_STORE] = { "-S", put_store },
	[OP_SYNC] = { "--sync-data", put_sync }, [OP_FORWARD] = { "-F", put_forward },
	[OP_SLEEP] = { "--sleep", put_time },	 [OP_LOCK] = { "--lock", put_lock },
	[OP_MEMORY] = { "--memory", put_time },	 [OP_REPLY] = { "-R", put_reply },
	[CHAIN_SKIP] = { "-s", put_skip },
};

int chain_format(const struct chain *c, struct buf *out, struct err *err)
{
	struct buf text;
	struct writer w = { c, &text, err, 0 };

	buf_init(&text, CHAIN_TEXT_MAX);
	for (size_t i = 0; i < c->count && !w.rc; i++) {
		buf_printf(&text, "%s\n", texts[c->ops[i].kind].option);
		texts[c->ops[i].kind].put(&w, &c->ops[i]);
		buf_putc(&text, '\n');
	}
	if (buf_failed(&text) == -ENOBUFS)
		w.rc = err_set(err, E2BIG,
			       "the chain is too long as text: at most %u bytes go to a node",
			       CHAIN_TEXT_MAX);
	if (!w.rc)
		w.rc = buf_failed(&text);
	if (!w.rc)
		w.rc = buf_append(out, text.data, text.len);
	if (w.rc == -ENOMEM || w.rc == -ENOBUFS)
		err_set(err, -w.rc, "not enough room for the text of a chain");
	buf_release(&text);
	return w.rc;
}
