// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_clone.c - chunks that several extents of several files share: against a model of every
 * block, in steps, cut off between them, and their lives
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "meta_fixture.h"

#define BLOCK  4096u
#define PIECES 2000u /* more than one entry clones */

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

static u64 make_group(struct meta_fixture *f)
{
	u64 group;

	assert_int_equal(fixture_group(f, 1, 1, 1, &group), WEFT_ST_OK);
	return group;
}

static u32 commit_inline(struct meta_fixture *f, u64 ino, const void *data, u32 len)
{
	fixture_commit_begin(f, ino, len, WEFT_CF_INLINE);
	tlv_put(&f->payload, WEFT_P_DATA, data, len);
	return fixture_commit_end(f, 2);
}

static void expect_size(struct meta_fixture *f, u64 ino, u64 size, u64 bytes)
{
	struct weft_attr attr;

	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.size), size);
	assert_int_equal(le64_to_cpu(attr.bytes), bytes);
}

static u64 answered_length(struct meta_fixture *f)
{
	struct tlv tlv = fixture_answer(f, WEFT_P_LENGTH);
	u64 length;

	assert_int_equal(tlv_u64(&tlv, &length), 0);
	return length;
}

/* What a block of a file shows: which block of which chunk; 0: a hole. */
struct block {
	u64 number;
	u32 offset;
};

static void put_blocks(const struct tlv *tlv, struct block *blocks, size_t n)
{
	struct weft_extent extent;
	u64 first, end;

	for (size_t i = 0; i < tlv->len / sizeof(extent); i++) {
		memcpy(&extent, (const u8 *)tlv->data + i * sizeof(extent), sizeof(extent));
		first = le64_to_cpu(extent.offset);
		end = first + le64_to_cpu(extent.length);
		for (u64 b = first / BLOCK; b * BLOCK < end && b < n; b++)
			blocks[b] = (struct block){ le64_to_cpu(extent.number),
						    le32_to_cpu(extent.chunk_offset) +
							    (u32)(b * BLOCK - first) };
	}
}

static void read_blocks(struct meta_fixture *f, u64 ino, struct block *blocks, size_t n)
{
	u64 at = 0, next;
	struct tlv tlv;

	memset(blocks, 0, n * sizeof(*blocks));
	while (at < n * BLOCK) {
		fixture_payload(f);
		tlv_put_u64(&f->payload, WEFT_P_INO, ino);
		tlv_put_u64(&f->payload, WEFT_P_OFFSET, at);
		tlv_put_u64(&f->payload, WEFT_P_LENGTH, n * BLOCK - at);
		assert_int_equal(fixture_read(f, WEFT_REQ_EXTENTS), WEFT_ST_OK);
		tlv = fixture_answer(f, WEFT_P_EXTENTS);
		put_blocks(&tlv, blocks, n);
		tlv = fixture_answer(f, WEFT_P_NEXT);
		assert_int_equal(tlv_u64(&tlv, &next), 0);
		assert_true(next > at);
		at = next;
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

/* The first blocks of both are the same blocks of the same chunks, and none is a hole. */
static void expect_same(struct meta_fixture *f, u64 ino, u64 other, size_t n)
{
	struct block *blocks = calloc(n, sizeof(*blocks));

	assert_non_null(blocks);
	read_blocks(f, ino, blocks, n);
	for (size_t i = 0; i < n; i++)
		assert_true(blocks[i].number);
	expect_blocks(f, other, blocks, n);
	free(blocks);
}

static u8 chunk_state(struct meta_fixture *f, u64 group, u64 number, u64 *since)
{
	struct meta_chunk chunk;

	assert_int_equal(meta_state_read(&f->state), 0);
	assert_int_equal(meta_chunk_get(&f->state.txn, group, number, &chunk), 0);
	*since = le64_to_cpu(chunk.head.condemned_ns);
	return chunk.head.state;
}

static u64 chunk_refs(struct meta_fixture *f, u64 group, u64 number)
{
	struct meta_chunk chunk;

	assert_int_equal(meta_state_read(&f->state), 0);
	assert_int_equal(meta_chunk_get(&f->state.txn, group, number, &chunk), 0);
	return le64_to_cpu(chunk.head.refs);
}

static void begin_deleting(struct meta_fixture *f, u64 group, u64 number, u64 since)
{
	struct weft_e_chunks body = { .count = cpu_to_le32(1) };
	struct weft_e_chunk chunk = { .group = cpu_to_le64(group),
				      .number = cpu_to_le64(number),
				      .condemned_ns = cpu_to_le64(since) };
	struct meta_buffer entry = { 0 };

	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_DELETING), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, &chunk, sizeof(chunk)), 0);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
}

