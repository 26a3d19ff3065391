/* SPDX-License-Identifier: Apache-2.0 */
#include "base/work.h"

#include "base/clock.h"

#define RUNS 24
#define RUN_NS (800 * NS_PER_US) /* short: most runs meet no interrupt of the host */
#define PROBE_UNITS 20000

/*
 * In machine instructions, because a unit must be the same in every build: what a
 * debug build captures, a release build replays. A multiplication feeds the next.
 */
void work_do(uint64_t units)
{
	uint64_t x = units, factor = 6364136223846793005u;

	if (!units)
		return;
#if defined(__x86_64__)
	__asm__ volatile(".p2align 4\n"
			 "1:	imulq %2, %0\n"
			 "	addq $1442695041, %0\n"
			 "	decq %1\n"
			 "	jnz 1b"
			 : "+r"(x), "+r"(units)
			 : "r"(factor)
			 : "cc");
#elif defined(__aarch64__)
	__asm__ volatile(".p2align 4\n"
			 "1:	madd %0, %0, %2, %2\n"
			 "	subs %1, %1, #1\n"
			 "	b.ne 1b"
			 : "+r"(x), "+r"(units)
			 : "r"(factor)
			 : "cc");
#else
	for (; units; units--) {
		x = x * factor + 1442695040888963407u;
		__asm__ volatile("" : "+r"(x)); /* the compiler must neither fold nor drop it */
	}
#endif
}

static uint64_t units_per_ms(uint64_t units)
{
	int64_t start = clock_now_ns();
	int64_t ns;

	work_do(units);
	ns = clock_now_ns() - start;
	return ns > 0 ? units * NS_PER_MS / (uint64_t)ns : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t work_calibrate(void)
{
	uint64_t best = 1;

	for (int i = 0; i < RUNS; i++)
		best = larger(best, units_per_ms(PROBE_UNITS));
	for (int i = 0; i < RUNS; i++)
		best = larger(best, units_per_ms(best * RUN_NS / NS_PER_MS + 1));
	return best;
}
