/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/remote.h"

#include "base/clock.h"
#include "replay/net/key.h"
#include "replay/net/listening.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 60000 /* somebody may have to type a password, and nodes calibrate */
#define STOP_NS (5 * NS_PER_SEC)
#define WORDS_MAX 32
#define COMMAND_BYTES 4096

struct remote {
	char host[256]; /* as it was given */
	pid_t pid;	/* of ssh */
	int input, output;
	struct address address;
};

struct remotes {
	struct remote nodes[REMOTE_NODES_MAX];
	size_t count;
	int key_fd;
	char key_path[32];
	char key_text[KEY_TEXT_BYTES + 1];
};

/* --- the key ------------------------------------------------------------------------------- */

/* In memory, but with a path, as other keys have. */
static int make_key(struct remotes *r, struct err *err)
{
	struct key key;

	if (getrandom(key.bytes, sizeof(key.bytes), 0) != sizeof(key.bytes))
		return err_errno(err, errno, "cannot make a key");
	key_format(&key, r->key_text);
	key_wipe(&key);
	r->key_fd = memfd_create("gait-key", MFD_CLOEXEC);
	if (r->key_fd < 0 || fchmod(r->key_fd, S_IRUSR | S_IWUSR) ||
	    write(r->key_fd, r->key_text, KEY_TEXT_BYTES) != (ssize_t)KEY_TEXT_BYTES)
		return err_errno(err, errno, "cannot keep a key");
	snprintf(r->key_path, sizeof(r->key_path), "/proc/self/fd/%d", r->key_fd);
	return 0;
}

/* --- the command --------------------------------------------------------------------------- */

/* For a shell: in quotes that nothing of it can end. */
static char *put_quoted(char *at, const char *end, const char *text)
{
	if (at < end)
		*at++ = '\'';
	for (; *text && at + 4 < end; text++) {
		if (*text == '\'')
			at = stpcpy(at, "'\\''");
		else
			*at++ = *text;
	}
	if (at < end)
		*at++ = '\'';
	return at;
}

static void make_command(const struct remote_opts *opts, char command[COMMAND_BYTES])
{
	static const char *const words[] = { "none", "bpf", "user" };
	char *at =
		stpcpy(command, "gait node --attached --key - --listen 0.0.0.0:0 --forward-to any");

	if (opts->attribution == ATTRIBUTION_NONE)
		at = stpcpy(at, " --no-attribution");
	else if (opts->attribution != ATTRIBUTION_AUTO)
		at = stpcpy(stpcpy(at, " --attribution "), words[opts->attribution]);
	if (opts->directory) {
		at = stpcpy(at, " --dir ");
		at = put_quoted(at, command + COMMAND_BYTES - 1, opts->directory);
	}
	*at = '\0';
}

/* What is in GAIT_SSH, cut at spaces in place; then the host and the command. */
static void fill_words(char *program, const char *host, const char *command, char **words)
{
	size_t n = 0;
	char *rest = program, *word;

	while (n + 3 < WORDS_MAX && (word = strsep(&rest, " ")))
		if (*word)
			words[n++] = word;
	words[n++] = (char *)host;
	words[n++] = (char *)command;
	words[n] = NULL;
}

