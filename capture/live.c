/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/live.h"

#include "base/clock.h"
#include "base/work.h"
#include "capture/assemble/assembler.h"
#include "capture/price.h"
#include "probe/probe.h"
#include "trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 5
#define PRICE_BLOCK_NS (500 * NS_PER_MS)
#define PRICE_BLOCK_MIN_NS (50 * NS_PER_MS)
#define PRICE_BLOCKS 24 /* of a short capture: ten rounds, and switching between them */
#define COMMAND_END_NS (5 * NS_PER_SEC) /* it ignores SIGTERM for longer: SIGKILL */
#define TLS_PIDS_MAX 256
#define TLS_LOOKS 16		      /* processes at a time: a service may map its library late */
#define TLS_EARLY_NS (3 * NS_PER_SEC) /* a command that has just started maps it any moment now */
#define LOOK_AROUND_NS (100 * NS_PER_MS) /* for the end of the service, and progress */

struct live {
	const struct live_opts *opts;
	struct processes processes;
	char names[SERVICES_NAMED_MAX][32]; /* of the services, while their processes are there */
	struct probe *probe;
	pid_t tls_pids[TLS_PIDS_MAX]; /* the latest processes, to look for TLS libraries in */
	size_t tls_pids_count, tls_pids_next;
	struct trace_writer *writer;
	struct assembler *assembler;
	struct budget budget;
	struct price *price; /* NULL: not measured */
	pid_t command;	     /* child that we started; 0: none, or it has ended */
	int command_gate;    /* it waits for this pipe before it goes on to exec */
	int64_t start_ns;
	uint64_t work_per_ms;
	struct live_result *result;
	struct err *err;
};

static void add_tls_pid(struct live *l, pid_t pid)
{
	l->tls_pids[l->tls_pids_count++ % TLS_PIDS_MAX] = pid;
}

/* A library that cannot be followed is no failure: what it encrypts is counted, and the reason said. */
static void look_for_tls(struct live *l, pid_t pid)
{
	struct err err = { "" };

	if (l->opts->requests_only)
		return; /* only the sockets are looked at */
	if (probe_follow_tls(l->probe, pid, &err) < 0 && !l->result->tls.text[0])
		l->result->tls = err;
}

static void look_around_for_tls(struct live *l)
{
	size_t pids = l->tls_pids_count < TLS_PIDS_MAX ? l->tls_pids_count : TLS_PIDS_MAX;

	for (size_t i = 0; i < TLS_LOOKS && i < pids; i++)
		look_for_tls(l, l->tls_pids[l->tls_pids_next++ % pids]);
}

/* Children run the program of their parent, until they may run another. */
static void note_process(struct live *l, const struct event_thread *e)
{
	if (e->head.kind == EVENT_THREAD && e->tid == e->tgid)
		add_tls_pid(l, e->tgid);
}

static int write_row(void *arg, enum trace_table table, const void *row)
{
	struct live *l = arg;

	return trace_write(l->writer, table, row, l->err);
}

static bool is_full(const struct live *l)
{
	return l->opts->max_bytes && trace_writer_bytes(l->writer) >= l->opts->max_bytes;
}

static void set_unwanted(void *arg, uint16_t local_port, unsigned unwanted)
{
	struct live *l = arg;

	probe_set_unwanted(l->probe, local_port, unwanted);
}

/* -EFBIG ends the capture: a full ring would make many times --max-size of it. */
static int on_event(void *arg, const void *event, size_t size)
{
	struct live *l = arg;
	int rc;

	note_process(l, event);
	rc = assembler_event(l->assembler, event, size);

	return !rc && is_full(l) ? -EFBIG : rc;
}

