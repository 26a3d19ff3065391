/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is, as /proc and /sys tell it. What they do not tell stays empty. */
#include "trace/manifest.h"

#include "base/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The beginning of a small file, without its last newline; "" when it cannot be read. */
static void read_text(const char *path, char *ret_text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret_text, size - 1);

	if (fd >= 0)
		close(fd);
	ret_text[n > 0 ? n : 0] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
}

/* The value of "key : value" in a file of such lines; "" when there is none. */
static void read_value(const char *path, const char *key, char *ret_value, size_t size)
{
	FILE *file = fopen(path, "re");
	char line[512];

	ret_value[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		char *value = line + strlen(key);

		if (strncmp(line, key, strlen(key)) || !strchr("\t :", *value))
			continue;
		value += strspn(value, "\t :");
		value[strcspn(value, "\n")] = '\0';
		snprintf(ret_value, size, "%s", value);
		break;
	}
	if (file)
		fclose(file);
}

static void read_kernel(struct manifest_host *host)
{
	struct utsname name;

	if (uname(&name))
		return;
	snprintf(host->name, sizeof(host->name), "%.*s", (int)sizeof(host->name) - 1,
		 name.nodename);
	snprintf(host->kernel, sizeof(host->kernel), "%.60s %.30s", name.release, name.machine);
}

/* arm64 has no model name: the part number must do */
static void read_cpu(struct manifest_host *host)
{
	static const char *const keys[] = { "model name", "Model", "CPU part" };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !host->cpu_model[0]; i++)
		read_value("/proc/cpuinfo", keys[i], host->cpu_model, sizeof(host->cpu_model));
	host->cpus = cpus > 0 ? (uint64_t)cpus : 0;
}

static void read_memory(struct manifest_host *host)
{
	char text[64];

	read_value("/proc/meminfo", "MemTotal", text, sizeof(text)); /* "50331648 kB" */
	host->memory_bytes = strtoull(text, NULL, 10) * 1024;
}

/*
 * One vulnerability as "name=word": "Mitigation: PTE Inversion; VMX: ..." is
 * "PTE Inversion". Not affected ones are left out, they cost nothing.
 */
static void add_mitigation(struct manifest_host *host, const char *name)
{
	char path[512], text[256];
	const char *what = text;
	size_t used = strlen(host->mitigations);

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s", name);
	read_text(path, text, sizeof(text));
	if (!text[0] || !strncmp(text, "Not affected", 12))
		return;
	if (!strncmp(text, "Mitigation: ", 12))
		what += 12;
	snprintf(host->mitigations + used, sizeof(host->mitigations) - used, "%s%s=%.*s",
		 used ? "; " : "", name, (int)strcspn(what, ";"), what);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names: two hosts with equal mitigations have equal texts. */
static void read_mitigations(struct manifest_host *host)
{
	DIR *dir = opendir("/sys/devices/system/cpu/vulnerabilities");
	struct dirent *entry;
	char *names[64];
	size_t count = 0;

	while (dir && count < 64 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && (names[count] = strdup(entry->d_name)))
			count++;
	}
	if (dir)
		closedir(dir);
	qsort(names, count, sizeof(names[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		add_mitigation(host, names[i]);
		free(names[i]);
	}
}

/* Whether a list like "cpu,cpuacct" has the name. */
static bool lists(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = names; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, len) && (at[len] == ',' || !at[len]))
			return true;
	}
	return false;
}

/*
 * The path of our group from /proc/self/cgroup, whose lines are "ID:CONTROLLERS:PATH": of the
 * line that lists `controller` (v1), or of the unified hierarchy, which lists "" (v2).
 */
static bool own_cgroup(const char *controller, char *ret_path, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[512];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		found = lists(names + 1, controller);
		if (found)
			snprintf(ret_path, size, "%s", path);
	}
	if (file)
		fclose(file);
	return found;
}

/* Cuts the last part of a path off: "/a/b" to "/a" to "". False when nothing is left. */
static bool parent_group(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

/* v2: cpu.max is "max PERIOD" or "QUOTA PERIOD"; the nearest limited ancestor counts. */
static void read_quota_v2(char *group, struct manifest_host *host)
{
	char path[768], text[64];

	do {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", group);
		read_text(path, text, sizeof(text));
		if (isdigit((unsigned char)text[0])) {
			snprintf(host->cgroup_cpu_quota, sizeof(host->cgroup_cpu_quota), "%.31s",
				 text);
			return;
		}
	} while (parent_group(group));
}

/* v1: cpu.cfs_quota_us is -1 without a limit */
static void read_quota_v1(char *group, struct manifest_host *host)
{
	char path[768], quota[32], period[32];

	do {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
		read_text(path, quota, sizeof(quota));
		snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
		read_text(path, period, sizeof(period));
		if (isdigit((unsigned char)quota[0])) {
			snprintf(host->cgroup_cpu_quota, sizeof(host->cgroup_cpu_quota),
				 "%.15s %.15s", quota, period);
			return;
		}
	} while (parent_group(group));
}

static void read_cpu_quota(struct manifest_host *host)
{
	char group[512];
	bool v1 = own_cgroup("cpu", group, sizeof(group));

	if (!v1 && !own_cgroup("", group, sizeof(group)))
		return;
	strcpy(host->cgroup_cpu_quota, "max");
	if (v1)
		read_quota_v1(group, host);
	else
		read_quota_v2(group, host);
}

void manifest_host_here(struct manifest_host *host)
{
	memset(host, 0, sizeof(*host));
	read_kernel(host);
	read_cpu(host);
	read_memory(host);
	read_text("/proc/sys/kernel/random/boot_id", host->boot_id, sizeof(host->boot_id));
	read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource",
		  host->clock_source, sizeof(host->clock_source));
	read_mitigations(host);
	read_cpu_quota(host);
	host->realtime_offset_start_ns = clock_realtime_offset_ns();
	host->realtime_offset_end_ns = host->realtime_offset_start_ns;
}
