// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store from outside: every operation over a socket, with both back-ends; what is stored survives a restart; faults on
 * disk are answered with a status that names them, and the server goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "chunk/crc32c.h"
#include "store/fault.h"
#include "store/segment.h"
#include "store_fixture.h"
#include "weft_status.h"

#define SMALL 5000u
#define LARGE (700u * 1024)

static enum store_backend backend;

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture_init(fixture, backend);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->server)
		fixture_stop(fixture);
	umount2(fixture->path, MNT_DETACH); /* one test mounts something there */
	fixture_exit(fixture);
	free(fixture);
	return 0;
}

static void put_get_stat_delete(struct fixture *fixture, uint32_t len)
{
	struct store_client *client, *meta;
	struct shard shard;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	meta = fixture_connect(fixture, WEFT_ROLE_META);
	shard_init(&shard, 9, 1, len, 1);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_ABSENT);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	assert_int_equal(shard_call(client, &shard, WEFT_OP_STAT), WEFT_ST_OK);
	assert_int_equal(shard_call(meta, &shard, WEFT_OP_VERIFY), WEFT_ST_OK);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(shard_call(client, &shard, WEFT_OP_DEL), WEFT_ST_FORBIDDEN);
	assert_int_equal(shard_call(meta, &shard, WEFT_OP_DEL), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_ABSENT);
	assert_int_equal(shard_call(meta, &shard, WEFT_OP_DEL), WEFT_ST_OK);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(client);
	store_client_close(meta);
}

static void small_shard_put_get_stat_delete(void **state)
{
	put_get_stat_delete(*state, SMALL);
}

static void large_shard_put_get_stat_delete(void **state)
{
	put_get_stat_delete(*state, LARGE);
}

static void largest_shard_fits(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *client;
	struct shard shard;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	shard_init(&shard, 9, 1, WEFT_CHUNK_MAX, 1);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(client);
}

static void other_bytes_under_the_same_name_are_refused(void **state)
{
	const uint32_t lens[] = {SMALL, LARGE};
	struct fixture *fixture = *state;
	struct store_client *client;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	for (size_t i = 0; i < 2; i++) {
		struct shard first, other;

		shard_init(&first, 9, 10 + i, lens[i], 1);
		shard_init(&other, 9, 10 + i, lens[i], 2);
		assert_int_equal(shard_put(client, &first), WEFT_ST_OK);
		assert_int_equal(shard_put(client, &other), WEFT_ST_CONFLICT);
		assert_int_equal(shard_check(client, &first), WEFT_ST_OK);
		shard_exit(&first);
		shard_exit(&other);
	}
	store_client_close(client);
}

static void damaged_payload_is_dropped(void **state)
{
	const uint32_t lens[] = {SMALL, LARGE};
	struct fixture *fixture = *state;
	struct store_client *client;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	for (size_t i = 0; i < 2; i++) {
		struct shard shard;

		shard_init(&shard, 9, 20 + i, lens[i], 1);
		shard.data[lens[i] / 2] ^= 1;
		assert_int_equal(shard_put(client, &shard), WEFT_ST_CORRUPT);
		assert_int_equal(shard_check(client, &shard), WEFT_ST_ABSENT);
		shard.data[lens[i] / 2] ^= 1;
		shard.table[1] ^= 1;
		assert_int_equal(shard_put(client, &shard), WEFT_ST_CORRUPT);
		shard.table[1] ^= 1;
		shard.head[30] ^= 1;
		assert_int_equal(shard_put(client, &shard), WEFT_ST_CORRUPT);
		shard_exit(&shard);
	}
	store_client_close(client);
}

static void ranges_are_answered_with_whole_blocks(void **state)
{
	const uint32_t lens[] = {100, SMALL, 200 * 1024, LARGE};
	struct fixture *fixture = *state;
	struct store_client *client;
	uint8_t *buf = malloc(2 * LARGE);

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	for (size_t i = 0; i < 4; i++) {
		struct shard shard;
		uint32_t got;

		shard_init(&shard, 9, 30 + i, lens[i], (unsigned int)i);
		assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
		for (uint64_t offset = 0; offset < shard.shard_len;
		     offset += 4096 * (1 + offset / 4096)) {
			assert_int_equal(store_client_get(client, &shard.name, offset, 4097, buf,
							  2 * LARGE, &got),
					 0);
			assert_int_equal(got, weft_wire_range_clamp(offset, 4097, shard.shard_len));
			assert_memory_equal(buf, shard.data + offset, got);
		}
		assert_int_equal(
			store_client_get(client, &shard.name, 4096 * 1024, 1, buf, 2 * LARGE, &got),
			WEFT_ST_INVAL);
		shard_exit(&shard);
	}
	free(buf);
	store_client_close(client);
}

