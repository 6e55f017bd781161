// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_dedup.c - contents that are there already: who is told of them, who may refer to them, and
 * what happens when they go in between
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meta_fixture.h"

#define LEN 131072u

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

/* ---- Writing ---- */

static u32 write_content(struct meta_fixture *f, u64 ino, u64 group, u32 content, u32 missing, u32 flags)
{
	struct weft_extent extent = { .length = cpu_to_le64(LEN) };

	fixture_commit_begin(f, ino, LEN, 0);
	fixture_commit_content(f, group, LEN, missing, content, flags);
	fixture_commit_extents(f, &extent, 1);
	return fixture_commit_end(f, 2);
}

/* The file becomes what that chunk is. */
static u32 refer(struct meta_fixture *f, u64 ino, u64 group, u64 number)
{
	struct weft_extent extent = { .length = cpu_to_le64(LEN),
				      .group = cpu_to_le64(group),
				      .number = cpu_to_le64(number) };

	fixture_commit_begin(f, ino, LEN, 0);
	fixture_commit_extents(f, &extent, 1);
	return fixture_commit_end(f, 2);
}

static u64 number_of(struct meta_fixture *f, unsigned int which)
{
	struct tlv tlv = fixture_answer(f, WEFT_P_NUMBERS);
	__le64 number;

	assert_true(tlv.len >= (which + 1) * sizeof(number));
	memcpy(&number, (const u8 *)tlv.data + which * sizeof(number), sizeof(number));
	return le64_to_cpu(number);
}

static u64 refs(struct meta_fixture *f, u64 group, u64 number)
{
	struct meta_chunk chunk;

	assert_int_equal(meta_chunk_get(&f->state.txn, group, number, &chunk), 0);
	return le64_to_cpu(chunk.head.refs);
}

/* 0: there is none. */
static u8 chunk_state(struct meta_fixture *f, u64 group, u64 number)
{
	struct meta_chunk chunk;
	int err = meta_chunk_get(&f->state.txn, group, number, &chunk);

	return err ? 0 : chunk.head.state;
}

static void remove_file(struct meta_fixture *f, const char *name, u64 ino)
{
	assert_int_equal(fixture_unlink(f, f->root, name, false), WEFT_ST_OK);
	assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
}

/* An entry DELETING or DELETED for one chunk, as its record stands. */
static void delete_step(struct meta_fixture *f, enum weft_m_entry_type type, u64 group, u64 number)
{
	struct weft_e_chunks body = { .count = cpu_to_le32(1) };
	struct meta_buffer entry = { 0 };
	struct weft_e_chunk one;
	struct meta_chunk chunk;

	assert_int_equal(meta_chunk_get(&f->state.txn, group, number, &chunk), 0);
	one = (struct weft_e_chunk){ .group = cpu_to_le64(group),
				     .number = cpu_to_le64(number),
				     .condemned_ns = chunk.head.condemned_ns,
				     .deleted = cpu_to_le32(0xffffffff) };
	assert_int_equal(meta_entry_begin(&entry, type), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, &one, sizeof(one)), 0);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
}

/* ---- Asking ---- */

static bool is_up;

static bool judge_healthy(void *ctx, const struct meta_chunk *chunk, const struct meta_group *group)
{
	assert_int_equal(chunk->group, group->group);
	return is_up;
}

/* Asks for one content; the answer's status must be OK. Returns what was found. */
static enum weft_found ask(struct meta_fixture *f, u32 content, u64 *group, u64 *number)
{
	static const struct meta_dedup_judge judge = { .healthy = judge_healthy };
	struct weft_chunk_ask question = { .plain_len = cpu_to_le32(LEN) };
	struct weft_chunk_found found;
	struct weft_chunk_info info;
	struct tlv tlv;

