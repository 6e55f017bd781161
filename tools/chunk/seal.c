// SPDX-License-Identifier: GPL-2.0-or-later
/* seal.c - frames of encrypted volumes: whose key, and opening them. AES-256-GCM is libsodium's. */
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "kernel/crypt/frame.h"
#include "tools/chunk/chunk.h"
#include "weft_key.h"

static_assert(sizeof(((struct chunk_keys *)0)->keys) / sizeof(((struct chunk_keys *)0)->keys[0]) == WEFT_KEYS_MAX, "keys");
static_assert(crypto_aead_aes256gcm_ABYTES == WEFT_CIPHER_TAG, "tags");

void chunk_keys_make(struct chunk_keys *keys, const struct weft_key_ring *ring)
{
	const struct weft_key_plain *plain = (const void *)(ring + 1);

	keys->n = le32_to_cpu(ring->keys);
	for (unsigned int i = 0; i < keys->n; i++) {
		keys->keys[i].id = le32_to_cpu(plain[i].id);
		weft_derive_root(ring->volume, plain[i].key, keys->keys[i].root);
	}
}

int chunk_seal_key(const struct chunk_keys *keys, const struct weft_shard_info *info, u8 key[32])
{
	if (sodium_init() < 0 || !crypto_aead_aes256gcm_is_available())
		return -EOPNOTSUPP;
	for (unsigned int i = 0; keys && i < keys->n; i++) {
		if (keys->keys[i].id != info->key_id)
			continue;
		weft_derive_frame_key(keys->keys[i].root, info->seal_session, info->seal_counter, key);
		return 0;
	}
	return -ENOKEY;
}

int chunk_seal_open(const struct weft_shard_info *info, const u8 key[32], u32 frame, const u8 *from, u32 len, u8 *to)
{
	struct weft_seal seal = { .session = info->seal_session, .counter = info->seal_counter };
	u8 nonce[WEFT_NONCE_LEN];
	struct weft_frame_ad ad;

	memcpy(seal.salt, info->salt, sizeof(seal.salt));
	weft_frame_nonce(&seal, frame, nonce);
	weft_frame_ad(&seal, frame, info->plain_len, info->codec, info->key_id, &ad);
	return crypto_aead_aes256gcm_decrypt(to, NULL, NULL, from, len, (const u8 *)&ad, sizeof(ad), nonce, key) ? -EBADMSG : 0;
}
