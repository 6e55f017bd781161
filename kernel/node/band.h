/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A range of a chunk as bands: ranges of shard offsets in which the same data shards are wanted.
 *
 * Reed-Solomon codes columns, so a missing piece of a shard is computed from the same range of k others. Cutting a
 * read into bands makes every fetch of a band have one and the same range: what one shard does not give is decoded
 * from the others' without another byte being needed. A range of the stored form makes at most three bands.
 *
 *	shard 0   |        ########|            range wanted: from the middle of shard 0 to the middle of shard 2
 *	shard 1   |################|
 *	shard 2   |#####           |
 *	bands     |{1,2}|{1}|{0,1} |
 *
 * Pure.
 */
#ifndef WEFT_NODE_BAND_H
#define WEFT_NODE_BAND_H

#include "chunk/layout.h"

#define WEFT_BANDS_MAX 3

/*
 * @start, @end: offsets in each shard; @start is a multiple of WEFT_CRC_BLOCK, @end too or the shard's end
 * @want: bit mask of the data shards whose bytes are wanted, never 0
 */
struct weft_band {
	u32 start;
	u32 end;
	u32 want;
};

/*
 * Fill @bands with the bands of [@offset, @offset + @length) of the stored form, ascending and disjoint. Returns how
 * many, or -ERANGE if the range is empty or not all in the stored form.
 */
int weft_band_plan(struct weft_band bands[WEFT_BANDS_MAX], const struct weft_layout *layout, u64 offset, u64 length);

#endif
