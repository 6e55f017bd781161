// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_commit.c - content of files: overlaps against a model of every byte, long requests,
 * chunks' lives
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "meta_fixture.h"

#define BLOCK 4096u

static u64 seed;

static u64 next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static u64 make(struct meta_fixture *f, const char *name)
{
	u64 ino;

	assert_int_equal(fixture_create(f, f->root, name, S_IFREG | 0644, &ino), WEFT_ST_OK);
	return ino;
}

static u64 make_group(struct meta_fixture *f, u8 k, u8 m)
{
	u64 group;

	assert_int_equal(fixture_group(f, k, m, 1, &group), WEFT_ST_OK);
	return group;
}

static void expect_size(struct meta_fixture *f, u64 ino, u64 size, u64 bytes)
{
	struct weft_attr attr;

	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.size), size);
	assert_int_equal(le64_to_cpu(attr.bytes), bytes);
}

/* What a file's block shows: which chunk, and which block of it. */
struct block {
	u64 number;
	u32 offset;
};

/* Read the whole file through EXTENTS, in as many answers as it takes. */
static void read_blocks(struct meta_fixture *f, u64 ino, struct block *blocks, size_t n)
{
	struct weft_extent extent;
	struct tlv tlv;
	u64 at = 0, first, end;

	memset(blocks, 0, n * sizeof(*blocks));
	while (at < n * BLOCK) {
		fixture_payload(f);
		tlv_put_u64(&f->payload, WEFT_P_INO, ino);
		tlv_put_u64(&f->payload, WEFT_P_OFFSET, at);
		tlv_put_u64(&f->payload, WEFT_P_LENGTH, n * BLOCK - at);
		assert_int_equal(fixture_read(f, WEFT_REQ_EXTENTS), WEFT_ST_OK);
		tlv = fixture_answer(f, WEFT_P_EXTENTS);
		for (size_t i = 0; i < tlv.len / sizeof(extent); i++) {
			memcpy(&extent, (const u8 *)tlv.data + i * sizeof(extent), sizeof(extent));
			first = le64_to_cpu(extent.offset);
			end = first + le64_to_cpu(extent.length);
			for (u64 b = first / BLOCK; b < end / BLOCK && b < n; b++)
				blocks[b] = (struct block){ le64_to_cpu(extent.number),
							    le32_to_cpu(extent.chunk_offset) +
								    (u32)(b * BLOCK - first) };
		}
		tlv = fixture_answer(f, WEFT_P_NEXT);
		assert_int_equal(tlv_u64(&tlv, &end), 0);
		assert_true(end > at);
		at = end;
	}
}

static void expect_blocks(struct meta_fixture *f, u64 ino, const struct block *model, size_t n)
{
	struct block *blocks = calloc(n, sizeof(*blocks));

	assert_non_null(blocks);
	read_blocks(f, ino, blocks, n);
	for (size_t i = 0; i < n; i++)
		if (blocks[i].number != model[i].number || blocks[i].offset != model[i].offset)
			fail_msg("block %zu: chunk %llu at %u instead of chunk %llu at %u", i,
				 (unsigned long long)blocks[i].number, blocks[i].offset,
				 (unsigned long long)model[i].number, model[i].offset);
	free(blocks);
}

/* ---- Overlaps ---- */

/* Every way in which two runs of up to six blocks can lie, then a third over both. */
static void every_overlap_of_two_extents(void **state)
{
	enum { N = 6 };
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), number = 0, ino, size;
	struct block model[N];
	char name[32];

	for (unsigned int a = 0; a < N; a++)
		for (unsigned int ae = a + 1; ae <= N; ae++)
			for (unsigned int b = 0; b < N; b++)
				for (unsigned int be = b + 1; be <= N; be++) {
					snprintf(name, sizeof(name), "%u-%u-%u-%u", a, ae, b, be);
					ino = make(f, name);
					memset(model, 0, sizeof(model));
					assert_int_equal(fixture_write(f, ino, group, a * BLOCK,
								       (ae - a) * BLOCK, 0),
							 0);
					assert_int_equal(fixture_write(f, ino, group, b * BLOCK,
								       (be - b) * BLOCK, 0),
							 0);
					for (unsigned int i = a; i < ae; i++)
						model[i] =
							(struct block){ number + 1, (i - a) * BLOCK };
					for (unsigned int i = b; i < be; i++)
						model[i] =
							(struct block){ number + 2, (i - b) * BLOCK };
					number += 2;
					expect_blocks(f, ino, model, N);
					size = (ae > be ? ae : be) * BLOCK;
					expect_size(
						f, ino, size,
						BLOCK * ((ae - a) + (be - b) -
							 (a < be && b < ae ? (ae < be ? ae : be) -
										     (a > b ? a : b)
									   : 0)));
				}
	fixture_check(f);
}

