/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/remote.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

struct walk_remote {
	struct agent_link link;
	uint32_t threads, first_thread, step;
	atomic_bool lost;
};

int walk_remote_open(const struct address *address, struct secure *secure,
		     struct walk_remote **ret_remote, struct err *err)
{
	struct walk_remote *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_errno(err, ENOMEM, "cannot talk to an agent");
	rc = agent_link_open(&r->link, address, secure, err);
	if (rc)
		walk_remote_free(r);
	else
		*ret_remote = r;
	return rc;
}

void walk_remote_free(struct walk_remote *r)
{
	if (!r)
		return;
	agent_link_close(&r->link);
	free(r);
}

int walk_remote_prepare(struct walk_remote *r, const struct walk_plan *plan,
			const struct walk_job_share *share, struct err *err)
{
	struct wire_frame frame;
	int rc = walk_job_put(&r->link.talk.out, plan, share, err);

	r->threads = plan->schedule.threads;
	r->first_thread = share->first;
	r->step = share->step;
	if (!rc)
		rc = talk_send(&r->link.talk, AGENT_ANSWER_MS, err);
	return rc ? rc : talk_await(&r->link.talk, AGENT_ANSWER_MS, WIRE_READY, &frame, err);
}

const struct manifest_host *walk_remote_host(const struct walk_remote *r)
{
	return &r->link.host;
}

struct clock_offset walk_remote_clock(const struct walk_remote *r)
{
	return agent_link_clock(&r->link);
}

bool walk_remote_is_lost(const struct walk_remote *r)
{
	return atomic_load(&r->lost);
}

/* --- while it runs ------------------------------------------------------------------------- */

struct relay {
	struct walk_remote *remote;
	struct walk_sender *sender;
	struct walk_writer writer;
	struct err *err;
	bool over; /* all has been told */
};

static int take_live(struct relay *r, const struct wire_frame *frame)
{
	struct wire_live live;
	int rc = wire_get_live(frame, &live, r->err);

	if (rc)
		return rc;
	r->sender->live->sent = live.sent;
	r->sender->live->answered = live.answered;
	r->sender->live->failed = live.failed;
	return 0;
}

/* Only of its own threads: nothing that it says may be taken for another's. */
static int check_thread(const struct relay *r, uint32_t thread)
{
	const struct walk_remote *remote = r->remote;

	if (thread < remote->threads && thread >= remote->first_thread &&
	    (thread - remote->first_thread) % remote->step == 0)
		return 0;
	return err_set(r->err, EPROTO, "%s tells of thread %u, which is not its own",
		       remote->link.name, thread);
}

/* Or none, which is below 0. Differences of two are numbers. */
static bool is_time(int64_t ns)
{
	return ns >= -1 && ns <= (int64_t)1 << 61;
}

static int take_sent(struct relay *r, const struct wire_frame *frame)
{
	struct wire_sent sent;
	int rc = wire_get_sent(frame, &sent, r->err);

	if (!rc)
		rc = check_thread(r, sent.thread);
	if (!rc && !(is_time(sent.due_ns) && is_time(sent.sent_ns) && is_time(sent.received_ns)))
		rc = err_set(r->err, EPROTO, "%s tells of a time that cannot be",
			     r->remote->link.name);
	if (!rc)
		walk_writer_add(&r->writer, &(struct walk_row){
						    .request = sent.request,
						    .thread = sent.thread,
						    .session = sent.session,
						    .due_ns = sent.due_ns,
						    .sent_ns = sent.sent_ns,
						    .received_ns = sent.received_ns,
						    .request_bytes = sent.request_bytes,
						    .response_bytes = sent.response_bytes,
						    .outcome = sent.outcome,
					    });
	return rc;
}

static int take_share(struct relay *r, const struct wire_frame *frame)
{
	struct wire_share share;
	int rc = wire_get_share(frame, &share, r->err);

	if (!rc)
		rc = check_thread(r, share.thread);
	if (!rc)
		r->sender->counts[share.thread] =
			(struct walk_count){ share.answered, share.failed };
	return rc;
}

static int take_totals(struct relay *r, const struct wire_frame *frame)
{
	int rc = walk_tally_take(&r->sender->tally, frame, &r->sender->err, r->err);

	r->over = rc > 0;
	return rc < 0 ? rc : 0;
}

static int take(struct relay *r, const struct wire_frame *frame)
{
	static int (*const takes[WIRE_TYPE_COUNT])(struct relay * r,
						   const struct wire_frame *frame) = {
		[WIRE_LIVE] = take_live,   [WIRE_SENT] = take_sent,	 [WIRE_SHARE] = take_share,
		[WIRE_HIST] = take_totals, [WIRE_BUCKETS] = take_totals, [WIRE_TALLY] = take_totals,
	};

	if (!takes[frame->type])
		return err_set(r->err, EPROTO, "%s sent %s, which is not due", r->remote->link.name,
			       wire_type_name(frame->type));
	return takes[frame->type](r, frame);
}

/* Until all has been told; an agent that says nothing for long is lost. */
static int follow(struct relay *r)
{
	struct talk *talk = &r->remote->link.talk;
	int64_t heard_ns = clock_now_ns();
	bool stopped = false;
	int rc = 0;

	while (!rc && !r->over) {
		struct wire_frame frame;

		if (!stopped && atomic_load(r->sender->stopping)) {
			stopped = true;
			rc = agent_link_stop(&r->remote->link, r->err);
		}
		if (!rc)
			rc = talk_next(talk, AGENT_LOOK_MS, &frame, r->err);
		if (rc > 0) {
			heard_ns = clock_now_ns();
			rc = take(r, &frame);
		} else if (!rc && clock_now_ns() - heard_ns > AGENT_ANSWER_MS * NS_PER_MS) {
			rc = err_set(r->err, ETIMEDOUT, "%s has said nothing for %d s",
				     r->remote->link.name, AGENT_ANSWER_MS / 1000);
		}
	}
	return rc;
}

void walk_remote_relay(struct walk_remote *remote, struct walk_sender *sender)
{
	struct err err = { "" };
	struct relay r = { .remote = remote, .sender = sender, .err = &err };
	int rc;

	r.writer.rows = sender->rows;
	rc = agent_link_start(&remote->link, sender->anchor_ns, &err);
	if (!rc)
		rc = follow(&r);
	if (sender->rows)
		walk_writer_end(&r.writer);
	sender->tally.rows_waited += r.writer.to.waited;
	if (rc) {
		sender->err = err;
		atomic_store(&remote->lost, true);
	} else {
		agent_link_part(&remote->link);
	}
}
