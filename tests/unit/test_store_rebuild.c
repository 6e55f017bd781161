// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rebuild and deletion, with the shards of 4 + 2 chunks on six stores behind real sockets: what is rebuilt is what was
 * there, bad sources are passed over, wrong results are not stored, tasks that make no sense are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chunk/crctable.h"
#include "chunk/header.h"
#include "ec/ec.h"
#include "net/tlv.h"
#include "store/link.h"
#include "store/rebuild.h"
#include "store_fixture.h"
#include "weft_status.h"

#define K 4
#define M 2
#define N (K + M)

struct cluster {
	struct fixture fixture;
	char paths[N][96];
	const char *path_list[N];
	struct store_worker_conf conf;
	struct store_client *client;
};

struct chunk {
	uint32_t plain_len, stored_len, shard_len, table_len, head_len;
	uint8_t codec;
	uint8_t head[N][WEFT_SHARD_HEADER_MAX];
	uint8_t *data[N], *table[N];
	uint64_t counter;
};

/* A map frame: one host with all stores. */
static void cluster_map(struct cluster *cluster)
{
	struct weft_c_host host = {.host = cpu_to_le32(3), .state = cpu_to_le32(WEFT_HOST_UP)};
	struct tlv_writer writer;
	uint8_t text[256];
	size_t len = sizeof(host);

	tlv_writer_init(&writer, 65536);
	memcpy(text, &host, sizeof(host));
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "host") + 1;
	len += (size_t)snprintf((char *)text + len, sizeof(text) - len, "%s",
				cluster->fixture.socket) +
	       1;
	tlv_put(&writer, WEFT_C_HOST, text, len);
	for (uint32_t i = 0; i < N; i++) {
		struct weft_c_store store = {.store = cpu_to_le32(FIXTURE_STORE + i),
					     .host = cpu_to_le32(3)};

		tlv_put(&writer, WEFT_C_STORE, &store, sizeof(store));
	}
	assert_int_equal(tlv_finish(&writer), 0);
	assert_int_equal(store_map_update(cluster->conf.map, writer.data, writer.len), 0);
	tlv_writer_free(&writer);
}

static int setup(void **state)
{
	struct cluster *cluster = calloc(1, sizeof(*cluster));

	fixture_init(&cluster->fixture, STORE_BACKEND_AUTO);
	for (unsigned int i = 0; i < N; i++) {
		snprintf(cluster->paths[i], sizeof(cluster->paths[i]), "%s/store%u",
			 cluster->fixture.dir, i);
		cluster->path_list[i] = cluster->paths[i];
	}
	cluster->fixture.conf.paths = cluster->path_list;
	cluster->fixture.conf.n_paths = N;
	fixture_start(&cluster->fixture);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(store_set_number(cluster->fixture.server->stores[i],
						  FIXTURE_STORE + i, 3, 1),
				 0);
	cluster->client = fixture_connect(&cluster->fixture, WEFT_ROLE_META);
	cluster->conf = (struct store_worker_conf){
		.hello = {.incarnation = 1,
			  .version_min = 1,
			  .version_max = 1,
			  .role = WEFT_ROLE_STORE,
			  .in_flight = 8,
			  .payload_max = WEFT_WIRE_PAYLOAD_MAX},
		.own_address = cluster->fixture.socket,
	};
	memcpy(cluster->conf.hello.cluster, cluster->fixture.conf.cluster, 16);
	assert_int_equal(store_map_init(&cluster->conf.map), 0);
	cluster_map(cluster);
	*state = cluster;
	return 0;
}

static int teardown(void **state)
{
	struct cluster *cluster = *state;

	store_client_close(cluster->client);
	store_map_exit(cluster->conf.map);
	fixture_stop(&cluster->fixture);
	fixture_exit(&cluster->fixture);
	free(cluster);
	return 0;
}

