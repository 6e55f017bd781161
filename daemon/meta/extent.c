// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * extent.c - what an inode's bytes are: runs of chunks
 *
 * The extents of an inode are disjoint and lie in the order of their offsets; what none covers is a
 * hole. Each holds one reference of its chunk. Taking a range away trims or splits what reaches
 * over its ends:
 *
 *	before	|-------- a --------|--- b ---|--------- c ---------|
 *	cut	          [.........................)
 *	after	|--- a ---|                         |------ c ------|
 *
 * An extent is never longer than a chunk, so the one that covers an offset is found in two steps.
 *
 * Extents may lie behind the size: a mount commits what has been stored in any order, and the size
 * only up to the first byte that is not. They are all of one session, inode.session: whoever comes
 * next cuts them off before its first COMMIT or change of the size does anything else, so that no
 * growth ever shows what was never part of the file. Until then nobody else is shown them.
 */
#include <errno.h>

#include "meta/meta.h"

/*
 * The most records that taking away or adding one extent touches: itself, its rest, its chunk, the
 * queue it goes to.
 */
#define RECORDS_EACH 8u

#define INO_LEN (1u + 2u * sizeof(u64)) /* of a key: mgrp, volume, ino */

static int decode(const struct meta_walk *walk, struct meta_extent *extent)
{
	struct weft_m_extent value;
	int err;

	err = meta_walk_head(walk, &value, sizeof(value));
	if (err)
		return err;
	extent->offset = meta_key_get_u64(&walk->key, INO_LEN);
	extent->length = le64_to_cpu(value.length);
	extent->group = le64_to_cpu(value.group);
	extent->number = le64_to_cpu(value.number);
	extent->chunk_offset = le32_to_cpu(value.chunk_offset);
	return 0;
}

static int put(struct meta_txn *txn, const struct meta_tree *tree, u64 ino,
	       const struct meta_extent *extent)
{
	struct meta_key key = meta_key_extent(tree, ino, extent->offset);
	struct weft_m_extent value = {
		.group = cpu_to_le64(extent->group),
		.number = cpu_to_le64(extent->number),
		.length = cpu_to_le64(extent->length),
		.chunk_offset = cpu_to_le32(extent->chunk_offset),
	};

	return meta_put(txn, WEFT_MT_EXTENT, &key, &value, sizeof(value), NULL, 0);
}

static int del(struct meta_txn *txn, const struct meta_tree *tree, u64 ino, u64 offset)
{
	struct meta_key key = meta_key_extent(tree, ino, offset);

	return meta_del(txn, WEFT_MT_EXTENT, &key);
}

/* The last extent that begins before offset, of this inode. */
static int before(struct meta_walk *walk, const struct meta_tree *tree, u64 ino, u64 offset,
		  struct meta_extent *extent)
{
	struct meta_key key = meta_key_extent(tree, ino, offset);
	int err;

	err = meta_walk_seek_before(walk, &key);
	if (err)
		return err;
	if (!meta_walk_within(walk, &key, INO_LEN))
		return -ENOENT;
	return decode(walk, extent);
}

int meta_extent_first(struct meta_walk *walk, const struct meta_tree *tree, u64 ino, u64 offset,
		      struct meta_extent *extent)
{
	struct meta_key key = meta_key_extent(tree, ino, offset);
	int err;

	err = before(walk, tree, ino, offset, extent);
	if (!err && extent->offset + extent->length > offset)
		return 0;
	if (err && err != -ENOENT)
		return err;
	err = meta_walk_seek(walk, &key);
	if (err)
		return err;
	if (!meta_walk_within(walk, &key, INO_LEN))
		return -ENOENT;
	return decode(walk, extent);
}

int meta_extent_next(struct meta_walk *walk, const struct meta_tree *tree, u64 ino,
		     struct meta_extent *extent)
{
	struct meta_key key = meta_key_extent(tree, ino, 0);
	int err;

	err = meta_walk_next(walk);
	if (err)
		return err;
	if (!meta_walk_within(walk, &key, INO_LEN))
		return -ENOENT;
	return decode(walk, extent);
}

/* Take [start, end) out of one extent that overlaps it. */
static int cut_one(struct meta_state *state, const struct meta_tree *tree,
		   struct weft_m_inode *inode, const struct meta_extent *extent, u64 start, u64 end)
{
	u64 ino = le64_to_cpu(inode->attr.ino), extent_end = extent->offset + extent->length;
	u64 from = start > extent->offset ? start : extent->offset,
	    to = end < extent_end ? end : extent_end;
	struct meta_extent rest = *extent;
	bool kept = false;
	int err;

