/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frames of a chunk in its stored form: which of them are kept compressed, where each stands,
 * and which of them a range of the plaintext needs.
 *
 * A frame that a codec does not make shorter by at least a sixteenth is stored raw; its length in
 * the frame table, that of its plaintext, says so. A chunk whose frames together do not save a
 * sixteenth is stored raw as a whole, and has no table.
 *
 *	plaintext    |   128 KiB  |   128 KiB  |   128 KiB  | rest |
 *	stored form  | packed | raw, 128 KiB | packed | raw  |
 *	table                 ^ ends[0]      ^        ^      ^ ends[3] = stored_len
 *
 * Pure: no allocation, any context.
 */
#ifndef WEFT_CHUNK_FRAMES_H
#define WEFT_CHUNK_FRAMES_H

#include "layout.h"

/* The most that @plain_len bytes may take to be worth the codec. */
static inline u32 weft_frames_room(u32 plain_len)
{
	return plain_len - plain_len / 16;
}

/*
 * The stored form of a chunk while it is made, frame by frame.
 * @ends: room for the frame table, in the order of bytes of the format
 * @done: frames that were added; @packed: how many of them are compressed
 * @tag: what a cipher will add to each frame; set after weft_frames_begin()
 */
struct weft_frames {
	u32 plain_len;
	u32 stored_len;
	u32 done;
	u32 packed;
	u32 tag;
	__le32 *ends;
};

void weft_frames_begin(struct weft_frames *frames, u32 plain_len, __le32 *ends);

/* Plaintext bytes of the next frame; 0 when all are there. */
u32 weft_frames_next(const struct weft_frames *frames);

/*
 * Add the next frame, which a codec has made @packed_len bytes of, or 0 if it was not tried or did
 * not fit. Returns how many bytes the frame takes: @packed_len, or as many as its plaintext has,
 * which is then what has to be stored.
 */
u32 weft_frames_add(struct weft_frames *frames, u32 packed_len);

/* None of the first frames was worth it: the rest will not be either. For those who only guess. */
bool weft_frames_hopeless(const struct weft_frames *frames);

/* All frames are there: whether the chunk is to be stored in this form, or raw. */
bool weft_frames_worth(const struct weft_frames *frames);

/*
 * A frame of a chunk whose table was checked (weft_header_decode()).
 * @start, @len: in the stored form
 * @plain_start, @plain_len: in the chunk
 * @raw: it is its plaintext
 */
struct weft_frame {
	u32 start;
	u32 len;
	u32 plain_start;
	u32 plain_len;
	bool raw;
};

void weft_frame_get(const __le32 *ends, u32 plain_len, u32 index, struct weft_frame *frame);

/*
 * The frames that a range of the plaintext touches, and the range of the stored form that holds
 * them. Returns -ERANGE if the range is empty or not all in the chunk.
 */
int weft_frames_range(const __le32 *ends, u32 plain_len, u64 offset, u64 length, u32 *first,
		      u32 *count, u32 *start, u32 *stored);

#endif
