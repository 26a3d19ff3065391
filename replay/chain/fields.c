/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/chain/fields.h"

#include "base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fields_init(struct fields *f, const char *value, struct err *why)
{
	char *at;

	*f = (struct fields){ .text = strdup(value) };
	if (!f->text)
		return err_set(why, ENOMEM, "not enough memory");
	f->items[f->count++] = at = f->text;
	while ((at = strchr(at, ','))) {
		/* sep=, of a file is no end of a field */
		if (at - f->text >= 4 && !memcmp(at - 4, "sep=", 4)) {
			at++;
			continue;
		}
		if (f->count == FIELDS_MAX)
			return err_set(why, EINVAL, "too many fields");
		*at++ = '\0';
		f->items[f->count++] = at;
	}
	return 0;
}

void fields_release(struct fields *f)
{
	free(f->text);
}

char *fields_key(struct fields *f, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < f->count; i++) {
		char *item = f->items[i];

		if (item && !strncmp(item, name, len) && item[len] == '=') {
			f->items[i] = NULL;
			return item + len + 1;
		}
	}
	return NULL;
}

bool fields_flag(struct fields *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->items[i] && !strcmp(f->items[i], name)) {
			f->items[i] = NULL;
			return true;
		}
	}
	return false;
}

char *fields_bare(struct fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		char *item = f->items[i];

		if (item) {
			f->items[i] = NULL;
			return item;
		}
	}
	return NULL;
}

int fields_all_taken(const struct fields *f, struct err *why)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->items[i])
			return err_set(why, EINVAL, "'%.*s' has no place in it", QUOTED_MAX,
				       f->items[i]);
	}
	return 0;
}

int fields_number(struct fields *f, const char *name, uint64_t min, uint64_t max, uint32_t *to,
		  struct err *why)
{
	char *text = fields_key(f, name);
	uint64_t value;
	struct err reason;
	int rc;

	if (!text)
		return 0;
	rc = unit_parse_u64(text, min, max, &value, &reason);
	if (rc)
		return err_set(why, -rc, "%s: %s", name, reason.text);
	*to = (uint32_t)value;
	return 1;
}
