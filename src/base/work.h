/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_WORK_H
#define GAIT_BASE_WORK_H

#include <stdint.h>

/*
 * CPU demand in a unit that travels: a work unit is one turn of a loop whose time
 * depends on the CPU's speed alone (dependent integer operations: no memory, no
 * branches on data). A trace keeps CPU time as units at the rate of its machine;
 * another machine does as many units in the time they take there.
 */

/* Turns the loop. One to two ns a unit. */
void work_do(uint64_t units);

/*
 * Units that this CPU does in 1 ms, undisturbed: the best of several short runs, which
 * together take about 20 ms. At least 1.
 */
uint64_t work_calibrate(void);

#endif
