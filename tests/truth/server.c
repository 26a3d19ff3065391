/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP server of known cost: every request of fixed size makes it burn CPU time,
 * read and write files if asked to, and send a reply of fixed size. What each
 * request truly took goes to --log, as CSV, at the end.
 *
 *   loop     one thread, epoll; recv, send, read and write at the file's position
 *   threads  a thread a connection; read, write, pread and pwrite
 */
#include "truth.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct options {
	bool threads;
	uint64_t request_bytes, reply_bytes, cpu_ns, cpu_steps;
	uint64_t store_bytes, load_bytes, load_from;
	uint64_t requests; /* ends by itself after so many; 0: never */
	const char *store_file, *load_file, *log;
};

struct served {
	uint64_t connection, request; /* of the server, of the connection; from 1 */
	uint64_t bytes_in, bytes_out;
	int64_t cpu_ns;
	uint64_t store_bytes, store_offset, load_bytes, load_offset;
};

struct connection {
	int fd;
	uint64_t id, requests, filled; /* filled: bytes of the request that is coming in */
};

static struct options opts = { .request_bytes = 1, .reply_bytes = 1, .cpu_steps = 1 };
static int store_fd = -1, load_fd = -1;
static uint64_t connections;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for the rest */
static uint64_t store_at, load_at;
static struct served *served;
static size_t served_count, served_capacity;

/* Work that no compiler can shorten: each round needs the one before. */
static volatile uint64_t sink;

static void spin(uint64_t rounds)
{
	uint64_t x = sink | 1;

	for (uint64_t i = 0; i < rounds; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	sink = x;
}

static double rounds_per_ns;

/* The slowest of a few tries: a guess that is too high would burn too long. */
static void calibrate(void)
{
	const uint64_t rounds = 500000;

	for (int i = 0; i < 5; i++) {
		int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		double rate;

		spin(rounds);
		rate = (double)rounds / (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start);
		if (!i || rate < rounds_per_ns)
			rounds_per_ns = rate;
	}
}

/*
 * Looks at the thread's clock only a few times: that is a system call, and what is to be
 * burnt is user time. Returns what it was in the end.
 */
static int64_t burn(int64_t cpu_ns)
{
	int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID), took = 0;

	while (took < cpu_ns) {
		int64_t left_ns = cpu_ns - took;

		spin(left_ns * rounds_per_ns + 10);
		took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	}
	return took;
}

static void load(struct served *row, char *buffer)
{
	if (load_fd < 0)
		return;
	pthread_mutex_lock(&mutex);
	row->load_offset = load_at;
	load_at += opts.load_bytes;
	pthread_mutex_unlock(&mutex);
	if (opts.threads)
		row->load_bytes = must(pread(load_fd, buffer, opts.load_bytes, row->load_offset),
				       opts.load_file);
	else
		row->load_bytes = must(read(load_fd, buffer, opts.load_bytes), opts.load_file);
}

static void store(struct served *row, const char *buffer)
{
	if (store_fd < 0)
		return;
	pthread_mutex_lock(&mutex);
	row->store_offset = store_at;
	store_at += opts.store_bytes;
	pthread_mutex_unlock(&mutex);
	if (opts.threads)
		row->store_bytes =
			must(pwrite(store_fd, buffer, opts.store_bytes, row->store_offset),
			     opts.store_file);
	else
		row->store_bytes = must(write(store_fd, buffer, opts.store_bytes), opts.store_file);
	must(fdatasync(store_fd), opts.store_file);
}

static void remember(const struct served *row)
{
	pthread_mutex_lock(&mutex);
	if (served_count == served_capacity) {
		served_capacity = served_capacity ? served_capacity * 2 : 1024;
		served = must_alloc(realloc(served, served_capacity * sizeof(*served)));
	}
	served[served_count++] = *row;
	if (served_count == opts.requests)
		kill(getpid(), SIGTERM); /* the main thread reads it as it reads anybody's */
	pthread_mutex_unlock(&mutex);
}

