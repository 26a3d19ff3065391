/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/listen.h"

#include "base/clock.h"
#include "replay/net/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DROPS_MAX 1024 /* of one event */

static bool encrypts(const struct listen_setup *setup)
{
	for (size_t i = 0; i < setup->count; i++)
		if (setup->addresses[i].transport == TRANSPORT_TLS)
			return true;
	return false;
}

static int open_tls(struct listeners *ls, const struct listen_setup *setup, struct err *err)
{
	const struct tls_setup tls = {
		.node = true,
		.cert = setup->tls_cert,
		.key = setup->tls_key,
		.reads_ahead = true,
	};

	return encrypts(setup) ? tls_context_new(&tls, &ls->tls, err) : 0;
}

static int open_one(struct listeners *ls, const struct address *address, struct err *err)
{
	struct listener *l = &ls->all[ls->count];

	l->address = *address;
	l->controls = ls->count == ls->control;
	l->fd = address_listen(&l->address, &ls->opts, err);
	if (l->fd < 0)
		return l->fd;
	l->loopback = address_is_loopback(l->fd);
	ls->count++;
	return 0;
}

int listeners_open(struct listeners *ls, const struct listen_setup *setup, struct err *err)
{
	int rc;

	*ls = (struct listeners){
		.control = setup->control,
		.accept_mode = setup->accept_mode,
		.opts = {
			.backlog = setup->backlog,
			.receive_lowat = WIRE_PREFACE_BYTES,
			.no_delay = !setup->delays,
			.shares_port = setup->accept_mode == ACCEPT_CHILD,
		},
		.reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
	};
	pthread_mutex_init(&ls->lock, NULL);
	rc = open_tls(ls, setup, err);
	for (size_t i = 0; i < setup->count && !rc; i++)
		rc = open_one(ls, &setup->addresses[i], err);
	if (rc)
		listeners_close(ls);
	return rc;
}

void listeners_close(struct listeners *ls)
{
	if (!ls->opts.backlog)
		return; /* never opened */
	for (size_t i = 0; i < ls->count; i++)
		address_unlisten(&ls->all[i].address, ls->all[i].fd);
	tls_context_free(ls->tls);
	if (ls->reserve_fd >= 0)
		close(ls->reserve_fd);
	pthread_mutex_destroy(&ls->lock);
	*ls = (struct listeners){ .reserve_fd = -1 };
}

static void ask_for_stamps(const struct listeners *ls, const struct listener *l, int fd)
{
	if (ls->stamps_streams || (ls->stamped && l->address.transport == TRANSPORT_UDP))
		stamps_ask(fd);
}

void listeners_stamp(struct listeners *ls, bool streams)
{
	ls->stamped = true;
	ls->stamps_streams = streams;
	for (size_t i = 0; i < ls->count; i++)
		ask_for_stamps(ls, &ls->all[i], ls->all[i].fd);
}

int listener_open_another(const struct listeners *ls, const struct listener *l)
{
	struct address address = l->address;
	int fd;

	if (address.transport == TRANSPORT_UNIX)
		return -ENOTSUP;
	fd = address_listen(&address, &ls->opts, NULL);
	if (fd >= 0)
		ask_for_stamps(ls, l, fd);
	return fd;
}

/* Else it would wait in the queue for ever, and wake every thread for ever. */
static void turn_away(struct listeners *ls, int listening_fd)
{
	int fd;

	pthread_mutex_lock(&ls->lock);
	if (ls->reserve_fd >= 0)
		close(ls->reserve_fd);
	fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	ls->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pthread_mutex_unlock(&ls->lock);
}

int listener_accept(struct listeners *ls, const struct listener *l, int listening_fd,
		    struct channel *ret_channel)
{
	struct channel ch = {
		.fd = accept4(listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC),
	};

	if (ch.fd < 0 && errno != EMFILE && errno != ENFILE)
		return -EAGAIN;
	if (ch.fd < 0 ||
	    (l->address.transport == TRANSPORT_TLS && channel_begin_tls(&ch, ls->tls))) {
		channel_close(&ch);
		turn_away(ls, listening_fd);
		return -EMFILE;
	}
	*ret_channel = ch;
	return 0;
}

unsigned listener_drop_datagrams(const struct listener *l)
{
	unsigned dropped = 0;
	char byte;

	while (dropped < DROPS_MAX && recv(l->fd, &byte, 1, MSG_DONTWAIT) >= 0)
		dropped++;
	return dropped;
}

struct stranger *stranger_new(const struct channel *channel, bool may_control)
{
	struct stranger *s = calloc(1, sizeof(*s));
	struct channel lost = *channel;

	if (!s) {
		channel_close(&lost);
		return NULL;
	}
	s->channel = *channel;
	s->may_control = may_control && !channel->tls;
	s->since_ns = clock_now_ns();
	return s;
}

struct stranger *stranger_new_datagram(const struct listener *l, const struct dgram *d)
{
	struct stranger *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->channel = CHANNEL_NONE;
	s->listener = l;
	s->datagram = malloc(sizeof(*d));
	if (!s->datagram) {
		free(s);
		return NULL;
	}
	*s->datagram = *d;
	memcpy(s->preface, d->head, sizeof(s->preface));
	s->preface_bytes = sizeof(s->preface);
	return s;
}

void stranger_free(struct stranger *s)
{
	if (!s)
		return;
	free(s->datagram);
	channel_close(&s->channel);
	free(s);
}

int stranger_first_byte(const struct stranger *s)
{
	uint8_t first;

	if (s->preface_bytes || s->channel.tls)
		return -1;
	return recv(s->channel.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? first : -1;
}

bool stranger_is_client(const struct stranger *s)
{
	int first = s->may_control ? stranger_first_byte(s) : -1;

	return !first || first == CONTROL_TLS_BYTE;
}

int stranger_listen(struct stranger *s, struct wire_preface *ret_preface)
{
	ssize_t n = sizeof(s->preface) - s->preface_bytes;

	if (n)
		n = channel_recv(&s->channel, s->preface + s->preface_bytes, (size_t)n);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n < 0 || (!n && s->preface_bytes < sizeof(s->preface)))
		return -ECONNRESET;
	s->preface_bytes += (size_t)n;
	n = wire_preface_decode(s->preface, s->preface_bytes, ret_preface, NULL);
	if (n > 0 && !s->datagram != !(ret_preface->flags & WIRE_PREFACE_DATAGRAM))
		return -EPROTO;
	return (int)n;
}

void listener_admit(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &(int){ 1 }, sizeof(int));
}
