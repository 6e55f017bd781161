// SPDX-License-Identifier: GPL-2.0-or-later
/* Policies: what volumes and files may wish for, what they get, and why they do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chunk/policy.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static const char *set(u64 *own, const char *name, const char *text)
{
	int setting = weft_own_find(name);

	assert_true(setting >= 0);
	return weft_own_set(own, setting, text, strlen(text));
}

static void assert_shown(u64 own, const char *name, const char *expected)
{
	char text[WEFT_OWN_TEXT_MAX];
	size_t len = weft_own_show(own, weft_own_find(name), text);

	if (!expected) {
		assert_int_equal(len, 0);
		return;
	}
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
}

static void what_is_set_is_shown(void **state)
{
	static const struct {
		const char *name, *text, *shown;
	} cases[] = {
		{ "chunker", "fixed", "fixed" }, { "chunker", "cdc", "cdc" },
		{ "chunker", "variable", "variable" }, { "chunker", "hybrid", "hybrid" },
		{ "codec", "none", "none" }, { "codec", "zstd", "zstd" }, { "codec", "lz4", "lz4" },
		{ "codec", "deflate", "deflate" }, { "codec", "adaptive", "adaptive" },
		{ "level", "1", "1" }, { "level", "19", "19" },
		{ "chunk-size", "1M", "1M" }, { "chunk-size", "1024K", "1M" },
		{ "chunk-size", "1536K", "1536K" }, { "chunk-size", "16M", "16M" },
		{ "chunk-min", "4K", "4K" }, { "chunk-min", "4096", "4K" },
		{ "chunk-max", "16777216", "16M" }, { "chunk-random", "16M", "16M" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 own = 0;

		assert_null(set(&own, cases[i].name, cases[i].text));
		for (int other = 0; other < WEFT_OWN_NR; other++)
			assert_shown(own, weft_own_name(other),
				     other == weft_own_find(cases[i].name) ? cases[i].shown : NULL);
		weft_own_unset(&own, weft_own_find(cases[i].name));
		assert_int_equal(own, 0);
	}
}

/* Each setting has bits of its own, and none of them is the highest. */
static void settings_do_not_disturb_each_other(void **state)
{
	static const char *const values[] = { "hybrid", "adaptive", "19", "16M", "16M", "16M", "16M" };
	u64 own = 0;

	for (int i = 0; i < WEFT_OWN_NR; i++)
		assert_null(weft_own_set(&own, i, values[i], strlen(values[i])));
	for (int i = 0; i < WEFT_OWN_NR; i++)
		assert_shown(own, weft_own_name(i), values[i]);
	assert_int_equal(own >> 63, 0);
	for (int i = 0; i < WEFT_OWN_NR; i++)
		weft_own_unset(&own, i);
	assert_int_equal(own, 0);
}

static void nonsense_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "chunker", "" }, { "chunker", "fixe" }, { "chunker", "fixed " }, { "chunker", "CDC" },
		{ "codec", "gzip" }, { "codec", "" }, { "level", "" }, { "level", "0" },
		{ "level", "20" }, { "level", "-1" }, { "level", "1 " }, { "level", "4294967297" },
		{ "chunk-size", "" }, { "chunk-size", "0" }, { "chunk-size", "17M" }, { "chunk-size", "M" },
		{ "chunk-size", "1G" }, { "chunk-size", "1MB" }, { "chunk-size", "1000" },
		{ "chunk-size", "999999999M" }, { "chunk-size", "9999999999" }, { "chunk-min", "2K" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 own = 0;

		assert_non_null(set(&own, cases[i].name, cases[i].text));
		assert_int_equal(own, 0);
	}
	assert_int_equal(weft_own_find("chunk"), -1);
	assert_int_equal(weft_own_find(""), -1);
}

static void text_may_be_cut_anywhere(void **state)
{
	u64 own = 0;

	assert_null(weft_own_set(&own, WEFT_OWN_CHUNKER, "cdcx", 3));
	assert_null(weft_own_set(&own, WEFT_OWN_CHUNK_SIZE, "64K8", 3));
	assert_shown(own, "chunk-size", "64K");
	assert_shown(own, "chunker", "cdc");
}

static void what_is_not_set_is_the_volumes(void **state)
{
	struct weft_policy volume = weft_policy_defaults, policy;
	u64 own = 0;

	assert_null(weft_own_apply(&policy, &volume, 0));
	assert_memory_equal(&policy, &volume, sizeof(policy));

	/* The volume's bounds stay as long as chunker and mean do. */
	volume.chunks.min = 128 * KIB;
	assert_null(set(&own, "chunk-max", "8M"));
	assert_null(weft_own_apply(&policy, &volume, own));
	assert_int_equal(policy.chunks.min, 128 * KIB);
	assert_int_equal(policy.chunks.target, 4 * MIB);
	assert_int_equal(policy.chunks.max, 8 * MIB);
	assert_ptr_equal(policy.chunker, &weft_chunker_hybrid);

	/* Another mean has other bounds. */
	own = 0;
	assert_null(set(&own, "chunk-size", "1M"));
	assert_null(weft_own_apply(&policy, &volume, own));
	assert_int_equal(policy.chunks.min, 64 * KIB);
	assert_int_equal(policy.chunks.target, 1 * MIB);
	assert_int_equal(policy.chunks.max, 4 * MIB);
	assert_int_equal(policy.chunks.random, 256 * KIB);

	own = 0;
	assert_null(set(&own, "chunker", "fixed"));
	assert_null(weft_own_apply(&policy, &volume, own));
	assert_ptr_equal(policy.chunker, &weft_chunker_fixed);
	assert_int_equal(policy.chunks.target, 4 * MIB);
	assert_int_equal(policy.chunks.max, 4 * MIB);
}

