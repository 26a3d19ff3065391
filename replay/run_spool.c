/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/run_spool.h"

#include "replay/scratch.h"

#include <errno.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)

void run_spool_init(struct run_spool *s, const char *run, size_t size)
{
	*s = (struct run_spool){ run, size, NULL };
}

void run_spool_release(struct run_spool *s)
{
	if (s->file)
		fclose(s->file);
	s->file = NULL;
}

int run_spool_failed(const char *run, struct err *err)
{
	return err_errno(err, errno ? errno : EIO,
			 "cannot keep the nodes' rows in '%s'; what was written so far is kept",
			 run);
}

static int open_file(struct run_spool *s, struct err *err)
{
	int fd = scratch_open(s->run, err);

	if (fd < 0)
		return fd;
	s->file = fdopen(fd, "w+");
	if (!s->file) {
		close(fd);
		return err_errno(err, ENOMEM, "cannot keep rows");
	}
	setvbuf(s->file, NULL, _IOFBF, BUFFER_BYTES);
	return 0;
}

int run_spool_put(struct run_spool *s, const void *item, struct err *err)
{
	int rc = s->file ? 0 : open_file(s, err);

	if (rc)
		return rc;
	errno = 0;
	return fwrite(item, s->size, 1, s->file) == 1 ? 0 : run_spool_failed(s->run, err);
}

int run_spool_rewind(struct run_spool *s, struct err *err)
{
	errno = 0;
	return s->file && fseek(s->file, 0, SEEK_SET) ? run_spool_failed(s->run, err) : 0;
}

int run_spool_next(struct run_spool *s, void *ret_item)
{
	return s->file && fread(ret_item, s->size, 1, s->file) == 1;
}
