// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reader of chunks out of shard files and segments: every codec and width, every set of k shards, damaged and lying
 * shards, deleted and repeated records, and the walk through a store's directory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "chunk_fixture.h"
#include "kernel/chunk/crctable.h"
#include "tools/chunk/chunk.h"
#include "uapi/weft_key.h"
#include "uapi/weft_store.h"

static struct chunk_made made;
static struct chunk_shard shards[WEFT_SHARDS_MAX];
static u8 *files[WEFT_SHARDS_MAX];
static size_t lens[WEFT_SHARDS_MAX];
static struct chunk_error error;
static const struct chunk_keys *keys; /* what decode() is given */
static const char *why;

static bool make(unsigned int k, unsigned int m, u8 codec, u32 plain_len, u8 cipher)
{
	made = (struct chunk_made){ .info = { .k = (u8)k,
					      .m = (u8)m,
					      .codec = codec,
					      .cipher = cipher,
					      .plain_len = plain_len,
					      .sid_counter = 1 } };
	return chunk_make(&made);
}

/* The shards in `have`, through their files, which stay until drop(). */
static size_t load(u32 have)
{
	size_t n = 0;

	for (unsigned int i = 0; i < made.info.k + made.info.m; i++) {
		if (!(have & 1u << i))
			continue;
		files[n] = chunk_file(&made, i, &lens[n]);
		assert_int_equal(chunk_shard_file(&shards[n], files[n], lens[n], &why), 0);
		n++;
	}
	return n;
}

static void drop(size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(files[i]);
}

static int decode(size_t n)
{
	u8 *plain = malloc(made.info.plain_len);
	u32 used;
	int err = chunk_decode(shards, n, keys, plain, &used, &error);

	if (!err)
		assert_memory_equal(plain, made.plain, made.info.plain_len);
	free(plain);
	return err;
}

static u32 all_of(const struct chunk_made *of)
{
	return ~0u >> (32 - of->info.k - of->info.m);
}

static void every_codec_length_and_width(void **state)
{
	static const u32 plain_lens[] = { 1, 100, 4096, 131072, 131073, 700001 };
	static const u8 widths[][2] = { { 1, 3 }, { 2, 1 }, { 3, 0 }, { 6, 3 }, { 16, 16 } };
	size_t n;

	(void)state;
	for (u8 codec = WEFT_CODEC_RAW; codec <= WEFT_CODEC_DEFLATE; codec++)
		for (size_t i = 0; i < ARRAY_SIZE(plain_lens); i++)
			for (size_t w = 0; w < ARRAY_SIZE(widths); w++) {
				make(widths[w][0], widths[w][1], codec, plain_lens[i], WEFT_CIPHER_NONE);
				n = load(all_of(&made));
				assert_int_equal(decode(n), 0);
				assert_int_equal(decode(made.info.k), 0);
				memmove(shards, shards + made.info.m, made.info.k * sizeof(*shards));
				assert_int_equal(decode(made.info.k), 0);
				drop(n);
				chunk_free(&made);
			}
}

static void any_k_shards_do_and_fewer_do_not(void **state)
{
	unsigned int sets = 0;
	size_t n;

	(void)state;
	make(6, 3, WEFT_CODEC_ZSTD, 700001, WEFT_CIPHER_NONE);
	for (u32 have = 1; have < 1u << 9; have++) {
		if (hweight32(have) != 6 && hweight32(have) != 5)
			continue;
		n = load(have);
		assert_int_equal(decode(n), n == 6 ? 0 : -ENODATA);
		if (n == 5)
			assert_string_equal(error.text,
					    "6 of its shards are needed, and only 5 are there and sound from byte 0 "
					    "of each on");
		sets += n == 6;
		drop(n);
	}
	assert_int_equal(sets, 84);
	chunk_free(&made);
}

/* No shard is whole, but each column of blocks has enough. */
static void sound_blocks_of_damaged_shards(void **state)
{
	u32 blocks;
	size_t n;

	(void)state;
	make(4, 2, WEFT_CODEC_RAW, 400000, WEFT_CIPHER_NONE);
	n = load(all_of(&made));
	blocks = weft_block_count(made.info.shard_len);
	assert_true(blocks > 12);
	for (u32 block = 0; block < blocks; block++)
		for (u32 i = 0; i < 2; i++)
			((u8 *)shards[(block + i) % 6].data)[block * 4096 + 17] ^= 1;
	assert_int_equal(decode(n), 0);
	((u8 *)shards[0].data)[3 * 4096] ^= 1;
	assert_int_equal(decode(n), -ENODATA);
	assert_string_equal(error.text,
			    "4 of its shards are needed, and only 3 are there and sound from byte 12288 of each on");
	drop(n);
	chunk_free(&made);
}

