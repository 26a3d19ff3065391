/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "cli/options.h"

#include <errno.h>

struct opts {
	bool json;
	uint64_t verbose;
	const char *output;
	struct option_list pids;
	uint64_t threads, duration_ns, max_bytes, rate;
	uint32_t with;
};

static const char *const sources[] = { "ebpf", "preload", "pcap", NULL };

static const struct option_spec specs[] = {
	{ "json", 'j', OPTION_FLAG, OPTION_AT(opts, json), .help = "for scripts" },
	{ "verbose", 'v', OPTION_COUNT, OPTION_AT(opts, verbose), .help = "say more" },
	{ "output", 'o', OPTION_TEXT, OPTION_AT(opts, output), .metavar = "X.gait",
	  .help = "where the trace goes" },
	{ "pid", 'p', OPTION_LIST, OPTION_AT(opts, pids), .min = 1, .max = 99999, .metavar = "N",
	  .help = "a process" },
	{ "threads", '\0', OPTION_U64, OPTION_AT(opts, threads), .fallback = 2, .min = 1, .max = 64,
	  .metavar = "N", .help = "threads" },
	{ "duration", 'd', OPTION_DURATION, OPTION_AT(opts, duration_ns), .fallback = 60000000000,
	  .min = 1000000, .metavar = "TIME", .help = "how long" },
	{ "max-size", '\0', OPTION_BYTES, OPTION_AT(opts, max_bytes), .metavar = "SIZE",
	  .help = "detach by itself when the trace is as large as this, which takes more words "
		  "than fit one line" },
	{ NULL, 'r', OPTION_RATE, OPTION_AT(opts, rate), .metavar = "RATE", .help = "requests" },
	{ "with", '\0', OPTION_CHOICE, OPTION_AT(opts, with), .fallback = 1, .metavar = "SOURCE",
	  .help = "what to listen with", .choices = sources },
};

static const struct options options = {
	.command = "try",
	.synopsis = "A [B]",
	.about = "Tries options.",
	.examples = "gait try a\n"
		    "gait try a b\n",
	.specs = specs,
	.specs_count = ARRAY_SIZE(specs),
	.args_min = 1,
	.args_max = 2,
};

#define WORDS_MAX 100

/* Splits a command line at its blanks; "''" is an empty word. */
static int split(char *line, char **argv)
{
	int argc = 0;

	for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
		if (!strcmp(word, "''"))
			*word = '\0';
		argv[argc++] = word;
	}
	return argc;
}

static int parse(char *line, struct opts *opts, struct option_args *args, struct err *err)
{
	static char *argv[WORDS_MAX];

	err->text[0] = '\0';
	return options_parse(&options, split(line, argv), argv, opts, args, err);
}

static void test_defaults(void)
{
	char line[] = "try a";
	struct option_args args;
	struct opts opts;
	struct err err;

	memset(&opts, 0x5a, sizeof(opts));
	CHECK_EQ(parse(line, &opts, &args, &err), 0);
	CHECK(!opts.json);
	CHECK_EQ(opts.verbose, 0);
	CHECK(!opts.output);
	CHECK_EQ(opts.pids.count, 0);
	CHECK_EQ(opts.threads, 2);
	CHECK_EQ(opts.duration_ns, 60000000000);
	CHECK_EQ(opts.with, 1);
	CHECK_EQ(args.count, 1);
	CHECK_EQ(args.dashes, 1);
	CHECK_STR(args.values[0], "a");
}

