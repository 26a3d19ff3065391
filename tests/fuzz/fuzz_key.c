/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a key file from outside: what is taken is written again the same. */
#include "replay/net/key.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), again[KEY_TEXT_BYTES + 1];
	struct key key;

	memcpy(text, data, size);
	text[size] = '\0';
	if (!key_parse(text, &key)) {
		key_format(&key, again);
		if (strncmp(text, again, KEY_TEXT_BYTES - 1))
			abort();
	}
	free(text);
	return 0;
}
