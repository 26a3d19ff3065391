/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/source.h"

#include "capture/packet/decode.h"
#include "capture/packet/libpcap.h"
#include "capture/packet/pcapng.h"
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
#define FILTER_LINKS_MAX 16 /* link types at once */

/* One file: mapped, plain or of blocks, or a stream of libpcap's. */
struct source {
	const char *path;
	struct classic classic;
	struct pcapng pcapng;
	bool is_pcapng;
	void *map; /* NULL: it is a stream */
	size_t map_size;
	struct pcap_stream *stream;
	struct unpack *unpack;
	struct packet_record record; /* the next one */
	bool has_record;
};

/* An expression, for each link type that a packet had so far. */
struct filters {
	const char *expression; /* NULL: all are taken */
	size_t count;
	struct {
		unsigned link;
		struct pcap_filter *filter;
	} of[FILTER_LINKS_MAX];
};

struct sources {
	struct source source[SOURCES_MAX];
	struct filters filters;
	size_t count;
	const volatile sig_atomic_t *stop;
	struct source *current; /* whose record was given last */
	int64_t until_ns;	/* all others' next records are no earlier */
	size_t cut;
	struct err why;
	bool refused; /* one cannot be read at all, as `why` says */
	uint64_t filtered;
};

/* Packets of a link type that nobody knows are for the ledger, and none are filtered. */
static int filters_add(struct filters *f, unsigned link, struct err *err)
{
	int rc;

	if (!packet_link_is_known(link))
		return 0;
	for (size_t i = 0; i < f->count; i++)
		if (f->of[i].link == link)
			return 0;
	if (f->count == FILTER_LINKS_MAX)
		return err_set(err, E2BIG, "--filter takes at most %d link types at once",
			       FILTER_LINKS_MAX);
	rc = pcap_filter_new(link, f->expression, &f->of[f->count].filter, err);
	if (!rc)
		f->of[f->count++].link = link;
	return rc;
}

/* 1: it is taken; 0: it is not; negative: the expression makes no sense of such packets. */
static int filters_take(struct filters *f, const struct packet_record *record, struct err *err)
{
	int rc;

	if (!f->expression)
		return 1;
	for (size_t i = 0; i < f->count; i++)
		if (f->of[i].link == record->link)
			return pcap_filter_takes(f->of[i].filter, record);
	if (!packet_link_is_known(record->link))
		return 1;
	rc = filters_add(f, record->link, err);
	return rc ? rc : pcap_filter_takes(f->of[f->count - 1].filter, record);
}

static void filters_release(struct filters *f)
{
	for (size_t i = 0; i < f->count; i++)
		pcap_filter_free(f->of[i].filter);
}

static int read_record(struct source *s, struct err *err)
{
	if (s->is_pcapng)
		return pcapng_next(&s->pcapng, &s->record);
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

	if (s->map && (s->is_pcapng ? s->pcapng.cut : s->classic.cut))
		rc = err_set(err, EIO, "'%s' ends within a packet", s->path);
	pcap_stream_free(s->stream);
	s->stream = NULL;
	unpacked = unpack_end(s->unpack, &unpack_err);
	s->unpack = NULL;
	if (unpacked)
		note_cut(all, &unpack_err);
	else if (rc)
		note_cut(all, err);
	all->refused |= rc == -ENOTSUP;
}

/* The next of its records that the filter takes; a filter may take none of many. */
static void advance(struct sources *all, struct source *s)
{
	struct err err; /* all of its text would be cleared for each packet */
	int rc = 0;

	err.text[0] = '\0';
	while (!*all->stop && (rc = read_record(s, &err)) == 1) {
		rc = filters_take(&all->filters, &s->record, &err);
		s->has_record = rc == 1;
		if (rc)
			break;
		all->filtered++;
	}
	if (rc == 1)
		return;
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
	s->is_pcapng = !pcapng_open(&s->pcapng, map, size);
	if (!s->is_pcapng && classic_open(&s->classic, map, size)) {
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

/* Those that are known before its first packet: an expression that is wrong is best told now. */
static int add_links(struct filters *f, const struct source *s, struct err *err)
{
	size_t interfaces = s->pcapng.interfaces_count;
	int rc = 0;

	if (!s->is_pcapng)
		return filters_add(f, s->map ? s->classic.link : pcap_stream_link(s->stream), err);
	for (size_t i = 0; i < interfaces && i < PCAPNG_INTERFACES_MAX && !rc; i++)
		rc = filters_add(f, s->pcapng.interfaces[i].link, err);
	return rc;
}

static int source_open(struct sources *all, struct source *s, const char *path, struct err *err)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO), rc;

	s->path = strcmp(path, "-") ? path : "standard input";
	if (fd < 0)
		return err_errno(err, errno, "cannot read '%s'", path);
	rc = open_file(s, fd, err);
	return rc || !all->filters.expression ? rc : add_links(&all->filters, s, err);
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
	all->filters.expression = filter;
	for (size_t i = 0; i < count && !rc; i++)
		rc = source_open(all, &all->source[all->count++], paths[i], err);
	if (rc) {
		sources_free(all);
		return rc;
	}
	for (size_t i = 0; i < all->count; i++)
		advance(all, &all->source[i]);
	if (all->refused) {
		rc = err_set(err, ENOTSUP, "%s", all->why.text);
		sources_free(all);
		return rc;
	}
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

void sources_dropped(const struct sources *s, uint64_t *ret_dropped, uint64_t *ret_device)
{
	*ret_dropped = *ret_device = 0;
	for (size_t i = 0; i < s->count; i++) {
		*ret_dropped += s->source[i].pcapng.dropped;
		*ret_device += s->source[i].pcapng.dropped_device;
	}
}

void sources_free(struct sources *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++) {
		struct source *s = &all->source[i];

		pcap_stream_free(s->stream); /* closes the pipe, before its writer is waited for */
		unpack_end(s->unpack, NULL);
		if (s->map)
			munmap(s->map, s->map_size);
	}
	filters_release(&all->filters);
	free(all);
}
