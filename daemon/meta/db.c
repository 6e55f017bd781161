// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * db.c - the metadata tables in LMDB: transactions, checked records, walks
 *
 * The environment runs with MDB_NOMETASYNC: a commit makes its pages durable before the meta page
 * that leads to them is written, so a power loss costs at most the last commit and never the tree.
 * It must never run with MDB_NOSYNC as it stands: pages of a tree whose meta page is not durable
 * yet would be used again.
 */
#include <errno.h>
#include <stdlib.h>

#include "chunk/crc32c.h"
#include "base/log.h"
#include "meta/db.h"
#include "meta/siphash.h"

#define CRC_LEN sizeof(__le32)

static const char *const table_names[WEFT_MT_NR] = {
	[WEFT_MT_STATE] = "state",
	[WEFT_MT_INODE] = "inode",
	[WEFT_MT_INLINE] = "inline",
	[WEFT_MT_DIRENT] = "dirent",
	[WEFT_MT_EXTENT] = "extent",
	[WEFT_MT_CHUNK] = "chunk",
	[WEFT_MT_GROUP] = "group",
	[WEFT_MT_ORPHAN] = "orphan",
	[WEFT_MT_JOB] = "job",
	[WEFT_MT_SESSION] = "session",
	[WEFT_MT_CLIENT] = "client",
	[WEFT_MT_SLOT] = "slot",
	[WEFT_MT_HOST] = "host",
	[WEFT_MT_HOST_NAME] = "host_name",
	[WEFT_MT_STORE] = "store",
	[WEFT_MT_STORE_UUID] = "store_uuid",
	[WEFT_MT_VOLUME] = "volume",
	[WEFT_MT_VOLUME_NAME] = "volume_name",
	[WEFT_MT_EXCEPTION] = "exception",
	[WEFT_MT_CONDEMNED] = "condemned",
	[WEFT_MT_DELETING] = "deleting",
	[WEFT_MT_DEDUP] = "dedup",
	[WEFT_MT_USAGE] = "usage",
};

const char *meta_table_name(enum weft_m_table table)
{
	return table < WEFT_MT_NR ? table_names[table] : "unknown";
}

/* LMDB's own codes are negative too, below all errnos. */
static int db_error(int rc, const char *doing, const char *what)
{
	int err;

	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		err = -ENOSPC;
		break;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_PANIC:
		err = -EIO;
		break;
	default:
		err = rc > 0 ? -rc : -EIO;
	}
	log_error("%s %s failed: %s", doing, what, mdb_strerror(rc));
	return err;
}

static int open_tables(struct meta_db *db)
{
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	if (rc)
		return db_error(rc, "beginning to write", "the database");
	for (int i = 0; i < WEFT_MT_NR; i++) {
		rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &db->tables[i]);
		if (rc) {
			mdb_txn_abort(txn);
			return db_error(rc, "opening the table", table_names[i]);
		}
	}
	return db_error(mdb_txn_commit(txn), "making the tables of", "the database");
}

int meta_db_open(struct meta_db *db, const char *dir, u64 map_size)
{
	int rc;

	rc = mdb_env_create(&db->env);
	if (rc)
		return db_error(rc, "preparing", dir);
	rc = mdb_env_set_maxdbs(db->env, WEFT_MT_NR + 8);
	if (!rc)
		rc = mdb_env_set_mapsize(db->env, map_size);
	if (!rc)
		rc = mdb_env_open(db->env, dir, MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600);
	rc = rc ? db_error(rc, "opening the database in", dir) : open_tables(db);
	if (rc)
		meta_db_close(db);
	return rc;
}

void meta_db_close(struct meta_db *db)
{
	if (db->env)
		mdb_env_close(db->env);
	db->env = NULL;
}

int meta_db_sync(struct meta_db *db)
{
	return db_error(mdb_env_sync(db->env, 1), "syncing", "the database");
}

void meta_db_size(struct meta_db *db, u64 *used, u64 *map)
{
	MDB_envinfo info;
	MDB_stat stat;

	mdb_env_info(db->env, &info);
	mdb_env_stat(db->env, &stat);
	*used = (info.me_last_pgno + 1) * (u64)stat.ms_psize;
	*map = info.me_mapsize;
}

