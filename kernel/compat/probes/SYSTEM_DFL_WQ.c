// SPDX-License-Identifier: GPL-2.0-only
/* 6.17 "workqueue: Add system_percpu_wq and system_dfl_wq"; the second one was also taken into 6.12.y. */
#include <linux/workqueue.h>

bool probe_queue(struct work_struct *work);
bool probe_queue(struct work_struct *work)
{
#ifdef PROBE_NEW
	return queue_work(system_dfl_wq, work);
#else
	return queue_work(system_unbound_wq, work);
#endif
}
