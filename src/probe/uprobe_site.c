/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/uprobe_site.h"

#include <errno.h>

#if GAIT_CAPSTONE

#include <capstone/capstone.h>
#include <stdlib.h>
#include <string.h>

#define INSNS_MAX 4096

enum insn_kind {
	INSN_PLAIN,
	INSN_CALL, /* relative; `target` */
	INSN_JUMP,
	INSN_BRANCH, /* conditional */
	INSN_RETURN,
	INSN_ELSEWHERE, /* control goes where the code does not say: indirect, a trap */
};

struct insn {
	uint64_t address, target;
	enum insn_kind kind;
	bool emulated; /* by the kernel, when a probe is on it */
	bool nop;
	uint32_t writes;	/* bits of enum probe_register */
	int copy_from, copy_to; /* of a 64-bit move between registers; -1: it is none */
};

struct insns {
	struct insn at[INSNS_MAX];
	size_t count;
	bool complete; /* all bytes were understood */
	uint64_t end;
};

/* Every name of a register, to the register. */
static const uint16_t names[][5] = {
	[PR_AX] = { X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH },
	[PR_BX] = { X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH },
	[PR_CX] = { X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH },
	[PR_DX] = { X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH },
	[PR_SI] = { X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL },
	[PR_DI] = { X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL },
	[PR_BP] = { X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL },
	[PR_SP] = { X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL },
	[PR_R8] = { X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B },
	[PR_R9] = { X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B },
	[PR_R10] = { X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B },
	[PR_R11] = { X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B },
	[PR_R12] = { X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B },
	[PR_R13] = { X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B },
	[PR_R14] = { X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B },
	[PR_R15] = { X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B },
};

static int register_of(unsigned name)
{
	for (int i = 0; i < PR_COUNT; i++)
		for (size_t k = 0; k < 5; k++)
			if (name && names[i][k] == name)
				return i;
	return -1;
}

/*
 * branch_setup_xol_ops() and push_setup_xol_ops(). Prefixes and the longer nops are left out:
 * not every kernel from 5.15 on takes them (multi-byte nops are emulated from 6.18 on).
 */
static bool is_emulated(const uint8_t *b, size_t size)
{
	switch (size) {
	case 1:
		return b[0] == 0x90 || (b[0] & 0xf8) == 0x50;
	case 2:
		return b[0] == 0xeb || (b[0] & 0xf0) == 0x70 ||
		       (b[0] == 0x41 && (b[1] & 0xf8) == 0x50);
	case 5:
		return b[0] == 0xe8 || b[0] == 0xe9;
	case 6:
		return b[0] == 0x0f && (b[1] & 0xf0) == 0x80;
	default:
		return false;
	}
}

static bool is_relative(const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	return x->op_count == 1 && x->operands[0].type == X86_OP_IMM;
}

static enum insn_kind kind_of(csh cs, const cs_insn *in)
{
	if (cs_insn_group(cs, in, CS_GRP_RET) || cs_insn_group(cs, in, CS_GRP_IRET))
		return INSN_RETURN;
	if (cs_insn_group(cs, in, CS_GRP_CALL))
		return is_relative(in) ? INSN_CALL : INSN_ELSEWHERE;
	if (cs_insn_group(cs, in, CS_GRP_JUMP) && is_relative(in))
		return in->id == X86_INS_JMP ? INSN_JUMP : INSN_BRANCH;
	if (cs_insn_group(cs, in, CS_GRP_JUMP) || cs_insn_group(cs, in, CS_GRP_INT) ||
	    in->id == X86_INS_UD2 || in->id == X86_INS_HLT)
		return INSN_ELSEWHERE;
	return INSN_PLAIN;
}

static void look_at_registers(csh cs, const cs_insn *in, struct insn *ret)
{
	const cs_x86 *x = &in->detail->x86;
	cs_regs reads, writes;
	uint8_t reads_count, writes_count;

	if (cs_regs_access(cs, in, reads, &reads_count, writes, &writes_count)) {
		ret->writes = UINT32_MAX;
		return;
	}
	for (uint8_t i = 0; i < writes_count; i++) {
		int to = register_of(writes[i]);

		ret->writes |= to >= 0 ? 1u << to : 0;
	}
	if (in->id != X86_INS_MOV || x->op_count != 2 || x->operands[0].type != X86_OP_REG ||
	    x->operands[1].type != X86_OP_REG || x->operands[0].size != 8)
		return;
	ret->copy_to = register_of(x->operands[0].reg);
	ret->copy_from = register_of(x->operands[1].reg);
}

