// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of mounts, shown as netlink attributes and as text. A sum may be a moment old; gauges
 * (DIRTY_BYTES) that are below zero for that reason show as zero.
 */
#include "obs/stats.h"

#include <linux/seq_file.h>
#include <net/netlink.h>

#include "nl/generated.h"
#include "weft.h"

static const struct {
	u32 id;
	const char *name;
	const char *unit;
} mount_counters[WEFT_MC_NR] = {
#define WEFT_COUNTER_ROW(name, id, unit, help) [WEFT_MC_##name] = { id, #name, unit },
	WEFT_MOUNT_COUNTERS(WEFT_COUNTER_ROW)
#undef WEFT_COUNTER_ROW
};

int weft_stats_mount_init(struct weft_mount *mount)
{
	return percpu_counter_init_many(mount->counters, 0, GFP_KERNEL, WEFT_MC_NR);
}

void weft_stats_mount_exit(struct weft_mount *mount)
{
	percpu_counter_destroy_many(mount->counters, WEFT_MC_NR);
}

int weft_stats_put(struct sk_buff *skb, u32 id, u64 value)
{
	struct nlattr *nest = nla_nest_start(skb, WEFT_A_COUNTER);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u32(skb, WEFT_COUNTER_ID, id) ||
	    nla_put_u64_64bit(skb, WEFT_COUNTER_VALUE, value, WEFT_COUNTER_PAD)) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

int weft_stats_put_mount(struct sk_buff *skb, struct weft_mount *mount)
{
	int error = 0;

	for (unsigned int i = 0; i < WEFT_MC_NR && !error; i++)
		error = weft_stats_put(skb, mount_counters[i].id,
				       percpu_counter_sum_positive(&mount->counters[i]));
	return error;
}

void weft_stats_show_mount(struct seq_file *seq, struct weft_mount *mount)
{
	for (unsigned int i = 0; i < WEFT_MC_NR; i++)
		seq_printf(seq, "\n\t%s: %lld %s", mount_counters[i].name,
			   percpu_counter_sum_positive(&mount->counters[i]),
			   mount_counters[i].unit);
}
