/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/walk/remotes.h"

#include "base/clock.h"

#include <errno.h>

#define LEAD_NS (200 * NS_PER_MS) /* beside the way there */

/* An agent elsewhere would look for the node on its own host. */
static int check_way(const struct walk_opts *opts, const struct address *agent, struct err *err)
{
	const struct address *to = &opts->to;
	char node[ADDRESS_TEXT_SIZE], text[ADDRESS_TEXT_SIZE];

	if (opts->bound)
		return err_set(err, EINVAL,
			       "--bind-addr is an end of this host: agents on others have none");
	if (!address_is_local(to) || (to->transport != TRANSPORT_UNIX && address_is_local(agent)))
		return 0;
	return err_set(err, EINVAL,
		       "the agent at %s cannot reach the node at %s, which is an address of this "
		       "host alone",
		       address_format(agent, text), address_format(to, node));
}

static int open_one(struct walk_remotes *remotes, const struct walk_remotes_setup *setup,
		    struct err *err)
{
	uint32_t i = remotes->count;
	const struct address *at = &setup->opts->agents_at[i];
	const struct walk_job_share share = {
		.first = i,
		.step = setup->senders_count,
		.beside = agents_beside(setup->opts->agents_at, setup->senders_count, i),
		.rows = setup->rows,
		.no_spin = setup->opts->no_spin,
	};
	int rc = check_way(setup->opts, at, err);

	if (!rc)
		rc = walk_remote_open(at, setup->secure, &remotes->at[i], err);
	if (rc)
		return rc;
	remotes->count++;
	setup->senders[i].remote = remotes->at[i];
	return walk_remote_prepare(remotes->at[i], setup->plan, &share, err);
}

int walk_remotes_open(struct walk_remotes *remotes, const struct walk_remotes_setup *setup,
		      struct err *err)
{
	int rc = 0;

	while (remotes->count < setup->senders_count && !rc)
		rc = open_one(remotes, setup, err);
	return rc;
}

void walk_remotes_free(struct walk_remotes *remotes)
{
	for (uint32_t i = 0; i < remotes->count; i++)
		walk_remote_free(remotes->at[i]);
	remotes->count = 0;
}

int64_t walk_remotes_lead_ns(const struct walk_remotes *remotes)
{
	int64_t way_ns = 0;

	for (uint32_t i = 0; i < remotes->count; i++) {
		int64_t bound_ns = walk_remote_clock(remotes->at[i]).bound_ns;

		way_ns = bound_ns > way_ns ? bound_ns : way_ns;
	}
	return remotes->count ? LEAD_NS + 4 * way_ns : 0;
}

bool walk_remotes_lost_one(const struct walk_remotes *remotes)
{
	for (uint32_t i = 0; i < remotes->count; i++)
		if (walk_remote_is_lost(remotes->at[i]))
			return true;
	return false;
}
