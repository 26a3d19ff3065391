/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk_sender.h"

#include "base/clock.h"
#include "replay/walk.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define OUTSTANDING_MIN 1024
#define OUTSTANDING_MAX (1u << 22) /* then it waits for replies: late, and counted as that */
#define CONNECT_MS 10000

struct outstanding {
	int64_t due_ns, sent_ns, received_ns;
	uint32_t bytes, reply_bytes;
	uint8_t outcome;
	bool settled;
};

/* A session: a connection, and where it stands. All times are since the anchor. */
struct session {
	struct walk_sender *sender;
	const struct walk_sender_setup *setup;
	int fd;
	uint64_t number;
	uint64_t from, to, next; /* requests of the thread: its first, beyond its last, the next */
	int64_t due_ns;		 /* of the next */
	struct outstanding *ring;
	size_t ring_size;
	uint64_t oldest; /* not yet settled */
	char out[BUFFER_BYTES];
	size_t out_from, out_to;
	uint64_t body_left; /* of a message that is longer than the buffer, beyond it */
	char in[BUFFER_BYTES];
	uint8_t head[WIRE_MESSAGE_BYTES];
	size_t head_bytes;
	struct wire_message reply;
	uint64_t reply_left;
	struct walk_writer writer;
	bool broken;
};

static int64_t now_of(const struct session *s)
{
	return clock_now_ns() - s->sender->anchor_ns;
}

/* --- when, and how much -------------------------------------------------------------------- */

/* Each thread draws its own; what is a function of the request's number is the same for all. */
static struct spec_key key_of(const struct walk_sender_setup *setup, uint64_t request,
			      enum walk_slot slot)
{
	return (struct spec_key){ .seed = setup->seed + setup->thread,
				  .request = request,
				  .op = WALK_OP_CLIENT,
				  .slot = slot };
}

static int64_t period_ns(const struct walk_sender_setup *setup, uint64_t request, int64_t at_ns)
{
	struct spec_key key = key_of(setup, request, WALK_SLOT_PERIOD);
	double rate;

	if (setup->period)
		return (int64_t)spec_draw(setup->period, &key);
	key = key_of(setup, setup->rate_step_ns ? (uint64_t)(at_ns / setup->rate_step_ns) : request,
		     WALK_SLOT_RATE);
	rate = spec_draw_real(setup->rate, &key);
	return rate > 0 ? (int64_t)(NS_PER_SEC / rate) : NS_PER_SEC;
}

static uint32_t request_bytes(struct session *s, uint64_t request)
{
	struct spec_key key = key_of(s->setup, request, WALK_SLOT_BYTES);
	uint64_t bytes = spec_draw(s->setup->size, &key);

	if (bytes < WIRE_MESSAGE_BYTES)
		s->sender->tally.raised++;
	bytes = bytes < WIRE_MESSAGE_BYTES ? WIRE_MESSAGE_BYTES : bytes;
	return (uint32_t)(bytes < WIRE_MESSAGE_MAX ? bytes : WIRE_MESSAGE_MAX);
}

static uint64_t number_of(const struct session *s, uint64_t request)
{
	return request * s->setup->threads + s->setup->thread;
}

/* --- outstanding --------------------------------------------------------------------------- */

static struct outstanding *outstanding_of(const struct session *s, uint64_t request)
{
	return &s->ring[request & (s->ring_size - 1)];
}

static bool ring_grow(struct session *s)
{
	size_t size = s->ring_size ? 2 * s->ring_size : OUTSTANDING_MIN;
	struct outstanding *ring;

	if (size > OUTSTANDING_MAX)
		return false;
	ring = calloc(size, sizeof(*ring));
	if (!ring)
		return false;
	for (uint64_t i = s->oldest; i < s->next; i++)
		ring[i & (size - 1)] = *outstanding_of(s, i);
	free(s->ring);
	s->ring = ring;
	s->ring_size = size;
	return true;
}

static bool has_room(struct session *s)
{
	return s->next - s->oldest < s->ring_size || ring_grow(s);
}

static void count(struct walk_sender *sender, const struct outstanding *o)
{
	struct walk_tally *tally = &sender->tally;

	tally->outcomes[o->outcome]++;
	if (o->outcome == WALK_UNSENT)
		return;
	tally->bytes_out += o->bytes;
	hist_record(&tally->late, (uint64_t)(o->sent_ns > o->due_ns ? o->sent_ns - o->due_ns : 0));
	if (o->outcome != WALK_OK) {
		atomic_fetch_add_explicit(&sender->failed, 1, memory_order_relaxed);
		return;
	}
	tally->bytes_in += o->reply_bytes;
	hist_record(&tally->latency, (uint64_t)(o->received_ns - o->due_ns));
	hist_record(&tally->service, (uint64_t)(o->received_ns - o->sent_ns));
}

