// SPDX-License-Identifier: GPL-2.0-only
/*
 * cut.c - writepages: from dirty blocks to units
 *
 * Folios are taken in ascending order, one locked at a time. The runs of dirty blocks of a folio go to the open data unit
 * as long as they join on and the chunker finds no cut; a unit that ends shorter than WEFT_COPY_MAX is copied and gathered
 * with others like it into one patch chunk. Content is never read to complete a chunk: what is dirty is what is written.
 * A file small enough to be inline becomes a unit without a chunk.
 *
 * What must stay true:
 *   - One cutter an inode (cut_lock). WB_SYNC_NONE does not wait for it, nor for folios that are under writeback.
 *   - Under the folio lock, in this order: read i_size, zero behind it, clear dirty, take the bitmap, start writeback. What
 *     the bitmap named is in a unit, or dirty again, before the cutter's own part of the folio's writeback ends.
 *   - The tail that may still grow is held only by WB_SYNC_NONE, for WEFT_TAIL_AGE at most, and not when the file was closed or
 *     the budget is short.
 *   - While a folio of an older unit is waited for, no unit is open: that one's COMMIT may wait for ours.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/writeback.h>

#include "chunk/chunker.h"
#include "io/internal.h"

/* Folios that somebody has pinned for DMA may change whatever we do: they are copied, so their pieces are short. */
#define CUT_PINNED_MAX (WEFT_COPY_MAX - WEFT_BLOCK_SIZE)

struct cut {
	struct weft_inode *inode;
	struct weft_mount *mount;
	struct address_space *mapping;
	struct writeback_control *wbc;
	struct weft_chunker chunker;  /* of data */
	struct weft_unit *data;       /* open, one run; or NULL */
	struct weft_unit *patch;      /* open, copied; or NULL */
	loff_t size;                  /* of the file when this began */
	pgoff_t behind;               /* a folio with this index goes on where one was passed over */
	bool passed_over;
	bool began;                   /* something was submitted, or is about to be */
	bool enough;                  /* as much was written as was asked for: the open unit has just begun, and goes back */
	bool sync;
	bool may_hold;
	bool dead;                    /* nothing is written any more: dirty folios are dropped */
	u64 dropped;                  /* bytes of them */
	int error;
};

static u64 unit_end(const struct weft_unit *unit)
{
	return unit->runs[0].pos + unit->runs[0].len;
}

/* Killed, or no slot comes free: more would only wait for the same again, one after the other. */
static bool cut_is_over(const struct cut *cut)
{
	return cut->error == -EINTR || cut->error == -EAGAIN;
}

static void cut_submit(struct cut *cut, struct weft_unit *unit)
{
	int error;

	cut->began = true;
	if (cut_is_over(cut)) {
		weft_unit_return(unit, cut->error);
		return;
	}
	error = weft_unit_submit(unit, cut->sync);
	if (error)
		cut->error = error;
}

static void cut_close_patch(struct cut *cut)
{
	struct weft_unit *unit = cut->patch;

	cut->patch = NULL;
	if (unit)
		cut_submit(cut, unit);
}

static void cut_close_data(struct cut *cut)
{
	struct weft_unit *unit = cut->data;

	cut->data = NULL;
	if (!unit)
		return;
	if (unit->len >= WEFT_COPY_MAX) {
		cut_submit(cut, unit);
		return;
	}
	if (cut->patch && weft_unit_merge(cut->patch, unit))
		return;
	cut_close_patch(cut);
	weft_unit_copy(unit);
	cut->patch = unit;
	cut->began = true;
}

static void cut_close(struct cut *cut)
{
	cut_close_data(cut);
	cut_close_patch(cut);
}

static void cut_open(struct cut *cut, u64 pos)
{
	const struct weft_chunker_hints hints = {
		.file_size = i_size_read(&cut->inode->vfs),
		.random = weft_io_scattered(cut->inode),
	};
	struct weft_policy policy;

	/* With a patch in hand the reserve is not waited for: another cutter may have the rest of it and wait for ours. */
	cut->data = weft_unit_alloc(cut->inode, pos, cut->patch);
	if (!cut->data) {
		cut_close_patch(cut);
		cut->data = weft_unit_alloc(cut->inode, pos, false);
	}
	weft_policy_of(cut->inode, &policy);
	cut->data->codec = policy.codec;
	cut->data->codec_policy = policy.codec_policy;
	cut->data->codec_level = policy.codec_level;
	/* The parameters were checked when they were set. */
	WARN_ON_ONCE(weft_chunker_begin(&cut->chunker, policy.chunker, &policy.chunks, &hints, pos));
}