/* Ends early when the client has gone. */
static uint64_t reply(int fd, const char *buffer)
{
	uint64_t sent = 0;

	while (sent < opts.reply_bytes) {
		size_t left = opts.reply_bytes - sent;
		ssize_t n = opts.threads ? write(fd, buffer, left) :
					   send(fd, buffer, left, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		sent += n;
	}
	return sent;
}

static void serve(struct connection *c, char *buffer)
{
	struct served row = { .connection = c->id,
			      .request = ++c->requests,
			      .bytes_in = c->filled };

	c->filled = 0;
	load(&row, buffer);
	row.cpu_ns = burn(opts.cpu_ns * (1 + c->requests % opts.cpu_steps));
	store(&row, buffer);
	row.bytes_out = reply(c->fd, buffer);
	remember(&row);
}

/* What is there of the request, and the reply when that was the rest. False at the end. */
static bool advance(struct connection *c, char *buffer)
{
	size_t want = opts.request_bytes - c->filled;
	ssize_t n = opts.threads ? read(c->fd, buffer, want) : recv(c->fd, buffer, want, 0);

	if (n <= 0)
		return false;
	c->filled += n;
	if (c->filled == opts.request_bytes)
		serve(c, buffer);
	return true;
}

static char *buffer_new(void)
{
	uint64_t size = opts.request_bytes;

	if (size < opts.reply_bytes)
		size = opts.reply_bytes;
	if (size < opts.store_bytes)
		size = opts.store_bytes;
	if (size < opts.load_bytes)
		size = opts.load_bytes;
	return must_alloc(calloc(1, size + 1));
}

static void connection_end(struct connection *c)
{
	close(c->fd);
	free(c);
}

static void *connection_main(void *arg)
{
	char *buffer = buffer_new();

	while (advance(arg, buffer))
		;
	connection_end(arg);
	free(buffer);
	return NULL;
}

static void accept_one(int listener, int epoll)
{
	struct connection *c = must_alloc(calloc(1, sizeof(*c)));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	pthread_t thread;

	c->fd = must(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	c->id = ++connections;
	if (!opts.threads) {
		must(epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event), "epoll_ctl");
		return;
	}
	errno = pthread_create(&thread, NULL, connection_main, c);
	if (errno)
		die("thread");
	pthread_detach(thread);
}

static int listen_anywhere(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	must(bind(fd, (struct sockaddr *)&at, size), "bind");
	must(listen(fd, 1024), "listen");
	must(getsockname(fd, (struct sockaddr *)&at, &size), "getsockname");
	printf("listening on %d\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

/* SIGTERM and SIGINT, as something to wait for; threads inherit that they are blocked. */
static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return must(signalfd(-1, &set, SFD_CLOEXEC), "signalfd");
}

/* Until a signal: the two descriptors of its own are told apart by their address. */
static void run(int listener, int signals)
{
	int epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll");
	struct epoll_event listening = { .events = EPOLLIN, .data.ptr = &listener };
	struct epoll_event stopping = { .events = EPOLLIN, .data.ptr = &signals };
	char *buffer = buffer_new();

	must(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening), "epoll_ctl");
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &stopping), "epoll_ctl");
	for (;;) {
		struct epoll_event events[16];
		int n = must(epoll_wait(epoll, events, 16, -1), "epoll_wait");

		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;

			if (what == &signals)
				return;
			if (what == &listener)
				accept_one(listener, epoll);
			else if (!advance(what, buffer))
				connection_end(what);
		}
	}
}

static void write_log(void)
{
	FILE *f = opts.log ? fopen(opts.log, "we") : NULL;

	if (!opts.log)
		return;
	if (!f)
		die(opts.log);
	pthread_mutex_lock(&mutex);
	fprintf(f, "connection,request,bytes_in,bytes_out,cpu_ns,store_bytes,store_offset,"
		   "load_bytes,load_offset\n");
	for (size_t i = 0; i < served_count; i++) {
		const struct served *r = &served[i];

		fprintf(f, "%lu,%lu,%lu,%lu,%ld,%lu,%lu,%lu,%lu\n", r->connection, r->request,
			r->bytes_in, r->bytes_out, r->cpu_ns, r->store_bytes, r->store_offset,
			r->load_bytes, r->load_offset);
	}
	pthread_mutex_unlock(&mutex);
	if (fclose(f))
		die(opts.log);
}

static const char usage[] =
	"usage: server [--model loop|threads] [--request BYTES] [--reply BYTES] [--cpu NS]\n"
	"              [--cpu-steps N] the k-th request of a connection takes k mod N times more\n"
	"              [--store FILE --store-bytes BYTES] written and synced a request\n"
	"              [--load FILE --load-bytes BYTES --load-from OFFSET] read a request\n"
	"              [--requests N] ends after so many; else at SIGTERM\n"
	"              [--log FILE]\n";

static void parse(char **argv)
{
	const char *model = "loop";
	const struct truth_option table[] = {
		{ "model", .text = &model },
		{ "request", .number = &opts.request_bytes },
		{ "reply", .number = &opts.reply_bytes },
		{ "cpu", .number = &opts.cpu_ns },
		{ "cpu-steps", .number = &opts.cpu_steps },
		{ "store", .text = &opts.store_file },
		{ "store-bytes", .number = &opts.store_bytes },
		{ "load", .text = &opts.load_file },
		{ "load-bytes", .number = &opts.load_bytes },
		{ "load-from", .number = &opts.load_from },
		{ "requests", .number = &opts.requests },
		{ "log", .text = &opts.log },
		{ 0 },
	};

	take_options(table, argv, usage);
	opts.threads = !strcmp(model, "threads");
}

static void open_files(void)
{
	if (opts.store_file)
		store_fd =
			must(open(opts.store_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666),
			     opts.store_file);
	if (!opts.load_file)
		return;
	load_fd = must(open(opts.load_file, O_RDONLY | O_CLOEXEC), opts.load_file);
	load_at = opts.load_from;
	must(lseek(load_fd, load_at, SEEK_SET), opts.load_file);
}

int main(int argc, char **argv)
{
	int signals;

	parse(argv);
	open_files();
	signals = catch_signals();
	calibrate();
	run(listen_anywhere(), signals);
	write_log();
	return 0;
}
