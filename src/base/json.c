/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(JSON_DEPTH_MAX <= JSON_PARSER_MAX_DEPTH, "jansson refuses deeper nesting itself");

/* struct json is never defined: it is jansson's json_t by another name. */
static json_t *as_jansson(const struct json *json)
{
	return (json_t *)json;
}

struct json *json_new_object(void)
{
	return (struct json *)json_object();
}

struct json *json_new_array(void)
{
	return (struct json *)json_array();
}

int json_put(struct json *object, const char *key, struct json *child)
{
	return json_object_set_new(as_jansson(object), key, as_jansson(child)) ? -ENOMEM : 0;
}

static int put(struct json *object, const char *key, json_t *value)
{
	return json_put(object, key, (struct json *)value);
}

/* jansson refuses what is not UTF-8, for which there is no errno: try, then mend. */
static json_t *text_value(const char *value)
{
	json_t *made = json_string(value);
	char *mended;

	if (made)
		return made;
	mended = strdup(value);
	if (!mended)
		return NULL;
	for (char *c = mended; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	made = json_string(mended);
	free(mended);
	return made;
}

int json_put_text(struct json *object, const char *key, const char *value)
{
	return put(object, key, text_value(value));
}

int json_put_int(struct json *object, const char *key, int64_t value)
{
	return put(object, key, value == INT64_MIN ? json_null() : json_integer(value));
}

int json_put_u64(struct json *object, const char *key, uint64_t value)
{
	return put(object, key, json_integer(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

int json_put_double(struct json *object, const char *key, double value)
{
	return put(object, key, isfinite(value) ? json_real(value) : json_null());
}

int json_put_bool(struct json *object, const char *key, bool value)
{
	return put(object, key, json_boolean(value));
}

int json_add(struct json *array, struct json *child)
{
	return json_array_append_new(as_jansson(array), as_jansson(child)) ? -ENOMEM : 0;
}

int json_add_text(struct json *array, const char *value)
{
	return json_add(array, (struct json *)text_value(value));
}

static struct json *put_new(struct json *parent, const char *key, struct json *made)
{
	if (parent && made)
		return json_put(parent, key, made) ? NULL : made;
	json_free(made);
	return NULL;
}

struct json *json_put_object(struct json *object, const char *key)
{
	return put_new(object, key, json_new_object());
}

struct json *json_put_array(struct json *object, const char *key)
{
	return put_new(object, key, json_new_array());
}

struct json *json_add_object(struct json *array)
{
	struct json *made = json_new_object();

	if (array && made)
		return json_add(array, made) ? NULL : made;
	json_free(made);
	return NULL;
}

char *json_to_text(const struct json *json)
{
	/* 15 digits: every measured value, without the noise of the 16th */
	char *dump = json_dumps(as_jansson(json), JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	size_t len = dump ? strlen(dump) : 0;
	char *text = dump ? realloc(dump, len + 2) : NULL;

	if (!text) {
		free(dump);
		return NULL;
	}
	memcpy(text + len, "\n", 2);
	return text;
}

/* jansson's own limit is 2048 levels, which its callers' recursion need not stand. */
static bool too_deep(const char *text, size_t len)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && quoted)
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '{' || text[i] == '['))
			depth++;
		else if (!quoted && (text[i] == '}' || text[i] == ']'))
			depth--;
		if (depth > JSON_DEPTH_MAX)
			return true;
	}
	return false;
}

int json_from_text(const char *text, size_t len, const char *what, struct json **ret_json,
		   struct err *err)
{
	json_error_t problem;
	json_t *json;

	if (too_deep(text, len))
		return err_set(err, EINVAL, "%s is nested deeper than %d levels", what,
			       JSON_DEPTH_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &problem);
	if (!json)
		return err_set(err, EINVAL, "%s is not JSON: line %d, column %d: %s", what,
			       problem.line, problem.column, problem.text);
	*ret_json = (struct json *)json;
	return 0;
}

const struct json *json_get(const struct json *object, const char *key)
{
	json_t *value = json_object_get(as_jansson(object), key);

	return json_is_null(value) ? NULL : (const struct json *)value;
}

int json_get_text(const struct json *object, const char *key, const char *fallback,
		  const char **ret_value)
{
	const struct json *value = json_get(object, key);

	if (value && !json_is_string(as_jansson(value)))
		return -EINVAL;
	*ret_value = value ? json_string_value(as_jansson(value)) : fallback;
	return 0;
}

int json_get_int(const struct json *object, const char *key, int64_t fallback, int64_t *ret_value)
{
	const struct json *value = json_get(object, key);

	if (value && !json_is_integer(as_jansson(value)))
		return -EINVAL;
	*ret_value = value ? json_integer_value(as_jansson(value)) : fallback;
	return 0;
}

size_t json_length(const struct json *array)
{
	return json_array_size(as_jansson(array));
}

const struct json *json_at(const struct json *array, size_t i)
{
	return (const struct json *)json_array_get(as_jansson(array), i);
}

bool json_holds_items(const struct json *json)
{
	return json_is_array(as_jansson(json));
}

void json_free(struct json *json)
{
	json_decref(as_jansson(json));
}
