// SPDX-License-Identifier: GPL-2.0-only
/*
 * The estimator of a host's usual time. Integer arithmetic on scaled values: the fractions that a gain of 1/8 would
 * cut off are kept, so that the mean follows even differences of a few microseconds.
 */
#include "node/latency.h"

#define COLD_FACTOR 8

void weft_latency_add(struct weft_latency *latency, u64 usec)
{
	u32 sample = usec < WEFT_LATENCY_MAX ? (u32)usec : WEFT_LATENCY_MAX;
	u32 mean = latency->smoothed / 8;
	u32 error;

	if (!latency->smoothed) {
		latency->smoothed = (sample ? sample : 1) * 8;
		latency->deviation = sample * 2;
		return;
	}
	error = sample > mean ? sample - mean : mean - sample;
	latency->smoothed = latency->smoothed - mean + sample;
	latency->deviation = latency->deviation - latency->deviation / 4 + error;
	if (!latency->smoothed)
		latency->smoothed = 1;
}

static u32 late_at(const struct weft_latency *latency, u32 floor, u32 limit)
{
	if (!latency->smoothed)
		return floor < WEFT_LATENCY_MAX / COLD_FACTOR ? floor * COLD_FACTOR : WEFT_LATENCY_MAX;
	return limit > floor ? limit : floor;
}

u32 weft_latency_get_late(const struct weft_latency *latency, u32 floor)
{
	return late_at(latency, floor, latency->smoothed / 8 + latency->deviation);
}

u32 weft_latency_put_late(const struct weft_latency *latency, u32 floor)
{
	return late_at(latency, floor, latency->smoothed / 2);
}
