// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reader of chunks: the input is a segment or a shard file, and what shards it has are decoded. Nearly no input
 * has right CRCs, so with an odd first byte all of them are made right first: what lies behind that gate is what
 * matters.
 */
#include <stdlib.h>

#include "kernel/chunk/crc32c.h"
#include "kernel/chunk/crctable.h"
#include "kernel/crypt/derive.h"
#include "store/segment.h"
#include "tools/chunk/chunk.h"

#define HEADER_SIZE ((u32)sizeof(struct weft_shard_header))
#define RECORD_SIZE sizeof(struct weft_segment_record)
#define PLAIN_MAX   (1u << 20)
#define require(what)            \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* The bytes of header, frame table and CRC table of a shard; 0 if there is nothing that could be signed. */
static u32 shard_sign(u8 *bytes, size_t len, u32 align)
{
	struct weft_shard_header header;
	u32 head, shard, area, table;

	if (len < HEADER_SIZE)
		return 0;
	memcpy(&header, bytes, HEADER_SIZE);
	head = le32_to_cpu(header.header_len);
	shard = le32_to_cpu(header.shard_len);
	table = weft_crctable_len(shard);
	if (head < HEADER_SIZE || head > WEFT_SHARD_HEADER_MAX || shard > WEFT_SHARD_LEN_MAX || head + table > len)
		return 0;
	memset(bytes + HEADER_SIZE - 4, 0, 4);
	header.crc = cpu_to_le32(weft_crc32c(0, bytes, head));
	memcpy(bytes + HEADER_SIZE - 4, &header.crc, 4);
	area = (head + table + align - 1) / align * align;
	if (area < len)
		weft_crctable_fill(bytes + head, 0, bytes + area, len - area < shard ? (u32)(len - area) : shard);
	weft_crctable_seal(bytes + head, table / 4 - 1);
	return head + table;
}

static void segment_sign(u8 *bytes, size_t len, u64 id)
{
	struct weft_segment_record record;

	for (size_t at = 0; at + RECORD_SIZE <= len; at += WEFT_SEGMENT_ALIGN) {
		u8 *body = bytes + at + RECORD_SIZE;
		u32 head_and_table;

		memcpy(&record, bytes + at, RECORD_SIZE);
		if (le32_to_cpu(record.magic) != WEFT_RECORD_MAGIC)
			continue;
		head_and_table = shard_sign(body, len - at - RECORD_SIZE, 1);
		record.segment = cpu_to_le64(id);
		if (record.kind == WEFT_RECORD_SHARD && head_and_table)
			record.body_crc = cpu_to_le32(weft_crc32c(0, body, head_and_table - 4));
		store_scan_seal(&record);
		memcpy(bytes + at, &record, RECORD_SIZE);
	}
}

/* With the key of the input that is sealed, and without one. */
static void decode(const struct chunk_shard *shards, size_t n, bool with_key)
{
	struct chunk_keys key = { .n = 1, .keys[0] = { .id = 9 } };
	struct chunk_error error = { "" };
	u32 len = n ? shards[0].info.plain_len : 0, used;
	u8 *plain;

	if (!n || len > PLAIN_MAX)
		return;
	plain = malloc(len);
	require(plain);
	weft_derive_root((const u8 *)"volume of a test", (const u8 *)"a volume key, thirty-two bytes..", key.keys[0].root);
	if (chunk_decode(shards, n, with_key ? &key : NULL, plain, &used, &error))
		require(error.text[0]);
	else
		require(hweight32(used) >= shards[0].info.k);
	free(plain);
}

static void segment_read(u8 *bytes, size_t len, bool sign)
{
	struct chunk_shard shards[WEFT_SHARDS_MAX];
	size_t pos = 0, before = 0, n = 0;
	struct chunk_record record;
	u8 store[16];
	u64 id = 1;

	chunk_segment_header(bytes, len, &id, store);
	if (sign)
		segment_sign(bytes, len, id);
	while (chunk_segment_next(bytes, len, id, &pos, &record)) {
		require(pos > before && pos % WEFT_SEGMENT_ALIGN == 0 && record.offset >= before);
		before = pos;
		if (record.deleted)
			continue;
		require(!record.whole || record.shard.data + record.shard.info.shard_len <= bytes + len);
		if (n < WEFT_SHARDS_MAX && (!n || chunk_same(&shards[0], &record.shard)))
			shards[n++] = record.shard;
	}
	decode(shards, n, false);
	decode(shards, n, true);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct chunk_shard shard;
	const char *why = NULL;
	u8 *bytes;

	if (size < 1)
		return 0;
	bytes = malloc(size);
	require(bytes);
	memcpy(bytes, data + 1, size - 1);
	segment_read(bytes, size - 1, data[0] & 1);
	if (data[0] & 1)
		shard_sign(bytes, size - 1, WEFT_STORE_HEAD_ALIGN);
	if (chunk_shard_file(&shard, bytes, size - 1, &why))
		require(why);
	else
		decode(&shard, 1, true);
	free(bytes);
	return 0;
}
