// SPDX-License-Identifier: GPL-2.0-only
/*
 * write.c - write(): filling folios of the page cache
 *
 * i_rwsem is held throughout. ->write_begin takes from the budget and waits for units that read the folio before it
 * returns with the folio locked; both waits are killable and are made without the folio lock. A folio that is not written
 * as a whole is brought up to date first, so dirty folios are always uptodate.
 *
 * i_size moves in ->write_end with the folio locked, after its blocks are marked dirty: who reads i_size and then looks for
 * dirty folios (commit.c) misses none. Whatever a mapping left behind the end of file is zeroed before i_size moves over it.
 */
#include <linux/backing-dev.h>
#include <linux/uio.h>

#include "io/internal.h"

void weft_zero_tail(struct inode *inode, loff_t from, loff_t to)
{
	struct folio *folio = filemap_lock_folio(inode->i_mapping, from >> PAGE_SHIFT);

	if (IS_ERR(folio))
		return;
	if (folio_test_uptodate(folio)) {
		size_t offset = offset_in_folio(folio, from);
		size_t len = min_t(loff_t, to - from, folio_size(folio) - offset);

		folio_zero_range(folio, offset, len);
	}
	folio_unlock(folio);
	folio_put(folio);
}

/* Only holes and what is written now: no bytes to read. */
static bool folio_is_hole(struct weft_inode *inode, struct folio *folio)
{
	u64 pos = folio_pos(folio), end = pos + folio_size(folio);
	struct weft_span span;

	end = min_t(u64, end, max_t(u64, i_size_read(&inode->vfs), pos));
	while (pos < end) {
		weft_extent_lookup(inode, pos, end, &span);
		if (span.kind == WEFT_SPAN_CHUNK)
			weft_chunk_put(span.chunk);
		if (span.kind != WEFT_SPAN_HOLE)
			return false;
		pos = span.end;
	}
	return true;
}

/*
 * The folio is locked. 0: it may be written, still locked. -EAGAIN: unlocked, look it up again; other errors likewise
 * unlocked.
 */
static int folio_prepare(struct weft_inode *inode, struct folio *folio, loff_t pos, size_t len)
{
	size_t offset = offset_in_folio(folio, pos);
	struct weft_folio *state = weft_folio_make(folio);
	int error;

	len = min(len, folio_size(folio) - offset);
	if (!state) {
		folio_unlock(folio);
		return -ENOMEM;
	}
	if (atomic_read(&state->direct))
		return weft_folio_wait_direct(inode, folio, state) ?: -EAGAIN;
	if (folio_test_uptodate(folio) || len == folio_size(folio))
		return 0;
	if (folio_is_hole(inode, folio)) {
		folio_zero_segments(folio, 0, offset, offset + len, folio_size(folio));
		return 0;
	}
	error = weft_read_fill(inode, folio);
	return error ?: -EAGAIN;
}

int weft_write_begin(weft_write_arg *arg, struct address_space *mapping, loff_t pos, unsigned int len,
		     struct folio **foliop, void **fsdata)
{
	struct weft_inode *inode = weft_inode(mapping->host);
	struct weft_mount *mount = weft_inode_mount(inode);
	u64 reserve = round_up(pos + len, WEFT_BLOCK_SIZE) - round_down(pos, WEFT_BLOCK_SIZE);
	struct folio *folio;
	int error;

	error = weft_budget_take(mount, reserve);
	if (error)
		return error;
	do {
		folio = __filemap_get_folio(mapping, pos >> PAGE_SHIFT, FGP_LOCK | FGP_WRITE | FGP_CREAT | fgf_set_order(len),
					    mapping_gfp_mask(mapping));
		if (IS_ERR(folio)) {
			error = PTR_ERR(folio);
			break;
		}
		error = folio_prepare(inode, folio, pos, len);
		if (error)
			folio_put(folio);
	} while (error == -EAGAIN);
	if (error) {
		weft_budget_give(mount, reserve);
		return error;
	}
	*foliop = folio;
	*fsdata = (void *)(unsigned long)reserve;
	return 0;
}

int weft_write_end(weft_write_arg *arg, struct address_space *mapping, loff_t pos, unsigned int len,
		   unsigned int copied, struct folio *folio, void *fsdata)
{
	struct inode *inode = mapping->host;
	struct weft_mount *mount = weft_mount(inode->i_sb);
	u64 reserve = (unsigned long)fsdata;
	size_t offset = offset_in_folio(folio, pos);
	unsigned int blocks;

	if (!folio_test_uptodate(folio)) {
		/* The edges are there but not all of what was to be written: no content yet. */
		if (copied < len)
			copied = 0;
		else
			folio_mark_uptodate(folio);
	}
	if (copied) {
		blocks = weft_folio_set(folio_get_private(folio), weft_folio_mask(offset, copied));
		filemap_dirty_folio(mapping, folio);
		if (pos + copied > i_size_read(inode))
			i_size_write(inode, pos + copied);
		reserve -= (u64)blocks << WEFT_BLOCK_SHIFT;
		weft_count(mount, WEFT_MC_WRITE_BYTES, copied);
	}
	weft_budget_give(mount, reserve);
	folio_unlock(folio);
	folio_put(folio);
	return copied;
}

/* Takes i_rwsem when it is known what size the file has. */
static int lock_settled(struct inode *inode)
{
	int error;

	for (;;) {
		error = weft_inode_settle(inode);
		if (error)
			return error;
		inode_lock(inode);
		if (!READ_ONCE(weft_inode(inode)->in_doubt))
			return 0;
		inode_unlock(inode);
	}
}

/* A write() has written [pos, end) of a file that had this size before; i_rwsem is held exclusively. */
static void write_note_place(struct weft_io_inode *io, loff_t pos, loff_t end, loff_t size)
{
	u8 scattered = io->scattered;

	if (!pos || pos == size || pos == io->write_end)
		scattered -= !!scattered;
	else
		scattered = min(scattered + WEFT_SCATTERED_STEP, WEFT_SCATTERED_MAX);
	WRITE_ONCE(io->scattered, scattered);
	io->write_end = end;
}

ssize_t weft_file_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t size;
	ssize_t ret;

	/* Without a way past the page cache, O_DIRECT means: through it, and on the stores when it returns. */
	if (iocb->ki_flags & IOCB_DIRECT)
		iocb->ki_flags = (iocb->ki_flags & ~IOCB_DIRECT) | IOCB_DSYNC;

	ret = lock_settled(inode);
	if (ret)
		return ret;
	ret = generic_write_checks(iocb, from);
	if (ret <= 0)
		goto out_unlock;
	ret = kiocb_modified(iocb);
	if (ret)
		goto out_unlock;
	set_bit(WEFT_IO_META_DIRTY, &weft_inode(inode)->io.flags);
	size = i_size_read(inode);
	ret = weft_inline_unpack(weft_inode(inode), max_t(loff_t, size, iocb->ki_pos + iov_iter_count(from)));
	if (ret)
		goto out_unlock;
	if (iocb->ki_pos > size)
		weft_zero_tail(inode, size, iocb->ki_pos);
	ret = generic_perform_write(iocb, from);
	if (ret > 0)
		write_note_place(&weft_inode(inode)->io, iocb->ki_pos - ret, iocb->ki_pos, size);
out_unlock:
	inode_unlock(inode);
	return ret > 0 ? generic_write_sync(iocb, ret) : ret;
}
