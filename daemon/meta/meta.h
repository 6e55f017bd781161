/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meta.h - the metadata state machine: tables, entries, apply, reads
 *
 * Apply is a function of (state, entry) alone: no clock, no randomness, no memory of earlier calls,
 * nothing of this machine. Every function below returns 0, -ENOENT where it says so, or another
 * negative errno, which is an error of this machine: whoever applies must stop at it. What a
 * request comes to is an enum weft_status, a result like any other.
 *
 * Threading: one thread owns a meta_state and calls everything here but meta_request_parse().
 */
#ifndef WEFT_META_META_H
#define WEFT_META_META_H

#include "meta/db.h"
#include "net/tlv.h"
#include "weft_status.h"

typedef int64_t s64;

#define META_MORE \
	0x10000 /* outcome: the same entry has to be proposed again, it goes on where it stopped */
#define META_LINK_MAX  0x7fffffffu
#define META_SIZE_MAX  0x7fffffffffffffffULL
#define META_STRINGS_MAX 8192u	/* of a host: name, labels and addresses */

/* Faults that tests plant; each must be found by one of them. Zero outside tests. */
#define META_BUG_RERUN_REPEATS 0x0001u	/* run a repeated request again instead of answering it */
#define META_BUG_DROP_LOG \
	0x0002u /* tell the log that it may drop entries before the state is synced */
#define META_BUG_LOSE_REF      0x0004u	/* forget a reference when an extent is split */
extern unsigned int meta_bugs;

/*
 * Told about what is also kept in memory by whoever serves the state. Called in apply, inside the
 * transaction.
 */
struct meta_hooks {
	void (*host)(void *owner, u32 host);
	void (*store)(void *owner, u32 store);
	void (*group)(void *owner, u64 group);
	void (*volume)(void *owner, u64 volume);
	void (*session)(void *owner, u64 session, bool ended);
	/* Behind it the index has this content id. */
	void (*content)(void *owner, const u8 content_id[32]);
};

/* What the entry being applied has changed of a domain's totals; see usage.c. */
struct meta_usage_change {
	u64 domain;
	s64 mapped, chunks, plain, stored, raw, ids;
};

struct meta_state {
	struct meta_db db;
	struct meta_txn txn;
	bool writing;		/* txn is a write transaction with changes */
	bool reading;		/* txn is a read transaction */
	u8 mgrp;
	u64 index;		/* last entry applied */
	u64 term;
	u64 time_ns;		/* of that entry */
	u64 hash; /* as of the last commit; inside a write transaction txn.hash counts */
	u64 durable_index;	/* covered by the last meta_state_sync() */
	u64 durable_term;
	bool formed;		/* the cluster exists */
	struct weft_m_cluster cluster;
	char cluster_name[256];
	struct weft_m_counters counters;
	u64 budget; /* value of txn.written that the entry being applied should not pass */
	struct meta_usage_change usage;
	const struct meta_hooks *hooks;
	void *owner;
};

/* What an entry came to. */
struct meta_outcome {
	u32 status;		/* enum weft_status or META_MORE */
	u64 number;		/* what was made: volume, host, store, group or session */
	struct tlv_writer answer;
};

void meta_outcome_init(struct meta_outcome *outcome);
void meta_outcome_free(struct meta_outcome *outcome);

/* ---- state.c: transactions around apply, cluster and counters ---- */

/* hooks may be NULL. 0 or negative errno, logged. */
int meta_state_open(struct meta_state *state, const char *dir, u64 map_size,
		    const struct meta_hooks *hooks, void *owner);
void meta_state_close(struct meta_state *state);
/* Have a transaction to read from: the open write transaction, else a read transaction. */
int meta_state_read(struct meta_state *state);
/* End a read transaction, so that it pins no pages. */
void meta_state_idle(struct meta_state *state);
int meta_state_write(struct meta_state *state);
/*
 * Commit what was applied; nothing happens if there is nothing. The tables then hold everything up
 * to state->index.
 */
int meta_state_commit(struct meta_state *state);
/* Commit and make durable: durable_index says what the log may drop. */
int meta_state_sync(struct meta_state *state);
/* Sum over all records and counters: equal on all copies at the same index. */
u64 meta_state_hash(const struct meta_state *state);

