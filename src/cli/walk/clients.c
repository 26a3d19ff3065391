/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/walk/clients.h"

#include "base/clock.h"
#include "base/json.h"
#include "cli/cmd.h"
#include "cli/scenario/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEAD_NS (50 * NS_PER_MS) /* until those who are told to begin have heard it */
#define TEXT_MAX (16u << 20)	 /* of what one prints */

/* One of them, as the parent sees it. Descriptors are -1 when closed. */
struct client {
	pid_t pid;
	int ready;    /* reads a byte when it could begin; ends with it */
	int start;    /* takes the time at which it begins */
	int out, err; /* files of what it prints */
	bool is_ready;
};

/* In a client's process. */
static struct {
	int ready, start;
	struct walk_progress *progress; /* shared with the parent */
} self;

/* --- in a client --------------------------------------------------------------------------- */

static int64_t wait_to_begin(void *arg)
{
	int64_t at;

	if (write(self.ready, "", 1) != 1 || read(self.start, &at, sizeof(at)) != sizeof(at))
		return -1;
	return at;
}

static void share_progress(void *arg, const struct walk_progress *progress)
{
	*self.progress = *progress;
}

void walk_clients_join(struct walk_opts *opts)
{
	opts->begin = wait_to_begin;
	opts->progress = share_progress;
}

/* --- in the parent ------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Signals of the terminal are the parent's, which passes them on. */
static void become(const struct walk_clients *clients, size_t index, struct client *all)
{
	int status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	dup2(all[index].out, STDOUT_FILENO);
	dup2(all[index].err, STDERR_FILENO);
	for (size_t i = 0; i < index; i++) {
		close_fd(&all[i].ready);
		close_fd(&all[i].start);
	}
	status = clients->run(clients->arg, index);
	fflush(NULL);
	_exit(status);
}

static int start(const struct walk_clients *clients, size_t index, struct client *all,
		 struct walk_progress *progress)
{
	struct client *c = &all[index];
	int ready[2] = { -1, -1 }, begin[2] = { -1, -1 };

	c->out = memfd_create("gait-walk-out", MFD_CLOEXEC);
	c->err = memfd_create("gait-walk-err", MFD_CLOEXEC);
	if (c->out < 0 || c->err < 0 || pipe2(ready, O_CLOEXEC) || pipe2(begin, O_CLOEXEC) ||
	    (c->pid = fork()) < 0) {
		cmd_complain("cannot start client '%s': %s", clients->name(clients->arg, index),
			     strerror(errno));
		close_fd(&ready[0]);
		close_fd(&ready[1]);
		return -1;
	}
	if (!c->pid) {
		close(ready[0]);
		close(begin[1]);
		self.ready = ready[1];
		self.start = begin[0];
		self.progress = &progress[index];
		become(clients, index, all);
	}
	close(ready[1]);
	close(begin[0]);
	c->ready = ready[0];
	c->start = begin[1];
	return 0;
}

static void pass_signals_on(const struct walk_clients *clients, const struct client *all, int *told)
{
	for (; *told < *clients->interrupted; ++*told)
		for (size_t i = 0; i < clients->count; i++)
			if (all[i].pid > 0 && all[i].ready >= 0)
				kill(all[i].pid, SIGINT);
}

static void tell_progress(const struct walk_clients *clients, const struct walk_progress *each)
{
	struct walk_progress sum = { 0 };

	for (size_t i = 0; i < clients->count; i++) {
		sum.requests += each[i].requests;
		sum.sent += each[i].sent;
		sum.answered += each[i].answered;
		sum.failed += each[i].failed;
		if (each[i].elapsed_ns > sum.elapsed_ns)
			sum.elapsed_ns = each[i].elapsed_ns;
	}
	if (clients->progress && sum.elapsed_ns)
		clients->progress(clients->progress_arg, &sum);
}

/* A byte of one, or its end. How many are still there. */
static size_t hear(const struct walk_clients *clients, struct client *all, int timeout_ms)
{
	struct pollfd fds[SCENARIO_CLIENTS_MAX];
	size_t left = 0;

	for (size_t i = 0; i < clients->count; i++)
		fds[i] = (struct pollfd){ all[i].ready, POLLIN, 0 };
	poll(fds, clients->count, timeout_ms);
	for (size_t i = 0; i < clients->count; i++) {
		char byte;

		if (all[i].ready >= 0 && fds[i].revents) {
			if (read(all[i].ready, &byte, 1) == 1)
				all[i].is_ready = true;
			else
				close_fd(&all[i].ready);
		}
		left += all[i].ready >= 0;
	}
	return left;
}

static bool all_ready(const struct walk_clients *clients, const struct client *all)
{
	for (size_t i = 0; i < clients->count; i++)
		if (!all[i].is_ready || all[i].ready < 0)
			return false;
	return true;
}

