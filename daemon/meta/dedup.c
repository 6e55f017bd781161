// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dedup.c - which chunk has a content: the index of content ids, and what a mount is told of it
 *
 *	COMMIT with an id --> DEDUP (domain, id) --> chunk, live or condemned
 *	DELETING ----------> the record goes, before the first shard does
 *
 * So a chunk that is being deleted is never named to anybody who asks. Whoever was told of a chunk
 * before that holds no pin on it: his COMMIT names it, and is told NEED if it is on its way out by
 * then.
 *
 * One chunk stands in the index for a content. Others with the same may be there besides: those that
 * were written because the one in the index was not whole, or before anybody knew of it.
 */
#include <errno.h>

#include "meta/meta.h"

bool meta_dedup_has_id(const u8 content_id[32])
{
	static const u8 no_id[32];

	return memcmp(content_id, no_id, sizeof(no_id));
}

/* The record for contents whose ids begin like this one. */
static int get(struct meta_txn *txn, u64 domain, const u8 content_id[32],
	       struct weft_m_dedup *record)
{
	struct meta_key key = meta_key_content(domain, content_id);

	return meta_get(txn, WEFT_MT_DEDUP, &key, record, sizeof(*record), NULL, 0, NULL);
}

int meta_dedup_find(struct meta_txn *txn, u64 domain, const u8 content_id[32],
		    struct meta_chunk *chunk)
{
	struct weft_m_dedup record;
	int err;

	err = get(txn, domain, content_id, &record);
	if (err)
		return err;
	err = meta_chunk_get(txn, le64_to_cpu(record.group), le64_to_cpu(record.number), chunk);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	/* Of ids that begin alike one has its place. */
	if (memcmp(chunk->content_id, content_id, sizeof(chunk->content_id)))
		return -ENOENT;
	return 0;
}

int meta_dedup_add(struct meta_state *state, u64 domain, const struct meta_chunk *chunk)
{
	struct meta_key key = meta_key_content(domain, chunk->content_id);
	struct weft_m_dedup record;
	int err;

	err = get(&state->txn, domain, chunk->content_id, &record);
	if (err && err != -ENOENT)
		return err;
	if (err)
		err = meta_usage_ids(state, domain, 1);
	if (err)
		return err;
	record.group = cpu_to_le64(chunk->group);
	record.number = cpu_to_le64(chunk->number);
	err = meta_put(&state->txn, WEFT_MT_DEDUP, &key, &record, sizeof(record), NULL, 0);
	if (!err && state->hooks && state->hooks->content)
		state->hooks->content(state->owner, chunk->content_id);
	return err;
}

int meta_dedup_del(struct meta_state *state, const struct meta_chunk *chunk)
{
	struct weft_m_dedup record;
	struct meta_group group;
	struct meta_key key;
	u64 domain;
	int err;

	if (!(le16_to_cpu(chunk->head.flags) & WEFT_MCF_CONTENT_ID))
		return 0;
	err = meta_group_get(&state->txn, chunk->group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	domain = le64_to_cpu(group.head.domain);
	err = get(&state->txn, domain, chunk->content_id, &record);
	if (err)
		return err == -ENOENT ? 0 : err;
	/* Another one has taken its place. */
	if (le64_to_cpu(record.group) != chunk->group ||
	    le64_to_cpu(record.number) != chunk->number)
		return 0;
	key = meta_key_content(domain, chunk->content_id);
	err = meta_del(&state->txn, WEFT_MT_DEDUP, &key);
	return err ? err : meta_usage_ids(state, domain, -1);
}

/* ---- CHUNKS ---- */

struct answer {
	struct meta_state *state;
	const struct weft_volume_info *info;
	const struct meta_dedup_judge *judge;
	struct meta_outcome *outcome;
	struct weft_chunk_found found[WEFT_CHUNKS_ASKED_MAX];
};

/*
 * Whether new content may be bound to the chunk: it has lost nothing, and no less may be lost of it
 * than of what the volume writes itself.
 */
static int may_share(struct answer *answer, const struct meta_chunk *chunk, u32 plain_len,
		     bool *may)
{
	struct meta_group group;
	int err;

	err = meta_group_get(&answer->state->txn, chunk->group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	*may = chunk->head.state != WEFT_MC_DELETING && !meta_chunk_missing(chunk) &&
	       le32_to_cpu(chunk->head.plain_len) == plain_len &&
	       chunk->head.m >= le32_to_cpu(answer->info->m) &&
	       chunk->head.k <= le32_to_cpu(answer->info->k) &&
	       answer->judge->healthy(answer->judge->ctx, chunk, &group);
	return 0;
}

/* True if one of the answers before this one has told of the chunk. */
static bool is_told(const struct answer *answer, u32 n, const struct meta_chunk *chunk)
{
	for (u32 i = 0; i < n; i++)
		if (le64_to_cpu(answer->found[i].group) == chunk->group &&
		    le64_to_cpu(answer->found[i].number) == chunk->number)
			return true;
	return false;
}

static int answer_one(struct answer *answer, const struct weft_chunk_ask *ask, u32 index)
{
	struct weft_chunk_found *found = &answer->found[index];
	struct meta_chunk chunk;
	bool may;
	int err;

	*found = (struct weft_chunk_found){ .index = cpu_to_le32(index) };
	err = meta_dedup_find(&answer->state->txn, meta_volume_domain(answer->info),
			      ask->content_id, &chunk);
	if (err == -ENOENT)
		found->what = cpu_to_le32(WEFT_FOUND_NEW);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = may_share(answer, &chunk, le32_to_cpu(ask->plain_len), &may);
	if (err || !may)
		return err;
	if (!is_told(answer, index, &chunk))
		err = meta_read_put_chunk(&chunk, &answer->outcome->answer);
	found->what = cpu_to_le32(WEFT_FOUND_EXISTS);
	found->group = cpu_to_le64(chunk.group);
	found->number = cpu_to_le64(chunk.number);
	return err;
}

int meta_dedup_answer(struct meta_state *state, u64 session, const struct weft_chunk_ask *asks,
		      u32 n, const struct meta_dedup_judge *judge, struct meta_outcome *outcome)
{
	struct answer answer = { .state = state, .judge = judge, .outcome = outcome };
	struct meta_session record;
	struct meta_volume volume;
	int err;

	outcome->status = WEFT_ST_OK;
	err = meta_state_read(state);
	if (!err)
		err = meta_session_get(&state->txn, session, &record);
	if (err == -ENOENT || (!err && le32_to_cpu(record.head.flags) & WEFT_MSF_CLOSING)) {
		outcome->status = WEFT_ST_SESSION_LOST;
		return 0;
	}
	if (!err)
		err = meta_volume_get(&state->txn, le64_to_cpu(record.head.volume), &volume);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (!volume.head.info.dedup_domain) {
		outcome->status = WEFT_ST_OPNOTSUPP;
		return 0;
	}
	answer.info = &volume.head.info;
	for (u32 i = 0; i < n && !err; i++)
		err = answer_one(&answer, &asks[i], i);
	if (err)
		return err;
	tlv_put(&outcome->answer, WEFT_P_FOUND, answer.found, n * sizeof(*answer.found));
	return tlv_finish(&outcome->answer);
}
