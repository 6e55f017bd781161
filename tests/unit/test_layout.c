// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The geometry of stored chunks, against its definition byte by byte and with hostile numbers; CRC
 * tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "chunk/crc32c.h"
#include "chunk/crctable.h"
#include "chunk/layout.h"

static u64 rng_state;

static u64 rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* A length up to @max, of a random order of magnitude. */
static u32 random_len(u32 max)
{
	u32 len = (u32)rng() >> (rng() % 32);

	return 1 + len % max;
}

static struct weft_layout random_layout(void)
{
	struct weft_layout layout;
	unsigned int k = 1 + rng() % 31, m = rng() % (33 - k);

	assert_int_equal(weft_layout_init(&layout, random_len(WEFT_STORED_MAX), k, m), 0);
	return layout;
}

static void shards_are_the_smallest_that_hold_the_stored_form(void **state)
{
	static const struct {
		u32 stored_len, k, shard_len;
	} cases[] = {
		{1, 1, 64},
		{64, 1, 64},
		{65, 1, 128},
		{4096, 1, 4096},
		{1, 6, 64},
		{384, 6, 64},
		{385, 6, 128},
		{131072, 6, 21888},
		{131073, 6, 24576},
		{131072, 1, 131072},
		{131073, 1, 135168},
		{4194304, 6, 700416},
		{16777216, 1, 16777216},
		{16777216, 31, 544768},
		{WEFT_STORED_MAX, 1, WEFT_SHARD_LEN_MAX},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct weft_layout layout;

		assert_int_equal(weft_layout_init(&layout, cases[i].stored_len, cases[i].k, 1), 0);
		assert_int_equal(layout.shard_len, cases[i].shard_len);
	}
	for (unsigned int i = 0; i < 100000; i++) {
		struct weft_layout layout = random_layout();
		u32 align = layout.stored_len > 131072 ? 4096 : 64;

		assert_int_equal(layout.shard_len % align, 0);
		assert_true((u64)layout.shard_len * layout.k >= layout.stored_len);
		assert_true((u64)(layout.shard_len - align) * layout.k < layout.stored_len);
		assert_true(layout.shard_len <= WEFT_SHARD_LEN_MAX);
	}
}

static void impossible_chunks_are_refused(void **state)
{
	struct weft_layout layout;

	assert_int_equal(weft_layout_init(&layout, 0, 6, 3), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, WEFT_STORED_MAX + 1, 6, 3), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, UINT32_MAX, 6, 3), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, 1, 0, 3), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, 1, 30, 3), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, 1, UINT_MAX, 33), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, 1, 1, UINT_MAX), -EINVAL);
	assert_int_equal(weft_layout_init(&layout, 1, 32, 0), 0);
}

static void used_bytes_of_shards_add_up(void **state)
{
	for (unsigned int i = 0; i < 20000; i++) {
		struct weft_layout layout = random_layout();
		u32 sum = 0;

		for (unsigned int shard = 0; shard < layout.k; shard++) {
			u32 used = weft_layout_shard_used(&layout, shard);

			assert_true(used <= layout.shard_len);
			if (used)
				assert_int_equal(sum, shard * layout.shard_len);
			sum += used;
		}
		assert_int_equal(sum, layout.stored_len);
		assert_int_equal(weft_layout_shard_used(&layout, layout.k), 0);
		assert_int_equal(weft_layout_shard_used(&layout, UINT_MAX), 0);
	}
}

static void slices_cover_their_range_once_and_in_order(void **state)
{
	for (unsigned int i = 0; i < 50000; i++) {
		struct weft_layout layout = random_layout();
		u32 offset = rng() % layout.stored_len,
		    length = random_len(layout.stored_len - offset);
		struct weft_slice_iter iter;
		struct weft_slice slice;
		u32 done = 0, slices = 0;

		assert_int_equal(weft_slice_begin(&iter, &layout, offset, length), 0);
		while (weft_slice_next(&iter, &slice)) {
			assert_true(slice.shard < layout.k);
			assert_true(slice.length > 0);
			assert_true(slice.offset + slice.length <= layout.shard_len);
			assert_int_equal(slice.at, done);
			/* The definition: shard i is bytes [i * S, (i + 1) * S). */
			assert_int_equal(slice.shard * layout.shard_len + slice.offset,
					 offset + done);
			done += slice.length;
			slices++;
		}
		assert_int_equal(done, length);
		assert_true(slices <= layout.k);
		assert_false(weft_slice_next(&iter, &slice));
	}
}