/* Up to len bytes at pos, in this folio, join the open unit; how many, and whether it ends behind them. */
static u32 cut_scan(struct cut *cut, struct folio *folio, u64 pos, u32 len, bool *boundary)
{
	const void *bytes = NULL;

	/* Nobody writes to them: the folio is under writeback, and .direct is held. What is pinned may change; it is short. */
	if (cut->chunker.ops->looks)
		bytes = folio_address(folio) + (pos - folio_pos(folio));
	return weft_chunker_scan(&cut->chunker, bytes, len, boundary);
}

/* [pos, end) of the file, dirty, in this folio, which is under writeback. */
static void cut_run(struct cut *cut, struct folio *folio, u64 pos, u64 end, bool pinned)
{
	while (pos < end) {
		u32 len = end - pos;
		bool boundary;

		if (cut->data && (pinned || unit_end(cut->data) != pos))
			cut_close_data(cut);
		if (!cut->data)
			cut_open(cut, pos);
		if (pinned)
			len = min(len, CUT_PINNED_MAX);
		len = cut_scan(cut, folio, pos, len, &boundary);
		/* A unit without memory for more segments ends here; a new one has room for at least one. */
		if (!weft_unit_append(cut->data, folio, pos - folio_pos(folio), len)) {
			cut_close_data(cut);
			continue;
		}
		pos += len;
		if (boundary || pinned)
			cut_close_data(cut);
	}
}

/*
 * A tail that was held and begins within a block goes on there, where the chunk before it ends: its cuts would be others, and
 * so its chunks, if it began with the block.
 */
static void cut_mask(struct cut *cut, struct folio *folio, u32 mask, u32 skip, u64 size)
{
	bool pinned = folio_maybe_dma_pinned(folio);

	while (mask) {
		unsigned int first = __ffs(mask), n = ffz(mask >> first);
		u64 pos = folio_pos(folio) + ((u64)first << WEFT_BLOCK_SHIFT);
		u64 end = min_t(u64, size, pos + ((u64)n << WEFT_BLOCK_SHIFT));

		if (skip && skip >> WEFT_BLOCK_SHIFT == first) {
			pos = min_t(u64, folio_pos(folio) + skip, end);
			/* No unit has its beginning. */
			weft_budget_give(cut->mount, WEFT_BLOCK_SIZE);
		}
		cut_run(cut, folio, pos, end, pinned);
		mask &= ~weft_folio_mask((size_t)first << WEFT_BLOCK_SHIFT, (size_t)n << WEFT_BLOCK_SHIFT);
	}
}

/* Blocks wholly behind the end of file are not written. */
static u32 mask_below(struct folio *folio, loff_t size)
{
	if (folio_pos(folio) >= size)
		return 0;
	return weft_folio_mask(0, min_t(loff_t, folio_size(folio), size - folio_pos(folio)));
}

static void cut_position(struct cut *cut, u64 pos)
{
	spin_lock(&cut->inode->io.extent_lock);
	cut->inode->io.cut_pos = pos;
	spin_unlock(&cut->inode->io.extent_lock);
}

/*
 * Takes what is dirty of a locked folio and starts its writeback; unlocks it. Returns the blocks to write; the cutter has a
 * part of the writeback, and of .direct, unless state is NULL.
 */
static u32 cut_take(struct cut *cut, struct folio *folio, struct weft_folio **statep, loff_t *sizep, u32 *skip)
{
	loff_t size = i_size_read(&cut->inode->vfs);
	struct weft_folio *state = weft_folio_make(folio);
	u32 mask, gone;

	*statep = NULL;
	*sizep = size;
	if (!state) {
		cut->error = -ENOMEM;
		folio_unlock(folio);
		return 0;
	}
	if (folio_pos(folio) < size && size < folio_pos(folio) + folio_size(folio))
		folio_zero_segment(folio, size - folio_pos(folio), folio_size(folio));
	cut_position(cut, folio_pos(folio));
	if (!folio_clear_dirty_for_io(folio)) {
		folio_unlock(folio);
		return 0;
	}
	/* Behind clear_dirty: it may have found stores of a mapping, and set bits. */
	mask = weft_folio_take(state, skip);
	gone = cut->dead ? mask : mask & ~mask_below(folio, size);
	if (cut->dead)
		cut->dropped += (u64)hweight32(mask & mask_below(folio, size)) << WEFT_BLOCK_SHIFT;
	weft_budget_give(cut->mount, (u64)hweight32(gone) << WEFT_BLOCK_SHIFT);
	atomic_set(&state->parts, 1);
	atomic_inc(&state->direct);
	folio_start_writeback(folio);
	cut->wbc->nr_to_write -= folio_nr_pages(folio);
	folio_unlock(folio);
	*statep = state;
	return mask & ~gone;
}

