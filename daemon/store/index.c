// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * index.c - where a shard stands in the segments: LMDB, made from the segments and never the only copy of anything
 *
 * Tables: "shards" (group, session, counter, index, big-endian, so that a group is a range in the protocol's order),
 * "dead" (segment -> dead bytes), "state" (one record).
 *
 * MDB_NOMETASYNC: after a crash the state is that of some earlier change, whole; it says how far it had scanned, and the
 * segments are scanned from there. What does not open is removed and made anew.
 *
 * Threads: look-ups by any thread, each with its own read transaction; changes by one thread at a time.
 */
#include <endian.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "store/segment.h"

#define MAP_BYTES ((size_t)256 << 30) /* address space only */
#define READERS	  512
#define FORMAT	  1u

struct store_index {
	MDB_env *env;
	MDB_dbi shards, dead, state;
	MDB_txn *change;
};

struct index_key {
	uint64_t group, session, counter; /* big-endian */
	uint8_t index;
} __attribute__((packed));

struct index_place {
	uint64_t segment;
	uint32_t offset, head_len, shard_len, body_crc; /* little-endian, as all values here */
} __attribute__((packed));

struct index_state {
	uint32_t format;
	uint8_t uuid[16];
	uint64_t segment, offset, shards, files, file_bytes, clean;
} __attribute__((packed));

static int errno_of(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_READERS_FULL:
		return -ENOSPC;
	default:
		return rc > 0 ? -rc : -EUCLEAN;
	}
}

static struct index_key key_encode(const struct store_key *key)
{
	return (struct index_key){htobe64(key->group), htobe64(key->session), htobe64(key->counter),
				  key->index};
}

static int place_decode(const MDB_val *value, struct store_place *place)
{
	struct index_place raw;

	if (value->mv_size != sizeof(raw))
		return -EUCLEAN;
	memcpy(&raw, value->mv_data, sizeof(raw));
	*place = (struct store_place){.segment = le64toh(raw.segment),
				      .offset = le32toh(raw.offset),
				      .head_len = le32toh(raw.head_len),
				      .shard_len = le32toh(raw.shard_len),
				      .body_crc = le32toh(raw.body_crc)};
	return 0;
}

static int find_in(struct store_index *index, MDB_txn *txn, const struct store_key *key,
		   struct store_place *place)
{
	struct index_key raw = key_encode(key);
	MDB_val k = {sizeof(raw), &raw}, v;
	int rc = mdb_get(txn, index->shards, &k, &v);

	return rc ? errno_of(rc) : place_decode(&v, place);
}

int store_index_find(struct store_index *index, const struct store_key *key,
		     struct store_place *place)
{
	MDB_txn *txn;
	int err = errno_of(mdb_txn_begin(index->env, NULL, MDB_RDONLY, &txn));

	if (err)
		return err;
	err = find_in(index, txn, key, place);
	mdb_txn_abort(txn);
	return err;
}

static int walk_step(const MDB_val *k, const MDB_val *v, struct store_key *key,
		     struct store_place *place)
{
	struct index_key raw;

	if (k->mv_size != sizeof(raw))
		return -EUCLEAN;
	memcpy(&raw, k->mv_data, sizeof(raw));
	*key = (struct store_key){be64toh(raw.group), be64toh(raw.session), be64toh(raw.counter),
				  raw.index};
	return place_decode(v, place);
}

int store_index_walk(struct store_index *index, uint64_t group, const struct store_key *after,
		     bool (*each)(void *ctx, const struct store_key *key,
				  const struct store_place *place),
		     void *ctx)
{
	struct store_key key = after ? *after : (struct store_key){.group = group};
	struct index_key raw = key_encode(&key);
	MDB_val k = {sizeof(raw), &raw}, v;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int err = errno_of(mdb_txn_begin(index->env, NULL, MDB_RDONLY, &txn));

	if (err)
		return err;
	err = errno_of(mdb_cursor_open(txn, index->shards, &cursor));
	if (err)
		goto out_abort;
	err = errno_of(mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE));
	if (!err && after && k.mv_size == sizeof(raw) && !memcmp(k.mv_data, &raw, sizeof(raw)))
		err = errno_of(mdb_cursor_get(cursor, &k, &v, MDB_NEXT));
	while (!err) {
		struct store_place place;

		err = walk_step(&k, &v, &key, &place);
		if (err || key.group != group || !each(ctx, &key, &place))
			break;
		err = errno_of(mdb_cursor_get(cursor, &k, &v, MDB_NEXT));
	}
	mdb_cursor_close(cursor);
