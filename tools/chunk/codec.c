// SPDX-License-Identifier: GPL-2.0-or-later
/* codec.c - a frame back to its plaintext, by the codecs' own libraries. */
#include <errno.h>
#include <lz4.h>
#include <zlib.h>
#include <zstd.h>

#include "tools/chunk/chunk.h"

const char *chunk_codec_name(u8 codec)
{
	static const char *const names[] = {
		[WEFT_CODEC_RAW] = "none",
		[WEFT_CODEC_ZSTD] = "zstd",
		[WEFT_CODEC_LZ4] = "lz4",
		[WEFT_CODEC_DEFLATE] = "deflate",
	};

	return codec < ARRAY_SIZE(names) ? names[codec] : NULL;
}

/* A frame with another one behind it, or with less in it than there should be, is not what a writer made. */
static bool zstd_unpack(const u8 *from, u32 len, u8 *to, u32 plain_len)
{
	return ZSTD_findFrameCompressedSize(from, len) == len && ZSTD_decompress(to, plain_len, from, len) == plain_len;
}

static bool lz4_unpack(const u8 *from, u32 len, u8 *to, u32 plain_len)
{
	return LZ4_decompress_safe((const char *)from, (char *)to, (int)len, (int)plain_len) == (int)plain_len;
}

static bool deflate_unpack(const u8 *from, u32 len, u8 *to, u32 plain_len)
{
	z_stream stream = { .next_in = (u8 *)from, .avail_in = len, .next_out = to, .avail_out = plain_len };
	int ret;

	if (inflateInit(&stream) != Z_OK)
		return false;
	ret = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return ret == Z_STREAM_END && !stream.avail_in && !stream.avail_out;
}

int chunk_unpack(u8 codec, const u8 *from, u32 len, u8 *to, u32 plain_len)
{
	bool good = false;

	switch (codec) {
	case WEFT_CODEC_ZSTD:
		good = zstd_unpack(from, len, to, plain_len);
		break;
	case WEFT_CODEC_LZ4:
		good = lz4_unpack(from, len, to, plain_len);
		break;
	case WEFT_CODEC_DEFLATE:
		good = deflate_unpack(from, len, to, plain_len);
		break;
	}
	return good ? 0 : -EBADMSG;
}
