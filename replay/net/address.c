/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *const names[TRANSPORT_COUNT] = {
	[TRANSPORT_TCP] = "tcp",
	[TRANSPORT_TLS] = "tls",
	[TRANSPORT_UDP] = "udp",
	[TRANSPORT_UNIX] = "unix",
};

static const struct {
	const char *word;
	enum transport transport;
} words[] = {
	{ "tcp:", TRANSPORT_TCP }, { "tls:", TRANSPORT_TLS },	{ "ssl:", TRANSPORT_TLS },
	{ "udp:", TRANSPORT_UDP }, { "unix:", TRANSPORT_UNIX },
};

const char *transport_name(enum transport transport)
{
	return names[transport];
}

/* Passes over "tls://" and says what it means; what stands before any other "://" is unknown. */
static int parse_transport(const char **at, enum transport *ret_transport, struct err *err)
{
	const char *slashes = strstr(*at, "://");

	*ret_transport = TRANSPORT_TCP;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i].word);

		if (strncasecmp(*at, words[i].word, len))
			continue;
		*ret_transport = words[i].transport;
		*at += len;
		*at += strncmp(*at, "//", 2) ? 0 : 2;
		return 0;
	}
	if (!slashes)
		return 0;
	return err_set(err, EINVAL, "'%s' begins with '%.*s': tcp, tls, udp and unix are known",
		       *at, (int)(slashes - *at), *at);
}

/* What would not come out of a line, or of a list of words, as it went in. */
static bool has_odd(const char *text, size_t len, const char *odd)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 127 || strchr(odd, text[i]))
			return true;
	}
	return false;
}

static int parse_path(const char *word, const char *path, struct address *a, struct err *err)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	size_t len = strlen(path);

	if (!len)
		return err_set(err, EINVAL, "'%s' has no path: write unix:///PATH", word);
	if (len >= max)
		return err_set(err, ERANGE,
			       "the path in '%s' is longer than the %zu bytes of a "
			       "UNIX socket's",
			       word, max - 1);
	if (has_odd(path, len, ""))
		return err_set(err, EINVAL, "the path in '%s' has a control character", word);
	memcpy(a->host, path, len + 1);
	return 0;
}

/* Where the host ends, and in *ret_host and *ret_len what it is; NULL: it cannot be one. */
static const char *split_host(const char *text, const char **ret_host, size_t *ret_len)
{
	const char *end;

	if (text[0] != '[') {
		*ret_host = text;
		*ret_len = strcspn(text, ":");
		return text + *ret_len;
	}
	end = strchr(text, ']');
	*ret_host = text + 1;
	*ret_len = end ? (size_t)(end - text - 1) : 0;
	return *ret_len && (end[1] == ':' || !end[1]) ? end + 1 : NULL;
}

static int parse_port(const char *word, const char *text, int fallback, uint16_t *ret_port,
		      struct err *err)
{
	uint64_t port = (uint64_t)fallback;

	if (!*text && fallback < 0)
		return err_set(err, EINVAL, "'%s' has no port: write HOST:PORT", word);
	if (strchr(text + !!*text, ':'))
		return err_set(err, EINVAL,
			       "'%s' has more than one colon: write an IPv6 address as "
			       "[ADDRESS]:PORT",
			       word);
	if (*text && unit_parse_u64(text + 1, 0, UINT16_MAX, &port, NULL))
		return err_set(err, EINVAL, "the port '%s' of '%s' is not within 0 .. 65535",
			       text + 1, word);
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_host(const char *word, const char *host, size_t len, const char *fallback,
		      struct address *a, struct err *err)
{
	if (!len && !fallback)
		return err_set(err, EINVAL, "'%s' has no host: write HOST:PORT", word);
	if (!len)
		len = strlen(host = fallback);
	if (len >= sizeof(a->host))
		return err_set(err, ERANGE, "the host in '%.60s...' is longer than %zu bytes", word,
			       sizeof(a->host) - 1);
	/* getaddrinfo() would take a lone number for an IPv4 address */
	if (strspn(host, "0123456789") >= len)
		return err_set(err, EINVAL, "'%.*s' in '%s' is no host: write a port as :%.*s",
			       (int)len, host, word, (int)len, host);
	if (has_odd(host, len, " ,/[]"))
		return err_set(err, EINVAL, "'%s' names no host that there can be", word);
	memcpy(a->host, host, len);
	a->host[len] = '\0';
	return 0;
}

int address_parse(const char *text, const struct address_defaults *defaults,
		  struct address *ret_address, struct err *err)
{
	struct address a = { 0 };
	const char *at = text, *host, *port;
	size_t len;
	int rc = parse_transport(&at, &a.transport, err);

