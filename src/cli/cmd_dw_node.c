/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd.h"
#include "replay/net/address.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * dw_node: DistWalk's command line, said in the words of gait node, which is run. A word that
 * gait node does not know is refused by it; nothing is passed over here but --no-defrag.
 */
#define DW_PORT 7891
#define DW_STORE ".dw_store_0"	    /* in $HOME */
#define DW_STORE_BYTES (16ll << 20) /* that can be loaded before anything was stored */
#define WORDS_MAX (4 * OPTION_LIST_MAX)

struct dw_node_opts {
	struct option_list bind, storage;
	const char *accept_mode, *poll_mode, *backlog, *threads, *affinity, *sched, *no_delay,
		*loops_per_usec, *max_storage, *sync;
	const char *ssl_cert, *ssl_key, *ssl_ca, *ssl_ca_path, *ssl_ciphers;
	const char *control, *forward_to, *key, *tls_cert, *tls_key, *tls_ca;
	bool wait_spin, wait_spin_storage, no_defrag, odirect, ssl_verify, insecure, dry_run;
};

#define AT(member) OPTION_AT(dw_node_opts, member)

static const struct option_spec specs[] = {
	{ "bind-addr", 'b', OPTION_LIST, AT(bind), .metavar = "[PROTO:[//]][HOST][:PORT]",
	  .help = "where to listen: tcp, udp or ssl (tcp://localhost:7891)" },
	{ "accept-mode", 'a', OPTION_TEXT, AT(accept_mode), .metavar = "child|shared|parent",
	  .help = "who takes new connections" },
	{ "poll-mode", 'p', OPTION_TEXT, AT(poll_mode), .metavar = "epoll|poll|select",
	  .help = "how threads wait" },
	{ "backlog-length", '\0', OPTION_TEXT, AT(backlog), .metavar = "N",
	  .help = "connections that may wait to be accepted", .alias = "bl" },
	{ "num-threads", '\0', OPTION_TEXT, AT(threads), .metavar = "N",
	  .help = "threads that serve (1)", .alias = "nt" },
	{ "thread-affinity", 'c', OPTION_TEXT, AT(affinity), .metavar = "auto|CPUS",
	  .help = "a CPU for each thread, in turn; auto: the first ones" },
	{ "sched-policy", '\0', OPTION_TEXT, AT(sched),
	  .metavar = "other[:NICE]|rr:PRIO|fifo:PRIO|dl:USEC,USEC",
	  .help = "how threads are scheduled" },
	{ "wait-spin", '\0', OPTION_FLAG, AT(wait_spin), .help = "threads never sleep",
	  .alias = "ws" },
	{ "wait-spin-storage", '\0', OPTION_FLAG, AT(wait_spin_storage),
	  .help = "threads of storage never sleep", .alias = "wss" },
	{ "no-delay", '\0', OPTION_TEXT, AT(no_delay), .metavar = "0|1", .help = "TCP_NODELAY (1)",
	  .alias = "nd" },
	{ "no-defrag", '\0', OPTION_FLAG, AT(no_defrag),
	  .help = "no meaning here: nothing is moved about" },
	{ "loops-per-usec", '\0', OPTION_TEXT, AT(loops_per_usec), .metavar = "-1|0",
	  .help = "compute by the thread's CPU clock (-1) or by calibrated work (0)" },
	{ "storage", 's', OPTION_LIST, AT(storage), .metavar = "[file=]PATH[,FIELDS]",
	  .help = "what is stored to and loaded from (~/" DW_STORE "); size=BYTES, sync=MSEC, "
		  "odirect, wait-spin, count=N" },
	{ "max-storage-size", 'm', OPTION_TEXT, AT(max_storage), .metavar = "BYTES",
	  .help = "of all storage (1 GiB)" },
	{ "sync", '\0', OPTION_TEXT, AT(sync), .metavar = "MSEC", .help = "sync once in so long" },
	{ "odirect", '\0', OPTION_FLAG, AT(odirect), .help = "past the page cache" },
	{ "ssl-cert", '\0', OPTION_TEXT, AT(ssl_cert), .metavar = "FILE",
	  .help = "certificate of ssl: listeners" },
	{ "ssl-key", '\0', OPTION_TEXT, AT(ssl_key), .metavar = "FILE", .help = "its key" },
	{ "ssl-ca", '\0', OPTION_TEXT, AT(ssl_ca), .metavar = "FILE",
	  .help = "who may have signed clients' certificates" },
	{ "ssl-ca-path", '\0', OPTION_TEXT, AT(ssl_ca_path), .metavar = "DIR",
	  .help = "the same, a directory" },
	{ "ssl-ciphers", '\0', OPTION_TEXT, AT(ssl_ciphers), .metavar = "LIST",
	  .help = "ciphers to take" },
	{ "ssl-verify", '\0', OPTION_FLAG, AT(ssl_verify), .help = "check clients' certificates" },
	{ "control", '\0', OPTION_TEXT, AT(control), .metavar = "WORD",
	  .help = "not DistWalk's: where clients come in, tcp or unix (the first tcp of -b)" },
	{ "key", 'k', OPTION_TEXT, AT(key), .metavar = "FILE",
	  .help = "not DistWalk's: serve only clients with this key" },
	{ "tls-cert", '\0', OPTION_TEXT, AT(tls_cert), .metavar = "FILE",
	  .help = "not DistWalk's: the node's certificate, of control connections" },
	{ "tls-key", '\0', OPTION_TEXT, AT(tls_key), .metavar = "FILE",
	  .help = "not DistWalk's: its key" },
	{ "tls-ca", '\0', OPTION_TEXT, AT(tls_ca), .metavar = "FILE",
	  .help = "not DistWalk's: serve only clients with a certificate that this CA signed" },
	{ "forward-to", '\0', OPTION_TEXT, AT(forward_to), .metavar = "HOST[/BITS][:PORT][,...]",
	  .help = "not DistWalk's: whom it may call off loopback, as gait node's" },
	{ "insecure", '\0', OPTION_FLAG, AT(insecure),
	  .help = "not DistWalk's: serve whoever comes, off loopback too" },
	{ "dry-run", '\0', OPTION_FLAG, AT(dry_run),
	  .help = "not DistWalk's: show the gait node that this is, and run nothing" },
};

