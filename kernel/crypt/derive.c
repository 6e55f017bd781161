// SPDX-License-Identifier: GPL-2.0-only
/* Keys from keys. See derive.h. */
#include "derive.h"

#include "sha256_port.h"

void weft_wipe(void *bytes, size_t len)
{
	memset(bytes, 0, len);
	/* The compiler must not know that nobody reads it. */
	__asm__ __volatile__("" : : "r"(bytes) : "memory");
}

bool weft_same(const void *a, const void *b, size_t len)
{
	const u8 *x = a, *y = b;
	u8 differ = 0;

	while (len--)
		differ |= *x++ ^ *y++;
	return !differ;
}

/* One of the two hashes: SHA-256 of (key ^ pad) and the message. */
static void mac_round(const u8 *key, size_t key_len, u8 pad, const void *data, size_t len, u8 *out)
{
	u8 text[WEFT_MAC_BLOCK + WEFT_MAC_MAX];

	memset(text, pad, WEFT_MAC_BLOCK);
	for (size_t i = 0; i < key_len; i++)
		text[i] ^= key[i];
	memcpy(text + WEFT_MAC_BLOCK, data, len);
	weft_sha256(text, WEFT_MAC_BLOCK + len, out);
	weft_wipe(text, WEFT_MAC_BLOCK + len);
}

void weft_hmac(const u8 *key, size_t key_len, const void *data, size_t len, u8 out[WEFT_MAC_LEN])
{
	u8 inner[WEFT_MAC_LEN];

	mac_round(key, key_len, 0x36, data, len, inner);
	mac_round(key, key_len, 0x5c, inner, sizeof(inner), out);
	weft_wipe(inner, sizeof(inner));
}

void weft_hkdf_extract(const u8 *salt, size_t salt_len, const void *secret, size_t len,
		       u8 root[WEFT_KEY_LEN])
{
	weft_hmac(salt, salt_len, secret, len, root);
}

void weft_hkdf_expand(const u8 root[WEFT_KEY_LEN], const void *info, size_t info_len, u8 *out,
		      size_t len)
{
	u8 text[WEFT_MAC_MAX], block[WEFT_MAC_LEN];
	size_t before = 0;
	u8 count = 0;

	while (len) {
		size_t part = len < sizeof(block) ? len : sizeof(block);

		memcpy(text, block, before);
		memcpy(text + before, info, info_len);
		text[before + info_len] = ++count;
		weft_hmac(root, WEFT_KEY_LEN, text, before + info_len + 1, block);
		memcpy(out, block, part);
		before = sizeof(block);
		out += part;
		len -= part;
	}
	weft_wipe(text, sizeof(text));
	weft_wipe(block, sizeof(block));
}

void weft_derive_root(const u8 uuid[16], const u8 volume_key[WEFT_KEY_LEN], u8 root[WEFT_KEY_LEN])
{
	weft_hkdf_extract(uuid, 16, volume_key, WEFT_KEY_LEN, root);
}

#define FRAME_TEXT "weft frame"
#define VALUE_TEXT "weft value"
#define ID_TEXT    "weft content id"

void weft_derive_frame_key(const u8 root[WEFT_KEY_LEN], u64 seal_session, u64 seal_counter,
			   u8 key[WEFT_KEY_LEN])
{
	u8 info[sizeof(FRAME_TEXT) - 1 + sizeof(struct weft_sid)] = FRAME_TEXT;
	struct weft_sid seal = {
		.session = cpu_to_le64(seal_session),
		.counter = cpu_to_le64(seal_counter),
	};

	memcpy(info + sizeof(FRAME_TEXT) - 1, &seal, sizeof(seal));
	weft_hkdf_expand(root, info, sizeof(info), key, WEFT_KEY_LEN);
}

void weft_derive_value_key(const u8 root[WEFT_KEY_LEN], const u8 salt[16], u8 key[WEFT_KEY_LEN],
			   u8 nonce[12])
{
	u8 info[sizeof(VALUE_TEXT) - 1 + 16] = VALUE_TEXT, both[WEFT_KEY_LEN + 12];

	memcpy(info + sizeof(VALUE_TEXT) - 1, salt, 16);
	weft_hkdf_expand(root, info, sizeof(info), both, sizeof(both));
	memcpy(key, both, WEFT_KEY_LEN);
	memcpy(nonce, both + WEFT_KEY_LEN, 12);
	weft_wipe(both, sizeof(both));
}

void weft_derive_content_id_key(const u8 root[WEFT_KEY_LEN], u8 key[WEFT_KEY_LEN])
{
	weft_hkdf_expand(root, ID_TEXT, sizeof(ID_TEXT) - 1, key, WEFT_KEY_LEN);
}
