/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * internal.h - what the files of io/ share among themselves
 *
 * Way of a write: write.c or mmap.c dirties blocks of a folio (folio.c) against the budget (budget.c); cut.c turns dirty
 * blocks into units; dedup.c asks whether their content is stored already; pack.c compresses them; unit.c sends them to the stores; commit.c tells the metadata service and ends writeback.
 * Way of a read: read.c splits what readahead asks for by the extents (extent.c) that map.c fetched before.
 */
#ifndef _WEFT_IO_INTERNAL_H
#define _WEFT_IO_INTERNAL_H

#include <linux/bvec.h>
#include <linux/pagemap.h>

#include "compat/compat_pagecache.h"
#include "weft.h"

#define WEFT_BLOCK_SHIFT 12
#define WEFT_BLOCK_SIZE  (1u << WEFT_BLOCK_SHIFT)
/* A folio is at most a frame: 32 blocks, one bit each. */
#define WEFT_FOLIO_ORDER_MAX (ilog2(WEFT_FRAME_SIZE) - PAGE_SHIFT)

/* Shorter units are copied, so that nobody waits for their pages, and gathered: several short runs in one chunk. */
#define WEFT_COPY_MAX   (64u * 1024)
#define WEFT_UNIT_RUNS  (WEFT_COPY_MAX / WEFT_BLOCK_SIZE)

#define WEFT_STALL_UNBOUND (5 * HZ)  /* a COMMIT without an answer while no daemon is bound */
#define WEFT_SLOT_TIMEOUT  (10 * HZ) /* a unit that finds no slot is parked */
#define WEFT_TAIL_AGE      (5 * HZ)
#define WEFT_PARK_TIME     (HZ)      /* between two tries */
#define WEFT_REFUSED_TIME  (HZ / 10) /* the same when there was an answer, "again" */

/* Bits of weft_io_inode.flags. */
enum {
	WEFT_IO_CUT_TAIL,   /* the next writeback holds no tail */
	WEFT_IO_META_DIRTY, /* times or size changed since the last COMMIT */
};

/* In which list of the mount an inode is; a higher one wins. */
enum weft_io_due {
	WEFT_DUE_NONE,
	WEFT_DUE_HELD,
	WEFT_DUE_CLOSED,
	WEFT_DUE_PARKED,
};

static inline bool weft_mount_dead(const struct weft_mount *mount)
{
	return READ_ONCE(mount->state) != WEFT_MOUNT_LIVE;
}

/* What is dirty in it will never be written: the mount is dead, or nobody knows any more what the file is like. */
static inline bool weft_inode_lost(const struct weft_inode *inode)
{
	return READ_ONCE(inode->bad) || weft_mount_dead(weft_mount(inode->vfs.i_sb));
}

static inline struct weft_mount *weft_inode_mount(const struct weft_inode *inode)
{
	return weft_mount(inode->vfs.i_sb);
}

/*
 * A file counts as written at random (hybrid chunkers ask) after some writes in a row that began neither at its start or end
 * nor where the one before had ended, and until there were many more that did.
 */
#define WEFT_SCATTERED_STEP 4
#define WEFT_SCATTERED      16
#define WEFT_SCATTERED_MAX  64

static inline bool weft_io_scattered(const struct weft_inode *inode)
{
	return READ_ONCE(inode->io.scattered) >= WEFT_SCATTERED;
}

/* The largest file that stays in the metadata. */
static inline loff_t weft_inline_limit(const struct weft_mount *mount)
{
	return min_t(loff_t, mount->inline_max, PAGE_SIZE);
}

/* --- budget.c: bytes dirty or under way ------------------------------------------------------------------------------ */
void weft_budget_init(struct weft_mount *mount);
/* Waits killably. 0, -EINTR, -EIO when the mount is dead. Never called with a folio locked. */
int weft_budget_take(struct weft_mount *mount, u64 bytes);
/* What was dirtied already and cannot wait. */
void weft_budget_force(struct weft_mount *mount, u64 bytes);
void weft_budget_give(struct weft_mount *mount, u64 bytes);
/* Above half: tails are not held any more. */
bool weft_budget_short(const struct weft_mount *mount);
void weft_budget_wake(void);

/* --- folio.c: state of a folio ---------------------------------------------------------------------------------------- */
/*
 * Hangs at folio->private; freed by RCU because a mapping's zap looks at it without the folio lock. A dirty folio without it is
 * dirty as a whole. Each set bit of .dirty owns a block of the budget.
 */
