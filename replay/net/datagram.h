/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_DATAGRAM_H
#define GAIT_REPLAY_NET_DATAGRAM_H

#include "replay/net/address.h"
#include "replay/net/wire.h"

/*
 * One datagram is one message (docs/PROTOCOL.md): of a request the preface of its connection and
 * the header of a message, of a reply the header alone; what follows has no meaning and is not kept.
 * Several go, or come, by one call.
 */
#define DATAGRAM_MAX 65507 /* bytes: what UDP over IPv4 carries */
#define DATAGRAM_REQUEST_BYTES (WIRE_PREFACE_BYTES + WIRE_MESSAGE_BYTES) /* at least */
#define DATAGRAM_BATCH 64						 /* of one call */
#define DATAGRAM_SCRATCH_BYTES 65536

struct dgram {
	struct endpoint peer; /* size 0: whom the socket is connected to */
	int64_t stamp_ns;     /* that came: CLOCK_REALTIME of its arrival; 0: unknown */
	uint32_t bytes;	      /* of all of it; over DATAGRAM_MAX it cannot be sent */
	uint32_t head_bytes;  /* of `head` */
	uint8_t head[DATAGRAM_REQUEST_BYTES];
};

struct datagrams {
	unsigned count;
	struct dgram at[DATAGRAM_BATCH];
};

/* A client's socket holds many replies, if it may: it is not to be here that they are lost. */
void datagram_widen(int fd);

/* Of message->size bytes. */
void datagram_put_request(struct dgram *d, const struct wire_preface *preface,
			  const struct wire_message *message);
void datagram_put_reply(struct dgram *d, const struct wire_message *message);

/* False: it is none. The token has yet to be looked at. */
bool datagram_get_request(const struct dgram *d, struct wire_preface *ret_preface,
			  struct wire_message *ret_message);
bool datagram_get_reply(const struct dgram *d, struct wire_message *ret_message);

/*
 * One call each, which does not wait. How many came, at most `most`, their contents over each
 * other in `scratch` (DATAGRAM_SCRATCH_BYTES); how many went of those from `first` on, out of
 * `filler` (DATAGRAM_MAX). Or a negative errno: of the first of them.
 */
int datagrams_receive(int fd, struct datagrams *in, unsigned most, void *scratch);
int datagrams_send(int fd, struct datagrams *out, unsigned first, const void *filler);

#endif
