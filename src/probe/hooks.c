/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/hooks.h"

#include <assert.h>
#include <string.h>

const char *const hook_kind_names[] = { "iterator", "tracepoint", "function", "kprobe", "uprobe" };

#define ITERATOR(program, use, what)                                \
	{                                                           \
		program, HOOK_ITERATOR, NULL, use, what, 0, 0, NULL \
	}
#define TRACEPOINT(program, target, use, what)                          \
	{                                                               \
		program, HOOK_TRACEPOINT, target, use, what, 0, 0, NULL \
	}
/* One that a kernel may have with other arguments. */
#define TRACEPOINT_OF(args, program, target, use, what)                    \
	{                                                                  \
		program, HOOK_TRACEPOINT, target, use, what, args, 0, NULL \
	}
#define OLDER_TRACEPOINT(args, instead_of, program, target, use, what)           \
	{                                                                        \
		program, HOOK_TRACEPOINT, target, use, what, args, 1, instead_of \
	}
/* One that tells more than any tracepoint does, and its return. */
#define FIRST_FUNCTIONS(args, program, target, use, what)                                   \
	{ program "_begin", HOOK_FUNCTION, target, use, what, args, 0, NULL },              \
	{                                                                                   \
		program "_end", HOOK_FUNCTION, target, use, what, args, 0, program "_begin" \
	}
#define FUNCTION(args, instead_of, program, target, use, what)                 \
	{                                                                      \
		program, HOOK_FUNCTION, target, use, what, args, 1, instead_of \
	}
#define KPROBE(args, instead_of, program, target, use, what)                 \
	{                                                                    \
		program, HOOK_KPROBE, target, use, what, args, 2, instead_of \
	}
/* At its entry and its return: only there is known what it returns, only here what it was called with. */
#define KPROBES(args, instead_of, program, target, use, what)          \
	KPROBE(args, instead_of, program "_enter", target, use, what), \
		KPROBE(args, instead_of, program "_leave", target, use, what)
#define USER(program, use, what)                                \
	{                                                       \
		program, HOOK_USER, NULL, use, what, 0, 0, NULL \
	}

/* Interrupts of one kind, from their entry to their exit. */
#define INTERRUPT(name, what)                                                          \
	TRACEPOINT("on_" name "_entry", name "_entry", USE_BOTH | USE_OPTIONAL, what), \
		TRACEPOINT("on_" name "_exit", name "_exit", USE_BOTH | USE_OPTIONAL, what)

/*
 * What came and what went on a TCP socket: since 6.3 there are tracepoints; before, the functions
 * that all calls pass (by a pointer, so that no compiler can inline them).
 */
#define RECEIVED(program, use, what)                                                \
	TRACEPOINT(program, "sock_recv_length", use, what),                         \
		FUNCTION(4, program, program "_inet", "inet_recvmsg", use, what),   \
		FUNCTION(4, program, program "_inet6", "inet6_recvmsg", use, what), \
		KPROBES(4, program, program "_inet", "inet_recvmsg", use, what),    \
		KPROBES(4, program, program "_inet6", "inet6_recvmsg", use, what)
#define SENT(program, use, what)                                                    \
	TRACEPOINT(program, "sock_send_length", use, what),                         \
		FUNCTION(3, program, program "_inet", "inet_sendmsg", use, what),   \
		FUNCTION(3, program, program "_inet6", "inet6_sendmsg", use, what), \
		FUNCTION(5, program, program "_page", "inet_sendpage", use, what),  \
		KPROBES(3, program, program "_inet", "inet_sendmsg", use, what),    \
		KPROBES(3, program, program "_inet6", "inet6_sendmsg", use, what),  \
		KPROBES(5, program, program "_page", "inet_sendpage", use, what)

