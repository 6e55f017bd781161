// SPDX-License-Identifier: GPL-2.0-only
/*
 * budget.c - how many bytes may be dirty or under way
 *
 * Each mount has a budget and so has the module. A block of 4 KiB is taken when it becomes dirty and given back when it is
 * clean and committed, or dropped. Who finds it used up waits, killably and without a folio locked, while writeback runs.
 * The generic dirty limits of the kernel hold besides; strict limits per device are not used (they start at zero).
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "io/internal.h"

#define BUDGET_DEFAULT_MAX (1ull << 30)

static atomic64_t module_used;
static u64 module_limit;
static DECLARE_WAIT_QUEUE_HEAD(budget_wait);

void weft_budget_init(struct weft_mount *mount)
{
	u64 memory = (u64)totalram_pages() << PAGE_SHIFT;

	if (!mount->io.budget)
		mount->io.budget = max(min(div_u64(memory, 10), BUDGET_DEFAULT_MAX), WEFT_BUDGET_MIN);
	/* The same for every mount, so setting it again is harmless. */
	WRITE_ONCE(module_limit, max(div_u64(memory, 5), WEFT_BUDGET_MIN));
}

static void budget_add(struct weft_mount *mount, s64 bytes)
{
	atomic64_add(bytes, &mount->io.used);
	atomic64_add(bytes, &module_used);
}

/* Whoever is alone gets what he asks for, however much it is. */
static bool budget_try(struct weft_mount *mount, u64 bytes)
{
	u64 used = atomic64_add_return(bytes, &mount->io.used);
	u64 all = atomic64_add_return(bytes, &module_used);

	if ((used <= READ_ONCE(mount->io.budget) || used == bytes) && (all <= READ_ONCE(module_limit) || all == bytes))
		return true;
	budget_add(mount, -(s64)bytes);
	return false;
}

bool weft_budget_short(const struct weft_mount *mount)
{
	return atomic64_read(&mount->io.used) > READ_ONCE(mount->io.budget) / 2 ||
	       atomic64_read(&module_used) > READ_ONCE(module_limit) / 2;
}

int weft_budget_take(struct weft_mount *mount, u64 bytes)
{
	bool taken;
	int error = 0;

	if (weft_mount_dead(mount))
		return -EIO;
	taken = budget_try(mount, bytes);
	if (!taken) {
		queue_work(weft_flush_wq, &mount->io.flush);
		error = wait_event_killable(budget_wait, (taken = budget_try(mount, bytes)) || weft_mount_dead(mount));
	}
	if (!taken)
		return error ? -EINTR : -EIO;
	weft_count(mount, WEFT_MC_DIRTY_BYTES, bytes);
	if (weft_budget_short(mount) && !work_pending(&mount->io.flush))
		queue_work(weft_flush_wq, &mount->io.flush);
	return 0;
}

void weft_budget_force(struct weft_mount *mount, u64 bytes)
{
	if (!bytes)
		return;
	budget_add(mount, bytes);
	weft_count(mount, WEFT_MC_DIRTY_BYTES, bytes);
}

void weft_budget_give(struct weft_mount *mount, u64 bytes)
{
	if (!bytes)
		return;
	budget_add(mount, -(s64)bytes);
	weft_count(mount, WEFT_MC_DIRTY_BYTES, -(s64)bytes);
	if (wq_has_sleeper(&budget_wait))
		wake_up_all(&budget_wait);
}

void weft_io_budget_set(struct weft_mount *mount, u64 budget)
{
	WRITE_ONCE(mount->io.budget, budget);
	weft_io_bound_tell(mount);
	wake_up_all(&budget_wait);
}

void weft_budget_wake(void)
{
	wake_up_all(&budget_wait);
}
