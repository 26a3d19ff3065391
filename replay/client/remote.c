/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/agent.h"

#include "base/clock.h"
#include "replay/agent/link.h"
#include "replay/client/share.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READY_MS 60000 /* it opens its connections */

/* An agent on another host, as the process that relays for it sees it. */
struct relay {
	struct agent_link link;
	int talk; /* to the replay's process */
	struct client_rows *rows;
	struct agent_live *live;
	uint32_t *places; /* of each request that it was told: its index in the plan */
	bool *told;	  /* its fact has come */
	size_t count, facts;
	struct ledger *ledger;
	bool over;
};

static int take_live(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	struct wire_live live;
	int rc = wire_get_live(frame, &live, err);

	if (rc)
		return rc;
	r->live->sent = live.sent;
	r->live->answered = live.answered;
	r->live->failed = live.failed;
	r->live->late_p99_ns = live.late_p99_ns;
	return 0;
}

static int take_fact(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	struct client_fact fact;
	int rc = client_fact_get(frame, r->link.first.offset_ns, &fact, err);

	if (rc)
		return rc;
	if (fact.request >= r->count || r->told[fact.request] || fact.order > r->count)
		return err_set(err, EPROTO, "%s tells of a request that it was not told",
			       r->link.name);
	r->told[fact.request] = true;
	fact.request = r->places[fact.request];
	*client_rows_next(r->rows) = fact;
	r->facts++;
	return 0;
}

static int take_ledger(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	struct wire_ledger entry;
	int rc = wire_get_ledger(frame, &entry, err);

	if (!rc)
		wire_ledger_add(r->ledger, &entry);
	return rc;
}

static int take_bye(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	r->over = true;
	return r->facts == r->count ? 0 :
				      err_set(err, EPROTO, "%s tells of %zu requests of %zu",
					      r->link.name, r->facts, r->count);
}

static int take(void *arg, const struct wire_frame *frame, struct err *err)
{
	static int (*const takes[WIRE_TYPE_COUNT])(struct relay * r, const struct wire_frame *frame,
						   struct err *err) = {
		[WIRE_LIVE] = take_live,
		[WIRE_FACT] = take_fact,
		[WIRE_LEDGER] = take_ledger,
		[WIRE_BYE] = take_bye,
	};
	struct relay *r = arg;

	if (!takes[frame->type])
		return err_set(err, EPROTO, "%s sent %s, which is not due", r->link.name,
			       wire_type_name(frame->type));
	return takes[frame->type](r, frame, err);
}

/* What comes from the replay, or that nothing can come any more. */
static bool is_to_stop(void *arg)
{
	const struct relay *r = arg;
	char byte;

	return recv(r->talk, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static int prepare(struct relay *r, const struct client_setup *setup,
		   const struct agent_remote *remote, struct err *err)
{
	struct wire_frame frame;
	int rc = agent_link_open(&r->link, remote->at, remote->secure, err);

	if (!rc)
		rc = client_share_send(&r->link.talk, setup, remote->spins, remote->beside,
				       &r->places, &r->count, err);
	plan_forget(setup->plan);
	if (rc)
		return rc;
	r->told = calloc(r->count + 1, sizeof(*r->told));
	if (!r->told)
		return err_errno(err, ENOMEM, "cannot hold %zu requests", r->count);
	rc = talk_await(&r->link.talk, READY_MS, WIRE_READY, &frame, err);
	return rc ? rc : client_rows_start(r->rows, err);
}

static void run(struct relay *r, int64_t anchor_ns, struct agent_word *word)
{
	const struct agent_following following = { is_to_stop, take, &r->over, r };
	struct err ignored;

	word->failed = agent_link_start(&r->link, anchor_ns, &word->err);
	if (!word->failed)
		word->failed = agent_link_follow(&r->link, &following, &word->err);
	if (client_rows_finish(r->rows, word->failed ? &ignored : &word->err) && !word->failed)
		word->failed = -EIO;
	if (!word->failed)
		agent_link_part(&r->link);
	word->clock = agent_link_clock(&r->link);
}

/* The process ends afterwards: nothing is given back. */
void agent_relay(const struct client_setup *setup, const struct agent_remote *remote,
		 struct agent_live *live, int talk)
{
	struct agent_word word = { .clock = CLOCK_OFFSET_NONE };
	struct relay r = { .talk = talk, .rows = setup->rows, .live = live, .ledger = &word.ledger };
	int64_t anchor_ns;

	word.failed = prepare(&r, setup, remote, &word.err);
	if (!agent_put(talk, &word, sizeof(word)) || word.failed ||
	    !agent_get(talk, &anchor_ns, sizeof(anchor_ns)))
		_exit(1); /* there will be no replay */
	run(&r, anchor_ns, &word);
	_exit(!agent_put(talk, &word, sizeof(word)));
}
