// SPDX-License-Identifier: GPL-2.0-or-later
/* What samples say of content: entropy against sources of known entropy, and what is worth which codec. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chunk/sample.h"

#define LEN 4096u

static uint64_t random_state;

static u8 random_byte(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u8)(random_state >> 56);
}

/* Bytes of @symbols values, each as likely as the others, from @first on. */
static void fill(u8 *buf, u32 len, unsigned int symbols, u8 first)
{
	random_state = 12345;
	for (u32 i = 0; i < len; i++)
		buf[i] = (u8)(first + random_byte() % symbols);
}

static struct weft_sample sample_of(const void *bytes, u32 len)
{
	struct weft_sample sample;

	weft_sample_begin(&sample);
	weft_sample_add(&sample, bytes, len);
	return sample;
}

static void entropy_is_that_of_the_counts(void **state)
{
	static const unsigned int symbols[] = { 1, 2, 3, 10, 26, 64, 100, 200, 256 };
	u8 buf[LEN];

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		struct weft_sample sample;
		double bits = 0;

		fill(buf, LEN, symbols[i], 0);
		sample = sample_of(buf, LEN);
		for (unsigned int j = 0; j < 256; j++)
			if (sample.counts[j])
				bits += sample.counts[j] * log2((double)LEN / sample.counts[j]) / LEN;
		assert_true(fabs(bits * 256 - weft_sample_entropy(&sample)) <= 3);
	}
}

static void nothing_has_no_entropy(void **state)
{
	struct weft_sample sample;

	weft_sample_begin(&sample);
	assert_int_equal(weft_sample_entropy(&sample), 0);
}

static void content_is_told_apart(void **state)
{
	static const char words[] = "It was the best of times, it was the worst of times;\n\tit was the age of wisdom\r\n";
	static const char umlauts[] = "Gr\xc3\xb6\xc3\x9f" "e, \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e, na\xc3\xafve\n";
	u8 buf[LEN];
	struct weft_sample sample;

	for (u32 i = 0; i < LEN; i++)
		buf[i] = (u8)words[i % (sizeof(words) - 1)];
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_TEXT);
	for (u32 i = 0; i < LEN; i++)
		buf[i] = (u8)umlauts[i % (sizeof(umlauts) - 1)];
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_TEXT);
	/* A zero byte is in no text. */
	buf[17] = 0;
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_BINARY);
	memset(buf, 0, LEN);
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_BINARY);
	/* base64: six bits a byte */
	fill(buf, LEN, 64, ' ');
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_TEXT);
	fill(buf, LEN, 100, 0);
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_BINARY);
	fill(buf, LEN, 256, 0);
	sample = sample_of(buf, LEN);
	assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_DENSE);
}

/* A frame is judged by a quarter of the samples: random content must not pass for less than it is. */
static void random_frames_are_dense(void **state)
{
	const u32 len = WEFT_SAMPLE_FRAME_SPOTS * WEFT_SAMPLE_SPOT;
	u8 buf[LEN];

	random_state = 99;
	for (unsigned int i = 0; i < 2000; i++) {
		struct weft_sample sample;

		for (u32 j = 0; j < len; j++)
			buf[j] = random_byte();
		sample = sample_of(buf, len);
		assert_int_equal(weft_sample_judge(&sample), WEFT_CONTENT_DENSE);
	}
}

static void archives_and_media_are_known(void **state)
{
	static const struct {
		const char *head;
		u32 len;
		bool packed;
	} cases[] = {
		{ "\x1f\x8b\x08\0\0\0\0\0", 8, true }, { "PK\3\4\x14\0", 6, true },
		{ "\x89PNG\r\n\x1a\n", 8, true }, { "\xff\xd8\xff\xe0\0\x10JFIF", 10, true },
		{ "\0\0\0\x18" "ftypmp42", 12, true }, { "\x28\xb5\x2f\xfd\x04", 5, true },
		{ "\xfd" "7zXZ\0\0\4", 8, true }, { "BZh91AY&SY", 10, true }, { "RIFF\1\2\3\4WEBPVP8 ", 16, true },
		{ "7z\xbc\xaf\x27\x1c", 6, true }, { "RIFF\1\2\3\4WAVEfmt ", 16, false },
		{ "\x7f" "ELF\2\1\1", 7, false }, { "PK\3", 3, false }, { "#!/bin/sh\n", 10, false },
		{ "\x89PNG\r\n\x1a\r", 8, false }, { "", 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(weft_sample_packed(cases[i].head, cases[i].len), cases[i].packed);
}

static void spots_stay_inside(void **state)
{
	static const u32 lens[] = { 1, 255, 256, 257, 65536, 131072, 131073, WEFT_CHUNK_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		u32 last = 0;

		for (u32 spot = 0; spot < WEFT_SAMPLE_CHUNK_SPOTS; spot++) {
			u32 at = weft_sample_spot(lens[i], spot, WEFT_SAMPLE_CHUNK_SPOTS);

			assert_true(at >= last);
			assert_true(at == 0 || at + WEFT_SAMPLE_SPOT <= lens[i]);
			last = at;
		}
		if (lens[i] > WEFT_SAMPLE_SPOT)
			assert_int_equal(last, lens[i] - WEFT_SAMPLE_SPOT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entropy_is_that_of_the_counts),
		cmocka_unit_test(nothing_has_no_entropy),
		cmocka_unit_test(content_is_told_apart),
		cmocka_unit_test(random_frames_are_dense),
		cmocka_unit_test(archives_and_media_are_known),
		cmocka_unit_test(spots_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
