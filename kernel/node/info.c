// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is known of a host, for dumps.
 */
#include "node/internal.h"

static const u32 counter_ids[] = {
#define WEFT_X(name, id, unit, help) [WEFT_HC_##name] = id,
	WEFT_HOST_COUNTERS(WEFT_X)
#undef WEFT_X
};

static_assert(ARRAY_SIZE(counter_ids) == WEFT_HOST_INFO_COUNTERS);

static void info_fill(struct weft_host *host, struct weft_host_info *info)
{
	memset(info, 0, sizeof(*info));
	info->host = host->number;
	spin_lock(&host->lock);
	info->state = host->state;
	info->bulk = host->lanes[WEFT_LANE_BULK].conn;
	info->small = host->lanes[WEFT_LANE_SMALL].conn;
	spin_unlock(&host->lock);
	for (unsigned int i = 0; i < WEFT_HC_NR; i++) {
		info->counters[i].id = counter_ids[i];
		info->counters[i].value = atomic64_read(&host->counters[i]);
	}
	info->counters[WEFT_HC_LATENCY_USEC].value = weft_latency_usual(&host->latency[WEFT_LANE_SMALL]);
}

bool weft_host_info_next(struct weft_cluster *cluster, u32 from, struct weft_host_info *info)
{
	struct weft_node_cluster *node = &cluster->node;
	unsigned long number = from;
	struct weft_host *host;

	mutex_lock(&node->set_lock);
	host = xa_find(&node->hosts, &number, U32_MAX, XA_PRESENT);
	if (host) {
		info_fill(host, info);
		strscpy(info->name, host->name, sizeof(info->name));
	}
	mutex_unlock(&node->set_lock);
	return host;
}
