/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/packet/interface.h"

#include "capture/packet/decode.h"
#include "capture/packet/port_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if GAIT_PCAP

#include <linux/if_packet.h>
#include <pcap/pcap.h>

#define NS_A_SECOND 1000000000LL
#define BATCH 4096 /* packets of one read at most: between two looks at the clock */
#define FILTER_TEXT_MAX (64 << 10)

struct interface {
	pcap_t *pcap;
	unsigned link;
	int64_t ns_per_unit; /* of what pcap calls us */
	pcap_dumper_t *save; /* NULL: nothing is saved */
	const char *save_path;
	int64_t begin_ns, end_ns;
	/* of the read that is under way */
	interface_packet_fn fn;
	void *arg;
	int rc;
};

static int no_such_interface(const char *name, struct err *err)
{
	struct if_nameindex *all = if_nameindex();
	struct buf names;

	buf_init(&names, 256);
	for (struct if_nameindex *i = all; i && i->if_name; i++)
		buf_printf(&names, "%s, ", i->if_name);
	if_freenameindex(all);
	err_set(err, ENODEV, "there is no interface '%s'; there are: %sany", name,
		buf_text(&names));
	buf_release(&names);
	return -ENODEV;
}

static int activation_failed(pcap_t *pcap, const char *name, int code, struct err *err)
{
	switch (code) {
	case PCAP_ERROR_NO_SUCH_DEVICE:
		return no_such_interface(name, err);
	case PCAP_ERROR_PERM_DENIED:
		return err_set(
			err, EPERM,
			"cannot capture packets of '%s': not permitted; run as root, or give "
			"CAP_NET_RAW",
			name);
	case PCAP_ERROR_IFACE_NOT_UP:
		return err_set(err, ENETDOWN,
			       "interface '%s' is down; 'ip link set %s up' brings it up", name,
			       name);
	default:
		return err_set(err, EIO, "cannot capture packets of '%s': %s", name,
			       code == PCAP_ERROR ? pcap_geterr(pcap) : pcap_statustostr(code));
	}
}

static int activate(struct interface *i, const struct interface_opts *opts, struct err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	int rc;

	i->pcap = pcap_create(opts->name, why);
	if (!i->pcap)
		return err_set(err, EIO, "cannot capture packets of '%s': %s", opts->name, why);
	pcap_set_snaplen(i->pcap, opts->snap_bytes ? opts->snap_bytes : INTERFACE_SNAP_MAX);
	pcap_set_buffer_size(i->pcap,
			     opts->buffer_bytes ? opts->buffer_bytes : INTERFACE_BUFFER_DEFAULT);
	pcap_set_timeout(i->pcap, INTERFACE_HOLD_NS / 1000000);
	pcap_set_tstamp_precision(i->pcap, PCAP_TSTAMP_PRECISION_NANO); /* where it can */
	rc = pcap_activate(i->pcap);
	if (rc < 0)
		return activation_failed(i->pcap, opts->name, rc, err);
	i->ns_per_unit = pcap_get_tstamp_precision(i->pcap) == PCAP_TSTAMP_PRECISION_NANO ? 1 :
											    1000;
	return 0;
}

/* Of "any", the kind that tells interfaces apart: of use to who reads what is saved. */
static int choose_link(struct interface *i, const char *name, struct err *err)
{
	const char *link;

	if (pcap_datalink(i->pcap) == LINK_SLL)
		pcap_set_datalink(i->pcap, LINK_SLL2);
	i->link = (unsigned)pcap_datalink(i->pcap);
	if (packet_link_is_known(i->link))
		return 0;
	link = pcap_datalink_val_to_name((int)i->link);
	return err_set(err, ENOTSUP,
		       "packets of '%s' are of link type %s (%u), which gait does not know", name,
		       link ? link : "?", i->link);
}

static int compile(struct interface *i, const char *text, const char *said,
		   struct bpf_program *ret_program, struct err *err)
{
	if (!pcap_compile(i->pcap, ret_program, text, 1, PCAP_NETMASK_UNKNOWN))
		return 0;
	return err_set(err, EINVAL, "--filter '%s': %s", said, pcap_geterr(i->pcap));
}

static int set_filter(struct interface *i, const struct interface_opts *opts, struct err *err)
{
	struct bpf_program program;
	struct buf text;
	int rc = 0;

	if (opts->filter) { /* by itself first: it must be whole */
		rc = compile(i, opts->filter, opts->filter, &program, err);
		if (rc)
			return rc;
		pcap_freecode(&program);
	}
	buf_init(&text, FILTER_TEXT_MAX);
	port_filter(opts->ports, opts->ports_count, opts->filter, i->link == LINK_ETHERNET, &text);
	rc = buf_failed(&text) ?
		     err_errno(err, -buf_failed(&text), "cannot filter packets") :
		     compile(i, buf_text(&text), opts->filter ? opts->filter : "", &program, err);
	buf_release(&text);
	if (rc)
		return rc;
	if (pcap_setfilter(i->pcap, &program))
		rc = err_set(err, EIO, "cannot filter packets: %s", pcap_geterr(i->pcap));
	pcap_freecode(&program);
	return rc;
}

/* libpcap drops loopback's first view of a packet when it has been copied: better it never is. */
static void ignore_outgoing_of_loopback(struct interface *i, const char *name)
{
#ifdef PACKET_IGNORE_OUTGOING
	struct ifreq request = { 0 };
	int fd = pcap_fileno(i->pcap), one = 1;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (!ioctl(fd, SIOCGIFFLAGS, &request) && (request.ifr_flags & IFF_LOOPBACK))
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
#endif
}