/* Every way to write the same. */
static void test_ways_to_write(void)
{
	static const char *const lines[] = {
		"try -jvv -o x.gait -d 5s a --pid 1 --pid 2",
		"try -j -v -v -ox.gait -d5s --pid=1 --pid=2 a",
		"try a --json --verbose --verbose --output=x.gait --duration=5s -p1 -p 2",
		"try --output x.gait --duration 5 -vjv -p 1 a -p2",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char line[200];
		struct option_args args;
		struct opts opts;
		struct err err;

		check_case("%s", lines[i]);
		strcpy(line, lines[i]);
		CHECK_EQ(parse(line, &opts, &args, &err), 0);
		CHECK(opts.json);
		CHECK_EQ(opts.verbose, 2);
		CHECK_STR(opts.output, "x.gait");
		CHECK_EQ(opts.duration_ns, 5000000000);
		if (CHECK_EQ(opts.pids.count, 2)) {
			CHECK_STR(opts.pids.items[0], "1");
			CHECK_STR(opts.pids.items[1], "2");
		}
		CHECK_EQ(args.count, 1);
		CHECK_STR(args.values[0], "a");
	}
}

static void test_values(void)
{
	char line[] = "try - --threads 64 --max-size 4k -r10k/s --with pcap --output= ''";
	struct option_args args;
	struct opts opts;
	struct err err;

	CHECK_EQ(parse(line, &opts, &args, &err), 0);
	CHECK_EQ(opts.threads, 64);
	CHECK_EQ(opts.max_bytes, 4096);
	CHECK_EQ(opts.rate, 10000);
	CHECK_EQ(opts.with, 2);
	CHECK_STR(opts.output, "");
	CHECK_EQ(args.count, 2);
	CHECK_STR(args.values[0], "-");
	CHECK_STR(args.values[1], "");
}

/* What stands behind "--" is left alone, and it shows where it began. */
static void test_dashes(void)
{
	char line[] = "try a -j -- -v";
	struct option_args args;
	struct opts opts;
	struct err err;

	CHECK_EQ(parse(line, &opts, &args, &err), 0);
	CHECK(opts.json);
	CHECK_EQ(opts.verbose, 0);
	CHECK_EQ(args.count, 2);
	CHECK_EQ(args.dashes, 1);
	CHECK_STR(args.values[1], "-v");
	CHECK(!args.values[2]);
}

static const struct {
	const char *line;
	int code;
	const char *sentence;
} cases[] = {
	{ "try --help", OPTIONS_HELP, "" },
	{ "try -h", OPTIONS_HELP, "" },
	{ "try a b c d -jh", OPTIONS_HELP, "" },
	{ "try", -EINVAL, "something is missing: gait try A [B]" },
	{ "try a b c", -EINVAL, "'c' is one argument too many" },
	{ "try a -- b c", -EINVAL, "'c' is one argument too many" },
	{ "try a --jsn", -EINVAL, "there is no option '--jsn'" },
	{ "try a --jsn=3", -EINVAL, "there is no option '--jsn'" },
	{ "try a -jx", -EINVAL, "there is no option '-x'" },
	{ "try a --json=1", -EINVAL, "--json takes no value" },
	{ "try a --output", -EINVAL, "--output needs a value (X.gait)" },
	{ "try a -o", -EINVAL, "--output needs a value (X.gait)" },
	{ "try a -r", -EINVAL, "-r needs a value (RATE)" },
	{ "try a --threads 0", -EINVAL, "--threads: '0' is less than 1" },
	{ "try a --threads 65", -EINVAL, "--threads: '65' is more than 64" },
	{ "try a --threads many", -EINVAL, "--threads: 'many' is not a whole number" },
	{ "try a --pid 7 --pid me", -EINVAL, "--pid: 'me' is not a whole number" },
	{ "try a -p 0", -EINVAL, "--pid: '0' is less than 1" },
	{ "try a -d 1us", -EINVAL, "--duration: '1us' is less than 1 ms" },
	{ "try a -d soon", -EINVAL,
	  "--duration: 'soon' is not a duration; write for example 2ms, 1.5s, 250us" },
	{ "try a -r fast", -EINVAL,
	  "-r: 'fast' is not a rate; write for example 500, 10k/s, 1.5M" },
	{ "try a --with luck", -EINVAL, "--with: 'luck' is not ebpf, preload or pcap" },
};

