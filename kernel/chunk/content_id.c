// SPDX-License-Identifier: GPL-2.0-only
/*
 * content_id.c - the one place that knows what a content id is made by
 *
 * Ids of plain volumes are SHA-256. Those of an encrypted volume have to tell nobody without its key which contents are
 * equal to one that he has: HMAC-SHA-256 under the volume's key, which then comes in by weft_content_id_begin().
 */
#include "chunk/content_id.h"

static struct weft_sha256_alg sha256_alg;

void weft_content_id_begin(struct weft_content_hash *hash)
{
	weft_sha256_begin(&hash->sha, &sha256_alg);
}

void weft_content_id_add(struct weft_content_hash *hash, const void *bytes, size_t len)
{
	weft_sha256_add(&hash->sha, bytes, len);
}

void weft_content_id_end(struct weft_content_hash *hash, u8 id[WEFT_CONTENT_ID])
{
	weft_sha256_end(&hash->sha, id);
}

int weft_content_id_init(void)
{
	return weft_sha256_alg_init(&sha256_alg);
}

void weft_content_id_exit(void)
{
	weft_sha256_alg_exit(&sha256_alg);
}
