/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/link.h"

#include "base/clock.h"
#include "probe/probe.h"
#include "replay/net/datagram.h"
#include "replay/walk/datagram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RING_MIN 16
#define RINGS_MAX (1u << 21) /* then it waits for replies: late, and counted as that */

static int64_t now_of(const struct walk_link *l)
{
	return clock_now_ns() - l->anchor_ns;
}

static const struct walk_schedule *schedule_of(const struct walk_link *l)
{
	return &l->plan->schedule;
}

static uint32_t request_bytes(const struct walk_link *l, uint64_t request)
{
	bool raised;
	uint32_t bytes = walk_request_bytes(schedule_of(l), l->thread, request, &raised);

	l->tally->raised += raised;
	return bytes;
}

/* --- requests under way -------------------------------------------------------------------- */

static struct walk_request *request_at(const struct walk_link *l, uint64_t request)
{
	return &l->ring[request & (l->ring_size - 1)];
}

/* The ring's requests into a larger one, in runs up to the end of the smaller; NULL: no memory. */
static void *ring_copy(const struct walk_link *l, const void *from, size_t bytes, size_t size)
{
	char *ring = calloc(size, bytes);
	uint64_t run;

	for (uint64_t i = l->oldest; ring && i < l->next; i += run) {
		size_t at = i & (l->ring_size - 1);

		run = l->ring_size - at < l->next - i ? l->ring_size - at : l->next - i;
		memcpy(ring + (i & (size - 1)) * bytes, (const char *)from + at * bytes,
		       run * bytes);
	}
	return ring;
}

/* All connections of a sender together hold RINGS_MAX, beyond what each begins with. */
static bool ring_grow(struct walk_link *l)
{
	size_t size = l->ring_size ? 2 * l->ring_size : RING_MIN;
	uint64_t of_all = l->tally->rings + size - l->ring_size;
	struct walk_stamps *stamps = NULL;
	struct walk_request *ring;

	if (l->ring_size && of_all > RINGS_MAX)
		return false;
	ring = ring_copy(l, l->ring, sizeof(*ring), size);
	if (l->slot)
		stamps = ring_copy(l, l->stamps, sizeof(*stamps), size);
	if (!ring || (l->slot && !stamps)) {
		free(ring);
		free(stamps);
		return false;
	}
	l->tally->rings = of_all;
	free(l->ring);
	free(l->stamps);
	l->ring = ring;
	l->stamps = stamps;
	l->ring_size = size;
	return true;
}

static struct walk_stamps *stamps_at(const struct walk_link *l, uint64_t request)
{
	return &l->stamps[request & (l->ring_size - 1)];
}

static bool has_room(struct walk_link *l)
{
	return l->next - l->oldest < l->ring_size || ring_grow(l);
}

static void count(struct walk_tally *tally, const struct walk_request *r)
{
	tally->outcomes[r->outcome]++;
	tally->bytes_out += r->bytes;
	hist_record(&tally->late, (uint64_t)(r->sent_ns > r->due_ns ? r->sent_ns - r->due_ns : 0));
	if (r->outcome != WALK_OK)
		return;
	tally->bytes_in += r->reply_bytes;
	hist_record(&tally->latency, (uint64_t)(r->received_ns - r->due_ns));
	hist_record(&tally->service, (uint64_t)(r->received_ns - r->sent_ns));
}

static void add_row(struct walk_link *l, const struct walk_request *r)
{
	struct walk_row row = {
		.request = l->oldest,
		.thread = l->thread,
		.session = (uint32_t)l->session,
		.due_ns = r->due_ns,
		.sent_ns = r->sent_ns,
		.received_ns = r->received_ns,
		.request_bytes = r->bytes,
		.response_bytes = r->reply_bytes,
		.outcome = r->outcome,
	};

	if (l->stamps)
		row.stamps = *stamps_at(l, l->oldest);
	walk_writer_add(l->writer, &row);
}

