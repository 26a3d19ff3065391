/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test is a program: functions of CHECKs, called by RUN, one TAP line a function.
 *
 *	static void test_parse(void)
 *	{
 *		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
 *			check_case("%s", cases[i].text);	(names the row if a check fails)
 *			CHECK_EQ(parse(cases[i].text), cases[i].value);
 *		}
 *	}
 *
 *	int main(void)
 *	{
 *		RUN(test_parse);
 *		return check_done();
 *	}
 *
 * A failing check prints its place and both values, and the test goes on; the CHECKs return
 * whether they held, for `if (!CHECK(p)) return;`.
 */
#ifndef GAIT_TESTS_CHECK_H
#define GAIT_TESTS_CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

/* Integers only, enums and bools too (a double or a pointer does not compile). */
#define CHECK_EQ(a, b) check_eq((a) | 0LL, (b) | 0LL, #a " == " #b, __FILE__, __LINE__)
#define CHECK_STR(a, b) check_str((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_MEM(a, b, n) check_mem((a), (b), (n), #a " == " #b, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, by) check_near((a), (b), (by), #a " ~ " #b, __FILE__, __LINE__)
#define CHECK(cond) check_true(!!(cond), #cond, __FILE__, __LINE__)
#define RUN(fn) check_run(fn, #fn)
#define SKIP(why) (printf("1..0 # SKIP %s\n", why), exit(77))

#define CHECK_FN static __attribute__((unused))

static struct {
	int points, failed_points; /* TAP lines */
	int failed;		   /* checks of the current function */
	char row[160];		   /* from check_case() */
} check_state;

CHECK_FN __attribute__((format(printf, 1, 2))) void check_case(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(check_state.row, sizeof(check_state.row), fmt, args);
	va_end(args);
}

CHECK_FN bool check_true(bool held, const char *text, const char *file, int line)
{
	if (held)
		return true;
	check_state.failed++;
	printf("# %s:%d: %s\n", file, line, text);
	if (check_state.row[0])
		printf("#   case: %s\n", check_state.row);
	return false;
}

CHECK_FN bool check_eq(long long a, long long b, const char *text, const char *file, int line)
{
	if (!check_true(a == b, text, file, line))
		printf("#   got %lld (0x%llx), want %lld (0x%llx)\n", a, (unsigned long long)a, b,
		       (unsigned long long)b);
	return a == b;
}

CHECK_FN bool check_str(const char *a, const char *b, const char *text, const char *file, int line)
{
	bool held = a && b ? !strcmp(a, b) : a == b;

	if (!check_true(held, text, file, line))
		printf("#   got \"%s\", want \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
	return held;
}

CHECK_FN bool check_mem(const void *a, const void *b, size_t n, const char *text, const char *file,
			int line)
{
	const unsigned char *x = a, *y = b;
	size_t at = 0;

	while (at < n && x[at] == y[at])
		at++;
	if (!check_true(at == n, text, file, line))
		printf("#   byte %zu of %zu: got 0x%02x, want 0x%02x\n", at, n, x[at], y[at]);
	return at == n;
}

CHECK_FN bool check_near(double a, double b, double by, const char *text, const char *file,
			 int line)
{
	bool held = fabs(a - b) <= by;

	if (!check_true(held, text, file, line))
		printf("#   got %.17g, want %.17g, at most %g apart\n", a, b, by);
	return held;
}

CHECK_FN void check_point(const char *name)
{
	check_state.points++;
	check_state.failed_points += check_state.failed > 0;
	printf("%sok %d - %s\n", check_state.failed ? "not " : "", check_state.points, name);
	fflush(stdout);
	check_state.failed = 0;
	check_state.row[0] = '\0';
}

CHECK_FN void check_run(void (*fn)(void), const char *name)
{
	fn();
	check_point(name);
}

/* Ends the plan; the value is for main() to return. */
CHECK_FN int check_done(void)
{
	if (check_state.failed || !check_state.points)
		check_point("main");
	printf("1..%d\n", check_state.points);
	return check_state.failed_points ? 1 : 0;
}

#endif
