/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_GROUND_H
#define GAIT_PROBE_GROUND_H

#include "base/err.h"

/* Whether there is any ground for probes: type information, and process numbers that are the kernel's. -ENOTSUP. */
int ground_check(struct err *err);

/* libbpf says why only through its printer: from now on the last warning of this thread is kept, */
void ground_listen(void);

/* which is this; "": there was none since. Valid up to the next one. */
const char *ground_word(void);

#endif
