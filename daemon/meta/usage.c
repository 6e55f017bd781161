// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * usage.c - what the volumes of a dedup domain hold together: totals that need no walk over chunks
 *
 * Changes gather while an entry is applied, and become one write at its end. A domain whose first
 * volume was made before there were totals has no record, and gets none: what it held already would
 * be missing in it.
 */
#include <errno.h>

#include "meta/meta.h"

int meta_usage_get(struct meta_txn *txn, u64 domain, struct weft_m_usage *usage)
{
	struct meta_key key = meta_key_u64(domain);

	return meta_get(txn, WEFT_MT_USAGE, &key, usage, sizeof(*usage), NULL, 0, NULL);
}

static int put(struct meta_txn *txn, u64 domain, const struct weft_m_usage *usage)
{
	struct meta_key key = meta_key_u64(domain);

	return meta_put(txn, WEFT_MT_USAGE, &key, usage, sizeof(*usage), NULL, 0);
}

int meta_usage_begin(struct meta_state *state, u64 domain)
{
	struct weft_m_usage usage = { 0 };

	return put(&state->txn, domain, &usage);
}

int meta_usage_flush(struct meta_state *state)
{
	struct meta_usage_change change = state->usage;
	struct weft_m_usage usage;
	int err;

	state->usage = (struct meta_usage_change){ 0 };
	if (!change.mapped && !change.chunks && !change.plain && !change.stored && !change.raw &&
	    !change.ids)
		return 0;
	err = meta_usage_get(&state->txn, change.domain, &usage);
	if (err)
		return err == -ENOENT ? 0 : err;
	le64_add(&usage.mapped_bytes, (u64)change.mapped);
	le64_add(&usage.chunks, (u64)change.chunks);
	le64_add(&usage.plain_bytes, (u64)change.plain);
	le64_add(&usage.stored_bytes, (u64)change.stored);
	le64_add(&usage.raw_bytes, (u64)change.raw);
	le64_add(&usage.ids, (u64)change.ids);
	return put(&state->txn, change.domain, &usage);
}

/* An entry seldom has to do with more than one. */
static int turn_to(struct meta_state *state, u64 domain)
{
	int err = 0;

	if (state->usage.domain != domain)
		err = meta_usage_flush(state);
	state->usage.domain = domain;
	return err;
}

int meta_usage_map(struct meta_state *state, u64 id, s64 bytes)
{
	struct meta_volume volume;
	int err;

	err = meta_volume_get(&state->txn, id, &volume);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	err = turn_to(state, meta_volume_domain(&volume.head.info));
	state->usage.mapped += bytes;
	return err;
}

int meta_usage_chunk(struct meta_state *state, u64 domain, s64 sign, const struct meta_chunk *chunk)
{
	int err = turn_to(state, domain);

	state->usage.chunks += sign;
	state->usage.plain += sign * le32_to_cpu(chunk->head.plain_len);
	state->usage.stored += sign * le32_to_cpu(chunk->head.stored_len);
	state->usage.raw += sign * (s64)le32_to_cpu(chunk->head.shard_len) *
			    (chunk->head.k + chunk->head.m);
	return err;
}

int meta_usage_ids(struct meta_state *state, u64 domain, s64 ids)
{
	int err = turn_to(state, domain);

	state->usage.ids += ids;
	return err;
}