out_abort:
	mdb_txn_abort(txn);
	return err == -ENOENT ? 0 : err;
}

int store_index_begin(struct store_index *index)
{
	return errno_of(mdb_txn_begin(index->env, NULL, 0, &index->change));
}

int store_index_peek(struct store_index *index, const struct store_key *key,
		     struct store_place *place)
{
	return find_in(index, index->change, key, place);
}

int store_index_put(struct store_index *index, const struct store_key *key,
		    const struct store_place *place)
{
	struct index_key raw = key_encode(key);
	struct index_place value = {htole64(place->segment), htole32(place->offset),
				    htole32(place->head_len), htole32(place->shard_len),
				    htole32(place->body_crc)};
	MDB_val k = {sizeof(raw), &raw}, v = {sizeof(value), &value};

	return errno_of(mdb_put(index->change, index->shards, &k, &v, 0));
}

int store_index_del(struct store_index *index, const struct store_key *key)
{
	struct index_key raw = key_encode(key);
	MDB_val k = {sizeof(raw), &raw};
	int err = errno_of(mdb_del(index->change, index->shards, &k, NULL));

	return err == -ENOENT ? 0 : err;
}

static const char state_key[] = "state";

int store_index_set_state(struct store_index *index, const struct store_index_state *state)
{
	MDB_val k = {sizeof(state_key), (void *)state_key}, v;
	struct index_state raw;
	int err = errno_of(mdb_get(index->change, index->state, &k, &v));

	if (err)
		return err;
	memcpy(&raw, v.mv_data, sizeof(raw));
	raw.segment = htole64(state->segment);
	raw.offset = htole64(state->offset);
	raw.shards = htole64((uint64_t)state->shards);
	raw.files = htole64((uint64_t)state->files);
	raw.file_bytes = htole64((uint64_t)state->file_bytes);
	raw.clean = htole64(state->clean);
	v = (MDB_val){sizeof(raw), &raw};
	return errno_of(mdb_put(index->change, index->state, &k, &v, 0));
}

int store_index_state(struct store_index *index, struct store_index_state *state)
{
	MDB_val k = {sizeof(state_key), (void *)state_key}, v;
	struct index_state raw;
	MDB_txn *txn;
	int err = errno_of(mdb_txn_begin(index->env, NULL, MDB_RDONLY, &txn));

	if (err)
		return err;
	err = errno_of(mdb_get(txn, index->state, &k, &v));
	if (!err && v.mv_size != sizeof(raw))
		err = -EUCLEAN;
	if (!err) {
		memcpy(&raw, v.mv_data, sizeof(raw));
		*state = (struct store_index_state){
			.segment = le64toh(raw.segment),
			.offset = le64toh(raw.offset),
			.shards = (int64_t)le64toh(raw.shards),
			.files = (int64_t)le64toh(raw.files),
			.file_bytes = (int64_t)le64toh(raw.file_bytes),
			.clean = le64toh(raw.clean),
		};
	}
	mdb_txn_abort(txn);
	return err;
}

int store_index_set_dead(struct store_index *index, uint64_t segment, uint64_t dead)
{
	uint64_t key = htobe64(segment), value = htole64(dead);
	MDB_val k = {sizeof(key), &key}, v = {sizeof(value), &value};

	return errno_of(mdb_put(index->change, index->dead, &k, &v, 0));
}

int store_index_del_dead(struct store_index *index, uint64_t segment)
{
	uint64_t key = htobe64(segment);
	MDB_val k = {sizeof(key), &key};
	int err = errno_of(mdb_del(index->change, index->dead, &k, NULL));

	return err == -ENOENT ? 0 : err;
}

