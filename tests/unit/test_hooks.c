/* SPDX-License-Identifier: Apache-2.0 */
/* Which candidate of each hook is taken, on kernels that need not be here. */
#include "check.h"
#include "probe/hooks.h"

/*
 * What the kernels have of what gait asks for; what all have is in `everywhere`. 6.1 and 6.18 are read
 * from their type information (Debian's 6.1.0-56, x86-64; 6.18.44). Of 5.15 none was at hand: it is as
 * remembered.
 */
struct target {
	enum hook_kind kind;
	const char *name;
	int args;
};

#define TP(name, args)                      \
	{                                   \
		HOOK_TRACEPOINT, name, args \
	}
#define FN(name, args)                    \
	{                                 \
		HOOK_FUNCTION, name, args \
	}

static const struct target everywhere[] = {
	TP("sched_process_fork", 2),
	TP("sched_process_exit", 1),
	TP("sched_waking", 1),
	TP("softirq_entry", 1),
	TP("softirq_exit", 1),
	TP("irq_handler_entry", 2),
	TP("irq_handler_exit", 3),
	TP("inet_sock_set_state", 3),
	TP("tcp_destroy_sock", 1),
	TP("tcp_probe", 2),
	TP("block_rq_insert", 1),
	TP("block_bio_backmerge", 1),
	TP("block_bio_frontmerge", 1),
	TP("block_rq_merge", 1),
	TP("block_bio_queue", 1),
	TP("block_rq_issue", 1),
	TP("net_dev_start_xmit", 2),
	TP("mm_vmscan_direct_reclaim_begin", 2),
	TP("mm_vmscan_direct_reclaim_end", 1),
	TP("mm_vmscan_memcg_reclaim_begin", 2),
	TP("mm_vmscan_memcg_reclaim_end", 1),
	TP("mm_compaction_begin", 4),
	TP("mm_compaction_end", 5),
	TP("tcp_retransmit_skb", 2),
	TP("net_dev_queue", 1),
	TP("sys_enter", 2),
	TP("sys_exit", 2),
	TP("io_uring_create", 5),
	FN("inet_recvmsg", 4),
	FN("inet6_recvmsg", 4),
	FN("inet_sendmsg", 3),
	FN("inet6_sendmsg", 3),
	FN("sock_def_readable", 1),
	FN("handle_mm_fault", 4),
	{},
};

static const struct target x86[] = {
	TP("local_timer_entry", 1),
	TP("local_timer_exit", 1),
	TP("reschedule_entry", 1),
	TP("reschedule_exit", 1),
	TP("call_function_entry", 1),
	TP("call_function_exit", 1),
	TP("call_function_single_entry", 1),
	TP("call_function_single_exit", 1),
	TP("irq_work_entry", 1),
	TP("irq_work_exit", 1),
	TP("page_fault_user", 3),
	{},
};

static const struct target of_5_15[] = {
	TP("sched_switch", 3),	    TP("balance_dirty_pages", 12), TP("io_uring_submit_sqe", 7),
	TP("io_uring_complete", 4), FN("inet_sendpage", 5),	   {},
};

static const struct target of_6_1[] = {
	TP("sched_switch", 4),	      TP("balance_dirty_pages", 12),
	TP("contention_begin", 2),    TP("contention_end", 2),
	TP("io_uring_submit_sqe", 2), TP("io_uring_complete", 7),
	FN("inet_sendpage", 5),	      {},
};

static const struct target of_6_18[] = {
	TP("balance_dirty_pages", 8), TP("sched_switch", 4),
	TP("sk_data_ready", 1),	      TP("sock_recv_length", 3),
	TP("sock_send_length", 3),    TP("contention_begin", 2),
	TP("contention_end", 2),      TP("io_uring_submit_req", 1),
	TP("io_uring_complete", 3),   {},
};

struct kernel {
	const char *name;
	const struct target *own;
	bool is_x86;
	bool hooks_functions;
	bool has_kprobes;
};

static int look(const struct target *targets, enum hook_kind kind, const char *name)
{
	for (; targets->name; targets++)
		if (targets->kind == kind && !strcmp(targets->name, name))
			return targets->args;
	return -1;
}

static int args_of(void *arg, enum hook_kind kind, const char *name)
{
	const struct kernel *k = arg;
	int args;

	if ((kind == HOOK_FUNCTION && !k->hooks_functions) ||
	    (kind == HOOK_KPROBE && !k->has_kprobes))
		return -1;
	if (kind == HOOK_KPROBE)
		kind = HOOK_FUNCTION; /* the same ones */
	args = look(k->own, kind, name);
	if (args < 0)
		args = look(everywhere, kind, name);
	return args < 0 && k->is_x86 ? look(x86, kind, name) : args;
}

static bool is_chosen(const struct kernel *k, const char *program)
{
	struct hook_kernel kernel = { args_of, (void *)k };
	bool chosen[HOOKS_MAX];

	hooks_choose(&kernel, USE_ANY, chosen);
	return chosen[hook_find(program) - hooks];
}

static const struct kernel kernels[] = {
	{ "5.15", of_5_15, true, true, true },
	{ "6.1", of_6_1, true, true, true },
	{ "6.18", of_6_18, true, false, false },
	{ "6.1 arm64", of_6_1, false, false, true }, /* it hooks functions since 6.4 */
	{ "5.15 arm64", of_5_15, false, false, true },
	{ "6.1 without", of_6_1, true, false, false }, /* neither: a kernel made small */
};

