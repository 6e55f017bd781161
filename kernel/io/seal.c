// SPDX-License-Identifier: GPL-2.0-only
/*
 * seal.c - sealing the frames of a unit
 *
 * Every sealing has a seal id of its own, taken from the counter of sids; so no key ever seals two texts with one nonce,
 * however often a unit comes back and is sealed anew, with other content.
 */
#include <linux/random.h>

#include "io/seal.h"

int weft_seal_begin(struct weft_sealer *sealer, struct weft_mount *mount)
{
	struct weft_crypt *crypt = weft_crypt_get(mount);
	u8 key[WEFT_KEY_LEN];
	int error;

	if (!crypt)
		return -ENOKEY;
	*sealer = (struct weft_sealer){
		.crypt = crypt,
		.key = &crypt->keys[crypt->n_keys - 1],
		.seal.session = mount->session,
		.seal.counter = atomic64_fetch_inc(&mount->sid_counter),
	};
	get_random_bytes(sealer->seal.salt, sizeof(sealer->seal.salt));
	weft_derive_frame_key(sealer->key->root, sealer->seal.session, sealer->seal.counter, key);
	sealer->aead = weft_aead_get(&mount->crypt);
	error = weft_aead_set_key(sealer->aead, key);
	weft_wipe(key, sizeof(key));
	if (error)
		weft_seal_end(sealer, mount);
	return error;
}

int weft_seal_frame(struct weft_sealer *sealer, const struct bio_vec *segs, u32 frame, u32 len, u32 plain_len, u8 codec)
{
	u8 nonce[WEFT_NONCE_LEN];
	struct weft_frame_ad ad;

	weft_frame_nonce(&sealer->seal, frame, nonce);
	weft_frame_ad(&sealer->seal, frame, plain_len, codec, sealer->key->id, &ad);
	weft_aead_begin(sealer->aead, &ad, sizeof(ad));
	while (len) {
		const struct bio_vec *seg = &segs[sealer->seg];
		u32 part = min(len, seg->bv_len - sealer->offset);

		if (!part) {
			sealer->seg++;
			sealer->offset = 0;
			continue;
		}
		weft_aead_add_page(sealer->aead, seg->bv_page, part, seg->bv_offset + sealer->offset);
		sealer->offset += part;
		len -= part;
	}
	return weft_aead_run(sealer->aead, nonce, true);
}

void weft_seal_end(struct weft_sealer *sealer, struct weft_mount *mount)
{
	weft_aead_put(&mount->crypt, sealer->aead);
	weft_crypt_put(sealer->crypt);
	sealer->crypt = NULL;
}