static void windows_are_the_blocks_around_a_range(void **state)
{
	for (unsigned int i = 0; i < 50000; i++) {
		struct weft_layout layout = random_layout();
		u32 offset = rng() % layout.shard_len,
		    length = random_len(layout.shard_len - offset);
		struct weft_window window;
		u32 sum = 0;

		assert_int_equal(weft_window_init(&window, &layout, offset, length), 0);
		assert_int_equal(window.offset % WEFT_CRC_BLOCK, 0);
		assert_int_equal(window.block * WEFT_CRC_BLOCK, window.offset);
		assert_true(window.offset <= offset && offset - window.offset < WEFT_CRC_BLOCK);
		assert_true(window.offset + window.length >= offset + length);
		assert_true(window.offset + window.length - offset - length < WEFT_CRC_BLOCK);
		assert_true(window.offset + window.length <= layout.shard_len);
		for (u32 b = 0; b < window.blocks; b++)
			sum += weft_block_len(layout.shard_len, window.block + b);
		assert_int_equal(sum, window.length);
	}
}

static void blocks_and_frames_add_up(void **state)
{
	for (unsigned int i = 0; i < 3000; i++) {
		u32 len = random_len(WEFT_STORED_MAX), plain = random_len(WEFT_CHUNK_MAX), sum = 0;
		u32 offset = rng() % plain, length = random_len(plain - offset), first, count;

		for (u32 b = 0; b < weft_block_count(len); b++) {
			assert_in_range(weft_block_len(len, b), 1, WEFT_CRC_BLOCK);
			sum += weft_block_len(len, b);
		}
		assert_int_equal(sum, len);
		assert_int_equal(weft_block_len(len, weft_block_count(len)), 0);
		assert_int_equal(weft_block_len(len, UINT32_MAX), 0);

		sum = 0;
		for (u32 f = 0; f < weft_frame_count(plain); f++)
			sum += weft_frame_plain_len(plain, f);
		assert_int_equal(sum, plain);
		assert_int_equal(weft_frame_plain_len(plain, weft_frame_count(plain)), 0);
		assert_int_equal(weft_frame_plain_len(plain, UINT32_MAX), 0);

		assert_int_equal(weft_frame_range(plain, offset, length, &first, &count), 0);
		assert_true(first * WEFT_FRAME_SIZE <= offset &&
			    offset < (first + 1) * WEFT_FRAME_SIZE);
		assert_true((first + count) * WEFT_FRAME_SIZE >= offset + length);
		assert_true((first + count - 1) * WEFT_FRAME_SIZE < offset + length);
	}
}

static void ranges_that_end_at_a_seam_take_nothing_behind_it(void **state)
{
	struct weft_slice_iter iter;
	struct weft_window window;
	struct weft_layout layout;
	struct weft_slice slice;
	u32 first, count;

	assert_int_equal(weft_frame_range(WEFT_CHUNK_MAX, 0, WEFT_FRAME_SIZE, &first, &count), 0);
	assert_int_equal(first, 0);
	assert_int_equal(count, 1);
	assert_int_equal(weft_frame_range(WEFT_CHUNK_MAX, WEFT_FRAME_SIZE, 1, &first, &count), 0);
	assert_int_equal(first, 1);
	assert_int_equal(count, 1);

	assert_int_equal(weft_layout_init(&layout, 4 << 20, 6, 3), 0);
	assert_int_equal(weft_window_init(&window, &layout, 4096, 4096), 0);
	assert_int_equal(window.block, 1);
	assert_int_equal(window.blocks, 1);
	assert_int_equal(weft_slice_begin(&iter, &layout, 0, layout.shard_len), 0);
	assert_true(weft_slice_next(&iter, &slice));
	assert_false(weft_slice_next(&iter, &slice));
}