static inline void le64_add(__le64 *value, u64 n)
{
	*value = cpu_to_le64(le64_to_cpu(*value) + n);
}

static inline void le64_sub(__le64 *value, u64 n)
{
	*value = cpu_to_le64(le64_to_cpu(*value) - n);
}

static inline void le32_add(__le32 *value, u32 n)
{
	*value = cpu_to_le32(le32_to_cpu(*value) + n);
}

/* How many more records the entry may touch. */
static inline u64 meta_budget_left(const struct meta_state *state)
{
	return state->budget > state->txn.written ? state->budget - state->txn.written : 0;
}

/* ---- inode.c ---- */

int meta_inode_get(struct meta_txn *txn, const struct meta_tree *tree, u64 ino,
		   struct weft_m_inode *inode);
int meta_inode_put(struct meta_txn *txn, const struct meta_tree *tree,
		   const struct weft_m_inode *inode);
/* A new one with a number of its own; not yet put. */
void meta_inode_init(struct meta_state *state, struct weft_m_inode *inode,
		     const struct weft_create *create);
/* Changed at time: ctime and the change attribute. */
void meta_inode_touch(struct weft_m_inode *inode, const struct weft_time *time);
/* A directory's content changed: mtime too. */
void meta_inode_touch_dir(struct weft_m_inode *inode, const struct weft_time *time);
bool meta_inode_is_dir(const struct weft_m_inode *inode);
bool meta_inode_is_file(const struct weft_m_inode *inode);
/* The record and the inline content. */
int meta_inode_del(struct meta_txn *txn, const struct meta_tree *tree, u64 ino);
/* Inline content or target: up to max bytes to data. -ENOENT: none. */
int meta_inline_get(struct meta_txn *txn, const struct meta_tree *tree, u64 ino, void *data,
		    size_t max, size_t *len);
int meta_inline_put(struct meta_txn *txn, const struct meta_tree *tree, u64 ino, const void *data,
		    size_t len);
/* 0 also if there was none. */
int meta_inline_del(struct meta_txn *txn, const struct meta_tree *tree, u64 ino);

/* ---- dirent.c ---- */

struct meta_dirent {
	u64 position;
	u64 ino;
	u32 type;
};

/* -ENOENT: no such name. */
int meta_dirent_find(struct meta_txn *txn, const struct meta_tree *tree, const u8 name_key[16],
		     u64 dir, const void *name, size_t len, struct meta_dirent *dirent);
/* -EXFULL: 256 names with this name's hash. The caller knows that the name is not there. */
int meta_dirent_add(struct meta_txn *txn, const struct meta_tree *tree, const u8 name_key[16],
		    u64 dir, const void *name, size_t len, u64 ino, u32 type);
/* Make the entry at position lead to another inode. */
int meta_dirent_set(struct meta_txn *txn, const struct meta_tree *tree, u64 dir, u64 position,
		    const void *name, size_t len, u64 ino, u32 type);
int meta_dirent_del(struct meta_txn *txn, const struct meta_tree *tree, u64 dir, u64 position);
/* Where the names with this name's hash begin. Pure. */
u64 meta_dirent_position(const u8 name_key[16], const void *name, size_t len);

/* ---- extent.c ---- */

struct meta_extent {
	u64 offset;
	u64 length;
	u64 group;
	u64 number;
	u32 chunk_offset;
};

/* The first extent that ends behind offset; -ENOENT: none. The walk stands on it. */
int meta_extent_first(struct meta_walk *walk, const struct meta_tree *tree, u64 ino, u64 offset,
		      struct meta_extent *extent);
int meta_extent_next(struct meta_walk *walk, const struct meta_tree *tree, u64 ino,
		     struct meta_extent *extent);
/*
 * Take [start, end) away from an inode, from its beginning, within the budget. *reached: everything
 * below it is gone (end if all). inode.bytes follows; references are dropped.
 */
int meta_extent_cut(struct meta_state *state, const struct meta_tree *tree,
		    struct weft_m_inode *inode, u64 start, u64 end, u64 *reached);
