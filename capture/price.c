/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/price.h"

#include "base/clock.h"
#include "probe/probe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SENDS_MIN 20	 /* of a block: below, a price per request is mostly noise */
#define SETTLE_DIVISOR 5 /* this part of a block is not measured */
#define BYSTANDER_SLICES 20
#define BYSTANDER_CALLS 500

struct price {
	int64_t block_ns;
	uint64_t state; /* of the generator */
	bool attached;
	bool first_is_on; /* of this round */
	bool second;	  /* block of this round */
	bool measuring;
	int64_t next_ns; /* the next step is due; 0: at once */
	struct price_block begin;
	uint64_t bystander_ps;
	size_t rounds_count;
	struct price_round rounds[PRICE_ROUNDS_MAX];
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *sorted, size_t count)
{
	return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* The rank from either end that bounds the median with 95%: P(Bin(n, 1/2) < rank) <= 2.5%. */
static size_t sign_test_rank(size_t n)
{
	double term = 1, sum = 0;
	size_t rank = 0;

	for (size_t i = 0; i < n; i++)
		term /= 2;
	while (rank < n && sum + term <= 0.025) {
		sum += term;
		term = term * (double)(n - rank) / (double)(rank + 1);
		rank++;
	}
	return rank; /* 1-based; 0: there is none */
}

static bool has_load(const struct price_round *r)
{
	return r->on.sends >= SENDS_MIN && r->off.sends >= SENDS_MIN && r->on.requests;
}

static double per_send(const struct price_block *b)
{
	return (double)b->cpu_ns / (double)b->sends;
}

static int64_t nearest(double value)
{
	return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

int price_judge(const struct price_round *rounds, size_t count, struct manifest_price *ret_price)
{
	static double delta[PRICE_ROUNDS_MAX], share[PRICE_ROUNDS_MAX], on[PRICE_ROUNDS_MAX],
		off[PRICE_ROUNDS_MAX];
	double sends = 0, requests = 0, scale;
	size_t n = 0, rank;

	for (size_t i = 0; i < count && i < PRICE_ROUNDS_MAX; i++) {
		const struct price_round *r = &rounds[i];

		if (!has_load(r))
			continue;
		sends += r->on.sends;
		requests += r->on.requests;
		delta[n] = per_send(&r->on) - per_send(&r->off);
		share[n] = delta[n] / per_send(&r->on);
		on[n] = r->on.bystander_ps;
		off[n] = r->off.bystander_ps;
		n++;
	}
	if (n < PRICE_ROUNDS_MIN)
		return -ENODATA;
	qsort(delta, n, sizeof(*delta), compare);
	qsort(share, n, sizeof(*share), compare);
	qsort(on, n, sizeof(*on), compare);
	qsort(off, n, sizeof(*off), compare);
	scale = sends / requests;
	rank = sign_test_rank(n);
	ret_price->rounds = n;
	ret_price->ns_per_request = nearest(median(delta, n) * scale);
	ret_price->low_ns = nearest(delta[rank - 1] * scale);
	ret_price->high_ns = nearest(delta[n - rank] * scale);
	ret_price->throughput_ppm = nearest(median(share, n) * 1e6);
	ret_price->bystander_on_ps = nearest(median(on, n));
	ret_price->bystander_off_ps = nearest(median(off, n));
	return 0;
}

struct price *price_new(int64_t block_ns, uint64_t seed)
{
	struct price *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->block_ns = block_ns;
	p->state = seed | 1;
	p->attached = true;
	return p;
}

void price_free(struct price *p)
{
	free(p);
}

/* xorshift64*: Vigna, An experimental exploration of Marsaglia's xorshift generators. */
static bool coin(struct price *p)
{
	p->state ^= p->state >> 12;
	p->state ^= p->state << 25;
	p->state ^= p->state >> 27;
	return p->state * 0x2545f4914f6cdd1dull >> 63;
}

/* The least of many short slices: what a call costs when nothing comes between. */
static uint64_t bystander_ps(void)
{
	int64_t least = INT64_MAX;

	for (int slice = 0; slice < BYSTANDER_SLICES; slice++) {
		int64_t begin = clock_now_ns(), took;

		for (int i = 0; i < BYSTANDER_CALLS; i++)
			syscall(SYS_getppid);
		took = clock_now_ns() - begin;
		if (took < least)
			least = took;
	}
	return least * 1000 / BYSTANDER_CALLS;
}

static struct price_block read_block(const struct probe *probe, uint64_t requests)
{
	return (struct price_block){
		.cpu_ns = probe_service_cpu_ns(probe),
		.sends = probe_sends(probe),
		.requests = requests,
	};
}

static void keep_block(struct price *p, const struct probe *probe, uint64_t requests)
{
	struct price_block end = read_block(probe, requests);
	struct price_round *round = &p->rounds[p->rounds_count];

	*(p->attached ? &round->on : &round->off) = (struct price_block){
		.cpu_ns = end.cpu_ns - p->begin.cpu_ns,
		.sends = end.sends - p->begin.sends,
		.requests = end.requests - p->begin.requests,
		.bystander_ps = p->bystander_ps,
	};
	if (p->second && p->rounds_count < PRICE_ROUNDS_MAX - 1)
		p->rounds_count++;
	p->second = !p->second;
}

/* Attached or not, as the block that begins now wants it. */
static int switch_block(struct price *p, struct probe *probe, struct err *err)
{
	bool attached;
	int rc;

	if (!p->second)
		p->first_is_on = coin(p);
	attached = p->first_is_on != p->second;
	if (attached == p->attached)
		return PRICE_SAME;
	rc = attached ? probe_resume(probe, err) : probe_pause(probe, err);
	if (rc)
		return rc;
	p->attached = attached;
	return attached ? PRICE_SAME : PRICE_PAUSED;
}

int price_step(struct price *p, struct probe *probe, int64_t now_ns, uint64_t requests,
	       struct err *err)
{
	int rc;

	if (now_ns < p->next_ns)
		return PRICE_SAME;
	if (p->next_ns && !p->measuring) {
		p->measuring = true;
		p->bystander_ps = bystander_ps();
		p->begin = read_block(probe, requests);
		p->next_ns = clock_now_ns() + p->block_ns - p->block_ns / SETTLE_DIVISOR;
		return PRICE_SAME;
	}
	if (p->measuring)
		keep_block(p, probe, requests);
	p->measuring = false;
	rc = switch_block(p, probe, err);
	p->next_ns = clock_now_ns() + p->block_ns / SETTLE_DIVISOR;
	return rc;
}

int price_result(const struct price *p, struct manifest_price *ret_price)
{
	return price_judge(p->rounds, p->rounds_count, ret_price);
}
