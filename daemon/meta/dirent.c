// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dirent.c - names in directories
 *
 *	position (63 bits):	| 55 bits: keyed hash of the name | 8 bits: number among equals |
 *
 * An entry keeps its position as long as it lives: a reader of the directory goes on where it
 * stopped whatever comes and goes. The key of the hash belongs to the volume, so that nobody who
 * does not know it can make names meet.
 */
#include <errno.h>
#include <sys/stat.h>

#include "meta/meta.h"
#include "meta/siphash.h"

#define SEQUENCES 256u

u64 meta_dirent_position(const u8 name_key[16], const void *name, size_t len)
{
	u64 hash = siphash(name_key, name, len) >> 9;

	/* The first positions mean "." and ".." to whoever reads a directory. */
	return (hash ? hash : 1) << 8;
}

static bool name_matches(const struct meta_walk *walk, const void *name, size_t len)
{
	return walk->value_len == sizeof(struct weft_m_dirent) + len &&
	       !memcmp(walk->value + sizeof(struct weft_m_dirent), name, len);
}

int meta_dirent_find(struct meta_txn *txn, const struct meta_tree *tree, const u8 name_key[16],
		     u64 dir, const void *name, size_t len, struct meta_dirent *dirent)
{
	u64 first = meta_dirent_position(name_key, name, len);
	struct meta_key key = meta_key_dirent(tree, dir, first);
	struct weft_m_dirent head;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, txn, WEFT_MT_DIRENT);
	if (err)
		return err;
	for (err = meta_walk_seek(&walk, &key); !err; err = meta_walk_next(&walk)) {
		/* All but the last byte: one hash. */
		if (!meta_walk_within(&walk, &key, key.len - 1u)) {
			err = -ENOENT;
			break;
		}
		if (!name_matches(&walk, name, len))
			continue;
		err = meta_walk_head(&walk, &head, sizeof(head));
		dirent->position = meta_key_get_u64(&walk.key, key.len - sizeof(u64));
		dirent->ino = le64_to_cpu(head.ino);
		dirent->type = le32_to_cpu(head.type);
		break;
	}
	meta_walk_end(&walk);
	return err;
}

/* The lowest free number among the entries with this hash, or -EXFULL. */
static int free_position(struct meta_txn *txn, const struct meta_tree *tree, u64 dir, u64 first,
			 u64 *position)
{
	struct meta_key key = meta_key_dirent(tree, dir, first);
	struct meta_walk walk;
	u64 at = first;
	int err;

	err = meta_walk_begin(&walk, txn, WEFT_MT_DIRENT);
	if (err)
		return err;
	for (err = meta_walk_seek(&walk, &key); !err; err = meta_walk_next(&walk)) {
		if (!meta_walk_within(&walk, &key, key.len - 1u) ||
		    meta_key_get_u64(&walk.key, key.len - sizeof(u64)) != at)
			break;
		at++;
	}
	meta_walk_end(&walk);
	if (err && err != -ENOENT)
		return err;
	if (at - first >= SEQUENCES)
		return -EXFULL;
	*position = at;
	return 0;
}

int meta_dirent_set(struct meta_txn *txn, const struct meta_tree *tree, u64 dir, u64 position,
		    const void *name, size_t len, u64 ino, u32 type)
{
	struct meta_key key = meta_key_dirent(tree, dir, position);
	struct weft_m_dirent head = {
		.ino = cpu_to_le64(ino),
		.type = cpu_to_le32(type & S_IFMT),
		.name_len = cpu_to_le16((u16)len),
	};

	return meta_put(txn, WEFT_MT_DIRENT, &key, &head, sizeof(head), name, len);
}

int meta_dirent_add(struct meta_txn *txn, const struct meta_tree *tree, const u8 name_key[16],
		    u64 dir, const void *name, size_t len, u64 ino, u32 type)
{
	u64 position;
	int err;

	err = free_position(txn, tree, dir, meta_dirent_position(name_key, name, len), &position);
	if (err)
		return err;
	return meta_dirent_set(txn, tree, dir, position, name, len, ino, type);
}

int meta_dirent_del(struct meta_txn *txn, const struct meta_tree *tree, u64 dir, u64 position)
{
	struct meta_key key = meta_key_dirent(tree, dir, position);

	return meta_del(txn, WEFT_MT_DIRENT, &key);
}