/* Every other chunk is compressed: it has a frame table behind its header, and twice as many bytes of plaintext. */
static void chunk_init(struct chunk *chunk, uint64_t counter, uint32_t stored_len)
{
	const bool packed = counter % 2 == 0;
	const uint32_t plain_len = packed ? 2 * stored_len : stored_len, frames = weft_frame_count(plain_len);
	__le32 ends[WEFT_CHUNK_MAX / WEFT_FRAME_SIZE];
	const void *data[K];
	void *parity[M];
	struct weft_shard_info info = {
		.k = K,
		.m = M,
		.sid_session = 0x51d,
		.sid_counter = counter,
		.group = 9,
		.volume = 1,
		.ino = 2,
		.codec = packed ? WEFT_CODEC_ZSTD : WEFT_CODEC_RAW,
		.plain_len = plain_len,
		.stored_len = stored_len,
		.frames = packed ? ends : NULL,
	};
	struct weft_layout layout;
	struct weft_ec ec;
	uint32_t x = (uint32_t)counter;

	assert_int_equal(weft_layout_init(&layout, stored_len, K, M), 0);
	*chunk = (struct chunk){
		.plain_len = plain_len, .stored_len = stored_len, .shard_len = layout.shard_len, .counter = counter,
		.codec = info.codec, .head_len = weft_header_len(plain_len, info.codec, WEFT_CIPHER_NONE)};
	for (uint32_t i = 0; i < frames; i++)
		ends[i] = cpu_to_le32((uint32_t)((uint64_t)stored_len * (i + 1) / frames));
	chunk->table_len = weft_crctable_len(chunk->shard_len);
	for (unsigned int i = 0; i < N; i++) {
		chunk->data[i] = calloc(1, chunk->shard_len);
		chunk->table[i] = malloc(chunk->table_len);
		for (uint32_t j = 0; i < K && j < weft_layout_shard_used(&layout, i); j++) {
			x = x * 1664525u + 1013904223u;
			chunk->data[i][j] = (uint8_t)(x >> 24);
		}
		if (i < K)
			data[i] = chunk->data[i];
		else
			parity[i - K] = chunk->data[i];
	}
	assert_int_equal(weft_ec_init(&ec, K, M), 0);
	weft_ec_encode(&ec, chunk->shard_len, data, parity);
	for (unsigned int i = 0; i < N; i++) {
		info.index = (uint8_t)i;
		assert_int_equal(
			weft_header_encode(&info, chunk->head[i], sizeof(chunk->head[i]), NULL),
			chunk->head_len);
		weft_crctable_fill(chunk->table[i], 0, chunk->data[i], chunk->shard_len);
		weft_crctable_seal(chunk->table[i], weft_block_count(chunk->shard_len));
	}
}

static void chunk_exit(struct chunk *chunk)
{
	for (unsigned int i = 0; i < N; i++) {
		free(chunk->data[i]);
		free(chunk->table[i]);
	}
}

static struct weft_wire_frame shard_name(const struct chunk *chunk, unsigned int i)
{
	return (struct weft_wire_frame){.store = FIXTURE_STORE + i,
					.group = 9,
					.session = 0x51d,
					.counter = chunk->counter,
					.index = (uint8_t)i};
}

static int put_shard(struct cluster *cluster, const struct chunk *chunk, unsigned int i)
{
	struct weft_wire_frame name = shard_name(chunk, i);

	return store_client_put(cluster->client, &name, chunk->head[i], chunk->head_len, chunk->data[i],
				chunk->shard_len, chunk->table[i]);
}

static int get_shard(struct cluster *cluster, const struct chunk *chunk, unsigned int i)
{
	struct weft_wire_frame name = shard_name(chunk, i);
	size_t size = chunk->shard_len + chunk->table_len;
	uint8_t *buf = malloc(size);
	uint32_t got = 0;
	int status = store_client_get(cluster->client, &name, 0, chunk->shard_len, buf, size, &got);

	if (status == 0)
		assert_memory_equal(buf, chunk->data[i], chunk->shard_len);
	free(buf);
	return status;
}

struct task {
	struct weft_c_task task;
	struct weft_c_task_shard shards[N];
};

static struct task rebuild_task(const struct chunk *chunk, uint32_t wanted)
{
	struct task task = {
		.task = {.kind = cpu_to_le32(WEFT_TASK_REBUILD),
			 .group = cpu_to_le64(9),
			 .number = cpu_to_le64(1),
			 .sid = {cpu_to_le64(0x51d), cpu_to_le64(chunk->counter)},
			 .plain_len = cpu_to_le32(chunk->plain_len),
			 .codec = chunk->codec,
			 .stored_len = cpu_to_le32(chunk->stored_len),
			 .shard_len = cpu_to_le32(chunk->shard_len),
			 .k = K,
			 .m = M,
			 .shards = cpu_to_le32(N)},
	};

	for (uint32_t i = 0; i < N; i++)
		task.shards[i] = (struct weft_c_task_shard){
			.index = (uint8_t)i,
			.flags = wanted & 1u << i ? WEFT_TASK_SHARD_WANTED : 0,
			.store = cpu_to_le32(FIXTURE_STORE + i),
			.table_crc = cpu_to_le32(weft_crctable_entry(
				chunk->table[i], weft_block_count(chunk->shard_len))),
		};
	return task;
}

static uint32_t run(struct cluster *cluster, struct task *task)
{
	return store_rebuild(&cluster->conf, (uint8_t *)task, sizeof(*task));
}

