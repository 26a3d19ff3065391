/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_ATTRIBUTION_H
#define GAIT_REPLAY_ATTRIBUTION_H

#include <stdint.h>

/* How the rows of a breakdown come about; a HELLO has these numbers, a manifest these names. */
enum attribution {
	ATTRIBUTION_NONE,
	ATTRIBUTION_BPF,
	ATTRIBUTION_USER, /* by the node itself, without privilege (docs/REPLAY.md) */
	ATTRIBUTION_COUNT,
	ATTRIBUTION_AUTO = ATTRIBUTION_COUNT, /* to be asked for: BPF where it loads, else user */
};

static inline const char *attribution_name(uint32_t attribution)
{
	static const char *const names[ATTRIBUTION_COUNT] = { "none", "ebpf", "user" };

	return attribution < ATTRIBUTION_COUNT ? names[attribution] : "none";
}

/* What can be said of the rows of two nodes together: no more than of the worse one. */
static inline uint32_t attribution_worse(uint32_t a, uint32_t b)
{
	static const uint8_t worth[ATTRIBUTION_COUNT] = {
		[ATTRIBUTION_BPF] = 2,
		[ATTRIBUTION_USER] = 1,
	};

	return worth[a] < worth[b] ? a : b;
}

#endif