static void files_that_were_cut_short(void **state)
{
	size_t n, area;

	(void)state;
	make(2, 1, WEFT_CODEC_RAW, 600000, WEFT_CIPHER_NONE);
	n = load(all_of(&made));
	area = lens[0] - made.info.shard_len;
	assert_int_equal(chunk_shard_file(&shards[0], files[0], area + 5 * 4096 + 1, &why), 0);
	assert_int_equal(shards[0].data_len, 5 * 4096 + 1);
	assert_true(chunk_block_good(&shards[0], 4) && !chunk_block_good(&shards[0], 5));
	assert_int_equal(decode(n), 0);
	assert_int_equal(chunk_shard_file(&shards[1], files[1], area + 6 * 4096, &why), 0);
	assert_int_equal(decode(n), -ENODATA);
	assert_int_equal(chunk_shard_file(&shards[0], files[0], 128, &why), -EBADMSG);
	assert_string_equal(why, "it ends within its CRC table");
	assert_int_equal(chunk_shard_file(&shards[0], files[0], 127, &why), -EBADMSG);
	drop(n);
	chunk_free(&made);
}

static void shards_of_two_chunks(void **state)
{
	size_t n;

	(void)state;
	make(2, 1, WEFT_CODEC_LZ4, 100000, WEFT_CIPHER_NONE);
	n = load(all_of(&made));
	made.info.version++;
	chunk_make_again(&made);
	free(files[1]);
	files[1] = chunk_file(&made, 1, &lens[1]);
	assert_int_equal(chunk_shard_file(&shards[1], files[1], lens[1], &why), 0);
	assert_int_equal(decode(n), -EINVAL);
	shards[1] = shards[2];
	assert_int_equal(decode(n), 0);
	drop(n);
	chunk_free(&made);
}

/* Keys as a key file has them; the chunks' is the second. */
static struct chunk_keys volume_keys(const char *uuid, const char *key)
{
	static struct {
		struct weft_key_ring head;
		struct weft_key_plain keys[2];
	} ring;
	struct chunk_keys made_of;

	ring.head.keys = htole32(2);
	memcpy(ring.head.volume, uuid, 16);
	ring.keys[0].id = htole32(CHUNK_KEY_ID - 1);
	ring.keys[1].id = htole32(CHUNK_KEY_ID);
	memcpy(ring.keys[1].key, key, sizeof(ring.keys[1].key));
	chunk_keys_make(&made_of, &ring.head);
	return made_of;
}

static void encrypted_chunks_open_with_their_key(void **state)
{
	static const u8 codecs[] = { WEFT_CODEC_RAW, WEFT_CODEC_ZSTD, WEFT_CODEC_LZ4, WEFT_CODEC_DEFLATE };
	static const u32 plain_lens[] = { 1, 4096, 131072, 131073, 700001 };
	struct chunk_keys right = volume_keys(CHUNK_UUID, CHUNK_KEY);
	bool sealed = true;
	size_t n;

	(void)state;
	keys = &right;
	for (size_t i = 0; i < sizeof(codecs) && sealed; i++) {
		for (size_t j = 0; j < sizeof(plain_lens) / sizeof(*plain_lens) && sealed; j++) {
			sealed = make(3, 2, codecs[i], plain_lens[j], WEFT_CIPHER_AES256_GCM);
			n = load(0x16);
			assert_int_equal(decode(n), sealed ? 0 : -EOPNOTSUPP);
			drop(n);
			chunk_free(&made);
		}
	}
	keys = NULL;
	if (!sealed)
		skip();
}

/* Another key, another volume's, or not what was sealed: no byte of it comes out. */
static void encrypted_chunks_open_with_nothing_else(void **state)
{
	struct chunk_keys right = volume_keys(CHUNK_UUID, CHUNK_KEY);
	struct chunk_keys other[] = { volume_keys("another volume's", CHUNK_KEY),
				      volume_keys(CHUNK_UUID, "another key of thirty-two bytes.") };
	size_t n;

	(void)state;
	if (!make(3, 2, WEFT_CODEC_ZSTD, 300000, WEFT_CIPHER_AES256_GCM)) {
		chunk_free(&made);
		skip();
	}
	for (size_t i = 0; i < 2; i++) {
		keys = &other[i];
		n = load(0x16);
		assert_int_equal(decode(n), -EBADMSG);
		assert_non_null(strstr(error.text, "frame 0 has right checksums, but key 9"));
		drop(n);
	}
	other[0] = right;
	other[0].n = 1;
	keys = &other[0];
	n = load(0x16);
	assert_int_equal(decode(n), -ENOKEY);
	assert_string_equal(error.text, "it is encrypted with key 9, which is not in the key file: save that again");
	drop(n);
	keys = &right;
	made.stored[le32toh(made.ends[1])] ^= 1;
	chunk_make_again(&made);
	n = load(0x16);
	assert_int_equal(decode(n), -EBADMSG);
	assert_non_null(strstr(error.text, "its frame 2 has right checksums, but key 9"));
	drop(n);
	made.stored[le32toh(made.ends[1])] ^= 1;
	/* The same bytes, said to be of another seal. */
	made.info.seal_counter++;
	chunk_make_again(&made);
	n = load(0x16);
	assert_int_equal(decode(n), -EBADMSG);
	drop(n);
	keys = NULL;
	chunk_free(&made);
}