static void ranges_outside_are_refused_without_wrapping(void **state)
{
	static const struct {
		u64 offset, length;
	} outside[] = {
		{0, 1025},
		{1024, 1},
		{1025, 0},
		{1023, 2},
		{UINT64_MAX, 1},
		{1, UINT64_MAX},
		{UINT64_MAX, UINT64_MAX},
		{1ull << 32, 1},
		{0, (1ull << 32) + 1},
		{UINT64_MAX - 99, 200},
	};
	struct weft_slice_iter iter;
	struct weft_window window;
	struct weft_layout layout;
	struct weft_slice slice;
	u32 first, count;

	/* Stored form, shard and plaintext all have 1024 bytes. */
	assert_int_equal(weft_layout_init(&layout, 1024, 1, 3), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(outside); i++) {
		u64 offset = outside[i].offset, length = outside[i].length;

		assert_int_equal(weft_slice_begin(&iter, &layout, offset, length), -ERANGE);
		assert_int_equal(weft_window_init(&window, &layout, offset, length), -ERANGE);
		assert_int_equal(weft_frame_range(1024, offset, length, &first, &count), -ERANGE);
	}
	assert_int_equal(weft_window_init(&window, &layout, 5, 0), -ERANGE);
	assert_int_equal(weft_frame_range(1024, 5, 0, &first, &count), -ERANGE);
	assert_int_equal(weft_slice_begin(&iter, &layout, 1024, 0), 0);
	assert_false(weft_slice_next(&iter, &slice));
}

static void crc_tables_made_by_columns_find_every_bad_block(void **state)
{
	u32 len = 5 * WEFT_CRC_BLOCK + 64, blocks = 6, bad;
	u8 *data = malloc(len), table[4 * 7 + 1], whole[4 * 7];

	assert_int_equal(weft_crctable_len(len), sizeof(whole));
	for (u32 i = 0; i < len; i++)
		data[i] = (u8)rng();

	weft_crctable_fill(whole, 0, data, len);
	assert_int_equal(weft_crctable_seal(whole, blocks), weft_crc32c(0, whole, 24));

	/* By columns, and at an odd address. */
	weft_crctable_fill(table + 1, 0, data, 2 * WEFT_CRC_BLOCK);
	weft_crctable_fill(table + 1, 2, data + 2 * WEFT_CRC_BLOCK, 2 * WEFT_CRC_BLOCK);
	weft_crctable_fill(table + 1, 4, data + 4 * WEFT_CRC_BLOCK, len - 4 * WEFT_CRC_BLOCK);
	weft_crctable_seal(table + 1, blocks);
	assert_memory_equal(table + 1, whole, sizeof(whole));
	assert_true(weft_crctable_sealed(table + 1, blocks));
	assert_int_equal(weft_crctable_entry(whole, 5),
			 weft_crc32c(0, data + 5 * WEFT_CRC_BLOCK, 64));

	assert_int_equal(weft_crctable_check(whole, data, len, &bad), 0);
	for (u32 block = 0; block < blocks; block++) {
		u32 at = block * WEFT_CRC_BLOCK + rng() % weft_block_len(len, block);

		data[at] ^= 1 << rng() % 8;
		assert_int_equal(weft_crctable_check(whole, data, len, NULL), -EBADMSG);
		assert_int_equal(weft_crctable_check(whole, data, len, &bad), -EBADMSG);
		assert_int_equal(bad, block);
		weft_crctable_fill(whole, block, data + block * WEFT_CRC_BLOCK,
				   weft_block_len(len, block));
		assert_false(weft_crctable_sealed(whole, blocks));
		weft_crctable_seal(whole, blocks);
	}
	free(data);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(shards_are_the_smallest_that_hold_the_stored_form),
		cmocka_unit_test(impossible_chunks_are_refused),
		cmocka_unit_test(used_bytes_of_shards_add_up),
		cmocka_unit_test(slices_cover_their_range_once_and_in_order),
		cmocka_unit_test(windows_are_the_blocks_around_a_range),
		cmocka_unit_test(blocks_and_frames_add_up),
		cmocka_unit_test(ranges_that_end_at_a_seam_take_nothing_behind_it),
		cmocka_unit_test(ranges_outside_are_refused_without_wrapping),
		cmocka_unit_test(crc_tables_made_by_columns_find_every_bad_block),
	};
	const char *seed = getenv("WEFT_TEST_SEED");

	rng_state = seed ? strtoull(seed, NULL, 0) : ((u64)time(NULL) << 20 ^ (u64)getpid()) | 1;
	print_message("seed: WEFT_TEST_SEED=%#llx\n", (unsigned long long)rng_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
