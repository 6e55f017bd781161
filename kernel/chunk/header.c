// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shard headers: encoder, decoder, validator. See header.h.
 *
 * One set of rules serves both directions: the encoder builds the header, fills in what follows
 * from the rest, and checks the result as the decoder does. The decoder passes three gates in this
 * order: the bytes are a header and undamaged, its version is known, and every field obeys the
 * format.
 */
#include "header.h"

#include "crc32c.h"

#define HEADER_SIZE	((u32)sizeof(struct weft_shard_header))
#define FILE_OFFSET_MAX	(~(u64)0 >> 1)
#define CRC_AT		offsetof(struct weft_shard_header, crc)

static int refuse(int error, const char **why, const char *text)
{
	if (why)
		*why = text;
	return error;
}

static u32 frame_end(const void *frames, u32 frame)
{
	__le32 end;

	memcpy(&end, (const u8 *)frames + 4 * frame, sizeof(end));
	return le32_to_cpu(end);
}

/* The longest form of a frame: a codec never grows it, a cipher adds its tag. */
static u32 frame_len_max(u32 plain_len, u32 frame, u8 cipher)
{
	return weft_frame_plain_len(plain_len, frame) +
	       (cipher == WEFT_CIPHER_NONE ? 0 : WEFT_CIPHER_TAG);
}

bool weft_header_has_frames(u8 codec, u8 cipher)
{
	return codec != WEFT_CODEC_RAW || cipher != WEFT_CIPHER_NONE;
}

u32 weft_header_len(u32 plain_len, u8 codec, u8 cipher)
{
	return HEADER_SIZE +
	       (weft_header_has_frames(codec, cipher) ? 4 * weft_frame_count(plain_len) : 0);
}

int weft_header_lengths_check(u32 plain_len, u32 stored_len, u8 codec, u8 cipher, u32 key_id,
			      const char **why)
{
	u32 frames = weft_frame_count(plain_len);
	u32 tags = cipher == WEFT_CIPHER_NONE ? 0 : WEFT_CIPHER_TAG * frames;

	if (!plain_len || plain_len > WEFT_CHUNK_MAX)
		return refuse(-EPROTO, why, "the plaintext is empty or longer than a chunk may be");
	if (codec > WEFT_CODEC_DEFLATE)
		return refuse(-EPROTONOSUPPORT, why, "unknown codec");
	if (cipher > WEFT_CIPHER_AES256_GCM)
		return refuse(-EPROTONOSUPPORT, why, "unknown cipher");
	if (!!key_id != (cipher != WEFT_CIPHER_NONE))
		return refuse(-EPROTO, why,
			      "a key id without a cipher, or a cipher without a key id");
	if (stored_len > plain_len + tags)
		return refuse(-EPROTO, why, "the stored form is longer than the plaintext allows");
	if (codec == WEFT_CODEC_RAW && stored_len != plain_len + tags)
		return refuse(-EPROTO, why,
			      "the stored form of a raw chunk is not as long as its plaintext");
	if (stored_len < frames + tags)
		return refuse(-EPROTO, why,
			      "the stored form is shorter than its number of frames allows");
	return 0;
}

static bool bytes_are_zero(const u8 *p, size_t len)
{
	while (len--)
		if (*p++)
			return false;
	return true;
}

/* Who the shard belongs to, and by which cipher it is sealed. */
static int names_check(const struct weft_shard_info *info, const char **why)
{
	bool sealed = info->seal_session || info->seal_counter;

	if (info->index >= info->k + info->m)
		return refuse(-EPROTO, why, "the shard's index is not below k + m");
	if (!info->sid_session && !info->sid_counter)
		return refuse(-EPROTO, why, "the chunk has no name");
	if (!info->group)
		return refuse(-EPROTO, why, "the chunk has no group");
	if (info->file_offset > FILE_OFFSET_MAX - info->plain_len)
		return refuse(-EPROTO, why, "the file offset is beyond what a file can have");
	if (sealed != (info->cipher != WEFT_CIPHER_NONE))
		return refuse(-EPROTO, why,
			      "a seal id without a cipher, or a cipher without a seal id");
	if (info->cipher == WEFT_CIPHER_NONE && !bytes_are_zero(info->salt, sizeof(info->salt)))
		return refuse(-EPROTO, why, "a salt without a cipher");
	return 0;
}

