// SPDX-License-Identifier: GPL-2.0-only
/*
 * commit.c - telling the metadata service where new content lies
 *
 * Units that are stored wait in the inode's ready list; a COMMIT names as many of them as fit. An inode has one COMMIT
 * under way, and none while its size is being changed or it is cloned (commit_hold), so that operations on its extents never overlap.
 *
 * What must stay true:
 *   - No COMMIT says a size that has bytes which none has brought: see commit_size.c. That holds for those without units, too.
 *   - An inline COMMIT goes alone; of a file that is inline no extents go without those that begin at 0, because the
 *     metadata service drops the inline content with them.
 *   - The answer's extents are in the cache before the folios end writeback.
 *   - A COMMIT that does not move gives its folios back (weft_commit_watch_work) but stays under way, and the next one of the
 *     inode waits for it: the answer may yet come. weft_io_mount.commit_sem keeps watch and answers apart.
 *   - No unit stays ready, and its folios under writeback, unless something that moves is going to take it: a COMMIT that is
 *     not .stalled, or of an inline file the unit that begins at 0. What would stay goes back: see weft_commit_stuck().
 *   - weft_commit_job.inode is NULL when the inode went before the answer. A COMMIT whose answer is being worked in
 *     (.running), or that has units which are not detached, keeps the inode.
 */
#include <linux/errno.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/unaligned.h>

#include "io/internal.h"

/* Of the payload: INO, COMMIT and the heads of arrays. */
#define COMMIT_OVERHEAD 256u

static struct weft_commit_job *commit_alloc(struct weft_inode *inode)
{
	struct weft_commit_job *commit = kzalloc(sizeof(*commit), GFP_NOFS);

	if (!commit)
		return NULL;
	INIT_LIST_HEAD(&commit->units);
	INIT_LIST_HEAD(&commit->link);
	commit->inode = inode;
	commit->mount = weft_inode_mount(inode);
	commit->ino = inode->ino;
	weft_job_begin(commit->mount);
	return commit;
}

static void commit_free(struct weft_commit_job *commit)
{
	struct weft_mount *mount = commit->mount;

	kfree(commit);
	weft_job_end(mount);
}

static size_t unit_payload(const struct weft_unit *unit)
{
	if (unit->is_inline)
		return nla_total_size(unit->len);
	if (unit->dedup.chunk)
		return unit->n_runs * sizeof(struct weft_extent);
	return nla_total_size(sizeof(struct weft_chunk_new) + (unit->put.k + unit->put.m) * sizeof(struct weft_shard_new)) +
	       unit->n_runs * sizeof(struct weft_extent);
}

/* Of an inline file's units the one that begins at 0 has to be among the first extents. NULL: it is not ready. */
static struct weft_unit *ready_first(struct weft_io_inode *io)
{
	struct weft_unit *unit = list_first_entry_or_null(&io->ready, struct weft_unit, ready_link);

	if (!io->is_inline || !unit || unit->is_inline)
		return unit;
	list_for_each_entry(unit, &io->ready, ready_link)
		if (!unit->runs[0].pos)
			return unit;
	return NULL;
}

/* Not while the size changes, nor until it is known whether it has; never when nobody knows what the file is like. */
static bool commit_may_go(const struct weft_io_inode *io)
{
	const struct weft_inode *inode = container_of(io, struct weft_inode, io);

	return !io->commit_hold && !READ_ONCE(inode->in_doubt) && !READ_ONCE(inode->bad);
}

static void commit_take(struct weft_commit_job *commit, struct weft_unit *unit)
{
	list_move_tail(&unit->ready_link, &commit->units);
	unit->state = WEFT_UNIT_COMMIT;
	commit->n_units++;
	commit->n_new += !unit->dedup.chunk;
	commit->n_runs += unit->n_runs;
}

/* With extent_lock held: takes ready units, and the inode's place for a COMMIT. false: nothing to send. */
static bool commit_gather(struct weft_io_inode *io, struct weft_commit_job *commit)
{
	size_t room = WEFT_PAYLOAD_MAX - COMMIT_OVERHEAD;
	struct weft_unit *unit, *next;

	commit->n_units = 0;
	commit->n_new = 0;
	commit->n_runs = 0;
	commit->is_inline = false;
	commit->stalled = false;
	unit = commit_may_go(io) ? ready_first(io) : NULL;
	if (!unit)
		return false;
	io->commit = commit;
	commit->is_inline = unit->is_inline;
	room -= unit_payload(unit);
	commit_take(commit, unit);
	if (commit->is_inline)
		return true;
	list_for_each_entry_safe(unit, next, &io->ready, ready_link) {
		if (unit->is_inline || unit_payload(unit) > room || commit->n_units == WEFT_COMMIT_HASHED_MAX)
			break;
		room -= unit_payload(unit);
		commit_take(commit, unit);
	}
	return true;
}

