// SPDX-License-Identifier: GPL-2.0-only
/*
 * Says once in the kernel's log what waits for the daemon for more than 10 s, and repeats READY
 * where it could not be sent. Runs every second while requests are active.
 */
#include "nl/internal.h"

#define WATCHDOG_PERIOD HZ
#define WATCHDOG_SECONDS 10

void weft_watchdog_arm(struct weft_cluster *cluster)
{
	queue_delayed_work(weft_cluster_wq, &cluster->nl.watchdog, WATCHDOG_PERIOD);
}

/* How long the request has waited without being named, in seconds; 0: it is not to be named. */
static s64 watchdog_overdue(struct weft_request *req, ktime_t now)
{
	s64 age = 0;

	spin_lock(&req->cluster->nl.lock);
	if (req->place != WEFT_REQUEST_IDLE && req->place != WEFT_REQUEST_DONE)
		age = ktime_divns(ktime_sub(now, req->born), NSEC_PER_SEC);
	spin_unlock(&req->cluster->nl.lock);
	if (age < WATCHDOG_SECONDS || test_and_set_bit(WEFT_REQUEST_TOLD, &req->state))
		return 0;
	return age;
}

static void watchdog_tell(struct weft_cluster *cluster)
{
	struct weft_request *req, *oldest = NULL;
	ktime_t now = ktime_get_boottime();
	unsigned int overdue = 0;
	s64 age, oldest_age = 0;

	for (u64 id = 0; (req = weft_request_next(cluster, id)); ) {
		id = req->id + 1;
		age = watchdog_overdue(req, now);
		overdue += age > 0;
		if (age > oldest_age) {
			swap(req, oldest);
			oldest_age = age;
		}
		weft_request_put(req);
	}
	if (!oldest)
		return;
	pr_warn_ratelimited(
		"weft: cluster %s: %u requests wait for more than %d s, the first is %s of inode %llu by process %d: %s\n",
		cluster->name, overdue, WATCHDOG_SECONDS, weft_request_name(oldest->op),
		oldest->ino, oldest->pid,
		weft_cluster_bound(cluster) ? "the daemon has not answered"
					    : "no daemon is bound, start weftd");
	weft_request_put(oldest);
}

void weft_watchdog_work(struct work_struct *work)
{
	struct weft_cluster *cluster = container_of(work, struct weft_cluster, nl.watchdog.work);

	watchdog_tell(cluster);
	weft_queue_untell(cluster);
	weft_queue_announce(cluster);
	spin_lock(&cluster->nl.lock);
	if (cluster->nl.active && !cluster->nl.ended)
		weft_watchdog_arm(cluster);
	spin_unlock(&cluster->nl.lock);
}