/*
 * Take everything from size on away, from the tail, within the budget. *reached: nothing is left
 * from there on.
 */
int meta_extent_truncate(struct meta_state *state, const struct meta_tree *tree,
			 struct weft_m_inode *inode, u64 size, u64 *reached);
/*
 * The extents behind the size are another session's, which will never complete what it began: they
 * have to go before the size grows or this session puts any of its own.
 */
bool meta_extent_left_behind(const struct weft_m_inode *inode, u64 session);
/* Have them go, within the budget: *done, and what lies behind the size is this session's. */
int meta_extent_claim(struct meta_state *state, const struct meta_tree *tree,
		      struct weft_m_inode *inode, u64 session, bool *done);
/*
 * Put an extent where there is none; it becomes one with what it continues, else its chunk gets a
 * reference.
 */
int meta_extent_add(struct meta_state *state, const struct meta_tree *tree,
		    struct weft_m_inode *inode, const struct meta_extent *extent);

/* ---- chunk.c ---- */

struct meta_chunk {
	u64 group;
	u64 number;
	struct weft_m_chunk head;
	__le32 crcs[WEFT_SHARDS_MAX];
	struct weft_exception exceptions[WEFT_SHARDS_MAX];
	u8 content_id[32];
};

int meta_chunk_get(struct meta_txn *txn, u64 group, u64 number, struct meta_chunk *chunk);
int meta_chunk_decode(const struct meta_key *key, const u8 *value, size_t len,
		      struct meta_chunk *chunk);
/*
 * Put a chunk that was changed (old: as it was; NULL: a new one): the exception queue and the
 * totals follow.
 */
int meta_chunk_put(struct meta_state *state, const struct meta_chunk *chunk,
		   const struct meta_chunk *old);
int meta_chunk_ref(struct meta_state *state, u64 group, u64 number);
/* The last reference condemns it. */
int meta_chunk_unref(struct meta_state *state, u64 group, u64 number);
/* Condemn a chunk without references. */
int meta_chunk_condemn(struct meta_state *state, struct meta_chunk *chunk);
/* Its shards will be deleted: no COMMIT may name it any more. */
int meta_chunk_delete_begin(struct meta_state *state, struct meta_chunk *chunk);
/* Its shards are gone. */
int meta_chunk_delete_end(struct meta_state *state, const struct meta_chunk *chunk);
/*
 * Where shard index is: the exception's store (0: missing) or, without exception, slot_store. Pure.
 */
u32 meta_chunk_store(const struct meta_chunk *chunk, u8 index, u32 slot_store);
unsigned int meta_chunk_missing(const struct meta_chunk *chunk);
/*
 * Say that shard index is on store (WEFT_STORE_NONE: nowhere); slot_store needs no exception. Pure.
 */
void meta_chunk_set_store(struct meta_chunk *chunk, u8 index, u32 store, u32 slot_store);

struct meta_group;

/* ---- dedup.c: which chunk has a content ---- */

/* Of a NEWCHUNK; false: it is all zero. */
bool meta_dedup_has_id(const u8 content_id[32]);
/* The chunk of the index, in whatever state it is. -ENOENT: none has this content. */
int meta_dedup_find(struct meta_txn *txn, u64 domain, const u8 content_id[32],
		    struct meta_chunk *chunk);
/* From now on the index leads to this chunk, which has an id. */
int meta_dedup_add(struct meta_state *state, u64 domain, const struct meta_chunk *chunk);
/* It does no longer, if it did. */
int meta_dedup_del(struct meta_state *state, const struct meta_chunk *chunk);

/* What decides whether a chunk may be shared besides its record: the stores that are up now. */
struct meta_dedup_judge {
	bool (*healthy)(void *ctx, const struct meta_chunk *chunk, const struct meta_group *group);
	void *ctx;
};

/* Answer CHUNKS for the mount with this session. A negative errno is of this machine. */
int meta_dedup_answer(struct meta_state *state, u64 session, const struct weft_chunk_ask *asks,
		      u32 n, const struct meta_dedup_judge *judge, struct meta_outcome *outcome);

