// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rebuild.c - one chunk: fetch k shards column by column, decode the wanted ones, store them
 *
 *      sources      | col 0 | col 1 | ... |     k of them, each from its own store
 *      wanted       | col 0 | col 1 | ... |     whole in memory: a PUT carries a whole shard
 *
 * A source is used when its header is that of this chunk, its CRC table is the one that the chunk record names, and every
 * block matches the table. One that fails is replaced by another and the column is begun anew; columns do not depend on
 * each other. A shard that comes out with another table CRC than the record has is not stored.
 */
#include "store/rebuild.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "kernel/chunk/crctable.h"
#include "kernel/chunk/header.h"
#include "kernel/ec/ec.h"
#include "store/client.h"

#define COLUMN	     (256u * 1024)
#define COLUMN_BYTES (COLUMN + 4 * (COLUMN / WEFT_CRC_BLOCK + 1))
#define TIMEOUT_MS   5000u
#define LIMIT_S	     30

struct source {
	struct weft_wire_frame name;
	struct store_client *client;
	bool failed;
	uint8_t *area; /* shard header and CRC table, as STAT gave them */
	uint32_t head_len;
	uint8_t *column;
};

struct rebuild {
	const struct store_worker_conf *conf;
	struct weft_c_task task;
	struct weft_c_task_shard shards[WEFT_SHARDS_MAX];
	unsigned int n;
	uint32_t shard_len;
	struct weft_ec ec;
	struct source sources[WEFT_SHARDS_MAX];
	uint8_t *made[WEFT_SHARDS_MAX];
	uint32_t wanted;
	time_t deadline;
};

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static int rebuild_parse(struct rebuild *rebuild, const uint8_t *attribute, size_t len)
{
	struct weft_layout layout;
	const char *why;

	memcpy(&rebuild->task, attribute, sizeof(rebuild->task));
	rebuild->n = (unsigned int)rebuild->task.k + rebuild->task.m;
	rebuild->shard_len = le32_to_cpu(rebuild->task.shard_len);
	if (rebuild->n > WEFT_SHARDS_MAX || le32_to_cpu(rebuild->task.shards) != rebuild->n ||
	    len != sizeof(rebuild->task) + rebuild->n * sizeof(rebuild->shards[0]))
		return -EPROTO;
	if (weft_layout_init(&layout, le32_to_cpu(rebuild->task.stored_len), rebuild->task.k,
			     rebuild->task.m) ||
	    layout.shard_len != rebuild->shard_len ||
	    weft_ec_init(&rebuild->ec, rebuild->task.k, rebuild->task.m) ||
	    weft_header_lengths_check(le32_to_cpu(rebuild->task.plain_len),
				      le32_to_cpu(rebuild->task.stored_len), rebuild->task.codec,
				      rebuild->task.cipher, rebuild->task.cipher ? 1 : 0, &why))
		return -EPROTO;
	memcpy(rebuild->shards, attribute + sizeof(rebuild->task),
	       rebuild->n * sizeof(rebuild->shards[0]));
	for (unsigned int i = 0; i < rebuild->n; i++) {
		if (rebuild->shards[i].index != i)
			return -EPROTO;
		rebuild->sources[i].name = (struct weft_wire_frame){
			.store = le32_to_cpu(rebuild->shards[i].store),
			.group = le64_to_cpu(rebuild->task.group),
			.session = le64_to_cpu(rebuild->task.sid.session),
			.counter = le64_to_cpu(rebuild->task.sid.counter),
			.index = (uint8_t)i,
		};
		if (rebuild->shards[i].flags & WEFT_TASK_SHARD_WANTED) {
			if (!rebuild->sources[i].name.store)
				return -EPROTO;
			rebuild->wanted |= 1u << i;
		} else if (!rebuild->sources[i].name.store) {
			rebuild->sources[i].failed = true;
		}
	}
	return rebuild->wanted ? 0 : -EPROTO;
}

/* --- sources -------------------------------------------------------------------------------------------------------------- */

static struct store_client *peer_open(const struct store_worker_conf *conf, uint32_t store)
{
	struct weft_wire_greeting hello = conf->hello;
	struct store_client *client;
	char address[256];

	if (store_map_address(conf->map, store, address, sizeof(address)) ||
	    store_client_open(&client, address, &hello, TIMEOUT_MS))
		return NULL;
	return client;
}