static void test_complaints(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[200];
		struct option_args args;
		struct opts opts;
		struct err err;

		check_case("%s", cases[i].line);
		strcpy(line, cases[i].line);
		CHECK_EQ(parse(line, &opts, &args, &err), cases[i].code);
		CHECK_STR(err.text, cases[i].sentence);
	}
}

static void test_list_limit(void)
{
	char line[WORDS_MAX * 4] = "try a";
	struct option_args args;
	struct opts opts;
	struct err err;

	for (int i = 0; i < OPTION_LIST_MAX; i++)
		strcat(line, " -p1");
	CHECK_EQ(parse(line, &opts, &args, &err), 0);
	CHECK_EQ(opts.pids.count, OPTION_LIST_MAX);
	strcpy(line, "try a");
	for (int i = 0; i <= OPTION_LIST_MAX; i++)
		strcat(line, " -p1");
	CHECK_EQ(parse(line, &opts, &args, &err), -EINVAL);
	CHECK_STR(err.text, "--pid can be given 64 times at most");
}

static const char help[] =
	"usage: gait try [options] A [B]\n"
	"\n"
	"Tries options.\n"
	"\n"
	"options:\n"
	"  -j, --json              for scripts\n"
	"  -v, --verbose           say more\n"
	"  -o, --output X.gait     where the trace goes\n"
	"  -p, --pid N             a process (can be given again)\n"
	"      --threads N         threads (default: 2)\n"
	"  -d, --duration TIME     how long (default: 60 s)\n"
	"      --max-size SIZE     detach by itself when the trace is as large as this,\n"
	"                          which takes more words than fit one line\n"
	"  -r RATE                 requests\n"
	"      --with SOURCE       what to listen with: ebpf, preload or pcap (default:\n"
	"                          preload)\n"
	"  -h, --help              show this text\n"
	"\n"
	"examples:\n"
	"  gait try a\n"
	"  gait try a b\n";

static void test_help(void)
{
	struct buf text;

	buf_init(&text, 10000);
	options_help(&options, &text);
	CHECK_STR(buf_text(&text), help);
	buf_release(&text);
}

struct walker {
	struct option_series ops;
	uint64_t threads;
};

static const struct option_spec walker_specs[] = {
	{ "comp-time", 'C', OPTION_SERIES, OPTION_AT(walker, ops), .metavar = "TIME",
	  .help = "compute" },
	{ "rs", 'R', OPTION_SERIES, OPTION_AT(walker, ops), .metavar = "[BYTES]", .help = "reply",
	  .may_lack = true },
	{ "num-threads", '\0', OPTION_U64, OPTION_AT(walker, threads), .metavar = "N",
	  .help = "threads", .alias = "nt" },
	{ "spin", 'w', OPTION_FLAG, OPTION_AT(walker, threads), .help = "spin" },
};

static const struct options walker_options = {
	.command = "walk",
	.synopsis = "",
	.about = "Walks.",
	.specs = walker_specs,
	.specs_count = 3,
	.args_max = 1,
};

/* "C=1 R R=2": letters and values in their order, then the threads. */
static const char *walked(const char *text)
{
	static struct walker w;
	static char shown[256];
	char line[256], *argv[WORDS_MAX] = { "walk" };
	struct option_args args;
	struct err err;
	size_t used = 0;

	strcpy(line, text);
	if (options_parse(&walker_options, 1 + split(line, argv + 1), argv, &w, &args, &err))
		return "wrong";
	for (size_t i = 0; i < w.ops.count; i++)
		used += (size_t)snprintf(shown + used, sizeof(shown) - used, "%c%s%s ",
					 w.ops.items[i].spec->letter,
					 w.ops.items[i].value ? "=" : "",
					 w.ops.items[i].value ? w.ops.items[i].value : "");
	snprintf(shown + used, sizeof(shown) - used, "%d/%d", (int)w.threads, args.count);
	return shown;
}

