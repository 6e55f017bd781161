// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the pure files as the kernel runs them. What userspace tests cannot see is here: the call
 * that is patched in, vector sections and the way out where they are not allowed, the kernel's own
 * CRC32C, and KASAN around every shard.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "chunk/crc32c.h"
#include "chunk/crctable.h"
#include "chunk/header.h"
#include "chunk/layout.h"
#include "ec/ec.h"

struct ec_case {
	unsigned int k;
	unsigned int m;
	size_t len;
};

static const struct ec_case ec_cases[] = {
	{ 1, 3, 4097 }, { 3, 3, 64 },	 { 3, 3, 1 },	  { 6, 3, 65536 },
	{ 6, 3, 4161 }, { 10, 4, 1000 }, { 16, 4, 8193 }, { 16, 16, 96 },
};

static void ec_case_describe(const struct ec_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u+%u of %zu bytes", c->k, c->m, c->len);
}

KUNIT_ARRAY_PARAM(ec, ec_cases, ec_case_describe);

/*
 * Shards of one stripe, each in an allocation of exactly its size.
 * @shard: data at random; parity by the generic back-end
 * @out: as many again, for results
 */
struct ec_stripe {
	struct weft_ec ec;
	size_t len;
	void *shard[WEFT_EC_MAX_SHARDS];
	void *out[WEFT_EC_MAX_SHARDS];
};

static struct ec_stripe *ec_stripe_alloc(struct kunit *test, const struct ec_case *c)
{
	struct ec_stripe *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_ASSERT_EQ(test, weft_ec_init(&s->ec, c->k, c->m), 0);
	prandom_seed_state(&rnd, 20260101 + c->k);
	s->len = c->len;
	for (unsigned int i = 0; i < c->k + c->m; i++) {
		s->shard[i] = kunit_kzalloc(test, c->len, GFP_KERNEL);
		s->out[i] = kunit_kzalloc(test, c->len, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, s->shard[i]);
		KUNIT_ASSERT_NOT_NULL(test, s->out[i]);
		if (i < c->k)
			prandom_bytes_state(&rnd, s->shard[i], c->len);
	}
	weft_ec_encode_with(&weft_ec_generic_ops, &s->ec, c->len, (const void **)s->shard,
			    s->shard + c->k);
	return s;
}

static void ec_parity_expect(struct kunit *test, const struct ec_stripe *s, const char *by)
{
	for (unsigned int i = s->ec.k; i < s->ec.k + s->ec.m; i++) {
		KUNIT_EXPECT_MEMEQ_MSG(test, s->out[i], s->shard[i], s->len, "%s: parity %u", by,
				       i - s->ec.k);
		memset(s->out[i], 0, s->len);
	}
}

static void ec_backends_agree(struct kunit *test)
{
	struct ec_stripe *s = ec_stripe_alloc(test, test->param_value);
	const struct weft_ec_ops *ops;

	for (unsigned int i = 0; (ops = weft_ec_backend_at(i)); i++) {
		if (!ops->usable())
			continue;
		weft_ec_encode_with(ops, &s->ec, s->len, (const void **)s->shard,
				    s->out + s->ec.k);
		ec_parity_expect(test, s, ops->name);
	}
}

static void ec_patched_call_encodes(struct kunit *test)
{
	struct ec_stripe *s = ec_stripe_alloc(test, test->param_value);

	weft_ec_encode(&s->ec, s->len, (const void **)s->shard, s->out + s->ec.k);

	ec_parity_expect(test, s, weft_ec_backend()->name);
}

/* An interrupt that hit a vector section must not open one of its own. */
static void ec_encodes_inside_a_vector_section(struct kunit *test)
{
	struct ec_stripe *s = ec_stripe_alloc(test, test->param_value);

	if (!weft_simd_begin())
		kunit_skip(test, "no vector registers");
	weft_ec_encode(&s->ec, s->len, (const void **)s->shard, s->out + s->ec.k);
	weft_simd_end();

	ec_parity_expect(test, s, "generic");
}

static void ec_starts_with_a_usable_backend(struct kunit *test)
{
	const struct weft_ec_ops *ops;

	KUNIT_EXPECT_TRUE(test, weft_ec_backend()->usable());
	if (weft_ec_backend_at(0)->usable())
		KUNIT_EXPECT_PTR_EQ(test, weft_ec_backend(), weft_ec_backend_at(0));
	kunit_info(test, "back-end: %s", weft_ec_backend()->name);
	for (unsigned int i = 0; (ops = weft_ec_backend_at(i)); i++)
		if (!ops->usable())
			kunit_info(test, "%s: skipped, this machine cannot run it", ops->name);
}

