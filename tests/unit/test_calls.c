/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call trees out of packets alone, where the trees are known: what is called sure is right, always;
 * and of what is a choice among several most is, too.
 */
#include "capture/packet/calls.h"
#include "capture/packet/requests.h"

#include "check.h"

#include "trace/schema.h"

#define START_NS 1000000000LL
#define US 1000LL
#define MS 1000000LL
#define REQUESTS_MAX 16000
#define CONNECTIONS_MAX 4096
#define NOBODY (-1)
#define NEVER INT64_MAX

/* What truly happened: a request on a connection, and for which other it was made. */
struct truth {
	int parent, connection;
	int64_t start_ns, end_ns; /* NEVER: the client gives up, see gone_ns */
};

struct wire_end {
	uint8_t address;
	uint16_t port;
};

struct connection {
	struct wire_end client, server;
	int64_t open_ns, gone_ns; /* gone: closed by the client; 0: never */
	uint32_t sent[2];
	bool datagrams;
};

enum what { OPEN, ASK, ANSWER, LEAVE };

struct event {
	int64_t ns;
	int at; /* index of the request or the connection */
	enum what what;
};

struct world {
	struct truth truths[REQUESTS_MAX];
	struct connection connections[CONNECTIONS_MAX];
	struct row_request rows[REQUESTS_MAX];
	struct row_op ops[REQUESTS_MAX];
	struct row_connection outgoing[CONNECTIONS_MAX];
	uint64_t ids[REQUESTS_MAX];	/* of truths: request_id */
	int truth_of[REQUESTS_MAX + 1]; /* and the other way */
	uint64_t asked;
	struct event events[2 * REQUESTS_MAX + 2 * CONNECTIONS_MAX];
	int truths_count, connections_count, rows_count, ops_count, outgoing_count, events_count;
	int targets_count;
	struct requests *requests;
	struct flows *flows;
	uint64_t random;
	int64_t from_ns;	  /* the capture begins then */
	bool both_ends;		  /* captured on every host: each packet twice, a little later */
	const char *const *heads; /* first lines of requests; NULL: all alike */
};

/* --- how it is made ------------------------------------------------------------------------------- */

static struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	w->random = seed;
	return w;
}

static void world_free(struct world *w)
{
	flows_free(w->flows);
	requests_free(w->requests);
	free(w);
}

static uint64_t draw(struct world *w, uint64_t below)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (w->random >> 33) % below;
}

/* Around a mean, as services are: never below half of it, rarely far above. */
static int64_t draw_ns(struct world *w, int64_t mean_ns)
{
	double u = ((double)draw(w, 1 << 20) + 1) / (1 << 20);

	return mean_ns / 2 + (int64_t)(-log(u) * (double)mean_ns / 2);
}

static int connect_to(struct world *w, uint8_t from, uint8_t to, uint16_t port, int64_t ns)
{
	int i = w->connections_count++;

	w->connections[i] = (struct connection){ .client = { from, (uint16_t)(20000 + i) },
						 .server = { to, port },
						 .open_ns = ns };
	return i;
}

static int ask(struct world *w, int parent, int connection, int64_t start_ns, int64_t end_ns)
{
	w->truths[w->truths_count] = (struct truth){ parent, connection, start_ns, end_ns };
	return w->truths_count++;
}

/* --- how it is captured ---------------------------------------------------------------------------- */

static int write_row(void *arg, enum trace_table table, const void *row)
{
	struct world *w = arg;
	const struct row_connection *connection = row;

	if (table == TABLE_REQUESTS && CHECK(w->rows_count < REQUESTS_MAX))
		w->rows[w->rows_count++] = *(const struct row_request *)row;
	if (table == TABLE_OPS && CHECK(w->ops_count < REQUESTS_MAX))
		w->ops[w->ops_count++] = *(const struct row_op *)row;
	if (table == TABLE_CONNECTIONS && connection->outgoing)
		w->outgoing[w->outgoing_count++] = *connection;
	w->targets_count += table == TABLE_TARGETS;
	return 0;
}

