/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_FRAMER_H
#define GAIT_CAPTURE_FRAMER_H

#include <stddef.h>
#include <stdint.h>

/*
 * What the first bytes of a request say about it: its protocol and its verb (a
 * command or method, never an argument). Bytes are looked at in memory and not kept.
 */
#define FRAMER_VERB_MAX 24

struct framing {
	const char *protocol; /* static; "" when not recognised */
	char verb[FRAMER_VERB_MAX];
};

void framer_look(const uint8_t *bytes, size_t len, struct framing *ret_framing);

#endif
