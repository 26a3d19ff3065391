/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of all families, and requests out of the bytes that come in. */
#include "server.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAMS_MAX 16 /* of one recvmmsg() */
#define DATAGRAM_BYTES 9000
#define SPARE_MAX 80
#define PEERS_MAX 128 /* of a server of datagrams */

static const struct family {
	int family, type;
} families[] = {
	[LISTEN_TCP] = { AF_INET, SOCK_STREAM },  [LISTEN_TCP6] = { AF_INET6, SOCK_STREAM },
	[LISTEN_UNIX] = { AF_UNIX, SOCK_STREAM }, [LISTEN_UDP] = { AF_INET, SOCK_DGRAM },
	[LISTEN_UDP6] = { AF_INET6, SOCK_DGRAM },
};

static atomic_ulong *connections; /* of all processes */
static struct sockaddr_storage here;
static socklen_t here_size;

bool net_is_datagram(void)
{
	return families[opts.listen].type == SOCK_DGRAM;
}

static void address_any(void)
{
	struct sockaddr_in *v4 = (void *)&here;
	struct sockaddr_in6 *v6 = (void *)&here;
	struct sockaddr_un *local = (void *)&here;

	here.ss_family = families[opts.listen].family;
	here_size = sizeof(*v4);
	if (here.ss_family == AF_INET) {
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (here.ss_family == AF_INET6) {
		v6->sin6_addr = in6addr_loopback;
		here_size = sizeof(*v6);
	} else {
		snprintf(local->sun_path, sizeof(local->sun_path), "%s", opts.socket_path);
		here_size = sizeof(*local);
	}
}

/* The first call has the kernel choose a port; `here` keeps it. */
int net_listen(void)
{
	const struct family *f = &families[opts.listen];
	int fd = must(socket(f->family, f->type | SOCK_CLOEXEC, 0), "socket"), yes = 1;

	if (f->family != AF_UNIX)
		must(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)), "SO_REUSEPORT");
	must(bind(fd, (struct sockaddr *)&here, here_size), "bind");
	if (f->type == SOCK_STREAM)
		must(listen(fd, 1024), "listen");
	must(getsockname(fd, (struct sockaddr *)&here, &here_size), "getsockname");
	return fd;
}

/* Address and port as connections.csv has them; the other end of a UNIX socket has no name. */
static unsigned format_address(const struct sockaddr_storage *at, char text[PEER_SIZE])
{
	const struct sockaddr_in *v4 = (const void *)at;
	const struct sockaddr_in6 *v6 = (const void *)at;
	char host[INET6_ADDRSTRLEN] = "";

	if (at->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, PEER_SIZE, "%s:%u", host, ntohs(v4->sin_port));
		return ntohs(v4->sin_port);
	}
	if (at->ss_family != AF_INET6) {
		snprintf(text, PEER_SIZE, "unix");
		return 0;
	}
	inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
	snprintf(text, PEER_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
	return ntohs(v6->sin6_port);
}

void net_announce(void)
{
	char text[PEER_SIZE];
	unsigned port = format_address(&here, text);

	if (port)
		printf("listening on %u\n", port);
	else
		printf("listening on %s\n", opts.socket_path);
	fflush(stdout);
}

static void receive_ready(struct source *source)
{
	struct connection *c = (struct connection *)source;
	struct loop *loop = c->loop;
	struct request *chain;

	if (!net_receive(c, &chain)) {
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
		connection_put(c);
	} else if (chain) {
		loop->serve(chain);
	}
}

static size_t in_bytes(void)
{
	return opts.request_bytes > IN_BYTES ? opts.request_bytes : IN_BYTES;
}

/* Made before anybody connects: what an accept costs would be some request's, or nearly. */
static struct connection *spare[SPARE_MAX];
static atomic_size_t spare_taken;

static struct connection *connection_make(void)
{
	struct connection *c = must_alloc(malloc(sizeof(*c)));

	c->in = must_alloc(malloc(in_bytes()));
	connection_touch(c);
	return c;
}

void connection_touch(struct connection *c)
{
	memset(c->slots, 0, sizeof(c->slots));
	memset(c->in, 'x', in_bytes());
}

static struct connection *connection_new(int fd)
{
	size_t at = atomic_fetch_add(&spare_taken, 1);
	struct connection *c = at < SPARE_MAX ? spare[at] : connection_make();

	memset(c, 0, offsetof(struct connection, in));
	c->source = (struct source){ fd, receive_ready };
	atomic_store(&c->users, 1);
	return c;
}

