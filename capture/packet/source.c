/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/source.h"

#include "capture/packet/libpcap.h"
#include "capture/packet/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEEK 8

/* One file: mapped, or a stream of libpcap's. */
struct source {
	const char *path;
	struct classic classic;
	void *map; /* NULL: it is a stream */
	size_t map_size;
	struct pcap_stream *stream;
	struct unpack *unpack;
	struct pcap_filter *filter;
	struct packet_record record; /* the next one */
	bool has_record;
};

struct sources {
	struct source source[SOURCES_MAX];
	size_t count;
	const volatile sig_atomic_t *stop;
	struct source *current; /* whose record was given last */
	int64_t until_ns;	/* all others' next records are no earlier */
	size_t cut;
	struct err why;
	uint64_t filtered;
};

static int read_record(struct source *s, struct err *err)
{
	if (s->map)
		return classic_next(&s->classic, &s->record);
	return s->stream ? pcap_stream_next(s->stream, &s->record, err) : 0;
}

static void note_cut(struct sources *all, const struct err *why)
{
	if (!all->cut++)
		all->why = *why;
}

static void finish(struct sources *all, struct source *s, int rc, struct err *err)
{
	int unpacked;
	struct err unpack_err;

	if (s->map && s->classic.cut)
		rc = err_set(err, EIO, "'%s' ends within a packet", s->path);
	pcap_stream_free(s->stream);
	s->stream = NULL;
	unpacked = unpack_end(s->unpack, &unpack_err);
	s->unpack = NULL;
	if (unpacked)
		note_cut(all, &unpack_err);
	else if (rc)
		note_cut(all, err);
}

/* The next of its records that the filter takes; a filter may take none of many. */
static void advance(struct sources *all, struct source *s)
{
	struct err err = { "" };
	int rc = 0;

	while (!*all->stop && (rc = read_record(s, &err)) == 1) {
		s->has_record = true;
		if (!s->filter || pcap_filter_takes(s->filter, &s->record))
			return;
		all->filtered++;
	}
	s->has_record = false;
	finish(all, s, rc < 0 ? rc : 0, &err);
}

static int open_stream(struct source *s, int fd, struct err *err)
{
	FILE *file = fdopen(fd, "rb");

	if (!file) {
		close(fd);
		return err_errno(err, ENOMEM, "cannot read '%s'", s->path);
	}
	return pcap_stream_open(file, s->path, &s->stream, err);
}

/* True: it is a plain capture, and mapped. */
static bool map_file(struct source *s, int fd, size_t size)
{
	void *map = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;

	if (map == MAP_FAILED)
		return false;
	if (classic_open(&s->classic, map, size)) {
		munmap(map, size);
		return false;
	}
	madvise(map, size, MADV_SEQUENTIAL);
	s->map = map;
	s->map_size = size;
	return true;
}

static int open_file(struct source *s, int fd, struct err *err)
{
	uint8_t head[PEEK] = { 0 };
	enum packing packing;
	struct stat st;
	int stream = -1, rc;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) /* a pipe gives no second look */
		return open_stream(s, fd, err);
	if (map_file(s, fd, (size_t)st.st_size)) {
		close(fd);
		return 0;
	}
	packing = packing_of(head, pread(fd, head, PEEK, 0) > 0 ? PEEK : 0);
	if (packing == PACKING_NONE)
		return open_stream(s, fd, err);
	rc = unpack_start(fd, packing, s->path, &s->unpack, &stream, err);
	return rc ? rc : open_stream(s, stream, err);
}

static int source_open(struct source *s, const char *path, const char *filter, struct err *err)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO), rc;

	s->path = strcmp(path, "-") ? path : "standard input";
	if (fd < 0)
		return err_errno(err, errno, "cannot read '%s'", path);
	rc = open_file(s, fd, err);
	if (!rc && filter)
		rc = pcap_filter_new(s->map ? s->classic.link : pcap_stream_link(s->stream), filter,
				     &s->filter, err);
	return rc;
}

int sources_open(const char *const *paths, size_t count, const char *filter,
		 const volatile sig_atomic_t *stop, struct sources **ret_sources, struct err *err)
{
	struct sources *all;
	int rc = 0;

	if (count > SOURCES_MAX)
		return err_set(err, E2BIG, "%zu files are too many at once: at most %d", count,
			       SOURCES_MAX);
	all = calloc(1, sizeof(*all));
	if (!all)
		return err_errno(err, ENOMEM, "cannot read captures");
	all->stop = stop;
	for (size_t i = 0; i < count && !rc; i++)
		rc = source_open(&all->source[all->count++], paths[i], filter, err);
	if (rc) {
		sources_free(all);
		return rc;
	}
	for (size_t i = 0; i < all->count; i++)
		advance(all, &all->source[i]);
	*ret_sources = all;
	return 0;
}

/* Whose record comes next; it goes on until another's is earlier. */
static void choose(struct sources *all)
{
	all->current = NULL;
	all->until_ns = INT64_MAX;
	for (size_t i = 0; i < all->count; i++) {
		struct source *s = &all->source[i];

		if (!s->has_record)
			continue;
		if (!all->current || s->record.ns < all->current->record.ns) {
			if (all->current)
				all->until_ns = all->current->record.ns;
			all->current = s;
		} else if (s->record.ns < all->until_ns) {
			all->until_ns = s->record.ns;
		}
	}
}

int sources_next(struct sources *all, struct packet_record *ret_record)
{
	if (all->current)
		advance(all, all->current);
	if (!all->current || !all->current->has_record || all->current->record.ns > all->until_ns)
		choose(all);
	if (!all->current)
		return 0;
	*ret_record = all->current->record;
	return 1;
}

size_t sources_cut(const struct sources *s, const char **ret_why)
{
	*ret_why = s->why.text;
	return s->cut;
}

uint64_t sources_filtered(const struct sources *s)
{
	return s->filtered;
}

void sources_free(struct sources *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++) {
		struct source *s = &all->source[i];

		pcap_stream_free(s->stream); /* closes the pipe, before its writer is waited for */
		unpack_end(s->unpack, NULL);
		pcap_filter_free(s->filter);
		if (s->map)
			munmap(s->map, s->map_size);
	}
	free(all);
}
