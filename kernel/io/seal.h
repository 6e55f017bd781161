/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * seal.h - the frames of a unit being sealed, one behind the other, in the pages of its stored form
 */
#ifndef _WEFT_IO_SEAL_H
#define _WEFT_IO_SEAL_H

#include "io/internal.h"

struct weft_sealer {
	struct weft_crypt *crypt;     /* NULL: the unit is not sealed */
	const struct weft_crypt_key *key;
	struct weft_aead *aead;
	struct weft_seal seal;
	unsigned int seg;             /* where the next frame will stand */
	u32 offset;
};

/* Takes the volume's key as it is now, and a new seal id. -ENOKEY. Every begin that went well has an end. */
int weft_seal_begin(struct weft_sealer *sealer, struct weft_mount *mount);
/* The frame of @len bytes with its tag stands in @segs, behind those that were sealed before. Sleeps. */
int weft_seal_frame(struct weft_sealer *sealer, const struct bio_vec *segs, u32 frame, u32 len, u32 plain_len, u8 codec);
void weft_seal_end(struct weft_sealer *sealer, struct weft_mount *mount);

#endif /* _WEFT_IO_SEAL_H */