static void send_packet(struct world *w, int connection, bool reply, unsigned flags,
			const char *text, int64_t ns)
{
	struct connection *c = &w->connections[connection];
	const struct wire_end *from = reply ? &c->server : &c->client;
	const struct wire_end *to = reply ? &c->client : &c->server;
	struct packet p = {
		.ns = START_NS + ns,
		.from = { { [10] = 0xff, 0xff, 10, 0, 0, from->address }, from->port },
		.to = { { [10] = 0xff, 0xff, 10, 0, 0, to->address }, to->port },
		.seq = 1000u * (reply + 1) + !(flags & PACKET_SYN) + c->sent[reply],
		.ack = flags & PACKET_ACK ? 1000u * (!reply + 1) + 1 + c->sent[!reply] : 0,
		.mark = (uint32_t)draw(w, 1u << 31),
		.window = 100,
		.flags = (uint8_t)flags,
		.payload = (const uint8_t *)text,
		.total = (uint32_t)strlen(text),
		.seen = (uint32_t)strlen(text),
	};

	c->sent[reply] += p.total;
	if (c->datagrams)
		p.seq = p.ack = p.flags = 0;
	CHECK_EQ(flows_packet(w->flows, c->datagrams ? PACKET_UDP : PACKET_TCP, &p), 0);
	p.ns += 20 * US;
	if (w->both_ends)
		CHECK_EQ(flows_packet(w->flows, c->datagrams ? PACKET_UDP : PACKET_TCP, &p), 0);
}

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->at - y->at;
}

static void add_event(struct world *w, int64_t ns, int at, enum what what)
{
	if (ns != NEVER)
		w->events[w->events_count++] = (struct event){ ns, at, what };
}

static void play_event(struct world *w, const struct event *e)
{
	const struct truth *t = &w->truths[e->at];
	char text[64] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	switch (e->what) {
	case OPEN:
		if (w->connections[e->at].datagrams)
			break;
		send_packet(w, e->at, false, PACKET_SYN, "", e->ns);
		send_packet(w, e->at, true, PACKET_SYN | PACKET_ACK, "", e->ns);
		send_packet(w, e->at, false, PACKET_ACK, "", e->ns);
		break;
	case ASK: /* ids are in the order in which requests came */
		w->ids[e->at] = ++w->asked;
		w->truth_of[w->asked] = e->at;
		if (w->heads)
			snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n",
				 w->heads[e->at]);
		send_packet(w, t->connection, false, PACKET_ACK, text, e->ns);
		break;
	case ANSWER:
		send_packet(w, t->connection, true, PACKET_ACK,
			    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", e->ns);
		break;
	case LEAVE:
		send_packet(w, e->at, false, PACKET_FIN | PACKET_ACK, "", e->ns);
		send_packet(w, e->at, true, PACKET_FIN | PACKET_ACK, "", e->ns);
		break;
	}
}

static void capture(struct world *w)
{
	const struct row_sink rows = { write_row, w };
	struct flows_opts opts = { .max = CONNECTIONS_MAX };

	w->requests = requests_new(START_NS, &rows);
	opts.sink = requests_flow_sink(w->requests);
	w->flows = flows_new(&opts);
	for (int i = 0; i < w->connections_count; i++) {
		add_event(w, w->connections[i].open_ns, i, OPEN);
		if (w->connections[i].gone_ns)
			add_event(w, w->connections[i].gone_ns, i, LEAVE);
	}
	for (int i = 0; i < w->truths_count; i++) {
		add_event(w, w->truths[i].start_ns, i, ASK);
		add_event(w, w->truths[i].end_ns, i, ANSWER);
	}
	qsort(w->events, (size_t)w->events_count, sizeof(*w->events), compare_events);
	for (int i = 0; i < w->events_count; i++)
		if (w->events[i].ns >= w->from_ns)
			play_event(w, &w->events[i]);
	flows_finish(w->flows);
	CHECK_EQ(requests_finish(w->requests), 0);
	if (!w->from_ns)
		CHECK_EQ(w->rows_count, w->truths_count);
}

/* --- what came of it ------------------------------------------------------------------------------- */

static uint64_t ledger(const struct world *w, enum ledger_entry entry)
{
	return requests_ledger(w->requests)->count[entry];
}

struct verdict {
	int calls, found, right, sure, sure_wrong, invented;
};

static struct verdict judge(const struct world *w)
{
	struct verdict v = { 0 };

	for (int i = 0; i < w->rows_count; i++) {
		const struct row_request *row = &w->rows[i];
		int parent = w->truths[w->truth_of[row->request_id]].parent;
		bool right = parent != NOBODY && row->parent_id == w->ids[parent];
		bool sure = row->parent_id && row->confidence == 100;

		v.calls += parent != NOBODY;
		v.found += parent != NOBODY && row->parent_id;
		v.right += right;
		v.invented += parent == NOBODY && row->parent_id;
		v.sure += sure;
		v.sure_wrong += sure && !right;
	}
	return v;
}