void walk_link_retire(struct walk_link *l, uint64_t *ret_answered, uint64_t *ret_failed)
{
	uint64_t answered = 0, before = l->oldest;

	for (; l->oldest < l->next && request_at(l, l->oldest)->settled; l->oldest++) {
		const struct walk_request *r = request_at(l, l->oldest);

		count(l->tally, r);
		add_row(l, r);
		answered += r->outcome == WALK_OK;
	}
	*ret_answered = answered;
	*ret_failed = l->oldest - before - answered;
	l->count.answered += answered;
	l->count.failed += *ret_failed;
}

bool walk_link_is_stuck(struct walk_link *l, int64_t now_ns)
{
	if (!walk_link_is_full(l))
		return false;
	if (l->stuck_ns < 0)
		l->stuck_ns = now_ns;
	return now_ns - l->stuck_ns > l->plan->timeout_ns;
}

static void settle(struct walk_request *r, enum walk_outcome outcome)
{
	r->outcome = (uint8_t)outcome;
	r->settled = true;
}

void walk_link_expire(struct walk_link *l, int64_t now_ns)
{
	for (uint64_t i = l->oldest; i < l->next; i++) {
		struct walk_request *r = request_at(l, i);

		if (r->due_ns + l->plan->timeout_ns > now_ns)
			return; /* so are all behind it */
		if (!r->settled)
			settle(r, WALK_TIMEOUT);
	}
}

/* What the session has not sent will not be, nor what else would have been. */
static void leave_unsent(struct walk_link *l, uint64_t requests)
{
	l->tally->outcomes[WALK_UNSENT] += requests;
	l->count.failed += requests;
	l->end = l->next;
}

void walk_link_stop(struct walk_link *l)
{
	leave_unsent(l, schedule_of(l)->requests - l->next);
	l->stopping = true;
}

void walk_link_fail(struct walk_link *l, enum walk_outcome outcome)
{
	for (uint64_t i = l->oldest; i < l->next; i++)
		if (!request_at(l, i)->settled)
			settle(request_at(l, i), outcome);
	leave_unsent(l, l->end - l->next);
}

/* --- sending ------------------------------------------------------------------------------- */

bool walk_link_begin(struct walk_link *l, int64_t now_ns)
{
	if (!has_room(l))
		return false;
	*request_at(l, l->next) = (struct walk_request){ .due_ns = l->due_ns,
							 .sent_ns = now_ns,
							 .received_ns = -1,
							 .bytes = request_bytes(l, l->next) };
	if (l->stamps)
		*stamps_at(l, l->next) = (struct walk_stamps){ 0 };
	walk_next_due(schedule_of(l), l->thread, l->next, &l->due_ns, &l->due_fraction);
	l->next++;
	return true;
}

struct wire_message walk_link_message(const struct walk_link *l, uint64_t request)
{
	return (struct wire_message){ .size = request_at(l, request)->bytes,
				      .request = walk_number(schedule_of(l), l->thread, request) };
}

/* One that is due, into the buffer; false: there is no room for it now. */
static bool put_request(struct walk_link *l, char *out, size_t *at, int64_t now_ns)
{
	size_t room = WALK_BUFFER_BYTES - *at, part;
	struct wire_message message;

	if (room < WIRE_MESSAGE_BYTES || l->body_left || !walk_link_begin(l, now_ns))
		return false;
	message = walk_link_message(l, l->next - 1);
	wire_message_encode(&message, (uint8_t *)out + *at);
	part = message.size < room ? message.size : room;
	*at += part;
	l->body_left = message.size - part;
	return true;
}

/* A stamp of the kernel's; 0: it is of before there was anything to stamp. */
static int64_t since_anchor(const struct walk_link *l, uint64_t stamp_ns)
{
	int64_t ns = (int64_t)stamp_ns - l->anchor_ns;

	return ns > 0 ? ns : 0;
}

/*
 * Of those from `first` on that began in a buffer, the ones whose first byte was among the `bytes`
 * that the call took. What the socket had handed on before the call began is of others.
 */