struct weft_folio {
	refcount_t ref;   /* folio->private, and each task that waits for .direct */
	/*
	 * Bit n: block n is dirty. The upper half, if not 0: from this offset on only; what stands before it in its block is
	 * the end of a chunk, and was not changed since. One word, so that neither is ever seen without the other.
	 */
	atomic64_t dirty;
	atomic_t parts;   /* of writeback: it ends with the last */
	atomic_t direct;  /* of these: those of units that read the folio itself, so nobody may change it */
	struct rcu_head rcu;
};

/* The state of a locked folio, made if there is none. NULL when out of memory. */
struct weft_folio *weft_folio_make(struct folio *folio);
void weft_folio_drop(struct weft_folio *state);
/* Bits of the blocks that [offset, offset + len) of a folio touches. */
u32 weft_folio_mask(size_t offset, size_t len);
/* Sets bits; returns how many blocks were not dirty before. The caller has their budget. */
unsigned int weft_folio_set(struct weft_folio *state, u32 mask);
/*
 * The same for a range that was dirty before and comes back: its first block stays clean before it, unless somebody has made
 * that block dirty meanwhile.
 */
unsigned int weft_folio_set_behind(struct weft_folio *state, size_t offset, size_t len);
/* Clears all bits and returns them. *skip: the offset behind which only its block is dirty, or 0. */
u32 weft_folio_take(struct weft_folio *state, u32 *skip);
/* Waits killably until no unit reads the folio, which is locked and is unlocked by this. */
int weft_folio_wait_direct(struct weft_inode *inode, struct folio *folio, struct weft_folio *state);
void weft_folio_part_end(struct folio *folio, struct weft_folio *state);
bool weft_dirty_folio(struct address_space *mapping, struct folio *folio);
bool weft_release_folio(struct folio *folio, gfp_t gfp);
void weft_invalidate_folio(struct folio *folio, size_t offset, size_t len);

/* --- extent.c: cached extents ------------------------------------------------------------------------------------------ */
enum weft_span_kind {
	WEFT_SPAN_MISS,   /* not known */
	WEFT_SPAN_HOLE,
	WEFT_SPAN_INLINE, /* weft_extent_copy_inline() */
	WEFT_SPAN_CHUNK,
};

/* What stands at [pos, end) of a file. */
struct weft_span {
	u64 pos, end;
	enum weft_span_kind kind;
	u32 chunk_offset;
	struct weft_chunk *chunk; /* a reference of the caller, or NULL */
};

struct weft_piece {
	union {
		struct rb_node node;
		struct weft_piece *next; /* in a list of spares */
	};
	u64 pos, end;
	struct weft_chunk *chunk;        /* a reference; NULL: a hole */
	u32 chunk_offset;
};

/* What stands at pos, up to end at most. */
void weft_extent_lookup(struct weft_inode *inode, u64 pos, u64 end, struct weft_span *span);
/* How far from pos on all is known, at most to end. */
u64 weft_extent_covered(struct weft_inode *inode, u64 pos, u64 end);
/* Copies inline content at pos, zeroes behind it; false when it is not there any more. */
bool weft_extent_copy_inline(struct weft_inode *inode, u64 pos, void *to, size_t len);
/* A list of n spare pieces, or fewer. */
struct weft_piece *weft_piece_alloc(unsigned int n, gfp_t gfp);
void weft_piece_free(struct weft_piece *spares);
/* With extent_lock held: [pos, end) is now this (takes a reference; NULL: a hole). Forgets what it has no spares for. */
void weft_extent_replace(struct weft_inode *inode, struct weft_piece **spares, u64 pos, u64 end,
			 struct weft_chunk *chunk, u32 chunk_offset);
/* With extent_lock held: the same where nothing is known; stops when there are no spares left. */
void weft_extent_fill(struct weft_inode *inode, struct weft_piece **spares, u64 pos, u64 end,
		      struct weft_chunk *chunk, u32 chunk_offset);
/* With extent_lock held: nothing is known of [pos, end) any more. */
void weft_extent_forget(struct weft_inode *inode, u64 pos, u64 end);
/* Without: put the inode where the shrinker finds it. */
void weft_extent_touch(struct weft_inode *inode);
/* With extent_lock held: takes over data (kmalloc) as the file's inline content; NULL: there is none. */
void weft_extent_set_inline(struct weft_inode *inode, void *data, u32 len);
int weft_extent_shrinker_init(struct weft_mount *mount);
void weft_extent_shrinker_exit(struct weft_mount *mount);
int weft_extent_init(void);
void weft_extent_exit(void);