/* Ctrl-C is for us, who then end the node; the terminal is still there for a password. */
static void run_child(const char *host, const char *command, int input, int output)
{
	const char *given = getenv("GAIT_SSH");
	char *program = strdup(given && *given ? given : "ssh");
	char *words[WORDS_MAX];

	signal(SIGINT, SIG_IGN);
	dup2(input, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	if (program) {
		fill_words(program, host, command, words);
		execvp(words[0], words);
	}
	_exit(127);
}

/* --- one node ------------------------------------------------------------------------------ */

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

static int spawn(struct remote *node, const char *command, struct err *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || (node->pid = fork()) < 0) {
		err_errno(err, errno, "cannot start ssh for '%s'", node->host);
		close_pair(in);
		close_pair(out);
		return -ECHILD;
	}
	if (!node->pid)
		run_child(node->host, command, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	node->input = in[1];
	node->output = out[0];
	return 0;
}

static bool has_ended(struct remote *node, int64_t within_ns, int *ret_status)
{
	const struct timespec nap = { .tv_nsec = 5 * NS_PER_MS };
	int64_t give_up = clock_now_ns() + within_ns;

	while (waitpid(node->pid, ret_status, WNOHANG) == 0) {
		if (clock_now_ns() > give_up)
			return false;
		nanosleep(&nap, NULL);
	}
	node->pid = -1;
	return true;
}

/* Its own words are on standard error already. */
static int tell_failure(struct remote *node, struct err *err)
{
	int status = 0, code;

	close(node->input);
	node->input = -1;
	if (!has_ended(node, STOP_NS, &status))
		return err_set(err, ETIMEDOUT, "'%s': the node there does not say where it listens",
			       node->host);
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	if (code == 127)
		return err_set(err, ECHILD,
			       "'%s': no program to start a node with: gait has to be in the PATH "
			       "there, and ssh (or GAIT_SSH) here",
			       node->host);
	if (code == 255)
		return err_set(err, ECHILD, "'%s' cannot be reached by ssh (see above)",
			       node->host);
	return err_set(err, ECHILD, "'%s': the node there has ended (see above)", node->host);
}

static int start_node(struct remotes *r, struct remote *node, const char *command, struct err *err)
{
	const char *host = strchr(node->host, '@');
	int rc = spawn(node, command, err);

	if (rc)
		return rc;
	if (write(node->input, r->key_text, KEY_TEXT_BYTES) == (ssize_t)KEY_TEXT_BYTES)
		node->address.port = listening_port(node->output, START_MS);
	if (!node->address.port)
		return tell_failure(node, err);
	node->address.transport = TRANSPORT_TCP;
	host = host ? host + 1 : node->host;
	snprintf(node->address.host, sizeof(node->address.host), "%.*s",
		 (int)sizeof(node->address.host) - 1, host);
	return 0;
}

static void end_node(struct remote *node)
{
	int status;

	if (node->input >= 0)
		close(node->input);
	if (node->pid > 0 && !has_ended(node, STOP_NS, &status)) {
		kill(node->pid, SIGTERM);
		waitpid(node->pid, NULL, 0);
	}
	if (node->output >= 0)
		close(node->output);
}

/* --- all ----------------------------------------------------------------------------------- */

static int add_host(struct remotes *r, const char *host, size_t length, struct err *err)
{
	struct remote *node = &r->nodes[r->count];

	if (r->count == REMOTE_NODES_MAX)
		return err_set(err, E2BIG, "--ssh starts %d nodes at most", REMOTE_NODES_MAX);
	if (!length || length >= sizeof(node->host) || host[0] == '-')
		return err_set(err, EINVAL, "--ssh: '%.*s' is no host", (int)length, host);
	*node = (struct remote){ .pid = -1, .input = -1, .output = -1 };
	memcpy(node->host, host, length);
	r->count++;
	return 0;
}

static int add_hosts(struct remotes *r, const char *hosts, struct err *err)
{
	int rc;

	do {
		size_t length = strcspn(hosts, ",");

		rc = add_host(r, hosts, length, err);
		hosts += length;
	} while (!rc && *hosts++);
	return rc;
}

int remotes_start(const struct remote_opts *opts, struct remotes **ret_remotes, struct err *err)
{
	struct remotes *r = calloc(1, sizeof(*r));
	char command[COMMAND_BYTES];
	int rc;

	if (!r)
		return err_errno(err, ENOMEM, "cannot start nodes");
	r->key_fd = -1;
	signal(SIGPIPE, SIG_IGN); /* of an ssh that has gone before it read the key */
	make_command(opts, command);
	rc = add_hosts(r, opts->hosts, err);
	if (!rc)
		rc = make_key(r, err);
	for (size_t i = 0; i < r->count && !rc; i++)
		rc = start_node(r, &r->nodes[i], command, err);
	explicit_bzero(r->key_text, sizeof(r->key_text));
	if (rc)
		remotes_free(r);
	else
		*ret_remotes = r;
	return rc;
}

void remotes_free(struct remotes *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++)
		end_node(&r->nodes[i]);
	if (r->key_fd >= 0)
		close(r->key_fd);
	free(r);
}

size_t remotes_count(const struct remotes *r)
{
	return r->count;
}

const struct address *remotes_at(const struct remotes *r, size_t i)
{
	return &r->nodes[i].address;
}

const char *remotes_key(const struct remotes *r)
{
	return r->key_path;
}
