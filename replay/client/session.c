/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/client/session.h"

#include "base/clock.h"
#include "replay/net/control.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_BYTES 65536
#define OUT_BYTES (256 * 1024) /* written ahead of the socket; one message more at most */
#define BUFFER_MAX (OUT_BYTES + 2 * WIRE_PAYLOAD_MAX)
#define SETUP_MAX (256u << 20) /* all that is said before READY, but plans */
#define CONNECT_MS 10000
#define POLL_MS 100 /* how often an interrupt is looked for */

#define HELLO_TIMEOUT_S 10
#define READY_TIMEOUT_S 600 /* the node lays out its files */
#define FETCH_TIMEOUT_S 60
#define TOTALS_TIMEOUT_S 5 /* when there are no rows to be fetched */

struct client_session {
	struct control *control;
	struct endpoint at; /* the other end */
	const volatile sig_atomic_t *interrupted;
	sig_atomic_t tolerated; /* signals that came before the rows were fetched */
	struct wire_hello node;
	struct buf in, out;
	const struct plan *plan;
	size_t planned; /* requests that were sent */
	uint64_t planned_ops;
	bool plan_ended;
	bool keeps_rows; /* the node does */
	struct wire_credit credit;
	bool hello, ready, bye; /* have come */
	int64_t heard_ns;
	const struct client_session_sink *sink;
};

static int on_hello(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	int ret = wire_get_hello(frame, &s->node, err);

	if (!ret && s->node.version != WIRE_VERSION)
		return err_set(err, EPROTO,
			       "the node speaks version %u of the protocol, not %d: "
			       "use the same gait on both sides",
			       s->node.version, WIRE_VERSION);
	s->hello = !ret;
	return ret;
}

static int on_ready(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	s->ready = true;
	return 0;
}

static int on_credit(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	return wire_get_credit(frame, &s->credit, err);
}

static int on_row(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_row row;
	int ret = wire_get_row(frame, &row, err);

	return ret || !s->sink ? ret : s->sink->row(s->sink->arg, &row, err);
}

static int on_oprow(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_oprow row;
	int ret = wire_get_oprow(frame, &row, err);

	return ret || !s->sink ? ret : s->sink->oprow(s->sink->arg, &row, err);
}

static int on_total(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_total total;
	int ret = wire_get_total(frame, &total, err);

	return ret || !s->sink || !s->sink->total ? ret : s->sink->total(s->sink->arg, &total, err);
}

static int on_stretch(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_stretch stretch;
	int ret = wire_get_stretch(frame, &stretch, err);

	return ret || !s->sink || !s->sink->stretch ? ret :
						      s->sink->stretch(s->sink->arg, &stretch, err);
}

static int on_ledger(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_ledger entry;
	int ret = wire_get_ledger(frame, &entry, err);

	if (!ret && s->sink)
		wire_ledger_add(s->sink->ledger,
				&entry); /* a newer node's own entries are passed over */
	return ret;
}

static int on_usage(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_usage usage;
	int ret = wire_get_usage(frame, &usage, err);

	if (!ret && s->sink)
		*s->sink->usage = usage;
	return ret;
}

static int on_bye(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	s->bye = true;
	return 0;
}

static int on_error(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	struct wire_error error;
	int ret = wire_get_error(frame, &error, err);

	return ret ? ret : err_set(err, EREMOTE, "the node refuses: %s", error.text);
}

static int (*const handlers[WIRE_TYPE_COUNT])(struct client_session *s,
					      const struct wire_frame *frame, struct err *err) = {
	[WIRE_HELLO] = on_hello, [WIRE_READY] = on_ready,     [WIRE_CREDIT] = on_credit,
	[WIRE_ROW] = on_row,	 [WIRE_OPROW] = on_oprow,     [WIRE_LEDGER] = on_ledger,
	[WIRE_USAGE] = on_usage, [WIRE_BYE] = on_bye,	      [WIRE_ERROR] = on_error,
	[WIRE_TOTAL] = on_total, [WIRE_STRETCH] = on_stretch,
};

