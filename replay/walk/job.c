/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/job.h"

#include "replay/walk/walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(WIRE_OUTCOMES == WALK_OUTCOMES, "an outcome is lost");
_Static_assert(WIRE_BLOCKS == HIST_BLOCKS && WIRE_BLOCK_BUCKETS == HIST_BLOCK_BUCKETS,
	       "a histogram is lost");
_Static_assert(WIRE_CLASSES_MAX == WALK_CLASSES_MAX && WIRE_WALK_THREADS_MAX == WALK_THREADS_MAX,
	       "a limit is another");

/* --- there --------------------------------------------------------------------------------- */

static int put_address(const struct walk_plan *plan, struct wire_sender *sender, struct err *err)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address address;
	int rc = endpoint_address(&plan->endpoint, plan->transport, &address, err);

	if (!rc)
		snprintf(sender->address, sizeof(sender->address), "%.255s",
			 address_format(&address, text));
	return rc;
}

static uint32_t flags_of(const struct walk_plan *plan, const struct walk_job_share *share)
{
	return (plan->wait_spin ? WIRE_SENDER_SPIN_ALWAYS : 0) |
	       (share->no_spin ? WIRE_SENDER_NO_SPIN : 0) |
	       (plan->no_delay ? WIRE_SENDER_NO_DELAY : 0) |
	       (plan->schedule.stagger ? WIRE_SENDER_STAGGER : 0) |
	       (plan->schedule.period ? WIRE_SENDER_BY_PERIOD : 0) |
	       (plan->session_rows ? WIRE_SENDER_SESSION_ROWS : 0) |
	       (share->rows ? WIRE_SENDER_ROWS : 0);
}

/* The length of what is appended. */
static int put_spec(const struct spec *spec, struct buf *text, uint32_t *ret_bytes, struct err *err)
{
	size_t before = text->len;
	int rc = spec_format(spec, text, err);

	*ret_bytes = (uint32_t)(text->len - before);
	return rc;
}

/* The texts, and how long each is. */
static int put_texts(const struct walk_schedule *s, struct wire_sender *sender,
		     struct wire_class *classes, struct buf *text, struct err *err)
{
	int rc = put_spec(s->size, text, &sender->size_bytes, err);
	size_t before;

	if (!rc)
		rc = put_spec(s->period ? s->period : s->rate, text, &sender->pace_bytes, err);
	before = text->len;
	if (!rc && s->classes_count)
		rc = chain_format(s->chain, text, err);
	sender->chain_bytes = (uint32_t)(text->len - before);
	for (size_t i = 0; i < s->classes_count && !rc; i++) {
		const struct walk_class *class = &s->classes[i];

		classes[i] = (struct wire_class){ .at = class->at, .end = class->end };
		memcpy(classes[i].name, class->name, sizeof(classes[i].name));
		if (class->has_size)
			rc = put_spec(&class->request_bytes, text, &classes[i].size_bytes, err);
	}
	if (!rc && buf_failed(text))
		rc = err_set(err, E2BIG, "the walk is too long to be told to an agent");
	return rc;
}

int walk_job_put(struct buf *out, const struct walk_plan *plan, const struct walk_job_share *share,
		 struct err *err)
{
	const struct walk_schedule *s = &plan->schedule;
	struct wire_class classes[WALK_CLASSES_MAX];
	struct wire_sender sender = {
		.seed = s->seed,
		.requests = s->requests,
		.sessions = s->sessions,
		.threads = s->threads,
		.first = share->first,
		.step = share->step,
		.beside = share->beside,
		.rate_step_ns = s->rate_step_ns,
		.timeout_ns = plan->timeout_ns,
		.connect_retry_ns = plan->connect_retry_ns,
		.connect_retries = plan->connect_retries,
		.flags = flags_of(plan, share),
		.classes = (uint32_t)s->classes_count,
	};
	struct buf text;
	int rc;

	buf_init(&text, WIRE_SENDER_TEXT_MAX);
	memcpy(sender.secret, plan->secret, sizeof(sender.secret));
	rc = put_address(plan, &sender, err);
	if (!rc)
		rc = put_texts(s, &sender, classes, &text, err);
	if (!rc) {
		wire_put_sender(out, &sender);
		for (size_t i = 0; i < s->classes_count; i++)
			wire_put_class(out, &classes[i]);
		wire_put_text(out, buf_text(&text), text.len);
	}
	buf_release(&text);
	return rc;
}

int walk_job_begin(struct walk_job *job, const struct wire_frame *frame, struct err *err)
{
	static const struct address_defaults none = { NULL, -1 };
	struct wire_sender *head = &job->head;
	int rc = wire_get_sender(frame, head, err);

	if (rc)
		return rc;
	if (head->first >= head->threads || head->sessions > WALK_SESSIONS_MAX)
		return err_set(err, EPROTO, "thread %u of %u in %llu sessions cannot be",
			       head->first, head->threads, (unsigned long long)head->sessions);
	buf_init(&job->text, WIRE_SENDER_TEXT_MAX);
	job->text_bytes = (size_t)head->size_bytes + head->pace_bytes + head->chain_bytes;
	rc = address_parse(head->address, &none, &job->address, err);
	if (!rc && job->address.transport == TRANSPORT_UNIX)
		rc = err_set(err, EPROTO, "'%s' is not for another host", head->address);
	return rc;
}

