/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of requests whose truth is known: what of each lies on the path of the root. Times in us. */
#include "attribution/call_tree.h"
#include "check.h"

#define US 1000

static struct call_tree tree;

static void add_request(uint64_t id, uint64_t parent, uint64_t service, uint32_t clock,
			int64_t from, int64_t to)
{
	const struct tree_request r = { .request_id = id,
					.parent_id = parent,
					.service_id = service,
					.clock = clock,
					.arrival_ns = from * US,
					.end_ns = to * US };

	CHECK_EQ(call_tree_add_request(&tree, &r), 0);
}

static void add_call(uint64_t by, uint64_t service, int64_t from, int64_t to)
{
	const struct tree_call c = { by, service, from * US, to * US };

	CHECK_EQ(call_tree_add_call(&tree, &c), 0);
}

static void set_rows(uint64_t id, int64_t call)
{
	struct tree_request *r = call_tree_find(&tree, id);

	r->total_ns = r->end_ns - r->arrival_ns;
	r->call_ns = call * US;
}

static void path_is(uint64_t id, int64_t path, int64_t wire, int64_t left)
{
	const struct tree_request *r = call_tree_find(&tree, id);

	check_case("request %llu", (unsigned long long)id);
	CHECK_EQ(r->path_ns, path * US);
	CHECK_EQ(r->wire_ns, wire * US);
	CHECK_EQ(r->left_ns, left * US);
}

/* What all of them spent themselves, the wires, and what stays a call. */
static int64_t sum_of_tree(uint32_t root)
{
	int64_t sum = 0;

	for (size_t i = 0; i < tree.requests_count; i++) {
		const struct tree_request *r = &tree.requests[i];

		if (r->root == root)
			sum += r->path_ns + r->wire_ns + r->left_ns -
			       (int64_t)((__int128)r->call_ns * r->path_ns / r->total_ns);
	}
	return sum;
}

static void test_nested(void)
{
	call_tree_init(&tree);
	add_request(30, 20, 3, 0, 2200, 3800); /* added below its parents */
	add_request(20, 10, 2, 0, 1100, 4900);
	add_request(10, 0, 1, 0, 0, 10000);
	add_call(20, 3, 2000, 4000);
	add_call(10, 2, 1000, 5000);
	call_tree_sort(&tree);
	set_rows(10, 4000);
	set_rows(20, 2000);
	set_rows(30, 0);
	CHECK_EQ(call_tree_close(&tree), 0);
	path_is(10, 10000, 0, 0);
	path_is(20, 3800, 200, 0);
	path_is(30, 1600, 400, 0);
	CHECK_EQ(sum_of_tree(0), 10000 * US);
	CHECK_EQ(tree.waits, 2);
	CHECK_EQ(tree.waits_replaced, 2);
	call_tree_release(&tree);
}

/* Half of the callee's time is on the path: half of its own callee's, too. */
static void test_half_way_down(void)
{
	call_tree_init(&tree);
	add_request(1, 0, 1, 0, 0, 4000);
	add_request(2, 1, 2, 0, 0, 4000);
	add_request(3, 2, 3, 0, 1000, 3000);
	add_call(1, 2, 0, 4000);
	add_call(2, 3, 1000, 3000);
	call_tree_sort(&tree);
	set_rows(1, 2000);
	set_rows(2, 2000);
	set_rows(3, 0);
	CHECK_EQ(call_tree_close(&tree), 0);
	path_is(2, 2000, 0, 0);
	path_is(3, 1000, 0, 0);
	CHECK_EQ(sum_of_tree(0), 4000 * US);
	call_tree_release(&tree);
}

/* All was done while the caller was still busy sending. */
static void test_no_time(void)
{
	call_tree_init(&tree);
	add_request(1, 0, 1, 0, 0, 4000);
	add_request(2, 1, 2, 0, 100, 300);
	add_call(1, 2, 0, 400);
	call_tree_sort(&tree);
	set_rows(1, 0);
	set_rows(2, 0);
	CHECK_EQ(call_tree_close(&tree), 0);
	path_is(1, 4000, 0, 0);
	path_is(2, 0, 0, 0);
	CHECK_EQ(tree.waits, 1);
	CHECK_EQ(tree.waits_replaced, 0);
	CHECK_EQ(tree.beside, 1);
	call_tree_release(&tree);
}