static void tell(const char *what, const struct world *w)
{
	struct verdict v = judge(w);

	printf("# %s: %d calls, %d with a request, %d right, %d sure (%d of them wrong), %d invented, "
	       "%d ambiguous, %d unowned\n",
	       what, v.calls, v.found, v.right, v.sure, v.sure_wrong, v.invented,
	       (int)ledger(w, LG_CALLS_AMBIGUOUS), (int)ledger(w, LG_CALLS_UNOWNED));
}

/* --- trees ----------------------------------------------------------------------------------------- */

#define FRONT 2 /* 10.0.0.2, and what it calls */
#define CACHE 3
#define STORE 4

/* All calls are found, right and sure. */
static void check_certain(struct world *w)
{
	struct verdict v = judge(w);

	CHECK_EQ(v.right, v.calls);
	CHECK_EQ(v.sure, v.calls);
	CHECK_EQ(v.invented, 0);
	CHECK_EQ(ledger(w, LG_CALLS_JOINED), v.calls);
	CHECK_EQ(ledger(w, LG_CALLS_AMBIGUOUS), 0);
	CHECK_EQ(ledger(w, LG_CALLS_UNOWNED), 0);
	CHECK_EQ(w->ops_count, v.calls);
}

/* The front asks the cache, then the store, which asks the cache itself: one request at a time. */
static void one_at_a_time(bool both_ends)
{
	struct world *w = world_new(1);
	int client = connect_to(w, 1, FRONT, 80, 0), cache = connect_to(w, FRONT, CACHE, 6379, 0);
	int store = connect_to(w, FRONT, STORE, 5432, 0),
	    other = connect_to(w, STORE, CACHE, 6379, 0);

	for (int i = 0; i < 100; i++) {
		int64_t ns = (10 + 3 * i) * MS;
		int front = ask(w, NOBODY, client, ns, ns + 1000 * US), stored;

		ask(w, front, cache, ns + 100 * US, ns + 200 * US);
		stored = ask(w, front, store, ns + 300 * US, ns + 900 * US);
		ask(w, stored, other, ns + 400 * US, ns + 500 * US);
	}
	capture(w);
	check_certain(w);
	CHECK_EQ(w->targets_count, 2);
	CHECK_EQ(w->outgoing_count, 3);
	for (int i = 0; i < w->ops_count; i++) {
		const struct row_op *op = &w->ops[i];

		CHECK_EQ(op->kind, OP_FORWARD);
		CHECK_EQ(op->bytes, 27);
		CHECK_EQ(op->reply_bytes, 40);
		CHECK(op->connection_id && op->target_id);
		if (op->elapsed_ns == 600 * US) /* the store's, which waits for the cache's */
			CHECK(op->after != 0);
		else
			CHECK_EQ(op->after, 0);
	}
	world_free(w);
}

static void test_one_at_a_time(void)
{
	one_at_a_time(false);
	one_at_a_time(true);
}

/* A name is asked for by datagrams, then the store; another socket each time. */
static void test_datagrams(void)
{
	struct world *w = world_new(11);
	int client = connect_to(w, 1, FRONT, 80, 0), store = connect_to(w, FRONT, STORE, 5432, 0);

	for (int i = 0; i < 100; i++) {
		int64_t ns = (10 + 3 * i) * MS;
		int front = ask(w, NOBODY, client, ns, ns + 1000 * US);
		int names = connect_to(w, FRONT, 5, 53, ns);

		w->connections[names].datagrams = true;
		ask(w, front, names, ns + 100 * US, ns + 200 * US);
		ask(w, front, store, ns + 300 * US, ns + 900 * US);
	}
	capture(w);
	CHECK_EQ(judge(w).right, 200);
	CHECK_EQ(judge(w).invented, 0);
	CHECK_EQ(ledger(w, LG_CALLS_AMBIGUOUS), 0);
	world_free(w);
}

