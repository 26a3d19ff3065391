/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_CAPTURE_PROCESSES_H
#define GAIT_CAPTURE_PROCESSES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Which processes are meant, found in /proc, and which of them make one service: those
 * that one option names, with their descendants.
 */
#define PROCESSES_MAX 1024
#define SERVICES_NAMED_MAX 64
#define PORTS_MAX 64

struct processes {
	pid_t pids[PROCESSES_MAX];
	uint8_t services[PROCESSES_MAX]; /* index of each one's service */
	size_t count;
	size_t services_count;
};

struct ports {
	uint16_t ports[PORTS_MAX];
	size_t count;
	bool others; /* UDP sockets, or UNIX sockets that listen, are there too */
};

/* What is added from now on is another service. -E2BIG beyond SERVICES_NAMED_MAX. */
int processes_begin_service(struct processes *set, struct err *err);

/* Adds a pid that is not there yet. -E2BIG beyond PROCESSES_MAX. */
int processes_add(struct processes *set, pid_t pid, struct err *err);

/* Adds all processes of that name (/proc/PID/comm). -ESRCH when there is none. */
int processes_add_named(struct processes *set, const char *comm, struct err *err);

/*
 * Adds the processes that listen on a TCP port, or if there are none, those that have a UDP socket
 * there that nobody is connected to. -ESRCH: there is none; -EPERM: it is hidden.
 */
int processes_add_listening(struct processes *set, uint16_t port, struct err *err);

/*
 * Adds the processes of a control group and of those below it: a folder with cgroup.procs,
 * below /sys/fs/cgroup unless the path is absolute. -ESRCH when they hold none.
 */
int processes_add_cgroup(struct processes *set, const char *path, struct err *err);

/* Adds the children, grandchildren, ... of those that are in the set. */
int processes_add_descendants(struct processes *set, struct err *err);

/* The TCP ports on which processes of the set listen. */
void processes_ports(const struct processes *set, struct ports *ret_ports);

/* How many of them still run (zombies do not). */
size_t processes_alive(const struct processes *set);

/* /proc/PID/comm, or "" */
void process_name(pid_t pid, char *ret_name, size_t size);

#endif
