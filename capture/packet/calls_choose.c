/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of several requests has made a call: calls are assigned so that what all requests do then is
 * most likely, by what others of their classes did (calls_model.h). First, in the order of their
 * start, each to the request that it follows best; then calls move, or change places, or two
 * requests change all from one call on, as long as that is better.
 */
#include "capture/packet/calls_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 8
#define CANDIDATES_WEIGHED 8 /* of one call, the most likely: the rest is not tried */
#define CANDIDATES_JOINT 16  /* a call that has more is not looked at together with others */
#define LEAST_GAIN 1e-6
#define KNOWN_LEAST 16 /* requests of a class without doubt, to go by those alone */

static const struct candidate *candidates_of(const struct calls *c,
					     const struct call_choice *choice)
{
	return &c->candidates[choice->first];
}

/* Calls of a request, by their start. */
struct calls_made {
	size_t count;
	struct call_made at[CALLS_OF_REQUEST_MAX + 1];
};

static void put(struct calls_made *made, const struct call_made *call)
{
	size_t at = made->count;

	if (made->count > CALLS_OF_REQUEST_MAX)
		return;
	for (; at && made->at[at - 1].start_ns > call->start_ns; at--)
		made->at[at] = made->at[at - 1];
	made->at[at] = *call;
	made->count++;
}

/* Of this request: those it has, without one of them, and with another. */
static void gather(const struct span *s, const struct call_choice *without,
		   const struct call_choice *with, struct calls_made *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < s->made_count; i++)
		if (!without || s->made[i].span != without->call)
			put(ret, &s->made[i]);
	if (with)
		put(ret, &with->made);
}

static bool is_tail(const struct call_made *made, int64_t from_ns)
{
	return made->span && made->start_ns >= from_ns;
}

/* Those it has, but from some time on those that another one has. */
static void gather_tails(const struct span *s, const struct span *other, int64_t from_ns,
			 struct calls_made *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < s->made_count; i++)
		if (!is_tail(&s->made[i], from_ns))
			put(ret, &s->made[i]);
	for (size_t i = 0; i < other->made_count; i++)
		if (is_tail(&other->made[i], from_ns))
			put(ret, &other->made[i]);
}

/* What had happened last at this time: the arrival, or the end of a call. */
static int64_t event_before(const struct span *s, const struct calls_made *made, int64_t ns,
			    unsigned *ret_class)
{
	int64_t last_ns = s->row->arrival_ns;

	*ret_class = CALLS_ARRIVAL;
	for (size_t i = 0; i < made->count; i++)
		if (made->at[i].end_ns <= ns && made->at[i].end_ns > last_ns) {
			last_ns = made->at[i].end_ns;
			*ret_class = made->at[i].class;
		}
	return last_ns;
}

/* How many of the class of the i-th; 0: an earlier one has counted them. */
static unsigned count_of(const struct calls_made *made, size_t i)
{
	unsigned n = 0;

	for (size_t k = 0; k < made->count; k++) {
		if (made->at[k].class != made->at[i].class)
			continue;
		if (k < i)
			return 0;
		n++;
	}
	return n;
}

bool calls_class_is_known(const struct calls *c, unsigned class)
{
	return calls_model_requests(c->known, class) >= KNOWN_LEAST;
}

/* Guesses that learn of guesses believe in themselves: for classes that lack all else. */
static const struct calls_model *model_of(const struct calls *c, unsigned class)
{
	return calls_class_is_known(c, class) ? c->known : c->guessed;
}

/* How likely it is that a request of its class does all this. */
static double likelihood_of(const struct calls *c, const struct span *s,
			    const struct calls_made *made)
{
	unsigned class = span_class(s), from;
	const struct calls_model *model = model_of(c, class);
	double sum = 0;
	int64_t ns;

	for (size_t i = 0; i < made->count; i++) {
		const struct call_made *call = &made->at[i];
		unsigned n = count_of(made, i);

		ns = event_before(s, made, call->start_ns, &from);
		sum += calls_model_gap(model, class, from, call->class, call->start_ns - ns);
		if (n)
			sum += calls_model_count(model, class, call->class, n);
	}
	if (s->row->write_ns == TRACE_NONE)
		return sum;
	ns = event_before(s, made, s->row->write_ns, &from);
	return sum + calls_model_gap(model, class, from, CALLS_REPLY, s->row->write_ns - ns);
}

