/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the ring, cut anywhere: what comes out is whole, or nothing. A record of the input is
 * a byte for its kind, one for its slot and generation, one for its size in 16 bytes, and bytes.
 */
#include "probe/expand.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const size_t whole[] = {
	[EVENT_CALL] = sizeof(struct event_call),
	[EVENT_RECEIVE] = sizeof(struct event_receive),
};

/* All of it can be read; a call that the expander made is as long as it says. */
static void check(const struct event_head *head, size_t size, bool made)
{
	const struct event_receive *e = (const struct event_receive *)head;
	void *copy = malloc(size + !size);

	memcpy(copy, head, size);
	free(copy);
	if (!made)
		return;
	if (head->kind != EVENT_CALL && head->kind != EVENT_RECEIVE)
		abort();
	if (size != whole[head->kind] + (head->kind == EVENT_RECEIVE ? e->seen : 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct expander *x = expander_new();

	while (size >= HEAD) {
		size_t len = (size_t)data[2] * 16, ret_size, given;
		struct event_head *head = calloc(1, len + sizeof(*head));
		const void *out;

		given = len < size - HEAD ? len : size - HEAD;
		memcpy(head, data + HEAD, given);
		head->kind = data[0];
		head->slot = data[1] & 3;
		head->generation = data[1] >> 6;
		head = realloc(head, len + !len); /* its exact size, for ASan */
		out = expander_take(x, head, len, &ret_size);
		if (out)
			check(out, ret_size, out != head);
		free(head);
		data += HEAD + given;
		size -= HEAD + given;
	}
	expander_free(x);
	return 0;
}
