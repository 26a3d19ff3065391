/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/walk/options.h"

#include <inttypes.h>

static void put_address(struct buf *out, const char *name, const struct address *a)
{
	char text[ADDRESS_TEXT_SIZE];

	buf_printf(out, "%s %s\n", name, address_format(a, text));
}

static int put_spec(struct buf *out, const char *name, const struct spec *s, struct err *err)
{
	int rc;

	buf_printf(out, "%s ", name);
	rc = spec_format(s, out, err);
	buf_putc(out, '\n');
	return rc;
}

/* Options and values take turns; a script wants a value on the line of its option. */
static int put_chain(const struct chain *c, struct buf *out, struct err *err)
{
	size_t start = out->len;
	bool value = false;
	int rc = chain_format(c, out, err);

	for (size_t i = start; i < out->len && !rc; i++) {
		if (out->data[i] != '\n')
			continue;
		value = !value;
		out->data[i] = value ? ' ' : '\n';
	}
	return rc;
}

int walk_options_describe(const struct walk_opts *opts, struct buf *out, struct err *err)
{
	int rc;

	put_address(out, "--to", &opts->to);
	if (opts->bound)
		put_address(out, "--bind-addr", &opts->bind);
	if (opts->has_control)
		put_address(out, "--control", &opts->control);
	buf_printf(out,
		   "--num-pkts %" PRIu64 "\n--num-threads %u\n--num-sessions %" PRIu64
		   "\n--seed %" PRIu64 "\n",
		   opts->requests, opts->threads, opts->sessions, opts->seed);
	rc = opts->by_period ? put_spec(out, "--period", &opts->period, err) :
			       put_spec(out, "--rate", &opts->rate, err);
	if (opts->rate_step_ns)
		buf_printf(out, "--rate-step-secs %" PRIu64 "ns\n", opts->rate_step_ns);
	if (!rc)
		rc = put_spec(out, "--ps", &opts->request_bytes, err);
	return rc ? rc : put_chain(&opts->chain, out, err);
}
