// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shard headers: what is encoded is decoded, damage and every broken rule are refused with their
 * own error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chunk/crc32c.h"
#include "chunk/header.h"

#define FIELD(name) offsetof(struct weft_shard_header, name)

/* A raw chunk of 6+3 with four frames, the last of them short. */
static struct weft_shard_info raw_info(void)
{
	return (struct weft_shard_info){
		.index = 8,
		.k = 6,
		.m = 3,
		.sid_session = 0x1234567890abcdef,
		.sid_counter = 77,
		.group = 5,
		.volume = 3,
		.ino = 0xdeadbeef,
		.file_offset = 1ull << 40,
		.version = 9,
		.plain_len = 400000,
		.stored_len = 400000,
	};
}

/* The same compressed and sealed, with the frames that @table says. */
static struct weft_shard_info sealed_info(const __le32 table[4])
{
	struct weft_shard_info info = raw_info();

	info.codec = WEFT_CODEC_ZSTD;
	info.cipher = WEFT_CIPHER_AES256_GCM;
	info.key_id = 2;
	info.seal_session = 4;
	info.salt[7] = 1;
	info.stored_len = le32_to_cpu(table[3]);
	info.frames = table;
	return info;
}

static const __le32 good_table[4] = { 100, 117, 117 + 131072 + 16, 137205 };

static void info_assert_equal(const struct weft_shard_info *a, const struct weft_shard_info *b)
{
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->k, b->k);
	assert_int_equal(a->m, b->m);
	assert_int_equal(a->codec, b->codec);
	assert_int_equal(a->cipher, b->cipher);
	assert_int_equal(a->sid_session, b->sid_session);
	assert_int_equal(a->sid_counter, b->sid_counter);
	assert_int_equal(a->group, b->group);
	assert_int_equal(a->volume, b->volume);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->file_offset, b->file_offset);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->plain_len, b->plain_len);
	assert_int_equal(a->stored_len, b->stored_len);
	assert_int_equal(a->key_id, b->key_id);
	assert_memory_equal(a->salt, b->salt, sizeof(a->salt));
	assert_int_equal(a->seal_session, b->seal_session);
	assert_int_equal(a->seal_counter, b->seal_counter);
}

static void resign(u8 *buf)
{
	__le32 field;
	u32 crc;

	memcpy(&field, buf + FIELD(header_len), 4);
	memset(buf + FIELD(crc), 0, 4);
	crc = weft_crc32c(0, buf, le32_to_cpu(field));
	field = cpu_to_le32(crc);
	memcpy(buf + FIELD(crc), &field, 4);
}

static void a_raw_header_comes_back_as_it_went(void **state)
{
	struct weft_shard_info in = raw_info(), out;
	u8 buf[300], again[300];
	u32 start, length;
	const char *why;

	memset(buf, 0x77, sizeof(buf));
	assert_int_equal(weft_header_encode(&in, buf, 128, &why), 128);
	assert_int_equal(buf[128], 0x77);
	assert_int_equal(weft_header_decode(&out, buf, sizeof(buf), &why), 0);
	info_assert_equal(&in, &out);
	assert_null(out.frames);
	assert_int_equal(out.header_len, 128);
	assert_int_equal(out.shard_len, 69632);
	assert_int_equal(out.frame_count, 4);
	weft_header_frame(&out, 3, &start, &length);
	assert_int_equal(start, 3 * 131072);
	assert_int_equal(length, 400000 - 3 * 131072);

	assert_int_equal(weft_header_encode(&out, again, sizeof(again), &why), 128);
	assert_memory_equal(buf, again, 128);
}

static void a_sealed_header_carries_its_frame_table(void **state)
{
	struct weft_shard_info in = sealed_info(good_table), out;
	u8 buf[145];
	u32 start, length;

	assert_int_equal(weft_header_encode(&in, buf, 143, NULL), -ENOSPC);
	/* At an odd address. */
	assert_int_equal(weft_header_encode(&in, buf + 1, 144, NULL), 144);
	assert_int_equal(weft_header_decode(&out, buf + 1, 143, NULL), -EMSGSIZE);
	assert_int_equal(weft_header_decode(&out, buf + 1, 144, NULL), 0);
	info_assert_equal(&in, &out);
	assert_ptr_equal(out.frames, buf + 1 + 128);
	for (u32 i = 0, end = 0; i < 4; i++) {
		weft_header_frame(&out, i, &start, &length);
		assert_int_equal(start, end);
		end += length;
		assert_int_equal(end, le32_to_cpu(good_table[i]));
	}
}

