// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_left_behind.c - content behind the size of a file
 *
 * A mount commits what has been stored in any order, the size only up to the first byte that is
 * not. What a mount that died left there is never shown, however the file grows later; what a mount
 * that lives has there is never lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meta_fixture.h"

#define BLOCK 4096u

static u64 make(struct meta_fixture *f)
{
	u64 ino;

	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &ino), WEFT_ST_OK);
	return ino;
}

static u64 make_group(struct meta_fixture *f)
{
	u64 group;

	assert_int_equal(fixture_group(f, 1, 1, 1, &group), WEFT_ST_OK);
	return group;
}

/* The mount dies; another one takes the volume. */
static void change_mounts(struct meta_fixture *f, u8 client)
{
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	assert_int_equal(fixture_mount(f, client, 0, &f->session), WEFT_ST_OK);
}

/* Blocks [first, end) in one new chunk; the size grows to that many bytes at least. */
static u32 commit(struct meta_fixture *f, u64 ino, u64 group, u64 first, u64 end, u64 size)
{
	struct weft_extent extent = { .offset = cpu_to_le64(first * BLOCK),
				       .length = cpu_to_le64((end - first) * BLOCK) };

	fixture_commit_begin(f, ino, size, 0);
	if (end > first) {
		fixture_commit_chunk(f, group, (u32)((end - first) * BLOCK), 0);
		fixture_commit_extents(f, &extent, 1);
	}
	return fixture_commit_end(f, 2);
}

static u64 sum_extents(struct tlv tlv)
{
	struct weft_extent extent;
	u64 sum = 0;

	for (size_t i = 0; i < tlv.len / sizeof(extent); i++) {
		memcpy(&extent, (const u8 *)tlv.data + i * sizeof(extent), sizeof(extent));
		sum += le64_to_cpu(extent.length);
	}
	return sum;
}

/* What the mount is told of the file: so many bytes of content, at this size. */
static void expect_content(struct meta_fixture *f, u64 ino, u64 content, u64 size)
{
	struct weft_attr attr;

	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.size), size);
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	tlv_put_u64(&f->payload, WEFT_P_OFFSET, 0);
	tlv_put_u64(&f->payload, WEFT_P_LENGTH, META_SIZE_MAX);
	assert_int_equal(fixture_read(f, WEFT_REQ_EXTENTS), WEFT_ST_OK);
	assert_int_equal(sum_extents(fixture_answer(f, WEFT_P_EXTENTS)), content);
	assert_int_equal(fixture_lookup(f, f->root, "file", &attr), WEFT_ST_OK);
	if (attr.bytes)
		assert_int_equal(sum_extents(fixture_answer(f, WEFT_P_EXTENTS)), content);
}

static void a_mount_that_lives_keeps_what_it_committed_early(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);

	assert_int_equal(commit(f, ino, group, 2, 4, 0), WEFT_ST_OK);
	expect_content(f, ino, 2 * BLOCK, 0);
	assert_int_equal(commit(f, ino, group, 1, 2, 0), WEFT_ST_OK);
	assert_int_equal(commit(f, ino, group, 0, 1, 4 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, 4 * BLOCK, 4 * BLOCK);
	/* Growth by the mount itself keeps it too. */
	assert_int_equal(commit(f, ino, group, 6, 8, 4 * BLOCK), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, ino, 10 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, 6 * BLOCK, 10 * BLOCK);
}

static void growth_by_truncation_shows_zeros(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);

	assert_int_equal(commit(f, ino, group, 0, 2, BLOCK + 100), WEFT_ST_OK);
	assert_int_equal(commit(f, ino, group, 4, 6, BLOCK + 100), WEFT_ST_OK);
	change_mounts(f, 2);
	/* Before anything changes it is not shown, and afterwards it is not there. */
	expect_content(f, ino, BLOCK + 100, BLOCK + 100);
	assert_int_equal(fixture_truncate(f, ino, 6 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, BLOCK + 100, 6 * BLOCK);
	fixture_check(f);
	assert_int_equal(le64_to_cpu(f->state.counters.condemned), 1);
}