/* Rows leave in the order of sending. */
static void retire(struct session *s)
{
	uint64_t answered = 0;

	while (s->oldest < s->next && outstanding_of(s, s->oldest)->settled) {
		const struct outstanding *o = outstanding_of(s, s->oldest);

		count(s->sender, o);
		answered += o->outcome == WALK_OK;
		walk_writer_add(&s->writer, &(struct walk_row){
						    .request = s->oldest,
						    .thread = s->setup->thread,
						    .session = (uint32_t)s->number,
						    .due_ns = o->due_ns,
						    .sent_ns = o->sent_ns,
						    .received_ns = o->received_ns,
						    .request_bytes = o->bytes,
						    .response_bytes = o->reply_bytes,
						    .outcome = o->outcome,
					    });
		s->oldest++;
	}
	if (answered)
		atomic_fetch_add_explicit(&s->sender->answered, answered, memory_order_relaxed);
}

static void settle(struct outstanding *o, enum walk_outcome outcome)
{
	o->outcome = (uint8_t)outcome;
	o->settled = true;
}

/* --- sending ------------------------------------------------------------------------------- */

/* One that is due goes into the buffer; false: there is no room for it now. */
static bool put_request(struct session *s, int64_t now_ns)
{
	size_t room = BUFFER_BYTES - s->out_to, part;
	struct wire_message message;
	uint32_t bytes;

	if (room < WIRE_MESSAGE_BYTES || s->body_left || !has_room(s))
		return false;
	bytes = request_bytes(s, s->next);
	message = (struct wire_message){ .size = bytes, .request = number_of(s, s->next) };
	wire_message_encode(&message, (uint8_t *)s->out + s->out_to);
	part = bytes < room ? bytes : room;
	s->out_to += part;
	s->body_left = bytes - part;
	*outstanding_of(s, s->next) = (struct outstanding){
		.due_ns = s->due_ns, .sent_ns = now_ns, .received_ns = -1, .bytes = bytes
	};
	s->next++;
	s->due_ns += period_ns(s->setup, s->next, s->due_ns);
	return true;
}

/* Everything that is due by now. Nothing is added to what the socket has not taken yet. */
static void put_due(struct session *s)
{
	int64_t now_ns;
	uint64_t before = s->next;

	if (s->out_from < s->out_to || s->body_left || s->next == s->to)
		return;
	now_ns = now_of(s);
	s->out_from = s->out_to = 0;
	while (s->next < s->to && s->due_ns <= now_ns && put_request(s, now_ns))
		;
	atomic_fetch_add_explicit(&s->sender->sent, s->next - before, memory_order_relaxed);
}

