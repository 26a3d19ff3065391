/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_ADDRESS_H
#define GAIT_REPLAY_NET_ADDRESS_H

#include "base/err.h"
#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Where somebody listens, as people write it, in one word:
 *
 *	[tcp:[//] | tls:[//] | ssl:[//] | udp:[//]][HOST][:PORT]	HOST may be [IPV6]
 *	unix:PATH	unix://PATH
 *
 * Without a transport it is TCP; ssl is another word for tls.
 */
enum transport { TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_UDP, TRANSPORT_UNIX, TRANSPORT_COUNT };

struct address {
	enum transport transport;
	char host[UNIT_HOST_SIZE]; /* of unix: the path */
	uint16_t port;		   /* of unix: 0 */
};

/* "tcp" */
const char *transport_name(enum transport transport);

/* What stands for the parts that a word leaves out; host NULL, port -1: they must be given. */
struct address_defaults {
	const char *host;
	int port;
};

/* Pure. 0, or -EINVAL, -ERANGE with a sentence that names the word. */
int address_parse(const char *text, const struct address_defaults *defaults,
		  struct address *ret_address, struct err *err);

#define ADDRESS_TEXT_SIZE (UNIT_HOST_SIZE + 32)

/* A word that address_parse() reads back, most often TCP's without its name; returns `text`. */
char *address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE]);

bool address_equal(const struct address *a, const struct address *b);

/* Whether only this machine can reach it, by its name alone. */
bool address_is_local(const struct address *address);

/* What the kernel wants to hear. */
struct endpoint {
	struct sockaddr_storage at;
	socklen_t size;
};

#define ADDRESS_ENDPOINTS_MAX 8

/*
 * Asks for the host's addresses: how many (at least 1, in getaddrinfo()'s order), or a
 * negative errno with a sentence. `listens`: to listen there.
 */
int address_resolve(const struct address *address, bool listens,
		    struct endpoint ret_endpoints[ADDRESS_ENDPOINTS_MAX], struct err *err);

/* The other way, with a number for a name: -EADDRNOTAVAIL of a UNIX socket. */
int endpoint_address(const struct endpoint *endpoint, enum transport transport,
		     struct address *ret_address, struct err *err);

struct listen_opts {
	int backlog;	   /* of a stream */
	int receive_lowat; /* bytes before an accepted TCP socket is readable; 0: 1 */
	bool no_delay;	   /* of accepted TCP sockets */
	bool shares_port;  /* others may bind the same port (SO_REUSEPORT) */
};

/*
 * A non-blocking socket that listens (datagrams: is bound) at the first endpoint, and in
 * address->port the port it has got. A UNIX socket that nobody listens on is replaced.
 */
int address_listen(struct address *address, const struct listen_opts *opts, struct err *err);

/* Whether only this machine can reach it: by what was bound, whatever name it was given by. */
bool address_is_loopback(int fd);

/* Closes it; of a UNIX socket the file goes too. */
void address_unlisten(const struct address *address, int fd);

/*
 * Begins to connect a non-blocking socket, for datagrams too: 0, -EINPROGRESS, else *ret_fd is -1.
 * `own` is an IPv4 or IPv6 address, port 0 for any, that this end is bound to; NULL: any.
 */
int endpoint_connect(const struct endpoint *endpoint, const struct endpoint *own,
		     enum transport transport, bool no_delay, int *ret_fd);

/*
 * Tries one after the other, each for up to timeout_ms: a descriptor (which does not block)
 * and in *ret_which the one that it leads to, or the last one's negative errno.
 */
int endpoints_connect(const struct endpoint *endpoints, int count, enum transport transport,
		      int timeout_ms, int *ret_which);

#endif