/* A program that is chosen on the kernels with a 1, in the order of `kernels`. */
static const struct {
	const char *program;
	const char on[7];
} choices[] = {
	{ "on_switch", "011101" },
	{ "on_switch_three", "100010" },
	{ "on_local_timer_entry", "111001" },
	{ "on_contention_begin", "011101" },
	{ "on_dirty_pause", "001000" },
	{ "on_dirty_pause_twelve", "110111" },
	{ "on_fault_begin", "110000" },
	{ "on_fault_end", "110000" },
	{ "on_fault", "001001" },
	{ "on_data_ready", "001000" },
	{ "on_data_readable", "110000" },
	{ "on_own_receive", "001001" }, /* the last: to hear why not */
	{ "on_own_receive_inet", "110000" },
	{ "on_own_receive_inet6", "110000" },
	{ "on_own_send", "001001" },
	{ "on_own_send_inet", "110000" },
	{ "on_own_send_page", "110000" },
	{ "on_own_receive_inet_enter", "000110" },
	{ "on_own_receive_inet_leave", "000110" },
	{ "on_own_send_page_leave", "000110" },
	{ "on_bytes_out_inet6_leave", "000110" },
	{ "on_data_readable_probe", "000110" },
	{ "on_bytes_in_inet", "110000" },
	{ "on_send_counted_inet6", "110000" },
	{ "on_uring_submit", "001000" },
	{ "on_uring_submit_sqe", "010101" },
	{ "on_uring_complete", "001000" },
	{ "on_uring_complete_parts", "010101" },
	{ "on_tls_enter", "111111" },
	{ "follow_targets", "111111" },
};

static void test_choice(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
		for (size_t k = 0; k < ARRAY_SIZE(kernels); k++) {
			check_case("%s on %s", choices[i].program, kernels[k].name);
			if (!CHECK(hook_find(choices[i].program)))
				continue;
			CHECK_EQ(is_chosen(&kernels[k], choices[i].program),
				 choices[i].on[k] == '1');
		}
}

/* Where functions can be hooked, in either way, all that is needed is there: capture and replay work. */
static void test_needed_are_there(void)
{
	for (size_t k = 0; k < 5; k++) {
		struct hook_kernel kernel = { args_of, (void *)&kernels[k] };
		bool chosen[HOOKS_MAX];

		hooks_choose(&kernel, USE_ANY, chosen);
		for (size_t i = 0; i < hooks_count; i++) {
			check_case("%s on %s", hooks[i].program, kernels[k].name);
			CHECK(!chosen[i] || hook_fits(&hooks[i], &kernel));
		}
	}
}

/* What is not used, or has no need of a stand-in, is not asked for; one function comes before its tracepoint. */
static int few_functions(void *arg, enum hook_kind kind, const char *name)
{
	CHECK(kind == HOOK_TRACEPOINT || !strcmp(name, "handle_mm_fault"));
	return args_of(arg, kind, name);
}

static void test_asked_for(void)
{
	const struct kernel *newest = &kernels[2];
	struct hook_kernel kernel = { few_functions, (void *)newest };
	bool chosen[HOOKS_MAX];

	hooks_choose(&kernel, USE_ANY, chosen);
	hooks_choose(&kernel, USE_RUN, chosen);
	CHECK(chosen[hook_find("on_own_send") - hooks]);
	CHECK(!chosen[hook_find("on_call_exit") - hooks]);
}

/* Every stand-in names a first candidate, and stands behind it in the table. */
static void test_table(void)
{
	for (size_t i = 0; i < hooks_count; i++) {
		const struct hook *first;

		check_case("%s", hooks[i].program);
		CHECK(hook_find(hooks[i].program) == &hooks[i]);
		if (hooks[i].use & USE_AGAIN && CHECK(i))
			CHECK_STR(hooks[i].target, hooks[i - 1].target);
		CHECK(hooks[i].instead_of || !hooks[i].rank);
		if (!hooks[i].instead_of)
			continue;
		first = hook_find(hooks[i].instead_of);
		if (CHECK(first && first < &hooks[i] && !first->instead_of))
			CHECK_EQ(first->use, hooks[i].use);
	}
}

/* Kinds and targets can be left out, to try stand-ins where they are not needed. */
static void test_left_out(void)
{
	static const struct {
		const char *list;
		enum hook_kind kind;
		const char *target;
		bool named;
	} cases[] = {
		{ NULL, HOOK_FUNCTION, "inet_recvmsg", false },
		{ "", HOOK_FUNCTION, "inet_recvmsg", false },
		{ "function", HOOK_FUNCTION, "inet_recvmsg", true },
		{ "function", HOOK_KPROBE, "inet_recvmsg", false },
		{ "sock_recv_length,function", HOOK_FUNCTION, "inet_recvmsg", true },
		{ "sock_recv_length,function", HOOK_TRACEPOINT, "sock_recv_length", true },
		{ "sock_recv_length,function", HOOK_TRACEPOINT, "sock_recv", false },
		{ "sock_recv", HOOK_TRACEPOINT, "sock_recv_length", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("case %zu", i);
		CHECK_EQ(hook_is_named(cases[i].list, cases[i].kind, cases[i].target),
			 cases[i].named);
	}
}

int main(void)
{
	RUN(test_left_out);
	RUN(test_choice);
	RUN(test_needed_are_there);
	RUN(test_asked_for);
	RUN(test_table);
	return check_done();
}