static int take_class(struct walk_job *job, const struct wire_frame *frame, struct err *err)
{
	struct walk_class *class = &job->classes[job->classes_count];
	struct wire_class from;
	int rc = wire_get_class(frame, &from, err);

	if (rc)
		return rc;
	*class = (struct walk_class){ .at = from.at, .end = from.end, .has_size = from.size_bytes };
	memcpy(class->name, from.name, sizeof(class->name));
	job->class_bytes[job->classes_count++] = from.size_bytes;
	job->text_bytes += from.size_bytes;
	return 0;
}

static int take_text(struct walk_job *job, const struct wire_frame *frame, struct err *err)
{
	if (job->text.len + frame->payload_bytes > job->text_bytes ||
	    buf_append(&job->text, frame->payload, frame->payload_bytes))
		return err_set(err, EPROTO, "more text than there was to be");
	return 0;
}

/* A spec has no '\0' within: spec_parse() would see a part of it. */
static int parse_spec(const char **at, uint32_t bytes, enum spec_unit unit, struct spec *ret_spec,
		      struct err *err)
{
	char *text = strndup(*at, bytes);
	int rc;

	if (!text)
		return err_errno(err, ENOMEM, "cannot hold a walk");
	rc = strlen(text) == bytes ? spec_parse(ret_spec, text, unit, NULL, err) :
				     err_set(err, EPROTO, "a value with a 0 in its text");
	*at += bytes;
	free(text);
	return rc;
}

/* As the client draws: all but the last class begin with a -s. */
static int check_class(const struct walk_job *job, size_t i, struct err *err)
{
	const struct walk_class *class = &job->classes[i];
	bool last = i + 1 == job->head.classes;

	if (class->at < class->end && class->end <= job->chain.count &&
	    (last || job->chain.ops[class->at].kind == CHAIN_SKIP))
		return 0;
	return err_set(err, EPROTO, "class %zu is not in the chain", i);
}

static int parse_texts(struct walk_job *job, struct err *err)
{
	const struct wire_sender *head = &job->head;
	const char *at = buf_text(&job->text);
	enum spec_unit pace = head->flags & WIRE_SENDER_BY_PERIOD ? SPEC_NS : SPEC_COUNT;
	int rc = parse_spec(&at, head->size_bytes, SPEC_BYTES, &job->size, err);

	if (!rc)
		rc = parse_spec(&at, head->pace_bytes, pace, &job->pace, err);
	if (!rc && head->chain_bytes)
		rc = chain_parse_text(&job->chain, at, head->chain_bytes, err);
	at += head->chain_bytes;
	for (size_t i = 0; i < head->classes && !rc; i++) {
		rc = check_class(job, i, err);
		if (!rc && job->class_bytes[i])
			rc = parse_spec(&at, job->class_bytes[i], SPEC_BYTES,
					&job->classes[i].request_bytes, err);
	}
	return rc;
}

int walk_job_take(struct walk_job *job, const struct wire_frame *frame, struct err *err)
{
	bool texts = job->classes_count == job->head.classes;
	int rc;

	if (frame->type != (texts ? WIRE_TEXT : WIRE_CLASS))
		return err_set(err, EPROTO, "a %s message is not due now",
			       wire_type_name(frame->type));
	rc = texts ? take_text(job, frame, err) : take_class(job, frame, err);
	if (rc || !texts || job->text.len < job->text_bytes)
		return rc;
	rc = parse_texts(job, err);
	return rc ? rc : 1;
}

void walk_job_release(struct walk_job *job)
{
	for (size_t i = 0; i < job->classes_count; i++)
		spec_release(&job->classes[i].request_bytes);
	spec_release(&job->size);
	spec_release(&job->pace);
	chain_release(&job->chain);
	buf_release(&job->text);
}

void walk_job_plan(const struct walk_job *job, struct walk_plan *ret_plan)
{
	const struct wire_sender *head = &job->head;

	*ret_plan = (struct walk_plan){
		.transport = job->address.transport,
		.timeout_ns = head->timeout_ns,
		.wait_spin = head->flags & WIRE_SENDER_SPIN_ALWAYS,
		.no_delay = head->flags & WIRE_SENDER_NO_DELAY,
		.session_rows = head->flags & WIRE_SENDER_SESSION_ROWS,
		.connect_retries = head->connect_retries,
		.connect_retry_ns = head->connect_retry_ns,
		.schedule = {
			.threads = head->threads,
			.requests = head->requests,
			.sessions = head->sessions,
			.seed = head->seed,
			.period = head->flags & WIRE_SENDER_BY_PERIOD ? &job->pace : NULL,
			.rate = &job->pace,
			.rate_step_ns = head->rate_step_ns,
			.size = &job->size,
			.chain = &job->chain,
			.classes = head->classes ? job->classes : NULL,
			.classes_count = head->classes,
			.datagrams = job->address.transport == TRANSPORT_UDP,
			.stagger = head->flags & WIRE_SENDER_STAGGER,
		},
	};
	memcpy(ret_plan->secret, head->secret, sizeof(ret_plan->secret));
}

