// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a request: made, started, completed once, settled.
 *
 * Completion is owned by whoever sets WEFT_REQUEST_COMPLETED, under the cluster's lock: an answer,
 * an abort, or the killed waiter of a request that nobody has fetched. Status and answer are in
 * place before the lock is dropped, so a waiter that finds the bit set may use them. What then has
 * to run outside of the lock (waking, .done, .abandoned, the queue's reference) is
 * weft_requests_settle()'s.
 *
 * A killed waiter leaves its request behind when a daemon has had it: what it asked for may have
 * happened, its slot is taken until the answer comes, and .abandoned learns what came.
 */
#include "nl/internal.h"

#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "obs/trace.h"

struct workqueue_struct *weft_request_wq;
struct workqueue_struct *weft_late_wq;

static atomic64_t request_ids = ATOMIC64_INIT(0);

/* What a request is called, and whether it takes a slot when a mount makes it. */
static const struct {
	const char *name;
	bool mutating;
} request_ops[] = {
	[WEFT_REQ_MOUNT] = { "MOUNT" },
	[WEFT_REQ_UMOUNT] = { "UMOUNT" },
	[WEFT_REQ_LOOKUP] = { "LOOKUP" },
	[WEFT_REQ_GETATTR] = { "GETATTR" },
	[WEFT_REQ_SETATTR] = { "SETATTR", true },
	[WEFT_REQ_CREATE] = { "CREATE", true },
	[WEFT_REQ_LINK] = { "LINK", true },
	[WEFT_REQ_UNLINK] = { "UNLINK", true },
	[WEFT_REQ_RENAME] = { "RENAME", true },
	[WEFT_REQ_READDIR] = { "READDIR" },
	[WEFT_REQ_READLINK] = { "READLINK" },
	[WEFT_REQ_FORGET] = { "FORGET", true },
	[WEFT_REQ_EXTENTS] = { "EXTENTS" },
	[WEFT_REQ_COMMIT] = { "COMMIT", true },
	[WEFT_REQ_GROUP] = { "GROUP" },
	[WEFT_REQ_GROUP_WANT] = { "GROUP_WANT" },
	[WEFT_REQ_HOST_WANT] = { "HOST_WANT" },
	[WEFT_REQ_HOST_FAILED] = { "HOST_FAILED" },
	[WEFT_REQ_SHARDS_STORED] = { "SHARDS_STORED", true },
	[WEFT_REQ_SHARDS_MISSING] = { "SHARDS_MISSING", true },
	[WEFT_REQ_STATFS] = { "STATFS" },
	[WEFT_REQ_CHUNKS] = { "CHUNKS" },
	[WEFT_REQ_CLONE] = { "CLONE", true },
};

const char *weft_request_name(u16 op)
{
	return op < ARRAY_SIZE(request_ops) && request_ops[op].name ? request_ops[op].name
								    : "unknown";
}

static const struct {
	u32 status;
	int error;
	const char *text;
} statuses[] = {
#define WEFT_STATUS_ROW(name, number, err, sentence) { number, -(err), sentence },
	WEFT_STATUS_TABLE(WEFT_STATUS_ROW)
#undef WEFT_STATUS_ROW
};

int weft_status_errno(u32 status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].error;
	return -EPROTO;
}

bool weft_status_refused(u32 status)
{
	switch (status) {
	case WEFT_ST_NOENT ... WEFT_ST_NOMEM:
	case WEFT_ST_NOT_LEADER:
	case WEFT_ST_RECOVERY:
	case WEFT_ST_OVERLOADED:
	case WEFT_ST_LEVEL:
	case WEFT_ST_META_FULL:
	case WEFT_ST_UNKNOWN_OP:
	case WEFT_ST_TOO_BIG:
		return true;
	}
	return false;
}

const char *weft_status_text(u32 status)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "a status that this module does not know";
}

static void request_work(struct work_struct *work);

