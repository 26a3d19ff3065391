/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_HOOKS_H
#define GAIT_PROBE_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Which BPF program hangs where in the kernel, and what it gives. Kernels differ: where one lacks a
 * hook another may stand in for it, so a hook has candidates, in order. The table is data and the
 * choice is pure: tests/unit/test_hooks.c makes it for kernels that are not here.
 */
enum hook_kind {
	HOOK_ITERATOR,
	HOOK_TRACEPOINT, /* stable, and all there is where functions cannot be hooked */
	HOOK_FUNCTION,	 /* of the kernel, at its entry or its return (fentry, fexit) */
	HOOK_KPROBE, /* the same where that is refused (kprobe, kretprobe): dearer, and some returns are lost */
	HOOK_USER, /* code of the service */
};

extern const char *const hook_kind_names[];

/* When a program is loaded, and what for. */
enum hook_use {
	USE_CAPTURE = 1 << 0,
	USE_RUN = 1 << 1,
	USE_REQUESTS = 1 << 2, /* capture --detail requests */
	USE_BOTH = USE_CAPTURE | USE_RUN,
	USE_ALL = USE_BOTH | USE_REQUESTS,
	USE_OPTIONAL = 1 << 3, /* left out where no candidate is there */
	USE_STAMP = 1 << 4,    /* stamps bytes; a run that is skipped costs no more than a stamp */
	USE_COUNT = 1 << 5,    /* what a price is per (--measure-overhead) */
	USE_STEADY = 1 << 6,   /* stays attached during a pause: nothing that requests pass */
	USE_ANY = USE_ALL | USE_COUNT,
	USE_LATE = 1 << 7,  /* attached only when somebody needs it (probe_want_stamps) */
	USE_SLEEP = 1 << 8, /* of what may sleep; a skipped run was an interrupt's, to be ignored */
	USE_AGAIN = 1 << 9, /* does what the row before does, should that be skipped */
};

struct hook {
	const char *program;
	enum hook_kind kind;
	const char *target; /* tracepoint or function; NULL: none */
	unsigned use;	    /* enum hook_use */
	const char *what;
	unsigned args;		/* only if the target has so many; 0: any */
	unsigned rank;		/* among the candidates: the least that is there is taken */
	const char *instead_of; /* the first candidate's program, or whose return it is; NULL: none */
};

extern const struct hook hooks[];
extern const size_t hooks_count;
#define HOOKS_MAX 128

/* What a kernel has: the number of arguments of a tracepoint or function, < 0 if it is not there. */
struct hook_kernel {
	int (*args_of)(void *arg, enum hook_kind kind, const char *target);
	void *arg;
};

/* The first candidate's program: what the candidates of a hook have in common. */
const char *hook_group(const struct hook *hook);

bool hook_fits(const struct hook *hook, const struct hook_kernel *kernel);

/*
 * Of each hook that is used so, those candidates of the least rank that fit; the kernel is not asked
 * for more, which may cost a while. Where none fits, the first is taken, for the kernel's own word
 * about it, unless it is optional.
 */
void hooks_choose(const struct hook_kernel *kernel, unsigned use, bool ret_chosen[HOOKS_MAX]);

/* Whether a list of kinds and targets, with commas between them, has that kind or target; NULL: no. */
bool hook_is_named(const char *list, enum hook_kind kind, const char *target);

/* The row of a program; NULL: there is none. */
const struct hook *hook_find(const char *program);

#endif
