/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/keeper.h"
#include "replay/node/session.h"

#include "base/clock.h"
#include "replay/node/limits.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 262144
#define SEND_BYTES 65536
#define OUT_MAX (SEND_BYTES + 2 * WIRE_PAYLOAD_MAX)

enum session_state {
	SESSION_NEW = 1 << 0,	  /* nobody has said hello */
	SESSION_MET = 1 << 1,	  /* both have */
	SESSION_PLAN = 1 << 2,	  /* the service is known, the plan comes */
	SESSION_READY = 1 << 3,	  /* its threads run */
	SESSION_STARTED = 1 << 4, /* the anchor is set */
	SESSION_OVER = 1 << 5,
	SESSION_TEXT = 1 << 6, /* a walk's op chain comes */
};

struct session {
	struct session_setup setup;
	struct control *control;
	enum session_state state;
	int64_t since_ns;
	int64_t cpu_ns; /* of the control thread at the beginning */
	struct buf in, out;
	uint8_t secret[WIRE_TOKEN_BYTES]; /* of the prefaces */
	struct service *service;
	struct wire_walk walk; /* of a walk: what was said of its text, */
	struct buf text;       /* and what has come of it */
	struct wire_credit credited;
	struct probe_losses losses; /* at the beginning */
	struct plan_op ops[WIRE_OPS_MAX];
};