static int handle_frame(struct client_session *s, const struct wire_frame *frame, struct err *err)
{
	if ((unsigned)frame->type >= WIRE_TYPE_COUNT || !handlers[frame->type])
		return err_set(err, EPROTO, "the node sent an unexpected %s message",
			       wire_type_name(frame->type));
	return handlers[frame->type](s, frame, err);
}

static int handle_frames(struct client_session *s, struct err *err)
{
	size_t used = 0;
	int ret = 0;

	for (;;) {
		struct wire_frame frame;

		ret = wire_frame_decode((const uint8_t *)s->in.data + used, s->in.len - used,
					&frame, err);
		if (ret <= 0)
			break;
		used += (size_t)ret;
		ret = handle_frame(s, &frame, err);
		if (ret < 0)
			break;
	}
	buf_consume(&s->in, used);
	return ret;
}

/* Bytes that came, 0 when none did, or a failure. */
static int receive_some(struct client_session *s, struct err *err)
{
	ssize_t n;
	int ret = buf_reserve(&s->in, RECEIVE_BYTES);

	if (ret)
		return err_errno(err, -ret, "cannot take the node's messages");
	n = control_recv(s->control, s->in.data + s->in.len, RECEIVE_BYTES, err);
	if (n == -EAGAIN)
		return 0;
	if (!n)
		return err_set(err, ECONNRESET, "the node closed its control connection");
	if (n < 0)
		return (int)n;
	s->in.len += (size_t)n;
	s->heard_ns = clock_now_ns();
	ret = handle_frames(s, err);
	return ret ? ret : (int)n;
}

/* Takes what has come. 0, or a failure. */
static int receive(struct client_session *s, struct err *err)
{
	int ret;

	do {
		ret = receive_some(s, err);
	} while (ret > 0 && control_pending(s->control));
	return ret < 0 ? ret : 0;
}

/* What the node said before it went is worth more than that it went. */
static int lost(struct client_session *s, int failure, const struct err *sending, struct err *err)
{
	int ret = receive(s, err);

	return ret < 0 ? ret : err_set(err, -failure, "%s", sending->text);
}

/* Sends what the socket takes. */
static int transmit(struct client_session *s, struct err *err)
{
	struct err sending;
	ssize_t n;

	if (buf_failed(&s->out))
		return err_errno(err, -buf_failed(&s->out),
				 "cannot hold what the node has to know");
	if (!s->out.len)
		return 0;
	n = control_send(s->control, s->out.data, s->out.len, &sending);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return lost(s, (int)n, &sending, err);
	buf_consume(&s->out, (size_t)n);
	return 0;
}

/* Sends and takes what can be; with nothing to do it waits a little, unless there is more to say. */
static int step(struct client_session *s, bool (*more)(const struct client_session *s),
		struct err *err)
{
	struct pollfd ready = { .fd = control_fd(s->control) };
	int ret = transmit(s, err);

	if (ret || *s->interrupted > s->tolerated)
		return ret ? ret : err_set(err, EINTR, "interrupted");
	ready.events = control_events(s->control, s->out.len);
	if (poll(&ready, 1, more && more(s) ? 0 : POLL_MS) <= 0)
		return 0;
	return receive(s, err);
}

/* Sends all there is, and waits until *arrived. */
static int wait_for(struct client_session *s, const bool *arrived, int timeout_s, const char *what,
		    struct err *err)
{
	int ret = 0;

	s->heard_ns = clock_now_ns();
	while (!ret && (!*arrived || s->out.len)) {
		ret = step(s, NULL, err);
		if (!ret && clock_now_ns() - s->heard_ns > timeout_s * NS_PER_SEC)
			ret = err_set(err, ETIMEDOUT, "the node said nothing for %d s while %s",
				      timeout_s, what);
	}
	return ret;
}