uint64_t store_index_dead(struct store_index *index, uint64_t segment)
{
	uint64_t key = htobe64(segment), value = 0;
	MDB_val k = {sizeof(key), &key}, v;
	MDB_txn *txn;

	if (mdb_txn_begin(index->env, NULL, MDB_RDONLY, &txn))
		return 0;
	if (!mdb_get(txn, index->dead, &k, &v) && v.mv_size == sizeof(value))
		memcpy(&value, v.mv_data, sizeof(value));
	mdb_txn_abort(txn);
	return le64toh(value);
}

int store_index_end(struct store_index *index)
{
	int rc = mdb_txn_commit(index->change);

	index->change = NULL;
	return errno_of(rc);
}

void store_index_abort(struct store_index *index)
{
	mdb_txn_abort(index->change);
	index->change = NULL;
}

int store_index_sync(struct store_index *index)
{
	return errno_of(mdb_env_sync(index->env, 1));
}

/* Tables, and the state record if the index is new. -EUCLEAN: not the index of this store. */
static int index_prepare(struct store_index *index, const uint8_t uuid[16])
{
	MDB_val k = {sizeof(state_key), (void *)state_key}, v;
	struct index_state raw = {.format = htole32(FORMAT)};
	int err = store_index_begin(index);

	if (err)
		return err;
	err = errno_of(mdb_dbi_open(index->change, "shards", MDB_CREATE, &index->shards));
	if (!err)
		err = errno_of(mdb_dbi_open(index->change, "dead", MDB_CREATE, &index->dead));
	if (!err)
		err = errno_of(mdb_dbi_open(index->change, "state", MDB_CREATE, &index->state));
	if (!err)
		err = errno_of(mdb_get(index->change, index->state, &k, &v));
	if (!err) {
		if (v.mv_size != sizeof(raw))
			err = -EUCLEAN;
		else
			memcpy(&raw, v.mv_data, sizeof(raw));
		if (!err && (le32toh(raw.format) != FORMAT ||
			     memcmp(raw.uuid, uuid, sizeof(raw.uuid)) != 0))
			err = -EUCLEAN;
	} else if (err == -ENOENT) {
		memcpy(raw.uuid, uuid, sizeof(raw.uuid));
		v = (MDB_val){sizeof(raw), &raw};
		err = errno_of(mdb_put(index->change, index->state, &k, &v, 0));
	}
	if (err) {
		store_index_abort(index);
		return err;
	}
	return store_index_end(index);
}

static int index_open_once(struct store_index *index, const char *path, const uint8_t uuid[16])
{
	int err = errno_of(mdb_env_create(&index->env));

	if (err)
		return err;
	mdb_env_set_maxdbs(index->env, 4);
	mdb_env_set_maxreaders(index->env, READERS);
	mdb_env_set_mapsize(index->env, MAP_BYTES);
	err = errno_of(
		mdb_env_open(index->env, path, MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600));
	if (!err)
		err = index_prepare(index, uuid);
	if (err)
		mdb_env_close(index->env);
	return err;
}

static void index_remove(const char *path)
{
	static const char *const names[] = {"data.mdb", "lock.mdb"};
	char file[4096];

	for (size_t i = 0; i < 2; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]);
		unlink(file);
	}
}

int store_index_open(struct store_index **out, const char *path, const uint8_t uuid[16])
{
	struct store_index *index = calloc(1, sizeof(*index));
	int err;

	if (!index)
		return -ENOMEM;
	err = index_open_once(index, path, uuid);
	if (err == -EUCLEAN) {
		log_warn("the index of the small shards is not usable and is made again from the "
			 "segments  path=%s",
			 path);
		index_remove(path);
		err = index_open_once(index, path, uuid);
	}
	if (err) {
		log_error("the index of the small shards cannot be opened: %s  path=%s",
			  strerror(-err), path);
		free(index);
		return err;
	}
	*out = index;
	return 0;
}

void store_index_close(struct store_index *index)
{
	mdb_env_close(index->env);
	free(index);
}
