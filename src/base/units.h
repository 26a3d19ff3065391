/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_UNITS_H
#define GAIT_BASE_UNITS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Numbers as people write them. Every unit_parse_*() takes the whole text (no
 * blanks, no sign), writes the result only on success and otherwise returns
 * -EINVAL or -ERANGE with a sentence. Fractions are exact or refused: "1.5ms"
 * is 1500000, "0.5ns" is an error.
 *
 *   duration   250ns 1us 2ms 5s 3m 1h; without a unit: seconds
 *   bytes      512 4k 4K 4KiB 4kB 1m 1M 1MiB 2g 2G; k is 1024 here, as with dd and fio
 *   rate       500 10k 10k/s 1M/s; k is 1000 here; per second
 *   factor     2 0.5 1.25x; in thousandths
 *   requests   500requests, 10k requests; k is 1000 here
 *   u64        decimal digits
 */
int unit_parse_duration(const char *text, uint64_t *ret_ns, struct err *err);
int unit_parse_bytes(const char *text, uint64_t *ret_bytes, struct err *err);
int unit_parse_rate(const char *text, uint64_t *ret_per_second, struct err *err);
int unit_parse_factor(const char *text, uint64_t *ret_milli, struct err *err);
int unit_parse_requests(const char *text, uint64_t *ret_requests, struct err *err);
int unit_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value,
		   struct err *err);

#define UNIT_HOST_SIZE 256

/* HOST:PORT, [IPV6]:PORT; ":80" has an empty host. The port is 0..65535. */
int unit_parse_endpoint(const char *text, char ret_host[UNIT_HOST_SIZE], uint16_t *ret_port,
			struct err *err);

/*
 * For people: into `text` (UNIT_TEXT_SIZE is enough for any value), which is
 * returned. Three or four significant digits: "1.23 ms", "4 KiB", "10.5 k/s".
 */
#define UNIT_TEXT_SIZE 32
char *unit_format_ns(char *text, size_t size, int64_t ns);
char *unit_format_bytes(char *text, size_t size, uint64_t bytes);
char *unit_format_rate(char *text, size_t size, double per_second);
char *unit_format_count(char *text, size_t size, uint64_t count);	       /* "1,234,567" */
char *unit_format_percent(char *text, size_t size, double part, double whole); /* "12.3%" */

#endif
