/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_DIGEST_H
#define GAIT_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* SHA-256 of bytes that come in pieces. */
#define DIGEST_HEX_SIZE 65

struct digest;

/* NULL when memory ran out. */
struct digest *digest_new(void);
void digest_update(struct digest *digest, const void *data, size_t len);
/* Lower-case hex of all bytes so far; more may follow. 0 or -ENOMEM. */
int digest_hex(const struct digest *digest, char ret_hex[DIGEST_HEX_SIZE]);
/* Takes NULL. */
void digest_free(struct digest *digest);

/* HMAC-SHA256 (RFC 2104) of `data` by `key`. */
#define DIGEST_BYTES 32
void digest_mac(const void *key, size_t key_len, const void *data, size_t len,
		uint8_t ret_mac[DIGEST_BYTES]);

#endif