void net_init(void)
{
	connections = mmap(NULL, sizeof(*connections), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (connections == MAP_FAILED)
		die("memory");
	address_any();
	for (size_t i = 0; i < SPARE_MAX; i++)
		spare[i] = connection_make();
}

static void connection_name(struct connection *c, const struct sockaddr_storage *peer)
{
	c->id = atomic_fetch_add(connections, 1) + 1;
	format_address(peer, c->peer);
}

static int accept_late(int listener, struct sockaddr *peer, socklen_t *size)
{
	struct timespec pause = { opts.accept_late_ns / 1000000000,
				  opts.accept_late_ns % 1000000000 };

	if (opts.accept_late_ns)
		nanosleep(&pause, NULL);
	return accept4(listener, peer, size, SOCK_CLOEXEC);
}

struct connection *net_accept(int listener)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd = accept_late(listener, (struct sockaddr *)&peer, &size);
	struct connection *c;

	if (fd < 0) /* another worker was first */
		return NULL;
	c = connection_new(fd);
	connection_name(c, &peer);
	if (opts.accept_ns.hi)
		cpu_burn(range_pick(opts.accept_ns, &worker_self()->random));
	return c;
}

void connection_get(struct connection *c)
{
	atomic_fetch_add(&c->users, 1);
}

void connection_put(struct connection *c)
{
	if (atomic_fetch_sub(&c->users, 1) > 1)
		return;
	close(c->source.fd);
	free(c->in);
	free(c);
}

/* --- receiving ----------------------------------------------------------------------------- */

static long receive_call(int fd, void *bytes, size_t size)
{
	struct iovec parts[] = { { bytes, size / 2 },
				 { (char *)bytes + size / 2, size - size / 2 } };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = parts, .msg_iovlen = 2 } };

	switch ((enum recv_by)opts.recv_by) {
	case RECV_RECV:
		return recv(fd, bytes, size, 0);
	case RECV_READ:
		return read(fd, bytes, size);
	case RECV_READV:
		return readv(fd, parts, 2);
	case RECV_RECVMSG:
		return recvmsg(fd, &message.msg_hdr, 0);
	case RECV_SPLICE: /* what the bytes were is not looked at */
		return splice_in(fd, NULL, size);
	case RECV_URING:
		return uring_recv(fd, bytes, size);
	case RECV_RECVMMSG:
		return recvmmsg(fd, &message, 1, MSG_WAITFORONE, NULL) == 1 ?
			       (long)message.msg_len :
			       -1;
	}
	return -1;
}

static struct request *request_begin(struct connection *c, size_t bytes)
{
	struct request *r = &c->slots[c->requests++ % CHAIN_MAX];

	memset(r, 0, offsetof(struct request, row.ops)); /* those are counted */
	r->connection = c;
	r->next = r->job = NULL;
	r->row.connection = c->id;
	r->row.request = c->requests;
	memcpy(r->row.peer, c->peer, sizeof(c->peer));
	r->row.bytes_in = bytes;
	r->row.read_start_ns = c->read_start_ns;
	r->row.read_end_ns = c->read_end_ns;
	r->row.read_tid = worker_self()->tid;
	connection_get(c);
	return r;
}

/* The whole requests at the beginning of what has come in; the rest moves to the front. */
static struct request *take_requests(struct connection *c, int64_t start_ns, int64_t end_ns)
{
	struct request *first = NULL, **last = &first;
	size_t used = 0, n;

	while ((n = wire_message_bytes(opts.protocol, c->in + used, c->filled - used,
				       opts.request_bytes))) {
		*last = request_begin(c, n);
		last = &(*last)->next;
		used += n;
		c->read_start_ns = start_ns; /* the next one began in this call */
		c->read_end_ns = end_ns;
	}
	c->filled -= used;
	memmove(c->in, c->in + used, c->filled);
	return first;
}

bool net_receive(struct connection *c, struct request **ret_chain)
{
	size_t room = opts.read == READ_ONE ? opts.request_bytes : in_bytes();
	int64_t start = clock_ns(CLOCK_MONOTONIC), end;
	long n = receive_call(c->source.fd, c->in + c->filled, room - c->filled);

	if (n <= 0)
		return false;
	end = clock_ns(CLOCK_MONOTONIC);
	if (!c->filled) {
		c->read_start_ns = start;
		c->read_end_ns = end;
	}
	c->filled += n;
	*ret_chain = take_requests(c, start, end);
	return true;
}

/* --- datagrams ----------------------------------------------------------------------------- */

