/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/walk/options.h"

#include "base/clock.h"
#include "replay/slowest.h"

/* What can be said on the command line; read.c knows what it means. */
static const char *const zero_or_one[] = { "0", "1", NULL };

#define AT(member) OPTION_AT(walk_cmd_opts, member)
#define OP(name, letter, metavar, help)                                                         \
	{                                                                                       \
		name, letter, OPTION_SERIES, AT(ops), 0, 0, 0, metavar, help, NULL, NULL, false \
	}
#define OP_PERHAPS(name, letter, metavar, help)                                                \
	{                                                                                      \
		name, letter, OPTION_SERIES, AT(ops), 0, 0, 0, metavar, help, NULL, NULL, true \
	}

static const struct option_spec specs[] = {
	{ "to", '\0', OPTION_TEXT, AT(to), .metavar = "ADDRESS",
	  .help = "the node, [tcp|tls|udp:[//]][HOST][:PORT] or unix:PATH (localhost:7891)" },
	{ "ssh", '\0', OPTION_TEXT, AT(ssh), .metavar = "HOST[,...]",
	  .help = "start nodes on these machines, [USER@]HOST, by ssh, for the time of the walk; "
		  "the first one is --to" },
	{ "control", '\0', OPTION_TEXT, AT(control), .metavar = "ADDRESS",
	  .help = "where the node is told what to do, tcp or unix, if that is not where it takes "
		  "requests" },
	{ "bind-addr", 'b', OPTION_TEXT, AT(bind), .metavar = "HOST[:PORT]",
	  .help = "our own end of the connections" },
	{ "num-pkts", 'n', OPTION_TEXT, AT(requests), .metavar = "N",
	  .help = "requests of each thread, over all its sessions (1); auto: as many as the steps "
		  "of the rate, or the values of the period, are" },
	{ "num-threads", '\0', OPTION_U64, AT(threads), .fallback = 1, .min = 1,
	  .max = WALK_THREADS_MAX, .metavar = "N", .help = "threads, a connection each",
	  .alias = "nt" },
	{ "num-sessions", '\0', OPTION_U64, AT(sessions), .fallback = 1, .min = 1,
	  .max = WALK_SESSIONS_MAX, .metavar = "N",
	  .help = "of each thread: a new connection for each", .alias = "ns" },
	{ "agents", '\0', OPTION_TEXT, AT(agents), .metavar = "N|HOST:PORT[,...]",
	  .help = "send from so many processes, or from other hosts, where gait agent listens: each "
		  "has its share of the threads" },
	{ "rate", 'r', OPTION_TEXT, AT(rate), .metavar = "SPEC",
	  .help = "requests a second of each thread (1000); a changing one needs "
		  "--rate-step-secs" },
	{ "rate-step-secs", '\0', OPTION_DURATION, AT(rate_step_ns), .min = 1, .metavar = "TIME",
	  .help = "how long each value of the rate holds", .alias = "rss" },
	{ "period", 'p', OPTION_TEXT, AT(period), .metavar = "SPEC",
	  .help = "time from one request to the next, instead of a rate" },
	{ "wait-spin", '\0', OPTION_FLAG, AT(wait_spin),
	  .help = "do not sleep until the next request is due, but turn a loop", .alias = "ws" },
	{ "no-spin", '\0', OPTION_FLAG, AT(no_spin),
	  .help = "sleep all the time until then, and be some 50 us late" },
	{ "timeout", '\0', OPTION_DURATION, AT(timeout_ns), .min = NS_PER_MS, .metavar = "TIME",
	  .help = "how long after it was due a reply may come (10 s)" },
	{ "stag-send", '\0', OPTION_FLAG, AT(stagger),
	  .help = "spread the first requests of the threads over one period" },
	{ "ps", '\0', OPTION_TEXT, AT(request_bytes), .metavar = "SPEC",
	  .help = "bytes of a request, also of what a -F sends (1024)" },
	OP("comp-time", 'C', "TIME", "compute for so long"),
	OP("load-data", 'L', "BYTES|FIELDS", "read; [offset=SPEC,]size=SPEC[,dev=N]"),
	OP("load-offset", '\0', "SPEC", "where the -L behind it read that do not say"),
	OP("store-data", 'S', "BYTES|FIELDS",
	   "write; [offset=SPEC,][sync|nosync,]size=SPEC[,dev=N]; sync unless it says nosync"),
	OP("store-offset", '\0', "SPEC", "where the -S behind it write that do not say"),
	OP_PERHAPS("sync-data", '\0', "[FIELDS]", "fsync; [dev=N][,data], with data an fdatasync"),
	OP("sleep", '\0', "TIME", "a timer that the described service sets"),
	OP("lock", '\0', "TIME[,id=N]", "compute for so long while holding a lock"),
	OP("memory", '\0', "BYTES", "take memory, write to each page, give it back"),
	OP("kernel", '\0', "FIELDS", "system calls; open|stat|close[,count=N][,dev=N]"),
	OP("skip", 's', "N[,FIELDS]", "pass over the next N of these; [,prob=P][,every=M]"),
	OP("forward", 'F', "ADDRESS[,FIELDS]",
	   "call other nodes with what follows, up to its own -R; "
	   "fields: more addresses, timeout=TIME, retry=N, nack=N, size=SPEC, branch"),
	OP_PERHAPS("rs", 'R', "[BYTES|FIELDS]",
		   "reply (512), the end of the chain; [sendfile,][dev=N,][offset=SPEC,]BYTES"),
	{ "rows", '\0', OPTION_TEXT, AT(rows), .metavar = "FILE[,sep=C]",
	  .help = "the file of every row:COLUMN spec: all of a request come from the same line" },
	{ "script-filename", 'f', OPTION_TEXT, AT(script), .metavar = "FILE",
	  .help = "take options from a file, as if they stood here" },
	{ "seed", '\0', OPTION_U64, AT(seed), .fallback = 1, .metavar = "N",
	  .help = "of everything that is drawn" },
	{ "retry-num", '\0', OPTION_U64, AT(retries), .max = UINT32_MAX, .metavar = "N",
	  .help = "try so often again to connect (0)" },
	{ "retry-period", '\0', OPTION_TEXT, AT(retry_period), .metavar = "TIME",
	  .help = "wait so long before that; ms without a unit, at least 200 (200)" },
	{ "conn-times", '\0', OPTION_FLAG, AT(conn_times), .help = "tell how long connects took" },
	{ "non-block", '\0', OPTION_FLAG, AT(non_block), .help = "connect without blocking" },
	{ "no-delay", '\0', OPTION_CHOICE, AT(no_delay), .fallback = 1, .metavar = "0|1",
	  .help = "TCP_NODELAY", .choices = zero_or_one, .alias = "nd" },
	{ "output", 'o', OPTION_TEXT, AT(output), .metavar = "FILE[,FIELDS]",
	  .help = "the table of requests, FILE.csv or FILE.txt; [,sep=C][,header=true|false]; "
		  "-: lines on standard output",
	  .alias = "output-file" },
	{ "run", 'O', OPTION_TEXT, AT(run), .metavar = "RUN.gait",
	  .help = "write a run, for gait report and gait replay" },
	{ "no-attribution", '\0', OPTION_FLAG, AT(no_attribution),
	  .help = "with -O: load no probes in the client: what lies between it and the node is one "
		  "lump" },
	{ "force", '\0', OPTION_FLAG, AT(force), .help = "replace a run of that name" },
	{ "keep", '\0', OPTION_TEXT, AT(keep), .metavar = "PERCENT",
	  .help = "of a long run: keep rows of a sample of the requests, and of the slowest; of all "
		  "what they add up to" },
	{ "keep-slowest", '\0', OPTION_U64, AT(keep_slowest), .fallback = 10, .max = SLOWEST_MAX,
	  .metavar = "N", .help = "with --keep: so many of the slowest of each second too" },
	{ "timeline", '\0', OPTION_FLAG, AT(timeline),
	  .help = "also write what each request of the run went through, stretch by stretch" },
	{ "plan-only", '\0', OPTION_FLAG, AT(plan_only),
	  .help = "write -O as a trace of what would be sent, and send nothing" },
	{ "nano", '\0', OPTION_FLAG, AT(nano), .help = "times of the table in ns, not us" },
	{ "per-session-output", '\0', OPTION_FLAG, AT(per_session),
	  .help = "the table of a session when it ends, not all at the end", .alias = "pso" },
	{ "interactive-pso", 'i', OPTION_FLAG, AT(interactive), .help = "the same, shown at once" },
	{ "json", 'j', OPTION_FLAG, AT(json), .help = "the summary for scripts" },
	{ "progress", '\0', OPTION_FLAG, AT(progress),
	  .help = "a line a second on stderr, also when that is no terminal" },
	{ "key", 'k', OPTION_TEXT, AT(secure.key), .metavar = "FILE",
	  .help = "the key that the node has too (gait keys new makes one)" },
	{ "tls-cert", '\0', OPTION_TEXT, AT(secure.cert), .metavar = "FILE",
	  .help = "this client's certificate and its chain (PEM)" },
	{ "tls-key", '\0', OPTION_TEXT, AT(secure.cert_key), .metavar = "FILE",
	  .help = "its private key (PEM)" },
	{ "tls-ca", '\0', OPTION_TEXT, AT(secure.ca), .metavar = "FILE",
	  .help = "who signed the node's certificate, which has to be for its host (PEM)" },
	{ "ssl-cert", '\0', OPTION_TEXT, AT(tls.cert), .metavar = "FILE",
	  .help = "our certificate" },
	{ "ssl-key", '\0', OPTION_TEXT, AT(tls.key), .metavar = "FILE", .help = "its key" },
	{ "ssl-ca", '\0', OPTION_TEXT, AT(tls.ca), .metavar = "FILE",
	  .help = "who may have signed the node's certificate" },
	{ "ssl-ca-path", '\0', OPTION_TEXT, AT(tls.ca_path), .metavar = "DIR",
	  .help = "the same, a directory" },
	{ "ssl-ciphers", '\0', OPTION_TEXT, AT(tls.ciphers), .metavar = "LIST",
	  .help = "ciphers to offer" },
	{ "ssl-verify", '\0', OPTION_FLAG, AT(tls.verify),
	  .help = "check the node's certificate and its name" },
	{ "dry-run", '\0', OPTION_FLAG, AT(dry_run),
	  .help = "show what would be sent, in full, and send nothing" },
};