static void cut_give_up(struct cut *cut, struct folio *folio, struct weft_folio *state)
{
	if (atomic_dec_and_test(&state->direct))
		wake_up_all(&cut->inode->io.unit_wait);
	weft_folio_part_end(folio, state);
}

/* Locked and dirty, not under writeback: true. */
static bool cut_lock_folio(struct cut *cut, struct folio *folio)
{
	for (;;) {
		folio_lock(folio);
		if (folio->mapping != cut->mapping || !folio_test_dirty(folio))
			break;
		if (!folio_test_writeback(folio))
			return true;
		if (!cut->sync) {
			cut->behind = folio->index + folio_nr_pages(folio);
			break;
		}
		folio_unlock(folio);
		cut_close(cut);
		if (folio_wait_writeback_killable(folio)) {
			cut->error = -EINTR;
			return false;
		}
	}
	folio_unlock(folio);
	return false;
}

static bool cut_waits(const struct cut *cut, const struct folio *folio)
{
	return cut->may_hold && !cut->data && folio->index && folio->index == cut->behind;
}

static void cut_folio(struct cut *cut, struct folio *folio)
{
	struct weft_folio *state;
	u32 mask, skip;
	loff_t size;

	/*
	 * A chunk that begins in a folio that is still under writeback, for the end of the chunk before it, is for the next
	 * time as a whole.
	 */
	if (cut_waits(cut, folio)) {
		cut->behind = folio->index + folio_nr_pages(folio);
		cut->passed_over = true;
		return;
	}
	if (!cut_lock_folio(cut, folio))
		return;
	mask = cut_take(cut, folio, &state, &size, &skip);
	if (state) {
		cut_mask(cut, folio, mask, skip, size);
		cut_give_up(cut, folio, state);
	}
	cut_position(cut, U64_MAX);
}

/* A file that fits goes into the metadata; only when nothing of it is under way, so that COMMITs keep their order. */
static bool cut_is_inline(struct cut *cut)
{
	struct weft_io_inode *io = &cut->inode->io;
	loff_t size = i_size_read(&cut->inode->vfs);
	bool fits;

	if (!size || size > weft_inline_limit(cut->mount) || cut->dead)
		return false;
	spin_lock(&io->extent_lock);
	fits = !io->no_inline && list_empty(&io->units);
	spin_unlock(&io->extent_lock);
	return fits;
}

/* All of the content stands in the first folio, which is uptodate because it is dirty. */
static void cut_inline(struct cut *cut, struct folio *folio)
{
	struct weft_folio *state;
	struct weft_unit *unit;
	u32 mask, skip;
	loff_t size;
	bool stays;

	if (!cut_lock_folio(cut, folio))
		return;
	mask = cut_take(cut, folio, &state, &size, &skip);
	if (mask) {
		unit = weft_unit_alloc(cut->inode, 0, false);
		/*
		 * A new unit has room. i_size was read again under the lock: it may have grown, or be about to (cut_take()
		 * has said that we are here, so whoever makes it grow makes this block dirty again).
		 */
		spin_lock(&cut->inode->io.extent_lock);
		stays = !cut->inode->io.no_inline;
		spin_unlock(&cut->inode->io.extent_lock);
		if (stays && size <= weft_inline_limit(cut->mount) && weft_unit_append(unit, folio, 0, size)) {
			weft_unit_copy(unit);
			unit->is_inline = true;
			unit->blocks = hweight32(mask);
			cut_submit(cut, unit);
		} else {
			weft_unit_return(unit, 0);
			cut_mask(cut, folio, mask, skip, size);
		}
	}
	if (state)
		cut_give_up(cut, folio, state);
	cut_position(cut, U64_MAX);
}

/* The open data unit ends where the file ended when this began, or behind that, and may go on growing. */
static bool cut_hold_tail(struct cut *cut)
{
	struct weft_io_inode *io = &cut->inode->io;

	if (!cut->data || !cut->may_hold || unit_end(cut->data) < cut->size)
		return false;
	if (!io->tail_since || io->tail_pos != cut->data->runs[0].pos) {
		io->tail_since = jiffies | 1;
		io->tail_pos = cut->data->runs[0].pos;
	}
	return time_before(jiffies, io->tail_since + WEFT_TAIL_AGE);
}

static void cut_finish(struct cut *cut)
{
	bool held = cut_hold_tail(cut);

	if (!held)
		cut->inode->io.tail_since = 0;
	if (held || (cut->enough && cut->data)) {
		struct weft_unit *unit = cut->data;

		cut->data = NULL;
		cut->mapping->writeback_index = unit->runs[0].pos >> PAGE_SHIFT;
		/* Or the flusher would take it for progress, and come again at once. */
		if (!cut->enough)
			cut->wbc->nr_to_write += DIV_ROUND_UP(unit->len, PAGE_SIZE);
		weft_unit_return(unit, 0);
	}
	if (held || cut->passed_over)
		weft_due_add(cut->inode, WEFT_DUE_HELD);
	cut_close(cut);
}

