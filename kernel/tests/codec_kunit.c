// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the codecs as the kernel has them. What is packed is unpacked again, what does not fit is not packed, and what a
 * store made of a frame is refused, or at least stays inside its destination: KASAN stands around each.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "chunk/codec.h"
#include "chunk/frames.h"

#define MUTATIONS 150

struct codec_case {
	unsigned int codec;
	int level;
	u32 len;
};

static const struct codec_case codec_cases[] = {
	{ WEFT_CODEC_ZSTD, 1, WEFT_FRAME_SIZE },   { WEFT_CODEC_ZSTD, 3, WEFT_FRAME_SIZE },
	{ WEFT_CODEC_ZSTD, 19, 5000 },		   { WEFT_CODEC_ZSTD, 3, 100 },
	{ WEFT_CODEC_LZ4, 0, WEFT_FRAME_SIZE },	   { WEFT_CODEC_LZ4, 0, 5001 },
	{ WEFT_CODEC_LZ4, 0, 100 },		   { WEFT_CODEC_DEFLATE, 6, WEFT_FRAME_SIZE },
	{ WEFT_CODEC_DEFLATE, 1, 5001 },	   { WEFT_CODEC_DEFLATE, 9, 100 },
};

static void codec_case_describe(const struct codec_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "codec %u level %d of %u bytes", c->codec, c->level, c->len);
}

KUNIT_ARRAY_PARAM(codec, codec_cases, codec_case_describe);

/* Allocations of exactly their size. */
struct codec_setup {
	const struct weft_codec_ops *ops;
	const struct codec_case *c;
	struct rnd_state rnd;
	void *pack_space;
	void *unpack_space;
	u8 *plain;
	u8 *packed;
	u8 *back;
	u32 packed_len;
};

