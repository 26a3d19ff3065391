/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what comes on a walk's connection, cut in two: as a node takes them, and as a client
 * does. Where they are cut changes nothing, and what a node answers is what a client understands.
 */
#define take client_take /* both files have one */
#include "replay/walk/link.c"
#undef take

#include "replay/node/walk.c"

#include <assert.h>

#define REQUESTS 64
#define NO_SOCKET (1 << 20) /* looks open; beyond all that are */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct walk_program program;
static struct service service = { .walk = &program };
static struct worker worker = { .service = &service };

/* Whether it was still good in the end; how many replies there are. */
static bool node_takes(const uint8_t *data, size_t size, size_t cut, size_t *ret_replies)
{
	struct walk_conn *wc = (struct walk_conn *)walk_conn_new(&worker, 1);
	static char out[65536];
	bool good;

	wc->conn.source.fd = NO_SOCKET;
	wc->conn.channel = CHANNEL_NONE;
	take_all(&worker, wc, (const char *)data, cut);
	if (wc->conn.source.fd >= 0)
		take_all(&worker, wc, (const char *)data + cut, size - cut);
	good = wc->conn.source.fd >= 0;
	*ret_replies = good ? wc->replies.count : 0;
	while (wc->replies.count) {
		size_t bytes = replies_compose(&wc->replies, out, sizeof(out));
		struct wire_message reply;

		assert(bytes &&
		       (wc->replies.sent_of_first || wire_message_decode((uint8_t *)out, &reply)));
		replies_sent(&wc->replies, bytes);
	}
	wc->conn.source.fd = -1;
	doom(&worker.walk, wc);
	walk_sweep(&worker);
	return good;
}

/* Whether it was still good in the end; how many were answered. */
static bool client_takes(const uint8_t *data, size_t size, size_t cut, size_t *ret_answered)
{
	struct walk_request ring[REQUESTS] = { 0 };
	struct walk_plan plan = { .schedule.threads = 1 };
	struct walk_tally tally = { 0 };
	struct walk_link l = { .plan = &plan,
			       .tally = &tally,
			       .ring = ring,
			       .ring_size = REQUESTS,
			       .next = REQUESTS,
			       .end = REQUESTS };
	bool good = client_take(&l, (const char *)data, cut, true, 1) >= 0 &&
		    client_take(&l, (const char *)data + cut, size - cut, true, 1) >= 0;

	*ret_answered = 0;
	for (size_t i = 0; i < REQUESTS; i++)
		*ret_answered += ring[i].settled;
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "-R\n4096\n";
	static const struct wire_walk walk = { .text_bytes = sizeof(text) - 1 };
	size_t cut = size ? data[size - 1] % size : 0, whole, parts;

	if (!program.ops_max)
		assert(!walk_program_init(&program, &walk, text, 1, NULL));
	assert(node_takes(data, size, size, &whole) == node_takes(data, size, cut, &parts));
	assert(whole == parts);
	assert(client_takes(data, size, size, &whole) == client_takes(data, size, cut, &parts));
	assert(whole == parts);
	return 0;
}
