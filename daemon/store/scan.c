// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * scan.c - records in a segment's bytes: pure, believes nothing
 *
 * A record is good when its own checksum, that of shard header and CRC table, and those of the data hold. Behind one that
 * is not, the next may begin at any multiple of WEFT_SEGMENT_ALIGN.
 */
#include <errno.h>
#include <string.h>

#include "kernel/chunk/crc32c.h"
#include "kernel/chunk/crctable.h"
#include "kernel/chunk/header.h"
#include "store/segment.h"

#define ROUND(n) (((n) + WEFT_SEGMENT_ALIGN - 1) / WEFT_SEGMENT_ALIGN * WEFT_SEGMENT_ALIGN)

uint32_t store_record_size(uint32_t head_len, uint32_t shard_len)
{
	uint32_t body = head_len ? head_len + weft_crctable_len(shard_len) + shard_len : 0;

	return ROUND((uint32_t)sizeof(struct weft_segment_record) + body);
}

struct store_key store_key_of(const struct weft_wire_frame *name)
{
	return (struct store_key){.group = name->group,
				  .session = name->session,
				  .counter = name->counter,
				  .index = name->index};
}

void store_scan_seal(struct weft_segment_record *record)
{
	record->crc = 0;
	record->crc = cpu_to_le32(weft_crc32c(0, record, sizeof(*record)));
}

void store_scan_header(struct weft_segment_header *header, uint64_t id, const uint8_t uuid[16])
{
	memset(header, 0, sizeof(*header));
	header->magic = cpu_to_le32(WEFT_SEGMENT_MAGIC);
	header->format = cpu_to_le16(1);
	header->id = cpu_to_le64(id);
	memcpy(header->uuid, uuid, sizeof(header->uuid));
	header->crc = cpu_to_le32(weft_crc32c(0, header, sizeof(*header)));
}

bool store_scan_header_ok(const struct weft_segment_header *header, uint64_t id,
			  const uint8_t uuid[16])
{
	struct weft_segment_header want;

	store_scan_header(&want, id, uuid);
	return memcmp(&want, header, sizeof(want)) == 0;
}

uint32_t store_body_crc(const uint8_t *head, uint32_t head_len, const uint8_t *table,
			uint32_t shard_len)
{
	return weft_crc32c(weft_crc32c(0, head, head_len), table, weft_crctable_len(shard_len) - 4);
}

static int body_check(const uint8_t *body, const struct weft_segment_record *on_disk,
		      uint32_t shard_len, uint32_t head_len, struct store_scan_record *record,
		      const char **why)
{
	struct weft_wire_frame frame = {.head_len = head_len,
					.shard_len = shard_len,
					.index = record->key.index,
					.group = record->key.group,
					.session = record->key.session,
					.counter = record->key.counter};

	record->head = body;
	record->table = body + head_len;
	record->data = record->table + weft_crctable_len(shard_len);
	if (store_body_crc(record->head, head_len, record->table, shard_len) !=
	    le32_to_cpu(on_disk->body_crc)) {
		*why = "shard header and CRC table do not match their checksum";
		return -EBADMSG;
	}
	return store_shard_check(&frame, record->head, record->data, record->table, why) ==
			       WEFT_ST_OK
		       ? 0
		       : -EBADMSG;
}

int store_scan_check(const uint8_t *bytes, size_t len, uint64_t segment, uint32_t offset,
		     struct store_scan_record *record, const char **why)
{
	struct weft_segment_record on_disk;
	uint32_t head_len, shard_len, crc;

	*why = "the record was cut short";
	if (len < sizeof(on_disk))
		return -EBADMSG;
	memcpy(&on_disk, bytes, sizeof(on_disk));
	crc = le32_to_cpu(on_disk.crc);
	on_disk.crc = 0;
	*why = "there is no good record";
	if (le32_to_cpu(on_disk.magic) != WEFT_RECORD_MAGIC ||
	    le64_to_cpu(on_disk.segment) != segment ||
	    weft_crc32c(0, &on_disk, sizeof(on_disk)) != crc)
		return -EBADMSG;
	head_len = le32_to_cpu(on_disk.head_len);
	shard_len = le32_to_cpu(on_disk.shard_len);
	*record = (struct store_scan_record){
		.key = {.group = le64_to_cpu(on_disk.group),
			.session = le64_to_cpu(on_disk.sid.session),
			.counter = le64_to_cpu(on_disk.sid.counter),
			.index = on_disk.index},
		.place = {.segment = segment,
			  .offset = offset,
			  .head_len = head_len,
			  .shard_len = shard_len,
			  .body_crc = le32_to_cpu(on_disk.body_crc)},
		.deleted = on_disk.kind == WEFT_RECORD_DELETE,
	};
	*why = "the record breaks the rules of its format";
	if (on_disk.reserved0 || on_disk.reserved1 || on_disk.reserved2 ||
	    on_disk.index >= WEFT_SHARDS_MAX)
		return -EBADMSG;
	if (record->deleted)
		return head_len || shard_len || on_disk.body_crc ? -EBADMSG : 0;
	if (on_disk.kind != WEFT_RECORD_SHARD || head_len < sizeof(struct weft_shard_header) ||
	    head_len > WEFT_SHARD_HEADER_MAX || shard_len == 0 || shard_len >= WEFT_STORE_FILE_MIN)
		return -EBADMSG;
	*why = "the record was cut short";
	if (store_record_size(head_len, shard_len) > len)
		return -EBADMSG;
	return body_check(bytes + sizeof(on_disk), &on_disk, shard_len, head_len, record, why);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

bool store_scan_next(const uint8_t *bytes, size_t len, uint64_t segment, size_t *pos,
		     struct store_scan_record *record, size_t *skipped)
{
	const char *why;
	size_t at = ROUND(*pos);

	for (; at + sizeof(struct weft_segment_record) <= len; at += WEFT_SEGMENT_ALIGN) {
		if (!store_scan_check(bytes + at, len - at, segment, (uint32_t)at, record, &why)) {
			*pos = at +
			       store_record_size(record->place.head_len, record->place.shard_len);
			return true;
		}
		if (!all_zero(bytes + at, WEFT_SEGMENT_ALIGN))
			*skipped += WEFT_SEGMENT_ALIGN;
	}
	*pos = len;
	return false;
}
