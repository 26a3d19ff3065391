/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_EXPAND_H
#define GAIT_PROBE_EXPAND_H

#include "bpf/event.h"

#include <stddef.h>

/*
 * Makes whole events of the ring's brief ones: keeps each thread's counters as its last event
 * left them, and moves them on by the times that a brief one tells. Pure.
 */
struct expander;

/* NULL when memory ran out. */
struct expander *expander_new(void);
void expander_free(struct expander *x);

/*
 * The event as an assembler wants it, and its size: itself, or one that x owns until the
 * next call. NULL for a brief one of a thread that no whole event came from, or cut short.
 */
const void *expander_take(struct expander *x, const void *event, size_t size, size_t *ret_size);

#endif
