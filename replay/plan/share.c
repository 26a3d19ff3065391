/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/plan/share.h"

#include <math.h>
#include <string.h>

#define SWEEPS_MAX 500
#define CAUSE_BYTES_MIN 1.0
#define SIGNIFICANT_SIGMAS 3.0
#define INSEPARABLE 1e-6 /* of a class's own evidence that is left without the others' */

static uint32_t fold_class(const struct share_model *m, uint32_t owner_class)
{
	return owner_class < m->classes ? owner_class : (uint32_t)m->classes - 1;
}

void share_model_init(struct share_model *m, size_t classes)
{
	memset(m, 0, sizeof(*m));
	m->classes = classes < 1 ? 1 : classes > SHARE_CLASSES_MAX ? SHARE_CLASSES_MAX : classes;
}

void share_model_add(struct share_model *m, const uint32_t *owner_classes, size_t owners,
		     uint64_t bytes)
{
	double counts[SHARE_CLASSES_MAX] = { 0 };

	for (size_t i = 0; i < owners; i++)
		counts[fold_class(m, owner_classes[i])]++;
	for (size_t i = 0; i < m->classes; i++) {
		if (counts[i] == 0)
			continue;
		m->moment[i] += counts[i] * (double)bytes;
		for (size_t j = 0; j < m->classes; j++)
			m->gram[i][j] += counts[i] * counts[j];
	}
	m->squares += (double)bytes * (double)bytes;
	m->rows++;
}

void share_model_add_idle(struct share_model *m, uint32_t owner_class, uint64_t requests)
{
	uint32_t c = fold_class(m, owner_class);

	m->gram[c][c] += (double)requests;
	m->rows += (double)requests;
}

/*
 * Coordinate descent on the normal equations gram * x = moment over the classes
 * in use: each x[i] in turn takes its best value while the others stand still.
 * `floor` is the least value an x may take.
 */
static void descend(const struct share_model *m, const double *moment, const bool *used,
		    double floor, double *x)
{
	for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
		double moved = 0;

		for (size_t i = 0; i < m->classes; i++) {
			double rest = moment[i], best;

			if (!used[i])
				continue;
			for (size_t j = 0; j < m->classes; j++)
				rest -= used[j] && j != i ? m->gram[i][j] * x[j] : 0;
			best = fmax(rest / m->gram[i][i], floor);
			moved = fmax(moved, fabs(best - x[i]));
			x[i] = best;
		}
		if (moved < 1e-9)
			return;
	}
}

/*
 * Starts from the best b that is the same for all causes: what the stores leave
 * undetermined stays equal.
 */
static void fit(struct share_model *m)
{
	double moment = 0, gram = 0;

	for (size_t i = 0; i < m->classes; i++) {
		moment += m->cause[i] ? m->moment[i] : 0;
		for (size_t j = 0; j < m->classes; j++)
			gram += m->cause[i] && m->cause[j] ? m->gram[i][j] : 0;
	}
	for (size_t i = 0; i < m->classes; i++)
		m->bytes[i] = m->cause[i] ? moment / gram : 0;
	descend(m, m->moment, m->cause, 0, m->bytes);
}

/* Mean squared error of a row; never quite 0, as doubles are not exact. */
static double residual_variance(const struct share_model *m)
{
	double error = m->squares;

	for (size_t i = 0; i < m->classes; i++) {
		error -= 2 * m->bytes[i] * m->moment[i];
		for (size_t j = 0; j < m->classes; j++)
			error += m->bytes[i] * m->gram[i][j] * m->bytes[j];
	}
	return fmax(error, 1e-9 * m->squares) / fmax(m->rows, 1);
}

/* What class c's column has that the other causes' columns do not explain. */
static double own_evidence(const struct share_model *m, size_t c)
{
	double x[SHARE_CLASSES_MAX] = { 0 }, left = m->gram[c][c];
	bool others[SHARE_CLASSES_MAX];

	memcpy(others, m->cause, sizeof(others));
	others[c] = false;
	descend(m, m->gram[c], others, -INFINITY, x);
	for (size_t i = 0; i < m->classes; i++)
		left -= others[i] ? x[i] * m->gram[c][i] : 0;
	return left;
}

/*
 * Takes b[c]^2 * own evidence, by which the squared error grows when c is left
 * out, as chance below SIGNIFICANT_SIGMAS^2 of the error a row has anyway.
 */
static bool is_chance(const struct share_model *m, size_t c, double variance)
{
	double evidence;

	if (m->bytes[c] < CAUSE_BYTES_MIN)
		return true;
	evidence = own_evidence(m, c);
	if (evidence < INSEPARABLE * m->gram[c][c])
		return false;
	return m->bytes[c] * m->bytes[c] * evidence <
	       SIGNIFICANT_SIGMAS * SIGNIFICANT_SIGMAS * variance;
}

/* The smallest class that is no cause, or m->classes. */
static size_t weakest_chance(const struct share_model *m)
{
	double variance = residual_variance(m);
	size_t weakest = m->classes;

	for (size_t i = 0; i < m->classes; i++) {
		if (!m->cause[i] || (weakest < m->classes && m->bytes[i] >= m->bytes[weakest]))
			continue;
		if (is_chance(m, i, variance))
			weakest = i;
	}
	return weakest;
}

void share_model_solve(struct share_model *m)
{
	size_t weakest;

	for (size_t i = 0; i < m->classes; i++)
		m->cause[i] = m->moment[i] > 0;
	for (;;) {
		fit(m);
		weakest = weakest_chance(m);
		if (weakest == m->classes)
			return;
		m->cause[weakest] = false;
	}
}

bool share_model_is_cause(const struct share_model *m, uint32_t owner_class)
{
	return m->cause[fold_class(m, owner_class)];
}

uint64_t share_equal(uint64_t amount, size_t parts, size_t i)
{
	return amount / parts + (i < amount % parts);
}

/* Rounds the running sum, not the parts, so that nothing is lost. */
void share_split(const struct share_model *m, const uint32_t *owner_classes, size_t owners,
		 uint64_t bytes, uint64_t *ret_shares)
{
	double total = 0, sum = 0;
	uint64_t given = 0;

	for (size_t i = 0; i < owners; i++)
		total += m->bytes[fold_class(m, owner_classes[i])];
	for (size_t i = 0; i < owners; i++) {
		uint64_t upto;

		if (total <= 0) {
			ret_shares[i] = share_equal(bytes, owners, i);
			continue;
		}
		sum += m->bytes[fold_class(m, owner_classes[i])];
		upto = sum >= total ? bytes : (uint64_t)llround((double)bytes * (sum / total));
		ret_shares[i] = upto - given;
		given = upto;
	}
}
