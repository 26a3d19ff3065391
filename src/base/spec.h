/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_BASE_SPEC_H
#define GAIT_BASE_SPEC_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A value that may differ from request to request, as DistWalk's users write it:
 *
 *	10us  4k  1.5m                          always the same
 *	unif:min=A:max=B                        evenly spread over A..B
 *	exp:AVG                                 exponential
 *	norm:AVG:std=S                          normal
 *	lognorm:AVG:std=S                       log-normal, by its own mean and deviation
 *	lognorm:xavg=M:xstd=S                   by those of its logarithm (of the value in us, bytes, ...)
 *	gamma:AVG:std=S   gamma:k=K:scale=T     gamma; any K > 0
 *	aseq:min=A:max=B[:step=S]               A, A+S, ... then B for ever; S < 0: from B down to A
 *	gseq:min=A:max=B[:step=F]               A, A*F, ... then B for ever; F < 1: from B down to A
 *	file:PATH[:sep=C][:col=N][:unit=U]      one value a line, from the top again at the end
 *	row:COL[:unit=U]                        a column of the file of --rows: a number from 0, or its title
 *	values:V:V:...                          the same as a list
 *	none                                    0
 *
 * S is 1 and F is 2 without a step. min= and max= behind exp, norm, lognorm and gamma
 * cut a distribution off: what lies outside is drawn again. Nothing is below 0 (there
 * is no time or size below it), so norm is always drawn again there. Of a file, lines
 * outside of min= and max= are left out.
 *
 * Times take ns, us, ms, s and are us without a unit. Sizes and counts take k, m, g
 * (powers of 1000 as in DistWalk) and ki, mi, gi (of 1024); a "b" may follow those of
 * sizes. Letters may be capital.
 */
enum spec_unit {
	SPEC_NS,
	SPEC_BYTES,
	SPEC_COUNT, /* rates too */
};

#define SPEC_VALUE_MAX (1ull << 53) /* of any value: doubles are exact up to it */
#define SPEC_VALUES_MAX (16u << 20) /* lines of a file */
#define SPEC_TEXT_MAX (1u << 20)    /* bytes of a spec as text */
#define SPEC_LINE_MAX 65536	    /* bytes of a line of a file */
#define SPEC_REDRAWS_MAX 4096	    /* then the nearer limit is taken */

enum spec_kind {
	SPEC_NONE,
	SPEC_CONST,
	SPEC_UNIF,
	SPEC_EXP,
	SPEC_NORM,
	SPEC_LOGNORM,	  /* avg, std */
	SPEC_LOGNORM_LOG, /* xavg, xstd */
	SPEC_GAMMA,	  /* avg, std */
	SPEC_GAMMA_SHAPE, /* k, scale */
	SPEC_ASEQ,
	SPEC_GSEQ,
	SPEC_VALUES, /* of a file too */
	SPEC_KIND_COUNT
};

/* All values in ns, bytes or ones. All zero is `none`. */
struct spec {
	enum spec_kind kind;
	enum spec_unit unit;
	double param[2];   /* as given, in the order above */
	double derived[2]; /* what drawing needs of them */
	double min, max;
	double *values; /* owned */
	uint64_t count; /* of values */
};

/* Which files a spec may name. Text from the network gets none: NULL. */
struct spec_files {
	const char *rows; /* of --rows; NULL: it was not given */
	char rows_sep;	  /* '\0': a comma */
};

/*
 * The whole of `text`. On failure -EINVAL, -ERANGE or what reading a file gave, with
 * a sentence that quotes what is wrong and, for a file, says in which line.
 */
int spec_parse(struct spec *ret_spec, const char *text, enum spec_unit unit,
	       const struct spec_files *files, struct err *err);
void spec_release(struct spec *s);

/* A copy that owns its values: 0 or -ENOMEM. */
int spec_copy(struct spec *ret_spec, const struct spec *from);
struct spec spec_constant(uint64_t value, enum spec_unit unit);

/*
 * Where a value is drawn: the same spec at the same place gives the same value, on any
 * machine. (Different C libraries may differ in the last bit of a logarithm, and so, once
 * in a great many draws, by one ns or byte: what both ends must agree on is told, not
 * drawn twice.) Different places give independent values. aseq, gseq, values, file and
 * row are functions of `request` alone: its number is the line.
 */
struct spec_key {
	uint64_t seed;
	uint64_t request;
	uint32_t op;
	uint32_t slot; /* which value of the op; below 256 */
};

/* The nearest whole number, at most SPEC_VALUE_MAX. */
uint64_t spec_draw(const struct spec *s, const struct spec_key *key);

/* The same before it is rounded: of a rate, say. */
double spec_draw_real(const struct spec *s, const struct spec_key *key);

/* Evenly spread over [0, 1), as a decision with a probability needs it. */
double spec_chance(const struct spec_key *key);

/* How many requests it takes until a sequence or file has given all its values; 0: it has no end. */
uint64_t spec_length(const struct spec *s);
bool spec_is_constant(const struct spec *s);

/* Nothing larger is ever drawn; SPEC_VALUE_MAX where nobody gave a limit. */
double spec_most(const struct spec *s);

/*
 * Text that spec_parse() reads back into the same spec, without any file: what came
 * of one is in it. 0, or -E2BIG with a sentence if it is longer than SPEC_TEXT_MAX,
 * or -ENOMEM; nothing is appended then.
 */
int spec_format(const struct spec *s, struct buf *out, struct err *err);

#endif