static void every_pair_of_lost_shards_is_rebuilt(void **state)
{
	const uint32_t lens[] = {100, 60000, 3000000};
	struct cluster *cluster = *state;
	uint64_t counter = 1;

	for (size_t l = 0; l < 3; l++) {
		for (unsigned int a = 0; a < N; a++) {
			unsigned int b = (a + 1 + l) % N;
			struct chunk chunk;
			struct task task;

			chunk_init(&chunk, counter++, lens[l]);
			for (unsigned int i = 0; i < N; i++)
				if (i != a && i != b)
					assert_int_equal(put_shard(cluster, &chunk, i), WEFT_ST_OK);
			task = rebuild_task(&chunk, 1u << a | 1u << b);
			assert_int_equal(run(cluster, &task), WEFT_ST_OK);
			for (unsigned int i = 0; i < N; i++) {
				assert_int_equal(!!(task.shards[i].flags & WEFT_TASK_SHARD_DONE),
						 i == a || i == b);
				assert_int_equal(get_shard(cluster, &chunk, i), WEFT_ST_OK);
				assert_int_equal(put_shard(cluster, &chunk, i),
						 WEFT_ST_OK); /* header, too */
			}
			chunk_exit(&chunk);
		}
	}
}

static void absent_sources_are_replaced_by_others(void **state)
{
	struct cluster *cluster = *state;
	struct chunk chunk;
	struct task task;

	chunk_init(&chunk, 1, 3000000);
	for (unsigned int i = 1; i < N; i++)
		if (i != 2)
			assert_int_equal(put_shard(cluster, &chunk, i), WEFT_ST_OK);
	/* 2 is gone, too, but nobody said so. */
	task = rebuild_task(&chunk, 1u << 0);
	assert_int_equal(run(cluster, &task), WEFT_ST_OK);
	assert_int_equal(get_shard(cluster, &chunk, 0), WEFT_ST_OK);
	chunk_exit(&chunk);
}

static void too_few_sources_make_nothing(void **state)
{
	struct cluster *cluster = *state;
	struct chunk chunk;
	struct task task;

	chunk_init(&chunk, 1, 300000);
	for (unsigned int i = 0; i < K - 1; i++)
		assert_int_equal(put_shard(cluster, &chunk, i), WEFT_ST_OK);
	task = rebuild_task(&chunk, 1u << 5);
	assert_int_equal(run(cluster, &task), WEFT_ST_UNREADABLE);
	assert_int_equal(get_shard(cluster, &chunk, 5), WEFT_ST_ABSENT);
	chunk_exit(&chunk);
}

static void sources_that_the_record_does_not_name_are_not_used(void **state)
{
	struct cluster *cluster = *state;
	struct chunk chunk, other;
	struct task task;

	chunk_init(&chunk, 1, 300000);
	chunk_init(&other, 1, 300000);
	/* The same name and length, sound by itself, but other content: one shard of another encoding. */
	other.data[1][5] ^= 1;
	weft_crctable_fill(other.table[1], 0, other.data[1], other.shard_len);
	weft_crctable_seal(other.table[1], weft_block_count(other.shard_len));
	assert_int_equal(put_shard(cluster, &other, 1), WEFT_ST_OK);
	for (unsigned int i = 2; i < N; i++)
		assert_int_equal(put_shard(cluster, &chunk, i), WEFT_ST_OK);
	task = rebuild_task(&chunk, 1u << 0);
	assert_int_equal(run(cluster, &task), WEFT_ST_OK);
	assert_int_equal(get_shard(cluster, &chunk, 0), WEFT_ST_OK);
	chunk_exit(&chunk);
	chunk_exit(&other);
}

static void a_result_that_the_record_does_not_name_is_not_stored(void **state)
{
	struct cluster *cluster = *state;
	struct chunk chunk;
	struct task task;

	chunk_init(&chunk, 1, 300000);
	for (unsigned int i = 1; i < N; i++)
		assert_int_equal(put_shard(cluster, &chunk, i), WEFT_ST_OK);
	task = rebuild_task(&chunk, 1u << 0);
	task.shards[0].table_crc ^= 1;
	assert_int_equal(run(cluster, &task), WEFT_ST_CORRUPT);
	assert_int_equal(task.shards[0].flags & WEFT_TASK_SHARD_DONE, 0);
	assert_int_equal(get_shard(cluster, &chunk, 0), WEFT_ST_ABSENT);
	chunk_exit(&chunk);
}

