/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/subsystem.h"

const struct subsystem_info subsystems[SUB_COUNT] = {
#define X(symbol, name, column, text) [SUB_##symbol] = { name, column, text },
	SUBSYSTEM_LIST(X)
#undef X
};
