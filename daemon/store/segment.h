/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * segment.h - shards below WEFT_STORE_FILE_MIN: append-only files, what was appended lately, and the index
 *
 *      PUT, DEL --> queue --> batch: one write, one fdatasync --> answers
 *                                          |
 *                                       recent (memory) --keeper--> index (LMDB)
 *
 * Look-ups ask recent first, then the index. The index says up to where the segments are in it; the rest is scanned when
 * the store is opened. Without an index everything is.
 */
#ifndef WEFT_STORE_SEGMENT_H
#define WEFT_STORE_SEGMENT_H

#include "store/store.h"

struct store_key {
	uint64_t group, session, counter;
	uint8_t index;
};

/* Where a shard stands in the segments. */
struct store_place {
	uint64_t segment;
	uint32_t offset; /* of its record */
	uint32_t head_len;
	uint32_t shard_len;
	uint32_t body_crc; /* of the record: tells contents apart */
};

/* Bytes of a record with what belongs to it, padded. */
uint32_t store_record_size(uint32_t head_len, uint32_t shard_len);

struct store_key store_key_of(const struct weft_wire_frame *name);

/* --- segment.c ------------------------------------------------------------------------------------------------------ */
/* home: the loop on which batches are written. */
int store_segments_open(struct store *store, struct store_loop *home);
void store_segments_close(struct store *store);
/* Whether the counters that were kept with the index hold. */
bool store_segments_closed_in_order(struct store *store);

void store_segment_put(struct store_request *request);
/* DEL of what may be in the segments; OK also if it is not there. */
void store_segment_delete(struct store_request *request);
/* GET, STAT on a thread of the pool: the status, the answer filled. ABSENT if it is not in the segments. */
uint32_t store_segment_get(struct store_request *request);
/* VERIFY, likewise. */
uint32_t store_segment_verify(struct store *store, const struct weft_wire_frame *name);
/*
 * For the shards of a group behind after (NULL: all), in the order of (session, counter, index). each() returns false to
 * end. What is put or deleted meanwhile may be in it or not. Blocking.
 */
int store_segment_walk(struct store *store, uint64_t group, const struct store_key *after,
		       bool (*each)(void *ctx, const struct store_key *key,
				    const struct store_place *place),
		       void *ctx);

/* What the keeper does; its thread only. Move recent to the index. sync: wait until that is durable. */
int store_segments_flush(struct store *store, bool sync);
/* The last one: also notes that the store was closed in order. */
int store_segments_flush_clean(struct store *store);
/* Copy what is alive out of the segment with the most dead bytes, if that is more than half, and remove it. 1: done. */
int store_segments_compact(struct store *store);
/* Keep room for deletions on a disk that others fill. */
void store_segments_keep_room(struct store *store);
/* True if the keeper should not wait for its time. */
bool store_segments_urgent(struct store *store);

/* --- scan.c: pure ------------------------------------------------------------------------------------------------------ */
struct store_scan_record {
	struct store_key key;
	struct store_place place;
	bool deleted;
	const uint8_t *head, *table, *data; /* NULL when deleted */
};
/*
 * The next good record of a segment at or behind *pos. bytes: the segment from its start, len bytes of it. Returns true
 * and sets *pos behind the record; false at the end. *skipped counts bytes that were neither records nor zeros.
 */
bool store_scan_next(const uint8_t *bytes, size_t len, uint64_t segment, size_t *pos,
		     struct store_scan_record *record, size_t *skipped);
/* A whole record (of len bytes at least) at bytes: 0, or -EBADMSG with *why. */
int store_scan_check(const uint8_t *bytes, size_t len, uint64_t segment, uint32_t offset,
		     struct store_scan_record *record, const char **why);
/* What stands in .body_crc of a record. */
uint32_t store_body_crc(const uint8_t *head, uint32_t head_len, const uint8_t *table,
			uint32_t shard_len);
void store_scan_header(struct weft_segment_header *header, uint64_t id, const uint8_t uuid[16]);
bool store_scan_header_ok(const struct weft_segment_header *header, uint64_t id,
			  const uint8_t uuid[16]);
void store_scan_seal(struct weft_segment_record *record);

/* --- index.c: LMDB ------------------------------------------------------------------------------------------------------- */
struct store_index;

int store_index_open(struct store_index **index, const char *path, const uint8_t uuid[16]);
void store_index_close(struct store_index *index);
/* 0, -ENOENT or another negative errno. Any thread. */
int store_index_find(struct store_index *index, const struct store_key *key,
		     struct store_place *place);
int store_index_walk(struct store_index *index, uint64_t group, const struct store_key *after,
		     bool (*each)(void *ctx, const struct store_key *key,
				  const struct store_place *place),
		     void *ctx);
/* One change at a time; between begin and end or abort only its thread may change. */
int store_index_begin(struct store_index *index);
int store_index_put(struct store_index *index, const struct store_key *key,
		    const struct store_place *place);
int store_index_del(struct store_index *index, const struct store_key *key);
/* As find, but sees the change under way. */
int store_index_peek(struct store_index *index, const struct store_key *key,
		     struct store_place *place);
/* Everything before (segment, offset) is in the index; and counters that are kept with it. */
struct store_index_state {
	uint64_t segment, offset;
	int64_t shards, files, file_bytes;
	uint64_t clean; /* the store was closed after this was written */
};
int store_index_set_state(struct store_index *index, const struct store_index_state *state);
int store_index_state(struct store_index *index, struct store_index_state *state);
int store_index_end(struct store_index *index);
void store_index_abort(struct store_index *index);
/* Everything that was ended is durable. */
int store_index_sync(struct store_index *index);
/* Dead bytes of segments: within a change. */
int store_index_set_dead(struct store_index *index, uint64_t segment, uint64_t dead);
int store_index_del_dead(struct store_index *index, uint64_t segment);
uint64_t store_index_dead(struct store_index *index, uint64_t segment);

/* --- keeper.c --------------------------------------------------------------------------------------------------------------- */
int store_keeper_start(struct store *store);
void store_keeper_stop(struct store *store);
/* Something to do before its time. Any thread. */
void store_keeper_wake(struct store *store);

#endif
