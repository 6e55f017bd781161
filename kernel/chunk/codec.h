/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Codecs: one frame in, one frame out, and the memory that they work in.
 *
 * The kernel's own libraries do the work; a kernel without one of them has no back-end for it, and weft_codec() says so.
 * What a codec is given to unpack may be anything: it never writes behind its destination, and whatever does not come out
 * as exactly the plaintext's length is refused.
 *
 * Workspaces are kept in pools: one is made with the pool, so that work always goes on, others when they are needed, as
 * many as there are CPUs and memory allows. Who finds none free waits for one: whoever has it computes and gives it back.
 */
#ifndef _WEFT_CHUNK_CODEC_H
#define _WEFT_CHUNK_CODEC_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "weft_format.h"

/*
 * @pack_size, @unpack_size: bytes of workspace; multiples of nothing, aligned as kvmalloc() aligns
 * @pack: returns how many bytes at @dst the frame takes, 0 if they are more than @room
 * @unpack: 0, or -EBADMSG unless @src is one whole frame of @plain_len bytes
 */
struct weft_codec_ops {
	const char *name;
	size_t (*pack_size)(int level);
	size_t (*unpack_size)(void);
	u32 (*pack)(void *space, int level, const void *src, u32 len, void *dst, u32 room);
	int (*unpack)(void *space, const void *src, u32 len, void *dst, u32 plain_len);
};

extern const struct weft_codec_ops weft_codec_zstd;
extern const struct weft_codec_ops weft_codec_lz4;
extern const struct weft_codec_ops weft_codec_deflate;

/* The back-end of an enum weft_codec; NULL for raw, and for what this kernel has not. */
const struct weft_codec_ops *weft_codec(unsigned int codec);

/* A frame's plaintext may be longer than a piece of memory: @plain holds one, @packed what came of it. */
struct weft_codec_space {
	struct list_head link;
	void *work;
	size_t work_size;
	void *plain;
	void *packed;
};

struct weft_codec_pool {
	spinlock_t lock;         /* below */
	struct list_head idle;
	unsigned int made;
	unsigned int max;
	size_t work_size;
	bool packs;              /* spaces have .packed */
	wait_queue_head_t wait;
};

/* @work_size: of the codecs that will use it. With one space, or -ENOMEM. */
int weft_codec_pool_init(struct weft_codec_pool *pool, size_t work_size, bool packs);
/* All spaces have been given back. Also after a failed init, and on a pool of zeros. */
void weft_codec_pool_exit(struct weft_codec_pool *pool);
/* Process context under memalloc_nofs_save(). */
struct weft_codec_space *weft_codec_space_get(struct weft_codec_pool *pool);
void weft_codec_space_put(struct weft_codec_pool *pool, struct weft_codec_space *space);
/* It holds at least @work_size of workspace from now on. False: there is no memory for that. */
bool weft_codec_space_fit(struct weft_codec_space *space, size_t work_size);

/* For unpacking by whatever codec. */
extern struct weft_codec_pool weft_codec_unpackers;

int weft_codec_init(void);
void weft_codec_exit(void);

#endif /* _WEFT_CHUNK_CODEC_H */
