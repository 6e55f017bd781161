// SPDX-License-Identifier: GPL-2.0-only
/* 6.13 "hrtimers: Introduce hrtimer_setup() to replace hrtimer_init()" */
#include <linux/hrtimer.h>

void probe_setup(struct hrtimer *timer, enum hrtimer_restart (*function)(struct hrtimer *timer));
void probe_setup(struct hrtimer *timer, enum hrtimer_restart (*function)(struct hrtimer *timer))
{
#ifdef PROBE_NEW
	hrtimer_setup(timer, function, CLOCK_BOOTTIME, HRTIMER_MODE_REL);
#else
	hrtimer_init(timer, CLOCK_BOOTTIME, HRTIMER_MODE_REL);
	timer->function = function;
#endif
}
