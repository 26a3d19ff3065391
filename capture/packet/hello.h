/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_HELLO_H
#define GAIT_CAPTURE_PACKET_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The first message of each end of a TLS connection (RFC 8446, 4.1.2 and 4.1.3; RFC 7301), which is in
 * clear: what the client offers, what the service chooses. It is read as it comes, in any pieces; names of
 * hosts, keys and ciphers are passed over. What is malformed, or was not captured, ends it: what it said
 * before that stays. Pure.
 */
#define TLS_ALPN_SIZE 32

struct tls_said {
	uint16_t version; /* 0x0304: TLS 1.3; of a client the best that it offers. 0: not known */
	char alpn[TLS_ALPN_SIZE]; /* joined by +: as many names as have room */
};

struct tls_hello {
	struct tls_said client, server;
	bool reply;	      /* the message at hand is the service's */
	bool over;	      /* nothing more is to be learnt of it */
	uint8_t step;	      /* of it: which field comes */
	uint8_t need;	      /* bytes that the number at hand still lacks */
	uint8_t name_left;    /* of the ALPN name at hand */
	bool name_bad;	      /* it is none that can be shown */
	uint16_t name_begins; /* in alpn */
	uint16_t at;	      /* in the extension at hand */
	uint32_t number, skip;
	uint32_t left, extension_left; /* bytes of all extensions, and of the one at hand */
	uint16_t extension;
};

/* `total` bytes of handshake records of one direction, the first `seen` of which are visible. */
void tls_hello_feed(struct tls_hello *h, bool reply, const uint8_t *bytes, size_t seen,
		    size_t total);

/* No more of the hello at hand will come. */
void tls_hello_end(struct tls_hello *h);

/* Whether both ends have said what they will say in clear. */
bool tls_hello_is_over(const struct tls_hello *h);

/* By its low byte: "1.3" for 0x0304; "" for 0. SSL 3, which nobody speaks any more, is not told. */
const char *tls_version_name(uint16_t version);

#endif
