// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hosts: who has which stores, which connections there are, whom it makes sense to ask.
 *
 * The tables are xarrays that are read under RCU; set_lock of the cluster orders those who change them. A host that was
 * deleted stays as an object until its last request has ended, but is in no table and takes no requests.
 *
 * A host without a connection is asked for when the first request comes (HOST_WANT); its requests wait for the time
 * that a peer has to answer. A host whose connection broke, or that could not be had, is left out of choices for a
 * second at first, and for longer each time it fails again.
 */
#include <linux/slab.h>

#include "node/internal.h"
#include "uapi/weft_ctl.h"
#include "uapi/weft_netlink.h"

#define UPCALL_WANT   0x1
#define UPCALL_FAILED 0x2

/* How long a host is left out after it failed, and at most after it failed several times. */
#define AVOID_MS     1000
#define AVOID_MAX_MS 4000

/*
 * Heartbeats that a machine had no time to send or to hear make a host look down; it is back with the next one. After
 * this time it is taken for what it looks like.
 */
#define DOWN_SURE (10 * HZ)

static void host_upcall(struct work_struct *work);
static void host_wait_over(struct work_struct *work);

static void host_free(struct kref *ref)
{
	struct weft_host *host = container_of(ref, struct weft_host, ref);

	kfree(host->stores);
	kfree_rcu(host, rcu);
}

void weft_host_get(struct weft_host *host)
{
	kref_get(&host->ref);
}

void weft_host_put(struct weft_host *host)
{
	kref_put(&host->ref, host_free);
}

struct weft_host *weft_host_find(struct weft_cluster *cluster, u32 number)
{
	struct weft_host *host;

	rcu_read_lock();
	host = xa_load(&cluster->node.hosts, number);
	if (host && !kref_get_unless_zero(&host->ref))
		host = NULL;
	rcu_read_unlock();
	return host;
}

struct weft_host *weft_host_of_store(struct weft_cluster *cluster, u32 store)
{
	struct weft_host *host;

	rcu_read_lock();
	host = xa_load(&cluster->node.stores, store);
	if (host && !kref_get_unless_zero(&host->ref))
		host = NULL;
	rcu_read_unlock();
	return host;
}

/*
 * What the daemon says of a host counts where there is no connection: one that stands knows better. A metadata server
 * that has just begun calls everybody down whom it has not heard yet.
 */
bool weft_host_usable(const struct weft_host *host)
{
	if (READ_ONCE(host->gone))
		return false;
	if (READ_ONCE(host->state) == WEFT_HOST_DOWN && !READ_ONCE(host->lanes[WEFT_LANE_BULK].conn))
		return false;
	return !READ_ONCE(host->avoid) || time_after_eq(jiffies, READ_ONCE(host->avoid_until));
}

bool weft_host_gone_for_good(struct weft_host *host)
{
	bool down;

	spin_lock(&host->lock);
	down = host->state == WEFT_HOST_DOWN && time_after(jiffies, host->down_at + DOWN_SURE);
	spin_unlock(&host->lock);
	return down;
}

/* --- connections come and go ------------------------------------------------------------------------------------------ */

static void host_avoid(struct weft_host *host)
{
	lockdep_assert_held(&host->lock);
	host->avoid_until = jiffies + msecs_to_jiffies(min(AVOID_MS << host->failures, AVOID_MAX_MS));
	host->avoid = true;
	host->failures = min(host->failures + 1, 8u);
}

static void host_upcall_queue(struct weft_host *host, u32 upcall)
{
	lockdep_assert_held(&host->lock);
	host->upcalls |= upcall;
	weft_host_get(host);
	if (!queue_work(weft_node_wq, &host->upcall_work))
		kref_put(&host->ref, host_free); /* never the last: the caller has one */
}