static void look_at(csh cs, const cs_insn *in, struct insn *ret)
{
	*ret = (struct insn){ .address = in->address, .copy_from = -1, .copy_to = -1 };
	ret->kind = kind_of(cs, in);
	ret->emulated = is_emulated(in->bytes, in->size);
	ret->nop = in->id == X86_INS_NOP;
	if (ret->kind == INSN_CALL || ret->kind == INSN_JUMP || ret->kind == INSN_BRANCH)
		ret->target = in->detail->x86.operands[0].imm;
	look_at_registers(cs, in, ret);
}

static int decode(const struct uprobe_code *code, struct insns *ret)
{
	const uint8_t *at = code->bytes;
	uint64_t address = code->address;
	size_t left = code->size;
	cs_insn *in;
	csh cs;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs))
		return -ENOTSUP;
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	in = cs_malloc(cs);
	ret->count = 0;
	while (in && ret->count < INSNS_MAX && cs_disasm_iter(cs, &at, &left, &address, in))
		look_at(cs, in, &ret->at[ret->count++]);
	ret->complete = in && !left;
	ret->end = address;
	if (in)
		cs_free(in, 1);
	cs_close(&cs);
	return ret->count ? 0 : -ENOTSUP;
}

static struct insns *decode_new(const struct uprobe_code *code)
{
	struct insns *insns = malloc(sizeof(*insns));

	if (insns && !decode(code, insns))
		return insns;
	free(insns);
	return NULL;
}

/* Whether something jumps behind `from` and up to `to`, so that what lies between is no one path. */
static bool is_entered(const struct insns *s, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < s->count; i++)
		if ((s->at[i].kind == INSN_JUMP || s->at[i].kind == INSN_BRANCH) &&
		    s->at[i].target > from && s->at[i].target <= to)
			return true;
	return false;
}

/* Where each argument lies: a set of registers, as long as nothing is written to them. */
struct homes {
	uint32_t of[UPROBE_ARGS_MAX];
};

static const struct homes abi = { { 1u << PR_DI, 1u << PR_SI, 1u << PR_DX, 1u << PR_CX } };

static void homes_step(struct homes *h, const struct insn *in)
{
	for (size_t i = 0; i < UPROBE_ARGS_MAX; i++) {
		bool copied = in->copy_from >= 0 && h->of[i] & 1u << in->copy_from;

		h->of[i] &= ~in->writes;
		if (copied && in->copy_to >= 0)
			h->of[i] |= 1u << in->copy_to;
	}
}

/* An argument's own register before any copy of it. */
static bool homes_take(const struct homes *h, size_t args, uint8_t *ret_args)
{
	for (size_t i = 0; i < args; i++) {
		uint32_t own = h->of[i] & abi.of[i];

		if (!h->of[i])
			return false;
		ret_args[i] = __builtin_ctz(own ? own : h->of[i]);
	}
	return true;
}

/* The first emulated instruction on the way in; -1 with a sentence. */
static int find_enter(const struct insns *s, size_t args, struct uprobe_site *site, struct err *err)
{
	struct homes homes = abi;
	bool sp_moved = false;
	size_t i = 0;

	while (i < s->count && !s->at[i].emulated && s->at[i].kind == INSN_PLAIN) {
		sp_moved |= !!(s->at[i].writes & 1u << PR_SP);
		homes_step(&homes, &s->at[i++]);
	}
	if (i == s->count || !s->at[i].emulated)
		return err_set(err, ENOTSUP,
			       "every instruction at its entry would be single-stepped");
	if (!homes_take(&homes, args, site->args))
		return err_set(err, ENOTSUP,
			       "its arguments are gone before the first instruction that needs no "
			       "single step");
	if (is_entered(s, s->at[0].address, s->at[i].address))
		return err_set(err, ENOTSUP, "a loop goes through its entry");
	site->enter = s->at[i].address;
	site->by_return = !sp_moved;
	return 0;
}