	if (!rc && a.transport == TRANSPORT_UNIX) {
		rc = parse_path(text, at, &a, err);
	} else if (!rc) {
		port = split_host(at, &host, &len);
		if (!port)
			return err_set(err, EINVAL, "'%s' is not [IPV6]:PORT", text);
		rc = parse_port(text, port, defaults->port, &a.port, err);
		if (!rc)
			rc = parse_host(text, host, len, defaults->host, &a, err);
	}
	if (!rc)
		*ret_address = a;
	return rc;
}

/* "udp:80" would be read as a transport. */
static bool is_transport_word(const char *host)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i].word) - 1;

		if (strlen(host) == len && !strncasecmp(host, words[i].word, len))
			return true;
	}
	return false;
}

char *address_format(const struct address *a, char text[ADDRESS_TEXT_SIZE])
{
	bool plain = a->transport == TRANSPORT_TCP && !is_transport_word(a->host);
	const char *name = plain ? "" : names[a->transport];
	bool ipv6 = strchr(a->host, ':');

	if (a->transport == TRANSPORT_UNIX)
		snprintf(text, ADDRESS_TEXT_SIZE, "unix://%s", a->host);
	else
		snprintf(text, ADDRESS_TEXT_SIZE, "%s%s%s%s%s:%u", name, *name ? "://" : "",
			 ipv6 ? "[" : "", a->host, ipv6 ? "]" : "", a->port);
	return text;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->transport == b->transport && a->port == b->port && !strcmp(a->host, b->host);
}

bool address_is_local(const struct address *a)
{
	return a->transport == TRANSPORT_UNIX || !strncmp(a->host, "127.", 4) ||
	       !strcmp(a->host, "::1") || !strcmp(a->host, "localhost");
}

static int socket_type(enum transport transport)
{
	return transport == TRANSPORT_UDP ? SOCK_DGRAM : SOCK_STREAM;
}

static bool is_tcp(enum transport transport)
{
	return transport == TRANSPORT_TCP || transport == TRANSPORT_TLS;
}

static struct endpoint unix_endpoint(const struct address *a)
{
	struct endpoint e = { .size = sizeof(struct sockaddr_un) };
	struct sockaddr_un *at = (struct sockaddr_un *)&e.at;

	at->sun_family = AF_UNIX;
	memcpy(at->sun_path, a->host, strnlen(a->host, sizeof(at->sun_path) - 1));
	return e;
}

int address_resolve(const struct address *a, bool listens,
		    struct endpoint ret_endpoints[ADDRESS_ENDPOINTS_MAX], struct err *err)
{
	struct addrinfo hints = { .ai_socktype = socket_type(a->transport),
				  .ai_flags = listens ? AI_PASSIVE : 0 };
	struct addrinfo *list;
	char service[8];
	int count = 0, rc;

	if (a->transport == TRANSPORT_UNIX) {
		ret_endpoints[0] = unix_endpoint(a);
		return 1;
	}
	snprintf(service, sizeof(service), "%u", a->port);
	rc = getaddrinfo(a->host, service, &hints, &list);
	if (rc)
		return err_set(err, EHOSTUNREACH, "cannot find the host '%s': %s", a->host,
			       rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (const struct addrinfo *ai = list; ai && count < ADDRESS_ENDPOINTS_MAX;
	     ai = ai->ai_next) {
		ret_endpoints[count].size = ai->ai_addrlen;
		memcpy(&ret_endpoints[count++].at, ai->ai_addr, ai->ai_addrlen);
	}
	freeaddrinfo(list);
	return count;
}

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

/* Accepted sockets inherit them. */
static int set_listen_opts(int fd, const struct listen_opts *opts, enum transport transport)
{
	int rc = is_tcp(transport) ? set(fd, SOL_SOCKET, SO_REUSEADDR, 1) : 0;

	if (!rc && opts->shares_port && transport != TRANSPORT_UNIX)
		rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!rc && is_tcp(transport))
		rc = set(fd, IPPROTO_TCP, TCP_NODELAY, opts->no_delay);
	if (!rc && transport == TRANSPORT_TCP && opts->receive_lowat)
		rc = set(fd, SOL_SOCKET, SO_RCVLOWAT, opts->receive_lowat);
	return rc;
}

/* A socket file that whoever made it has left behind. */
static void remove_stale(const struct endpoint *e)
{
	const struct sockaddr_un *at = (const struct sockaddr_un *)&e->at;
	struct stat st;
	int fd;

	if (at->sun_family != AF_UNIX || lstat(at->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&e->at, e->size) && errno == ECONNREFUSED)
		unlink(at->sun_path);
	close(fd);
}