	fixture_content_id(content, question.content_id);
	tlv_writer_reset(&f->outcome.answer);
	assert_int_equal(meta_dedup_answer(&f->state, f->session, &question, 1, &judge, &f->outcome),
			 0);
	assert_int_equal(f->outcome.status, WEFT_ST_OK);
	tlv = fixture_answer(f, WEFT_P_FOUND);
	assert_int_equal(tlv.len, sizeof(found));
	memcpy(&found, tlv.data, sizeof(found));
	assert_int_equal(found.index, 0);
	if (le32_to_cpu(found.what) != WEFT_FOUND_EXISTS)
		return le32_to_cpu(found.what);
	tlv = fixture_answer(f, WEFT_P_CHUNK);
	memcpy(&info, tlv.data, sizeof(info));
	assert_int_equal(info.group, found.group);
	assert_int_equal(info.number, found.number);
	assert_int_equal(le32_to_cpu(info.plain_len), LEN);
	*group = le64_to_cpu(found.group);
	*number = le64_to_cpu(found.number);
	return WEFT_FOUND_EXISTS;
}

static void what_is_there_is_found(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a"), b = make(f, "b"), in, number;

	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_NEW);
	assert_int_equal(write_content(f, a, group, 7, 0, 0), WEFT_ST_OK);
	assert_int_equal(ask(f, 8, &in, &number), WEFT_FOUND_NEW);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(in, group);
	assert_int_equal(refer(f, b, in, number), WEFT_ST_OK);
	assert_int_equal(refs(f, group, number), 2);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 1);
	/* One goes, then the other. */
	remove_file(f, "a", a);
	assert_int_equal(chunk_state(f, group, number), WEFT_MC_LIVE);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	remove_file(f, "b", b);
	assert_int_equal(chunk_state(f, group, number), WEFT_MC_CONDEMNED);
}

/* Questions of a batch have their answers in order; a chunk that two are for is described once. */
static void a_batch_is_answered_as_one(void **state)
{
	static const struct meta_dedup_judge judge = { .healthy = judge_healthy };
	struct meta_fixture *f = *state;
	struct weft_chunk_ask asks[3] = { { .plain_len = cpu_to_le32(LEN) },
					  { .plain_len = cpu_to_le32(LEN) },
					  { .plain_len = cpu_to_le32(LEN) } };
	u64 group = make_group(f, 2, 2);
	unsigned int chunks = 0;
	struct weft_chunk_found found[3];
	struct tlv_reader reader;
	struct tlv tlv;

	assert_int_equal(write_content(f, make(f, "a"), group, 7, 0, 0), WEFT_ST_OK);
	fixture_content_id(7, asks[0].content_id);
	fixture_content_id(8, asks[1].content_id);
	fixture_content_id(7, asks[2].content_id);
	fixture_payload(f);
	tlv_put(&f->payload, WEFT_P_ASK, asks, sizeof(asks));
	tlv_writer_reset(&f->outcome.answer);
	assert_int_equal(meta_dedup_answer(&f->state, f->session, asks, 3, &judge, &f->outcome), 0);
	tlv = fixture_answer(f, WEFT_P_FOUND);
	assert_int_equal(tlv.len, sizeof(found));
	memcpy(found, tlv.data, sizeof(found));
	assert_int_equal(le32_to_cpu(found[0].what), WEFT_FOUND_EXISTS);
	assert_int_equal(le32_to_cpu(found[1].what), WEFT_FOUND_NEW);
	assert_int_equal(le32_to_cpu(found[1].index), 1);
	assert_int_equal(le32_to_cpu(found[2].what), WEFT_FOUND_EXISTS);
	tlv_reader_init(&reader, f->outcome.answer.data, f->outcome.answer.len);
	while (tlv_next(&reader, &tlv) == 1)
		chunks += tlv.type == WEFT_P_CHUNK;
	assert_int_equal(chunks, 1);
}

static void who_has_no_session_is_told_nothing(void **state)
{
	static const struct meta_dedup_judge judge = { .healthy = judge_healthy };
	struct meta_fixture *f = *state;
	struct weft_chunk_ask question = { .plain_len = cpu_to_le32(LEN) };

	fixture_content_id(7, question.content_id);
	assert_int_equal(meta_dedup_answer(&f->state, 77, &question, 1, &judge, &f->outcome), 0);
	assert_int_equal(f->outcome.status, WEFT_ST_SESSION_LOST);
}

/* ---- Health ---- */

