/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.h - counters shown: netlink dumps and /proc/PID/mountstats. The table is uapi/weft_counters.h.
 */
#ifndef _WEFT_OBS_STATS_H
#define _WEFT_OBS_STATS_H

#include <linux/types.h>

struct seq_file;
struct sk_buff;
struct weft_mount;

/* Made before the mount counts, freed after it has counted last. */
int weft_stats_mount_init(struct weft_mount *mount);
void weft_stats_mount_exit(struct weft_mount *mount);

/* One nested counter; -EMSGSIZE when the message is full. Does not sleep. */
int weft_stats_put(struct sk_buff *skb, u32 id, u64 value);
/* All counters of the mount. Does not sleep. */
int weft_stats_put_mount(struct sk_buff *skb, struct weft_mount *mount);
/* The same as text, a line a counter: name, value, unit. */
void weft_stats_show_mount(struct seq_file *seq, struct weft_mount *mount);

#endif /* _WEFT_OBS_STATS_H */
