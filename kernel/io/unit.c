// SPDX-License-Identifier: GPL-2.0-only
/*
 * unit.c - units: what becomes one chunk, from the cutter until its COMMIT was answered
 *
 *   OPEN --submit--> PUT --stored--> READY --named--> COMMIT --answered--> gone       (PUT begins in dedup.c and pack.c)
 *     |               |                |                |
 *     +---------------+----------------+-- return ------+-- detach: only the COMMIT has it any more
 *
 * What must stay true:
 *   - A unit holds one part of the writeback of the folio behind each of its segments. The folios, and through them the
 *     inode, are there until it gives them up: at the end of weft_unit_end(), _return() or _detach() the inode may be gone.
 *   - While the unit reads the folios themselves (OPEN and PUT, not copied nor compressed yet) nobody may change them:
 *     weft_folio.direct.
 *   - A unit that goes back makes its blocks dirty first, then ends their writeback, then leaves the inode's list; who
 *     looks for dirty folios first and for units then, and sees .redirtied unchanged, has seen every byte.
 *   - Errors: -EAGAIN, -ENOMEM and the like mean that nothing can move now; others are kept for fsync() as well. In both
 *     cases the data stays dirty and is tried again. On a dead mount it is dropped.
 *   - The pools hold enough for one cutter without any other memory; it never waits for a unit while it has two.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "io/internal.h"
#include "obs/trace.h"
#include "weft_netlink.h"

static struct kmem_cache *unit_cache;

static struct weft_io_inode *unit_io(const struct weft_unit *unit)
{
	return &unit->inode->io;
}

static size_t seg_offset(const struct folio *folio, const struct bio_vec *seg)
{
	return folio_page_idx(folio, seg->bv_page) * PAGE_SIZE + seg->bv_offset;
}

struct weft_unit *weft_unit_alloc(struct weft_inode *inode, u64 pos, bool nowait)
{
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_unit *unit = mempool_alloc(mount->io.unit_pool, nowait ? GFP_NOWAIT : GFP_NOFS);

	if (!unit)
		return NULL;
	memset(unit, 0, sizeof(*unit));
	unit->inode = inode;
	unit->mount = mount;
	unit->segs = unit->few_segs;
	unit->max_segs = ARRAY_SIZE(unit->few_segs);
	unit->n_runs = 1;
	unit->runs[0].pos = pos;
	INIT_LIST_HEAD(&unit->ready_link);
	weft_job_begin(mount);
	spin_lock(&inode->io.extent_lock);
	unit->id = ++inode->io.unit_id;
	list_add_tail(&unit->link, &inode->io.units);
	spin_unlock(&inode->io.extent_lock);
	return unit;
}

static void unit_free_memory(struct weft_unit *unit)
{
	if (unit->segs != unit->few_segs)
		kvfree(unit->segs);
	unit->segs = NULL;
	if (unit->buffer)
		mempool_free(unit->buffer, unit->mount->io.buffer_pool);
	unit->buffer = NULL;
	weft_pack_free(unit);
}

void weft_unit_free(struct weft_unit *unit)
{
	struct weft_mount *mount = unit->mount;

	unit_free_memory(unit);
	if (unit->dedup.chunk)
		weft_chunk_put(unit->dedup.chunk);
	mempool_free(unit, mount->io.unit_pool);
	weft_job_end(mount);
}

static bool unit_grow(struct weft_unit *unit)
{
	unsigned int max = unit->max_segs * 2;
	struct bio_vec *segs = kvmalloc_array(max, sizeof(*segs), GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN);

	if (!segs)
		return false;
	memcpy(segs, unit->segs, unit->n_segs * sizeof(*segs));
	if (unit->segs != unit->few_segs)
		kvfree(unit->segs);
	unit->segs = segs;
	unit->max_segs = max;
	return true;
}

bool weft_unit_append(struct weft_unit *unit, struct folio *folio, size_t offset, u32 len)
{
	struct weft_folio *state = folio_get_private(folio);

	if (unit->n_segs == unit->max_segs && !unit_grow(unit))
		return false;
	atomic_inc(&state->parts);
	atomic_inc(&state->direct);
	bvec_set_folio(&unit->segs[unit->n_segs++], folio, len, offset);
	spin_lock(&unit_io(unit)->extent_lock);
	unit->runs[unit->n_runs - 1].len += len;
	spin_unlock(&unit_io(unit)->extent_lock);
	unit->len += len;
	/* Those that begin here: a block that a cut goes through belongs to the unit before the cut. */
	unit->blocks += DIV_ROUND_UP(offset + len, WEFT_BLOCK_SIZE) - DIV_ROUND_UP(offset, WEFT_BLOCK_SIZE);
	return true;
}