static void stamp_sent(struct walk_link *l, uint64_t first, size_t bytes, uint64_t before)
{
	int64_t tx_ns, sent_end_ns;
	size_t at = 0;

	if (!l->slot || walk_stamps_sent(l->slot) == before)
		return;
	sent_end_ns = now_of(l);
	tx_ns = since_anchor(l, l->slot->tx_ns);
	for (uint64_t i = first; i < l->next && at < bytes; i++) {
		const struct walk_request *r = request_at(l, i);
		struct walk_stamps *stamps = stamps_at(l, i);

		stamps->tx_ns = tx_ns >= r->sent_ns ? tx_ns : 0;
		stamps->sent_end_ns = sent_end_ns;
		at += r->bytes;
	}
}

/* -errno when the connection is broken. */
static ssize_t send_part(struct walk_link *l, const char *data, size_t bytes)
{
	ssize_t n = channel_send(&l->channel, data, bytes);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n > 0)
		l->stuck_ns = -1;
	return n;
}

/* What the socket did not take has to wait for it; nothing does yet. */
static int keep(struct walk_link *l, const char *data, size_t bytes)
{
	if (!bytes)
		return 0;
	l->unsent = malloc(bytes);
	if (!l->unsent)
		return -ENOMEM;
	memcpy(l->unsent, data, bytes);
	l->unsent_from = 0;
	l->unsent_to = bytes;
	return 0;
}

/* The rest of what was begun. What follows a header has no meaning: whatever is in `out`. */
static int send_rest(struct walk_link *l, char *out)
{
	while (walk_link_is_full(l)) {
		bool kept = l->unsent_from < l->unsent_to;
		size_t bytes = kept				? l->unsent_to - l->unsent_from :
			       l->body_left < WALK_BUFFER_BYTES ? l->body_left :
								  WALK_BUFFER_BYTES;
		ssize_t n = send_part(l, kept ? l->unsent + l->unsent_from : out, bytes);

		if (n <= 0)
			return (int)n;
		if (kept)
			l->unsent_from += (size_t)n;
		else
			l->body_left -= (size_t)n;
	}
	free(l->unsent);
	l->unsent = NULL;
	return 1;
}

static int send_stream(struct walk_link *l, char *out, bool may_begin, uint64_t *ret_begun)
{
	int rc = send_rest(l, out);
	int64_t now_ns = now_of(l); /* what is due later waits until replies have been looked at */

	*ret_begun = 0;
	while (rc > 0 && may_begin && l->next < l->end) {
		uint64_t before = l->next, sequence = walk_stamps_sent(l->slot);
		size_t bytes = 0;
		ssize_t n;

		while (l->next < l->end && l->due_ns <= now_ns &&
		       put_request(l, out, &bytes, now_ns))
			;
		*ret_begun += l->next - before;
		if (!bytes)
			return l->due_ns > now_ns;
		n = send_part(l, out, bytes);
		if (n < 0)
			return (int)n;
		stamp_sent(l, before, (size_t)n, sequence);
		rc = keep(l, out + n, bytes - (size_t)n);
		if (!rc)
			rc = send_rest(l, out);
		if (*ret_begun >= WALK_BUFFER_BYTES / WIRE_MESSAGE_BYTES)
			break; /* so do they when it is far behind */
	}
	return rc;
}

int walk_link_send(struct walk_link *l, char *out, bool may_begin, uint64_t *ret_begun)
{
	if (schedule_of(l)->datagrams)
		return walk_link_send_datagrams(l, may_begin, ret_begun);
	return send_stream(l, out, may_begin, ret_begun);
}

/* --- receiving ----------------------------------------------------------------------------- */

/* The request it answers; NULL: none that is under way. */
static struct walk_request *answered(const struct walk_link *l, uint64_t number)
{
	uint64_t request = number / schedule_of(l)->threads;

	if (number % schedule_of(l)->threads != l->thread || request < l->oldest ||
	    request >= l->next || request_at(l, request)->settled)
		return NULL;
	return request_at(l, request);
}

/*
 * Where the segments of what was read are not known apart, the last of it came last, and the others came
 * between. What left the queue last was this request if none has followed it.
 */
static void stamp_answered(const struct walk_link *l, uint64_t request)
{
	struct walk_stamps *stamps = stamps_at(l, request);

	stamps->again_ns = l->got.again_ns;
	stamps->left_ns = request + 1 == l->next ? l->got.left_ns : 0;
	stamps->came_ns = l->got_all || l->got_apart ? 0 : l->got.came_ns;
	stamps->arrival_ns = l->got.arrival_ns;
}