/* ---- usage.c: what a dedup domain holds ---- */

int meta_usage_get(struct meta_txn *txn, u64 domain, struct weft_m_usage *usage);
/* A domain begins. */
int meta_usage_begin(struct meta_state *state, u64 domain);
/* A file of the volume refers to more or fewer bytes. */
int meta_usage_map(struct meta_state *state, u64 volume, s64 bytes);
/* So many (1 or -1) chunks like this one are live. */
int meta_usage_chunk(struct meta_state *state, u64 domain, s64 sign, const struct meta_chunk *chunk);
int meta_usage_ids(struct meta_state *state, u64 domain, s64 ids);
/* Write what the entry has changed; at its end. */
int meta_usage_flush(struct meta_state *state);

/* ---- group.c ---- */

struct meta_group {
	u64 group;
	struct weft_m_group head;
	__le32 stores[WEFT_SHARDS_MAX];
};

int meta_group_get(struct meta_txn *txn, u64 id, struct meta_group *group);
int meta_group_decode(const struct meta_key *key, const u8 *value, size_t len,
		      struct meta_group *group);
int meta_group_put(struct meta_txn *txn, const struct meta_group *group);

/* ---- session.c ---- */

struct meta_session {
	u64 session;
	struct weft_m_session head;
	char name[256];
};

int meta_session_get(struct meta_txn *txn, u64 id, struct meta_session *session);
int meta_session_put(struct meta_txn *txn, const struct meta_session *session);
int meta_session_decode(const struct meta_key *key, const u8 *value, size_t len,
			struct meta_session *session);
/* -ENOENT: no such mount. */
int meta_session_find(struct meta_txn *txn, u8 mgrp, const u8 client[16], u64 *session);

struct meta_slot {
	struct weft_m_slot head;
	u8 answer[WEFT_SLOT_ANSWER];
};

/* A slot that was never used is all zero. */
int meta_slot_get(struct meta_txn *txn, u64 session, u32 slot, struct meta_slot *record);
int meta_slot_put(struct meta_txn *txn, u64 session, u32 slot, const struct meta_slot *record);

/* ---- orphan.c ---- */

/* Nothing names the inode any more; session may hold it open. */
int meta_orphan_add(struct meta_state *state, const struct meta_tree *tree, u64 session, u64 ino);
/*
 * The session holds it no longer: reap it, now if that is little work, else as a job. -ENOENT: was
 * no orphan of it.
 */
int meta_orphan_release(struct meta_state *state, const struct meta_tree *tree, u64 session,
			u64 ino);
/* One step of reaping; *done: the inode is gone. */
int meta_orphan_reap(struct meta_state *state, const struct meta_tree *tree, u64 ino, bool *done);

/* ---- volume.c ---- */

struct meta_volume {
	u64 volume;
	struct weft_m_volume head;
	struct weft_m_packed packed;
	char name[256];
};

int meta_volume_get(struct meta_txn *txn, u64 id, struct meta_volume *volume);
int meta_volume_put(struct meta_txn *txn, const struct meta_volume *volume);
int meta_volume_decode(const struct meta_key *key, const u8 *value, size_t len,
		       struct meta_volume *volume);
int meta_volume_find(struct meta_txn *txn, const char *name, u64 *volume);
/* The domain that its groups and chunks belong to. Pure. */
u64 meta_volume_domain(const struct weft_volume_info *info);
/* Add to what a volume holds. */
int meta_volume_account(struct meta_state *state, u64 volume, s64 files, s64 bytes);
/* Its compressed chunks became more or fewer. */
int meta_volume_account_packed(struct meta_state *state, u64 volume, s64 plain, s64 stored);

/* ---- host.c: hosts and stores ---- */

struct meta_host {
	u32 host;
	struct weft_m_host head;
	/* Name, region, datacenter, rack, addresses: each with its NUL. */
	char strings[META_STRINGS_MAX];
};

struct meta_store {
	u32 store;
	struct weft_m_store head;
	char path[4096];
};