/* With extent_lock held: the unit that an inline file's others have to go with may still become ready. */
static bool first_may_come(const struct weft_io_inode *io)
{
	const struct weft_unit *unit;

	list_for_each_entry(unit, &io->units, link)
		if (!unit->runs[0].pos && unit->state < WEFT_UNIT_READY)
			return true;
	return false;
}

void weft_commit_stuck(struct weft_io_inode *io, struct list_head *stuck)
{
	lockdep_assert_held(&io->extent_lock);
	if (io->commit ? io->commit->stalled : !commit_may_go(io) || !first_may_come(io))
		list_splice_tail_init(&io->ready, stuck);
}

/* They are ready and in nobody's list any more; the last one lets the inode go. */
static void units_return(struct list_head *units)
{
	struct weft_unit *unit, *next;

	list_for_each_entry_safe(unit, next, units, ready_link) {
		list_del_init(&unit->ready_link);
		weft_unit_return(unit, -EAGAIN);
	}
}

/* --- the request ---------------------------------------------------------------------------------------------------------- */

static void encode_time(struct weft_time *to, struct timespec64 from)
{
	to->sec = cpu_to_le64(from.tv_sec);
	to->nsec = cpu_to_le32(from.tv_nsec);
}

static void add_chunk(struct weft_request *req, const struct weft_unit *unit)
{
	const struct weft_put *put = &unit->put;
	unsigned int n = put->k + put->m, i;
	struct weft_chunk_new *chunk;
	struct weft_shard_new *shard;

	chunk = weft_request_reserve(req, WEFT_P_NEWCHUNK, sizeof(*chunk) + n * sizeof(*shard));
	if (!chunk)
		return;
	chunk->sid.session = cpu_to_le64(put->sid_session);
	chunk->sid.counter = cpu_to_le64(put->sid_counter);
	chunk->group = cpu_to_le64(put->group);
	chunk->plain_len = cpu_to_le32(put->plain_len);
	chunk->stored_len = cpu_to_le32(put->stored_len);
	chunk->shard_len = cpu_to_le32(put->shard_len);
	chunk->codec = put->codec;
	chunk->cipher = put->cipher;
	chunk->key_id = cpu_to_le32(put->key_id);
	chunk->k = put->k;
	chunk->m = put->m;
	if (unit->dedup.hashed) {
		chunk->flags = cpu_to_le32(unit->dedup.share ? WEFT_NF_SHARE : 0);
		memcpy(chunk->content_id, unit->dedup.id, sizeof(chunk->content_id));
	}
	shard = (struct weft_shard_new *)(chunk + 1);
	for (i = 0; i < n; i++) {
		shard[i].store = cpu_to_le32(put->shards[i].store);
		shard[i].table_crc = cpu_to_le32(put->shards[i].table_crc);
	}
}

static int extent_cmp(const void *left, const void *right)
{
	u64 a = le64_to_cpu(((const struct weft_extent *)left)->offset);
	u64 b = le64_to_cpu(((const struct weft_extent *)right)->offset);

	return a < b ? -1 : a > b;
}

static void add_units(struct weft_request *req, struct weft_commit_job *commit)
{
	struct weft_extent *extents, *extent;
	struct weft_unit *unit;
	unsigned int number = 0, i;

	list_for_each_entry(unit, &commit->units, ready_link)
		if (!unit->dedup.chunk)
			add_chunk(req, unit);
	extents = weft_request_reserve(req, WEFT_P_EXTENTS, commit->n_runs * sizeof(*extents));
	if (!extents)
		return;
	extent = extents;
	list_for_each_entry(unit, &commit->units, ready_link) {
		for (i = 0; i < unit->n_runs; i++, extent++) {
			extent->offset = cpu_to_le64(unit->runs[i].pos);
			extent->length = cpu_to_le64(unit->runs[i].len);
			extent->group = cpu_to_le64(unit->dedup.chunk ? unit->dedup.chunk->group : 0);
			extent->number = cpu_to_le64(unit->dedup.chunk ? unit->dedup.chunk->number : number);
			extent->chunk_offset = cpu_to_le32(unit->runs[i].chunk_offset);
		}
		number += !unit->dedup.chunk;
	}
	sort(extents, commit->n_runs, sizeof(*extents), extent_cmp, NULL);
}

