/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_SPEC_FORM_H
#define GAIT_BASE_SPEC_FORM_H

#include "base/philox.h"
#include "base/spec.h"

/* What the files spec*.c share: how each kind is written, checked and drawn. */

enum spec_param_type {
	SPEC_PARAM_VALUE,  /* in the spec's unit, not negative */
	SPEC_PARAM_SIGNED, /* the same, may be negative */
	SPEC_PARAM_NUMBER, /* without a unit */
};

struct spec_param {
	const char *name; /* NULL: there is no such one */
	enum spec_param_type type;
	bool optional;
	double fallback; /* in the default unit */
};

enum spec_limits { SPEC_LIMITS_NONE, SPEC_LIMITS_OPTIONAL, SPEC_LIMITS_REQUIRED };

/* Random words of one draw. */
struct spec_stream {
	struct philox counter;
	uint32_t key[2];
	struct philox block;
	uint32_t left; /* halves of it */
};

struct spec_form {
	const char *name;
	const char *example;
	const char *
		positional; /* what the value right behind the name is; NULL: none may stand there */
	struct spec_param params[2];
	enum spec_limits limits;
	/* Fills in `derived` or says what is impossible. May be NULL. */
	int (*derive)(struct spec *s, struct err *err);
	/* One value, not yet cut off. NULL: not random. */
	double (*sample)(const struct spec *s, struct spec_stream *stream);
};

extern const struct spec_form spec_forms[SPEC_KIND_COUNT]; /* name NULL: has none */

double spec_sample_unif(const struct spec *s, struct spec_stream *stream);
double spec_sample_exp(const struct spec *s, struct spec_stream *stream);
double spec_sample_norm(const struct spec *s, struct spec_stream *stream);
double spec_sample_lognorm(const struct spec *s, struct spec_stream *stream);
double spec_sample_gamma(const struct spec *s, struct spec_stream *stream);
void spec_stream_init(struct spec_stream *stream, const struct spec_key *key);

/* What a bare number is multiplied by: 1000 for times, which are in us. */
double spec_default_factor(enum spec_unit unit);

/* "ns", or "" */
const char *spec_base_suffix(enum spec_unit unit);

/* The factor of a unit's name; 0: there is no such one. */
double spec_unit_factor(enum spec_unit unit, const char *name, size_t len);

/*
 * A number and perhaps a unit, the whole of it: "1.5ms". A bare one is multiplied by
 * bare_factor. -EINVAL or -ERANGE.
 */
int spec_number(const char *text, size_t len, enum spec_unit unit, double bare_factor,
		double *ret_value);

struct spec_column {
	const char *path;
	char sep;
	const char *column; /* number from 0, or title */
	double bare_factor;
	enum spec_unit unit;
	double min, max; /* lines outside are left out */
};

int spec_read_column(const struct spec_column *column, double **ret_values, uint64_t *ret_count,
		     struct err *err);

#endif
