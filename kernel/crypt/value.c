// SPDX-License-Identifier: GPL-2.0-only
/*
 * Values that are sealed by themselves: struct weft_value, ciphertext, tag. Key and nonce are derived of a salt of 128 random
 * bits, so that neither comes again. See crypt.h.
 */
#include <linux/random.h>
#include <linux/slab.h>

#include "crypt/crypt.h"
#include "weft.h"

/* All of the head is authenticated, and what the value belongs to. */
struct value_ad {
	struct weft_value head;
	struct weft_value_ad ad;
};

static int value_run(struct weft_mount *mount, const struct weft_crypt_key *key, const struct weft_value_ad *ad, u8 *bytes,
		     u32 len, bool seal)
{
	struct value_ad all = { .ad = *ad };
	u8 value_key[WEFT_KEY_LEN], nonce[WEFT_NONCE_LEN];
	struct weft_aead *aead;
	int error;

	memcpy(&all.head, bytes, sizeof(all.head));
	weft_derive_value_key(key->root, all.head.salt, value_key, nonce);
	aead = weft_aead_get(&mount->crypt);
	error = weft_aead_set_key(aead, value_key);
	if (!error) {
		weft_aead_begin(aead, &all, sizeof(all));
		weft_aead_add(aead, bytes + sizeof(all.head), len - sizeof(all.head));
		error = weft_aead_run(aead, nonce, seal);
	}
	weft_aead_put(&mount->crypt, aead);
	weft_wipe(value_key, sizeof(value_key));
	return error;
}

int weft_value_seal(struct weft_mount *mount, u8 kind, const struct weft_value_ad *ad, const void *plain, u32 len, u8 *out)
{
	struct weft_crypt *crypt = weft_crypt_get_new(mount);
	struct weft_value head = { .format = 1, .kind = kind };
	const struct weft_crypt_key *key;
	int error;

	if (!crypt)
		return -ENOKEY;
	key = &crypt->keys[crypt->n_keys - 1];
	head.key_id = cpu_to_le32(key->id);
	get_random_bytes(head.salt, sizeof(head.salt));
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), plain, len);
	memset(out + sizeof(head) + len, 0, WEFT_CIPHER_TAG);
	error = value_run(mount, key, ad, out, len + WEFT_VALUE_OVERHEAD, true);
	weft_crypt_put(crypt);
	return error ?: len + WEFT_VALUE_OVERHEAD;
}

int weft_value_open(struct weft_mount *mount, u8 kind, const struct weft_value_ad *ad, u8 *bytes, u32 len)
{
	struct weft_crypt *crypt = weft_crypt_get_new(mount);
	const struct weft_crypt_key *key;
	struct weft_value head;
	int error = -EBADMSG;

	if (!crypt)
		return -ENOKEY;
	if (len <= WEFT_VALUE_OVERHEAD)
		goto out_put_crypt;
	memcpy(&head, bytes, sizeof(head));
	if (head.format != 1 || head.kind != kind || head.reserved[0] || head.reserved[1])
		goto out_put_crypt;
	key = weft_crypt_key(crypt, le32_to_cpu(head.key_id));
	error = key ? value_run(mount, key, ad, bytes, len, false) : -ENOKEY;
out_put_crypt:
	weft_crypt_put(crypt);
	return error ?: len - WEFT_VALUE_OVERHEAD;
}