static void remove_file(struct meta_fixture *f, const char *name, u64 ino)
{
	assert_int_equal(fixture_unlink(f, f->root, name, false), WEFT_ST_OK);
	assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
}

/* ---- Lives of shared chunks ---- */

static void invariant_5_a_shared_chunk_stays_until_its_last_file_goes(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy"), since;

	assert_int_equal(fixture_write(f, first, group, 0, 4 * BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, 4 * BLOCK), WEFT_ST_OK);
	assert_int_equal(answered_length(f), 4 * BLOCK);
	expect_size(f, copy, 4 * BLOCK, 4 * BLOCK);
	expect_same(f, first, copy, 4);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 1);
	assert_int_equal(le64_to_cpu(f->state.counters.plain_bytes), 4 * BLOCK);
	assert_int_equal(chunk_refs(f, group, 1), 2);

	remove_file(f, "first", first);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_LIVE);
	begin_deleting(f, group, 1, since);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_LIVE);
	fixture_check(f);
	remove_file(f, "copy", copy);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_CONDEMNED);
	begin_deleting(f, group, 1, since);
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_DELETING);
}

/* Overwritten in part in either file, cut short, split by a clone of its own middle. */
static void each_file_goes_its_own_way(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy");
	const struct block first_model[8] = { { 1, 0 }, { 2, 0 }, { 1, 2 * BLOCK }, { 1, 3 * BLOCK } };
	const struct block copy_model[8] = { { 1, 0 }, { 1, BLOCK }, { 1, 0 }, { 1, BLOCK } };

	assert_int_equal(fixture_write(f, first, group, 0, 4 * BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, 4 * BLOCK), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, first, group, BLOCK, BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, copy, 0, copy, 2 * BLOCK, 2 * BLOCK), WEFT_ST_OK);
	expect_blocks(f, first, first_model, 8);
	expect_blocks(f, copy, copy_model, 8);
	assert_int_equal(chunk_refs(f, group, 1), 4);
	assert_int_equal(fixture_truncate(f, first, 0), WEFT_ST_OK);
	assert_int_equal(chunk_refs(f, group, 1), 2);
	assert_int_equal(fixture_truncate(f, copy, BLOCK), WEFT_ST_OK);
	assert_int_equal(chunk_refs(f, group, 1), 1);
	expect_size(f, copy, BLOCK, BLOCK);
}

/* Holes become holes, also where the destination had something, and at the end. */
static void holes_are_cloned(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy");
	const struct block model[10] = { { 2, 0 }, { 0, 0 }, { 0, 0 }, { 1, 0 }, { 0, 0 },
					 { 0, 0 }, { 2, 6 * BLOCK }, { 2, 7 * BLOCK } };

	assert_int_equal(fixture_write(f, first, group, 2 * BLOCK, BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, first, 100 * BLOCK), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, copy, group, 0, 8 * BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, copy, BLOCK, 5 * BLOCK), WEFT_ST_OK);
	expect_blocks(f, copy, model, 10);
	expect_size(f, copy, 8 * BLOCK, 4 * BLOCK);
	assert_int_equal(fixture_clone(f, first, 50 * BLOCK, copy, 20 * BLOCK, 50 * BLOCK), WEFT_ST_OK);
	expect_size(f, copy, 70 * BLOCK, 4 * BLOCK);
}

/* ---- Against a model ---- */

enum { FILES = 4, N = 120 };

struct model {
	u64 ino[FILES];
	u64 size[FILES]; /* in blocks */
	struct block blocks[FILES][N];
	u64 number;
};

