/* SPDX-License-Identifier: Apache-2.0 */
/* What a client and an agent on another host tell each other, there and back in memory. */
#include "check.h"
#include "replay/net/clock_offset.h"
#include "replay/walk/job.h"

#include <arpa/inet.h>
#include <errno.h>

#define BUF_MAX (8 * WIRE_PAYLOAD_MAX)

static const char chain_text[] = "-s\n2,prob=0.5\n-C\n10us\n-R\n64\n-C\n20us\n-R\n128\n";

static struct endpoint endpoint_of(const char *host, uint16_t port)
{
	struct endpoint e = { .size = sizeof(struct sockaddr_in) };
	struct sockaddr_in *at = (struct sockaddr_in *)&e.at;

	at->sin_family = AF_INET;
	at->sin_port = htons(port);
	inet_pton(AF_INET, host, &at->sin_addr);
	return e;
}

/* Feeds what was put; the last result. */
static int take_job(struct walk_job *job, const struct buf *buf, struct err *err)
{
	struct wire_frame frame;
	size_t used = 0;
	int n, rc = 0;

	while (rc >= 0 && (n = wire_frame_decode((uint8_t *)buf->data + used, buf->len - used,
						 &frame, err)) > 0) {
		rc = used ? walk_job_take(job, &frame, err) : walk_job_begin(job, &frame, err);
		used += (size_t)n;
	}
	return rc;
}

static void make_plan(struct chain *chain, struct spec specs[3], struct walk_class classes[2],
		      struct walk_plan *plan)
{
	CHECK_EQ(chain_parse_text(chain, chain_text, sizeof(chain_text) - 1, NULL), 0);
	CHECK_EQ(spec_parse(&specs[0], "unif:min=100:max=200", SPEC_BYTES, NULL, NULL), 0);
	CHECK_EQ(spec_parse(&specs[1], "exp:3ms", SPEC_NS, NULL, NULL), 0);
	CHECK_EQ(spec_parse(&specs[2], "values:70:80", SPEC_BYTES, NULL, NULL), 0);
	classes[0] = (struct walk_class){ "small", 0, 3, true, specs[2] };
	classes[1] = (struct walk_class){ .name = "large", .at = 3, .end = 5 };
	*plan = (struct walk_plan){
		.endpoint = endpoint_of("10.1.2.3", 7000),
		.transport = TRANSPORT_TCP,
		.timeout_ns = 5000,
		.no_delay = true,
		.connect_retries = 3,
		.connect_retry_ns = 7,
		.schedule = {
			.threads = 8,
			.requests = 100,
			.sessions = 4,
			.seed = 42,
			.period = &specs[1],
			.size = &specs[0],
			.chain = chain,
			.classes = classes,
			.classes_count = 2,
			.stagger = true,
		},
	};
	memset(plan->secret, 9, sizeof(plan->secret));
}

/* An agent sends the same requests at the same times as a thread here would. */
static void test_job(void)
{
	const struct walk_job_share share = { .first = 1, .step = 2, .beside = 1, .rows = true };
	struct walk_job *job = calloc(1, sizeof(*job));
	struct walk_plan plan, back;
	struct walk_class classes[2];
	struct spec specs[3];
	struct chain chain;
	struct err err = { "" };
	struct buf buf;

	make_plan(&chain, specs, classes, &plan);
	buf_init(&buf, BUF_MAX);
	CHECK_EQ(walk_job_put(&buf, &plan, &share, &err), 0);
	CHECK_EQ(take_job(job, &buf, &err), 1);
	check_case("%s", err.text);
	walk_job_plan(job, &back);
	CHECK_STR(job->head.address, "10.1.2.3:7000");
	CHECK_EQ(job->head.flags & WIRE_SENDER_ROWS, WIRE_SENDER_ROWS);
	CHECK_MEM(back.secret, plan.secret, sizeof(back.secret));
	CHECK_EQ(back.timeout_ns, 5000);
	CHECK_EQ(back.connect_retries, 3);
	CHECK_EQ(back.no_delay, true);
	CHECK_EQ(back.schedule.classes_count, 2);
	for (uint64_t r = 0; r < 100; r++) {
		int64_t due_ns = 0, back_ns = 0;
		double fraction = 0, back_fraction = 0;
		bool raised;

		walk_next_due(&plan.schedule, 1, r, &due_ns, &fraction);
		walk_next_due(&back.schedule, 1, r, &back_ns, &back_fraction);
		CHECK_EQ(back_ns, due_ns);
		CHECK_EQ(walk_class_of(&back.schedule, r), walk_class_of(&plan.schedule, r));
		CHECK_EQ(walk_request_bytes(&back.schedule, 1, r, &raised),
			 walk_request_bytes(&plan.schedule, 1, r, &raised));
	}
	CHECK_EQ(walk_first_due_ns(&back.schedule, 1, 0), walk_first_due_ns(&plan.schedule, 1, 0));
	walk_job_release(job);
	free(job);
	buf_release(&buf);
	chain_release(&chain);
	for (size_t i = 0; i < 3; i++)
		spec_release(&specs[i]);
}