int meta_table_records(struct meta_txn *txn, enum weft_m_table table, u64 *records)
{
	MDB_stat stat;
	int rc = mdb_stat(txn->mdb, txn->db->tables[table], &stat);

	if (rc)
		return db_error(rc, "looking at the table", table_names[table]);
	*records = stat.ms_entries;
	return 0;
}

int meta_txn_begin(struct meta_txn *txn, struct meta_db *db, bool write)
{
	int rc = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &txn->mdb);

	if (rc)
		return db_error(rc, "beginning a transaction of", "the database");
	txn->db = db;
	txn->write = write;
	txn->written = 0;
	return 0;
}

int meta_txn_commit(struct meta_txn *txn)
{
	int rc = mdb_txn_commit(txn->mdb);

	txn->mdb = NULL;
	return db_error(rc, "committing to", "the database");
}

void meta_txn_abort(struct meta_txn *txn)
{
	if (txn->mdb)
		mdb_txn_abort(txn->mdb);
	txn->mdb = NULL;
}

/*
 * The record's part of the sum: the key of the hash is a part of the format of entries that compare
 * states.
 */
static u64 record_hash(enum weft_m_table table, const struct meta_key *key, const MDB_val *value)
{
	static const u8 hash_key[16] = "weft state hash";
	struct siphash hash;
	u8 head[3] = { (u8)table, (u8)key->len, (u8)(key->len >> 8) };

	siphash_init(&hash, hash_key);
	siphash_add(&hash, head, sizeof(head));
	siphash_add(&hash, key->bytes, key->len);
	siphash_add(&hash, value->mv_data, value->mv_size);
	return siphash_end(&hash);
}

static MDB_val key_value(const struct meta_key *key)
{
	return (MDB_val){ .mv_size = key->len, .mv_data = (void *)key->bytes };
}

/* Check and cut off the CRC. */
static int open_value(enum weft_m_table table, MDB_val *value)
{
	__le32 crc;

	if (value->mv_size >= CRC_LEN && value->mv_size - CRC_LEN <= META_VALUE_MAX) {
		value->mv_size -= CRC_LEN;
		memcpy(&crc, (u8 *)value->mv_data + value->mv_size, CRC_LEN);
		if (weft_crc32c(0, value->mv_data, value->mv_size) == le32_to_cpu(crc))
			return 0;
	}
	log_error("a record of the table %s does not match its checksum; this copy of the metadata "
		  "is damaged",
		  table_names[table]);
	return -EBADMSG;
}

static int get_value(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key,
		     MDB_val *value)
{
	MDB_val mdb_key = key_value(key);
	int rc = mdb_get(txn->mdb, txn->db->tables[table], &mdb_key, value);

	if (rc)
		return db_error(rc, "reading the table", table_names[table]);
	return open_value(table, value);
}

int meta_get(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key, void *head,
	     size_t head_len, void *tail, size_t tail_max, size_t *tail_len)
{
	MDB_val value;
	size_t rest;
	int err;

	err = get_value(txn, table, key, &value);
	if (err)
		return err;
	if (value.mv_size < head_len || value.mv_size - head_len > tail_max) {
		log_error("a record of the table %s has %zu bytes, which does not fit its format",
			  table_names[table], value.mv_size);
		return -EBADMSG;
	}
	rest = value.mv_size - head_len;
	if (head_len)
		memcpy(head, value.mv_data, head_len);
	if (rest)
		memcpy(tail, (u8 *)value.mv_data + head_len, rest);
	if (tail_len)
		*tail_len = rest;
	return 0;
}

/* Take what stands under the key out of the sum. 0 also if there is nothing. */
static int forget_old(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key,
		      bool *existed)
{
	MDB_val old;
	int err;

	err = get_value(txn, table, key, &old);
	*existed = !err;
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	txn->hash -= record_hash(table, key, &old);
	return 0;
}

/* STATE holds the sum itself and is no part of it. */
static bool is_hashed(enum weft_m_table table)
{
	return table != WEFT_MT_STATE;
}