/* --- map.c: asking for extents ---------------------------------------------------------------------------------------- */
/* Asks for what stands at [pos, end) and some more. Killable; never with a folio locked. 0 or -errno. */
int weft_map_fetch(struct weft_inode *inode, u64 pos, u64 end);

/* --- read.c ------------------------------------------------------------------------------------------------------------ */
int weft_read_folio(struct file *file, struct folio *folio);
void weft_readahead(struct readahead_control *rac);
/*
 * Brings a folio up to date; it is locked and is unlocked by this. 0: it was read, or what it needs is known now: the caller
 * looks it up again. Killable.
 */
int weft_read_fill(struct weft_inode *inode, struct folio *folio);

/* --- write.c ----------------------------------------------------------------------------------------------------------- */
int weft_write_begin(weft_write_arg *arg, struct address_space *mapping, loff_t pos, unsigned int len,
		     struct folio **foliop, void **fsdata);
int weft_write_end(weft_write_arg *arg, struct address_space *mapping, loff_t pos, unsigned int len, unsigned int copied,
		   struct folio *folio, void *fsdata);
ssize_t weft_file_write_iter(struct kiocb *iocb, struct iov_iter *from);
/* Zeroes [from, to) as far as it lies in the cached folio at from: garbage that a mapping left behind the end of file. */
void weft_zero_tail(struct inode *inode, loff_t from, loff_t to);

/* --- inline.c ---------------------------------------------------------------------------------------------------------- */
/* The file is going to have size bytes (i_rwsem held): if it is inline and that is too much, makes its content dirty. */
int weft_inline_unpack(struct weft_inode *inode, loff_t size);

/* --- mmap.c ------------------------------------------------------------------------------------------------------------ */
int weft_file_mmap(struct file *file, struct vm_area_struct *vma);

/* --- unit.c ------------------------------------------------------------------------------------------------------------ */
/* A run of a file and where it stands in the chunk. */
struct weft_run {
	u64 pos;
	u32 len;
	u32 chunk_offset;
};

/* The stored form of a unit that is compressed. */
struct weft_pack {
	struct work_struct work;
	struct bio_vec *segs;         /* pages of its own, full but for the last; NULL: it goes raw */
	unsigned int n_segs, max_segs;
	u64 bytes;                    /* of pages */
	__le32 *ends;                 /* frame table; lives as long as the unit */
};

/* What is known of a unit's content, on a volume that deduplicates. */
struct weft_unit_dedup {
	struct work_struct work;
	struct list_head link;        /* in weft_io_mount.unasked or weft_ask.units, under weft_io_mount.lock */
	u8 id[32];
	bool hashed;                  /* .id is its content id */
	bool share;                   /* nobody had it: if somebody has by the COMMIT, that one counts */
	bool merged;                  /* the COMMIT's answer: somebody had */
	struct weft_chunk *chunk;     /* a reference: it has this content, and nothing is put */
};

enum weft_unit_state {
	WEFT_UNIT_OPEN,       /* the cutter has it */
	WEFT_UNIT_PUT,        /* on its way to the stores */
	WEFT_UNIT_READY,      /* stored, waits for a COMMIT */
	WEFT_UNIT_COMMIT,     /* a COMMIT names it */
	WEFT_UNIT_DETACHED,   /* its folios are dirty again, its COMMIT is still under way */
};

/*
 * What becomes one chunk. Holds a part of the writeback of each folio in .segs, and through them keeps the inode, until
 * weft_unit_end() or weft_unit_return(). Data units have one run; copied ones up to WEFT_UNIT_RUNS.
 */
struct weft_unit {
	struct weft_put put;
	struct weft_inode *inode;
	struct weft_mount *mount;
	struct list_head link;        /* in weft_io_inode.units */
	struct list_head ready_link;  /* in weft_io_inode.ready or weft_commit_job.units */
	enum weft_unit_state state;
	u64 id;
	u8 codec, codec_policy, codec_level; /* as struct weft_policy has them */
	bool is_inline;               /* no chunk: goes with the COMMIT */
	bool copied;                  /* .buffer has the bytes, not the folios */
	u32 len;
	u32 blocks;                   /* of the budget */
	unsigned int n_runs;
	struct weft_run runs[WEFT_UNIT_RUNS];
	unsigned int n_segs, max_segs;
	struct bio_vec *segs;         /* each within one folio */
	struct bio_vec few_segs[WEFT_UNIT_RUNS];
	void *buffer;
	struct bio_vec buffer_seg;
	bool unpinned;                /* not copied, but its folios are not read any more: .pack has what is stored */
	struct weft_pack pack;
	struct weft_unit_dedup dedup;
};

