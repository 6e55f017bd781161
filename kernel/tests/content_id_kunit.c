// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: content ids are SHA-256, whatever implementation the kernel chose and whatever pieces the content comes in.
 */
#include <kunit/test.h>
#include <linux/slab.h>

#include "chunk/content_id.h"

/* FIPS 180-4: of "abc", and of a million times "a". */
static const u8 of_abc[WEFT_CONTENT_ID] = {
	0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
	0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
};

static const u8 of_million[WEFT_CONTENT_ID] = {
	0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92, 0x81, 0xa1, 0xc7, 0xe2, 0x84, 0xd7, 0x3e, 0x67,
	0xf1, 0x80, 0x9a, 0x48, 0xa4, 0x97, 0x20, 0x0e, 0x04, 0x6d, 0x39, 0xcc, 0xc7, 0x11, 0x2c, 0xd0,
};

static void content_id_of_one_piece(struct kunit *test)
{
	struct weft_content_hash hash;
	u8 id[WEFT_CONTENT_ID];

	weft_content_id_begin(&hash);
	weft_content_id_add(&hash, "abc", 3);
	weft_content_id_end(&hash, id);

	KUNIT_EXPECT_MEMEQ(test, id, of_abc, sizeof(id));
}

static void content_id_of_odd_pieces(struct kunit *test)
{
	static const size_t pieces[] = { 1, 63, 64, 65, 4096, 4095, 100000 };
	struct weft_content_hash hash;
	u8 id[WEFT_CONTENT_ID], *bytes = kunit_kzalloc(test, 100000, GFP_KERNEL);
	size_t left = 1000000, len;

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	memset(bytes, 'a', 100000);
	weft_content_id_begin(&hash);
	for (unsigned int i = 0; left; i++, left -= len) {
		len = min(left, pieces[i % ARRAY_SIZE(pieces)]);
		weft_content_id_add(&hash, bytes, len);
	}
	weft_content_id_end(&hash, id);

	KUNIT_EXPECT_MEMEQ(test, id, of_million, sizeof(id));
}

static struct kunit_case content_id_cases[] = {
	KUNIT_CASE(content_id_of_one_piece),
	KUNIT_CASE(content_id_of_odd_pieces),
	{},
};

static struct kunit_suite content_id_suite = {
	.name = "weft_content_id",
	.test_cases = content_id_cases,
};

kunit_test_suite(content_id_suite);
