// SPDX-License-Identifier: GPL-2.0-only
/* 6.17 "workqueue: Add new WQ_PERCPU flag"; before, a workqueue without WQ_UNBOUND was one. */
#include <linux/workqueue.h>

struct workqueue_struct *probe_alloc(void);
struct workqueue_struct *probe_alloc(void)
{
#ifdef PROBE_NEW
	return alloc_workqueue("probe", WQ_PERCPU, 0);
#else
	return alloc_workqueue("probe", 0, 0);
#endif
}