static void heal(struct meta_fixture *f, u64 group, u64 number, u32 index)
{
	struct weft_e_shards body = { .count = cpu_to_le32(1) };
	struct meta_buffer entry = { 0 };
	struct meta_chunk chunk;
	struct weft_shard_report report;

	assert_int_equal(meta_chunk_get(&f->state.txn, group, number, &chunk), 0);
	report = (struct weft_shard_report){ .group = cpu_to_le64(group),
					     .number = cpu_to_le64(number),
					     .sid = chunk.head.sid,
					     .index = cpu_to_le32(index),
					     .store = cpu_to_le32(7),
					     .status = chunk.crcs[index] };
	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_HEALED), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, &report, sizeof(report)), 0);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
}

static void what_is_not_whole_is_not_shared(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), weak = make_group(f, 2, 1), in, number;

	/* A shard is missing, until it is made again. */
	assert_int_equal(write_content(f, make(f, "a"), group, 7, 0x8, 0), WEFT_ST_OK);
	number = number_of(f, 0);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_NOTHING);
	heal(f, group, number, 3);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	/* A store is down: only the leader knows. */
	is_up = false;
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_NOTHING);
	is_up = true;
	/* Less may be lost of it than the volume wants. */
	assert_int_equal(write_content(f, make(f, "b"), weak, 9, 0, 0), WEFT_ST_OK);
	assert_int_equal(ask(f, 9, &in, &number), WEFT_FOUND_NOTHING);
}

/* A content whose chunk has lost something is written again: from then on that one is found. */
static void a_rewrite_takes_the_place(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a"), b = make(f, "b"), in, number, old, fresh;

	assert_int_equal(write_content(f, a, group, 7, 0x8, 0), WEFT_ST_OK);
	old = number_of(f, 0);
	assert_int_equal(write_content(f, b, group, 7, 0, 0), WEFT_ST_OK);
	fresh = number_of(f, 0);
	assert_int_not_equal(fresh, old);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(number, fresh);
	/* The old one leaves without taking the new one's place with it. */
	remove_file(f, "a", a);
	delete_step(f, WEFT_ME_DELETING, group, old);
	delete_step(f, WEFT_ME_DELETED, group, old);
	assert_int_equal(chunk_state(f, group, old), 0);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(number, fresh);
}

/* A chunk of which less may be lost, or more has to be there, does not stand for a new one; that one takes its place. */
static void what_is_less_safe_stands_for_nothing(void **state)
{
	static const u8 coded[] = { 2, 1, 2, 2, 3, 2, 1, 2 }; /* k, m: after the first, safer, less so, safer */
	struct meta_fixture *f = *state;
	u64 in, number, groups[4], written[4];
	char name[2] = "a";

	for (unsigned int i = 0; i < 4; i++) {
		groups[i] = make_group(f, coded[2 * i], coded[2 * i + 1]);
		assert_int_equal(write_content(f, make(f, name), groups[i], 7, 0, WEFT_NF_SHARE), WEFT_ST_OK);
		written[i] = number_of(f, 0);
		name[0]++;
	}
	assert_int_equal(refs(f, groups[0], written[0]), 1);
	/* The third one's extents went to the second. */
	assert_int_equal(written[2], written[1]);
	assert_int_equal(refs(f, groups[1], written[1]), 2);
	assert_int_equal(chunk_state(f, groups[2], 1), WEFT_MC_CONDEMNED);
	assert_int_equal(refs(f, groups[3], written[3]), 1);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(in, groups[3]);
}

/* ---- Deletion ---- */

/* What was said before is no pin: the COMMIT is told, and nothing has changed. */
static void invariant_5_what_is_being_deleted_is_not_shared(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a"), b = make(f, "b"), in, number, old;
	struct weft_attr attr;

	assert_int_equal(write_content(f, a, group, 7, 0, 0), WEFT_ST_OK);
	assert_int_equal(ask(f, 7, &in, &old), WEFT_FOUND_EXISTS);
	remove_file(f, "a", a);
	/* Condemned: it is found, and revived. */
	assert_int_equal(chunk_state(f, group, old), WEFT_MC_CONDEMNED);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(refer(f, b, in, number), WEFT_ST_OK);
	assert_int_equal(chunk_state(f, group, old), WEFT_MC_LIVE);
	/* An entry that was on its way when it was revived does nothing. */
	delete_step(f, WEFT_ME_DELETING, group, old);
	assert_int_equal(chunk_state(f, group, old), WEFT_MC_LIVE);
	assert_int_equal(fixture_truncate(f, b, 0), WEFT_ST_OK);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	delete_step(f, WEFT_ME_DELETING, group, old);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_NEW);
	assert_int_equal(refer(f, b, group, old), WEFT_ST_NEED);
	assert_int_equal(number_of(f, 0), old);
	assert_int_equal(fixture_getattr(f, b, &attr), WEFT_ST_OK);
	assert_int_equal(attr.bytes, 0);
	/* Twice, and when it is gone. */
	assert_int_equal(refer(f, b, group, old), WEFT_ST_NEED);
	delete_step(f, WEFT_ME_DELETED, group, old);
	assert_int_equal(refer(f, b, group, old), WEFT_ST_NEED);
	assert_int_equal(write_content(f, b, group, 7, 0, WEFT_NF_SHARE), WEFT_ST_OK);
	assert_int_not_equal(number_of(f, 0), old);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
}