/*
 * A COMMIT of several extents that share and split chunks, a truncation now and then, a restart now
 * and then.
 */
static void random_writes_match_a_model_of_every_block(void **state)
{
	enum { N = 300, ROUNDS = 1500 };
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 1, 2), number = 0, size = 0, ino = make(f, "file");
	struct block *model = calloc(N, sizeof(*model));

	assert_non_null(model);
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		u64 start = next_random() % N, length = 1 + next_random() % 24,
		    parts = 1 + next_random() % 3;
		struct weft_extent extents[3];
		u64 at = start, end = 0, chunk_blocks = length + 4;

		if (next_random() % 16 == 0) {
			u64 blocks = next_random() % N;

			assert_int_equal(fixture_truncate(f, ino, blocks * BLOCK), WEFT_ST_OK);
			for (u64 i = blocks; i < N; i++)
				model[i] = (struct block){ 0 };
			size = blocks * BLOCK;
			continue;
		}
		if (next_random() % 200 == 0)
			fixture_reopen(f);
		number++;
		for (u64 p = 0; p < parts; p++) {
			u64 piece = 1 + next_random() % length,
			    from = next_random() % (chunk_blocks - piece + 1);

			if (at + piece > N) {
				parts = p;
				break;
			}
			extents[p] = (struct weft_extent){ .offset = cpu_to_le64(at * BLOCK),
							   .length = cpu_to_le64(piece * BLOCK),
							   .chunk_offset =
								   cpu_to_le32((u32)(from * BLOCK)) };
			for (u64 i = 0; i < piece; i++)
				model[at + i] = (struct block){ number, (u32)((from + i) * BLOCK) };
			end = at + piece;
			at = end + next_random() % 3;
		}
		if (end * BLOCK > size)
			size = end * BLOCK;
		fixture_commit_begin(f, ino, size, 0);
		fixture_commit_chunk(f, group, (u32)(chunk_blocks * BLOCK), 0);
		fixture_commit_extents(f, extents, parts);
		assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
		if (round % 100 == 0) {
			expect_blocks(f, ino, model, N);
			fixture_check(f);
		}
	}
	expect_blocks(f, ino, model, N);
	free(model);
}

/* ---- Long requests ---- */

/* Thousands of small extents under one large one, then a truncation of thousands. */
static void long_requests_go_on_in_steps(void **state)
{
	enum { PIECES = 4000 };
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 1, 1), ino = make(f, "file");
	struct weft_attr attr;

	for (u64 i = 0; i < PIECES; i++)
		assert_int_equal(fixture_write(f, ino, group, i * BLOCK, BLOCK, 0), WEFT_ST_OK);
	expect_size(f, ino, PIECES * BLOCK, PIECES * BLOCK);
	assert_int_equal(fixture_write(f, ino, group, 0, (PIECES - 1000) * BLOCK, 0), WEFT_ST_OK);
	assert_true(f->steps > 5);
	assert_true(f->most_records <= WEFT_M_ENTRY_RECORDS + 16);
	expect_size(f, ino, PIECES * BLOCK, PIECES * BLOCK);
	fixture_check(f);
	assert_int_equal(fixture_truncate(f, ino, BLOCK), WEFT_ST_OK);
	assert_true(f->steps > 1);
	assert_true(f->most_records <= WEFT_M_ENTRY_RECORDS + 16);
	expect_size(f, ino, BLOCK, BLOCK);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 1);
}

