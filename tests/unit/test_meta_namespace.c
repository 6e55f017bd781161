// SPDX-License-Identifier: GPL-2.0-or-later
/* test_meta_namespace.c - names, attributes and every refusal of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meta/siphash.h"
#include "meta_fixture.h"

static int setup(void **state)
{
	return fixture_setup(state, 2, 1, 3);
}

static u32 nlink_of(struct meta_fixture *f, u64 ino)
{
	struct weft_attr attr;

	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	return le32_to_cpu(attr.nlink);
}

/* The vector of the paper's appendix: key 00..0f, input 00..0e. */
static void siphash_matches_the_paper(void **state)
{
	u8 key[16], data[15];
	struct siphash cut;

	for (u8 i = 0; i < 16; i++)
		key[i] = i;
	for (u8 i = 0; i < 15; i++)
		data[i] = i;
	assert_int_equal(siphash(key, data, sizeof(data)), 0xa129ca6149be45e5ULL);
	for (size_t at = 0; at <= sizeof(data); at++) {
		siphash_init(&cut, key);
		siphash_add(&cut, data, at);
		siphash_add(&cut, data + at, sizeof(data) - at);
		assert_int_equal(siphash_end(&cut), 0xa129ca6149be45e5ULL);
	}
}

static void create_is_found_and_counted(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_attr attr, dir;
	u64 file, sub;

	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0640, &file), WEFT_ST_OK);
	assert_int_equal(fixture_lookup(f, f->root, "file", &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.ino), file);
	assert_int_equal(le32_to_cpu(attr.mode), S_IFREG | 0640);
	assert_int_equal(le32_to_cpu(attr.nlink), 1);
	assert_int_equal(le32_to_cpu(attr.uid), 7);
	assert_int_equal(fixture_create(f, f->root, "sub", S_IFDIR | 0755, &sub), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, sub), 2);
	assert_int_equal(fixture_getattr(f, f->root, &dir), WEFT_ST_OK);
	assert_int_equal(le32_to_cpu(dir.nlink), 3);
	assert_int_equal(fixture_lookup(f, f->root, "nothing", &attr), WEFT_ST_NOENT);
	assert_int_equal(le64_to_cpu(f->state.counters.files), 2);
}

static u32 set_policy(struct meta_fixture *f, u64 ino, u64 policy)
{
	struct weft_setattr set = {
		.valid = cpu_to_le32(WEFT_SA_CTIME | WEFT_SA_POLICY),
		.ctime = { .sec = cpu_to_le64(4711) },
	};
	struct tlv_writer *payload = fixture_payload(f);

	tlv_put_u64(payload, WEFT_P_INO, ino);
	tlv_put(payload, WEFT_P_SETATTR, &set, sizeof(set));
	tlv_put_u64(payload, WEFT_P_POLICY, policy);
	return fixture_request(f, WEFT_REQ_SETATTR, 0);
}

static u64 policy_of(struct meta_fixture *f, u64 ino)
{
	struct weft_attr attr;

	assert_int_equal(fixture_getattr(f, ino, &attr), WEFT_ST_OK);
	return le64_to_cpu(attr.policy);
}

/* What is made in a directory has its policy from then on; what was there before, and what moves in, keeps its own. */
static void policies_are_inherited(void **state)
{
	struct meta_fixture *f = *state;
	u64 dir, before, file, sub, deep, fifo;
	struct weft_attr attr;

	assert_int_equal(fixture_create(f, f->root, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, dir, "before", S_IFREG | 0644, &before), WEFT_ST_OK);
	assert_int_equal(set_policy(f, dir, 0x1234), WEFT_ST_OK);
	assert_int_equal(policy_of(f, dir), 0x1234);
	assert_int_equal(fixture_getattr(f, dir, &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.ctime_sec), 4711);
	assert_int_equal(policy_of(f, before), 0);
	assert_int_equal(policy_of(f, f->root), 0);
	assert_int_equal(fixture_create(f, dir, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, dir, "sub", S_IFDIR | 0755, &sub), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, sub, "deep", S_IFREG | 0644, &deep), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, dir, "fifo", S_IFIFO | 0644, &fifo), WEFT_ST_OK);
	assert_int_equal(policy_of(f, file), 0x1234);
	assert_int_equal(policy_of(f, sub), 0x1234);
	assert_int_equal(policy_of(f, deep), 0x1234);
	assert_int_equal(policy_of(f, fifo), 0);
	assert_int_equal(set_policy(f, file, 0), WEFT_ST_OK);
	assert_int_equal(fixture_rename(f, f->root, "dir", f->root, "moved", 0), WEFT_ST_OK);
	assert_int_equal(fixture_rename(f, dir, "before", sub, "before", 0), WEFT_ST_OK);
	fixture_reopen(f);
	assert_int_equal(policy_of(f, file), 0);
	assert_int_equal(policy_of(f, before), 0);
	assert_int_equal(policy_of(f, deep), 0x1234);
}