/* One that ended before it was ready will never be. */
static bool one_failed(const struct walk_clients *clients, const struct client *all)
{
	for (size_t i = 0; i < clients->count; i++)
		if (all[i].ready < 0)
			return true;
	return false;
}

static void begin(const struct walk_clients *clients, struct client *all)
{
	int64_t at = clock_now_ns() + LEAD_NS;

	for (size_t i = 0; i < clients->count; i++)
		if (write(all[i].start, &at, sizeof(at)) != sizeof(at))
			close_fd(&all[i].start);
}

static void watch(const struct walk_clients *clients, struct client *all,
		  const struct walk_progress *progress)
{
	int64_t told_ns = clock_now_ns();
	int told = 0;
	size_t left;

	do {
		left = hear(clients, all, 200);
		pass_signals_on(clients, all, &told);
	} while (left && !all_ready(clients, all) && !one_failed(clients, all));
	if (all_ready(clients, all))
		begin(clients, all);
	for (size_t i = 0; i < clients->count; i++)
		close_fd(&all[i].start); /* who waits for it still hears that it will not come */
	while (left) {
		left = hear(clients, all, 200);
		pass_signals_on(clients, all, &told);
		if (clock_now_ns() - told_ns >= NS_PER_SEC) {
			told_ns += NS_PER_SEC;
			tell_progress(clients, progress);
		}
	}
}

/* --- what they said ------------------------------------------------------------------------ */

static char *text_of(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, size < 0 || size > TEXT_MAX ? 1 : (size_t)size + 1);

	if (text && size > 0 && size <= TEXT_MAX && pread(fd, text, (size_t)size, 0) != size)
		*text = '\0';
	return text;
}

static void print_text(const char *name, int fd, FILE *to)
{
	char *text = text_of(fd);

	if (text && *text)
		fprintf(to, "%s:\n%s", name, text);
	free(text);
}

/* {"clients": {NAME: what it printed, ...}}; one that printed nothing failed, and said so. */
static int print_json(const struct walk_clients *clients, const struct client *all)
{
	struct json *json = json_new_object(), *named = json_new_object(), *one;
	struct err err;

	for (size_t i = 0; i < clients->count; i++) {
		const char *name = clients->name(clients->arg, i);
		char *text = text_of(all[i].out);

		if (text && *text && !json_from_text(text, strlen(text), name, &one, &err))
			json_put(named, name, one);
		free(text);
	}
	json_put(json, "clients", named);
	return cmd_print_json(json, &err) ? cmd_failed(&err) : EXIT_FINE;
}

static int print_all(const struct walk_clients *clients, const struct client *all)
{
	for (size_t i = 0; i < clients->count; i++) {
		const char *name = clients->name(clients->arg, i);

		if (!clients->json)
			print_text(name, all[i].out, stdout);
		print_text(name, all[i].err, stderr);
	}
	return clients->json ? print_json(clients, all) : EXIT_FINE;
}

/* --- all of it ----------------------------------------------------------------------------- */

static int worst(int a, int b)
{
	if (a == EXIT_FAILED || b == EXIT_FAILED)
		return EXIT_FAILED;
	return a > b ? a : b;
}

static int reap(const struct walk_clients *clients, struct client *all)
{
	int code = EXIT_FINE, status;

	for (size_t i = 0; i < clients->count; i++) {
		if (all[i].pid <= 0)
			continue;
		while (waitpid(all[i].pid, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFSIGNALED(status))
			cmd_complain("client '%s' was killed by signal %d",
				     clients->name(clients->arg, i), WTERMSIG(status));
		code = worst(code, WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED);
	}
	return code;
}

int walk_clients_run(const struct walk_clients *clients)
{
	size_t progress_bytes = clients->count * sizeof(struct walk_progress);
	struct walk_progress *progress = mmap(NULL, progress_bytes, PROT_READ | PROT_WRITE,
					      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct client all[SCENARIO_CLIENTS_MAX];
	size_t started = 0;
	int code;

	if (progress == MAP_FAILED) {
		cmd_complain("not enough memory");
		return EXIT_FAILED;
	}
	signal(SIGPIPE, SIG_IGN);
	fflush(NULL);
	for (size_t i = 0; i < clients->count; i++)
		all[i] = (struct client){ -1, -1, -1, -1, -1, false };
	while (started < clients->count && !start(clients, started, all, progress))
		started++;
	watch(clients, all, progress);
	code = worst(reap(clients, all), started < clients->count ? EXIT_FAILED : EXIT_FINE);
	code = worst(code, print_all(clients, all));
	for (size_t i = 0; i < clients->count; i++) {
		close_fd(&all[i].out);
		close_fd(&all[i].err);
	}
	munmap(progress, progress_bytes);
	return code;
}