static void random_clone(struct meta_fixture *f, struct model *m)
{
	unsigned int a = next_random() % FILES, b = next_random() % FILES;
	u64 from, to, length;

	if (!m->size[a])
		return;
	from = next_random() % m->size[a];
	length = 1 + next_random() % (m->size[a] - from);
	to = next_random() % N;
	if (to + length > N || (a == b && from < to + length && to < from + length))
		return;
	assert_int_equal(fixture_clone(f, m->ino[a], from * BLOCK, m->ino[b], to * BLOCK,
				       length * BLOCK),
			 WEFT_ST_OK);
	assert_int_equal(answered_length(f), length * BLOCK);
	memmove(&m->blocks[b][to], &m->blocks[a][from], length * sizeof(struct block));
	if (to + length > m->size[b])
		m->size[b] = to + length;
}

static void random_write(struct meta_fixture *f, struct model *m, u64 group)
{
	unsigned int a = next_random() % FILES;
	u64 at = next_random() % N, length = 1 + next_random() % 24;

	if (at + length > N)
		length = N - at;
	m->number++;
	assert_int_equal(fixture_write(f, m->ino[a], group, at * BLOCK, (u32)(length * BLOCK), 0),
			 WEFT_ST_OK);
	for (u64 i = 0; i < length; i++)
		m->blocks[a][at + i] = (struct block){ m->number, (u32)(i * BLOCK) };
	if (at + length > m->size[a])
		m->size[a] = at + length;
}

static void random_truncate(struct meta_fixture *f, struct model *m)
{
	unsigned int a = next_random() % FILES;
	u64 size = next_random() % N;

	assert_int_equal(fixture_truncate(f, m->ino[a], size * BLOCK), WEFT_ST_OK);
	memset(&m->blocks[a][size], 0, (N - size) * sizeof(struct block));
	m->size[a] = size;
}

static void random_clones_match_a_model_of_every_block(void **state)
{
	struct meta_fixture *f = *state;
	struct model *m = calloc(1, sizeof(*m));
	u64 group = make_group(f);
	char name[16];

	assert_non_null(m);
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%u", i);
		m->ino[i] = make(f, name);
	}
	for (unsigned int round = 0; round < 2000; round++) {
		u64 what = next_random() % 10;

		if (what < 5)
			random_clone(f, m);
		else if (what < 9)
			random_write(f, m, group);
		else
			random_truncate(f, m);
		if (next_random() % 300 == 0)
			fixture_reopen(f);
		if (round % 100 == 99) {
			for (unsigned int i = 0; i < FILES; i++)
				expect_blocks(f, m->ino[i], m->blocks[i], N);
			fixture_check(f);
		}
	}
	free(m);
}

/* ---- In steps ---- */

/* Pieces of one block each, every one a chunk. */
static u64 make_pieces(struct meta_fixture *f, const char *name, u64 group)
{
	u64 ino = make(f, name);

	for (u64 i = 0; i < PIECES; i++)
		assert_int_equal(fixture_write(f, ino, group, i * BLOCK, BLOCK, 0), WEFT_ST_OK);
	return ino;
}

/* The first step of a clone of all of it; the entry, for more. */
static void first_step(struct meta_fixture *f, u64 source, u64 ino, struct meta_buffer *entry)
{
	struct meta_ask ask;
	const char *why;

	fixture_clone_payload(f, source, 0, ino, 0, PIECES * BLOCK);
	assert_int_equal(meta_request_parse(WEFT_REQ_CLONE, f->session, ++f->sequence[4], 4,
					    f->payload.data, f->payload.len, entry, &ask, &why),
			 WEFT_ST_OK);
	meta_entry_end(entry, f->time_ns);
	tlv_writer_reset(&f->outcome.answer);
	assert_int_equal(meta_apply(&f->state, ++f->index, 1, entry->data, entry->len, &f->outcome),
			 0);
	assert_int_equal(f->outcome.status, META_MORE);
}

