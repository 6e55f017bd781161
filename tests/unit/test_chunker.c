// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chunkers: cuts are where the policy says, whatever the buffers, and state survives between them.
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

#include "chunk/chunker.h"

#define MiB (1u << 20)

static const struct weft_chunker_params fixed_params = {.min = 1, .target = 256 * 1024, .max = MiB};

static u64 rng_state;

static u64 rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static void parameters_are_checked(void **state)
{
	static const struct weft_chunker_params bad[] = {
		{0, 1, 1},	    {2, 1, 3}, {1, 3, 2}, {1, 1, WEFT_CHUNK_MAX + 1},
		{1, 1, UINT32_MAX}, {0, 0, 0},
	};
	static const struct weft_chunker_params largest = {WEFT_CHUNK_MAX, WEFT_CHUNK_MAX,
							   WEFT_CHUNK_MAX};
	struct weft_chunker c;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &bad[i], 0), -EINVAL);
	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &largest, 0), 0);
}

static void chunkers_are_found_by_name(void **state)
{
	assert_ptr_equal(weft_chunker_find("fixed"), &weft_chunker_fixed);
	assert_null(weft_chunker_find("fixe"));
	assert_null(weft_chunker_find(""));
}

static void fixed_cuts_at_multiples_of_the_target(void **state)
{
	struct weft_chunker c;
	u64 offset = 0;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, 0), 0);
	while (offset < 4 * MiB) {
		size_t len = rng() % (600 * 1024);
		bool cut;
		size_t n = weft_chunker_scan(&c, NULL, len, &cut);

		assert_true(n <= len);
		assert_true(cut || n == len);
		offset += n;
		assert_int_equal(c.offset, offset);
		assert_int_equal(weft_chunker_tail(&c), offset % (256 * 1024));
		assert_int_equal(cut, n && offset % (256 * 1024) == 0);
	}
}

static void a_run_that_begins_between_cuts_ends_at_the_next(void **state)
{
	struct weft_chunker c;
	bool cut;

	assert_int_equal(
		weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, 3ull << 40 | 4096), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, 10 * MiB, &cut), 256 * 1024 - 4096);
	assert_true(cut);
	assert_int_equal(weft_chunker_scan(&c, NULL, 10 * MiB, &cut), 256 * 1024);
	assert_true(cut);
}

static void a_taken_tail_does_not_move_later_cuts(void **state)
{
	struct weft_chunker c;
	bool cut;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, 0), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, 5000, &cut), 5000);
	assert_false(cut);
	assert_int_equal(weft_chunker_tail(&c), 5000);
	weft_chunker_reset(&c);
	assert_int_equal(weft_chunker_tail(&c), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, MiB, &cut), 256 * 1024 - 5000);
	assert_true(cut);
}

/* A chunker that never wants to cut: the frame must. */
static u32 never_scan(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut)
{
	assert_true(len > 0 && len <= chunker->params.max - chunker->pos);
	chunker->hash += len;
	return len;
}

static void no_chunk_is_longer_than_the_maximum(void **state)
{
	static const struct weft_chunker_ops never = { .name = "never", .scan = never_scan };
	struct weft_chunker c;
	bool cut = false;
	u64 sum = 0;

	assert_int_equal(weft_chunker_begin(&c, &never, &fixed_params, 12345), 0);
	while (!cut) {
		assert_int_equal(c.hash, sum);
		sum += weft_chunker_scan(&c, NULL, 1 + rng() % 5000, &cut);
	}
	assert_int_equal(sum, fixed_params.max);
	assert_int_equal(weft_chunker_tail(&c), 0);
	assert_int_equal(c.hash, 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, 0, &cut), 0);
	assert_false(cut);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), fixed_params.max);
	assert_true(cut);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(chunkers_are_found_by_name),
		cmocka_unit_test(fixed_cuts_at_multiples_of_the_target),
		cmocka_unit_test(a_run_that_begins_between_cuts_ends_at_the_next),
		cmocka_unit_test(a_taken_tail_does_not_move_later_cuts),
		cmocka_unit_test(no_chunk_is_longer_than_the_maximum),
	};
	const char *seed = getenv("WEFT_TEST_SEED");

	rng_state = seed ? strtoull(seed, NULL, 0) : ((u64)time(NULL) << 20 ^ (u64)getpid()) | 1;
	print_message("seed: WEFT_TEST_SEED=%#llx\n", (unsigned long long)rng_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
