// SPDX-License-Identifier: GPL-2.0-only
/*
 * resize.c - truncation and growth, around the SETATTR that asks the metadata service for it
 *
 * i_rwsem, invalidate_lock and cut_lock are held from begin to end, so no page is read in, dirtied or cut meanwhile, and no
 * COMMIT of the file is under way: operations on its extents and its size do not overlap. Order of the end: i_size, page
 * cache, extents.
 *
 * The metadata service must not grow a file over bytes that are dirty only here: they are committed first.
 */
#include <linux/mm.h>

#include "io/internal.h"

static bool inode_quiet(struct weft_io_inode *io)
{
	bool quiet;

	spin_lock(&io->extent_lock);
	quiet = list_empty(&io->units) && !io->commit;
	if (quiet) {
		io->commit_hold = true;
		wake_up_all(&io->unit_wait);
	}
	spin_unlock(&io->extent_lock);
	return quiet;
}

int weft_commit_hold(struct weft_inode *inode)
{
	struct weft_mount *mount = weft_inode_mount(inode);

	if (wait_event_killable(inode->io.unit_wait, inode_quiet(&inode->io) || weft_mount_dead(mount)))
		return -EINTR;
	if (!weft_mount_dead(mount))
		return 0;
	weft_commit_unhold(inode);
	return -EIO;
}

void weft_commit_unhold(struct weft_inode *inode)
{
	spin_lock(&inode->io.extent_lock);
	inode->io.commit_hold = false;
	wake_up_all(&inode->io.unit_wait);
	spin_unlock(&inode->io.extent_lock);
}

/* Commits dirty data that is to stay behind what the metadata service calls the end, or that is inline and cannot stay so. */
static int flush_below(struct weft_inode *inode, loff_t size)
{
	bool grows_out, safe;

	/* The metadata service has changed the size already; whether the old content was there first is past. */
	if (READ_ONCE(inode->in_doubt))
		return 0;
	spin_lock(&inode->io.extent_lock);
	safe = size <= inode->io.committed_size || i_size_read(&inode->vfs) <= inode->io.committed_size;
	grows_out = inode->io.is_inline && size > weft_inline_limit(weft_inode_mount(inode));
	spin_unlock(&inode->io.extent_lock);
	return safe && !grows_out ? 0 : weft_io_flush(&inode->vfs);
}

int weft_io_resize_begin(struct inode *vfs_inode, loff_t size)
{
	struct weft_inode *inode = weft_inode(vfs_inode);
	struct address_space *mapping = vfs_inode->i_mapping;
	loff_t old = i_size_read(vfs_inode);
	int error;

	error = weft_inline_unpack(inode, size);
	if (!error)
		error = flush_below(inode, size);
	if (error)
		return error;
	if (down_write_killable(&mapping->invalidate_lock))
		return -EINTR;
	error = -EINTR;
	if (mutex_lock_killable(&inode->io.cut_lock))
		goto err_invalidate;
	error = weft_commit_hold(inode);
	if (error)
		goto err_cut;
	if (size > old)
		weft_zero_tail(vfs_inode, old, size);
	return 0;

err_cut:
	weft_cut_unlock(inode);
err_invalidate:
	up_write(&mapping->invalidate_lock);
	return error;
}

void weft_io_resize_end(struct inode *vfs_inode, loff_t size, int error)
{
	struct weft_inode *inode = weft_inode(vfs_inode);
	struct weft_io_inode *io = &inode->io;

	if (!error) {
		loff_t old = i_size_read(vfs_inode);

		truncate_setsize(vfs_inode, size);
		spin_lock(&io->extent_lock);
		io->sequence++;
		if (size < old)
			weft_extent_forget(inode, size, U64_MAX);
		if (io->is_inline && io->inline_len > size)
			io->inline_len = size;
		if (!size) {
			io->no_inline = false;
			io->is_inline = false;
			weft_extent_set_inline(inode, NULL, 0);
		}
		io->committed_size = size;
		io->flushed_size = min_t(u64, io->flushed_size, size);
		io->resizes++;
		/* Cut off in the metadata service too: nothing lies behind it, nor in what was added. */
		io->mapped_end = min_t(u64, io->mapped_end, size);
		spin_unlock(&io->extent_lock);
	}
	io->tail_since = 0;
	weft_commit_unhold(inode);
	weft_cut_unlock(inode);
	filemap_invalidate_unlock(vfs_inode->i_mapping);
	weft_commit_kick(inode);
}

void weft_io_settled(struct weft_inode *inode)
{
	/* Under the lock of whoever looks at in_doubt before it sleeps. */
	spin_lock(&inode->io.extent_lock);
	wake_up_all(&inode->io.unit_wait);
	spin_unlock(&inode->io.extent_lock);
	weft_commit_kick(inode);
}