static void test_missing(void)
{
	call_tree_init(&tree);
	add_request(1, 0, 1, 0, 0, 4000);
	add_call(1, 2, 0, 3000);
	add_request(2, 99, 2, 0, 100, 200); /* its parent is not here: a root of its own */
	call_tree_sort(&tree);
	set_rows(1, 3000);
	set_rows(2, 0);
	CHECK_EQ(call_tree_close(&tree), 0);
	path_is(1, 4000, 0, 3000);
	path_is(2, 100, 0, 0);
	CHECK_EQ(tree.requests[1].root, 1);
	CHECK_EQ(tree.waits_replaced, 0);
	call_tree_release(&tree);
}

/* Requests that cause each other in a circle have no root, and harm nobody. */
static void test_circle(void)
{
	call_tree_init(&tree);
	add_request(1, 2, 1, 0, 0, 1000);
	add_request(2, 1, 2, 0, 0, 1000);
	add_request(3, 3, 1, 0, 0, 1000);
	add_call(1, 2, 0, 1000);
	call_tree_sort(&tree);
	set_rows(1, 1000);
	set_rows(2, 1000);
	set_rows(3, 1000);
	CHECK_EQ(call_tree_close(&tree), 0);
	for (size_t i = 0; i < tree.requests_count; i++)
		CHECK_EQ(tree.requests[i].root, CALL_TREE_NONE);
	call_tree_release(&tree);
}

/* ahead: of the other host's clock, in us; that of the eighth request apart. The fourth calls twice. */
static void build_hosts(int64_t ahead, int64_t odd_ahead)
{
	call_tree_init(&tree);
	for (uint64_t i = 0; i < 20; i++) {
		int64_t at = 10000 * (int64_t)i, off = i == 7 ? odd_ahead : ahead;
		uint64_t id = 10 * i + 1;

		add_request(id, 0, 1, 0, at, at + 4000);
		add_call(id, 2, at + 500, at + 3500);
		add_request(id + 1, id, 2, 1, at + 600 + off, at + 3300 + off);
		if (i == 3)
			add_request(id + 2, id, 2, 1, at + 700 + off, at + 6000 + off);
	}
	call_tree_sort(&tree);
	for (size_t i = 0; i < tree.requests_count; i++)
		set_rows(tree.requests[i].request_id, tree.requests[i].parent_id ? 0 : 3000);
	CHECK_EQ(call_tree_close(&tree), 0);
}

static void test_clocks(void)
{
	build_hosts(777000, 777000);
	if (CHECK_EQ(tree.clocks_count, 1)) {
		const struct tree_clocks *c = &tree.clocks[0];

		CHECK(c->good);
		CHECK_EQ(c->bounds.count, 19); /* not of the one that called twice */
		CHECK(llabs(c->line.offset_ns + 777000 * US) <= c->line.bound_ns);
		CHECK(c->line.bound_ns < 300 * US); /* less than a round trip */
	}
	path_is(2, 2700, 300, 0);
	path_is(32, 2700, 300, 0);
	path_is(33, 0, 0, 0); /* it ended when the wait had ended */
	call_tree_release(&tree);
}

/* A clock that was set in between: round trips alone, which need no clock. */
static void test_clock_was_set(void)
{
	build_hosts(777000, 1777000);
	CHECK(!tree.clocks[0].good);
	path_is(2, 2700, 300, 0);
	path_is(32, 2700, 300, 0);
	call_tree_release(&tree);
}

int main(void)
{
	RUN(test_nested);
	RUN(test_half_way_down);
	RUN(test_no_time);
	RUN(test_missing);
	RUN(test_circle);
	RUN(test_clocks);
	RUN(test_clock_was_set);
	return check_done();
}
