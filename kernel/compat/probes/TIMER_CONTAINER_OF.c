// SPDX-License-Identifier: GPL-2.0-only
/* 6.16 "treewide, timers: Rename from_timer() to timer_container_of()" */
#include <linux/timer.h>

struct probe {
	struct timer_list timer;
};

struct probe *probe_of(struct timer_list *timer);
struct probe *probe_of(struct timer_list *timer)
{
#ifdef PROBE_NEW
	struct probe *probe = timer_container_of(probe, timer, timer);
#else
	struct probe *probe = from_timer(probe, timer, timer);
#endif

	return probe;
}
