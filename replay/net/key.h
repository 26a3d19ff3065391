/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_KEY_H
#define GAIT_REPLAY_NET_KEY_H

#include "base/err.h"

#include <stdint.h>

/*
 * The key that a node and its clients share: 32 random bytes. Its file is one line of text, the
 * name of the format and 64 hexadecimal digits, so that it can be copied by hand, and is readable
 * by its owner alone.
 */
#define KEY_BYTES 32
#define KEY_PREFIX "gait-key-1 "
#define KEY_TEXT_BYTES (sizeof(KEY_PREFIX) - 1 + 2 * KEY_BYTES + 1) /* with its newline */

struct key {
	uint8_t bytes[KEY_BYTES];
};

/* Pure. The newline, and it alone, may be missing; -EINVAL else. */
void key_format(const struct key *key, char ret_text[KEY_TEXT_BYTES + 1]);
int key_parse(const char *text, struct key *ret_key);

/* Makes a key and writes it to a new file: one that exists is never replaced. */
int key_create(const char *path, struct err *err);

/*
 * "-": a line of standard input, of which no more is taken. -EACCES when others than the owner can read or write the file: a key that they know is
 * none.
 */
int key_read(const char *path, struct key *ret_key, struct err *err);

/* From memory that is not needed any more. */
void key_wipe(struct key *key);

#endif
