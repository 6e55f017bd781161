// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of CRCs beside a shard's data. See crctable.h.
 */
#include "crctable.h"

#include "crc32c.h"

static void entry_set(void *table, u32 block, u32 crc)
{
	__le32 entry = cpu_to_le32(crc);

	memcpy((u8 *)table + 4 * block, &entry, sizeof(entry));
}

u32 weft_crctable_entry(const void *table, u32 block)
{
	__le32 entry;

	memcpy(&entry, (const u8 *)table + 4 * block, sizeof(entry));
	return le32_to_cpu(entry);
}

void weft_crctable_fill(void *table, u32 block, const void *data, u32 len)
{
	const u8 *p = data;

	for (u32 i = 0; i < weft_block_count(len); i++)
		entry_set(table, block + i,
			  weft_crc32c(0, p + i * WEFT_CRC_BLOCK, weft_block_len(len, i)));
}

u32 weft_crctable_seal(void *table, u32 blocks)
{
	u32 crc = weft_crc32c(0, table, 4 * blocks);

	entry_set(table, blocks, crc);
	return crc;
}

bool weft_crctable_sealed(const void *table, u32 blocks)
{
	return weft_crctable_entry(table, blocks) == weft_crc32c(0, table, 4 * blocks);
}

int weft_crctable_check(const void *table, const void *data, u32 len, u32 *bad)
{
	const u8 *p = data;

	for (u32 i = 0; i < weft_block_count(len); i++) {
		u32 crc = weft_crc32c(0, p + i * WEFT_CRC_BLOCK, weft_block_len(len, i));

		if (crc == weft_crctable_entry(table, i))
			continue;
		if (bad)
			*bad = i;
		return -EBADMSG;
	}
	return 0;
}
