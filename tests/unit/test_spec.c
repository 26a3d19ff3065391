/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/spec.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#define DRAWS 20000
#define KS_LIMIT \
	(1.63 / sqrt(DRAWS)) /* one sample in a hundred is further off; the seed is fixed */
#define MS 1e6

static const struct spec_files no_rows;

static struct spec parsed(const char *text, enum spec_unit unit)
{
	struct spec s = { 0 };
	struct err err = { "" };

	if (!CHECK_EQ(spec_parse(&s, text, unit, &no_rows, &err), 0))
		printf("#   %s: %s\n", text, err.text);
	return s;
}

static double draw(const struct spec *s, uint64_t request)
{
	return spec_draw_real(s, &(struct spec_key){ .seed = 7, .request = request });
}

/* P(a, x), the regularised lower incomplete gamma function: series, or continued fraction (Lentz). */
static double gamma_p(double a, double x)
{
	double front = exp(a * log(x) - x - lgamma(a));

	if (x <= 0)
		return 0;
	if (x < a + 1) {
		double term = 1 / a, sum = term;

		for (double n = a + 1; term > sum * 1e-15; n++)
			sum += term *= x / n;
		return front * sum;
	}
	double b = x + 1 - a, c = 1e300, d = 1 / b, h = d, step = 0;

	for (int i = 1; fabs(step - 1) > 1e-14; i++) {
		double an = -i * (i - a);

		b += 2;
		d = 1 / (an * d + b);
		c = b + an / c;
		step = d * c;
		h *= step;
	}
	return 1 - front * h;
}

static double cdf_unif(double x, double a, double b)
{
	return x < a ? 0 : x > b ? 1 : (x - a) / (b - a);
}

static double cdf_exp(double x, double mean, double unused)
{
	return x < 0 ? 0 : 1 - exp(-x / mean);
}

static double cdf_norm(double x, double mean, double std)
{
	return 0.5 * erfc((mean - x) / (std * M_SQRT2));
}

/* Of mean and deviation of the logarithm. */
static double cdf_lognorm(double x, double mu, double sigma)
{
	return x <= 0 ? 0 : cdf_norm(log(x), mu, sigma);
}

static double cdf_gamma(double x, double shape, double scale)
{
	return x <= 0 ? 0 : gamma_p(shape, x / scale);
}

/*
 * Log-normal with average 2 and deviation 1: variance of the logarithm ln(1 + 1/4), its
 * mean ln 2 minus half of that.
 */
#define LN_SIGMA 0.47238072707743883
#define LN_MU (0.69314718055994531 - 0.11157177565710488)

