/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_TRUTH_H
#define GAIT_TESTS_TRUTH_H

/* What the workloads of known cost share. They stop at the first thing that goes wrong. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

/* A result that must not be negative, handed through. */
static inline long must(long rc, const char *what)
{
	if (rc < 0)
		die(what);
	return rc;
}

static inline void *must_alloc(void *memory)
{
	if (!memory)
		die("memory");
	return memory;
}

static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* An option is --NAME VALUE; the value goes where the row says. */
struct truth_option {
	const char *name;
	uint64_t *number;
	const char **text;
};

static inline void take_option(const struct truth_option *option, const char *value)
{
	char *end;

	if (option->text) {
		*option->text = value;
		return;
	}
	*option->number = strtoull(value, &end, 10);
	if (end == value || *end) {
		fprintf(stderr, "--%s: '%s' is no number\n", option->name, value);
		exit(2);
	}
}

/* `table` ends with a row without a name. Anything unknown ends the program with its usage. */
static inline void take_options(const struct truth_option *table, char **argv, const char *usage)
{
	while (*++argv) {
		const struct truth_option *option = table;

		while (option->name && (strncmp(*argv, "--", 2) || strcmp(*argv + 2, option->name)))
			option++;
		if (!option->name || !argv[1]) {
			fputs(usage, stderr);
			exit(2);
		}
		take_option(option, *++argv);
	}
}

#endif