static const struct options options = {
	.command = "dw_node",
	.is_program = true,
	.synopsis = "",
	.about = "gait node with the command line of DistWalk's dw_node. Off loopback it starts "
		 "only with --key, certificates or --insecure, as gait node does.",
	.examples = "dw_node -b :7892 --nt 2 -s /mnt/disk/file\n",
	.specs = specs,
	.specs_count = sizeof(specs) / sizeof(specs[0]),
};

/* Whose value gait node takes as it is, and what it calls them. */
static const struct {
	size_t at;
	const char *option;
} texts[] = {
	{ AT(accept_mode), "--accept-mode" },
	{ AT(poll_mode), "--poll-mode" },
	{ AT(backlog), "--backlog-length" },
	{ AT(sched), "--sched-policy" },
	{ AT(no_delay), "--no-delay" },
	{ AT(max_storage), "--max-storage-size" },
	{ AT(sync), "--sync" },
	{ AT(ssl_cert), "--ssl-cert" },
	{ AT(ssl_key), "--ssl-key" },
	{ AT(ssl_ca), "--ssl-ca" },
	{ AT(ssl_ca_path), "--ssl-ca-path" },
	{ AT(ssl_ciphers), "--ssl-ciphers" },
	{ AT(control), "--control" },
	{ AT(key), "--key" },
	{ AT(tls_cert), "--tls-cert" },
	{ AT(tls_key), "--tls-key" },
	{ AT(tls_ca), "--tls-ca" },
	{ AT(forward_to), "--forward-to" },
};

static const struct {
	size_t at;
	const char *option;
} flags[] = {
	{ AT(wait_spin), "--wait-spin" }, { AT(wait_spin_storage), "--wait-spin-storage" },
	{ AT(odirect), "--odirect" },	  { AT(ssl_verify), "--ssl-verify" },
	{ AT(insecure), "--insecure" },
};

/* Of gait node's command line. */
struct words {
	char *items[WORDS_MAX + 1];
	int count;
};

/* "--option=value", or value alone, or option alone. */
static int add(struct words *w, const char *option, const char *value, struct err *err)
{
	if (w->count == WORDS_MAX)
		return err_set(err, E2BIG, "there are more than %d words of options", WORDS_MAX);
	if (asprintf(&w->items[w->count], "%s%s%s", option, *option && *value ? "=" : "", value) <
	    0)
		return err_set(err, ENOMEM, "not enough memory");
	w->items[++w->count] = NULL;
	return 0;
}

static void release(struct words *w)
{
	for (int i = 0; i < w->count; i++)
		free(w->items[i]);
}

/* DistWalk knows IPv4 alone: its localhost is never ::1. */
static int read_listener(const char *text, struct address *ret_address, struct err *err)
{
	static const struct address_defaults defaults = { "127.0.0.1", DW_PORT };
	int rc = address_parse(text, &defaults, ret_address, err);

	if (rc)
		return rc;
	if (!strcmp(ret_address->host, "localhost"))
		snprintf(ret_address->host, sizeof(ret_address->host), "%s", defaults.host);
	return 0;
}

static int add_address(struct words *w, const char *option, const struct address *address,
		       struct err *err)
{
	char word[ADDRESS_TEXT_SIZE];

	return add(w, option, address_format(address, word), err);
}

/* Where all is encrypted, clients come in one port above the first: dw_client looks there. */
static int add_control(struct words *w, const struct address *first, struct err *err)
{
	struct address control = *first;

	control.transport = TRANSPORT_TCP;
	control.port += first->port != 0;
	return add_address(w, "--control", &control, err);
}

static int add_listeners(struct words *w, const struct dw_node_opts *given, struct err *err)
{
	size_t count = given->bind.count ? given->bind.count : 1;
	struct address address, first = { 0 };
	bool clear = given->control;
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		rc = read_listener(given->bind.count ? given->bind.items[i] : "", &address, err);
		if (!rc)
			rc = add_address(w, "--listen", &address, err);
		clear = clear || (!rc && address.transport != TRANSPORT_TLS &&
				  address.transport != TRANSPORT_UDP);
		first = i ? first : address;
	}
	clear = clear || first.transport == TRANSPORT_UDP; /* beside it, gait node finds */
	return rc || clear ? rc : add_control(w, &first, err);
}

