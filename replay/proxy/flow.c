/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proxy/flow.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NOT_WATCHED (-1)
#define PIECES_MAX 16 /* written of one way in a row */

/* A wall clock that was set between arrival and receipt: the stamp is of no use. */
#define CLOCK_STEP_NS NS_PER_MS

static enum proxy_side other(enum proxy_side side)
{
	return side == PROXY_CLIENT ? PROXY_SERVER : PROXY_CLIENT;
}

static struct proxy_way_stats *way_stats(struct proxy_way *way)
{
	return &way->flow->room->stats.ways[way->from];
}

static int64_t delay_of(const struct proxy_way *way)
{
	return way->flow->room->opts->delay_ns[way->from];
}

static bool is_tcp(const struct proxy_flow *f, enum proxy_side side)
{
	return side == PROXY_CLIENT ? !f->room->opts->bind.is_unix : !f->room->opts->to.is_unix;
}

static const struct {
	int level, name;
} tcp_options[] = {
	{ IPPROTO_TCP, TCP_NODELAY },	/* a piece leaves when it is due */
	{ SOL_SOCKET, SO_KEEPALIVE },	/* who vanished is noticed some day */
	{ SOL_SOCKET, SO_TIMESTAMPNS }, /* when bytes came, not when we woke up */
};

static void set_options(const struct proxy_flow *f, enum proxy_side side)
{
	if (!is_tcp(f, side))
		return;
	for (size_t i = 0; i < sizeof(tcp_options) / sizeof(tcp_options[0]); i++)
		setsockopt(f->ends[side].source.fd, tcp_options[i].level, tcp_options[i].name,
			   &(int){ 1 }, sizeof(int));
}

/* --- what each end is watched for, when each way goes on ---------------------------------- */

static void watch(struct proxy_end *end, int events)
{
	int epoll_fd = end->flow->room->epoll_fd;
	struct epoll_event event = { .events = (uint32_t)events, .data.ptr = end };
	int op = end->watched == NOT_WATCHED ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (end->source.fd < 0 || end->watched == events)
		return;
	epoll_ctl(epoll_fd, events == NOT_WATCHED ? EPOLL_CTL_DEL : op, end->source.fd, &event);
	end->watched = events;
}

static bool may_read(const struct proxy_end *end)
{
	const struct proxy_flow *f = end->flow;

	return !end->finished && !f->ways[end->side].done &&
	       (end->side == PROXY_CLIENT || f->state == FLOW_OPEN) &&
	       delay_line_room(&f->ways[end->side].line);
}

static bool may_write(const struct proxy_end *end)
{
	const struct proxy_flow *f = end->flow;

	return f->ways[other(end->side)].blocked ||
	       (end->side == PROXY_SERVER && f->state == FLOW_CONNECTING);
}

/*
 * epoll tells of errors and hang-ups unasked, again and again; an end that nothing is wanted of
 * is not watched. But one that has ended its half may still break, and that must be passed on.
 */
static int events_wanted(const struct proxy_end *end)
{
	int events = (may_read(end) ? EPOLLIN : 0) | (may_write(end) ? EPOLLOUT : 0);
	bool may_break = end->finished && !end->broken && !end->hung;

	return events || may_break ? events : NOT_WATCHED;
}

static int64_t way_due_ns(const struct proxy_way *way)
{
	const struct proxy_flow *f = way->flow;

	if (f->state == FLOW_WAITING && way->from == PROXY_CLIENT)
		return f->opens_ns;
	if (way->blocked || (f->state == FLOW_CONNECTING && way->from == PROXY_CLIENT))
		return TIMER_NEVER;
	return delay_line_due_ns(&way->line);
}

static void close_end(struct proxy_end *end)
{
	if (end->source.fd < 0)
		return;
	watch(end, NOT_WATCHED);
	close(end->source.fd);
	end->source.fd = -1;
}

static void drop_line(struct proxy_way *way)
{
	struct proxy_way_stats *stats = way_stats(way);
	const void *data;
	size_t len;

	while (delay_line_next(&way->line, INT64_MAX - 1, &data, &len) == DELAY_LINE_BYTES) {
		stats->lost_bytes += len;
		delay_line_take(&way->line, len);
	}
	delay_line_release(&way->line);
}

static void unlink_flow(struct proxy_flow *f)
{
	struct proxy_room *room = f->room;

	if (f->before)
		f->before->next = f->next;
	else
		room->flows = f->next;
	if (f->next)
		f->next->before = f->before;
	f->next = room->ended;
	room->ended = f;
}

