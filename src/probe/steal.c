/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/steal.h"

#if GAIT_BPF

#include <bpf/btf.h>
#include <stdbool.h>
#include <string.h>

#define CPU_BLOCK ".data..percpu"

/* Where in the block; -1: it is not there. */
static int64_t offset_of(const struct btf *btf, const struct btf_type *block, const char *name)
{
	const struct btf_var_secinfo *vars = btf_var_secinfos(block);

	for (uint16_t i = 0; i < btf_vlen(block); i++) {
		const struct btf_type *var = btf__type_by_id(btf, vars[i].type);

		if (!strcmp(btf__name_by_offset(btf, var->name_off), name))
			return vars[i].offset;
	}
	return -1;
}

/* It is the first field, 64 bits of ns. */
static bool steal_is_first(const struct btf *btf)
{
	int32_t id = btf__find_by_name_kind(btf, "kvm_steal_time", BTF_KIND_STRUCT);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_member *first = type && btf_vlen(type) ? btf_members(type) : NULL;

	return first && !first->offset &&
	       !strcmp(btf__name_by_offset(btf, first->name_off), "steal") &&
	       btf__resolve_size(btf, first->type) == sizeof(uint64_t);
}

int64_t steal_from_rq(const struct btf *btf)
{
	int32_t id = btf__find_by_name_kind(btf, CPU_BLOCK, BTF_KIND_DATASEC);
	const struct btf_type *block = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	int64_t rq, steal;

	if (!block || !steal_is_first(btf))
		return 0;
	rq = offset_of(btf, block, "runqueues");
	steal = offset_of(btf, block, "steal_time");
	return rq < 0 || steal < 0 ? 0 : steal - rq;
}

#endif
