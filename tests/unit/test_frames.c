// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames of compressed chunks: which are kept compressed, the table that says so, and the way back. The codec is a fake:
 * it stores runs of one byte as that byte and a count, and knows when something does not fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chunk/frames.h"
#include "chunk/header.h"

#define FRAME  WEFT_FRAME_SIZE
#define FRAMES 5u
#define PLAIN  (4 * FRAME + 1000)

static u32 fake_pack(const u8 *src, u32 len, u8 *dst, u32 room)
{
	u32 n = 0;

	for (u32 i = 0, run; i < len; i += run, n += 2) {
		for (run = 1; i + run < len && run < 255 && src[i + run] == src[i]; run++)
			;
		if (n + 2 > room)
			return 0;
		dst[n] = src[i];
		dst[n + 1] = (u8)run;
	}
	return n;
}

static u32 fake_unpack(const u8 *src, u32 len, u8 *dst)
{
	u32 n = 0;

	for (u32 i = 0; i < len; n += src[i + 1], i += 2)
		memset(dst + n, src[i], src[i + 1]);
	return n;
}

static void noise(u8 *buf, u32 len)
{
	for (u32 i = 0; i < len; i++)
		buf[i] = (u8)(i * 7 + (i >> 8));
}

/* Builds the stored form at @to as the kernel does; returns the frames. */
static struct weft_frames build(const u8 *plain, u32 len, __le32 *ends, u8 *to)
{
	struct weft_frames frames;
	u32 at = 0, next;

	weft_frames_begin(&frames, len, ends);
	while ((next = weft_frames_next(&frames))) {
		u8 *packed = malloc(FRAME);
		u32 n = fake_pack(plain + at, next, packed, weft_frames_room(next));
		u32 start = frames.stored_len, stored = weft_frames_add(&frames, n);

		memcpy(to + start, stored == next ? plain + at : packed, stored);
		at += next;
		free(packed);
	}
	assert_int_equal(at, len);
	return frames;
}

/* Even frames compress, odd ones do not. */
static u8 *mixed_content(void)
{
	u8 *plain = malloc(PLAIN);

	memset(plain, 7, PLAIN);
	noise(plain + FRAME, FRAME);
	noise(plain + 3 * FRAME, FRAME);
	return plain;
}

static void what_is_built_is_read_back(void **state)
{
	u8 *plain = mixed_content(), *stored = malloc(PLAIN), *back = malloc(PLAIN);
	__le32 ends[FRAMES];
	struct weft_frames frames = build(plain, PLAIN, ends, stored);

	assert_int_equal(frames.done, FRAMES);
	assert_int_equal(frames.packed, 3);
	assert_true(weft_frames_worth(&frames));
	assert_false(weft_frames_hopeless(&frames));
	for (u32 i = 0; i < FRAMES; i++) {
		struct weft_frame frame;

		weft_frame_get(ends, PLAIN, i, &frame);
		assert_int_equal(frame.raw, i == 1 || i == 3);
		assert_int_equal(frame.plain_start, i * FRAME);
		if (frame.raw)
			memcpy(back + frame.plain_start, stored + frame.start, frame.len);
		else
			assert_int_equal(fake_unpack(stored + frame.start, frame.len, back + frame.plain_start),
					 frame.plain_len);
	}
	assert_memory_equal(back, plain, PLAIN);
	free(plain);
	free(stored);
	free(back);
}

static void the_table_is_what_a_header_accepts(void **state)
{
	u8 *plain = mixed_content(), *stored = malloc(PLAIN), buf[WEFT_SHARD_HEADER_MAX];
	__le32 ends[FRAMES];
	struct weft_frames frames = build(plain, PLAIN, ends, stored);
	struct weft_shard_info decoded, info = {
		.k = 6, .m = 3, .codec = WEFT_CODEC_LZ4, .sid_session = 1, .group = 1, .plain_len = PLAIN,
		.stored_len = frames.stored_len, .frames = ends,
	};
	int len = weft_header_encode(&info, buf, sizeof(buf), NULL);

	assert_int_equal(len, sizeof(struct weft_shard_header) + sizeof(ends));
	assert_int_equal(weft_header_decode(&decoded, buf, (size_t)len, NULL), 0);
	assert_memory_equal(decoded.frames, ends, sizeof(ends));
	free(plain);
	free(stored);
}