static void end_flow(struct proxy_flow *f)
{
	for (int side = 0; side < PROXY_SIDES; side++) {
		close_end(&f->ends[side]);
		drop_line(&f->ways[side]);
		timers_set(&f->room->timers, &f->ways[side].timer, TIMER_NEVER);
	}
	timers_unreserve(&f->room->timers, PROXY_SIDES);
	f->room->stats.open--;
	f->state = FLOW_ENDED;
	unlink_flow(f);
}

/* After anything has happened to it. */
static void settle(struct proxy_flow *f)
{
	if (f->state == FLOW_ENDED)
		return;
	if (f->ways[PROXY_CLIENT].done && f->ways[PROXY_SERVER].done) {
		end_flow(f);
		return;
	}
	for (int side = 0; side < PROXY_SIDES; side++) {
		watch(&f->ends[side], events_wanted(&f->ends[side]));
		timers_set(&f->room->timers, &f->ways[side].timer, way_due_ns(&f->ways[side]));
	}
}

/* --- ends that break ------------------------------------------------------------------------- */

/* Nobody takes what is on the way to it. What it has sent can still be read. */
static void lose_way_to(struct proxy_end *end)
{
	struct proxy_way *way = &end->flow->ways[other(end->side)];

	drop_line(way);
	way->blocked = false;
	way->done = true;
	end->broken = true;
}

/* It is gone. The other end learns of it one delay later, behind what was sent before. */
static void break_end(struct proxy_end *end, int64_t now_ns)
{
	struct proxy_way *way = &end->flow->ways[end->side];

	lose_way_to(end);
	end->finished = true;
	way->done = false; /* its end may have been passed on; the reset is still to be */
	delay_line_put_reset(&way->line, now_ns + delay_of(way));
	close_end(end);
}

/* It broke. What it sent before can be read first, unless all has been. */
static void note_unsendable(struct proxy_end *end, int64_t now_ns)
{
	way_stats(&end->flow->ways[end->side])->resets++;
	if (end->finished)
		break_end(end, now_ns);
	else
		lose_way_to(end);
}

/* As the kernel does when bytes come for a program that has died: RST, on TCP. */
static void reset_socket(struct proxy_end *end)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (end->source.fd >= 0)
		setsockopt(end->source.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close_end(end);
}

void proxy_flow_break(struct proxy_flow *f)
{
	reset_socket(&f->ends[PROXY_CLIENT]);
	reset_socket(&f->ends[PROXY_SERVER]);
	end_flow(f);
}

/* --- opening --------------------------------------------------------------------------------- */

static void count_failure(struct proxy_stats *stats, int code)
{
	size_t i = 0;

	while (i + 1 < PROXY_REASONS_MAX && stats->reasons[i].count &&
	       stats->reasons[i].code != code)
		i++;
	stats->reasons[i].code = stats->reasons[i].count && stats->reasons[i].code != code ? 0 :
											     code;
	stats->reasons[i].count++;
	stats->failed++;
}

/* The queue of a UNIX listener is full, and nothing tells when it is not any more. */
static void wait_for_backlog(struct proxy_flow *f)
{
	close_end(&f->ends[PROXY_SERVER]);
	f->state = FLOW_WAITING;
	f->opens_ns = clock_now_ns() + NS_PER_MS;
}

/* 0: it is under way or there; else errno. */
static int try_address(struct proxy_flow *f)
{
	const struct proxy_sockaddr *to = &f->room->to.items[f->address];
	struct proxy_end *server = &f->ends[PROXY_SERVER];

	close_end(server);
	server->source.fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->source.fd < 0)
		return errno;
	set_options(f, PROXY_SERVER);
	if (!connect(server->source.fd, (const struct sockaddr *)&to->at, to->len)) {
		f->state = FLOW_OPEN;
		return 0;
	}
	if (errno == EAGAIN && f->room->opts->to.is_unix) {
		wait_for_backlog(f);
		return 0;
	}
	f->state = FLOW_CONNECTING;
	return errno == EINPROGRESS ? 0 : errno;
}

/* From `code`, why the address before could not be reached, to the first that may be. */
static void open_server(struct proxy_flow *f, int code)
{
	while (code && ++f->address < f->room->to.count)
		code = try_address(f);
	if (!code)
		return;
	count_failure(&f->room->stats, code);
	f->state = FLOW_OPEN; /* nothing is waited for any more */
	break_end(&f->ends[PROXY_SERVER], clock_now_ns());
}

