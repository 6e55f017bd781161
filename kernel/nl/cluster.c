// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clusters as network namespaces see them.
 *
 * A cluster is made by the first BIND that names it. It has users, the bound sockets and the
 * mounts; 10 s after the last one has gone, or at once when the namespace goes, it is retired: it
 * leaves the namespace's list, its requests are completed, its hosts' connections are dropped (they
 * pin their namespace). The memory lives until the last reference is put.
 *
 * Retiring happens once, by whoever sets .retired under weft_nl_lock, and can sleep. A cluster
 * whose namespace has gone while a mount uses it is retired by the work that the last user queues.
 */
#include "nl/internal.h"

#include <linux/slab.h>

#define CLUSTER_LINGER (10 * HZ)

DEFINE_SPINLOCK(weft_nl_lock);
struct workqueue_struct *weft_cluster_wq;

static u64 cluster_serial; /* under weft_nl_lock */

static void cluster_release(struct kref *ref)
{
	struct weft_cluster *cluster = container_of(ref, struct weft_cluster, ref);

	WARN_ON(!xa_empty(&cluster->nl.requests));
	xa_destroy(&cluster->nl.requests);
	kfree(cluster);
}

void weft_cluster_get(struct weft_cluster *cluster)
{
	kref_get(&cluster->ref);
}

void weft_cluster_put(struct weft_cluster *cluster)
{
	if (cluster)
		kref_put(&cluster->ref, cluster_release);
}

bool weft_cluster_bound(const struct weft_cluster *cluster)
{
	return !list_empty_careful(&cluster->nl.socks);
}

/* Takes the cluster out of its namespace. True: the caller retires it. */
static bool cluster_claim(struct weft_cluster *cluster)
{
	lockdep_assert_held(&weft_nl_lock);
	if (cluster->nl.users || cluster->nl.retired)
		return false;
	cluster->nl.retired = true;
	list_del_init(&cluster->link);
	return true;
}

static bool cluster_has_settled(struct weft_cluster *cluster)
{
	bool settled;

	spin_lock(&cluster->nl.lock);
	settled = !cluster->nl.unsettled;
	spin_unlock(&cluster->nl.lock);
	return settled;
}

static void cluster_retire(struct weft_cluster *cluster)
{
	weft_cluster_abort(cluster, WEFT_ST_NOT_BOUND);
	/* Not the queues as a whole: works of other clusters may wait for daemons. */
	wait_event(cluster->nl.settled, cluster_has_settled(cluster));
	cancel_delayed_work_sync(&cluster->nl.watchdog);
	weft_node_cluster_exit(cluster);
	weft_cluster_put(cluster);
}

static void cluster_linger_work(struct work_struct *work)
{
	struct weft_cluster *cluster = container_of(work, struct weft_cluster, nl.linger.work);
	bool claimed;

	spin_lock(&weft_nl_lock);
	claimed = cluster_claim(cluster);
	spin_unlock(&weft_nl_lock);
	if (claimed)
		cluster_retire(cluster);
}

bool weft_cluster_use(struct weft_cluster *cluster)
{
	bool alive;

	spin_lock(&weft_nl_lock);
	alive = !cluster->nl.retired && READ_ONCE(cluster->net);
	if (alive)
		cluster->nl.users++;
	spin_unlock(&weft_nl_lock);
	return alive;
}

void weft_cluster_unuse(struct weft_cluster *cluster)
{
	spin_lock(&weft_nl_lock);
	if (!WARN_ON_ONCE(!cluster->nl.users) && !--cluster->nl.users && !cluster->nl.retired)
		mod_delayed_work(weft_cluster_wq, &cluster->nl.linger,
				 cluster->net ? CLUSTER_LINGER : 0);
	spin_unlock(&weft_nl_lock);
}

static struct weft_cluster *cluster_alloc(struct net *net, const uuid_t *uuid)
{
	struct weft_cluster *cluster = kzalloc(sizeof(*cluster), GFP_KERNEL);
	struct weft_nl_cluster *nl;
	int error;

	if (!cluster)
		return ERR_PTR(-ENOMEM);
	nl = &cluster->nl;
	kref_init(&cluster->ref);
	cluster->net = net;
	uuid_copy(&cluster->uuid, uuid);
	INIT_LIST_HEAD(&cluster->link);
	spin_lock_init(&nl->lock);
	INIT_LIST_HEAD(&nl->socks);
	INIT_LIST_HEAD(&nl->mounts);
	for (unsigned int class = 0; class < WEFT_CLASSES; class++)
		INIT_LIST_HEAD(&nl->queue[class]);
	init_waitqueue_head(&nl->settled);
	nl->unbound_since = jiffies;
	xa_init(&nl->requests);
	INIT_DELAYED_WORK(&nl->watchdog, weft_watchdog_work);
	INIT_DELAYED_WORK(&nl->linger, cluster_linger_work);
	error = weft_node_cluster_init(cluster);
	if (error) {
		kfree(cluster);
		return ERR_PTR(error);
	}
	return cluster;
}

