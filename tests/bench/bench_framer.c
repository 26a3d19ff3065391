/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What framing costs: a pipeline of requests and the replies to them, over and over, and memchr()
 * for LF over the same bytes, which a parser of lines could not beat.
 *
 * CSV on stdout: what, megabytes a second, ns a message, messages, times memchr.
 */
#include "base/clock.h"
#include "capture/frame/framer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 16 /* messages in a chunk */
#define ROUNDS 100000
#define TRIES 5

static const struct {
	const char *what, *request, *reply;
} rows[] = {
	{ "resp GET", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n",
	  "$32\r\n0123456789abcdef0123456789abcdef\r\n" },
	{ "http GET",
	  "GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench/1.0\r\n"
	  "Accept: */*\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
	  "Content-Type: text/html\r\nContent-Length: 32\r\nConnection: keep-alive\r\n\r\n"
	  "0123456789abcdef0123456789abcdef" },
	{ "memcached get", "get key:000000000042\r\n",
	  "VALUE key:000000000042 0 32\r\n0123456789abcdef0123456789abcdef\r\nEND\r\n" },
};

struct chunk {
	uint8_t bytes[DEPTH * 512];
	size_t len;
};

static void fill(struct chunk *c, const char *text)
{
	size_t len = strlen(text);

	for (c->len = 0; c->len < DEPTH * len; c->len += len)
		memcpy(c->bytes + c->len, text, len);
}

static void count(void *arg, const struct framer_mark *mark)
{
	++*(uint64_t *)arg;
}

static int64_t frame(const struct chunk *in, const struct chunk *out, uint64_t *ret_marks)
{
	int64_t start = clock_now_ns();
	struct framer f = { 0 };

	*ret_marks = 0;
	for (int i = 0; i < ROUNDS; i++) {
		if (framer_feed(&f, FRAMER_IN, in->bytes, in->len, in->len, count, ret_marks) ||
		    framer_feed(&f, FRAMER_OUT, out->bytes, out->len, out->len, count, ret_marks))
			abort();
	}
	return clock_now_ns() - start;
}

static int64_t search(const struct chunk *in, const struct chunk *out)
{
	const struct chunk *const chunks[] = { in, out };
	int64_t start = clock_now_ns();
	volatile uint64_t lines = 0;

	for (int i = 0; i < 2 * ROUNDS; i++) {
		const struct chunk *c = chunks[i & 1];
		const uint8_t *at = c->bytes, *end = at + c->len;

		while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
			at++;
			lines++;
		}
	}
	return clock_now_ns() - start;
}

static void run(size_t row)
{
	static struct chunk in, out;
	int64_t best = INT64_MAX, least = INT64_MAX;
	uint64_t marks = 0;

	fill(&in, rows[row].request);
	fill(&out, rows[row].reply);
	for (int i = 0; i < TRIES; i++) {
		int64_t ns = frame(&in, &out, &marks), reference = search(&in, &out);

		best = ns < best ? ns : best;
		least = reference < least ? reference : least;
	}
	if (marks != 4ULL * DEPTH * ROUNDS)
		abort();
	printf("%s,%.0f,%.1f,%llu,%.2f\n", rows[row].what,
	       (double)(in.len + out.len) * ROUNDS * 1e3 / (double)best,
	       (double)best / ((double)marks / 2), (unsigned long long)marks / 2,
	       (double)best / (double)least);
}

int main(void)
{
	puts("what,megabytes_per_second,ns_per_message,messages,times_memchr");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run(i);
	return 0;
}