static int frames_check(const struct weft_shard_info *info, const char **why)
{
	u32 tag = info->cipher == WEFT_CIPHER_NONE ? 0 : WEFT_CIPHER_TAG;
	u32 start = 0;

	if (!info->frames)
		return 0;

	for (u32 i = 0; i < info->frame_count; i++) {
		u32 end = frame_end(info->frames, i);

		if (end <= start || end - start <= tag)
			return refuse(-EPROTO, why, "a frame of the frame table is empty or runs backwards");
		if (end - start > frame_len_max(info->plain_len, i, info->cipher))
			return refuse(-EPROTO, why,
				      "a frame of the frame table is longer than a frame may be");
		start = end;
	}
	if (start != info->stored_len)
		return refuse(-EPROTO, why,
			      "the frame table does not end where the stored form does");
	return 0;
}

/* All rules that concern the fields; @info->frames is set if the codec and cipher ask for it. */
static int info_check(const struct weft_shard_info *info, const char **why)
{
	struct weft_layout layout;
	int ret;

	ret = weft_header_lengths_check(info->plain_len, info->stored_len, info->codec,
					info->cipher, info->key_id, why);
	if (ret)
		return ret;
	if (weft_layout_init(&layout, info->stored_len, info->k, info->m))
		return refuse(-EPROTO, why, "k is 0, or k + m is above 32");
	if (info->shard_len != layout.shard_len)
		return refuse(-EPROTO, why,
			      "the shard's length does not follow from the stored length and k");
	if (info->frame_count != weft_frame_count(info->plain_len))
		return refuse(-EPROTO, why,
			      "the number of frames does not follow from the plaintext's length");
	if (info->header_len != weft_header_len(info->plain_len, info->codec, info->cipher))
		return refuse(-EPROTO, why,
			      "the header's length does not follow from the number of frames");
	ret = names_check(info, why);
	if (ret)
		return ret;
	return frames_check(info, why);
}

static void header_fill(struct weft_shard_header *header, const struct weft_shard_info *info)
{
	*header = (struct weft_shard_header){
		.magic = cpu_to_le32(WEFT_SHARD_MAGIC),
		.format = cpu_to_le16(WEFT_SHARD_VERSION),
		.index = info->index,
		.k = info->k,
		.m = info->m,
		.codec = info->codec,
		.cipher = info->cipher,
		.header_len = cpu_to_le32(info->header_len),
		.sid.session = cpu_to_le64(info->sid_session),
		.sid.counter = cpu_to_le64(info->sid_counter),
		.group = cpu_to_le64(info->group),
		.volume = cpu_to_le64(info->volume),
		.ino = cpu_to_le64(info->ino),
		.file_offset = cpu_to_le64(info->file_offset),
		.version = cpu_to_le64(info->version),
		.plain_len = cpu_to_le32(info->plain_len),
		.stored_len = cpu_to_le32(info->stored_len),
		.shard_len = cpu_to_le32(info->shard_len),
		.frame_count = cpu_to_le32(info->frame_count),
		.key_id = cpu_to_le32(info->key_id),
		.seal.session = cpu_to_le64(info->seal_session),
		.seal.counter = cpu_to_le64(info->seal_counter),
	};
	memcpy(header->salt, info->salt, sizeof(header->salt));
}

static void header_read(struct weft_shard_info *info, const struct weft_shard_header *header)
{
	*info = (struct weft_shard_info){
		.index = header->index,
		.k = header->k,
		.m = header->m,
		.codec = header->codec,
		.cipher = header->cipher,
		.header_len = le32_to_cpu(header->header_len),
		.sid_session = le64_to_cpu(header->sid.session),
		.sid_counter = le64_to_cpu(header->sid.counter),
		.group = le64_to_cpu(header->group),
		.volume = le64_to_cpu(header->volume),
		.ino = le64_to_cpu(header->ino),
		.file_offset = le64_to_cpu(header->file_offset),
		.version = le64_to_cpu(header->version),
		.plain_len = le32_to_cpu(header->plain_len),
		.stored_len = le32_to_cpu(header->stored_len),
		.shard_len = le32_to_cpu(header->shard_len),
		.frame_count = le32_to_cpu(header->frame_count),
		.key_id = le32_to_cpu(header->key_id),
		.seal_session = le64_to_cpu(header->seal.session),
		.seal_counter = le64_to_cpu(header->seal.counter),
	};
	memcpy(info->salt, header->salt, sizeof(info->salt));
}

