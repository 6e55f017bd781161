// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fetching a range of a chunk: from submission to .done.
 *
 * The memory of all fetches of a cluster is bounded: a job that finds no room waits in a queue, in order, without a
 * thread, and starts when others end. One is always let in. The job's work item takes every decision; answers, timers
 * and the daemon only kick it. No late answer can harm: what is received belongs to the request, and a request that was
 * let go of receives nothing more.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunk/crctable.h"
#include "node/get.h"
#include "obs/trace.h"
#include "uapi/weft_netlink.h"

/* Memory of the fetches of a cluster under way: a sixty-fourth of all, within these bounds. */
#define BYTES_MIN (16ull << 20)
#define BYTES_MAX (256ull << 20)

#define TICK HZ

/* Of the list of missing shards: the sentence around it fits an event with it (obs/event.c). */
#define MISSING_TEXT_MAX 512

static u64 get_bytes_max(void)
{
	return clamp((u64)totalram_pages() << PAGE_SHIFT >> 6, BYTES_MIN, BYTES_MAX);
}

void weft_get_job_get(struct weft_get_job *job)
{
	refcount_inc(&job->ref);
}

void weft_get_job_put(struct weft_get_job *job)
{
	if (!refcount_dec_and_test(&job->ref))
		return;
	weft_get_frames_free(job);
	weft_group_put(job->group);
	weft_cluster_put(job->cluster);
	kfree(job);
}

void weft_get_job_kick(struct weft_get_job *job)
{
	weft_get_job_get(job);
	if (!queue_work(weft_node_wq, &job->work))
		weft_get_job_put(job);
}

static void get_timer(struct work_struct *work)
{
	struct weft_get_job *job = container_of(to_delayed_work(work), struct weft_get_job, timer);

	weft_get_job_kick(job);
	weft_get_job_put(job);
}

/* Never longer than TICK: that it ran much later than it should says that nobody could have been heard meanwhile. */
static void get_timer_set(struct weft_get_job *job, unsigned long when)
{
	long delay = min((long)(when - jiffies), (long)TICK);

	job->wakes_at = jiffies + delay;
	weft_get_job_get(job);
	/* Already set: it keeps the reference that it has. */
	if (mod_delayed_work(weft_node_wq, &job->timer, max(delay, 1L)))
		weft_get_job_put(job);
}

/*
 * A pause of this machine (suspended, stopped, an emulated processor that got no time) counts neither as time that hosts
 * were given nor as time that the reader has waited for them.
 */
static void get_discard_pause(struct weft_get_job *job)
{
	unsigned long now = jiffies;

	if (time_after(now, job->wakes_at + TICK))
		job->moved += now - job->wakes_at;
	job->wakes_at = now;
}

/* --- room ------------------------------------------------------------------------------------------------------------- */

static bool get_admit(struct weft_get_job *job)
{
	struct weft_node_cluster *node = &job->cluster->node;

	lockdep_assert_held(&node->job_lock);
	if (node->get_bytes && node->get_bytes + job->bytes > get_bytes_max())
		return false;
	node->get_bytes += job->bytes;
	job->admitted = true;
	/* Waiting for its turn is nobody's fault. */
	job->moved = job->wakes_at = jiffies;
	return true;
}