/* The service stops between the steps of a COMMIT; the repeat goes on, with the same chunk. */
static void a_cut_commit_goes_on_with_its_repeat(void **state)
{
	enum { PIECES = 2000 };
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 1, 1), ino = make(f, "file");
	struct weft_extent extent = { .length = cpu_to_le64(PIECES * BLOCK) };
	struct meta_buffer entry = { 0 };
	struct meta_group record;
	struct meta_ask ask;
	const char *why;

	for (u64 i = 0; i < PIECES; i++)
		assert_int_equal(fixture_write(f, ino, group, i * BLOCK, BLOCK, 0), WEFT_ST_OK);
	fixture_commit_begin(f, ino, PIECES * BLOCK, 0);
	fixture_commit_chunk(f, group, PIECES * BLOCK, 0);
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(meta_request_parse(WEFT_REQ_COMMIT, f->session, ++f->sequence[2], 2,
					    f->payload.data, f->payload.len, &entry, &ask, &why),
			 WEFT_ST_OK);
	meta_entry_end(&entry, f->time_ns);
	tlv_writer_reset(&f->outcome.answer);
	assert_int_equal(meta_apply(&f->state, ++f->index, 1, entry.data, entry.len, &f->outcome),
			 0);
	assert_int_equal(f->outcome.status, META_MORE);
	fixture_reopen(f);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	assert_true(f->steps > 1);
	assert_int_equal(meta_state_read(&f->state), 0);
	assert_int_equal(meta_group_get(&f->state.txn, group, &record), 0);
	assert_int_equal(le64_to_cpu(record.head.number), PIECES + 1);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 1);
	/* And once more: answered, not run. */
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	assert_int_equal(f->steps, 1);
	meta_buffer_free(&entry);
	expect_size(f, ino, PIECES * BLOCK, PIECES * BLOCK);
}

/* A COMMIT that its session left half done leaves no chunk without an owner. */
static void a_cut_commit_ends_with_its_session(void **state)
{
	enum { PIECES = 2000 };
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 1, 1), ino = make(f, "file");
	struct weft_extent extents[2] = {
		{.length = cpu_to_le64(PIECES * BLOCK)},
		{.offset = cpu_to_le64(PIECES * BLOCK),
		 .length = cpu_to_le64(BLOCK),
		 .number = cpu_to_le64(1)},
	};
	struct meta_buffer entry = { 0 };
	struct meta_ask ask;
	const char *why;

	for (u64 i = 0; i < PIECES; i++)
		assert_int_equal(fixture_write(f, ino, group, i * BLOCK, BLOCK, 0), WEFT_ST_OK);
	fixture_commit_begin(f, ino, (PIECES + 1) * BLOCK, 0);
	fixture_commit_chunk(f, group, PIECES * BLOCK, 0);
	fixture_commit_chunk(f, group, BLOCK, 0);
	fixture_commit_extents(f, extents, 2);
	assert_int_equal(meta_request_parse(WEFT_REQ_COMMIT, f->session, ++f->sequence[2], 2,
					    f->payload.data, f->payload.len, &entry, &ask, &why),
			 WEFT_ST_OK);
	meta_entry_end(&entry, f->time_ns);
	tlv_writer_reset(&f->outcome.answer);
	assert_int_equal(meta_apply(&f->state, ++f->index, 1, entry.data, entry.len, &f->outcome),
			 0);
	assert_int_equal(f->outcome.status, META_MORE);
	meta_buffer_free(&entry);
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	fixture_check(f);
	assert_int_equal(fixture_mount(f, 2, 0, &f->session), WEFT_ST_OK);
	expect_size(f, ino, PIECES * BLOCK, PIECES * BLOCK);
}

/* ---- What COMMIT asks of shards ---- */

static void commit_wants_enough_shards(void **state)
{
	static const struct {
		u8 k, m;
		u32 missing;
		u32 status;
	} cases[] = {
		{2, 2, 0x0, WEFT_ST_OK},   {2, 2, 0x1, WEFT_ST_OK},   {2, 2, 0x8, WEFT_ST_OK},
		{2, 2, 0x3, WEFT_ST_NEED}, { 2, 1, 0x0, WEFT_ST_OK },   {2, 1, 0x1, WEFT_ST_NEED},
		{3, 0, 0x0, WEFT_ST_OK},   {3, 0, 0x1, WEFT_ST_NEED}, { 2, 3, 0x1, WEFT_ST_OK },
		{2, 3, 0x3, WEFT_ST_NEED}, { 1, 0, 0x0, WEFT_ST_OK },
	};
	struct meta_fixture *f = *state;
	u64 ino = make(f, "file"), missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 group = make_group(f, cases[i].k, cases[i].m);

		assert_int_equal(fixture_write(f, ino, group, i * BLOCK, BLOCK, cases[i].missing),
				 cases[i].status);
		if (cases[i].status == WEFT_ST_OK)
			missing += (u64)__builtin_popcount(cases[i].missing);
		assert_int_equal(le64_to_cpu(f->state.counters.missing), missing);
	}
}

