// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunk records as readers know them: made from an answer of the metadata service or from a put that ended well.
 *
 * A record is immutable once made and shared by reference. What an answer says is checked completely here, so that
 * whoever fetches can compute with it: lengths that a chunk can have, the geometry that follows from them, exceptions
 * that name shards that exist, each once.
 */
#include <linux/slab.h>

#include "chunk/header.h"
#include "chunk/layout.h"
#include "node/internal.h"

static struct weft_chunk *record_alloc(unsigned int n_exceptions, gfp_t gfp)
{
	struct weft_chunk *chunk = kzalloc(struct_size(chunk, exceptions, n_exceptions), gfp);

	if (!chunk)
		return NULL;
	refcount_set(&chunk->ref, 1);
	chunk->n_exceptions = n_exceptions;
	return chunk;
}

void weft_chunk_get(struct weft_chunk *chunk)
{
	refcount_inc(&chunk->ref);
}

void weft_chunk_put(struct weft_chunk *chunk)
{
	if (!chunk || !refcount_dec_and_test(&chunk->ref))
		return;
	if (chunk->frames)
		kfree_rcu(chunk->frames, rcu);
	kfree_rcu(chunk, rcu);
}

struct weft_frame_table *weft_frame_table_alloc(u32 plain_len, gfp_t gfp)
{
	struct weft_frame_table *table;

	return kmalloc(struct_size(table, ends, weft_frame_count(plain_len)), gfp);
}

void weft_chunk_frames_set(struct weft_chunk *chunk, struct weft_frame_table *table)
{
	if (cmpxchg_release(&chunk->frames, NULL, table))
		kfree(table);
}

static bool record_ok(const struct weft_chunk_info *info, size_t len, u32 n_exceptions)
{
	struct weft_layout layout;

	if (!info->group || !info->number || !(info->sid.session || info->sid.counter))
		return false;
	if (n_exceptions > WEFT_SHARDS_MAX || len != sizeof(*info) + n_exceptions * sizeof(struct weft_exception))
		return false;
	if (weft_header_lengths_check(le32_to_cpu(info->plain_len), le32_to_cpu(info->stored_len), info->codec,
				      info->cipher, le32_to_cpu(info->key_id), NULL))
		return false;
	if (weft_layout_init(&layout, le32_to_cpu(info->stored_len), info->k, info->m))
		return false;
	return layout.shard_len == le32_to_cpu(info->shard_len);
}

static int record_exceptions_read(struct weft_chunk *chunk, const struct weft_exception *exceptions)
{
	u32 least = 0;

	for (unsigned int i = 0; i < chunk->n_exceptions; i++) {
		u32 index = le32_to_cpu(exceptions[i].index);

		if (index < least || index >= (u32)chunk->k + chunk->m)
			return -EPROTO;
		least = index + 1;
		chunk->exceptions[i].index = index;
		chunk->exceptions[i].store = le32_to_cpu(exceptions[i].store);
	}
	return 0;
}

struct weft_chunk *weft_chunk_decode(const void *data, size_t len)
{
	/* Attributes of a message stand at multiples of 4 bytes only. */
	struct weft_chunk_info info;
	struct weft_chunk *chunk;
	u32 n_exceptions;

	if (len < sizeof(info))
		return ERR_PTR(-EPROTO);
	memcpy(&info, data, sizeof(info));
	n_exceptions = le32_to_cpu(info.exceptions);
	if (!record_ok(&info, len, n_exceptions))
		return ERR_PTR(-EPROTO);
	chunk = record_alloc(n_exceptions, GFP_NOFS);
	if (!chunk)
		return ERR_PTR(-ENOMEM);
	chunk->group = le64_to_cpu(info.group);
	chunk->number = le64_to_cpu(info.number);
	chunk->sid_session = le64_to_cpu(info.sid.session);
	chunk->sid_counter = le64_to_cpu(info.sid.counter);
	chunk->plain_len = le32_to_cpu(info.plain_len);
	chunk->stored_len = le32_to_cpu(info.stored_len);
	chunk->shard_len = le32_to_cpu(info.shard_len);
	chunk->key_id = le32_to_cpu(info.key_id);
	chunk->codec = info.codec;
	chunk->cipher = info.cipher;
	chunk->k = info.k;
	chunk->m = info.m;
	if (record_exceptions_read(chunk, data + sizeof(info))) {
		kfree(chunk);
		return ERR_PTR(-EPROTO);
	}
	return chunk;
}

/* Whoever reads it need not fetch it; without memory he has to. */
static struct weft_frame_table *record_frames(const struct weft_put *put, gfp_t gfp)
{
	struct weft_frame_table *table = put->ends ? weft_frame_table_alloc(put->plain_len, gfp) : NULL;

	if (table)
		table->seal = put->seal;
	if (table)
		memcpy(table->ends, put->ends, weft_frame_count(put->plain_len) * sizeof(table->ends[0]));
	return table;
}

/* The group's slots of a put's shards, to tell which of them stand elsewhere. */
struct weft_chunk *weft_chunk_from_put(const struct weft_put *put, u64 number, gfp_t gfp)
{
	unsigned int n = 0;
	struct weft_chunk *chunk;

	for (unsigned int i = 0; i < put->k + put->m; i++)
		n += put->shards[i].store != put->shards[i].slot;
	chunk = record_alloc(n, gfp);
	if (!chunk)
		return NULL;
	chunk->group = put->group;
	chunk->number = number;
	chunk->sid_session = put->sid_session;
	chunk->sid_counter = put->sid_counter;
	chunk->plain_len = put->plain_len;
	chunk->stored_len = put->stored_len;
	chunk->shard_len = put->shard_len;
	chunk->codec = put->codec;
	chunk->cipher = put->cipher;
	chunk->key_id = put->key_id;
	chunk->frames = record_frames(put, gfp);
	chunk->k = put->k;
	chunk->m = put->m;
	n = 0;
	for (unsigned int i = 0; i < put->k + put->m; i++) {
		if (put->shards[i].store == put->shards[i].slot)
			continue;
		chunk->exceptions[n].index = i;
		chunk->exceptions[n].store = put->shards[i].store;
		n++;
	}
	return chunk;
}