void walk_link_answered(struct walk_link *l, const struct wire_message *reply, int64_t now_ns)
{
	static const enum walk_outcome outcomes[WIRE_STATUS_COUNT] = {
		[WIRE_STATUS_OK] = WALK_OK,
		[WIRE_STATUS_ERROR] = WALK_ERROR,
		[WIRE_STATUS_TIMEOUT] = WALK_TIMEOUT,
		/* a walk's replies have none of these */
		[WIRE_STATUS_PART] = WALK_ERROR,
		[WIRE_STATUS_FORGET] = WALK_ERROR,
	};
	struct walk_request *r = answered(l, reply->request);

	if (!r) { /* it has timed out before */
		l->tally->replies_late++;
		return;
	}
	r->received_ns = now_ns;
	r->reply_bytes = reply->size;
	if (l->stamps)
		stamp_answered(l, reply->request / schedule_of(l)->threads);
	settle(r, outcomes[reply->status]);
}

/* A header, maybe in pieces: how many bytes were taken; < 0: it is none. */
static ssize_t take_head(struct walk_link *l, const char *bytes, size_t n)
{
	size_t part = WIRE_MESSAGE_BYTES - l->head_bytes;

	part = part < n ? part : n;
	memcpy(l->head + l->head_bytes, bytes, part);
	l->head_bytes += part;
	if (l->head_bytes < WIRE_MESSAGE_BYTES)
		return (ssize_t)part;
	l->head_bytes = 0;
	if (!wire_message_decode(l->head, &l->reply))
		return -EPROTO;
	l->reply_left = l->reply.size - WIRE_MESSAGE_BYTES;
	return (ssize_t)part;
}

/* Of the byte that so many behind it, and itself, were the end of what was read. */
static int64_t arrival_of(const struct walk_link *l, size_t bytes)
{
	return since_anchor(l, (uint64_t)probe_read_arrival(l->slot, bytes));
}

/* `emptied`: there was no more to be read. */
static int take(struct walk_link *l, const char *bytes, size_t n, bool emptied, int64_t now_ns)
{
	while (n) {
		ssize_t part;

		if (l->reply_left) {
			part = (ssize_t)(l->reply_left < n ? l->reply_left : n);
			l->reply_left -= (uint64_t)part;
		} else {
			part = take_head(l, bytes, n);
		}
		if (part < 0)
			return (int)part;
		bytes += part;
		n -= (size_t)part;
		l->got_all = !n && emptied;
		if (l->got_apart)
			l->got.arrival_ns = arrival_of(l, n + 1);
		if (!l->reply_left && !l->head_bytes)
			walk_link_answered(l, &l->reply, now_ns);
	}
	return 1;
}

/* Sockets stamp the last of what was read alone. */
#define ANY_TIME 1

static void stamp_received(struct walk_link *l, uint64_t before)
{
	const struct thread_slot *slot = l->slot;

	if (!slot)
		return;
	l->got = (struct walk_stamps){ 0 };
	l->got_apart = false;
	if (walk_stamps_received(slot) == before || !slot->rx_arrival_ns)
		return;
	l->got.again_ns = since_anchor(l, slot->rx_again_ns);
	l->got.left_ns = since_anchor(l, slot->rx_left_ns);
	l->got.came_ns = l->to ? ANY_TIME : since_anchor(l, slot->rx_arrival_ns);
	l->got.arrival_ns = since_anchor(l, slot->rx_latest_ns);
	l->got_apart = slot->rx_pieces_count && !l->channel.tls; /* bytes are those of segments */
}

int walk_link_receive(struct walk_link *l, char *in)
{
	int rc = 0;

	if (schedule_of(l)->datagrams)
		return walk_link_receive_datagrams(l, in);
	do { /* of what TLS holds already no event would tell */
		uint64_t before = walk_stamps_received(l->slot);
		ssize_t n = channel_recv(&l->channel, in, WALK_BUFFER_BYTES);

		if (n == -EAGAIN || n == -EINTR)
			return rc;
		if (n <= 0)
			return n ? (int)n : -ECONNRESET;
		stamp_received(l, before);
		rc = take(l, in, (size_t)n, n < WALK_BUFFER_BYTES, now_of(l));
	} while (rc > 0 && channel_has_more(&l->channel));
	return rc;
}

