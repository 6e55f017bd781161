// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * orphan.c - inodes that no name leads to
 *
 *	last name gone --> ORPHAN (the session may have it open)
 *	ORPHAN --FORGET or the session's end--> JOB --steps--> gone
 *
 * An inode with nlink 0 stands in exactly one of the two tables. A step takes extents from the
 * tail, so that what is left between two steps is a shorter file and never one with holes.
 */
#include <errno.h>

#include "meta/meta.h"

int meta_orphan_add(struct meta_state *state, const struct meta_tree *tree, u64 session, u64 ino)
{
	struct weft_m_mark mark = { .time_ns = cpu_to_le64(state->time_ns) };
	struct meta_key key = meta_key_orphan(tree, session, ino);

	le64_add(&state->counters.orphans, 1);
	return meta_put(&state->txn, WEFT_MT_ORPHAN, &key, &mark, sizeof(mark), NULL, 0);
}

static int reap_step(struct meta_state *state, const struct meta_tree *tree, u64 ino, bool *done)
{
	struct weft_m_inode inode;
	u64 reached = 0, bytes;
	int err;

	*done = false;
	err = meta_inode_get(&state->txn, tree, ino, &inode);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	bytes = le64_to_cpu(inode.attr.bytes);
	if (meta_inode_is_file(&inode)) {
		err = meta_extent_truncate(state, tree, &inode, 0, &reached);
		if (err)
			return err;
	}
	err = meta_volume_account(state, tree->volume, reached ? 0 : -1,
				  (s64)(le64_to_cpu(inode.attr.bytes) - bytes));
	if (err)
		return err;
	if (reached) {
		if (reached < le64_to_cpu(inode.attr.size))
			inode.attr.size = cpu_to_le64(reached);
		return meta_inode_put(&state->txn, tree, &inode);
	}
	*done = true;
	le64_sub(&state->counters.orphans, 1);
	return meta_inode_del(&state->txn, tree, ino);
}

int meta_orphan_release(struct meta_state *state, const struct meta_tree *tree, u64 session,
			u64 ino)
{
	struct meta_key key = meta_key_orphan(tree, session, ino),
			job = meta_key_job(tree, WEFT_MJ_REAP, ino);
	struct weft_m_mark mark = { .time_ns = cpu_to_le64(state->time_ns) };
	bool done;
	int err;

	err = meta_del(&state->txn, WEFT_MT_ORPHAN, &key);
	if (err)
		return err;
	err = reap_step(state, tree, ino, &done);
	if (err || done)
		return err;
	return meta_put(&state->txn, WEFT_MT_JOB, &job, &mark, sizeof(mark), NULL, 0);
}

int meta_orphan_reap(struct meta_state *state, const struct meta_tree *tree, u64 ino, bool *done)
{
	struct meta_key job = meta_key_job(tree, WEFT_MJ_REAP, ino);
	int err;

	err = meta_get(&state->txn, WEFT_MT_JOB, &job, NULL, 0, &(struct weft_m_mark){ 0 },
		       sizeof(struct weft_m_mark), NULL);
	if (err)
		return err;
	err = reap_step(state, tree, ino, done);
	if (err || !*done)
		return err;
	return meta_del(&state->txn, WEFT_MT_JOB, &job);
}