/* Over a file that has as much itself; the service stops in between; the repeat is answered. */
static void a_large_clone_goes_on_in_steps(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make_pieces(f, "first", group);
	u64 copy = make_pieces(f, "copy", group);
	struct meta_buffer entry = { 0 };

	f->most_records = 0;
	first_step(f, first, copy, &entry);
	fixture_reopen(f);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	assert_true(f->steps > 5);
	assert_true(f->most_records <= WEFT_M_ENTRY_RECORDS + 16);
	assert_int_equal(answered_length(f), PIECES * BLOCK);
	expect_same(f, first, copy, PIECES);
	expect_size(f, copy, PIECES * BLOCK, PIECES * BLOCK);
	assert_int_equal(le64_to_cpu(f->state.counters.condemned), PIECES);
	/* Once more: answered, not run, though the copy has gone its own way. */
	assert_int_equal(fixture_truncate(f, copy, 0), WEFT_ST_OK);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	assert_int_equal(f->steps, 1);
	assert_int_equal(answered_length(f), PIECES * BLOCK);
	expect_size(f, copy, 0, 0);
	meta_buffer_free(&entry);
}

/* What was done when the session ended is a shorter clone, with nothing behind its size. */
static void a_cut_clone_is_a_shorter_one(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make_pieces(f, "first", group), copy = make(f, "copy");
	struct meta_buffer entry = { 0 };
	struct weft_attr attr;
	u64 size;

	first_step(f, first, copy, &entry);
	meta_buffer_free(&entry);
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	fixture_check(f);
	assert_int_equal(fixture_mount(f, 2, 0, &f->session), WEFT_ST_OK);
	assert_int_equal(fixture_getattr(f, copy, &attr), WEFT_ST_OK);
	size = le64_to_cpu(attr.size);
	assert_in_range(size, BLOCK, (PIECES - 1) * BLOCK);
	assert_int_equal(le64_to_cpu(attr.bytes), size);
	expect_same(f, first, copy, size / BLOCK);
	/* The next session's growth shows nothing. */
	assert_int_equal(fixture_truncate(f, copy, PIECES * BLOCK), WEFT_ST_OK);
	expect_size(f, copy, PIECES * BLOCK, size);
}

/* Somebody made the source shorter between the steps: the clone ends, and says where. */
static void a_source_that_became_shorter_ends_the_clone(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make_pieces(f, "first", group), copy = make(f, "copy");
	struct meta_buffer entry = { 0 };
	u64 length;

	first_step(f, first, copy, &entry);
	assert_int_equal(fixture_truncate(f, first, BLOCK), WEFT_ST_OK);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
	length = answered_length(f);
	assert_in_range(length, BLOCK, (PIECES - 1) * BLOCK);
	expect_size(f, copy, length, length);
}

/* What an earlier session left behind the size does not show up between the end and the clone. */
static void what_was_left_behind_goes_first(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy");
	struct weft_extent left = { .offset = cpu_to_le64(2 * BLOCK), .length = cpu_to_le64(BLOCK) };
	const struct block model[6] = { { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 }, { 1, 0 } };

	assert_int_equal(fixture_write(f, first, group, 0, BLOCK, 0), WEFT_ST_OK);
	fixture_commit_begin(f, copy, 0, 0);
	fixture_commit_chunk(f, group, BLOCK, 0);
	fixture_commit_extents(f, &left, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	assert_int_equal(fixture_mount(f, 2, 0, &f->session), WEFT_ST_OK);
	memset(f->sequence, 0, sizeof(f->sequence));
	assert_int_equal(fixture_clone(f, first, 0, copy, 4 * BLOCK, BLOCK), WEFT_ST_OK);
	expect_blocks(f, copy, model, 6);
	expect_size(f, copy, 5 * BLOCK, BLOCK);
}

/* ---- Inline content ---- */

static void expect_inline(struct meta_fixture *f, u64 ino, const char *text)
{
	struct weft_attr attr;
	struct tlv data;

	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_true(le32_to_cpu(attr.flags) & WEFT_AF_INLINE);
	assert_int_equal(le64_to_cpu(attr.bytes), strlen(text));
	data = fixture_answer(f, WEFT_P_DATA);
	assert_int_equal(data.len, strlen(text));
	assert_memory_equal(data.data, text, data.len);
}

static void inline_content_is_copied_as_a_whole_or_not(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy");
	u64 large = make(f, "large"), part = make(f, "part"), since;

	assert_int_equal(commit_inline(f, first, "hello, world", 12), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, 12), WEFT_ST_OK);
	expect_inline(f, copy, "hello, world");
	expect_size(f, copy, 12, 12);
	assert_int_equal(fixture_clone(f, first, 0, part, 0, 5), WEFT_ST_OK);
	expect_inline(f, part, "hello");
	expect_size(f, part, 5, 5);
	/* Over longer content, or anywhere but to the beginning: not. */
	assert_int_equal(commit_inline(f, copy, "a longer content", 16), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, 12), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, 0, copy, BLOCK, 12), WEFT_ST_INVAL);
	expect_inline(f, copy, "a longer content");
	/* Over content in chunks that all goes. */
	assert_int_equal(fixture_write(f, large, group, 0, 10, 0), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, large, 0, 12), WEFT_ST_OK);
	expect_inline(f, large, "hello, world");
	assert_int_equal(chunk_state(f, group, 1, &since), WEFT_MC_CONDEMNED);
}

