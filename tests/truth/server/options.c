/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#define AS_MODEL UINT32_MAX /* the model's own way */

struct options opts = {
	.model = "loop",
	.recv_by = AS_MODEL,
	.send_by = AS_MODEL,
	.load_by = AS_MODEL,
	.store_by = AS_MODEL,
	.give_back = HANDOFF_EVENTFD,
	.reply_bytes = { 1, 1 },
	.call_bytes = { 1, 1 },
	.call_reply_bytes = 1,
	.calls = 1,
	.request_bytes = 1,
	.read = AS_MODEL,
	.cpu_steps = 1,
	.reply_parts = 1,
	.workers = 4,
	.seed = 23,
};

static const char *const listens[] = { "tcp", "tcp6", "unix", "udp", "udp6", NULL };
static const char *const recvs[] = { "recv",	 "read",  "readv",  "recvmsg",
				     "recvmmsg", "uring", "splice", NULL };
static const char *const sends[] = { "send",	 "write", "writev", "sendmsg", "sendfile",
				     "sendmmsg", "uring", "splice", NULL };
static const char *const loads[] = { "read", "pread", "readv",	"preadv", "preadv2",
				     "mmap", "uring", "splice", NULL };
static const char *const stores[] = { "write",	  "pwrite", "writev", "pwritev",
				      "pwritev2", "uring",  "splice", NULL };
static const char *const urings[] = { "caller", "worker", "poller", NULL };
static const char *const syncs[] = { "fdatasync", "fsync", "none", NULL };
static const char *const ats[] = { "sequence", "random", NULL };
static const char *const handoffs[] = { "futex", "eventfd", "pipe", NULL };
static const char *const repliers[] = { "worker", "reader", NULL };
static const char *const waits[] = { "spin", "futex", NULL };
static const char *const answers[] = { "each", "all", NULL };
static const char *const reads[] = { "one", "all", NULL };
static const char *const shares[] = { "reuseport", "accept", NULL };
static const char *const upstreams[] = { "own", "shared", NULL };

static const char usage[] =
	"usage: server [--model MODEL] [OPTION VALUE]...\n"
	"Sizes and times are numbers (with k, M, us, ms, s); RANGE is one or A..B, drawn a request.\n"
	"  --listen tcp|tcp6|unix|udp|udp6  prints `listening on PORT`; --socket PATH of unix\n"
	"  --protocol fixed|resp|http       fixed: --request BYTES each (1)\n"
	"  --reply RANGE                    bytes of the reply, in --parts N calls\n"
	"  --answer each|all                several requests of one read: a call each, or one\n"
	"  --read one|all                   of a call: one request (fixed), or what there is\n"
	"  --recv-by recv|read|readv|recvmsg|recvmmsg|uring|splice\n"
	"  --send-by send|write|writev|sendmsg|sendfile|sendmmsg|uring|splice\n"
	"  --cpu RANGE                      CPU time to burn; by the reader: --parse RANGE\n"
	"  --accept-cpu RANGE               for a connection, which is no request's\n"
	"  --accept-late TIME               sleeps before it accepts one\n"
	"  --lock FILE                      takes the lock there, and gives it back\n"
	"  --fault TIME --fault-log FILE    touches a page that is not there for so long; when, stands there\n"
	"  --fresh BYTES --fault-log FILE   or memory that was never touched\n"
	"  --cpu-steps N                    k-th request of a connection: k mod N times more\n"
	"  --load FILE --load-bytes RANGE --load-from OFFSET --load-at sequence|random\n"
	"  --load-by read|pread|readv|preadv|preadv2|mmap|uring|splice\n"
	"  --store FILE --store-bytes RANGE --store-at sequence|random\n"
	"  --store-by write|pwrite|writev|pwritev|pwritev2|uring|splice --sync fdatasync|fsync|none\n"
	"  --uring caller|worker|poller     who does what goes by uring\n"
	"  --append 1 --direct 1 --dsync 1  how the file is opened\n"
	"  --after-reply 1                  stores come after the reply\n"
	"  --meta N --meta-file FILE        N times openat, fstat, close\n"
	"  --upstream ADDRESS:PORT --calls N --call RANGE --call-reply BYTES\n"
	"  --upstream-by own|shared         a connection a worker, or one for all\n"
	"  --workers N                      threads or processes of the model (4)\n"
	"  --handoff futex|eventfd|pipe     pool, accept: how work reaches a worker\n"
	"  --reply-by worker|reader         pool: who sends; --back eventfd|pipe: how it is told\n"
	"  --wait spin|futex                iothreads: how the two sides wait\n"
	"  --share reuseport|accept         loops, prefork: a listener each, or one for all\n"
	"  --requests N                     ends after so many; else at SIGTERM\n"
	"  --log FILE                       CSV: what each request truly took\n"
	"  --seed N\n"
	"models: loop threads process loops prefork accept iothreads pool batch\n";

