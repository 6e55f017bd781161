// SPDX-License-Identifier: GPL-2.0-only
/*
 * commit_size.c - the size that a COMMIT may say, whether it has units or not
 *
 * Up to the first byte behind the committed size that is dirty or under way and that this COMMIT does not cover. Bytes move
 * from dirty to a unit with the unit, or cut_pos, entered first, and back with .redirtied; so looking for dirty ones first,
 * and again when something went back, misses none.
 */
#include <linux/pagemap.h>

#include "io/internal.h"

static u64 first_dirty(struct address_space *mapping, u64 pos)
{
	pgoff_t index = pos >> PAGE_SHIFT;
	struct folio_batch batch;
	u64 found = U64_MAX;

	folio_batch_init(&batch);
	if (filemap_get_folios_tag(mapping, &index, (pgoff_t)-1, PAGECACHE_TAG_DIRTY, &batch))
		found = max_t(u64, pos, folio_pos(batch.folios[0]));
	folio_batch_release(&batch);
	return found;
}

/* With extent_lock held: the first byte at or behind pos that another unit has. */
static u64 first_under_way(struct weft_io_inode *io, const struct weft_commit_job *commit, u64 pos)
{
	struct weft_unit *unit;
	u64 found = io->cut_pos == U64_MAX ? U64_MAX : max(io->cut_pos, pos);
	unsigned int i;

	list_for_each_entry(unit, &io->units, link) {
		if (unit->state == WEFT_UNIT_COMMIT)
			continue;
		for (i = 0; i < unit->n_runs; i++) {
			/* An open unit grows. */
			u64 end = unit->state == WEFT_UNIT_OPEN ? U64_MAX : unit->runs[i].pos + unit->runs[i].len;

			if (end > pos)
				found = min(found, max(unit->runs[i].pos, pos));
		}
	}
	return found;
}

/* Where the run of this COMMIT that holds pos ends; 0: none does. */
static u64 covered_end(const struct weft_commit_job *commit, u64 pos)
{
	struct weft_unit *unit;
	unsigned int i;

	list_for_each_entry(unit, &commit->units, ready_link)
		for (i = 0; i < unit->n_runs; i++)
			if (unit->runs[i].pos <= pos && pos < unit->runs[i].pos + unit->runs[i].len)
				return unit->runs[i].pos + unit->runs[i].len;
	return 0;
}

u64 weft_commit_size(struct weft_inode *inode, const struct weft_commit_job *commit)
{
	struct weft_io_inode *io = &inode->io;
	u64 size = i_size_read(&inode->vfs), pos = 0, committed, redirtied, next;

	spin_lock(&io->extent_lock);
	committed = min(max(io->committed_size, io->flushed_size), size);
	redirtied = io->redirtied;
	spin_unlock(&io->extent_lock);

	for (pos = committed; pos < size; ) {
		next = first_dirty(inode->vfs.i_mapping, pos);
		spin_lock(&io->extent_lock);
		next = min(next, first_under_way(io, commit, pos));
		if (redirtied != io->redirtied) {
			redirtied = io->redirtied;
			spin_unlock(&io->extent_lock);
			continue;
		}
		spin_unlock(&io->extent_lock);
		pos = covered_end(commit, next);
		if (!pos)
			return max(committed, min(next, size));
	}
	return max(committed, size);
}