/* --- sessions ------------------------------------------------------------------------------ */

static void begin_session(struct walk_link *l)
{
	l->next = l->oldest = walk_first_of_session(schedule_of(l), l->session);
	l->end = walk_first_of_session(schedule_of(l), l->session + 1);
	l->retries_left = l->plan->connect_retries;
	l->state = WALK_LINK_CLOSED;
}

int walk_link_init(struct walk_link *l, uint32_t thread)
{
	l->channel = CHANNEL_NONE;
	l->thread = thread;
	timer_init(&l->timer);
	if (!ring_grow(l))
		return -ENOMEM;
	begin_session(l);
	l->due_ns = -l->anchor_ns; /* as soon as may be; the anchor is for what is sent */
	return 0;
}

void walk_link_release(struct walk_link *l)
{
	channel_close(&l->channel);
	free(l->ring);
	free(l->stamps);
	free(l->unsent);
}

/* Of a connection that is about to be; each of its datagrams shows it. */
static void sign(struct walk_link *l)
{
	bool datagrams = schedule_of(l)->datagrams;

	l->preface = (struct wire_preface){
		.flags = WIRE_PREFACE_WALK | (datagrams ? WIRE_PREFACE_DATAGRAM : 0),
		.connection_id = walk_connection(schedule_of(l), l->thread, l->session),
	};
	wire_preface_sign(&l->preface, l->plan->secret);
}

int walk_link_connect(struct walk_link *l)
{
	const struct walk_plan *plan = l->plan;
	int rc;

	sign(l);
	l->connecting_ns = now_of(l);
	l->events = 0;
	l->state = WALK_LINK_CONNECTING;
	rc = endpoint_connect(&plan->endpoint, plan->bound ? &plan->own : NULL, plan->transport,
			      plan->no_delay, &l->channel.fd);
	if (rc && rc != -EINPROGRESS)
		return rc;
	if (plan->transport == TRANSPORT_UDP)
		datagram_widen(l->channel.fd);
	return plan->tls ? channel_begin_tls(&l->channel, plan->tls) : 0;
}

/* Each datagram shows it itself. */
static int send_preface(struct walk_link *l)
{
	uint8_t bytes[WIRE_PREFACE_BYTES];

	if (schedule_of(l)->datagrams)
		return 0;
	wire_preface_encode(&l->preface, bytes);
	return channel_send(&l->channel, bytes, sizeof(bytes)) == sizeof(bytes) ? 0 : -EPIPE;
}

int walk_link_connected(struct walk_link *l)
{
	socklen_t size = sizeof(int);
	int64_t now_ns = now_of(l);
	int error = 0, rc;

	getsockopt(l->channel.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	rc = error ? -error : channel_handshake(&l->channel);
	if (!rc && l->to && !schedule_of(l)->datagrams && !l->channel.stamps)
		channel_stamp(&l->channel, l->to, true);
	if (!rc)
		rc = send_preface(l);
	if (rc)
		return rc;
	hist_record(&l->tally->connect, (uint64_t)(now_ns - l->connecting_ns));
	l->due_ns = walk_first_due_ns(schedule_of(l), l->thread, l->session);
	if (l->due_ns <
	    now_ns) /* connecting took its time: the schedule begins with a connection */
		l->due_ns = now_ns;
	l->due_fraction = 0;
	l->head_bytes = l->reply_left = 0;
	l->stuck_ns = -1;
	l->state = WALK_LINK_OPEN;
	return 0;
}

bool walk_link_next_session(struct walk_link *l)
{
	channel_close(&l->channel);
	free(l->unsent);
	l->unsent = NULL;
	l->unsent_from = l->unsent_to = 0;
	l->body_left = 0;
	l->due_ns = now_of(l);
	l->session++;
	if (l->stopping || l->session == schedule_of(l)->sessions)
		l->state = WALK_LINK_OVER;
	else
		begin_session(l);
	return l->state != WALK_LINK_OVER;
}
