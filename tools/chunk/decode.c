// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * decode.c - from shards to the plaintext of their chunk
 *
 *      shard 0   | good | good | bad  |
 *      shard 1   | good | bad  | good |
 *      parity 0  | good | good | good |
 *
 * Reed-Solomon codes columns: each column of 4096 bytes takes its own k shards, whichever are good there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/chunk/layout.h"
#include "kernel/crypt/derive.h"
#include "kernel/ec/ec.h"
#include "tools/chunk/chunk.h"

/*
 * @stored: k * S bytes
 * @have, @want: what @plan is for; nothing yet if both are 0
 */
struct decoder {
	const struct chunk_shard *shards;
	size_t n;
	struct weft_ec ec;
	struct weft_ec_plan plan;
	u32 have, want;
	u32 used;
	u8 *stored;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct chunk_error *error, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, args);
	va_end(args);
	return err;
}

/* The missing data shards of a column, from those that are good there. */
static void column_complete(struct decoder *decoder, const u8 *const good[], u32 have, u32 want, u32 at, u32 len)
{
	u32 shard_len = decoder->shards[0].info.shard_len;
	const void *src[WEFT_EC_MAX_SHARDS];
	void *dst[WEFT_EC_MAX_SHARDS];

	if (have != decoder->have || want != decoder->want)
		weft_ec_plan_init(&decoder->plan, &decoder->ec, have, want);
	decoder->have = have;
	decoder->want = want;
	for (unsigned int i = 0; i < decoder->plan.nsrc; i++) {
		src[i] = good[decoder->plan.src[i]];
		decoder->used |= 1u << decoder->plan.src[i];
	}
	for (unsigned int i = 0; i < decoder->plan.nout; i++)
		dst[i] = decoder->stored + decoder->plan.out[i] * shard_len + at;
	weft_ec_plan_run(&decoder->plan, len, src, dst);
}

static int column_decode(struct decoder *decoder, u32 block, struct chunk_error *error)
{
	const struct weft_shard_info *info = &decoder->shards[0].info;
	u32 at = block * WEFT_CRC_BLOCK, len = weft_block_len(info->shard_len, block);
	u32 data = ~0u >> (32 - info->k), have = 0;
	const u8 *good[WEFT_EC_MAX_SHARDS];

	for (size_t i = 0; i < decoder->n; i++) {
		const struct chunk_shard *shard = &decoder->shards[i];

		if (have & 1u << shard->info.index || !chunk_block_good(shard, block))
			continue;
		have |= 1u << shard->info.index;
		good[shard->info.index] = shard->data + at;
	}
	if (hweight32(have) < info->k)
		return refuse(error, -ENODATA,
			      "%u of its shards are needed, and only %u are there and sound from byte %u of each on",
			      info->k, hweight32(have), at);
	for (unsigned int i = 0; i < info->k; i++)
		if (have & 1u << i)
			memcpy(decoder->stored + i * info->shard_len + at, good[i], len);
	decoder->used |= have & data;
	if (data & ~have)
		column_complete(decoder, good, have, data & ~have, at, len);
	return 0;
}

/*
 * Frame number i, packed bytes at `from`: to its plaintext. key: NULL, or it is sealed, and opened is room for what the
 * codec made.
 */
static int frame_unpack(const struct weft_shard_info *info, const u8 *key, u32 i, const u8 *from, u32 packed, u8 *opened, u8 *to,
			struct chunk_error *error)
{
	u32 len = weft_frame_plain_len(info->plain_len, i);

	if (key && chunk_seal_open(info, key, i, from, packed, opened))
		return refuse(error, -EBADMSG,
			      "its frame %u has right checksums, but key %u of this key file does not open it: is it the right volume's?", i,
			      info->key_id);
	if (key) {
		from = opened;
		packed -= WEFT_CIPHER_TAG;
	}
	if (packed == len)
		memcpy(to, from, len);
	else if (chunk_unpack(info->codec, from, packed, to, len))
		return refuse(error, -EBADMSG, "its frame %u has right checksums but is not what %s makes", i,
			      chunk_codec_name(info->codec));
	return 0;
}

static int frames_unpack(const struct weft_shard_info *info, const u8 *key, const u8 *stored, u8 *plain,
			 struct chunk_error *error)
{
	u8 *opened = key ? malloc(WEFT_FRAME_SIZE) : NULL;
	int err = 0;

	if (key && !opened)
		return refuse(error, -ENOMEM, "out of memory");
	for (u32 i = 0; !err && i < info->frame_count; i++) {
		u32 start, packed;

		weft_header_frame(info, i, &start, &packed);
		err = frame_unpack(info, key, i, stored + start, packed, opened, plain + i * WEFT_FRAME_SIZE, error);
	}
	free(opened);
	return err;
}

/* Whether there is a key for it, before anything is done. */
static int key_get(const struct weft_shard_info *info, const struct chunk_keys *keys, u8 key[32], struct chunk_error *error)
{
	int err = info->cipher == WEFT_CIPHER_NONE ? 0 : chunk_seal_key(keys, info, key);

	if (err == -EOPNOTSUPP)
		return refuse(error, err, "it is encrypted, and this machine's processor has no instructions for AES");
	if (err && !keys)
		return refuse(error, err,
			      "it is encrypted with key %u: name its volume's key file with --key-file ('weft key save' writes it)",
			      info->key_id);
	if (err)
		return refuse(error, err, "it is encrypted with key %u, which is not in the key file: save that again", info->key_id);
	return 0;
}

int chunk_decode(const struct chunk_shard *shards, size_t n, const struct chunk_keys *keys, u8 *plain, u32 *used,
		 struct chunk_error *error)
{
	struct decoder decoder = { .shards = shards, .n = n };
	const struct weft_shard_info *info = &shards[0].info;
	u8 key[32];
	int err;

	for (size_t i = 1; i < n; i++)
		if (!chunk_same(&shards[0], &shards[i]))
			return refuse(error, -EINVAL, "the shards are not all of one chunk");
	err = key_get(info, keys, key, error);
	if (err)
		return err;
	weft_ec_init(&decoder.ec, info->k, info->m);
	decoder.stored = malloc((size_t)info->k * info->shard_len);
	if (!decoder.stored)
		err = refuse(error, -ENOMEM, "out of memory");
	for (u32 block = 0; !err && block < weft_block_count(info->shard_len); block++)
		err = column_decode(&decoder, block, error);
	if (!err)
		err = frames_unpack(info, info->cipher != WEFT_CIPHER_NONE ? key : NULL, decoder.stored, plain, error);
	free(decoder.stored);
	weft_wipe(key, sizeof(key));
	*used = decoder.used;
	return err;
}