static void stamping_changes_index_and_crc_only(void **state)
{
	struct weft_shard_info in = sealed_info(good_table), out;
	u8 stamped[144], fresh[144];

	assert_int_equal(weft_header_encode(&in, stamped, sizeof(stamped), NULL), 144);
	for (in.index = 0; in.index < 9; in.index++) {
		weft_header_stamp(stamped, in.index);
		assert_int_equal(weft_header_encode(&in, fresh, sizeof(fresh), NULL), 144);
		assert_memory_equal(stamped, fresh, sizeof(fresh));
		assert_int_equal(weft_header_decode(&out, stamped, sizeof(stamped), NULL), 0);
		assert_int_equal(out.index, in.index);
	}
}

static void invariant_2_every_flipped_bit_is_noticed(void **state)
{
	struct weft_shard_info in = sealed_info(good_table), out;
	u8 buf[144];

	assert_int_equal(weft_header_encode(&in, buf, sizeof(buf), NULL), 144);
	for (unsigned int bit = 0; bit < 8 * sizeof(buf); bit++) {
		const char *why = NULL;
		int ret;

		buf[bit / 8] ^= 1 << bit % 8;
		ret = weft_header_decode(&out, buf, sizeof(buf), &why);
		assert_true(ret == -EBADMSG || ret == -EMSGSIZE);
		assert_non_null(why);
		buf[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t len = 0; len < sizeof(buf); len++)
		assert_int_equal(weft_header_decode(&out, buf, len, NULL), -EMSGSIZE);
}

/* One field of an undamaged header broken, and what the decoder says. */
static const struct broken {
	const char *what;
	size_t at;
	unsigned int size;
	u64 value;
	int error;
	bool sealed;
} broken[] = {
	{ "later format", FIELD(format), 2, 2, -EPROTONOSUPPORT, false },
	{ "flag", FIELD(flags), 1, 1, -EPROTONOSUPPORT, false },
	{ "codec", FIELD(codec), 1, 4, -EPROTONOSUPPORT, false },
	{ "cipher", FIELD(cipher), 1, 2, -EPROTONOSUPPORT, false },
	{ "reserved0", FIELD(reserved0), 4, 1, -EPROTO, false },
	{ "reserved1", FIELD(reserved1), 4, 1u << 31, -EPROTO, false },
	{ "index", FIELD(index), 1, 9, -EPROTO, false },
	{ "k of zero", FIELD(k), 1, 0, -EPROTO, false },
	{ "k too large", FIELD(k), 1, 30, -EPROTO, false },
	{ "other k", FIELD(k), 1, 7, -EPROTO, false },
	{ "m too large", FIELD(m), 1, 255, -EPROTO, false },
	{ "raw with a codec's name", FIELD(codec), 1, WEFT_CODEC_LZ4, -EPROTO, false },
	{ "raw with a cipher's name", FIELD(cipher), 1, WEFT_CIPHER_AES256_GCM, -EPROTO, false },
	{ "no sid", FIELD(sid), 16, 0, -EPROTO, false },
	{ "no group", FIELD(group), 8, 0, -EPROTO, false },
	{ "offset", FIELD(file_offset), 8, INT64_MAX - 399999ull, -EPROTO, false },
	{ "negative offset", FIELD(file_offset), 8, UINT64_MAX, -EPROTO, false },
	{ "empty", FIELD(plain_len), 4, 0, -EPROTO, false },
	{ "plaintext too long", FIELD(plain_len), 4, WEFT_CHUNK_MAX + 1, -EPROTO, false },
	{ "plaintext at the end of numbers", FIELD(plain_len), 4, UINT32_MAX, -EPROTO, false },
	{ "raw, shorter than its plaintext", FIELD(stored_len), 4, 399999, -EPROTO, false },
	{ "raw, longer than its plaintext", FIELD(stored_len), 4, 400001, -EPROTO, false },
	{ "nothing stored", FIELD(stored_len), 4, 0, -EPROTO, true },
	{ "stored at the end of numbers", FIELD(stored_len), 4, UINT32_MAX, -EPROTO, true },
	{ "shard too short", FIELD(shard_len), 4, 65536, -EPROTO, false },
	{ "shard too long", FIELD(shard_len), 4, 73728, -EPROTO, false },
	{ "frame count", FIELD(frame_count), 4, 5, -EPROTO, false },
	{ "key without a cipher", FIELD(key_id), 4, 1, -EPROTO, false },
	{ "salt without a cipher", FIELD(salt), 8, 1, -EPROTO, false },
	{ "seal without a cipher", FIELD(seal), 16, 1, -EPROTO, false },
	{ "cipher without a key", FIELD(key_id), 4, 0, -EPROTO, true },
	{ "cipher without a seal", FIELD(seal), 16, 0, -EPROTO, true },
	{ "table cut off", FIELD(header_len), 4, 140, -EPROTO, true },
	{ "empty first frame", 128, 4, 0, -EPROTO, true },
	{ "first frame just a tag", 128, 4, 16, -EPROTO, true },
	{ "second frame just a tag", 132, 4, 116, -EPROTO, true },
	{ "frames going back", 132, 4, 99, -EPROTO, true },
	{ "frame too long", 136, 4, 117 + 131072 + 17, -EPROTO, true },
	{ "table ends early", 140, 4, 137204, -EPROTO, true },
	{ "table ends late", 140, 4, 137206, -EPROTO, true },
	{ "table at the end of numbers", 140, 4, UINT32_MAX, -EPROTO, true },
};

static void every_broken_rule_is_refused(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(broken); i++) {
		const struct broken *b = &broken[i];
		struct weft_shard_info in = b->sealed ? sealed_info(good_table) : raw_info(), out;
		const char *why = NULL;
		u8 buf[144];
		int ret;

		assert_true(weft_header_encode(&in, buf, sizeof(buf), NULL) > 0);
		for (unsigned int byte = 0; byte < b->size; byte++)
			buf[b->at + byte] = byte < 8 ? (u8)(b->value >> 8 * byte) : 0;
		resign(buf);
		ret = weft_header_decode(&out, buf, sizeof(buf), &why);
		if (ret != b->error || !why)
			fail_msg("%s: %d instead of %d (%s)", b->what, ret, b->error,
				 why ? why : "no reason");
	}
}

