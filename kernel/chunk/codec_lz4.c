// SPDX-License-Identifier: GPL-2.0-only
/* LZ4: a frame is one LZ4 block, without the frame format around it. */
#include <linux/lz4.h>

#include "chunk/codec.h"

static size_t pack_size(int level)
{
	return LZ4_MEM_COMPRESS;
}

static size_t unpack_size(void)
{
	return 0;
}

static u32 pack(void *space, int level, const void *src, u32 len, void *dst, u32 room)
{
	int ret = LZ4_compress_default(src, dst, len, room, space);

	return max(ret, 0);
}

static int unpack(void *space, const void *src, u32 len, void *dst, u32 plain_len)
{
	return LZ4_decompress_safe(src, dst, len, plain_len) == plain_len ? 0 : -EBADMSG;
}

const struct weft_codec_ops weft_codec_lz4 = {
	.name = "lz4",
	.pack_size = pack_size,
	.unpack_size = unpack_size,
	.pack = pack,
	.unpack = unpack,
};