/* --- and back ------------------------------------------------------------------------------ */

static struct hist *hist_of(struct walk_tally *t, uint32_t which)
{
	struct hist *const all[WIRE_HISTS] = { &t->latency, &t->service, &t->late, &t->connect };

	return all[which];
}

static void put_hist(struct buf *out, uint32_t which, const struct hist *h)
{
	struct wire_hist head = { which, 0, h->count, h->min, h->max, 0 };

	memcpy(&head.sum, &h->sum, sizeof(head.sum));
	wire_put_hist(out, &head);
	for (uint32_t b = 0; b < HIST_BLOCKS; b++) {
		struct wire_buckets buckets = { which, b, { 0 } };

		if (!h->blocks[b])
			continue;
		memcpy(buckets.counts, h->blocks[b], sizeof(buckets.counts));
		wire_put_buckets(out, &buckets);
	}
}

void walk_tally_put(struct buf *out, const struct walk_tally *t, const struct err *failure)
{
	struct walk_tally hists = *t; /* for hist_of() */
	struct wire_tally tally = {
		.sent = t->sent,
		.bytes_out = t->bytes_out,
		.bytes_in = t->bytes_in,
		.raised = t->raised,
		.replies_late = t->replies_late,
		.rows_waited = t->rows_waited,
		.ended_ns = t->ended_ns,
	};

	memcpy(tally.outcomes, t->outcomes, sizeof(tally.outcomes));
	memcpy(tally.failure, failure->text, sizeof(tally.failure));
	for (uint32_t i = 0; i < WIRE_HISTS; i++)
		put_hist(out, i, hist_of(&hists, i));
	wire_put_tally(out, &tally);
}

static int take_hist(struct walk_tally *t, const struct wire_frame *frame, struct err *err)
{
	struct wire_hist head;
	int rc = wire_get_hist(frame, &head, err);
	struct hist *h;

	if (rc)
		return rc;
	h = hist_of(t, head.which);
	h->count = head.count;
	h->min = head.min;
	h->max = head.max;
	memcpy(&h->sum, &head.sum, sizeof(h->sum));
	return 0;
}

static int take_buckets(struct walk_tally *t, const struct wire_frame *frame, struct err *err)
{
	struct wire_buckets buckets;
	int rc = wire_get_buckets(frame, &buckets, err);
	uint64_t **block;

	if (rc)
		return rc;
	block = &hist_of(t, buckets.which)->blocks[buckets.block];
	if (!*block)
		*block = malloc(sizeof(buckets.counts));
	if (!*block)
		return err_errno(err, ENOMEM, "cannot hold a histogram");
	memcpy(*block, buckets.counts, sizeof(buckets.counts));
	return 0;
}

static bool adds_up(const struct hist *h)
{
	uint64_t count = 0;

	for (size_t b = 0; b < HIST_BLOCKS; b++)
		for (size_t i = 0; h->blocks[b] && i < HIST_BLOCK_BUCKETS; i++)
			count += h->blocks[b][i];
	return count == h->count;
}

static int take_tally(struct walk_tally *t, const struct wire_frame *frame, struct err *ret_failure,
		      struct err *err)
{
	struct wire_tally from;
	int rc = wire_get_tally(frame, &from, err);

	for (uint32_t i = 0; i < WIRE_HISTS && !rc; i++)
		if (!adds_up(hist_of(t, i)))
			rc = err_set(err, EPROTO, "a histogram does not add up");
	if (rc)
		return rc;
	t->sent = from.sent;
	t->bytes_out = from.bytes_out;
	t->bytes_in = from.bytes_in;
	t->raised = from.raised;
	t->replies_late = from.replies_late;
	t->rows_waited += from.rows_waited;
	t->ended_ns = from.ended_ns;
	memcpy(t->outcomes, from.outcomes, sizeof(t->outcomes));
	memcpy(ret_failure->text, from.failure, sizeof(ret_failure->text));
	return 1;
}

int walk_tally_take(struct walk_tally *tally, const struct wire_frame *frame,
		    struct err *ret_failure, struct err *err)
{
	switch ((int)frame->type) {
	case WIRE_HIST:
		return take_hist(tally, frame, err);
	case WIRE_BUCKETS:
		return take_buckets(tally, frame, err);
	case WIRE_TALLY:
		return take_tally(tally, frame, ret_failure, err);
	}
	return err_set(err, EPROTO, "a %s message is not due now", wire_type_name(frame->type));
}
