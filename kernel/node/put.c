// SPDX-License-Identifier: GPL-2.0-only
/*
 * Storing a chunk: from submission to .done, and a little longer.
 *
 *   CHOOSE -> SENDING -> ENDED            a group is there, enough stores take the shards
 *      |         |
 *      v         v  (the try failed)
 *   ASKING     PAUSE -> CHOOSE            at most 3 tries, and 30 s in which nothing moves
 *
 * Each try has a sid of its own: a group of another width makes other shards, and a store must never have two shards of
 * one name. The job's work item takes every decision; answers, timers and the daemon only kick it. After .done nothing
 * of the caller's is touched; the job lives on until it is released and its last late answer has come or failed.
 */
#include <linux/mempool.h>
#include <linux/slab.h>

#include "chunk/header.h"
#include "node/put.h"
#include "obs/trace.h"

/* Jobs and shards that can be under way when there is no memory: some units, of any width. */
#define JOBS_RESERVED  4
#define SENDS_RESERVED (2 * WEFT_SHARDS_MAX)

/* Between tries, and when there is no memory. */
#define PAUSE_MS  250
#define MEMORY_MS 20

static mempool_t *job_pool;
static mempool_t *send_pool;

/* First with some effort, then from the reserve, never waiting for somebody else to give something back. */
static void *pool_alloc(mempool_t *pool, size_t size)
{
	void *object = kmalloc(size, WEFT_NODE_GFP | __GFP_NORETRY) ?: mempool_alloc(pool, GFP_NOWAIT | __GFP_NOWARN);

	if (object)
		memset(object, 0, size);
	return object;
}

struct weft_put_send *weft_put_send_alloc(void)
{
	return pool_alloc(send_pool, sizeof(struct weft_put_send));
}

void weft_put_send_free(struct weft_put_send *send)
{
	mempool_free(send, send_pool);
}

void weft_put_job_get(struct weft_put_job *job)
{
	refcount_inc(&job->ref);
}

void weft_put_job_put(struct weft_put_job *job)
{
	if (!refcount_dec_and_test(&job->ref))
		return;
	weft_group_put(job->group);
	weft_cluster_put(job->cluster);
	mempool_free(job, job_pool);
}

void weft_put_job_kick(struct weft_put_job *job)
{
	weft_put_job_get(job);
	if (!queue_work(weft_node_wq, &job->work))
		weft_put_job_put(job);
}

static void put_timer(struct work_struct *work)
{
	struct weft_put_job *job = container_of(to_delayed_work(work), struct weft_put_job, timer);

	weft_put_job_kick(job);
	weft_put_job_put(job);
}

static void put_timer_set(struct weft_put_job *job, unsigned long when)
{
	long delay = (long)(when - jiffies);

	weft_put_job_get(job);
	/* Already set: it keeps the reference that it has. */
	if (mod_delayed_work(weft_node_wq, &job->timer, max(delay, 1L)))
		weft_put_job_put(job);
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

static void put_results(struct weft_put_job *job)
{
	struct weft_put *put = job->put;

	put->sid_session = job->session;
	put->sid_counter = job->counter;
	put->group = job->group->id;
	put->shard_len = job->layout.shard_len;
	put->k = job->layout.k;
	put->m = job->layout.m;
	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		put->shards[i].store = job->shards[i].acked;
		put->shards[i].slot = job->group->slots[i];
		put->shards[i].table_crc = job->shards[i].acked ?
			weft_crctable_entry(weft_put_table(job, i), weft_block_count(job->layout.shard_len)) :
			weft_put_table_crc(job, i);
	}
}

static void put_end(struct weft_put_job *job, int error)
{
	struct weft_node_cluster *node = &job->cluster->node;
	struct weft_put *put = job->put;

	if (job->phase == WEFT_PUT_SENDING)
		weft_put_leave(job, !error);
	if (!error)
		put_results(job);
	weft_put_space_free(job);
	if (cancel_delayed_work(&job->timer))
		weft_put_job_put(job);
	job->phase = WEFT_PUT_ENDED;
	put->error = error;
	job->put = NULL;
	trace_weft_put_done(put);
	put->done(put);

	spin_lock(&node->job_lock);
	job->idle = true;
	if (job->dropped)
		list_del_init(&job->link);
	spin_unlock(&node->job_lock);
	wake_up_all(&node->job_wait);
}

