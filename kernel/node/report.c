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

#define REPORT_DELAY (HZ / 4)

static unsigned int report_slot(u16 op)
{
	return op == WEFT_REQ_SHARDS_STORED ? 0 : 1;
}

static const u16 report_ops[] = { WEFT_REQ_SHARDS_STORED, WEFT_REQ_SHARDS_MISSING };

void weft_report_shard(struct weft_cluster *cluster, u64 session, u16 op, const struct weft_shard_report *report)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_report entry = { .session = session, .shard = *report };
	unsigned int slot = report_slot(op);

	spin_lock(&node->report_lock);
	if (node->report_closed || node->n_reports[slot] == WEFT_REPORTS_MAX)
		goto out_unlock;
	for (unsigned int i = 0; i < node->n_reports[slot]; i++)
		if (!memcmp(&node->reports[slot][i], &entry, sizeof(entry)))
			goto out_unlock;
	node->reports[slot][node->n_reports[slot]++] = entry;
	queue_delayed_work(weft_node_wq, &node->report_work, REPORT_DELAY);
out_unlock:
	spin_unlock(&node->report_lock);
}

/* Move what was collected in the name of the first's session into @req. */
static void report_move(struct weft_node_cluster *node, unsigned int slot, struct weft_request *req)
{
	struct weft_report *reports = node->reports[slot];
	unsigned int kept = 0;

	spin_lock(&node->report_lock);
	req->session = reports[0].session;
	for (unsigned int i = 0; i < node->n_reports[slot]; i++) {
		if (reports[i].session == req->session)
			weft_request_add(req, WEFT_P_SHARD, &reports[i].shard, sizeof(reports[i].shard));
		else
			reports[kept++] = reports[i];
	}
	node->n_reports[slot] = kept;
	spin_unlock(&node->report_lock);
}

/* NULL if there is nothing to tell, or no memory: then it stays for the next time. */
static struct weft_request *report_request(struct weft_cluster *cluster, unsigned int slot)
{
	struct weft_node_cluster *node = &cluster->node;
	struct weft_request *req;

	if (!READ_ONCE(node->n_reports[slot]))
		return NULL;
	/* Room for all, so that nothing has to grow under the lock. */
	req = weft_request_alloc(cluster, NULL, report_ops[slot], 2,
				 WEFT_REPORTS_MAX * (sizeof(struct weft_shard_report) + NLA_HDRLEN), WEFT_NODE_GFP);
	if (req)
		report_move(node, slot, req);
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
		struct weft_request *req;

		while ((req = report_request(cluster, slot))) {
			req->done = report_answered;
			weft_request_submit(req);
			weft_request_put(req);
		}
	}
}

int weft_report_init(struct weft_cluster *cluster)
{
	struct weft_node_cluster *node = &cluster->node;

	spin_lock_init(&node->report_lock);
	INIT_DELAYED_WORK(&node->report_work, report_work);
	for (unsigned int slot = 0; slot < ARRAY_SIZE(report_ops); slot++) {
		node->reports[slot] = kcalloc(WEFT_REPORTS_MAX, sizeof(struct weft_report), GFP_KERNEL);
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
