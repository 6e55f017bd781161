/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chunkers decide where a run of file content is cut into chunks.
 *
 * A chunker is fed the content in order, in buffers of any size, and says where the next cut is.
 * Its state is a plain value: kept in the inode between two writebacks it goes on where it
 * stopped, and cuts do not depend on how the content was divided into buffers. The fixed chunker
 * does not look at the content and takes a NULL buffer.
 *
 *	weft_chunker_begin(&c, &weft_chunker_fixed, &params, offset);
 *	while (there is content) {
 *		n = weft_chunker_scan(&c, buf, len, &cut);	consumes n <= len bytes
 *		if (cut)
 *			the chunk ends behind these n bytes; the next begins there
 *	}
 *	tail = weft_chunker_tail(&c);				bytes behind the last cut
 *
 * A tail becomes a chunk when something asks for it (fsync, close, memory): the caller takes
 * weft_chunker_tail() bytes as the last chunk and calls weft_chunker_reset(). Until then the tail
 * waits, and scanning goes on behind it.
 *
 * Pure; one user of a chunker at a time.
 */
#ifndef WEFT_CHUNK_CHUNKER_H
#define WEFT_CHUNK_CHUNKER_H

#include "../ec/ec_port.h"
#include "weft_format.h"

/*
 * Sizes in bytes: 0 < min <= target <= max <= WEFT_CHUNK_MAX. No chunk is longer than max; none
 * that a content-defined chunker cuts is shorter than min. Tails may be, and the first chunk of a
 * fixed run that begins between two cuts.
 */
struct weft_chunker_params {
	u32 min;
	u32 target;
	u32 max;
};

struct weft_chunker_ops;

/*
 * @offset: of the next byte in the file
 * @pos: bytes since the last cut, below params.max
 * @hash: rolling state of chunkers that look at the content
 */
struct weft_chunker {
	const struct weft_chunker_ops *ops;
	struct weft_chunker_params params;
	u64 offset;
	u32 pos;
	u64 hash;
};

/*
 * @name: as a volume's policy names it
 * @scan: look for the cut in @len bytes, 0 < len <= params.max - pos; return how many belong
 *	to the chunk, with @cut set if it ends behind them, or @len without a cut. Advances
 *	chunker->hash, not pos and offset.
 */
struct weft_chunker_ops {
	const char *name;
	u32 (*scan)(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut);
};

/* Cuts at the multiples of params.target in the file, whatever it holds. */
extern const struct weft_chunker_ops weft_chunker_fixed;

/* The chunker with this name, or NULL. */
const struct weft_chunker_ops *weft_chunker_find(const char *name);

/*
 * Start at @offset of the file, where a chunk begins. Returns -EINVAL for parameters that break
 * their rule.
 */
int weft_chunker_begin(struct weft_chunker *chunker, const struct weft_chunker_ops *ops,
		       const struct weft_chunker_params *params, u64 offset);

/*
 * Look at the next @len bytes; @buf is not kept. Returns how many were consumed: all of them
 * without a cut, else the bytes up to the cut (at least 1), and the caller comes again with the
 * rest.
 */
size_t weft_chunker_scan(struct weft_chunker *chunker, const void *buf, size_t len, bool *cut);

/* Bytes consumed since the last cut. */
u32 weft_chunker_tail(const struct weft_chunker *chunker);

/* A chunk ends here for another reason (the tail was taken): the next byte begins a new one. */
void weft_chunker_reset(struct weft_chunker *chunker);

#endif
