/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_UPROBE_SITE_H
#define GAIT_PROBE_UPROBE_SITE_H

#include "base/err.h"
#include "bpf/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where to put the probes of a function. A uprobe replaces an instruction by a trap. A few
 * instructions the kernel then does itself (arch/x86/kernel/uprobes.c, 5.15 to 6.18: push of
 * a register, relative call, jmp and jcc, nop), at half a microsecond; any other is single-stepped
 * out of line, at some 20 us in a virtual machine. So the first instruction is left alone
 * when it would be stepped, and a later one is taken at which the same is known.
 *
 * Pure: machine code in, addresses out. Knows x86-64 alone. Built without libcapstone,
 * every function here is refused (-ENOTSUP).
 */
struct uprobe_code {
	const uint8_t *bytes;
	size_t size;
	uint64_t address; /* of the first byte */
	bool whole;	  /* the function ends where the bytes do; else they are its beginning */
};

#define UPROBE_ARGS_MAX 4
#define UPROBE_LEAVES_MAX 8

struct uprobe_site {
	uint64_t enter;		       /* reached once a call, before anything is done */
	uint8_t args[UPROBE_ARGS_MAX]; /* enum probe_register: where the arguments lie then */
	/* Leaves by a return probe at `enter`: the stack's top is still the return address. */
	bool by_return;
	/* Else one of these is passed on each way out, with what the function returns in AX. */
	uint64_t leaves[UPROBE_LEAVES_MAX];
	size_t leaves_count;
};

/*
 * Finds the sites of a function that has `args` arguments of interest (integers or pointers, as
 * the System V ABI passes them). -ENOTSUP with a sentence when one would be stepped or
 * the code is not understood.
 */
int uprobe_site_find(const struct uprobe_code *code, size_t args, struct uprobe_site *ret_site,
		     struct err *err);

/*
 * The function that this one is a thin wrapper of: it is called with the same arguments before
 * anything else happens. -ENOENT when there is none.
 */
int uprobe_site_inner(const struct uprobe_code *code, uint64_t *ret_address);

/* Whether the function calls that address. */
bool uprobe_site_calls(const struct uprobe_code *code, uint64_t address);

#endif