static void policies_are_refused(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_setattr set = { .valid = cpu_to_le32(WEFT_SA_CTIME | WEFT_SA_POLICY) };
	u64 file, fifo;

	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "fifo", S_IFIFO | 0644, &fifo), WEFT_ST_OK);
	assert_int_equal(set_policy(f, fifo, 1), WEFT_ST_INVAL);
	assert_int_equal(set_policy(f, file, 1ull << 63), WEFT_ST_INVAL);
	/* Said to come along, and did not; and the other way round. */
	tlv_put_u64(fixture_payload(f), WEFT_P_INO, file);
	tlv_put(&f->payload, WEFT_P_SETATTR, &set, sizeof(set));
	assert_int_equal(fixture_request(f, WEFT_REQ_SETATTR, 0), WEFT_ST_INVAL);
	set.valid = cpu_to_le32(WEFT_SA_CTIME);
	tlv_put_u64(fixture_payload(f), WEFT_P_INO, file);
	tlv_put(&f->payload, WEFT_P_SETATTR, &set, sizeof(set));
	tlv_put_u64(&f->payload, WEFT_P_POLICY, 1);
	assert_int_equal(fixture_request(f, WEFT_REQ_SETATTR, 0), WEFT_ST_INVAL);
	assert_int_equal(policy_of(f, file), 0);
}

static void create_refuses(void **state)
{
	struct meta_fixture *f = *state;
	char name[300];
	u64 file, gone;

	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, NULL), WEFT_ST_EXIST);
	assert_int_equal(fixture_create(f, file, "below", S_IFREG | 0644, NULL), WEFT_ST_NOTDIR);
	assert_int_equal(fixture_create(f, 12345, "below", S_IFREG | 0644, NULL), WEFT_ST_STALE);
	assert_int_equal(fixture_create(f, f->root, ".", S_IFREG | 0644, NULL), WEFT_ST_INVAL);
	assert_int_equal(fixture_create(f, f->root, "..", S_IFREG | 0644, NULL), WEFT_ST_INVAL);
	assert_int_equal(fixture_create(f, f->root, "a/b", S_IFREG | 0644, NULL), WEFT_ST_INVAL);
	assert_int_equal(fixture_create(f, f->root, "", S_IFREG | 0644, NULL), WEFT_ST_INVAL);
	memset(name, 'x', sizeof(name));
	name[256] = 0;
	assert_int_equal(fixture_create(f, f->root, name, S_IFREG | 0644, NULL),
			 WEFT_ST_NAMETOOLONG);
	name[255] = 0;
	assert_int_equal(fixture_create(f, f->root, name, S_IFREG | 0644, NULL), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "gone", S_IFDIR | 0755, &gone), WEFT_ST_OK);
	assert_int_equal(fixture_unlink(f, f->root, "gone", true), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, gone, "below", S_IFREG | 0644, NULL), WEFT_ST_NOENT);
}