int interface_open(const struct interface_opts *opts, struct interface **ret_interface,
		   struct err *err)
{
	struct interface *i = calloc(1, sizeof(*i));
	char why[PCAP_ERRBUF_SIZE] = "";
	int rc;

	if (!i)
		return err_errno(err, ENOMEM, "cannot capture packets");
	i->end_ns = INT64_MAX;
	rc = activate(i, opts, err);
	if (!rc)
		rc = choose_link(i, opts->name, err);
	if (!rc)
		rc = set_filter(i, opts, err);
	if (!rc && pcap_setnonblock(i->pcap, 1, why))
		rc = err_set(err, EIO, "cannot capture packets of '%s': %s", opts->name, why);
	if (rc) {
		interface_close(i);
		return rc;
	}
	ignore_outgoing_of_loopback(i, opts->name);
	*ret_interface = i;
	return 0;
}

void interface_close(struct interface *i)
{
	if (!i)
		return;
	if (i->save)
		pcap_dump_close(i->save);
	if (i->pcap)
		pcap_close(i->pcap);
	free(i);
}

/* It has payload, so it is its owner's alone. */
int interface_save(struct interface *i, const char *path, bool replace, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (replace ? O_TRUNC : O_EXCL), 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");

	if (!file)
		return err_errno(err, errno, "cannot save packets in '%s'", path);
	i->save = pcap_dump_fopen(i->pcap, file);
	if (!i->save)
		return err_set(err, EIO, "cannot save packets in '%s': %s", path,
			       pcap_geterr(i->pcap));
	i->save_path = path;
	return 0;
}

int interface_save_end(struct interface *i, struct err *err)
{
	int rc = 0;

	if (!i->save)
		return 0;
	if (pcap_dump_flush(i->save) || ferror(pcap_dump_file(i->save)))
		rc = err_errno(err, errno ? errno : EIO, "cannot save packets in '%s'",
			       i->save_path);
	pcap_dump_close(i->save);
	i->save = NULL;
	return rc;
}

/* Until the first that is not; and nothing was captured a second before: that is a clock set back. */
static bool is_early(struct interface *i, int64_t ns)
{
	if (ns < i->begin_ns && ns > i->begin_ns - NS_A_SECOND)
		return true;
	i->begin_ns = 0;
	return false;
}

static void on_packet(u_char *arg, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct interface *i = (struct interface *)arg;
	const struct packet_record record = {
		.ns = header->ts.tv_sec * NS_A_SECOND + header->ts.tv_usec * i->ns_per_unit,
		.link = i->link,
		.bytes = bytes,
		.seen = header->caplen,
		.wire = header->len > header->caplen ? header->len : header->caplen,
	};

	if (record.ns >= i->end_ns || is_early(i, record.ns))
		return;
	if (i->save)
		pcap_dump((u_char *)i->save, header, bytes);
	i->rc = i->fn(i->arg, &record);
	if (i->rc)
		pcap_breakloop(i->pcap);
}

int interface_read(struct interface *i, int timeout_ms, interface_packet_fn fn, void *arg,
		   struct err *err)
{
	struct pollfd readable = { .fd = pcap_get_selectable_fd(i->pcap), .events = POLLIN };
	int rc;

	if (poll(&readable, 1, timeout_ms) <= 0)
		return 0; /* nothing, or a signal */
	i->fn = fn;
	i->arg = arg;
	i->rc = 0;
	rc = pcap_dispatch(i->pcap, BATCH, on_packet, (u_char *)i);
	if (rc == PCAP_ERROR_BREAK)
		return i->rc;
	return rc < 0 ? err_set(err, ENETDOWN, "%s", pcap_geterr(i->pcap)) : 0;
}

void interface_begin(struct interface *i, int64_t stamp_ns)
{
	i->begin_ns = stamp_ns;
}

void interface_end(struct interface *i, int64_t stamp_ns)
{
	i->end_ns = stamp_ns;
}

void interface_losses(struct interface *i, struct interface_losses *ret_losses)
{
	struct pcap_stat stat = { 0 };

	if (pcap_stats(i->pcap, &stat))
		memset(&stat, 0, sizeof(stat));
	*ret_losses = (struct interface_losses){ stat.ps_drop, stat.ps_ifdrop };
}

#else /* GAIT_PCAP */

int interface_open(const struct interface_opts *opts, struct interface **ret_interface,
		   struct err *err)
{
	return err_set(err, ENOTSUP,
		       "cannot capture packets: this gait was built without libpcap; 'tcpdump -w "
		       "X.pcap' captures, and 'gait import pcap X.pcap' makes a trace of it");
}

void interface_close(struct interface *i)
{
}

int interface_save(struct interface *i, const char *path, bool replace, struct err *err)
{
	return 0;
}

int interface_save_end(struct interface *i, struct err *err)
{
	return 0;
}

int interface_read(struct interface *i, int timeout_ms, interface_packet_fn fn, void *arg,
		   struct err *err)
{
	return 0;
}

void interface_begin(struct interface *i, int64_t stamp_ns)
{
}

void interface_end(struct interface *i, int64_t stamp_ns)
{
}

void interface_losses(struct interface *i, struct interface_losses *ret_losses)
{
	memset(ret_losses, 0, sizeof(*ret_losses));
}

#endif