static const struct {
	const char *text;
	double (*cdf)(double x, double a, double b);
	double a, b;	  /* in ms */
	double mean, std; /* in ms; 0: of the one that is cut off, which has other ones */
	double min, max;  /* in ms */
} distributions[] = {
	{ "unif:min=1ms:max=3ms", cdf_unif, 1, 3, 2, 0.57735, 1, 3 },
	{ "exp:2ms", cdf_exp, 2, 0, 2, 2, 0, 1e9 },
	{ "exp:avg=2ms:min=1ms:max=4ms", cdf_exp, 2, 0, 0, 0, 1, 4 },
	{ "norm:10ms:std=1ms", cdf_norm, 10, 1, 10, 1, 0, 1e9 },
	{ "norm:1ms:std=2ms", cdf_norm, 1, 2, 0, 0, 0, 1e9 },
	{ "norm:1ms:std=2ms:min=500us:max=6000", cdf_norm, 1, 2, 0, 0, 0.5, 6 },
	{ "lognorm:2ms:std=1ms", cdf_lognorm, LN_MU, LN_SIGMA, 2, 1, 0, 1e9 },
	{ "lognorm:2ms:std=1ms:max=2ms", cdf_lognorm, LN_MU, LN_SIGMA, 0, 0, 0, 2 },
	/* the logarithm of the value in us, so of the one in ms ln 1000 less */
	{ "lognorm:xavg=7.600902459542082:xstd=0.5", cdf_lognorm, 0.69314718055994531, 0.5,
	  2.2662969, 1.2077990, 0, 1e9 },
	{ "gamma:4ms:std=2ms", cdf_gamma, 4, 1, 4, 2, 0, 1e9 },
	{ "gamma:k=2.5:scale=2ms", cdf_gamma, 2.5, 2, 5, 3.1622777, 0, 1e9 },
	{ "gamma:k=0.3:scale=1ms", cdf_gamma, 0.3, 1, 0.3, 0.5477226, 0, 1e9 },
	{ "gamma:k=1:scale=3ms", cdf_exp, 3, 0, 3, 3, 0, 1e9 },
	{ "gamma:k=50:scale=1ms:min=50ms", cdf_gamma, 50, 1, 0, 0, 50, 1e9 },
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The largest distance between the sample's distribution and the exact one, cut to its limits. */
static double ks_distance(double *sample, size_t row)
{
	double a = distributions[row].a, b = distributions[row].b, worst = 0;
	double low = distributions[row].cdf(distributions[row].min, a, b);
	double high = distributions[row].cdf(distributions[row].max, a, b);

	qsort(sample, DRAWS, sizeof(*sample), compare);
	for (size_t i = 0; i < DRAWS; i++) {
		double f = (distributions[row].cdf(sample[i], a, b) - low) / (high - low);

		worst = fmax(worst, fmax(f - (double)i / DRAWS, (double)(i + 1) / DRAWS - f));
	}
	return worst;
}

static void test_distributions(void)
{
	static double sample[DRAWS];

	for (size_t row = 0; row < ARRAY_SIZE(distributions); row++) {
		struct spec s = parsed(distributions[row].text, SPEC_NS);
		double sum = 0, squares = 0, mean, std;

		check_case("%s", distributions[row].text);
		for (size_t i = 0; i < DRAWS; i++) {
			sample[i] = draw(&s, i) / MS;
			sum += sample[i];
			squares += sample[i] * sample[i];
			CHECK(sample[i] >= distributions[row].min);
			CHECK(sample[i] <= distributions[row].max);
		}
		mean = sum / DRAWS;
		std = sqrt(squares / DRAWS - mean * mean);
		if (distributions[row].mean != 0) {
			CHECK_NEAR(mean, distributions[row].mean,
				   3 * distributions[row].std / sqrt(DRAWS));
			CHECK_NEAR(std, distributions[row].std, 0.05 * distributions[row].std);
		}
		CHECK_NEAR(ks_distance(sample, row), 0, KS_LIMIT);
		spec_release(&s);
	}
}

/* A check that accepts all distributions is none: exp with a mean 5% off is found out. */
static void test_ks_tells_distributions_apart(void)
{
	static double sample[DRAWS];
	struct spec s = parsed("exp:2.1ms", SPEC_NS);

	for (size_t i = 0; i < DRAWS; i++)
		sample[i] = draw(&s, i) / MS;
	CHECK(ks_distance(sample, 1) > KS_LIMIT);
	spec_release(&s);
}

/* The tails that DistWalk's sum of 16 uniforms does not have. */
static void test_normal_has_its_tails(void)
{
	struct spec s = parsed("norm:100ms:std=1ms", SPEC_NS);
	int beyond = 0, far = 0;

	for (uint64_t i = 0; i < 1000000; i++) {
		double off = fabs(draw(&s, i) / MS - 100);

		beyond += off > 3;
		far += off > 4.5;
	}
	CHECK_NEAR(beyond, 2699.8, 4 * sqrt(2699.8));
	CHECK_NEAR(far, 6.8, 4 * sqrt(6.8));
}

static void test_key_decides_alone(void)
{
	struct spec s = parsed("exp:1s", SPEC_NS);
	struct spec_key key = { .seed = 1, .request = 2, .op = 3, .slot = 4 };
	struct spec_key others[] = {
		{ 2, 2, 3, 4 },
		{ 1, 3, 3, 4 },
		{ 1, 2, 4, 4 },
		{ 1, 2, 3, 5 },
		{ 1ull << 32 | 1, 2, 3, 4 },
		{ 1, 1ull << 32 | 2, 3, 4 },
	};
	uint64_t value = spec_draw(&s, &key);
	double xy = 0, x = 0, y = 0;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		CHECK(spec_draw(&s, &others[i]) != value);
	CHECK_EQ(spec_draw(&s, &key), value);
	/* neighbours are independent */
	for (uint64_t i = 0; i < DRAWS; i++) {
		double a = spec_chance(&(struct spec_key){ 1, i, 0, 0 }) - 0.5;
		double b = spec_chance(&(struct spec_key){ 1, i + 1, 0, 0 }) - 0.5;

		xy += a * b, x += a * a, y += b * b;
	}
	CHECK_NEAR(xy / sqrt(x * y), 0, 3 / sqrt(DRAWS));
}

static const struct {
	const char *text;
	enum spec_unit unit;
	uint64_t values[6];
	uint64_t length;
} sequences[] = {
	{ "10us", SPEC_NS, { 10000, 10000, 10000, 10000, 10000, 10000 }, 0 },
	{ "none", SPEC_NS, { 0, 0, 0, 0, 0, 0 }, 0 },
	{ "aseq:min=1:max=4", SPEC_COUNT, { 1, 2, 3, 4, 4, 4 }, 4 },
	{ "aseq:1:max=4", SPEC_COUNT, { 1, 2, 3, 4, 4, 4 }, 4 },
	{ "aseq:min=100:max=1000:step=400", SPEC_COUNT, { 100, 500, 900, 1000, 1000, 1000 }, 4 },
	{ "aseq:min=1:max=4:step=-1", SPEC_COUNT, { 4, 3, 2, 1, 1, 1 }, 4 },
	{ "aseq:min=1us:max=2us:step=500ns", SPEC_NS, { 1000, 1500, 2000, 2000, 2000, 2000 }, 3 },
	{ "aseq:min=1:max=3", SPEC_NS, { 1000, 2000, 3000, 3000, 3000, 3000 }, 3 },
	{ "aseq:min=0:max=1:step=0.1", SPEC_NS, { 0, 100, 200, 300, 400, 500 }, 11 },
	{ "aseq:min=5:max=5", SPEC_COUNT, { 5, 5, 5, 5, 5, 5 }, 1 },
	{ "gseq:min=1:max=16", SPEC_COUNT, { 1, 2, 4, 8, 16, 16 }, 5 },
	{ "gseq:min=1:max=20:step=3", SPEC_COUNT, { 1, 3, 9, 20, 20, 20 }, 4 },
	{ "gseq:min=1k:max=8k:step=0.5", SPEC_BYTES, { 8000, 4000, 2000, 1000, 1000, 1000 }, 4 },
	{ "values:3:1:2", SPEC_COUNT, { 3, 1, 2, 3, 1, 2 }, 3 },
	{ "values:unit=ms:3:1",
	  SPEC_NS,
	  { 3000000, 1000000, 3000000, 1000000, 3000000, 1000000 },
	  2 },
};

static void test_sequences(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
		struct spec s = parsed(sequences[i].text, sequences[i].unit);

		check_case("%s", sequences[i].text);
		for (uint64_t k = 0; k < 6; k++)
			CHECK_EQ(spec_draw(&s, &(struct spec_key){ .request = k, .seed = k }),
				 sequences[i].values[k]);
		CHECK_EQ(spec_length(&s), sequences[i].length);
		spec_release(&s);
	}
}

