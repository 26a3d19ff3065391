/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char digits[] = "0123456789abcdef";

void key_format(const struct key *key, char ret_text[KEY_TEXT_BYTES + 1])
{
	char *at = ret_text;

	memcpy(at, KEY_PREFIX, sizeof(KEY_PREFIX) - 1);
	at += sizeof(KEY_PREFIX) - 1;
	for (size_t i = 0; i < KEY_BYTES; i++) {
		*at++ = digits[key->bytes[i] >> 4];
		*at++ = digits[key->bytes[i] & 15];
	}
	*at++ = '\n';
	*at = '\0';
}

static int digit_value(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

int key_parse(const char *text, struct key *ret_key)
{
	struct key key;

	if (strncmp(text, KEY_PREFIX, sizeof(KEY_PREFIX) - 1))
		return -EINVAL;
	text += sizeof(KEY_PREFIX) - 1;
	for (size_t i = 0; i < KEY_BYTES; i++) {
		int high = digit_value(*text), low = high < 0 ? -1 : digit_value(text[1]);

		if (low < 0)
			return -EINVAL;
		key.bytes[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text == '\n')
		text++;
	if (*text)
		return -EINVAL;
	*ret_key = key;
	key_wipe(&key);
	return 0;
}

int key_create(const char *path, struct err *err)
{
	char text[KEY_TEXT_BYTES + 1];
	struct key key;
	ssize_t n;
	int fd, ret = 0;

	if (getrandom(key.bytes, sizeof(key.bytes), 0) != sizeof(key.bytes))
		return err_errno(err, errno, "cannot make a key");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, EEXIST,
			       "there is a file '%s' already: a key is never replaced, as somebody "
			       "may rely on it",
			       path);
	if (fd < 0)
		return err_errno(err, errno, "cannot create '%s'", path);
	key_format(&key, text);
	n = write(fd, text, KEY_TEXT_BYTES);
	if (n != (ssize_t)KEY_TEXT_BYTES || fsync(fd))
		ret = err_errno(err, n < 0 || n == (ssize_t)KEY_TEXT_BYTES ? errno : ENOSPC,
				"cannot write the key to '%s'", path);
	close(fd);
	if (ret)
		unlink(path);
	explicit_bzero(text, sizeof(text));
	key_wipe(&key);
	return ret;
}

static int read_text(int fd, const char *path, char text[KEY_TEXT_BYTES + 2], struct err *err)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return err_errno(err, errno, "cannot read the key '%s'", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(err, EACCES,
			       "others than its owner can use the key '%s': chmod 600 it, and make "
			       "a new one if somebody may have read it",
			       path);
	n = read(fd, text, KEY_TEXT_BYTES + 1);
	if (n < 0)
		return err_errno(err, errno, "cannot read the key '%s'", path);
	text[n] = '\0';
	return 0;
}

/* A byte at a time: what stands behind the line is for others. */
static int read_input(char text[KEY_TEXT_BYTES + 2], struct err *err)
{
	size_t len = 0;

	while (len <= KEY_TEXT_BYTES && read(STDIN_FILENO, text + len, 1) == 1)
		if (text[len++] == '\n')
			break;
	text[len] = '\0';
	return len ? 0 : err_set(err, ENODATA, "no key came on standard input");
}

int key_read(const char *path, struct key *ret_key, struct err *err)
{
	bool is_input = !strcmp(path, "-");
	int fd = is_input ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char text[KEY_TEXT_BYTES + 2];
	int ret;

	if (fd < 0 && !is_input)
		return err_errno(err, errno, "cannot open the key '%s'", path);
	ret = is_input ? read_input(text, err) : read_text(fd, path, text, err);
	if (fd >= 0)
		close(fd);
	if (!ret && key_parse(text, ret_key))
		ret = err_set(err, EINVAL, "'%s' is no key: gait keys new FILE makes one", path);
	explicit_bzero(text, sizeof(text));
	return ret;
}

void key_wipe(struct key *key)
{
	explicit_bzero(key, sizeof(*key));
}
