/* SPDX-License-Identifier: Apache-2.0 */
/* Where a guest's kernel keeps what was stolen from a CPU, out of types made here. */
#include "probe/steal.h"

#include "check.h"

#if GAIT_BPF
#include <bpf/btf.h>

static struct btf *types(const char *field, int bits, const char *variable)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "number", (size_t)bits / 8, 0), rq, steal;

	btf__add_struct(btf, "kvm_steal_time", 64);
	btf__add_field(btf, field, number, 0, 0);
	steal = btf__add_var(btf, variable, BTF_VAR_GLOBAL_ALLOCATED, btf__type_cnt(btf) - 1);
	rq = btf__add_var(btf, "runqueues", BTF_VAR_GLOBAL_ALLOCATED, number);
	btf__add_datasec(btf, ".data..percpu", 100000);
	btf__add_datasec_var_info(btf, steal, 97280, 64);
	btf__add_datasec_var_info(btf, rq, 178816, 3584);
	return btf;
}

static void test_distance(void)
{
	static const struct {
		const char *field;
		int bits;
		const char *variable;
		int64_t distance;
	} cases[] = {
		{ "steal", 64, "steal_time", 97280 - 178816 },
		{ "steal", 32, "steal_time", 0 },
		{ "version", 64, "steal_time", 0 },
		{ "steal", 64, "elsewhere", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct btf *btf = types(cases[i].field, cases[i].bits, cases[i].variable);

		check_case("%zu", i);
		CHECK_EQ(steal_from_rq(btf), cases[i].distance);
		btf__free(btf);
	}
}

static void test_no_types(void)
{
	struct btf *btf = btf__new_empty();

	CHECK_EQ(steal_from_rq(btf), 0);
	btf__free(btf);
}
#endif

int main(void)
{
#if GAIT_BPF
	RUN(test_distance);
	RUN(test_no_types);
#endif
	return check_done();
}