/* May sleep for the reserve unless nowait; NULL then. Enters it into the inode's list with the run that begins at pos. */
struct weft_unit *weft_unit_alloc(struct weft_inode *inode, u64 pos, bool nowait);
/* Adds len bytes at offset of the folio to the end of the last run. false: no memory, close the unit. */
bool weft_unit_append(struct weft_unit *unit, struct folio *folio, size_t offset, u32 len);
/* Copies the content; from then on the folios may change. */
void weft_unit_copy(struct weft_unit *unit);
/* A copy of another kind is there: from then on the folios may change. */
void weft_unit_unpin(struct weft_unit *unit);
/* Moves the runs and folios of @from (not copied) into @unit (copied) and frees it. false: does not fit. */
bool weft_unit_merge(struct weft_unit *unit, struct weft_unit *from);
/*
 * To the stores, or to the COMMIT if inline. Takes the unit in any case. -EINTR: killed while waiting, -EAGAIN: no slot came
 * free; either way it is of no use to go on.
 */
int weft_unit_submit(struct weft_unit *unit, bool sync);
/* One that was submitted: its bytes go to the stores, or, because the chunk (a reference, taken over) has them, nothing. */
void weft_unit_send(struct weft_unit *unit);
void weft_unit_found(struct weft_unit *unit, struct weft_chunk *chunk);
/* It failed (see unit.c for what that means), or was not wanted (0): dirty again. What cannot go without it goes back as well. */
void weft_unit_return(struct weft_unit *unit, int error);
/* Committed: its folios end writeback. */
void weft_unit_end(struct weft_unit *unit);
/* Bytes from pos on will never be written: programs learn it from fsync(), administrators from the log and an event. */
void weft_tell_dropped(struct weft_inode *inode, u64 pos, u64 bytes);
/* Of a unit that is named by a COMMIT: its folios dirty again, the unit is the COMMIT's alone. */
void weft_unit_detach(struct weft_unit *unit);
void weft_unit_free(struct weft_unit *unit);
/* The reserve of a mount. exit also after a failed init. */
int weft_unit_pools_init(struct weft_mount *mount);
void weft_unit_pools_exit(struct weft_mount *mount);
int weft_unit_init(void);
void weft_unit_exit(void);

/* --- pack.c ------------------------------------------------------------------------------------------------------------ */
/* Whether a unit that is about to be put may be compressed. */
bool weft_pack_wanted(const struct weft_unit *unit);
/* Compresses it if it is worth it, and puts it in any case; from a work item. */
void weft_pack_submit(struct weft_unit *unit);
/* It is stored, or not: the pages of its stored form are not needed any more. */
void weft_pack_release(struct weft_unit *unit);
void weft_pack_free(struct weft_unit *unit);
/* Workspaces of a mount. exit also after a failed init. */
int weft_pack_mount_init(struct weft_mount *mount);
void weft_pack_mount_exit(struct weft_mount *mount);
int weft_pack_init(void);
void weft_pack_exit(void);

/* --- dedup.c ----------------------------------------------------------------------------------------------------------- */
/* Whether a unit that was submitted is to be hashed and asked for. */
bool weft_dedup_wanted(const struct weft_unit *unit);
/* Does that from a work item; then weft_unit_send() or weft_unit_found(). */
void weft_dedup_submit(struct weft_unit *unit);
/* A COMMIT was answered well, with FOUND: others have what some of its units brought. */
void weft_dedup_merged(struct weft_commit_job *commit, const struct nlattr *found);
/* It was answered NEED: units that are not needed, if any can go on by that, leave it and are ready again. */
void weft_dedup_need(struct weft_commit_job *commit, const struct weft_request *req);
void weft_dedup_watch_work(struct work_struct *work);
void weft_dedup_mount_init(struct weft_mount *mount);
int weft_dedup_init(void);
void weft_dedup_exit(void);

