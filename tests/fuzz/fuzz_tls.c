/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a TLS connection: no more are the application's than came, what the hellos say is text that
 * ends, and the same in whatever pieces it comes. The input is chunks: direction, length (two bytes), bytes;
 * the seeds are what openssl's s_client and s_server said to each other.
 */
#include "capture/packet/tls.h"

#include <stdlib.h>
#include <string.h>

#define HEAD 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
	if (!held)
		abort();
}

static void check_said(const struct tls_said *said)
{
	size_t len = strnlen(said->alpn, sizeof(said->alpn));

	must(len < sizeof(said->alpn));
	must(!len || (said->alpn[0] != '+' && said->alpn[len - 1] != '+'));
	must(!said->version || said->version >> 8 == 3);
	must(strlen(tls_version_name(said->version)) < 4);
}

/* A record's header may be counted with the last of its bytes. */
struct counts {
	uint64_t came, counted;
};

static void feed(struct tls *t, struct counts *counts, bool reply, const uint8_t *bytes,
		 size_t seen, size_t total)
{
	uint8_t *exact = malloc(seen + !seen);

	memcpy(exact, bytes, seen);
	counts->came += total;
	counts->counted += tls_application_bytes(t, reply, exact, seen, total);
	free(exact);
	must(counts->counted <= counts->came);
}

/* In pieces of at most `most` bytes. */
static void run(struct tls *t, const uint8_t *data, size_t size, size_t most)
{
	struct counts counts[2] = { { 0 } };

	while (size > HEAD) {
		size_t n = (size_t)data[1] << 8 | data[2];
		bool reply = data[0] & 1, cut = data[0] & 2;

		data += HEAD;
		size -= HEAD;
		n = n < size ? n : size;
		for (size_t at = 0; at < n && !cut; at += most)
			feed(t, &counts[reply], reply, data + at, n - at < most ? n - at : most,
			     n - at < most ? n - at : most);
		if (cut) /* the snap length hides the second half */
			feed(t, &counts[reply], reply, data, n / 2, n);
		data += n;
		size -= n;
	}
	tls_hello_end(t->hello);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_hello whole = { .over = false }, pieces = { .over = false };
	struct tls a = { .hello = &whole }, b = { .hello = &pieces };

	run(&a, data, size, SIZE_MAX);
	run(&b, data, size, 1);
	must(!memcmp(&whole.client, &pieces.client, sizeof(whole.client)));
	must(!memcmp(&whole.server, &pieces.server, sizeof(whole.server)));
	must(a.in.records == b.in.records && a.in.bytes == b.in.bytes);
	must(a.out.largest == b.out.largest && a.lost == b.lost);
	check_said(&whole.client);
	check_said(&whole.server);
	return 0;
}