static void impossible_tasks_are_refused(void **state)
{
	struct cluster *cluster = *state;
	struct task good, bad;
	struct chunk chunk;

	chunk_init(&chunk, 1, 300000);
	good = rebuild_task(&chunk, 1u << 0);
	bad = good;
	bad.task.k = 31;
	assert_int_equal(run(cluster, &bad), WEFT_ST_INVAL);
	bad = good;
	bad.task.k = 0;
	assert_int_equal(run(cluster, &bad), WEFT_ST_INVAL);
	bad = good;
	bad.task.shard_len = cpu_to_le32(~0u);
	assert_int_equal(run(cluster, &bad), WEFT_ST_INVAL);
	bad = good;
	bad.shards[3].index = 2;
	assert_int_equal(run(cluster, &bad), WEFT_ST_INVAL);
	bad = good;
	bad.shards[0].flags = 0;
	assert_int_equal(run(cluster, &bad), WEFT_ST_INVAL);
	bad = good;
	assert_int_equal(store_rebuild(&cluster->conf, (uint8_t *)&bad, sizeof(bad) - 1),
			 WEFT_ST_INVAL);
	chunk_exit(&chunk);
}

/* --- DELETE through the workers ------------------------------------------------------------------------------------------ */

static struct store_task *finished;
static pthread_mutex_t finished_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished_cond = PTHREAD_COND_INITIALIZER;

static void on_finished(void *ctx, struct store_task *task)
{
	pthread_mutex_lock(&finished_lock);
	finished = task;
	pthread_cond_signal(&finished_cond);
	pthread_mutex_unlock(&finished_lock);
}

static void many_deletions_share_a_frame(void **state)
{
	enum { CHUNKS = 30 };
	struct cluster *cluster = *state;
	struct chunk chunks[CHUNKS];
	struct store_workers *workers;
	struct store_task *task = calloc(1, sizeof(*task));
	struct tlv_writer writer;
	struct tlv_reader reader;
	struct tlv tlv;

	tlv_writer_init(&writer, 1 << 20);
	for (unsigned int c = 0; c < CHUNKS; c++) {
		struct task rebuild;

		chunk_init(&chunks[c], c + 1, c % 2 ? 1000 : 1500000);
		rebuild = rebuild_task(&chunks[c], 0);
		rebuild.task.kind = cpu_to_le32(WEFT_TASK_DELETE);
		rebuild.task.shards = cpu_to_le32(1);
		for (unsigned int i = 0; i < 2; i++) {
			uint8_t one[sizeof(struct weft_c_task) + sizeof(struct weft_c_task_shard)];

			assert_int_equal(put_shard(cluster, &chunks[c], i), WEFT_ST_OK);
			memcpy(one, &rebuild.task, sizeof(rebuild.task));
			memcpy(one + sizeof(rebuild.task), &rebuild.shards[i],
			       sizeof(rebuild.shards[i]));
			tlv_put(&writer, WEFT_C_TASK, one, sizeof(one));
		}
	}
	assert_int_equal(tlv_finish(&writer), 0);
	task->payload = writer.data;
	task->len = writer.len;
	cluster->conf.done = on_finished;
	assert_int_equal(store_workers_start(&workers, &cluster->conf, 2), 0);
	assert_int_equal(store_workers_submit(workers, task), 0);
	pthread_mutex_lock(&finished_lock);
	while (!finished)
		pthread_cond_wait(&finished_cond, &finished_lock);
	pthread_mutex_unlock(&finished_lock);
	store_workers_stop(workers);
	assert_int_equal(finished->status, WEFT_ST_OK);
	tlv_reader_init(&reader, finished->payload, finished->len);
	while (tlv_next(&reader, &tlv) == 1) {
		struct weft_c_task answer;

		memcpy(&answer, tlv.data, sizeof(answer));
		assert_int_equal(le32_to_cpu(answer.status), WEFT_ST_OK);
	}
	for (unsigned int c = 0; c < CHUNKS; c++) {
		assert_int_equal(get_shard(cluster, &chunks[c], 0), WEFT_ST_ABSENT);
		assert_int_equal(get_shard(cluster, &chunks[c], 1), WEFT_ST_ABSENT);
		chunk_exit(&chunks[c]);
	}
	store_task_free(finished);
}

#define REBUILD_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REBUILD_TEST(every_pair_of_lost_shards_is_rebuilt),
		REBUILD_TEST(absent_sources_are_replaced_by_others),
		REBUILD_TEST(too_few_sources_make_nothing),
		REBUILD_TEST(sources_that_the_record_does_not_name_are_not_used),
		REBUILD_TEST(a_result_that_the_record_does_not_name_is_not_stored),
		REBUILD_TEST(impossible_tasks_are_refused),
		REBUILD_TEST(many_deletions_share_a_frame),
	};

	return cmocka_run_group_tests_name("store rebuild", tests, NULL, NULL);
}
