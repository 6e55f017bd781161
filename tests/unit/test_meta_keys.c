// SPDX-License-Identifier: GPL-2.0-or-later
/* test_meta_keys.c - key files: which volume may get one, in which order, and what an encrypted volume refuses */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meta_fixture.h"
#include "weft_key.h"

static int setup(void **state)
{
	return fixture_setup(state, 2, 1, 3);
}

struct file {
	struct weft_key_file head;
	struct weft_key_slot slot;
	struct weft_key_wrapped key;
};

static struct meta_volume volume_of(struct meta_fixture *f, u64 id)
{
	struct meta_volume volume;

	assert_int_equal(meta_volume_get(&f->state.txn, id, &volume), 0);
	return volume;
}

static struct file file_of(struct meta_fixture *f, u64 id, u64 generation)
{
	struct meta_volume volume = volume_of(f, id);
	struct file file = {
		.head = { .magic = cpu_to_le32(WEFT_KEY_FILE_MAGIC), .version = cpu_to_le16(WEFT_KEY_FILE_VERSION),
			  .slots = cpu_to_le16(1), .keys = cpu_to_le16(1), .newest = cpu_to_le32(1),
			  .generation = cpu_to_le64(generation) },
		.key.id = cpu_to_le32(1),
	};

	memcpy(file.head.volume, volume.head.info.uuid, 16);
	return file;
}

static u32 set(struct meta_fixture *f, u64 id, const struct file *file, size_t len)
{
	struct weft_e_keys body = { .volume = cpu_to_le64(id), .len = cpu_to_le32((u32)len) };
	struct meta_buffer entry = { 0 };
	u32 status;

	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_KEYS_SET), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, file, len), 0);
	status = fixture_apply(f, &entry);
	meta_buffer_free(&entry);
	return status;
}

/* A volume that nobody has mounted. */
static u64 make_volume(struct meta_fixture *f)
{
	struct weft_e_volume body = { .info = { .uuid = { 7, 7, 7 }, .k = cpu_to_le32(2), .m = cpu_to_le32(1),
						.inline_max = cpu_to_le32(1900) },
				      .mode = cpu_to_le32(0755), .name_len = cpu_to_le32(6) };
	struct meta_buffer entry = { 0 };

	assert_int_equal(meta_entry_begin(&entry, WEFT_ME_VOLUME_CREATE), 0);
	assert_int_equal(meta_buffer_put(&entry, &body, sizeof(body)), 0);
	assert_int_equal(meta_buffer_put(&entry, "sealed", 6), 0);
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
	return f->outcome.number;
}

static void the_first_file_encrypts_an_empty_volume(void **state)
{
	struct meta_fixture *f = *state;
	u64 id = make_volume(f);
	struct file file = file_of(f, id, 1), back;
	struct meta_volume volume;
	size_t len;

	assert_int_equal(meta_keys_get(&f->state.txn, f->state.mgrp, id, &back, sizeof(back), &len), -ENOENT);
	assert_int_equal(set(f, id, &file, sizeof(file)), WEFT_ST_OK);
	volume = volume_of(f, id);
	assert_int_equal(le32_to_cpu(volume.head.info.cipher), WEFT_CIPHER_AES256_GCM);
	assert_int_equal(le32_to_cpu(volume.head.info.inline_max), 0);
	assert_int_equal(meta_keys_get(&f->state.txn, f->state.mgrp, id, &back, sizeof(back), &len), 0);
	assert_int_equal(len, sizeof(file));
	assert_memory_equal(&back, &file, sizeof(file));
}

static void a_volume_that_is_used_stays_as_it_is(void **state)
{
	struct meta_fixture *f = *state;
	struct file file = file_of(f, f->volume, 1);
	struct meta_volume volume;

	assert_int_equal(set(f, f->volume, &file, sizeof(file)), WEFT_ST_NOTEMPTY);
	volume = volume_of(f, f->volume);
	assert_int_equal(volume.head.info.cipher, 0);
}

/* What tells of content besides content, and is not known to be safe here. */
static void settings_that_are_not_known_keep_it_plain(void **state)
{
	struct meta_fixture *f = *state;
	u64 id = make_volume(f);
	struct file file = file_of(f, id, 1);
	struct meta_volume volume;

	assert_int_equal(meta_state_write(&f->state), 0);
	volume = volume_of(f, id);
	((u8 *)&volume.head.info)[sizeof(volume.head.info) - sizeof(volume.head.info.reserved)] = 1;
	assert_int_equal(meta_volume_put(&f->state.txn, &volume), 0);
	assert_int_equal(set(f, id, &file, sizeof(file)), WEFT_ST_OPNOTSUPP);
	volume = volume_of(f, id);
	assert_int_equal(volume.head.info.cipher, 0);
}