/* It is written anew while the old one is on its way out, and leaves after that. */
static void the_old_one_leaves_after_the_new_one_came(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a"), in, number, old;

	assert_int_equal(write_content(f, a, group, 7, 0, 0), WEFT_ST_OK);
	old = number_of(f, 0);
	assert_int_equal(fixture_truncate(f, a, 0), WEFT_ST_OK);
	delete_step(f, WEFT_ME_DELETING, group, old);
	assert_int_equal(write_content(f, a, group, 7, 0, WEFT_NF_SHARE), WEFT_ST_OK);
	delete_step(f, WEFT_ME_DELETED, group, old);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_not_equal(number, old);
}

/* ---- The same content, written at the same time ---- */

static void of_two_at_once_one_is_kept(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_extent extents[2] = { { .length = cpu_to_le64(LEN) },
					  { .offset = cpu_to_le64(LEN),
					    .length = cpu_to_le64(LEN),
					    .number = cpu_to_le64(1) } };
	u64 group = make_group(f, 2, 2), a = make(f, "a"), kept;
	struct weft_chunk_found found;
	struct tlv tlv;

	fixture_commit_begin(f, a, 2 * LEN, 0);
	fixture_commit_content(f, group, LEN, 0, 7, WEFT_NF_SHARE);
	fixture_commit_content(f, group, LEN, 0, 7, WEFT_NF_SHARE);
	fixture_commit_extents(f, extents, 2);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	kept = number_of(f, 0);
	assert_int_equal(number_of(f, 1), kept);
	tlv = fixture_answer(f, WEFT_P_FOUND);
	assert_int_equal(tlv.len, sizeof(found));
	memcpy(&found, tlv.data, sizeof(found));
	assert_int_equal(le32_to_cpu(found.index), 1);
	assert_int_equal(le64_to_cpu(found.number), kept);
	assert_int_equal(refs(f, group, kept), 2);
	assert_int_equal(chunk_state(f, group, kept + 1), WEFT_MC_CONDEMNED);
	/* Another file, later, with an answer from before. */
	assert_int_equal(write_content(f, make(f, "b"), group, 7, 0, WEFT_NF_SHARE), WEFT_ST_OK);
	assert_int_equal(number_of(f, 0), kept);
	assert_int_equal(refs(f, group, kept), 3);
	/* A repeat is answered as the request was. */
	fixture_commit_begin(f, a, 2 * LEN, 0);
	fixture_commit_content(f, group, LEN, 0, 7, WEFT_NF_SHARE);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	assert_int_equal(number_of(f, 0), kept);
}

/* Who was told not to use it, or has not asked, is not given it: maybe its stores are down. */
static void who_was_not_told_gets_his_own(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), first, second, in, number;

	assert_int_equal(write_content(f, make(f, "a"), group, 7, 0, 0), WEFT_ST_OK);
	first = number_of(f, 0);
	assert_int_equal(write_content(f, make(f, "b"), group, 7, 0, 0), WEFT_ST_OK);
	second = number_of(f, 0);
	assert_int_not_equal(first, second);
	assert_int_equal(chunk_state(f, group, second), WEFT_MC_LIVE);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(number, first);
}

enum { STEPS_EXTENTS = 500 };