/* Known by their port: they are all of this host. */
static struct connection *peer_of(int fd, const struct sockaddr_storage *from, socklen_t size)
{
	static _Thread_local struct connection *peers[PEERS_MAX];
	size_t i = 0;

	while (i < PEERS_MAX && peers[i] && memcmp(&peers[i]->to, from, size))
		i++;
	if (i == PEERS_MAX)
		die("too many peers");
	if (!peers[i]) {
		peers[i] = connection_new(fd);
		connection_name(peers[i], from);
		peers[i]->to = *from;
		peers[i]->to_size = size;
	}
	return peers[i];
}

static int receive_datagrams(int fd, struct mmsghdr *messages, size_t count)
{
	struct msghdr *first = &messages[0].msg_hdr;
	long n;

	if (opts.recv_by == RECV_RECVMMSG)
		return recvmmsg(fd, messages, count, MSG_WAITFORONE, NULL);
	if (opts.recv_by == RECV_RECVMSG)
		n = recvmsg(fd, first, 0);
	else
		n = recvfrom(fd, first->msg_iov->iov_base, first->msg_iov->iov_len, 0,
			     first->msg_name, &first->msg_namelen);
	messages[0].msg_len = n;
	return n < 0 ? -1 : 1;
}

struct request *net_receive_datagrams(int fd)
{
	static _Thread_local char bytes[DATAGRAMS_MAX][DATAGRAM_BYTES];
	struct sockaddr_storage from[DATAGRAMS_MAX] = { 0 };
	struct mmsghdr messages[DATAGRAMS_MAX];
	struct iovec parts[DATAGRAMS_MAX];
	struct request *first = NULL, **last = &first;
	int64_t start, end;
	int count;

	for (size_t i = 0; i < DATAGRAMS_MAX; i++) {
		parts[i] = (struct iovec){ bytes[i], DATAGRAM_BYTES };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
						       .msg_namelen = sizeof(from[i]),
						       .msg_iov = &parts[i],
						       .msg_iovlen = 1 };
	}
	start = clock_ns(CLOCK_MONOTONIC);
	count = receive_datagrams(fd, messages, DATAGRAMS_MAX);
	end = clock_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < count; i++) {
		struct connection *c = peer_of(fd, &from[i], messages[i].msg_hdr.msg_namelen);

		c->read_start_ns = start;
		c->read_end_ns = end;
		*last = request_begin(c, messages[i].msg_len);
		last = &(*last)->next;
	}
	return first;
}

/* --- sending ------------------------------------------------------------------------------- */

static long send_call(struct connection *c, const char *bytes, size_t size)
{
	struct iovec parts[] = { { (char *)bytes, size / 2 },
				 { (char *)bytes + size / 2, size - size / 2 } };
	struct msghdr message = { .msg_name = c->to_size ? &c->to : NULL,
				  .msg_namelen = c->to_size,
				  .msg_iov = parts,
				  .msg_iovlen = 2 };
	struct mmsghdr many = { .msg_hdr = message };
	int fd = c->source.fd;

	switch ((enum send_by)opts.send_by) {
	case SEND_SENDFILE: /* what is before and after the file */
	case SEND_SEND:
		return sendto(fd, bytes, size, MSG_NOSIGNAL, message.msg_name, c->to_size);
	case SEND_WRITE:
		return write(fd, bytes, size);
	case SEND_WRITEV:
		return writev(fd, parts, 2);
	case SEND_SENDMSG:
		return sendmsg(fd, &message, MSG_NOSIGNAL);
	case SEND_SPLICE:
		return splice_out(fd, NULL, bytes, size);
	case SEND_URING:
		return uring_send(fd, bytes, size);
	case SEND_SENDMMSG:
		return sendmmsg(fd, &many, 1, MSG_NOSIGNAL) == 1 ? (long)many.msg_len : -1;
	}
	return -1;
}

size_t net_send(struct connection *c, const char *bytes, size_t size)
{
	size_t sent = 0;

	while (sent < size) {
		long n = send_call(c, bytes + sent, size - sent);

		if (n <= 0)
			break;
		sent += n;
	}
	return sent;
}

bool net_send_datagrams(struct connection *c, struct iovec *parts, size_t count)
{
	struct mmsghdr messages[CHAIN_MAX];

	for (size_t i = 0; i < count; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_name = c->to_size ? &c->to : NULL,
						       .msg_namelen = c->to_size,
						       .msg_iov = &parts[i],
						       .msg_iovlen = 1 };
	return sendmmsg(c->source.fd, messages, count, MSG_NOSIGNAL) == (int)count;
}
