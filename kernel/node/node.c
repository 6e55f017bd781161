// SPDX-License-Identifier: GPL-2.0-only
/*
 * Start and stop of node/: for the module, for a cluster, for a mount.
 */
#include <linux/module.h>

#include "node/internal.h"

struct workqueue_struct *weft_node_wq;
struct workqueue_struct *weft_conn_wq;

static unsigned int put_hedge_ms = 200;
module_param(put_hedge_ms, uint, 0644);
MODULE_PARM_DESC(put_hedge_ms, "shortest time in ms after which a late shard goes to a spare store too");

static unsigned int get_hedge_ms = 20;
module_param(get_hedge_ms, uint, 0644);
MODULE_PARM_DESC(get_hedge_ms, "shortest time in ms after which a late read is replaced by decoding");

static unsigned int peer_timeout_ms = 5000;
module_param(peer_timeout_ms, uint, 0644);
MODULE_PARM_DESC(peer_timeout_ms, "time in ms after which a silent host's connection is broken");

unsigned int weft_param_put_hedge(void)
{
	return clamp(READ_ONCE(put_hedge_ms), 1u, 60000u);
}

unsigned int weft_param_get_hedge(void)
{
	return clamp(READ_ONCE(get_hedge_ms), 1u, 60000u);
}

unsigned int weft_param_peer_timeout(void)
{
	return clamp(READ_ONCE(peer_timeout_ms), 1000u, 60000u);
}

int weft_node_cluster_init(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;
	int err;

	spin_lock_init(&node->job_lock);
	INIT_LIST_HEAD(&node->puts);
	INIT_LIST_HEAD(&node->gets);
	INIT_LIST_HEAD(&node->gets_waiting);
	init_waitqueue_head(&node->job_wait);
	err = weft_group_table_init(cluster);
	if (err)
		return err;
	err = weft_report_init(cluster);
	if (err) {
		weft_group_table_exit(cluster);
		return err;
	}
	weft_host_table_init(cluster);
	return 0;
}

void weft_node_cluster_exit(struct weft_cluster *cluster)
{
	weft_host_table_exit(cluster);
	weft_report_exit(cluster);
	weft_group_table_exit(cluster);
}

void weft_node_mount_abort(struct weft_mount *mount)
{
	weft_put_abort(mount);
	weft_get_abort(mount);
	wait_event(mount->cluster->node.job_wait, !weft_put_busy(mount) && !weft_get_busy(mount));
}

int weft_node_init(void)
{
	int err;

	weft_node_wq = alloc_workqueue("weft_node", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!weft_node_wq)
		return -ENOMEM;
	weft_conn_wq = alloc_workqueue("weft_conn", WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!weft_conn_wq) {
		err = -ENOMEM;
		goto err_destroy_node_wq;
	}
	err = weft_put_init();
	if (err)
		goto err_destroy_conn_wq;
	return 0;

err_destroy_conn_wq:
	destroy_workqueue(weft_conn_wq);
err_destroy_node_wq:
	destroy_workqueue(weft_node_wq);
	return err;
}

void weft_node_exit(void)
{
	destroy_workqueue(weft_conn_wq);
	destroy_workqueue(weft_node_wq);
	weft_put_exit();
	/* Hosts, groups and chunks are freed after a grace period. */
	rcu_barrier();
}
