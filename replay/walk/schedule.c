/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/schedule.h"

#include "base/clock.h"
#include "replay/net/datagram.h"
#include "replay/net/wire.h"
#include "replay/walk/walk.h"

/* Each thread draws its own; what is a function of the request's number is the same for all. */
static struct spec_key key_of(const struct walk_schedule *s, uint32_t thread, uint64_t request,
			      enum walk_slot slot)
{
	return (struct spec_key){
		.seed = s->seed + thread, .request = request, .op = WALK_OP_CLIENT, .slot = slot
	};
}

static double period_ns(const struct walk_schedule *s, uint32_t thread, uint64_t request,
			int64_t at_ns)
{
	struct spec_key key = key_of(s, thread, request, WALK_SLOT_PERIOD);
	double rate;

	if (s->period)
		return (double)spec_draw(s->period, &key);
	key = key_of(s, thread, s->rate_step_ns ? (uint64_t)(at_ns / s->rate_step_ns) : request,
		     WALK_SLOT_RATE);
	rate = spec_draw_real(s->rate, &key);
	return rate > 0 ? NS_PER_SEC / rate : NS_PER_SEC;
}

/* Fractions of a ns add up to the next. */
void walk_next_due(const struct walk_schedule *s, uint32_t thread, uint64_t request,
		   int64_t *due_ns, double *fraction)
{
	double period = period_ns(s, thread, request, *due_ns) + *fraction;
	int64_t whole = (int64_t)period;

	*due_ns += whole;
	*fraction = period - (double)whole;
}

size_t walk_class_of(const struct walk_schedule *s, uint64_t number)
{
	for (size_t i = 0; i + 1 < s->classes_count; i++)
		if (!chain_skips(s->chain, s->seed, number, s->classes[i].at))
			return i;
	return s->classes_count ? s->classes_count - 1 : 0;
}

static const struct spec *size_of(const struct walk_schedule *s, uint32_t thread, uint64_t request)
{
	const struct walk_class *class;

	if (!s->classes_count)
		return s->size;
	class = &s->classes[walk_class_of(s, walk_number(s, thread, request))];
	return class->has_size ? &class->request_bytes : s->size;
}

uint32_t walk_request_bytes(const struct walk_schedule *s, uint32_t thread, uint64_t request,
			    bool *ret_raised)
{
	struct spec_key key = key_of(s, thread, request, WALK_SLOT_BYTES);
	uint64_t bytes = spec_draw(size_of(s, thread, request), &key);
	uint64_t least = s->datagrams ? DATAGRAM_REQUEST_BYTES : WIRE_MESSAGE_BYTES;
	uint64_t most = s->datagrams ? DATAGRAM_MAX : WIRE_MESSAGE_MAX;

	*ret_raised = bytes < least;
	bytes = bytes < least ? least : bytes;
	return (uint32_t)(bytes < most ? bytes : most);
}

uint64_t walk_first_of_session(const struct walk_schedule *s, uint64_t session)
{
	uint64_t each = s->requests / s->sessions, over = s->requests % s->sessions;

	return session * each + (session < over ? session : over);
}

int64_t walk_first_due_ns(const struct walk_schedule *s, uint32_t thread, uint64_t session)
{
	if (!s->stagger || session)
		return 0;
	return (int64_t)(period_ns(s, thread, 0, 0) * thread / s->threads);
}