static void growth_by_a_write_far_behind_shows_zeros(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);

	assert_int_equal(commit(f, ino, group, 4, 6, 0), WEFT_ST_OK);
	change_mounts(f, 2);
	assert_int_equal(commit(f, ino, group, 8, 9, 9 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, BLOCK, 9 * BLOCK);
	/* The new mount's own are in order again. */
	assert_int_equal(commit(f, ino, group, 12, 13, 9 * BLOCK), WEFT_ST_OK);
	assert_int_equal(commit(f, ino, group, 9, 12, 13 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, 5 * BLOCK, 13 * BLOCK);
}

/* A size alone, as fsync after a truncation that grew brings it; and inline content. */
static void growth_by_a_bare_size_shows_zeros(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);

	assert_int_equal(commit(f, ino, group, 1, 3, 0), WEFT_ST_OK);
	change_mounts(f, 2);
	assert_int_equal(commit(f, ino, group, 0, 0, 3 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, 0, 3 * BLOCK);
	assert_int_equal(commit(f, ino, group, 5, 6, 3 * BLOCK), WEFT_ST_OK);
	change_mounts(f, 3);
	assert_int_equal(fixture_truncate(f, ino, 0), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, ino, 6 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, 0, 6 * BLOCK);
}

/* A truncation to just the size cuts what the mount itself has behind it. */
static void truncation_to_the_size_cuts(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);

	assert_int_equal(commit(f, ino, group, 0, 1, BLOCK), WEFT_ST_OK);
	assert_int_equal(commit(f, ino, group, 2, 4, BLOCK), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, ino, BLOCK), WEFT_ST_OK);
	assert_int_equal(fixture_truncate(f, ino, 4 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, BLOCK, 4 * BLOCK);
}

/* Thousands of extents, a restart after each step; nothing that shows changes before the last. */
static void much_is_cut_in_steps(void **state)
{
	enum { PIECES = 2500 };
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);
	struct weft_extent extent = { .length = cpu_to_le64(BLOCK) };
	struct meta_buffer entry = { 0 };
	struct meta_ask ask;
	const char *why;
	unsigned int steps = 0;

	for (u64 i = 1; i <= PIECES; i++)
		assert_int_equal(commit(f, ino, group, 2 * i, 2 * i + 1, 0), WEFT_ST_OK);
	change_mounts(f, 2);
	fixture_commit_begin(f, ino, BLOCK, 0);
	fixture_commit_chunk(f, group, BLOCK, 0);
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(meta_request_parse(WEFT_REQ_COMMIT, f->session, ++f->sequence[2], 2,
					    f->payload.data, f->payload.len, &entry, &ask, &why),
			 WEFT_ST_OK);
	do {
		u64 before = 0;

		expect_content(f, ino, 0, 0);
		fixture_reopen(f);
		meta_entry_end(&entry, f->time_ns += 1000);
		tlv_writer_reset(&f->outcome.answer);
		assert_int_equal(meta_state_write(&f->state), 0);
		before = f->state.txn.written;
		assert_int_equal(meta_apply(&f->state, ++f->index, 1, entry.data, entry.len,
					    &f->outcome),
				 0);
		assert_in_range(f->state.txn.written - before, 1, WEFT_M_ENTRY_RECORDS + 16);
		steps++;
	} while (f->outcome.status == META_MORE);
	assert_int_equal(f->outcome.status, WEFT_ST_OK);
	assert_true(steps > 3);
	meta_buffer_free(&entry);
	expect_content(f, ino, BLOCK, BLOCK);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 1);
}

/* Entries of the level before are applied as they always were; an inode of then loses nothing. */
static void entries_of_level_1_keep_their_meaning(void **state)
{
	struct meta_fixture *f = *state;
	u64 group = make_group(f), ino = make(f);
	struct meta_buffer entry = { 0 };
	struct meta_ask ask;
	const char *why;

	fixture_commit_begin(f, ino, 0, 0);
	fixture_commit_chunk(f, group, 2 * BLOCK, 0);
	fixture_commit_extents(f,
			       &(struct weft_extent){ .offset = cpu_to_le64(2 * BLOCK),
						      .length = cpu_to_le64(2 * BLOCK) },
			       1);
	assert_int_equal(meta_request_parse(WEFT_REQ_COMMIT, f->session, ++f->sequence[2], 2,
					    f->payload.data, f->payload.len, &entry, &ask, &why),
			 WEFT_ST_OK);
	meta_entry_head(&entry)->level = cpu_to_le16(1);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
	/* The same mount goes on with the newer program. */
	assert_int_equal(commit(f, ino, group, 0, 2, 4 * BLOCK), WEFT_ST_OK);
	expect_content(f, ino, 4 * BLOCK, 4 * BLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mount_that_lives_keeps_what_it_committed_early,
						fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(growth_by_truncation_shows_zeros, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(growth_by_a_write_far_behind_shows_zeros, fixture_setup_2_2,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(growth_by_a_bare_size_shows_zeros, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(truncation_to_the_size_cuts, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(much_is_cut_in_steps, fixture_setup_2_2, fixture_teardown),
		cmocka_unit_test_setup_teardown(entries_of_level_1_keep_their_meaning, fixture_setup_2_2,
						fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
