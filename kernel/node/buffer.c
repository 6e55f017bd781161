// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for answers. Pieces of 64 KiB: large enough for the coder and the checksums to run at full speed, small enough
 * to be had without vmalloc most of the time.
 */
#include <linux/slab.h>
#include <linux/mm.h>

#include "node/internal.h"

struct weft_buf *weft_buf_alloc(u32 len, u32 tail_len, gfp_t gfp)
{
	u32 n = DIV_ROUND_UP(len, WEFT_BUF_PIECE);
	struct weft_buf *buf = kzalloc(struct_size(buf, pieces, n), gfp);

	if (!buf)
		return NULL;
	buf->n_pieces = n;
	buf->len = len;
	buf->tail_len = tail_len;
	for (u32 i = 0; i < n; i++) {
		buf->pieces[i] = kvmalloc(min(len - i * WEFT_BUF_PIECE, WEFT_BUF_PIECE), gfp);
		if (!buf->pieces[i])
			goto err_free_buf;
	}
	if (tail_len) {
		buf->tail = kvmalloc(tail_len, gfp);
		if (!buf->tail)
			goto err_free_buf;
	}
	return buf;

err_free_buf:
	weft_buf_free(buf);
	return NULL;
}

void weft_buf_free(struct weft_buf *buf)
{
	if (!buf)
		return;
	for (u32 i = 0; i < buf->n_pieces; i++)
		kvfree(buf->pieces[i]);
	kvfree(buf->tail);
	kfree(buf);
}

void *weft_buf_at(const struct weft_buf *buf, u32 at, u32 *contiguous)
{
	if (at < buf->len) {
		*contiguous = min(WEFT_BUF_PIECE - at % WEFT_BUF_PIECE, buf->len - at);
		return buf->pieces[at / WEFT_BUF_PIECE] + at % WEFT_BUF_PIECE;
	}
	at -= buf->len;
	*contiguous = at < buf->tail_len ? buf->tail_len - at : 0;
	return buf->tail + at;
}
