// SPDX-License-Identifier: GPL-2.0-only
/*
 * folio.c - the state of a folio: which blocks are dirty, how many parts of it are being written
 *
 * What must stay true:
 *   - A folio is only dirty when it is uptodate, so any dirty block of it can be written without reading.
 *   - A dirty folio without state is dirty as a whole: dirty_folio() may be called under a page table lock and must not
 *     allocate. For the same reason the state is freed by RCU.
 *   - The state is attached and detached with the folio locked, and never while the folio is dirty or under writeback;
 *     who holds a part of a folio's writeback may therefore use folio->private without the lock.
 *   - Each set bit owns WEFT_BLOCK_SIZE of the mount's budget.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "io/internal.h"

static struct weft_mount *folio_mount(const struct folio *folio)
{
	return weft_mount(folio->mapping->host->i_sb);
}

u32 weft_folio_mask(size_t offset, size_t len)
{
	unsigned int first = offset >> WEFT_BLOCK_SHIFT;
	unsigned int last = (offset + len - 1) >> WEFT_BLOCK_SHIFT;

	return len ? GENMASK(last, first) : 0;
}

/* The bit of the block that is partly clean, if one is. */
static u32 skip_bit(u64 dirty)
{
	u32 skip = dirty >> 32;

	return skip ? 1u << (skip >> WEFT_BLOCK_SHIFT) : 0;
}

static unsigned int folio_set(struct weft_folio *state, u32 mask, u32 skip)
{
	u64 old = atomic64_read(&state->dirty), new;

	do {
		new = (skip_bit(old) & mask ? (u32)old : old) | mask;
		if (skip && !(old & skip_bit((u64)skip << 32)))
			new = (u32)new | (u64)skip << 32;
	} while (!atomic64_try_cmpxchg(&state->dirty, (s64 *)&old, new));
	return hweight32(mask & ~(u32)old);
}

unsigned int weft_folio_set(struct weft_folio *state, u32 mask)
{
	return folio_set(state, mask, 0);
}

unsigned int weft_folio_set_behind(struct weft_folio *state, size_t offset, size_t len)
{
	return folio_set(state, weft_folio_mask(offset, len), offset % WEFT_BLOCK_SIZE ? offset : 0);
}

u32 weft_folio_take(struct weft_folio *state, u32 *skip)
{
	u64 dirty = atomic64_xchg(&state->dirty, 0);

	*skip = dirty >> 32;
	return dirty;
}

/* Returns which of them were set. */
static u32 folio_clear(struct weft_folio *state, u32 mask)
{
	u64 old = atomic64_read(&state->dirty), new;

	do {
		new = (skip_bit(old) & mask ? (u32)old : old) & ~(u64)mask;
	} while (!atomic64_try_cmpxchg(&state->dirty, (s64 *)&old, new));
	return mask & (u32)old;
}

struct weft_folio *weft_folio_make(struct folio *folio)
{
	struct weft_folio *state = folio_get_private(folio);

	if (state)
		return state;
	state = kmalloc(sizeof(*state), GFP_NOFS);
	if (!state)
		return NULL;
	refcount_set(&state->ref, 1);
	atomic64_set(&state->dirty, 0);
	atomic_set(&state->parts, 0);
	atomic_set(&state->direct, 0);
	if (folio_test_dirty(folio)) {
		u32 mask = weft_folio_mask(0, folio_size(folio));

		atomic64_set(&state->dirty, mask);
		weft_budget_force(folio_mount(folio), (u64)hweight32(mask) << WEFT_BLOCK_SHIFT);
	}
	folio_attach_private(folio, state);
	return state;
}

void weft_folio_drop(struct weft_folio *state)
{
	if (refcount_dec_and_test(&state->ref))
		kfree_rcu(state, rcu);
}

static void folio_detach(struct folio *folio)
{
	struct weft_folio *state = folio_detach_private(folio);

	if (!state)
		return;
	weft_budget_give(folio_mount(folio), (u64)hweight32(atomic64_xchg(&state->dirty, 0)) << WEFT_BLOCK_SHIFT);
	weft_folio_drop(state);
}

int weft_folio_wait_direct(struct weft_inode *inode, struct folio *folio, struct weft_folio *state)
{
	int error;

	refcount_inc(&state->ref);
	folio_unlock(folio);
	error = wait_event_killable(inode->io.unit_wait, !atomic_read(&state->direct));
	weft_folio_drop(state);
	return error ? -EINTR : 0;
}

void weft_folio_part_end(struct folio *folio, struct weft_folio *state)
{
	if (atomic_dec_and_test(&state->parts))
		folio_end_writeback(folio);
}

/* Somebody wrote through a mapping or a pinned page: which blocks is not known, so all of them. */
bool weft_dirty_folio(struct address_space *mapping, struct folio *folio)
{
	struct weft_folio *state;

	rcu_read_lock();
	state = folio_get_private(folio);
	if (state) {
		unsigned int blocks = weft_folio_set(state, weft_folio_mask(0, folio_size(folio)));

		weft_budget_force(weft_mount(mapping->host->i_sb), (u64)blocks << WEFT_BLOCK_SHIFT);
	}
	rcu_read_unlock();
	return filemap_dirty_folio(mapping, folio);
}

bool weft_release_folio(struct folio *folio, gfp_t gfp)
{
	if (folio_test_dirty(folio) || folio_test_writeback(folio))
		return false;
	folio_detach(folio);
	return true;
}

/* The page cache waited for writeback before. Blocks that are cut in half stay dirty: their first half is content. */
void weft_invalidate_folio(struct folio *folio, size_t offset, size_t len)
{
	struct weft_folio *state = folio_get_private(folio);
	size_t from = round_up(offset, WEFT_BLOCK_SIZE);
	size_t to = round_down(offset + len, WEFT_BLOCK_SIZE);
	u32 mask;

	if (!offset && len == folio_size(folio)) {
		folio_detach(folio);
		return;
	}
	if (!state || from >= to)
		return;
	mask = folio_clear(state, weft_folio_mask(from, to - from));
	weft_budget_give(folio_mount(folio), (u64)hweight32(mask) << WEFT_BLOCK_SHIFT);
}
