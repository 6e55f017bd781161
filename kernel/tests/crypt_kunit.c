// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: AES-256-GCM as the module uses it: the vector of its specification, in whatever pieces of memory the text stands;
 * a bit that is changed anywhere, or another nonce, and nothing opens.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "crypt/crypt.h"
#include "crypt/frame.h"

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16. */
static const u8 gcm_key[] = {
	0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
	0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
};
static const u8 gcm_nonce[] = { 0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88 };
static const u8 gcm_ad[] = { 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef,
			     0xab, 0xad, 0xda, 0xd2 };
static const u8 gcm_plain[] = {
	0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a,
	0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72,
	0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
	0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
};
static const u8 gcm_tag[] = { 0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b };

#define TEXT_LEN (sizeof(gcm_plain) + WEFT_CIPHER_TAG)

struct crypt_setup {
	struct weft_crypt_mount crypt;
	struct weft_aead *aead;
};

static struct crypt_setup *crypt_setup(struct kunit *test)
{
	struct crypt_setup *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, s);
	spin_lock_init(&s->crypt.space_lock);
	INIT_LIST_HEAD(&s->crypt.spaces);
	init_waitqueue_head(&s->crypt.space_wait);
	KUNIT_ASSERT_EQ(test, weft_aead_spaces_init(&s->crypt), 0);
	s->aead = weft_aead_get(&s->crypt);
	return s;
}

static void crypt_end(struct crypt_setup *s)
{
	weft_aead_put(&s->crypt, s->aead);
	weft_aead_spaces_exit(&s->crypt);
}

static void gcm_is_that_of_the_specification(struct kunit *test)
{
	struct crypt_setup *s = crypt_setup(test);
	u8 *text = kunit_kzalloc(test, TEXT_LEN, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	memcpy(text, gcm_plain, sizeof(gcm_plain));
	KUNIT_EXPECT_EQ(test, weft_aead_set_key(s->aead, gcm_key), 0);
	weft_aead_begin(s->aead, gcm_ad, sizeof(gcm_ad));
	/* Two pieces, cut where no block ends. */
	weft_aead_add(s->aead, text, 21);
	weft_aead_add(s->aead, text + 21, TEXT_LEN - 21);
	KUNIT_EXPECT_EQ(test, weft_aead_run(s->aead, gcm_nonce, true), 0);
	KUNIT_EXPECT_MEMEQ(test, text + sizeof(gcm_plain), gcm_tag, sizeof(gcm_tag));
	weft_aead_begin(s->aead, gcm_ad, sizeof(gcm_ad));
	weft_aead_add(s->aead, text, TEXT_LEN);
	KUNIT_EXPECT_EQ(test, weft_aead_run(s->aead, gcm_nonce, false), 0);
	KUNIT_EXPECT_MEMEQ(test, text, gcm_plain, sizeof(gcm_plain));
	crypt_end(s);
}

/* Seals a frame that stands in memory of vmalloc(), at an odd place; changes what the case says; opens it. */
static void frame_try(struct kunit *test, struct crypt_setup *s, u32 flip_byte, struct weft_frame_ad *ad, const u8 *nonce,
		      const struct weft_frame_ad *open_ad, const u8 *open_nonce, int expect)
{
	u32 len = WEFT_FRAME_SIZE + WEFT_CIPHER_TAG;
	u8 *memory = vmalloc(len + 100), *text = memory + 77;

	KUNIT_ASSERT_NOT_NULL(test, memory);
	for (u32 i = 0; i < WEFT_FRAME_SIZE; i++)
		text[i] = i * 7 + (i >> 8);
	weft_aead_begin(s->aead, ad, sizeof(*ad));
	weft_aead_add(s->aead, text, len);
	KUNIT_EXPECT_EQ(test, weft_aead_run(s->aead, nonce, true), 0);
	if (flip_byte < len)
		text[flip_byte] ^= 0x10;
	weft_aead_begin(s->aead, open_ad, sizeof(*open_ad));
	weft_aead_add(s->aead, text, len);
	KUNIT_EXPECT_EQ(test, weft_aead_run(s->aead, open_nonce, false), expect);
	for (u32 i = 0; !expect && i < WEFT_FRAME_SIZE; i += 997)
		KUNIT_EXPECT_EQ(test, text[i], (u8)(i * 7 + (i >> 8)));
	vfree(memory);
}

static void frames_open_only_as_they_were_sealed(struct kunit *test)
{
	struct crypt_setup *s = crypt_setup(test);
	struct weft_seal seal = { .session = 3, .counter = 4, .salt = { 9, 8, 7 } };
	u8 nonce[WEFT_NONCE_LEN], other[WEFT_NONCE_LEN];
	struct weft_frame_ad ad, other_ad;

	weft_frame_nonce(&seal, 0, nonce);
	weft_frame_nonce(&seal, 1, other);
	weft_frame_ad(&seal, 0, 5 * WEFT_FRAME_SIZE, WEFT_CODEC_RAW, 1, &ad);
	weft_frame_ad(&seal, 0, 5 * WEFT_FRAME_SIZE, WEFT_CODEC_ZSTD, 1, &other_ad);
	KUNIT_EXPECT_EQ(test, weft_aead_set_key(s->aead, gcm_key), 0);
	frame_try(test, s, U32_MAX, &ad, nonce, &ad, nonce, 0);
	frame_try(test, s, 0, &ad, nonce, &ad, nonce, -EBADMSG);
	frame_try(test, s, WEFT_FRAME_SIZE + WEFT_CIPHER_TAG - 1, &ad, nonce, &ad, nonce, -EBADMSG);
	frame_try(test, s, U32_MAX, &ad, nonce, &other_ad, nonce, -EBADMSG);
	frame_try(test, s, U32_MAX, &ad, nonce, &ad, other, -EBADMSG);
	crypt_end(s);
}

/* A tag alone is no text, and more pieces than there is room for are not run over. */
static void impossible_texts_are_refused(struct kunit *test)
{
	struct crypt_setup *s = crypt_setup(test);
	u8 *text = kunit_kzalloc(test, TEXT_LEN, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_EXPECT_EQ(test, weft_aead_set_key(s->aead, gcm_key), 0);
	weft_aead_begin(s->aead, gcm_ad, sizeof(gcm_ad));
	weft_aead_add(s->aead, text, WEFT_CIPHER_TAG);
	KUNIT_EXPECT_EQ(test, weft_aead_run(s->aead, gcm_nonce, false), -EINVAL);
	weft_aead_begin(s->aead, gcm_ad, sizeof(gcm_ad));
	for (unsigned int i = 0; i < WEFT_AEAD_SGS + 3; i++)
		weft_aead_add(s->aead, text, 16);
	KUNIT_EXPECT_EQ(test, weft_aead_run(s->aead, gcm_nonce, true), -EINVAL);
	crypt_end(s);
}

static struct kunit_case crypt_kunit_cases[] = {
	KUNIT_CASE(gcm_is_that_of_the_specification),
	KUNIT_CASE(frames_open_only_as_they_were_sealed),
	KUNIT_CASE(impossible_texts_are_refused),
	{},
};

static struct kunit_suite crypt_kunit_suite = {
	.name = "weft_crypt",
	.test_cases = crypt_kunit_cases,
};

kunit_test_suite(crypt_kunit_suite);