int meta_host_get(struct meta_txn *txn, u32 id, struct meta_host *host);
int meta_host_put(struct meta_txn *txn, const struct meta_host *host);
int meta_host_find(struct meta_txn *txn, const char *name, u32 *host);
/* The n-th string; "" if there is none. */
const char *meta_host_string(const struct meta_host *host, unsigned int n);
#define META_HOST_NAME       0
#define META_HOST_REGION     1
#define META_HOST_DATACENTER 2
#define META_HOST_RACK       3
#define META_HOST_ADDRESS    4
/* True if strings holds exactly n texts that end with a NUL each. Pure. */
bool meta_host_strings_ok(const char *strings, size_t len, unsigned int n);
int meta_store_get(struct meta_txn *txn, u32 id, struct meta_store *store);
int meta_store_put(struct meta_txn *txn, const struct meta_store *store);
int meta_store_find(struct meta_txn *txn, const u8 uuid[16], u32 *store);

/* ---- entry.c: the log's entries ---- */

/* An entry taken apart; body points into its bytes. */
struct meta_entry {
	u16 type;
	u16 level;
	u16 op;
	u8 mgrp;
	u64 time_ns;
	u64 session;
	u64 sequence;
	u32 slot;
	u32 request_crc;
	const void *body;
	u32 body_len;
};

struct meta_buffer {
	u8 *data;
	size_t len, size;
};

void meta_buffer_free(struct meta_buffer *buffer);
/* Room for len more bytes, zeroed; NULL: out of memory. */
void *meta_buffer_add(struct meta_buffer *buffer, size_t len);
int meta_buffer_put(struct meta_buffer *buffer, const void *data, size_t len);

/*
 * Begin an entry in an empty buffer; its body is added behind, then meta_entry_end() completes it.
 */
int meta_entry_begin(struct meta_buffer *buffer, enum weft_m_entry_type type);
void meta_entry_end(struct meta_buffer *buffer, u64 time_ns);
struct weft_m_entry *meta_entry_head(struct meta_buffer *buffer);
/*
 * -EBADMSG: no entry of a kind that this version knows: the log is damaged, or newer than this
 * program.
 */
int meta_entry_decode(const void *bytes, size_t len, struct meta_entry *entry);
/* The fixed part of a body and what stands behind it: NULL if the body is shorter. */
const void *meta_entry_body(const struct meta_entry *entry, size_t head_len, const u8 **tail,
			    size_t *tail_len);

/* ---- apply.c and apply_*.c ---- */

/* From this level of an entry on a file says whose extents may lie behind its size. */
#define META_LEVEL_LEFT_BEHIND 2u
/* From this level on a chunk in deletion takes note of shards that come late. */
#define META_LEVEL_LATE_SHARDS 2u
/* From this level on what is made in a directory inherits its policy. */
#define META_LEVEL_POLICY 4u
/* From this level on content ids count, and totals are kept of domains. */
#define META_LEVEL_DEDUP 5u

/*
 * Apply entry number index. Entries at or below state->index are skipped: outcome->status is then
 * OK without an answer. 0: applied, outcome says what it came to. Negative: the state is not to be
 * used any further.
 */
int meta_apply(struct meta_state *state, u64 index, u64 term, const void *bytes, size_t len,
	       struct meta_outcome *outcome);
/* An entry without content: only the index moves. */
int meta_apply_nothing(struct meta_state *state, u64 index, u64 term);

/* What a request's apply function gets. */
struct meta_apply {
	struct meta_state *state;
	const struct meta_entry *entry;
	struct meta_outcome *outcome;
	struct meta_session session;
	struct meta_volume volume;
	struct meta_tree tree;
	struct meta_slot slot;		/* of the request; saved by the caller */
};

/* Each returns a negative errno (of this machine), an enum weft_status, or META_MORE. */
int meta_apply_setattr(struct meta_apply *apply);
int meta_apply_create(struct meta_apply *apply);
int meta_apply_link(struct meta_apply *apply);
int meta_apply_unlink(struct meta_apply *apply);
int meta_apply_rename(struct meta_apply *apply);
int meta_apply_forget(struct meta_apply *apply);
int meta_apply_commit(struct meta_apply *apply);
int meta_apply_clone(struct meta_apply *apply);
int meta_apply_shards(struct meta_apply *apply);
int meta_apply_umount(struct meta_apply *apply);

