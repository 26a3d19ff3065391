/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_ERR_H
#define GAIT_BASE_ERR_H

/*
 * One way to fail: a function returns 0 (or a count) or a negative errno, and
 * writes one sentence for people into the optional struct err. Only src/cli
 * prints it.
 */
struct err {
	char text[512];
};

/* Writes the sentence (err may be NULL) and returns -code; code > 0 is an errno value. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set(), with ": strerror(code)" appended. */
int err_errno(struct err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
