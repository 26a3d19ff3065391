/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 64

void buf_init(struct buf *buf, size_t max)
{
	assert(max > 0 && max < (size_t)-1 / 2);
	*buf = (struct buf){ .max = max };
}

void buf_release(struct buf *buf)
{
	if (!buf)
		return;
	free(buf->data);
	*buf = (struct buf){ .max = buf->max };
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

static int buf_fail(struct buf *buf, int code)
{
	buf->failed = -code;
	return -code;
}

/* Doubles, so that n appends copy O(n) bytes; capacity counts the '\0'. */
static size_t buf_next_capacity(const struct buf *buf, size_t need)
{
	size_t next = buf->capacity ? buf->capacity : BUF_FIRST;

	while (next < need)
		next *= 2;
	return next > buf->max + 1 ? buf->max + 1 : next;
}

int buf_reserve(struct buf *buf, size_t more)
{
	size_t capacity;
	char *data;

	if (buf->failed)
		return buf->failed;
	if (more > buf->max - buf->len)
		return buf_fail(buf, ENOBUFS);
	if (buf->len + more + 1 <= buf->capacity)
		return 0;
	capacity = buf_next_capacity(buf, buf->len + more + 1);
	data = realloc(buf->data, capacity);
	if (!data)
		return buf_fail(buf, ENOMEM);
	buf->data = data;
	buf->capacity = capacity;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_append(struct buf *buf, const void *data, size_t len)
{
	int rc = buf_reserve(buf, len);

	if (rc || !len)
		return rc;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_puts(struct buf *buf, const char *text)
{
	return buf_append(buf, text, strlen(text));
}

int buf_putc(struct buf *buf, char c)
{
	return buf_append(buf, &c, 1);
}

int buf_vprintf(struct buf *buf, const char *fmt, va_list args)
{
	va_list again;
	int len, rc;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		return buf_fail(buf, EINVAL);
	rc = buf_reserve(buf, (size_t)len);
	if (rc)
		return rc;
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
	buf->len += (size_t)len;
	return 0;
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;
	int rc;

	va_start(args, fmt);
	rc = buf_vprintf(buf, fmt, args);
	va_end(args);
	return rc;
}

void buf_consume(struct buf *buf, size_t n)
{
	assert(n <= buf->len);
	if (!n)
		return;
	buf->len -= n;
	memmove(buf->data, buf->data + n, buf->len + 1);
}

const char *buf_text(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

int buf_failed(const struct buf *buf)
{
	return buf->failed;
}
