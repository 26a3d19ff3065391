/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec_form.h"

#include <math.h>

#define SLOT_SHIFT 24 /* below it, the blocks of one draw are counted */

void spec_stream_init(struct spec_stream *stream, const struct spec_key *key)
{
	*stream = (struct spec_stream){
		.counter = { { (uint32_t)key->request, (uint32_t)(key->request >> 32), key->op,
			       key->slot << SLOT_SHIFT } },
		.key = { (uint32_t)key->seed, (uint32_t)(key->seed >> 32) },
	};
}

static uint64_t next_word(struct spec_stream *stream)
{
	uint32_t at;

	if (!stream->left) {
		stream->block = philox_block(stream->counter, stream->key);
		stream->counter.word[3]++;
		stream->left = 2;
	}
	at = 2 * --stream->left;
	return (uint64_t)stream->block.word[at] << 32 | stream->block.word[at + 1];
}

/* [0, 1) */
static double next_unit(struct spec_stream *stream)
{
	return (double)(next_word(stream) >> 11) * 0x1p-53;
}

/* (0, 1): a logarithm of it is finite */
static double next_inner(struct spec_stream *stream)
{
	return ((double)(next_word(stream) >> 12) + 0.5) * 0x1p-52;
}

/* Box and Muller 1958; the second value is thrown away, so that a draw needs no memory. */
static double next_normal(struct spec_stream *stream)
{
	double radius = sqrt(-2 * log(next_inner(stream)));

	return radius * cos(2 * M_PI * next_unit(stream));
}

/* Marsaglia and Tsang 2000; below 1 by their remark: one of shape + 1, times U^(1/shape). */
static double next_gamma(struct spec_stream *stream, double shape)
{
	double boost = shape < 1 ? pow(next_inner(stream), 1 / shape) : 1;
	double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);

	for (;;) {
		double x = next_normal(stream), v = 1 + c * x;

		if (v <= 0)
			continue;
		v = v * v * v;
		if (log(next_inner(stream)) < x * x / 2 + d * (1 - v + log(v)))
			return boost * d * v;
	}
}

double spec_sample_unif(const struct spec *s, struct spec_stream *stream)
{
	return s->min + (s->max - s->min) * next_unit(stream);
}

double spec_sample_exp(const struct spec *s, struct spec_stream *stream)
{
	return -log(next_inner(stream)) * s->param[0];
}

double spec_sample_norm(const struct spec *s, struct spec_stream *stream)
{
	return s->param[0] + s->param[1] * next_normal(stream);
}

double spec_sample_lognorm(const struct spec *s, struct spec_stream *stream)
{
	return exp(s->derived[0] + s->derived[1] * next_normal(stream));
}

double spec_sample_gamma(const struct spec *s, struct spec_stream *stream)
{
	return s->derived[1] * next_gamma(stream, s->derived[0]);
}

static double limit(double value, double min, double max)
{
	return value < min ? min : value > max ? max : value;
}

static double draw_random(const struct spec *s, const struct spec_key *key)
{
	struct spec_stream stream;
	double value = 0;

	spec_stream_init(&stream, key);
	for (int i = 0; i < SPEC_REDRAWS_MAX; i++) {
		value = spec_forms[s->kind].sample(s, &stream);
		if (value >= s->min && value <= s->max)
			return value;
	}
	return limit(value, s->min, s->max);
}

/* derived[0] is the request from which on it stands at its end. */
static double draw_sequence(const struct spec *s, uint64_t request)
{
	bool up = s->kind == SPEC_ASEQ ? s->param[0] > 0 : s->param[0] > 1;
	double start = up ? s->min : s->max, n = (double)request;

	if (n >= s->derived[0])
		return up ? s->max : s->min;
	return limit(s->kind == SPEC_ASEQ ? start + n * s->param[0] : start * pow(s->param[0], n),
		     s->min, s->max);
}

double spec_draw_real(const struct spec *s, const struct spec_key *key)
{
	switch (s->kind) {
	case SPEC_NONE:
		return 0;
	case SPEC_CONST:
		return s->param[0];
	case SPEC_ASEQ:
	case SPEC_GSEQ:
		return draw_sequence(s, key->request);
	case SPEC_VALUES:
		return s->values[key->request % s->count];
	default:
		return draw_random(s, key);
	}
}

uint64_t spec_draw(const struct spec *s, const struct spec_key *key)
{
	return (uint64_t)(limit(spec_draw_real(s, key), 0, SPEC_VALUE_MAX) + 0.5);
}

double spec_chance(const struct spec_key *key)
{
	struct spec_stream stream;

	spec_stream_init(&stream, key);
	return next_unit(&stream);
}

uint64_t spec_length(const struct spec *s)
{
	switch (s->kind) {
	case SPEC_ASEQ:
	case SPEC_GSEQ:
		return (uint64_t)s->derived[0] + 1;
	case SPEC_VALUES:
		return s->count;
	default:
		return 0;
	}
}

bool spec_is_constant(const struct spec *s)
{
	return s->kind == SPEC_NONE || s->kind == SPEC_CONST;
}