static void commit_done(struct weft_request *req);

/* Together, for who waits for the COMMIT that has what he changed: see meta_wanted(). */
static void commit_number(struct weft_commit_job *commit)
{
	struct weft_io_inode *io = &commit->inode->io;

	spin_lock(&io->extent_lock);
	clear_bit(WEFT_IO_META_DIRTY, &io->flags);
	commit->sequence = ++io->sequence;
	spin_unlock(&io->extent_lock);
	/* Before the times and the size are read: who changes them later marks the inode again. */
	smp_mb();
}

/* There is more to say than what is sent. */
static void meta_again(struct weft_inode *inode)
{
	set_bit(WEFT_IO_META_DIRTY, &inode->io.flags);
	mark_inode_dirty_sync(&inode->vfs);
}

/* What the COMMIT says besides its units. */
static void add_head(struct weft_request *req, struct weft_inode *inode, struct weft_commit_job *commit,
		     const struct weft_unit *unit)
{
	struct weft_commit head = {};

	commit->size = commit->is_inline ? unit->len : weft_commit_size(inode, commit);
	/* The rest of it has to be said as well, also when what stood in the way turns out to bring no COMMIT. */
	if (commit->size < i_size_read(&inode->vfs))
		meta_again(inode);
	head.flags = cpu_to_le32(WEFT_CF_SIZE | WEFT_CF_MTIME | (commit->is_inline ? WEFT_CF_INLINE : 0));
	head.size = cpu_to_le64(commit->size);
	head.done_below = cpu_to_le64(weft_put_lowest(commit->mount));
	head.sequence = cpu_to_le64(commit->sequence);
	encode_time(&head.mtime, inode_get_mtime(&inode->vfs));
	encode_time(&head.ctime, inode_get_ctime(&inode->vfs));
	weft_request_add(req, WEFT_P_COMMIT, &head, sizeof(head));
}

static void watch_kick(struct weft_mount *mount)
{
	if (!READ_ONCE(mount->io.stopping))
		queue_delayed_work(mount->io.wq, &mount->io.watch, WEFT_PARK_TIME);
}

/* Under way: the watch sees it. */
static void commit_list_add(struct weft_commit_job *commit)
{
	spin_lock(&commit->mount->io.lock);
	/* In the order of the list: see weft_commit_oldest(). */
	commit->started = jiffies;
	commit->running = false;
	list_add_tail(&commit->link, &commit->mount->io.commits);
	spin_unlock(&commit->mount->io.lock);
}

static void commit_list_del(struct weft_commit_job *commit)
{
	spin_lock(&commit->mount->io.lock);
	commit->running = true;
	list_del_init(&commit->link);
	spin_unlock(&commit->mount->io.lock);
}

/* The inode is kept by the caller or by units. Behind a submit that went well the COMMIT is not the caller's any more. */
static int commit_send(struct weft_commit_job *commit)
{
	struct weft_inode *inode = commit->inode;
	struct weft_mount *mount = commit->mount;
	const struct weft_unit *unit = list_first_entry_or_null(&commit->units, struct weft_unit, ready_link);
	struct weft_request *req;
	int error;

	commit_number(commit);
	if (weft_mount_dead(mount))
		return -EIO;
	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_COMMIT, 2, 512, GFP_NOFS);
	if (!req)
		return -ENOMEM;
	req->ino = commit->ino;
	req->mutating = true;
	req->done = commit_done;
	req->private = commit;
	weft_request_add_u64(req, WEFT_P_INO, commit->ino);
	add_head(req, inode, commit, unit);
	if (commit->is_inline)
		weft_request_add(req, WEFT_P_DATA, unit->buffer, unit->len);
	else if (unit)
		add_units(req, commit);

	commit_list_add(commit);
	watch_kick(mount);
	error = weft_request_submit(req);
	if (error)
		commit_list_del(commit);
	weft_request_put(req);
	return error;
}

/* --- the answer ----------------------------------------------------------------------------------------------------------- */