/* To three at once, each over a connection of its own; the front has two of such requests. */
static void test_fan_out(void)
{
	struct world *w = world_new(2);
	int clients[2], calls[3];

	for (int i = 0; i < 2; i++)
		clients[i] = connect_to(w, 1, FRONT, 80, 0);
	for (int i = 0; i < 3; i++)
		calls[i] = connect_to(w, FRONT, (uint8_t)(CACHE + i), 7000, 0);
	for (int i = 0; i < 100; i++) {
		int64_t ns = (10 + 2 * i) * MS;
		int front = ask(w, NOBODY, clients[i % 2], ns, ns + 900 * US);

		for (int k = 0; k < 3; k++)
			ask(w, front, calls[k], ns + (50 + k) * US, ns + (800 - 100 * k) * US);
	}
	capture(w);
	check_certain(w);
	for (int i = 0; i < w->ops_count; i++)
		CHECK_EQ(w->ops[i].after, 0);
	world_free(w);
}

/* No answer, so the front closes and asks again over another connection. */
static void test_retries(void)
{
	struct world *w = world_new(3);
	int client = connect_to(w, 1, FRONT, 80, 0);

	for (int i = 0; i < 100; i++) {
		int64_t ns = (10 + 20 * i) * MS;
		int front = ask(w, NOBODY, client, ns, ns + 12 * MS);
		int first = connect_to(w, FRONT, CACHE, 7000, ns + 1 * MS);

		w->connections[first].gone_ns = ns + 5 * MS;
		ask(w, front, first, ns + 2 * MS, NEVER);
		ask(w, front, connect_to(w, FRONT, CACHE, 7000, ns + 6 * MS), ns + 7 * MS,
		    ns + 10 * MS);
	}
	capture(w);
	check_certain(w);
	CHECK_EQ(ledger(w, LG_REQUESTS_UNANSWERED), 100);
	world_free(w);
}

/* Several of one request on one connection, the next before the one before is answered. */
static void test_pipelined(void)
{
	struct world *w = world_new(4);
	int client = connect_to(w, 1, FRONT, 80, 0), call = connect_to(w, FRONT, CACHE, 7000, 0);

	for (int i = 0; i < 100; i++) {
		int64_t ns = (10 + 2 * i) * MS;
		int front = ask(w, NOBODY, client, ns, ns + 900 * US);

		for (int k = 0; k < 4; k++)
			ask(w, front, call, ns + (100 + k) * US, ns + (300 + 10 * k) * US);
	}
	capture(w);
	check_certain(w);
	world_free(w);
}

/* A front of so many connections whose clients wait a while between requests. */
struct load {
	int clients, calls; /* calls of each request, one after the other */
	int64_t think_ns, before_ns, call_ns, after_ns;
	uint8_t at[3]; /* where the client, the front, and the cache are */
};

#define POOL 200 /* connections of the front, used in turn: none is asked twice at once */

static void make_load(struct world *w, const struct load *l, int requests)
{
	int pool[POOL], clients[64], used = 0;
	int64_t next_ns[64];

	for (int i = 0; i < POOL; i++)
		pool[i] = connect_to(w, l->at[1], l->at[2], 7000, 0);
	for (int i = 0; i < l->clients; i++) {
		clients[i] = connect_to(w, l->at[0], l->at[1], 80, 0);
		next_ns[i] = MS + draw_ns(w, l->think_ns);
	}
	for (int i = 0; i < requests; i++) {
		int client = 0, front;
		int64_t ns;

		for (int k = 1; k < l->clients; k++)
			client = next_ns[k] < next_ns[client] ? k : client;
		ns = next_ns[client];
		front = ask(w, NOBODY, clients[client], ns, 0);
		for (int k = 0; k < l->calls; k++) {
			int64_t start_ns = ns + draw_ns(w, l->before_ns);

			ns = start_ns + draw_ns(w, l->call_ns);
			ask(w, front, pool[used++ % POOL], start_ns, ns);
		}
		w->truths[front].end_ns = ns + draw_ns(w, l->after_ns);
		next_ns[client] = w->truths[front].end_ns + draw_ns(w, l->think_ns);
	}
}

