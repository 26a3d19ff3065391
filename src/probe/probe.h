/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_PROBE_H
#define GAIT_PROBE_PROBE_H

#include "base/err.h"
#include "bpf/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The only room that touches libbpf: loads the BPF programs, attaches what this
 * kernel offers, holds the maps.
 */
enum probe_mode {
	PROBE_CAPTURE,	/* a foreign process: system calls, events through a ring buffer */
	PROBE_REQUESTS, /* the same, but only bytes that move on TCP connections: no counters */
	PROBE_RUN,	/* our own node or client: counters and stamps in the mapped slots */
};

struct probe_opts {
	enum probe_mode mode;
	size_t ring_bytes; /* power of two; 0: 64 MiB */
	bool counts_sends; /* for probe_sends() */
	uint32_t sample;   /* one connection in so many; 0 and 1: all */
};

#define PROBE_THREADS_MAX 4096
#define PROBE_SOCKETS_MAX 65536

struct probe;

/*
 * Loads and attaches. -EPERM without the privilege, -ENOTSUP without BTF or when
 * a needed program is refused, each with a sentence that says what to do.
 */
int probe_new(const struct probe_opts *opts, struct probe **ret_probe, struct err *err);
void probe_free(struct probe *p);

/* Follows a process, all its threads, and what it forks from now on. -ESRCH when it is gone. */
int probe_follow(struct probe *p, pid_t pid, unsigned service, struct err *err);

/* Follows connections to this local TCP port from their first byte. */
int probe_follow_port(struct probe *p, uint16_t port, struct err *err);

/* UNIX or UDP sockets are to be followed: their bytes are stamped from the next poll on. */
void probe_want_stamps(struct probe *p);

/* Which bytes events on that local port need not hold from now on (enum unwanted). */
void probe_set_unwanted(struct probe *p, uint16_t local_port, unsigned unwanted);

/*
 * Follows the TLS library of a process, if it has one that it has mapped by now; one that has been
 * looked at is not looked at again. Call it again later for libraries that come later.
 * Returns how many libraries were found; -errno with a sentence when a library cannot be
 * followed: its connections are captured as ciphertext.
 */
int probe_follow_tls(struct probe *p, pid_t pid, struct err *err);

/*
 * Waits for up to timeout_ms, or until the ring buffer fills up, and hands over its
 * events. The callback returns 0, or < 0 to stop, which is returned. Else a count.
 */
typedef int (*probe_event_fn)(void *arg, const void *event, size_t size);
int probe_poll(struct probe *p, int timeout_ms, probe_event_fn fn, void *arg);

/*
 * Detaches what costs the service anything, and attaches it again. Threads and connections that
 * come and go are still followed; no time passes for the counters, and calls that were half
 * seen are dropped. Events of before are in the ring until probe_drain().
 */
int probe_pause(struct probe *p, struct err *err);
int probe_resume(struct probe *p, struct err *err);

/* Sends of followed threads on TCP sockets, paused or not. Needs opts.counts_sends. */
uint64_t probe_sends(const struct probe *p);

/* CPU time of the followed processes so far, in ns; of those that ended it is lost. */
uint64_t probe_service_cpu_ns(const struct probe *p);

/*
 * How long the programs have run, for all processes, while it was looked at: that costs some
 * 20 ns a run, so look for a while only. -errno where the kernel has no such statistics (5.8).
 */
int probe_look_at_runs(struct probe *p, bool look);
uint64_t probe_run_ns(const struct probe *p);

/* Detaches all programs: no more events, and the service runs free. Slots stay readable. */
void probe_stop(struct probe *p);

/* Hands over what is in the ring buffer now. */
int probe_drain(struct probe *p, probe_event_fn fn, void *arg);

struct probe_losses {
	uint64_t count[LOSS_COUNT];
	uint64_t unsampled;    /* connections outside the sample: no loss, but no rows */
	uint64_t misses;       /* program runs that the kernel skipped: time is charged wrongly */
	uint64_t stamp_misses; /* those that stamp bytes: each costs one stamp at most */
	char missed[96];       /* the programs of `misses`, and how many of each; "": none */
};
int probe_losses(struct probe *p, struct probe_losses *ret_losses);

/* The mapped slots, read-only, PROBE_THREADS_MAX of them. */
const struct thread_slot *probe_slots(const struct probe *p);
int probe_slots_fd(const struct probe *p);

/*
 * A probe in a process of its own, forked before anything else is done: it holds
 * the programs and maps, and only a read-only descriptor of the slots comes back.
 * The process ends when the guard is freed or its parent dies.
 */
struct probe_guard;

/* Forks, loads in run mode, follows the calling process. Fails like probe_new(). */
int probe_guard_new(struct probe_guard **ret_guard, struct err *err);
void probe_guard_free(struct probe_guard *g);
int probe_guard_follow_port(struct probe_guard *g, uint16_t port, struct err *err);
int probe_guard_losses(struct probe_guard *g, struct probe_losses *ret_losses);
const struct thread_slot *probe_guard_slots(const struct probe_guard *g);

/*
 * A child process is followed as its parent is, so the two can share one probe: programs
 * attached twice run twice on every event. The parent hands down this descriptor (close on
 * exec; the guard's own), and the child adopts it. What an adopted guard is asked is the
 * parent's business: it knows no losses, and ports are followed as the child listens.
 */
int probe_guard_slots_fd(const struct probe_guard *g);
int probe_guard_adopt(int slots_fd, struct probe_guard **ret_guard, struct err *err);

/* The calling thread's own slot, or NULL. Look once a thread: it is a scan. */
const struct thread_slot *probe_own_slot(const struct thread_slot *slots);

/*
 * A consistent reading of the calling thread's own slot: its counters up to
 * *ret_ns, "now" by CLOCK_MONOTONIC; the time since the last event is in TS_USER.
 * Returns what probe_unchanged() knows the reading by.
 */
uint32_t probe_read_own(const struct thread_slot *slot, uint64_t ret_counters[TS_COUNT],
			int64_t *ret_ns);

/*
 * Whether no counter has moved since that reading: all of the time up to *ret_ns, "now", is
 * TS_USER. Much cheaper than to read them all again.
 */
bool probe_unchanged(const struct thread_slot *slot, uint32_t reading, int64_t *ret_ns);

/*
 * When that byte of the calling thread's last receive came which has `bytes` - 1 behind it, at the latest; 0: unknown.
 * Of segments that waited together the newest RX_PIECES_MAX are known apart.
 */
int64_t probe_read_arrival(const struct thread_slot *slot, uint64_t bytes);

/*
 * How long the calling thread was in each state from..until, a time up to now, as its slot's log tells.
 * False: the log does not reach back so far, or there is none.
 */
bool probe_read_between(const struct thread_slot *slot, int64_t from_ns, int64_t until_ns,
			int64_t ret_delta[TS_COUNT]);

/* What was tried, for `gait doctor`. */
struct probe_check {
	const char *name;  /* program or feature */
	const char *hook;  /* "tracepoint", "function"...: what kind of hook it is; NULL: none */
	const char *group; /* the program it is, or stands in for (src/probe/hooks.h); NULL: none */
	const char *what;  /* what it gives */
	const char *needed; /* "capture, replay", "optional" ... */
	int result;	    /* 0 or -errno */
	char text[160];	    /* the kernel's own word, and what to do */
};
#define PROBE_CHECKS_MAX 130

/* Tries every program and feature by loading it; returns how many rows it filled in. */
int probe_doctor(struct probe_check ret_checks[PROBE_CHECKS_MAX]);

#endif