static void links_are_counted_to_their_limit(void **state)
{
	struct meta_tree tree;
	struct meta_fixture *f = *state;
	struct weft_m_inode inode;
	u64 file, dir;

	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	assert_int_equal(fixture_link(f, file, dir, "second"), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, file), 2);
	assert_int_equal(fixture_link(f, file, dir, "second"), WEFT_ST_EXIST);
	assert_int_equal(fixture_link(f, dir, f->root, "dir2"), WEFT_ST_PERM);
	assert_int_equal(fixture_link(f, 999, f->root, "x"), WEFT_ST_STALE);
	assert_int_equal(fixture_unlink(f, f->root, "file", false), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, file), 1);

	tree = (struct meta_tree){ 0, f->volume };
	assert_int_equal(meta_state_write(&f->state), 0);
	assert_int_equal(meta_inode_get(&f->state.txn, &tree, file, &inode), 0);
	inode.attr.nlink = cpu_to_le32(META_LINK_MAX);
	assert_int_equal(meta_inode_put(&f->state.txn, &tree, &inode), 0);
	assert_int_equal(fixture_link(f, file, f->root, "one too many"), WEFT_ST_MLINK);
	assert_int_equal(meta_inode_get(&f->state.txn, &tree, dir, &inode), 0);
	inode.attr.nlink = cpu_to_le32(META_LINK_MAX);
	assert_int_equal(meta_inode_put(&f->state.txn, &tree, &inode), 0);
	assert_int_equal(fixture_create(f, dir, "sub", S_IFDIR | 0755, NULL), WEFT_ST_MLINK);
	assert_int_equal(fixture_create(f, dir, "plain", S_IFREG | 0644, NULL), WEFT_ST_OK);
}

static void unlink_refuses(void **state)
{
	struct meta_fixture *f = *state;
	u64 dir, file;

	assert_int_equal(fixture_create(f, f->root, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, dir, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_unlink(f, f->root, "none", false), WEFT_ST_NOENT);
	assert_int_equal(fixture_unlink(f, f->root, "dir", false), WEFT_ST_ISDIR);
	assert_int_equal(fixture_unlink(f, dir, "file", true), WEFT_ST_NOTDIR);
	assert_int_equal(fixture_unlink(f, f->root, "dir", true), WEFT_ST_NOTEMPTY);
	assert_int_equal(fixture_unlink(f, dir, "file", false), WEFT_ST_OK);
	assert_int_equal(fixture_unlink(f, f->root, "dir", true), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, f->root), 2);
	assert_int_equal(nlink_of(f, file), 0);
}

static void rename_follows_posix(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_attr attr;
	u64 a, b, sub, file, other;

	assert_int_equal(fixture_create(f, f->root, "a", S_IFDIR | 0755, &a), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "b", S_IFDIR | 0755, &b), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, a, "sub", S_IFDIR | 0755, &sub), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, a, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, b, "other", S_IFREG | 0644, &other), WEFT_ST_OK);

	assert_int_equal(fixture_rename(f, f->root, "a", sub, "in itself", 0), WEFT_ST_LOOP);
	assert_int_equal(fixture_rename(f, f->root, "a", a, "in itself", 0), WEFT_ST_LOOP);
	assert_int_equal(fixture_rename(f, a, "none", b, "x", 0), WEFT_ST_NOENT);
	assert_int_equal(fixture_rename(f, a, "file", f->root, "b", 0), WEFT_ST_ISDIR);
	assert_int_equal(fixture_rename(f, a, "sub", b, "other", 0), WEFT_ST_NOTDIR);
	assert_int_equal(fixture_rename(f, f->root, "a", f->root, "b", 0), WEFT_ST_NOTEMPTY);
	assert_int_equal(fixture_rename(f, a, "file", b, "other", WEFT_PF_NOREPLACE),
			 WEFT_ST_EXIST);

	assert_int_equal(fixture_rename(f, a, "sub", b, "moved", 0), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, a), 2);
	assert_int_equal(nlink_of(f, b), 3);
	assert_int_equal(fixture_getattr(f, sub, &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.parent), b);
	assert_int_equal(fixture_rename(f, a, "file", b, "other", 0), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, other), 0);
	assert_int_equal(fixture_lookup(f, b, "other", &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.ino), file);
	assert_int_equal(fixture_lookup(f, a, "file", &attr), WEFT_ST_NOENT);
	/* An empty directory goes away under another one. */
	assert_int_equal(fixture_rename(f, b, "moved", f->root, "a", 0), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, a), 0);
	assert_int_equal(nlink_of(f, b), 2);
	assert_int_equal(nlink_of(f, f->root), 4);
}