/* The file is inline now, or not any more. */
static void install_inline(struct weft_inode *inode, struct weft_unit *unit)
{
	struct weft_io_inode *io = &inode->io;
	void *data = unit ? kmemdup(unit->buffer, unit->len, GFP_NOFS) : NULL;

	spin_lock(&io->extent_lock);
	if (unit)
		weft_extent_forget(inode, 0, U64_MAX);
	else
		io->extents_gen++;
	io->is_inline = unit;
	weft_extent_set_inline(inode, data, unit ? unit->len : 0);
	if (unit)
		io->mapped_end = max_t(u64, io->mapped_end, unit->len);
	spin_unlock(&io->extent_lock);
}

static void install_unit(struct weft_inode *inode, struct weft_unit *unit, u64 number)
{
	struct weft_io_inode *io = &inode->io;
	struct weft_piece *spares = weft_piece_alloc(2 * unit->n_runs, GFP_NOFS);
	struct weft_chunk *chunk = unit->dedup.chunk;
	unsigned int i;

	if (chunk)
		weft_chunk_get(chunk);
	else if (!unit->dedup.merged)
		chunk = weft_chunk_from_put(&unit->put, number, GFP_NOFS);
	spin_lock(&io->extent_lock);
	for (i = 0; i < unit->n_runs; i++) {
		const struct weft_run *run = &unit->runs[i];

		if (IS_ERR_OR_NULL(chunk))
			weft_extent_forget(inode, run->pos, run->pos + run->len);
		else
			weft_extent_replace(inode, &spares, run->pos, run->pos + run->len, chunk, run->chunk_offset);
		io->mapped_end = max(io->mapped_end, run->pos + run->len);
	}
	spin_unlock(&io->extent_lock);
	weft_piece_free(spares);
	if (!IS_ERR_OR_NULL(chunk))
		weft_chunk_put(chunk);
}

/* Committed: the extents are published, then the folios end writeback. numbers: one a unit, NULL if inline or none. */
static void commit_success(struct weft_commit_job *commit, const __le64 *numbers)
{
	struct weft_inode *inode = commit->inode;
	struct weft_unit *unit, *next;

	if (inode) {
		bool was_inline = READ_ONCE(inode->io.is_inline);

		if (commit->is_inline || (was_inline && commit->n_units))
			install_inline(inode, commit->is_inline ?
				       list_first_entry(&commit->units, struct weft_unit, ready_link) : NULL);
		spin_lock(&inode->io.extent_lock);
		inode->io.committed_size = max(inode->io.committed_size, commit->size);
		inode->io.committed = commit->sequence;
		wake_up_all(&inode->io.unit_wait);
		spin_unlock(&inode->io.extent_lock);
		weft_extent_touch(inode);
	}
	list_for_each_entry_safe(unit, next, &commit->units, ready_link) {
		u64 number = numbers && !unit->dedup.chunk ? le64_to_cpu(*numbers++) : 0;

		list_del_init(&unit->ready_link);
		if (!unit->is_inline) {
			if (inode)
				install_unit(inode, unit, number);
			if (!unit->dedup.merged)
				weft_put_committed(&unit->put, number);
			weft_put_release(&unit->put);
		}
		if (unit->state == WEFT_UNIT_DETACHED)
			weft_unit_free(unit);
		else
			weft_unit_end(unit);
	}
}

/* Not committed: what is not dirty already is so again. */
static void commit_failure(struct weft_commit_job *commit, int error)
{
	struct weft_inode *inode = commit->inode;
	struct weft_unit *unit, *next;

	if (inode) {
		spin_lock(&inode->io.extent_lock);
		set_bit(WEFT_IO_META_DIRTY, &inode->io.flags);
		inode->io.failed = commit->sequence;
		inode->io.commit_error = error;
		wake_up_all(&inode->io.unit_wait);
		spin_unlock(&inode->io.extent_lock);
		/* Data that is dirty again brings the next one; times alone have only this. */
		if (!commit->n_units && !weft_inode_lost(inode))
			mark_inode_dirty_sync(&inode->vfs);
	}
	list_for_each_entry_safe(unit, next, &commit->units, ready_link) {
		list_del_init(&unit->ready_link);
		if (!unit->is_inline)
			weft_put_release(&unit->put);
		if (unit->state == WEFT_UNIT_DETACHED)
			weft_unit_free(unit);
		else
			weft_unit_return(unit, error);
	}
}

