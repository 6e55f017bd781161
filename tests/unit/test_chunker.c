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

static const struct weft_chunker_params fixed_params = { .min = 1, .target = 256 * 1024, .max = MiB, .random = 0 };

static u64 rng_state;

static u64 rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* What is refused is said in words; the word that names the parameter stands in it. */
static void parameters_are_checked(void **state)
{
	static const struct weft_chunker_ops *const fixed = &weft_chunker_fixed, *const cdc = &weft_chunker_cdc,
						    *const hybrid = &weft_chunker_hybrid,
						    *const variable = &weft_chunker_variable;
	static const struct {
		const struct weft_chunker_ops *ops;
		struct weft_chunker_params params;
		const char *says;	/* NULL: nothing */
	} cases[] = {
		{ fixed, { 0, 1, 1, 0 }, "min must not be zero" },
		{ fixed, { 0, 0, 0, 0 }, "min must not be zero" },
		{ fixed, { 2, 1, 3, 0 }, "min must not be above target" },
		{ fixed, { UINT32_MAX, 1, 3, 0 }, "min must not be above target" },
		{ fixed, { 1, 3, 2, 0 }, "target must not be above max" },
		{ fixed, { 1, UINT32_MAX, 2, 0 }, "target must not be above max" },
		{ fixed, { 1, 1, WEFT_CHUNK_MAX + 1, 0 }, "16 MiB" },
		{ fixed, { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX }, "16 MiB" },
		{ fixed, { WEFT_CHUNK_MAX, WEFT_CHUNK_MAX, WEFT_CHUNK_MAX, UINT32_MAX }, NULL },
		{ fixed, { 1, 1, 1, 0 }, NULL },
		{ cdc, { 63, MiB, 2 * MiB, 0 }, "min must be at least 64 bytes" },
		{ cdc, { 64, MiB, 2 * MiB, 0 }, NULL },
		{ cdc, { 64, 32768 + 63, 2 * MiB, 0 }, "32 KiB above min" },
		{ cdc, { 64, 32768 + 64, 2 * MiB, 0 }, NULL },
		{ cdc, { MiB, MiB, 2 * MiB, 0 }, "32 KiB above min" },
		{ cdc, { 64, MiB, 2 * MiB - 1, 0 }, "twice the target" },
		{ cdc, { 64, WEFT_CHUNK_MAX, WEFT_CHUNK_MAX, 0 }, "twice the target" },
		{ cdc, { 64, WEFT_CHUNK_MAX / 2, WEFT_CHUNK_MAX, UINT32_MAX }, NULL },
		{ cdc, { WEFT_CHUNK_MAX / 2 - 32768, WEFT_CHUNK_MAX / 2, WEFT_CHUNK_MAX, 0 }, NULL },
		{ variable, { 4096, MiB, MiB, 0 }, NULL },
		{ variable, { 4097, MiB, MiB, 0 }, "min must be a multiple of 4 KiB" },
		{ variable, { 8192, 12288, MiB, 0 }, "target must be a multiple of min" },
		{ variable, { WEFT_CHUNK_MAX, WEFT_CHUNK_MAX, WEFT_CHUNK_MAX, 0 }, NULL },
		{ hybrid, { 64, MiB, 2 * MiB, 4096 }, NULL },
		{ hybrid, { 64, MiB, 2 * MiB, 2 * MiB }, NULL },
		{ hybrid, { 64, MiB, 2 * MiB, 0 }, "random must be a multiple of 4 KiB" },
		{ hybrid, { 64, MiB, 2 * MiB, 4095 }, "random must be a multiple of 4 KiB" },
		{ hybrid, { 64, MiB, 2 * MiB, 2 * MiB + 4096 }, "random must not be above max" },
		{ hybrid, { 64, MiB, 2 * MiB, UINT32_MAX - 4095 }, "random must not be above max" },
		{ hybrid, { 63, MiB, 2 * MiB, 4096 }, "min must be at least 64 bytes" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *wrong = weft_chunker_check(cases[i].ops, &cases[i].params);
		struct weft_chunker c;

		assert_int_equal(!wrong, !cases[i].says);
		if (wrong)
			assert_non_null(strstr(wrong, cases[i].says));
		assert_int_equal(weft_chunker_begin(&c, cases[i].ops, &cases[i].params, NULL, 0), wrong ? -EINVAL : 0);
	}
}

static void defaults_are_allowed_for_all(void **state)
{
	for (u32 kind = WEFT_CHUNKER_FIXED; kind <= WEFT_CHUNKER_HYBRID; kind++) {
		struct weft_chunker c;

		assert_null(weft_chunker_check(weft_chunker_of(kind), &weft_chunker_defaults));
		assert_int_equal(weft_chunker_begin(&c, weft_chunker_of(kind), &weft_chunker_defaults, NULL, 0), 0);
	}
}

static void offsets_that_no_file_has_are_refused(void **state)
{
	struct weft_chunker c;
	bool cut;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, NULL, 1ull << 63), -EINVAL);
	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, NULL, UINT64_MAX), -EINVAL);
	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, NULL, INT64_MAX), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), 1);
	assert_true(cut);
	assert_int_equal(c.offset, 1ull << 63);
}