/* The keeper counts files when the index is new; it ends, or the test's time does. */
static void wait_for_shards(struct fixture *fixture, int64_t n)
{
	while (atomic_load(&fixture->server->stores[0]->shards) != n)
		sched_yield();
}

static void shards_survive_a_restart(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *client;
	struct shard shards[40];

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_META);
	for (unsigned int i = 0; i < 40; i++) {
		shard_init(&shards[i], 9, i + 1, i % 10 == 0 ? LARGE : SMALL + 600 * i, i);
		assert_int_equal(shard_put(client, &shards[i]), WEFT_ST_OK);
	}
	for (unsigned int i = 0; i < 40; i += 3)
		assert_int_equal(shard_call(client, &shards[i], WEFT_OP_DEL), WEFT_ST_OK);
	store_client_close(client);
	for (int round = 0; round < 3; round++) {
		fixture_stop(fixture);
		if (round == 1) {
			char path[512];

			fixture_find(fixture, "data.mdb", path);
			assert_int_equal(unlink(path), 0);
		}
		fixture_start(fixture);
		wait_for_shards(fixture, 26);
		client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
		for (unsigned int i = 0; i < 40; i++)
			assert_int_equal(shard_check(client, &shards[i]),
					 i % 3 ? WEFT_ST_OK : WEFT_ST_ABSENT);
		store_client_close(client);
	}
	for (unsigned int i = 0; i < 40; i++)
		shard_exit(&shards[i]);
}

static void flip_byte(const char *path, off_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static void corrupt_shards_are_named_and_replaced(void **state)
{
	const char *const suffixes[] = {".seg", "-01"};
	const uint32_t lens[] = {SMALL, LARGE};
	struct fixture *fixture = *state;
	struct store_client *client;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_META);
	for (size_t i = 0; i < 2; i++) {
		struct shard shard;
		char path[512];

		shard_init(&shard, 9, 40 + i, lens[i], 1);
		assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
		fixture_find(fixture, suffixes[i], path);
		flip_byte(path, 4096 + 100);
		assert_int_equal(shard_check(client, &shard), WEFT_ST_CORRUPT);
		assert_int_equal(shard_call(client, &shard, WEFT_OP_VERIFY), WEFT_ST_CORRUPT);
		assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
		assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
		assert_true(atomic_load(&fixture->server->stores[0]->errors) >= 2);
		shard_exit(&shard);
	}
	store_client_close(client);
}

static void shard_cut_short_is_corrupt(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *client;
	struct shard shard;
	char path[512];
	struct stat st;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	shard_init(&shard, 9, 50, LARGE, 1);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	fixture_find(fixture, "-01", path);
	assert_int_equal(stat(path, &st), 0);
	for (off_t size = st.st_size - 1; size > 0; size /= 3) {
		assert_int_equal(truncate(path, size), 0);
		assert_int_equal(shard_check(client, &shard), WEFT_ST_CORRUPT);
	}
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_CORRUPT);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(client);
}

static void wrong_cluster_store_and_incarnation_are_refused(void **state)
{
	struct weft_wire_greeting hello = {.cluster = "another cluster",
					   .incarnation = 1,
					   .version_min = 1,
					   .version_max = 1,
					   .role = WEFT_ROLE_CLIENT,
					   .in_flight = 1,
					   .payload_max = 1 << 20};
	struct fixture *fixture = *state;
	struct weft_wire_greeting right = hello;
	struct store_client *client;
	struct shard shard;

	fixture_start(fixture);
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 5000),
			 WEFT_ST_WRONG_CLUSTER);
	memcpy(right.cluster, fixture->conf.cluster, 16);
	hello = right;
	hello.incarnation = 0;
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 5000),
			 WEFT_ST_OLD_INCARNATION);
	hello = right;
	hello.version_min = hello.version_max = 9;
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 5000),
			 WEFT_ST_VERSION);
	hello = right;
	hello.incarnation = 5;
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 5000), 0);
	assert_int_equal(hello.incarnation, 5);
	shard_init(&shard, 9, 1, SMALL, 1);
	shard.name.store = FIXTURE_STORE + 1;
	assert_int_equal(shard_put(client, &shard), WEFT_ST_WRONG_STORE);
	shard_exit(&shard);
	store_client_close(client);
	hello = right;
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 5000),
			 WEFT_ST_OLD_INCARNATION);
}

