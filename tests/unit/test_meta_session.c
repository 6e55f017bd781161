// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_session.c - mounts, numbered requests and their repeats, what a session held, and that
 * two databases that applied the same entries are the same
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "meta_fixture.h"

#define BLOCK 4096u

static int setup(void **state)
{
	struct meta_fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	fixture_open(f);
	f->keep_log = true;
	fixture_mounted(f, 2, 2, 4);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	meta_bugs = 0;
	fixture_check(*state);
	fixture_close(*state);
	free(*state);
	return 0;
}

static void put_create(struct meta_fixture *f, const char *name)
{
	struct weft_create create = { .mode = cpu_to_le32(S_IFREG | 0644) };

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_PARENT, f->root);
	tlv_put_text(&f->payload, WEFT_P_NAME, name);
	tlv_put(&f->payload, WEFT_P_CREATE, &create, sizeof(create));
}

static u64 answered_ino(struct meta_fixture *f)
{
	struct weft_attr attr;

	memcpy(&attr, fixture_answer(f, WEFT_P_ATTR).data, sizeof(attr));
	return le64_to_cpu(attr.ino);
}

/* What a repeated exclusive CREATE gets, once with the answer of the first, once not. */
static u32 repeat_create(struct meta_fixture *f, const char *name, u32 slot, bool *same)
{
	u64 ino;
	u32 status;

	put_create(f, name);
	assert_int_equal(fixture_request(f, WEFT_REQ_CREATE, slot), WEFT_ST_OK);
	ino = answered_ino(f);
	put_create(f, name);
	status = fixture_request_as(f, WEFT_REQ_CREATE, slot, f->sequence[slot]);
	*same = !status && answered_ino(f) == ino;
	return status;
}

static void a_repeat_is_answered_and_not_run(void **state)
{
	struct meta_fixture *f = *state;
	bool same;

	assert_int_equal(repeat_create(f, "one", 300, &same), WEFT_ST_OK);
	assert_true(same);
	fixture_reopen(f);
	assert_int_equal(repeat_create(f, "two", 300, &same), WEFT_ST_OK);
	assert_true(same);
	assert_int_equal(le64_to_cpu(f->state.counters.files), 2);
	/* An error is an answer too. */
	put_create(f, "two");
	assert_int_equal(fixture_request(f, WEFT_REQ_CREATE, 300), WEFT_ST_EXIST);
	assert_int_equal(fixture_unlink(f, f->root, "two", false), WEFT_ST_OK);
	f->sequence[300]--;
}

static void a_service_that_runs_repeats_again_is_found(void **state)
{
	struct meta_fixture *f = *state;
	bool same;

	meta_bugs = META_BUG_RERUN_REPEATS;
	assert_int_equal(repeat_create(f, "one", 300, &same), WEFT_ST_EXIST);
	assert_false(same);
}

/* A kernel that uses a number again for something else, or one from before. */
static void a_number_that_is_used_again_is_refused(void **state)
{
	struct meta_fixture *f = *state;

	put_create(f, "one");
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, 5, 7), WEFT_ST_OK);
	put_create(f, "two");
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, 5, 7), WEFT_ST_REPEAT);
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, 5, 6), WEFT_ST_REPEAT);
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, 6, 6), WEFT_ST_OK);
	put_create(f, "three");
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, WEFT_SLOTS, 1), WEFT_ST_INVAL);
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, WEFT_SLOT_NONE, 0), WEFT_ST_INVAL);
	assert_int_equal(fixture_request_as(f, WEFT_REQ_CREATE, 5, 0), WEFT_ST_INVAL);
	assert_int_equal(le64_to_cpu(f->state.counters.files), 2);
}

static void one_mount_a_volume(void **state)
{
	struct meta_fixture *f = *state;
	u64 again, second, first = f->session;

	assert_int_equal(fixture_mount(f, 1, 0, &again), WEFT_ST_OK);
	assert_int_equal(again, first);
	assert_int_equal(fixture_mount(f, 2, 0, &second), WEFT_ST_VOLUME_BUSY);
	assert_int_equal(fixture_mount(f, 2, WEFT_MSF_READONLY, &second), WEFT_ST_VOLUME_BUSY);
	assert_int_equal(fixture_end_session(f, first), WEFT_ST_OK);
	assert_int_equal(fixture_mount(f, 2, 0, &second), WEFT_ST_OK);
	assert_true(second != first);
	/* The first one is fenced. */
	put_create(f, "late");
	assert_int_equal(fixture_request(f, WEFT_REQ_CREATE, 300), WEFT_ST_SESSION_LOST);
	assert_int_equal(fixture_lookup(f, f->root, "late", &(struct weft_attr){ 0 }),
			 WEFT_ST_SESSION_LOST);
	/* The same mount comes back as another session. */
	assert_int_equal(fixture_end_session(f, second), WEFT_ST_OK);
	assert_int_equal(fixture_mount(f, 1, 0, &again), WEFT_ST_OK);
	assert_true(again != first && again != second);
	assert_int_equal(fixture_end_session(f, 12345), WEFT_ST_OK);
}