static const struct {
	const char *text;
	enum spec_unit unit;
	uint64_t value;
} constants[] = {
	{ "10", SPEC_NS, 10000 },	{ "10us", SPEC_NS, 10000 },
	{ "250ns", SPEC_NS, 250 },	{ "1.5ms", SPEC_NS, 1500000 },
	{ "0.01s", SPEC_NS, 10000000 }, { ".5", SPEC_NS, 500 },
	{ "1e3", SPEC_NS, 1000000 },	{ "512", SPEC_BYTES, 512 },
	{ "4k", SPEC_BYTES, 4000 },	{ "4K", SPEC_BYTES, 4000 },
	{ "4kb", SPEC_BYTES, 4000 },	{ "4KiB", SPEC_BYTES, 4096 },
	{ "512b", SPEC_BYTES, 512 },	{ "1.5m", SPEC_COUNT, 1500000 },
	{ "1mi", SPEC_BYTES, 1048576 }, { "2g", SPEC_BYTES, 2000000000 },
	{ "0", SPEC_COUNT, 0 },		{ "9007199254740992", SPEC_BYTES, SPEC_VALUE_MAX },
};

static void test_constants(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
		struct spec s = parsed(constants[i].text, constants[i].unit);

		check_case("%s", constants[i].text);
		CHECK_EQ(spec_draw(&s, &(struct spec_key){ 0 }), constants[i].value);
		CHECK(spec_is_constant(&s));
	}
}

