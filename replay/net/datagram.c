/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/datagram.h"

#include "replay/net/stamps.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define WIDE_BYTES (4 << 20)

/* Beyond net.core.rmem_max, if we may. */
void datagram_widen(int fd)
{
	const int bytes = WIDE_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

void datagram_put_request(struct dgram *d, const struct wire_preface *preface,
			  const struct wire_message *message)
{
	struct wire_preface flagged = *preface;

	flagged.flags |= WIRE_PREFACE_DATAGRAM;
	wire_preface_encode(&flagged, d->head);
	wire_message_encode(message, d->head + WIRE_PREFACE_BYTES);
	d->head_bytes = DATAGRAM_REQUEST_BYTES;
	d->bytes = message->size;
}

void datagram_put_reply(struct dgram *d, const struct wire_message *message)
{
	wire_message_encode(message, d->head);
	d->head_bytes = WIRE_MESSAGE_BYTES;
	d->bytes = message->size;
}

bool datagram_get_request(const struct dgram *d, struct wire_preface *ret_preface,
			  struct wire_message *ret_message)
{
	return d->bytes >= DATAGRAM_REQUEST_BYTES &&
	       wire_preface_decode(d->head, WIRE_PREFACE_BYTES, ret_preface, NULL) > 0 &&
	       ret_preface->flags & WIRE_PREFACE_DATAGRAM &&
	       wire_message_decode(d->head + WIRE_PREFACE_BYTES, ret_message) &&
	       ret_message->size == d->bytes;
}

bool datagram_get_reply(const struct dgram *d, struct wire_message *ret_message)
{
	return d->bytes >= WIRE_MESSAGE_BYTES && wire_message_decode(d->head, ret_message) &&
	       ret_message->size == d->bytes;
}

/* What recvmmsg() and sendmmsg() want to hear: a head of its own for each, a rest for all. */
struct call {
	struct mmsghdr messages[DATAGRAM_BATCH];
	struct iovec parts[DATAGRAM_BATCH][2];
};

/* Where the kernel says when one came, if it was asked to (net/stamps.h). */
union control {
	char bytes[STAMPS_CONTROL_BYTES];
	struct cmsghdr aligned;
};

static void describe(struct call *call, unsigned i, struct dgram *d, size_t head, void *rest,
		     size_t rest_bytes)
{
	struct msghdr *message = &call->messages[i].msg_hdr;

	call->parts[i][0] = (struct iovec){ d->head, head };
	call->parts[i][1] = (struct iovec){ rest, rest_bytes };
	*message = (struct msghdr){
		.msg_name = d->peer.size ? &d->peer.at : NULL,
		.msg_namelen = d->peer.size,
		.msg_iov = call->parts[i],
		.msg_iovlen = rest_bytes ? 2 : 1,
	};
}

int datagrams_receive(int fd, struct datagrams *in, unsigned most, void *scratch)
{
	union control controls[DATAGRAM_BATCH];
	struct call call;
	int n;

	for (unsigned i = 0; i < most; i++) {
		in->at[i].peer.size = sizeof(in->at[i].peer.at);
		describe(&call, i, &in->at[i], sizeof(in->at[i].head), scratch,
			 DATAGRAM_SCRATCH_BYTES);
		call.messages[i].msg_hdr.msg_control = &controls[i];
		call.messages[i].msg_hdr.msg_controllen = sizeof(controls[i]);
	}
	n = recvmmsg(fd, call.messages, most, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	in->count = (unsigned)n;
	for (int i = 0; i < n; i++) {
		in->at[i].bytes = call.messages[i].msg_len;
		in->at[i].peer.size = call.messages[i].msg_hdr.msg_namelen;
		in->at[i].stamp_ns = stamps_of_message(&call.messages[i].msg_hdr);
	}
	return n;
}

int datagrams_send(int fd, struct datagrams *out, unsigned first, const void *filler)
{
	struct call call;
	int n;

	for (unsigned i = first; i < out->count; i++)
		describe(&call, i, &out->at[i], out->at[i].head_bytes, (void *)filler,
			 out->at[i].bytes - out->at[i].head_bytes);
	n = sendmmsg(fd, call.messages + first, out->count - first, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}
