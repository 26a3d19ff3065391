/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/err.h"

#include <errno.h>

static void test_sentence_and_code(void)
{
	struct err err = { "" };

	CHECK_EQ(err_set(&err, EINVAL, "no '%s' on line %d", "x", 7), -EINVAL);
	CHECK_STR(err.text, "no 'x' on line 7");
}

static void test_errno_is_appended(void)
{
	struct err err = { "" };

	CHECK_EQ(err_errno(&err, ENOENT, "cannot open '%s'", "a.csv"), -ENOENT);
	CHECK_STR(err.text, "cannot open 'a.csv': No such file or directory");
}

static void test_sentence_is_optional(void)
{
	CHECK_EQ(err_set(NULL, EIO, "%s", "unheard"), -EIO);
	CHECK_EQ(err_errno(NULL, EIO, "%s", "unheard"), -EIO);
}

static void test_long_sentence_is_cut(void)
{
	struct err err = { "" };
	char name[2000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	CHECK_EQ(err_errno(&err, EIO, "cannot read '%s'", name), -EIO);
	CHECK_EQ(strlen(err.text), sizeof(err.text) - 1);
	CHECK_EQ(err_set(&err, EIO, "cannot read '%s'", name), -EIO);
	CHECK_EQ(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
	RUN(test_sentence_and_code);
	RUN(test_errno_is_appended);
	RUN(test_sentence_is_optional);
	RUN(test_long_sentence_is_cut);
	return check_done();
}
