/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_BUF_H
#define GAIT_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Bytes that grow up to a maximum, which the caller must name: nothing that
 * comes from outside can make a buffer take all memory.
 *
 * Failures stick: after -ENOMEM or -ENOBUFS (the maximum) nothing more is
 * added and buf_failed() repeats the code, so that a row of appends needs one
 * check at its end. data is always followed by a '\0' that len does not count.
 */
struct buf {
	char *data; /* NULL until the first append; see buf_text() */
	size_t len;
	size_t capacity;
	size_t max; /* of len */
	int failed;
};

void buf_init(struct buf *buf, size_t max);
void buf_release(struct buf *buf);
/* Empty, keeps the memory, forgets a failure. */
void buf_reset(struct buf *buf);

/* Room for `more` bytes behind len; 0, -ENOBUFS or -ENOMEM. */
int buf_reserve(struct buf *buf, size_t more);
int buf_append(struct buf *buf, const void *data, size_t len);
int buf_puts(struct buf *buf, const char *text);
int buf_putc(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *buf, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Drops the first n bytes. */
void buf_consume(struct buf *buf, size_t n);

/* The text, "" when there is none; valid until the next append. */
const char *buf_text(const struct buf *buf);
int buf_failed(const struct buf *buf);

#endif