/* Begins a COMMIT of b in several steps: its second chunk is another's (content 7), the third is for the last step. */
static void commit_first_step(struct meta_fixture *f, u64 b, u64 group, struct meta_buffer *entry)
{
	enum { N = STEPS_EXTENTS };
	static struct weft_extent extents[N + 2];
	struct meta_ask parsed;
	const char *why;

	for (unsigned int i = 0; i < N; i++)
		extents[i] = (struct weft_extent){ .offset = cpu_to_le64(i * 8192),
						   .length = cpu_to_le64(4096),
						   .chunk_offset = cpu_to_le32(i % 16 * 8192) };
	for (unsigned int i = 0; i < 2; i++)
		extents[N + i] = (struct weft_extent){ .offset = cpu_to_le64(N * 8192 + i * LEN),
						       .length = cpu_to_le64(LEN),
						       .number = cpu_to_le64(i + 1) };
	fixture_commit_begin(f, b, N * 8192 + 2 * LEN, 0);
	fixture_commit_content(f, group, LEN, 0, 0, 0);
	fixture_commit_content(f, group, LEN, 0, 7, WEFT_NF_SHARE);
	fixture_commit_content(f, group, LEN, 0, 8, 0);
	fixture_commit_extents(f, extents, N + 2);
	assert_int_equal(tlv_finish(&f->payload), 0);
	assert_int_equal(meta_request_parse(WEFT_REQ_COMMIT, f->session, ++f->sequence[2], 2,
					    f->payload.data, f->payload.len, entry, &parsed, &why),
			 0);
	f->outcome.status = 0;
	meta_entry_end(entry, f->time_ns += 1000);
	assert_int_equal(meta_apply(&f->state, ++f->index, 1, entry->data, entry->len, &f->outcome), 0);
	assert_int_equal(f->outcome.status, META_MORE);
}

/*
 * A COMMIT of several steps whose second chunk is another's: that one goes between two steps. All that was new in it is to be
 * written anew, and what no extent came to refer to is not kept for nobody.
 */
static void a_chunk_that_goes_between_two_steps_is_needed(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a"), b = make(f, "b"), old, in, number;
	struct meta_buffer entry = { 0 };

	assert_int_equal(write_content(f, a, group, 7, 0, 0), WEFT_ST_OK);
	old = number_of(f, 0);
	assert_int_equal(fixture_truncate(f, a, 0), WEFT_ST_OK);
	commit_first_step(f, b, group, &entry);
	delete_step(f, WEFT_ME_DELETING, group, old);
	assert_int_equal(chunk_state(f, group, old), WEFT_MC_DELETING);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_NEED);
	assert_int_equal(fixture_answer(f, WEFT_P_NUMBERS).len, 3 * sizeof(__le64));
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(number_of(f, i), i);
	meta_buffer_free(&entry);
	assert_int_equal(chunk_state(f, group, old + 1), WEFT_MC_LIVE);
	assert_int_equal(chunk_state(f, group, old + 3), WEFT_MC_CONDEMNED);
	assert_int_equal(ask(f, 8, &in, &number), WEFT_FOUND_EXISTS);
	/* What it brought has gone into the file as far as it came. */
	assert_int_equal(fixture_truncate(f, b, 0), WEFT_ST_OK);
}

/*
 * A mount that brings the chunks of such a COMMIT again, with the names of their shards, would have two chunks with the same
 * shards, and lose both with one: it is told to write them anew, however long ago that was.
 */
static void what_was_given_up_is_not_taken_again(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a"), b = make(f, "b"), old, before, after;
	struct meta_buffer entry = { 0 };

	assert_int_equal(write_content(f, a, group, 7, 0, 0), WEFT_ST_OK);
	old = number_of(f, 0);
	assert_int_equal(fixture_truncate(f, a, 0), WEFT_ST_OK);
	before = f->counter;
	commit_first_step(f, b, group, &entry);
	after = f->counter;
	delete_step(f, WEFT_ME_DELETING, group, old);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_NEED);
	meta_buffer_free(&entry);
	for (unsigned int round = 0; round < 3; round++) {
		f->counter = before;
		while (f->counter < after)
			assert_int_equal(write_content(f, a, group, 9, 0, 0), WEFT_ST_NEED);
		if (round == 0)
			assert_int_equal(fixture_truncate(f, b, 0), WEFT_ST_OK);
		for (u64 number = old + 1; number <= old + 3; number++)
			if (round < 2 && chunk_state(f, group, number))
				delete_step(f, round ? WEFT_ME_DELETED : WEFT_ME_DELETING, group, number);
	}
	for (u64 number = old + 1; number <= old + 3; number++)
		assert_int_equal(chunk_state(f, group, number), 0);
	assert_int_equal(write_content(f, a, group, 9, 0, 0), WEFT_ST_OK);
}

