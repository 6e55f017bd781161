// SPDX-License-Identifier: GPL-2.0-only
/*
 * inline.c - files that live in the metadata
 *
 * A file of at most weft_inline_limit() bytes, which is at most a page, is committed with its content and has no chunks.
 * When it grows, all of its content has to go into chunks with or before whatever makes it longer: it is made dirty here,
 * and commit.c sends no extents of such a file without the one that begins at 0.
 */
#include "io/internal.h"

/* Makes the first block dirty, so that it goes into a chunk. -EAGAIN: reclaim was faster, try again. */
static int unpack_first(struct weft_inode *inode)
{
	struct address_space *mapping = inode->vfs.i_mapping;
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_folio *state;
	struct folio *folio;
	int error;

	error = weft_budget_take(mount, WEFT_BLOCK_SIZE);
	if (error)
		return error;
	folio = read_mapping_folio(mapping, 0, NULL);
	if (IS_ERR(folio)) {
		weft_budget_give(mount, WEFT_BLOCK_SIZE);
		return PTR_ERR(folio);
	}
	folio_lock(folio);
	/* Whoever calls keeps truncation away; reclaim may have taken a clean folio, but then nobody else changed it. */
	state = folio->mapping == mapping && folio_test_uptodate(folio) ? weft_folio_make(folio) : NULL;
	error = state ? 0 : -EAGAIN;
	if (!state || !weft_folio_set(state, 1))
		weft_budget_give(mount, WEFT_BLOCK_SIZE);
	if (state)
		filemap_dirty_folio(mapping, folio);
	folio_unlock(folio);
	folio_put(folio);
	return error;
}

/*
 * From no_inline on no inline unit is cut, so what is dirty behind it goes into chunks. It is set first: set last, a cutter
 * could make the first block clean again in between, and nobody would ever send the extent that begins at 0. An inline
 * unit that is under way may still make the file an inline one.
 */
static bool unpack_begin(struct weft_inode *inode, loff_t size)
{
	struct weft_io_inode *io = &inode->io;
	bool needed = false;

	spin_lock(&io->extent_lock);
	if (!io->no_inline && size > weft_inline_limit(weft_inode_mount(inode))) {
		needed = io->is_inline || !list_empty(&io->units) || io->commit || io->cut_pos != U64_MAX;
		io->no_inline = true;
	}
	spin_unlock(&io->extent_lock);
	return needed;
}

int weft_inline_unpack(struct weft_inode *inode, loff_t size)
{
	int error = 0;

	/* A file that is longer than that already has no inline content, nor will it have any. */
	if (i_size_read(&inode->vfs) > weft_inline_limit(weft_inode_mount(inode)) && !READ_ONCE(inode->io.is_inline))
		return 0;
	if (!unpack_begin(inode, size) || !i_size_read(&inode->vfs))
		return 0;
	do {
		error = unpack_first(inode);
	} while (error == -EAGAIN && !fatal_signal_pending(current));
	if (!error)
		return 0;
	spin_lock(&inode->io.extent_lock);
	inode->io.no_inline = false;
	spin_unlock(&inode->io.extent_lock);
	return error == -EAGAIN ? -EINTR : error;
}