static void generations_follow_each_other(void **state)
{
	struct meta_fixture *f = *state;
	u64 id = make_volume(f);
	struct file first = file_of(f, id, 1), second = file_of(f, id, 2), third = file_of(f, id, 3);

	assert_int_equal(set(f, id, &second, sizeof(second)), WEFT_ST_EXIST);
	assert_int_equal(set(f, id, &first, sizeof(first)), WEFT_ST_OK);
	assert_int_equal(set(f, id, &first, sizeof(first)), WEFT_ST_EXIST);
	assert_int_equal(set(f, id, &third, sizeof(third)), WEFT_ST_EXIST);
	assert_int_equal(set(f, id, &second, sizeof(second)), WEFT_ST_OK);
}

static void files_that_make_no_sense_are_refused(void **state)
{
	struct meta_fixture *f = *state;
	u64 id = make_volume(f);
	struct file file = file_of(f, id, 1);

	assert_int_equal(set(f, id + 1, &file, sizeof(file)), WEFT_ST_NO_VOLUME);
	assert_int_equal(set(f, id, &file, sizeof(file) - 1), WEFT_ST_INVAL);
	file.head.volume[0]++;
	assert_int_equal(set(f, id, &file, sizeof(file)), WEFT_ST_INVAL);
	file = file_of(f, id, 1);
	file.head.newest = cpu_to_le32(2);
	assert_int_equal(set(f, id, &file, sizeof(file)), WEFT_ST_INVAL);
	file = file_of(f, id, 1);
	file.head.slots = cpu_to_le16(0xffff);
	assert_int_equal(set(f, id, &file, sizeof(file)), WEFT_ST_INVAL);
	file = file_of(f, id, 1);
	file.head.version = cpu_to_le16(2);
	assert_int_equal(set(f, id, &file, sizeof(file)), WEFT_ST_INVAL);
}

/* Whatever becomes of the mount: what is not sealed never becomes part of an encrypted volume. */
static void plain_content_of_an_encrypted_volume_is_refused(void **state)
{
	struct meta_fixture *f = *state;
	struct weft_extent extent = { .length = cpu_to_le64(4096) };
	struct weft_chunk_new chunk;
	struct meta_volume volume;
	u64 ino, group;
	size_t at;

	assert_int_equal(fixture_group(f, 2, 1, 1, &group), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &ino), WEFT_ST_OK);
	assert_int_equal(meta_state_write(&f->state), 0);
	volume = volume_of(f, f->volume);
	volume.head.info.cipher = cpu_to_le32(WEFT_CIPHER_AES256_GCM);
	volume.head.info.inline_max = 0;
	assert_int_equal(meta_volume_put(&f->state.txn, &volume), 0);

	assert_int_equal(fixture_write(f, ino, group, 0, 4096, 0), WEFT_ST_INVAL);
	fixture_commit_begin(f, ino, 5, WEFT_CF_INLINE);
	tlv_put(&f->payload, WEFT_P_DATA, "plain", 5);
	assert_int_equal(fixture_commit_end(f, 3), WEFT_ST_INVAL);
	fixture_commit_begin(f, ino, 4096, 0);
	at = f->payload.len + 4;
	fixture_commit_chunk(f, group, 4096, 0);
	memcpy(&chunk, f->payload.data + at, sizeof(chunk));
	chunk.cipher = WEFT_CIPHER_AES256_GCM;
	chunk.key_id = cpu_to_le32(1);
	chunk.stored_len = cpu_to_le32(4096 + WEFT_CIPHER_TAG);
	memcpy(f->payload.data + at, &chunk, sizeof(chunk));
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);

	/* Sealed, and a hash of what is in it. */
	fixture_commit_begin(f, ino, 4096, 0);
	at = f->payload.len + 4;
	fixture_commit_chunk(f, group, 4096, 0);
	chunk.content_id[31] = 1;
	memcpy(f->payload.data + at, &chunk, sizeof(chunk));
	fixture_commit_extents(f, &extent, 1);
	assert_int_equal(fixture_commit_end(f, 4), WEFT_ST_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_file_encrypts_an_empty_volume, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_volume_that_is_used_stays_as_it_is, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(settings_that_are_not_known_keep_it_plain, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(generations_follow_each_other, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(files_that_make_no_sense_are_refused, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(plain_content_of_an_encrypted_volume_is_refused, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