	if (from > extent->offset) {
		rest.length = from - extent->offset;
		err = put(&state->txn, tree, ino, &rest);
		kept = true;
	} else {
		err = del(&state->txn, tree, ino, extent->offset);
	}
	if (err)
		return err;
	if (to < extent_end) {
		rest.offset = to;
		rest.length = extent_end - to;
		rest.chunk_offset = extent->chunk_offset + (u32)(to - extent->offset);
		err = put(&state->txn, tree, ino, &rest);
		if (!err && kept && !(meta_bugs & META_BUG_LOSE_REF))
			err = meta_chunk_ref(state, extent->group, extent->number);
		kept = true;
		if (err)
			return err;
	}
	le64_sub(&inode->attr.bytes, to - from);
	err = meta_usage_map(state, tree->volume, -(s64)(to - from));
	if (err || kept)
		return err;
	return meta_chunk_unref(state, extent->group, extent->number);
}

int meta_extent_cut(struct meta_state *state, const struct meta_tree *tree,
		    struct weft_m_inode *inode, u64 start, u64 end, u64 *reached)
{
	u64 ino = le64_to_cpu(inode->attr.ino);
	struct meta_extent extent;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &state->txn, WEFT_MT_EXTENT);
	if (err)
		return err;
	*reached = start;
	while (*reached < end) {
		err = meta_extent_first(&walk, tree, ino, *reached, &extent);
		if (err == -ENOENT || (!err && extent.offset >= end)) {
			err = 0;
			*reached = end;
			break;
		}
		if (err)
			break;
		if (meta_budget_left(state) < RECORDS_EACH)
			break;
		err = cut_one(state, tree, inode, &extent, *reached, end);
		if (err)
			break;
		*reached =
			extent.offset + extent.length < end ? extent.offset + extent.length : end;
	}
	meta_walk_end(&walk);
	return err;
}

int meta_extent_truncate(struct meta_state *state, const struct meta_tree *tree,
			 struct weft_m_inode *inode, u64 size, u64 *reached)
{
	u64 ino = le64_to_cpu(inode->attr.ino);
	struct meta_extent extent;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &state->txn, WEFT_MT_EXTENT);
	if (err)
		return err;
	*reached = META_SIZE_MAX;
	for (;;) {
		err = before(&walk, tree, ino, *reached, &extent);
		if (err == -ENOENT || (!err && extent.offset + extent.length <= size)) {
			err = 0;
			*reached = size;
			break;
		}
		if (err || meta_budget_left(state) < RECORDS_EACH)
			break;
		err = cut_one(state, tree, inode, &extent, size, META_SIZE_MAX);
		if (err)
			break;
		*reached = extent.offset > size ? extent.offset : size;
		if (*reached == size)
			break;
	}
	meta_walk_end(&walk);
	return err;
}

bool meta_extent_left_behind(const struct weft_m_inode *inode, u64 session)
{
	return inode->session && le64_to_cpu(inode->session) != session;
}

int meta_extent_claim(struct meta_state *state, const struct meta_tree *tree,
		      struct weft_m_inode *inode, u64 session, bool *done)
{
	u64 size = le64_to_cpu(inode->attr.size), reached = size;
	int err;

	if (meta_extent_left_behind(inode, session)) {
		err = meta_extent_truncate(state, tree, inode, size, &reached);
		if (err)
			return err;
	}
	*done = reached == size;
	if (*done)
		inode->session = cpu_to_le64(session);
	return 0;
}

/* The extent that ends where this one begins, if both are one run of one chunk. */
static int continued(struct meta_state *state, const struct meta_tree *tree, u64 ino,
		     const struct meta_extent *extent, struct meta_extent *previous)
{
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &state->txn, WEFT_MT_EXTENT);
	if (err)
		return err;
	err = before(&walk, tree, ino, extent->offset, previous);
	meta_walk_end(&walk);
	if (err)
		return err;
	if (previous->offset + previous->length != extent->offset ||
	    previous->group != extent->group || previous->number != extent->number ||
	    previous->chunk_offset + previous->length != extent->chunk_offset)
		return -ENOENT;
	return 0;
}

int meta_extent_add(struct meta_state *state, const struct meta_tree *tree,
		    struct weft_m_inode *inode, const struct meta_extent *extent)
{
	u64 ino = le64_to_cpu(inode->attr.ino);
	struct meta_extent whole;
	int err;

	le64_add(&inode->attr.bytes, extent->length);
	err = meta_usage_map(state, tree->volume, (s64)extent->length);
	if (err)
		return err;
	err = continued(state, tree, ino, extent, &whole);
	if (!err) {
		whole.length += extent->length;
		return put(&state->txn, tree, ino, &whole);
	}
	if (err != -ENOENT)
		return err;
	err = put(&state->txn, tree, ino, extent);
	if (err)
		return err;
	return meta_chunk_ref(state, extent->group, extent->number);
}
