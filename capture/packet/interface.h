/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PACKET_INTERFACE_H
#define GAIT_CAPTURE_PACKET_INTERFACE_H

#include "base/err.h"
#include "capture/packet/classic.h"

#include <stdbool.h>

/*
 * The packets of a network interface as they pass, by libpcap: the kernel filters them and puts them
 * into a ring, out of which they are read. Loopback shows each packet to a capture twice, as it leaves
 * and as it arrives: the second is taken. Built without libpcap, interface_open() says so.
 */
#define INTERFACE_PORTS_MAX 64
#define INTERFACE_SNAP_MAX 262144 /* the default: whole packets */
#define INTERFACE_BUFFER_DEFAULT (64 << 20)
#define INTERFACE_HOLD_NS \
	50000000LL /* so long the kernel may keep a packet back, to give many at once */

struct interface_opts {
	const char *name;		     /* as "eth0"; "any": all of the host */
	uint16_t ports[INTERFACE_PORTS_MAX]; /* TCP and UDP; nothing else is captured */
	size_t ports_count;
	const char *filter; /* pcap-filter(7), beside the ports; NULL: none */
	int snap_bytes;	    /* of each packet; 0: INTERFACE_SNAP_MAX */
	int buffer_bytes;   /* of the ring; 0: INTERFACE_BUFFER_DEFAULT */
};

struct interface;

/* Once it returns, nothing is missed. -EINVAL: the filter is wrong. */
int interface_open(const struct interface_opts *opts, struct interface **ret_interface,
		   struct err *err);
void interface_close(struct interface *i); /* takes NULL */

/* All that is read goes to that file, too (pcap, ns stamps). `replace`: one that is there. */
int interface_save(struct interface *i, const char *path, bool replace, struct err *err);
int interface_save_end(struct interface *i, struct err *err); /* 0: it is whole, or there is none */

/* Not 0 ends the reading. */
typedef int (*interface_packet_fn)(void *arg, const struct packet_record *record);

/*
 * Waits for packets, at most that long, and hands on those that there are, a bounded number.
 * 0; what fn returned; or -ENETDOWN: the interface went away.
 */
int interface_read(struct interface *i, int timeout_ms, interface_packet_fn fn, void *arg,
		   struct err *err);

/*
 * What passed before that stamp (ns since 1970), since interface_open(), and what passes from the
 * other one on, is read and goes nowhere. A clock that is set back in between hides nothing.
 */
void interface_begin(struct interface *i, int64_t stamp_ns);
void interface_end(struct interface *i, int64_t stamp_ns);

struct interface_losses {
	uint64_t ring_full; /* packets that the filter took, and the ring had no room for */
	uint64_t device;    /* packets that the interface itself dropped, whosesoever they were */
};
void interface_losses(struct interface *i, struct interface_losses *ret_losses);

#endif
