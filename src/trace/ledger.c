/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/ledger.h"

const struct ledger_info ledger_infos[LG_COUNT] = {
#define X(symbol, name, severity, text) [LG_##symbol] = { name, LEDGER_##severity, text },
	LEDGER_LIST(X)
#undef X
};

bool ledger_has_loss(const struct ledger *ledger)
{
	for (int i = 0; i < LG_COUNT; i++) {
		if (ledger_infos[i].severity == LEDGER_LOST && ledger->count[i])
			return true;
	}
	return false;
}

void ledger_merge(struct ledger *into, const struct ledger *from)
{
	for (int i = 0; i < LG_COUNT; i++)
		into->count[i] += from->count[i];
}