static void rename_exchanges(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_attr attr;
	u64 a, dir, file;

	assert_int_equal(fixture_create(f, f->root, "a", S_IFDIR | 0755, &a), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, a, "dir", S_IFDIR | 0755, &dir), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_rename(f, a, "dir", f->root, "none", WEFT_PF_EXCHANGE),
			 WEFT_ST_NOENT);
	assert_int_equal(fixture_rename(f, a, "dir", f->root, "a", WEFT_PF_EXCHANGE), WEFT_ST_LOOP);
	assert_int_equal(fixture_rename(f, a, "dir", f->root, "file", WEFT_PF_EXCHANGE),
			 WEFT_ST_OK);
	assert_int_equal(fixture_lookup(f, f->root, "file", &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.ino), dir);
	assert_int_equal(le64_to_cpu(attr.parent), f->root);
	assert_int_equal(fixture_lookup(f, a, "dir", &attr), WEFT_ST_OK);
	assert_int_equal(le64_to_cpu(attr.ino), file);
	assert_int_equal(nlink_of(f, a), 2);
	assert_int_equal(nlink_of(f, f->root), 4);
}

static void rename_of_two_names_of_one_file_does_nothing(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_attr attr;
	u64 file;

	assert_int_equal(fixture_create(f, f->root, "one", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_link(f, file, f->root, "two"), WEFT_ST_OK);
	assert_int_equal(fixture_rename(f, f->root, "one", f->root, "two", 0), WEFT_ST_OK);
	assert_int_equal(fixture_lookup(f, f->root, "one", &attr), WEFT_ST_OK);
	assert_int_equal(fixture_lookup(f, f->root, "two", &attr), WEFT_ST_OK);
	assert_int_equal(nlink_of(f, file), 2);
}

static void times_and_change_attribute_follow(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_attr before, after;

	assert_int_equal(fixture_getattr(f, f->root, &before), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, NULL), WEFT_ST_OK);
	assert_int_equal(fixture_getattr(f, f->root, &after), WEFT_ST_OK);
	assert_true(le64_to_cpu(after.change) > le64_to_cpu(before.change));
	assert_true(after.mtime_nsec != before.mtime_nsec || after.mtime_sec != before.mtime_sec);
	assert_int_equal(after.mtime_nsec, after.ctime_nsec);
}

static void symlink_keeps_its_target(void **state)
{
	struct meta_fixture *f = *state;
	u64 link;

	assert_int_equal(fixture_create(f, f->root, "link", S_IFLNK | 0777, &link), WEFT_ST_OK);
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, link);
	assert_int_equal(fixture_read(f, WEFT_REQ_READLINK), WEFT_ST_OK);
	assert_memory_equal(fixture_answer(f, WEFT_P_TARGET).data, "some/target", 11);
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, f->root);
	assert_int_equal(fixture_read(f, WEFT_REQ_READLINK), WEFT_ST_INVAL);
}

/* Read a directory in small pieces while half of it is deleted: what stays is seen exactly once. */
static void readdir_is_stable_under_change(void **state)
{
	enum { NAMES = 500 };
	struct meta_fixture *f = *state;
	unsigned int seen[NAMES] = { 0 }, pieces = 0;
	struct weft_dirent dirent;
	struct tlv_reader reader;
	struct tlv tlv;
	u64 cookie = 3;
	char name[32];
	bool eof = false;

	for (unsigned int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(fixture_create(f, f->root, name, S_IFREG | 0644, NULL),
				 WEFT_ST_OK);
	}
	while (!eof) {
		fixture_payload(f);
		tlv_put_u64(&f->payload, WEFT_P_INO, f->root);
		tlv_put_u64(&f->payload, WEFT_P_COOKIE, cookie);
		tlv_put_u64(&f->payload, WEFT_P_LENGTH, 4096);
		assert_int_equal(fixture_read(f, WEFT_REQ_READDIR), WEFT_ST_OK);
		tlv_reader_init(&reader, f->outcome.answer.data, f->outcome.answer.len);
		while (tlv_next(&reader, &tlv) == 1) {
			if (tlv.type == WEFT_P_FLAGS) {
				eof = true;
				continue;
			}
			assert_int_equal(tlv.type, WEFT_P_DIRENT);
			memcpy(&dirent, tlv.data, sizeof(dirent));
			assert_true(le64_to_cpu(dirent.cookie) >= cookie);
			assert_true(le64_to_cpu(dirent.cookie) < 1ull << 63);
			cookie = le64_to_cpu(dirent.cookie) + 1;
			snprintf(name, sizeof(name), "%.*s", le16_to_cpu(dirent.name_len),
				 (const char *)tlv.data + sizeof(dirent));
			seen[atoi(name + 1)]++;
		}
		/* Odd names go, one behind the other, wherever the reader stands. */
		for (unsigned int i = pieces * 20 + 1; i < (pieces + 1) * 20 && i < NAMES; i += 2) {
			snprintf(name, sizeof(name), "n%u", i);
			assert_int_equal(fixture_unlink(f, f->root, name, false), WEFT_ST_OK);
		}
		pieces++;
	}
	assert_true(pieces > 5);
	for (unsigned int i = 0; i < NAMES; i++) {
		if (i % 2)
			assert_in_range(seen[i], 0, 1);
		else
			assert_int_equal(seen[i], 1);
	}
}

