/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/here.h"

#if GAIT_BPF

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KPROBE_TYPE "/sys/bus/event_source/devices/kprobe/type"

/* btf_trace_NAME is a pointer to a function: of some context first, then of what is traced. */
static int tracepoint_args(const struct btf *btf, const char *target)
{
	const struct btf_type *type;
	char name[96];
	int id;

	snprintf(name, sizeof(name), "btf_trace_%s", target);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	if (id <= 0)
		return -ENOENT;
	type = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	type = btf__type_by_id(btf, type->type);
	return btf_is_func_proto(type) ? btf_vlen(type) - 1 : -ENOENT;
}

/* Kernels have functions that they let nobody hook: a program that does nothing finds out. */
static int try_function(int btf_id)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K }, /* r0 = 0 */
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT,
		    .attach_btf_id = btf_id);
	int link, fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "gait_try", "Dual BSD/GPL", nothing, 2,
				     &opts);

	if (fd < 0)
		return -errno;
	link = bpf_raw_tracepoint_open(NULL, fd);
	close(fd);
	if (link < 0)
		return -errno;
	close(link);
	return 0;
}

/* A probe at its entry, where nothing is run. */
static int try_kprobe(const char *target)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .config1 = (uintptr_t)target };
	FILE *f = fopen(KPROBE_TYPE, "re");
	int fd, got;

	if (!f)
		return -ENOENT;
	got = fscanf(f, "%u", &attr.type);
	fclose(f);
	if (got != 1)
		return -ENOENT;
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* One that can be hooked stands for all. */
static int function_args(struct here *here, enum way way, const char *target)
{
	int id = btf__find_by_name_kind(here->btf, target, BTF_KIND_FUNC);

	if (id <= 0)
		return -ENOENT;
	if (!here->tried[way])
		here->refused[way] = way == WAY_KPROBE ? try_kprobe(target) : try_function(id);
	here->tried[way] = true;
	if (here->refused[way])
		return here->refused[way];
	return btf_vlen(btf__type_by_id(here->btf, btf__type_by_id(here->btf, id)->type));
}

struct here here_of(struct btf *btf)
{
	return (struct here){ .btf = btf, .without = getenv("GAIT_HOOKS_WITHOUT") };
}

int here_args(void *arg, enum hook_kind kind, const char *target)
{
	struct here *here = arg;

	if (hook_is_named(here->without, kind, target))
		return -ENOENT;
	if (kind == HOOK_FUNCTION)
		return function_args(here, WAY_FUNCTION, target);
	if (kind == HOOK_KPROBE)
		return function_args(here, WAY_KPROBE, target);
	return tracepoint_args(here->btf, target);
}

#endif