static void umount_ends_the_session_once_and_again(void **state)
{
	struct meta_fixture *f = *state;
	u64 session;

	put_create(f, "one");
	assert_int_equal(fixture_request(f, WEFT_REQ_CREATE, 300), WEFT_ST_OK);
	fixture_payload(f);
	assert_int_equal(fixture_request(f, WEFT_REQ_UMOUNT, 0), WEFT_ST_OK);
	fixture_payload(f);
	assert_int_equal(fixture_request_as(f, WEFT_REQ_UMOUNT, 0, 1), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(f->state.counters.sessions), 0);
	assert_int_equal(fixture_mount(f, 3, 0, &session), WEFT_ST_OK);
}

/* ---- Orphans ---- */

static void an_open_file_outlives_its_name(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_attr attr;
	u64 group, ino;

	assert_int_equal(fixture_group(f, 2, 2, 1, &group), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &ino), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, ino, group, 0, BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_unlink(f, f->root, "file", false), WEFT_ST_OK);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	assert_int_equal(fixture_write(f, ino, group, BLOCK, BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_link(f, ino, f->root, "back"), WEFT_ST_NOENT);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 2);
	assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_STALE);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 0);
	assert_int_equal(le64_to_cpu(f->state.counters.condemned), 2);
	assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
	/* A file with a name is not forgotten away. */
	assert_int_equal(fixture_create(f, f->root, "named", S_IFREG | 0644, &ino), WEFT_ST_OK);
	assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
}

static u32 reap(struct meta_fixture *f, u64 ino)
{
	struct weft_e_object body = { cpu_to_le64(f->volume), cpu_to_le64(ino) };
	struct meta_buffer entry = { 0 };
	u32 status;

	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_REAP), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	status = fixture_apply(f, &entry);
	meta_buffer_free(&entry);
	return status;
}

static void a_huge_orphan_is_reaped_in_steps(void **state)
{
	enum { PIECES = 3000 };
	struct meta_fixture *f = *state;
	struct weft_attr attr;
	u64 group, ino;

	assert_int_equal(fixture_group(f, 1, 1, 1, &group), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &ino), WEFT_ST_OK);
	for (u64 i = 0; i < PIECES; i++)
		assert_int_equal(fixture_write(f, ino, group, i * BLOCK, BLOCK, 0), WEFT_ST_OK);
	assert_int_equal(fixture_unlink(f, f->root, "file", false), WEFT_ST_OK);
	assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
	assert_true(le64_to_cpu(f->state.counters.chunks) > 0);
	fixture_check(f);
	assert_int_equal(reap(f, ino), WEFT_ST_OK);
	assert_true(f->steps > 3);
	assert_true(f->most_records <= WEFT_M_ENTRY_RECORDS + 16);
	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_STALE);
	assert_int_equal(le64_to_cpu(f->state.counters.chunks), 0);
	assert_int_equal(le64_to_cpu(f->state.counters.orphans), 0);
	assert_int_equal(reap(f, ino), WEFT_ST_OK);
}

static void what_a_session_held_open_goes_with_it(void **state)
{
	enum { FILES = 1500 };
	struct meta_fixture *f = *state;
	u64 inos[FILES];
	char name[16];

	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(fixture_create(f, f->root, name, S_IFREG | 0644, &inos[i]),
				 WEFT_ST_OK);
		assert_int_equal(fixture_unlink(f, f->root, name, false), WEFT_ST_OK);
	}
	assert_int_equal(le64_to_cpu(f->state.counters.orphans), FILES);
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	assert_true(f->steps > 2);
	fixture_check(f);
	for (unsigned int i = 0; i < FILES; i++)
		assert_int_equal(reap(f, inos[i]), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(f->state.counters.orphans), 0);
	assert_int_equal(le64_to_cpu(f->state.counters.files), 0);
}