struct weft_request *weft_request_alloc(struct weft_cluster *cluster, struct weft_mount *mount,
					u16 op, u8 class, size_t hint, gfp_t gfp)
{
	struct weft_request *req;

	req = kzalloc(sizeof(*req), gfp);
	if (!req)
		return NULL;
	req->out_size = clamp_t(size_t, hint, 64, WEFT_PAYLOAD_MAX);
	req->out = kmalloc(req->out_size, gfp);
	if (!req->out)
		goto err_free_request;
	refcount_set(&req->ref, 1);
	INIT_LIST_HEAD(&req->link);
	INIT_LIST_HEAD(&req->mount_link);
	init_completion(&req->done_wait);
	INIT_WORK(&req->work, request_work);
	req->cluster = cluster;
	req->mount = mount;
	if (mount)
		req->names_seen = atomic64_read(&mount->names_changed);
	req->op = op;
	req->class = clamp_t(u8, class, 1, WEFT_CLASSES);
	req->mutating = mount && op < ARRAY_SIZE(request_ops) && request_ops[op].mutating;
	req->slot = WEFT_SLOT_NONE;
	req->pid = current->pid;
	req->id = atomic64_inc_return(&request_ids);
	if (xa_insert(&cluster->nl.requests, req->id, req, gfp))
		goto err_free_payload;
	weft_cluster_get(cluster);
	return req;

err_free_payload:
	kfree(req->out);
err_free_request:
	kfree(req);
	return NULL;
}

void weft_request_put(struct weft_request *req)
{
	if (!req || !refcount_dec_and_test(&req->ref))
		return;
	xa_erase(&req->cluster->nl.requests, req->id);
	weft_cluster_put(req->cluster);
	kvfree(req->in);
	kfree(req->out);
	kfree_rcu(req, rcu);
}

struct weft_request *weft_request_next(struct weft_cluster *cluster, u64 id)
{
	unsigned long index = id;
	struct weft_request *req;

	rcu_read_lock();
	for (req = xa_find(&cluster->nl.requests, &index, ULONG_MAX, XA_PRESENT); req;
	     req = xa_find_after(&cluster->nl.requests, &index, ULONG_MAX, XA_PRESENT))
		if (refcount_inc_not_zero(&req->ref))
			break;
	rcu_read_unlock();
	return req;
}

struct weft_request *weft_request_by_id(struct weft_cluster *cluster, u64 id)
{
	struct weft_request *req;

	rcu_read_lock();
	req = xa_load(&cluster->nl.requests, id);
	if (req && !refcount_inc_not_zero(&req->ref))
		req = NULL;
	rcu_read_unlock();
	return req;
}

/*
 * The queue's reference is taken and the request goes to its slot or queue. On error nothing has
 * happened.
 */
static int request_start(struct weft_request *req)
{
	struct weft_nl_cluster *nl = &req->cluster->nl;
	struct weft_mount *mount = req->mount;

	if (req->out_error)
		return req->out_error;
	spin_lock(&nl->lock);
	if (nl->ended || (mount && READ_ONCE(mount->state) != WEFT_MOUNT_LIVE)) {
		spin_unlock(&nl->lock);
		return mount ? -EIO : -ENOTCONN;
	}
	refcount_inc(&req->ref);
	req->born = ktime_get_boottime();
	nl->active++;
	nl->unsettled++;
	if (mount) {
		req->session = mount->session;
		list_add_tail(&req->mount_link, &mount->nl.requests);
	}
	if (!req->mutating || weft_slot_take(req))
		weft_queue_add(req);
	/* Under the lock, so that none is armed after the cluster's end. */
	weft_watchdog_arm(req->cluster);
	spin_unlock(&nl->lock);
	if (mount)
		weft_count(mount, WEFT_MC_UPCALLS, 1);
	weft_queue_announce(req->cluster);
	return 0;
}

/*
 * Under the cluster's lock. False: it was completed before. True: it is out of all queues, its slot
 * is free, and it stands in finished.
 */
