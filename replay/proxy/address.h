/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PROXY_ADDRESS_H
#define GAIT_REPLAY_PROXY_ADDRESS_H

#include "base/err.h"
#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * An end of a proxy as people write it:
 *
 *	[tcp://]HOST[:PORT]	10.0.0.7:7400, localhost:80, [::1]:80, :80
 *	unix://PATH		a stream socket; unix:///run/x.sock
 */
struct proxy_address {
	bool is_unix;
	char host[UNIT_HOST_SIZE]; /* or the path */
	uint16_t port;
};

/* What a text may leave out. */
struct proxy_address_defaults {
	const char *host; /* of ":PORT" */
	int32_t port;	  /* of "HOST"; negative: it must be there */
};

/* Pure. 0, or -EINVAL or -ERANGE with a sentence. */
int proxy_address_parse(const char *text, const struct proxy_address_defaults *defaults,
			struct proxy_address *ret_address, struct err *err);

/* The socket addresses that it means, in the resolver's order (RFC 6724). */
#define PROXY_SOCKADDRS_MAX 8

struct proxy_sockaddrs {
	size_t count;
	struct proxy_sockaddr {
		struct sockaddr_storage at;
		socklen_t len;
	} items[PROXY_SOCKADDRS_MAX];
};

/* Asks the resolver for names. 0, or -EINVAL with a sentence. */
int proxy_address_resolve(const struct proxy_address *address, struct proxy_sockaddrs *ret_addrs,
			  struct err *err);

/* As the kernel knows it: "127.0.0.1:80", "[::1]:80", "unix:///path"; returns `text`. */
#define PROXY_ADDRESS_TEXT_SIZE 160
char *proxy_sockaddr_format(const struct proxy_sockaddr *addr, char *text, size_t size);

/* Only this machine can reach it. */
bool proxy_sockaddr_is_local(const struct proxy_sockaddr *addr);

#endif