/* ---- Two databases ---- */

/* A bit of everything, so that the entries of all kinds are in the log. */
static void live_a_little(struct meta_fixture *f)
{
	u64 group, ino, dir;
	char name[16];

	assert_int_equal(fixture_group(f, 2, 2, 1, &group), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	for (unsigned int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(
			fixture_create(f, i % 2 ? dir : f->root, name, S_IFREG | 0644, &ino),
			WEFT_ST_OK);
		assert_int_equal(
			fixture_write(f, ino, group, 0, (1 + i % 7) * BLOCK, i % 5 ? 0 : 1),
			WEFT_ST_OK);
		assert_int_equal(fixture_write(f, ino, group, i % 4 * BLOCK, BLOCK, 0), WEFT_ST_OK);
		if (i % 3 == 0)
			assert_int_equal(fixture_truncate(f, ino, i * 100), WEFT_ST_OK);
		if (i % 6 == 1)
			assert_int_equal(fixture_rename(f, dir, name, f->root, name, 0),
					 WEFT_ST_OK);
		if (i % 10 == 0)
			assert_int_equal(fixture_unlink(f, f->root, name, false), WEFT_ST_OK);
		if (i % 20 == 0)
			assert_int_equal(fixture_forget(f, ino), WEFT_ST_OK);
	}
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	assert_int_equal(fixture_mount(f, 2, 0, &f->session), WEFT_ST_OK);
}

static u64 replay(struct meta_fixture *f, struct meta_fixture *copy, size_t commit_every,
		  size_t drop)
{
	u64 hash = 0;

	fixture_open(copy);
	for (size_t i = 0; i < f->log_len; i++) {
		if (i == drop)
			continue;
		tlv_writer_reset(&copy->outcome.answer);
		assert_int_equal(meta_apply(&copy->state, i + 1, 1, f->log[i].bytes, f->log[i].len,
					    &copy->outcome),
				 0);
		if (i % commit_every == 0)
			assert_int_equal(meta_state_commit(&copy->state), 0);
	}
	hash = meta_state_hash(&copy->state);
	fixture_close(copy);
	return hash;
}

static void invariant_10_equal_entries_make_equal_states(void **state)
{
	struct meta_fixture *f = *state, copy;
	u64 hash;

	live_a_little(f);
	hash = meta_state_hash(&f->state);
	assert_int_equal(f->log_len, f->index);
	assert_true(replay(f, &copy, 1, SIZE_MAX) == hash);
	assert_true(replay(f, &copy, 7, SIZE_MAX) == hash);
	assert_true(replay(f, &copy, 1000000, SIZE_MAX) == hash);
	fixture_reopen(f);
	assert_true(meta_state_hash(&f->state) == hash);
	/* And it tells states apart: one file less. */
	assert_true(replay(f, &copy, 1000000, 20) != hash);
}

/* ---- What may leave the log ---- */

/* Lose what was not committed, as a crash does, and apply again from where the tables stand. */
static void crash(struct meta_fixture *f)
{
	if (f->state.writing)
		meta_txn_abort(&f->state.txn);
	f->state.writing = false;
	meta_state_close(&f->state);
	assert_int_equal(meta_state_open(&f->state, f->dir, 1ull << 32, NULL, NULL), 0);
}

static bool log_reaches(const struct meta_fixture *f, u64 dropped)
{
	return dropped <= f->state.index;
}

static void a_log_dropped_early_is_found(void **state)
{
	struct meta_fixture *f = *state;
	u64 dropped, hash;

	live_a_little(f);
	assert_int_equal(meta_state_sync(&f->state), 0);
	assert_int_equal(fixture_create(f, f->root, "after the sync", S_IFREG | 0644, NULL),
			 WEFT_ST_OK);
	hash = meta_state_hash(&f->state);
	dropped = f->state.durable_index;
	crash(f);
	assert_true(log_reaches(f, dropped));
	for (u64 i = f->state.index; i < f->index; i++) {
		tlv_writer_reset(&f->outcome.answer);
		assert_int_equal(meta_apply(&f->state, i + 1, 1, f->log[i].bytes, f->log[i].len,
					    &f->outcome),
				 0);
	}
	assert_true(meta_state_hash(&f->state) == hash);

	meta_bugs = META_BUG_DROP_LOG;
	assert_int_equal(fixture_create(f, f->root, "more", S_IFREG | 0644, NULL), WEFT_ST_OK);
	assert_int_equal(meta_state_sync(&f->state), 0);
	dropped = f->state.durable_index;
	crash(f);
	meta_bugs = 0;
	assert_false(log_reaches(f, dropped));
	f->index = f->state.index;
}

static void damaged_entries_stop_the_voter(void **state)
{
	struct meta_fixture *f = *state;
	struct meta_buffer entry = { 0 };
	u64 index = f->state.index;

	/* What is not committed goes with the first of them. */
	assert_int_equal(meta_state_commit(&f->state), 0);
	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_GROUP_CREATE), 0);
	meta_entry_end(&entry, 1);
	for (size_t len = 0; len < entry.len; len++)
		assert_int_equal(meta_apply(&f->state, index + 1, 1, entry.data, len, &f->outcome),
				 -EBADMSG);
	assert_int_equal(meta_apply(&f->state, index + 1, 1, entry.data, entry.len, &f->outcome),
			 -EBADMSG);
	((struct weft_m_entry *)entry.data)->type = cpu_to_le16(99);
	assert_int_equal(meta_apply(&f->state, index + 1, 1, entry.data, entry.len, &f->outcome),
			 -EBADMSG);
	((struct weft_m_entry *)entry.data)->level = cpu_to_le16(WEFT_META_LEVEL + 1);
	assert_int_equal(meta_apply(&f->state, index + 1, 1, entry.data, entry.len, &f->outcome),
			 -EBADMSG);
	meta_buffer_free(&entry);
	assert_int_equal(f->state.index, index);
}