/* The next one of the inode, in the same job; or none, and the job is gone, and the inode may be. */
static bool commit_next(struct weft_commit_job *commit)
{
	struct weft_inode *inode = commit->inode;
	LIST_HEAD(stuck);

	if (inode) {
		spin_lock(&inode->io.extent_lock);
		if (commit_gather(&inode->io, commit)) {
			spin_unlock(&inode->io.extent_lock);
			return true;
		}
		inode->io.commit = NULL;
		weft_commit_stuck(&inode->io, &stuck);
		wake_up_all(&inode->io.unit_wait);
		spin_unlock(&inode->io.extent_lock);
	}
	units_return(&stuck);
	commit_free(commit);
	return false;
}

/* Sends a job that was gathered, and what follows it if that fails. */
static void commit_run(struct weft_commit_job *commit)
{
	struct weft_mount *mount = commit->mount;
	int error;

	do {
		error = commit_send(commit);
		if (error) {
			/* The watch may have found it in the list for a moment. */
			down_read(&mount->io.commit_sem);
			commit_failure(commit, error);
			up_read(&mount->io.commit_sem);
		}
	} while (error && commit_next(commit));
}

/* What the answer says: 0 with the chunks' numbers, or -errno. */
static int answer_read(const struct weft_request *req, struct weft_commit_job *commit, struct weft_inode *inode,
		       const __le64 **numbers)
{
	const struct nlattr *tb[WEFT_P_NR];
	int error;

	*numbers = NULL;
	if (req->status == WEFT_ST_NEED) {
		weft_dedup_need(commit, req);
		return -EAGAIN;
	}
	error = weft_status_errno(req->status);
	if (error)
		return error;
	error = weft_answer_parse(req, tb);
	if (error)
		return error;
	if (inode && tb[WEFT_P_ATTR])
		weft_inode_update(&inode->vfs, nla_data(tb[WEFT_P_ATTR]));
	if (commit->is_inline || !commit->n_new)
		return 0;
	if (!tb[WEFT_P_NUMBERS] || nla_len(tb[WEFT_P_NUMBERS]) < commit->n_new * sizeof(__le64))
		return -EPROTO;
	weft_dedup_merged(commit, tb[WEFT_P_FOUND]);
	*numbers = nla_data(tb[WEFT_P_NUMBERS]);
	return 0;
}

/* It moves: units wait for it again. */
static void commit_revive(struct weft_commit_job *commit)
{
	if (!commit->inode)
		return;
	spin_lock(&commit->inode->io.extent_lock);
	commit->stalled = false;
	spin_unlock(&commit->inode->io.extent_lock);
}

static void commit_done(struct weft_request *req)
{
	struct weft_commit_job *commit = req->private;
	struct weft_mount *mount = commit->mount;
	unsigned int nofs = memalloc_nofs_save();
	const __le64 *numbers;
	bool more;
	int error;

	down_read(&mount->io.commit_sem);
	commit_list_del(commit);
	commit_revive(commit);
	error = answer_read(req, commit, commit->inode, &numbers);
	if (error) {
		commit_failure(commit, error);
	} else {
		weft_count(mount, WEFT_MC_COMMITS, 1);
		WRITE_ONCE(mount->io.moved, jiffies);
		WRITE_ONCE(mount->io.put_failed, false);
		commit_success(commit, numbers);
	}
	more = commit_next(commit);
	up_read(&mount->io.commit_sem);
	if (more)
		commit_run(commit);
	memalloc_nofs_restore(nofs);
}

/* --- who wants a COMMIT ---------------------------------------------------------------------------------------------------- */

void weft_commit_queue(struct weft_unit *unit)
{
	struct weft_inode *inode = unit->inode;
	struct weft_commit_job *commit = commit_alloc(inode);
	LIST_HEAD(stuck);
	bool send;

	/* In doubt for as long as it takes a daemon to come back: the pages do not wait for that under writeback. */
	if (!commit || READ_ONCE(inode->in_doubt) || READ_ONCE(inode->bad)) {
		if (commit)
			commit_free(commit);
		if (!unit->is_inline)
			weft_put_release(&unit->put);
		weft_unit_return(unit, -EAGAIN);
		return;
	}
	spin_lock(&inode->io.extent_lock);
	unit->state = WEFT_UNIT_READY;
	list_add_tail(&unit->ready_link, &inode->io.ready);
	commit->running = true;
	send = !inode->io.commit && commit_gather(&inode->io, commit);
	if (!send)
		weft_commit_stuck(&inode->io, &stuck);
	spin_unlock(&inode->io.extent_lock);
	if (send)
		commit_run(commit);
	else
		commit_free(commit);
	units_return(&stuck);
}