/* The CRC of a header of @len bytes, its own field taken as zero. */
static u32 header_crc(const u8 *buf, u32 len)
{
	static const u8 zero[sizeof(__le32)];
	u32 crc = weft_crc32c(0, buf, CRC_AT);

	crc = weft_crc32c(crc, zero, sizeof(zero));
	return weft_crc32c(crc, buf + HEADER_SIZE, len - HEADER_SIZE);
}

static void header_sign(u8 *buf, u32 len)
{
	__le32 crc = cpu_to_le32(header_crc(buf, len));

	memcpy(buf + CRC_AT, &crc, sizeof(crc));
}

int weft_header_encode(const struct weft_shard_info *info, void *buf, size_t size, const char **why)
{
	struct weft_shard_info full = *info;
	struct weft_shard_header header;
	struct weft_layout layout;

	if (weft_layout_init(&layout, full.stored_len, full.k, full.m))
		return refuse(-EINVAL, why, "no chunk has this stored length, k and m");
	full.shard_len = layout.shard_len;
	full.frame_count = weft_frame_count(full.plain_len);
	full.header_len = weft_header_len(full.plain_len, full.codec, full.cipher);
	if (!full.frames != !weft_header_has_frames(full.codec, full.cipher))
		return refuse(-EINVAL, why, "a frame table is missing or has no place");
	if (info_check(&full, why))
		return -EINVAL;
	if (size < full.header_len)
		return refuse(-ENOSPC, why, "the buffer is shorter than the header");

	header_fill(&header, &full);
	memcpy(buf, &header, HEADER_SIZE);
	if (full.frames)
		memcpy((u8 *)buf + HEADER_SIZE, full.frames, full.header_len - HEADER_SIZE);
	header_sign(buf, full.header_len);
	return full.header_len;
}

void weft_header_stamp(void *buf, u8 index)
{
	__le32 len;

	memcpy(&len, (u8 *)buf + offsetof(struct weft_shard_header, header_len), sizeof(len));
	((u8 *)buf)[offsetof(struct weft_shard_header, index)] = index;
	header_sign(buf, le32_to_cpu(len));
}

int weft_header_decode(struct weft_shard_info *info, const void *buf, size_t len, const char **why)
{
	struct weft_shard_header header;
	u32 header_len;

	if (len < HEADER_SIZE)
		return refuse(-EMSGSIZE, why, "shorter than a shard header");
	memcpy(&header, buf, HEADER_SIZE);

	if (le32_to_cpu(header.magic) != WEFT_SHARD_MAGIC)
		return refuse(-EBADMSG, why, "not a shard header");
	header_len = le32_to_cpu(header.header_len);
	if (header_len < HEADER_SIZE || header_len > WEFT_SHARD_HEADER_MAX)
		return refuse(-EBADMSG, why, "the header's length is impossible");
	if (header_len > len)
		return refuse(-EMSGSIZE, why, "shorter than its shard header says");
	if (le32_to_cpu(header.crc) != header_crc(buf, header_len))
		return refuse(-EBADMSG, why, "the header's CRC is wrong");

	if (le16_to_cpu(header.format) != WEFT_SHARD_VERSION || header.flags)
		return refuse(-EPROTONOSUPPORT, why, "a shard format of a later version");
	if (header.reserved0 || header.reserved1)
		return refuse(-EPROTO, why, "reserved fields are not zero");

	header_read(info, &header);
	if (info->header_len > HEADER_SIZE)
		info->frames = (const u8 *)buf + HEADER_SIZE;
	return info_check(info, why);
}

void weft_header_frame(const struct weft_shard_info *info, u32 frame, u32 *start, u32 *length)
{
	if (info->frames) {
		*start = frame ? frame_end(info->frames, frame - 1) : 0;
		*length = frame_end(info->frames, frame) - *start;
	} else {
		*start = frame * WEFT_FRAME_SIZE;
		*length = weft_frame_plain_len(info->plain_len, frame);
	}
}
