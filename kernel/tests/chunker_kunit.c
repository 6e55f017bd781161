// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: chunkers as the kernel runs them: the call that is patched in, vector sections and the way
 * out where they are not allowed, unmapped memory behind what the back-ends read, and the same cuts
 * as in userspace.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "chunk/cdc.h"
#include "chunk/chunker.h"

#define CONTENT		(1U << 18)

static const struct weft_chunker_params params = {
	.min = 4 * 1024,
	.target = 48 * 1024,
	.max = 160 * 1024,
	.random = 4 * 1024,
};

/* What the unit test "cuts_never_change" has first, for the same content. */
static const u32 cuts_of_content[] = { 54224, 105099, 161917, 168190, 224383 };

static void content_fill(u8 *buf, size_t len, u64 state)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		put_unaligned(state * 0x9e3779b97f4a7c15ULL, (u64 *)(buf + i));
	}
}

static u8 *content_alloc(struct kunit *test)
{
	u8 *buf = kunit_kmalloc(test, CONTENT, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	content_fill(buf, CONTENT, 1);
	return buf;
}

/* The cuts of @buf in pieces of @piece bytes are those in the table. */
static void content_cut(struct kunit *test, const u8 *buf, u32 piece, const char *by)
{
	struct weft_chunker c;
	unsigned int n = 0;
	u32 done = 0;

	KUNIT_ASSERT_EQ(test, weft_chunker_begin(&c, &weft_chunker_cdc, &params, NULL, 0), 0);
	while (done < CONTENT) {
		bool cut;

		done += weft_chunker_scan(&c, buf + done, min(piece, CONTENT - done), &cut);
		if (!cut)
			continue;
		KUNIT_ASSERT_LT_MSG(test, n, ARRAY_SIZE(cuts_of_content), "%s", by);
		KUNIT_EXPECT_EQ_MSG(test, done, cuts_of_content[n], "%s: cut %u", by, n);
		n++;
	}
	KUNIT_EXPECT_EQ_MSG(test, n, ARRAY_SIZE(cuts_of_content), "%s", by);
}

struct find_case {
	u32 len;
	u32 threshold;
};

static const struct find_case find_cases[] = {
	{ 1, U32_MAX },	   { 31, U32_MAX },	{ 32, U32_MAX },    { 511, U32_MAX },
	{ 4096, U32_MAX }, { 20001, U32_MAX },	{ 65535, 1 << 30 }, { 65536, 1 << 28 },
	{ 65536, 0 },
};

static void find_case_describe(const struct find_case *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u bytes, threshold %#x", c->len, c->threshold);
}

KUNIT_ARRAY_PARAM(find, find_cases, find_case_describe);

KUNIT_DEFINE_ACTION_WRAPPER(free_guarded, vfree, const void *);

/* What is behind it is not mapped: KASAN does not see what assembler reads, the MMU does. */
static u8 *guarded_alloc(struct kunit *test, size_t len)
{
	size_t size = PAGE_ALIGN(len);
	u8 *pages = vmalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_guarded, pages), 0);
	return pages + size - len;
}

/* Each range ends where mapped memory ends. */
static void chunker_backends_find_the_same_cut(struct kunit *test)
{
	const struct find_case *c = test->param_value;
	u8 *buf = guarded_alloc(test, WEFT_CDC_WINDOW + c->len);
	const struct weft_cdc_ops *ops;
	u32 want;

	for (u64 seed = 1; seed <= 4; seed++) {
		content_fill(buf, WEFT_CDC_WINDOW + c->len, seed);
		want = weft_cdc_generic_find(buf + WEFT_CDC_WINDOW, c->len, c->threshold);
		for (unsigned int i = 0; (ops = weft_cdc_backend_at(i)); i++) {
			u32 got;

			if (!ops->usable() || !weft_simd_begin())
				continue;
			got = ops->find(buf + WEFT_CDC_WINDOW, c->len, c->threshold);
			weft_simd_end();
			KUNIT_EXPECT_EQ_MSG(test, got, want, "%s", ops->name);
		}
	}
}

static void chunker_cuts_as_userspace_does(struct kunit *test)
{
	static const u32 pieces[] = { 100, 128 * 1024 };
	u8 *buf = content_alloc(test);

	for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++)
		content_cut(test, buf, pieces[i], weft_cdc_backend()->name);
}