/* Whether execvp() will find it: better said before anything has begun. */
static bool command_exists(const char *program)
{
	const char *path = getenv("PATH");
	char at[4096];

	if (strchr(program, '/'))
		return !access(program, X_OK);
	errno = ENOENT;
	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(at, sizeof(at), "%.*s/%s", len ? (int)len : 1, len ? path : ".", program);
		if (!access(at, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static void command_main(char **argv, int gate)
{
	char go;

	/* the gate closes without a byte when the capture could not begin */
	if (read(gate, &go, 1) != 1)
		_exit(127);
	close(gate);
	execvp(argv[0], argv);
	fprintf(stderr, "gait: cannot start '%s': %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* Starts the command, held at a gate, so that it is followed from its first instruction. */
static int command_start(struct live *l)
{
	int gate[2];

	if (!l->opts->command)
		return 0;
	if (pipe(gate))
		return err_errno(l->err, errno, "cannot start '%s'", l->opts->command[0]);
	l->command = fork();
	if (!l->command) {
		close(gate[1]);
		command_main(l->opts->command, gate[0]);
	}
	close(gate[0]);
	l->command_gate = gate[1];
	if (l->command < 0)
		return err_errno(l->err, errno, "cannot start '%s'", l->opts->command[0]);
	if (processes_begin_service(&l->processes, l->err))
		return -E2BIG;
	return processes_add(&l->processes, l->command, l->err);
}

static void command_release(struct live *l)
{
	if (l->command <= 0)
		return;
	if (write(l->command_gate, "g", 1) != 1)
		kill(l->command, SIGTERM);
	close(l->command_gate);
	l->command_gate = -1;
}

/* Whether it has ended within COMMAND_END_NS; its status is taken then. */
static bool command_ended(pid_t command, int *ret_status)
{
	const struct timespec nap = { .tv_nsec = 10 * NS_PER_MS };
	int64_t give_up = clock_now_ns() + COMMAND_END_NS;

	while (!waitpid(command, ret_status, WNOHANG)) {
		if (clock_now_ns() > give_up)
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

/* We started it, so we end it; whoever wants it to live on starts it and uses --pid. */
static void command_end(struct live *l, struct live_result *ret)
{
	int status = 0;

	if (l->command_gate >= 0)
		close(l->command_gate);
	if (l->command <= 0)
		return;
	if (!waitpid(l->command, &status, WNOHANG)) {
		kill(l->command, SIGTERM);
		if (!command_ended(l->command, &status)) {
			kill(l->command, SIGKILL);
			waitpid(l->command, &status, 0);
		}
	} else if (WIFEXITED(status) && WEXITSTATUS(status)) {
		ret->command_failed = true;
	}
	l->command = 0;
}

static int follow_ports(struct live *l, const struct ports *ports)
{
	int rc = 0;

	for (size_t i = 0; i < ports->count && !rc; i++)
		rc = probe_follow_port(l->probe, ports->ports[i], l->err);
	return rc;
}

static int follow_all(struct live *l)
{
	struct ports listening;
	int rc;

	for (size_t i = 0; i < l->processes.count; i++)
		look_for_tls(l, l->processes.pids[i]); /* before its ciphertext is seen */
	processes_ports(&l->processes, &listening);
	if (listening.others)
		probe_want_stamps(l->probe);
	rc = follow_ports(l, &listening);
	if (!rc)
		rc = follow_ports(l, &l->opts->ports);
	for (size_t i = 0; i < l->processes.count && !rc; i++)
		rc = probe_follow(l->probe, l->processes.pids[i], l->processes.services[i], l->err);
	return rc;
}

static void look_at_names(struct live *l)
{
	for (size_t i = l->processes.count; i--;)
		if (l->processes.pids[i] != l->command) /* still a copy of ourselves */
			process_name(l->processes.pids[i], l->names[l->processes.services[i]],
				     sizeof(l->names[0]));
}

/* Long blocks are better, but a short capture needs its rounds too. */
static int64_t price_block_ns(const struct live_opts *opts)
{
	int64_t block = opts->duration_ns ? (int64_t)opts->duration_ns / PRICE_BLOCKS :
					    PRICE_BLOCK_NS;

	if (block < PRICE_BLOCK_MIN_NS)
		return PRICE_BLOCK_MIN_NS;
	return block < PRICE_BLOCK_NS ? block : PRICE_BLOCK_NS;
}

static int begin(struct live *l)
{
	struct probe_opts probe_opts = {
		.mode = l->opts->requests_only ? PROBE_REQUESTS : PROBE_CAPTURE,
		.ring_bytes = l->opts->ring_bytes,
		.counts_sends = l->opts->measure_overhead,
		.sample = l->opts->sample,
	};
	struct assembler_opts assembler_opts = { .requests_only = l->opts->requests_only,
						 .sink = { write_row, l },
						 .set_unwanted = set_unwanted,
						 .unwanted_arg = l };
	int rc = processes_add_descendants(&l->processes, l->err);

	if (!rc && l->opts->command && !command_exists(l->opts->command[0]))
		rc = err_errno(l->err, errno, "cannot start '%s'", l->opts->command[0]);
	if (!rc && !l->opts->command && !processes_alive(&l->processes))
		rc = err_set(l->err, ESRCH, "there is no process %d", (int)l->processes.pids[0]);
	if (!rc)
		rc = probe_new(&probe_opts, &l->probe, l->err);
	if (!rc)
		rc = trace_writer_new(l->opts->output, l->opts->replace ? TRACE_WRITER_REPLACE : 0,
				      &l->writer, l->err);
	if (!rc)
		rc = command_start(l);
	if (rc)
		return rc;
	look_at_names(l);
	l->start_ns = clock_now_ns();
	assembler_opts.start_ns = l->start_ns;
	assembler_opts.work_per_ms = l->work_per_ms;
	l->assembler = assembler_new(&assembler_opts);
	if (!l->assembler)
		return err_errno(l->err, ENOMEM, "cannot capture");
	if (l->opts->measure_overhead) {
		l->price = price_new(price_block_ns(l->opts), l->start_ns);
		if (!l->price)
			return err_errno(l->err, ENOMEM, "cannot capture");
	}
	rc = follow_all(l);
	if (!rc)
		command_release(l);
	return rc;
}

static void print_progress(const struct live *l, int64_t now)
{
	const struct ledger *ledger = assembler_ledger(l->assembler);
	struct probe_losses losses;

	probe_losses(l->probe, &losses);
	fprintf(stderr, "\r%5.1f s  %lu requests  %lu operations  %lu events lost ",
		(now - l->start_ns) / 1e9, ledger->count[LG_REQUESTS], ledger->count[LG_OPS],
		losses.count[LOSS_RING_FULL]);
}

static bool starts_up(const struct live *l, int64_t now)
{
	return l->opts->command && now - l->start_ns < TLS_EARLY_NS;
}

static uint64_t requests_seen(const struct live *l)
{
	return assembler_ledger(l->assembler)->count[LG_REQUESTS];
}

/* The next step of --measure-overhead, if it is due. */
static int step_price(struct live *l, int64_t now)
{
	int rc = PRICE_SAME;

	if (l->price)
		rc = price_step(l->price, l->probe, now, requests_seen(l), l->err);
	if (rc != PRICE_PAUSED)
		return rc;
	rc = probe_drain(l->probe, on_event, l);
	assembler_pause(l->assembler);
	return rc;
}

static int run(struct live *l, enum live_end *ret_end)
{
	int64_t end = l->opts->duration_ns ? l->start_ns + (int64_t)l->opts->duration_ns :
					     INT64_MAX;
	int64_t look_at = 0, progress_at = l->start_ns + NS_PER_SEC;

	*ret_end = LIVE_STOPPED;
	while (!*l->opts->stop) {
		int rc = probe_poll(l->probe, POLL_MS, on_event, l);
		int64_t now = clock_now_ns();

		if (rc >= 0)
			rc = step_price(l, now);
		if (rc == -EFBIG) {
			*ret_end = LIVE_FULL;
			break;
		}
		if (rc < 0 && rc != -EINTR)
			return rc;
		if (budget_step(&l->budget, l->probe, now, requests_seen(l))) {
			*ret_end = LIVE_OVERHEAD;
			break;
		}
		if (now >= end) {
			*ret_end = LIVE_DURATION;
			break;
		}
		if (now >= look_at) {
			look_at = now + (starts_up(l, now) ? 0 : LOOK_AROUND_NS);
			look_around_for_tls(l);
			if (!processes_alive(&l->processes)) {
				*ret_end = LIVE_SERVICE_ENDED;
				break;
			}
		}
		if (l->opts->progress && now >= progress_at) {
			progress_at += NS_PER_SEC;
			print_progress(l, now);
		}
	}
	return 0;
}

static void take_thread_ends(struct live *l)
{
	const struct thread_slot *slots = probe_slots(l->probe);

	for (unsigned i = 0; i < PROBE_THREADS_MAX; i++)
		if (slots[i].tid)
			assembler_thread_end(l->assembler, i, slots[i].generation, slots[i].ns);
}

static void take_ledger(struct live *l, struct ledger *ledger)
{
	struct probe_losses losses;

	*ledger = *assembler_ledger(l->assembler);
	probe_losses(l->probe, &losses);
	ledger->count[LG_EVENTS_LOST] = losses.count[LOSS_RING_FULL];
	ledger->count[LG_THREADS_OVER] = losses.count[LOSS_THREADS_OVER];
	ledger->count[LG_SOCKETS_OVER] = losses.count[LOSS_SOCKETS_OVER];
	ledger->count[LG_OPS_UNSEEN] = losses.count[LOSS_OBJECTS_UNSEEN];
	ledger->count[LG_CONNECTIONS_UNSAMPLED] = losses.unsampled;
	ledger->count[LG_PROBE_MISSES] = losses.misses;
	ledger->count[LG_STAMP_MISSES] = losses.stamp_misses;
	snprintf(l->result->missed, sizeof(l->result->missed), "%s", losses.missed);
}

static void name_service(const struct live *l, size_t index, struct row_service *row)
{
	const char *slash = l->opts->command ? strrchr(l->opts->command[0], '/') : NULL;

	snprintf(row->name, sizeof(row->name), "%s", l->names[index]);
	if (!row->name[0] && l->opts->command)
		snprintf(row->name, sizeof(row->name), "%.31s",
			 slash ? slash + 1 : l->opts->command[0]);
}

static int write_services(struct live *l, struct assembler_totals *totals)
{
	int rc = 0;

	for (size_t i = 0; i < l->processes.services_count && rc >= 0; i++) {
		struct row_service *row = &totals->services[i];

		row->host_id = 1;
		name_service(l, i, row);
		rc = trace_write(l->writer, TABLE_SERVICES, row, l->err);
	}
	return rc;
}

static void fill_manifest(struct live *l, struct manifest *m, const struct assembler_totals *totals,
			  int64_t end_ns)
{
	time_t seconds = time(NULL) - (end_ns - l->start_ns) / NS_PER_SEC;
	struct tm utc;

	snprintf(m->tool, sizeof(m->tool), "gait " GAIT_VERSION);
	snprintf(m->source, sizeof(m->source), "ebpf");
	snprintf(m->filter, sizeof(m->filter), "%s", l->opts->filter ? l->opts->filter : "");
	gmtime_r(&seconds, &utc);
	strftime(m->started_at, sizeof(m->started_at), "%Y-%m-%dT%H:%M:%SZ", &utc);
	m->start_monotonic_ns = l->start_ns;
	m->duration_ns = end_ns - l->start_ns;
	m->work_per_ms = l->work_per_ms;
	snprintf(
		m->demand_method, sizeof(m->demand_method),
		"mean user CPU of a class's requests that no interrupt or preemption touched, over "
		"the mean of all of them");
	if (!l->opts->requests_only) {
		m->service_user_ns = totals->user_ns;
		m->service_kernel_ns = totals->kernel_ns;
	}
	snprintf(m->attribution, sizeof(m->attribution), l->opts->requests_only ? "none" : "ebpf");
	if (l->price)
		price_result(l->price, &m->price);
	m->sample_one_in = l->opts->sample;
	snprintf(m->detail, sizeof(m->detail), l->opts->requests_only ? "requests" : "full");
	m->hosts[0].realtime_offset_end_ns = clock_realtime_offset_ns();
	take_ledger(l, &m->ledger);
}

static int finish(struct live *l, struct live_result *ret)
{
	struct assembler_totals totals = { 0 };
	int64_t end_ns;
	int rc;

	probe_stop(l->probe);
	end_ns = clock_now_ns();
	rc = probe_drain(l->probe, on_event, l);
	if (rc == -EFBIG)
		rc = 0;
	take_thread_ends(l);
	if (rc >= 0)
		rc = assembler_finish(l->assembler, end_ns - l->start_ns, &totals);
	if (rc >= 0)
		rc = write_services(l, &totals);
	fill_manifest(l, &ret->manifest, &totals, end_ns);
	if (rc >= 0)
		rc = trace_writer_finish(l->writer, &ret->manifest, l->err);
	return rc;
}

int live_capture(const struct live_opts *opts, struct live_result *ret_result, struct err *err)
{
	struct live l = {
		.opts = opts,
		.processes = opts->processes,
		.budget.limit = opts->budget,
		.command_gate = -1,
		.result = ret_result,
		.err = err,
	};
	int rc;

	memset(ret_result, 0, sizeof(*ret_result));
	manifest_init(&ret_result->manifest);
	ret_result->manifest.hosts_count = 1;
	manifest_host_here(&ret_result->manifest.hosts[0]);
	ret_result->manifest.hosts[0].host_id = 1;
	l.work_per_ms = work_calibrate();
	rc = begin(&l);
	if (!rc && opts->on_ready)
		opts->on_ready();
	if (!rc)
		rc = run(&l, &ret_result->end);
	if (rc >= 0 && l.assembler)
		rc = finish(&l, ret_result);
	command_end(&l, ret_result);
	price_free(l.price);
	assembler_free(l.assembler);
	trace_writer_free(l.writer);
	probe_free(l.probe);
	return rc < 0 ? rc : 0;
}
