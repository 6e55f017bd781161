// SPDX-License-Identifier: GPL-2.0-only
/*
 * mount.c - a mount's part of io/: limits, workers, reserve; how it ends
 *
 * Reads, units and COMMITs may outlive the inodes that they were made for; they are counted as jobs, and the mount is
 * not freed before the last has ended.
 */
#include <linux/backing-dev.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/writeback.h>

#include "io/internal.h"

#define UNITS_MAX    10u
#define SMALL_MAX    64u
#define READAHEAD    (8u << 20)

/* Not WQ_MEM_RECLAIM: it only pushes the flusher, which does not need it. */
struct workqueue_struct *weft_flush_wq;

void weft_job_end(struct weft_mount *mount)
{
	/* The last one is waited for under the lock: see weft_io_mount_exit(). */
	spin_lock(&mount->io.lock);
	atomic_dec(&mount->io.jobs);
	wake_up_all(&mount->io.wait);
	spin_unlock(&mount->io.lock);
}

static bool jobs_done(struct weft_mount *mount)
{
	bool done;

	spin_lock(&mount->io.lock);
	done = !atomic_read(&mount->io.jobs);
	spin_unlock(&mount->io.lock);
	return done;
}

/* Plaintext of units on their way: up to a part of memory; parity and buffers come on top. */
static u64 unit_bytes_max(void)
{
	return ((u64)totalram_pages() << PAGE_SHIFT) / 32;
}

/*
 * The most that units on their way hold: their bytes, what they are stored as if that stands in pages of its own (in pieces
 * of up to a frame), and its parity. Those that were copied are few and short.
 */
void weft_io_bound_tell(struct weft_mount *mount)
{
	u64 small = (SMALL_MAX + SMALL_MAX / 4 + 1) * (u64)WEFT_COPY_MAX;
	u64 large = max(mount->io.unit_bytes_max + mount->io.unit_bytes_max / 4, (u64)WEFT_CHUNK_MAX);
	u32 k = READ_ONCE(mount->k);
	u64 budget;

	/* The daemon may change budgets before it has said what the volume is like. */
	if (!k)
		return;
	do {
		u64 plain, bound;

		budget = READ_ONCE(mount->io.budget);
		plain = min(budget, small + large);
		bound = 2 * plain + div_u64(plain * mount->m, k) + (UNITS_MAX + UNITS_MAX / 4 + 1) * WEFT_FRAME_SIZE;
		weft_count(mount, WEFT_MC_INFLIGHT_MAX, (s64)(bound - xchg(&mount->io.bound, bound)));
		/* Who changed it meanwhile may have told before us. */
	} while (budget != READ_ONCE(mount->io.budget));
}

static unsigned int umount_timeout_ms = 30000;
module_param(umount_timeout_ms, uint, 0644);
MODULE_PARM_DESC(umount_timeout_ms, "time in ms without progress after which a plain umount drops what cannot be written");

static unsigned long umount_timeout(void)
{
	return msecs_to_jiffies(clamp(READ_ONCE(umount_timeout_ms), 1000u, 3600000u));
}

/*
 * Nobody can be asked whether to go on waiting, and none of the VFS's waits below umount(2) can be killed. As long as bytes go
 * to stores and COMMITs are answered there is nothing to end, however much is left to write.
 */
static void mount_expire(struct work_struct *work)
{
	struct weft_mount *mount = container_of(to_delayed_work(work), struct weft_mount, io.expire);
	unsigned long end = weft_put_moved(mount, READ_ONCE(mount->io.moved)) + umount_timeout();
	u64 left = atomic64_read(&mount->io.used);

	if (time_before(jiffies, end)) {
		queue_delayed_work(weft_flush_wq, &mount->io.expire, end - jiffies);
		return;
	}
	if (!weft_nl_mount_end(mount, WEFT_MOUNT_FORCED) || !left)
		return;
	pr_err("weft: volume %s: up to %llu bytes could not be written before it was unmounted; they are lost\n",
	       mount->volume_name, left);
}

static void mount_init_fields(struct weft_mount *mount)
{
	struct weft_io_mount *io = &mount->io;

	spin_lock_init(&io->lock);
	init_rwsem(&io->commit_sem);
	INIT_LIST_HEAD(&io->closed);
	INIT_LIST_HEAD(&io->held);
	INIT_LIST_HEAD(&io->parked);
	INIT_LIST_HEAD(&io->commits);
	INIT_LIST_HEAD(&io->lru);
	init_waitqueue_head(&io->wait);
	INIT_DELAYED_WORK(&io->due, weft_due_work);
	INIT_DELAYED_WORK(&io->watch, weft_commit_watch_work);
	INIT_WORK(&io->flush, weft_flush_work);
	INIT_DELAYED_WORK(&io->expire, mount_expire);
	io->units_max = UNITS_MAX;
	io->unit_bytes_max = unit_bytes_max();
	io->small_max = SMALL_MAX;
	weft_budget_init(mount);
}

