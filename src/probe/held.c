/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/held.h"

#if GAIT_BPF

#include <bpf/btf.h>
#include <string.h>

#define FLAGS 16 /* bits in bi_flags */

static uint32_t flag_in(const struct btf *btf, const struct btf_type *type)
{
	const struct btf_enum *values = btf_enum(type);

	for (uint16_t i = 0; i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(btf, values[i].name_off);

		if ((!strcmp(name, "BIO_BPS_THROTTLED") || !strcmp(name, "BIO_THROTTLED")) &&
		    values[i].val >= 0 && values[i].val < FLAGS)
			return 1u << values[i].val;
	}
	return 0;
}

uint32_t held_flag(const struct btf *btf)
{
	uint32_t flag = 0;

	for (uint32_t id = 1; !flag && id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (btf_is_enum(type) && !type->name_off)
			flag = flag_in(btf, type);
	}
	return flag;
}

#endif
