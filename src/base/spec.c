/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec_form.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHAPE_MAX 1e12
#define TINY_STEP 1e-9 /* a step more than this is one step more */

void spec_release(struct spec *s)
{
	if (!s)
		return;
	free(s->values);
	*s = (struct spec){ 0 };
}

int spec_copy(struct spec *ret_spec, const struct spec *from)
{
	struct spec copy = *from;

	if (from->values) {
		copy.values = calloc(from->count, sizeof(*copy.values));
		if (!copy.values)
			return -ENOMEM;
		memcpy(copy.values, from->values, from->count * sizeof(*copy.values));
	}
	*ret_spec = copy;
	return 0;
}

struct spec spec_constant(uint64_t value, enum spec_unit unit)
{
	return (struct spec){
		.kind = SPEC_CONST, .unit = unit, .param = { (double)value }, .max = SPEC_VALUE_MAX
	};
}

/* Of a log-normal variable with mean m and deviation s: those of its logarithm. */
static int derive_lognorm(struct spec *s, struct err *err)
{
	double ratio = s->param[1] / s->param[0], variance = log1p(ratio * ratio);

	if (s->param[0] <= 0)
		return err_set(err, EINVAL, "the average of a lognorm must be above 0");
	s->derived[0] = log(s->param[0]) - variance / 2;
	s->derived[1] = sqrt(variance);
	return 0;
}

/* xavg is of the logarithm of the value in the default unit. */
static int derive_lognorm_log(struct spec *s, struct err *err)
{
	if (s->param[1] < 0)
		return err_set(err, EINVAL, "xstd must not be negative");
	s->derived[0] = s->param[0] + log(spec_default_factor(s->unit));
	s->derived[1] = s->param[1];
	return 0;
}

static int derive_gamma(struct spec *s, struct err *err)
{
	double ratio = s->param[0] / s->param[1];

	if (s->param[0] <= 0 || s->param[1] <= 0 || ratio * ratio > SHAPE_MAX ||
	    ratio * ratio < 1 / SHAPE_MAX)
		return err_set(err, EINVAL,
			       "average and std of a gamma must be above 0 and within a factor of "
			       "a million");
	s->derived[0] = ratio * ratio;
	s->derived[1] = s->param[1] / ratio;
	return 0;
}

static int derive_gamma_shape(struct spec *s, struct err *err)
{
	if (!(s->param[0] >= 1 / SHAPE_MAX && s->param[0] <= SHAPE_MAX) || s->param[1] <= 0)
		return err_set(err, EINVAL,
			       "k of a gamma must be within 1e-12 .. 1e12 and scale above 0");
	s->derived[0] = s->param[0];
	s->derived[1] = s->param[1];
	return 0;
}

/* Until a sequence stands at its end: whole ones, and one for a rest. */
static double steps(double exact)
{
	return fmin(ceil(exact - TINY_STEP), SPEC_VALUE_MAX);
}

static int derive_aseq(struct spec *s, struct err *err)
{
	if (s->param[0] == 0)
		return err_set(err, EINVAL, "the step of an aseq must not be 0");
	s->derived[0] = steps((s->max - s->min) / fabs(s->param[0]));
	return 0;
}

static int derive_gseq(struct spec *s, struct err *err)
{
	if (s->param[0] <= 0 || s->param[0] == 1)
		return err_set(err, EINVAL, "the step of a gseq must be above 0 and not 1");
	if (s->min <= 0)
		return err_set(err, EINVAL, "min of a gseq must be above 0");
	s->derived[0] = steps(log(s->max / s->min) / fabs(log(s->param[0])));
	return 0;
}

#define AVG                                       \
	{                                         \
		"avg", SPEC_PARAM_VALUE, false, 0 \
	}
#define STD                                       \
	{                                         \
		"std", SPEC_PARAM_VALUE, false, 0 \
	}

const struct spec_form spec_forms[SPEC_KIND_COUNT] = {
	[SPEC_UNIF] = { "unif",
			"unif:min=A:max=B",
			NULL,
			{},
			SPEC_LIMITS_REQUIRED,
			NULL,
			spec_sample_unif },
	[SPEC_EXP] = { "exp",
		       "exp:AVG",
		       "avg",
		       { AVG },
		       SPEC_LIMITS_OPTIONAL,
		       NULL,
		       spec_sample_exp },
	[SPEC_NORM] = { "norm",
			"norm:AVG:std=S",
			"avg",
			{ AVG, STD },
			SPEC_LIMITS_OPTIONAL,
			NULL,
			spec_sample_norm },
	[SPEC_LOGNORM] = { "lognorm",
			   "lognorm:AVG:std=S or lognorm:xavg=M:xstd=S",
			   "avg",
			   { AVG, STD },
			   SPEC_LIMITS_OPTIONAL,
			   derive_lognorm,
			   spec_sample_lognorm },
	[SPEC_LOGNORM_LOG] = { "lognorm",
			       "lognorm:xavg=M:xstd=S",
			       NULL,
			       { { "xavg", SPEC_PARAM_NUMBER, false, 0 },
				 { "xstd", SPEC_PARAM_NUMBER, false, 0 } },
			       SPEC_LIMITS_OPTIONAL,
			       derive_lognorm_log,
			       spec_sample_lognorm },
	[SPEC_GAMMA] = { "gamma",
			 "gamma:AVG:std=S or gamma:k=K:scale=T",
			 "avg",
			 { AVG, STD },
			 SPEC_LIMITS_OPTIONAL,
			 derive_gamma,
			 spec_sample_gamma },
	[SPEC_GAMMA_SHAPE] = { "gamma",
			       "gamma:k=K:scale=T",
			       NULL,
			       { { "k", SPEC_PARAM_NUMBER, false, 0 },
				 { "scale", SPEC_PARAM_VALUE, false, 0 } },
			       SPEC_LIMITS_OPTIONAL,
			       derive_gamma_shape,
			       spec_sample_gamma },
	[SPEC_ASEQ] = { "aseq",
			"aseq:min=A:max=B:step=S",
			"min",
			{ { "step", SPEC_PARAM_SIGNED, true, 1 } },
			SPEC_LIMITS_REQUIRED,
			derive_aseq,
			NULL },
	[SPEC_GSEQ] = { "gseq",
			"gseq:min=A:max=B:step=F",
			"min",
			{ { "step", SPEC_PARAM_NUMBER, true, 2 } },
			SPEC_LIMITS_REQUIRED,
			derive_gseq,
			NULL },
};

double spec_most(const struct spec *s)
{
	double most = 0;

	if (s->kind == SPEC_NONE || s->kind == SPEC_CONST)
		return s->kind == SPEC_CONST ? s->param[0] : 0;
	if (s->kind != SPEC_VALUES)
		return s->max;
	for (uint64_t i = 0; i < s->count; i++)
		most = s->values[i] > most ? s->values[i] : most;
	return most;
}
