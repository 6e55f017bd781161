// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Segments of a voter's log. The input is laid over a sound segment at an offset that it names
 * itself; with an odd first byte the headers and records that it hits are signed anew, so that the
 * rules behind the CRCs are reached.
 */
#include <stdlib.h>
#include <string.h>
#include "chunk/crc32c.h"
#include "raft/internal.h"

#define SIZE	WEFT_LOG_SEGMENT_MIN
#define RECORDS 40
#define require(what)            \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct rlog_owner owner = { .cluster = "a cluster's uuid", .server = 1 };
static uint8_t bytes[SIZE];

static void sound_segment(void)
{
	struct rlog_header header = {
		.segment = 1, .size = SIZE, .first_index = 1, .salt = 77, .time_ms = 1
	};
	uint32_t crc = 0;
	uint64_t at = WEFT_LOG_BLOCK;

	memset(bytes, 0, sizeof(bytes));
	rlog_header_encode(&owner, &header, bytes);
	for (uint64_t i = 1; i <= RECORDS; i++) {
		struct rlog_entry *e = rlog_entry_alloc(bytes, i * 13);

		e->index = i;
		e->term = 1 + i / 9;
		e->type = WEFT_LOG_COMMAND;
		if (i % 8 == 0)
			at = (at + WEFT_LOG_BLOCK - 1) / WEFT_LOG_BLOCK * WEFT_LOG_BLOCK;
		at += rlog_record_encode(e, i - 1, header.salt, crc, bytes + at, &crc);
		rlog_entry_put(e);
	}
}

static void sign(uint8_t *p, size_t size, size_t crc_at)
{
	uint32_t crc;

	memset(p + crc_at, 0, 4);
	crc = weft_crc32c(0, p, size);
	memcpy(p + crc_at, &crc, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rlog_header header;
	struct rlog_cursor cursor;
	struct rlog_record record;
	uint64_t index, at;

	if (size < 4 || size > SIZE)
		return 0;
	sound_segment();
	at = (data[1] | data[2] << 8) % ((SIZE - size) / 64 + 1) * 64;
	memcpy(bytes + at, data + 3, size - 3);
	if (data[0] & 1)
		sign(bytes, sizeof(struct weft_log_segment),
		     offsetof(struct weft_log_segment, crc));
	for (uint64_t r = at; data[0] & 1 && r >= WEFT_LOG_BLOCK && r < at + size && r + 64 <= SIZE;
	     r += 64)
		sign(bytes + r, sizeof(struct weft_log_record),
		     offsetof(struct weft_log_record, crc));
	if (rlog_header_decode(&owner, 1, bytes, &header))
		return 0;
	require(header.size >= WEFT_LOG_SEGMENT_MIN && header.salt && header.first_index);
	rlog_cursor_init(&cursor, &header, bytes, SIZE);
	for (index = header.first_index; rlog_cursor_next(&cursor, &record); index++) {
		require(record.index == index && record.term && record.durable < index);
		require(record.data >= bytes + WEFT_LOG_BLOCK &&
			record.data + record.length <= bytes + SIZE);
		require(record.type != WEFT_LOG_CHANGE ||
			!rdrv_conf_check(record.data, record.length));
	}
	rlog_durable_claim(bytes, SIZE, cursor.offset, header.salt);
	return 0;
}
