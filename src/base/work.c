/* SPDX-License-Identifier: Apache-2.0 */
#include "base/work.h"

#include "base/clock.h"

#define RUNS 24
#define RUN_NS (800 * NS_PER_US) /* short: most runs meet no interrupt of the host */
#define PROBE_UNITS 20000

void work_do(uint64_t units)
{
	uint64_t x = units;

	for (; units; units--) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		x ^= x >> 29;
		__asm__ volatile("" : "+r"(x)); /* the compiler must neither fold nor drop it */
	}
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
