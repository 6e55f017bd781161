// SPDX-License-Identifier: GPL-2.0-or-later
/* The geometry of stored chunks, asked with any numbers: refused, or inside of what they name. */
#include <stdlib.h>

#include "chunk/layout.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* As the numbers stand in an input. */
struct question {
	u32 stored_len;
	u32 k;
	u32 m;
	u32 plain_len;
	u64 offset;
	u64 length;
};

static void walk_slices(const struct weft_layout *layout, const struct question *q)
{
	struct weft_slice_iter iter;
	struct weft_slice slice;
	struct weft_window window;
	u64 done = 0;

	if (weft_slice_begin(&iter, layout, q->offset, q->length))
		return;
	require(q->offset + q->length >= q->offset && q->offset + q->length <= layout->stored_len);
	while (weft_slice_next(&iter, &slice)) {
		require(slice.shard < layout->k && slice.length > 0 && slice.at == done);
		require(slice.offset + slice.length <= weft_layout_shard_used(layout, slice.shard));
		require(!weft_window_init(&window, layout, slice.offset, slice.length));
		done += slice.length;
	}
	require(done == q->length);
}

static void walk_window(const struct weft_layout *layout, const struct question *q)
{
	struct weft_window window;

	if (weft_window_init(&window, layout, q->offset, q->length))
		return;
	require(window.offset <= q->offset && window.offset % WEFT_CRC_BLOCK == 0);
	require(window.offset + window.length >= q->offset + q->length);
	require(window.offset + window.length <= layout->shard_len);
	require(weft_block_count(window.length) == window.blocks);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct weft_layout layout;
	struct question q;
	u32 first, count;

	if (size != sizeof(q))
		return 0;
	memcpy(&q, data, sizeof(q));
	if (!weft_frame_range(q.plain_len, q.offset, q.length, &first, &count))
		require(count > 0 && first + count <= weft_frame_count(q.plain_len));
	if (weft_layout_init(&layout, q.stored_len, q.k, q.m))
		return 0;
	require((u64)layout.shard_len * layout.k >= layout.stored_len);
	walk_slices(&layout, &q);
	walk_window(&layout, &q);
	return 0;
}
