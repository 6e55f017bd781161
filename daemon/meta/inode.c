// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * inode.c - inodes and inline content
 *
 * An inode's record holds its attributes in the form in which they travel. The change attribute
 * grows with every change and never runs back. Content of small files and targets of symbolic links
 * stand in a table of their own, so that a stat does not drag them in.
 */
#include <errno.h>
#include <sys/stat.h>

#include "meta/meta.h"

int meta_inode_get(struct meta_txn *txn, const struct meta_tree *tree, u64 ino,
		   struct weft_m_inode *inode)
{
	struct meta_key key = meta_key_inode(tree, ino);

	return meta_get(txn, WEFT_MT_INODE, &key, inode, sizeof(*inode), NULL, 0, NULL);
}

int meta_inode_put(struct meta_txn *txn, const struct meta_tree *tree,
		   const struct weft_m_inode *inode)
{
	struct meta_key key = meta_key_inode(tree, le64_to_cpu(inode->attr.ino));

	return meta_put(txn, WEFT_MT_INODE, &key, inode, sizeof(*inode), NULL, 0);
}

static u64 next_ino(struct meta_state *state)
{
	u64 site = le32_to_cpu(state->cluster.site),
	    incarnation = le32_to_cpu(state->cluster.incarnation);

	le64_add(&state->counters.ino, 1);
	return site << (WEFT_ID_COUNTER_BITS + WEFT_ID_INCARN_BITS + WEFT_ID_MGRP_BITS) |
	       (u64)state->mgrp << (WEFT_ID_COUNTER_BITS + WEFT_ID_INCARN_BITS) |
	       incarnation << WEFT_ID_COUNTER_BITS | le64_to_cpu(state->counters.ino);
}

void meta_inode_init(struct meta_state *state, struct weft_m_inode *inode,
		     const struct weft_create *create)
{
	struct weft_attr *attr = &inode->attr;
	bool dir = S_ISDIR(le32_to_cpu(create->mode));

	memset(inode, 0, sizeof(*inode));
	attr->ino = cpu_to_le64(next_ino(state));
	attr->change = cpu_to_le64(1);
	attr->atime_sec = attr->mtime_sec = attr->ctime_sec = attr->btime_sec = create->time.sec;
	attr->atime_nsec = attr->mtime_nsec = attr->ctime_nsec = attr->btime_nsec =
		create->time.nsec;
	attr->mode = create->mode;
	attr->uid = create->uid;
	attr->gid = create->gid;
	attr->rdev_major = create->rdev_major;
	attr->rdev_minor = create->rdev_minor;
	attr->nlink = cpu_to_le32(dir ? 2 : 1);
}

void meta_inode_touch(struct weft_m_inode *inode, const struct weft_time *time)
{
	le64_add(&inode->attr.change, 1);
	inode->attr.ctime_sec = time->sec;
	inode->attr.ctime_nsec = time->nsec;
}

void meta_inode_touch_dir(struct weft_m_inode *inode, const struct weft_time *time)
{
	meta_inode_touch(inode, time);
	inode->attr.mtime_sec = time->sec;
	inode->attr.mtime_nsec = time->nsec;
}

bool meta_inode_is_dir(const struct weft_m_inode *inode)
{
	return S_ISDIR(le32_to_cpu(inode->attr.mode));
}

bool meta_inode_is_file(const struct weft_m_inode *inode)
{
	return S_ISREG(le32_to_cpu(inode->attr.mode));
}

int meta_inode_del(struct meta_txn *txn, const struct meta_tree *tree, u64 ino)
{
	struct meta_key key = meta_key_inode(tree, ino);
	int err;

	err = meta_inline_del(txn, tree, ino);
	if (err)
		return err;
	return meta_del(txn, WEFT_MT_INODE, &key);
}

int meta_inline_get(struct meta_txn *txn, const struct meta_tree *tree, u64 ino, void *data,
		    size_t max, size_t *len)
{
	struct meta_key key = meta_key_inode(tree, ino);

	return meta_get(txn, WEFT_MT_INLINE, &key, NULL, 0, data, max, len);
}

int meta_inline_put(struct meta_txn *txn, const struct meta_tree *tree, u64 ino, const void *data,
		    size_t len)
{
	struct meta_key key = meta_key_inode(tree, ino);

	return meta_put(txn, WEFT_MT_INLINE, &key, NULL, 0, data, len);
}

int meta_inline_del(struct meta_txn *txn, const struct meta_tree *tree, u64 ino)
{
	struct meta_key key = meta_key_inode(tree, ino);
	int err;

	err = meta_del(txn, WEFT_MT_INLINE, &key);
	return err == -ENOENT ? 0 : err;
}
