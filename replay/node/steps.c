/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/steps.h"

_Static_assert(TS_COUNT < 1 << SLOT_LOG_BITS, "all ones is no state");

static int64_t end_of(const struct steps *s)
{
	return s->count ? s->at[(s->count - 1) % STEPS_MAX].until_ns : s->from_ns;
}

static void put(struct steps *s, int64_t until_ns, uint32_t state, const struct account *owner)
{
	struct thread_step *last = s->count ? &s->at[(s->count - 1) % STEPS_MAX] : NULL;

	if (until_ns <= end_of(s))
		return;
	if (last && last->state == state && last->owner == owner)
		last->until_ns = until_ns;
	else
		s->at[s->count++ % STEPS_MAX] = (struct thread_step){ until_ns, owner, state };
}

void steps_begin(struct steps *s, const struct thread_slot *slot, int64_t from_ns)
{
	s->count = s->lost = 0;
	s->from_ns = from_ns;
	s->logged = slot ? *(const volatile uint64_t *)&slot->logged : 0;
}

/* What was logged since the last time; an interrupt on this CPU may log more at any point. */
static uint32_t copy_log(struct steps *s, const struct thread_slot *slot, uint64_t *ret_log)
{
	const volatile uint32_t *sequence = &slot->sequence;
	const volatile uint64_t *log = slot->log;
	uint64_t logged, first;
	uint32_t before;

	do {
		before = *sequence;
		__asm__ volatile("" ::: "memory");
		logged = *(const volatile uint64_t *)&slot->logged;
		first = logged - s->logged > SLOT_LOG_MAX ? logged - SLOT_LOG_MAX : s->logged;
		for (uint64_t i = first; i < logged; i++)
			ret_log[i - first] = log[i % SLOT_LOG_MAX];
		__asm__ volatile("" ::: "memory");
	} while (*sequence != before);
	s->lost += first - s->logged;
	if (first != s->logged) /* when it began the first of these is not known either */
		ret_log[0] |= (1u << SLOT_LOG_BITS) - 1;
	s->logged = first;
	return (uint32_t)(logged - first);
}

static uint32_t state_of(uint64_t entry, enum activity activity)
{
	uint32_t state = entry & ((1u << SLOT_LOG_BITS) - 1);

	return state < TS_COUNT ? activity_state(activity, state) : STEP_UNKNOWN;
}

/* What has been logged of the time up to until_ns; the rest of it the thread ran, for it is here. */
static void add_logged(struct steps *s, const struct thread_slot *slot, int64_t until_ns,
		       enum activity activity, const struct account *owner)
{
	uint64_t log[SLOT_LOG_MAX];
	uint32_t count = copy_log(s, slot, log), i;

	for (i = 0; i < count; i++) {
		int64_t end_ns = (int64_t)(log[i] >> SLOT_LOG_BITS);
		uint32_t state = state_of(log[i], activity);

		put(s, end_ns < until_ns ? end_ns : until_ns, state, owner);
		if (end_ns > until_ns)
			break; /* the rest of it is of the next segment */
		s->logged++;
	}
	put(s, until_ns, activity_state(activity, TS_USER), owner);
}

static void add_counted(struct steps *s, int64_t until_ns, const struct account *owner,
			const int64_t delta[TS_COUNT])
{
	for (uint32_t state = 0; state < TS_COUNT; state++) {
		int64_t end_ns = end_of(s) + delta[state];

		put(s, end_ns < until_ns ? end_ns : until_ns, state, owner);
	}
	put(s, until_ns, STEP_UNKNOWN, owner);
}

void steps_add(struct steps *s, const struct thread_slot *slot, int64_t until_ns,
	       enum activity activity, const struct account *owner, const int64_t delta[TS_COUNT])
{
	if (slot)
		add_logged(s, slot, until_ns, activity, owner);
	else
		add_counted(s, until_ns, owner, delta);
}

/* --- of a request -------------------------------------------------------------------------- */

void route_begin(struct route *r, const struct reading *reading, bool stamped, bool counted,
		 int64_t read_ns)
{
	r->stamped = stamped;
	r->counted = counted;
	r->read_ns = read_ns;
	r->sleep_ns = reading->sleep.ns;
	r->wake_ns = reading->wake.ns;
	r->enter_ns = reading->enter.ns;
	r->count = 0;
}

void route_leave(struct route *r, int64_t from_ns, enum detour_kind kind)
{
	if (r->count < DETOURS_MAX)
		r->detours[r->count] = (struct detour){ .from_ns = from_ns, .kind = kind };
	r->count++;
}

void route_return(struct route *r, int64_t until_ns, int row, int64_t at_most_ns)
{
	struct detour *last;

	if (!r->count || r->count > DETOURS_MAX)
		return;
	last = &r->detours[r->count - 1];
	last->row = row;
	last->until_ns = until_ns;
	last->at_most_ns = at_most_ns;
}

