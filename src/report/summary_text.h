/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPORT_SUMMARY_TEXT_H
#define GAIT_REPORT_SUMMARY_TEXT_H

#include "base/buf.h"
#include "report/summary.h"

/* What went wrong comes first, then what it is, then the numbers. */
void summary_put_text(const struct summary *s, const struct manifest *m, struct buf *out);

/* The last known price of the probes; nothing when it was not measured. */
void summary_put_price(const struct manifest *m, struct buf *out);

/* Its name, with its number where others have it or it has none; into `name`, which is returned. */
#define SUMMARY_NAME_SIZE 64
char *summary_service_name(const struct summary *s, const struct summary_service *service,
			   char name[SUMMARY_NAME_SIZE]);

/* Parts of it, for `gait report`. */
void summary_put_ledger(const struct summary *s, const struct manifest *m, struct buf *out);
void summary_put_breakdown(const struct summary *s, const struct summary_service *service,
			   struct buf *out);

#endif
