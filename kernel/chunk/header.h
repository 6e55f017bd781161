/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The header of a shard (struct weft_shard_header and its frame table): encoder, decoder,
 * validator.
 *
 * What the decoder accepts obeys every rule of uapi/weft_format.h: lengths fit each other and k,
 * the frame table is ascending and inside the stored form, reserved bytes are zero. Callers only
 * compare it with what they asked for. Pure: no allocation, no state, any context.
 */
#ifndef WEFT_CHUNK_HEADER_H
#define WEFT_CHUNK_HEADER_H

#include "layout.h"

/*
 * A shard header in the machine's byte order; fields as in struct weft_shard_header. shard_len,
 * frame_count and header_len follow from the others: the encoder ignores what stands there.
 * @frames: the frame table as it stands in the header, NULL for chunks without one. Any
 *	alignment. After decoding it points into the decoded buffer; read it by
 *	weft_header_frame().
 */
struct weft_shard_info {
	u8 index;
	u8 k;
	u8 m;
	u8 codec;
	u8 cipher;
	u32 header_len;
	u64 sid_session;
	u64 sid_counter;
	u64 group;
	u64 volume;
	u64 ino;
	u64 file_offset;
	u64 version;
	u32 plain_len;
	u32 stored_len;
	u32 shard_len;
	u32 frame_count;
	u32 key_id;
	u8 salt[8];
	u64 seal_session;
	u64 seal_counter;
	const void *frames;
};

/* Whether a chunk of this codec and cipher has a frame table. */
bool weft_header_has_frames(u8 codec, u8 cipher);

/* Bytes of the header with its frame table. */
u32 weft_header_len(u32 plain_len, u8 codec, u8 cipher);

/*
 * Whether a chunk can have these lengths and codes at all: what the decoder checks, for those who
 * learn of a chunk from elsewhere (an answer, a COMMIT). Returns 0 or -EPROTO; then @why (may be
 * NULL) is a phrase that says what.
 */
int weft_header_lengths_check(u32 plain_len, u32 stored_len, u8 codec, u8 cipher, u32 key_id,
			      const char **why);

/*
 * Write the header of @info to @buf of @size bytes. Returns its length, -EINVAL if @info breaks a
 * rule (@why says which), -ENOSPC if @buf is too small.
 */
int weft_header_encode(const struct weft_shard_info *info, void *buf, size_t size,
		       const char **why);

/*
 * Turn an encoded header into that of another shard of the same chunk: all that differs is index
 * and CRC.
 */
void weft_header_stamp(void *buf, u8 index);

/*
 * Read and check the header at @buf; @len may be more than it needs. Returns 0 or
 *   -EMSGSIZE	@len is less than the header says it is
 *   -EBADMSG	no header, or a damaged one (magic, CRC)
 *   -EPROTONOSUPPORT	a format, flag, codec or cipher of a later version
 *   -EPROTO	undamaged, but breaks a rule of the format
 * and then a phrase for a person in @why (may be NULL). @info is undefined after an error.
 */
int weft_header_decode(struct weft_shard_info *info, const void *buf, size_t len, const char **why);

/*
 * Where frame @frame (below frame_count) of a decoded header lies in the stored form: 1 <= length,
 * and start + length <= stored_len.
 */
void weft_header_frame(const struct weft_shard_info *info, u32 frame, u32 *start, u32 *length);

#endif
