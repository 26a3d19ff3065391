/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/agent/agent.h"

#include "base/clock.h"
#include "replay/net/talk.h"
#include "replay/pace.h"
#include "replay/scratch.h"
#include "replay/walk/job.h"
#include "replay/walk/sender.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEND_MS 30000 /* a client that takes nothing for so long has gone */
#define LOOK_MS 20    /* how often it is looked whether the sender is through */
#define LIVE_NS NS_PER_SEC
#define ROWS_BATCH 512
#define OUT_BYTES 65536 /* of rows, in one call */

/*
 * A client and its share of a walk. The sender runs in a thread as it does in a walk of one process;
 * its rows go to a file without a name and leave when it is through, so that what tells of them does
 * not disturb what is measured.
 */
struct serving {
	struct talk *talk;
	struct walk_job job;
	struct walk_plan plan;
	struct tls_context *tls;
	struct walk_sender sender;
	struct walk_live live;
	atomic_bool stopping;
	struct walk_count *counts; /* of all the walk's threads */
	int rows_fd;		   /* -1: no rows are wanted */
};

/* --- what both say ------------------------------------------------------------------------- */

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
	return talk_send(t, SEND_MS, err);
}

/* At once: what it takes is taken for the way there. */
static int answer_clock(struct talk *t, const struct wire_frame *frame, struct err *err)
{
	struct wire_clock clock;
	int rc = wire_get_clock(frame, &clock, err);

	if (rc)
		return rc;
	clock.told_ns = clock_now_ns();
	wire_put_clock(&t->out, &clock);
	return talk_send(t, SEND_MS, err);
}

/* A frame that is not about clocks. */
static int hear(struct talk *t, struct wire_frame *ret_frame, struct err *err)
{
	int rc;

	while ((rc = talk_next(t, AGENT_SILENCE_MS, ret_frame, err)) > 0) {
		if (ret_frame->type != WIRE_CLOCK)
			return 0;
		rc = answer_clock(t, ret_frame, err);
		if (rc)
			return rc;
	}
	return rc ? rc :
		    err_set(err, ETIMEDOUT, "%s said nothing for %d s", t->other,
			    AGENT_SILENCE_MS / 1000);
}

/* --- the job ------------------------------------------------------------------------------- */

static int take_job(struct serving *s, struct err *err)
{
	struct wire_frame frame;
	int rc = hear(s->talk, &frame, err);

	if (!rc)
		rc = walk_job_begin(&s->job, &frame, err);
	while (!rc) {
		rc = hear(s->talk, &frame, err);
		if (!rc)
			rc = walk_job_take(&s->job, &frame, err);
	}
	return rc < 0 ? rc : 0;
}

static int find_node(struct serving *s, struct err *err)
{
	static const struct tls_setup tls = { .node = false };
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	int rc = address_resolve(&s->job.address, false, endpoints, err);

	if (rc < 0)
		return rc;
	s->plan.endpoint = endpoints[0];
	if (s->job.address.transport != TRANSPORT_TLS)
		return 0;
	rc = tls_context_new(&tls, &s->tls, err);
	s->plan.tls = s->tls;
	return rc;
}

/* Spins before a request is due if there is a CPU more than there are agents of the walk here. */
static int64_t spin_ns(const struct wire_sender *head)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return head->flags & WIRE_SENDER_NO_SPIN || cpus <= (long)head->beside ? 0 : PACE_SPIN_NS;
}

static int prepare(struct serving *s, struct err *err)
{
	const struct wire_sender *head = &s->job.head;
	const char *directory = getenv("TMPDIR");
	int rc;

	walk_job_plan(&s->job, &s->plan);
	s->plan.spin_ns = spin_ns(head);
	rc = find_node(s, err);
	s->counts = calloc(head->threads, sizeof(*s->counts));
	if (!rc && !s->counts)
		rc = err_errno(err, ENOMEM, "cannot hold %u threads", head->threads);
	if (!rc && head->flags & WIRE_SENDER_ROWS)
		rc = s->rows_fd = scratch_open(directory ? directory : "/tmp", err);
	if (rc < 0)
		return rc;
	if (s->rows_fd >= 0)
		rc = walk_rows_new(NULL, s->rows_fd, &s->sender.rows, err);
	s->sender.plan = &s->plan;
	s->sender.stopping = &s->stopping;
	s->sender.counts = s->counts;
	s->sender.first = head->first;
	s->sender.step = head->step;
	s->sender.live = &s->live;
	return rc;
}

static int await_start(struct serving *s, struct err *err)
{
	struct wire_start start;
	struct wire_frame frame;
	int rc;

	wire_put_empty(&s->talk->out, WIRE_READY);
	rc = talk_send(s->talk, SEND_MS, err);
	if (!rc)
		rc = hear(s->talk, &frame, err);
	if (!rc)
		rc = wire_get_start(&frame, &start, err);
	if (!rc)
		s->sender.anchor_ns = start.anchor_ns + (start.relative ? clock_now_ns() : 0);
	return rc;
}

/* --- while it sends ------------------------------------------------------------------------ */

static int tell_live(struct serving *s, struct err *err)
{
	struct wire_live live = { s->live.sent, s->live.answered, s->live.failed };

	wire_put_live(&s->talk->out, &live);
	return talk_send(s->talk, SEND_MS, err);
}