void weft_host_want(struct weft_host *host)
{
	lockdep_assert_held(&host->lock);
	if (host->wanted)
		return;
	host->wanted = true;
	host_upcall_queue(host, UPCALL_WANT);
	weft_host_get(host);
	/* Still set for a want that was answered: it keeps the reference that it has. */
	if (mod_delayed_work(weft_node_wq, &host->wait_work, msecs_to_jiffies(weft_param_peer_timeout())))
		kref_put(&host->ref, host_free);
}

void weft_host_failed(struct weft_host *host, int error)
{
	lockdep_assert_held(&host->lock);
	host_avoid(host);
	if (host->gone)
		return;
	host->failed_status = error == -ETIMEDOUT ? WEFT_ST_TIMEDOUT : WEFT_ST_LOST_PEER;
	if (host->failed_at && time_before(jiffies, host->failed_at + HZ))
		return;
	host->failed_at = jiffies ?: 1;
	host_upcall_queue(host, UPCALL_FAILED);
}

static void lane_serve(struct weft_lane *lane, struct weft_conn *conn)
{
	struct weft_rpc *rpc, *next;

	list_for_each_entry_safe(rpc, next, &lane->waiting, link) {
		list_del(&rpc->link);
		weft_conn_queue(conn, rpc);
	}
}

void weft_host_serve(struct weft_host *host, enum weft_lane_kind kind, struct weft_conn *conn)
{
	struct weft_conn *old = host->lanes[kind].conn;
	struct weft_rpc *rpc, *next;

	lockdep_assert_held(&host->lock);
	host->lanes[kind].conn = conn;
	host->wanted = false;
	host->avoid = false;
	host->failures = 0;
	if (old) {
		/* What it has not begun goes the new way; what it has, it finishes. */
		list_for_each_entry_safe(rpc, next, &old->urgent, link) {
			list_del(&rpc->link);
			weft_conn_queue(conn, rpc);
		}
		list_for_each_entry_safe(rpc, next, &old->queue, link) {
			list_del(&rpc->link);
			weft_conn_queue(conn, rpc);
		}
		old->state = WEFT_CONN_DRAINING;
		queue_delayed_work(weft_conn_wq, &old->tick_work, HZ);
	}
	lane_serve(&host->lanes[kind], conn);
	if (!host->lanes[!kind].conn)
		lane_serve(&host->lanes[!kind], conn);
}

/* No connection comes: the requests that wait for one fail now. */
static void host_waiting_fail(struct weft_host *host, int error)
{
	struct weft_rpc *rpc, *next;
	LIST_HEAD(all);

	spin_lock(&host->lock);
	for (unsigned int i = 0; i < WEFT_LANES; i++)
		list_splice_tail_init(&host->lanes[i].waiting, &all);
	if (!list_empty(&all))
		host_avoid(host);
	host->wanted = false;
	list_for_each_entry(rpc, &all, link)
		rpc->state = WEFT_RPC_ENDED;
	spin_unlock(&host->lock);

	list_for_each_entry_safe(rpc, next, &all, link) {
		list_del_init(&rpc->link);
		weft_rpc_end(rpc, error, rpc->detached);
	}
}

static void host_wait_over(struct work_struct *work)
{
	struct weft_host *host = container_of(to_delayed_work(work), struct weft_host, wait_work);
	bool wanted;

	spin_lock(&host->lock);
	wanted = host->wanted;
	spin_unlock(&host->lock);
	if (wanted)
		host_waiting_fail(host, -EHOSTUNREACH);
	weft_host_put(host);
}

/* --- upcalls ---------------------------------------------------------------------------------------------------------- */

static void host_want_answered(struct weft_request *req)
{
	struct weft_host *host = req->private;

	/* OK means that HOST_SET follows. */
	if (req->status != WEFT_ST_OK)
		host_waiting_fail(host, -EHOSTUNREACH);
	weft_host_put(host);
}

static void host_failed_answered(struct weft_request *req)
{
	weft_host_put(req->private);
}

