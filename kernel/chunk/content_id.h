/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Content ids: what tells whether two chunks have the same plaintext. SHA-256 of it; only where a volume deduplicates.
 */
#ifndef _WEFT_CHUNK_CONTENT_ID_H
#define _WEFT_CHUNK_CONTENT_ID_H

#include <linux/types.h>

#include "compat/compat_sha256.h"

#define WEFT_CONTENT_ID 32u

struct weft_content_hash {
	struct weft_sha256 sha;
};

/* The plaintext is added in order, in any pieces. Process context; none of these sleeps or fails. */
void weft_content_id_begin(struct weft_content_hash *hash);
void weft_content_id_add(struct weft_content_hash *hash, const void *bytes, size_t len);
void weft_content_id_end(struct weft_content_hash *hash, u8 id[WEFT_CONTENT_ID]);

int weft_content_id_init(void);
void weft_content_id_exit(void);

#endif /* _WEFT_CHUNK_CONTENT_ID_H */