/* The folios may change now. */
static void segs_release(struct weft_inode *inode, const struct bio_vec *segs, unsigned int n)
{
	bool last = false;

	for (; n; n--, segs++) {
		struct weft_folio *state = folio_get_private(page_folio(segs->bv_page));

		last |= atomic_dec_and_test(&state->direct);
	}
	if (last)
		wake_up_all(&inode->io.unit_wait);
}

static void segs_copy(void *to, const struct bio_vec *segs, unsigned int n)
{
	for (; n; n--, segs++) {
		struct folio *folio = page_folio(segs->bv_page);

		memcpy_from_folio(to, folio, seg_offset(folio, segs), segs->bv_len);
		to += segs->bv_len;
	}
}

void weft_unit_copy(struct weft_unit *unit)
{
	unit->buffer = mempool_alloc(unit->mount->io.buffer_pool, GFP_NOFS);
	segs_copy(unit->buffer, unit->segs, unit->n_segs);
	segs_release(unit->inode, unit->segs, unit->n_segs);
	unit->copied = true;
}

bool weft_unit_merge(struct weft_unit *unit, struct weft_unit *from)
{
	struct weft_io_inode *io = unit_io(unit);

	if (unit->n_runs == WEFT_UNIT_RUNS || unit->len + from->len >= WEFT_COPY_MAX)
		return false;
	while (unit->n_segs + from->n_segs > unit->max_segs)
		if (!unit_grow(unit))
			return false;
	segs_copy(unit->buffer + unit->len, from->segs, from->n_segs);
	segs_release(unit->inode, from->segs, from->n_segs);
	memcpy(unit->segs + unit->n_segs, from->segs, from->n_segs * sizeof(*from->segs));
	unit->n_segs += from->n_segs;
	unit->blocks += from->blocks;
	spin_lock(&io->extent_lock);
	unit->runs[unit->n_runs] = from->runs[0];
	unit->runs[unit->n_runs++].chunk_offset = unit->len;
	list_del(&from->link);
	spin_unlock(&io->extent_lock);
	unit->len += from->len;
	weft_unit_free(from);
	return true;
}

void weft_unit_unpin(struct weft_unit *unit)
{
	unit->unpinned = true;
	segs_release(unit->inode, unit->segs, unit->n_segs);
}

/* --- slots: how many units are on their way -------------------------------------------------------------------------- */

/* Who waits for a sync may take some more than others. */
static bool slot_try(struct weft_mount *mount, u32 len, bool small, bool sync)
{
	struct weft_io_mount *io = &mount->io;
	unsigned int *used = small ? &io->small : &io->units;
	unsigned int max = small ? io->small_max : io->units_max;
	u64 bytes_max = io->unit_bytes_max;
	bool got;

	if (sync) {
		max += max / 4 + 1;
		bytes_max += bytes_max / 4;
	}
	spin_lock(&io->lock);
	/* The first one always may. */
	got = *used < max && (small || !*used || io->unit_bytes + len <= bytes_max);
	if (got)
		++*used;
	if (got && !small)
		io->unit_bytes += len;
	spin_unlock(&io->lock);
	return got;
}

static int slot_get(struct weft_mount *mount, u32 len, bool small, bool sync)
{
	bool got = false;
	long left = wait_event_killable_timeout(mount->io.wait,
						(got = slot_try(mount, len, small, sync)) || weft_mount_dead(mount),
						WEFT_SLOT_TIMEOUT);

	if (got)
		return 0;
	if (left < 0)
		return -EINTR;
	return weft_mount_dead(mount) ? -EIO : -EAGAIN;
}

static void slot_put(struct weft_mount *mount, u32 len, bool small)
{
	spin_lock(&mount->io.lock);
	if (small) {
		mount->io.small--;
	} else {
		mount->io.units--;
		mount->io.unit_bytes -= len;
	}
	spin_unlock(&mount->io.lock);
	wake_up_all(&mount->io.wait);
}

/*
 * Of a unit on its way, about: its bytes, which pages or a buffer hold, and the parity of what is not copied whole. A
 * stored form of its own counts besides.
 */
static s64 unit_memory(const struct weft_unit *unit)
{
	return unit->copied ? unit->len : unit->len + div_u64((u64)unit->len * unit->mount->m, unit->mount->k);
}

/* --- the end of a unit ------------------------------------------------------------------------------------------------ */

/* Makes the blocks of a segment dirty again; returns how many were not. */
static unsigned int seg_redirty(const struct bio_vec *seg)
{
	struct folio *folio = page_folio(seg->bv_page);
	unsigned int blocks = weft_folio_set_behind(folio_get_private(folio), seg_offset(folio, seg), seg->bv_len);

	filemap_dirty_folio(folio->mapping, folio);
	return blocks;
}

