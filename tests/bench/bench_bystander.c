/* SPDX-License-Identifier: Apache-2.0 */
/* What a system call costs a process that nobody captures: ns a getppid(), the least of many slices. */
#include "base/clock.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICES 400
#define CALLS 1000

int main(void)
{
	int64_t least = INT64_MAX;

	for (int slice = 0; slice < SLICES; slice++) {
		int64_t begin = clock_now_ns(), took;

		for (int i = 0; i < CALLS; i++)
			syscall(SYS_getppid);
		took = clock_now_ns() - begin;
		if (took < least)
			least = took;
	}
	printf("%.1f\n", (double)least / CALLS);
	return 0;
}