/* The try is lost: again in a moment, if there is a moment. */
static void put_retry(struct weft_put_job *job, int error)
{
	if (job->phase == WEFT_PUT_SENDING)
		weft_put_leave(job, false);
	weft_put_space_free(job);
	weft_group_put(job->group);
	job->group = NULL;
	if (error == -EIO || error == -ENOSPC || job->tries >= WEFT_JOB_TRIES ||
	    time_after_eq(jiffies, weft_put_deadline(job))) {
		job->phase = WEFT_PUT_CHOOSE;
		put_end(job, error);
		return;
	}
	job->phase = WEFT_PUT_PAUSE;
	job->resume_at = jiffies + msecs_to_jiffies(PAUSE_MS << job->tries);
	put_timer_set(job, job->resume_at);
}

/* --- a try ------------------------------------------------------------------------------------------------------------ */

static void put_waiter_woken(struct weft_group_waiter *waiter)
{
	struct weft_put_job *job = container_of(waiter, struct weft_put_job, waiter);

	spin_lock(&job->lock);
	job->answered = true;
	spin_unlock(&job->lock);
	weft_put_job_kick(job);
	weft_put_job_put(job);
}

static void put_ask(struct weft_put_job *job, unsigned int k)
{
	job->phase = WEFT_PUT_ASKING;
	job->answered = false;
	INIT_LIST_HEAD(&job->waiter.link);
	job->waiter.wake = put_waiter_woken;
	put_timer_set(job, weft_put_deadline(job));
	weft_put_job_get(job);
	if (weft_group_ask_open(job->mount, job->mount->domain, k, job->mount->m, job->put->stored_len, &job->waiter)) {
		weft_put_job_put(job);
		put_retry(job, -ENOMEM);
	}
}

/* A new name for a new try. Names are given under the lock that weft_put_lowest() takes, so that it misses none. */
static void put_name(struct weft_put_job *job)
{
	struct weft_node_cluster *node = &job->cluster->node;

	spin_lock(&node->job_lock);
	job->session = job->mount->session;
	job->counter = atomic64_fetch_inc(&job->mount->sid_counter);
	if (!job->tries)
		job->first_counter = job->counter;
	spin_unlock(&node->job_lock);
}

static int put_layout(struct weft_put_job *job)
{
	int err = weft_layout_init(&job->layout, job->put->stored_len, job->group->k, job->group->m);

	if (err)
		return err;
	job->table_len = weft_crctable_len(job->layout.shard_len);
	return weft_ec_init(&job->ec, job->group->k, job->group->m);
}

static void put_try(struct weft_put_job *job)
{
	int err = put_layout(job);

	if (err) {
		put_retry(job, -EIO);
		return;
	}
	if (weft_put_space_alloc(job)) {
		/* Others have it and will give it back; a unit that never fits must be cut smaller. */
		weft_group_put(job->group);
		job->group = NULL;
		if (time_after_eq(jiffies, weft_put_deadline(job))) {
			put_end(job, -ENOMEM);
			return;
		}
		job->phase = WEFT_PUT_PAUSE;
		job->resume_at = jiffies + msecs_to_jiffies(MEMORY_MS);
		put_timer_set(job, job->resume_at);
		return;
	}
	put_name(job);
	job->tries++;
	job->reason = 0;
	job->try_began = ktime_get();
	job->enough_usec = 0;
	err = weft_put_send_all(job);
	if (err) {
		put_retry(job, -EAGAIN);
		return;
	}
	job->phase = WEFT_PUT_SENDING;
}

static void put_choose(struct weft_put_job *job)
{
	struct weft_mount *mount = job->mount;
	unsigned int k = job->put->plain_len < READ_ONCE(mount->ec_min) ? 1 : mount->k;

	job->group = weft_group_choose(job->cluster, mount->domain, k, mount->m);
	if (!job->group) {
		put_ask(job, k);
		return;
	}
	if (job->group->k < k)
		weft_count(mount, WEFT_MC_NARROW_WRITES, 1);
	put_try(job);
}

/* The daemon has answered. What it named is tried even if its hosts do not look well from here: it may know more. */
static void put_answered(struct weft_put_job *job)
{
	int error = job->waiter.error;

	if (!error && job->waiter.group)
		job->group = weft_group_find(job->cluster, job->waiter.group);
	if (job->group && job->group->domain != job->mount->domain) {
		weft_group_put(job->group);
		job->group = NULL;
	}
	if (job->group) {
		put_try(job);
		return;
	}
	job->tries++;
	put_retry(job, error ?: -EAGAIN);
}