static void *exactly(struct kunit *test, size_t size)
{
	void *bytes = kunit_kzalloc(test, size ?: 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	return bytes;
}

/* Sixteen letters at random, some runs of one: every codec saves something. */
static struct codec_setup *codec_setup(struct kunit *test)
{
	const struct codec_case *c = test->param_value;
	struct codec_setup *s = exactly(test, sizeof(*s));

	s->c = c;
	s->ops = weft_codec(c->codec);
	if (!s->ops)
		kunit_skip(test, "this kernel has no library for codec %u", c->codec);
	prandom_seed_state(&s->rnd, c->len);
	s->pack_space = exactly(test, s->ops->pack_size(c->level));
	s->unpack_space = exactly(test, s->ops->unpack_size());
	s->plain = exactly(test, c->len);
	s->packed = exactly(test, weft_frames_room(c->len));
	s->back = exactly(test, c->len);
	for (u32 i = 0; i < c->len; i++)
		s->plain[i] = i % 64 < 40 ? 'x' : 'a' + prandom_u32_state(&s->rnd) % 16;
	s->packed_len = s->ops->pack(s->pack_space, c->level, s->plain, c->len, s->packed, weft_frames_room(c->len));
	return s;
}

static void codec_gives_back_what_it_took(struct kunit *test)
{
	struct codec_setup *s = codec_setup(test);

	KUNIT_ASSERT_GT(test, s->packed_len, 0);
	KUNIT_ASSERT_LE(test, s->packed_len, weft_frames_room(s->c->len));
	KUNIT_EXPECT_EQ(test, s->ops->unpack(s->unpack_space, s->packed, s->packed_len, s->back, s->c->len), 0);
	KUNIT_EXPECT_MEMEQ(test, s->back, s->plain, s->c->len);
}

static void codec_packs_only_what_fits(struct kunit *test)
{
	struct codec_setup *s = codec_setup(test);
	u8 *small = exactly(test, s->packed_len - 1);

	KUNIT_EXPECT_EQ(test, s->ops->pack(s->pack_space, s->c->level, s->plain, s->c->len, small, s->packed_len - 1), 0);
	for (u32 i = 0; i < s->c->len; i++)
		s->plain[i] = prandom_u32_state(&s->rnd);
	KUNIT_EXPECT_EQ(test, s->ops->pack(s->pack_space, s->c->level, s->plain, s->c->len, s->packed,
					   weft_frames_room(s->c->len)), 0);
}

static void codec_refuses_another_length(struct kunit *test)
{
	struct codec_setup *s = codec_setup(test);
	u8 *longer = exactly(test, s->c->len + 1);
	u8 *part = exactly(test, s->packed_len - 1);

	KUNIT_EXPECT_EQ(test, s->ops->unpack(s->unpack_space, s->packed, s->packed_len, longer, s->c->len + 1), -EBADMSG);
	KUNIT_EXPECT_EQ(test, s->ops->unpack(s->unpack_space, s->packed, s->packed_len, s->back, s->c->len - 1), -EBADMSG);
	memcpy(part, s->packed, s->packed_len - 1);
	KUNIT_EXPECT_EQ(test, s->ops->unpack(s->unpack_space, part, s->packed_len - 1, s->back, s->c->len), -EBADMSG);
}

static void codec_survives_what_a_store_made_of_it(struct kunit *test)
{
	struct codec_setup *s = codec_setup(test);
	u8 *other = exactly(test, s->packed_len);
	unsigned int refused = 0;

	for (unsigned int i = 0; i < MUTATIONS; i++) {
		memcpy(other, s->packed, s->packed_len);
		for (unsigned int j = 0; j <= i % 8; j++)
			other[prandom_u32_state(&s->rnd) % (i % 2 ? min(s->packed_len, 40u) : s->packed_len)] =
				prandom_u32_state(&s->rnd);
		if (i % 16 == 15)
			prandom_bytes_state(&s->rnd, other, s->packed_len);
		refused += s->ops->unpack(s->unpack_space, other, s->packed_len, s->back, s->c->len) != 0;
	}
	KUNIT_EXPECT_GT(test, refused, 0);
	/* And goes on. */
	KUNIT_EXPECT_EQ(test, s->ops->unpack(s->unpack_space, s->packed, s->packed_len, s->back, s->c->len), 0);
	KUNIT_EXPECT_MEMEQ(test, s->back, s->plain, s->c->len);
}

static void pool_grows_and_gives_back(struct kunit *test)
{
	struct weft_codec_pool pool = {};
	struct weft_codec_space *spaces[2];

	KUNIT_ASSERT_EQ(test, weft_codec_pool_init(&pool, 1000, true), 0);
	pool.max = 2;
	spaces[0] = weft_codec_space_get(&pool);
	spaces[1] = weft_codec_space_get(&pool);
	KUNIT_EXPECT_PTR_NE(test, spaces[0], spaces[1]);
	KUNIT_EXPECT_EQ(test, pool.made, 2);
	weft_codec_space_put(&pool, spaces[0]);
	KUNIT_EXPECT_PTR_EQ(test, weft_codec_space_get(&pool), spaces[0]);
	weft_codec_space_put(&pool, spaces[0]);
	weft_codec_space_put(&pool, spaces[1]);
	weft_codec_pool_exit(&pool);
	/* One that was never made. */
	memset(&pool, 0, sizeof(pool));
	weft_codec_pool_exit(&pool);
}

static struct kunit_case codec_kunit_cases[] = {
	KUNIT_CASE_PARAM(codec_gives_back_what_it_took, codec_gen_params),
	KUNIT_CASE_PARAM(codec_packs_only_what_fits, codec_gen_params),
	KUNIT_CASE_PARAM(codec_refuses_another_length, codec_gen_params),
	KUNIT_CASE_PARAM(codec_survives_what_a_store_made_of_it, codec_gen_params),
	KUNIT_CASE(pool_grows_and_gives_back),
	{}
};

static struct kunit_suite codec_kunit_suite = {
	.name = "weft_codec",
	.test_cases = codec_kunit_cases,
};

kunit_test_suite(codec_kunit_suite);
