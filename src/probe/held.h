/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_HELD_H
#define GAIT_PROBE_HELD_H

#include <stdint.h>

struct btf;

/*
 * The bit of struct bio's bi_flags that says that an I/O limit has had the request (include/linux/
 * blk_types.h: BIO_BPS_THROTTLED, before 5.18 BIO_THROTTLED). Its number differs between kernels, and the
 * enumeration that has it is without a name, so that no program can ask for it: it is looked up in the
 * kernel's types. 0: this kernel knows no limits.
 */
uint32_t held_flag(const struct btf *btf);

#endif