static double likelihood(const struct calls *c, const struct span *s,
			 const struct call_choice *without, const struct call_choice *with)
{
	struct calls_made made;

	gather(s, without, with, &made);
	return likelihood_of(c, s, &made);
}

/* False: it is not known what they have in common. */
static bool has_trait(const struct span *s, const struct span *call, enum calls_trait trait,
		      bool *ret_alike)
{
	if (trait == TRAIT_HEAD) {
		*ret_alike = s->head == call->head;
		return s->head && call->head;
	}
	*ret_alike = s->row->connection_id == call->link->for_connection;
	return call->link->for_connection;
}

static double look_of(const struct calls *c, const struct call_choice *choice, unsigned i)
{
	const struct span *s = candidates_of(c, choice)[i].span;
	double sum = 0;
	bool alike;

	for (int t = 0; t < TRAIT_COUNT; t++)
		if (has_trait(s, choice->call, t, &alike))
			sum += calls_model_alike(c->known, span_class(s), choice->made.class, t,
						 alike);
	return sum;
}

/* --- one after the other -------------------------------------------------------------------------- */

static int take(struct calls *c, struct call_choice *choice, unsigned i)
{
	struct span *s = candidates_of(c, choice)[i].span;
	int rc = span_add_call(s, &choice->made);

	choice->chosen = i;
	s->made_more |= rc == -E2BIG;
	return rc == -E2BIG ? 0 : rc;
}

/* How likely it is that what this request did so far goes on with that call. */
static double likely_next(const struct calls *c, const struct span *s,
			  const struct call_choice *choice)
{
	const struct calls_model *model = model_of(c, span_class(s));
	const struct call_made *call = &choice->made;
	struct calls_made made;
	unsigned from, n = 0;
	int64_t ns;

	gather(s, NULL, NULL, &made);
	ns = event_before(s, &made, call->start_ns, &from);
	for (size_t i = 0; i < made.count && made.at[i].start_ns <= call->start_ns; i++)
		n += made.at[i].class == call->class;
	return calls_model_gap(model, span_class(s), from, call->class, call->start_ns - ns) +
	       calls_model_more(model, span_class(s), call->class, n);
}

static int compare_likely(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->likely < y->likely) - (x->likely > y->likely);
}

/* The most likely come first. */
static void sort_candidates(struct calls *c, const struct call_choice *choice)
{
	struct candidate *at = &c->candidates[choice->first];

	for (unsigned i = 0; i < choice->count; i++)
		at[i].likely = at[i].look + likely_next(c, at[i].span, choice);
	qsort(at, choice->count, sizeof(*at), compare_likely);
}

/* --- all together --------------------------------------------------------------------------------- */

/* What would be otherwise: the call is another's, in whose place it may have one of that one's. */
struct change {
	double gain;
	unsigned to;
	struct call_choice *other; /* NULL: it moves alone */
	unsigned other_to;
	bool tails; /* both change all their calls from this one on */
};

static unsigned index_of(const struct calls *c, const struct call_choice *choice,
			 const struct span *s)
{
	const struct candidate *at = candidates_of(c, choice);
	unsigned i = 0;

	while (i < choice->count && at[i].span != s)
		i++;
	return i;
}

/* Adds it to the likelihood of all that could be otherwise. */
static void weigh(const struct change *change, struct change *best, double *others)
{
	*others += exp(fmin(change->gain, 100));
	if (change->gain > best->gain)
		*best = *change;
}

static void weigh_changes_with(const struct calls *c, struct call_choice *choice, unsigned to,
			       struct change *best, double *others)
{
	const struct candidate *at = candidates_of(c, choice);
	struct span *from = at[choice->chosen].span, *there = at[to].span;
	double now = likelihood(c, from, NULL, NULL) + likelihood(c, there, NULL, NULL);
	double look = at[to].look - at[choice->chosen].look;
	struct change change = { .to = to };

