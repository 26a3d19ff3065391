/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest from outside: what is read must be written and read again the same. */
#include "trace/manifest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
	if (!held)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest *m = malloc(2 * sizeof(*m));
	char *text, *again;
	struct err err;

	if (!manifest_from_json((const char *)data, size, &m[0], &err)) {
		text = manifest_to_json(&m[0]);
		require(text && !manifest_from_json(text, strlen(text), &m[1], &err));
		again = manifest_to_json(&m[1]);
		require(again && !strcmp(text, again));
		free(text);
		free(again);
	}
	free(m);
	return 0;
}