/* The folios end writeback, if this was their last part; the unit does not know them any more. */
static void unit_end_parts(struct weft_unit *unit)
{
	unsigned int i;

	for (i = 0; i < unit->n_segs; i++) {
		struct folio *folio = page_folio(unit->segs[i].bv_page);

		weft_folio_part_end(folio, folio_get_private(folio));
	}
	unit->n_segs = 0;
}

/* Behind this the inode may be gone, unless there is something in stuck. */
static void unit_leave(struct weft_unit *unit, bool redirtied, bool held, struct list_head *stuck)
{
	struct weft_io_inode *io = unit_io(unit);

	spin_lock(&io->extent_lock);
	list_del(&unit->link);
	if (redirtied)
		io->redirtied++;
	if (held)
		io->held++;
	if (stuck)
		weft_commit_stuck(io, stuck);
	wake_up_all(&io->unit_wait);
	spin_unlock(&io->extent_lock);
}

void weft_tell_dropped(struct weft_inode *inode, u64 pos, u64 bytes)
{
	struct weft_mount *mount = weft_inode_mount(inode);
	u64 ino = inode->ino;

	mapping_set_error(inode->vfs.i_mapping, -EIO);
	pr_err_ratelimited("weft: volume %s: inode %llu has lost %llu bytes that were not written yet\n",
			   mount->volume_name, ino, bytes);
	weft_event(mount->cluster, WEFT_EVENT_DATA_DROPPED, mount->session, ino, pos, 0,
		   "%llu bytes that were not written yet are lost: %s", bytes,
		   weft_mount_dead(mount) ? "the mount has ended" : "the file cannot be used any more");
}

/* Dirty again, or on a dead mount, or of a file that nobody knows any more: gone. held: it only was not wanted yet. */
static void unit_give_back(struct weft_unit *unit, bool held, struct list_head *stuck)
{
	bool dead = weft_inode_lost(unit->inode);
	unsigned int blocks = 0, i;

	if (dead) {
		weft_tell_dropped(unit->inode, unit->runs[0].pos, unit->len);
	} else {
		for (i = 0; i < unit->n_segs; i++)
			blocks += seg_redirty(&unit->segs[i]);
	}
	/* Blocks that are dirty again keep their budget; those that were so already had one more. */
	if (blocks <= unit->blocks)
		weft_budget_give(unit->mount, (u64)(unit->blocks - blocks) << WEFT_BLOCK_SHIFT);
	else
		weft_budget_force(unit->mount, (u64)(blocks - unit->blocks) << WEFT_BLOCK_SHIFT);
	unit_end_parts(unit);
	unit_leave(unit, !dead, !dead && held, stuck);
}

static bool error_is_transient(int error)
{
	switch (error) {
	case -EAGAIN:
	case -EINTR:
	case -ENOMEM:
	case -ETIMEDOUT:
	case -ENOTCONN:
		return true;
	default:
		return false;
	}
}

/* What a unit's failure means for the file: called while the folios are still under writeback. */
static void unit_fail(struct weft_unit *unit, int error)
{
	struct weft_mount *mount = unit->mount;

	trace_weft_unit(unit->inode->ino, unit->runs[0].pos, unit->len, "returned", error);
	if (!error || weft_mount_dead(mount))
		return;
	if (error_is_transient(error)) {
		weft_count(mount, WEFT_MC_PARKED, 1);
	} else {
		mapping_set_error(unit->inode->vfs.i_mapping, error);
		weft_count(mount, WEFT_MC_WRITE_ERRORS, 1);
		weft_event(mount->cluster, WEFT_EVENT_WRITE_FAILED, mount->session, unit->inode->ino, unit->runs[0].pos,
			   unit->put.group, "%u bytes cannot be written (error %d); they are kept and tried again",
			   unit->len, -error);
	}
	weft_due_add(unit->inode, WEFT_DUE_PARKED);
}

static void unit_return(struct weft_unit *unit, int error, struct list_head *stuck)
{
	if (unit->state == WEFT_UNIT_READY && !unit->is_inline)
		weft_put_release(&unit->put);
	if (unit->state == WEFT_UNIT_OPEN && !unit->copied)
		segs_release(unit->inode, unit->segs, unit->n_segs);
	unit_fail(unit, error);
	unit_give_back(unit, !error, stuck);
	weft_unit_free(unit);
}

void weft_unit_return(struct weft_unit *unit, int error)
{
	LIST_HEAD(back);

	list_add(&unit->ready_link, &back);
	while ((unit = list_first_entry_or_null(&back, struct weft_unit, ready_link))) {
		list_del_init(&unit->ready_link);
		unit_return(unit, error, &back);
		error = -EAGAIN;
	}
}

