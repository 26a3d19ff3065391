/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/libpcap.h"

#include "capture/packet/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if GAIT_PCAP

#include <pcap/pcap.h>

#define NS_A_SECOND 1000000000LL
#define SNAP_MAX 262144 /* libpcap's own limit; of no consequence for a filter */

/* A file's number of a link type is libpcap's own, but for packets that begin with IP. */
static int datalink_of(unsigned link)
{
	return link == LINK_RAW ? DLT_RAW : (int)link;
}

struct pcap_stream {
	pcap_t *pcap;
	char *name;
	unsigned link;
};

/* Of what is no capture libpcap says where it stopped. */
static const struct {
	const char *pcap, *ours;
} no_captures[] = {
	{ "unknown file format", "is no capture of packets" },
	{ "only got 0", "has nothing in it" },
};

/* What libpcap does not read of a stream is read of a plain file. */
static int cannot_read(const char *name, const char *why, int code, struct err *err)
{
	for (size_t i = 0; i < sizeof(no_captures) / sizeof(no_captures[0]); i++)
		if (strstr(why, no_captures[i].pcap))
			return err_set(err, code,
				       "'%s' %s: give what 'tcpdump -w FILE' or Wireshark wrote "
				       "(pcap, pcapng; also packed by gzip or zstd)",
				       name, no_captures[i].ours);
	if (strstr(why, "of the first interface"))
		return err_set(err, ENOTSUP,
			       "'%s' has interfaces of different kinds, which can be read from a "
			       "plain file alone, neither packed nor by a pipe: write it to one",
			       name);
	return err_set(err, code, "cannot read '%s': %s", name, why);
}

int pcap_stream_open(FILE *file, const char *name, struct pcap_stream **ret_stream, struct err *err)
{
	struct pcap_stream *s = calloc(1, sizeof(*s));
	char why[PCAP_ERRBUF_SIZE] = "";

	if (!s) {
		fclose(file);
		return err_errno(err, ENOMEM, "cannot read '%s'", name);
	}
	s->pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!s->pcap) {
		fclose(file);
		free(s);
		return cannot_read(name, why, EINVAL, err);
	}
	s->name = strdup(name);
	s->link = (unsigned)pcap_datalink(s->pcap);
	*ret_stream = s;
	return 0;
}

unsigned pcap_stream_link(const struct pcap_stream *s)
{
	return s->link;
}

int pcap_stream_next(struct pcap_stream *s, struct packet_record *ret_record, struct err *err)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int rc = pcap_next_ex(s->pcap, &header, &bytes);

	if (rc == PCAP_ERROR_BREAK)
		return 0;
	if (rc != 1)
		return cannot_read(s->name ? s->name : "", pcap_geterr(s->pcap), EIO, err);
	*ret_record = (struct packet_record){
		/* what it calls us are ns, as asked for */
		.ns = header->ts.tv_sec * NS_A_SECOND + header->ts.tv_usec,
		.link = s->link,
		.bytes = bytes,
		.seen = header->caplen,
		.wire = header->len > header->caplen ? header->len : header->caplen,
	};
	return 1;
}

void pcap_stream_free(struct pcap_stream *s)
{
	if (!s)
		return;
	pcap_close(s->pcap);
	free(s->name);
	free(s);
}

struct pcap_filter {
	struct bpf_program program;
};

int pcap_filter_new(unsigned link, const char *expression, struct pcap_filter **ret_filter,
		    struct err *err)
{
	struct pcap_filter *f = calloc(1, sizeof(*f));
	pcap_t *dead = pcap_open_dead(datalink_of(link), SNAP_MAX);
	int rc = 0;

	if (!f || !dead)
		rc = err_errno(err, ENOMEM, "cannot filter packets");
	else if (pcap_compile(dead, &f->program, expression, 1, PCAP_NETMASK_UNKNOWN))
		rc = err_set(err, EINVAL, "--filter '%s': %s", expression, pcap_geterr(dead));
	if (dead)
		pcap_close(dead);
	if (rc)
		free(f);
	else
		*ret_filter = f;
	return rc;
}

bool pcap_filter_takes(const struct pcap_filter *f, const struct packet_record *record)
{
	const struct pcap_pkthdr header = { .caplen = (bpf_u_int32)record->seen,
					    .len = (bpf_u_int32)record->wire };

	return pcap_offline_filter(&f->program, &header, record->bytes) != 0;
}

void pcap_filter_free(struct pcap_filter *f)
{
	if (!f)
		return;
	pcap_freecode(&f->program);
	free(f);
}

#else /* GAIT_PCAP */

int pcap_stream_open(FILE *file, const char *name, struct pcap_stream **ret_stream, struct err *err)
{
	fclose(file);
	return err_set(err, ENOTSUP,
		       "cannot read '%s': this gait was built without libpcap, and reads plain "
		       "capture files only; 'tcpdump -r FILE -w PLAIN' makes one",
		       name);
}

int pcap_stream_next(struct pcap_stream *s, struct packet_record *ret_record, struct err *err)
{
	return 0;
}

unsigned pcap_stream_link(const struct pcap_stream *s)
{
	return 0;
}

void pcap_stream_free(struct pcap_stream *s)
{
}

int pcap_filter_new(unsigned link, const char *expression, struct pcap_filter **ret_filter,
		    struct err *err)
{
	return err_set(err, ENOTSUP, "--filter needs libpcap, and this gait was built without");
}

bool pcap_filter_takes(const struct pcap_filter *f, const struct packet_record *record)
{
	return true;
}

void pcap_filter_free(struct pcap_filter *f)
{
}

#endif
