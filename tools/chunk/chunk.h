/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chunk.h - a reader of chunks from what stores leave on their disks; needs neither daemon nor module nor metadata
 *
 *      paths --find.c--> where shards are --shard.c--> shards --decode.c--> stored form, from any k --seal.c, codec.c--> plaintext
 *
 * Written from docs/formats.md. Only find.c does I/O; the others take bytes, believe nothing, and touch nothing
 * outside. The geometry, the checks of headers and the Reed-Solomon code are the module's own files.
 */
#ifndef WEFT_TOOLS_CHUNK_H
#define WEFT_TOOLS_CHUNK_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel/chunk/header.h"

/* --- shard.c ------------------------------------------------------------------------------------------------------ */

/*
 * A shard, whole or not: its header is sound and its CRC table is there; of its data data_len bytes are, each block of
 * them good or not. Points into the bytes that it was found in.
 */
struct chunk_shard {
	struct weft_shard_info info;
	const u8 *head;
	const u8 *table;
	const u8 *data;
	u32 data_len;
};

/* The bytes of a shard file. 0, or -EBADMSG with *why. */
int chunk_shard_file(struct chunk_shard *shard, const u8 *bytes, size_t len, const char **why);
/* Whether block number `block` is there and has its CRC. */
bool chunk_block_good(const struct chunk_shard *shard, u32 block);
/* Whether two shards are of the same chunk: their headers differ in nothing but the index. */
bool chunk_same(const struct chunk_shard *a, const struct chunk_shard *b);

/*
 * A record of a segment. whole: it checks from its first to its last byte, and so counts instead of earlier ones of
 * its shard. One that is not whole may still have good blocks. shard: not of a deleted one.
 */
struct chunk_record {
	u64 group, session, counter;
	u8 index;
	bool deleted;
	bool whole;
	u32 offset;
	u32 size; /* of all of it, unless the segment ends before */
	struct chunk_shard shard;
};

/* Whether that is a segment with a sound header: whose, and which. */
bool chunk_segment_header(const u8 *bytes, size_t len, u64 *id, u8 store[16]);
/* The next record of segment `id` at or behind *pos (0 to begin with), which is moved behind it. False at the end. */
bool chunk_segment_next(const u8 *bytes, size_t len, u64 id, size_t *pos, struct chunk_record *record);
/* The record at `offset`. */
bool chunk_segment_at(const u8 *bytes, size_t len, u64 id, u32 offset, struct chunk_record *record);

/* --- seal.c ------------------------------------------------------------------------------------------------------- */

struct weft_key_ring;

/* What the keys of a volume are for: the root of each, by its id. */
struct chunk_keys {
	unsigned int n;
	struct {
		u32 id;
		u8 root[32];
	} keys[32];
};

/* From what an opened key file gives. The caller wipes them. */
void chunk_keys_make(struct chunk_keys *keys, const struct weft_key_ring *ring);

/* The key of a chunk's frames. 0, -ENOKEY: it is none of these, -EOPNOTSUPP: this processor has no AES. */
int chunk_seal_key(const struct chunk_keys *keys, const struct weft_shard_info *info, u8 key[32]);
/* Frame number `frame`, len bytes with its tag, to len - 16 bytes at `to`. 0, or -EBADMSG. */
int chunk_seal_open(const struct weft_shard_info *info, const u8 key[32], u32 frame, const u8 *from, u32 len, u8 *to);

/* --- decode.c ----------------------------------------------------------------------------------------------------- */

struct chunk_error {
	char text[160];
};

/*
 * The plaintext of the chunk that the shards are of: shards[0].info.plain_len bytes at `plain`. Each column of 4096
 * bytes is made of any k good blocks, so damaged shards help where they are sound. Several may have the same index.
 * *used: indexes of those that gave something. 0, or
 *   -EINVAL	they are not all of one chunk
 *   -ENOKEY	the chunk is encrypted, and keys is NULL or has not its key
 *   -EOPNOTSUPP	the chunk is encrypted, and this processor has no AES
 *   -ENODATA	too few good blocks
 *   -EBADMSG	a frame is not what its codec, or its cipher, makes
 *   -ENOMEM
 * with a phrase in *error.
 */
int chunk_decode(const struct chunk_shard *shards, size_t n, const struct chunk_keys *keys, u8 *plain, u32 *used,
		 struct chunk_error *error);

/* --- codec.c ------------------------------------------------------------------------------------------------------ */

/* NULL for a codec that is not known. */
const char *chunk_codec_name(u8 codec);
/* One frame. 0, or -EBADMSG unless it is exactly plain_len bytes of plaintext. */
int chunk_unpack(u8 codec, const u8 *from, u32 len, u8 *to, u32 plain_len);

/* --- find.c ------------------------------------------------------------------------------------------------------- */

/* Where a shard stands. */
struct chunk_place {
	struct weft_shard_info info; /* .frames is NULL */
	const char *path;
	bool in_segment;
	bool deleted;
	bool whole;
	u64 segment; /* its id; 0: a file */
	u32 offset;
	u32 size;
	u8 store[16]; /* whose segment; zeros: not known */
};

/* What was found, ordered by chunk, then index. */
struct chunk_places {
	struct chunk_place *list;
	size_t n, room;
	char **paths;
	size_t n_paths, path_room;
	void (*warn)(const char *path, const char *why); /* called for what is left out */
};

/*
 * Search a shard file, a segment or, if it is a directory, all that is below it, but for bad/. 0 or a negative errno.
 */
int chunk_find(struct chunk_places *places, const char *path);
/* All paths were searched: what was deleted or superseded goes, the rest is put in order. */
void chunk_find_end(struct chunk_places *places);
void chunk_places_free(struct chunk_places *places);
/* Whether two are of the same chunk, by its name. */
bool chunk_place_same(const struct chunk_place *a, const struct chunk_place *b);
/* Read the shard at a place; *bytes is what it points into, for free(). 0, or a negative errno with *why. */
int chunk_load(const struct chunk_place *place, struct chunk_shard *shard, u8 **bytes, const char **why);

#endif