void weft_unit_detach(struct weft_unit *unit)
{
	unit_fail(unit, -EAGAIN);
	unit->state = WEFT_UNIT_DETACHED;
	/* What is ready behind it was returned before. */
	unit_give_back(unit, false, NULL);
	unit->inode = NULL;
}

void weft_unit_end(struct weft_unit *unit)
{
	trace_weft_unit(unit->inode->ino, unit->runs[0].pos, unit->len, "committed", 0);
	weft_budget_give(unit->mount, (u64)unit->blocks << WEFT_BLOCK_SHIFT);
	unit_end_parts(unit);
	unit_leave(unit, false, false, NULL);
	weft_unit_free(unit);
}

/* --- to the stores ------------------------------------------------------------------------------------------------------ */

static void unit_put_done(struct weft_put *put)
{
	struct weft_unit *unit = container_of(put, struct weft_unit, put);
	struct weft_mount *mount = unit->mount;

	slot_put(mount, unit->len, unit->copied);
	weft_count(mount, WEFT_MC_INFLIGHT_BYTES, -unit_memory(unit));
	weft_pack_release(unit);
	if (!unit->copied && !unit->unpinned)
		segs_release(unit->inode, unit->segs, unit->n_segs);
	if (put->error) {
		WRITE_ONCE(mount->io.put_failed, true);
		weft_put_release(put);
		weft_unit_return(unit, put->error);
		return;
	}
	weft_count(mount, WEFT_MC_CHUNKS_WRITTEN, 1);
	if (unit->copied)
		weft_count(mount, WEFT_MC_PATCHES_WRITTEN, 1);
	weft_count(mount, WEFT_MC_STORED_BYTES, unit->len);
	trace_weft_unit(unit->inode->ino, unit->runs[0].pos, unit->len, "stored", 0);
	weft_commit_queue(unit);
}

void weft_unit_send(struct weft_unit *unit)
{
	if (weft_pack_wanted(unit))
		weft_pack_submit(unit);
	else
		weft_put_submit(&unit->put);
}

void weft_unit_found(struct weft_unit *unit, struct weft_chunk *chunk)
{
	struct weft_mount *mount = unit->mount;

	unit->dedup.chunk = chunk;
	slot_put(mount, unit->len, unit->copied);
	weft_count(mount, WEFT_MC_INFLIGHT_BYTES, -unit_memory(unit));
	segs_release(unit->inode, unit->segs, unit->n_segs);
	weft_count(mount, WEFT_MC_CHUNKS_SHARED, 1);
	weft_count(mount, WEFT_MC_SHARED_BYTES, unit->len);
	trace_weft_unit(unit->inode->ino, unit->runs[0].pos, unit->len, "found", 0);
	weft_commit_queue(unit);
}

int weft_unit_submit(struct weft_unit *unit, bool sync)
{
	int error;

	if (unit->is_inline) {
		weft_commit_queue(unit);
		return 0;
	}
	error = weft_mount_dead(unit->mount) ? -EIO : slot_get(unit->mount, unit->len, unit->copied, sync);
	if (error) {
		weft_unit_return(unit, error);
		return error == -EIO ? 0 : error;
	}
	if (unit->copied)
		bvec_set_virt(&unit->buffer_seg, unit->buffer, unit->len);
	unit->put = (struct weft_put){
		.mount = unit->mount,
		.ino = unit->inode->ino,
		.file_offset = unit->runs[0].pos,
		.plain_len = unit->len,
		.stored_len = unit->len,
		.bvec = unit->copied ? &unit->buffer_seg : unit->segs,
		.n_bvec = unit->copied ? 1 : unit->n_segs,
		.sync = sync,
		.done = unit_put_done,
	};
	unit->state = WEFT_UNIT_PUT;
	weft_count(unit->mount, WEFT_MC_INFLIGHT_BYTES, unit_memory(unit));
	if (weft_dedup_wanted(unit))
		weft_dedup_submit(unit);
	else
		weft_unit_send(unit);
	return 0;
}

int weft_unit_pools_init(struct weft_mount *mount)
{
	mount->io.unit_pool = mempool_create_slab_pool(4, unit_cache);
	mount->io.buffer_pool = mempool_create_kmalloc_pool(2, WEFT_COPY_MAX);
	return mount->io.unit_pool && mount->io.buffer_pool ? 0 : -ENOMEM;
}

void weft_unit_pools_exit(struct weft_mount *mount)
{
	mempool_destroy(mount->io.buffer_pool);
	mempool_destroy(mount->io.unit_pool);
}

int weft_unit_init(void)
{
	unit_cache = KMEM_CACHE(weft_unit, 0);
	return unit_cache ? 0 : -ENOMEM;
}

void weft_unit_exit(void)
{
	kmem_cache_destroy(unit_cache);
}
