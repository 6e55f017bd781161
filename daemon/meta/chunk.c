// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * chunk.c - chunk records, their states and their exceptions
 *
 *	live --last reference goes--> condemned --grace time--> deleting --shards gone--> nothing
 *	  ^-- COMMIT, CLONE refer to it ---'
 *
 * refs is the number of extents that refer to the chunk. A chunk is condemned exactly while refs is
 * 0 and it is not being deleted, and stands in CONDEMNED exactly then. It stands in EXCEPTION
 * exactly while it has a missing shard and is not being deleted. The totals in the counters, and
 * those of compressed chunks in the volume's record, and those of its domain follow in the same entry.
 *
 * With a content id it may stand in DEDUP (dedup.c), but not while it is being deleted.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"

static unsigned int shards(const struct meta_chunk *chunk)
{
	return (unsigned int)chunk->head.k + chunk->head.m;
}

int meta_chunk_decode(const struct meta_key *key, const u8 *value, size_t len,
		      struct meta_chunk *chunk)
{
	size_t crcs, exceptions, need;

	memset(chunk, 0, sizeof(*chunk));
	chunk->group = meta_key_get_u64(key, 0);
	chunk->number = meta_key_get_u64(key, sizeof(u64));
	if (len < sizeof(chunk->head))
		goto bad;
	memcpy(&chunk->head, value, sizeof(chunk->head));
	if (!chunk->head.k || shards(chunk) > WEFT_SHARDS_MAX ||
	    chunk->head.exceptions > shards(chunk))
		goto bad;
	crcs = shards(chunk) * sizeof(chunk->crcs[0]);
	exceptions = chunk->head.exceptions * sizeof(chunk->exceptions[0]);
	need = sizeof(chunk->head) + crcs + exceptions;
	if (le16_to_cpu(chunk->head.flags) & WEFT_MCF_CONTENT_ID)
		need += sizeof(chunk->content_id);
	if (len != need)
		goto bad;
	value += sizeof(chunk->head);
	memcpy(chunk->crcs, value, crcs);
	if (exceptions)
		memcpy(chunk->exceptions, value + crcs, exceptions);
	if (le16_to_cpu(chunk->head.flags) & WEFT_MCF_CONTENT_ID)
		memcpy(chunk->content_id, value + crcs + exceptions, sizeof(chunk->content_id));
	return 0;
bad:
	log_error("the record of chunk %llu of group %llu is malformed",
		  (unsigned long long)chunk->number, (unsigned long long)chunk->group);
	return -EBADMSG;
}

int meta_chunk_get(struct meta_txn *txn, u64 group, u64 number, struct meta_chunk *chunk)
{
	struct meta_key key = meta_key_chunk(group, number);
	u8 value[sizeof(struct weft_m_chunk) + sizeof(chunk->crcs) + sizeof(chunk->exceptions) +
		 sizeof(chunk->content_id)];
	size_t len;
	int err;

	err = meta_get(txn, WEFT_MT_CHUNK, &key, NULL, 0, value, sizeof(value), &len);
	if (err)
		return err;
	return meta_chunk_decode(&key, value, len, chunk);
}

static bool is_queued(const struct meta_chunk *chunk)
{
	return chunk && chunk->head.state != WEFT_MC_DELETING && meta_chunk_missing(chunk);
}

/* EXCEPTION and the totals, for the step from old to chunk. */
static int follow_exceptions(struct meta_state *state, const struct meta_chunk *chunk,
			     const struct meta_chunk *old)
{
	struct weft_m_mark mark = { .time_ns = cpu_to_le64(state->time_ns) };
	struct meta_key key = meta_key_chunk(chunk->group, chunk->number);

	le64_add(&state->counters.missing, is_queued(chunk) ? meta_chunk_missing(chunk) : 0);
	le64_sub(&state->counters.missing, is_queued(old) ? meta_chunk_missing(old) : 0);
	if (is_queued(chunk) == is_queued(old))
		return 0;
	if (is_queued(chunk)) {
		le64_add(&state->counters.exceptions, 1);
		return meta_put(&state->txn, WEFT_MT_EXCEPTION, &key, &mark, sizeof(mark), NULL, 0);
	}
	le64_sub(&state->counters.exceptions, 1);
	return meta_del(&state->txn, WEFT_MT_EXCEPTION, &key);
}

