// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shard headers. Nearly no input has a right CRC, so an input whose first byte is odd is signed
 * first: the rules behind that gate are what matters.
 */
#include <stdlib.h>

#include "chunk/crc32c.h"
#include "chunk/frames.h"
#include "chunk/header.h"

#define CRC_AT	     offsetof(struct weft_shard_header, crc)
#define MAGIC_AT     offsetof(struct weft_shard_header, magic)
#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void sign(u8 *buf, u32 size)
{
	__le32 magic = cpu_to_le32(WEFT_SHARD_MAGIC), len, crc;

	if (size < sizeof(struct weft_shard_header))
		return;
	memcpy(&len, buf + offsetof(struct weft_shard_header, header_len), 4);
	if (le32_to_cpu(len) > size || le32_to_cpu(len) < sizeof(struct weft_shard_header))
		return;
	memcpy(buf + MAGIC_AT, &magic, 4);
	memset(buf + CRC_AT, 0, 4);
	crc = cpu_to_le32(weft_crc32c(0, buf, le32_to_cpu(len)));
	memcpy(buf + CRC_AT, &crc, 4);
}

/* What a header that was accepted promises. */
static void accepted(const struct weft_shard_info *info, u8 *buf, size_t size)
{
	u8 again[WEFT_SHARD_HEADER_MAX];
	struct weft_layout layout;
	u32 start, length, end = 0;

	require(info->header_len <= size);
	require(!weft_layout_init(&layout, info->stored_len, info->k, info->m));
	require(layout.shard_len == info->shard_len);
	require(info->index < info->k + info->m);
	for (u32 i = 0; i < info->frame_count; i++) {
		weft_header_frame(info, i, &start, &length);
		require(start == end && length > 0);
		end += length;
	}
	require(end == info->stored_len);
	require(weft_header_encode(info, again, sizeof(again), NULL) == (int)info->header_len);
	require(!memcmp(again, buf, info->header_len));
	weft_header_stamp(buf, info->index);
	require(!memcmp(again, buf, info->header_len));
}

/* What a reader of compressed chunks computes from a table that was accepted. */
static void frames_used(const struct weft_shard_info *info, u64 offset, u64 length)
{
	__le32 ends[WEFT_CHUNK_MAX / WEFT_FRAME_SIZE];
	u32 first, count, start, stored, end;
	struct weft_frame frame;

	if (!info->frames)
		return;
	memcpy(ends, info->frames, 4 * info->frame_count);
	if (weft_frames_range(ends, info->plain_len, offset, length, &first, &count, &start, &stored))
		return;
	require(count && first + count <= info->frame_count);
	require(stored && start <= info->stored_len && stored <= info->stored_len - start);
	end = start;
	for (u32 i = first; i < first + count; i++) {
		weft_frame_get(ends, info->plain_len, i, &frame);
		require(frame.start == end && frame.len);
		require(frame.plain_len && frame.plain_len <= WEFT_FRAME_SIZE);
		require(frame.len <= frame.plain_len + WEFT_CIPHER_TAG);
		require(frame.plain_start + frame.plain_len <= info->plain_len);
		end += frame.len;
	}
	require(end == start + stored);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct weft_shard_info info;
	const char *why = NULL;
	u8 *buf;

	if (size < 1)
		return 0;
	buf = malloc(size);
	require(buf);
	memcpy(buf, data + 1, size - 1);
	if (data[0] & 1)
		sign(buf, (u32)size - 1);
	if (weft_header_decode(&info, buf, size - 1, &why) == 0) {
		accepted(&info, buf, size - 1);
		frames_used(&info, info.version, info.ino % WEFT_CHUNK_MAX);
		frames_used(&info, info.version % info.plain_len, 1);
		frames_used(&info, 0, info.plain_len);
	} else {
		require(why);
	}
	free(buf);
	return 0;
}
