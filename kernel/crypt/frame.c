// SPDX-License-Identifier: GPL-2.0-only
/* Nonces and additional data. See frame.h. */
#include "frame.h"

#include "../chunk/layout.h"

void weft_frame_nonce(const struct weft_seal *seal, u32 frame, u8 nonce[WEFT_NONCE_LEN])
{
	__le32 number = cpu_to_le32(frame);

	memcpy(nonce, seal->salt, sizeof(seal->salt));
	memcpy(nonce + sizeof(seal->salt), &number, sizeof(number));
}

void weft_frame_ad(const struct weft_seal *seal, u32 frame, u32 plain_len, u8 codec, u32 key_id,
		   struct weft_frame_ad *ad)
{
	*ad = (struct weft_frame_ad){
		.seal.session = cpu_to_le64(seal->session),
		.seal.counter = cpu_to_le64(seal->counter),
		.frame = cpu_to_le32(frame),
		.frame_count = cpu_to_le32(weft_frame_count(plain_len)),
		.plain_len = cpu_to_le32(plain_len),
		.codec = cpu_to_le32(codec),
		.key_id = cpu_to_le32(key_id),
	};
}
