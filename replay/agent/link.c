/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/agent/link.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MS 10000
#define CLOCK_ASKS 64 /* for the time, before and after */

static int greet(struct agent_link *r, struct err *err)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION }, theirs;
	struct wire_frame frame;
	int rc;

	manifest_host_here(&hello.host);
	wire_put_hello(&r->talk.out, &hello);
	rc = talk_send(&r->talk, AGENT_ANSWER_MS, err);
	if (!rc)
		rc = talk_await(&r->talk, AGENT_ANSWER_MS, WIRE_HELLO, &frame, err);
	if (!rc)
		rc = wire_get_hello(&frame, &theirs, err);
	if (rc)
		return rc;
	if (theirs.version != WIRE_VERSION)
		return err_set(err, EPROTO,
			       "%s speaks version %u of the protocol, not %d: use the same gait "
			       "on both sides",
			       r->name, theirs.version, WIRE_VERSION);
	if (theirs.work_per_ms) /* which nodes say */
		return err_set(err, EPROTO, "%s is none, it is a node", r->name);
	r->host = theirs.host;
	return 0;
}

static int connect_agent(struct agent_link *r, const struct address *address, struct secure *secure,
			 struct err *err)
{
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	struct control *control;
	int count = address_resolve(address, false, endpoints, err), which, fd, rc;

	if (count < 0)
		return count;
	fd = endpoints_connect(endpoints, count, address->transport, CONNECT_MS, &which);
	if (fd < 0)
		return err_errno(err, -fd, "cannot reach %s (is `gait agent` running there?)",
				 r->name);
	rc = control_new(fd, secure, address->host, &control, err);
	if (!rc)
		talk_init(&r->talk, control, r->name);
	return rc;
}

int agent_link_open(struct agent_link *r, const struct address *address, struct secure *secure,
		    struct err *err)
{
	char text[ADDRESS_TEXT_SIZE];
	int rc;

	r->first = r->last = CLOCK_OFFSET_NONE;
	snprintf(r->name, sizeof(r->name), "the agent at %s", address_format(address, text));
	rc = connect_agent(r, address, secure, err);
	if (!rc && secure)
		rc = talk_shake(&r->talk, AGENT_ANSWER_MS, err);
	if (!rc)
		rc = greet(r, err);
	return rc ? rc : clock_offset_ask(&r->talk, CLOCK_ASKS, AGENT_ANSWER_MS, &r->first, err);
}

void agent_link_close(struct agent_link *r)
{
	talk_release(&r->talk);
}

uint32_t agents_beside(const struct address *agents, uint32_t count, uint32_t i)
{
	uint32_t beside = 0;

	for (uint32_t k = 0; k < count; k++)
		beside += !strcmp(agents[k].host, agents[i].host);
	return beside;
}

int agent_link_start(struct agent_link *r, int64_t anchor_ns, struct err *err)
{
	const struct wire_start start = { .anchor_ns = anchor_ns + r->first.offset_ns };

	wire_put_start(&r->talk.out, &start);
	return talk_send(&r->talk, AGENT_ANSWER_MS, err);
}

int agent_link_stop(struct agent_link *r, struct err *err)
{
	wire_put_empty(&r->talk.out, WIRE_STOP);
	return talk_send(&r->talk, AGENT_ANSWER_MS, err);
}

int agent_link_follow(struct agent_link *r, const struct agent_following *f, struct err *err)
{
	int64_t heard_ns = clock_now_ns();
	bool stopped = false;
	int rc = 0;

	while (!rc && !*f->over) {
		struct wire_frame frame;

		if (!stopped && f->is_to_stop(f->arg)) {
			stopped = true;
			rc = agent_link_stop(r, err);
		}
		if (!rc)
			rc = talk_next(&r->talk, AGENT_LOOK_MS, &frame, err);
		if (rc > 0) {
			heard_ns = clock_now_ns();
			rc = f->take(f->arg, &frame, err);
		} else if (!rc && clock_now_ns() - heard_ns > AGENT_ANSWER_MS * NS_PER_MS) {
			rc = err_set(err, ETIMEDOUT, "%s has said nothing for %d s", r->name,
				     AGENT_ANSWER_MS / 1000);
		}
	}
	return rc;
}

/* That the clock cannot be asked again makes nothing of what was told untrue. */
void agent_link_part(struct agent_link *r)
{
	struct err ignored;

	if (clock_offset_ask(&r->talk, CLOCK_ASKS, AGENT_ANSWER_MS, &r->last, &ignored))
		return;
	wire_put_empty(&r->talk.out, WIRE_BYE);
	talk_send(&r->talk, AGENT_ANSWER_MS, &ignored);
}

struct clock_offset agent_link_clock(const struct agent_link *r)
{
	return (struct clock_offset){ r->first.offset_ns, clock_offset_bound(&r->first, &r->last) };
}
