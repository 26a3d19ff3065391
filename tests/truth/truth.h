/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_TRUTH_H
#define GAIT_TESTS_TRUTH_H

/* What the workloads of known cost share. They stop at the first thing that goes wrong. */
#include <errno.h>
#include <stdbool.h>
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

/* Both ends included; `200us..3ms` on the command line, one number for a range of one. */
struct range {
	uint64_t lo, hi;
};

/* xorshift64: the same seed gives the same requests. Never 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline uint64_t range_pick(struct range r, uint64_t *state)
{
	return r.lo + (r.hi > r.lo ? random_next(state) % (r.hi - r.lo + 1) : 0);
}

/* An option is --NAME VALUE; the value goes where the row says. */
struct truth_option {
	const char *name;
	uint64_t *number;
	const char **text;
	struct range *range;
	uint32_t *choice; /* index into names, which end with NULL */
	const char *const *names;
};

static const struct {
	const char *name;
	uint64_t factor;
} truth_units[] = {
	{ "", 1 },	     { "ns", 1 },   { "us", 1000 }, { "ms", 1000000 },
	{ "s", 1000000000 }, { "k", 1024 }, { "K", 1024 },  { "M", 1024 * 1024 },
};

/* What follows the number in *ret_end; false when it begins with none. */
static inline bool parse_number(const char *text, uint64_t *ret_value, const char **ret_end)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	size_t len = strcspn(end, ".");

	if (end == text)
		return false;
	for (size_t i = 0; i < sizeof(truth_units) / sizeof(truth_units[0]); i++) {
		if (strlen(truth_units[i].name) != len || strncmp(truth_units[i].name, end, len))
			continue;
		*ret_value = value * truth_units[i].factor;
		*ret_end = end + len;
		return true;
	}
	return false;
}

static inline bool parse_range(const char *text, struct range *ret)
{
	struct range r;

	if (!parse_number(text, &r.lo, &text))
		return false;
	r.hi = r.lo;
	if (!strncmp(text, "..", 2) && !parse_number(text + 2, &r.hi, &text))
		return false;
	*ret = r;
	return !*text && r.hi >= r.lo;
}

static inline bool parse_choice(const char *text, const char *const *names, uint32_t *ret)
{
	for (uint32_t i = 0; names[i]; i++) {
		if (strcmp(names[i], text))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

static inline bool parse_value(const struct truth_option *option, const char *value)
{
	struct range r;

	if (option->text) {
		*option->text = value;
		return true;
	}
	if (option->names)
		return parse_choice(value, option->names, option->choice);
	if (!parse_range(value, &r) || (option->number && r.lo != r.hi))
		return false;
	if (option->number)
		*option->number = r.lo;
	else
		*option->range = r;
	return true;
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
		if (!parse_value(option, *++argv)) {
			fprintf(stderr, "--%s: '%s' is not what it takes\n", option->name, *argv);
			exit(2);
		}
	}
}

#endif
