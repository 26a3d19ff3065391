/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NET_LISTENING_H
#define GAIT_REPLAY_NET_LISTENING_H

#include <stdint.h>

/*
 * What `gait node` says on its standard output once it takes clients, a line for each listener:
 * "listening on 127.0.0.1:34567".
 */
#define LISTENING "listening on "

/*
 * The port of the first such line. 0: the output ended before it, or said nothing for silence_ms.
 * What is behind that line stays unread.
 */
uint16_t listening_port(int output_fd, int silence_ms);

#endif
