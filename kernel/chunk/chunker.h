/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Chunkers decide where a run of file content is cut into chunks.
 *
 * A chunker is fed the content in order, in buffers of any size, and says where the next cut is.
 * Its state is a plain value: kept in the inode between two writebacks it goes on where it
 * stopped, and cuts do not depend on how the content was divided into buffers. At a cut there is
 * no state but the offset: a file that grows is gone on with by a chunker that begins at its last
 * cut. The chunkers that do not look at the content take a NULL buffer.
 *
 *	weft_chunker_begin(&c, ops, &params, &hints, offset);
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
 * Four chunkers, named as a volume's policy names them:
 *
 *	fixed		at the multiples of target in the file, whatever it holds
 *	variable	at the multiples of a size that is picked from the file's size
 *	cdc		where the content says (cdc.h): what is inserted moves the cuts behind it along
 *	hybrid		as cdc where data is written in sequence; at the multiples of random where not
 *
 * Pure; one user of a chunker at a time.
 */
#ifndef WEFT_CHUNK_CHUNKER_H
#define WEFT_CHUNK_CHUNKER_H

#include "../ec/ec_port.h"
#include "weft_format.h"
#include "weft_payload.h"

/*
 * Sizes in bytes: 0 < min <= target <= max <= WEFT_CHUNK_MAX, and what weft_chunker_check() says
 * besides. No chunk is longer than max; none that a content-defined chunker cuts is shorter than
 * min. Tails may be, and the first chunk of a run that begins between two multiples.
 * @target: fixed: of all chunks; variable: of files of unknown size; content-defined: the mean
 * @random: of hybrid only: of all chunks of a file that is written at random
 */
struct weft_chunker_params {
	u32 min;
	u32 target;
	u32 max;
	u32 random;
};

/* 256 KiB, 4 MiB, 16 MiB and 256 KiB: allowed for all chunkers. */
extern const struct weft_chunker_params weft_chunker_defaults;

/*
 * What the caller knows of the file when a run begins. Zeros: in sequence, of unknown size.
 * @file_size: in bytes, of the file as it is to be; for variable
 * @random: it is written at random; for hybrid
 */
struct weft_chunker_hints {
	u64 file_size;
	bool random;
};

struct weft_chunker_ops;

#define WEFT_CHUNKER_WINDOW	64

/*
 * @ops: what cuts: never hybrid, but what it has picked
 * @offset: of the next byte in the file
 * @pos: bytes since the last cut, below params.max
 * @size: fixed, variable: of a chunk
 * @threshold: cdc: of the hash, up to the target
 * @window: cdc: the last bytes
 */
struct weft_chunker {
	const struct weft_chunker_ops *ops;
	struct weft_chunker_params params;
	u64 offset;
	u32 pos;
	u32 size;
	u32 threshold;
	u8 window[WEFT_CHUNKER_WINDOW];
};

/*
 * @name: as a volume's policy names it
 * @kind: as a volume's record names it
 * @looks: scan() looks at the content. A hybrid may: ask the ops of a chunker that has begun.
 * @check: what is wrong with parameters that obey the common rule, or NULL; may be missing
 * @begin: sets what depends on parameters and hints, ops too; may be missing
 * @scan: look for the cut in @len bytes, 0 < len <= params.max - pos; return how many belong
 *	to the chunk, with @cut set if it ends behind them, or @len without a cut. Advances
 *	the window, not pos and offset.
 */
struct weft_chunker_ops {
	const char *name;
	enum weft_chunker_kind kind;
	bool looks;
	const char *(*check)(const struct weft_chunker_params *params);
	void (*begin)(struct weft_chunker *chunker, const struct weft_chunker_hints *hints);
	u32 (*scan)(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut);
};

extern const struct weft_chunker_ops weft_chunker_fixed;
extern const struct weft_chunker_ops weft_chunker_variable;
extern const struct weft_chunker_ops weft_chunker_hybrid;

/* cdc.c */
extern const struct weft_chunker_ops weft_chunker_cdc;

/* The chunker with this name, or of this kind (enum weft_chunker_kind), or NULL. */
const struct weft_chunker_ops *weft_chunker_find(const char *name);
const struct weft_chunker_ops *weft_chunker_of(u32 kind);

/*
 * What is wrong with @params for this chunker, as a clause for the person who has set them, or
 * NULL if they can be used. They may have any values.
 */
const char *weft_chunker_check(const struct weft_chunker_ops *ops,
			       const struct weft_chunker_params *params);

/*
 * Start at @offset of the file, where a chunk begins. @hints may be NULL. Returns -EINVAL for
 * parameters that weft_chunker_check() refuses and for offsets that no file has.
 */
int weft_chunker_begin(struct weft_chunker *chunker, const struct weft_chunker_ops *ops,
		       const struct weft_chunker_params *params,
		       const struct weft_chunker_hints *hints, u64 offset);

/*
 * Look at the next @len bytes; @buf is not kept. Returns how many were consumed: all of them
 * without a cut, else the bytes up to the cut (at least 1), and the caller comes again with the
 * rest. Does not sleep; where vector registers are used, preemption is off for some ten
 * microseconds at a time.
 */
size_t weft_chunker_scan(struct weft_chunker *chunker, const void *buf, size_t len, bool *cut);

/* Bytes consumed since the last cut. */
u32 weft_chunker_tail(const struct weft_chunker *chunker);

/* A chunk ends here for another reason (the tail was taken): the next byte begins a new one. */
void weft_chunker_reset(struct weft_chunker *chunker);

#endif