static void commit_refuses(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file"), dir;
	struct weft_extent extent = { .length = cpu_to_le64(BLOCK), .group = cpu_to_le64(group),
				       .number = cpu_to_le64(99) };

	assert_int_equal(fixture_create(f, f->root, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, dir, group, 0, BLOCK, 0), WEFT_ST_ISDIR);
	assert_int_equal(fixture_write(f, 4711, group, 0, BLOCK, 0), WEFT_ST_STALE);
	/* A chunk that does not exist. */
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_NEED);
	/* One that does, with more than it has. */
	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0), WEFT_ST_OK);
	extent.number = cpu_to_le64(1);
	extent.length = cpu_to_le64(2 * BLOCK);
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_INVAL);
	/* A number beyond those that it brings, extents out of order. */
	extent = (struct weft_extent){ .length = cpu_to_le64(BLOCK), .number = cpu_to_le64(1) };
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_chunk(f, group, BLOCK, 0);
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_INVAL);
	/* A sid of another session. */
	f->session++;
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_chunk(f, group, BLOCK, 0);
	f->session--;
	extent.number = 0;
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_NEED);
}

/* A chunk that the COMMIT brings and no extent names is condemned at once. */
static void unused_chunk_is_condemned(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file");

	fixture_commit_begin(f, ino, 0, 0);
	fixture_commit_chunk(f, group, BLOCK, 0);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(f->state.counters.condemned), 1);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 0);
}

static u32 commit_in_form(struct meta_fixture *f, u64 ino, u64 group, u8 codec, u32 stored)
{
	struct weft_extent extent = { .length = cpu_to_le64(BLOCK) };
	struct weft_chunk_new chunk;
	size_t at;

	fixture_commit_begin(f, ino, BLOCK, 0);
	at = f->payload.len + 4;
	fixture_commit_chunk(f, group, BLOCK, 0);
	/* Attributes are aligned to 4 bytes only. */
	memcpy(&chunk, f->payload.data + at, sizeof(chunk));
	chunk.codec = codec;
	chunk.stored_len = cpu_to_le32(stored);
	memcpy(f->payload.data + at, &chunk, sizeof(chunk));
	fixture_commit_extents(f, &extent, 1);
	return fixture_commit_end(f, 2);
}

static void expect_packed(struct meta_fixture *f, u64 plain, u64 stored)
{
	struct meta_volume volume;

	fixture_check(f);
	assert_int_equal(meta_volume_get(&f->state.txn, f->volume, &volume), 0);
	assert_int_equal(le64_to_cpu(volume.packed.plain_bytes), plain);
	assert_int_equal(le64_to_cpu(volume.packed.stored_bytes), stored);
}

static void compressed_chunks_are_counted_while_they_live(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file"), other = make(f, "other");
	struct weft_extent again = { .length = cpu_to_le64(BLOCK), .group = cpu_to_le64(group) };

	expect_packed(f, 0, 0);
	assert_int_equal(commit_in_form(f, ino, group, WEFT_CODEC_ZSTD, 1000), WEFT_ST_OK);
	expect_packed(f, BLOCK, 1000);
	assert_int_equal(commit_in_form(f, other, group, WEFT_CODEC_RAW, BLOCK), WEFT_ST_OK);
	expect_packed(f, BLOCK, 1000);
	assert_int_equal(commit_in_form(f, other, group, WEFT_CODEC_DEFLATE, BLOCK), WEFT_ST_OK);
	expect_packed(f, 2 * BLOCK, BLOCK + 1000);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	expect_packed(f, BLOCK, BLOCK);
	/* Revived. */
	again.number = cpu_to_le64(1);
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_extents(f, &again, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	expect_packed(f, 2 * BLOCK, BLOCK + 1000);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, other, 0), WEFT_ST_OK);
	expect_packed(f, 0, 0);
}

