/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chunk_fixture.h - chunks as a writer makes them, in memory: shard files, and segments with small shards. */
#ifndef WEFT_TESTS_UNIT_CHUNK_FIXTURE_H
#define WEFT_TESTS_UNIT_CHUNK_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel/chunk/header.h"

/*
 * What chunk_make() needs to know is set by the caller in .info: k, m, codec, plain_len, sid_counter, and cipher.
 * @head, @table, @data: of each of the k + m shards
 */
struct chunk_made {
	struct weft_shard_info info;
	u8 *plain, *stored;
	u8 *head[WEFT_SHARDS_MAX], *table[WEFT_SHARDS_MAX], *data[WEFT_SHARDS_MAX];
	__le32 ends[WEFT_CHUNK_MAX / WEFT_FRAME_SIZE];
};

#define CHUNK_SESSION 0x1122
#define CHUNK_GROUP   5
#define CHUNK_INO     77
#define CHUNK_KEY_ID  9
#define CHUNK_KEY     "a volume key, thirty-two bytes.."
#define CHUNK_UUID    "volume of a test"

/*
 * Content of which some frames shrink and others do not. With a cipher it is sealed by key 9 of a volume, CHUNK_KEY and
 * CHUNK_UUID. False: this processor cannot.
 */
bool chunk_make(struct chunk_made *made);
/* Parity, headers and CRCs anew: .stored, .ends or .info were changed. */
void chunk_make_again(struct chunk_made *made);
void chunk_free(struct chunk_made *made);

/* The shard as a file; the caller frees it. */
u8 *chunk_file(const struct chunk_made *made, unsigned int index, size_t *len);
/* Segments, put together at `to`; each returns how many bytes it took. */
size_t chunk_segment_begin(u8 *to, u64 id, u8 store);
size_t chunk_segment_put(u8 *to, u64 id, const struct chunk_made *made, unsigned int index);
size_t chunk_segment_delete(u8 *to, u64 id, const struct chunk_made *made, unsigned int index);

#endif
