// SPDX-License-Identifier: GPL-2.0-only
/*
 * zstd (RFC 8878): a frame is one zstd frame that says its plaintext's length. The whole output is there while a frame is
 * unpacked, so a window needs no memory of its own, whatever size the frame claims.
 */
#include <linux/zstd.h>

#include "chunk/codec.h"

static size_t pack_size(int level)
{
	const zstd_compression_parameters params = zstd_get_cparams(level, WEFT_FRAME_SIZE, 0);

	return zstd_cctx_workspace_bound(&params);
}

static size_t unpack_size(void)
{
	return zstd_dctx_workspace_bound();
}

static u32 pack(void *space, int level, const void *src, u32 len, void *dst, u32 room)
{
	/* Of a whole frame, also for a shorter last one: this is what the workspace was made for. */
	const zstd_parameters params = zstd_get_params(level, WEFT_FRAME_SIZE);
	zstd_cctx *cctx = zstd_init_cctx(space, pack_size(level));
	size_t ret;

	if (!cctx)
		return 0;
	ret = zstd_compress_cctx(cctx, dst, room, src, len, &params);
	return zstd_is_error(ret) ? 0 : ret;
}

static int unpack(void *space, const void *src, u32 len, void *dst, u32 plain_len)
{
	zstd_dctx *dctx = zstd_init_dctx(space, unpack_size());
	size_t ret;

	if (!dctx)
		return -EBADMSG;
	ret = zstd_decompress_dctx(dctx, dst, plain_len, src, len);
	return zstd_is_error(ret) || ret != plain_len ? -EBADMSG : 0;
}

const struct weft_codec_ops weft_codec_zstd = {
	.name = "zstd",
	.pack_size = pack_size,
	.unpack_size = unpack_size,
	.pack = pack,
	.unpack = unpack,
};