static void put_judge(struct weft_put_job *job)
{
	unsigned long next;
	int verdict = weft_put_judge(job, &next);

	if (verdict > 0)
		put_end(job, 0);
	else if (verdict < 0)
		put_retry(job, verdict);
	else
		put_timer_set(job, next);
}

static void put_abort(struct weft_put_job *job)
{
	if (job->phase == WEFT_PUT_ASKING && weft_group_unask(job->cluster, &job->waiter))
		weft_put_job_put(job);
	if (job->phase == WEFT_PUT_SENDING) {
		weft_put_leave(job, false);
		job->phase = WEFT_PUT_CHOOSE;
	}
	put_end(job, -EINTR);
}

/* After .done: answers that are late, and the end of the last of them. */
static void put_after(struct weft_put_job *job)
{
	bool committed, released;

	spin_lock(&job->lock);
	committed = job->committed;
	released = job->released;
	spin_unlock(&job->lock);
	if (committed)
		weft_put_report_late(job);
	if (!released)
		return;
	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		struct weft_put_send **sends[] = { &job->shards[i].first, &job->shards[i].second };

		for (unsigned int j = 0; j < ARRAY_SIZE(sends); j++) {
			struct weft_put_send *send = *sends[j];

			if (!send || (committed && !send->over))
				continue;
			*sends[j] = NULL;
			if (!send->over)
				weft_rpc_detach(&send->rpc);
			weft_rpc_put(&send->rpc);
		}
	}
}

/* Of the question that was asked last: one asked anew a moment ago has no answer yet. */
static bool put_is_answered(struct weft_put_job *job)
{
	bool answered;

	spin_lock(&job->lock);
	answered = job->answered;
	spin_unlock(&job->lock);
	return answered;
}

static void put_advance(struct weft_put_job *job)
{
	enum weft_put_phase before;
	bool abort;

	weft_put_collect(job);
	spin_lock(&job->lock);
	abort = job->abort;
	spin_unlock(&job->lock);

	if (job->phase == WEFT_PUT_ENDED) {
		put_after(job);
		return;
	}
	if (abort) {
		put_abort(job);
		return;
	}
	do {
		before = job->phase;
		if (before == WEFT_PUT_ASKING && put_is_answered(job)) {
			put_answered(job);
		} else if (before == WEFT_PUT_ASKING && time_after_eq(jiffies, weft_put_deadline(job))) {
			if (weft_group_unask(job->cluster, &job->waiter))
				weft_put_job_put(job);
			put_end(job, -EAGAIN);
		} else if (before == WEFT_PUT_PAUSE && time_after_eq(jiffies, job->resume_at)) {
			job->phase = WEFT_PUT_CHOOSE;
		} else if (before == WEFT_PUT_CHOOSE) {
			put_choose(job);
		} else if (before == WEFT_PUT_SENDING) {
			put_judge(job);
		}
	} while (job->phase != before && job->phase != WEFT_PUT_ENDED);
}

static void put_work(struct work_struct *work)
{
	struct weft_put_job *job = container_of(work, struct weft_put_job, work);
	unsigned int nofs = memalloc_nofs_save();

	put_advance(job);
	memalloc_nofs_restore(nofs);
	weft_put_job_put(job);
}

/* --- what io/ calls ----------------------------------------------------------------------------------------------------- */

static struct weft_put_job *put_job_alloc(struct weft_put *put)
{
	struct weft_put_job *job = pool_alloc(job_pool, sizeof(*job));

	if (!job)
		return NULL;
	refcount_set(&job->ref, 1);
	job->cluster = put->mount->cluster;
	weft_cluster_get(job->cluster);
	job->mount = put->mount;
	job->put = put;
	spin_lock_init(&job->lock);
	mutex_init(&job->column_lock);
	INIT_LIST_HEAD(&job->link);
	INIT_LIST_HEAD(&job->ended);
	INIT_LIST_HEAD(&job->coding);
	INIT_LIST_HEAD(&job->waiter.link);
	INIT_WORK(&job->work, put_work);
	INIT_DELAYED_WORK(&job->timer, put_timer);
	job->phase = WEFT_PUT_CHOOSE;
	job->began = job->moved = jiffies;
	return job;
}

static void put_refuse(struct weft_put *put, int error)
{
	put->state = NULL;
	put->error = error;
	put->done(put);
}

