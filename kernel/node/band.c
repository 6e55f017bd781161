// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cutting a range of the stored form into bands. Only the first and the last shard that the range touches are wanted
 * in part; where they begin and end are the two places where a band may end.
 */
#include "node/band.h"

/* Shards @from up to, but without, @to. */
static u32 shard_mask(unsigned int from, unsigned int to)
{
	u32 mask = 0;

	for (unsigned int i = from; i < to; i++)
		mask |= 1U << i;
	return mask;
}

int weft_band_plan(struct weft_band bands[WEFT_BANDS_MAX], const struct weft_layout *layout, u64 offset, u64 length)
{
	const u32 shard_len = layout->shard_len;
	u32 start, end, first, last, cut[4];
	unsigned int n = 0;

	if (length == 0 || offset >= layout->stored_len || length > layout->stored_len - offset)
		return -ERANGE;
	first = (u32)offset / shard_len;
	last = (u32)(offset + length - 1) / shard_len;
	start = (u32)offset % shard_len / WEFT_CRC_BLOCK * WEFT_CRC_BLOCK;
	end = ((u32)(offset + length - 1) % shard_len / WEFT_CRC_BLOCK + 1) * WEFT_CRC_BLOCK;
	if (end > shard_len)
		end = shard_len;
	if (first == last) {
		bands[0] = (struct weft_band){ .start = start, .end = end, .want = 1U << first };
		return 1;
	}

	cut[0] = 0;
	cut[1] = start < end ? start : end;
	cut[2] = start < end ? end : start;
	cut[3] = shard_len;
	for (unsigned int i = 0; i < 3; i++) {
		u32 want = shard_mask(first + 1, last);

		if (cut[i] >= start)
			want |= 1U << first;
		if (cut[i + 1] <= end)
			want |= 1U << last;
		if (cut[i] < cut[i + 1] && want)
			bands[n++] = (struct weft_band){ .start = cut[i], .end = cut[i + 1], .want = want };
	}
	return n;
}
