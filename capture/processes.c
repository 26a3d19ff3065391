/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_LISTEN 10
#define UDP_UNCONNECTED 7
#define UNIX_LISTENS 0x10000 /* of the flags in /proc/net/unix */
#define INODES_MAX 4096

static size_t index_of(const struct processes *set, pid_t pid)
{
	size_t i = 0;

	while (i < set->count && set->pids[i] != pid)
		i++;
	return i;
}

static bool contains(const struct processes *set, pid_t pid)
{
	return index_of(set, pid) < set->count;
}

int processes_begin_service(struct processes *set, struct err *err)
{
	if (set->services_count == SERVICES_NAMED_MAX)
		return err_set(err, E2BIG, "more than %d services are named", SERVICES_NAMED_MAX);
	set->services_count++;
	return 0;
}

static int add_to(struct processes *set, pid_t pid, uint8_t service, struct err *err)
{
	if (contains(set, pid))
		return 0;
	if (set->count == PROCESSES_MAX)
		return err_set(err, E2BIG, "more than %d processes match; name fewer with --pid",
			       PROCESSES_MAX);
	set->services[set->count] = service;
	set->pids[set->count++] = pid;
	return 0;
}

int processes_add(struct processes *set, pid_t pid, struct err *err)
{
	return add_to(set, pid, set->services_count ? set->services_count - 1 : 0, err);
}

/* Calls fn for each process; stops at the first failure, which is returned. */
static int each_process(int (*fn)(void *arg, pid_t pid, struct err *err), void *arg,
			struct err *err)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int rc = 0;

	if (!proc)
		return err_errno(err, errno, "cannot read /proc");
	while (!rc && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			rc = fn(arg, atoi(entry->d_name), err);
	closedir(proc);
	return rc;
}

void process_name(pid_t pid, char *ret_name, size_t size)
{
	char path[64];
	FILE *f;

	ret_name[0] = 0;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(ret_name, size, f))
		ret_name[strcspn(ret_name, "\n")] = 0;
	fclose(f);
}

struct named {
	struct processes *set;
	const char *comm;
	size_t found;
};

static int add_if_named(void *arg, pid_t pid, struct err *err)
{
	struct named *named = arg;
	char name[32];

	process_name(pid, name, sizeof(name));
	if (strcmp(name, named->comm))
		return 0;
	named->found++;
	return processes_add(named->set, pid, err);
}

int processes_add_named(struct processes *set, const char *comm, struct err *err)
{
	struct named named = { set, comm, 0 };
	int rc = each_process(add_if_named, &named, err);

	if (rc)
		return rc;
	return named.found ? 0 : err_set(err, ESRCH, "there is no process named '%s'", comm);
}

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_DEPTH_MAX 32

static int add_procs(struct processes *set, int dir, size_t *found, struct err *err)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	int pid, rc = 0;

	if (!f)
		return err_errno(err, errno, "cannot read cgroup.procs");
	while (!rc && fscanf(f, "%d", &pid) == 1) {
		*found += pid > 0; /* 0: of a pid namespace that we do not see */
		rc = pid > 0 ? processes_add(set, pid, err) : 0;
	}
	fclose(f);
	return rc;
}

/* Takes dir. */
static int add_group(struct processes *set, int dir, int depth, size_t *found, struct err *err)
{
	int rc = add_procs(set, dir, found, err);
	DIR *entries = fdopendir(dir);
	struct dirent *entry;

	while (!rc && entries && depth < CGROUP_DEPTH_MAX && (entry = readdir(entries))) {
		int below;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below >= 0) /* else it is gone */
			rc = add_group(set, below, depth + 1, found, err);
	}
	if (entries)
		closedir(entries);
	else
		close(dir);
	return rc;
}

int processes_add_cgroup(struct processes *set, const char *path, struct err *err)
{
	char at[4096];
	size_t found = 0;
	int dir, rc;

	snprintf(at, sizeof(at), "%s%s", *path == '/' ? "" : CGROUP_ROOT "/", path);
	dir = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(err, errno, "cannot open the control group '%s'", at);
	rc = add_group(set, dir, 0, &found, err);
	if (rc)
		return rc;
	return found ? 0 : err_set(err, ESRCH, "there is no process in the control group '%s'", at);
}

/* Field 4 of /proc/PID/stat, and field 3; the name before them may hold anything. */
static pid_t parent_of(pid_t pid, char *ret_state)
{
	char path[64], line[512], *behind;
	pid_t parent = 0;
	FILE *f;

	*ret_state = 'X';
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f) && (behind = strrchr(line, ')')))
		if (sscanf(behind + 1, " %c %d", ret_state, &parent) != 2)
			parent = 0;
	fclose(f);
	return parent;
}

static int add_if_child(void *arg, pid_t pid, struct err *err)
{
	struct processes *set = arg;
	char state;
	size_t parent = index_of(set, parent_of(pid, &state));

	return parent < set->count ? add_to(set, pid, set->services[parent], err) : 0;
}

int processes_add_descendants(struct processes *set, struct err *err)
{
	size_t before;
	int rc;

	do {
		before = set->count;
		rc = each_process(add_if_child, set, err);
	} while (!rc && set->count > before);
	return rc;
}

enum listens { LISTENS_TCP = 1, LISTENS_UDP = 2, LISTENS_UNIX = 4 };

/* Inodes of listening sockets and their ports; of UDP all that nobody is connected to. */
struct listeners {
	struct {
		uint64_t inode;
		uint16_t port;
		uint16_t by; /* enum listens */
	} rows[INODES_MAX];
	size_t count;
};

