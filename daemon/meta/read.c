// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * read.c - requests that read
 *
 * Answers are bounded by WEFT_PAYLOAD_MAX whatever the file or the directory: what does not fit is
 * asked for again from where the answer ends.
 */
#include <errno.h>
#include <sys/stat.h>

#include "meta/meta.h"

#define ANSWER_SPARE 64u /* for what ends an answer: EOF, NEXT */

struct read {
	struct meta_state *state;
	u64 session;
	const struct meta_ask *ask;
	struct meta_outcome *outcome;
	struct meta_volume volume;
	struct meta_tree tree;
};

static size_t room(const struct meta_outcome *outcome)
{
	size_t used = outcome->answer.len + ANSWER_SPARE;

	return used < WEFT_PAYLOAD_MAX ? WEFT_PAYLOAD_MAX - used : 0;
}

static int get_inode(struct read *read, u64 ino, struct weft_m_inode *inode)
{
	int err = meta_inode_get(&read->state->txn, &read->tree, ino, inode);

	return err == -ENOENT ? WEFT_ST_STALE : err;
}

/* Inline content or a link's target, if there is one. */
static int put_inline(struct read *read, const struct weft_m_inode *inode)
{
	u8 data[META_VALUE_MAX];
	bool link = S_ISLNK(le32_to_cpu(inode->attr.mode));
	size_t len;
	int err;

	if (!link && !(le32_to_cpu(inode->attr.flags) & WEFT_AF_INLINE))
		return 0;
	err = meta_inline_get(&read->state->txn, &read->tree, le64_to_cpu(inode->attr.ino), data,
			      sizeof(data), &len);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	tlv_put(&read->outcome->answer, link ? WEFT_P_TARGET : WEFT_P_DATA, data, len);
	return 0;
}

/* The chunks that an answer has told of already. */
#define SEEN_SIZE 2048u
struct seen {
	struct {
		u64 group, number;
	} slots[SEEN_SIZE];
};

/* True the first time. */
static bool note_chunk(struct seen *seen, u64 group, u64 number)
{
	u64 at = (number * 0x9e3779b97f4a7c15ULL ^ group * 0xc2b2ae3d27d4eb4fULL) >> 40;

	for (unsigned int i = 0; i < SEEN_SIZE; i++) {
		at = (at + 1) % SEEN_SIZE;
		if (!seen->slots[at].group) {
			seen->slots[at].group = group;
			seen->slots[at].number = number;
			return true;
		}
		if (seen->slots[at].group == group && seen->slots[at].number == number)
			return false;
	}
	return true;
}

int meta_read_put_chunk(const struct meta_chunk *chunk, struct tlv_writer *answer)
{
	size_t exceptions = chunk->head.exceptions * sizeof(chunk->exceptions[0]);
	struct weft_chunk_info info = {
		.group = cpu_to_le64(chunk->group),
		.number = cpu_to_le64(chunk->number),
		.sid = chunk->head.sid,
		.plain_len = chunk->head.plain_len,
		.stored_len = chunk->head.stored_len,
		.shard_len = chunk->head.shard_len,
		.key_id = chunk->head.key_id,
		.codec = chunk->head.codec,
		.cipher = chunk->head.cipher,
		.k = chunk->head.k,
		.m = chunk->head.m,
		.exceptions = cpu_to_le32(chunk->head.exceptions),
	};
	u8 *at = tlv_reserve(answer, WEFT_P_CHUNK, sizeof(info) + exceptions);

	if (!at)
		return tlv_finish(answer);
	memcpy(at, &info, sizeof(info));
	memcpy(at + sizeof(info), chunk->exceptions, exceptions);
	return 0;
}

static int put_chunk(struct read *read, u64 group, u64 number)
{
	struct meta_chunk chunk;
	int err;

	err = meta_chunk_get(&read->state->txn, group, number, &chunk);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	return meta_read_put_chunk(&chunk, &read->outcome->answer);
}

/* Room that an extent may take: itself and its chunk with all exceptions. */
#define EXTENT_ROOM (sizeof(struct weft_extent) + 4 + sizeof(struct weft_chunk_info) + \
		     WEFT_SHARDS_MAX * sizeof(struct weft_exception))

/*
 * The extents of [start, end), as many as fit: chunks first, then the extents, then where to go on.
 * What another session left behind the size is no part of the file.
 */
