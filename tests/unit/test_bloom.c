// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_bloom.c - the filter of content ids: never a false "no", few false "yes", and its way from the leader to a bridge
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bloom.h"
#include "bridge/bridge.h"

/* As random as what SHA-256 makes. */
static void make_id(uint64_t n, uint8_t id[32])
{
	uint64_t x = n;

	for (unsigned int i = 0; i < 4; i++) {
		x += 0x9e3779b97f4a7c15ull;
		uint64_t z = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;

		z = (z ^ z >> 27) * 0x94d049bb133111ebull;
		z = htole64(z ^ z >> 31);
		memcpy(id + 8 * i, &z, 8);
	}
}

/* False answers among so many that were never added, in 10 000. */
static unsigned int false_answers(const struct bloom *bloom, unsigned int n)
{
	unsigned int wrong = 0;
	uint8_t id[32];

	for (unsigned int i = 0; i < n; i++) {
		make_id((1ull << 40) + i * 7919ull, id);
		wrong += bloom_may_have(bloom, id);
	}
	return (unsigned int)((uint64_t)wrong * 10000 / n);
}

static void what_is_in_it_is_found(void **state)
{
	struct bloom bloom;
	uint8_t id[32];

	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MIN, BLOOM_HASHES), 0);
	assert_int_equal(false_answers(&bloom, 1000), 0);
	for (unsigned int i = 0; i < bloom_capacity(BLOOM_BITS_MIN); i++) {
		make_id(i * 104729ull, id);
		bloom_add(&bloom, id);
	}
	for (unsigned int i = 0; i < bloom_capacity(BLOOM_BITS_MIN); i++) {
		make_id(i * 104729ull, id);
		assert_true(bloom_may_have(&bloom, id));
	}
	/* At its capacity: one in a hundred. */
	assert_in_range(false_answers(&bloom, 200000), 80, 120);
	bloom_free(&bloom);
	/* None at all: anything may be there. */
	assert_true(bloom_may_have(&bloom, id));
}

static void it_is_as_large_as_it_has_to_be(void **state)
{
	struct bloom bloom;

	assert_int_equal(bloom_size(0), BLOOM_BITS_MIN);
	assert_int_equal(bloom_size(40000), BLOOM_BITS_MIN);
	assert_int_equal(bloom_size(41000), 2 * BLOOM_BITS_MIN);
	for (uint64_t ids = 1; ids < 20000000; ids = ids * 3 / 2 + 1)
		assert_true(bloom_capacity(bloom_size(ids)) >= 2 * ids);
	assert_int_equal(bloom_size(UINT64_MAX / 4), BLOOM_BITS_MAX);
	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MIN - 1, BLOOM_HASHES), -EINVAL);
	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MAX + 1ull, BLOOM_HASHES), -EINVAL);
	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MIN, 0), -EINVAL);
	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MIN, 17), -EINVAL);
}

/* ---- The bridge's ---- */

static void put_filter(struct tlv_writer *writer, const struct bloom *bloom, size_t from, size_t to)
{
	struct weft_c_bloom head = { .bits = htole64(bloom->n_bits), .hashes = htole32(bloom->hashes) };

	if (!from)
		tlv_put(writer, WEFT_C_BLOOM, &head, sizeof(head));
	for (size_t at = from; at < to; at += 32768)
		tlv_put(writer, WEFT_C_BLOOM_PART, bloom->bits + at, to - at < 32768 ? to - at : 32768);
}

static void update(struct bridge *bridge, struct tlv_writer *writer)
{
	assert_int_equal(tlv_finish(writer), 0);
	bridge_contents_update(bridge, writer->data, writer->len);
	tlv_writer_reset(writer);
}

static bool is_new(struct bridge *bridge, uint64_t first, uint64_t second)
{
	struct weft_chunk_ask asks[2] = { { .plain_len = htole32(WEFT_DEDUP_MIN) },
					  { .plain_len = htole32(WEFT_DEDUP_MIN) } };
	struct tlv_writer writer;
	bool answer;

	make_id(first, asks[0].content_id);
	make_id(second, asks[1].content_id);
	tlv_writer_init(&writer, WEFT_PAYLOAD_MAX);
	tlv_put(&writer, WEFT_P_ASK, asks, sizeof(asks));
	assert_int_equal(tlv_finish(&writer), 0);
	answer = bridge_contents_are_new(bridge, writer.data, writer.len);
	tlv_writer_free(&writer);
	return answer;
}

