/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if GAIT_ZLIB
#include <zlib.h>
#endif
#if GAIT_ZSTD
#include <zstd.h>
#endif

#define PIPE_BYTES (1 << 20)
#define BLOCK (256 << 10)

struct unpack {
	pthread_t thread;
	int from, to;
	enum packing packing;
	char name[256];
	char why[160]; /* "": all was unpacked, as far as somebody read it */
	uint8_t block[BLOCK];
};

enum packing packing_of(const uint8_t *bytes, size_t size)
{
	static const uint8_t zstd[4] = { 0x28, 0xb5, 0x2f, 0xfd };

	if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
		return PACKING_GZIP;
	return size >= 4 && !memcmp(bytes, zstd, 4) ? PACKING_ZSTD : PACKING_NONE;
}

#if GAIT_ZLIB || GAIT_ZSTD
/* False: nobody reads any more. */
static int put(struct unpack *u, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t wrote = write(u->to, bytes, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return 0;
		bytes += wrote;
		n -= (size_t)wrote;
	}
	return 1;
}
#endif

#if GAIT_ZLIB
static void unpack_gzip(struct unpack *u)
{
	gzFile file = gzdopen(dup(u->from), "rb");
	int n, error = 0;

	if (!file) {
		snprintf(u->why, sizeof(u->why), "not enough memory");
		return;
	}
	gzbuffer(file, BLOCK);
	while ((n = gzread(file, u->block, BLOCK)) > 0 && put(u, u->block, (size_t)n))
		;
	if (n <= 0)
		gzerror(file, &error);
	if (error == Z_BUF_ERROR)
		snprintf(u->why, sizeof(u->why), "it ends too early");
	else if (error != Z_OK && error != Z_STREAM_END)
		snprintf(u->why, sizeof(u->why), "%s", zError(error));
	gzclose_r(file);
}
#endif

#if GAIT_ZSTD
/* One block in, and all that comes of it out. What zstd says, or 0 when nobody reads any more. */
static size_t unpack_block(struct unpack *u, ZSTD_DStream *stream, uint8_t *out, size_t size,
			   int *ret_read)
{
	ZSTD_inBuffer in = { u->block, size, 0 };
	size_t rc = 0;

	*ret_read = 1;
	while (in.pos < in.size && *ret_read) {
		ZSTD_outBuffer to = { out, BLOCK, 0 };

		rc = ZSTD_decompressStream(stream, &to, &in);
		if (ZSTD_isError(rc))
			return rc;
		*ret_read = put(u, out, to.pos);
	}
	return rc;
}

static void unpack_zstd(struct unpack *u)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	uint8_t *out = malloc(BLOCK);
	size_t rc = 0;
	ssize_t n = 0;
	int reads = 1;

	if (!stream || !out)
		snprintf(u->why, sizeof(u->why), "not enough memory");
	else
		while (reads && (n = read(u->from, u->block, BLOCK)) > 0) {
			rc = unpack_block(u, stream, out, (size_t)n, &reads);
			if (ZSTD_isError(rc))
				break;
		}
	if (ZSTD_isError(rc))
		snprintf(u->why, sizeof(u->why), "%s", ZSTD_getErrorName(rc));
	else if (n < 0)
		snprintf(u->why, sizeof(u->why), "%s", strerror(errno));
	else if (reads && rc)
		snprintf(u->why, sizeof(u->why), "it ends too early");
	ZSTD_freeDStream(stream);
	free(out);
}
#endif

static const struct {
	const char *name;
	void (*run)(struct unpack *u); /* NULL: built without */
} packings[] = {
	[PACKING_NONE] = { "", NULL },
#if GAIT_ZLIB
	[PACKING_GZIP] = { "gzip", unpack_gzip },
#else
	[PACKING_GZIP] = { "gzip", NULL },
#endif
#if GAIT_ZSTD
	[PACKING_ZSTD] = { "zstd", unpack_zstd },
#else
	[PACKING_ZSTD] = { "zstd", NULL },
#endif
};

static void *unpack_main(void *arg)
{
	struct unpack *u = arg;
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE); /* a reader that has had enough is no accident */
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	packings[u->packing].run(u);
	close(u->to);
	return NULL;
}

int unpack_start(int fd, enum packing packing, const char *name, struct unpack **ret_unpack,
		 int *ret_pipe, struct err *err)
{
	struct unpack *u = calloc(1, sizeof(*u));
	int ends[2], rc;

	if (!packings[packing].run || !u || pipe2(ends, O_CLOEXEC)) {
		rc = !packings[packing].run ?
			     err_set(err, ENOTSUP,
				     "'%s' is packed by %s, which this gait was built without: "
				     "unpack it first",
				     name, packings[packing].name) :
			     err_errno(err, u ? errno : ENOMEM, "cannot unpack '%s'", name);
		close(fd);
		free(u);
		return rc;
	}
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	u->from = fd;
	u->to = ends[1];
	u->packing = packing;
	snprintf(u->name, sizeof(u->name), "%s", name);
	rc = pthread_create(&u->thread, NULL, unpack_main, u);
	if (rc) {
		close(fd);
		close(ends[0]);
		close(ends[1]);
		free(u);
		return err_errno(err, rc, "cannot unpack '%s'", name);
	}
	*ret_unpack = u;
	*ret_pipe = ends[0];
	return 0;
}

int unpack_end(struct unpack *u, struct err *err)
{
	int rc = 0;

	if (!u)
		return 0;
	pthread_join(u->thread, NULL);
	if (u->why[0])
		rc = err_set(err, EIO, "cannot unpack all of '%s': %s", u->name, u->why);
	close(u->from);
	free(u);
	return rc;
}
