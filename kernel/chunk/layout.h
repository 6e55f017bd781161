/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the bytes of a stored chunk lie: which shard, at which offset, in which CRC block, in
 * which frame.
 *
 * The stored form (frames one after the other, stored_len bytes) is padded with zeros to k * S and
 * cut into k data shards of S bytes; m parity shards of S bytes follow. S is the smallest that
 * holds it: a multiple of 4096, or of 64 for a stored form of at most one frame.
 *
 *	stored form   0                                    stored_len    k * S
 *	              |<------ S ------>|<------ S ------>|<---:.0.0.0.0.0.>|
 *	              | shard 0         | shard 1         | shard 2 = k - 1 |  and m of parity
 *	CRC blocks    |4096|4096|..|64| |4096|4096|..|64|                    the last may be shorter
 *
 * Pure: nothing here allocates, sleeps or keeps state. Offsets and lengths that come from outside
 * may have any value.
 */
#ifndef WEFT_CHUNK_LAYOUT_H
#define WEFT_CHUNK_LAYOUT_H

#include "../ec/ec_port.h"
#include "weft_format.h"

/*
 * The geometry of one stored chunk. k * shard_len is below 2^25, so sums of offsets within a chunk
 * fit into 32 bits.
 * @stored_len: 1 to WEFT_STORED_MAX
 * @shard_len: S
 */
struct weft_layout {
	u32 stored_len;
	u32 shard_len;
	u8 k;
	u8 m;
};

/* Returns -EINVAL for a length or a (k, m) that no chunk has. */
int weft_layout_init(struct weft_layout *layout, u32 stored_len, unsigned int k, unsigned int m);

/* How many bytes at the start of @shard (below k) come from the stored form; zeros follow. */
u32 weft_layout_shard_used(const struct weft_layout *layout, unsigned int shard);

/*
 * The part of a range of the stored form that lies in one data shard.
 * @shard: 0 to k - 1
 * @offset, @length: in the shard's data
 * @at: offset of the slice in the range that was asked for
 */
struct weft_slice {
	unsigned int shard;
	u32 offset;
	u32 length;
	u32 at;
};

/* Walks the slices of a range in ascending order; at most k of them. */
struct weft_slice_iter {
	const struct weft_layout *layout;
	u32 start;
	u32 pos;
	u32 end;
};

/*
 * Returns -ERANGE if bytes [offset, offset + length) are not all in the stored form. An empty
 * range has no slice.
 */
int weft_slice_begin(struct weft_slice_iter *iter, const struct weft_layout *layout, u64 offset,
		     u64 length);
bool weft_slice_next(struct weft_slice_iter *iter, struct weft_slice *slice);

/*
 * The whole CRC blocks around a range of a shard: what must be fetched to check it, and, from any
 * k other shards, what must be fetched to decode it.
 * @offset: a multiple of WEFT_CRC_BLOCK
 * @length: up to the end of a block, or of the shard
 * @block, @blocks: the first block and how many
 */
struct weft_window {
	u32 offset;
	u32 length;
	u32 block;
	u32 blocks;
};

/* Returns -ERANGE if the range is empty or not all in the shard. */
int weft_window_init(struct weft_window *window, const struct weft_layout *layout, u64 offset,
		     u64 length);

/* CRC blocks in @len bytes of a shard, and the length of block @block of them (0 past the last). */
u32 weft_block_count(u32 len);
u32 weft_block_len(u32 len, u32 block);

/* Frames */

/*
 * Frames of a chunk with @plain_len bytes of plaintext, and the plaintext bytes of frame @frame (0
 * past the last).
 */
u32 weft_frame_count(u32 plain_len);
u32 weft_frame_plain_len(u32 plain_len, u32 frame);

/*
 * The frames that a range of the plaintext touches: @first and @count. Returns -ERANGE if the
 * range is empty or not all in the chunk.
 */
int weft_frame_range(u32 plain_len, u64 offset, u64 length, u32 *first, u32 *count);

#endif
