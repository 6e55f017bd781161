/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables of CRCs beside a shard's data: a CRC32C for each 4096-byte block (the last may be
 * shorter), then the CRC32C of those entries, little-endian each. The same bytes stand in a store
 * and in a frame ([CRCs] in weft_wire.h); the last entry for a whole shard is the table CRC of the
 * chunk record.
 *
 *	data     | block 0 | block 1 | ... | block n-1 |
 *	table    | crc 0 | crc 1 | ... | crc n-1 | crc of the entries |
 *
 * Blocks are counted from where the data starts, so ranges of a shard that are summed on their own
 * start at multiples of 4096. Tables may stand at any address. Pure, any context.
 */
#ifndef WEFT_CHUNK_CRCTABLE_H
#define WEFT_CHUNK_CRCTABLE_H

#include "layout.h"

/* Bytes of the table beside @len bytes of data. */
static inline u32 weft_crctable_len(u32 len)
{
	return 4 * (weft_block_count(len) + 1);
}

/*
 * Fill the entries of @len bytes at @data, which are the blocks from number @block on. Whoever
 * makes a table column by column calls this once a column; all columns but the last are multiples
 * of 4096 bytes.
 */
void weft_crctable_fill(void *table, u32 block, const void *data, u32 len);

/* Put the CRC of the first @blocks entries behind them and return it. */
u32 weft_crctable_seal(void *table, u32 blocks);

/* Whether the CRC behind @blocks entries is right. */
bool weft_crctable_sealed(const void *table, u32 blocks);

/* Entry @block, or, with @block the number of blocks, the CRC behind them. */
u32 weft_crctable_entry(const void *table, u32 block);

/*
 * Compare @len bytes at @data with a table whose first entry is for the first of them. Returns
 * -EBADMSG if a block differs, with its number in @bad unless that is NULL. Does not look at the
 * CRC behind the entries.
 */
int weft_crctable_check(const void *table, const void *data, u32 len, u32 *bad);

#endif
