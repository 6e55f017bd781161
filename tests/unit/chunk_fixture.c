// SPDX-License-Identifier: GPL-2.0-or-later
/* chunk_fixture.c - chunks as a writer makes them. See chunk_fixture.h. */
#include <lz4.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "chunk_fixture.h"
#include "kernel/chunk/crctable.h"
#include "kernel/chunk/frames.h"
#include "kernel/crypt/frame.h"
#include "kernel/ec/ec.h"
#include "store/segment.h"

static void content_fill(u8 *plain, u32 len)
{
	u64 state = len;

	for (u32 i = 0; i < len; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		/* Every third frame is noise. */
		plain[i] = i / WEFT_FRAME_SIZE % 3 == 1 ? (u8)(state >> 56)
							: (u8)("weft and warp "[i % 14] + (state >> 62));
	}
}

/* 0 if it does not fit into `room`. */
static u32 frame_pack(u8 codec, const u8 *from, u32 len, u8 *to, u32 room)
{
	uLongf packed = room;
	size_t n;
	int got;

	switch (codec) {
	case WEFT_CODEC_ZSTD:
		n = ZSTD_compress(to, room, from, len, 3);
		return ZSTD_isError(n) ? 0 : (u32)n;
	case WEFT_CODEC_LZ4:
		got = LZ4_compress_default((const char *)from, (char *)to, (int)len, (int)room);
		return got > 0 ? (u32)got : 0;
	case WEFT_CODEC_DEFLATE:
		return compress2(to, &packed, from, len, 6) == Z_OK ? (u32)packed : 0;
	default:
		return 0;
	}
}

static void stored_make(struct chunk_made *made)
{
	struct weft_shard_info *info = &made->info;
	u32 tag = info->cipher ? WEFT_CIPHER_TAG : 0, at = 0, next;
	struct weft_frames frames;

	weft_frames_begin(&frames, info->plain_len, made->ends);
	for (u32 i = 0; (next = weft_frames_next(&frames)); i++) {
		const u8 *from = made->plain + i * WEFT_FRAME_SIZE;
		u32 packed = frame_pack(info->codec, from, next, made->stored + at, next - next / 16);
		u32 len = weft_frames_add(&frames, packed);

		if (len == next)
			memcpy(made->stored + at, from, len);
		at += len + tag;
		made->ends[i] = cpu_to_le32(at);
	}
	info->stored_len = at;
}

static void stored_seal(struct chunk_made *made)
{
	struct weft_shard_info *info = &made->info;
	struct weft_seal seal = { .session = info->seal_session, .counter = info->seal_counter };
	u8 root[WEFT_KEY_LEN], key[WEFT_KEY_LEN], nonce[WEFT_NONCE_LEN];
	struct weft_frame_ad ad;
	u32 at = 0;

	memcpy(seal.salt, info->salt, sizeof(seal.salt));
	weft_derive_root((const u8 *)CHUNK_UUID, (const u8 *)CHUNK_KEY, root);
	weft_derive_frame_key(root, seal.session, seal.counter, key);
	for (u32 i = 0; i < weft_frame_count(info->plain_len); i++) {
		u8 *frame = made->stored + at;
		u32 end = le32_to_cpu(made->ends[i]);

		weft_frame_nonce(&seal, i, nonce);
		weft_frame_ad(&seal, i, info->plain_len, info->codec, info->key_id, &ad);
		crypto_aead_aes256gcm_encrypt(frame, NULL, frame, end - at - WEFT_CIPHER_TAG, (const u8 *)&ad, sizeof(ad), NULL,
					      nonce, key);
		at = end;
	}
}

void chunk_make_again(struct chunk_made *made)
{
	struct weft_shard_info *info = &made->info;
	struct weft_layout layout;
	struct weft_ec ec;

	weft_layout_init(&layout, info->stored_len, info->k, info->m);
	weft_ec_init(&ec, info->k, info->m);
	info->shard_len = layout.shard_len;
	info->frames = weft_header_has_frames(info->codec, info->cipher) ? made->ends : NULL;
	for (unsigned int i = 0; i < info->k; i++)
		memcpy(made->data[i], made->stored + i * layout.shard_len, layout.shard_len);
	weft_ec_encode(&ec, layout.shard_len, (const void *const *)made->data, (void *const *)made->data + info->k);
	for (u8 i = 0; i < info->k + info->m; i++) {
		info->index = i;
		if (weft_header_encode(info, made->head[i], WEFT_SHARD_HEADER_MAX, NULL) < 0)
			abort();
		weft_crctable_fill(made->table[i], 0, made->data[i], layout.shard_len);
		weft_crctable_seal(made->table[i], weft_block_count(layout.shard_len));
	}
	info->header_len = weft_header_len(info->plain_len, info->codec, info->cipher);
}

