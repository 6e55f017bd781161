/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a host usually takes: a smoothed mean and mean deviation of what was seen (RFC 6298, section 2, with its
 * gains of 1/8 and 1/4), and the moments at which waiting is no longer worth it. Pure: time comes from the caller;
 * who shares an estimator between threads locks it, or lives with a sample that gets lost.
 *
 * All times are microseconds.
 */
#ifndef WEFT_NODE_LATENCY_H
#define WEFT_NODE_LATENCY_H

#include "ec/ec_port.h"

/*
 * @smoothed: scaled by 8
 * @deviation: scaled by 4
 * Both are zero until the first sample.
 */
struct weft_latency {
	u32 smoothed;
	u32 deviation;
};

/* Longer samples count as this: one outlier must not make a host seem slow for ever. */
#define WEFT_LATENCY_MAX (10u * 1000 * 1000)

void weft_latency_add(struct weft_latency *latency, u64 usec);

/* The usual time; 0 before the first sample. */
static inline u32 weft_latency_usual(const struct weft_latency *latency)
{
	return latency->smoothed / 8;
}

/* When a GET is late: max(@floor, smoothed + 4 deviations). Before the first sample: 8 times @floor. */
u32 weft_latency_get_late(const struct weft_latency *latency, u32 floor);

/* When a PUT is late: max(@floor, 4 times the usual time). Before the first sample: 8 times @floor. */
u32 weft_latency_put_late(const struct weft_latency *latency, u32 floor);

#endif