/*
 * The slot of a COMMIT that will not go on: chunks that it brought and nothing refers to are
 * condemned.
 */
int meta_commit_abandon(struct meta_state *state, const struct meta_slot *slot);

int meta_apply_cluster_init(struct meta_state *state, const struct meta_entry *entry,
			    struct meta_outcome *outcome);
/* keys.c */
int meta_apply_keys_set(struct meta_state *state, const struct meta_entry *entry,
			struct meta_outcome *outcome);
/* The volume's key file: -ENOENT if it is not encrypted. @max: WEFT_KEY_FILE_MAX */
int meta_keys_get(struct meta_txn *txn, u8 mgrp, u64 volume, void *file, size_t max, size_t *len);
/* NULL, or what is wrong with a key file that is to become the volume's. */
const char *meta_keys_wrong(const u8 uuid[16], const void *file, size_t len);
int meta_apply_volume_create(struct meta_state *state, const struct meta_entry *entry,
			     struct meta_outcome *outcome);
int meta_apply_volume_set(struct meta_state *state, const struct meta_entry *entry,
			  struct meta_outcome *outcome);
int meta_apply_host_set(struct meta_state *state, const struct meta_entry *entry,
			struct meta_outcome *outcome);
int meta_apply_store_set(struct meta_state *state, const struct meta_entry *entry,
			 struct meta_outcome *outcome);
int meta_apply_group_create(struct meta_state *state, const struct meta_entry *entry,
			    struct meta_outcome *outcome);
int meta_apply_group_set(struct meta_state *state, const struct meta_entry *entry,
			 struct meta_outcome *outcome);
int meta_apply_mount(struct meta_state *state, const struct meta_entry *entry,
		     struct meta_outcome *outcome);
int meta_apply_session_end(struct meta_state *state, const struct meta_entry *entry,
			   struct meta_outcome *outcome);
int meta_apply_reap(struct meta_state *state, const struct meta_entry *entry,
		    struct meta_outcome *outcome);
int meta_apply_healed(struct meta_state *state, const struct meta_entry *entry,
		      struct meta_outcome *outcome);
int meta_apply_deleting(struct meta_state *state, const struct meta_entry *entry,
			struct meta_outcome *outcome);
int meta_apply_deleted(struct meta_state *state, const struct meta_entry *entry,
		       struct meta_outcome *outcome);
/* One step of ending a session; used by SESSION_END and UMOUNT. OK or META_MORE. */
int meta_session_end_step(struct meta_state *state, struct meta_session *session);

/* ---- request.c: what a kernel asks ---- */

/* A request that only reads, or that the leader has to decide on before there is an entry. */
struct meta_ask {
	u16 op;			/* enum weft_request_op */
	bool entry;		/* it became an entry: buffer */
	u64 ino;		/* or parent */
	u64 offset;		/* or cookie */
	u64 length;		/* CHUNKS: how many struct weft_chunk_ask stand in the buffer */
	u64 group;
	u32 flags;
	u8 name_len;
	char name[WEFT_NAME_MAX + 1];
	u8 client[16];
	u8 want_k, want_m;
	u32 avoid[64];
	u32 avoids;
};

/*
 * Check a request's payload. Becomes an entry in buffer (ask->entry; time and end are the
 * caller's), or an ask. Returns an enum weft_status; *why: a static sentence if it is not OK. Pure.
 */
u32 meta_request_parse(u16 op, u64 session, u64 sequence, u32 slot, const void *payload, size_t len,
		       struct meta_buffer *buffer, struct meta_ask *ask, const char **why);

/* ---- read.c ---- */

/*
 * Answer a request that reads, for the mount with this session. A negative errno is of this
 * machine.
 */
int meta_read(struct meta_state *state, u64 session, const struct meta_ask *ask,
	      struct meta_outcome *outcome);
/* Tell a reader of a chunk: CHUNK. */
int meta_read_put_chunk(const struct meta_chunk *chunk, struct tlv_writer *answer);

#endif
