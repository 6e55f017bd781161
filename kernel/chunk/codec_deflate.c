// SPDX-License-Identifier: GPL-2.0-only
/* deflate (RFC 1951): a frame is one zlib stream (RFC 1950), window 32 KiB. */
#include <linux/zlib.h>

#include "chunk/codec.h"

struct deflate_space {
	struct z_stream_s stream;
	u8 work[] __aligned(8);
};

static size_t pack_size(int level)
{
	return sizeof(struct deflate_space) + zlib_deflate_workspacesize(MAX_WBITS, DEF_MEM_LEVEL);
}

static size_t unpack_size(void)
{
	return sizeof(struct deflate_space) + zlib_inflate_workspacesize();
}

static void stream_set(struct deflate_space *space, const void *src, u32 len, void *dst, u32 room)
{
	space->stream = (struct z_stream_s){
		.workspace = space->work,
		.next_in = src,
		.avail_in = len,
		.next_out = dst,
		.avail_out = room,
	};
}

static u32 pack(void *work, int level, const void *src, u32 len, void *dst, u32 room)
{
	struct deflate_space *space = work;
	int ret;

	stream_set(space, src, len, dst, room);
	if (zlib_deflateInit2(&space->stream, level, Z_DEFLATED, MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	ret = zlib_deflate(&space->stream, Z_FINISH);
	/* Leaves nothing behind but the workspace; it complains of what did not fit. */
	zlib_deflateEnd(&space->stream);
	return ret == Z_STREAM_END ? room - space->stream.avail_out : 0;
}

static int unpack(void *work, const void *src, u32 len, void *dst, u32 plain_len)
{
	struct deflate_space *space = work;
	int ret;

	stream_set(space, src, len, dst, plain_len);
	if (zlib_inflateInit2(&space->stream, MAX_WBITS) != Z_OK)
		return -EBADMSG;
	ret = zlib_inflate(&space->stream, Z_FINISH);
	zlib_inflateEnd(&space->stream);
	return ret == Z_STREAM_END && !space->stream.avail_in && !space->stream.avail_out ? 0 : -EBADMSG;
}

const struct weft_codec_ops weft_codec_deflate = {
	.name = "deflate",
	.pack_size = pack_size,
	.unpack_size = unpack_size,
	.pack = pack,
	.unpack = unpack,
};