#define SPECS .specs = specs, .specs_count = sizeof(specs) / sizeof(specs[0])

static const struct options options = {
	.command = "walk",
	.synopsis = "[SCENARIO.yaml]",
	.about =
		"Sends requests to a node; what each asks for is the chain of -C, -L, -S, "
		"--sync-data, --sleep, --lock, --memory, --kernel, -F, -s and -R, in their order. A "
		"SPEC, and so every TIME (us without a unit) and BYTES of these, is a value or "
		"unif:min=A:max=B, exp:AVG, norm:AVG:std=S, lognorm:AVG:std=S, gamma:AVG:std=S, "
		"aseq:min=A:max=B:step=S, gseq:min=A:max=B:step=F, file:PATH:col=N, row:COLUMN; "
		"gait-walk(1) tells all. A scenario describes services, classes of requests and "
		"phases of load in a file; options beside it win.",
	.examples = "gait walk --to 10.0.0.7 -n 1000 -r 500 -C exp:100us -R 4k\n"
		    "gait walk -n 10 -S 4k,sync -F :7892,:7893,nack=1 -C 2ms -R -R 64\n"
		    "gait walk -n auto -r aseq:min=100:max=1000:step=100 --rss 5 -C 50us\n",
	SPECS,
	.args_max = 1,
};

static const struct options dw_options = {
	.command = "dw_client",
	.is_program = true,
	.synopsis = "",
	.about = "gait walk with the command line and the output of DistWalk's dw_client: without "
		 "-o a line of each request on standard output, then one of each thread; chains "
		 "whose -R are missing get them; replies may take 2 min. The node is a gait node "
		 "or a dw_node of gait's. gait-walk(1) tells more.",
	.examples = "dw_client -n 10 -r 1000 -C 100us\n"
		    "dw_client --to :7892 --nt 4 -n 5000 -r 250 -S 4k --rs=64 -o out.csv\n",
	SPECS,
};

const struct walk_program walk_program = { &options, WALK_TIMEOUT_NS, false };
const struct walk_program dw_client_program = { &dw_options, 12 * WALK_TIMEOUT_NS, true };