	change.gain =
		likelihood(c, from, choice, NULL) + likelihood(c, there, NULL, choice) + look - now;
	weigh(&change, best, others);
	for (size_t i = 0; i < there->made_count; i++) {
		struct call_choice *other = there->made[i].span ? there->made[i].span->choice :
								  NULL;

		if (!other || other->call->service != choice->call->service)
			continue;
		change.other = other;
		change.other_to = index_of(c, other, from);
		if (change.other_to == other->count)
			continue;
		change.gain = likelihood(c, from, choice, other) +
			      likelihood(c, there, other, choice) + look - now +
			      candidates_of(c, other)[change.other_to].look -
			      candidates_of(c, other)[other->chosen].look;
		weigh(&change, best, others);
	}
}

/* What it looks like to move its tail there. -INFINITY: one of it does not lie there. */
static double look_of_tail(const struct calls *c, const struct span *from, const struct span *to,
			   int64_t from_ns)
{
	double sum = 0;

	for (size_t i = 0; i < from->made_count; i++) {
		const struct call_choice *choice;
		const struct candidate *at;
		unsigned k;

		if (!is_tail(&from->made[i], from_ns))
			continue;
		choice = from->made[i].span->choice;
		at = candidates_of(c, choice);
		k = index_of(c, choice, to);
		if (k == choice->count)
			return -INFINITY;
		sum += at[k].look - at[choice->chosen].look;
	}
	return sum;
}

/* Requests that are alike are mistaken for each other from some call on. */
static void weigh_tails(const struct calls *c, const struct call_choice *choice, unsigned to,
			struct change *best, double *others)
{
	const struct candidate *at = candidates_of(c, choice);
	const struct span *from = at[choice->chosen].span, *there = at[to].span;
	int64_t from_ns = choice->made.start_ns;
	struct change change = { .to = to, .tails = true };
	struct calls_made made;

	change.gain = look_of_tail(c, from, there, from_ns) + look_of_tail(c, there, from, from_ns);
	if (!isfinite(change.gain))
		return;
	gather_tails(from, there, from_ns, &made);
	change.gain += likelihood_of(c, from, &made) - likelihood(c, from, NULL, NULL);
	gather_tails(there, from, from_ns, &made);
	change.gain += likelihood_of(c, there, &made) - likelihood(c, there, NULL, NULL);
	weigh(&change, best, others);
}

static struct change best_change(const struct calls *c, struct call_choice *choice)
{
	struct change best = { .gain = -INFINITY };

	choice->others = 0;
	for (unsigned i = 0; i < choice->count && i < CANDIDATES_WEIGHED; i++)
		if (i != choice->chosen) {
			weigh_changes_with(c, choice, i, &best, &choice->others);
			weigh_tails(c, choice, i, &best, &choice->others);
		}
	return best;
}

static bool is_joint(const struct call_choice *choice)
{
	return choice->count > 1 && choice->count <= CANDIDATES_JOINT;
}

/* How likely all else is, now that nothing changes any more. */
static void weigh_others(const struct calls *c, struct call_choice *choice)
{
	const struct candidate *at = candidates_of(c, choice);

	choice->others = 0;
	if (is_joint(choice))
		best_change(c, choice);
	for (unsigned i = 1; !is_joint(choice) && i < choice->count; i++)
		choice->others += exp(at[i].likely - at[0].likely);
}

static int move(struct calls *c, struct call_choice *choice, unsigned to)
{
	span_remove_call(candidates_of(c, choice)[choice->chosen].span, choice->call);
	return take(c, choice, to);
}

/* Calls that change: of one request from some time on. */
static size_t tail_of(const struct span *s, int64_t from_ns, struct call_choice **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < s->made_count; i++)
		if (is_tail(&s->made[i], from_ns))
			ret[n++] = s->made[i].span->choice;
	return n;
}

static int change_tails(struct calls *c, struct call_choice *choice, unsigned to)
{
	struct span *from = candidates_of(c, choice)[choice->chosen].span;
	struct span *there = candidates_of(c, choice)[to].span;
	struct call_choice *tails[2][CALLS_OF_REQUEST_MAX];
	size_t here_count = tail_of(from, choice->made.start_ns, tails[0]);
	size_t there_count = tail_of(there, choice->made.start_ns, tails[1]);
	int rc = 0;

	for (size_t i = 0; i < here_count && !rc; i++)
		rc = move(c, tails[0][i], index_of(c, tails[0][i], there));
	for (size_t i = 0; i < there_count && !rc; i++)
		rc = move(c, tails[1][i], index_of(c, tails[1][i], from));
	return rc;
}