int weft_io_mount_init(struct weft_mount *mount)
{
	struct workqueue_struct *wq;
	int error;

	mount_init_fields(mount);
	weft_dedup_mount_init(mount);
	weft_io_bound_tell(mount);
	error = super_setup_bdi(mount->sb);
	if (error)
		return error;
	mount->sb->s_bdi->ra_pages = READAHEAD >> PAGE_SHIFT;
	mount->sb->s_bdi->io_pages = READAHEAD >> PAGE_SHIFT;
	error = weft_unit_pools_init(mount);
	if (error)
		return error;
	error = weft_pack_mount_init(mount);
	if (error)
		return error;
	error = weft_extent_shrinker_init(mount);
	if (error)
		return error;
	wq = alloc_workqueue("weft-io:%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0, mount->sb->s_id);
	if (!wq)
		return -ENOMEM;
	/* From here on the mount can be aborted; pairs with weft_io_mount_abort(). */
	smp_store_release(&mount->io.wq, wq);
	return 0;
}

/* Nothing is queued any more. */
static void mount_stop(struct weft_mount *mount)
{
	spin_lock(&mount->io.lock);
	WRITE_ONCE(mount->io.stopping, true);
	spin_unlock(&mount->io.lock);
	cancel_work_sync(&mount->io.flush);
	cancel_delayed_work_sync(&mount->io.due);
	cancel_delayed_work_sync(&mount->io.watch);
	cancel_delayed_work_sync(&mount->io.ask_watch);
}

void weft_io_mount_exit(struct weft_mount *mount)
{
	cancel_delayed_work_sync(&mount->io.expire);
	mount_stop(mount);
	wait_event(mount->io.wait, jobs_done(mount));
	/* Jobs may have armed them before they ended. */
	cancel_delayed_work_sync(&mount->io.due);
	cancel_delayed_work_sync(&mount->io.watch);
	cancel_delayed_work_sync(&mount->io.ask_watch);
	if (mount->io.wq)
		destroy_workqueue(mount->io.wq);
	if (mount->io.shrinker)
		weft_extent_shrinker_exit(mount);
	weft_pack_mount_exit(mount);
	weft_unit_pools_exit(mount);
}

void weft_io_mount_abort(struct weft_mount *mount)
{
	/* Pairs with weft_io_mount_init(): with the queue the rest is there as well. */
	if (!smp_load_acquire(&mount->io.wq))
		return;
	weft_budget_wake();
	wake_up_all(&mount->io.wait);
	/* The flusher finds the mount dead and drops what is dirty. */
	spin_lock(&mount->io.lock);
	if (!mount->io.stopping)
		queue_work(weft_flush_wq, &mount->io.flush);
	spin_unlock(&mount->io.lock);
}

/* Everything that was dirty is committed, and every COMMIT answered. */
static bool mount_clean(struct weft_mount *mount)
{
	bool clean;

	spin_lock(&mount->io.lock);
	clean = !atomic64_read(&mount->io.used) && list_empty(&mount->io.commits);
	spin_unlock(&mount->io.lock);
	return clean;
}

void weft_io_mount_drain(struct weft_mount *mount)
{
	WRITE_ONCE(mount->io.moved, jiffies);
	queue_delayed_work(weft_flush_wq, &mount->io.expire, umount_timeout());
	while (!weft_mount_dead(mount)) {
		sync_inodes_sb(mount->sb);
		if (wait_event_timeout(mount->io.wait, mount_clean(mount) || weft_mount_dead(mount), WEFT_PARK_TIME))
			break;
	}
	if (weft_mount_dead(mount)) {
		/* What was under way has ended; then each file is named as its data is dropped. */
		flush_work(&mount->nl.end_work);
		sync_inodes_sb(mount->sb);
	}
	mount_stop(mount);
}

int weft_io_init(void)
{
	int error = weft_extent_init();

	if (error)
		return error;
	error = weft_unit_init();
	if (error)
		goto err_extent;
	error = weft_pack_init();
	if (error)
		goto err_unit;
	error = weft_dedup_init();
	if (error)
		goto err_pack;
	weft_flush_wq = alloc_workqueue("weft-flush", WQ_UNBOUND, 0);
	if (!weft_flush_wq) {
		error = -ENOMEM;
		goto err_dedup;
	}
	return 0;

err_dedup:
	weft_dedup_exit();
err_pack:
	weft_pack_exit();
err_unit:
	weft_unit_exit();
err_extent:
	weft_extent_exit();
	return error;
}

void weft_io_exit(void)
{
	destroy_workqueue(weft_flush_wq);
	weft_dedup_exit();
	weft_pack_exit();
	weft_unit_exit();
	weft_extent_exit();
}