static int put_extents(struct read *read, const struct weft_m_inode *inode, u64 start, u64 end)
{
	u64 ino = le64_to_cpu(inode->attr.ino), size = META_SIZE_MAX;
	struct weft_extent list[WEFT_PAYLOAD_MAX / sizeof(struct weft_extent)];
	struct meta_extent extent;
	struct meta_walk walk;
	struct seen seen = { 0 };
	unsigned int n = 0;
	u64 next = end;
	int err;

	if (meta_extent_left_behind(inode, read->session))
		size = le64_to_cpu(inode->attr.size);
	err = meta_walk_begin(&walk, &read->state->txn, WEFT_MT_EXTENT);
	if (err)
		return err;
	for (err = meta_extent_first(&walk, &read->tree, ino, start, &extent);
	     !err && extent.offset < end && extent.offset < size;
	     err = meta_extent_next(&walk, &read->tree, ino, &extent)) {
		if (room(read->outcome) < n * sizeof(*list) + EXTENT_ROOM) {
			next = extent.offset > start ? extent.offset : start;
			break;
		}
		if (extent.length > size - extent.offset)
			extent.length = size - extent.offset;
		if (note_chunk(&seen, extent.group, extent.number)) {
			err = put_chunk(read, extent.group, extent.number);
			if (err)
				break;
		}
		list[n++] = (struct weft_extent){
			.offset = cpu_to_le64(extent.offset),
			.length = cpu_to_le64(extent.length),
			.group = cpu_to_le64(extent.group),
			.number = cpu_to_le64(extent.number),
			.chunk_offset = cpu_to_le32(extent.chunk_offset),
		};
	}
	meta_walk_end(&walk);
	if (err && err != -ENOENT)
		return err;
	tlv_put(&read->outcome->answer, WEFT_P_EXTENTS, list, n * sizeof(*list));
	tlv_put_u64(&read->outcome->answer, WEFT_P_NEXT, next);
	return 0;
}

static void put_attr(struct read *read, const struct weft_m_inode *inode)
{
	tlv_put(&read->outcome->answer, WEFT_P_ATTR, &inode->attr, sizeof(inode->attr));
}

/* The first extents travel with a look-up: a small file that is read once costs one question. */
#define LOOKUP_BYTES (8ull * 1024 * 1024)

static int read_lookup(struct read *read)
{
	struct weft_m_inode dir, inode;
	struct meta_dirent dirent;
	int ret;

	ret = get_inode(read, read->ask->ino, &dir);
	if (ret)
		return ret;
	if (!meta_inode_is_dir(&dir))
		return WEFT_ST_NOTDIR;
	ret = meta_dirent_find(&read->state->txn, &read->tree, read->volume.head.name_key,
			       read->ask->ino, read->ask->name, read->ask->name_len, &dirent);
	if (ret)
		return ret == -ENOENT ? WEFT_ST_NOENT : ret;
	ret = meta_inode_get(&read->state->txn, &read->tree, dirent.ino, &inode);
	if (ret)
		return ret == -ENOENT ? -EBADMSG : ret;
	put_attr(read, &inode);
	ret = put_inline(read, &inode);
	if (ret || !meta_inode_is_file(&inode) || le32_to_cpu(inode.attr.flags) & WEFT_AF_INLINE ||
	    !inode.attr.bytes)
		return ret;
	return put_extents(read, &inode, 0, LOOKUP_BYTES);
}

static int read_getattr(struct read *read)
{
	struct weft_m_inode inode;
	int ret;

	ret = get_inode(read, read->ask->ino, &inode);
	if (ret)
		return ret;
	put_attr(read, &inode);
	return put_inline(read, &inode);
}

static int read_readlink(struct read *read)
{
	struct weft_m_inode inode;
	int ret;

	ret = get_inode(read, read->ask->ino, &inode);
	if (ret)
		return ret;
	return S_ISLNK(le32_to_cpu(inode.attr.mode)) ? put_inline(read, &inode) : WEFT_ST_INVAL;
}

static int read_extents(struct read *read)
{
	u64 start = read->ask->offset, end = start + read->ask->length;
	struct weft_m_inode inode;
	int ret;

	if (end < start || end > META_SIZE_MAX)
		end = META_SIZE_MAX;
	if (start > end)
		start = end;
	ret = get_inode(read, read->ask->ino, &inode);
	if (ret)
		return ret;
	if (!meta_inode_is_file(&inode))
		return WEFT_ST_INVAL;
	ret = put_inline(read, &inode);
	if (ret)
		return ret;
	return put_extents(read, &inode, start, end);
}