static void commit_refuses_impossible_forms(void **state)
{
	static const struct {
		u8 codec;
		u32 stored;
	} cases[] = {
		{ WEFT_CODEC_RAW, BLOCK - 1 }, { WEFT_CODEC_LZ4, BLOCK + 1 }, { WEFT_CODEC_DEFLATE + 1, BLOCK },
		{ WEFT_CODEC_ZSTD, 0 },
	};
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(commit_in_form(f, ino, group, cases[i].codec, cases[i].stored), WEFT_ST_INVAL);
}

/* ---- Inline content ---- */

static u32 commit_inline(struct meta_fixture *f, u64 ino, const void *data, size_t len)
{
	fixture_commit_begin(f, ino, len, WEFT_CF_INLINE);
	tlv_put(&f->payload, WEFT_P_DATA, data, len);
	return fixture_commit_end(f, 2);
}

static void inline_content_comes_and_goes(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file");
	static u8 big[3000];
	struct weft_attr attr;

	assert_int_equal(commit_inline(f, ino, "hello", 5), WEFT_ST_OK);
	expect_size(f, ino, 5, 5);
	assert_int_equal(fixture_lookup(f, f->root, "file", &attr), WEFT_ST_OK);
	assert_true(le32_to_cpu(attr.flags) & WEFT_AF_INLINE);
	assert_memory_equal(fixture_answer(f, WEFT_P_DATA).data, "hello", 5);
	assert_int_equal(commit_inline(f, ino, big, sizeof(big)), WEFT_ST_INVAL);
	assert_int_equal(fixture_truncate(f, ino, 3), WEFT_ST_OK);
	expect_size(f, ino, 3, 3);
	assert_int_equal(fixture_truncate(f, ino, 6), WEFT_ST_OK);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_memory_equal(fixture_answer(f, WEFT_P_DATA).data, "hel\0\0\0", 6);
	/* Extents take over only if they hold all of it. */
	assert_int_equal(fixture_write(f, ino, group, BLOCK, BLOCK, 0), WEFT_ST_INVAL);
	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0), WEFT_ST_OK);
	expect_size(f, ino, BLOCK, BLOCK);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_false(le32_to_cpu(attr.flags) & WEFT_AF_INLINE);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	assert_int_equal(commit_inline(f, ino, "again", 5), WEFT_ST_OK);
	expect_size(f, ino, 5, 5);
}

/* ---- Shards that come late, or turn out to be missing ---- */

static u32 report(struct meta_fixture *f, u16 op, u64 group, u64 number, u32 index, u32 store,
		  u64 counter)
{
	struct weft_shard_report report = {
		.group = cpu_to_le64(group),
		.number = cpu_to_le64(number),
		.index = cpu_to_le32(index),
		.store = cpu_to_le32(store),
		.sid = { cpu_to_le64(f->session), cpu_to_le64(counter) },
		.status = cpu_to_le32(WEFT_ST_ABSENT),
	};

	fixture_payload(f);
	tlv_put(&f->payload, WEFT_P_SHARD, &report, sizeof(report));
	return fixture_request(f, op, WEFT_SLOT_NONE);
}