/* An interrupt that hit a vector section must not open one of its own. */
static void chunker_cuts_inside_a_vector_section(struct kunit *test)
{
	u8 *buf = content_alloc(test);
	struct weft_chunker c;
	bool cut;
	u32 n;

	KUNIT_ASSERT_EQ(test, weft_chunker_begin(&c, &weft_chunker_cdc, &params, NULL, 0), 0);
	if (!weft_simd_begin())
		kunit_skip(test, "no vector registers");
	n = weft_chunker_scan(&c, buf, CONTENT, &cut);
	weft_simd_end();

	KUNIT_EXPECT_TRUE(test, cut);
	KUNIT_EXPECT_EQ(test, n, cuts_of_content[0]);
}

static void chunker_starts_with_a_usable_backend(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, weft_cdc_backend()->usable());
	if (weft_cdc_backend_at(0)->usable())
		KUNIT_EXPECT_PTR_EQ(test, weft_cdc_backend(), weft_cdc_backend_at(0));
	kunit_info(test, "back-end: %s", weft_cdc_backend()->name);
}

static void chunker_goes_on_at_any_cut(struct kunit *test)
{
	u8 *buf = content_alloc(test);

	for (unsigned int i = 0; i + 1 < ARRAY_SIZE(cuts_of_content); i++) {
		u32 last = cuts_of_content[i];
		struct weft_chunker c;
		bool cut;

		KUNIT_ASSERT_EQ(test,
				weft_chunker_begin(&c, &weft_chunker_cdc, &params, NULL, last), 0);
		KUNIT_EXPECT_EQ(test, weft_chunker_scan(&c, buf + last, CONTENT - last, &cut),
				cuts_of_content[i + 1] - last);
		KUNIT_EXPECT_TRUE(test, cut);
	}
}

static void chunker_hybrid_follows_the_hint(struct kunit *test)
{
	static const struct weft_chunker_hints at_random = { .random = true };
	struct weft_chunker c;

	KUNIT_ASSERT_EQ(test, weft_chunker_begin(&c, &weft_chunker_hybrid, &weft_chunker_defaults,
						 NULL, 0), 0);
	KUNIT_EXPECT_PTR_EQ(test, c.ops, &weft_chunker_cdc);
	KUNIT_ASSERT_EQ(test, weft_chunker_begin(&c, &weft_chunker_hybrid, &weft_chunker_defaults,
						 &at_random, 0), 0);
	KUNIT_EXPECT_PTR_EQ(test, c.ops, &weft_chunker_fixed);
}

static void chunker_refuses_in_words(struct kunit *test)
{
	struct weft_chunker_params wrong = weft_chunker_defaults;
	struct weft_chunker c;

	wrong.max = WEFT_CHUNK_MAX + 1;
	for (u32 kind = WEFT_CHUNKER_FIXED; kind <= WEFT_CHUNKER_HYBRID; kind++) {
		const struct weft_chunker_ops *ops = weft_chunker_of(kind);

		KUNIT_ASSERT_NOT_NULL(test, ops);
		KUNIT_EXPECT_NULL(test, weft_chunker_check(ops, &weft_chunker_defaults));
		KUNIT_EXPECT_NOT_NULL(test, weft_chunker_check(ops, &wrong));
		KUNIT_EXPECT_EQ(test, weft_chunker_begin(&c, ops, &wrong, NULL, 0), -EINVAL);
	}
}

static struct kunit_case chunker_kunit_cases[] = {
	KUNIT_CASE_PARAM(chunker_backends_find_the_same_cut, find_gen_params),
	KUNIT_CASE(chunker_cuts_as_userspace_does),
	KUNIT_CASE(chunker_cuts_inside_a_vector_section),
	KUNIT_CASE(chunker_starts_with_a_usable_backend),
	KUNIT_CASE(chunker_goes_on_at_any_cut),
	KUNIT_CASE(chunker_hybrid_follows_the_hint),
	KUNIT_CASE(chunker_refuses_in_words),
	{}
};

static struct kunit_suite chunker_kunit_suite = {
	.name = "weft_chunker",
	.test_cases = chunker_kunit_cases,
};

kunit_test_suite(chunker_kunit_suite);
