// SPDX-License-Identifier: GPL-2.0-or-later
/* Runs of attributes: what is written is read back, and no bytes whatever lead outside of themselves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "net/tlv.h"

static void written_attributes_are_read_back(void **state)
{
	struct tlv_writer writer;
	struct tlv known[8];
	uint32_t a;
	uint64_t b;
	char text[6];

	(void)state;
	tlv_writer_init(&writer, 4096);
	tlv_put_u32(&writer, 1, 0x12345678);
	tlv_put_u64(&writer, 2, 0x1122334455667788);
	tlv_put_text(&writer, 3, "hello");
	tlv_put(&writer, 4, NULL, 0);
	assert_int_equal(tlv_finish(&writer), 0);
	assert_int_equal(writer.len, tlv_size(4) + tlv_size(8) + tlv_size(5) + tlv_size(0));
	assert_int_equal(tlv_collect(writer.data, writer.len, known, 8, true), 0);
	assert_int_equal(tlv_u32(&known[1], &a), 0);
	assert_int_equal(a, 0x12345678);
	assert_int_equal(tlv_u64(&known[2], &b), 0);
	assert_int_equal(b, 0x1122334455667788);
	assert_int_equal(tlv_text(&known[3], 1, 5, text), 0);
	assert_string_equal(text, "hello");
	assert_non_null(known[4].data);
	assert_int_equal(known[4].len, 0);
	assert_null(known[5].data);
	tlv_writer_free(&writer);
}

static void values_of_a_wrong_size_are_refused(void **state)
{
	struct tlv four = { .len = 4, .data = "abcd" }, nul = { .len = 3, .data = "a\0b" }, none = { 0 };
	uint64_t b;
	uint32_t a;
	char text[9];

	(void)state;
	assert_int_equal(tlv_u64(&four, &b), -EPROTO);
	assert_int_equal(tlv_u32(&nul, &a), -EPROTO);
	assert_int_equal(tlv_u32(&none, &a), -ENODATA);
	assert_int_equal(tlv_text(&nul, 1, 8, text), -EPROTO);
	assert_int_equal(tlv_text(&four, 5, 8, text), -EPROTO);
	assert_int_equal(tlv_text(&four, 1, 3, text), -EPROTO);
}

static void an_unknown_type_is_refused_only_when_strict(void **state)
{
	struct tlv_writer writer;
	struct tlv known[4];

	(void)state;
	tlv_writer_init(&writer, 64);
	tlv_put_u32(&writer, 9, 1);
	assert_int_equal(tlv_collect(writer.data, writer.len, known, 4, true), -EOPNOTSUPP);
	assert_int_equal(tlv_collect(writer.data, writer.len, known, 4, false), 0);
	tlv_writer_free(&writer);
}

static void a_run_that_is_too_long_fails_once_and_for_good(void **state)
{
	struct tlv_writer writer;

	(void)state;
	tlv_writer_init(&writer, 16);
	tlv_put_u64(&writer, 1, 1);
	tlv_put_u64(&writer, 2, 1);
	tlv_put_u32(&writer, 3, 1);
	assert_int_equal(tlv_finish(&writer), -EMSGSIZE);
	tlv_writer_reset(&writer);
	assert_int_equal(tlv_finish(&writer), 0);
	tlv_writer_free(&writer);
	tlv_writer_init(&writer, 1 << 20);
	assert_null(tlv_reserve(&writer, 1, 65532));
	assert_int_equal(tlv_finish(&writer), -EMSGSIZE);
	tlv_writer_free(&writer);
}

static void invariant_6_hostile_bytes_stay_inside(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)rand() % 64;
		uint8_t *bytes = malloc(len ? len : 1); /* exact, so that the sanitizer sees a step outside */
		struct tlv_reader reader;
		struct tlv tlv;
		size_t seen = 0;
		int ret;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(rand() % 4 ? rand() % 12 : rand());
		tlv_reader_init(&reader, bytes, len);
		while ((ret = tlv_next(&reader, &tlv)) == 1) {
			assert_true((const uint8_t *)tlv.data + tlv.len <= bytes + len);
			assert_true(++seen <= len / 4);
		}
		assert_true(ret == 0 || ret == -EPROTO);
		assert_int_equal(tlv_next(&reader, &tlv), ret);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_attributes_are_read_back),
		cmocka_unit_test(values_of_a_wrong_size_are_refused),
		cmocka_unit_test(an_unknown_type_is_refused_only_when_strict),
		cmocka_unit_test(a_run_that_is_too_long_fails_once_and_for_good),
		cmocka_unit_test(invariant_6_hostile_bytes_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