static const struct {
	const char *text;
	enum spec_unit unit;
	int rc;
	const char *says;
} wrong[] = {
	{ "", SPEC_NS, -EINVAL, "'' is not a time" },
	{ "ten", SPEC_NS, -EINVAL, "'ten' is not a time; write for example 10us" },
	{ "10 us", SPEC_NS, -EINVAL, "'10 us' is not a time" },
	{ "10k", SPEC_NS, -EINVAL, "'10k' is not a time" },
	{ "10us", SPEC_BYTES, -EINVAL, "'10us' is not a size" },
	{ "10kb", SPEC_COUNT, -EINVAL, "'10kb' is not a number" },
	{ "-1", SPEC_NS, -EINVAL, "'-1' is not a time" },
	{ "0x10", SPEC_NS, -EINVAL, "'0x10' is not a time" },
	{ "inf", SPEC_NS, -EINVAL, "'inf' is not a time" },
	{ "nan", SPEC_NS, -EINVAL, "'nan' is not a time" },
	{ "1e400", SPEC_NS, -ERANGE, "'1e400' is too large" },
	{ "9007199254740994", SPEC_BYTES, -ERANGE, "too large" },
	{ "unif:min=1:max=2,", SPEC_NS, -EINVAL, "'2,' is not a time" },
	{ "unif:min=10,max=20", SPEC_NS, -EINVAL, "'10,max=20' is not a time" },
	{ "unif:min=1", SPEC_NS, -EINVAL, "'unif:min=1' lacks max: write unif:min=A:max=B" },
	{ "unif:min=2:max=1", SPEC_NS, -EINVAL, "min is above max" },
	{ "unif:5:min=1:max=2", SPEC_NS, -EINVAL, "'5' has no place in it" },
	{ "exp", SPEC_NS, -EINVAL, "'exp' lacks avg: write exp:AVG" },
	{ "exp:", SPEC_NS, -EINVAL, "'exp:' is not a time" },
	{ "exp:10:std=3", SPEC_NS, -EINVAL, "'exp:10:std=3': 'std=3' has no place in it" },
	{ "exp:10:20", SPEC_NS, -EINVAL, "'20' has no place in it" },
	{ "exp:10:min=1000s", SPEC_NS, -ERANGE, "less than one value in a hundred" },
	{ "norm:10", SPEC_NS, -EINVAL, "lacks std" },
	{ "lognorm:xavg=1", SPEC_NS, -EINVAL,
	  "lacks avg: write lognorm:AVG:std=S or lognorm:xavg" },
	{ "lognorm:0:std=1", SPEC_NS, -EINVAL, "above 0" },
	{ "gamma:k=0:scale=1", SPEC_NS, -EINVAL, "k of a gamma" },
	{ "gamma:10:std=0", SPEC_NS, -EINVAL, "above 0" },
	{ "gamma:20:k=1:scale=2", SPEC_NS, -EINVAL, "has no place in it" },
	{ "aseq:min=1:max=2:step=0", SPEC_NS, -EINVAL, "step of an aseq must not be 0" },
	{ "gseq:min=1:max=2:step=1", SPEC_NS, -EINVAL, "step of a gseq" },
	{ "gseq:min=0:max=2", SPEC_NS, -EINVAL, "min of a gseq" },
	{ "gseq:min=1:max=2:step=2us", SPEC_NS, -EINVAL, "'2us' is not a number" },
	{ "values:", SPEC_NS, -EINVAL, "is not a time" },
	{ "values:1:x", SPEC_NS, -EINVAL, "'x' is not a time" },
	{ "values:unit=k:1", SPEC_NS, -EINVAL, "has no values" },
	{ "none:1", SPEC_NS, -EINVAL, "'none:1'" },
	{ "row:0", SPEC_NS, -EINVAL, "needs the file of --rows" },
	{ "file:/nowhere/x", SPEC_NS, -ENOENT, "cannot open '/nowhere/x': No such file" },
	{ "a:b:c:d:e:f:g:h:i:j:k", SPEC_NS, -EINVAL, "too many fields" },
};