/* RFC 9293, 3.10.7.3: a reset that answers a SYN is a refusal. Any other is of a connection that was. */
static bool was_open(int code)
{
	return !code || code == ECONNRESET || code == EPIPE;
}

static void finish_connecting(struct proxy_flow *f)
{
	struct proxy_end *server = &f->ends[PROXY_SERVER];
	socklen_t len = sizeof(int);
	int code = 0;

	getsockopt(server->source.fd, SOL_SOCKET, SO_ERROR, &code, &len);
	if (!was_open(code)) {
		open_server(f, code);
		return;
	}
	f->state = FLOW_OPEN;
	if (code)
		note_unsendable(server, clock_now_ns());
}

/* --- out of the lines ------------------------------------------------------------------------ */

static size_t piece_of(const struct proxy_way *way, size_t len)
{
	uint64_t frag = way->flow->room->opts->frag_bytes;

	return frag && len > frag ? frag : len;
}

static int send_flags(const struct proxy_way *way)
{
	bool fragments = way->flow->room->opts->frag_bytes && is_tcp(way->flow, other(way->from));

	/* MSG_EOR: the kernel joins no later write to this segment (Linux 4.7) */
	return MSG_NOSIGNAL | (fragments ? MSG_EOR : 0);
}

/* False: not now, or never more. */
static bool send_piece(struct proxy_way *way, const void *data, size_t len, int64_t now_ns)
{
	struct proxy_end *to = &way->flow->ends[other(way->from)];
	struct proxy_way_stats *stats = way_stats(way);
	int64_t due_ns = delay_line_due_ns(&way->line);
	ssize_t n = send(to->source.fd, data, piece_of(way, len), send_flags(way));

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		way->blocked = true;
		return false;
	}
	if (n < 0) {
		note_unsendable(to, now_ns);
		return false;
	}
	hist_record(&way->flow->room->stats.late_ns, (uint64_t)(now_ns - due_ns));
	stats->writes++;
	stats->sent_bytes += (uint64_t)n;
	delay_line_take(&way->line, (size_t)n);
	return true;
}

static void pass_end(struct proxy_way *way)
{
	delay_line_take_end(&way->line);
	shutdown(way->flow->ends[other(way->from)].source.fd, SHUT_WR);
	way->done = true;
}

static void pass_reset(struct proxy_way *way)
{
	reset_socket(&way->flow->ends[other(way->from)]);
	end_flow(way->flow);
}

/* All that is due, but no more than others can wait for: the rest is due at once again. */
static void empty_line(struct proxy_way *way)
{
	const void *data;
	size_t len;

	for (int i = 0; i < PIECES_MAX && way->flow->state != FLOW_ENDED; i++) {
		int64_t now = clock_now_ns();

		switch (delay_line_next(&way->line, now, &data, &len)) {
		case DELAY_LINE_NOTHING:
			return;
		case DELAY_LINE_BYTES:
			if (!send_piece(way, data, len, now))
				return;
			break;
		case DELAY_LINE_END:
			pass_end(way);
			return; /* a reset behind it comes with a timer of its own */
		case DELAY_LINE_RESET:
			pass_reset(way);
			return;
		}
	}
}

/* --- into the lines -------------------------------------------------------------------------- */

/* When the last of the bytes came, on CLOCK_MONOTONIC; `now_ns` where nobody knows. */
static int64_t arrival_ns(struct proxy_room *room, struct msghdr *message, int64_t now_ns)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	int64_t offset, step, stamp;
	struct timespec ts;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
		return now_ns;
	memcpy(&ts, CMSG_DATA(c), sizeof(ts));
	offset = clock_realtime_offset_ns();
	step = offset - room->realtime_offset_ns;
	room->realtime_offset_ns = offset;
	stamp = ts.tv_sec * NS_PER_SEC + ts.tv_nsec - offset;
	return stamp > now_ns || step > CLOCK_STEP_NS || step < -CLOCK_STEP_NS ? now_ns : stamp;
}