static void a_bridge_answers_what_is_surely_new(void **state)
{
	struct bridge *bridge = calloc(1, sizeof(*bridge));
	struct tlv_writer writer;
	struct bloom bloom;
	uint8_t id[32];
	size_t size;

	assert_non_null(bridge);
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MIN, BLOOM_HASHES), 0);
	make_id(1, id);
	bloom_add(&bloom, id);
	size = bloom_bytes(&bloom);
	/* Before there is one, and until it is whole. */
	assert_false(is_new(bridge, 2, 3));
	put_filter(&writer, &bloom, 0, size / 2);
	update(bridge, &writer);
	assert_false(is_new(bridge, 2, 3));
	put_filter(&writer, &bloom, size / 2, size);
	update(bridge, &writer);
	assert_true(is_new(bridge, 2, 3));
	/* They are about to be written. */
	assert_false(is_new(bridge, 2, 4));
	assert_true(is_new(bridge, 4, 5));
	assert_false(is_new(bridge, 6, 1));
	/* What another mount has written. */
	make_id(6, id);
	tlv_put(&writer, WEFT_C_BLOOM_ID, id, BLOOM_ID);
	update(bridge, &writer);
	assert_false(is_new(bridge, 6, 7));
	/* A new filter, of another size. */
	bloom_free(&bloom);
	assert_int_equal(bloom_init(&bloom, 2 * BLOOM_BITS_MIN, BLOOM_HASHES), 0);
	put_filter(&writer, &bloom, 0, bloom_bytes(&bloom));
	update(bridge, &writer);
	assert_true(is_new(bridge, 6, 1));
	bloom_free(&bloom);
	tlv_writer_free(&writer);
	bridge_contents_free(bridge);
	free(bridge);
}

/* Then everything is asked for. */
static void a_filter_that_makes_no_sense_is_none(void **state)
{
	static const struct weft_c_bloom small = { .bits = 64, .hashes = 3 },
					 huge = { .bits = UINT64_MAX, .hashes = 3 };
	struct bridge *bridge = calloc(1, sizeof(*bridge));
	struct tlv_writer writer;
	struct bloom bloom;

	assert_non_null(bridge);
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	assert_int_equal(bloom_init(&bloom, BLOOM_BITS_MIN, BLOOM_HASHES), 0);
	for (unsigned int i = 0; i < 5; i++) {
		put_filter(&writer, &bloom, 0, bloom_bytes(&bloom));
		update(bridge, &writer);
		assert_non_null(bridge->contents.filter.bits);
		if (i == 0)
			tlv_put(&writer, WEFT_C_BLOOM, &small, sizeof(small));
		else if (i == 1)
			tlv_put(&writer, WEFT_C_BLOOM, &huge, sizeof(huge));
		else if (i == 2)
			tlv_put(&writer, WEFT_C_BLOOM, &small, 3);
		else if (i == 3)
			tlv_put(&writer, WEFT_C_BLOOM_PART, bloom.bits, 100);
		else
			tlv_put(&writer, WEFT_C_BLOOM_ID, bloom.bits, 8);
		update(bridge, &writer);
		assert_null(bridge->contents.filter.bits);
		assert_false(is_new(bridge, 1, 2));
	}
	/* More than there is to come. */
	put_filter(&writer, &bloom, 0, bloom_bytes(&bloom) - 10);
	tlv_put(&writer, WEFT_C_BLOOM_PART, bloom.bits, 11);
	update(bridge, &writer);
	assert_null(bridge->contents.coming.bits);
	bloom_free(&bloom);
	tlv_writer_free(&writer);
	bridge_contents_free(bridge);
	free(bridge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_it_is_found),
		cmocka_unit_test(it_is_as_large_as_it_has_to_be),
		cmocka_unit_test(a_bridge_answers_what_is_surely_new),
		cmocka_unit_test(a_filter_that_makes_no_sense_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