int meta_put(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key,
	     const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	MDB_val mdb_key = key_value(key), value = { .mv_size = head_len + tail_len + CRC_LEN };
	__le32 crc;
	bool existed;
	int err;

	if (!key->len || head_len + tail_len > META_VALUE_MAX)
		return -EINVAL;
	if (is_hashed(table)) {
		err = forget_old(txn, table, key, &existed);
		if (err)
			return err;
	}
	err = mdb_put(txn->mdb, txn->db->tables[table], &mdb_key, &value, MDB_RESERVE);
	if (err)
		return db_error(err, "writing the table", table_names[table]);
	if (head_len)
		memcpy(value.mv_data, head, head_len);
	if (tail_len)
		memcpy((u8 *)value.mv_data + head_len, tail, tail_len);
	value.mv_size -= CRC_LEN;
	crc = cpu_to_le32(weft_crc32c(0, value.mv_data, value.mv_size));
	memcpy((u8 *)value.mv_data + value.mv_size, &crc, CRC_LEN);
	if (is_hashed(table))
		txn->hash += record_hash(table, key, &value);
	txn->written++;
	return 0;
}

int meta_del(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key)
{
	MDB_val mdb_key = key_value(key);
	bool existed = true;
	int err;

	if (is_hashed(table)) {
		err = forget_old(txn, table, key, &existed);
		if (err)
			return err;
	}
	if (!existed)
		return -ENOENT;
	txn->written++;
	return db_error(mdb_del(txn->mdb, txn->db->tables[table], &mdb_key, NULL),
			"deleting from the table", table_names[table]);
}

int meta_walk_begin(struct meta_walk *walk, struct meta_txn *txn, enum weft_m_table table)
{
	*walk = (struct meta_walk){ .txn = txn, .table = table };
	return db_error(mdb_cursor_open(txn->mdb, txn->db->tables[table], &walk->cursor),
			"walking over the table", table_names[table]);
}

void meta_walk_end(struct meta_walk *walk)
{
	if (walk->cursor)
		mdb_cursor_close(walk->cursor);
	walk->cursor = NULL;
}

static int move(struct meta_walk *walk, MDB_val *key, MDB_cursor_op op)
{
	MDB_val value;
	int err;

	err = mdb_cursor_get(walk->cursor, key, &value, op);
	if (err)
		return db_error(err, "walking over the table", table_names[walk->table]);
	err = open_value(walk->table, &value);
	if (err)
		return err;
	if (key->mv_size > META_KEY_MAX)
		return -EBADMSG;
	walk->key.len = (u16)key->mv_size;
	memcpy(walk->key.bytes, key->mv_data, key->mv_size);
	walk->value = value.mv_data;
	walk->value_len = value.mv_size;
	walk->seen = walk->txn->written;
	return 0;
}

int meta_walk_seek(struct meta_walk *walk, const struct meta_key *key)
{
	MDB_val mdb_key = key_value(key);

	return move(walk, &mdb_key, MDB_SET_RANGE);
}

int meta_walk_seek_before(struct meta_walk *walk, const struct meta_key *key)
{
	MDB_val mdb_key = key_value(key), value;
	int rc;

	rc = mdb_cursor_get(walk->cursor, &mdb_key, &value, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		return move(walk, &mdb_key, MDB_LAST);
	if (rc)
		return db_error(rc, "walking over the table", table_names[walk->table]);
	return move(walk, &mdb_key, MDB_PREV);
}

int meta_walk_next(struct meta_walk *walk)
{
	struct meta_key last = walk->key;
	MDB_val mdb_key = key_value(&last);
	int err;

	if (walk->seen == walk->txn->written)
		return move(walk, &mdb_key, MDB_NEXT);
	err = meta_walk_seek(walk, &last);
	if (err || walk->key.len != last.len || memcmp(walk->key.bytes, last.bytes, last.len))
		return err;
	return move(walk, &mdb_key, MDB_NEXT);
}

bool meta_walk_within(const struct meta_walk *walk, const struct meta_key *key, size_t len)
{
	return walk->key.len >= len && !memcmp(walk->key.bytes, key->bytes, len);
}

int meta_walk_head(const struct meta_walk *walk, void *head, size_t head_len)
{
	if (walk->value_len < head_len)
		return -EBADMSG;
	memcpy(head, walk->value, head_len);
	return 0;
}
