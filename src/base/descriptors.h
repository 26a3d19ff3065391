/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_DESCRIPTORS_H
#define GAIT_BASE_DESCRIPTORS_H

#include <stdint.h>

/* Lets this process have as many open files as it may (the hard limit); how many that are. */
uint64_t descriptors_raise(void);

#endif
