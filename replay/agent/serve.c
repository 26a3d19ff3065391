/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/agent/serving.h"

#include "base/clock.h"
#include "replay/agent/agent.h"
#include "replay/pace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int greet(struct talk *t, struct err *err)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION }, theirs;
	struct wire_frame frame;
	int rc = talk_await(t, AGENT_NEWCOMER_MS, WIRE_HELLO, &frame, err);

	if (!rc)
		rc = wire_get_hello(&frame, &theirs, err);
	if (!rc && theirs.version != WIRE_VERSION)
		rc = err_set(err, EPROTO,
			     "the client speaks version %u of the protocol, this agent version %u: "
			     "use the same gait on both sides",
			     theirs.version, WIRE_VERSION);
	if (rc)
		return rc;
	manifest_host_here(&hello.host);
	wire_put_hello(&t->out, &hello);
	return talk_send(t, AGENT_SEND_MS, err);
}

int agent_answer_clock(struct talk *t, const struct wire_frame *frame, struct err *err)
{
	struct wire_clock clock;
	int rc = wire_get_clock(frame, &clock, err);

	if (rc)
		return rc;
	clock.told_ns = clock_now_ns();
	wire_put_clock(&t->out, &clock);
	return talk_send(t, AGENT_SEND_MS, err);
}

int agent_hear(struct talk *t, struct wire_frame *ret_frame, struct err *err)
{
	int rc;

	while ((rc = talk_next(t, AGENT_SILENCE_MS, ret_frame, err)) > 0) {
		if (ret_frame->type != WIRE_CLOCK)
			return 0;
		rc = agent_answer_clock(t, ret_frame, err);
		if (rc)
			return rc;
	}
	return rc ? rc :
		    err_set(err, ETIMEDOUT, "%s said nothing for %d s", t->other,
			    AGENT_SILENCE_MS / 1000);
}

int64_t agent_spin_ns(bool wanted, uint32_t beside)
{
	return wanted && sysconf(_SC_NPROCESSORS_ONLN) > (long)beside ? PACE_SPIN_NS : 0;
}

int agent_await_start(struct talk *t, int64_t *ret_anchor_ns, struct err *err)
{
	struct wire_start start;
	struct wire_frame frame;
	int rc;

	wire_put_empty(&t->out, WIRE_READY);
	rc = talk_send(t, AGENT_SEND_MS, err);
	if (!rc)
		rc = agent_hear(t, &frame, err);
	if (!rc)
		rc = wire_get_start(&frame, &start, err);
	if (!rc)
		*ret_anchor_ns = start.anchor_ns + (start.relative ? clock_now_ns() : 0);
	return rc;
}

int agent_watch(struct talk *t, const struct agent_work *work, struct err *err)
{
	int64_t told_ns = clock_now_ns();
	int rc = 0;

	while (!rc && !work->is_over(work->arg)) {
		struct wire_frame frame;
		struct wire_live live;

		rc = talk_next(t, AGENT_WATCH_MS, &frame, err);
		if (rc > 0 && frame.type == WIRE_CLOCK) {
			rc = agent_answer_clock(t, &frame, err);
		} else if (rc > 0 && frame.type == WIRE_STOP) {
			work->stop(work->arg);
			rc = 0;
		} else if (rc > 0) {
			rc = err_set(err, EPROTO, "a %s message is not due now",
				     wire_type_name(frame.type));
		}
		if (rc || clock_now_ns() - told_ns < NS_PER_SEC)
			continue;
		told_ns += NS_PER_SEC;
		work->tell(work->arg, &live);
		wire_put_live(&t->out, &live);
		rc = talk_send(t, AGENT_SEND_MS, err);
	}
	return rc;
}

int agent_part(struct talk *t, struct err *err)
{
	struct wire_frame frame;
	int rc;

	do
		rc = agent_hear(t, &frame, err);
	while (!rc && frame.type == WIRE_STOP); /* it crossed our last words */
	if (!rc && frame.type != WIRE_BYE)
		rc = err_set(err, EPROTO, "a %s message is not due now",
			     wire_type_name(frame.type));
	return rc;
}

/* It hears why, if it still listens. */
static void tell_failure(struct talk *t, const struct err *why)
{
	struct wire_error error = { 0 };
	struct err ignored;

	memcpy(error.text, why->text, strnlen(why->text, sizeof(error.text) - 1));
	buf_reset(&t->out);
	wire_put_error(&t->out, &error);
	if (!talk_send(t, AGENT_WATCH_MS, &ignored))
		control_finish(t->control);
}

/* What it is to do is in the first message. */
static int serve(struct talk *t, struct err *err)
{
	struct wire_frame frame;
	int rc = agent_hear(t, &frame, err);

	if (rc)
		return rc;
	return frame.type == WIRE_LOAD ? agent_serve_replay(t, &frame, err) :
					 agent_serve_walk(t, &frame, err);
}

int agent_serve(struct talk *talk, const struct secure *secure, bool plain, struct err *err)
{
	int rc = 0;

	if (secure && plain)
		rc = err_set(err, EACCES,
			     "the agent serves only who proves itself: give gait walk or replay %s",
			     secure_demand(secure));
	else if (secure)
		rc = talk_shake(talk, AGENT_NEWCOMER_MS, err);
	if (!rc)
		rc = greet(talk, err);
	if (!rc)
		rc = serve(talk, err);
	if (rc)
		tell_failure(talk, err);
	return rc;
}