/* With a checksum that is right. */
static void set_format(const char *path, uint16_t format)
{
	struct weft_store_file file;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &file, sizeof(file), 0), sizeof(file));
	file.format = cpu_to_le16(format);
	file.crc = 0;
	file.crc = cpu_to_le32(weft_crc32c(0, &file, sizeof(file)));
	assert_int_equal(pwrite(fd, &file, sizeof(file), 0), sizeof(file));
	close(fd);
}

static void directories_that_are_not_ours_are_refused(void **state)
{
	struct fixture *fixture = *state;
	struct store_server *second;
	char path[512], shards[512];

	fixture_start(fixture);
	{
		struct store_conf conf = fixture->conf;

		conf.n_addresses = 0;
		assert_int_equal(store_server_start(&second, &conf), -EBUSY);
	}
	fixture_stop(fixture);
	fixture->conf.cluster[0] ^= 1;
	assert_int_equal(store_server_start(&second, &fixture->conf), -EPROTO);
	fixture->conf.cluster[0] ^= 1;
	snprintf(path, sizeof(path), "%s/STORE", fixture->path);
	flip_byte(path, 41);
	assert_int_equal(store_server_start(&second, &fixture->conf), -EPROTO);
	flip_byte(path, 41);
	flip_byte(path, 4); /* format */
	assert_int_equal(store_server_start(&second, &fixture->conf), -EPROTO);
	flip_byte(path, 4);
	for (unsigned int i = 0; i < 2; i++) {
		set_format(path, i ? WEFT_STORE_FORMAT + 1 : 0);
		assert_int_equal(store_server_start(&second, &fixture->conf), -EPROTO);
	}
	set_format(path, WEFT_STORE_FORMAT);
	fixture_start(fixture);
	assert_int_equal(fixture->server->stores[0]->starts, 2);
	fixture_stop(fixture);
	/* Shards without STORE, and segments alone. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_server_start(&second, &fixture->conf), -EPROTO);
	snprintf(shards, sizeof(shards), "%s/shards", fixture->path);
	assert_int_equal(rmdir(shards), 0);
	assert_int_equal(store_server_start(&second, &fixture->conf), -EPROTO);
}

/* One bad disk does not take the host's other stores away. */
static void stores_that_can_be_opened_are_served(void **state)
{
	struct fixture *fixture = *state;
	char other[512], file[600];
	const char *const *before = fixture->conf.paths;
	const char *const paths[] = { other, fixture->path };
	FILE *stream;

	snprintf(other, sizeof(other), "%s/other", fixture->dir);
	assert_int_equal(mkdir(other, 0700), 0);
	snprintf(file, sizeof(file), "%s/STORE", other);
	stream = fopen(file, "w");
	assert_non_null(stream);
	fputs("something else", stream);
	assert_int_equal(fclose(stream), 0);
	fixture->conf.paths = paths;
	fixture->conf.n_paths = 2;
	fixture_start(fixture);
	assert_int_equal(fixture->server->n_stores, 1);
	assert_string_equal(fixture->server->stores[0]->path, fixture->path);
	fixture_stop(fixture);
	fixture->conf.paths = before;
	fixture->conf.n_paths = 1;
}

/* What is kept for a full disk is free when a store starts, and kept again when there is enough. */
static void a_start_gives_up_the_room_that_is_kept(void **state)
{
	struct fixture *fixture = *state;
	char path[512];
	struct stat st;

	fixture_start(fixture);
	fixture_stop(fixture);
	snprintf(path, sizeof(path), "%s/segments/room", fixture->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_blocks * 512, 1 << 20);
	assert_int_equal(chmod(path, 0400), 0);
	fixture_start(fixture);
	fixture_stop(fixture);
	/* Another file: the first one went. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void full_store_says_so_and_keeps_a_reserve_for_rebuilds(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *client, *worker;
	struct shard shard;
	int status = 0;
	unsigned int n;

	fixture->conf.capacity = 20u << 20;
	fixture->conf.rebuild_percent = 40;
	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	worker = fixture_connect(fixture, WEFT_ROLE_STORE);
	for (n = 1; n < 100 && !status; n++) {
		shard_init(&shard, 9, n, 1u << 20, n);
		status = shard_put(client, &shard);
		if (!status)
			store_space_refresh(fixture->server->stores[0]);
		shard_exit(&shard);
	}
	assert_int_equal(status, WEFT_ST_STORE_FULL);
	assert_in_range(n, 10, 16);
	shard_init(&shard, 9, 200, 1u << 20, n);
	assert_int_equal(shard_put(worker, &shard), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(client);
	store_client_close(worker);
}

/* Others have filled the disk to its last block. What is stored is read and deleted, and that makes room. */
static void a_disk_without_any_room_reads_and_deletes(void **state)
{
	struct fixture *fixture = *state;
	struct shard large, small, late;
	static const uint8_t block[4096] = {1};
	struct store_client *client;
	char path[128];
	int fd, status;

	if (mkdir(fixture->path, 0700) || mount("weft", fixture->path, "tmpfs", 0, "size=32m"))
		skip();
	fixture->conf.reserve_percent = fixture->conf.rebuild_percent = 0;
	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_META);
	shard_init(&large, 9, 1, 1u << 20, 1);
	shard_init(&small, 9, 2, SMALL, 2);
	shard_init(&late, 9, 3, LARGE, 3);
	assert_int_equal(shard_put(client, &large), WEFT_ST_OK);
	assert_int_equal(shard_put(client, &small), WEFT_ST_OK);
	snprintf(path, sizeof(path), "%s/others", fixture->path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) == sizeof(block))
		;
	close(fd);
	assert_int_equal(shard_put(client, &late), WEFT_ST_STORE_FULL);
	assert_int_equal(shard_check(client, &large), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &small), WEFT_ST_OK);
	assert_int_equal(shard_call(client, &large, WEFT_OP_DEL), WEFT_ST_OK);
	assert_int_equal(shard_call(client, &small, WEFT_OP_DEL), WEFT_ST_OK);
	/* The store has seen the room at last. */
	while ((status = shard_put(client, &late)) == WEFT_ST_STORE_FULL)
		store_space_refresh(fixture->server->stores[0]);
	assert_int_equal(status, WEFT_ST_OK);
	assert_int_equal(shard_check(client, &late), WEFT_ST_OK);
	assert_int_equal(atomic_load(&fixture->server->stores[0]->status), WEFT_ST_OK);
	shard_exit(&large);
	shard_exit(&small);
	shard_exit(&late);
	store_client_close(client);
}