static int listen_at(const struct endpoint *e, enum transport transport,
		     const struct listen_opts *opts)
{
	int type = socket_type(transport) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(e->at.ss_family, type, 0);
	int rc = fd < 0 ? -errno : set_listen_opts(fd, opts, transport);

	remove_stale(e);
	if (!rc && bind(fd, (const struct sockaddr *)&e->at, e->size))
		rc = -errno;
	if (!rc && transport != TRANSPORT_UDP && listen(fd, opts->backlog))
		rc = -errno;
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t size = sizeof(at);

	getsockname(fd, (struct sockaddr *)&at, &size);
	if (at.ss_family == AF_UNIX)
		return 0;
	return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port :
						((struct sockaddr_in *)&at)->sin_port);
}

int endpoint_address(const struct endpoint *endpoint, enum transport transport,
		     struct address *ret_address, struct err *err)
{
	const struct sockaddr *at = (const struct sockaddr *)&endpoint->at;
	struct address address = { .transport = transport };

	if (getnameinfo(at, endpoint->size, address.host, sizeof(address.host), NULL, 0,
			NI_NUMERICHOST) ||
	    transport == TRANSPORT_UNIX)
		return err_set(err, EADDRNOTAVAIL,
			       "agents on other hosts go to the node by tcp, tls or udp");
	address.port = ntohs(at->sa_family == AF_INET6 ?
				     ((const struct sockaddr_in6 *)at)->sin6_port :
				     ((const struct sockaddr_in *)at)->sin_port);
	*ret_address = address;
	return 0;
}

int address_listen(struct address *a, const struct listen_opts *opts, struct err *err)
{
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	char text[ADDRESS_TEXT_SIZE];
	int fd = address_resolve(a, true, endpoints, err);

	if (fd < 0)
		return fd;
	fd = listen_at(&endpoints[0], a->transport, opts);
	if (fd < 0)
		return err_errno(err, -fd, "cannot listen on %s", address_format(a, text));
	a->port = port_of(fd);
	return fd;
}

bool address_is_loopback(int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t size = sizeof(at);
	const struct in6_addr *v6 = &((struct sockaddr_in6 *)&at)->sin6_addr;
	const struct in_addr *v4 = &((struct sockaddr_in *)&at)->sin_addr;

	if (getsockname(fd, (struct sockaddr *)&at, &size))
		return false;
	if (at.ss_family == AF_UNIX)
		return true;
	if (at.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(v6) ||
		       (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
	return at.ss_family == AF_INET && ntohl(v4->s_addr) >> 24 == IN_LOOPBACKNET;
}

void address_unlisten(const struct address *a, int fd)
{
	if (fd < 0)
		return;
	if (a->transport == TRANSPORT_UNIX)
		unlink(a->host);
	close(fd);
}

/* A port that is given may still belong to what is left of an earlier connection. */
static int bind_own_end(int fd, const struct endpoint *own)
{
	in_port_t port = own->at.ss_family == AF_INET6 ?
				 ((const struct sockaddr_in6 *)&own->at)->sin6_port :
				 ((const struct sockaddr_in *)&own->at)->sin_port;

	if (port)
		set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	else /* connect() chooses one that is free towards that end */
		set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, (const struct sockaddr *)&own->at, own->size) ? -errno : 0;
}

int endpoint_connect(const struct endpoint *e, const struct endpoint *own, enum transport transport,
		     bool no_delay, int *ret_fd)
{
	int type = socket_type(transport) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(e->at.ss_family, type, 0);
	int rc = fd < 0 ? -errno : 0;

	if (!rc && is_tcp(transport))
		set(fd, IPPROTO_TCP, TCP_NODELAY, no_delay);
	if (!rc && own)
		rc = bind_own_end(fd, own);
	if (!rc && connect(fd, (const struct sockaddr *)&e->at, e->size))
		rc = -errno;
	if (rc && rc != -EINPROGRESS && fd >= 0) {
		close(fd);
		fd = -1;
	}
	*ret_fd = fd;
	return rc;
}

/* 0, or why the connection could not be made in time. */
static int await_connected(int fd, int timeout_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = ETIMEDOUT;

	if (poll(&ready, 1, timeout_ms) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return -error;
}

int endpoints_connect(const struct endpoint *endpoints, int count, enum transport transport,
		      int timeout_ms, int *ret_which)
{
	int fd, rc = -EHOSTUNREACH;

	for (int i = 0; i < count; i++) {
		rc = endpoint_connect(&endpoints[i], NULL, transport, true, &fd);
		if (rc == -EINPROGRESS)
			rc = await_connected(fd, timeout_ms);
		if (!rc) {
			*ret_which = i;
			return fd;
		}
		if (fd >= 0)
			close(fd);
	}
	return rc;
}
