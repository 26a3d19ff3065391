/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_TRUTH_SERVER_H
#define GAIT_TESTS_TRUTH_SERVER_H

/*
 * A server of known cost. A model (a row of models.c) decides which thread reads a request, which
 * works on it and which replies; what that means, and what is remembered of it, is here for all.
 */
#include "truth.h"
#include "wire.h"

#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define OPS_MAX 40
#define CALLS_MAX 8
#define BURNS_MAX 2 /* by who reads it, by who works on it */
#define PEER_SIZE 64
#define CHAIN_MAX 32	    /* requests of one connection at a time */
#define IN_BYTES (64 << 10) /* of requests that are coming in, at least */
#define WORKERS_MAX 64
#define OFFSET_NONE UINT64_MAX	    /* an op that has no offset */
#define OFFSET_ANY (UINT64_MAX - 1) /* an append among others: the kernel alone knows */

/* --- options (options.c) ------------------------------------------------------------------- */

enum listen_kind { LISTEN_TCP, LISTEN_TCP6, LISTEN_UNIX, LISTEN_UDP, LISTEN_UDP6 };
enum recv_by {
	RECV_RECV,
	RECV_READ,
	RECV_READV,
	RECV_RECVMSG,
	RECV_RECVMMSG,
	RECV_URING,
	RECV_SPLICE
};
enum send_by {
	SEND_SEND,
	SEND_WRITE,
	SEND_WRITEV,
	SEND_SENDMSG,
	SEND_SENDFILE,
	SEND_SENDMMSG,
	SEND_URING,
	SEND_SPLICE
};
enum load_by {
	LOAD_READ,
	LOAD_PREAD,
	LOAD_READV,
	LOAD_PREADV,
	LOAD_PREADV2,
	LOAD_MMAP,
	LOAD_URING,
	LOAD_SPLICE
};
enum store_by {
	STORE_WRITE,
	STORE_PWRITE,
	STORE_WRITEV,
	STORE_PWRITEV,
	STORE_PWRITEV2,
	STORE_URING,
	STORE_SPLICE
};
enum sync_by { SYNC_FDATASYNC, SYNC_FSYNC, SYNC_NONE };
/* Who does it: the kernel's choice, always a worker of io_uring, the ring's polling thread. */
enum uring { URING_CALLER, URING_WORKER, URING_POLLER };
enum at { AT_SEQUENCE, AT_RANDOM };
enum handoff { HANDOFF_FUTEX, HANDOFF_EVENTFD, HANDOFF_PIPE };
enum replier { REPLY_WORKER, REPLY_READER };
enum wait_by { WAIT_SPIN, WAIT_FUTEX };
enum answer { ANSWER_EACH, ANSWER_ALL };
enum read { READ_ONE, READ_ALL };
enum share { SHARE_REUSEPORT, SHARE_ACCEPT };
enum upstream_by { UPSTREAM_OWN, UPSTREAM_SHARED };

struct options {
	const char *model, *log, *socket_path;
	const char *load_file, *store_file, *meta_file, *upstream, *lock, *fault_log;
	uint32_t listen, protocol, recv_by, send_by, load_by, store_by, sync_by, load_at, store_at;
	uint32_t handoff, give_back, replier, wait_by, answer, read, share, upstream_by;
	uint32_t uring;
	struct range cpu_ns, parse_ns, accept_ns, reply_bytes, load_bytes, store_bytes, call_bytes;
	uint64_t request_bytes, meta, cpu_steps, load_from, reply_parts, calls, call_reply_bytes;
	uint64_t fault_ns, fresh_bytes, accept_late_ns, append, direct, dsync, after_reply, workers, requests,
		seed;
};

extern struct options opts;
void options_parse(char **argv);

/* --- requests ------------------------------------------------------------------------------ */

enum did { DID_LOAD, DID_STORE, DID_SYNC, DID_OPEN, DID_STAT, DID_CLOSE, DID_CALL, DID_REPLY };

struct did_op {
	uint32_t kind; /* enum did */
	uint32_t after_reply;
	uint64_t bytes, reply_bytes, offset;
};

struct did_call {
	uint64_t bytes_out, bytes_in;
	uint64_t number; /* of the call on its connection, from 1 */
	uint32_t port;	 /* this end of it */
};

/* CPU time in one go. */
struct burn {
	int64_t ns, middle_ns; /* of the thread's clock; when, CLOCK_MONOTONIC */
	pid_t tid;
};

/* What one request truly took. */
struct served {
	uint64_t connection, request; /* of the server, of the connection; from 1 */
	char peer[PEER_SIZE];
	uint64_t bytes_in, bytes_out;
	int64_t read_start_ns, read_end_ns, reply_start_ns; /* CLOCK_MONOTONIC */
	int64_t reply_last_ns, reply_end_ns; /* begin and end of the last call that sends */
	pid_t read_tid, work_tid, reply_tid;
	uint32_t ops_count, calls_count, burns_count;
	struct burn burns[BURNS_MAX];
	struct did_call calls[CALLS_MAX];
	struct did_op ops[OPS_MAX]; /* last: the log takes those that are there */
};

/* Something that epoll waits for. */
struct source {
	int fd;
	void (*ready)(struct source *source);
};

struct request {
	struct served row;
	struct connection *connection;
	struct request *next; /* of its chain */
	struct request *job;  /* the next chain of a queue, at a chain's first */
	uint64_t reply_bytes; /* to come */
};

struct loop;