static void codecs_and_levels(void **state)
{
	struct weft_policy volume = weft_policy_defaults, policy;
	u64 own = 0;

	volume.codec = WEFT_CODEC_ZSTD;
	volume.codec_level = 9;
	assert_null(set(&own, "codec", "adaptive"));
	assert_null(weft_own_apply(&policy, &volume, own));
	assert_int_equal(policy.codec, WEFT_CODEC_ZSTD);
	assert_int_equal(policy.codec_policy, WEFT_CODEC_ADAPTIVE);
	assert_int_equal(policy.codec_level, 9);
	/* Another codec's level is another thing. */
	assert_null(set(&own, "codec", "lz4"));
	assert_null(weft_own_apply(&policy, &volume, own));
	assert_int_equal(policy.codec, WEFT_CODEC_LZ4);
	assert_int_equal(policy.codec_policy, WEFT_CODEC_FIXED);
	assert_int_equal(policy.codec_level, 0);
	own = 0;
	assert_null(set(&own, "level", "2"));
	assert_null(weft_own_apply(&policy, &volume, own));
	assert_int_equal(policy.codec_level, 2);
	assert_null(set(&own, "codec", "none"));
	assert_string_equal(weft_own_apply(&policy, &volume, own), "level is of no use without a codec");
}

/* What fitted once, and does not with what the volume has now, counts as not set. */
static void what_does_not_fit_is_the_volumes(void **state)
{
	static const struct {
		const char *name[2], *text[2], *wrong;
	} cases[] = {
		{ { "chunk-min" }, { "8M" }, "min must not be above target" },
		{ { "chunk-max" }, { "1M" }, "target must not be above max" },
		{ { "chunker", "chunk-min" }, { "fixed", "1M" },
		  "with the chunker \"fixed\" there is only chunk-size" },
		{ { "chunker", "chunk-size" }, { "fixed", "64K" },
		  "with the chunker \"fixed\" chunk-size is a multiple of 128 KiB" },
		{ { "chunker", "chunk-random" }, { "cdc", "64K" },
		  "chunk-random is for the chunker \"hybrid\"" },
		{ { "chunk-size" }, { "32K" }, "chunk-min is at least 4 KiB" },
		{ { "codec", "level" }, { "lz4", "1" }, "lz4 has no levels" },
		{ { "codec", "level" }, { "deflate", "10" }, "level of deflate is 1 to 9" },
		{ { "level" }, { "3" }, "level is of no use without a codec" },
	};
	const struct weft_policy volume = weft_policy_defaults;
	struct weft_policy policy;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 own = 0;

		for (size_t j = 0; j < 2 && cases[i].name[j]; j++)
			assert_null(set(&own, cases[i].name[j], cases[i].text[j]));
		assert_string_equal(weft_own_apply(&policy, &volume, own), cases[i].wrong);
		assert_memory_equal(&policy, &volume, sizeof(policy));
	}
}

/* Whatever bits a record has: a policy that can be used, and text with an end. */
static void any_bits_give_a_policy(void **state)
{
	const struct weft_policy volume = weft_policy_defaults;
	u64 random = 88172645463325252ull;
	struct weft_policy policy;
	char text[WEFT_OWN_TEXT_MAX];
	unsigned int good = 0;

	for (unsigned int i = 0; i < 200000; i++) {
		u64 own;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		/* Few bits are more often sensible than many. */
		own = i % 2 ? random : random & random >> 21 & random << 17;
		good += !weft_own_apply(&policy, &volume, own);
		assert_null(weft_chunker_check(policy.chunker, &policy.chunks));
		assert_non_null(weft_policy_codec_name(policy.codec, policy.codec_policy));
		assert_true(policy.codec_level <= WEFT_LEVEL_ZSTD_MAX);
		for (int setting = 0; setting < WEFT_OWN_NR; setting++) {
			size_t len = weft_own_show(own, setting, text);

			assert_true(len < sizeof(text) && (!len || strlen(text) == len));
		}
	}
	assert_true(good > 10);
}

static void a_record_and_back(void **state)
{
	struct weft_policy policy = weft_policy_defaults, back;
	struct weft_volume_info info = { 0 };

	policy.codec = WEFT_CODEC_ZSTD;
	policy.codec_policy = WEFT_CODEC_ADAPTIVE;
	policy.codec_level = 7;
	weft_policy_to_volume(&policy, &info);
	assert_true(weft_policy_of_volume(&back, &info));
	assert_memory_equal(&policy, &back, offsetof(struct weft_policy, codec_level) + 1);
	info.codec_level = cpu_to_le16(20);
	assert_false(weft_policy_of_volume(&back, &info));
	info.codec_level = 0;
	info.chunk_min = 0;
	assert_false(weft_policy_of_volume(&back, &info));
	weft_policy_to_volume(&policy, &info);
	info.chunker = cpu_to_le32(5);
	assert_false(weft_policy_of_volume(&back, &info));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_set_is_shown),
		cmocka_unit_test(settings_do_not_disturb_each_other),
		cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
		cmocka_unit_test(text_may_be_cut_anywhere),
		cmocka_unit_test(what_is_not_set_is_the_volumes),
		cmocka_unit_test(codecs_and_levels),
		cmocka_unit_test(what_does_not_fit_is_the_volumes),
		cmocka_unit_test(any_bits_give_a_policy),
		cmocka_unit_test(a_record_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
