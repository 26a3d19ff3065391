/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_REQUESTS_H
#define GAIT_CAPTURE_PACKET_REQUESTS_H

#include "capture/packet/flow.h"
#include "capture/sink.h"
#include "trace/ledger.h"

/*
 * From connections whose bytes come in order to the rows of a trace: requests with their replies,
 * by the framers of capture/frame where the protocol is known, else by turns (docs/CAPTURE.md,
 * docs/PACKETS.md). Pure: rows go out through the sink as soon as they are complete, and memory is
 * bounded by connections that are open and requests that are under way.
 */
#define PACKET_SERVICES_MAX 256
#define PACKET_CLASSES_MAX 1024

struct requests;

/* Times of rows are ns since start_ns, on the packets' clock. NULL: out of memory. */
struct requests *requests_new(int64_t start_ns, const struct row_sink *sink);
void requests_free(struct requests *r); /* takes NULL */

/* Where flows go. */
struct flow_sink requests_flow_sink(struct requests *r);

/* After flows_finish(): the rows of services and classes. 0, -ENOMEM, or what the sink returned. */
int requests_finish(struct requests *r);

/* What went wrong so far, as above; 0: nothing. */
int requests_failed(const struct requests *r);

const struct ledger *requests_ledger(const struct requests *r);

#endif
