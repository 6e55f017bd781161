// SPDX-License-Identifier: GPL-2.0-only
/*
 * The geometry of stored chunks. See layout.h.
 *
 * A range from outside is checked once, in 64 bits and without a sum that could wrap, where it
 * enters; behind that all arithmetic is on numbers below 2^25.
 */
#include "layout.h"

static_assert((u64)WEFT_STORED_MAX + WEFT_SHARDS_MAX * WEFT_SHARD_ALIGN < 1U << 25,
	      "offsets in a chunk fit into 25 bits");

static u32 round_up_to(u32 n, u32 align)
{
	return (n + align - 1) / align * align;
}

/* Whether [offset, offset + length) lies in [0, total). */
static bool range_inside(u64 offset, u64 length, u32 total)
{
	return offset <= total && length <= total - offset;
}

int weft_layout_init(struct weft_layout *layout, u32 stored_len, unsigned int k, unsigned int m)
{
	u32 align = stored_len <= WEFT_FRAME_SIZE ? WEFT_SHARD_ALIGN_ONE : WEFT_SHARD_ALIGN;

	if (!stored_len || stored_len > WEFT_STORED_MAX)
		return -EINVAL;
	if (k < 1 || k > WEFT_SHARDS_MAX || m > WEFT_SHARDS_MAX - k)
		return -EINVAL;

	layout->stored_len = stored_len;
	layout->shard_len = round_up_to((stored_len + k - 1) / k, align);
	layout->k = k;
	layout->m = m;
	return 0;
}

u32 weft_layout_shard_used(const struct weft_layout *layout, unsigned int shard)
{
	u32 start = shard * layout->shard_len;

	if (shard >= layout->k || start >= layout->stored_len)
		return 0;
	if (layout->stored_len - start < layout->shard_len)
		return layout->stored_len - start;
	return layout->shard_len;
}

int weft_slice_begin(struct weft_slice_iter *iter, const struct weft_layout *layout, u64 offset,
		     u64 length)
{
	if (!range_inside(offset, length, layout->stored_len))
		return -ERANGE;

	iter->layout = layout;
	iter->start = offset;
	iter->pos = offset;
	iter->end = offset + length;
	return 0;
}

bool weft_slice_next(struct weft_slice_iter *iter, struct weft_slice *slice)
{
	u32 shard_len = iter->layout->shard_len;
	u32 in_shard;

	if (iter->pos == iter->end)
		return false;

	slice->shard = iter->pos / shard_len;
	slice->offset = iter->pos % shard_len;
	slice->at = iter->pos - iter->start;
	in_shard = shard_len - slice->offset;
	slice->length = iter->end - iter->pos < in_shard ? iter->end - iter->pos : in_shard;
	iter->pos += slice->length;
	return true;
}

int weft_window_init(struct weft_window *window, const struct weft_layout *layout, u64 offset,
		     u64 length)
{
	u32 end;

	if (!length || !range_inside(offset, length, layout->shard_len))
		return -ERANGE;

	end = round_up_to(offset + length, WEFT_CRC_BLOCK);
	window->block = (u32)offset / WEFT_CRC_BLOCK;
	window->blocks = end / WEFT_CRC_BLOCK - window->block;
	window->offset = window->block * WEFT_CRC_BLOCK;
	window->length = (end < layout->shard_len ? end : layout->shard_len) - window->offset;
	return 0;
}

u32 weft_block_count(u32 len)
{
	return len / WEFT_CRC_BLOCK + !!(len % WEFT_CRC_BLOCK);
}

u32 weft_block_len(u32 len, u32 block)
{
	if (block >= weft_block_count(len))
		return 0;
	if (len - block * WEFT_CRC_BLOCK < WEFT_CRC_BLOCK)
		return len % WEFT_CRC_BLOCK;
	return WEFT_CRC_BLOCK;
}

u32 weft_frame_count(u32 plain_len)
{
	return plain_len / WEFT_FRAME_SIZE + !!(plain_len % WEFT_FRAME_SIZE);
}

u32 weft_frame_plain_len(u32 plain_len, u32 frame)
{
	if (frame >= weft_frame_count(plain_len))
		return 0;
	if (plain_len - frame * WEFT_FRAME_SIZE < WEFT_FRAME_SIZE)
		return plain_len % WEFT_FRAME_SIZE;
	return WEFT_FRAME_SIZE;
}

int weft_frame_range(u32 plain_len, u64 offset, u64 length, u32 *first, u32 *count)
{
	if (!length || !range_inside(offset, length, plain_len))
		return -ERANGE;

	*first = (u32)offset / WEFT_FRAME_SIZE;
	*count = (u32)(offset + length - 1) / WEFT_FRAME_SIZE - *first + 1;
	return 0;
}
