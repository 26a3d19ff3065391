/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/wire.h"

#include "base/digest.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Where members are: magic, version, flags, token, connection_id. */
enum { AT_VERSION = 4, AT_FLAGS = 6, AT_TOKEN = 8, AT_ID = 24 };

static void put16(uint8_t *at, uint16_t value)
{
	value = htobe16(value);
	memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return be16toh(value);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

static const uint8_t magic[AT_VERSION] = { 'G', 'A', 'I', 'T' };

void wire_preface_encode(const struct wire_preface *preface, uint8_t ret_bytes[WIRE_PREFACE_BYTES])
{
	memcpy(ret_bytes, magic, sizeof(magic));
	put16(ret_bytes + AT_VERSION, WIRE_VERSION);
	put16(ret_bytes + AT_FLAGS, preface->flags);
	memcpy(ret_bytes + AT_TOKEN, preface->token, WIRE_TOKEN_BYTES);
	put64(ret_bytes + AT_ID, preface->connection_id);
}

static bool flags_are_known(uint16_t flags)
{
	if (flags & ~(WIRE_PREFACE_WALK | WIRE_PREFACE_DATAGRAM | WIRE_PREFACE_CALL))
		return false;
	return !(flags & WIRE_PREFACE_CALL) || flags == WIRE_PREFACE_CALL;
}

int wire_preface_decode(const uint8_t *data, size_t size, struct wire_preface *ret_preface,
			struct err *err)
{
	if (memcmp(data, magic, size < sizeof(magic) ? size : sizeof(magic)))
		return err_set(err, EPROTO, "this is no data connection of gait");
	if (size >= AT_FLAGS && get16(data + AT_VERSION) != WIRE_VERSION)
		return err_set(err, EPROTO, "version %u of the protocol, this is version %u",
			       get16(data + AT_VERSION), WIRE_VERSION);
	if (size < WIRE_PREFACE_BYTES)
		return 0;
	if (!flags_are_known(get16(data + AT_FLAGS)))
		return err_set(err, EPROTO, "a data connection with unknown flags");
	ret_preface->flags = get16(data + AT_FLAGS);
	memcpy(ret_preface->token, data + AT_TOKEN, WIRE_TOKEN_BYTES);
	ret_preface->connection_id = get64(data + AT_ID);
	return WIRE_PREFACE_BYTES;
}

/* HMAC-SHA256 (RFC 2104) of all that the preface says, cut to its first bytes. */
static void make_token(const struct wire_preface *preface, const uint8_t secret[WIRE_TOKEN_BYTES],
		       uint8_t ret_token[WIRE_TOKEN_BYTES])
{
	struct wire_preface unsigned_one = *preface;
	uint8_t bytes[WIRE_PREFACE_BYTES], mac[DIGEST_BYTES];

	memset(unsigned_one.token, 0, sizeof(unsigned_one.token));
	wire_preface_encode(&unsigned_one, bytes);
	digest_mac(secret, WIRE_TOKEN_BYTES, bytes, sizeof(bytes), mac);
	memcpy(ret_token, mac, WIRE_TOKEN_BYTES);
}

void wire_preface_sign(struct wire_preface *preface, const uint8_t secret[WIRE_TOKEN_BYTES])
{
	make_token(preface, secret, preface->token);
}

bool wire_tokens_equal(const uint8_t a[WIRE_TOKEN_BYTES], const uint8_t b[WIRE_TOKEN_BYTES])
{
	uint8_t difference = 0;

	for (size_t i = 0; i < WIRE_TOKEN_BYTES; i++)
		difference |= a[i] ^ b[i];
	return !difference;
}

bool wire_preface_is_signed(const struct wire_preface *preface,
			    const uint8_t secret[WIRE_TOKEN_BYTES])
{
	uint8_t token[WIRE_TOKEN_BYTES];

	make_token(preface, secret, token);
	return wire_tokens_equal(preface->token, token);
}
