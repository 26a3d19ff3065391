/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "replay/client/rows.h"
#include "replay/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 100000 /* of which every 7th was not sent */

struct seen {
	uint32_t sent, unsent;
};

static int look(void *arg, const struct client_fact *fact, struct err *err)
{
	struct seen *seen = arg;

	if (fact->order) {
		CHECK_EQ(fact->order, seen->sent + 1);
		CHECK_EQ(seen->unsent, 0);
		CHECK_EQ(fact->received_ns, fact->order + 1000);
	}
	CHECK(fact->order || fact->request % 7 == 0);
	seen->sent += fact->order != 0;
	seen->unsent += !fact->order;
	return 0;
}

/* Replies overtake each other within 3000 or so, over batches too: what is read is in order. */
static void add_all(struct client_rows *rows)
{
	for (uint32_t i = 0, order = 0; i < COUNT; i++) {
		uint32_t swapped = i % 7 ? ++order : 0;

		if (swapped && swapped <= 84000) /* a whole number of blocks of 3000, backwards */
			swapped = (swapped - 1) / 3000 * 3000 + 3000 - (swapped - 1) % 3000;
		*client_rows_next(rows) = (struct client_fact){ .request = i,
								.order = swapped,
								.intended_ns = 1,
								.sent_ns = 1 + i % 100,
								.received_ns = swapped + 1000 };
	}
}

static void test_order(void)
{
	struct seen seen = { 0 };
	struct client_rows *rows;
	struct err err;

	if (!CHECK_EQ(client_rows_new("/tmp", &rows, &err), 0) ||
	    !CHECK_EQ(client_rows_start(rows, &err), 0))
		return;
	add_all(rows);
	CHECK_EQ(client_rows_finish(rows, &err), 0);
	CHECK_NEAR(client_rows_late_p99(rows), 98, 1);
	CHECK_EQ(client_rows_late_p99(rows), 0);
	CHECK_EQ(client_rows_each(&(struct client_rows_set){ { rows }, 1 }, look, &seen, &err), 0);
	CHECK_EQ(seen.unsent, (COUNT + 6) / 7);
	CHECK_EQ(seen.sent, COUNT - seen.unsent);
	client_rows_free(rows);
}

static int refuse(void *arg, const struct client_fact *fact, struct err *err)
{
	return --*(int *)arg ? 0 : err_set(err, ENOSPC, "enough");
}

static void test_end_early(void)
{
	struct client_rows *rows;
	struct err err;
	int left = 5;

	if (!CHECK_EQ(client_rows_new("/tmp", &rows, &err), 0) ||
	    !CHECK_EQ(client_rows_start(rows, &err), 0))
		return;
	add_all(rows);
	CHECK_EQ(client_rows_finish(rows, &err), 0);
	CHECK_EQ(client_rows_each(&(struct client_rows_set){ { rows }, 1 }, refuse, &left, &err),
		 -ENOSPC);
	CHECK_EQ(left, 0);
	client_rows_free(rows);
	client_rows_free(NULL);
}

static void test_no_folder(void)
{
	struct client_rows *rows;
	struct err err;

	CHECK_EQ(client_rows_new("/nowhere", &rows, &err), -ENOENT);
	CHECK_STR(err.text, "cannot keep rows in '/nowhere': No such file or directory");
}

static bool is_all(const char *data, char c, size_t bytes)
{
	return data[0] == c && !memcmp(data, data + 1, bytes - 1);
}

static void test_alloc(void)
{
	const char *const directories[] = { "/tmp", NULL };
	struct err err;
	char *data;

	CHECK(!scratch_alloc("/nowhere", 100000, &err));
	CHECK_STR(err.text, "cannot keep rows in '/nowhere': No such file or directory");
	for (size_t i = 0; i < 2; i++) {
		data = scratch_alloc(directories[i], 100000, &err);
		if (!CHECK(data != NULL))
			continue;
		CHECK(is_all(data, 0, 100000));
		memset(data, 'x', 100000);
		scratch_forget(data);
		scratch_trim(data, 50000);
		scratch_forget(data);
		CHECK(is_all(data, 'x', 50000));
		scratch_free(data);
	}
	scratch_free(NULL);
	scratch_forget(NULL);
}

/* No file can be as large: it is said before anything is written. */
static void test_no_room(void)
{
	struct err err = { "" };

	CHECK(!scratch_alloc("/tmp", SIZE_MAX / 4, &err));
	CHECK(strstr(err.text, " of the plan in '/tmp': ") != NULL);
}

static void test_map(void)
{
	struct err err;
	int fd = scratch_open("/tmp", &err);
	char *data;

	if (!CHECK(fd >= 0) || !CHECK_EQ(scratch_put(fd, "rows", 4, SCRATCH_HEAD), 0))
		return;
	data = scratch_map(fd, 4, &err);
	close(fd);
	if (!CHECK(data != NULL))
		return;
	scratch_forget(data);
	CHECK(!memcmp(data, "rows", 4));
	scratch_free(data);
}

int main(void)
{
	RUN(test_order);
	RUN(test_end_early);
	RUN(test_no_folder);
	RUN(test_alloc);
	RUN(test_no_room);
	RUN(test_map);
	return check_done();
}