static void chunkers_are_found_by_name(void **state)
{
	assert_ptr_equal(weft_chunker_find("fixed"), &weft_chunker_fixed);
	assert_ptr_equal(weft_chunker_find("cdc"), &weft_chunker_cdc);
	assert_ptr_equal(weft_chunker_find("variable"), &weft_chunker_variable);
	assert_ptr_equal(weft_chunker_find("hybrid"), &weft_chunker_hybrid);
	assert_ptr_equal(weft_chunker_of(WEFT_CHUNKER_FIXED), &weft_chunker_fixed);
	assert_ptr_equal(weft_chunker_of(WEFT_CHUNKER_CDC), &weft_chunker_cdc);
	assert_ptr_equal(weft_chunker_of(WEFT_CHUNKER_VARIABLE), &weft_chunker_variable);
	assert_ptr_equal(weft_chunker_of(WEFT_CHUNKER_HYBRID), &weft_chunker_hybrid);
	assert_null(weft_chunker_of(0));
	assert_null(weft_chunker_of(UINT32_MAX));
	assert_null(weft_chunker_find("fixe"));
	assert_null(weft_chunker_find(""));
}

static void fixed_cuts_at_multiples_of_the_target(void **state)
{
	struct weft_chunker c;
	u64 offset = 0;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, NULL, 0), 0);
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
		weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, NULL, 3ull << 40 | 4096), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, 10 * MiB, &cut), 256 * 1024 - 4096);
	assert_true(cut);
	assert_int_equal(weft_chunker_scan(&c, NULL, 10 * MiB, &cut), 256 * 1024);
	assert_true(cut);
}

static void a_taken_tail_does_not_move_later_cuts(void **state)
{
	struct weft_chunker c;
	bool cut;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_fixed, &fixed_params, NULL, 0), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, 5000, &cut), 5000);
	assert_false(cut);
	assert_int_equal(weft_chunker_tail(&c), 5000);
	weft_chunker_reset(&c);
	assert_int_equal(weft_chunker_tail(&c), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, MiB, &cut), 256 * 1024 - 5000);
	assert_true(cut);
}

static void variable_picks_its_size_from_the_file(void **state)
{
	static const struct {
		u64 file_size;
		u32 chunk;
	} cases[] = {
		{ 0, 4 * MiB },		   { 1, MiB / 4 },	     { 16 * MiB, MiB / 4 },
		{ 16 * MiB + 1, MiB / 2 }, { 32 * MiB, MiB / 2 },    { 32 * MiB + 1, MiB },
		{ 256 * MiB, 4 * MiB },	   { 1u << 30, 16 * MiB },   { 1ull << 40, 16 * MiB },
		{ INT64_MAX, 16 * MiB },   { UINT64_MAX, 16 * MiB },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct weft_chunker_hints hints = { .file_size = cases[i].file_size };
		struct weft_chunker c;
		bool cut;

		assert_int_equal(weft_chunker_begin(&c, &weft_chunker_variable, &weft_chunker_defaults, &hints, 0), 0);
		assert_false(c.ops->looks);
		for (int n = 0; n < 3; n++) {
			assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), cases[i].chunk);
			assert_true(cut);
		}
	}
}

/* min is not max by a power of two: the size is the largest that fits. */
static void variable_stays_below_its_maximum(void **state)
{
	static const struct weft_chunker_params params = { 12288, 24576, 100000, 0 };
	struct weft_chunker_hints hints = { .file_size = UINT64_MAX };
	struct weft_chunker c;
	bool cut;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_variable, &params, &hints, 4096), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), 98304 - 4096);
	assert_true(cut);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), 98304);
}

