// SPDX-License-Identifier: GPL-2.0-only
/*
 * sync.c - fsync, sync and write_inode: until what was written is committed
 *
 * The waits are our own and killable. What was parked meanwhile is written again until it is committed, the task is killed,
 * the mount ends, or an error that is not transient was recorded.
 */
#include <linux/mm.h>
#include <linux/writeback.h>

#include "io/internal.h"

/* All units up to id are done with. */
static bool units_done(struct weft_io_inode *io, u64 id)
{
	const struct weft_unit *unit;
	bool done;

	spin_lock(&io->extent_lock);
	unit = list_first_entry_or_null(&io->units, struct weft_unit, link);
	done = !unit || unit->id > id;
	spin_unlock(&io->extent_lock);
	return done;
}

struct returns {
	u64 failed;
	u64 held;
};

/* How many units came back; the youngest one. */
static struct returns count_returns(struct weft_io_inode *io, u64 *id)
{
	struct returns returns;

	spin_lock(&io->extent_lock);
	returns.held = io->held;
	returns.failed = io->redirtied - io->held;
	*id = io->unit_id;
	spin_unlock(&io->extent_lock);
	return returns;
}

/*
 * Writes all that is dirty and waits for it. *again: some of it came back. A tail that is held once a cutter was waited for
 * here has only bytes that were written later: a file that grows all the time would be written for ever.
 */
static int flush_once(struct inode *inode, bool *again)
{
	struct weft_io_inode *io = &weft_inode(inode)->io;
	struct weft_mount *mount = weft_mount(inode->i_sb);
	struct returns before, locked, after;
	u64 id, youngest;
	int error;

	before = count_returns(io, &id);
	error = filemap_fdatawrite_range(inode->i_mapping, 0, LLONG_MAX);
	if (error == -EINTR)
		return error;
	/*
	 * No dirty tag does not mean that nobody has the bytes: a cutter takes the tag away before they are in a unit.
	 * When it has gone, they are in one, or dirty again.
	 */
	if (mutex_lock_killable(&io->cut_lock))
		return -EINTR;
	locked = count_returns(io, &id);
	weft_cut_unlock(weft_inode(inode));
	if (wait_event_killable(io->unit_wait, units_done(io, id) || weft_mount_dead(mount)))
		return -EINTR;
	if (weft_mount_dead(mount))
		return -EIO;
	after = count_returns(io, &youngest);
	*again = error || after.failed != before.failed || locked.held != before.held;
	return 0;
}

/* Parked: the worker tries again; so do we, when it has or after a while. Refused: after a while. */
static int flush_pause(struct inode *inode, bool refused)
{
	struct weft_io_inode *io = &weft_inode(inode)->io;
	struct weft_mount *mount = weft_mount(inode->i_sb);
	long left = wait_event_killable_timeout(io->unit_wait, weft_mount_dead(mount) ||
						(!refused && READ_ONCE(io->due) != WEFT_DUE_PARKED),
						refused ? WEFT_REFUSED_TIME : WEFT_PARK_TIME);

	return left < 0 ? -EINTR : 0;
}

int weft_io_flush(struct inode *inode)
{
	struct weft_io_inode *io = &weft_inode(inode)->io;
	errseq_t since = errseq_sample(&inode->i_mapping->wb_err);
	u64 resizes = READ_ONCE(io->resizes);
	bool again, refused;
	loff_t size;
	int error;

	/* Whoever changes the size counts last, so one that was read later belongs to the count or to a later one. */
	smp_rmb();
	size = i_size_read(inode);
	for (;;) {
		if (READ_ONCE(weft_inode(inode)->bad))
			return -EIO;
		error = flush_once(inode, &again);
		if (!error)
			error = errseq_check(&inode->i_mapping->wb_err, since);
		if (error)
			return error;
		refused = false;
		if (!again) {
			error = weft_commit_wait(weft_inode(inode), size, resizes);
			if (error != -EAGAIN && error != -ENOMEM)
				return error;
			refused = true;
		}
		error = flush_pause(inode, refused);
		if (error)
			return error;
	}
}

/*
 * Times that no data carries. Does not wait for the answer: the flusher cannot be killed. Whoever calls sync(2) waits in
 * weft_io_sync().
 */
int weft_io_write_inode(struct inode *inode, struct writeback_control *wbc)
{
	struct weft_io_inode *io = &weft_inode(inode)->io;
	struct weft_mount *mount = weft_mount(inode->i_sb);
	bool busy;

	/* It does not leave the cache before it is known what became of its size: vfs/attr.c. */
	if (READ_ONCE(weft_inode(inode)->in_doubt) && !weft_inode_lost(weft_inode(inode)))
		mark_inode_dirty_sync(inode);
	if (!S_ISREG(inode->i_mode) || !test_bit(WEFT_IO_META_DIRTY, &io->flags) || weft_inode_lost(weft_inode(inode)))
		return 0;
	/* The data was committed just now, or its COMMIT does not move. */
	if (wbc->sync_mode == WB_SYNC_ALL)
		wait_event_timeout(io->unit_wait, !READ_ONCE(io->commit) || weft_commit_stalled(weft_inode(inode)) ||
				   weft_mount_dead(mount), HZ);
	/* Dirty bytes first: that is the way they go. One that is missed does no harm: see commit_size.c. */
	busy = mapping_tagged(inode->i_mapping, PAGECACHE_TAG_DIRTY);
	spin_lock(&io->extent_lock);
	busy |= !list_empty(&io->units) || io->cut_pos != U64_MAX;
	spin_unlock(&io->extent_lock);
	/* The COMMIT of the data carries the times, if it is not under way already. */
	if (busy || weft_commit_times(weft_inode(inode)))
		mark_inode_dirty_sync(inode);
	return 0;
}

/* All COMMITs that were sent before that time have been answered. */
static bool commits_done(struct weft_mount *mount, unsigned long time)
{
	bool older;

	spin_lock(&mount->io.lock);
	older = weft_commit_oldest(mount, time);
	spin_unlock(&mount->io.lock);
	return !older;
}

/* The oldest parked inode, with a reference, and out of the list; NULL: none. */
static struct inode *parked_take(struct weft_mount *mount)
{
	struct weft_io_inode *io;
	struct inode *inode = NULL;

	spin_lock(&mount->io.lock);
	while (!inode && (io = list_first_entry_or_null(&mount->io.parked, struct weft_io_inode, due_link))) {
		list_del_init(&io->due_link);
		io->due = WEFT_DUE_NONE;
		inode = igrab(&container_of(io, struct weft_inode, io)->vfs);
	}
	spin_unlock(&mount->io.lock);
	return inode;
}

/* The VFS has written everything and waited for it. What came back is parked; times may still be on their way. */
int weft_io_sync(struct weft_mount *mount)
{
	unsigned long now = jiffies;
	struct inode *inode;
	int error = 0;

	while (!error && (inode = parked_take(mount))) {
		error = weft_io_flush(inode);
		if (error)
			weft_due_add(weft_inode(inode), WEFT_DUE_PARKED);
		iput(inode);
	}
	if (!error && wait_event_killable(mount->io.wait, commits_done(mount, now) || weft_mount_dead(mount)))
		error = -EINTR;
	if (!error && weft_mount_dead(mount))
		error = -EIO;
	return error;
}
