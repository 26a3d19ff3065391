/* SPDX-License-Identifier: Apache-2.0 */
/* Which bit says that an I/O limit has had a request, out of types made here. */
#include "probe/held.h"

#include "check.h"

#if GAIT_BPF
#include <bpf/btf.h>

static uint32_t flag_of(const char *enumeration, const char *name, int64_t number)
{
	struct btf *btf = btf__new_empty();
	uint32_t flag;

	btf__add_int(btf, "number", 4, 0);
	btf__add_enum(btf, NULL, 4);
	btf__add_enum_value(btf, "BIO_THROTTLED_NOT", 2);
	btf__add_enum(btf, enumeration, 4);
	btf__add_enum_value(btf, "BIO_CLONED", 1);
	btf__add_enum_value(btf, name, number);
	flag = held_flag(btf);
	btf__free(btf);
	return flag;
}

static void test_flag(void)
{
	CHECK_EQ(flag_of(NULL, "BIO_BPS_THROTTLED", 5), 1 << 5);
	CHECK_EQ(flag_of(NULL, "BIO_THROTTLED", 9), 1 << 9);
	CHECK_EQ(flag_of(NULL, "BIO_QOS_THROTTLED", 8), 0);
	CHECK_EQ(flag_of("bio_flags", "BIO_THROTTLED", 9), 0);
	CHECK_EQ(flag_of(NULL, "BIO_THROTTLED", 16), 0);
}
#endif

int main(void)
{
#if GAIT_BPF
	RUN(test_flag);
#endif
	return check_done();
}