static void test_series_keeps_the_order_of_several_options(void)
{
	CHECK_STR(walked(""), "0/0");
	CHECK_STR(walked("-C 1 -R 2 -C 3"), "C=1 R=2 C=3 0/0");
	CHECK_STR(walked("-C1 --rs=2 --comp-time 3"), "C=1 R=2 C=3 0/0");
	CHECK_STR(walked("-R -C -1"),
		  "R C=-1 0/0"); /* a value that may not lack is the next word */
	CHECK_STR(walked("-R"), "R 0/0");
	CHECK_STR(walked("-R --nt 3 -R x y"), "R R=x 3/1");
	CHECK_STR(walked("--rs= -C"), "wrong");
	CHECK_STR(walked("--num-threads=4 --nt 5"), "5/0");
	CHECK_STR(walked("--nt"), "wrong");
}

static void test_series_has_a_limit(void)
{
	static struct walker w;
	static char *argv[OPTION_SERIES_MAX + 3];
	struct option_args args;
	struct err err;

	argv[0] = "walk";
	for (int i = 1; i <= OPTION_SERIES_MAX + 1; i++)
		argv[i] = "-R";
	CHECK_EQ(options_parse(&walker_options, OPTION_SERIES_MAX + 1, argv, &w, &args, &err), 0);
	CHECK_EQ(w.ops.count, OPTION_SERIES_MAX);
	/* the one before has left its mark in argv */
	argv[OPTION_SERIES_MAX + 1] = "-R";
	for (int i = 1; i <= OPTION_SERIES_MAX; i++)
		argv[i] = "-R";
	CHECK_EQ(options_parse(&walker_options, OPTION_SERIES_MAX + 2, argv, &w, &args, &err),
		 -EINVAL);
	CHECK_STR(err.text, "--rs and its like can be given 2048 times at most");
}

static void test_alias_is_shown(void)
{
	struct buf out;

	buf_init(&out, 4096);
	options_help(&walker_options, &out);
	CHECK(strstr(buf_text(&out), "      --num-threads, --nt N\n"));
	buf_release(&out);
}

static void test_what_a_word_takes(void)
{
	static const struct {
		const char *word;
		enum option_word is;
	} words[] = {
		{ "-C", OPTION_WORD_VALUE },
		{ "-C1", OPTION_WORD_WHOLE },
		{ "--comp-time", OPTION_WORD_VALUE },
		{ "--comp-time=", OPTION_WORD_WHOLE },
		{ "-R", OPTION_WORD_PERHAPS },
		{ "--rs", OPTION_WORD_PERHAPS },
		{ "--rs=1", OPTION_WORD_WHOLE },
		{ "--nt", OPTION_WORD_VALUE },
		{ "--num-threads=1", OPTION_WORD_WHOLE },
		{ "-h", OPTION_WORD_WHOLE },
		{ "--help", OPTION_WORD_WHOLE },
		{ "-w", OPTION_WORD_WHOLE },
		{ "-wC", OPTION_WORD_VALUE },
		{ "-wC1", OPTION_WORD_WHOLE },
		{ "-wX", OPTION_WORD_UNKNOWN },
		{ "-X", OPTION_WORD_UNKNOWN },
		{ "--rss", OPTION_WORD_UNKNOWN },
		{ "C", OPTION_WORD_UNKNOWN },
		{ "-", OPTION_WORD_UNKNOWN },
		{ "--", OPTION_WORD_UNKNOWN },
		{ "", OPTION_WORD_UNKNOWN },
	};
	struct options with_flag = walker_options;

	with_flag.specs_count = 4;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		check_case("%s", words[i].word);
		CHECK_EQ(options_word(&with_flag, words[i].word), words[i].is);
	}
}

int main(void)
{
	RUN(test_defaults);
	RUN(test_ways_to_write);
	RUN(test_values);
	RUN(test_dashes);
	RUN(test_complaints);
	RUN(test_list_limit);
	RUN(test_help);
	RUN(test_series_keeps_the_order_of_several_options);
	RUN(test_series_has_a_limit);
	RUN(test_alias_is_shown);
	RUN(test_what_a_word_takes);
	return check_done();
}