static void encrypted_chunks_are_refused_without_keys(void **state)
{
	size_t n;

	(void)state;
	make(2, 1, WEFT_CODEC_ZSTD, 200000, WEFT_CIPHER_AES256_GCM);
	n = load(all_of(&made));
	assert_int_equal(decode(n), -ENOKEY);
	assert_string_equal(error.text,
			    "it is encrypted with key 9: name its volume's key file with --key-file ('weft key save' writes it)");
	drop(n);
	chunk_free(&made);
}

/* Right checksums everywhere, and a frame that no codec made. */
static void frames_that_lie(void **state)
{
	size_t n;

	(void)state;
	for (u8 codec = WEFT_CODEC_ZSTD; codec <= WEFT_CODEC_DEFLATE; codec++) {
		make(2, 1, codec, 3 * WEFT_FRAME_SIZE, WEFT_CIPHER_NONE);
		memset(made.stored + le32_to_cpu(made.ends[1]), 0xa5, 64);
		chunk_make_again(&made);
		n = load(all_of(&made));
		assert_int_equal(decode(n), -EBADMSG);
		assert_non_null(strstr(error.text, "its frame 2 has right checksums but is not what"));
		drop(n);
		/* One byte more than the frame has, one less. */
		chunk_free(&made);
		make(2, 1, codec, 3 * WEFT_FRAME_SIZE, WEFT_CIPHER_NONE);
		made.ends[2] = cpu_to_le32(++made.info.stored_len);
		chunk_make_again(&made);
		n = load(all_of(&made));
		assert_int_equal(decode(n), -EBADMSG);
		drop(n);
		made.ends[2] = cpu_to_le32(made.info.stored_len -= 2);
		chunk_make_again(&made);
		n = load(all_of(&made));
		assert_int_equal(decode(n), -EBADMSG);
		drop(n);
		chunk_free(&made);
	}
}

/* --- segments ----------------------------------------------------------------------------------------------------- */

static u8 segment[1 << 20];

static size_t next_record(size_t len, size_t *pos, struct chunk_record *record)
{
	return chunk_segment_next(segment, len, 3, pos, record) ? record->offset : 0;
}

static void records_of_a_segment(void **state)
{
	size_t len, pos = 0, second, third;
	struct chunk_record record;
	u8 store[16];
	u64 id;

	(void)state;
	make(2, 1, WEFT_CODEC_DEFLATE, 50000, WEFT_CIPHER_NONE);
	len = chunk_segment_begin(segment, 3, 7);
	len += chunk_segment_put(segment + len, 3, &made, 0);
	second = len;
	len += chunk_segment_put(segment + len, 3, &made, 2);
	len += chunk_segment_delete(segment + len, 3, &made, 0);
	third = len;
	len += chunk_segment_put(segment + len, 3, &made, 1);
	assert_true(chunk_segment_header(segment, len, &id, store) && id == 3 && store[0] == 7);

	assert_int_equal(next_record(len, &pos, &record), 64);
	assert_true(record.whole && !record.deleted && record.index == 0);
	shards[0] = record.shard;
	assert_int_equal(next_record(len, &pos, &record), second);
	shards[1] = record.shard;
	assert_int_equal(decode(2), 0);
	assert_int_equal(next_record(len, &pos, &record), third - 64);
	assert_true(record.deleted && record.index == 0 && record.counter == 1);
	assert_int_equal(next_record(len, &pos, &record), third);
	assert_int_equal(next_record(len, &pos, &record), 0);

	/* Damage in the data of one: not whole, and the next one is found. */
	pos = second;
	segment[second + 64 + 400] ^= 1;
	assert_int_equal(next_record(len, &pos, &record), second);
	assert_false(record.whole);
	assert_int_equal(next_record(len, &pos, &record), third - 64);
	/* In the record itself: it is none. */
	pos = second;
	segment[second + 20] ^= 1;
	assert_int_equal(next_record(len, &pos, &record), third - 64);
	/* One that a crash cut off, and what was appended into its place. */
	second = 64 + 1024;
	chunk_segment_delete(segment + second, 3, &made, 1);
	pos = 0;
	assert_int_equal(next_record(len, &pos, &record), 64);
	assert_false(record.whole);
	assert_int_equal(next_record(len, &pos, &record), second);
	assert_true(record.deleted && record.index == 1);
	/* Another segment's blocks are not this one's. */
	pos = 0;
	assert_false(chunk_segment_next(segment, len, 4, &pos, &record));
	segment[5] ^= 1;
	assert_false(chunk_segment_header(segment, len, &id, store));
	chunk_free(&made);
}