void weft_commit_kick(struct weft_inode *inode)
{
	struct weft_commit_job *commit = commit_alloc(inode);
	bool send;

	/* Then what is ready, if anything is, goes with the next unit. */
	if (!commit)
		return;
	commit->running = true;
	spin_lock(&inode->io.extent_lock);
	send = !inode->io.commit && commit_gather(&inode->io, commit);
	spin_unlock(&inode->io.extent_lock);
	if (send)
		commit_run(commit);
	else
		commit_free(commit);
}

/* With extent_lock held: takes the inode's place for a COMMIT if it is free. */
static bool meta_claim(struct weft_io_inode *io, struct weft_commit_job *commit)
{
	bool got = !io->commit && commit_may_go(io);

	lockdep_assert_held(&io->extent_lock);
	if (got)
		io->commit = commit;
	return got;
}

int weft_commit_times(struct weft_inode *inode)
{
	struct weft_commit_job *commit = commit_alloc(inode);
	bool got;

	if (!commit)
		return -ENOMEM;
	commit->running = true;
	spin_lock(&inode->io.extent_lock);
	got = meta_claim(&inode->io, commit);
	spin_unlock(&inode->io.extent_lock);
	if (got)
		commit_run(commit);
	else
		commit_free(commit);
	return got ? 0 : -EAGAIN;
}

/*
 * The least sequence of a COMMIT that says all there is to say now, whoever sends it, with units or without; 0: it was
 * answered. META_DIRTY is cleared by what is sent, so without it there is nothing newer than what is under way.
 */
static u64 meta_wanted(struct weft_inode *inode, loff_t size, u64 resizes)
{
	struct weft_io_inode *io = &inode->io;
	u64 wanted = 0;

	spin_lock(&io->extent_lock);
	if (io->resizes == resizes)
		io->flushed_size = max_t(u64, io->flushed_size, size);
	if (test_bit(WEFT_IO_META_DIRTY, &io->flags) || io->committed_size < io->flushed_size)
		wanted = io->sequence + 1;
	else if (io->commit)
		wanted = io->sequence;
	spin_unlock(&io->extent_lock);
	return wanted;
}

enum meta_step {
	META_WAIT,
	META_SEND, /* the place is the commit's */
	META_DONE,
};

/* What is to be done for the wanted COMMIT to be answered. commit: NULL if it was sent already. */
static enum meta_step meta_step(struct weft_io_inode *io, struct weft_commit_job *commit, u64 wanted, int *error)
{
	enum meta_step step = META_WAIT;

	spin_lock(&io->extent_lock);
	if (io->committed >= wanted || io->failed >= wanted) {
		*error = io->committed >= wanted ? 0 : io->commit_error;
		step = META_DONE;
	} else if (commit && meta_claim(io, commit)) {
		step = META_SEND;
	}
	spin_unlock(&io->extent_lock);
	return step;
}

/* Others' COMMITs count as well, so a file that is written without pause keeps nobody waiting. */
int weft_commit_wait(struct weft_inode *inode, loff_t size, u64 resizes)
{
	struct weft_io_inode *io = &inode->io;
	struct weft_mount *mount = weft_inode_mount(inode);
	u64 wanted = meta_wanted(inode, size, resizes);
	enum meta_step step = META_WAIT;
	struct weft_commit_job *commit;
	int error = 0, killed;

	if (!wanted)
		return 0;
	commit = commit_alloc(inode);
	if (!commit)
		return -ENOMEM;
	commit->running = true;
	do {
		killed = wait_event_killable(io->unit_wait, weft_mount_dead(mount) ||
					     (step = meta_step(io, commit, wanted, &error)) != META_WAIT);
		if (step == META_SEND) {
			commit_run(commit);
			commit = NULL;
			step = META_WAIT;
			continue;
		}
		break;
	} while (!killed);
	if (commit)
		commit_free(commit);
	if (step == META_DONE)
		return error;
	return killed ? -EINTR : -EIO;
}