/* A branch to a last call that does not come back: the stack protector's complaint. */
static bool is_dead_end(const struct insns *s, uint64_t target)
{
	size_t i = 0;

	while (i < s->count && s->at[i].address != target)
		i++;
	if (i == s->count || s->at[i].kind != INSN_CALL)
		return false;
	while (++i < s->count)
		if (!s->at[i].nop)
			return false;
	return true;
}

/*
 * Backwards from a return, as long as there is one way and AX is not written: the first
 * emulated instruction. s->count: there is none.
 */
static size_t find_leave(const struct insns *s, size_t at_return)
{
	for (size_t i = at_return; i-- > 0;) {
		const struct insn *in = &s->at[i];

		if (is_entered(s, in->address, s->at[i + 1].address))
			break;
		if (in->kind == INSN_BRANCH && in->emulated)
			return is_dead_end(s, in->target) ? i : s->count;
		if (in->kind != INSN_PLAIN || in->writes & 1u << PR_AX)
			break;
		if (in->emulated)
			return i;
	}
	return s->count;
}

static bool leaves_otherwise(const struct insns *s, const struct insn *in)
{
	bool inside = in->target >= s->at[0].address && in->target < s->end;

	if (in->kind == INSN_JUMP || in->kind == INSN_BRANCH)
		return !inside;
	return in->kind == INSN_ELSEWHERE;
}

/* An instruction that is passed on each way out; false when one way has none. */
static bool find_leaves(const struct insns *s, struct uprobe_site *site)
{
	site->leaves_count = 0;
	for (size_t i = 0; i < s->count; i++) {
		size_t leave;

		if (leaves_otherwise(s, &s->at[i]))
			return false;
		if (s->at[i].kind != INSN_RETURN)
			continue;
		leave = find_leave(s, i);
		if (leave == s->count || site->leaves_count == UPROBE_LEAVES_MAX ||
		    s->at[leave].address <= site->enter)
			return false;
		site->leaves[site->leaves_count++] = s->at[leave].address;
	}
	return site->leaves_count > 0;
}

int uprobe_site_find(const struct uprobe_code *code, size_t args, struct uprobe_site *ret_site,
		     struct err *err)
{
	struct uprobe_site site = { 0 };
	struct insns *s = decode_new(code);
	int rc;

	if (!s)
		return err_set(err, ENOTSUP, "its machine code is not understood");
	rc = find_enter(s, args, &site, err);
	if (!rc && code->whole && s->complete && find_leaves(s, &site))
		site.by_return = false;
	else
		site.leaves_count = 0;
	if (!rc && !site.leaves_count && !site.by_return)
		rc = err_set(err, ENOTSUP,
			     "every instruction at its return would be single-stepped");
	if (!rc)
		*ret_site = site;
	free(s);
	return rc;
}

int uprobe_site_inner(const struct uprobe_code *code, uint64_t *ret_address)
{
	struct insns *s = decode_new(code);
	struct homes homes = abi;
	int rc = -ENOENT;
	size_t i = 0;

	while (s && i < s->count && s->at[i].kind == INSN_PLAIN)
		homes_step(&homes, &s->at[i++]);
	if (s && i < s->count && s->at[i].kind == INSN_CALL) {
		rc = 0;
		for (size_t k = 0; k < UPROBE_ARGS_MAX; k++)
			if (!(homes.of[k] & abi.of[k]))
				rc = -ENOENT;
	}
	if (!rc)
		*ret_address = s->at[i].target;
	free(s);
	return rc;
}

bool uprobe_site_calls(const struct uprobe_code *code, uint64_t address)
{
	struct insns *s = decode_new(code);
	bool calls = false;

	for (size_t i = 0; s && i < s->count; i++)
		calls |= s->at[i].kind == INSN_CALL && s->at[i].target == address;
	free(s);
	return calls;
}

#else

int uprobe_site_find(const struct uprobe_code *code, size_t args, struct uprobe_site *ret_site,
		     struct err *err)
{
	return err_set(err, ENOTSUP, "this gait was built without libcapstone");
}

int uprobe_site_inner(const struct uprobe_code *code, uint64_t *ret_address)
{
	return -ENOENT;
}

bool uprobe_site_calls(const struct uprobe_code *code, uint64_t address)
{
	return false;
}

#endif
