// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Derivation of keys, nonces and sealed names: the vectors of RFC 4231 and RFC 5869, values that another program has
 * computed from docs/formats.md, and what must hold for every name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypt/frame.h"
#include "crypt/name.h"

static size_t unhex(const char *hex, u8 *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (u8)byte;
	}
	return n;
}

static void assert_hex(const u8 *bytes, size_t len, const char *hex)
{
	u8 want[512];

	assert_int_equal(unhex(hex, want), len);
	assert_memory_equal(bytes, want, len);
}

/* RFC 4231, test cases 1, 2 and 4. */
static void hmac_is_that_of_rfc_4231(void **state)
{
	static const struct {
		const char *key, *data, *mac;
	} cases[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ "0102030405060708090a0b0c0d0e0f10111213141516171819",
		  "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		  "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 key[64], data[64], mac[WEFT_MAC_LEN];
		size_t key_len = unhex(cases[i].key, key), len = unhex(cases[i].data, data);

		weft_hmac(key, key_len, data, len, mac);
		assert_hex(mac, sizeof(mac), cases[i].mac);
	}
}

/* RFC 5869, test cases 1 and 3. */
static void hkdf_is_that_of_rfc_5869(void **state)
{
	u8 secret[22], salt[13], info[10], root[WEFT_KEY_LEN], out[42];

	memset(secret, 0x0b, sizeof(secret));
	for (u8 i = 0; i < 13; i++)
		salt[i] = i;
	for (u8 i = 0; i < 10; i++)
		info[i] = (u8)(0xf0 + i);
	weft_hkdf_extract(salt, sizeof(salt), secret, sizeof(secret), root);
	assert_hex(root, sizeof(root), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
	weft_hkdf_expand(root, info, sizeof(info), out, sizeof(out));
	assert_hex(out, sizeof(out),
		   "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	weft_hkdf_extract(salt, 0, secret, sizeof(secret), root);
	weft_hkdf_expand(root, info, 0, out, sizeof(out));
	assert_hex(out, sizeof(out),
		   "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void test_root(u8 root[WEFT_KEY_LEN])
{
	u8 uuid[16], key[WEFT_KEY_LEN];

	for (u8 i = 0; i < sizeof(uuid); i++)
		uuid[i] = i;
	for (u8 i = 0; i < sizeof(key); i++)
		key[i] = (u8)(0x40 + i);
	weft_derive_root(uuid, key, root);
}

static void keys_are_derived_as_documented(void **state)
{
	u8 root[WEFT_KEY_LEN], key[WEFT_KEY_LEN], salt[16], nonce[12];

	for (u8 i = 0; i < sizeof(salt); i++)
		salt[i] = i;
	test_root(root);
	assert_hex(root, sizeof(root), "7051632f1027150a56f9631e7495a6e8cf9a9a7c7eacecf4d16ba3945d1f173c");
	weft_derive_frame_key(root, 0x1122334455667788, 9, key);
	assert_hex(key, sizeof(key), "85916f38c7ee54e29a36b2bfa390dfb0b594f4d9f1c4bdd79c5bf30836e33ee0");
	weft_derive_value_key(root, salt, key, nonce);
	assert_hex(key, sizeof(key), "8adf9d1466fd86ff4d541330578e06fab73ea35f99e1bdbda096c9ee8f155289");
	assert_hex(nonce, sizeof(nonce), "3c95e9f2c21ec18793a8a51e");
	weft_derive_content_id_key(root, key);
	assert_hex(key, sizeof(key), "235070357325a16eb9e64de232b6377a5892b8e3e208812294248bdd4b5a8d8b");
}

/* Every frame of every seal has its own: the salt in front, the index behind. */
static void nonces_are_of_salt_and_frame(void **state)
{
	struct weft_seal seal = { .session = 1, .counter = 2, .salt = { 1, 2, 3, 4, 5, 6, 7, 8 } };
	u8 nonce[WEFT_NONCE_LEN], other[WEFT_NONCE_LEN];
	struct weft_frame_ad ad;

	weft_frame_nonce(&seal, 0x7f, nonce);
	assert_hex(nonce, sizeof(nonce), "01020304050607087f000000");
	for (u32 i = 0; i < WEFT_CHUNK_MAX / WEFT_FRAME_SIZE - 1; i++) {
		weft_frame_nonce(&seal, i, other);
		assert_memory_not_equal(nonce, other, sizeof(nonce));
	}
	weft_frame_ad(&seal, 3, 5 * WEFT_FRAME_SIZE + 1, WEFT_CODEC_LZ4, 7, &ad);
	assert_hex((const u8 *)&ad, sizeof(ad),
		   "01000000000000000200000000000000030000000600000001000a000200000007000000" "00000000");
}

static void sealed_names_are_as_documented(void **state)
{
	static const struct {
		u64 dir;
		const char *name, *stored;
	} cases[] = {
		{ 1, "a", "ec71803d6465feb2abdbdd2c1af19cfb2a161d54194505b9b77e7855280bc6a0" },
		/* the second try */
		{ 1, "hello.txt", "b95996760cfb10da384177d97ccac60cce97b38580d580654160d3aa66e396a6" },
		{ 2, "hello.txt", "8aa7bcd5b5528d4a805cee24261c1afdd0f0e0ceb6d389c45bd5e4924e0731ee" },
		{ 7, "0123456789abcdef", "76d610d7c99f0413fe017cea7b8bb8b663c044802d7d9f9bc959eaf07076c05e" },
	};
	u8 root[WEFT_KEY_LEN], stored[WEFT_NAME_MAX];
	struct weft_name_keys keys;

	test_root(root);
	weft_name_keys_init(&keys, root);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int len = weft_name_seal(&keys, cases[i].dir, cases[i].name, strlen(cases[i].name), stored);

		assert_true(len > 0);
		assert_hex(stored, (size_t)len, cases[i].stored);
	}
}

static void every_name_comes_back_and_is_legal_on_the_way(void **state)
{
	u8 root[WEFT_KEY_LEN], name[WEFT_NAME_MAX], stored[WEFT_NAME_MAX], open[WEFT_NAME_MAX], bare[WEFT_NAME_MAX],
		again[WEFT_NAME_MAX];
	struct weft_name_keys keys;
	int len, n;

	test_root(root);
	weft_name_keys_init(&keys, root);
	for (size_t i = 1; i <= WEFT_NAME_OPEN_MAX; i++) {
		for (size_t j = 0; j < i; j++)
			name[j] = (u8)(1 + (i * 31 + j * 7) % 254 + ((1 + (i * 31 + j * 7) % 254) == '/'));
		len = weft_name_seal(&keys, i, name, i, stored);
		assert_in_range(len, WEFT_NAME_IV + i, WEFT_NAME_MAX);
		assert_null(memchr(stored, 0, (size_t)len));
		assert_null(memchr(stored, '/', (size_t)len));
		assert_int_equal(weft_name_open(&keys, i, stored, (size_t)len, open), i);
		assert_memory_equal(open, name, i);
		/* Another directory, another byte, another length: not a name of this key. */
		assert_int_equal(weft_name_open(&keys, i + 1, stored, (size_t)len, open), -EBADMSG);
		n = weft_name_bare(stored, (size_t)len, bare);
		assert_in_range(n, 1, WEFT_NAME_MAX);
		assert_int_equal(weft_name_unbare(bare, (size_t)n, again), len);
		assert_memory_equal(again, stored, (size_t)len);
		stored[i % (size_t)len] ^= 0x80;
		assert_int_equal(weft_name_open(&keys, i, stored, (size_t)len, open), -EBADMSG);
		stored[i % (size_t)len] ^= 0x80;
		assert_int_equal(weft_name_open(&keys, i, stored, (size_t)len - 1, open), -EBADMSG);
	}
}

static void what_is_no_name_is_refused(void **state)
{
	u8 root[WEFT_KEY_LEN], long_name[WEFT_NAME_OPEN_MAX + 1], stored[WEFT_NAME_MAX];
	struct weft_name_keys keys;

	test_root(root);
	weft_name_keys_init(&keys, root);
	memset(long_name, 'x', sizeof(long_name));
	assert_int_equal(weft_name_seal(&keys, 1, long_name, sizeof(long_name), stored), -ENAMETOOLONG);
	assert_int_equal(weft_name_seal(&keys, 1, "", 0, stored), -EINVAL);
	assert_int_equal(weft_name_seal(&keys, 1, "..", 2, stored), -EINVAL);
	assert_int_equal(weft_name_seal(&keys, 1, "a/b", 3, stored), -EINVAL);
	assert_int_equal(weft_name_open(&keys, 1, long_name, WEFT_NAME_IV, stored), -EBADMSG);
	/* Plain names that somebody has put beside sealed ones. */
	assert_int_equal(weft_name_open(&keys, 1, long_name, 40, stored), -EBADMSG);
	assert_int_equal(weft_name_unbare("hello.txt", 9, stored), -ENOENT);
	assert_int_equal(weft_name_unbare("lost+found", 10, stored), -ENOENT);
	assert_int_equal(weft_name_unbare("QUJD", 4, stored), -ENOENT);
}

/* RFC 4648, 10, without padding. */
static void base64url_is_that_of_rfc_4648(void **state)
{
	static const char *const texts[] = { "", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy" };
	u8 out[16];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(weft_base64url_len(i), strlen(texts[i]));
		assert_int_equal(weft_base64url_encode("foobar", i, out), strlen(texts[i]));
		assert_memory_equal(out, texts[i], strlen(texts[i]));
		assert_int_equal(weft_base64url_decode(texts[i], strlen(texts[i]), out), i);
		assert_memory_equal(out, "foobar", i);
	}
	assert_int_equal(weft_base64url_encode("\xfb\xff", 2, out), 3);
	assert_memory_equal(out, "-_8", 3);
	assert_int_equal(weft_base64url_decode("Zh", 2, out), -EBADMSG); /* bits that say nothing */
	assert_int_equal(weft_base64url_decode("Z", 1, out), -EBADMSG);
	assert_int_equal(weft_base64url_decode("Zm+v", 4, out), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_is_that_of_rfc_4231),
		cmocka_unit_test(hkdf_is_that_of_rfc_5869),
		cmocka_unit_test(keys_are_derived_as_documented),
		cmocka_unit_test(nonces_are_of_salt_and_frame),
		cmocka_unit_test(sealed_names_are_as_documented),
		cmocka_unit_test(every_name_comes_back_and_is_legal_on_the_way),
		cmocka_unit_test(what_is_no_name_is_refused),
		cmocka_unit_test(base64url_is_that_of_rfc_4648),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