/* --- directories -------------------------------------------------------------------------------------------------- */

static char root[] = "/tmp/weft-chunk.XXXXXX";
static unsigned int warnings;

static void warned(const char *path, const char *text)
{
	(void)path;
	(void)text;
	warnings++;
}

static void put_file(const char *name, const u8 *bytes, size_t len)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = strchr(path + sizeof(root), '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static void put_shard(const char *name, unsigned int index)
{
	size_t len;
	u8 *bytes = chunk_file(&made, index, &len);

	put_file(name, bytes, len);
	free(bytes);
}

/* Segments of two stores: what the first deletes and repeats says nothing of the second's. */
static void put_segments(struct chunk_made *small)
{
	size_t len = chunk_segment_begin(segment, 1, 1);

	len += chunk_segment_put(segment + len, 1, small, 0);
	len += chunk_segment_put(segment + len, 1, small, 1);
	put_file("a/segments/0000000000000001.seg", segment, len);
	len = chunk_segment_begin(segment, 2, 1);
	len += chunk_segment_delete(segment + len, 2, small, 0);
	len += chunk_segment_put(segment + len, 2, small, 1);
	put_file("a/segments/0000000000000002.seg", segment, len);
	len = chunk_segment_begin(segment, 1, 2);
	len += chunk_segment_put(segment + len, 1, small, 0);
	segment[1] ^= 1; /* a damaged header: the records count all the same */
	put_file("b/segments/0000000000000001.seg", segment, len);
}

static void stores_are_searched(void **state)
{
	struct chunk_made small = {
		.info = { .k = 2, .m = 1, .codec = WEFT_CODEC_ZSTD, .plain_len = 9000, .sid_counter = 2 }
	};
	struct chunk_places places = { .warn = warned };
	char command[64];
	u8 *bytes[4];

	(void)state;
	assert_non_null(mkdtemp(root));
	make(2, 1, WEFT_CODEC_RAW, 600000, WEFT_CIPHER_NONE);
	chunk_make(&small);
	put_segments(&small);
	put_shard("a/shards/0000000000000005/7f/0000000000001122-0000000000000001-00", 0);
	put_shard("b/shards/0000000000000005/7f/0000000000001122-0000000000000001-02", 2);
	put_shard("b/bad/0000000000000005-0000000000001122-0000000000000001-01", 1);
	put_file("b/shards/0000000000000005/7f/0000000000001122-0000000000000009-01", (const u8 *)"rotten", 6);
	put_file("a/STORE", (const u8 *)"anything", 8);

	assert_int_equal(chunk_find(&places, root), 0);
	chunk_find_end(&places);
	assert_int_equal(warnings, 2);
	/* Two of the large chunk; of the small one shard 0 in b, shard 1 in the later segment of a. */
	assert_int_equal(places.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(chunk_load(&places.list[i], &shards[i], &bytes[i], &why), 0);
	assert_true(chunk_place_same(&places.list[0], &places.list[1]) &&
		    !chunk_place_same(&places.list[1], &places.list[2]));
	assert_int_equal(decode(2), 0);
	assert_int_equal(shards[2].info.index, 0);
	assert_int_equal(shards[3].info.index, 1);
	assert_int_equal(places.list[3].segment, 2);
	chunk_free(&made);
	made = small;
	memmove(shards, shards + 2, 2 * sizeof(*shards));
	assert_int_equal(decode(2), 0);
	for (size_t i = 0; i < 4; i++)
		free(bytes[i]);
	chunk_places_free(&places);
	chunk_free(&made);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_codec_length_and_width),
		cmocka_unit_test(any_k_shards_do_and_fewer_do_not),
		cmocka_unit_test(sound_blocks_of_damaged_shards),
		cmocka_unit_test(files_that_were_cut_short),
		cmocka_unit_test(shards_of_two_chunks),
		cmocka_unit_test(encrypted_chunks_open_with_their_key),
		cmocka_unit_test(encrypted_chunks_open_with_nothing_else),
		cmocka_unit_test(encrypted_chunks_are_refused_without_keys),
		cmocka_unit_test(frames_that_lie),
		cmocka_unit_test(records_of_a_segment),
		cmocka_unit_test(stores_are_searched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
