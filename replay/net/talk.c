/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/talk.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>

#define RECEIVE_BYTES 65536
#define OUT_MAX (8u * WIRE_PAYLOAD_MAX)

void talk_init(struct talk *t, struct control *control, const char *other)
{
	*t = (struct talk){ .control = control, .other = other };
	buf_init(&t->in, WIRE_HEAD_BYTES + WIRE_PAYLOAD_MAX + RECEIVE_BYTES);
	buf_init(&t->out, OUT_MAX);
}

void talk_release(struct talk *t)
{
	control_free(t->control);
	buf_release(&t->in);
	buf_release(&t->out);
	t->control = NULL;
}

/* Says whom it is about. */
static int failed(const struct talk *t, int rc, const struct err *why, struct err *err)
{
	return err_set(err, -rc, "%s: %s", t->other, why->text);
}

/*
 * False: nothing can be done before the deadline. Who sends does not look at what has come meanwhile:
 * it stays where it is, and to be told of it would be no wait, and without end.
 */
static bool wait_until(const struct talk *t, bool sends, int64_t deadline_ns)
{
	struct pollfd ready = { .fd = control_fd(t->control),
				.events = sends ? POLLOUT : control_events(t->control, false) };
	int64_t left_ns = deadline_ns - clock_now_ns();

	return poll(&ready, 1, left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0) > 0;
}

static int64_t deadline(int timeout_ms)
{
	return clock_now_ns() + timeout_ms * NS_PER_MS;
}

int talk_shake(struct talk *t, int timeout_ms, struct err *err)
{
	int64_t until_ns = deadline(timeout_ms);
	struct err why;
	int rc;

	while (!(rc = control_shake(t->control, &why)))
		if (!wait_until(t, false, until_ns))
			return err_set(err, ETIMEDOUT, "%s did not prove itself in time", t->other);
	return rc < 0 ? failed(t, rc, &why, err) : 0;
}

int talk_send(struct talk *t, int timeout_ms, struct err *err)
{
	int64_t until_ns = deadline(timeout_ms);
	size_t sent = 0;
	struct err why;

	if (buf_failed(&t->out))
		return err_errno(err, -buf_failed(&t->out), "cannot hold what %s has to know",
				 t->other);
	while (sent < t->out.len) {
		ssize_t n = control_send(t->control, t->out.data + sent, t->out.len - sent, &why);

		if (n > 0) {
			sent += (size_t)n;
			until_ns = deadline(timeout_ms);
		} else if (n != -EAGAIN) {
			return failed(t, (int)n, &why, err);
		} else if (!wait_until(t, true, until_ns)) {
			return err_set(err, ETIMEDOUT, "%s takes nothing", t->other);
		}
	}
	buf_reset(&t->out);
	return 0;
}

/* 1: some bytes have come; 0: none within the time. */
static int receive(struct talk *t, int64_t until_ns, struct err *err)
{
	struct err why;

	for (;;) {
		ssize_t n;

		if (buf_reserve(&t->in, RECEIVE_BYTES))
			return err_errno(err, ENOMEM, "cannot hold what %s says", t->other);
		n = control_recv(t->control, t->in.data + t->in.len, RECEIVE_BYTES, &why);
		if (n > 0) {
			t->in.len += (size_t)n;
			return 1;
		}
		if (!n)
			return err_set(err, ECONNRESET, "%s is gone: it closed its connection",
				       t->other);
		if (n != -EAGAIN)
			return failed(t, (int)n, &why, err);
		if (!wait_until(t, false, until_ns))
			return 0;
	}
}

static int check_error(const struct talk *t, const struct wire_frame *frame, struct err *err)
{
	struct wire_error error;
	int rc;

	if (frame->type != WIRE_ERROR)
		return 1;
	rc = wire_get_error(frame, &error, err);
	return rc ? rc : err_set(err, EREMOTE, "%s: %s", t->other, error.text);
}

int talk_next(struct talk *t, int timeout_ms, struct wire_frame *ret_frame, struct err *err)
{
	int64_t until_ns = deadline(timeout_ms);
	int rc;

	for (;;) {
		int n = wire_frame_decode((const uint8_t *)t->in.data + t->used,
					  t->in.len - t->used, ret_frame, err);

		if (n < 0)
			return n;
		if (n) {
			t->used += (size_t)n;
			return check_error(t, ret_frame, err);
		}
		buf_consume(&t->in, t->used);
		t->used = 0;
		rc = receive(t, until_ns, err);
		if (rc <= 0)
			return rc;
	}
}

int talk_await(struct talk *t, int timeout_ms, enum wire_type type, struct wire_frame *ret_frame,
	       struct err *err)
{
	int rc = talk_next(t, timeout_ms, ret_frame, err);

	if (!rc)
		return err_set(err, ETIMEDOUT, "%s said nothing for %d s, where %s was due",
			       t->other, timeout_ms / 1000, wire_type_name(type));
	if (rc < 0)
		return rc;
	if (ret_frame->type != type)
		return err_set(err, EPROTO, "%s sent %s where %s was due", t->other,
			       wire_type_name(ret_frame->type), wire_type_name(type));
	return 0;
}