static int add_compute(struct words *w, const char *loops, struct err *err)
{
	if (!loops || !strcmp(loops, "-1"))
		return add(w, "--compute", "cpu", err);
	if (!strcmp(loops, "0"))
		return add(w, "--compute", "work", err);
	return err_set(
		err, EINVAL,
		"--loops-per-usec: '%s' counts loops of DistWalk's, which gait does not run: "
		"-1 computes by the CPU clock, 0 by calibrated work",
		loops);
}

/* DistWalk's auto takes as many of the first CPUs as there are threads. */
static int add_affinity(struct words *w, const char *cpus, unsigned long threads, struct err *err)
{
	char first_ones[32];

	if (!cpus)
		return 0;
	snprintf(first_ones, sizeof(first_ones), threads > 1 ? "0-%lu" : "0",
		 threads ? threads - 1 : 0);
	return add(w, "--thread-affinity", strcmp(cpus, "auto") ? cpus : first_ones, err);
}

static int add_threads(struct words *w, const struct dw_node_opts *given, struct err *err)
{
	const char *threads = given->threads ? given->threads : "1";
	int rc = add(w, "--threads", threads, err);

	return rc ? rc : add_affinity(w, given->affinity, strtoul(threads, NULL, 10), err);
}

/*
 * Something to load is there from the start, as with DistWalk, which empties the file first.
 * A file that holds something is left as it is.
 */
static int make_store(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return err_errno(err, errno, "cannot make the storage '%s'", path);
	rc = lseek(fd, 0, SEEK_END) ? 0 : posix_fallocate(fd, 0, DW_STORE_BYTES);
	close(fd);
	return rc ? err_errno(err, rc, "cannot make the storage '%s'", path) : 0;
}

/* Only a path without a word on its size is like DistWalk's. */
static int make_plain_store(const char *text, struct err *err)
{
	const char *path = strncmp(text, "file=", 5) ? text : text + 5;

	return *path && !strpbrk(path, ",%=") && access(path, F_OK) ? make_store(path, err) : 0;
}

static int add_default_storage(struct words *w, bool make, struct err *err)
{
	const char *home = getenv("HOME");
	char path[4096];

	if (!home || !*home)
		return 0;
	snprintf(path, sizeof(path), "%s/" DW_STORE, home);
	if (make && make_store(path, err)) /* a home that cannot be written to: nothing is stored */
		return 0;
	return add(w, "--storage", path, err);
}

static int add_storage(struct words *w, const struct dw_node_opts *given, struct err *err)
{
	const struct option_list *storage = &given->storage;
	int rc = add(w, "--io", "threads:1", err); /* a thread of each device */

	if (!rc && !storage->count)
		rc = add_default_storage(w, !given->dry_run, err);
	for (size_t i = 0; i < storage->count && !rc; i++) {
		rc = given->dry_run ? 0 : make_plain_store(storage->items[i], err);
		if (!rc)
			rc = add(w, "--storage", storage->items[i], err);
	}
	return rc;
}

static int add_rest(struct words *w, const struct dw_node_opts *given, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !rc; i++) {
		const char *value = *(const char *const *)((const char *)given + texts[i].at);

		if (value)
			rc = add(w, texts[i].option, value, err);
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && !rc; i++) {
		if (*(const bool *)((const char *)given + flags[i].at))
			rc = add(w, flags[i].option, "", err);
	}
	return rc;
}

static int translate(const struct dw_node_opts *given, struct words *w, struct err *err)
{
	int rc = add(w, "node", "", err);

	if (!rc)
		rc = add(w, "--no-attribution", "", err);
	if (!rc)
		rc = add_listeners(w, given, err);
	if (!rc)
		rc = add_threads(w, given, err);
	if (!rc)
		rc = add_compute(w, given->loops_per_usec, err);
	if (!rc)
		rc = add_storage(w, given, err);
	return rc ? rc : add_rest(w, given, err);
}

static int show(const struct words *w)
{
	printf("gait");
	for (int i = 0; i < w->count; i++)
		printf(" %s", w->items[i]);
	putchar('\n');
	return EXIT_FINE;
}

static int run(struct words *w)
{
	char *argv[WORDS_MAX + 1]; /* options_parse() may shuffle it */

	memcpy(argv, w->items, sizeof(argv));
	return cmd_node(w->count, argv);
}

int cmd_dw_node(int argc, char **argv)
{
	static struct words words;
	struct dw_node_opts given;
	struct option_args args;
	struct err err;
	int code;

	dw_usage_is_help(argc, argv);
	code = cmd_parse(&options, argc, argv, &given, &args);
	if (code >= 0)
		return code;
	if (translate(&given, &words, &err))
		code = cmd_misused(&options, &err);
	else
		code = given.dry_run ? show(&words) : run(&words);
	release(&words);
	return code;
}