/* ---- Domains ---- */

static void volumes_share_a_domain_by_choice(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), main_volume = f->volume, main_session = f->session, other,
	    in, number, ino;
	struct meta_volume volume;

	assert_int_equal(write_content(f, make(f, "a"), group, 7, 0, 0), WEFT_ST_OK);
	assert_int_equal(fixture_volume(f, "wide", 4, 2, (u32)main_volume, &other), WEFT_ST_INVAL);
	assert_int_equal(fixture_volume(f, "none", 2, 2, 999, &other), WEFT_ST_INVAL);
	/* Its own domain: it is told nothing of the other's, and may not name it. */
	assert_int_equal(fixture_volume(f, "apart", 2, 2, WEFT_DEDUP_OWN, &f->volume), WEFT_ST_OK);
	assert_int_equal(meta_volume_get(&f->state.txn, f->volume, &volume), 0);
	assert_int_equal(le32_to_cpu(volume.head.info.dedup_domain), f->volume);
	assert_int_equal(fixture_mount(f, 2, 0, &f->session), WEFT_ST_OK);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_NEW);
	assert_int_equal(fixture_create(f, le64_to_cpu(volume.head.info.root), "x", S_IFREG | 0644, &ino), WEFT_ST_OK);
	assert_int_equal(refer(f, ino, group, 1), WEFT_ST_NEED);
	/* The first one's. */
	assert_int_equal(fixture_volume(f, "joined", 2, 2, (u32)main_volume, &f->volume), WEFT_ST_OK);
	assert_int_equal(meta_volume_get(&f->state.txn, f->volume, &volume), 0);
	assert_int_equal(fixture_mount(f, 3, 0, &f->session), WEFT_ST_OK);
	assert_int_equal(ask(f, 7, &in, &number), WEFT_FOUND_EXISTS);
	assert_int_equal(fixture_create(f, le64_to_cpu(volume.head.info.root), "x", S_IFREG | 0644, &ino), WEFT_ST_OK);
	assert_int_equal(refer(f, ino, in, number), WEFT_ST_OK);
	assert_int_equal(refs(f, in, number), 2);
	assert_int_equal(write_content(f, ino, group, 8, 0, 0), WEFT_ST_OK);
	f->volume = main_volume;
	f->session = main_session;
	assert_int_equal(ask(f, 8, &in, &number), WEFT_FOUND_EXISTS);
}

static void a_volume_without_it_has_no_ids(void **state)
{
	static const struct meta_dedup_judge judge = { .healthy = judge_healthy };
	struct meta_fixture *f = *state;
	struct weft_chunk_ask question = { .plain_len = cpu_to_le32(LEN) };
	u64 group = make_group(f, 2, 2);
	struct meta_chunk chunk;

	assert_int_equal(write_content(f, make(f, "a"), group, 7, 0, WEFT_NF_SHARE), WEFT_ST_OK);
	assert_int_equal(meta_chunk_get(&f->state.txn, group, number_of(f, 0), &chunk), 0);
	assert_int_equal(chunk.head.flags, 0);
	fixture_content_id(7, question.content_id);
	tlv_writer_reset(&f->outcome.answer);
	assert_int_equal(meta_dedup_answer(&f->state, f->session, &question, 1, &judge, &f->outcome), 0);
	assert_int_equal(f->outcome.status, WEFT_ST_OPNOTSUPP);
}