/* Clients that ask at the same time; the least share that is to be right, in percent. */
static void test_concurrent(void)
{
	static const struct {
		const char *name;
		struct load load;
		int right;
	} cases[] = {
		{ "2 clients, one call",
		  { 2, 1, 5 * MS, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } },
		  99 },
		{ "8 clients, one call",
		  { 8, 1, 5 * MS, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } },
		  99 },
		{ "8 clients, three calls",
		  { 8, 3, 5 * MS, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } },
		  90 },
		{ "32 clients, one call",
		  { 32, 1, 5 * MS, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } },
		  95 },
		{ "8 clients without a pause",
		  { 8, 1, 0, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } },
		  90 },
		{ "all on one host", { 4, 1, 5 * MS, 50 * US, 500 * US, 50 * US, { 2, 2, 2 } }, 99 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = world_new(5);
		struct verdict v;

		check_case("%s", cases[i].name);
		make_load(w, &cases[i].load, 3000);
		capture(w);
		tell(cases[i].name, w);
		v = judge(w);
		CHECK_EQ(v.sure_wrong, 0);
		CHECK_EQ(v.invented, 0);
		CHECK(v.right * 100 >= v.calls * cases[i].right);
		CHECK_EQ(v.found, v.calls);
		world_free(w);
	}
}

/* A program on the front's host asks the cache as well: what lies in a request by chance is not sure. */
static void test_strangers(void)
{
	struct load load = { 2, 1, 5 * MS, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } };
	struct world *w = world_new(6);
	struct verdict v;
	int other = connect_to(w, 2, 3, 7000, 0);

	for (int i = 0; i < 300; i++)
		ask(w, NOBODY, other, (2 + 10 * i) * MS, (2 + 10 * i) * MS + 300 * US);
	make_load(w, &load, 3000);
	capture(w);
	tell("beside a stranger", w);
	v = judge(w);
	CHECK_EQ(v.sure_wrong, 0);
	CHECK(v.right * 100 >= v.calls * 95);
	CHECK(v.invented < 300 / 2);
	CHECK_EQ(ledger(w, LG_CALLS_UNOWNED) + (uint64_t)v.invented, 300);
	world_free(w);
}

/* Behind one address are others than the front, who call all the time: nothing is guessed. */
static void test_shared_address(void)
{
	struct world *w = world_new(7);
	int client = connect_to(w, 1, FRONT, 80, 0), other = connect_to(w, FRONT, CACHE, 7000, 0);
	int64_t ns = MS;

	for (int i = 0; i < 1000; i++, ns += draw_ns(w, 5 * MS))
		ask(w, NOBODY, client, ns, ns + MS);
	ns = MS;
	for (int i = 0; i < 2000; i++, ns += 500 * US + draw_ns(w, 2 * MS))
		ask(w, NOBODY, other, ns + 1, ns + 400 * US);
	capture(w);
	tell("behind one address", w);
	CHECK_EQ(judge(w).invented, 0);
	world_free(w);
}

/* A service that calls one that calls a third, all on one host: the innermost has called. */
static void test_one_host(void)
{
	struct world *w = world_new(8);
	int client = connect_to(w, 2, 2, 80, 0), store = connect_to(w, 2, 2, 5432, 0);
	int cache = connect_to(w, 2, 2, 6379, 0);
	struct verdict v;

	for (int i = 0; i < 200; i++) {
		int64_t ns = (10 + 3 * i) * MS;
		int front = ask(w, NOBODY, client, ns, ns + 1000 * US);
		int stored = ask(w, front, store, ns + 300 * US, ns + 900 * US);

		ask(w, stored, cache, ns + 400 * US, ns + 500 * US);
	}
	capture(w);
	tell("three on one host", w);
	v = judge(w);
	CHECK_EQ(v.right, 400);
	CHECK_EQ(ledger(w, LG_CALLS_AMBIGUOUS),
		 200); /* the front may have called the cache itself */
	CHECK_EQ(v.sure_wrong, 0);
	world_free(w);
}

/* Ids are not in the order of arrival where connections are older than the capture. */
static void match_by_arrival(struct world *w)
{
	memset(w->ids, 0, sizeof(w->ids));
	for (int i = 0; i < w->rows_count; i++) {
		int k = 0;

		while (k < w->truths_count && w->truths[k].start_ns != w->rows[i].arrival_ns)
			k++;
		if (!CHECK(k < w->truths_count))
			return;
		w->ids[k] = w->rows[i].request_id;
		w->truth_of[w->rows[i].request_id] = k;
	}
}