static int host_upcall_send(struct weft_host *host, u16 op, void (*done)(struct weft_request *req))
{
	struct weft_request *req;
	int err;

	if (READ_ONCE(host->gone))
		return -ENXIO;
	req = weft_request_alloc(host->cluster, NULL, op, 2, 64, WEFT_NODE_GFP);
	if (!req)
		return -ENOMEM;
	weft_request_add_u32(req, WEFT_P_HOST, host->number);
	if (op == WEFT_REQ_HOST_FAILED)
		weft_request_add_u32(req, WEFT_P_STATUS, host->failed_status);
	weft_host_get(host);
	req->private = host;
	req->done = done;
	err = weft_request_submit(req);
	if (err)
		weft_host_put(host);
	weft_request_put(req);
	return err;
}

static void host_upcall(struct work_struct *work)
{
	struct weft_host *host = container_of(work, struct weft_host, upcall_work);
	u32 upcalls;

	spin_lock(&host->lock);
	upcalls = host->upcalls;
	host->upcalls = 0;
	spin_unlock(&host->lock);

	/* News for the daemon that had the connection made; the next one has no use for it. */
	if (upcalls & UPCALL_FAILED && weft_cluster_bound(host->cluster))
		host_upcall_send(host, WEFT_REQ_HOST_FAILED, host_failed_answered);
	if (upcalls & UPCALL_WANT && host_upcall_send(host, WEFT_REQ_HOST_WANT, host_want_answered))
		host_waiting_fail(host, -EHOSTUNREACH);
	weft_host_put(host);
}

/* --- what the daemon says --------------------------------------------------------------------------------------------- */

static struct weft_host *host_alloc(struct weft_cluster *cluster, u32 number)
{
	struct weft_host *host = kzalloc(sizeof(*host), GFP_KERNEL);

	if (!host)
		return NULL;
	kref_init(&host->ref);
	host->cluster = cluster;
	host->number = number;
	spin_lock_init(&host->lock);
	INIT_LIST_HEAD(&host->conns);
	for (unsigned int i = 0; i < WEFT_LANES; i++)
		INIT_LIST_HEAD(&host->lanes[i].waiting);
	INIT_WORK(&host->upcall_work, host_upcall);
	INIT_DELAYED_WORK(&host->wait_work, host_wait_over);
	return host;
}

/* Replace the stores of @host by @stores. A store that another host had moves. */
static int host_stores_set(struct weft_cluster *cluster, struct weft_host *host, const u32 *stores, unsigned int n)
{
	struct weft_node_cluster *node = &cluster->node;
	u32 *copy = NULL;
	unsigned int i;

	lockdep_assert_held(&node->set_lock);
	if (n) {
		copy = kmemdup(stores, array_size(n, sizeof(*stores)), GFP_KERNEL);
		if (!copy)
			return -ENOMEM;
	}
	/* Entries keep no reference: host_remove() takes them out before the host's own goes. */
	for (i = 0; i < n; i++) {
		int err = xa_err(xa_store(&node->stores, stores[i], host, GFP_KERNEL));

		if (err) {
			kfree(copy);
			return err;
		}
	}
	for (i = 0; i < host->n_stores; i++) {
		u32 old = host->stores[i];
		unsigned int j = 0;

		while (j < n && stores[j] != old)
			j++;
		if (j == n && xa_load(&node->stores, old) == host)
			xa_erase(&node->stores, old);
	}
	kfree(host->stores);
	host->stores = copy;
	host->n_stores = n;
	return 0;
}

static int host_describe(struct weft_cluster *cluster, struct weft_host *host, const char *name, u32 state,
			 const u32 *stores, unsigned int n_stores)
{
	int err = host_stores_set(cluster, host, stores, n_stores);

	if (err)
		return err;
	if (name)
		strscpy(host->name, name, sizeof(host->name));
	if (state) {
		spin_lock(&host->lock);
		/* The daemon sees it come back: what this side remembers is old. */
		if (host->state == WEFT_HOST_DOWN && state == WEFT_HOST_UP) {
			host->avoid = false;
			host->failures = 0;
		}
		if (host->state != WEFT_HOST_DOWN && state == WEFT_HOST_DOWN)
			host->down_at = jiffies;
		WRITE_ONCE(host->state, state);
		spin_unlock(&host->lock);
	}
	return 0;
}