static struct weft_cluster *cluster_lookup(struct net *net, const uuid_t *uuid)
{
	struct weft_cluster *cluster;

	lockdep_assert_held(&weft_nl_lock);
	list_for_each_entry(cluster, &weft_nl_net(net)->clusters, link) {
		if (uuid_equal(&cluster->uuid, uuid)) {
			weft_cluster_get(cluster);
			return cluster;
		}
	}
	return NULL;
}

struct weft_cluster *weft_cluster_by_uuid(struct net *net, const uuid_t *uuid)
{
	struct weft_cluster *cluster;

	spin_lock(&weft_nl_lock);
	cluster = cluster_lookup(net, uuid);
	spin_unlock(&weft_nl_lock);
	return cluster;
}

/* The one of that UUID, or a new one without users. With a reference. */
struct weft_cluster *weft_cluster_make(struct net *net, const uuid_t *uuid,
				       struct netlink_ext_ack *extack)
{
	struct weft_cluster *cluster = weft_cluster_by_uuid(net, uuid), *made;

	if (cluster)
		return cluster;
	made = cluster_alloc(net, uuid);
	if (IS_ERR(made)) {
		NL_SET_ERR_MSG(extack, "no memory for the cluster");
		return made;
	}
	spin_lock(&weft_nl_lock);
	cluster = weft_nl_net(net)->exiting ? ERR_PTR(-ENODEV) : cluster_lookup(net, uuid);
	if (!cluster) {
		made->nl.serial = ++cluster_serial;
		list_add_tail(&made->link, &weft_nl_net(net)->clusters);
		weft_cluster_get(made);
		/* In case that nobody comes to use it. */
		mod_delayed_work(weft_cluster_wq, &made->nl.linger, CLUSTER_LINGER);
		cluster = made;
		made = NULL;
	}
	spin_unlock(&weft_nl_lock);
	if (made) {
		weft_node_cluster_exit(made);
		weft_cluster_put(made);
	}
	return cluster;
}

struct weft_cluster *weft_cluster_next(struct net *net, u64 serial)
{
	struct weft_cluster *cluster, *found = NULL;

	spin_lock(&weft_nl_lock);
	list_for_each_entry(cluster, &weft_nl_net(net)->clusters, link) {
		if (cluster->nl.serial > serial) {
			weft_cluster_get(cluster);
			found = cluster;
			break;
		}
	}
	spin_unlock(&weft_nl_lock);
	return found;
}

struct weft_cluster *weft_cluster_find(struct net *net, const char *name)
{
	struct weft_cluster *cluster, *found = NULL;
	bool known = false, several = false;

	spin_lock(&weft_nl_lock);
	list_for_each_entry(cluster, &weft_nl_net(net)->clusters, link) {
		if (name && strcmp(cluster->name, name))
			continue;
		known = true;
		if (!weft_cluster_bound(cluster))
			continue;
		several = found;
		found = cluster;
	}
	if (found && !several)
		weft_cluster_get(found);
	spin_unlock(&weft_nl_lock);
	if (several)
		return ERR_PTR(-ENOTUNIQ);
	if (found)
		return found;
	return ERR_PTR(name && !known ? -ENOENT : -ENOTCONN);
}

/*
 * The sockets have been released. All waits end, mounts as well; the last of them retires the
 * cluster.
 */
static void cluster_orphan(struct weft_cluster *cluster)
{
	struct weft_mount *mount;

	spin_lock(&cluster->nl.lock);
	list_for_each_entry(mount, &cluster->nl.mounts, nl.link)
		weft_nl_mount_end(mount, WEFT_MOUNT_FORCED);
	spin_unlock(&cluster->nl.lock);
	/* Also requests that are no mount's: MOUNT above all. */
	weft_cluster_abort(cluster, WEFT_ST_ABORTED);
}

void weft_clusters_orphan(struct net *net)
{
	struct weft_nl_net *nn = weft_nl_net(net);
	struct weft_cluster *cluster;
	bool claimed;

	spin_lock(&weft_nl_lock);
	nn->exiting = true;
	while ((cluster = list_first_entry_or_null(&nn->clusters, struct weft_cluster, link))) {
		WRITE_ONCE(cluster->net, NULL);
		claimed = cluster_claim(cluster);
		if (!claimed)
			list_del_init(&cluster->link);
		weft_cluster_get(cluster);
		spin_unlock(&weft_nl_lock);

		cluster_orphan(cluster);
		if (claimed) {
			cancel_delayed_work_sync(&cluster->nl.linger);
			cluster_retire(cluster);
		}
		weft_cluster_put(cluster);
		spin_lock(&weft_nl_lock);
	}
	spin_unlock(&weft_nl_lock);
}

int weft_clusters_init(void)
{
	weft_cluster_wq = alloc_workqueue("weft-cluster", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return weft_cluster_wq ? 0 : -ENOMEM;
}

void weft_clusters_exit(void)
{
	destroy_workqueue(weft_cluster_wq);
}
