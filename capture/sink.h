/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_SINK_H
#define GAIT_CAPTURE_SINK_H

#include "trace/schema.h"

/* Where the assembler's rows go: a trace writer, or a test. Returns 0 or -errno. */
struct row_sink {
	int (*write)(void *arg, enum trace_table table, const void *row);
	void *arg;
};

#endif
