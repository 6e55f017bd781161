// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is told to the metadata service about single shards: those that were stored after the COMMIT that named them
 * missing (SHARDS_STORED), and those that a reader did not find (SHARDS_MISSING).
 *
 * Both are hints: losing one costs a rebuild that was not needed or one that comes later, by scrub. So they are
 * collected for a moment, sent many in one request, and dropped when more come than the table holds. A shard that was
 * reported a moment ago is not reported twice.
 */
#include <linux/slab.h>

#include "node/internal.h"

#define REPORTS_MAX  256u
#define REPORT_DELAY (HZ / 4)

static unsigned int report_slot(u16 op)
{
	return op == WEFT_REQ_SHARDS_STORED ? 0 : 1;
}

static const u16 report_ops[] = { WEFT_REQ_SHARDS_STORED, WEFT_REQ_SHARDS_MISSING };

void weft_report_shard(struct weft_cluster *cluster, u16 op, const struct weft_shard_report *report)
{
	struct weft_node_cluster *node = &cluster->node;
	unsigned int slot = report_slot(op);

	spin_lock(&node->report_lock);
	if (node->report_closed || node->n_reports[slot] == REPORTS_MAX)
		goto out_unlock;
	for (unsigned int i = 0; i < node->n_reports[slot]; i++)
		if (!memcmp(&node->reports[slot][i], report, sizeof(*report)))
			goto out_unlock;
	node->reports[slot][node->n_reports[slot]++] = *report;
	queue_delayed_work(weft_node_wq, &node->report_work, REPORT_DELAY);
out_unlock:
	spin_unlock(&node->report_lock);
}

/* Move what was collected into a request. NULL if there is nothing, or no memory: then it stays for the next time. */
static struct weft_request *report_request(struct weft_cluster *cluster, unsigned int slot)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_request *req;

	if (!READ_ONCE(node->n_reports[slot]))
		return NULL;
	req = weft_request_alloc(cluster, NULL, report_ops[slot], 2,
				 REPORTS_MAX * (sizeof(struct weft_shard_report) + NLA_HDRLEN), WEFT_NODE_GFP);
	if (!req)
		return NULL;
	spin_lock(&node->report_lock);
	for (unsigned int i = 0; i < node->n_reports[slot]; i++)
		weft_request_add(req, WEFT_P_SHARD, &node->reports[slot][i], sizeof(node->reports[slot][i]));
	node->n_reports[slot] = 0;
	spin_unlock(&node->report_lock);
	return req;
}

static void report_answered(struct weft_request *req)
{
}

static void report_work(struct work_struct *work)
{
	struct weft_node_cluster *node = container_of(to_delayed_work(work), struct weft_node_cluster, report_work);
	struct weft_cluster *cluster = container_of(node, struct weft_cluster, node);

	for (unsigned int slot = 0; slot < ARRAY_SIZE(report_ops); slot++) {
		struct weft_request *req = report_request(cluster, slot);

		if (!req)
			continue;
		req->done = report_answered;
		weft_request_submit(req);
		weft_request_put(req);
	}
}

int weft_report_init(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;

	spin_lock_init(&node->report_lock);
	INIT_DELAYED_WORK(&node->report_work, report_work);
	for (unsigned int slot = 0; slot < ARRAY_SIZE(report_ops); slot++) {
		node->reports[slot] = kcalloc(REPORTS_MAX, sizeof(struct weft_shard_report), GFP_KERNEL);
		if (!node->reports[slot]) {
			kfree(node->reports[0]);
			return -ENOMEM;
		}
	}
	return 0;
}

void weft_report_exit(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;

	spin_lock(&node->report_lock);
	node->report_closed = true;
	spin_unlock(&node->report_lock);
	cancel_delayed_work_sync(&node->report_work);
	for (unsigned int slot = 0; slot < ARRAY_SIZE(report_ops); slot++)
		kfree(node->reports[slot]);
}
