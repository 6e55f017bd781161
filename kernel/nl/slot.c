// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots of a session, and what a mount has in nl/.
 *
 * A mutating request has a slot from before it is queued until it is completed; the slot's sequence
 * grows by one with each request that a daemon has seen (RFC 8881, 2.10.6). Slots below
 * WEFT_SLOTS_RESERVE serve classes 1 and 2 only: giving back and cleaning can always go on,
 * whatever the rest waits for. Requests without a slot wait in order of their arrival, class by
 * class.
 */
#include "nl/internal.h"

#include "obs/trace.h"

static void slot_assign(struct weft_request *req, unsigned int slot)
{
	struct weft_nl_mount *nl = &req->mount->nl;

	__set_bit(slot, nl->slot_busy);
	req->slot = slot;
	req->sequence = ++nl->slot_sequence[slot];
}

/* False: none is free, the request waits for one. */
bool weft_slot_take(struct weft_request *req)
{
	struct weft_nl_mount *nl = &req->mount->nl;
	unsigned int first = req->class < WEFT_CLASSES ? 0 : WEFT_SLOTS_RESERVE;
	unsigned int slot = WEFT_SLOTS;

	lockdep_assert_held(&req->cluster->nl.lock);
	if (list_empty(&nl->slot_waiting[req->class - 1]))
		slot = find_next_zero_bit(nl->slot_busy, WEFT_SLOTS, first);
	if (slot >= WEFT_SLOTS) {
		req->place = WEFT_REQUEST_SLOT;
		list_add_tail(&req->link, &nl->slot_waiting[req->class - 1]);
		return false;
	}
	slot_assign(req, slot);
	return true;
}

/*
 * The slot goes to who waits for it. sent: a daemon has seen the request, so its number is used up.
 */
void weft_slot_release(struct weft_request *req, bool sent)
{
	struct weft_nl_mount *nl = &req->mount->nl;
	unsigned int slot = req->slot,
		     classes = slot < WEFT_SLOTS_RESERVE ? WEFT_CLASSES - 1 : WEFT_CLASSES;

	lockdep_assert_held(&req->cluster->nl.lock);
	if (!sent)
		nl->slot_sequence[slot]--;
	__clear_bit(slot, nl->slot_busy);
	req->slot = WEFT_SLOT_NONE;
	for (unsigned int class = 0; class < classes; class++) {
		struct weft_request *next = list_first_entry_or_null(&nl->slot_waiting[class],
								     struct weft_request, link);

		if (!next)
			continue;
		list_del_init(&next->link);
		slot_assign(next, slot);
		weft_queue_add(next);
		return;
	}
}

static void mount_end_work(struct work_struct *work)
{
	struct weft_mount *mount = container_of(work, struct weft_mount, nl.end_work);

	mount->nl.end(mount);
}

int weft_nl_mount_init(struct weft_mount *mount, void (*end)(struct weft_mount *mount))
{
	struct weft_nl_cluster *cluster = &mount->cluster->nl;
	struct weft_nl_mount *nl = &mount->nl;

	if (!weft_cluster_use(mount->cluster))
		return -ENOTCONN;
	bitmap_zero(nl->slot_busy, WEFT_SLOTS);
	for (unsigned int class = 0; class < WEFT_CLASSES; class++)
		INIT_LIST_HEAD(&nl->slot_waiting[class]);
	INIT_LIST_HEAD(&nl->requests);
	init_waitqueue_head(&nl->settled);
	INIT_WORK(&nl->end_work, mount_end_work);
	nl->end = end;
	spin_lock(&cluster->lock);
	list_add_tail(&nl->link, &cluster->mounts);
	spin_unlock(&cluster->lock);
	return 0;
}

static bool mount_has_settled(struct weft_mount *mount)
{
	bool settled;

	spin_lock(&mount->cluster->nl.lock);
	settled = list_empty(&mount->nl.requests);
	spin_unlock(&mount->cluster->nl.lock);
	return settled;
}

static bool mount_has_no_late(struct weft_mount *mount)
{
	bool none;

	spin_lock(&mount->cluster->nl.lock);
	none = !mount->nl.late;
	spin_unlock(&mount->cluster->nl.lock);
	return none;
}

void weft_nl_mount_exit(struct weft_mount *mount)
{
	spin_lock(&mount->cluster->nl.lock);
	list_del_init(&mount->nl.link);
	spin_unlock(&mount->cluster->nl.lock);
	cancel_work_sync(&mount->nl.end_work);
	wait_event(mount->nl.settled, mount_has_settled(mount));
	weft_cluster_unuse(mount->cluster);
}

void weft_nl_mount_quiesce(struct weft_mount *mount)
{
	spin_lock(&mount->cluster->nl.lock);
	mount->nl.closing = true;
	spin_unlock(&mount->cluster->nl.lock);
	/* Those of other mounts may wait for a daemon that is none of ours. */
	wait_event(mount->nl.settled, mount_has_no_late(mount));
}

bool weft_nl_mount_end(struct weft_mount *mount, u32 state)
{
	if (cmpxchg(&mount->state, WEFT_MOUNT_LIVE, state) != WEFT_MOUNT_LIVE)
		return false;
	queue_work(weft_cluster_wq, &mount->nl.end_work);
	return true;
}
