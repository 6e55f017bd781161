// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Scanning a segment. Nearly no input has right CRCs, so with an odd first byte every record that begins with the magic is
 * signed first: the rules behind that gate are what matters.
 */
#include <stdlib.h>

#include "store/segment.h"

#define SEGMENT 1
#define require(what)            \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sign(uint8_t *bytes, size_t size)
{
	struct weft_segment_record record;

	for (size_t at = 0; at + sizeof(record) <= size; at += WEFT_SEGMENT_ALIGN) {
		memcpy(&record, bytes + at, sizeof(record));
		if (le32_to_cpu(record.magic) != WEFT_RECORD_MAGIC)
			continue;
		record.segment = cpu_to_le64(SEGMENT);
		store_scan_seal(&record);
		memcpy(bytes + at, &record, sizeof(record));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_scan_record record;
	size_t pos = 0, before = 0, skipped = 0;
	uint8_t *bytes;

	if (size < 1)
		return 0;
	bytes = malloc(size);
	require(bytes);
	memcpy(bytes, data + 1, size - 1);
	if (data[0] & 1)
		sign(bytes, size - 1);
	while (store_scan_next(bytes, size - 1, SEGMENT, &pos, &record, &skipped)) {
		require(pos > before && pos <= size - 1 && record.place.offset >= before);
		require(record.place.offset % WEFT_SEGMENT_ALIGN == 0 &&
			record.key.index < WEFT_SHARDS_MAX);
		require(record.deleted || record.data + record.place.shard_len <= bytes + size - 1);
		before = pos;
	}
	require(pos == size - 1 && skipped < size);
	free(bytes);
	return 0;
}