static bool source_matches(const struct rebuild *rebuild, unsigned int i,
			   const struct weft_wire_frame *answer)
{
	const struct source *source = &rebuild->sources[i];
	uint32_t blocks = weft_block_count(rebuild->shard_len),
		 crc = le32_to_cpu(rebuild->shards[i].table_crc);
	const uint8_t *table = source->area + answer->head_len;
	struct weft_shard_info info;

	if (weft_header_decode(&info, source->area, answer->head_len, NULL) ||
	    info.header_len != answer->head_len)
		return false;
	return info.index == i && info.group == source->name.group &&
	       info.sid_session == source->name.session &&
	       info.sid_counter == source->name.counter && info.k == rebuild->task.k &&
	       info.m == rebuild->task.m && info.shard_len == rebuild->shard_len &&
	       answer->shard_len == rebuild->shard_len &&
	       info.stored_len == le32_to_cpu(rebuild->task.stored_len) &&
	       weft_crctable_sealed(table, blocks) &&
	       (!crc || weft_crctable_entry(table, blocks) == crc);
}

/* Connect, and see whether this store has the shard that is meant. */
static bool source_open(struct rebuild *rebuild, unsigned int i)
{
	struct source *source = &rebuild->sources[i];
	struct weft_wire_frame frame = source->name, answer;

	source->area = malloc(STORE_AREA_MAX);
	source->column = malloc(COLUMN_BYTES);
	source->client = peer_open(rebuild->conf, source->name.store);
	if (!source->area || !source->column || !source->client)
		return false;
	frame.op = WEFT_OP_STAT;
	if (store_client_call(source->client, &frame, NULL, 0, &answer, source->area,
			      STORE_AREA_MAX) != WEFT_ST_OK)
		return false;
	source->head_len = answer.head_len;
	return source_matches(rebuild, i, &answer);
}

static bool source_read(struct rebuild *rebuild, unsigned int i, uint32_t offset, uint32_t length)
{
	struct source *source = &rebuild->sources[i];
	uint32_t got = 0;

	if (store_client_get(source->client, &source->name, offset, length, source->column,
			     COLUMN_BYTES, &got) != WEFT_ST_OK ||
	    got != length)
		return false;
	return weft_crctable_check(source->area + source->head_len + 4 * (offset / WEFT_CRC_BLOCK),
				   source->column, length, NULL) == 0;
}

/* Read a column from k sources, opening others as some fail. *have: from which. */
static int column_read(struct rebuild *rebuild, uint32_t offset, uint32_t length, uint32_t *have)
{
	unsigned int n = 0;

	*have = 0;
	for (unsigned int i = 0; i < rebuild->n && n < rebuild->task.k; i++) {
		struct source *source = &rebuild->sources[i];

		if (source->failed || rebuild->wanted & 1u << i)
			continue;
		if (now_s() > rebuild->deadline)
			return -ETIMEDOUT;
		if ((!source->client && !source_open(rebuild, i)) ||
		    !source_read(rebuild, i, offset, length)) {
			log_info(
				"shard %016lx:%016lx:%u cannot be read for a rebuild from store %u",
				(unsigned long)source->name.session,
				(unsigned long)source->name.counter, i, source->name.store);
			source->failed = true;
			continue;
		}
		*have |= 1u << i;
		n++;
	}
	return n == rebuild->task.k ? 0 : -ENODATA;
}

static int columns_decode(struct rebuild *rebuild)
{
	uint32_t have_before = 0;
	struct weft_ec_plan plan;

	for (uint32_t offset = 0; offset < rebuild->shard_len; offset += COLUMN) {
		uint32_t length = rebuild->shard_len - offset < COLUMN ? rebuild->shard_len - offset
								       : COLUMN,
			 have;
		const void *src[WEFT_SHARDS_MAX];
		void *dst[WEFT_SHARDS_MAX];
		int err = column_read(rebuild, offset, length, &have);

		if (!err && have != have_before)
			err = weft_ec_plan_init(&plan, &rebuild->ec, have, rebuild->wanted);
		if (err)
			return err;
		have_before = have;
		for (unsigned int i = 0; i < plan.nsrc; i++)
			src[i] = rebuild->sources[plan.src[i]].column;
		for (unsigned int i = 0; i < plan.nout; i++)
			dst[i] = rebuild->made[plan.out[i]] + offset;
		weft_ec_plan_run(&plan, length, src, dst);
	}
	return 0;
}

