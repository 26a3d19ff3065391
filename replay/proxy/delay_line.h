/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_PROXY_DELAY_LINE_H
#define GAIT_REPLAY_PROXY_DELAY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One direction of a stream on its way along a wire: bytes, the end of the stream and
 * a reset, each with the time at which it comes out. They come out in the order in
 * which they went in. Pure: time is a parameter.
 *
 * Memory is bounded: a line charges for each piece what keeping it costs too, and is
 * full when the charge has reached its limit. It has room again at half of it, so
 * that a wire that is always full does not carry crumbs.
 */
#define DELAY_LINE_NEVER INT64_MAX

struct delay_piece;

struct delay_line {
	struct delay_piece *first, *last;
	uint64_t limit, charge;
	bool full;
	int64_t latest_ns;	  /* due time of what went in last */
	int64_t end_ns, reset_ns; /* due; DELAY_LINE_NEVER: it has none */
};

enum delay_line_item {
	DELAY_LINE_NOTHING,
	DELAY_LINE_BYTES,
	DELAY_LINE_END,	  /* the sender has closed its half */
	DELAY_LINE_RESET, /* the connection broke */
};

void delay_line_init(struct delay_line *line, uint64_t limit);
/* Drops all that is in it; it takes and gives nothing any more until it is initialised. */
void delay_line_release(struct delay_line *line);

/* Bytes that may be put now; 0: none until it has drained. */
size_t delay_line_room(const struct delay_line *line);

/* A copy of `len` bytes (at most the room); 0 or -ENOMEM. An earlier time than that of what is in
 * it already is raised to that. */
int delay_line_put(struct delay_line *line, const void *data, size_t len, int64_t due_ns);

/* What is put after these is never given. A reset may still follow an end. */
void delay_line_put_end(struct delay_line *line, int64_t due_ns);
void delay_line_put_reset(struct delay_line *line, int64_t due_ns);

/* When the next item comes out. */
int64_t delay_line_due_ns(const struct delay_line *line);

/* What comes out next, if it is due; bytes are lent until they are taken. */
enum delay_line_item delay_line_next(const struct delay_line *line, int64_t now_ns,
				     const void **ret_data, size_t *ret_len);
void delay_line_take(struct delay_line *line, size_t len);
void delay_line_take_end(struct delay_line *line);

#endif