/* Not that of the program that applies it: two voters of different versions would differ. */
static void a_cluster_has_the_level_of_its_first_entry(void **state)
{
	struct weft_e_cluster body = { .name_len = cpu_to_le32(1) };
	struct meta_buffer entry = { 0 };
	struct meta_fixture f;

	fixture_open(&f);
	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_CLUSTER_INIT), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, "t", 1), 0);
	meta_entry_head(&entry)->level = cpu_to_le16(1);
	assert_int_equal(fixture_apply(&f, &entry), WEFT_ST_OK);
	assert_int_equal(le32_to_cpu(f.state.cluster.level), 1);
	fixture_reopen(&f);
	assert_int_equal(le32_to_cpu(f.state.cluster.level), 1);
	meta_buffer_free(&entry);
	fixture_close(&f);
}

/* A flipped bit in a value is an error of this machine, not an answer. */
static void a_damaged_record_stops_the_voter(void **state)
{
	struct meta_fixture *f = *state;
	struct meta_tree tree = { 0, f->volume };
	struct meta_key key = meta_key_inode(&tree, f->root);
	MDB_val mdb_key = { key.len, key.bytes }, value;
	struct weft_m_inode inode;
	u8 copy[512];

	assert_int_equal(meta_state_write(&f->state), 0);
	assert_int_equal(
		mdb_get(f->state.txn.mdb, f->state.db.tables[WEFT_MT_INODE], &mdb_key, &value), 0);
	memcpy(copy, value.mv_data, value.mv_size);
	copy[40] ^= 1;
	value.mv_data = copy;
	assert_int_equal(
		mdb_put(f->state.txn.mdb, f->state.db.tables[WEFT_MT_INODE], &mdb_key, &value, 0),
		0);
	assert_int_equal(meta_inode_get(&f->state.txn, &tree, f->root, &inode), -EBADMSG);
	meta_txn_abort(&f->state.txn);
	f->state.writing = false;
	crash(f);
	f->index = f->state.index;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_repeat_is_answered_and_not_run, setup, teardown),
		cmocka_unit_test_setup_teardown(a_service_that_runs_repeats_again_is_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_number_that_is_used_again_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_mount_a_volume, setup, teardown),
		cmocka_unit_test_setup_teardown(umount_ends_the_session_once_and_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_open_file_outlives_its_name, setup, teardown),
		cmocka_unit_test_setup_teardown(a_huge_orphan_is_reaped_in_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_session_held_open_goes_with_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(invariant_10_equal_entries_make_equal_states, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_log_dropped_early_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_entries_stop_the_voter, setup, teardown),
		cmocka_unit_test(a_cluster_has_the_level_of_its_first_entry),
		cmocka_unit_test_setup_teardown(a_damaged_record_stops_the_voter, setup, teardown),
	};

	/* What is refused here on purpose is not for people. */
	log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "test", LOG_ERROR, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
