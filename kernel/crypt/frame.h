/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is given to AES-256-GCM besides key and text: nonces and additional data of frames and of
 * sealed values.
 *
 * A chunk's frames have a key of their own, made of its *seal id*: a number as a sid is, taken from
 * the same counter whenever content is sealed and never used twice, whatever becomes of the chunk
 * afterwards. Within a chunk the frames' indexes make the nonces. The salt, random for each seal,
 * keeps nonces apart even if a metadata service that lies gives out a session's number twice.
 *
 * Pure.
 */
#ifndef WEFT_CRYPT_FRAME_H
#define WEFT_CRYPT_FRAME_H

#include "derive.h"

#define WEFT_NONCE_LEN 12u

/* By which seal a chunk's frames are sealed; zero for chunks without a cipher. */
struct weft_seal {
	u64 session;
	u64 counter;
	u8 salt[8];
};

void weft_frame_nonce(const struct weft_seal *seal, u32 frame, u8 nonce[WEFT_NONCE_LEN]);
void weft_frame_ad(const struct weft_seal *seal, u32 frame, u32 plain_len, u8 codec, u32 key_id,
		   struct weft_frame_ad *ad);

#endif