/* --- commit.c ---------------------------------------------------------------------------------------------------------- */
/* A COMMIT under way, or about to be. */
struct weft_commit_job {
	struct list_head link;     /* in weft_io_mount.commits */
	struct weft_inode *inode;  /* with .running, under weft_io_mount.lock */
	struct weft_mount *mount;
	struct list_head units;    /* by ready_link, in the order of NEWCHUNKs */
	unsigned int n_units, n_runs;
	unsigned int n_new;        /* of the units: those that bring a chunk */
	u64 size;                  /* that it says */
	u64 sequence;              /* weft_io_inode.sequence */
	u64 ino;
	unsigned long started;     /* jiffies */
	bool is_inline;
	bool running;
	bool stalled;              /* under extent_lock: no unit waits for it */
};

/* The unit is stored: name it in a COMMIT. The caller does not touch it again. */
void weft_commit_queue(struct weft_unit *unit);
/* Sends what is ready; the caller keeps the inode. */
void weft_commit_kick(struct weft_inode *inode);
/* Sends a COMMIT of the times and of what may be said of the size. Does not wait; -EAGAIN: there is one under way. */
int weft_commit_times(struct weft_inode *inode);
/*
 * All below size is committed, unless the size was changed meanwhile: resizes is what weft_io_inode.resizes was when size was
 * read. Waits killably until the metadata service has that size, and the times.
 */
int weft_commit_wait(struct weft_inode *inode, loff_t size, u64 resizes);
/* Every second while COMMITs are under way: detaches those that do not move. */
void weft_commit_watch_work(struct work_struct *work);
/* The COMMIT that is under way does not move: what would have to wait for it is not written now. */
bool weft_commit_stalled(struct weft_inode *inode);
/*
 * With extent_lock held: moves what is ready, but waits for nothing that moves, to the end of the list (by ready_link); the
 * caller returns it when he has dropped the lock.
 */
void weft_commit_stuck(struct weft_io_inode *io, struct list_head *stuck);
/* With weft_io_mount.lock held: is a COMMIT under way that was sent at that time (jiffies) or before? */
bool weft_commit_oldest(struct weft_mount *mount, unsigned long time);
/* At evict: no COMMIT looks at the inode any more. */
void weft_commit_forget(struct weft_inode *inode);

/* --- commit_size.c ------------------------------------------------------------------------------------------------------ */
/* Called by the COMMIT's sender only, while it has the inode's place. */
u64 weft_commit_size(struct weft_inode *inode, const struct weft_commit_job *commit);

/* --- mount.c ------------------------------------------------------------------------------------------------------------ */
/* The counters say what INFLIGHT_BYTES can come to by the budget as it is. */
void weft_io_bound_tell(struct weft_mount *mount);

/* --- policy.c ---------------------------------------------------------------------------------------------------------- */
/* For what is written of the inode now. What it names there is; the level is never 0. */
void weft_policy_of(struct weft_inode *inode, struct weft_policy *policy);

/* --- cut.c ------------------------------------------------------------------------------------------------------------- */
int weft_writepages(struct address_space *mapping, struct writeback_control *wbc);
/* Gives weft_io_inode.cut_lock back and wakes those that wait for it with unit_wait. */
void weft_cut_unlock(struct weft_inode *inode);

/* --- resize.c ---------------------------------------------------------------------------------------------------------- */
/*
 * With cut_lock held: waits killably until no unit of the inode is left and no COMMIT is under way; until unhold none is sent.
 * 0, -EINTR, -EIO when the mount is dead. unhold sends nothing by itself: weft_commit_kick() does.
 */
int weft_commit_hold(struct weft_inode *inode);
void weft_commit_unhold(struct weft_inode *inode);

/* --- due.c: inodes that want writeback --------------------------------------------------------------------------------- */
void weft_due_add(struct weft_inode *inode, enum weft_io_due due);
void weft_due_del(struct weft_inode *inode);
void weft_due_kick(struct weft_mount *mount, unsigned long delay);
void weft_due_work(struct work_struct *work);
void weft_flush_work(struct work_struct *work);

/* --- mount.c: jobs that may touch a mount when its inodes have gone ----------------------------------------------------- */
static inline void weft_job_begin(struct weft_mount *mount)
{
	atomic_inc(&mount->io.jobs);
}

void weft_job_end(struct weft_mount *mount);

extern struct workqueue_struct *weft_flush_wq;

#endif /* _WEFT_IO_INTERNAL_H */