/* One entry of a directory: 0, -EMSGSIZE when it does not fit any more. */
static int put_dirent(struct read *read, const struct meta_walk *walk, u64 position, size_t limit)
{
	struct weft_m_dirent head;
	struct weft_m_inode inode;
	struct weft_dirent dirent = { .cookie = cpu_to_le64(position) };
	size_t name_len;
	u8 *at;
	int err;

	err = meta_walk_head(walk, &head, sizeof(head));
	if (err)
		return err;
	name_len = walk->value_len - sizeof(head);
	if (tlv_size(sizeof(dirent) + name_len) > room(read->outcome) ||
	    (read->outcome->answer.len &&
	     read->outcome->answer.len + tlv_size(sizeof(dirent) + name_len) > limit))
		return -EMSGSIZE;
	err = meta_inode_get(&read->state->txn, &read->tree, le64_to_cpu(head.ino), &inode);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	dirent.attr = inode.attr;
	dirent.name_len = cpu_to_le16((u16)name_len);
	at = tlv_reserve(&read->outcome->answer, WEFT_P_DIRENT, sizeof(dirent) + name_len);
	if (!at)
		return tlv_finish(&read->outcome->answer);
	memcpy(at, &dirent, sizeof(dirent));
	memcpy(at + sizeof(dirent), walk->value + sizeof(head), name_len);
	return 0;
}

static int read_readdir(struct read *read)
{
	struct meta_key key = meta_key_dirent(&read->tree, read->ask->ino, read->ask->offset);
	size_t limit = read->ask->length < WEFT_PAYLOAD_MAX ? read->ask->length : WEFT_PAYLOAD_MAX;
	struct weft_m_inode dir;
	struct meta_walk walk;
	int err;

	err = get_inode(read, read->ask->ino, &dir);
	if (err)
		return err;
	if (!meta_inode_is_dir(&dir))
		return WEFT_ST_NOTDIR;
	err = meta_walk_begin(&walk, &read->state->txn, WEFT_MT_DIRENT);
	if (err)
		return err;
	for (err = meta_walk_seek(&walk, &key); !err; err = meta_walk_next(&walk)) {
		if (!meta_walk_within(&walk, &key, key.len - sizeof(u64))) {
			err = -ENOENT;
			break;
		}
		err = put_dirent(read, &walk, meta_key_get_u64(&walk.key, key.len - sizeof(u64)),
				 limit);
		if (err)
			break;
	}
	meta_walk_end(&walk);
	if (err == -EMSGSIZE)
		return WEFT_ST_OK;
	if (err != -ENOENT)
		return err;
	tlv_put_u32(&read->outcome->answer, WEFT_P_FLAGS, WEFT_PF_EOF);
	return WEFT_ST_OK;
}

int meta_read(struct meta_state *state, u64 session, const struct meta_ask *ask,
	      struct meta_outcome *outcome)
{
	struct read read = {
		.state = state, .session = session, .ask = ask, .outcome = outcome
	};
	struct meta_session record;
	int ret;

	ret = meta_state_read(state);
	if (ret)
		return ret;
	ret = meta_session_get(&state->txn, session, &record);
	if (ret == -ENOENT || (!ret && le32_to_cpu(record.head.flags) & WEFT_MSF_CLOSING)) {
		outcome->status = WEFT_ST_SESSION_LOST;
		return 0;
	}
	if (ret)
		return ret;
	read.tree = (struct meta_tree){ state->mgrp, le64_to_cpu(record.head.volume) };
	ret = meta_volume_get(&state->txn, read.tree.volume, &read.volume);
	if (ret)
		return ret == -ENOENT ? -EBADMSG : ret;
	switch (ask->op) {
	case WEFT_REQ_LOOKUP:
		ret = read_lookup(&read);
		break;
	case WEFT_REQ_GETATTR:
		ret = read_getattr(&read);
		break;
	case WEFT_REQ_READDIR:
		ret = read_readdir(&read);
		break;
	case WEFT_REQ_READLINK:
		ret = read_readlink(&read);
		break;
	case WEFT_REQ_EXTENTS:
		ret = read_extents(&read);
		break;
	default:
		ret = WEFT_ST_OPNOTSUPP;
	}
	if (ret < 0)
		return ret;
	outcome->status = (u32)ret;
	return tlv_finish(&outcome->answer);
}