static int host_connect(struct weft_cluster *cluster, struct weft_host *host, enum weft_lane_kind kind,
			struct socket *sock, struct netlink_ext_ack *extack)
{
	struct weft_conn *conn = weft_conn_alloc(host, kind);
	int err;

	if (!conn)
		return -ENOMEM;
	err = weft_socket_attach(conn, sock, extack);
	if (err) {
		weft_conn_put(conn);
		return err;
	}
	atomic_inc(&cluster->node.conns);
	weft_host_count(host, WEFT_HC_CONNECTS, 1);
	weft_conn_get(conn);
	spin_lock(&host->lock);
	list_add_tail(&conn->link, &host->conns);
	spin_unlock(&host->lock);
	weft_conn_start(conn);
	weft_conn_put(conn);
	return 0;
}

int weft_host_set(struct weft_cluster *cluster, u32 number, const char *name, u32 state, const u32 *stores,
		  unsigned int n_stores, u32 kind, struct socket *sock, struct netlink_ext_ack *extack)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_host *host;
	int err;

	if (!number || state > WEFT_HOST_DRAINING) {
		NL_SET_ERR_MSG(extack, "host number 0 or an unknown state");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < n_stores; i++) {
		if (stores[i] == WEFT_STORE_NONE) {
			NL_SET_ERR_MSG(extack, "a store has the number 0");
			return -EINVAL;
		}
	}
	mutex_lock(&node->set_lock);
	host = xa_load(&node->hosts, number);
	if (!host) {
		host = host_alloc(cluster, number);
		err = host ? xa_err(xa_store(&node->hosts, number, host, GFP_KERNEL)) : -ENOMEM;
		if (err) {
			if (host)
				weft_host_put(host);
			goto out_unlock;
		}
		host->state = WEFT_HOST_UP;
	}
	err = host_describe(cluster, host, name, state, stores, n_stores);
	if (!err && sock)
		err = host_connect(cluster, host, kind == WEFT_CONN_KIND_SMALL ? WEFT_LANE_SMALL : WEFT_LANE_BULK, sock,
				   extack);
out_unlock:
	mutex_unlock(&node->set_lock);
	return err;
}

/* Out of the tables; connections and waiting requests end. Drops the table's reference. */
static void host_remove(struct weft_cluster *cluster, struct weft_host *host)
{
	struct weft_conn *conn, *next;

	lockdep_assert_held(&cluster->node.set_lock);
	host_stores_set(cluster, host, NULL, 0);
	xa_erase(&cluster->node.hosts, host->number);
	spin_lock(&host->lock);
	WRITE_ONCE(host->gone, true);
	list_for_each_entry_safe(conn, next, &host->conns, link)
		weft_conn_close(conn, 0);
	spin_unlock(&host->lock);
	host_waiting_fail(host, -ENXIO);
	if (cancel_delayed_work_sync(&host->wait_work))
		weft_host_put(host);
	if (cancel_work_sync(&host->upcall_work))
		weft_host_put(host);
	weft_host_put(host);
}

int weft_host_del(struct weft_cluster *cluster, u32 number)
{
	struct weft_host *host;

	mutex_lock(&cluster->node.set_lock);
	host = xa_load(&cluster->node.hosts, number);
	if (host)
		host_remove(cluster, host);
	mutex_unlock(&cluster->node.set_lock);
	return host ? 0 : -ENOENT;
}

/* --- choosing --------------------------------------------------------------------------------------------------------- */

static bool host_is_used(u32 number, const u32 *used, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (used[i] == number)
			return true;
	return false;
}