static void inline_content_goes_if_all_of_it_is_replaced(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy");
	struct weft_attr attr;

	assert_int_equal(fixture_write(f, first, group, 0, 2 * BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(commit_inline(f, copy, "hello", 5), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, first, 0, copy, BLOCK, BLOCK), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, 4), WEFT_ST_INVAL);
	expect_inline(f, copy, "hello");
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, BLOCK), WEFT_ST_OK);
	expect_size(f, copy, BLOCK, BLOCK);
	assert_int_equal(fixture_getattr(f, copy, &attr), WEFT_ST_OK);
	assert_false(le32_to_cpu(attr.flags) & WEFT_AF_INLINE);
	expect_same(f, first, copy, 1);
}

/* ---- What is refused ---- */

static void clone_refuses(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), first = make(f, "first"), copy = make(f, "copy"), dir, session;

	assert_int_equal(fixture_create(f, f->root, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, first, group, 0, 4 * BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_clone(f, dir, 0, copy, 0, BLOCK), WEFT_ST_ISDIR);
	assert_int_equal(fixture_clone(f, first, 0, dir, 0, BLOCK), WEFT_ST_ISDIR);
	assert_int_equal(fixture_clone(f, 4711, 0, copy, 0, BLOCK), WEFT_ST_STALE);
	assert_int_equal(fixture_clone(f, first, 0, 4711, 0, BLOCK), WEFT_ST_STALE);
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, 0), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, BLOCK, copy, 0, 4 * BLOCK), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, META_SIZE_MAX, copy, 0, BLOCK), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, 0, copy, META_SIZE_MAX, BLOCK), WEFT_ST_FBIG);
	assert_int_equal(fixture_clone(f, first, 0, first, BLOCK, 2 * BLOCK), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, BLOCK, first, 0, 2 * BLOCK), WEFT_ST_INVAL);
	assert_int_equal(fixture_clone(f, first, 0, first, 2 * BLOCK, 2 * BLOCK), WEFT_ST_OK);
	expect_size(f, copy, 0, 0);
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	session = f->session;
	assert_int_equal(fixture_mount(f, 2, WEFT_MSF_READONLY, &f->session), WEFT_ST_OK);
	assert_true(f->session != session);
	memset(f->sequence, 0, sizeof(f->sequence));
	assert_int_equal(fixture_clone(f, first, 0, copy, 0, BLOCK), WEFT_ST_ROFS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup_2_2, fixture_teardown)

int main(void)
{
	const char *given = getenv("SEED");
	const struct CMUnitTest tests[] = {
		CASE(invariant_5_a_shared_chunk_stays_until_its_last_file_goes),
		CASE(each_file_goes_its_own_way),
		CASE(holes_are_cloned),
		CASE(random_clones_match_a_model_of_every_block),
		CASE(a_large_clone_goes_on_in_steps),
		CASE(a_cut_clone_is_a_shorter_one),
		CASE(a_source_that_became_shorter_ends_the_clone),
		CASE(what_was_left_behind_goes_first),
		CASE(inline_content_is_copied_as_a_whole_or_not),
		CASE(inline_content_goes_if_all_of_it_is_replaced),
		CASE(clone_refuses),
	};

	seed = given ? strtoull(given, NULL, 0) : (u64)time(NULL) | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
