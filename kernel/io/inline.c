// SPDX-License-Identifier: GPL-2.0-only
/*
 * inline.c - files that live in the metadata
 *
 * A file of at most weft_inline_limit() bytes, which is at most a page, is committed with its content and has no chunks.
 * When it grows, all of its content has to go into chunks with or before whatever makes it longer: it is made dirty here,
 * and commit.c sends no extents of such a file without the one that begins at 0.
 */
#include "io/internal.h"

int weft_inline_unpack(struct weft_inode *inode, loff_t size)
{
	struct address_space *mapping = inode->vfs.i_mapping;
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_folio *state;
	struct folio *folio;
	bool needed;
	int error;

	spin_lock(&inode->io.extent_lock);
	needed = inode->io.is_inline && !inode->io.no_inline && size > weft_inline_limit(mount);
	spin_unlock(&inode->io.extent_lock);
	if (!needed)
		return 0;
	if (i_size_read(&inode->vfs)) {
		error = weft_budget_take(mount, WEFT_BLOCK_SIZE);
		if (error)
			return error;
		folio = read_mapping_folio(mapping, 0, NULL);
		if (IS_ERR(folio)) {
			weft_budget_give(mount, WEFT_BLOCK_SIZE);
			return PTR_ERR(folio);
		}
		folio_lock(folio);
		/* i_rwsem keeps truncation away; reclaim may have taken a clean folio, but then nobody else changed it. */
		state = folio->mapping == mapping && folio_test_uptodate(folio) ? weft_folio_make(folio) : NULL;
		error = state ? 0 : -EAGAIN;
		if (!state || !weft_folio_set(state, 1))
			weft_budget_give(mount, WEFT_BLOCK_SIZE);
		if (state)
			filemap_dirty_folio(mapping, folio);
		folio_unlock(folio);
		folio_put(folio);
		if (error)
			return fatal_signal_pending(current) ? -EINTR : weft_inline_unpack(inode, size);
	}
	spin_lock(&inode->io.extent_lock);
	inode->io.no_inline = true;
	spin_unlock(&inode->io.extent_lock);
	return 0;
}