const struct hook hooks[] = {
	ITERATOR("follow_targets", USE_ALL, "finding the threads of a process (iter/task)"),
	ITERATOR("rebase_threads", USE_ALL, "pauses of the probes (iter/task)"),
	TRACEPOINT("on_fork", "sched_process_fork", USE_ALL | USE_STEADY,
		   "threads and processes started later"),
	TRACEPOINT("on_exit", "sched_process_exit", USE_ALL | USE_STEADY, "threads that end"),
	TRACEPOINT_OF(4, "on_switch", "sched_switch", USE_BOTH,
		      "sched.*, block.device, fs.journal, waits"),
	/* until 5.18 the state is not told, but read */
	OLDER_TRACEPOINT(3, "on_switch", "on_switch_three", "sched_switch", USE_BOTH,
			 "sched.*, block.device, fs.journal, waits"),
	TRACEPOINT("on_waking", "sched_waking", USE_BOTH, "sched.wakeup, sched.runqueue"),
	TRACEPOINT("on_softirq_entry", "softirq_entry", USE_BOTH, "cpu.irq.net, .block, .timer"),
	TRACEPOINT("on_softirq_exit", "softirq_exit", USE_BOTH, "cpu.irq.net, .block, .timer"),
	INTERRUPT("irq_handler", "cpu.irq.other"),
	INTERRUPT("local_timer", "cpu.irq.timer"),
	INTERRUPT("reschedule", "cpu.irq.other"),
	INTERRUPT("call_function", "cpu.irq.other"),
	INTERRUPT("call_function_single", "cpu.irq.other"),
	INTERRUPT("irq_work", "cpu.irq.other"),
	TRACEPOINT("on_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_begin",
		   USE_BOTH | USE_OPTIONAL, "mem.reclaim"),
	TRACEPOINT("on_vmscan_direct_reclaim_end", "mm_vmscan_direct_reclaim_end",
		   USE_BOTH | USE_OPTIONAL, "mem.reclaim"),
	TRACEPOINT("on_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_begin",
		   USE_BOTH | USE_OPTIONAL, "mem.reclaim"),
	TRACEPOINT("on_vmscan_memcg_reclaim_end", "mm_vmscan_memcg_reclaim_end",
		   USE_BOTH | USE_OPTIONAL, "mem.reclaim"),
	TRACEPOINT("on_compaction_begin", "mm_compaction_begin", USE_BOTH | USE_OPTIONAL,
		   "mem.compaction"),
	TRACEPOINT("on_compaction_end", "mm_compaction_end", USE_BOTH | USE_OPTIONAL,
		   "mem.compaction"),
	TRACEPOINT_OF(8, "on_dirty_pause", "balance_dirty_pages", USE_BOTH | USE_OPTIONAL,
		      "fs.writeback"),
	OLDER_TRACEPOINT(12, "on_dirty_pause", "on_dirty_pause_twelve", "balance_dirty_pages",
			 USE_BOTH | USE_OPTIONAL, "fs.writeback"),
	FIRST_FUNCTIONS(4, "on_fault", "handle_mm_fault", USE_CAPTURE | USE_OPTIONAL, "mem.fault"),
	/* tells no end: waits alone are known */
	OLDER_TRACEPOINT(0, "on_fault_begin", "on_fault", "page_fault_user",
			 USE_CAPTURE | USE_OPTIONAL, "mem.fault"),
	TRACEPOINT("on_contention_begin", "contention_begin", USE_BOTH | USE_OPTIONAL | USE_SLEEP,
		   "lock.kernel"),
	TRACEPOINT("on_contention_end", "contention_end", USE_BOTH | USE_OPTIONAL | USE_SLEEP,
		   "lock.kernel"),
	TRACEPOINT("on_block_insert", "block_rq_insert", USE_BOTH | USE_OPTIONAL, "block.queue"),
	TRACEPOINT("on_block_issue", "block_rq_issue", USE_BOTH | USE_OPTIONAL, "block.queue"),
	TRACEPOINT("on_bio_backmerge", "block_bio_backmerge", USE_BOTH | USE_OPTIONAL,
		   "block.queue of what is merged"),
	TRACEPOINT("on_bio_frontmerge", "block_bio_frontmerge", USE_BOTH | USE_OPTIONAL,
		   "block.queue of what is merged"),
	TRACEPOINT("on_block_merge", "block_rq_merge", USE_BOTH | USE_OPTIONAL,
		   "block.queue of what is merged"),
	TRACEPOINT("on_bio_queue", "block_bio_queue", USE_BOTH | USE_OPTIONAL, "block.throttled"),
	TRACEPOINT("on_socket_state", "inet_sock_set_state", USE_ALL | USE_STEADY, "connections"),
	TRACEPOINT("on_socket_destroy", "tcp_destroy_sock", USE_ALL | USE_STEADY,
		   "connections that end"),
	TRACEPOINT("on_socket_destroy_again", "tcp_destroy_sock", USE_ALL | USE_STEADY | USE_AGAIN,
		   "connections that end within another one's end"),
	TRACEPOINT("on_segment", "tcp_probe", USE_ALL | USE_STAMP, "arrival stamps, net.rxqueue"),
	TRACEPOINT("on_data_ready", "sk_data_ready",
		   USE_CAPTURE | USE_OPTIONAL | USE_STAMP | USE_LATE,
		   "arrival stamps of UNIX sockets and UDP"),
	FUNCTION(1, "on_data_ready", "on_data_readable", "sock_def_readable",
		 USE_CAPTURE | USE_OPTIONAL | USE_STAMP | USE_LATE,
		 "arrival stamps of UNIX sockets and UDP"),
	KPROBE(1, "on_data_ready", "on_data_readable_probe", "sock_def_readable",
	       USE_CAPTURE | USE_OPTIONAL | USE_STAMP | USE_LATE,
	       "arrival stamps of UNIX sockets and UDP"),
	TRACEPOINT("on_transmit", "net_dev_queue", USE_ALL | USE_STAMP,
		   "transmit stamps, net.wire"),
	TRACEPOINT("on_leave", "net_dev_start_xmit", USE_RUN | USE_STAMP | USE_OPTIONAL,
		   "net.qdisc"),
	TRACEPOINT("on_retransmit", "tcp_retransmit_skb", USE_RUN | USE_STAMP | USE_OPTIONAL,
		   "net.retransmit"),
	RECEIVED("on_own_receive", USE_RUN, "a node's own arrival stamps"),
	SENT("on_own_send", USE_RUN, "a node's own transmit stamps"),
	TRACEPOINT("on_call_enter", "sys_enter", USE_CAPTURE, "a service's ops"),
	TRACEPOINT("on_call_exit", "sys_exit", USE_CAPTURE, "a service's ops"),
	USER("on_tls_enter", USE_CAPTURE, "plaintext of TLS services"),
	USER("on_tls_leave", USE_CAPTURE, "plaintext of TLS services"),
	TRACEPOINT("on_uring_create", "io_uring_create", USE_CAPTURE | USE_OPTIONAL, "io_uring"),
	TRACEPOINT_OF(1, "on_uring_submit", "io_uring_submit_req", USE_CAPTURE | USE_OPTIONAL,
		      "io_uring"),
	/* before 6.5; before 6.0 it tells of no request, and there is no way to know of one */
	OLDER_TRACEPOINT(2, "on_uring_submit", "on_uring_submit_sqe", "io_uring_submit_sqe",
			 USE_CAPTURE | USE_OPTIONAL, "io_uring"),
	TRACEPOINT_OF(3, "on_uring_complete", "io_uring_complete", USE_CAPTURE | USE_OPTIONAL,
		      "io_uring"),
	OLDER_TRACEPOINT(7, "on_uring_complete", "on_uring_complete_parts", "io_uring_complete",
			 USE_CAPTURE | USE_OPTIONAL, "io_uring"),
	RECEIVED("on_bytes_in", USE_REQUESTS, "requests and sizes alone"),
	SENT("on_bytes_out", USE_REQUESTS, "requests and sizes alone"),
	SENT("on_send_counted", USE_COUNT | USE_STEADY, "--measure-overhead"),
};
const size_t hooks_count = sizeof(hooks) / sizeof(hooks[0]);
static_assert(sizeof(hooks) / sizeof(hooks[0]) <= HOOKS_MAX, "HOOKS_MAX");