/* Records of deletions need room, too: many more of them than fit into a block that is there already. */
static void a_disk_without_any_room_deletes_small_shards(void **state)
{
	enum { COUNT = 400 };
	static const uint8_t block[4096] = {1};
	struct fixture *fixture = *state;
	struct store_client *client;
	struct shard shards[2];
	char path[128];
	int fd;

	if (mkdir(fixture->path, 0700) || mount("weft", fixture->path, "tmpfs", 0, "size=32m"))
		skip();
	fixture->conf.reserve_percent = fixture->conf.rebuild_percent = 0;
	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_META);
	shard_init(&shards[0], 9, 1, SMALL, 1);
	for (unsigned int i = 1; i <= COUNT; i++) {
		shards[0].name.counter = i;
		shard_init(&shards[1], 9, i, SMALL, i);
		assert_int_equal(shard_put(client, &shards[1]), WEFT_ST_OK);
		shard_exit(&shards[1]);
	}
	snprintf(path, sizeof(path), "%s/others", fixture->path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) == sizeof(block))
		;
	for (unsigned int i = 1; i <= COUNT; i++) {
		shards[0].name.counter = i;
		assert_int_equal(shard_call(client, &shards[0], WEFT_OP_DEL), WEFT_ST_OK);
		assert_int_equal(shard_call(client, &shards[0], WEFT_OP_STAT), WEFT_ST_ABSENT);
	}
	assert_int_equal(atomic_load(&fixture->server->stores[0]->status), WEFT_ST_OK);
	/* And that lasts. */
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	store_client_close(client);
	fixture_stop(fixture);
	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_META);
	for (unsigned int i = 1; i <= COUNT; i++) {
		shards[0].name.counter = i;
		assert_int_equal(shard_call(client, &shards[0], WEFT_OP_STAT), WEFT_ST_ABSENT);
	}
	shard_exit(&shards[0]);
	store_client_close(client);
}

