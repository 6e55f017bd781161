// SPDX-License-Identifier: GPL-2.0-or-later
/* shard.c - shards in the bytes of shard files and segments. */
#include <errno.h>
#include <string.h>

#include "kernel/chunk/crc32c.h"
#include "kernel/chunk/crctable.h"
#include "tools/chunk/chunk.h"
#include "uapi/weft_store.h"

#define HEADER_SIZE ((u32)sizeof(struct weft_shard_header))
#define RECORD_SIZE ((u32)sizeof(struct weft_segment_record))

static u32 round_up_to(u32 n, u32 align)
{
	return (n + align - 1) / align * align;
}

/* The parts of a shard whose header was read; data_at: where its data should begin. */
static int parts_set(struct chunk_shard *shard, const u8 *bytes, size_t len, u32 data_at, const char **why)
{
	size_t there;

	if (shard->info.header_len + weft_crctable_len(shard->info.shard_len) > len) {
		*why = "it ends within its CRC table";
		return -EBADMSG;
	}
	shard->head = bytes;
	shard->table = bytes + shard->info.header_len;
	shard->data = bytes + (data_at < len ? data_at : len);
	there = len - (size_t)(shard->data - bytes);
	shard->data_len = there < shard->info.shard_len ? (u32)there : shard->info.shard_len;
	return 0;
}

int chunk_shard_file(struct chunk_shard *shard, const u8 *bytes, size_t len, const char **why)
{
	u32 area;

	if (weft_header_decode(&shard->info, bytes, len, why))
		return -EBADMSG;
	area = shard->info.header_len + weft_crctable_len(shard->info.shard_len);
	return parts_set(shard, bytes, len, round_up_to(area, WEFT_STORE_HEAD_ALIGN), why);
}

bool chunk_block_good(const struct chunk_shard *shard, u32 block)
{
	u32 len = weft_block_len(shard->info.shard_len, block), at;

	if (!len)
		return false;
	at = block * WEFT_CRC_BLOCK;
	return at + len <= shard->data_len &&
	       weft_crc32c(0, shard->data + at, len) == weft_crctable_entry(shard->table, block);
}

bool chunk_same(const struct chunk_shard *a, const struct chunk_shard *b)
{
	struct weft_shard_header x, y;

	if (a->info.header_len != b->info.header_len)
		return false;
	memcpy(&x, a->head, HEADER_SIZE);
	memcpy(&y, b->head, HEADER_SIZE);
	x.index = y.index = 0;
	x.crc = y.crc = 0;
	return !memcmp(&x, &y, HEADER_SIZE) &&
	       !memcmp(a->head + HEADER_SIZE, b->head + HEADER_SIZE, a->info.header_len - HEADER_SIZE);
}

/* --- segments ----------------------------------------------------------------------------------------------------- */

bool chunk_segment_header(const u8 *bytes, size_t len, u64 *id, u8 store[16])
{
	struct weft_segment_header header;
	u32 crc;

	if (len < sizeof(header))
		return false;
	memcpy(&header, bytes, sizeof(header));
	crc = le32_to_cpu(header.crc);
	header.crc = 0;
	if (le32_to_cpu(header.magic) != WEFT_SEGMENT_MAGIC || le16_to_cpu(header.format) != 1 ||
	    weft_crc32c(0, &header, sizeof(header)) != crc)
		return false;
	*id = le64_to_cpu(header.id);
	memcpy(store, header.uuid, 16);
	return true;
}

/* The record's own 64 bytes. */
static bool record_read(const u8 *bytes, size_t len, u64 id, struct weft_segment_record *raw)
{
	u32 crc;

	if (len < RECORD_SIZE)
		return false;
	memcpy(raw, bytes, RECORD_SIZE);
	crc = le32_to_cpu(raw->crc);
	raw->crc = 0;
	return le32_to_cpu(raw->magic) == WEFT_RECORD_MAGIC && le64_to_cpu(raw->segment) == id &&
	       weft_crc32c(0, raw, RECORD_SIZE) == crc && !raw->reserved0 && !raw->reserved1 && !raw->reserved2 &&
	       raw->index < WEFT_SHARDS_MAX;
}

/* What stands behind a record that says that a shard follows; its lengths are not believed yet. */
static bool record_shard(const u8 *body, size_t len, const struct weft_segment_record *raw, struct chunk_record *record)
{
	struct chunk_shard *shard = &record->shard;
	const char *why;
	u32 table;

	if (weft_header_decode(&shard->info, body, len, &why) || shard->info.header_len != le32_to_cpu(raw->head_len) ||
	    shard->info.shard_len != le32_to_cpu(raw->shard_len) || shard->info.shard_len >= WEFT_STORE_FILE_MIN ||
	    shard->info.index != raw->index || shard->info.group != record->group ||
	    shard->info.sid_session != record->session || shard->info.sid_counter != record->counter)
		return false;
	table = weft_crctable_len(shard->info.shard_len);
	if (parts_set(shard, body, len, shard->info.header_len + table, &why))
		return false;
	record->size =
		round_up_to(RECORD_SIZE + shard->info.header_len + table + shard->info.shard_len, WEFT_SEGMENT_ALIGN);
	/* Header and CRCs, but for the last of these, and that one. */
	record->whole = weft_crc32c(0, body, shard->info.header_len + table - 4) == le32_to_cpu(raw->body_crc) &&
			weft_crctable_sealed(shard->table, table / 4 - 1) && shard->data_len == shard->info.shard_len &&
			!weft_crctable_check(shard->table, shard->data, shard->data_len, NULL);
	return true;
}

bool chunk_segment_at(const u8 *bytes, size_t len, u64 id, u32 offset, struct chunk_record *record)
{
	struct weft_segment_record raw;

	if (offset > len || !record_read(bytes + offset, len - offset, id, &raw))
		return false;
	*record = (struct chunk_record){
		.group = le64_to_cpu(raw.group),
		.session = le64_to_cpu(raw.sid.session),
		.counter = le64_to_cpu(raw.sid.counter),
		.index = raw.index,
		.offset = offset,
		.size = RECORD_SIZE,
	};
	if (raw.kind == WEFT_RECORD_DELETE) {
		record->deleted = record->whole = true;
		return !raw.head_len && !raw.shard_len && !raw.body_crc;
	}
	return raw.kind == WEFT_RECORD_SHARD &&
	       record_shard(bytes + offset + RECORD_SIZE, len - offset - RECORD_SIZE, &raw, record);
}

bool chunk_segment_next(const u8 *bytes, size_t len, u64 id, size_t *pos, struct chunk_record *record)
{
	size_t end = len < WEFT_SEGMENT_SIZE ? len : WEFT_SEGMENT_SIZE;

	for (size_t at = *pos; at < end; at += WEFT_SEGMENT_ALIGN) {
		if (!chunk_segment_at(bytes, end, id, (u32)at, record))
			continue;
		/* Behind one that is not whole the next may stand anywhere. */
		*pos = at + (record->whole ? record->size : WEFT_SEGMENT_ALIGN);
		return true;
	}
	*pos = len;
	return false;
}
