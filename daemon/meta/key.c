// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * key.c - keys of the metadata tables: numbers in big-endian order one after the other, as
 * uapi/weft_meta.h lists them.
 */
#include "meta/db.h"

static void add_u8(struct meta_key *key, u8 value)
{
	key->bytes[key->len++] = value;
}

static void add_u32(struct meta_key *key, u32 value)
{
	u32 big = htobe32(value);

	memcpy(key->bytes + key->len, &big, sizeof(big));
	key->len += sizeof(big);
}

static void add_u64(struct meta_key *key, u64 value)
{
	u64 big = htobe64(value);

	memcpy(key->bytes + key->len, &big, sizeof(big));
	key->len += sizeof(big);
}

static void add_tree(struct meta_key *key, const struct meta_tree *tree)
{
	add_u8(key, tree->mgrp);
	add_u64(key, tree->volume);
}

struct meta_key meta_key_state(u8 mgrp, enum weft_m_state what)
{
	struct meta_key key = { 0 };

	add_u8(&key, mgrp);
	add_u8(&key, (u8)what);
	return key;
}

struct meta_key meta_key_inode(const struct meta_tree *tree, u64 ino)
{
	struct meta_key key = { 0 };

	add_tree(&key, tree);
	add_u64(&key, ino);
	return key;
}

struct meta_key meta_key_dirent(const struct meta_tree *tree, u64 dir, u64 position)
{
	struct meta_key key = { 0 };

	add_tree(&key, tree);
	add_u64(&key, dir);
	add_u64(&key, position);
	return key;
}

struct meta_key meta_key_extent(const struct meta_tree *tree, u64 ino, u64 offset)
{
	return meta_key_dirent(tree, ino, offset);
}

struct meta_key meta_key_chunk(u64 group, u64 number)
{
	struct meta_key key = { 0 };

	add_u64(&key, group);
	add_u64(&key, number);
	return key;
}

struct meta_key meta_key_u64(u64 id)
{
	struct meta_key key = { 0 };

	add_u64(&key, id);
	return key;
}

struct meta_key meta_key_u32(u32 id)
{
	struct meta_key key = { 0 };

	add_u32(&key, id);
	return key;
}

struct meta_key meta_key_orphan(const struct meta_tree *tree, u64 session, u64 ino)
{
	return meta_key_dirent(tree, session, ino);
}

struct meta_key meta_key_job(const struct meta_tree *tree, enum weft_m_job kind, u64 object)
{
	struct meta_key key = { 0 };

	add_tree(&key, tree);
	add_u8(&key, (u8)kind);
	add_u64(&key, object);
	return key;
}

struct meta_key meta_key_client(u8 mgrp, const u8 client[16])
{
	struct meta_key key = { 0 };

	add_u8(&key, mgrp);
	memcpy(key.bytes + key.len, client, 16);
	key.len += 16;
	return key;
}

struct meta_key meta_key_slot(u64 session, u32 slot)
{
	struct meta_key key = { 0 };

	add_u64(&key, session);
	add_u32(&key, slot);
	return key;
}

struct meta_key meta_key_bytes(const void *bytes, size_t len)
{
	struct meta_key key = { .len = (u16)(len < META_KEY_MAX ? len : META_KEY_MAX) };

	memcpy(key.bytes, bytes, key.len);
	return key;
}

struct meta_key meta_key_condemned(u8 mgrp, u64 time_ns, u64 group, u64 number)
{
	struct meta_key key = { 0 };

	add_u8(&key, mgrp);
	add_u64(&key, time_ns);
	add_u64(&key, group);
	add_u64(&key, number);
	return key;
}

struct meta_key meta_key_content(u64 domain, const u8 content_id[32])
{
	struct meta_key key = { 0 };

	add_u64(&key, domain);
	memcpy(key.bytes + key.len, content_id, 16);
	key.len += 16;
	return key;
}

u64 meta_key_get_u64(const struct meta_key *key, size_t offset)
{
	u64 big = 0;

	if (offset + sizeof(big) <= key->len)
		memcpy(&big, key->bytes + offset, sizeof(big));
	return be64toh(big);
}

u32 meta_key_get_u32(const struct meta_key *key, size_t offset)
{
	u32 big = 0;

	if (offset + sizeof(big) <= key->len)
		memcpy(&big, key->bytes + offset, sizeof(big));
	return be32toh(big);
}