static void listeners_add(struct listeners *l, uint64_t inode, uint16_t port, enum listens by)
{
	l->rows[l->count].inode = inode;
	l->rows[l->count].by = by;
	l->rows[l->count++].port = port;
}

static void read_listeners(const char *path, enum listens by, struct listeners *ret)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f) && ret->count < INODES_MAX) {
		unsigned port, state;
		unsigned long inode;

		if (sscanf(line,
			   " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu",
			   &port, &state, &inode) != 3 ||
		    state != (by == LISTENS_TCP ? TCP_LISTEN : UDP_UNCONNECTED))
			continue;
		listeners_add(ret, inode, port, by);
	}
	if (f)
		fclose(f);
}

static void read_unix_listeners(const char *path, struct listeners *ret)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f) && ret->count < INODES_MAX) {
		unsigned flags;
		unsigned long inode;

		if (sscanf(line, "%*[^:]: %*x %*x %x %*x %*x %lu", &flags, &inode) == 2 &&
		    flags & UNIX_LISTENS)
			listeners_add(ret, inode, 0, LISTENS_UNIX);
	}
	if (f)
		fclose(f);
}

/* As the process sees them: it may live in a network namespace of its own. */
static void listeners_of(pid_t pid, struct listeners *ret)
{
	static const struct {
		const char *name;
		enum listens by;
	} tables[] = { { "tcp", LISTENS_TCP },
		       { "tcp6", LISTENS_TCP },
		       { "udp", LISTENS_UDP },
		       { "udp6", LISTENS_UDP } };
	char path[64];

	ret->count = 0;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, tables[i].name);
		read_listeners(path, tables[i].by, ret);
	}
	snprintf(path, sizeof(path), "/proc/%d/net/unix", (int)pid);
	read_unix_listeners(path, ret);
}

static void ports_add(struct ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->count; i++)
		if (ports->ports[i] == port)
			return;
	if (ports->count < PORTS_MAX)
		ports->ports[ports->count++] = port;
}

static void ports_add_inode(struct ports *ports, const struct listeners *l, uint64_t inode,
			    unsigned wanted)
{
	size_t i = 0;

	while (i < l->count && l->rows[i].inode != inode)
		i++;
	if (i == l->count)
		return;
	ports->others |= l->rows[i].by != LISTENS_TCP;
	if (l->rows[i].by & wanted)
		ports_add(ports, l->rows[i].port);
}

/* The ports that descriptors of the process stand for, of those that are wanted. */
static void ports_of(pid_t pid, const struct listeners *l, unsigned wanted, struct ports *ret)
{
	char path[64], link[64];
	struct dirent *entry;
	unsigned long inode;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	while (fds && (entry = readdir(fds))) {
		ssize_t len = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

		if (len <= 0)
			continue;
		link[len] = 0;
		if (sscanf(link, "socket:[%lu]", &inode) == 1)
			ports_add_inode(ret, l, inode, wanted);
	}
	if (fds)
		closedir(fds);
}

struct listening {
	struct processes *set;
	struct listeners *listeners;
	uint16_t port;
	unsigned by; /* enum listens */
	size_t found;
};

static int add_if_listening(void *arg, pid_t pid, struct err *err)
{
	struct listening *l = arg;
	struct ports ports = { .count = 0 };

	ports_of(pid, l->listeners, l->by, &ports);
	for (size_t i = 0; i < ports.count; i++) {
		if (ports.ports[i] != l->port)
			continue;
		l->found++;
		return processes_add(l->set, pid, err);
	}
	return 0;
}

static bool anyone_listens(const struct listeners *l, uint16_t port)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->rows[i].port == port)
			return true;
	return false;
}

/* The descriptors of other users' processes are hidden: then the port has no process. */
static int not_listening(const struct listeners *l, uint16_t port, struct err *err)
{
	if (anyone_listens(l, port) && geteuid())
		return err_set(err, EPERM,
			       "not permitted to see which process listens on port %u; run gait "
			       "as root",
			       port);
	return err_set(err, ESRCH, "no process listens on port %u", port);
}

int processes_add_listening(struct processes *set, uint16_t port, struct err *err)
{
	struct listening l = { set, malloc(sizeof(*l.listeners)), port, LISTENS_TCP, 0 };
	int rc;

	if (!l.listeners)
		return err_errno(err, ENOMEM, "cannot look for port %u", port);
	listeners_of(getpid(), l.listeners);
	rc = each_process(add_if_listening, &l, err);
	l.by = LISTENS_UDP;
	if (!rc && !l.found)
		rc = each_process(add_if_listening, &l, err);
	if (!rc && !l.found)
		rc = not_listening(l.listeners, port, err);
	free(l.listeners);
	return rc;
}

void processes_ports(const struct processes *set, struct ports *ret_ports)
{
	struct listeners *l = malloc(sizeof(*l));

	*ret_ports = (struct ports){ .count = 0 };
	for (size_t i = 0; l && i < set->count; i++) {
		listeners_of(set->pids[i], l);
		ports_of(set->pids[i], l, LISTENS_TCP, ret_ports);
	}
	free(l);
}

size_t processes_alive(const struct processes *set)
{
	size_t alive = 0;
	char state;

	for (size_t i = 0; i < set->count; i++) {
		parent_of(set->pids[i], &state);
		alive += state != 'X' && state != 'Z';
	}
	return alive;
}