static int on_frame(struct serving *s, const struct wire_frame *frame, struct err *err)
{
	if (frame->type == WIRE_CLOCK)
		return answer_clock(s->talk, frame, err);
	if (frame->type != WIRE_STOP)
		return err_set(err, EPROTO, "a %s message is not due now",
			       wire_type_name(frame->type));
	atomic_store(&s->stopping, true);
	return 0;
}

/* A client that is gone wants nothing any more. */
static int watch(struct serving *s, struct err *err)
{
	int64_t told_ns = clock_now_ns();
	int rc = 0;

	while (!rc && !atomic_load(&s->sender.over)) {
		struct wire_frame frame;

		rc = talk_next(s->talk, LOOK_MS, &frame, err);
		if (rc > 0)
			rc = on_frame(s, &frame, err);
		if (rc || clock_now_ns() - told_ns < LIVE_NS)
			continue;
		told_ns += LIVE_NS;
		rc = tell_live(s, err);
	}
	return rc;
}

/* --- and when it is through ---------------------------------------------------------------- */

static void put_row(struct buf *out, const struct walk_row *row)
{
	wire_put_sent(out, &(struct wire_sent){
				   .request = row->request,
				   .thread = row->thread,
				   .session = row->session,
				   .due_ns = row->due_ns,
				   .sent_ns = row->sent_ns,
				   .received_ns = row->received_ns,
				   .request_bytes = row->request_bytes,
				   .response_bytes = row->response_bytes,
				   .outcome = row->outcome,
			   });
}

static int send_rows(struct serving *s, struct err *err)
{
	struct walk_row rows[ROWS_BATCH];
	off_t at = 0;
	int rc = 0;
	ssize_t n;

	while (!rc && s->rows_fd >= 0 && (n = pread(s->rows_fd, rows, sizeof(rows), at)) > 0) {
		size_t count = (size_t)n / sizeof(rows[0]);

		if (!count)
			break;
		at += (off_t)(count * sizeof(rows[0]));
		for (size_t i = 0; i < count; i++)
			put_row(&s->talk->out, &rows[i]);
		rc = talk_send(s->talk, SEND_MS, err);
	}
	return rc;
}

static int send_totals(struct serving *s, struct err *err)
{
	const struct walk_sender *sender = &s->sender;

	for (uint32_t i = sender->first; i < s->job.head.threads; i += sender->step) {
		struct wire_share share = { i, 0, s->counts[i].answered, s->counts[i].failed };

		wire_put_share(&s->talk->out, &share);
	}
	walk_tally_put(&s->talk->out, &sender->tally, &sender->err);
	return talk_send(s->talk, SEND_MS, err);
}

/* The client asks for the time once more, and says goodbye. */
static int part(struct serving *s, struct err *err)
{
	struct wire_frame frame;
	int rc;

	do
		rc = hear(s->talk, &frame, err);
	while (!rc && frame.type == WIRE_STOP); /* it crossed our last words */
	if (!rc && frame.type != WIRE_BYE)
		rc = err_set(err, EPROTO, "a %s message is not due now",
			     wire_type_name(frame.type));
	return rc;
}

static int run(struct serving *s, struct err *err)
{
	int rc = walk_sender_start(&s->sender, err);

	if (rc)
		return rc;
	rc = watch(s, err);
	atomic_store(&s->stopping, true);
	walk_sender_join(&s->sender);
	if (!rc && s->sender.rows)
		rc = walk_rows_finish(s->sender.rows, err);
	if (!rc)
		rc = send_rows(s, err);
	if (!rc)
		rc = send_totals(s, err);
	return rc ? rc : part(s, err);
}

static int serve(struct serving *s, struct err *err)
{
	int rc = take_job(s, err);

	if (!rc)
		rc = prepare(s, err);
	if (!rc)
		rc = await_start(s, err);
	return rc ? rc : run(s, err);
}

static void release(struct serving *s)
{
	walk_sender_release(&s->sender);
	walk_rows_free(s->sender.rows);
	walk_job_release(&s->job);
	tls_context_free(s->tls);
	if (s->rows_fd >= 0)
		close(s->rows_fd);
	free(s->counts);
	free(s);
}

/* It hears why, if it still listens. */
static void tell_failure(struct talk *t, const struct err *why)
{
	struct wire_error error = { 0 };
	struct err ignored;

	memcpy(error.text, why->text, strnlen(why->text, sizeof(error.text) - 1));
	buf_reset(&t->out);
	wire_put_error(&t->out, &error);
	if (!talk_send(t, LOOK_MS, &ignored))
		control_finish(t->control);
}

int agent_serve(struct talk *talk, const struct secure *secure, bool plain, struct err *err)
{
	struct serving *s = calloc(1, sizeof(*s));
	int rc = s ? 0 : err_errno(err, ENOMEM, "cannot serve a client");

	if (rc)
		return rc;
	s->talk = talk;
	s->rows_fd = -1;
	if (secure && plain)
		rc = err_set(err, EACCES,
			     "the agent serves only who proves itself: give gait walk %s",
			     secure_demand(secure));
	else if (secure)
		rc = talk_shake(talk, AGENT_NEWCOMER_MS, err);
	if (!rc)
		rc = greet(talk, err);
	if (!rc)
		rc = serve(s, err);
	if (rc)
		tell_failure(talk, err);
	release(s);
	return rc;
}