/* A capture that begins in the middle of it all: what came before makes nothing wrong later. */
static void test_late_start(void)
{
	struct load load = { 8, 1, 2 * MS, 50 * US, 500 * US, 50 * US, { 1, 2, 3 } };

	for (uint64_t seed = 20; seed < 26; seed++) {
		struct world *w = world_new(seed);
		struct verdict v;

		make_load(w, &load, 3000);
		w->from_ns = w->truths[1000].start_ns;
		capture(w);
		match_by_arrival(w);
		tell("begun in the middle", w);
		v = judge(w);
		check_case("seed %d", (int)seed);
		CHECK_EQ(v.sure_wrong, 0);
		CHECK(v.sure * 100 > v.calls * 30);
		CHECK(v.right * 100 >= v.calls * 90);
		world_free(w);
	}
}

/* What a request passes on as it came tells them apart. */
static void test_heads(void)
{
	struct load load = { 8, 1, 0, 500 * US, 500 * US, 500 * US, { 1, 2, 3 } };
	static char names[2 * 3000][8];
	static const char *heads[2 * 3000];
	struct world *w = world_new(9);
	struct verdict v;

	make_load(w, &load, 3000);
	for (int i = 0; i < w->truths_count; i++) {
		int parent = w->truths[i].parent;

		snprintf(names[i], sizeof(names[i]), "%d", (parent == NOBODY ? i : parent) % 500);
		heads[i] = names[i];
	}
	w->heads = heads;
	capture(w);
	tell("first lines passed on", w);
	v = judge(w);
	CHECK_EQ(v.sure_wrong, 0);
	CHECK(v.right * 100 >= v.calls * 97);
	world_free(w);
}

/* More calls than are remembered, over seconds: found all the same, and memory has an end. */
static void test_many_calls(void)
{
	struct world *w = world_new(10);
	int client = connect_to(w, 1, FRONT, 80, 0), call = connect_to(w, FRONT, CACHE, 7000, 0);
	int front = ask(w, NOBODY, client, MS, 9000 * MS);

	for (int i = 0; i < 4000; i++)
		ask(w, front, call, (2 + 2 * i) * MS, (3 + 2 * i) * MS);
	capture(w);
	check_certain(w);
	world_free(w);
}

static int count_row(void *arg, enum trace_table table, const void *row)
{
	(void)row;
	*(size_t *)arg += table == TABLE_REQUESTS;
	return 0;
}

static void release(void *arg, struct span *span)
{
	(void)arg;
	(void)span;
}

/* So many requests within a moment that nobody waits for what they may have called. */
static void test_held_limit(void)
{
	const size_t count = CALLS_HELD_MAX + 5000;
	const uint8_t front[16] = { 1 }, cache[16] = { 2 };
	const struct row_service service = { .service_id = 1 };
	const struct row_connection connection = { .connection_id = 1 };
	struct span *spans = calloc(count, sizeof(*spans));
	struct row_request *rows = calloc(count, sizeof(*rows));
	struct ledger entries = { { 0 } };
	int64_t never = 0;
	size_t written = 0;
	const struct calls_sink sink = { { count_row, &written }, release, NULL };
	struct calls *c = calls_new(&sink, &entries);
	struct call_link *link;

	calls_add_service(c, 0, front, &service);
	calls_add_service(c, 1, cache, &service);
	link = calls_link(c, calls_caller_at(c, front, 1), &never, 0);
	for (size_t i = 0; i < count; i++) {
		rows[i] = (struct row_request){ .request_id = i + 1,
						.class_id = 1,
						.arrival_ns = (int64_t)i,
						.write_ns = (int64_t)i,
						.end_ns = (int64_t)i };
		spans[i] = (struct span){ .row = &rows[i], .host = 1, .framed = true };
		calls_begin(c, &spans[i]);
		calls_end(c, &spans[i], (int64_t)i);
		calls_advance(c, (int64_t)i);
		if (i < CALLS_HELD_MAX - 1)
			CHECK_EQ(written, 0);
	}
	CHECK(written >= CALLS_HELD_MAX);
	calls_unlink(c, link, &connection);
	CHECK_EQ(calls_finish(c), 0);
	CHECK_EQ(written, count);
	calls_free(c);
	free(rows);
	free(spans);
}

int main(void)
{
	RUN(test_held_limit);
	RUN(test_strangers);
	RUN(test_shared_address);
	RUN(test_one_host);
	RUN(test_late_start);
	RUN(test_heads);
	RUN(test_many_calls);
	RUN(test_one_at_a_time);
	RUN(test_datagrams);
	RUN(test_fan_out);
	RUN(test_retries);
	RUN(test_pipelined);
	RUN(test_concurrent);
	return check_done();
}