/* A job that is wrong by one member. */
static void test_broken_jobs(void)
{
	static const struct {
		const char *what;
		size_t at; /* byte of the SENDER's payload that is set to ... */
		uint8_t byte;
	} cases[] = {
		{ "a thread beyond all", 8 * 3 + 4 + 3, 8 },
		{ "more classes than come", 8 * 3 + 4 * 4 + 8 * 3 + 4 * 5 + 3, 3 },
		{ "fewer classes than come", 8 * 3 + 4 * 4 + 8 * 3 + 4 * 5 + 3, 1 },
		{ "a spec that ends too early", 8 * 3 + 4 * 4 + 8 * 3 + 4 * 2 + 3, 4 },
		{ "an address that is none", 8 * 3 + 4 * 4 + 8 * 3 + 4 * 6, ':' },
	};
	const struct walk_job_share share = { .first = 1, .step = 2 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct walk_job *job = calloc(1, sizeof(*job));
		struct walk_class classes[2];
		struct spec specs[3];
		struct walk_plan plan;
		struct chain chain;
		struct err err = { "" };
		struct buf buf;

		check_case("%s", cases[i].what);
		make_plan(&chain, specs, classes, &plan);
		buf_init(&buf, BUF_MAX);
		walk_job_put(&buf, &plan, &share, NULL);
		buf.data[WIRE_HEAD_BYTES + cases[i].at] = (char)cases[i].byte;
		CHECK(take_job(job, &buf, &err) < 0);
		CHECK(err.text[0]);
		walk_job_release(job);
		free(job);
		buf_release(&buf);
		chain_release(&chain);
		for (size_t k = 0; k < 3; k++)
			spec_release(&specs[k]);
	}
}

static int take_tally(struct walk_tally *tally, const struct buf *buf, struct err *ret_failure)
{
	struct wire_frame frame;
	size_t used = 0;
	int n, rc = 0;

	while (rc >= 0 && (n = wire_frame_decode((uint8_t *)buf->data + used, buf->len - used,
						 &frame, NULL)) > 0) {
		rc = walk_tally_take(tally, &frame, ret_failure, NULL);
		used += (size_t)n;
	}
	return rc;
}

static void release_tally(struct walk_tally *t)
{
	hist_release(&t->latency);
	hist_release(&t->service);
	hist_release(&t->late);
	hist_release(&t->connect);
}

/* Buckets, not percentiles: what comes back is what was. */
static void test_tally(void)
{
	struct walk_tally tally = { .sent = 1000, .outcomes = { 1, 2, 3, 4 }, .ended_ns = 77 };
	struct err failure = { "it broke" }, heard = { "" };
	struct walk_tally back = { 0 }, wrong = { 0 };
	struct buf buf;

	for (uint64_t i = 0; i < 1000; i++) {
		hist_record(&tally.latency, i * i * 1000);
		hist_record(&tally.late, i % 3);
	}
	buf_init(&buf, BUF_MAX);
	walk_tally_put(&buf, &tally, &failure);
	CHECK_EQ(take_tally(&back, &buf, &heard), 1);
	CHECK_STR(heard.text, "it broke");
	CHECK_EQ(back.sent, 1000);
	CHECK_EQ(back.ended_ns, 77);
	CHECK_MEM(back.outcomes, tally.outcomes, sizeof(back.outcomes));
	CHECK_EQ(hist_count(&back.latency), 1000);
	CHECK_EQ(hist_count(&back.service), 0);
	CHECK_EQ(hist_max(&back.latency), 999 * 999 * 1000);
	CHECK(hist_mean(&back.latency) == hist_mean(&tally.latency));
	for (int p = 0; p <= 100; p++) {
		CHECK_EQ(hist_value_at_percentile(&back.latency, p),
			 hist_value_at_percentile(&tally.latency, p));
		CHECK_EQ(hist_value_at_percentile(&back.late, p),
			 hist_value_at_percentile(&tally.late, p));
	}
	buf.data[WIRE_HEAD_BYTES + 8 + 7] ^= 1; /* the count of the first histogram */
	CHECK_EQ(take_tally(&wrong, &buf, &heard), -EPROTO);
	release_tally(&tally);
	release_tally(&back);
	release_tally(&wrong);
	buf_release(&buf);
}

static void test_clock_offset(void)
{
	struct clock_offset o = CLOCK_OFFSET_NONE, last = CLOCK_OFFSET_NONE;

	CHECK_EQ(clock_offset_bound(&o, &last), INT64_MAX);
	clock_offset_add(&o, 1000, 500, 900); /* heard before it was asked: never */
	CHECK_EQ(o.bound_ns, INT64_MAX);
	clock_offset_add(&o, 1000, 51500, 2000);
	CHECK_EQ(o.offset_ns, 50000);
	CHECK_EQ(o.bound_ns, 500);
	clock_offset_add(&o, 3000, 53900, 5000); /* slower: it says less */
	CHECK_EQ(o.offset_ns, 50000);
	clock_offset_add(&o, 6000, 56150, 6200);
	CHECK_EQ(o.offset_ns, 50050);
	CHECK_EQ(o.bound_ns, 100);
	CHECK_EQ(clock_offset_bound(&o, &last), 100);
	last = (struct clock_offset){ 50080, 60 };
	CHECK_EQ(clock_offset_bound(&o, &last), 100);
	last = (struct clock_offset){ 50000, 70 }; /* they drift apart */
	CHECK_EQ(clock_offset_bound(&o, &last), 120);
}

int main(void)
{
	RUN(test_job);
	RUN(test_broken_jobs);
	RUN(test_tally);
	RUN(test_clock_offset);
	return check_done();
}