static void reports_move_exceptions(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file"),
	    *missing = (u64 *)&f->state.counters.missing;

	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0x4), WEFT_ST_OK);
	assert_int_equal(*missing, 1);
	/* Of another chunk, another shard, another store than the slot's: nothing. */
	assert_int_equal(report(f, WEFT_REQ_SHARDS_STORED, group, 1, 2, 3, f->counter + 1),
			 WEFT_ST_OK);
	assert_int_equal(report(f, WEFT_REQ_SHARDS_STORED, group, 1, 1, 2, f->counter), WEFT_ST_OK);
	assert_int_equal(report(f, WEFT_REQ_SHARDS_STORED, group, 7, 2, 3, f->counter), WEFT_ST_OK);
	assert_int_equal(*missing, 1);
	assert_int_equal(report(f, WEFT_REQ_SHARDS_STORED, group, 1, 2, 3, f->counter), WEFT_ST_OK);
	assert_int_equal(*missing, 0);
	fixture_check(f);
	/*
	 * Two may be missing of 2+2, a third is not believed; nor is a store that does not have it
	 * anyway.
	 */
	assert_int_equal(report(f, WEFT_REQ_SHARDS_MISSING, group, 1, 0, 1, f->counter),
			 WEFT_ST_OK);
	assert_int_equal(report(f, WEFT_REQ_SHARDS_MISSING, group, 1, 1, 7, f->counter),
			 WEFT_ST_OK);
	assert_int_equal(*missing, 1);
	assert_int_equal(report(f, WEFT_REQ_SHARDS_MISSING, group, 1, 1, 2, f->counter),
			 WEFT_ST_OK);
	assert_int_equal(report(f, WEFT_REQ_SHARDS_MISSING, group, 1, 2, 3, f->counter),
			 WEFT_ST_OK);
	assert_int_equal(*missing, 2);
	/* A spare counts. */
	assert_int_equal(report(f, WEFT_REQ_SHARDS_STORED, group, 1, 0, 8, f->counter), WEFT_ST_OK);
	assert_int_equal(*missing, 1);
}

static void healed_counts_only_with_the_same_checksum(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file");
	struct weft_e_shards body = { .count = cpu_to_le32(1) };
	struct weft_shard_report healed = { .group = cpu_to_le64(group), .number = cpu_to_le64(1),
					     .index = cpu_to_le32(3), .store = cpu_to_le32(4) };
	struct meta_buffer entry = { 0 };

	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0x8), WEFT_ST_OK);
	healed.sid = (struct weft_sid){ cpu_to_le64(f->session), cpu_to_le64(f->counter) };
	for (u32 crc = 102; crc <= 103; crc++) {
		healed.status = cpu_to_le32(crc);
		assert_int_equal(meta_entry_begin(&entry, WEFT_ME_HEALED), 0);
		assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
		assert_int_equal(meta_buffer_put(&entry, &healed, sizeof(healed)), 0);
		assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
		assert_int_equal(le64_to_cpu(f->state.counters.missing), crc == 103 ? 0 : 1);
		fixture_check(f);
	}
	meta_buffer_free(&entry);
}

/* ---- live, condemned, deleting, gone ---- */

static void chunks_entry(struct meta_fixture *f, enum weft_m_entry_type type, u64 group, u64 number,
			 u64 since, u32 mask)
{
	struct weft_e_chunks body = { .count = cpu_to_le32(1) };
	struct weft_e_chunk chunk = { cpu_to_le64(group), cpu_to_le64(number), cpu_to_le64(since),
				      cpu_to_le32(mask), 0 };
	struct meta_buffer entry = { 0 };

	assert_int_equal(meta_entry_begin(&entry, type), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, &chunk, sizeof(chunk)), 0);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
}

static u8 chunk_state(struct meta_fixture *f, u64 group, u64 number, u64 *since)
{
	struct meta_chunk chunk;
	int err;

	assert_int_equal(meta_state_read(&f->state), 0);
	err = meta_chunk_get(&f->state.txn, group, number, &chunk);
	if (err == -ENOENT)
		return 0;
	assert_int_equal(err, 0);
	*since = le64_to_cpu(chunk.head.condemned_ns);
	return chunk.head.state;
}

static void a_chunk_is_deleted_in_order_and_revived_before(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file"), since = 0;
	struct weft_extent again = { .length = cpu_to_le64(BLOCK),
				     .group = cpu_to_le64(group),
				     .number = cpu_to_le64(1) };

	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0x1), WEFT_ST_OK);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_LIVE);
	chunks_entry(f, WEFT_ME_DELETING, group, 1, 0, 0);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_LIVE);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_CONDEMNED);
	fixture_check(f);
	/* Revived, condemned again: what was decided about the first time does not count. */
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_extents(f, &again, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	chunks_entry(f, WEFT_ME_DELETING, group, 1, since, 0);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_CONDEMNED);
	chunks_entry(f, WEFT_ME_DELETING, group, 1, since, 0);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_DELETING);
	assert_int_equal(le64_to_cpu(f->state.counters.missing), 0);
	fixture_check(f);
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_extents(f, &again, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_NEED);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, since, 0x7);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_DELETING);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, since, 0x8);
	assert_int_equal(chunk_state(f, group, 1, &since), 0);
	/* Its number never comes again. */
	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(chunk_state(f, group, 2, &since), WEFT_MC_LIVE);
}