static void hybrid_is_fixed_for_files_written_at_random(void **state)
{
	struct weft_chunker_hints hints = { .random = true };
	struct weft_chunker_params params = weft_chunker_defaults;
	struct weft_chunker c;
	bool cut;

	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_hybrid, &params, &hints, 4096), 0);
	assert_ptr_equal(c.ops, &weft_chunker_fixed);
	assert_false(c.ops->looks);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), 256 * 1024 - 4096);
	assert_true(cut);
	params.random = 128 * 1024;
	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_hybrid, &params, &hints, 0), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), 128 * 1024);
}

static void hybrid_is_content_defined_in_sequence(void **state)
{
	static const struct weft_chunker_hints in_sequence;
	struct weft_chunker_params params = { .min = 4096, .target = 65536, .max = 262144, .random = 4096 };
	struct weft_chunker a, b, c;
	u8 *buf = malloc(4 * MiB);
	bool cut;

	for (size_t i = 0; i < 4 * MiB; i++)
		buf[i] = (u8)(rng() >> 24);
	assert_int_equal(weft_chunker_begin(&a, &weft_chunker_hybrid, &params, NULL, 77), 0);
	assert_int_equal(weft_chunker_begin(&b, &weft_chunker_hybrid, &params, &in_sequence, 77), 0);
	assert_int_equal(weft_chunker_begin(&c, &weft_chunker_cdc, &params, NULL, 77), 0);
	assert_ptr_equal(a.ops, &weft_chunker_cdc);
	assert_true(a.ops->looks);
	for (size_t pos = 0; pos < 4 * MiB;) {
		size_t n = weft_chunker_scan(&c, buf + pos, 4 * MiB - pos, &cut);

		assert_int_equal(weft_chunker_scan(&a, buf + pos, 4 * MiB - pos, &cut), n);
		assert_int_equal(weft_chunker_scan(&b, buf + pos, 4 * MiB - pos, &cut), n);
		pos += n;
	}
	free(buf);
}

/* A chunker that never wants to cut: the frame must. */
static u32 never_scan(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut)
{
	assert_true(len > 0 && len <= chunker->params.max - chunker->pos);
	return len;
}

static void no_chunk_is_longer_than_the_maximum(void **state)
{
	static const struct weft_chunker_ops never = { .name = "never", .scan = never_scan };
	struct weft_chunker c;
	bool cut = false;
	u64 sum = 0;

	assert_int_equal(weft_chunker_begin(&c, &never, &fixed_params, NULL, 12345), 0);
	while (!cut) {
		assert_int_equal(weft_chunker_tail(&c), sum);
		sum += weft_chunker_scan(&c, NULL, 1 + rng() % 5000, &cut);
	}
	assert_int_equal(sum, fixed_params.max);
	assert_int_equal(weft_chunker_tail(&c), 0);
	assert_int_equal(weft_chunker_scan(&c, NULL, 0, &cut), 0);
	assert_false(cut);
	assert_int_equal(weft_chunker_scan(&c, NULL, SIZE_MAX, &cut), fixed_params.max);
	assert_true(cut);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(defaults_are_allowed_for_all),
		cmocka_unit_test(offsets_that_no_file_has_are_refused),
		cmocka_unit_test(chunkers_are_found_by_name),
		cmocka_unit_test(fixed_cuts_at_multiples_of_the_target),
		cmocka_unit_test(a_run_that_begins_between_cuts_ends_at_the_next),
		cmocka_unit_test(a_taken_tail_does_not_move_later_cuts),
		cmocka_unit_test(variable_picks_its_size_from_the_file),
		cmocka_unit_test(variable_stays_below_its_maximum),
		cmocka_unit_test(hybrid_is_fixed_for_files_written_at_random),
		cmocka_unit_test(hybrid_is_content_defined_in_sequence),
		cmocka_unit_test(no_chunk_is_longer_than_the_maximum),
	};
	const char *seed = getenv("WEFT_TEST_SEED");

	rng_state = seed ? strtoull(seed, NULL, 0) : ((u64)time(NULL) << 20 ^ (u64)getpid()) | 1;
	print_message("seed: WEFT_TEST_SEED=%#llx\n", (unsigned long long)rng_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
