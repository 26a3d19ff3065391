/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

/* EVP picks the fastest code of the machine (SHA-NI: about 1.5 GB/s and more). */
struct digest {
	EVP_MD_CTX *context;
};

struct digest *digest_new(void)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	if (!digest)
		return NULL;
	digest->context = EVP_MD_CTX_new();
	if (!digest->context || !EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL)) {
		digest_free(digest);
		return NULL;
	}
	return digest;
}

void digest_update(struct digest *digest, const void *data, size_t len)
{
	int ok = EVP_DigestUpdate(digest->context, data, len);

	assert(ok == 1);
}

static void hex(const unsigned char *bytes, size_t count, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

int digest_hex(const struct digest *digest, char ret_hex[DIGEST_HEX_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	int rc = -ENOMEM;

	if (!copy || !EVP_MD_CTX_copy_ex(copy, digest->context))
		goto out;
	if (!EVP_DigestFinal_ex(copy, bytes, NULL))
		goto out;
	hex(bytes, (DIGEST_HEX_SIZE - 1) / 2, ret_hex);
	rc = 0;
out:
	EVP_MD_CTX_free(copy);
	return rc;
}

void digest_free(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->context);
	free(digest);
}

void digest_mac(const void *key, size_t key_len, const void *data, size_t len,
		uint8_t ret_mac[DIGEST_BYTES])
{
	const void *made = HMAC(EVP_sha256(), key, (int)key_len, data, len, ret_mac, NULL);

	assert(made);
}