static int64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static const struct {
	int level, name, value;
} socket_options[] = {
	/* a client that is gone without a word must not keep the node busy */
	{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 10 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
	{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
};

int session_new(const struct session_setup *setup, struct control *control,
		struct session **ret_session, struct err *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int fd = control_fd(control);

	if (!s || getrandom(s->secret, sizeof(s->secret), 0) != sizeof(s->secret)) {
		free(s);
		control_free(control);
		return err_errno(err, ENOMEM, "cannot set up a session");
	}
	s->setup = *setup;
	s->control = control;
	s->state = SESSION_NEW;
	s->since_ns = clock_now_ns();
	s->cpu_ns = thread_cpu_ns();
	buf_init(&s->in, WIRE_HEAD_BYTES + WIRE_PAYLOAD_MAX + READ_BYTES);
	buf_init(&s->out, OUT_MAX);
	buf_init(&s->text, WIRE_CHAIN_MAX);
	if (setup->guard)
		probe_guard_losses(setup->guard, &s->losses);
	listener_admit(fd);
	for (size_t i = 0; i < sizeof(socket_options) / sizeof(socket_options[0]); i++)
		setsockopt(fd, socket_options[i].level, socket_options[i].name,
			   &socket_options[i].value, sizeof(int));
	*ret_session = s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	service_free(s->service);
	if (!*s->setup.replaying) /* else they are another's */
		storage_reset(s->setup.storage);
	control_free(s->control);
	buf_release(&s->in);
	buf_release(&s->out);
	buf_release(&s->text);
	free(s);
}

int session_fd(const struct session *s)
{
	return control_fd(s->control);
}

bool session_has_met(const struct session *s)
{
	return s->state != SESSION_NEW;
}

bool session_accepts(const struct session *s)
{
	return s->service && s->service->started;
}

int session_strangers_fd(const struct session *s)
{
	return s->service ? s->service->strangers[0] : -1;
}

struct stranger *session_take_stranger(struct session *s)
{
	return s->service ? service_take_stranger(s->service) : NULL;
}

bool session_takes(struct session *s, const struct wire_preface *preface, struct stranger *stranger)
{
	return session_accepts(s) && service_takes(s->service, preface, stranger);
}

void session_wake(struct session *s)
{
	if (s->service)
		service_wake(s->service);
}

void session_not_refused(struct session *s, const struct wire_preface *preface)
{
	bool datagram = preface->flags & WIRE_PREFACE_DATAGRAM;

	atomic_fetch_sub(datagram ? &s->service->datagrams_refused : &s->service->refused, 1);
}

void session_end(struct session *s)
{
	if (s->service)
		service_stop(s->service);
}

/* Waits until the socket takes more; false when the client or the node has gone. */
static bool wait_writable(const struct session *s)
{
	struct pollfd pfd = { .fd = control_fd(s->control), .events = POLLOUT };

	for (int left = NODE_SEND_TIMEOUT_S; left > 0; left--) {
		if (atomic_load(s->setup.stopping))
			return false;
		if (poll(&pfd, 1, 1000) > 0)
			return true;
	}
	return false;
}

static int flush(struct session *s, struct err *err)
{
	size_t sent = 0;

	if (buf_failed(&s->out))
		return err_errno(err, ENOMEM, "cannot write a message");
	while (sent < s->out.len) {
		ssize_t n = control_send(s->control, s->out.data + sent, s->out.len - sent, err);

		if (n > 0)
			sent += (size_t)n;
		else if (n != -EAGAIN)
			return (int)n;
		else if (!wait_writable(s))
			return err_set(err, ETIMEDOUT, "the client takes nothing");
	}
	buf_reset(&s->out);
	return 0;
}

static uint16_t control_port(const struct listeners *ls)
{
	return ls->all[ls->control].address.port;
}

static int on_hello(struct session *s, const struct wire_frame *frame, struct err *err)
{
	uint64_t ahead = s->setup.requests_ahead;
	struct wire_hello hello;
	int rc = wire_get_hello(frame, &hello, err);

	if (rc)
		return rc;
	if (hello.version != WIRE_VERSION)
		return err_set(err, EPROTO,
			       "the client speaks version %u of the protocol, this node version "
			       "%u: use the same gait on both sides",
			       hello.version, WIRE_VERSION);
	hello = (struct wire_hello){
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.work_per_ms = s->setup.work_per_ms,
		.attribution = s->setup.attribution,
		.data_port = control_port(s->setup.listeners),
		.requests_ahead_max = ahead,
		.ops_ahead_max = ahead * NODE_OPS_PER_REQUEST,
	};
	manifest_host_here(&hello.host);
	memcpy(hello.secret, s->secret, sizeof(hello.secret));
	wire_put_hello(&s->out, &hello);
	s->state = SESSION_MET;
	return flush(s, err);
}

static struct service_setup service_setup(const struct session *s)
{
	struct service_setup setup = {
		.listeners = s->setup.listeners,
		.workers = s->setup.workers,
		.storage = s->setup.storage,
		.slots = probe_guard_slots(s->setup.guard),
		.counts_itself = s->setup.attribution == ATTRIBUTION_USER,
		.work_per_ms = s->setup.work_per_ms,
		.stats = s->setup.stats,
		.compute = s->setup.compute,
		.io = s->setup.io,
		.requests_ahead = s->setup.requests_ahead,
		.threads = s->setup.threads,
	};

	memcpy(setup.secret, s->secret, sizeof(setup.secret));
	return setup;
}

static int on_service(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct service_setup setup = service_setup(s);
	struct wire_service recorded;
	int rc = wire_get_service(frame, &recorded, err);

	if (!rc && *s->setup.replaying)
		rc = err_set(err, EBUSY, "the node is busy with another client");
	if (rc)
		return rc;
	*s->setup.replaying = s;
	rc = service_new(&setup, &recorded, &s->service, err);
	if (!rc)
		s->state = SESSION_PLAN;
	return rc;
}

static int on_walk(struct session *s, const struct wire_frame *frame, struct err *err)
{
	int rc = wire_get_walk(frame, &s->walk, err);

	if (!rc)
		s->state = SESSION_TEXT;
	return rc;
}

/* The text is whole: what it says is ready to be walked. */
static int begin_walk(struct session *s, struct err *err)
{
	struct service_setup setup = service_setup(s);
	struct walk_program *program = calloc(1, sizeof(*program));
	int rc = program ? walk_program_init(program, &s->walk, s->text.data, s->setup.work_per_ms,
					     err) :
			   err_errno(err, ENOMEM, "cannot hold the op chain");

	if (rc) {
		free(program);
		return rc;
	}
	buf_release(&s->text);
	rc = service_new_walk(&setup, program, &s->service, err);
	if (!rc)
		s->state = SESSION_PLAN;
	return rc;
}

static int on_text(struct session *s, const struct wire_frame *frame, struct err *err)
{
	if (s->text.len + frame->payload_bytes > s->walk.text_bytes)
		return err_set(err, EPROTO, "the op chain is longer than it was said to be");
	if (buf_append(&s->text, frame->payload, frame->payload_bytes))
		return err_errno(err, ENOMEM, "cannot hold the op chain");
	return s->text.len == s->walk.text_bytes ? begin_walk(s, err) : 0;
}

/* Rows of a sample. The threads do not run yet. */
static int on_keep(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct service *service = s->service;
	struct wire_keep keep;
	int rc = wire_get_keep(frame, &keep, err);

	if (!rc && ((service->walk && !service->walk->rows) || service->keeper))
		rc = err_set(err, EPROTO, "a KEEP message is for what has rows, once");
	return rc ? rc :
		    keeper_new(&keep, service->walk, &service->rows, &service->oprows,
			       service->timelines ? &service->stretches : NULL, &service->keeper,
			       err);
}

static int on_class(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_class class;
	int rc = wire_get_class(frame, &class, err);

	if (!rc && !s->service->keeper)
		rc = err_set(err, EPROTO, "a CLASS message is not due now");
	return rc ? rc : keeper_add_class(s->service->keeper, &class, err);
}

static int on_slow(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_slow slow;
	int rc = wire_get_slow(frame, &slow, err);

	if (!rc && !s->service->keeper)
		rc = err_set(err, EPROTO, "a SLOW message is not due now");
	if (!rc)
		keeper_name(s->service->keeper, &slow);
	return rc;
}

static int on_peer(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct forward_peers *peers = &s->service->peers;
	struct endpoint client;
	struct wire_peer peer;
	int rc = wire_get_peer(frame, &peer, err);

	if (!rc)
		rc = forward_peers_tell(peers, &peer, s->service->walk, err);
	if (rc || reach_permits(s->setup.reach, &peers->all[peer.index].endpoint,
				control_from(s->control, &client) ? &client : NULL))
		return rc;
	return err_set(err, EACCES,
		       "it calls nobody at %s, as nobody has allowed it to: start it with "
		       "--forward-to and that address",
		       peer.address);
}

static int on_target(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_target target;
	int rc = wire_get_target(frame, &target, err);

	return rc ? rc :
		    storage_lay_out(s->setup.storage, target.target_id, target.file_bytes,
				    s->setup.stopping, err);
}

static int on_connection(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_connection connection;
	int rc = wire_get_connection(frame, &connection, err);

	return rc ? rc : service_add_connection(s->service, &connection, err);
}

static int on_background(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct plan_background background;
	int rc = wire_get_background(frame, &background, err);

	return rc ? rc : service_add_background(s->service, &background, err);
}

static int on_plan(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct plan_request request;
	int rc = wire_get_plan(frame, &request, s->ops, WIRE_OPS_MAX, err);

	return rc ? rc : service_add_request(s->service, &request, s->ops, err);
}

static int on_layout(struct session *s, const struct wire_frame *frame, struct err *err)
{
	const struct keeper *keeper = s->service->keeper;
	int rc = keeper && !keeper_is_ready(keeper) ? err_set(err, EPROTO, "classes are missing") :
						      service_start(s->service, err);

	if (rc)
		return rc;
	s->state = SESSION_READY;
	wire_put_empty(&s->out, WIRE_READY);
	return flush(s, err);
}

static int on_start(struct session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_start start;
	int rc = wire_get_start(frame, &start, err);

	if (rc)
		return rc;
	service_go(s->service, start.anchor_ns + (start.relative ? clock_now_ns() : 0));
	s->state = SESSION_STARTED;
	return 0;
}

static int on_plan_end(struct session *s, const struct wire_frame *frame, struct err *err)
{
	return 0;
}

static int put_row(struct buf *out, const void *record)
{
	return wire_put_row(out, record);
}

static int put_oprow(struct buf *out, const void *record)
{
	return wire_put_oprow(out, record);
}

static int put_stretch(struct buf *out, const void *record)
{
	return wire_put_stretch(out, record);
}

/* A spool, record by record, in what the client takes of it. */
static int send_spool(struct session *s, struct spool *spool,
		      int (*put)(struct buf *out, const void *record), struct err *err)
{
	static _Thread_local char chunk[SEND_BYTES] __attribute__((aligned(16)));
	uint64_t at = 0;
	ssize_t n;
	int rc = 0;

	if (spool->failed)
		return err_errno(err, spool->failed, "cannot keep the rows in a temporary file");
	while (!rc && (n = spool_read(spool, at, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i += (ssize_t)spool->record_bytes)
			put(&s->out, chunk + i);
		at += (uint64_t)n;
		rc = flush(s, err);
	}
	if (!rc && n < 0)
		rc = err_errno(err, (int)-n, "cannot read the rows back");
	return rc;
}

static int send_sums(struct session *s, struct err *err)
{
	const struct keeper *keeper = s->service->keeper;
	const struct total *total;
	int rc = 0;

	if (!keeper)
		return 0;
	if (keeper->failed)
		return err_errno(err, ENOMEM, "cannot hold the totals of the run");
	for (uint32_t class = 0, bin = 0;
	     !rc && (total = totals_next(&keeper->totals, &class, &bin)); bin++) {
		struct wire_total part = {
			.class = class,
			.bin = bin,
			.requests = total->requests,
			.total_ns = total->total_ns,
			.unattributed_ns = total->unattributed_ns,
		};

		memcpy(part.ns, total->ns, sizeof(part.ns));
		wire_put_total(&s->out, &part);
		if (s->out.len > SEND_BYTES)
			rc = flush(s, err);
	}
	return rc;
}

/* Losses of the probes since the session began. */
static void add_losses(struct session *s)
{
	static const struct {
		enum loss_kind loss;
		enum ledger_entry entry;
	} kinds[] = {
		{ LOSS_THREADS_OVER, LG_THREADS_OVER },
		{ LOSS_SOCKETS_OVER, LG_SOCKETS_OVER },
	};
	uint64_t *count = s->service->ledger.count;
	struct probe_losses now;

	if (!s->setup.guard || probe_guard_losses(s->setup.guard, &now))
		return;
	count[LG_PROBE_MISSES] += now.misses - s->losses.misses;
	count[LG_STAMP_MISSES] += now.stamp_misses - s->losses.stamp_misses;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		count[kinds[i].entry] += now.count[kinds[i].loss] - s->losses.count[kinds[i].loss];
}

static int send_totals(struct session *s, struct err *err)
{
	struct wire_usage usage;

	add_losses(s);
	service_usage(s->service, &usage);
	usage.control_ns += thread_cpu_ns() - s->cpu_ns;
	wire_put_ledgers(&s->out, &s->service->ledger);
	wire_put_usage(&s->out, &usage);
	wire_put_empty(&s->out, WIRE_BYE);
	return flush(s, err);
}

static int on_stop(struct session *s, const struct wire_frame *frame, struct err *err)
{
	int rc;

	service_stop(s->service);
	rc = send_spool(s, &s->service->rows, put_row, err);
	if (!rc)
		rc = send_spool(s, &s->service->oprows, put_oprow, err);
	if (!rc && s->service->timelines)
		rc = send_spool(s, &s->service->stretches, put_stretch, err);
	if (!rc)
		rc = send_sums(s, err);
	if (!rc)
		rc = send_totals(s, err);
	s->state = SESSION_OVER;
	return rc;
}

static int on_goodbye(struct session *s, const struct wire_frame *frame, struct err *err)
{
	s->state = SESSION_OVER;
	return 0;
}

#define SESSION_RUNS (SESSION_READY | SESSION_STARTED)

/* What may come when, and who deals with it; the other types are the node's own. */
static const struct {
	unsigned states;
	int (*handle)(struct session *s, const struct wire_frame *frame, struct err *err);
} handlers[WIRE_TYPE_COUNT] = {
	[WIRE_HELLO] = { SESSION_NEW, on_hello },
	[WIRE_SERVICE] = { SESSION_MET, on_service },
	[WIRE_WALK] = { SESSION_MET, on_walk },
	[WIRE_TEXT] = { SESSION_TEXT, on_text },
	[WIRE_PEER] = { SESSION_PLAN, on_peer },
	[WIRE_KEEP] = { SESSION_PLAN, on_keep },
	[WIRE_CLASS] = { SESSION_PLAN, on_class },
	[WIRE_SLOW] = { SESSION_RUNS, on_slow },
	[WIRE_TARGET] = { SESSION_PLAN, on_target },
	[WIRE_CONNECTION] = { SESSION_PLAN | SESSION_RUNS, on_connection },
	[WIRE_BACKGROUND] = { SESSION_PLAN, on_background },
	[WIRE_PLAN] = { SESSION_PLAN | SESSION_RUNS, on_plan },
	[WIRE_LAYOUT] = { SESSION_PLAN, on_layout },
	[WIRE_PLAN_END] = { SESSION_PLAN | SESSION_RUNS, on_plan_end },
	[WIRE_START] = { SESSION_READY, on_start },
	[WIRE_STOP] = { SESSION_RUNS, on_stop },
	[WIRE_BYE] = { ~0u, on_goodbye },
	[WIRE_ERROR] = { ~0u, on_goodbye },
};

static int handle_frame(struct session *s, const struct wire_frame *frame, struct err *err)
{
	if (!handlers[frame->type].handle || !(handlers[frame->type].states & s->state))
		return err_set(err, EPROTO, "a %s message is not due now",
			       wire_type_name(frame->type));
	return handlers[frame->type].handle(s, frame, err);
}

static int handle_frames(struct session *s, struct err *err)
{
	struct wire_frame frame;
	size_t used = 0;
	int n, rc = 0;

	while (!rc && s->state != SESSION_OVER) {
		n = wire_frame_decode((uint8_t *)s->in.data + used, s->in.len - used, &frame, err);
		if (n <= 0) {
			rc = n;
			break;
		}
		rc = handle_frame(s, &frame, err);
		used += (size_t)n;
	}
	buf_consume(&s->in, used);
	return rc;
}

static void put_error(struct buf *out, const char *text)
{
	struct wire_error error = { 0 };

	memcpy(error.text, text, strnlen(text, sizeof(error.text) - 1));
	wire_put_error(out, &error);
}

/* Unread bytes would make the kernel throw away what we have sent: takes them, until the end. */
static void linger(struct control *control)
{
	struct pollfd pfd = { .fd = control_fd(control), .events = POLLIN };
	int64_t until_ns = clock_now_ns() + NODE_LINGER_MS * NS_PER_MS, left_ns;
	char unread[16384];

	control_finish(control);
	while ((left_ns = until_ns - clock_now_ns()) > 0) {
		if (poll(&pfd, 1, (int)(left_ns / NS_PER_MS) + 1) <= 0)
			return;
		if (recv(pfd.fd, unread, sizeof(unread), MSG_DONTWAIT) <= 0)
			return;
	}
}

/* The client hears why, if it still listens. */
static bool fail(struct session *s, const struct err *err)
{
	buf_reset(&s->out);
	put_error(&s->out, err->text);
	if (!flush(s, NULL))
		linger(s->control);
	s->state = SESSION_OVER;
	return false;
}

/* Bytes that came, -EAGAIN, or the end of the session. */
static ssize_t read_some(struct session *s)
{
	ssize_t n;

	if (buf_reserve(&s->in, READ_BYTES))
		return -ENOMEM;
	n = control_recv(s->control, s->in.data + s->in.len, READ_BYTES, NULL);
	if (n > 0)
		s->in.len += (size_t)n;
	return n ? n : -ECONNRESET;
}

bool session_read(struct session *s)
{
	struct err err;
	ssize_t n;

	do {
		n = read_some(s);
		if (n == -EAGAIN)
			return true;
		if (n < 0)
			return false;
		if (handle_frames(s, &err))
			return fail(s, &err);
		if (s->state == SESSION_OVER)
			return false;
	} while (control_pending(s->control));
	return true;
}

static int send_credit(struct session *s, struct err *err)
{
	struct wire_credit credit;

	service_credit(s->service, &credit);
	if (credit.requests == s->credited.requests)
		return 0;
	s->credited = credit;
	wire_put_credit(&s->out, &credit);
	return flush(s, err);
}

bool session_tick(struct session *s)
{
	struct err err;

	if (s->state == SESSION_NEW && clock_now_ns() - s->since_ns > NODE_NEWCOMER_MS * NS_PER_MS)
		return false;
	if (!session_accepts(s))
		return true;
	service_tick(s->service);
	return send_credit(s, &err) ? fail(s, &err) : true;
}

void session_refuse(struct control *control, const char *why)
{
	char unread[4096];
	struct buf out;

	buf_init(&out, WIRE_PAYLOAD_MAX);
	put_error(&out, why);
	if (!buf_failed(&out) && control_send(control, out.data, out.len, NULL) > 0)
		control_finish(control);
	/* unread bytes would make the kernel throw ours away */
	while (recv(control_fd(control), unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
	buf_release(&out);
	control_free(control);
}
