// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Cutting a range of a chunk into bands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "node/band.h"

#define BLOCK WEFT_CRC_BLOCK

static struct weft_layout layout_of(u32 stored_len, unsigned int k, unsigned int m)
{
	struct weft_layout layout;

	assert_int_equal(weft_layout_init(&layout, stored_len, k, m), 0);
	return layout;
}

static void assert_band(const struct weft_band *band, u32 start, u32 end, u32 want)
{
	assert_int_equal(band->start, start);
	assert_int_equal(band->end, end);
	assert_int_equal(band->want, want);
}

static void a_read_inside_one_shard_is_one_band_of_whole_blocks(void **state)
{
	struct weft_layout layout = layout_of(6 << 20, 6, 3);
	struct weft_band bands[WEFT_BANDS_MAX];

	assert_int_equal(layout.shard_len, 1 << 20);
	assert_int_equal(weft_band_plan(bands, &layout, (2 << 20) + 5000, 100), 1);
	assert_band(&bands[0], BLOCK, 2 * BLOCK, 1 << 2);
}

static void a_whole_chunk_is_one_band_of_all_data_shards(void **state)
{
	struct weft_layout layout = layout_of(6 << 20, 6, 3);
	struct weft_band bands[WEFT_BANDS_MAX];

	assert_int_equal(weft_band_plan(bands, &layout, 0, 6 << 20), 1);
	assert_band(&bands[0], 0, 1 << 20, 0x3f);
}

static void a_read_across_a_border_wants_the_ends_only(void **state)
{
	struct weft_layout layout = layout_of(6 << 20, 6, 3);
	struct weft_band bands[WEFT_BANDS_MAX];

	assert_int_equal(weft_band_plan(bands, &layout, (1 << 20) - 4096, 8192), 2);
	assert_band(&bands[0], 0, BLOCK, 1 << 1);
	assert_band(&bands[1], (1 << 20) - BLOCK, 1 << 20, 1 << 0);
}

static void the_picture_in_the_header(void **state)
{
	struct weft_layout layout = layout_of(3 << 20, 3, 1);
	struct weft_band bands[WEFT_BANDS_MAX];

	assert_int_equal(weft_band_plan(bands, &layout, 512 << 10, (2 << 20) + (256 << 10) - (512 << 10)), 3);
	assert_band(&bands[0], 0, 256 << 10, 0x6);
	assert_band(&bands[1], 256 << 10, 512 << 10, 0x2);
	assert_band(&bands[2], 512 << 10, 1 << 20, 0x3);
}

static void short_shards_end_with_the_shard(void **state)
{
	struct weft_layout layout = layout_of(10000, 2, 1);
	struct weft_band bands[WEFT_BANDS_MAX];

	assert_int_equal(layout.shard_len, 5056);
	assert_int_equal(weft_band_plan(bands, &layout, 9999, 1), 1);
	assert_band(&bands[0], BLOCK, 5056, 1 << 1);
}

static void what_is_not_in_the_chunk_is_refused(void **state)
{
	struct weft_layout layout = layout_of(10000, 2, 1);
	struct weft_band bands[WEFT_BANDS_MAX];

	assert_int_equal(weft_band_plan(bands, &layout, 0, 0), -ERANGE);
	assert_int_equal(weft_band_plan(bands, &layout, 10000, 1), -ERANGE);
	assert_int_equal(weft_band_plan(bands, &layout, 9999, 2), -ERANGE);
	assert_int_equal(weft_band_plan(bands, &layout, UINT64_MAX, 2), -ERANGE);
	assert_int_equal(weft_band_plan(bands, &layout, 1, UINT64_MAX), -ERANGE);
}

/* Every wanted byte is in exactly one band of its shard, and bands are block-aligned, ascending, disjoint. */
static void bands_cover(const struct weft_layout *layout, u32 offset, u32 length)
{
	struct weft_band bands[WEFT_BANDS_MAX];
	int n = weft_band_plan(bands, layout, offset, length);

	assert_in_range(n, 1, WEFT_BANDS_MAX);
	for (int i = 0; i < n; i++) {
		assert_true(bands[i].start < bands[i].end && bands[i].end <= layout->shard_len);
		assert_int_equal(bands[i].start % BLOCK, 0);
		assert_true(bands[i].end % BLOCK == 0 || bands[i].end == layout->shard_len);
		assert_true(bands[i].want && !(bands[i].want >> layout->k));
		assert_true(i == 0 || bands[i - 1].end <= bands[i].start);
	}
	for (u32 shard = 0; shard < layout->k; shard++) {
		u32 base = shard * layout->shard_len;

		for (u32 at = 0; at < layout->shard_len; at += BLOCK) {
			u32 last = at + BLOCK < layout->shard_len ? at + BLOCK : layout->shard_len;
			bool wanted = base + last > offset && base + at < offset + length;
			int holders = 0;

			for (int i = 0; i < n; i++)
				holders += bands[i].start <= at && at < bands[i].end && bands[i].want >> shard & 1;
			assert_int_equal(holders, wanted);
		}
	}
}

static void any_range_is_covered_exactly(void **state)
{
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : (unsigned int)time(NULL);

	print_message("SEED=%u\n", seed);
	for (unsigned int i = 0; i < 3000; i++) {
		unsigned int k = 1 + rand_r(&seed) % 12;
		u32 stored = 1 + rand_r(&seed) % (rand_r(&seed) % 2 ? 300000u : 3000000u);
		struct weft_layout layout = layout_of(stored, k, rand_r(&seed) % 4);
		u32 offset = rand_r(&seed) % stored;

		bands_cover(&layout, offset, 1 + rand_r(&seed) % (stored - offset));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_inside_one_shard_is_one_band_of_whole_blocks),
		cmocka_unit_test(a_whole_chunk_is_one_band_of_all_data_shards),
		cmocka_unit_test(a_read_across_a_border_wants_the_ends_only),
		cmocka_unit_test(the_picture_in_the_header),
		cmocka_unit_test(short_shards_end_with_the_shard),
		cmocka_unit_test(what_is_not_in_the_chunk_is_refused),
		cmocka_unit_test(any_range_is_covered_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
