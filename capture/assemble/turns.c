/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on connections: requests and replies, or calls to other services and theirs. */
#include "capture/assemble/assembly.h"

void turn_receive(struct assembler *a, struct athread *t, const struct event_receive *e,
		  const struct segment *seg)
{
	struct connection *c = connection_find(a, e->call.socket_id);

	if (!c)
		return;
	connection_round_trips(c, e->srtt_us, e->min_rtt_us);
	turn_receive_on(a, t, c, e, seg);
}

void turn_receive_on(struct assembler *a, struct athread *t, struct connection *c,
		     const struct event_receive *e, const struct segment *seg)
{
	c->tgid = t->tgid;
	if (c->row.outgoing)
		call_receive(a, t, c, e, seg);
	else if (e->call.more)
		requests_receive_more(a, t, c, e, seg);
	else
		requests_receive(a, t, c, e, seg);
}

void turn_send(struct assembler *a, struct athread *t, const struct event_call *e,
	       const struct segment *seg)
{
	struct connection *c = connection_find(a, e->socket_id);

	if (c)
		turn_send_on(a, t, c, e, seg);
}

void turn_send_on(struct assembler *a, struct athread *t, struct connection *c,
		  const struct event_call *e, const struct segment *seg)
{
	c->tgid = t->tgid;
	if (c->row.outgoing)
		call_send(a, t, c, e, seg);
	else
		reply_send(a, t, c, e, seg);
}
