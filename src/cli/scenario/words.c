/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/scenario/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int words_add(struct words *w, const char *text, size_t len)
{
	char **items;

	if (w->count == WORDS_MAX)
		return -E2BIG;
	if (!(w->count & (w->count + 1))) { /* full: 0, 1, 3, 7, ... and a NULL behind */
		items = reallocarray(w->items, 2 * w->count + 2, sizeof(*items));
		if (!items)
			return -ENOMEM;
		w->items = items;
	}
	w->items[w->count] = strndup(text, len);
	if (!w->items[w->count])
		return -ENOMEM;
	w->items[++w->count] = NULL;
	return 0;
}

void words_release(struct words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->items[i]);
	free(w->items);
	*w = (struct words){ 0 };
}
