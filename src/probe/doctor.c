/* SPDX-License-Identifier: Apache-2.0 */
/* probe_doctor(): what of the probes this kernel loads. */
#include "probe/probe.h"

#if GAIT_BPF

#include "probe/ground.h"
#include "probe/here.h"
#include "probe/hooks.h"
#include "probe/tls.h"
#include "probe/user_files.h"

#include "gait.skel.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A skeleton of which the programs that are wanted are loaded; NULL and errno: they were refused. */
static struct gait_bpf *load_wanted(const bool wanted[HOOKS_MAX])
{
	struct gait_bpf *skel = gait_bpf__open();
	int rc;

	if (!skel)
		return NULL;
	bpf_map__set_max_entries(skel->maps.events, 4096);
	for (size_t i = 0; i < hooks_count; i++)
		bpf_program__set_autoload(
			bpf_object__find_program_by_name(skel->obj, hooks[i].program), wanted[i]);
	rc = gait_bpf__load(skel);
	if (!rc)
		return skel;
	gait_bpf__destroy(skel);
	errno = -rc;
	return NULL;
}

static int try_attach(struct gait_bpf *skel, const struct hook *hook)
{
	struct bpf_program *program = bpf_object__find_program_by_name(skel->obj, hook->program);
	struct bpf_link *link = bpf_program__attach(program);

	if (!link)
		return -errno;
	bpf_link__destroy(link);
	return 0;
}

/* Loads one program alone. */
static int try_program(size_t at)
{
	bool wanted[HOOKS_MAX] = { false };
	struct gait_bpf *skel;
	int rc;

	wanted[at] = true;
	skel = load_wanted(wanted);
	if (!skel)
		return -errno;
	rc = try_attach(skel, &hooks[at]);
	gait_bpf__destroy(skel);
	return rc;
}

/*
 * Loading is the only honest test of whether a program loads. All that the kernel has hooks for are
 * loaded at once, which on most is the end of it; else each alone, to see which it is.
 */
static struct gait_bpf *try_together(const bool chosen[HOOKS_MAX], const struct hook_kernel *here)
{
	bool wanted[HOOKS_MAX] = { false };

	for (size_t i = 0; i < hooks_count; i++)
		wanted[i] = chosen[i] && hooks[i].kind != HOOK_USER && hook_fits(&hooks[i], here);
	return load_wanted(wanted);
}

/* Another program hangs where this one does, and was tried. */
static int tried_before(size_t at, const int results[HOOKS_MAX])
{
	for (size_t i = 0; i < at; i++)
		if (results[i] <= 0 && hooks[at].target && hooks[i].kind == hooks[at].kind &&
		    !strcmp(hooks[i].target, hooks[at].target))
			return i;
	return -1;
}

/* Results that are not there yet are 1. A hook is tried once: to let go of it takes a while. */
static int try_hook(struct gait_bpf *together, size_t at, const struct hook_kernel *here,
		    const int results[HOOKS_MAX])
{
	int before = together ? tried_before(at, results) : -1;

	if (!hook_fits(&hooks[at], here))
		return -ENOENT;
	if (before >= 0)
		return results[before];
	return together ? try_attach(together, &hooks[at]) : try_program(at);
}

static const char *hook_needed(const struct hook *hook)
{
	if (hook->use & USE_OPTIONAL)
		return "optional";
	if ((hook->use & USE_BOTH) == USE_BOTH)
		return "capture, replay";
	if (hook->use & (USE_REQUESTS | USE_COUNT))
		return "optional"; /* for --detail requests */
	return hook->use & USE_CAPTURE ? "capture" : "replay";
}

/* Optional hooks that no candidate serves are not chosen, but told of. */
static bool is_absent(size_t at, const bool chosen[HOOKS_MAX])
{
	if (hooks[at].instead_of)
		return false;
	for (size_t i = 0; i < hooks_count; i++)
		if (chosen[i] && hooks[i].instead_of &&
		    !strcmp(hooks[i].instead_of, hooks[at].program))
			return false;
	return !chosen[at];
}

static void advise(struct probe_check *check)
{
	if (check->result == -EPERM || check->result == -EACCES)
		snprintf(check->text, sizeof(check->text),
			 "not permitted: run as root, or give CAP_BPF and CAP_PERFMON");
	else if (check->result == -ESRCH || check->result == -ENOENT)
		snprintf(check->text, sizeof(check->text), "this kernel has no such tracepoint");
	else if (check->result)
		snprintf(check->text, sizeof(check->text), "%s", ground_word());
}

/* The host's own library, for a start: containers bring theirs. */
static int try_tls(struct err *err)
{
	struct gait_bpf *skel = gait_bpf__open();
	struct user_files files = { .skel = skel };
	struct bpf_program *program;
	int rc;

	if (!skel)
		return err_errno(err, errno, "cannot load BPF programs");
	bpf_map__set_max_entries(skel->maps.events, 4096);
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program, program == skel->progs.on_tls_enter ||
							   program == skel->progs.on_tls_leave);
	rc = gait_bpf__load(skel);
	rc = rc ? err_errno(err, -rc, "cannot load BPF programs") :
		  tls_try_host(user_files_attach, &files, err);
	user_files_release(&files);
	gait_bpf__destroy(skel);
	return rc;
}

static void check_tls(struct probe_check *ret)
{
	struct err err = { "" };

	*ret = (struct probe_check){ .name = "uprobe OpenSSL",
				     .hook = hook_kind_names[HOOK_USER],
				     .what = "plaintext of TLS services",
				     .needed = "optional",
				     .result = try_tls(&err) };
	snprintf(ret->text, sizeof(ret->text), "%.159s", err.text);
}

static int check_hooks(struct probe_check *ret_checks, const struct hook_kernel *here)
{
	struct gait_bpf *together;
	bool chosen[HOOKS_MAX];
	int results[HOOKS_MAX], count = 0;

	hooks_choose(here, USE_ANY, chosen);
	together = try_together(chosen, here);
	for (size_t i = 0; i < hooks_count; i++) {
		const struct hook *hook = &hooks[i];

		results[i] = 1;
		if (hook->kind == HOOK_USER || (!chosen[i] && !is_absent(i, chosen)))
			continue;
		ground_listen();
		results[i] = try_hook(together, i, here, results);
		ret_checks[count] = (struct probe_check){
			.name = hook->target ? hook->target : hook->program,
			.hook = hook_kind_names[hook->kind],
			.group = hook_group(hook),
			.what = hook->what,
			.needed = hook_needed(hook),
			.result = results[i],
		};
		advise(&ret_checks[count++]);
	}
	gait_bpf__destroy(together);
	return count;
}

static_assert(PROBE_CHECKS_MAX >= HOOKS_MAX + 2, "each hook, the ground and TLS");

int probe_doctor(struct probe_check ret_checks[PROBE_CHECKS_MAX])
{
	struct here here;
	struct hook_kernel kernel = { here_args, &here };
	struct err err;
	int count = 0;

	ret_checks[count++] = (struct probe_check){ .name = "ground",
						    .what = "type information, process numbers",
						    .needed = "capture, replay",
						    .result = ground_check(&err) };
	if (ret_checks[0].result) {
		snprintf(ret_checks[0].text, sizeof(ret_checks[0].text), "%.159s", err.text);
		return count;
	}
	ground_listen();
	here = here_of(btf__load_vmlinux_btf());
	if (here.btf)
		count += check_hooks(ret_checks + count, &kernel);
	check_tls(&ret_checks[count++]);
	btf__free(here.btf);
	return count;
}

#endif