/* --- COMMITs that do not move ------------------------------------------------------------------------------------------------ */

bool weft_commit_stalled(struct weft_inode *inode)
{
	bool stalled;

	spin_lock(&inode->io.extent_lock);
	stalled = inode->io.commit && inode->io.commit->stalled;
	spin_unlock(&inode->io.extent_lock);
	return stalled;
}

/*
 * What waits behind it goes back, it was not sent; then its own units. Only these keep the inode, and it may be gone when they
 * have; so it is not looked at.
 */
static void commit_detach(struct weft_commit_job *commit, struct list_head *stuck)
{
	struct weft_unit *unit;

	units_return(stuck);
	list_for_each_entry(unit, &commit->units, ready_link)
		if (unit->state != WEFT_UNIT_DETACHED)
			weft_unit_detach(unit);
}

static unsigned int commit_timeout_ms = 20000;
module_param(commit_timeout_ms, uint, 0644);
MODULE_PARM_DESC(commit_timeout_ms, "time in ms without an answer of the daemon after which pages do not stay under writeback");

/* From when on a COMMIT is too long under way. A daemon that is bound may have its reasons. */
static unsigned long commit_deadline(const struct weft_commit_job *commit)
{
	if (!weft_cluster_bound(commit->mount->cluster))
		return commit->started + WEFT_STALL_UNBOUND;
	return commit->started + msecs_to_jiffies(clamp(READ_ONCE(commit_timeout_ms), 1000u, 3600000u));
}

/*
 * With weft_io_mount.lock held. Has it been under way for too long, and do its units, or others that wait for it, keep folios
 * under writeback? From then on none waits for it any more, with or without units of its own; those that did are in stuck.
 */
static bool commit_stalled(struct weft_commit_job *commit, struct list_head *stuck)
{
	const struct weft_unit *unit = list_first_entry_or_null(&commit->units, struct weft_unit, ready_link);

	if (!commit->inode || !time_after(jiffies, commit_deadline(commit)))
		return false;
	spin_lock(&commit->inode->io.extent_lock);
	commit->stalled = true;
	weft_commit_stuck(&commit->inode->io, stuck);
	spin_unlock(&commit->inode->io.extent_lock);
	return !list_empty(stuck) || (unit && unit->state != WEFT_UNIT_DETACHED);
}

static void commit_watch(struct weft_mount *mount)
{
	struct weft_commit_job *commit;
	LIST_HEAD(stuck);
	bool again;

	do {
		again = false;
		down_write(&mount->io.commit_sem);
		spin_lock(&mount->io.lock);
		list_for_each_entry(commit, &mount->io.commits, link) {
			if (!commit->running && commit_stalled(commit, &stuck)) {
				again = true;
				break;
			}
		}
		spin_unlock(&mount->io.lock);
		if (again)
			commit_detach(commit, &stuck);
		up_write(&mount->io.commit_sem);
	} while (again);
}

void weft_commit_watch_work(struct work_struct *work)
{
	struct weft_mount *mount = container_of(to_delayed_work(work), struct weft_mount, io.watch);
	unsigned int nofs = memalloc_nofs_save();

	commit_watch(mount);
	memalloc_nofs_restore(nofs);
	/* One that is sent from now on arms it itself. */
	if (!list_empty_careful(&mount->io.commits))
		watch_kick(mount);
}

bool weft_commit_oldest(struct weft_mount *mount, unsigned long time)
{
	const struct weft_commit_job *commit;

	lockdep_assert_held(&mount->io.lock);
	commit = list_first_entry_or_null(&mount->io.commits, struct weft_commit_job, link);
	return commit && time_before_eq(commit->started, time);
}

void weft_commit_forget(struct weft_inode *inode)
{
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_commit_job *commit;

	spin_lock(&mount->io.lock);
	/* A job is freed only after it has left its place under this lock. */
	spin_lock(&inode->io.extent_lock);
	commit = inode->io.commit;
	if (commit && !commit->running) {
		commit->inode = NULL;
		inode->io.commit = NULL;
	}
	spin_unlock(&inode->io.extent_lock);
	spin_unlock(&mount->io.lock);
	wait_event(inode->io.unit_wait, !READ_ONCE(inode->io.commit));
	/* Whoever woke us has left the inode when the lock is free. */
	spin_lock(&inode->io.extent_lock);
	spin_unlock(&inode->io.extent_lock);
}
