/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * db.h - the tables of uapi/weft_meta.h in LMDB
 *
 * Every value carries a CRC32C, checked at each read; every write keeps the sum of the records'
 * hashes, by which two copies of the state are compared. Errors here are this machine's (disk full,
 * bad disk, map full): whoever applies entries must stop at them, for a copy that went on would
 * differ from the others for ever.
 *
 * Threading: a meta_txn belongs to the thread that began it. One write transaction at a time; read
 * transactions beside it see the last commit.
 */
#ifndef WEFT_META_DB_H
#define WEFT_META_DB_H

#include <lmdb.h>

#include "ec/ec_port.h"
#include "weft_meta.h"

#define META_KEY_MAX   256u	/* a name of 255 bytes */
#define META_VALUE_MAX 16384u	/* of any record, without its CRC */

struct meta_key {
	u16 len;
	u8 bytes[META_KEY_MAX];
};

struct meta_db {
	MDB_env *env;
	MDB_dbi tables[WEFT_MT_NR];
};

struct meta_txn {
	struct meta_db *db;
	MDB_txn *mdb;
	u64 hash; /* sum over all records, modulo 2^64; kept by the caller between transactions */
	u64 written;	/* records put and deleted */
	bool write;
};

/*
 * Open or make the database in directory dir (which exists). map_size: bytes reserved once, sparse;
 * the most that the state can grow to. 0 or negative errno, logged.
 */
int meta_db_open(struct meta_db *db, const char *dir, u64 map_size);
void meta_db_close(struct meta_db *db);
/*
 * Make the last commit durable, its meta page too: only then may the log drop what it covers. 0 or
 * negative errno.
 */
int meta_db_sync(struct meta_db *db);
/* Bytes of the file in use, and of the map. */
void meta_db_size(struct meta_db *db, u64 *used, u64 *map);

int meta_txn_begin(struct meta_txn *txn, struct meta_db *db, bool write);
/* Ends the transaction whatever it returns. */
int meta_txn_commit(struct meta_txn *txn);
void meta_txn_abort(struct meta_txn *txn);

/*
 * Read a record: head_len bytes to head, up to tail_max bytes behind them to tail, their number to
 * *tail_len (all three may be absent: 0 and NULL; then nothing may stand behind the head). -ENOENT:
 * no such record. -EBADMSG: damaged.
 */
int meta_get(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key, void *head,
	     size_t head_len, void *tail, size_t tail_max, size_t *tail_len);
/* Write a record, new or not: head and tail become one value. */
int meta_put(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key,
	     const void *head, size_t head_len, const void *tail, size_t tail_len);
/* -ENOENT: there was none. */
int meta_del(struct meta_txn *txn, enum weft_m_table table, const struct meta_key *key);

/*
 * A walk over a table. Writing to the table through meta_put() and meta_del() while it is open
 * makes it seek anew.
 */
struct meta_walk {
	struct meta_txn *txn;
	MDB_cursor *cursor;
	enum weft_m_table table;
	struct meta_key key;	/* of the record that it stands on */
	const u8 *value;	/* until the next write of the transaction */
	size_t value_len;
	u64 seen;		/* txn->written when it last moved */
};

int meta_walk_begin(struct meta_walk *walk, struct meta_txn *txn, enum weft_m_table table);
void meta_walk_end(struct meta_walk *walk);
/* To the first record at key or behind it; -ENOENT: none. */
int meta_walk_seek(struct meta_walk *walk, const struct meta_key *key);
/* To the last record before key. */
int meta_walk_seek_before(struct meta_walk *walk, const struct meta_key *key);
int meta_walk_next(struct meta_walk *walk);
/* True if the record that it stands on has the first len bytes of key. */
bool meta_walk_within(const struct meta_walk *walk, const struct meta_key *key, size_t len);
/* Copy the head of the record that it stands on; -EBADMSG if it is shorter. */
int meta_walk_head(const struct meta_walk *walk, void *head, size_t head_len);

/* How many records a table has, without counting them. */
int meta_table_records(struct meta_txn *txn, enum weft_m_table table, u64 *records);
/* The table's name, for messages. */
const char *meta_table_name(enum weft_m_table table);

/* ---- key.c: the keys of the tables ---- */

/* Where a tree's records stand: every key of a volume's records begins with it. */
struct meta_tree {
	u8 mgrp;
	u64 volume;
};

struct meta_key meta_key_state(u8 mgrp, enum weft_m_state what);
struct meta_key meta_key_inode(const struct meta_tree *tree, u64 ino);	/* INODE, INLINE */
struct meta_key meta_key_dirent(const struct meta_tree *tree, u64 dir, u64 position);
struct meta_key meta_key_extent(const struct meta_tree *tree, u64 ino, u64 offset);
struct meta_key meta_key_chunk(u64 group, u64 number);	/* CHUNK, EXCEPTION, DELETING */
struct meta_key meta_key_u64(u64 id);			/* GROUP, SESSION, VOLUME, USAGE */
struct meta_key meta_key_u32(u32 id);			/* HOST, STORE */
struct meta_key meta_key_orphan(const struct meta_tree *tree, u64 session, u64 ino);
struct meta_key meta_key_job(const struct meta_tree *tree, enum weft_m_job kind, u64 object);
struct meta_key meta_key_client(u8 mgrp, const u8 client[16]);
struct meta_key meta_key_slot(u64 session, u32 slot);
struct meta_key meta_key_bytes(const void *bytes,
			       size_t len); /* names and UUIDs; len at most META_KEY_MAX */
struct meta_key meta_key_condemned(u8 mgrp, u64 time_ns, u64 group, u64 number);
struct meta_key meta_key_content(u64 domain, const u8 content_id[32]);
/* The number that stands at byte offset of a key. */
u64 meta_key_get_u64(const struct meta_key *key, size_t offset);
u32 meta_key_get_u32(const struct meta_key *key, size_t offset);

#endif
