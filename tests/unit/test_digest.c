/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/digest.h"

/* The examples of FIPS 180-4. */
static const struct {
	const char *text, *hex;
} vectors[] = {
	{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
};

static void test_vectors(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct digest *digest = digest_new();
		char hex[DIGEST_HEX_SIZE];

		for (const char *p = vectors[i].text; *p; p++) {
			CHECK_EQ(digest_hex(digest, hex), 0); /* looking changes nothing */
			digest_update(digest, p, 1);
		}
		CHECK_EQ(digest_hex(digest, hex), 0);
		CHECK_STR(hex, vectors[i].hex);
		digest_free(digest);
	}
	digest_free(NULL);
}

int main(void)
{
	RUN(test_vectors);
	return check_done();
}
