/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/agents.h"

#include <errno.h>
#include <string.h>

static int add(struct agents *agents, const char *word, size_t len, struct err *err)
{
	static const struct address_defaults none = { NULL, -1 };
	struct address *at = &agents->at[agents->count];
	char text[ADDRESS_TEXT_SIZE];
	struct err why;

	if (agents->count == AGENTS_MAX)
		return err_set(err, E2BIG, "--agents: more than %d", AGENTS_MAX);
	if (len >= sizeof(text))
		return err_set(err, EINVAL, "--agents: '%.*s' is no address", (int)len, word);
	memcpy(text, word, len);
	text[len] = '\0';
	if (address_parse(text, &none, at, &why))
		return err_set(err, EINVAL, "--agents: %s", why.text);
	if (at->transport != TRANSPORT_TCP)
		return err_set(err, EINVAL, "--agents: '%s': agents listen on tcp", text);
	agents->count++;
	return 0;
}

int agents_parse(const char *text, struct agents *ret_agents, struct err *err)
{
	uint64_t count = 0;
	struct err why;
	int rc = 0;

	memset(ret_agents, 0, sizeof(*ret_agents));
	if (!text)
		return 0;
	if (*text && !text[strspn(text, "0123456789")]) {
		rc = unit_parse_u64(text, 1, AGENTS_MAX, &count, &why);
		ret_agents->count = (uint32_t)count;
		return rc ? err_set(err, -rc, "--agents: %s", why.text) : 0;
	}
	ret_agents->elsewhere = true;
	do {
		size_t len = strcspn(text, ",");

		rc = add(ret_agents, text, len, err);
		text += len;
	} while (!rc && *text++);
	return rc;
}
