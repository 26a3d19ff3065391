/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/agent/serving.h"
#include "replay/scratch.h"
#include "replay/walk/job.h"
#include "replay/walk/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ROWS_BATCH 512

/*
 * A client and its share of a walk. The sender runs in a thread as it does in a walk of one
 * process.
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

/* --- the job ------------------------------------------------------------------------------- */

static int take_job(struct serving *s, const struct wire_frame *first, struct err *err)
{
	struct wire_frame frame;
	int rc = walk_job_begin(&s->job, first, err);

	while (!rc) {
		rc = agent_hear(s->talk, &frame, err);
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

static int prepare(struct serving *s, struct err *err)
{
	const struct wire_sender *head = &s->job.head;
	int rc;

	walk_job_plan(&s->job, &s->plan);
	s->plan.spin_ns = agent_spin_ns(!(head->flags & WIRE_SENDER_NO_SPIN), head->beside);
	rc = find_node(s, err);
	s->counts = calloc(head->threads, sizeof(*s->counts));
	if (!rc && !s->counts)
		rc = err_errno(err, ENOMEM, "cannot hold %u threads", head->threads);
	if (!rc && head->flags & WIRE_SENDER_ROWS)
		rc = s->rows_fd = scratch_open(scratch_directory(), err);
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

/* --- while it sends ------------------------------------------------------------------------ */

static bool is_over(void *arg)
{
	struct serving *s = arg;

	return atomic_load(&s->sender.over);
}

static void stop(void *arg)
{
	struct serving *s = arg;

	atomic_store(&s->stopping, true);
}

static void tell(void *arg, struct wire_live *ret_live)
{
	const struct serving *s = arg;

	*ret_live = (struct wire_live){ s->live.sent, s->live.answered, s->live.failed, 0 };
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
	ssize_t n = 0;

	while (!rc && s->rows_fd >= 0 && (n = pread(s->rows_fd, rows, sizeof(rows), at)) > 0) {
		size_t count = (size_t)n / sizeof(rows[0]);

		if (!count)
			break;
		at += (off_t)(count * sizeof(rows[0]));
		for (size_t i = 0; i < count; i++)
			put_row(&s->talk->out, &rows[i]);
		rc = talk_send(s->talk, AGENT_SEND_MS, err);
	}
	return !rc && n < 0 ? err_errno(err, errno, "cannot read the rows again") : rc;
}

static int send_totals(struct serving *s, struct err *err)
{
	const struct walk_sender *sender = &s->sender;

	for (uint32_t i = sender->first; i < s->job.head.threads; i += sender->step) {
		struct wire_share share = { i, 0, s->counts[i].answered, s->counts[i].failed };

		wire_put_share(&s->talk->out, &share);
	}
	walk_tally_put(&s->talk->out, &sender->tally, &sender->err);
	return talk_send(s->talk, AGENT_SEND_MS, err);
}

static int run(struct serving *s, struct err *err)
{
	const struct agent_work work = { is_over, stop, tell, s };
	int rc = walk_sender_start(&s->sender, err);

	if (rc)
		return rc;
	rc = agent_watch(s->talk, &work, err);
	stop(s);
	walk_sender_join(&s->sender);
	if (!rc && s->sender.rows)
		rc = walk_rows_finish(s->sender.rows, err);
	if (!rc)
		rc = send_rows(s, err);
	if (!rc)
		rc = send_totals(s, err);
	return rc ? rc : agent_part(s->talk, err);
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

int agent_serve_walk(struct talk *t, const struct wire_frame *first, struct err *err)
{
	struct serving *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_errno(err, ENOMEM, "cannot serve a client");
	s->talk = t;
	s->rows_fd = -1;
	rc = take_job(s, first, err);
	if (!rc)
		rc = prepare(s, err);
	if (!rc)
		rc = agent_await_start(t, &s->sender.anchor_ns, err);
	if (!rc)
		rc = run(s, err);
	release(s);
	return rc;
}
