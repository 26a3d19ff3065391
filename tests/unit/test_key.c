/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/net/key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/gait-test-key-XXXXXX";
static char path[64];

static void test_text_is_read_back(void)
{
	struct key key, back = { { 0 } };
	char text[KEY_TEXT_BYTES + 1];

	for (size_t i = 0; i < KEY_BYTES; i++)
		key.bytes[i] = (uint8_t)(i * 37 + 200);
	key_format(&key, text);
	CHECK_EQ(strlen(text), KEY_TEXT_BYTES);
	CHECK_EQ(key_parse(text, &back), 0);
	CHECK_MEM(&key, &back, sizeof(key));
}

static void test_the_form_stays(void)
{
	struct key key;
	char text[KEY_TEXT_BYTES + 1];

	memset(&key, 0x5a, sizeof(key));
	key_format(&key, text);
	CHECK(!strcmp(text, "gait-key-1 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
			    "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\n"));
}

static void test_anything_else_is_no_key(void)
{
	struct key key, back;
	char text[KEY_TEXT_BYTES + 1], copy[KEY_TEXT_BYTES + 2];

	memset(&key, 0x5a, sizeof(key));
	memset(&back, 1, sizeof(back));
	key_format(&key, text);
	for (size_t i = 0; i < KEY_TEXT_BYTES - 1; i++) { /* every shorter text */
		snprintf(copy, sizeof(copy), "%.*s", (int)i, text);
		CHECK_EQ(key_parse(copy, &back), -EINVAL);
	}
	for (size_t i = 0; i < KEY_TEXT_BYTES - 1; i++) { /* every character changed */
		memcpy(copy, text, sizeof(text));
		copy[i] = 'G';
		CHECK_EQ(key_parse(copy, &back), -EINVAL);
	}
	snprintf(copy, sizeof(copy), "%s\n", text);
	CHECK_EQ(key_parse(copy, &back), -EINVAL);
	CHECK_EQ(back.bytes[0], 1); /* untouched */
	text[KEY_TEXT_BYTES - 1] = '\0';
	CHECK_EQ(key_parse(text, &back), 0);
}

static void test_a_file_is_new_and_its_owner_s_alone(void)
{
	struct key first, again;
	struct stat st;
	struct err err;

	umask(0);
	CHECK_EQ(key_create(path, &err), 0);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
	CHECK_EQ(key_read(path, &first, &err), 0);
	CHECK_EQ(key_create(path, &err), -EEXIST);
	CHECK_EQ(key_read(path, &again, &err), 0);
	CHECK_MEM(&first, &again, sizeof(first));
	unlink(path);
	CHECK_EQ(key_create(path, &err), 0);
	CHECK_EQ(key_read(path, &again, &err), 0);
	CHECK(memcmp(&first, &again, sizeof(first)));
	unlink(path);
}

static void test_what_others_can_read_is_refused(void)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0601 };
	struct key key;
	struct err err;

	CHECK_EQ(key_create(path, &err), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		chmod(path, modes[i]);
		CHECK_EQ(key_read(path, &key, &err), -EACCES);
		CHECK(strstr(err.text, "chmod 600"));
	}
	chmod(path, 0400);
	CHECK_EQ(key_read(path, &key, &err), 0);
	unlink(path);
	CHECK_EQ(key_read(path, &key, &err), -ENOENT);
	CHECK_EQ(key_read("/dev/null", &key, &err), -EACCES);
	CHECK_EQ(key_create("/nowhere/key", &err), -ENOENT);
	CHECK_EQ(key_create("/dev/full", &err), -EEXIST);
}

int main(void)
{
	if (!CHECK(mkdtemp(dir) != NULL))
		return check_done();
	snprintf(path, sizeof(path), "%s/key", dir);
	RUN(test_text_is_read_back);
	RUN(test_the_form_stays);
	RUN(test_anything_else_is_no_key);
	RUN(test_a_file_is_new_and_its_owner_s_alone);
	RUN(test_what_others_can_read_is_refused);
	rmdir(dir);
	return check_done();
}