/* Made by an entry of level 3, it has no totals that what was there already would be missing in. */
static void a_volume_from_before_has_no_totals(void **state)
{
	struct weft_e_volume body = { .info = { .k = cpu_to_le32(2), .m = cpu_to_le32(2) },
				      .mode = cpu_to_le32(0755),
				      .name_len = cpu_to_le32(3) };
	struct meta_fixture *f = *state;
	u64 main_volume = f->volume, main_session = f->session, group, ino;
	struct meta_buffer entry = { 0 };
	struct meta_volume volume;
	struct weft_m_usage usage;

	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_VOLUME_CREATE), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, "old", 3), 0);
	meta_entry_head(&entry)->level = cpu_to_le16(3);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
	f->volume = f->outcome.number;
	assert_int_equal(meta_volume_get(&f->state.txn, f->volume, &volume), 0);
	assert_int_equal(fixture_mount(f, 2, 0, &f->session), WEFT_ST_OK);
	group = make_group(f, 2, 2);
	assert_int_equal(fixture_create(f, le64_to_cpu(volume.head.info.root), "x", S_IFREG | 0644, &ino),
			 WEFT_ST_OK);
	assert_int_equal(write_content(f, ino, group, 7, 0, 0), WEFT_ST_OK);
	assert_int_equal(meta_usage_get(&f->state.txn, f->volume, &usage), -ENOENT);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	assert_int_equal(meta_usage_get(&f->state.txn, f->volume, &usage), -ENOENT);
	f->volume = main_volume;
	f->session = main_session;
}

/* ---- What no kernel may say ---- */

static void what_makes_no_sense_is_refused(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a");
	struct weft_chunk_ask questions[WEFT_CHUNKS_ASKED_MAX + 1];

	fixture_commit_begin(f, a, 4096, 0);
	fixture_commit_content(f, group, WEFT_DEDUP_MIN - 1, 0, 7, 0);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_INVAL);
	fixture_commit_begin(f, a, 4096, 0);
	fixture_commit_content(f, group, LEN, 0, 0, WEFT_NF_SHARE);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_INVAL);
	fixture_commit_begin(f, a, 4096, 0);
	fixture_commit_content(f, group, LEN, 0, 7, 0x8000);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_INVAL);
	fixture_commit_begin(f, a, 4096, 0);
	for (unsigned int i = 0; i <= WEFT_COMMIT_HASHED_MAX; i++)
		fixture_commit_content(f, group, LEN, 0, i == 5 ? 7 : 0, 0);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_INVAL);

	for (unsigned int i = 0; i <= WEFT_CHUNKS_ASKED_MAX; i++) {
		memset(&questions[i], 0, sizeof(questions[i]));
		fixture_content_id(i + 1, questions[i].content_id);
		questions[i].plain_len = cpu_to_le32(LEN);
	}
	fixture_payload(f);
	tlv_put(&f->payload, WEFT_P_ASK, questions, sizeof(questions));
	assert_int_equal(fixture_read(f, WEFT_REQ_CHUNKS), WEFT_ST_INVAL);
	fixture_payload(f);
	assert_int_equal(fixture_read(f, WEFT_REQ_CHUNKS), WEFT_ST_INVAL);
	fixture_payload(f);
	tlv_put(&f->payload, WEFT_P_ASK, questions, sizeof(questions[0]) + 1);
	assert_int_equal(fixture_read(f, WEFT_REQ_CHUNKS), WEFT_ST_INVAL);
	questions[0].plain_len = cpu_to_le32(WEFT_DEDUP_MIN - 1);
	fixture_payload(f);
	tlv_put(&f->payload, WEFT_P_ASK, questions, sizeof(questions[0]));
	assert_int_equal(fixture_read(f, WEFT_REQ_CHUNKS), WEFT_ST_INVAL);
}

/* As many chunks with ids as a COMMIT may bring, each of which another one has: within an entry's records. */
static void the_largest_commit_stays_within_its_records(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f, 2, 2), a = make(f, "a");
	static struct weft_extent extents[WEFT_COMMIT_HASHED_MAX];

	for (unsigned int i = 0; i < WEFT_COMMIT_HASHED_MAX; i++)
		extents[i] = (struct weft_extent){ .offset = cpu_to_le64((u64)i * LEN),
						   .length = cpu_to_le64(LEN),
						   .number = cpu_to_le64(i) };
	for (unsigned int round = 0; round < 2; round++) {
		fixture_commit_begin(f, a, (u64)WEFT_COMMIT_HASHED_MAX * LEN, 0);
		for (unsigned int i = 0; i < WEFT_COMMIT_HASHED_MAX; i++)
			fixture_commit_content(f, group, LEN, round ? 0x8 : 0, i + 1, WEFT_NF_SHARE);
		fixture_commit_extents(f, extents, WEFT_COMMIT_HASHED_MAX);
		assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	}
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), WEFT_COMMIT_HASHED_MAX);
	assert_in_range(f->most_records, 1, WEFT_M_ENTRY_RECORDS);
}