/* 1: it took all, 0: no more now, < 0: the connection is broken. */
static int send_some(struct session *s)
{
	while (s->out_from < s->out_to || s->body_left) {
		size_t bytes = s->out_to - s->out_from;
		ssize_t n;

		if (!bytes) { /* what follows has no meaning: the buffer as it is */
			s->out_from = 0;
			s->out_to = s->body_left < BUFFER_BYTES ? s->body_left : BUFFER_BYTES;
			s->body_left -= s->out_to;
			continue;
		}
		n = send(s->fd, s->out + s->out_from, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		s->out_from += (size_t)n;
	}
	return 1;
}

/* --- receiving ----------------------------------------------------------------------------- */

/* The request it answers; NULL: none that is under way. */
static struct outstanding *answered(const struct session *s, uint64_t number)
{
	uint64_t request = number / s->setup->threads;

	if (number % s->setup->threads != s->setup->thread || request < s->oldest ||
	    request >= s->next || outstanding_of(s, request)->settled)
		return NULL;
	return outstanding_of(s, request);
}

static void on_reply(struct session *s, int64_t now_ns)
{
	static const enum walk_outcome outcomes[WIRE_STATUS_COUNT] = {
		[WIRE_STATUS_OK] = WALK_OK,
		[WIRE_STATUS_ERROR] = WALK_ERROR,
		[WIRE_STATUS_TIMEOUT] = WALK_TIMEOUT,
	};
	struct outstanding *o = answered(s, s->reply.request);

	if (!o)
		return; /* it has timed out before */
	o->received_ns = now_ns;
	o->reply_bytes = s->reply.size;
	settle(o, outcomes[s->reply.status]);
}

/* False: what came is no reply. */
static bool take(struct session *s, const char *bytes, size_t n, int64_t now_ns)
{
	while (n) {
		size_t part;

		if (s->reply_left) {
			part = s->reply_left < n ? (size_t)s->reply_left : n;
			s->reply_left -= part;
		} else {
			part = WIRE_MESSAGE_BYTES - s->head_bytes;
			part = part < n ? part : n;
			memcpy(s->head + s->head_bytes, bytes, part);
			s->head_bytes += part;
			bytes += part;
			n -= part;
			if (s->head_bytes < WIRE_MESSAGE_BYTES)
				return true;
			s->head_bytes = 0;
			if (!wire_message_decode(s->head, &s->reply))
				return false;
			s->reply_left = s->reply.size - WIRE_MESSAGE_BYTES;
			part = 0;
		}
		bytes += part;
		n -= part;
		if (!s->reply_left)
			on_reply(s, now_ns);
	}
	return true;
}

/* 1: something came, 0: nothing has, < 0: the connection is broken. */
static int receive(struct session *s)
{
	ssize_t n = recv(s->fd, s->in, BUFFER_BYTES, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!n)
		return -ECONNRESET;
	if (!take(s, s->in, (size_t)n, now_of(s)))
		return -EPROTO;
	retire(s);
	return 1;
}

/* The oldest are due first: those that have waited too long are over. When the next one will be. */
static int64_t expire(struct session *s, int64_t now_ns)
{
	while (s->oldest < s->next) {
		struct outstanding *o = outstanding_of(s, s->oldest);

		if (!o->settled && o->due_ns + s->setup->timeout_ns > now_ns)
			return o->due_ns + s->setup->timeout_ns;
		if (!o->settled)
			settle(o, WALK_TIMEOUT);
		retire(s);
	}
	return PACE_NEVER;
}

/* --- a session ----------------------------------------------------------------------------- */

static void wait_until(struct session *s, int64_t due_ns, int64_t other_ns, bool blocked)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN | (blocked ? POLLOUT : 0) };
	struct pace pace = { s->setup->spin_ns };
	int64_t now_ns = now_of(s), sleep_ns = 0;
	struct timespec ts;

	if (s->setup->wait_spin || (!blocked && due_ns <= now_ns))
		return;
	pace_next(&pace, now_ns, blocked ? PACE_NEVER : due_ns, &sleep_ns);
	if (other_ns - now_ns < sleep_ns)
		sleep_ns = other_ns > now_ns ? other_ns - now_ns : 0;
	if (sleep_ns <= 0)
		return;
	if (sleep_ns > NS_PER_SEC / 10) /* somebody may want it to stop */
		sleep_ns = NS_PER_SEC / 10;
	ts = (struct timespec){ sleep_ns / NS_PER_SEC, sleep_ns % NS_PER_SEC };
	ppoll(&pfd, 1, &ts, NULL);
}

static bool is_stopping(const struct session *s)
{
	return atomic_load_explicit(s->setup->stopping, memory_order_relaxed);
}

/* All that was sent and not answered, and all that was not sent, has failed. */
static void fail_rest(struct session *s, enum walk_outcome outcome)
{
	for (uint64_t i = s->oldest; i < s->next; i++)
		if (!outstanding_of(s, i)->settled)
			settle(outstanding_of(s, i), outcome);
	retire(s);
	s->sender->tally.outcomes[WALK_UNSENT] += s->to - s->next;
}

static int run(struct session *s)
{
	int64_t stop_ns = PACE_NEVER;

	while (s->oldest < s->to) {
		int sent, got;
		int64_t expires;

		if (stop_ns == PACE_NEVER && is_stopping(s))
			stop_ns = now_of(s) + 2 * NS_PER_SEC;
		if (stop_ns == PACE_NEVER)
			put_due(s);
		sent = send_some(s);
		got = receive(s);
		if (sent < 0 || got < 0)
			return sent < 0 ? sent : got;
		if (got)
			continue;
		expires = expire(s, now_of(s));
		if (stop_ns != PACE_NEVER && (s->oldest == s->next || now_of(s) > stop_ns))
			return 0;
		if (s->oldest < s->to)
			wait_until(s, s->next < s->to ? s->due_ns : PACE_NEVER, expires, !sent);
	}
	return 0;
}

