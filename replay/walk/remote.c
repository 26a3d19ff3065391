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
	bool over; /* all has been told */
};

static int take_live(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	struct wire_live live;
	int rc = wire_get_live(frame, &live, err);

	if (rc)
		return rc;
	r->sender->live->sent = live.sent;
	r->sender->live->answered = live.answered;
	r->sender->live->failed = live.failed;
	return 0;
}

/* Only of its own threads: nothing that it says may be taken for another's. */
static int check_thread(const struct relay *r, uint32_t thread, struct err *err)
{
	const struct walk_remote *remote = r->remote;

	if (thread < remote->threads && thread >= remote->first_thread &&
	    (thread - remote->first_thread) % remote->step == 0)
		return 0;
	return err_set(err, EPROTO, "%s tells of thread %u, which is not its own",
		       remote->link.name, thread);
}

/* Or none, which is below 0. Differences of two are numbers. */
static bool is_time(int64_t ns)
{
	return ns >= -1 && ns <= (int64_t)1 << 61;
}

static int take_sent(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	struct wire_sent sent;
	int rc = wire_get_sent(frame, &sent, err);

	if (!rc)
		rc = check_thread(r, sent.thread, err);
	if (!rc && !(is_time(sent.due_ns) && is_time(sent.sent_ns) && is_time(sent.received_ns)))
		rc = err_set(err, EPROTO, "%s tells of a time that cannot be",
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

static int take_share(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	struct wire_share share;
	int rc = wire_get_share(frame, &share, err);

	if (!rc)
		rc = check_thread(r, share.thread, err);
	if (!rc)
		r->sender->counts[share.thread] =
			(struct walk_count){ share.answered, share.failed };
	return rc;
}

static int take_totals(struct relay *r, const struct wire_frame *frame, struct err *err)
{
	int rc = walk_tally_take(&r->sender->tally, frame, &r->sender->err, err);

	r->over = rc > 0;
	return rc < 0 ? rc : 0;
}

static int take(void *arg, const struct wire_frame *frame, struct err *err)
{
	static int (*const takes[WIRE_TYPE_COUNT])(struct relay * r, const struct wire_frame *frame,
						   struct err *err) = {
		[WIRE_LIVE] = take_live,   [WIRE_SENT] = take_sent,	 [WIRE_SHARE] = take_share,
		[WIRE_HIST] = take_totals, [WIRE_BUCKETS] = take_totals, [WIRE_TALLY] = take_totals,
	};
	struct relay *r = arg;

	if (!takes[frame->type])
		return err_set(err, EPROTO, "%s sent %s, which is not due", r->remote->link.name,
			       wire_type_name(frame->type));
	return takes[frame->type](r, frame, err);
}

static bool is_to_stop(void *arg)
{
	const struct relay *r = arg;

	return atomic_load(r->sender->stopping);
}

void walk_remote_relay(struct walk_remote *remote, struct walk_sender *sender)
{
	struct err err = { "" };
	struct relay r = { .remote = remote, .sender = sender };
	const struct agent_following following = { is_to_stop, take, &r.over, &r };
	int rc;

	r.writer.rows = sender->rows;
	rc = agent_link_start(&remote->link, sender->anchor_ns, &err);
	if (!rc)
		rc = agent_link_follow(&remote->link, &following, &err);
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