static struct detour *detour_at(struct route *r, int64_t ns)
{
	for (uint32_t i = 0; i < r->count && i < DETOURS_MAX; i++)
		if (ns >= r->detours[i].from_ns &&
		    (!r->detours[i].until_ns || ns < r->detours[i].until_ns))
			return &r->detours[i];
	return NULL;
}

/* As reading_split() gives it to the account: woken for it, then others, then it is read. */
static int row_unread(const struct route *r, int64_t from_ns, const struct thread_step *step,
		      int64_t ns)
{
	bool own = ns < r->wake_ns ? from_ns >= r->sleep_ns : ns >= r->enter_ns;

	if (!r->stamped)
		return COURSE_UNKNOWN;
	if (!r->counted && ns < r->sleep_ns)
		return SUB_NET_RXQUEUE;
	return timeline_row(step->state, own ? VIEW_OWN : VIEW_UNREAD);
}

/* Shortens the time that it holds for to what the detour has left. */
static int row_queued(struct detour *detour, int64_t ns, int64_t *end_ns)
{
	if (detour->at_most_ns <= 0)
		return SUB_APP_QUEUE;
	if (*end_ns - ns > detour->at_most_ns)
		*end_ns = ns + detour->at_most_ns;
	detour->at_most_ns -= *end_ns - ns;
	return detour->row;
}

static int row_read(struct route *r, const struct account *owner, const struct thread_step *step,
		    int64_t ns, int64_t *end_ns)
{
	struct detour *detour = detour_at(r, ns);
	int behind = timeline_row(step->state, VIEW_BEHIND);

	if (step->owner == owner || (detour && detour->kind == DETOUR_OWN))
		return timeline_row(step->state, VIEW_OWN);
	if (!detour)
		return behind;
	if (detour->kind == DETOUR_AWAY)
		return COURSE_UNKNOWN;
	return behind == SUB_APP_QUEUE ? row_queued(detour, ns, end_ns) : behind;
}

static void shorten(int64_t *end_ns, int64_t from_ns, int64_t at_ns)
{
	if (at_ns > from_ns && at_ns < *end_ns)
		*end_ns = at_ns;
}

/* How far the same holds. */
static int64_t next_change(const struct route *r, int64_t from_ns, int64_t end_ns)
{
	const int64_t changes[] = { r->read_ns, r->sleep_ns, r->wake_ns, r->enter_ns };

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		shorten(&end_ns, from_ns, changes[i]);
	for (uint32_t i = 0; i < r->count && i < DETOURS_MAX; i++) {
		shorten(&end_ns, from_ns, r->detours[i].from_ns);
		shorten(&end_ns, from_ns, r->detours[i].until_ns);
	}
	return end_ns;
}

static void add_step(struct course *c, struct route *r, const struct account *owner,
		     const struct thread_step *step, int64_t until_ns)
{
	int64_t end_ns = step->until_ns < until_ns ? step->until_ns : until_ns;

	while (c->until_ns < end_ns) {
		int64_t ns = c->until_ns, change_ns = next_change(r, ns, end_ns);
		int row = step->state == STEP_UNKNOWN ? COURSE_UNKNOWN :
			  ns < r->read_ns	      ? row_unread(r, c->from_ns, step, ns) :
							row_read(r, owner, step, ns, &change_ns);

		course_add(c, change_ns, row);
	}
}

/* The first step that ends behind from_ns, as far back as there are any. */
static uint64_t find_first(const struct steps *s, int64_t from_ns)
{
	uint64_t oldest = s->count > STEPS_MAX ? s->count - STEPS_MAX : 0, i = s->count;

	while (i > oldest && s->at[(i - 1) % STEPS_MAX].until_ns > from_ns)
		i--;
	/* of the oldest one the beginning is not known */
	return i == oldest && oldest ? i + 1 : i;
}

void steps_course(const struct steps *s, const struct route *r, const struct account *owner,
		  int64_t from_ns, int64_t until_ns, struct course *ret_course)
{
	uint64_t i = find_first(s, from_ns);
	struct route left = *r; /* of its detours */
	int64_t known_ns = i ? s->at[(i - 1) % STEPS_MAX].until_ns : s->from_ns;

	course_begin(ret_course, from_ns);
	if (known_ns > from_ns)
		course_add(ret_course, known_ns < until_ns ? known_ns : until_ns, COURSE_UNKNOWN);
	for (; i < s->count && ret_course->until_ns < until_ns; i++)
		add_step(ret_course, &left, owner, &s->at[i % STEPS_MAX], until_ns);
	course_add(ret_course, until_ns, COURSE_UNKNOWN);
}
