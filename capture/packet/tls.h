/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_TLS_H
#define GAIT_CAPTURE_PACKET_TLS_H

#include "capture/packet/hello.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The records of a TLS connection, without a key: which bytes are the application's, and which are
 * handshake, alerts and the like. A record says its kind and length in clear; what TLS 1.3 hides by
 * calling it application data - the client's Finished, the alert at the end - is told by its place and
 * its length. Pure.
 */
struct tls_stream {
	uint64_t bytes;	  /* of the application's records, without their headers */
	uint32_t records; /* the application's */
	uint16_t largest; /* of them */
	uint16_t left;	  /* bytes of the record under way that are still to come */
	uint8_t head[5];  /* of it, the first `got` */
	uint8_t got : 3;
	bool counts : 1; /* the record under way is the application's */
};

struct tls {
	struct tls_hello *hello;   /* lent: who reads the handshake; NULL: nobody */
	struct tls_stream in, out; /* to the service, from it */
	bool hides : 1; /* TLS 1.3, or it may be: the service spoke encrypted before the client did */
	bool finished : 1; /* then: the client's Finished has come */
	bool asked : 1;	   /* the application's first bytes to the service have */
	bool lost : 1;	   /* where records begin is not known any more */
	/* the owner's, of what the hellos said: low byte of the version, what was chosen and offered */
	uint8_t version, chosen, offers;
};

/* Whether a connection whose first bytes to the service are these speaks TLS. */
bool tls_begins(const uint8_t *bytes, size_t seen);
/* It was found in the middle: these are no handshake. */
bool tls_is_under_way(const uint8_t *bytes, size_t seen);

/*
 * The next `total` bytes of a direction, the first `seen` of which are visible: how many are the
 * application's, with the headers of their records. All of them once t->lost is set.
 */
size_t tls_application_bytes(struct tls *t, bool reply, const uint8_t *bytes, size_t seen,
			     size_t total);

#endif