/* Names that hash alike stand side by side: planted, as their hash cannot be chosen. */
static void equal_hashes_are_told_apart(void **state)
{
	struct meta_fixture *f = *state;
	struct meta_tree tree = { 0, f->volume };
	u8 key[16] = { 3, 1, 4 };
	u64 first = meta_dirent_position(key, "name", 4);
	struct meta_dirent found;
	char other[8];

	assert_int_equal(meta_state_write(&f->state), 0);
	for (unsigned int i = 0; i < 255; i++) {
		snprintf(other, sizeof(other), "o%u", i);
		assert_int_equal(meta_dirent_set(&f->state.txn, &tree, 77, first + i, other,
						 strlen(other), i, 0),
				 0);
	}
	assert_int_equal(meta_dirent_find(&f->state.txn, &tree, key, 77, "name", 4, &found),
			 -ENOENT);
	assert_int_equal(meta_dirent_add(&f->state.txn, &tree, key, 77, "name", 4, 999, S_IFREG),
			 0);
	assert_int_equal(meta_dirent_find(&f->state.txn, &tree, key, 77, "name", 4, &found), 0);
	assert_int_equal(found.ino, 999);
	assert_int_equal(found.position, first + 255);
	assert_int_equal(meta_dirent_add(&f->state.txn, &tree, key, 77, "name", 4, 999, S_IFREG),
			 -EXFULL);
	assert_int_equal(meta_dirent_del(&f->state.txn, &tree, 77, first + 100), 0);
	assert_int_equal(meta_dirent_find(&f->state.txn, &tree, key, 77, "name", 4, &found), 0);
	assert_int_equal(meta_dirent_add(&f->state.txn, &tree, key, 77, "name2", 5, 1000, S_IFREG),
			 0);
}

static void read_only_mount_changes_nothing(void **state)
{
	struct meta_fixture *f = *state;
	u64 file;

	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &file), WEFT_ST_OK);
	assert_int_equal(fixture_end_session(f, f->session), WEFT_ST_OK);
	memset(f->sequence, 0, sizeof(f->sequence));
	assert_int_equal(fixture_mount(f, 9, WEFT_MSF_READONLY, &f->session), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "x", S_IFREG | 0644, NULL), WEFT_ST_ROFS);
	assert_int_equal(fixture_unlink(f, f->root, "file", false), WEFT_ST_ROFS);
	assert_int_equal(fixture_truncate(f, file, 0), WEFT_ST_ROFS);
	assert_int_equal(fixture_rename(f, f->root, "file", f->root, "y", 0), WEFT_ST_ROFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_matches_the_paper),
		cmocka_unit_test_setup_teardown(create_is_found_and_counted, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(create_refuses, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(policies_are_inherited, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(policies_are_refused, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(links_are_counted_to_their_limit, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(unlink_refuses, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(rename_follows_posix, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(rename_exchanges, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(rename_of_two_names_of_one_file_does_nothing, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(times_and_change_attribute_follow, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(symlink_keeps_its_target, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(readdir_is_stable_under_change, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(equal_hashes_are_told_apart, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(read_only_mount_changes_nothing, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