static ssize_t receive(struct proxy_end *end, size_t room_bytes, int64_t *ret_arrival_ns)
{
	struct proxy_room *room = end->flow->room;
	char control[CMSG_SPACE(sizeof(struct timespec))];
	struct iovec into = { room->read_buffer,
			      room_bytes < PROXY_READ_BYTES ? room_bytes : PROXY_READ_BYTES };
	struct msghdr message = {
		.msg_iov = &into,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(end->source.fd, &message, MSG_DONTWAIT);
	int code = errno;

	*ret_arrival_ns = clock_now_ns();
	if (n > 0)
		*ret_arrival_ns = arrival_ns(room, &message, *ret_arrival_ns);
	errno = code;
	return n;
}

static void count_received(struct proxy_way *way, size_t len)
{
	struct proxy_way_stats *stats = way_stats(way);

	stats->received_bytes += len;
	if (!delay_line_room(&way->line))
		stats->full++;
}

static void end_of_stream(struct proxy_end *end, int64_t now_ns)
{
	struct proxy_way *way = &end->flow->ways[end->side];

	if (end->broken) {
		break_end(end, now_ns);
		return;
	}
	end->finished = true;
	delay_line_put_end(&way->line, now_ns + delay_of(way));
}

static void read_end(struct proxy_end *end)
{
	struct proxy_way *way = &end->flow->ways[end->side];
	int64_t came_ns;
	ssize_t n = receive(end, delay_line_room(&way->line), &came_ns);

	if (n > 0 && !delay_line_put(&way->line, end->flow->room->read_buffer, (size_t)n,
				     came_ns + delay_of(way))) {
		count_received(way, (size_t)n);
	} else if (!n) {
		end_of_stream(end, came_ns);
	} else if (n > 0 || (errno != EAGAIN && errno != EINTR)) { /* no memory, or an error */
		way_stats(way)->resets += !end->broken;
		break_end(end, came_ns);
	}
}

/* --- what the proxy calls -------------------------------------------------------------------- */

/* An end that has said all it had to say was broken, or only hung up. */
static void note_hang_up(struct proxy_end *end, uint32_t events)
{
	if (events & EPOLLERR) {
		way_stats(&end->flow->ways[end->side])->resets++;
		break_end(end, clock_now_ns());
	} else if (events & EPOLLHUP) {
		end->hung = true;
	}
}

void proxy_flow_event(struct proxy_end *end, uint32_t events)
{
	struct proxy_flow *f = end->flow;

	if (f->state == FLOW_ENDED || end->source.fd < 0)
		return; /* by an event of the same pass */
	if (end->side == PROXY_SERVER && f->state == FLOW_CONNECTING) {
		finish_connecting(f);
		empty_line(&f->ways[PROXY_CLIENT]);
	} else if (may_write(end) && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		f->ways[other(end->side)].blocked = false;
		empty_line(&f->ways[other(end->side)]);
	}
	if (f->state != FLOW_ENDED && end->source.fd >= 0) {
		if (may_read(end) && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			read_end(end);
		else if (end->finished)
			note_hang_up(end, events);
	}
	settle(f);
}

void proxy_flow_timer(struct timer *timer)
{
	struct proxy_way *way = (struct proxy_way *)timer;
	struct proxy_flow *f = way->flow;

	if (f->state == FLOW_WAITING && way->from == PROXY_CLIENT)
		open_server(f, try_address(f));
	if (f->state == FLOW_OPEN || way->from == PROXY_SERVER)
		empty_line(way);
	settle(f);
}

static void flow_init(struct proxy_flow *f, struct proxy_room *room, int client_fd)
{
	f->room = room;
	f->opens_ns = clock_now_ns() + room->opts->delay_ns[PROXY_CLIENT];
	for (enum proxy_side side = 0; side < PROXY_SIDES; side++) {
		f->ends[side] = (struct proxy_end){
			.source = { PROXY_END, -1 },
			.flow = f,
			.side = side,
			.watched = NOT_WATCHED,
		};
		f->ways[side] = (struct proxy_way){ .flow = f, .from = side };
		timer_init(&f->ways[side].timer);
		delay_line_init(&f->ways[side].line, room->opts->buffer_bytes);
	}
	f->ends[PROXY_CLIENT].source.fd = client_fd;
}

int proxy_flow_new(struct proxy_room *room, int client_fd)
{
	struct proxy_flow *f = calloc(1, sizeof(*f));

	if (!f || timers_reserve(&room->timers, PROXY_SIDES)) {
		free(f);
		close(client_fd);
		return -ENOMEM;
	}
	flow_init(f, room, client_fd);
	set_options(f, PROXY_CLIENT);
	f->next = room->flows;
	if (f->next)
		f->next->before = f;
	room->flows = f;
	room->stats.connections++;
	room->stats.open++;
	settle(f);
	return 0;
}

void proxy_flows_sweep(struct proxy_room *room)
{
	while (room->ended) {
		struct proxy_flow *f = room->ended;

		room->ended = f->next;
		free(f);
	}
}