static int connect_once(const struct walk_sender_setup *setup)
{
	const struct endpoint *to = &setup->endpoint;
	int fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0, on = setup->no_delay;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&to->at, to->size) && errno != EINPROGRESS)
		error = errno;
	else if (poll(&ready, 1, CONNECT_MS) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	else
		error = ETIMEDOUT;
	if (error) {
		close(fd);
		return -error;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int connect_node(struct walk_sender *sender)
{
	const struct walk_sender_setup *setup = &sender->setup;
	int64_t begin_ns = clock_now_ns();
	int fd;

	for (uint32_t i = 0; (fd = connect_once(setup)) < 0 && i < setup->connect_retries; i++)
		pace_wait_until(&(struct pace){ 0 }, clock_now_ns() + setup->connect_retry_ns);
	if (fd >= 0)
		hist_record(&sender->tally.connect, (uint64_t)(clock_now_ns() - begin_ns));
	return fd;
}

static int greet(const struct session *s)
{
	struct wire_preface preface = { .flags = WIRE_PREFACE_WALK,
					.connection_id = s->number * s->setup->threads +
							 s->setup->thread + 1 };
	uint8_t bytes[WIRE_PREFACE_BYTES];

	memcpy(preface.token, s->setup->token, sizeof(preface.token));
	wire_preface_encode(&preface, bytes);
	return send(s->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == sizeof(bytes) ? 0 : -errno;
}

/* Requests of all sessions in equal parts; the first ones take what is left over. */
static uint64_t first_of_session(const struct walk_sender_setup *setup, uint64_t session)
{
	uint64_t each = setup->requests / setup->sessions, over = setup->requests % setup->sessions;

	return session * each + (session < over ? session : over);
}

static int run_session(struct walk_sender *sender, struct session *s, uint64_t number)
{
	const struct walk_sender_setup *setup = &sender->setup;
	int rc;

	s->number = number;
	s->from = s->next = s->oldest = first_of_session(setup, number);
	s->to = first_of_session(setup, number + 1);
	s->out_from = s->out_to = s->body_left = 0;
	s->head_bytes = s->reply_left = 0;
	s->fd = connect_node(sender);
	rc = s->fd < 0 ? s->fd : greet(s);
	if (number || s->due_ns < now_of(s)) /* the schedule begins when there is a connection */
		s->due_ns = now_of(s);
	if (!rc)
		rc = run(s);
	fail_rest(s, is_stopping(s) && !rc ? WALK_TIMEOUT : WALK_ERROR);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	return rc;
}

static void *sender_main(void *arg)
{
	struct walk_sender *sender = arg;
	struct walk_sender_setup *setup = &sender->setup;
	struct session *s = calloc(1, sizeof(*s));
	int rc = s && ring_grow(s) ? 0 : -ENOMEM;

	pace_sharpen_thread();
	if (!rc) {
		s->sender = sender;
		s->setup = setup;
		s->writer.rows = setup->rows;
		if (setup->stagger)
			s->due_ns = period_ns(setup, 0, 0) * setup->thread / setup->threads;
	}
	for (uint64_t i = 0; !rc && i < setup->sessions && !atomic_load(setup->stopping); i++)
		rc = run_session(sender, s, i);
	if (s) {
		walk_writer_end(&s->writer);
		sender->tally.rows_waited = s->writer.waited;
		sender->tally.sent = sender->sent;
		free(s->ring);
	}
	if (rc)
		err_errno(&sender->err, -rc, "connection of thread %u", setup->thread);
	free(s);
	atomic_store(&sender->over, true);
	return NULL;
}

int walk_sender_start(struct walk_sender *s, const struct walk_sender_setup *setup,
		      int64_t anchor_ns, struct err *err)
{
	sigset_t all, before;
	int rc;

	s->setup = *setup;
	s->anchor_ns = anchor_ns;
	hist_init(&s->tally.latency);
	hist_init(&s->tally.service);
	hist_init(&s->tally.late);
	hist_init(&s->tally.connect);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->thread, NULL, sender_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->running = !rc;
	return rc ? err_errno(err, rc, "cannot start thread %u", setup->thread) : 0;
}

void walk_sender_join(struct walk_sender *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void walk_sender_release(struct walk_sender *s)
{
	walk_sender_join(s);
	hist_release(&s->tally.latency);
	hist_release(&s->tally.service);
	hist_release(&s->tally.late);
	hist_release(&s->tally.connect);
}