/* One store of the host, a different one each time. */
static u32 host_store_pick(struct weft_cluster *cluster, struct weft_host *host, u32 turn)
{
	u32 store = WEFT_STORE_NONE;

	mutex_lock(&cluster->node.set_lock);
	if (host->n_stores)
		store = host->stores[turn % host->n_stores];
	mutex_unlock(&cluster->node.set_lock);
	return store;
}

u32 weft_host_spare(struct weft_cluster *cluster, const u32 *used, unsigned int n, struct weft_host **found)
{
	unsigned long start = READ_ONCE(cluster->node.spare_turn), number;
	u32 turn = atomic_inc_return(&cluster->node.spare_count);
	u32 store = WEFT_STORE_NONE;
	struct weft_host *host = NULL;

	/* From behind the host that was the last spare, once around. */
	for (unsigned int round = 0; round < 2 && !host; round++) {
		rcu_read_lock();
		xa_for_each_range(&cluster->node.hosts, number, host, round ? 0 : start + 1,
				  round ? start : ULONG_MAX) {
			if (weft_host_usable(host) && READ_ONCE(host->n_stores) && !host_is_used(number, used, n) &&
			    READ_ONCE(host->state) != WEFT_HOST_DRAINING && kref_get_unless_zero(&host->ref))
				break;
			host = NULL;
		}
		rcu_read_unlock();
	}
	if (!host)
		return WEFT_STORE_NONE;
	WRITE_ONCE(cluster->node.spare_turn, host->number);
	store = host_store_pick(cluster, host, turn);
	if (store == WEFT_STORE_NONE) {
		weft_host_put(host);
		return WEFT_STORE_NONE;
	}
	*found = host;
	return store;
}

unsigned int weft_host_unusable_stores(struct weft_cluster *cluster, __le32 *stores, unsigned int max)
{
	struct weft_host *host;
	unsigned long store;
	unsigned int n = 0;

	rcu_read_lock();
	xa_for_each(&cluster->node.stores, store, host) {
		if (weft_host_usable(host))
			continue;
		if (n == max)
			break;
		stores[n++] = cpu_to_le32(store);
	}
	rcu_read_unlock();
	return n;
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */

/* Connections that nobody has used for long are given back; they come again when they are wanted. */
#define IDLE_MS (10 * 60 * 1000)
#define REAP_MS (60 * 1000)

static void host_reap(struct work_struct *work)
{
	struct weft_node_cluster *node = container_of(to_delayed_work(work), struct weft_node_cluster, reaper);
	unsigned long before = jiffies - msecs_to_jiffies(IDLE_MS), number;
	struct weft_conn *conn, *next;
	struct weft_host *host;

	mutex_lock(&node->set_lock);
	xa_for_each(&node->hosts, number, host) {
		spin_lock(&host->lock);
		list_for_each_entry_safe(conn, next, &host->conns, link)
			if (weft_conn_idle(conn, before))
				weft_conn_close(conn, 0);
		spin_unlock(&host->lock);
	}
	mutex_unlock(&node->set_lock);
	queue_delayed_work(weft_node_wq, &node->reaper, msecs_to_jiffies(REAP_MS));
}

void weft_host_table_init(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;

	mutex_init(&node->set_lock);
	xa_init(&node->hosts);
	xa_init(&node->stores);
	atomic_set(&node->conns, 1);
	INIT_DELAYED_WORK(&node->reaper, host_reap);
	queue_delayed_work(weft_node_wq, &node->reaper, msecs_to_jiffies(REAP_MS));
}

void weft_host_table_exit(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_host *host;
	unsigned long number;

	cancel_delayed_work_sync(&node->reaper);
	mutex_lock(&node->set_lock);
	xa_for_each(&node->hosts, number, host)
		host_remove(cluster, host);
	mutex_unlock(&node->set_lock);
	/* Connections end by themselves, without waiting for anybody. */
	if (!atomic_dec_and_test(&node->conns))
		wait_var_event(&node->conns, !atomic_read(&node->conns));
	xa_destroy(&node->hosts);
	xa_destroy(&node->stores);
}