/* Enough, unless a unit would be cut in half by that: one that has just begun is for the next time. */
static bool cut_enough(struct cut *cut)
{
	if (cut->sync || cut->wbc->nr_to_write > 0)
		return false;
	cut->enough = !cut->data || (cut->began && cut->data->n_segs == 1);
	return cut->enough;
}

static void cut_batch(struct cut *cut, struct folio_batch *batch, pgoff_t *done)
{
	unsigned int i;

	for (i = 0; i < folio_batch_count(batch) && !cut->error; i++) {
		struct folio *folio = batch->folios[i];

		if (cut_enough(cut))
			break;
		*done = folio->index + folio_nr_pages(folio);
		if (!folio->index && cut_is_inline(cut))
			cut_inline(cut, folio);
		else
			cut_folio(cut, folio);
	}
}

static void cut_range(struct cut *cut)
{
	struct writeback_control *wbc = cut->wbc;
	pgoff_t index = wbc->range_cyclic ? cut->mapping->writeback_index : wbc->range_start >> PAGE_SHIFT;
	pgoff_t end = wbc->range_cyclic ? (pgoff_t)-1 : wbc->range_end >> PAGE_SHIFT;
	/* Units end within folios, so there is always an open one: a writer that goes on must not be followed for ever. */
	pgoff_t last = cut->size ? (cut->size - 1) >> PAGE_SHIFT : 0;
	xa_mark_t tag = PAGECACHE_TAG_DIRTY;
	struct folio_batch batch;
	pgoff_t done = index;

	if (!cut->sync && end > last)
		end = last;
	if (cut->sync || wbc->tagged_writepages) {
		tag_pages_for_writeback(cut->mapping, index, end);
		tag = PAGECACHE_TAG_TOWRITE;
	}
	folio_batch_init(&batch);
	while (!cut->error && !cut_enough(cut)) {
		if (!filemap_get_folios_tag(cut->mapping, &index, end, tag, &batch)) {
			done = 0;
			break;
		}
		cut_batch(cut, &batch, &done);
		folio_batch_release(&batch);
		cond_resched();
	}
	if (wbc->range_cyclic)
		cut->mapping->writeback_index = done;
}

/*
 * The flusher, which no signal ends, comes here for sync(2): it does not wait for whoever has the lock while the metadata
 * service is asked to change the file. 0, -EAGAIN: that is so, -EINTR.
 */
static int cut_lock_sync(struct weft_inode *inode)
{
	struct weft_io_inode *io = &inode->io;
	bool locked = false;
	int error;

	error = wait_event_killable(io->unit_wait,
				    READ_ONCE(io->commit_hold) || (locked = mutex_trylock(&io->cut_lock)));
	if (error)
		return -EINTR;
	if (locked)
		return 0;
	weft_due_add(inode, WEFT_DUE_PARKED);
	return -EAGAIN;
}

void weft_cut_unlock(struct weft_inode *inode)
{
	mutex_unlock(&inode->io.cut_lock);
	wake_up_all(&inode->io.unit_wait);
}

int weft_writepages(struct address_space *mapping, struct writeback_control *wbc)
{
	struct weft_inode *inode = weft_inode(mapping->host);
	struct cut cut = {
		.inode = inode,
		.mount = weft_inode_mount(inode),
		.mapping = mapping,
		.wbc = wbc,
		.sync = wbc->sync_mode == WB_SYNC_ALL,
		.size = i_size_read(mapping->host),
	};
	unsigned int nofs;
	int error;

	cut.dead = weft_inode_lost(inode);
	/* Its units would be stored, only to go back. */
	if (!cut.dead && weft_commit_stalled(inode)) {
		weft_due_add(inode, WEFT_DUE_PARKED);
		return cut.sync ? -EAGAIN : 0;
	}
	if (!cut.sync) {
		if (!mutex_trylock(&inode->io.cut_lock))
			return 0;
	} else {
		error = cut_lock_sync(inode);
		if (error)
			return error;
	}
	nofs = memalloc_nofs_save();
	/* Neither: reclaim found nothing but dirty folios, or somebody syncs. */
	cut.may_hold = !test_and_clear_bit(WEFT_IO_CUT_TAIL, &inode->io.flags) &&
		       (wbc->for_kupdate || wbc->for_background) && !weft_budget_short(cut.mount) && !cut.dead;
	cut_range(&cut);
	cut_finish(&cut);
	if (cut.dropped)
		weft_tell_dropped(inode, 0, cut.dropped);
	memalloc_nofs_restore(nofs);
	weft_cut_unlock(inode);
	return cut.sync ? cut.error : 0;
}