static void count_state(struct meta_state *state, const struct meta_chunk *chunk, bool add)
{
	struct weft_m_counters *counters = &state->counters;
	u64 n = add ? 1 : (u64)-1;

	switch (chunk->head.state) {
	case WEFT_MC_LIVE:
		le64_add(&counters->chunks, n);
		le64_add(&counters->plain_bytes, n * le32_to_cpu(chunk->head.plain_len));
		break;
	case WEFT_MC_CONDEMNED:
		le64_add(&counters->condemned, n);
		break;
	case WEFT_MC_DELETING:
		le64_add(&counters->deleting, n);
		break;
	}
}

static bool is_live(const struct meta_chunk *chunk)
{
	return chunk && chunk->head.state == WEFT_MC_LIVE;
}

/* The totals of its domain, and of compressed chunks, for the step from old to chunk. */
static int follow_usage(struct meta_state *state, const struct meta_chunk *chunk,
			const struct meta_chunk *old)
{
	s64 sign = (s64)is_live(chunk) - (s64)is_live(old);
	struct meta_group group;
	int err;

	if (!sign)
		return 0;
	err = meta_group_get(&state->txn, chunk->group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	err = meta_usage_chunk(state, le64_to_cpu(group.head.domain), sign, chunk);
	if (err || chunk->head.codec == WEFT_CODEC_RAW)
		return err;
	return meta_volume_account_packed(state, le64_to_cpu(group.head.domain),
					  sign * le32_to_cpu(chunk->head.plain_len),
					  sign * le32_to_cpu(chunk->head.stored_len));
}

int meta_chunk_put(struct meta_state *state, const struct meta_chunk *chunk,
		   const struct meta_chunk *old)
{
	struct meta_key key = meta_key_chunk(chunk->group, chunk->number);
	size_t crcs = shards(chunk) * sizeof(chunk->crcs[0]);
	size_t exceptions = chunk->head.exceptions * sizeof(chunk->exceptions[0]);
	u8 tail[sizeof(chunk->crcs) + sizeof(chunk->exceptions) + sizeof(chunk->content_id)];
	size_t len = crcs + exceptions;
	int err;

	memcpy(tail, chunk->crcs, crcs);
	memcpy(tail + crcs, chunk->exceptions, exceptions);
	if (le16_to_cpu(chunk->head.flags) & WEFT_MCF_CONTENT_ID) {
		memcpy(tail + len, chunk->content_id, sizeof(chunk->content_id));
		len += sizeof(chunk->content_id);
	}
	if (old)
		count_state(state, old, false);
	count_state(state, chunk, true);
	err = follow_exceptions(state, chunk, old);
	if (!err)
		err = follow_usage(state, chunk, old);
	if (err)
		return err;
	return meta_put(&state->txn, WEFT_MT_CHUNK, &key, &chunk->head, sizeof(chunk->head), tail,
			len);
}

static struct meta_key condemned_key(struct meta_state *state, const struct meta_chunk *chunk)
{
	return meta_key_condemned(state->mgrp, le64_to_cpu(chunk->head.condemned_ns), chunk->group,
				  chunk->number);
}

int meta_chunk_ref(struct meta_state *state, u64 group, u64 number)
{
	struct meta_chunk chunk, old;
	struct meta_key key;
	int err;

	err = meta_chunk_get(&state->txn, group, number, &chunk);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	old = chunk;
	if (chunk.head.state == WEFT_MC_CONDEMNED) {
		key = condemned_key(state, &chunk);
		err = meta_del(&state->txn, WEFT_MT_CONDEMNED, &key);
		if (err)
			return err;
		chunk.head.state = WEFT_MC_LIVE;
		chunk.head.condemned_ns = 0;
	}
	le64_add(&chunk.head.refs, 1);
	return meta_chunk_put(state, &chunk, &old);
}

int meta_chunk_unref(struct meta_state *state, u64 group, u64 number)
{
	struct meta_chunk chunk, old;
	int err;

	err = meta_chunk_get(&state->txn, group, number, &chunk);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (!chunk.head.refs) {
		log_error("chunk %llu of group %llu has fewer references than extents",
			  (unsigned long long)number, (unsigned long long)group);
		return -EBADMSG;
	}
	old = chunk;
	le64_sub(&chunk.head.refs, 1);
	if (!chunk.head.refs)
		return meta_chunk_condemn(state, &chunk);
	return meta_chunk_put(state, &chunk, &old);
}

int meta_chunk_condemn(struct meta_state *state, struct meta_chunk *chunk)
{
	struct weft_m_mark mark = { .time_ns = cpu_to_le64(state->time_ns) };
	struct meta_chunk old = *chunk;
	struct meta_key key;
	int err;

	chunk->head.state = WEFT_MC_CONDEMNED;
	chunk->head.condemned_ns = cpu_to_le64(state->time_ns);
	key = condemned_key(state, chunk);
	err = meta_put(&state->txn, WEFT_MT_CONDEMNED, &key, &mark, sizeof(mark), NULL, 0);
	if (err)
		return err;
	return meta_chunk_put(state, chunk, &old);
}

int meta_chunk_delete_begin(struct meta_state *state, struct meta_chunk *chunk)
{
	struct weft_m_mark mark = { .time_ns = cpu_to_le64(state->time_ns) };
	struct meta_key key = condemned_key(state, chunk),
			deleting = meta_key_chunk(chunk->group, chunk->number);
	struct meta_chunk old = *chunk;
	int err;

	err = meta_del(&state->txn, WEFT_MT_CONDEMNED, &key);
	if (!err)
		err = meta_put(&state->txn, WEFT_MT_DELETING, &deleting, &mark, sizeof(mark), NULL,
			       0);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	/* From here on it is no answer to anybody who asks for its content. */
	err = meta_dedup_del(state, chunk);
	if (err)
		return err;
	chunk->head.state = WEFT_MC_DELETING;
	return meta_chunk_put(state, chunk, &old);
}

int meta_chunk_delete_end(struct meta_state *state, const struct meta_chunk *chunk)
{
	struct meta_key key = meta_key_chunk(chunk->group, chunk->number);
	struct meta_group group;
	int err;

	count_state(state, chunk, false);
	err = meta_del(&state->txn, WEFT_MT_DELETING, &key);
	if (!err)
		err = meta_del(&state->txn, WEFT_MT_CHUNK, &key);
	if (!err)
		err = meta_group_get(&state->txn, chunk->group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	le64_sub(&group.head.chunks, 1);
	return meta_group_put(&state->txn, &group);
}

u32 meta_chunk_store(const struct meta_chunk *chunk, u8 index, u32 slot_store)
{
	for (unsigned int i = 0; i < chunk->head.exceptions; i++)
		if (le32_to_cpu(chunk->exceptions[i].index) == index)
			return le32_to_cpu(chunk->exceptions[i].store);
	return slot_store;
}

unsigned int meta_chunk_missing(const struct meta_chunk *chunk)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < chunk->head.exceptions; i++)
		n += le32_to_cpu(chunk->exceptions[i].store) == WEFT_STORE_NONE;
	return n;
}

void meta_chunk_set_store(struct meta_chunk *chunk, u8 index, u32 store, u32 slot_store)
{
	struct weft_exception *all = chunk->exceptions;
	unsigned int n = chunk->head.exceptions, at;

	for (at = 0; at < n && le32_to_cpu(all[at].index) < index; at++)
		;
	if (at < n && le32_to_cpu(all[at].index) == index) {
		memmove(all + at, all + at + 1, (n - at - 1) * sizeof(*all));
		n--;
	}
	if (store == WEFT_STORE_NONE || store != slot_store) {
		memmove(all + at + 1, all + at, (n - at) * sizeof(*all));
		all[at] = (struct weft_exception){ cpu_to_le32(index), cpu_to_le32(store) };
		n++;
	}
	chunk->head.exceptions = (u8)n;
}