/* A frame is kept compressed if that saves a sixteenth, not a byte less. */
static void a_sixteenth_has_to_be_saved(void **state)
{
	static const struct {
		u32 plain, packed;
		bool kept;
	} cases[] = {
		{ FRAME, FRAME - FRAME / 16, true }, { FRAME, FRAME - FRAME / 16 + 1, false },
		{ FRAME, 1, true }, { FRAME, 0, false }, { FRAME, FRAME, false }, { FRAME, FRAME + 1, false },
		{ 1000, 938, true }, { 1000, 939, false },
		/* Of less than 16 bytes nothing can be saved. */
		{ 15, 15, false }, { 15, 14, true }, { 1, 1, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct weft_frames frames;
		__le32 end;

		weft_frames_begin(&frames, cases[i].plain, &end);
		assert_int_equal(weft_frames_next(&frames), cases[i].plain);
		assert_int_equal(weft_frames_add(&frames, cases[i].packed),
				 cases[i].kept ? cases[i].packed : cases[i].plain);
		assert_int_equal(frames.packed, cases[i].kept);
		assert_int_equal(weft_frames_worth(&frames), cases[i].kept);
		assert_int_equal(weft_frames_next(&frames), 0);
	}
}

/* One good frame among many is not worth a table. */
static void the_chunk_has_to_save_a_sixteenth_too(void **state)
{
	const u32 n = 32;
	__le32 ends[32];
	struct weft_frames frames;

	for (u32 good = 1; good <= 4; good++) {
		weft_frames_begin(&frames, n * FRAME, ends);
		for (u32 i = 0; i < n; i++)
			weft_frames_add(&frames, i < good ? 64 : 0);
		assert_int_equal(frames.packed, good);
		/* Two frames are a sixteenth, less what they take. */
		assert_int_equal(weft_frames_worth(&frames), good > 2);
	}
}

static void it_is_hopeless_after_four(void **state)
{
	struct weft_frames frames;
	__le32 ends[8];

	weft_frames_begin(&frames, 8 * FRAME, ends);
	for (u32 i = 0; i < 4; i++) {
		assert_false(weft_frames_hopeless(&frames));
		weft_frames_add(&frames, 0);
	}
	assert_true(weft_frames_hopeless(&frames));
	weft_frames_begin(&frames, 8 * FRAME, ends);
	weft_frames_add(&frames, 100);
	for (u32 i = 0; i < 7; i++)
		weft_frames_add(&frames, 0);
	assert_false(weft_frames_hopeless(&frames));
}

static void ranges_need_whole_frames(void **state)
{
	const __le32 ends[3] = { cpu_to_le32(100), cpu_to_le32(100 + FRAME), cpu_to_le32(150 + FRAME) };
	const u32 plain = 2 * FRAME + 4096;
	static const struct {
		u64 offset, length;
		int ret;
		u32 first, count, start, stored;
	} cases[] = {
		{ 0, 1, 0, 0, 1, 0, 100 },
		{ FRAME - 1, 1, 0, 0, 1, 0, 100 },
		{ FRAME - 1, 2, 0, 0, 2, 0, 100 + FRAME },
		{ FRAME, 1, 0, 1, 1, 100, FRAME },
		{ 2 * FRAME, 4096, 0, 2, 1, 100 + FRAME, 50 },
		{ 0, 2 * FRAME + 4096, 0, 0, 3, 0, 150 + FRAME },
		{ 0, 2 * FRAME + 4097, -ERANGE, 0, 0, 0, 0 },
		{ 2 * FRAME + 4096, 1, -ERANGE, 0, 0, 0, 0 },
		{ 5, 0, -ERANGE, 0, 0, 0, 0 },
		{ ~0ull, 2, -ERANGE, 0, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 first, count, start, stored;
		int ret = weft_frames_range(ends, plain, cases[i].offset, cases[i].length, &first, &count, &start,
					    &stored);

		assert_int_equal(ret, cases[i].ret);
		if (ret)
			continue;
		assert_int_equal(first, cases[i].first);
		assert_int_equal(count, cases[i].count);
		assert_int_equal(start, cases[i].start);
		assert_int_equal(stored, cases[i].stored);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_built_is_read_back),
		cmocka_unit_test(the_table_is_what_a_header_accepts),
		cmocka_unit_test(a_sixteenth_has_to_be_saved),
		cmocka_unit_test(the_chunk_has_to_save_a_sixteenth_too),
		cmocka_unit_test(it_is_hopeless_after_four),
		cmocka_unit_test(ranges_need_whole_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