/* ---- Anything at any time ---- */

static u64 seed;

static u32 below(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 20) % n;
}

#define FILES    6u
#define CONTENTS 5u

struct answer {
	u64 group, number;
};

/* An answer from some time before is used: it is good unless the chunk is on its way out. */
static void use_answer(struct meta_fixture *f, u64 ino, const struct answer *answer)
{
	u8 state = chunk_state(f, answer->group, answer->number);
	bool good = state == WEFT_MC_LIVE || state == WEFT_MC_CONDEMNED;

	assert_int_equal(refer(f, ino, answer->group, answer->number),
			 good ? WEFT_ST_OK : WEFT_ST_NEED);
}

static void random_step(struct meta_fixture *f, const u64 *inos, u64 group, struct answer *answers, u64 last)
{
	u32 content = below(CONTENTS);
	u64 ino = inos[below(FILES)], number = 1 + below((u32)last + 1);
	u8 state = chunk_state(f, group, number);

	switch (below(6)) {
	case 0:
		assert_int_equal(write_content(f, ino, group, content + 1, below(4) ? 0 : 0x8,
					       below(2) ? WEFT_NF_SHARE : 0),
				 WEFT_ST_OK);
		break;
	case 1:
		assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
		break;
	case 2:
		if (answers[content].group)
			use_answer(f, ino, &answers[content]);
		break;
	case 3:
		if (ask(f, content + 1, &answers[content].group, &answers[content].number) ==
		    WEFT_FOUND_EXISTS) {
			state = chunk_state(f, answers[content].group, answers[content].number);
			assert_true(state == WEFT_MC_LIVE || state == WEFT_MC_CONDEMNED);
		}
		break;
	case 4:
		if (state == WEFT_MC_CONDEMNED)
			delete_step(f, WEFT_ME_DELETING, group, number);
		break;
	default:
		if (state == WEFT_MC_DELETING)
			delete_step(f, WEFT_ME_DELETED, group, number);
	}
}

static void random_lives(void **state)
{
	struct meta_fixture *f = *state;
	struct answer answers[CONTENTS] = { { 0 } };
	u64 group = make_group(f, 2, 2), inos[FILES];
	struct meta_group record;
	char name[8];

	seed = 0x9e3779b97f4a7c15ull;
	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		inos[i] = make(f, name);
	}
	for (unsigned int i = 0; i < 4000; i++) {
		assert_int_equal(meta_group_get(&f->state.txn, group, &record), 0);
		random_step(f, inos, group, answers, le64_to_cpu(record.head.number));
		if (i % 100 == 0)
			fixture_check(f);
	}
	assert_true(le64_to_cpu(record.head.number) > 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_dedup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_there_is_found),
		TEST(a_batch_is_answered_as_one),
		TEST(who_has_no_session_is_told_nothing),
		TEST(what_is_not_whole_is_not_shared),
		TEST(a_rewrite_takes_the_place),
		TEST(what_is_less_safe_stands_for_nothing),
		TEST(invariant_5_what_is_being_deleted_is_not_shared),
		TEST(the_old_one_leaves_after_the_new_one_came),
		TEST(of_two_at_once_one_is_kept),
		TEST(who_was_not_told_gets_his_own),
		TEST(a_chunk_that_goes_between_two_steps_is_needed),
		TEST(what_was_given_up_is_not_taken_again),
		TEST(volumes_share_a_domain_by_choice),
		cmocka_unit_test_setup_teardown(a_volume_without_it_has_no_ids, fixture_setup_2_2,
						fixture_teardown),
		TEST(a_volume_from_before_has_no_totals),
		TEST(what_makes_no_sense_is_refused),
		TEST(the_largest_commit_stays_within_its_records),
		TEST(random_lives),
	};
#undef TEST

	is_up = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
