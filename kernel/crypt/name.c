// SPDX-License-Identifier: GPL-2.0-only
/* Sealed names. See name.h. */
#include "name.h"

#define PAD   16u
/* Each finds a legal form with a chance of 1 in 8 at least: that none of them does never happens. */
#define TRIES 4096u

#define MAC_TEXT    "weft name mac"
#define STREAM_TEXT "weft name stream"

void weft_name_keys_init(struct weft_name_keys *keys, const u8 root[WEFT_KEY_LEN])
{
	weft_hkdf_expand(root, MAC_TEXT, sizeof(MAC_TEXT) - 1, keys->mac, WEFT_KEY_LEN);
	weft_hkdf_expand(root, STREAM_TEXT, sizeof(STREAM_TEXT) - 1, keys->stream, WEFT_KEY_LEN);
}

/* What MACs are made of. */
struct mac_text {
	__le64 dir;
	__le32 attempt;
	u8 padded[WEFT_NAME_OPEN_MAX];
} __attribute__((packed));

static size_t padded_len(size_t len)
{
	size_t padded = (len + PAD - 1) / PAD * PAD;

	return padded < WEFT_NAME_OPEN_MAX ? padded : WEFT_NAME_OPEN_MAX;
}

static void stream(const struct weft_name_keys *keys, const u8 *iv, const u8 *in, size_t len, u8 *out)
{
	u8 text[WEFT_NAME_IV + sizeof(__le32)], block[WEFT_MAC_LEN];

	memcpy(text, iv, WEFT_NAME_IV);
	for (size_t at = 0; at < len; at++) {
		if (!(at % sizeof(block))) {
			__le32 number = cpu_to_le32((u32)(at / sizeof(block)));

			memcpy(text + WEFT_NAME_IV, &number, sizeof(number));
			weft_hmac(keys->stream, WEFT_KEY_LEN, text, sizeof(text), block);
		}
		out[at] = in[at] ^ block[at % sizeof(block)];
	}
	weft_wipe(block, sizeof(block));
}

static bool is_name(const u8 *name, size_t len)
{
	if (!len || memchr(name, 0, len) || memchr(name, '/', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

int weft_name_seal(const struct weft_name_keys *keys, u64 dir, const void *name, size_t len, u8 *out)
{
	struct mac_text text = { .dir = cpu_to_le64(dir) };
	size_t padded = padded_len(len);
	u8 mac[WEFT_MAC_LEN];
	int ret = -EINVAL;

	if (!is_name(name, len))
		return -EINVAL;
	if (len > WEFT_NAME_OPEN_MAX)
		return -ENAMETOOLONG;
	memcpy(text.padded, name, len);
	for (u32 i = 0; i < TRIES; i++) {
		text.attempt = cpu_to_le32(i);
		weft_hmac(keys->mac, WEFT_KEY_LEN, &text, offsetof(struct mac_text, padded) + padded, mac);
		if (memchr(mac, 0, WEFT_NAME_IV) || memchr(mac, '/', WEFT_NAME_IV))
			continue;
		memcpy(out, mac, WEFT_NAME_IV);
		stream(keys, out, text.padded, padded, out + WEFT_NAME_IV);
		if (is_name(out, WEFT_NAME_IV + padded)) {
			ret = (int)(WEFT_NAME_IV + padded);
			break;
		}
	}
	weft_wipe(&text, sizeof(text));
	return ret;
}

int weft_name_open(const struct weft_name_keys *keys, u64 dir, const void *stored, size_t len, u8 *out)
{
	u8 again[WEFT_NAME_MAX];
	const u8 *end;
	size_t open;

	if (len <= WEFT_NAME_IV || len > WEFT_NAME_MAX)
		return -EBADMSG;
	open = len - WEFT_NAME_IV;
	stream(keys, stored, (const u8 *)stored + WEFT_NAME_IV, open, out);
	end = memchr(out, 0, open);
	if (end)
		open = (size_t)(end - out);
	if (weft_name_seal(keys, dir, out, open, again) != (int)len || !weft_same(again, stored, len))
		return -EBADMSG;
	return (int)open;
}

/* --- base64url --- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t weft_base64url_len(size_t len)
{
	return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

size_t weft_base64url_encode(const void *bytes, size_t len, u8 *out)
{
	const u8 *in = bytes;
	u32 bits = 0, have = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | in[i];
		for (have += 8; have >= 6; have -= 6)
			out[n++] = (u8)letters[bits >> (have - 6) & 63];
	}
	if (have)
		out[n++] = (u8)letters[bits << (6 - have) & 63];
	return n;
}

int weft_base64url_decode(const void *text, size_t len, u8 *out)
{
	const u8 *in = text;
	u32 bits = 0, have = 0;
	int n = 0;

	for (size_t i = 0; i < len; i++) {
		const char *at = in[i] ? memchr(letters, in[i], sizeof(letters) - 1) : NULL;

		if (!at)
			return -EBADMSG;
		bits = bits << 6 | (u32)(at - letters);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (u8)(bits >> have);
		}
	}
	/* One text for the same bytes: no single letter at the end, no bits that say nothing. */
	if (len % 4 == 1 || bits & ((1u << have) - 1))
		return -EBADMSG;
	return n;
}

int weft_name_bare(const void *stored, size_t len, u8 *out)
{
	if (weft_base64url_len(len) <= WEFT_NAME_MAX)
		return (int)weft_base64url_encode(stored, len, out);
	memcpy(out, stored, len);
	return (int)len;
}

int weft_name_unbare(const void *bare, size_t len, u8 *out)
{
	int ret = weft_base64url_decode(bare, len, out);

	if (ret > (int)WEFT_NAME_IV)
		return is_name(out, (size_t)ret) ? ret : -ENOENT;
	if (len > WEFT_NAME_MAX || weft_base64url_len(len) <= WEFT_NAME_MAX)
		return -ENOENT;
	memcpy(out, bare, len);
	return (int)len;
}