/* The index is behind until there is room again; nothing is lost, and nothing is refused for ever. */
static void an_index_without_room_catches_up(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *client;
	struct store *store;
	struct shard shard;

	fixture_start(fixture);
	store = fixture->server->stores[0];
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	shard_init(&shard, 9, 1, SMALL, 1);
	store_fault_index_full = true;
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(store_segments_flush(store, true), -ENOSPC);
	assert_int_equal(atomic_load(&store->status), WEFT_ST_OK);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	store_fault_index_full = false;
	assert_int_equal(store_segments_flush(store, true), 0);
	store_client_close(client);
	fixture_stop(fixture);
	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	assert_int_equal(shard_check(client, &shard), WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(client);
}

static void list_and_digest_agree(void **state)
{
	enum { COUNT = 60 };
	struct weft_wire_frame frame = {.op = WEFT_OP_LIST, .store = FIXTURE_STORE, .group = 9},
			       answer;
	struct weft_wire_list_entry *entries = malloc(STORE_LIST_BYTES);
	struct fixture *fixture = *state;
	uint64_t counters = 0, bytes = 0;
	struct weft_wire_digest digest;
	struct store_client *client;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_META);
	for (unsigned int i = 1; i <= COUNT; i++) {
		struct shard shard;

		shard_init(&shard, i == 7 ? 8 : 9, i * 1000, i % 2 ? SMALL : LARGE, i);
		assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
		if (i != 7) {
			counters ^= i * 1000 ^ 1ull << 56;
			bytes += shard.shard_len;
		}
		shard_exit(&shard);
	}
	assert_int_equal(
		store_client_call(client, &frame, NULL, 0, &answer, entries, STORE_LIST_BYTES), 0);
	assert_int_equal(answer.payload_len, (COUNT - 1) * sizeof(*entries));
	for (unsigned int i = 0, n = 1; i < COUNT - 1; i++, n++) {
		n += n == 7;
		assert_int_equal(le64_to_cpu(entries[i].sid.counter), n * 1000);
		assert_true(le32_to_cpu(entries[i].shard_len) >= (n % 2 ? SMALL : LARGE));
	}
	frame.session = 0x51d;
	frame.counter = 30 * 1000;
	frame.index = 1;
	assert_int_equal(
		store_client_call(client, &frame, NULL, 0, &answer, entries, STORE_LIST_BYTES), 0);
	assert_int_equal(answer.payload_len, 30 * sizeof(*entries));
	assert_int_equal(le64_to_cpu(entries[0].sid.counter), 31 * 1000);
	frame = (struct weft_wire_frame){.op = WEFT_OP_DIGEST, .store = FIXTURE_STORE, .group = 9};
	assert_int_equal(
		store_client_call(client, &frame, NULL, 0, &answer, &digest, sizeof(digest)), 0);
	assert_int_equal(le64_to_cpu(digest.count), COUNT - 1);
	assert_int_equal(le64_to_cpu(digest.xor_counter), counters);
	assert_int_equal(le64_to_cpu(digest.bytes), bytes);
	free(entries);
	store_client_close(client);
}

#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(small_shard_put_get_stat_delete),
		STORE_TEST(large_shard_put_get_stat_delete),
		STORE_TEST(largest_shard_fits),
		STORE_TEST(other_bytes_under_the_same_name_are_refused),
		STORE_TEST(damaged_payload_is_dropped),
		STORE_TEST(ranges_are_answered_with_whole_blocks),
		STORE_TEST(shards_survive_a_restart),
		STORE_TEST(corrupt_shards_are_named_and_replaced),
		STORE_TEST(shard_cut_short_is_corrupt),
		STORE_TEST(wrong_cluster_store_and_incarnation_are_refused),
		STORE_TEST(directories_that_are_not_ours_are_refused),
		STORE_TEST(stores_that_can_be_opened_are_served),
		STORE_TEST(a_start_gives_up_the_room_that_is_kept),
		STORE_TEST(full_store_says_so_and_keeps_a_reserve_for_rebuilds),
		STORE_TEST(a_disk_without_any_room_reads_and_deletes),
		STORE_TEST(a_disk_without_any_room_deletes_small_shards),
		STORE_TEST(an_index_without_room_catches_up),
		STORE_TEST(list_and_digest_agree),
	};
	int failed;

	backend = STORE_BACKEND_THREADS;
	failed = cmocka_run_group_tests_name("store with threads", tests, NULL, NULL);
	backend = STORE_BACKEND_URING;
	if (fixture_usable(backend))
		failed += cmocka_run_group_tests_name("store with io_uring", tests, NULL, NULL);
	return failed;
}