void weft_put_submit(struct weft_put *put)
{
	struct weft_node_cluster *node = &put->mount->cluster->node;
	struct weft_put_job *job;

	put->state = NULL;
	if (weft_header_lengths_check(put->plain_len, put->stored_len, put->codec, put->cipher, put->key_id, NULL) ||
	    weft_header_has_frames(put->codec, put->cipher) != !!put->ends) {
		put_refuse(put, -EINVAL);
		return;
	}
	job = put_job_alloc(put);
	if (!job) {
		put_refuse(put, -ENOMEM);
		return;
	}
	put->state = job;
	if (weft_put_index(job)) {
		weft_put_job_put(job);
		put_refuse(put, -EINVAL);
		return;
	}
	spin_lock(&node->job_lock);
	job->first_counter = atomic64_read(&put->mount->sid_counter);
	/* The state is set before weft_put_abort() takes the lock: one of the two ends the job. */
	job->abort = READ_ONCE(put->mount->state) != WEFT_MOUNT_LIVE;
	list_add_tail(&job->link, &node->puts);
	spin_unlock(&node->job_lock);
	weft_put_job_kick(job);
}

void weft_put_committed(struct weft_put *put, u64 number)
{
	struct weft_put_job *job = put->state;

	if (!job)
		return;
	spin_lock(&job->lock);
	job->number = number;
	job->committed = true;
	spin_unlock(&job->lock);
	weft_put_job_kick(job);
}

void weft_put_release(struct weft_put *put)
{
	struct weft_put_job *job = put->state;
	struct weft_node_cluster *node;

	if (!job)
		return;
	put->state = NULL;
	node = &job->cluster->node;
	spin_lock(&node->job_lock);
	job->dropped = true;
	if (job->idle)
		list_del_init(&job->link);
	spin_unlock(&node->job_lock);
	spin_lock(&job->lock);
	job->released = true;
	spin_unlock(&job->lock);
	weft_put_job_kick(job);
	weft_put_job_put(job);
}

u64 weft_put_lowest(struct weft_mount *mount)
{
	struct weft_node_cluster *node = &mount->cluster->node;
	struct weft_put_job *job;
	u64 lowest;

	spin_lock(&node->job_lock);
	lowest = atomic64_read(&mount->sid_counter);
	list_for_each_entry(job, &node->puts, link)
		if (job->mount == mount)
			lowest = min(lowest, job->first_counter);
	spin_unlock(&node->job_lock);
	return lowest;
}

/* --- all jobs of a mount ------------------------------------------------------------------------------------------------- */

void weft_put_abort(struct weft_mount *mount)
{
	struct weft_node_cluster *node = &mount->cluster->node;
	struct weft_put_job *job;

	spin_lock(&node->job_lock);
	list_for_each_entry(job, &node->puts, link) {
		if (job->mount != mount || job->idle)
			continue;
		spin_lock(&job->lock);
		job->abort = true;
		spin_unlock(&job->lock);
		weft_put_job_kick(job);
	}
	spin_unlock(&node->job_lock);
}

bool weft_put_busy(struct weft_mount *mount)
{
	struct weft_node_cluster *node = &mount->cluster->node;
	struct weft_put_job *job;
	bool busy = false;

	spin_lock(&node->job_lock);
	list_for_each_entry(job, &node->puts, link)
		busy |= job->mount == mount && !job->idle;
	spin_unlock(&node->job_lock);
	return busy;
}

unsigned long weft_put_moved(struct weft_mount *mount, unsigned long since)
{
	struct weft_node_cluster *node = &mount->cluster->node;
	struct weft_put_job *job;

	spin_lock(&node->job_lock);
	list_for_each_entry(job, &node->puts, link) {
		unsigned long moved = READ_ONCE(job->moved);

		/* That it began is no progress: what cannot be stored begins again and again. */
		if (job->mount == mount && !job->idle && moved != job->began && time_after(moved, since))
			since = moved;
	}
	spin_unlock(&node->job_lock);
	return since;
}

int weft_put_init(void)
{
	int err = weft_put_reserve_init();

	if (err)
		return err;
	job_pool = mempool_create_kmalloc_pool(JOBS_RESERVED, sizeof(struct weft_put_job));
	send_pool = mempool_create_kmalloc_pool(SENDS_RESERVED, sizeof(struct weft_put_send));
	if (job_pool && send_pool)
		return 0;
	weft_put_exit();
	return -ENOMEM;
}

void weft_put_exit(void)
{
	mempool_destroy(send_pool);
	mempool_destroy(job_pool);
	weft_put_reserve_exit();
}