static void take(char **argv)
{
	const struct truth_option table[] = {
		{ "model", .text = &opts.model },
		{ "listen", .choice = &opts.listen, .names = listens },
		{ "socket", .text = &opts.socket_path },
		{ "protocol", .choice = &opts.protocol, .names = protocol_names },
		{ "request", .number = &opts.request_bytes },
		{ "reply", .range = &opts.reply_bytes },
		{ "parts", .number = &opts.reply_parts },
		{ "answer", .choice = &opts.answer, .names = answers },
		{ "read", .choice = &opts.read, .names = reads },
		{ "recv-by", .choice = &opts.recv_by, .names = recvs },
		{ "send-by", .choice = &opts.send_by, .names = sends },
		{ "cpu", .range = &opts.cpu_ns },
		{ "cpu-steps", .number = &opts.cpu_steps },
		{ "parse", .range = &opts.parse_ns },
		{ "accept-cpu", .range = &opts.accept_ns },
		{ "accept-late", .number = &opts.accept_late_ns },
		{ "fault", .number = &opts.fault_ns },
		{ "fresh", .number = &opts.fresh_bytes },
		{ "fault-log", .text = &opts.fault_log },
		{ "lock", .text = &opts.lock },
		{ "load", .text = &opts.load_file },
		{ "load-bytes", .range = &opts.load_bytes },
		{ "load-from", .number = &opts.load_from },
		{ "load-at", .choice = &opts.load_at, .names = ats },
		{ "load-by", .choice = &opts.load_by, .names = loads },
		{ "store", .text = &opts.store_file },
		{ "store-bytes", .range = &opts.store_bytes },
		{ "store-at", .choice = &opts.store_at, .names = ats },
		{ "store-by", .choice = &opts.store_by, .names = stores },
		{ "sync", .choice = &opts.sync_by, .names = syncs },
		{ "uring", .choice = &opts.uring, .names = urings },
		{ "append", .number = &opts.append },
		{ "direct", .number = &opts.direct },
		{ "dsync", .number = &opts.dsync },
		{ "after-reply", .number = &opts.after_reply },
		{ "meta", .number = &opts.meta },
		{ "meta-file", .text = &opts.meta_file },
		{ "upstream", .text = &opts.upstream },
		{ "upstream-by", .choice = &opts.upstream_by, .names = upstreams },
		{ "calls", .number = &opts.calls },
		{ "call", .range = &opts.call_bytes },
		{ "call-reply", .number = &opts.call_reply_bytes },
		{ "workers", .number = &opts.workers },
		{ "handoff", .choice = &opts.handoff, .names = handoffs },
		{ "reply-by", .choice = &opts.replier, .names = repliers },
		{ "back", .choice = &opts.give_back, .names = handoffs },
		{ "wait", .choice = &opts.wait_by, .names = waits },
		{ "share", .choice = &opts.share, .names = shares },
		{ "requests", .number = &opts.requests },
		{ "log", .text = &opts.log },
		{ "seed", .number = &opts.seed },
		{ 0 },
	};

	take_options(table, argv, usage);
}

static void refuse(const char *why)
{
	fprintf(stderr, "server: %s\n", why);
	exit(2);
}

static void find_model(void)
{
	for (model = models; model->name; model++)
		if (!strcmp(model->name, opts.model))
			return;
	refuse("no such model");
}

static void default_to_model(uint32_t *way, uint32_t models_own)
{
	if (*way == AS_MODEL)
		*way = models_own;
}

static void check(void)
{
	if (opts.listen == LISTEN_UNIX && !opts.socket_path)
		refuse("--listen unix needs --socket PATH");
	if (net_is_datagram() && !model->datagrams)
		refuse("this model serves no datagrams");
	if (opts.calls > CALLS_MAX || opts.workers > WORKERS_MAX || !opts.workers)
		refuse("too many calls or workers, or none");
	if ((opts.fault_ns || opts.fresh_bytes) && !opts.fault_log)
		refuse("--fault and --fresh need --fault-log");
	if (opts.meta && !opts.meta_file)
		refuse("--meta needs --meta-file");
	if (!opts.cpu_steps || !opts.reply_parts || !opts.request_bytes)
		refuse("a size must not be 0");
	if (opts.read == READ_ONE && opts.protocol != PROTOCOL_FIXED)
		refuse("how long one request is, is known of fixed ones only");
	if (opts.recv_by == RECV_SPLICE && opts.protocol != PROTOCOL_FIXED)
		refuse("who splices does not look at the bytes");
	if (opts.send_by == SEND_SENDFILE && (opts.answer == ANSWER_ALL || net_is_datagram()))
		refuse("sendfile replies to one request at a time, on a stream");
}

void options_parse(char **argv)
{
	take(argv);
	find_model();
	default_to_model(&opts.recv_by, model->recv_by);
	default_to_model(&opts.load_by, model->load_by);
	default_to_model(&opts.store_by, model->store_by);
	if (opts.send_by == AS_MODEL && opts.listen >= LISTEN_UDP)
		opts.send_by = SEND_SEND; /* write() would not know to whom */
	default_to_model(&opts.send_by, model->send_by);
	default_to_model(&opts.read, opts.protocol == PROTOCOL_FIXED ? READ_ONE : READ_ALL);
	check();
}
