/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_JSON_H
#define GAIT_BASE_JSON_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * As much JSON as manifests and --json need; the only room's file that knows
 * jansson. A struct json is an object, an array or a plain value.
 *
 * Building: json_new_* gives you something to free; json_put() and json_add()
 * take the child over, also when they fail. All return 0 or -ENOMEM. A text
 * that is not UTF-8 (names come from outside) has its odd bytes replaced by
 * '?'. INT64_MIN, the "unknown" of a trace, becomes null.
 */
struct json;

struct json *json_new_object(void);
struct json *json_new_array(void);
int json_put(struct json *object, const char *key, struct json *child);
int json_put_text(struct json *object, const char *key, const char *value);
int json_put_int(struct json *object, const char *key, int64_t value);
int json_put_u64(struct json *object, const char *key, uint64_t value);	 /* cut at INT64_MAX */
int json_put_double(struct json *object, const char *key, double value); /* NaN: null */
int json_put_bool(struct json *object, const char *key, bool value);
int json_add(struct json *array, struct json *child);
int json_add_text(struct json *array, const char *value);

/* A new, empty one within its parent, lent; NULL when memory ran out, or had for the parent. */
struct json *json_put_object(struct json *object, const char *key);
struct json *json_put_array(struct json *object, const char *key);
struct json *json_add_object(struct json *array);

/* Indented text with a newline at its end, malloc'd; NULL when memory ran out. */
char *json_to_text(const struct json *json);

/* Nesting is limited to JSON_DEPTH_MAX. `what` names the text in the message. */
#define JSON_DEPTH_MAX 64
int json_from_text(const char *text, size_t len, const char *what, struct json **ret_json,
		   struct err *err);

/*
 * Reading lends: what is returned belongs to its parent. All take NULL for a
 * member that is not there. A missing or null value leaves the fallback; one
 * of another type is -EINVAL.
 */
const struct json *json_get(const struct json *object, const char *key);
int json_get_text(const struct json *object, const char *key, const char *fallback,
		  const char **ret_value);
int json_get_int(const struct json *object, const char *key, int64_t fallback, int64_t *ret_value);
size_t json_length(const struct json *array);
const struct json *json_at(const struct json *array, size_t i);
bool json_holds_items(const struct json *json); /* is an array */

/* Takes NULL. */
void json_free(struct json *json);

#endif
