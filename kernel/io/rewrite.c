// SPDX-License-Identifier: GPL-2.0-only
/*
 * rewrite.c - content made dirty so that it is written anew, for what has changed since: the key of new chunks
 *
 * What was sealed by another key than the newest is read, if it is not cached, and made dirty as it is; writeback does the
 * rest. Neither bytes nor times change, so nobody notices, and one that stops in the middle has done what it has done. The
 * caller holds i_rwsem, against changes of the size; stores through mappings may go on.
 */
#include "io/internal.h"

/* Blocks of one folio at pos, up to end. Returns how far it came, or -errno. -EAGAIN: reclaim was faster. */
static s64 rewrite_folio(struct weft_inode *inode, u64 pos, u64 end)
{
	struct address_space *mapping = inode->vfs.i_mapping;
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_folio *state;
	struct folio *folio = read_mapping_folio(mapping, pos >> PAGE_SHIFT, NULL);
	s64 error = -EAGAIN;
	size_t offset, len;
	u64 bytes;

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	offset = offset_in_folio(folio, pos);
	len = min_t(u64, end - pos, folio_size(folio) - offset);
	bytes = (u64)hweight32(weft_folio_mask(offset, len)) << WEFT_BLOCK_SHIFT;
	error = weft_budget_take(mount, bytes);
	if (error)
		goto out_put_folio;
	folio_lock(folio);
	state = folio->mapping == mapping && folio_test_uptodate(folio) ? weft_folio_make(folio) : NULL;
	if (state) {
		bytes -= (u64)weft_folio_set(state, weft_folio_mask(offset, len)) << WEFT_BLOCK_SHIFT;
		filemap_dirty_folio(mapping, folio);
	}
	folio_unlock(folio);
	weft_budget_give(mount, bytes);
	error = state ? 0 : -EAGAIN;
out_put_folio:
	folio_put(folio);
	return error ?: (s64)(pos + len);
}

/* Blocks of [pos, end), which is part of an old chunk. */
static int rewrite_span(struct weft_inode *inode, u64 pos, u64 end)
{
	while (pos < end) {
		s64 next = rewrite_folio(inode, pos, end);

		if (next < 0 && next != -EAGAIN)
			return next;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (next > 0)
			pos = next;
		cond_resched();
	}
	return 0;
}

int weft_io_rewrite(struct inode *vfs, u64 pos, u64 end, u32 newest, u64 *done)
{
	struct weft_inode *inode = weft_inode(vfs);
	struct weft_span span;
	int error = 0;

	*done = 0;
	end = min_t(u64, end, i_size_read(vfs));
	for (; pos < end && !error; pos = span.end) {
		bool old;

		weft_extent_lookup(inode, pos, end, &span);
		if (span.kind == WEFT_SPAN_MISS) {
			error = weft_map_fetch(inode, pos, end);
			span.end = pos;
			continue;
		}
		if (span.kind != WEFT_SPAN_CHUNK)
			continue;
		old = span.chunk->key_id != newest;
		weft_chunk_put(span.chunk);
		if (!old)
			continue;
		error = rewrite_span(inode, span.pos, span.end);
		if (!error)
			*done += span.end - span.pos;
	}
	return error;
}