static void the_encoder_keeps_the_same_rules(void **state)
{
	struct weft_shard_info in;
	u8 buf[144];

	in = raw_info();
	in.index = 9;
	assert_int_equal(weft_header_encode(&in, buf, sizeof(buf), NULL), -EINVAL);
	in = raw_info();
	in.frames = good_table;
	assert_int_equal(weft_header_encode(&in, buf, sizeof(buf), NULL), -EINVAL);
	in = sealed_info(good_table);
	in.frames = NULL;
	assert_int_equal(weft_header_encode(&in, buf, sizeof(buf), NULL), -EINVAL);
	in = raw_info();
	in.stored_len = 0;
	assert_int_equal(weft_header_encode(&in, buf, sizeof(buf), NULL), -EINVAL);
}

static void the_largest_chunk_fits(void **state)
{
	__le32 table[WEFT_CHUNK_MAX / WEFT_FRAME_SIZE];
	struct weft_shard_info in = sealed_info(good_table), out;
	u8 buf[WEFT_SHARD_HEADER_MAX];

	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		table[i] = cpu_to_le32((i + 1) * (WEFT_FRAME_SIZE + WEFT_CIPHER_TAG));
	in.plain_len = WEFT_CHUNK_MAX;
	in.stored_len = WEFT_STORED_MAX;
	in.frames = table;
	in.k = 1;
	in.index = 0;
	assert_int_equal(weft_header_encode(&in, buf, sizeof(buf), NULL), WEFT_SHARD_HEADER_MAX);
	assert_int_equal(weft_header_decode(&out, buf, sizeof(buf), NULL), 0);
	assert_int_equal(out.shard_len, WEFT_SHARD_LEN_MAX);
}

static void lengths_of_chunks_are_checked_without_a_header(void **state)
{
	const char *why = NULL;

	assert_int_equal(weft_header_lengths_check(1, 1, WEFT_CODEC_RAW, WEFT_CIPHER_NONE, 0, &why),
			 0);
	assert_int_equal(
		weft_header_lengths_check(1, 17, WEFT_CODEC_RAW, WEFT_CIPHER_AES256_GCM, 1, &why),
		0);
	assert_int_equal(
		weft_header_lengths_check(1, 1, WEFT_CODEC_ZSTD, WEFT_CIPHER_NONE, 0, &why), 0);
	assert_int_equal(
		weft_header_lengths_check(1, 2, WEFT_CODEC_ZSTD, WEFT_CIPHER_NONE, 0, &why),
		-EPROTO);
	assert_int_equal(
		weft_header_lengths_check(262145, 2, WEFT_CODEC_ZSTD, WEFT_CIPHER_NONE, 0, &why),
		-EPROTO);
	assert_int_equal(
		weft_header_lengths_check(262145, 3, WEFT_CODEC_ZSTD, WEFT_CIPHER_NONE, 0, &why),
		0);
	assert_int_equal(weft_header_lengths_check(WEFT_CHUNK_MAX, WEFT_CHUNK_MAX, 9, 0, 0, &why),
			 -EPROTONOSUPPORT);
	assert_int_equal(weft_header_lengths_check(UINT32_MAX, UINT32_MAX, 0, 0, 0, &why), -EPROTO);
	assert_non_null(why);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_raw_header_comes_back_as_it_went),
		cmocka_unit_test(a_sealed_header_carries_its_frame_table),
		cmocka_unit_test(stamping_changes_index_and_crc_only),
		cmocka_unit_test(invariant_2_every_flipped_bit_is_noticed),
		cmocka_unit_test(every_broken_rule_is_refused),
		cmocka_unit_test(the_encoder_keeps_the_same_rules),
		cmocka_unit_test(the_largest_chunk_fits),
		cmocka_unit_test(lengths_of_chunks_are_checked_without_a_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