struct connection {
	struct source source; /* first: a source of a connection is the connection */
	uint64_t id, requests;
	char peer[PEER_SIZE];
	struct sockaddr_storage to; /* UDP: where replies go */
	socklen_t to_size;	    /* 0: the socket knows */
	struct loop *loop;
	atomic_flag lock; /* of `strand` and `waiting` */
	bool strand;	  /* a worker is at it: what comes now waits its turn */
	struct request *waiting;
	atomic_int users;		    /* 0: close and free */
	size_t filled;			    /* bytes in `in` that no whole request has taken */
	int64_t read_start_ns, read_end_ns; /* when the first of these was read */
	char *in;
	struct request slots[CHAIN_MAX];
};

/* What a thread needs of its own: files with their own position, calls, memory, chance. */
struct worker {
	uint64_t number, random;
	pid_t tid;
	int load_fd, store_fd, reply_fd, null_fd;
	int pipe[2]; /* what splice() needs at one end */
	uint64_t load_offset, store_offset;
	struct upstream *upstream;
	char *memory, *reply;
};

/* The calling thread's, made at the first call: before it reads anything, as it opens files. */
struct worker *worker_self(void);
/* After a fork: what the parent had is not the child's. */
void worker_forget(void);

/* --- log.c --------------------------------------------------------------------------------- */

void log_init(void);
void log_add(const struct served *row);
void log_write(void);
void did(struct request *r, enum did kind, uint64_t bytes, uint64_t offset);

/* --- cpu.c --------------------------------------------------------------------------------- */

void cpu_calibrate(void);
/* Burns user time; what it was is without looking at the clock. */
struct burn cpu_burn(int64_t ns);

/* --- fault.c ------------------------------------------------------------------------------- */

void fault_init(void);
void fault_touch(void);

/* --- files.c ------------------------------------------------------------------------------- */

void files_init(void);
void files_open(struct worker *w);
void files_load(struct request *r);
/* For all of the chain at once: each of them did it, then. */
void files_store(struct request *chain);
void files_meta(struct request *r);

/* --- uring.c ------------------------------------------------------------------------------- */

/* The calling thread's ring. The calls after it return what the system calls would. */
void uring_open(void);
void uring_close(void);
long uring_read(int fd, void *bytes, size_t size, uint64_t offset);
long uring_writev(int fd, const struct iovec *parts, unsigned count, uint64_t offset);
long uring_sync(int fd, bool data_only);
long uring_recv(int fd, void *bytes, size_t size);
long uring_send(int fd, const void *bytes, size_t size);
/* Whether any option asks for it. */
bool uring_is_used(void);

/* --- splice.c ------------------------------------------------------------------------------ */

/* Between the descriptor and memory by way of the worker's pipe; NULL: no offset. */
void splice_open(struct worker *w);
long splice_in(int fd, off_t *offset, size_t size); /* the bytes themselves are thrown away */
long splice_out(int fd, off_t *offset, const char *bytes, size_t size);

/* --- upstream.c ---------------------------------------------------------------------------- */

void upstream_init(void);
void upstream_call(struct request *r);

/* --- net.c --------------------------------------------------------------------------------- */

bool net_is_datagram(void);
void net_init(void); /* before there are processes or threads */
/* Listens as --listen says; another call gives another socket of the same port. */
int net_listen(void);
void net_announce(void);
struct connection *net_accept(int listener);
/* Its memory is this process's own, so that no request has to make it so. */
void connection_touch(struct connection *c);
void connection_get(struct connection *c);
void connection_put(struct connection *c);

/*
 * One call to receive; the whole requests that are there now, as a chain in their order, or NULL.
 * False when the other end is gone.
 */
bool net_receive(struct connection *c, struct request **ret_chain);
/* The same of a socket for datagrams: a chain of requests of several connections. */
struct request *net_receive_datagrams(int fd);
/* Sends `size` bytes of --send-by; the bytes sent, fewer when the other end has gone. */
size_t net_send(struct connection *c, const char *bytes, size_t size);
/* Datagrams in one call; false when the other end has gone. */
bool net_send_datagrams(struct connection *c, struct iovec *parts, size_t count);

/* --- serve.c ------------------------------------------------------------------------------- */

void serve_init(void);
void serve_parse(struct request *chain); /* what the reader does beyond reading */
void serve_work(struct request *r);	 /* load, compute, call, metadata */
void serve_store(struct request *chain); /* store and sync */
void serve_reply(struct request *chain); /* sends, and writes the log */
/* All of it, for a chain, one request after the other. */
void serve_chain(struct request *chain);

/* --- loop.c -------------------------------------------------------------------------------- */

typedef void (*serve_fn)(struct request *chain);

/* One thread's epoll. */
struct loop {
	int epoll;
	serve_fn serve;			 /* what is done with requests that were read */
	void (*pass)(struct loop *loop); /* after all that was ready; may be NULL */
	void *model;			 /* the model's own */
	atomic_bool stop;
};

struct loop *loop_new(serve_fn serve);
/* `source` must stay. */
void loop_add(struct loop *loop, struct source *source);
void loop_listen(struct loop *loop, int listener);
void loop_adopt(struct loop *loop, struct connection *c); /* it reads this connection from now on */
void loop_stop_at_signals(struct loop *loop);
void loop_run(struct loop *loop);

/* SIGTERM and SIGINT, as something to wait for; threads inherit that they are blocked. */
void signals_catch(void);
int signals_fd(void);
void signals_wait(void);
void thread_start(void *(*main)(void *), void *arg);

/* --- models -------------------------------------------------------------------------------- */

struct model {
	const char *name, *what;
	void (*run)(void);
	uint32_t recv_by, send_by, load_by, store_by; /* when not told otherwise */
	bool datagrams;				      /* can serve them */
};

extern const struct model models[];
extern const struct model *model;

void run_process(void);
void run_threads(void);
void run_loop(void);
void run_loops(void);
void run_prefork(void);
void run_accept(void);
void run_iothreads(void);
void run_pool(void);
void run_batch(void);

#endif