/* --- targets ---------------------------------------------------------------------------------------------------------------- */

static uint32_t target_store(struct rebuild *rebuild, unsigned int i, const struct source *any)
{
	uint32_t blocks = weft_block_count(rebuild->shard_len),
		 expected = le32_to_cpu(rebuild->shards[i].table_crc), crc;
	uint8_t *table = malloc(weft_crctable_len(rebuild->shard_len));
	uint8_t head[WEFT_SHARD_HEADER_MAX];
	struct store_client *client;
	int status;

	if (!table)
		return WEFT_ST_NOMEM;
	memcpy(head, any->area, any->head_len);
	weft_header_stamp(head, (uint8_t)i);
	weft_crctable_fill(table, 0, rebuild->made[i], rebuild->shard_len);
	crc = weft_crctable_seal(table, blocks);
	if (expected && crc != expected) {
		log_error("a rebuilt shard does not match the chunk record: not stored  "
			  "sid=%016lx:%016lx index=%u",
			  (unsigned long)any->name.session, (unsigned long)any->name.counter, i);
		free(table);
		return WEFT_ST_CORRUPT;
	}
	client = peer_open(rebuild->conf, rebuild->sources[i].name.store);
	if (!client) {
		free(table);
		return WEFT_ST_LOST_PEER;
	}
	status = store_client_put(client, &rebuild->sources[i].name, head, any->head_len,
				  rebuild->made[i], rebuild->shard_len, table);
	store_client_close(client);
	free(table);
	if (status == WEFT_ST_OK) {
		rebuild->shards[i].flags |= WEFT_TASK_SHARD_DONE;
		rebuild->shards[i].table_crc = cpu_to_le32(crc);
	}
	return status < 0 ? WEFT_ST_LOST_PEER : (uint32_t)status;
}

static uint32_t targets_store(struct rebuild *rebuild)
{
	const struct source *any = NULL;
	uint32_t status = WEFT_ST_OK;

	for (unsigned int i = 0; i < rebuild->n && !any; i++)
		if (rebuild->sources[i].client && !rebuild->sources[i].failed)
			any = &rebuild->sources[i];
	for (unsigned int i = 0; i < rebuild->n; i++) {
		if (rebuild->made[i]) {
			uint32_t one = target_store(rebuild, i, any);

			status = one == WEFT_ST_OK ? status : one;
		}
	}
	return status;
}

static void rebuild_free(struct rebuild *rebuild)
{
	for (unsigned int i = 0; i < WEFT_SHARDS_MAX; i++) {
		if (rebuild->sources[i].client)
			store_client_close(rebuild->sources[i].client);
		free(rebuild->sources[i].area);
		free(rebuild->sources[i].column);
		free(rebuild->made[i]);
	}
	free(rebuild);
}

uint32_t store_rebuild(const struct store_worker_conf *conf, uint8_t *attribute, size_t len)
{
	struct rebuild *rebuild = calloc(1, sizeof(*rebuild));
	uint32_t status = WEFT_ST_OK;
	int err;

	if (!rebuild)
		return WEFT_ST_NOMEM;
	rebuild->conf = conf;
	rebuild->deadline = now_s() + LIMIT_S;
	err = rebuild_parse(rebuild, attribute, len);
	for (unsigned int i = 0; i < rebuild->n && !err; i++) {
		if (!(rebuild->wanted & 1u << i))
			continue;
		rebuild->made[i] = malloc(rebuild->shard_len);
		err = rebuild->made[i] ? 0 : -ENOMEM;
	}
	if (!err)
		err = columns_decode(rebuild);
	if (!err)
		status = targets_store(rebuild);
	if (!err)
		memcpy(attribute + sizeof(rebuild->task), rebuild->shards,
		       rebuild->n * sizeof(rebuild->shards[0]));
	rebuild_free(rebuild);
	switch (err) {
	case 0:
		return status;
	case -EPROTO:
		return WEFT_ST_INVAL;
	case -ENODATA:
		return WEFT_ST_UNREADABLE;
	case -ETIMEDOUT:
		return WEFT_ST_TIMEDOUT;
	default:
		return WEFT_ST_NOMEM;
	}
}