static void test_complaints(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct spec s = { .count = 23 };
		struct err err = { "" };

		check_case("%s", wrong[i].text);
		CHECK_EQ(spec_parse(&s, wrong[i].text, wrong[i].unit, &no_rows, &err), wrong[i].rc);
		if (!CHECK(strstr(err.text, wrong[i].says)))
			printf("#   says: %s\n", err.text);
		CHECK_EQ(s.count, 23);
	}
}

static void write_file(char path[32], const char *content)
{
	strcpy(path, "/tmp/test_spec-XXXXXX");
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static const struct {
	const char *content;
	const char *fields; /* behind the path; row: of the rows file */
	uint64_t values[4];
	uint64_t length; /* 0: an error */
	const char *says;
} files[] = {
	{ "1\n2\n3\n", "", { 1000, 2000, 3000, 1000 }, 3, NULL },
	{ "1\r\n\r\n2\r\n", "", { 1000, 2000, 1000, 2000 }, 2, NULL },
	{ "1", "", { 1000, 1000, 1000, 1000 }, 1, NULL },
	{ "gap,size,time\n1,2,3\n4,5,6\n",
	  ":col=2:unit=ms",
	  { 3000000, 6000000, 3000000, 6000000 },
	  2,
	  NULL },
	{ "gap,size,time\n1,2,3\n4,5,6\n", ":col=size", { 2000, 5000, 2000, 5000 }, 2, NULL },
	{ "\"a,b\",\"7\"\n\"c,d\";,8\n", ":col=1", { 7000, 8000, 7000, 8000 }, 2, NULL },
	{ "1;2us\n3;4ms\n", ":sep=;:col=1", { 2000, 4000000, 2000, 4000000 }, 2, NULL },
	{ "1\t2\n", ":sep=tab:col=1", { 2000, 2000, 2000, 2000 }, 1, NULL },
	{ "1\n50\n2\n60\n", ":max=10", { 1000, 2000, 1000, 2000 }, 2, NULL },
	{ "1\nx\n", "", { 0 }, 0, ": line 2: 'x' is not a value" },
	{ "1\n-2\n", "", { 0 }, 0, ": line 2: '-2' is not a value" },
	{ "1,2\n3\n", ":col=1", { 0 }, 0, ": line 2 has no column 1" },
	{ "a,b\n1,2\n", ":col=c", { 0 }, 0, "first line has no column 'c'" },
	{ "", "", { 0 }, 0, "has no value in column 0" },
	{ "\n\n", "", { 0 }, 0, "has no value in column 0" },
	{ "1\n", ":unit=k", { 0 }, 0, "'k' is not a unit of a time" },
	{ "1\n", ":sep=ab", { 0 }, 0, "sep must be one character" },
	{ "1\n", ":col=0:step=1", { 0 }, 0, "'step=1' has no place" },
};

static void test_files(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[32], text[128];
		struct err err = { "" };
		struct spec s = { 0 };

		check_case("file %zu", i);
		write_file(path, files[i].content);
		snprintf(text, sizeof(text), "file:%s%s", path, files[i].fields);
		CHECK_EQ(!spec_parse(&s, text, SPEC_NS, &no_rows, &err), files[i].length > 0);
		CHECK_EQ(spec_length(&s), files[i].length);
		for (uint64_t k = 0; k < 4 && files[i].length; k++)
			CHECK(draw(&s, k) == (double)files[i].values[k]);
		if (files[i].says && !CHECK(strstr(err.text, files[i].says)))
			printf("#   says: %s\n", err.text);
		/* the network names no file */
		CHECK_EQ(spec_parse(&s, text, SPEC_NS, NULL, &err), -EACCES);
		spec_release(&s);
		unlink(path);
	}
}

static void test_long_lines_are_refused(void)
{
	char path[32], text[64], *line = malloc(SPEC_LINE_MAX + 3);
	struct spec s = { 0 };
	struct err err;

	for (int extra = 0; extra < 2; extra++) {
		memset(line, ' ', SPEC_LINE_MAX + 2);
		line[0] = '7';
		line[SPEC_LINE_MAX + extra] = '\n';
		line[SPEC_LINE_MAX + extra + 1] = '\0';
		write_file(path, line);
		snprintf(text, sizeof(text), "file:%s", path);
		CHECK_EQ(spec_parse(&s, text, SPEC_COUNT, &no_rows, &err), extra ? -EINVAL : 0);
		spec_release(&s);
		unlink(path);
	}
	CHECK(strstr(err.text, "line 1 is longer than 65536 bytes"));
	free(line);
}