/* A connected socket, or a failure. */
static int connect_node(struct client_session *s, const struct address *node, struct err *err)
{
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	char text[ADDRESS_TEXT_SIZE];
	int count = address_resolve(node, false, endpoints, err), which, fd;

	if (count < 0)
		return count;
	fd = endpoints_connect(endpoints, count, node->transport, CONNECT_MS, &which);
	if (fd < 0)
		return err_errno(err, -fd,
				 "cannot reach the node at %s (is `gait node` running there?)",
				 address_format(node, text));
	s->at = endpoints[which];
	return fd;
}

static int open_control(struct client_session *s, const struct address *node, struct secure *secure,
			struct err *err)
{
	int fd = connect_node(s, node, err);

	return fd < 0 ? fd : control_new(fd, secure, node->host, &s->control, err);
}

static int greet(struct client_session *s, struct err *err)
{
	struct wire_hello hello = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };

	manifest_host_here(&hello.host);
	wire_put_hello(&s->out, &hello);
	return wait_for(s, &s->hello, HELLO_TIMEOUT_S, "it was greeted", err);
}

int client_session_open(const struct address *node, struct secure *secure,
			const volatile sig_atomic_t *interrupted,
			struct client_session **ret_session, struct err *err)
{
	struct client_session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return err_errno(err, ENOMEM, "cannot talk to the node");
	s->interrupted = interrupted;
	buf_init(&s->in, BUFFER_MAX);
	buf_init(&s->out, SETUP_MAX);
	ret = open_control(s, node, secure, err);
	if (!ret)
		ret = greet(s, err);
	if (ret)
		client_session_free(s);
	else
		*ret_session = s;
	return ret;
}

void client_session_free(struct client_session *s)
{
	if (!s)
		return;
	control_free(s->control);
	buf_release(&s->in);
	buf_release(&s->out);
	free(s);
}

const struct wire_hello *client_session_node(const struct client_session *s)
{
	return &s->node;
}

struct endpoint client_session_data(const struct client_session *s)
{
	in_port_t port = htons((uint16_t)s->node.data_port);
	struct endpoint data = s->at;

	if (port && data.at.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&data.at)->sin6_port = port;
	else if (port && data.at.ss_family == AF_INET)
		((struct sockaddr_in *)&data.at)->sin_port = port;
	return data;
}

/* The node holds what it has not credited; more than its limit would end the session. */
static bool has_room(const struct client_session *s, const struct plan_request *next)
{
	return s->planned - s->credit.requests < s->node.requests_ahead_max &&
	       s->planned_ops - s->credit.ops + next->ops_count <= s->node.ops_ahead_max &&
	       s->out.len < OUT_BYTES;
}

static bool has_more(const struct client_session *s)
{
	const struct plan *plan = s->plan;

	return plan && s->planned < plan->requests_count &&
	       has_room(s, &plan->requests[s->planned]);
}

/* The window of the plan moves on, in the order in which requests are due. */
static void put_plans(struct client_session *s)
{
	const struct plan *plan = s->plan;

	while (has_more(s)) {
		const struct plan_request *request = &plan->requests[s->planned++];

		wire_put_plan(&s->out, request, &plan->ops[request->first_op]);
		s->planned_ops += request->ops_count;
	}
	if (s->planned == plan->requests_count && !s->plan_ended) {
		wire_put_empty(&s->out, WIRE_PLAN_END);
		s->plan_ended = true;
	}
}

/* Those that it calls: what it need not know it is not told. */
static void put_peers(struct client_session *s, const struct wire_peer *peers, size_t count,
		      const bool *calls)
{
	for (size_t i = 0; i < count && calls; i++)
		if (calls[i])
			wire_put_peer(&s->out, &peers[i]);
}