/* A rebuild of shard 3 that ended at a store. */
static void healed_at(struct meta_fixture *f, u64 group, u32 store)
{
	struct weft_e_shards body = { .count = cpu_to_le32(1) };
	struct weft_shard_report healed = { .group = cpu_to_le64(group), .number = cpu_to_le64(1),
					     .index = cpu_to_le32(3), .store = cpu_to_le32(store),
					     .status = cpu_to_le32(103) };
	struct meta_buffer entry = { 0 };

	healed.sid = (struct weft_sid){ cpu_to_le64(f->session), cpu_to_le64(f->counter) };
	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_HEALED), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, &healed, sizeof(healed)), 0);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
}

static u32 place_of(struct meta_fixture *f, u64 group, u8 index)
{
	struct meta_chunk chunk;

	assert_int_equal(meta_chunk_get(&f->state.txn, group, 1, &chunk), 0);
	return meta_chunk_store(&chunk, index, index + 1u);
}

/* A shard that a worker, or the mount, brought while the chunk is deleted is deleted as well. */
static void a_shard_that_comes_late_is_deleted_too(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file"), decided, since;

	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0x8), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_CONDEMNED);
	chunks_entry(f, WEFT_ME_DELETING, group, 1, since, 0);
	assert_int_equal(chunk_state(f, group, 1, &decided), WEFT_MC_DELETING);
	/* The leader has asked the slot's store, which had nothing; the shard is at a spare. */
	healed_at(f, group, 8);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, decided, 0xf);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_DELETING);
	assert_int_equal(place_of(f, group, 3), 8);
	fixture_check(f);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, since, 0xb);
	/* Deleted already, and then it came: once more. */
	assert_int_equal(report(f, WEFT_REQ_SHARDS_STORED, group, 1, 1, 2, f->counter), WEFT_ST_OK);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, since, 0x6);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_DELETING);
	assert_int_equal(place_of(f, group, 1), 2);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, since, 0x4);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_DELETING);
	chunks_entry(f, WEFT_ME_DELETED, group, 1, since, 0x2);
	assert_int_equal(chunk_state(f, group, 1, &since), 0);
}

/*
 * A reference that gets lost when an extent is split is found by comparing extents and references.
 */
static void a_lost_reference_is_found(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), ino = make(f, "file"), since;

	meta_bugs = META_BUG_LOSE_REF;
	assert_int_equal(fixture_write(f, ino, group, 0, 3 * BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, ino, group, BLOCK, BLOCK, 0), WEFT_ST_OK);
	meta_bugs = 0;
	/*
	 * Half of it goes: with the reference lost, the chunk would be condemned under the other
	 * half.
	 */
	assert_int_equal(fixture_truncate(f, ino, 2 * BLOCK), WEFT_ST_OK);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_CONDEMNED);
	/* Put it right for the check at the end. */
	assert_int_equal(meta_state_write(&f->state), 0);
	assert_int_equal(meta_chunk_ref(&f->state, group, 1), 0);
	assert_int_equal(meta_usage_flush(&f->state), 0);
}

int main(void)
{
	const char *given = getenv("SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_overlap_of_two_extents, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(random_writes_match_a_model_of_every_block, fixture_setup_2_2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(long_requests_go_on_in_steps, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_cut_commit_goes_on_with_its_repeat, fixture_setup_2_2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(a_cut_commit_ends_with_its_session, fixture_setup_2_2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(commit_wants_enough_shards, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(commit_refuses, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(unused_chunk_is_condemned, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(compressed_chunks_are_counted_while_they_live, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(commit_refuses_impossible_forms, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(inline_content_comes_and_goes, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(reports_move_exceptions, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(healed_counts_only_with_the_same_checksum, fixture_setup_2_2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(a_chunk_is_deleted_in_order_and_revived_before,
						fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_shard_that_comes_late_is_deleted_too, fixture_setup_2_2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(a_lost_reference_is_found, fixture_setup_2_2, fixture_teardown),
	};

	seed = given ? strtoull(given, NULL, 0) : (u64)time(NULL) | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
