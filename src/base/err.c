/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The return value of a failing function: a code of 0 would read as success. */
static int err_code(int code)
{
	assert(code > 0);
	return -code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, args);
		va_end(args);
	}
	return err_code(code);
}

int err_errno(struct err *err, int code, const char *fmt, ...)
{
	char reason[128];
	va_list args;
	size_t used;

	if (err) {
		va_start(args, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, args);
		va_end(args);
		used = strlen(err->text);
		snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			 strerror_r(code, reason, sizeof(reason)));
	}
	return err_code(code);
}
