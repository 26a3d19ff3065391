/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often the BPF programs that a process holds run, and for how long, by the kernel's own
 * statistics of them, which cost some 20 ns a run that are not in it.
 *	bench_programs PID COMMAND...		program,runs,ns_per_run a line, over the time of the command
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS_MAX 128

struct program {
	__u32 id;
	char name[BPF_OBJ_NAME_LEN];
	__u64 runs, ns;
};

/* What descriptor `fd` of a process is, by /proc: the id of a program, or 0. */
static __u32 program_of(const char *pid, const char *fd)
{
	char path[512], line[96];
	__u32 id = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "prog_type:", 10)) /* links name programs, too */
			while (!id && fgets(line, sizeof(line), file))
				sscanf(line, "prog_id: %u", &id);
	fclose(file);
	return id;
}

static bool look(struct program *p)
{
	struct bpf_prog_info info = { 0 };
	__u32 bytes = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(p->id);
	bool good = fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &bytes);

	if (good) {
		memcpy(p->name, info.name, sizeof(p->name));
		p->runs = info.run_cnt;
		p->ns = info.run_time_ns;
	}
	if (fd >= 0)
		close(fd);
	return good;
}

static unsigned find(const char *pid, struct program programs[PROGRAMS_MAX])
{
	char path[64];
	unsigned count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	dir = opendir(path);
	while (dir && count < PROGRAMS_MAX && (entry = readdir(dir))) {
		programs[count].id = program_of(pid, entry->d_name);
		count += programs[count].id && look(&programs[count]);
	}
	if (dir)
		closedir(dir);
	return count;
}

static int run(char **command)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid) {
		execvp(*command, command);
		perror(*command);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		       WEXITSTATUS(status) :
		       1;
}

int main(int argc, char **argv)
{
	static struct program programs[PROGRAMS_MAX];
	unsigned count;
	int stats, rc;

	if (argc < 3) {
		fprintf(stderr, "usage: bench_programs PID COMMAND...\n");
		return 2;
	}
	count = find(argv[1], programs);
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (!count || stats < 0) {
		fprintf(stderr, "process %s holds no BPF programs, or they cannot be timed\n",
			argv[1]);
		return 1;
	}
	rc = run(argv + 2);
	for (unsigned i = 0; i < count; i++) {
		const struct program before = programs[i];
		__u64 runs;

		if (look(&programs[i]) && (runs = programs[i].runs - before.runs))
			printf("%s,%llu,%.1f\n", before.name, (unsigned long long)runs,
			       (double)(programs[i].ns - before.ns) / (double)runs);
	}
	close(stats);
	return rc;
}