bool chunk_make(struct chunk_made *made)
{
	struct weft_shard_info *info = &made->info;
	size_t room = info->plain_len + (size_t)WEFT_SHARDS_MAX * WEFT_SHARD_ALIGN +
		      WEFT_CIPHER_TAG * WEFT_CHUNK_MAX / WEFT_FRAME_SIZE;
	bool sealable;

	made->plain = malloc(info->plain_len);
	made->stored = calloc(1, room);
	for (unsigned int i = 0; i < info->k + info->m; i++) {
		made->head[i] = malloc(WEFT_SHARD_HEADER_MAX);
		made->data[i] = malloc(room);
		made->table[i] = malloc(weft_crctable_len((u32)room));
	}
	info->sid_session = CHUNK_SESSION;
	info->group = CHUNK_GROUP;
	info->volume = 1;
	info->ino = CHUNK_INO;
	info->file_offset = 4096 * info->sid_counter;
	if (info->cipher) {
		info->key_id = CHUNK_KEY_ID;
		info->seal_session = CHUNK_SESSION;
		info->seal_counter = 1000 + info->sid_counter;
		memcpy(info->salt, "saltsalt", sizeof(info->salt));
	}
	content_fill(made->plain, info->plain_len);
	stored_make(made);
	sealable = !info->cipher || (sodium_init() >= 0 && crypto_aead_aes256gcm_is_available());
	if (info->cipher && sealable)
		stored_seal(made);
	chunk_make_again(made);
	return sealable;
}

void chunk_free(struct chunk_made *made)
{
	for (unsigned int i = 0; i < made->info.k + made->info.m; i++) {
		free(made->head[i]);
		free(made->table[i]);
		free(made->data[i]);
	}
	free(made->plain);
	free(made->stored);
}

u8 *chunk_file(const struct chunk_made *made, unsigned int index, size_t *len)
{
	u32 head = made->info.header_len, table = weft_crctable_len(made->info.shard_len);
	u32 area = (head + table + WEFT_STORE_HEAD_ALIGN - 1) / WEFT_STORE_HEAD_ALIGN * WEFT_STORE_HEAD_ALIGN;
	u8 *bytes = calloc(1, area + made->info.shard_len);

	memcpy(bytes, made->head[index], head);
	memcpy(bytes + head, made->table[index], table);
	memcpy(bytes + area, made->data[index], made->info.shard_len);
	*len = area + made->info.shard_len;
	return bytes;
}

size_t chunk_segment_begin(u8 *to, u64 id, u8 store)
{
	struct weft_segment_header header;
	const u8 uuid[16] = { store };

	store_scan_header(&header, id, uuid);
	memcpy(to, &header, sizeof(header));
	return sizeof(header);
}

static void record_put(u8 *to, u64 id, const struct chunk_made *made, unsigned int index,
		       struct weft_segment_record *record)
{
	record->magic = cpu_to_le32(WEFT_RECORD_MAGIC);
	record->index = (u8)index;
	record->segment = cpu_to_le64(id);
	record->group = cpu_to_le64(made->info.group);
	record->sid.session = cpu_to_le64(made->info.sid_session);
	record->sid.counter = cpu_to_le64(made->info.sid_counter);
	store_scan_seal(record);
	memcpy(to, record, sizeof(*record));
}

size_t chunk_segment_put(u8 *to, u64 id, const struct chunk_made *made, unsigned int index)
{
	u32 head = made->info.header_len, len = made->info.shard_len, table = weft_crctable_len(len);
	struct weft_segment_record record = { .kind = WEFT_RECORD_SHARD };

	record.head_len = cpu_to_le32(head);
	record.shard_len = cpu_to_le32(len);
	record.body_crc = cpu_to_le32(store_body_crc(made->head[index], head, made->table[index], len));
	record_put(to, id, made, index, &record);
	memcpy(to + sizeof(record), made->head[index], head);
	memcpy(to + sizeof(record) + head, made->table[index], table);
	memcpy(to + sizeof(record) + head + table, made->data[index], len);
	return store_record_size(head, len);
}

size_t chunk_segment_delete(u8 *to, u64 id, const struct chunk_made *made, unsigned int index)
{
	struct weft_segment_record record = { .kind = WEFT_RECORD_DELETE };

	record_put(to, id, made, index, &record);
	return store_record_size(0, 0);
}