bool weft_request_finish(struct weft_request *req, u32 status, struct list_head *finished)
{
	struct weft_nl_cluster *nl = &req->cluster->nl;
	bool sent = test_bit(WEFT_REQUEST_SENT, &req->state);

	lockdep_assert_held(&nl->lock);
	if (test_and_set_bit(WEFT_REQUEST_COMPLETED, &req->state))
		return false;
	req->status = status;
	req->place = WEFT_REQUEST_DONE;
	req->owner = NULL;
	nl->active--;
	list_move_tail(&req->link, finished);
	if (req->slot != WEFT_SLOT_NONE)
		weft_slot_release(req, sent);
	trace_weft_request(req, weft_request_completed);
	return true;
}

/*
 * It has settled. The mount may go when its last request has, and the cluster's hosts and groups
 * when the last of all has: nothing of them may be touched afterwards.
 */
static void request_leave(struct weft_request *req)
{
	struct weft_nl_cluster *nl = &req->cluster->nl;
	struct weft_mount *mount = req->mount;

	spin_lock(&nl->lock);
	if (mount) {
		list_del_init(&req->mount_link);
		if (list_empty(&mount->nl.requests))
			wake_up_all(&mount->nl.settled);
	}
	if (!--nl->unsettled)
		wake_up_all(&nl->settled);
	spin_unlock(&nl->lock);
}

/* False: the mount is about to end, and what comes late is dropped. */
static bool late_begin(struct weft_mount *mount)
{
	bool wanted;

	if (!mount)
		return true;
	spin_lock(&mount->cluster->nl.lock);
	wanted = !mount->nl.closing;
	if (wanted)
		mount->nl.late++;
	spin_unlock(&mount->cluster->nl.lock);
	return wanted;
}

static void late_end(struct weft_mount *mount)
{
	if (!mount)
		return;
	spin_lock(&mount->cluster->nl.lock);
	if (!--mount->nl.late)
		wake_up_all(&mount->nl.settled);
	spin_unlock(&mount->cluster->nl.lock);
}

static void request_work(struct work_struct *work)
{
	struct weft_request *req = container_of(work, struct weft_request, work);

	if (!test_bit(WEFT_REQUEST_GONE, &req->state)) {
		req->done(req);
	} else if (late_begin(req->mount)) {
		req->abandoned(req);
		late_end(req->mount);
	}
	request_leave(req);
	weft_request_put(req);
}

void weft_requests_settle(struct list_head *finished)
{
	struct weft_request *req, *next;
	bool gone;

	list_for_each_entry_safe(req, next, finished, link) {
		list_del_init(&req->link);
		gone = test_bit(WEFT_REQUEST_GONE, &req->state);
		if (gone ? !!req->abandoned : !!req->done) {
			queue_work(gone ? weft_late_wq : weft_request_wq, &req->work);
			continue;
		}
		request_leave(req);
		complete(&req->done_wait);
		weft_request_put(req);
	}
}

/*
 * The waiter was killed. True: the request has been completed, its answer can be used. False: the
 * waiter has let go, or was sent away before; the request is either dropped (nobody has had it) or
 * stays until its answer comes.
 */
static bool request_let_go(struct weft_request *req)
{
	struct weft_nl_cluster *nl = &req->cluster->nl;
	LIST_HEAD(finished);
	bool completed, gone;

	spin_lock(&nl->lock);
	gone = test_bit(WEFT_REQUEST_GONE, &req->state);
	completed = test_bit(WEFT_REQUEST_COMPLETED, &req->state);
	if (!completed && !test_bit(WEFT_REQUEST_SENT, &req->state)) {
		req->abandoned = NULL;
		weft_request_finish(req, WEFT_ST_INTR, &finished);
	}
	if (!completed)
		set_bit(WEFT_REQUEST_GONE, &req->state);
	spin_unlock(&nl->lock);
	weft_requests_settle(&finished);
	return completed && !gone;
}