bool hook_fits(const struct hook *hook, const struct hook_kernel *kernel)
{
	int args;

	if (!hook->target)
		return true;
	args = kernel->args_of(kernel->arg, hook->kind, hook->target);
	return args >= 0 && (!hook->args || hook->args == (unsigned)args);
}

const char *hook_group(const struct hook *hook)
{
	return hook->instead_of ? hook->instead_of : hook->program;
}

/* Whether a candidate of the same group before this one is chosen; the table has them in order. */
static bool is_outdone(size_t at, const bool chosen[HOOKS_MAX])
{
	for (size_t i = 0; i < at; i++)
		if (chosen[i] && hooks[i].rank < hooks[at].rank &&
		    !strcmp(hook_group(&hooks[i]), hook_group(&hooks[at])))
			return true;
	return false;
}

static bool has_candidate(size_t at, const bool chosen[HOOKS_MAX])
{
	for (size_t i = 0; i < hooks_count; i++)
		if (chosen[i] && !strcmp(hook_group(&hooks[i]), hook_group(&hooks[at])))
			return true;
	return false;
}

void hooks_choose(const struct hook_kernel *kernel, unsigned use, bool ret_chosen[HOOKS_MAX])
{
	for (size_t i = 0; i < hooks_count; i++)
		ret_chosen[i] = hooks[i].use & use & USE_ANY && !is_outdone(i, ret_chosen) &&
				hook_fits(&hooks[i], kernel);
	for (size_t i = 0; i < hooks_count; i++)
		if (hooks[i].use & use & USE_ANY && !hooks[i].rank &&
		    !(hooks[i].use & USE_OPTIONAL) && !has_candidate(i, ret_chosen))
			ret_chosen[i] = true;
}

const struct hook *hook_find(const char *program)
{
	for (size_t i = 0; i < hooks_count; i++)
		if (!strcmp(hooks[i].program, program))
			return &hooks[i];
	return NULL;
}

static const char *list_next(const char *word)
{
	const char *comma = strchr(word, ',');

	return comma ? comma + 1 : NULL;
}

static bool word_is(const char *word, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(word, name, len) && (!word[len] || word[len] == ',');
}

bool hook_is_named(const char *list, enum hook_kind kind, const char *target)
{
	for (const char *word = list; word; word = list_next(word))
		if (word_is(word, hook_kind_names[kind]) || word_is(word, target))
			return true;
	return false;
}
