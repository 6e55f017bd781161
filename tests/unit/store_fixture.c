// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * store_fixture.c - a store server in this process, and shards to feed it with
 */
#include "store_fixture.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "chunk/crctable.h"
#include "chunk/header.h"

static const uint8_t cluster_id[16] = "weft test suite";

void fixture_init(struct fixture *fixture, enum store_backend backend)
{
	memset(fixture, 0, sizeof(*fixture));
	/* Memory, if there is some: thousands of syncs are waited for here, and no test pulls the plug. */
	strcpy(fixture->dir,
	       access("/dev/shm", W_OK) ? "/tmp/weft-store-XXXXXX" : "/dev/shm/weft-store-XXXXXX");
	assert_non_null(mkdtemp(fixture->dir));
	snprintf(fixture->path, sizeof(fixture->path), "%s/store", fixture->dir);
	snprintf(fixture->socket, sizeof(fixture->socket), "unix:%s/socket", fixture->dir);
	fixture->paths[0] = fixture->path;
	fixture->addresses[0] = fixture->socket;
	memcpy(fixture->conf.cluster, cluster_id, sizeof(cluster_id));
	fixture->conf.incarnation = 1;
	fixture->conf.host = 3;
	fixture->conf.paths = fixture->paths;
	fixture->conf.n_paths = 1;
	fixture->conf.addresses = fixture->addresses;
	fixture->conf.n_addresses = 1;
	fixture->conf.backend = backend;
	fixture->conf.index_ms = 20;
	fixture->conf.reserve_percent = 2;
	fixture->conf.rebuild_percent = 5;
	/* Faults are made on purpose here; WEFT_TEST_LOG=1 shows what the store says of them. */
	log_set_level(getenv("WEFT_TEST_LOG") ? LOG_DEBUG : (enum log_level) - 1);
}

void fixture_start(struct fixture *fixture)
{
	assert_int_equal(store_server_start(&fixture->server, &fixture->conf), 0);
	assert_int_equal(store_set_number(fixture->server->stores[0], FIXTURE_STORE, 3, 1), 0);
}

void fixture_stop(struct fixture *fixture)
{
	store_server_stop(fixture->server);
	fixture->server = NULL;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

void fixture_exit(struct fixture *fixture)
{
	nftw(fixture->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool fixture_usable(enum store_backend backend)
{
	struct store_loop loop;
	struct store_pool *pool;
	bool usable;

	if (backend == STORE_BACKEND_THREADS)
		return true;
	assert_int_equal(store_pool_init(&pool, 1), 0);
	usable = store_loop_init(&loop, &store_io_uring, pool, NULL, NULL) == 0;
	if (usable)
		store_loop_exit(&loop);
	store_pool_exit(pool);
	return usable;
}

struct store_client *fixture_connect(struct fixture *fixture, enum weft_wire_role role)
{
	struct weft_wire_greeting hello = {
		.incarnation = 1,
		.version_min = 1,
		.version_max = 1,
		.role = role,
		.in_flight = 64,
		.payload_max = WEFT_WIRE_PAYLOAD_MAX,
	};
	struct store_client *client;

	memcpy(hello.cluster, cluster_id, sizeof(cluster_id));
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 10000), 0);
	assert_int_equal(hello.host, atomic_load(&fixture->server->host));
	return client;
}

void shard_init(struct shard *shard, uint64_t group, uint64_t counter, uint32_t len,
		unsigned int seed)
{
	struct weft_shard_info info = {
		.k = 1,
		.m = 2,
		.index = 1,
		.sid_session = 0x51d,
		.sid_counter = counter,
		.group = group,
		.volume = 1,
		.ino = 2,
		.version = 3,
		.plain_len = len,
		.stored_len = len,
	};
	struct weft_layout layout;
	const char *why = NULL;
	uint32_t x = seed * 2654435761u + 1;

	memset(shard, 0, sizeof(*shard));
	assert_int_equal(weft_layout_init(&layout, len, 1, 2), 0);
	shard->head_len =
		(uint32_t)weft_header_encode(&info, shard->head, sizeof(shard->head), &why);
	if (why)
		fail_msg("shard header: %s", why);
	shard->shard_len = layout.shard_len;
	shard->table_len = weft_crctable_len(layout.shard_len);
	shard->data = malloc(shard->shard_len);
	shard->table = malloc(shard->table_len);
	for (uint32_t i = 0; i < shard->shard_len; i++) {
		x = x * 1664525u + 1013904223u;
		shard->data[i] = (uint8_t)(x >> 24);
	}
	weft_crctable_fill(shard->table, 0, shard->data, shard->shard_len);
	weft_crctable_seal(shard->table, weft_block_count(shard->shard_len));
	shard->name = (struct weft_wire_frame){.store = FIXTURE_STORE,
					       .group = group,
					       .session = 0x51d,
					       .counter = counter,
					       .index = 1};
}

void shard_exit(struct shard *shard)
{
	free(shard->data);
	free(shard->table);
}

int shard_put(struct store_client *client, const struct shard *shard)
{
	return store_client_put(client, &shard->name, shard->head, shard->head_len, shard->data,
				shard->shard_len, shard->table);
}

int shard_check(struct store_client *client, const struct shard *shard)
{
	size_t size = shard->shard_len + weft_wire_crc_len(shard->shard_len);
	uint8_t *buf = malloc(size);
	uint32_t got = 0;
	int status = store_client_get(client, &shard->name, 0, shard->shard_len, buf, size, &got);

	if (status == 0) {
		assert_int_equal(got, shard->shard_len);
		assert_memory_equal(buf, shard->data, got);
		assert_memory_equal(buf + got, shard->table, shard->table_len);
	}
	free(buf);
	return status;
}

int shard_call(struct store_client *client, const struct shard *shard, uint8_t op)
{
	struct weft_wire_frame frame = shard->name, answer;
	uint8_t *buf = malloc(STORE_AREA_MAX);
	int status;

	frame.op = op;
	status = store_client_call(client, &frame, NULL, 0, &answer, buf, STORE_AREA_MAX);
	free(buf);
	return status;
}

static const char *find_suffix;
static char find_path[512];

static int find_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	size_t len = strlen(path), end = strlen(find_suffix);

	if (flag != FTW_F || len < end || strcmp(path + len - end, find_suffix) != 0)
		return 0;
	snprintf(find_path, sizeof(find_path), "%s", path);
	return 1;
}

void fixture_find(struct fixture *fixture, const char *suffix, char path[512])
{
	find_suffix = suffix;
	if (nftw(fixture->path, find_one, 16, FTW_PHYS) != 1)
		fail_msg("there is no file *%s", suffix);
	strcpy(path, find_path);
}