int weft_request_call(struct weft_request *req)
{
	int error;

	might_sleep();
	req->done = NULL;
	error = request_start(req);
	if (error)
		return error;
	/* Unsafe: with i_rwsem held; who waits for that does not freeze, and suspend gives up. */
	if (wait_for_completion_state(&req->done_wait, TASK_KILLABLE | TASK_FREEZABLE_UNSAFE) &&
	    !request_let_go(req))
		return -EINTR;
	if (test_bit(WEFT_REQUEST_GONE, &req->state))
		return -EIO;
	return weft_status_errno(req->status);
}

bool weft_request_left(const struct weft_request *req)
{
	return test_bit(WEFT_REQUEST_GONE, &req->state) && test_bit(WEFT_REQUEST_SENT, &req->state);
}

bool weft_request_unclear(const struct weft_request *req)
{
	return test_bit(WEFT_REQUEST_COMPLETED, &req->state) &&
	       test_bit(WEFT_REQUEST_SENT, &req->state) && !weft_status_refused(req->status);
}

int weft_request_submit(struct weft_request *req)
{
	if (WARN_ON_ONCE(!req->done))
		return -EINVAL;
	return request_start(req);
}

void weft_nl_mount_abort(struct weft_mount *mount, u32 status)
{
	struct weft_nl_cluster *nl = &mount->cluster->nl;
	struct weft_request *req;
	LIST_HEAD(finished);

	spin_lock(&nl->lock);
	list_for_each_entry(req, &mount->nl.requests, mount_link)
		weft_request_finish(req, status, &finished);
	spin_unlock(&nl->lock);
	weft_requests_settle(&finished);
}

/* The cluster has ended: every request is completed, no new one is taken. */
void weft_cluster_abort(struct weft_cluster *cluster, u32 status)
{
	struct weft_request *req;
	LIST_HEAD(finished);

	spin_lock(&cluster->nl.lock);
	cluster->nl.ended = true;
	spin_unlock(&cluster->nl.lock);
	for (u64 id = 0; (req = weft_request_next(cluster, id)); id++) {
		id = req->id;
		spin_lock(&cluster->nl.lock);
		if (req->place != WEFT_REQUEST_IDLE)
			weft_request_finish(req, status, &finished);
		spin_unlock(&cluster->nl.lock);
		weft_requests_settle(&finished);
		weft_request_put(req);
	}
}

/* True: it stays until its answer comes, for .abandoned. */
static bool request_desert(struct weft_request *req, struct list_head *finished)
{
	if (req->mount || req->done || req->place == WEFT_REQUEST_IDLE ||
	    test_bit(WEFT_REQUEST_COMPLETED, &req->state))
		return false;
	if (!test_bit(WEFT_REQUEST_SENT, &req->state)) {
		weft_request_finish(req, WEFT_ST_ABORTED, finished);
		return false;
	}
	return !test_and_set_bit(WEFT_REQUEST_GONE, &req->state);
}

void weft_cluster_desert(struct weft_cluster *cluster)
{
	struct weft_request *req;
	LIST_HEAD(finished);
	bool left;

	for (u64 id = 0; (req = weft_request_next(cluster, id)); id++) {
		id = req->id;
		spin_lock(&cluster->nl.lock);
		left = request_desert(req, &finished);
		spin_unlock(&cluster->nl.lock);
		if (left)
			complete(&req->done_wait);
		weft_requests_settle(&finished);
		weft_request_put(req);
	}
}

int weft_requests_init(void)
{
	weft_request_wq = alloc_workqueue("weft-request", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!weft_request_wq)
		return -ENOMEM;
	weft_late_wq = alloc_workqueue("weft-late", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!weft_late_wq) {
		destroy_workqueue(weft_request_wq);
		return -ENOMEM;
	}
	return 0;
}

void weft_requests_exit(void)
{
	destroy_workqueue(weft_late_wq);
	destroy_workqueue(weft_request_wq);
}