/* A job has ended: give its memory to those who wait. */
static void get_leave(struct weft_get_job *job)
{
	struct weft_node_cluster *node = &job->cluster->node;
	struct weft_get_job *next;

	spin_lock(&node->job_lock);
	list_del_init(&job->link);
	list_del_init(&job->waiting);
	if (job->admitted)
		node->get_bytes -= job->bytes;
	job->admitted = false;
	while ((next = list_first_entry_or_null(&node->gets_waiting, struct weft_get_job, waiting))) {
		if (!get_admit(next))
			break;
		list_del_init(&next->waiting);
		weft_get_job_kick(next);
	}
	spin_unlock(&node->job_lock);
	wake_up_all(&node->job_wait);
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static const char *state_text(const struct weft_get_shard *shard)
{
	return shard->state == WEFT_GET_PENDING ? "no answer" : weft_status_text(shard->status);
}

/* One whose answer is awaited counts as missing only when the time for it is over. */
static bool shard_missing(const struct weft_get_job *job, const struct weft_get_shard *shard)
{
	switch (shard->state) {
	case WEFT_GET_AWAY:
	case WEFT_GET_LOST:
		return true;
	case WEFT_GET_PENDING:
		return time_after_eq(jiffies, weft_get_deadline(job));
	default:
		return false;
	}
}

static void shard_print(const struct weft_get_job *job, const struct weft_get_shard *shard, unsigned int index,
		       char *text, size_t size)
{
	const struct weft_chunk *chunk = job->get->chunk;
	u32 store = job->group->slots[index];
	struct weft_host *host;

	for (unsigned int i = 0; i < chunk->n_exceptions; i++)
		if (chunk->exceptions[i].index == index)
			store = chunk->exceptions[i].store;
	if (store == WEFT_STORE_NONE) {
		scnprintf(text, size, "%u (not rebuilt yet)", index);
		return;
	}
	host = weft_host_of_store(job->cluster, store);
	scnprintf(text, size, "%u on store %u, host %s (%s)", index, store, host ? host->name : "unknown",
		  state_text(shard));
	if (host)
		weft_host_put(host);
}

/*
 * Which shards are missing, and on which stores and hosts they should be; returns how many. Those that do not fit in
 * @size bytes are counted at the end of the text.
 */
static unsigned int missing_print(const struct weft_get_job *job, const struct weft_get_band *band, char *text,
				  size_t size)
{
	const size_t room = size - sizeof("; and 31 more");
	unsigned int n = 0, left_out = 0;
	size_t len = 0;
	char one[96];

	text[0] = '\0';
	for (unsigned int i = 0; i < job->layout.k + job->layout.m; i++) {
		if (!shard_missing(job, &band->shards[i]))
			continue;
		n++;
		shard_print(job, &band->shards[i], i, one, sizeof(one));
		if (!left_out && len + strlen(one) + 2 < room)
			len += scnprintf(text + len, room - len, "%s%s", len ? "; " : "", one);
		else
			left_out++;
	}
	if (left_out)
		scnprintf(text + len, size - len, "; and %u more", left_out);
	return n;
}

static void get_event(const struct weft_get_job *job, const struct weft_get_band *band)
{
	const struct weft_get *get = job->get;
	const struct weft_chunk *chunk = get->chunk;
	unsigned int n;
	char text[MISSING_TEXT_MAX];

	n = missing_print(job, band, text, sizeof(text));
	weft_event(job->cluster, WEFT_EVENT_READ_FAILED, job->mount->session, get->ino, get->file_offset, chunk->group,
		   "%u bytes at %llu of inode %llu cannot be read until more of its stores are back: chunk %llu:%llu (sid %llx.%llx) needs %u of its %u shards, and %u are missing: %s",
		   get->length, get->file_offset, get->ino, chunk->group, chunk->number, chunk->sid_session,
		   chunk->sid_counter, chunk->k, chunk->k + chunk->m, n, text);
}

static void get_end(struct weft_get_job *job, int error)
{
	struct weft_get *get = job->get;

	for (unsigned int i = 0; i < job->n_bands; i++)
		weft_get_band_end(job, &job->bands[i]);
	if (job->asking && weft_group_unask(job->cluster, &job->waiter))
		weft_get_job_put(job);
	if (cancel_delayed_work(&job->timer))
		weft_get_job_put(job);
	job->over = true;
	weft_count(job->mount, error ? WEFT_MC_READ_ERRORS : WEFT_MC_FETCH_BYTES, error ? 1 : get->length);
	weft_get_frames_free(job);
	get->error = error;
	trace_weft_get_done(get);
	get->done(get);
	get_leave(job);
	/* The reference of the job's being under way. */
	weft_get_job_put(job);
}

/* --- steps ---------------------------------------------------------------------------------------------------------------- */

static void get_waiter_woken(struct weft_group_waiter *waiter)
{
	struct weft_get_job *job = container_of(waiter, struct weft_get_job, waiter);

	spin_lock(&job->lock);
	job->answered = true;
	spin_unlock(&job->lock);
	weft_get_job_kick(job);
	weft_get_job_put(job);
}

static int get_group_ask(struct weft_get_job *job)
{
	int err;

	job->waiter.wake = get_waiter_woken;
	job->waiter.error = 0;
	job->asking = true;
	job->asked = true;
	weft_get_job_get(job);
	err = weft_group_ask(job->mount, job->get->chunk->group, &job->waiter);
	if (err) {
		job->asking = false;
		weft_get_job_put(job);
	}
	return err;
}

/*
 * Find the chunk's group. Returns 1 when it is there, 0 when the daemon was asked, or a negative errno. Something else
 * than a group being the answer (no daemon, an old leader) is asked again until the deadline.
 */
static int get_group(struct weft_get_job *job, unsigned long *next)
{
	const struct weft_chunk *chunk = job->get->chunk;
	bool answered;

	spin_lock(&job->lock);
	answered = job->answered;
	job->answered = false;
	spin_unlock(&job->lock);
	if (job->asking && !answered)
		return 0;
	job->asking = false;
	job->group = weft_group_find(job->cluster, chunk->group);
	if (job->group && job->group->k == chunk->k && job->group->m == chunk->m)
		return 1;
	if (job->group || (job->asked && job->waiter.error == -ENOENT)) {
		weft_event(job->cluster, WEFT_EVENT_READ_FAILED, job->mount->session, job->get->ino,
			   job->get->file_offset, chunk->group,
			   "inode %llu refers to group %llu, which %s: the metadata of this file is damaged, see the log of the metadata server", job->get->ino, chunk->group,
			   job->group ? "has another width" : "does not exist");
		job->get->remap = true;
		return -EIO;
	}
	if (!job->asked)
		return get_group_ask(job);
	job->asked = false;
	*next = jiffies + HZ / 4;
	return 0;
}

/* What a band has come to: an errno when it, and so the job, has failed. */
static int get_verdict(struct weft_get_job *job, const struct weft_get_band *band, int ret)
{
	if (ret == 0 && time_after_eq(jiffies, weft_get_deadline(job)))
		ret = -EIO;
	if (ret == -EIO)
		get_event(job, band);
	return ret;
}

static int get_bands_plan(struct weft_get_job *job)
{
	struct weft_band bands[WEFT_BANDS_MAX];
	int n = weft_band_plan(bands, &job->layout, job->offset, job->length);

	if (n < 0)
		return n;
	memset(job->bands, 0, sizeof(job->bands));
	job->n_bands = n;
	for (int i = 0; i < n; i++)
		job->bands[i].range = bands[i];
	return 0;
}

/* Find the frame table. Returns 1 when the bands of the frames are planned, 0 to wait until *next, or a negative errno. */
static int get_frame_table(struct weft_get_job *job, unsigned long *next)
{
	struct weft_get_band *band = &job->bands[0];
	int ret;

	if (job->wants_table) {
		ret = get_verdict(job, band, weft_get_header_advance(job, band, next));
		if (ret <= 0)
			return ret;
		weft_get_band_end(job, band);
		job->wants_table = false;
	}
	ret = weft_get_frames_plan(job);
	if (!ret)
		ret = get_bands_plan(job);
	return ret ?: 1;
}

static int get_advance(struct weft_get_job *job, unsigned long *next)
{
	bool all = true;
	int ret;

	if (!job->group) {
		ret = get_group(job, next);
		if (ret <= 0)
			return ret < 0 || time_before(jiffies, weft_get_deadline(job)) ? ret : -EIO;
	}
	if (weft_get_is_packed(job) && !job->stored) {
		ret = get_frame_table(job, next);
		if (ret <= 0)
			return ret;
	}
	for (unsigned int i = 0; i < job->n_bands; i++) {
		struct weft_get_band *band = &job->bands[i];

		if (band->over)
			continue;
		ret = get_verdict(job, band, weft_get_band_advance(job, band, next));
		if (ret < 0)
			return ret;
		if (ret > 0)
			weft_get_band_end(job, band);
		else
			all = false;
	}
	if (all && job->stored)
		return weft_get_frames_unpack(job) ?: 1;
	return all;
}

static void get_work(struct work_struct *work)
{
	struct weft_get_job *job = container_of(work, struct weft_get_job, work);
	unsigned int nofs = memalloc_nofs_save();
	unsigned long next;
	bool abort;
	int ret;

	/* First, because what has come has moved just now. */
	get_discard_pause(job);
	weft_get_collect(job);
	spin_lock(&job->lock);
	abort = job->abort;
	spin_unlock(&job->lock);
	if (!job->over) {
		if (abort)
			get_end(job, -EINTR);
		else if (job->admitted) {
			next = weft_get_deadline(job);
			ret = get_advance(job, &next);
			if (ret)
				get_end(job, min(ret, 0));
			else
				get_timer_set(job, next);
		}
	}
	memalloc_nofs_restore(nofs);
	weft_get_job_put(job);
}

/* --- what io/ calls ---------------------------------------------------------------------------------------------------------- */

static int get_plan(struct weft_get_job *job)
{
	const struct weft_get *get = job->get;
	const struct weft_chunk *chunk = get->chunk;
	int err;

	err = weft_get_cipher_check(job);
	if (err)
		return err;
	err = weft_layout_init(&job->layout, chunk->stored_len, chunk->k, chunk->m);
	if (!err)
		err = weft_ec_init(&job->ec, chunk->k, chunk->m);
	if (err)
		return err;
	if (weft_get_is_packed(job))
		return weft_get_frames_prepare(job);
	job->offset = get->offset;
	job->length = get->length;
	err = get_bands_plan(job);
	for (unsigned int i = 0; !err && i < job->n_bands; i++) {
		const struct weft_band *range = &job->bands[i].range;
		u32 len = range->end - range->start;

		job->bytes += (u64)hweight32(range->want) * (len + weft_crctable_len(len));
	}
	return err;
}

static struct weft_get_job *get_job_alloc(struct weft_get *get)
{
	struct weft_get_job *job = kzalloc(sizeof(*job), WEFT_NODE_GFP);
	int err;

	if (!job)
		return ERR_PTR(-ENOMEM);
	refcount_set(&job->ref, 1);
	job->cluster = get->mount->cluster;
	job->mount = get->mount;
	job->get = get;
	spin_lock_init(&job->lock);
	INIT_LIST_HEAD(&job->link);
	INIT_LIST_HEAD(&job->waiting);
	INIT_LIST_HEAD(&job->ended);
	INIT_LIST_HEAD(&job->waiter.link);
	INIT_WORK(&job->work, get_work);
	INIT_DELAYED_WORK(&job->timer, get_timer);
	job->moved = job->wakes_at = jiffies;
	err = get_plan(job);
	if (err) {
		weft_get_frames_free(job);
		kfree(job);
		return ERR_PTR(err);
	}
	weft_cluster_get(job->cluster);
	return job;
}

void weft_get_submit(struct weft_get *get)
{
	struct weft_node_cluster *node = &get->mount->cluster->node;
	struct weft_get_job *job;
	bool admitted;

	get->error = 0;
	get->remap = false;
	get->degraded = false;
	job = get_job_alloc(get);
	if (IS_ERR(job)) {
		get->error = PTR_ERR(job);
		get->done(get);
		return;
	}
	spin_lock(&node->job_lock);
	list_add_tail(&job->link, &node->gets);
	/* The state is set before weft_get_abort() takes the lock: one of the two ends the job. */
	job->abort = READ_ONCE(get->mount->state) != WEFT_MOUNT_LIVE;
	admitted = job->abort || (list_empty(&node->gets_waiting) && get_admit(job));
	if (!admitted)
		list_add_tail(&job->waiting, &node->gets_waiting);
	else
		weft_get_job_kick(job);
	spin_unlock(&node->job_lock);
}

void weft_get_abort(struct weft_mount *mount)
{
	struct weft_node_cluster *node = &mount->cluster->node;
	struct weft_get_job *job;

	spin_lock(&node->job_lock);
	list_for_each_entry(job, &node->gets, link) {
		if (job->mount != mount)
			continue;
		spin_lock(&job->lock);
		job->abort = true;
		spin_unlock(&job->lock);
		weft_get_job_kick(job);
	}
	spin_unlock(&node->job_lock);
}

bool weft_get_busy(struct weft_mount *mount)
{
	struct weft_node_cluster *node = &mount->cluster->node;
	struct weft_get_job *job;
	bool busy = false;

	spin_lock(&node->job_lock);
	list_for_each_entry(job, &node->gets, link)
		busy |= job->mount == mount;
	spin_unlock(&node->job_lock);
	return busy;
}
