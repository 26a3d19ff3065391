/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/buf.h"

#include <errno.h>

static void test_appends(void)
{
	struct buf buf;

	buf_init(&buf, 1000);
	CHECK_STR(buf_text(&buf), "");
	CHECK_EQ(buf_puts(&buf, "one "), 0);
	CHECK_EQ(buf_putc(&buf, '2'), 0);
	CHECK_EQ(buf_printf(&buf, " %s %d", "three", 4), 0);
	CHECK_EQ(buf_append(&buf, "", 0), 0);
	CHECK_STR(buf_text(&buf), "one 2 three 4");
	buf_consume(&buf, 4);
	CHECK_STR(buf_text(&buf), "2 three 4");
	buf_release(&buf);
	buf_release(NULL);
}

static void test_grows_to_its_maximum_and_no_further(void)
{
	struct buf buf;

	buf_init(&buf, 300);
	for (int i = 0; i < 300; i++)
		CHECK_EQ(buf_putc(&buf, 'x'), 0);
	CHECK_EQ(buf.len, 300);
	CHECK_EQ(buf_putc(&buf, 'y'), -ENOBUFS);
	CHECK_EQ(buf.len, 300);
	CHECK_EQ(buf_append(&buf, "", 0), -ENOBUFS); /* failures stick */
	CHECK_EQ(buf_failed(&buf), -ENOBUFS);
	buf_reset(&buf);
	CHECK_EQ(buf_failed(&buf), 0);
	CHECK_EQ(buf_printf(&buf, "%0300d", 7), 0);
	CHECK_EQ(buf_printf(&buf, "%d", 7), -ENOBUFS);
	CHECK_EQ(buf.len, 300);
	buf_release(&buf);
}

int main(void)
{
	RUN(test_appends);
	RUN(test_grows_to_its_maximum_and_no_further);
	return check_done();
}
