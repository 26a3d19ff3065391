/* SPDX-License-Identifier: Apache-2.0 */
/* Of encrypted connections: that they are, and what both ends said of it in clear. */
#include "capture/packet/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Services that are asked for TLS in clear, before the handshake: PostgreSQL and MySQL. */
static bool asks_for_tls(const struct flow_chunk *chunk)
{
	static const uint8_t postgresql[8] = { 0, 0, 0, 8, 4, 210, 22, 47 };
	static const uint8_t mysql[4] = { 32, 0, 0, 1 }; /* 32 bytes, the second packet */
	const uint8_t *bytes = chunk->bytes;

	if (chunk->seen >= 8 && chunk->total == 8)
		return !memcmp(bytes, postgresql, sizeof(postgresql));
	return chunk->seen >= 6 && chunk->total == 36 && !memcmp(bytes, mysql, sizeof(mysql)) &&
	       bytes[5] & 8; /* CLIENT_SSL */
}

void greeting_look(struct requests *r, struct conversation *c, const struct flow_chunk *chunk)
{
	bool under_way;

	if (c->looked || chunk->gap || asks_for_tls(chunk))
		return;
	c->looked = true;
	c->encrypted = tls_begins(chunk->bytes, chunk->seen);
	if (!c->encrypted)
		return;
	r->ledger.count[LG_TLS_OPAQUE]++;
	framing_give(r, c); /* what was in clear before has no part in it */
	c->framed = true;
	under_way = tls_is_under_way(chunk->bytes, chunk->seen);
	c->tls.hides = c->tls.finished = under_way;
	if (under_way)
		return;
	c->tls.hello = calloc(1, sizeof(*c->tls.hello));
	if (!c->tls.hello)
		r->failed = -ENOMEM;
}

/* The number of such a list; there are few. 0 beyond the limit, too. */
static uint8_t number_of(struct requests *r, const char *alpn)
{
	size_t i = 1;

	if (!alpn[0])
		return 0;
	r->alpns_count += !r->alpns_count; /* "" */
	while (i < r->alpns_count && strcmp(r->alpns[i], alpn))
		i++;
	if (i == ALPNS_MAX)
		return 0;
	if (i == r->alpns_count)
		snprintf(r->alpns[r->alpns_count++], TLS_ALPN_SIZE, "%s", alpn);
	return (uint8_t)i;
}

void greeting_keep(struct requests *r, struct conversation *c, bool closing)
{
	struct tls_hello *hello = c->tls.hello;

	if (!hello || !(closing || tls_hello_is_over(hello)))
		return;
	tls_hello_end(hello);
	c->tls.version = (uint8_t)hello->server.version;
	c->tls.chosen = number_of(r, hello->server.alpn);
	c->tls.offers = number_of(r, hello->client.alpn);
	free(hello);
	c->tls.hello = NULL;
}

void greeting_put(const struct requests *r, const struct conversation *c, struct row_wire *wire)
{
	const struct tls_stream *in = &c->tls.in, *out = &c->tls.out;

	if (!c->encrypted)
		return;
	snprintf(wire->tls_version, sizeof(wire->tls_version), "%s",
		 tls_version_name(c->tls.version));
	snprintf(wire->tls_alpn, sizeof(wire->tls_alpn), "%s", r->alpns[c->tls.chosen]);
	snprintf(wire->tls_offers, sizeof(wire->tls_offers), "%s", r->alpns[c->tls.offers]);
	wire->tls_records_in = in->records;
	wire->tls_records_out = out->records;
	wire->tls_record_bytes_in = (int64_t)in->bytes;
	wire->tls_record_bytes_out = (int64_t)out->bytes;
	wire->tls_record_max_bytes_in = in->largest;
	wire->tls_record_max_bytes_out = out->largest;
}