static void put_service(struct client_session *s, const struct client_session_replay *replay)
{
	const struct plan *plan = s->plan;
	struct wire_service service = {
		.service_id = plan->service.service_id,
		.threads = plan->threads,
		.batching = replay->batching,
		.call_timeout_ns = replay->call_timeout_ns,
		.peers = (uint32_t)replay->peers_count,
		.timelines = replay->timelines,
	};

	wire_put_service(&s->out, &service);
	put_peers(s, replay->peers, replay->peers_count, replay->calls);
	if (replay->keep)
		wire_put_keep(&s->out, replay->keep);
	for (size_t i = 0; i < plan->targets_count; i++) {
		const struct row_target *t = &plan->targets[i];

		wire_put_target(&s->out, &(struct wire_target){ t->target_id, t->file_bytes });
	}
	for (size_t i = 0; i < plan->connections_count; i++) {
		const struct plan_connection *c = &plan->connections[i];

		wire_put_connection(&s->out,
				    &(struct wire_connection){ c->connection_id, c->thread,
							       c->dependent, c->requests });
	}
	for (size_t i = 0; i < plan->background_count; i++)
		wire_put_background(&s->out, &plan->background[i]);
}

/* As much of the plan as the node has room for, over as many rounds as the socket needs. */
static int send_window(struct client_session *s, struct err *err)
{
	int ret = 0;

	do {
		put_plans(s);
		ret = step(s, has_more, err);
	} while (!ret && (s->out.len || has_more(s)));
	return ret;
}

int client_session_prepare(struct client_session *s, const struct client_session_replay *replay,
			   struct err *err)
{
	int ret;

	s->plan = replay->plan;
	s->keeps_rows = true;
	put_service(s, replay);
	ret = send_window(s, err);
	if (ret)
		return ret;
	wire_put_empty(&s->out, WIRE_LAYOUT);
	return wait_for(s, &s->ready, READY_TIMEOUT_S, "it laid out its files", err);
}

int client_session_prepare_walk(struct client_session *s, const struct client_session_walk *walk,
				struct err *err)
{
	struct wire_walk head = { .seed = walk->seed,
				  .text_bytes = (uint32_t)walk->chain_bytes,
				  .rows = walk->rows + (walk->rows && walk->timelines) };

	s->plan_ended = true;
	s->keeps_rows = walk->rows;
	wire_put_walk(&s->out, &head);
	wire_put_text(&s->out, walk->chain, walk->chain_bytes);
	put_peers(s, walk->peers, walk->peers_count, walk->calls);
	if (walk->keep)
		wire_put_keep(&s->out, walk->keep);
	for (uint32_t i = 0; walk->keep && i < walk->keep->classes; i++)
		wire_put_class(&s->out, &walk->classes[i]);
	wire_put_empty(&s->out, WIRE_LAYOUT);
	return wait_for(s, &s->ready, READY_TIMEOUT_S, "it got ready", err);
}

int client_session_start(struct client_session *s, const struct wire_start *start, struct err *err)
{
	wire_put_start(&s->out, start);
	return transmit(s, err);
}

int client_session_name(struct client_session *s, const struct wire_slow *slow, struct err *err)
{
	wire_put_slow(&s->out, slow);
	return transmit(s, err);
}

int client_session_pump(struct client_session *s, short *ret_events, struct err *err)
{
	int ret = receive(s, err);

	while (!ret) {
		if (s->plan)
			put_plans(s);
		ret = transmit(s, err);
		/* what went out at once made room */
		if (s->out.len || !has_more(s))
			break;
	}
	*ret_events = control_events(s->control, s->out.len);
	return ret;
}

int client_session_fd(const struct client_session *s)
{
	return control_fd(s->control);
}

int client_session_fetch(struct client_session *s, const struct client_session_sink *sink,
			 struct err *err)
{
	s->sink = sink;
	s->tolerated = *s->interrupted;
	if (!s->plan_ended)
		wire_put_empty(&s->out, WIRE_PLAN_END);
	wire_put_empty(&s->out, WIRE_STOP);
	return wait_for(s, &s->bye, s->keeps_rows ? FETCH_TIMEOUT_S : TOTALS_TIMEOUT_S,
			"its rows were fetched", err);
}
