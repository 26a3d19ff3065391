/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proxy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define TCP_PREFIX "tcp://"
#define UNIX_PREFIX "unix://"

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static int parse_unix(const char *path, struct proxy_address *ret_address, struct err *err)
{
	struct proxy_address address = { .is_unix = true };

	if (!*path)
		return err_set(err, EINVAL,
			       "'unix://' has no path; write for example "
			       "unix:///run/service.sock");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(err, ERANGE, "the path '%s' is longer than a UNIX socket's can be",
			       path);
	snprintf(address.host, sizeof(address.host), "%s", path);
	*ret_address = address;
	return 0;
}

/* "HOST" and "[V6]", where there is no ":PORT". */
static bool lacks_port(const char *text)
{
	const char *close = text[0] == '[' ? strchr(text, ']') : NULL;

	return close ? !close[1] : !strchr(text, ':');
}

static int parse_tcp(const char *text, const struct proxy_address_defaults *defaults,
		     struct proxy_address *ret_address, struct err *err)
{
	char whole[UNIT_HOST_SIZE + 16];
	struct proxy_address address = { 0 };
	int rc;

	if (defaults->port >= 0 && lacks_port(text)) {
		if (strlen(text) >= UNIT_HOST_SIZE)
			return err_set(err, ERANGE, "the host name in '%s' is too long", text);
		snprintf(whole, sizeof(whole), "%s:%u", text, (unsigned int)defaults->port);
		text = whole;
	}
	rc = unit_parse_endpoint(text, address.host, &address.port, err);
	if (rc)
		return rc;
	if (!address.host[0])
		snprintf(address.host, sizeof(address.host), "%s", defaults->host);
	*ret_address = address;
	return 0;
}

int proxy_address_parse(const char *text, const struct proxy_address_defaults *defaults,
			struct proxy_address *ret_address, struct err *err)
{
	if (begins(text, UNIX_PREFIX))
		return parse_unix(text + strlen(UNIX_PREFIX), ret_address, err);
	if (begins(text, TCP_PREFIX))
		text += strlen(TCP_PREFIX);
	else if (strstr(text, "://"))
		return err_set(err, EINVAL, "'%s' is neither tcp:// nor unix://", text);
	return parse_tcp(text, defaults, ret_address, err);
}

static void resolve_unix(const char *path, struct proxy_sockaddrs *ret_addrs)
{
	struct proxy_sockaddr *addr = &ret_addrs->items[0];
	struct sockaddr_un *at = (struct sockaddr_un *)&addr->at;

	*ret_addrs = (struct proxy_sockaddrs){ .count = 1 };
	at->sun_family = AF_UNIX;
	memcpy(at->sun_path, path, strlen(path));
	addr->len = sizeof(*at);
}

int proxy_address_resolve(const struct proxy_address *address, struct proxy_sockaddrs *ret_addrs,
			  struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	struct proxy_sockaddrs addrs = { 0 };
	char service[8];
	int rc;

	if (address->is_unix) {
		resolve_unix(address->host, ret_addrs);
		return 0;
	}
	snprintf(service, sizeof(service), "%u", address->port);
	rc = getaddrinfo(address->host, service, &hints, &found);
	if (rc)
		return err_set(err, EINVAL, "cannot find the host '%s': %s", address->host,
			       gai_strerror(rc));
	for (struct addrinfo *at = found; at && addrs.count < PROXY_SOCKADDRS_MAX;
	     at = at->ai_next) {
		struct proxy_sockaddr *addr = &addrs.items[addrs.count++];

		memcpy(&addr->at, at->ai_addr, at->ai_addrlen);
		addr->len = at->ai_addrlen;
	}
	freeaddrinfo(found);
	*ret_addrs = addrs;
	return 0;
}

char *proxy_sockaddr_format(const struct proxy_sockaddr *addr, char *text, size_t size)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->at;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr->at;
	char host[INET6_ADDRSTRLEN] = "?";

	switch (addr->at.ss_family) {
	case AF_UNIX:
		snprintf(text, size, UNIX_PREFIX "%s",
			 ((const struct sockaddr_un *)&addr->at)->sun_path);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
		break;
	default:
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
	}
	return text;
}

bool proxy_sockaddr_is_local(const struct proxy_sockaddr *addr)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->at;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr->at;

	switch (addr->at.ss_family) {
	case AF_UNIX:
		return true;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	default:
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
}
