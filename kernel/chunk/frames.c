// SPDX-License-Identifier: GPL-2.0-only
/* Frames of compressed chunks. See frames.h. */
#include "frames.h"

/* Half a mebibyte in which nothing was saved. */
#define HOPELESS_FRAMES 4u

void weft_frames_begin(struct weft_frames *frames, u32 plain_len, __le32 *ends)
{
	*frames = (struct weft_frames){ .plain_len = plain_len, .ends = ends };
}

u32 weft_frames_next(const struct weft_frames *frames)
{
	return weft_frame_plain_len(frames->plain_len, frames->done);
}

u32 weft_frames_add(struct weft_frames *frames, u32 packed_len)
{
	u32 plain = weft_frames_next(frames);
	bool packed = packed_len && packed_len < plain && packed_len <= weft_frames_room(plain);
	u32 len = packed ? packed_len : plain;

	frames->packed += packed;
	frames->stored_len += len + frames->tag;
	frames->ends[frames->done++] = cpu_to_le32(frames->stored_len);
	return len;
}

bool weft_frames_hopeless(const struct weft_frames *frames)
{
	return frames->done >= HOPELESS_FRAMES && !frames->packed;
}

bool weft_frames_worth(const struct weft_frames *frames)
{
	return frames->packed && frames->stored_len <= weft_frames_room(frames->plain_len);
}

void weft_frame_get(const __le32 *ends, u32 plain_len, u32 index, struct weft_frame *frame)
{
	frame->start = index ? le32_to_cpu(ends[index - 1]) : 0;
	frame->len = le32_to_cpu(ends[index]) - frame->start;
	frame->plain_start = index * WEFT_FRAME_SIZE;
	frame->plain_len = weft_frame_plain_len(plain_len, index);
	frame->raw = frame->len == frame->plain_len;
}

int weft_frames_range(const __le32 *ends, u32 plain_len, u64 offset, u64 length, u32 *first,
		      u32 *count, u32 *start, u32 *stored)
{
	int err = weft_frame_range(plain_len, offset, length, first, count);

	if (err)
		return err;
	*start = *first ? le32_to_cpu(ends[*first - 1]) : 0;
	*stored = le32_to_cpu(ends[*first + *count - 1]) - *start;
	return 0;
}
