/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/remote.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 10000
#define ANSWER_MS 10000 /* to a question; LIVE comes every second */
#define LOOK_MS 50	/* how often it is looked whether to stop */
#define CLOCK_ASKS 64	/* for the time, before and after */

struct walk_remote {
	struct talk talk;
	char name[ADDRESS_TEXT_SIZE + 16]; /* "the agent at ..." */
	struct manifest_host host;
	struct clock_offset first, last; /* before it started, and when it was through */
	uint32_t threads, first_thread, step;
	atomic_bool lost;
};

static int greet(struct walk_remote *r, struct err *err)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION }, theirs;
	struct wire_frame frame;
	int rc;

	manifest_host_here(&hello.host);
	wire_put_hello(&r->talk.out, &hello);
	rc = talk_send(&r->talk, ANSWER_MS, err);
	if (!rc)
		rc = talk_await(&r->talk, ANSWER_MS, WIRE_HELLO, &frame, err);
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

static int connect_agent(struct walk_remote *r, const struct address *address,
			 struct secure *secure, struct err *err)
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

int walk_remote_open(const struct address *address, struct secure *secure,
		     struct walk_remote **ret_remote, struct err *err)
{
	struct walk_remote *r = calloc(1, sizeof(*r));
	char text[ADDRESS_TEXT_SIZE];
	int rc;

	if (!r)
		return err_errno(err, ENOMEM, "cannot talk to an agent");
	r->first = r->last = CLOCK_OFFSET_NONE;
	snprintf(r->name, sizeof(r->name), "the agent at %s", address_format(address, text));
	rc = connect_agent(r, address, secure, err);
	if (!rc && secure)
		rc = talk_shake(&r->talk, ANSWER_MS, err);
	if (!rc)
		rc = greet(r, err);
	if (!rc)
		rc = clock_offset_ask(&r->talk, CLOCK_ASKS, ANSWER_MS, &r->first, err);
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
	talk_release(&r->talk);
	free(r);
}

int walk_remote_prepare(struct walk_remote *r, const struct walk_plan *plan,
			const struct walk_job_share *share, struct err *err)
{
	struct wire_frame frame;
	int rc = walk_job_put(&r->talk.out, plan, share, err);

	r->threads = plan->schedule.threads;
	r->first_thread = share->first;
	r->step = share->step;
	if (!rc)
		rc = talk_send(&r->talk, ANSWER_MS, err);
	return rc ? rc : talk_await(&r->talk, ANSWER_MS, WIRE_READY, &frame, err);
}

const struct manifest_host *walk_remote_host(const struct walk_remote *r)
{
	return &r->host;
}

struct clock_offset walk_remote_clock(const struct walk_remote *r)
{
	return (struct clock_offset){ r->first.offset_ns, clock_offset_bound(&r->first, &r->last) };
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
	return err_set(r->err, EPROTO, "%s tells of thread %u, which is not its own", remote->name,
		       thread);
}

static int take_sent(struct relay *r, const struct wire_frame *frame)
{
	struct wire_sent sent;
	int rc = wire_get_sent(frame, &sent, r->err);

	if (!rc)
		rc = check_thread(r, sent.thread);
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
		return err_set(r->err, EPROTO, "%s sent %s, which is not due", r->remote->name,
			       wire_type_name(frame->type));
	return takes[frame->type](r, frame);
}

static int start(struct relay *r)
{
	const struct wire_start start = { .anchor_ns = r->sender->anchor_ns +
						       r->remote->first.offset_ns };

	wire_put_start(&r->remote->talk.out, &start);
	return talk_send(&r->remote->talk, ANSWER_MS, r->err);
}

static int stop(struct relay *r)
{
	wire_put_empty(&r->remote->talk.out, WIRE_STOP);
	return talk_send(&r->remote->talk, ANSWER_MS, r->err);
}

/* Until all has been told; an agent that says nothing for long is lost. */
static int follow(struct relay *r)
{
	struct talk *talk = &r->remote->talk;
	int64_t heard_ns = clock_now_ns();
	bool stopped = false;
	int rc = 0;

	while (!rc && !r->over) {
		struct wire_frame frame;

		if (!stopped && atomic_load(r->sender->stopping)) {
			stopped = true;
			rc = stop(r);
		}
		if (!rc)
			rc = talk_next(talk, LOOK_MS, &frame, r->err);
		if (rc > 0) {
			heard_ns = clock_now_ns();
			rc = take(r, &frame);
		} else if (!rc && clock_now_ns() - heard_ns > ANSWER_MS * NS_PER_MS) {
			rc = err_set(r->err, ETIMEDOUT, "%s has said nothing for %d s",
				     r->remote->name, ANSWER_MS / 1000);
		}
	}
	return rc;
}

/* All is told: that the clock cannot be asked again makes nothing of it untrue. */
static void part(struct walk_remote *remote)
{
	struct err ignored;

	if (clock_offset_ask(&remote->talk, CLOCK_ASKS, ANSWER_MS, &remote->last, &ignored))
		return;
	wire_put_empty(&remote->talk.out, WIRE_BYE);
	talk_send(&remote->talk, ANSWER_MS, &ignored);
}

void walk_remote_relay(struct walk_remote *remote, struct walk_sender *sender)
{
	struct err err = { "" };
	struct relay r = { .remote = remote, .sender = sender, .err = &err };
	int rc;

	r.writer.rows = sender->rows;
	rc = start(&r);
	if (!rc)
		rc = follow(&r);
	if (sender->rows)
		walk_writer_end(&r.writer);
	sender->tally.rows_waited += r.writer.to.waited;
	if (rc) {
		sender->err = err;
		atomic_store(&remote->lost, true);
	} else {
		part(remote);
	}
}