/* Returns 1 when it has changed its place, or -ENOMEM. */
static int improve(struct calls *c, struct call_choice *choice)
{
	struct change change = best_change(c, choice);
	int rc;

	if (change.gain <= LEAST_GAIN)
		return 0;
	if (change.tails)
		rc = change_tails(c, choice, change.to);
	else
		rc = move(c, choice, change.to);
	if (!rc && change.other)
		rc = move(c, change.other, change.other_to);
	return rc ? rc : 1;
}

/*
 * What the true one looks like is learned where there is no choice; what any does, of all where there
 * is one: most of those are others.
 */
static void learn_looks(struct calls *c, const struct call_choice *choice)
{
	const struct candidate *at = candidates_of(c, choice);
	bool alike;

	for (unsigned i = 0; i < choice->count && !choice->early; i++)
		for (int t = 0; t < TRAIT_COUNT; t++)
			if (has_trait(at[i].span, choice->call, t, &alike))
				calls_model_learn_alike(c->known, span_class(at[i].span),
							choice->made.class, t, alike,
							choice->count == 1);
}

static int begin(struct calls *c)
{
	int rc = 0;

	for (size_t i = 0; i < c->choices_count; i++)
		learn_looks(c, &c->choices[i]);
	for (size_t i = 0; i < c->choices_count && !rc; i++) {
		struct call_choice *choice = &c->choices[i];

		choice->call->choice = choice;
		for (unsigned k = 0; k < choice->count; k++)
			c->candidates[choice->first + k].look = look_of(c, choice, k);
		if (choice->count == 1)
			rc = take(c, choice, 0);
	}
	for (size_t i = 0; i < c->choices_count && !rc; i++) {
		if (c->choices[i].count < 2)
			continue;
		sort_candidates(c, &c->choices[i]);
		rc = take(c, &c->choices[i], 0);
	}
	return rc;
}

/* One round for all. Returns 1 when some have changed. */
static int improve_all(struct calls *c)
{
	int moved = 0;

	for (size_t i = 0; i < c->choices_count; i++) {
		int rc = is_joint(&c->choices[i]) ? improve(c, &c->choices[i]) : 0;

		if (rc < 0)
			return rc;
		moved |= rc;
	}
	return moved;
}

int calls_choose(struct calls *c)
{
	int rc = begin(c), moved = 1;

	for (int round = 0; round < ROUNDS && moved && !rc; round++) {
		moved = improve_all(c);
		rc = moved < 0 ? moved : 0;
	}
	for (size_t i = 0; i < c->choices_count && !rc; i++)
		weigh_others(c, &c->choices[i]);
	return rc;
}

/* --- what is learned ------------------------------------------------------------------------------- */

static void learn(struct calls_model *m, const struct span *s, double weight)
{
	unsigned to[CALLS_OF_REQUEST_MAX + 1], n[CALLS_OF_REQUEST_MAX + 1], from;
	unsigned class = span_class(s);
	struct calls_made made;
	int64_t ns;

	gather(s, NULL, NULL, &made);
	for (size_t i = 0; i < made.count; i++) {
		to[i] = made.at[i].class;
		n[i] = count_of(&made, i);
		ns = event_before(s, &made, made.at[i].start_ns, &from);
		calls_model_learn_gap(m, class, from, to[i], made.at[i].start_ns - ns, weight);
	}
	calls_model_learn_counts(m, class, to, n, made.count, weight);
	if (s->row->write_ns == TRACE_NONE)
		return;
	ns = event_before(s, &made, s->row->write_ns, &from);
	calls_model_learn_gap(m, class, from, CALLS_REPLY, s->row->write_ns - ns, weight);
}

void calls_learn(struct calls *c, const struct span *s)
{
	learn(c->guessed, s, s->certainty / 100.0);
	if (s->certainty == 100)
		learn(c->known, s, 1);
}
