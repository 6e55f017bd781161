// SPDX-License-Identifier: GPL-2.0-only
/*
 * clone.c - the page cache and the extents of two files, or of one, around a CLONE between them
 *
 * From lock to unlock no page of either is read in or made dirty; all that was dirty before was committed. From begin to end
 * nothing of either is cut, and no COMMIT of them is under way: the metadata service clones what the files are, and what is
 * written later comes behind it. Order of done: page cache, extents, i_size. Readers of what is cached see the old content
 * until then, and the new one from then on.
 *
 * i_rwsem of both is held by the caller, or one of them is NULL and in_doubt stands for it (vfs/clone.c).
 */
#include <linux/mm.h>

#include "io/internal.h"

/* In the order in which locks of two files are taken, as the VFS's own functions do it. */
static void order_files(struct weft_inode **first, struct weft_inode **second)
{
	if (*first == *second || !*first) {
		*first = *second;
		*second = NULL;
	} else if (*second && (*first)->vfs.i_mapping > (*second)->vfs.i_mapping) {
		swap(*first, *second);
	}
}

/* --- before it ----------------------------------------------------------------------------------------------------------- */

/*
 * A clone of all of a small file that leaves nothing else behind can be inline at both ends. For any other, inline content
 * has to be in chunks: of the source always, of the destination unless all of it is replaced.
 */
static int clone_unpack(struct weft_inode *source, struct weft_inode *inode, loff_t from, loff_t to, loff_t len)
{
	loff_t limit = weft_inline_limit(weft_inode_mount(inode)), size = i_size_read(&inode->vfs);
	bool covers = !to && len >= size;
	int error = 0;

	if (!covers)
		error = weft_inline_unpack(inode, max(size, to + len));
	if (!error && (!covers || from || len > limit || len < i_size_read(&source->vfs)))
		error = weft_inline_unpack(source, limit + 1);
	return error;
}

int weft_io_clone_prepare(struct inode *vfs_source, struct inode *vfs_inode, loff_t from, loff_t to, loff_t len)
{
	loff_t size = i_size_read(vfs_source);
	int error;

	/* What asks for nothing, or cannot be, is told so by the VFS's checks. */
	if (from >= size || to > MAX_LFS_FILESIZE - size || !IS_ALIGNED(from | to, WEFT_BLOCK_SIZE))
		return 0;
	if (!len || len > size - from)
		len = size - from;
	error = clone_unpack(weft_inode(vfs_source), weft_inode(vfs_inode), from, to, len);
	if (!error)
		error = weft_io_flush(vfs_source);
	return error ?: weft_io_flush(vfs_inode);
}

int weft_io_clone_lock(struct inode *source, struct inode *inode)
{
	struct weft_inode *first = source ? weft_inode(source) : NULL, *second = weft_inode(inode);
	int error = -EINTR;

	order_files(&first, &second);
	if (down_write_killable(&first->vfs.i_mapping->invalidate_lock))
		return error;
	if (second && down_write_killable_nested(&second->vfs.i_mapping->invalidate_lock, SINGLE_DEPTH_NESTING))
		goto err_first;
	/* Stores through mappings came in between; from here on there are none. */
	error = source ? weft_io_flush(source) : 0;
	if (!error && source && source != inode)
		error = weft_io_flush(inode);
	if (!error)
		return 0;
	if (second)
		up_write(&second->vfs.i_mapping->invalidate_lock);
err_first:
	up_write(&first->vfs.i_mapping->invalidate_lock);
	return error;
}

void weft_io_clone_unlock(struct inode *source, struct inode *inode)
{
	filemap_invalidate_unlock(inode->i_mapping);
	if (source && source != inode)
		filemap_invalidate_unlock(source->i_mapping);
}

int weft_io_clone_begin(struct inode *source, struct inode *inode)
{
	struct weft_inode *first = source ? weft_inode(source) : NULL, *second = weft_inode(inode);
	int error = -EINTR;

	order_files(&first, &second);
	if (mutex_lock_killable(&first->io.cut_lock))
		return error;
	if (second && mutex_lock_killable_nested(&second->io.cut_lock, SINGLE_DEPTH_NESTING))
		goto err_first;
	error = weft_commit_hold(first);
	if (error)
		goto err_second;
	error = second ? weft_commit_hold(second) : 0;
	if (!error)
		return 0;
	weft_commit_unhold(first);
err_second:
	if (second)
		weft_cut_unlock(second);
err_first:
	weft_cut_unlock(first);
	return error;
}

static void end_one(struct weft_inode *inode)
{
	inode->io.tail_since = 0;
	weft_commit_unhold(inode);
	weft_cut_unlock(inode);
	weft_commit_kick(inode);
}

void weft_io_clone_end(struct inode *source, struct inode *inode)
{
	end_one(weft_inode(inode));
	if (source && source != inode)
		end_one(weft_inode(source));
}

/* --- behind it ------------------------------------------------------------------------------------------------------------ */

int weft_io_clone_done(struct inode *vfs_inode, loff_t pos, loff_t len, bool is_inline)
{
	struct weft_inode *inode = weft_inode(vfs_inode);
	struct weft_io_inode *io = &inode->io;
	loff_t size = i_size_read(vfs_inode), end = pos + len;
	int error;

	/* What a mapping left behind the end of file becomes part of it. */
	if (end > size)
		weft_zero_tail(vfs_inode, size, end);
	/*
	 * Whole folios, also those that reach out of the range: nothing in them is dirty. None is zeroed: who has found one
	 * reads the old content. Only what writes through a pin has not asked anybody, and may be in the way.
	 */
	error = invalidate_inode_pages2_range(vfs_inode->i_mapping, pos >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
	spin_lock(&io->extent_lock);
	io->sequence++;
	weft_extent_forget(inode, pos, end);
	weft_extent_set_inline(inode, NULL, 0);
	io->is_inline = is_inline;
	if (is_inline)
		io->no_inline = false;
	io->mapped_end = max_t(u64, io->mapped_end, end);
	io->committed_size = max_t(u64, io->committed_size, end);
	spin_unlock(&io->extent_lock);
	if (end > size)
		i_size_write(vfs_inode, end);
	return error;
}