static void ec_plan_expect(struct kunit *test, struct ec_stripe *s,
			   const struct weft_ec_plan *plan, const struct weft_ec_ops *ops)
{
	const void *src[WEFT_EC_MAX_SHARDS];
	void *dst[WEFT_EC_MAX_SHARDS];

	for (unsigned int i = 0; i < plan->nsrc; i++)
		src[i] = s->shard[plan->src[i]];
	for (unsigned int j = 0; j < plan->nout; j++) {
		dst[j] = s->out[plan->out[j]];
		memset(dst[j], 0, s->len);
	}

	weft_ec_plan_run_with(ops, plan, s->len, src, dst);

	for (unsigned int j = 0; j < plan->nout; j++)
		KUNIT_EXPECT_MEMEQ_MSG(test, dst[j], s->shard[plan->out[j]], s->len, "%s: shard %u",
				       ops->name, plan->out[j]);
}

static void ec_every_loss_of_three_of_nine_decodes(struct kunit *test)
{
	static const struct ec_case six_three = { 6, 3, 333 };
	struct ec_stripe *s = ec_stripe_alloc(test, &six_three);
	const struct weft_ec_ops *ops;
	struct weft_ec_plan plan;

	for (u32 lost = 0; lost < 1U << 9; lost++) {
		if (hweight32(lost) > 3)
			continue;
		KUNIT_ASSERT_EQ(test, weft_ec_plan_init(&plan, &s->ec, 0x1ff & ~lost, lost), 0);
		for (unsigned int i = 0; (ops = weft_ec_backend_at(i)); i++)
			if (ops->usable())
				ec_plan_expect(test, s, &plan, ops);
	}
}

static void crc32c_follows_the_convention(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, weft_crc32c(0, "123456789", 9), 0xe3069283);
	KUNIT_EXPECT_EQ(test, weft_crc32c(weft_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	KUNIT_EXPECT_EQ(test, weft_crc32c(0, NULL, 0), 0);
}

static void header_comes_back_from_its_own_bytes(struct kunit *test)
{
	struct weft_shard_info in = {
		.index = 7,
		.k = 6,
		.m = 3,
		.sid_session = 1,
		.group = 2,
		.plain_len = 5000,
		.stored_len = 5000,
	};
	u8 *buf = kunit_kzalloc(test, sizeof(struct weft_shard_header), GFP_KERNEL);
	struct weft_shard_info out;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_EQ(test, weft_header_encode(&in, buf, 128, NULL), 128);
	KUNIT_EXPECT_EQ(test, weft_header_decode(&out, buf, 128, NULL), 0);
	KUNIT_EXPECT_EQ(test, out.shard_len, 896);
	KUNIT_EXPECT_EQ(test, out.index, 7);
	buf[40] ^= 1;
	KUNIT_EXPECT_EQ(test, weft_header_decode(&out, buf, 128, NULL), -EBADMSG);
	KUNIT_EXPECT_EQ(test, weft_header_decode(&out, buf, 127, NULL), -EMSGSIZE);
}

static void layout_slices_follow_the_definition(struct kunit *test)
{
	struct weft_slice_iter iter;
	struct weft_layout layout;
	struct weft_slice slice;
	u32 pos = 12345;

	KUNIT_ASSERT_EQ(test, weft_layout_init(&layout, 4 << 20, 6, 3), 0);
	KUNIT_ASSERT_EQ(test, weft_slice_begin(&iter, &layout, pos, 4000000), 0);
	while (weft_slice_next(&iter, &slice)) {
		KUNIT_EXPECT_EQ(test, slice.shard * layout.shard_len + slice.offset, pos);
		pos += slice.length;
	}
	KUNIT_EXPECT_EQ(test, pos, 12345 + 4000000);
	KUNIT_EXPECT_EQ(test, weft_slice_begin(&iter, &layout, 1, ~0ULL), -ERANGE);
}

static struct kunit_case ec_kunit_cases[] = {
	KUNIT_CASE_PARAM(ec_backends_agree, ec_gen_params),
	KUNIT_CASE_PARAM(ec_patched_call_encodes, ec_gen_params),
	KUNIT_CASE_PARAM(ec_encodes_inside_a_vector_section, ec_gen_params),
	KUNIT_CASE(ec_starts_with_a_usable_backend),
	KUNIT_CASE(ec_every_loss_of_three_of_nine_decodes),
	KUNIT_CASE(crc32c_follows_the_convention),
	KUNIT_CASE(header_comes_back_from_its_own_bytes),
	KUNIT_CASE(layout_slices_follow_the_definition),
	{}
};

static struct kunit_suite ec_kunit_suite = {
	.name = "weft_ec",
	.test_cases = ec_kunit_cases,
};

kunit_test_suite(ec_kunit_suite);