static void test_rows_stay_together(void)
{
	struct spec gap, size;
	struct err err;
	char path[32];

	write_file(path, "gap;bytes\n1;100\n2;200\n3;300\n");
	struct spec_files rows = { .rows = path, .rows_sep = ';' };

	CHECK_EQ(spec_parse(&gap, "row:gap:unit=ms", SPEC_NS, &rows, &err), 0);
	CHECK_EQ(spec_parse(&size, "row:1", SPEC_BYTES, &rows, &err), 0);
	for (uint64_t k = 0; k < 100; k++)
		CHECK(draw(&gap, k) == draw(&size, k) * 10000);
	spec_release(&gap);
	spec_release(&size);
	CHECK_EQ(spec_parse(&gap, "row:2", SPEC_NS, &rows, &err), -EINVAL);
	CHECK(strstr(err.text, "line 1 has no column 2"));
	CHECK_EQ(spec_parse(&gap, "row:0:max=2", SPEC_NS, &rows, &err), -EINVAL);
	unlink(path);
}

static void test_format_parses_back(void)
{
	static const char *const more[] = { "norm:0.1us:std=0.3333333ms:min=1:max=70us",
					    "gamma:k=0.1:scale=0.7us",
					    "lognorm:xavg=-0.1:xstd=1e-3", "exp:1e-3",
					    "values:0.1:1e-9:7s" };
	size_t total = ARRAY_SIZE(distributions) + ARRAY_SIZE(sequences) + ARRAY_SIZE(more);

	for (size_t i = 0; i < total; i++) {
		size_t j = i - ARRAY_SIZE(distributions), k = j - ARRAY_SIZE(sequences);
		const char *text = i < ARRAY_SIZE(distributions) ? distributions[i].text :
				   j < ARRAY_SIZE(sequences)	 ? sequences[j].text :
								   more[k];
		enum spec_unit unit = j < ARRAY_SIZE(sequences) ? sequences[j].unit : SPEC_NS;
		struct spec s = parsed(text, unit), again;
		struct buf once, twice;

		check_case("%s", text);
		buf_init(&once, SPEC_TEXT_MAX);
		buf_init(&twice, SPEC_TEXT_MAX);
		CHECK_EQ(spec_format(&s, &once, NULL), 0);
		again = parsed(buf_text(&once), unit);
		CHECK_EQ(spec_format(&again, &twice, NULL), 0);
		CHECK_STR(buf_text(&twice), buf_text(&once));
		for (uint64_t n = 0; n < 200; n++)
			CHECK(draw(&s, n) == draw(&again, n));
		spec_release(&s);
		spec_release(&again);
		buf_release(&once);
		buf_release(&twice);
	}
}

static void test_text_has_a_limit(void)
{
	struct spec s = { .kind = SPEC_VALUES, .unit = SPEC_COUNT, .count = SPEC_TEXT_MAX / 2 };
	struct err err = { "" };
	struct buf out;

	s.values = calloc(s.count, sizeof(*s.values));
	buf_init(&out, 4 * SPEC_TEXT_MAX);
	CHECK_EQ(spec_format(&s, &out, &err), -E2BIG);
	CHECK_EQ(out.len, 0);
	CHECK_STR(err.text,
		  "524288 values are too long as text: at most 1048576 bytes go to a node");
	s.count -= 3; /* "values" and two bytes each */
	CHECK_EQ(spec_format(&s, &out, &err), 0);
	CHECK_EQ(out.len, SPEC_TEXT_MAX);
	spec_release(&s);
	buf_release(&out);
}

int main(void)
{
	RUN(test_constants);
	RUN(test_complaints);
	RUN(test_sequences);
	RUN(test_distributions);
	RUN(test_ks_tells_distributions_apart);
	RUN(test_normal_has_its_tails);
	RUN(test_key_decides_alone);
	RUN(test_files);
	RUN(test_long_lines_are_refused);
	RUN(test_rows_stay_together);
	RUN(test_format_parses_back);
	RUN(test_text_has_a_limit);
	return check_done();
}
