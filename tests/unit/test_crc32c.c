// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CRC32C: the vectors of RFC 3720, the definition bit by bit, and that pieces add up to the whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "chunk/crc32c.h"

typedef u32 (*crc_fn)(u32 crc, const void *buf, size_t len);

static const crc_fn functions[] = { weft_crc32c, weft_crc32c_table };

static u32 slow_crc(const u8 *p, size_t len)
{
	u32 crc = 0xffffffffu;

	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return crc ^ 0xffffffffu;
}

static void known_vectors_give_known_sums(void **state)
{
	u8 zeros[32] = { 0 }, ones[32], rising[32], falling[32];

	memset(ones, 0xff, sizeof(ones));
	for (unsigned int i = 0; i < 32; i++) {
		rising[i] = i;
		falling[i] = 31 - i;
	}
	for (unsigned int f = 0; f < ARRAY_SIZE(functions); f++) {
		assert_int_equal(functions[f](0, "123456789", 9), 0xe3069283u);
		assert_int_equal(functions[f](0, zeros, 32), 0x8a9136aau);
		assert_int_equal(functions[f](0, ones, 32), 0x62a8ab43u);
		assert_int_equal(functions[f](0, rising, 32), 0x46dd794eu);
		assert_int_equal(functions[f](0, falling, 32), 0x113fdb5cu);
		assert_int_equal(functions[f](0, NULL, 0), 0);
		assert_int_equal(functions[f](0x12345678, NULL, 0), 0x12345678);
	}
}

static void all_lengths_match_the_definition(void **state)
{
	static u8 buf[20000];
	u32 rng = (u32)time(NULL) | 1;

	print_message("seed: %#x\n", rng);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)((rng = rng * 1664525 + 1013904223) >> 24);

	for (unsigned int f = 0; f < ARRAY_SIZE(functions); f++) {
		for (size_t len = 0; len < 300; len++)
			for (size_t at = 0; at < 9; at++)
				assert_int_equal(functions[f](0, buf + at, len),
						 slow_crc(buf + at, len));
		for (size_t len = 4060; len < 4110; len++)
			assert_int_equal(functions[f](0, buf + len % 8, len),
					 slow_crc(buf + len % 8, len));
		for (size_t len = 8150; len < sizeof(buf); len += 509)
			assert_int_equal(functions[f](0, buf, len), slow_crc(buf, len));
	}
}

static void pieces_add_up_to_the_whole(void **state)
{
	static u8 buf[9000];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)(i * i >> 3);
	for (unsigned int f = 0; f < ARRAY_SIZE(functions); f++)
		for (size_t cut = 0; cut <= sizeof(buf); cut += 37)
			assert_int_equal(functions[f](functions[f](0, buf, cut), buf + cut,
						      sizeof(buf) - cut),
					 slow_crc(buf, sizeof(buf)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors_give_known_sums),
		cmocka_unit_test(all_lengths_match_the_definition),
		cmocka_unit_test(pieces_add_up_to_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
