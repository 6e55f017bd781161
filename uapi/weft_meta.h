/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_meta.h - what the metadata service keeps on disk: its tables (LMDB) and the entries of its log
 *
 * A table's keys are numbers in big-endian order, so that ranges sort; every value is one of the structures below
 * (little-endian, reserved fields zero), what the comment says stands behind it, and a CRC32C of all of that.
 *
 *   table        key                                              value
 *   STATE        mgrp u8 | what u8                                weft_m_cluster + name, weft_m_applied, weft_m_counters
 *                mgrp u8 | KEYS u8 | volume u64                   a key file: weft_key.h
 *   INODE        mgrp u8 | volume u64 | ino u64                   weft_m_inode
 *   INLINE       mgrp u8 | volume u64 | ino u64                   content of a small file, or a symbolic link's target
 *   DIRENT       mgrp u8 | volume u64 | dir u64 | position u64    weft_m_dirent + name
 *   EXTENT       mgrp u8 | volume u64 | ino u64 | offset u64      weft_m_extent
 *   CHUNK        group u64 | number u64                           weft_m_chunk + table CRCs + exceptions [+ content id]
 *   GROUP        group u64                                        weft_m_group + stores
 *   ORPHAN       mgrp u8 | volume u64 | session u64 | ino u64     weft_m_mark: unlinked, the session may hold it open
 *   JOB          mgrp u8 | volume u64 | kind u8 | object u64      weft_m_mark: work that goes on in steps
 *   SESSION      session u64                                      weft_m_session + client's name
 *   CLIENT       mgrp u8 | client 16 bytes                        weft_m_number: the session of that mount
 *   SLOT         session u64 | slot u32                           weft_m_slot + saved answer
 *   HOST         host u32                                         weft_m_host + strings
 *   HOST_NAME    name                                             weft_m_number
 *   STORE        store u32                                        weft_m_store + path
 *   STORE_UUID   uuid 16 bytes                                    weft_m_number
 *   VOLUME       volume u64                                       weft_m_volume + name [+ weft_m_packed]
 *   VOLUME_NAME  name                                             weft_m_number
 *   EXCEPTION    group u64 | number u64                           weft_m_mark: a chunk with shards not in their slots
 *   CONDEMNED    mgrp u8 | time u64 | group u64 | number u64      weft_m_mark: nothing refers to it since .time
 *   DELETING     group u64 | number u64                           weft_m_mark
 *   DEDUP        domain u64 | content id, its first 16 bytes      weft_m_dedup: a chunk with it that is not being deleted
 *   USAGE        domain u64                                       weft_m_usage
 *
 * A group's id holds its metadata group, an inode's and a session's too (weft_format.h). An entry of the log is
 * struct weft_m_entry and a body. What a client sent is parsed once, by the leader; the body is the validated request
 * in a fixed form, and is applied the same way for ever at its version.
 *
 * Changelog
 *   1  first format
 *   level 2  an inode says whose extents may lie behind its size; they end with the session (was: reserved, 0).
 *            DELETED names the condemned_ns of the record that it was decided on; a chunk in deletion takes note of
 *            shards that come late, with a new condemned_ns
 *   level 3  requests may be CLONE: several extents, of several files too, refer to one chunk
 *   level 3  a volume counts its compressed chunks, while it has some
 *   level 4  directories and files may have policies of their own, which SETATTR sets and CREATE inherits; those of volumes
 *            may be changed
 *   level 5  VOLUME_SET may say what the volume was like before
 *   level 5  a volume may be encrypted, and then has a key file
 *   level 5  volumes may deduplicate: DEDUP, content ids in chunk records, COMMITs that share chunks. USAGE counts what a
 *            domain holds, from the making of its first volume on
 */
#ifndef _UAPI_WEFT_META_H
#define _UAPI_WEFT_META_H

#include "weft_payload.h"

#define WEFT_META_FORMAT 1
#define WEFT_META_LEVEL  5 /* feature level: of entries and of the cluster */

enum weft_m_table {
	WEFT_MT_STATE = 0,
	WEFT_MT_INODE = 1,
	WEFT_MT_INLINE = 2,
	WEFT_MT_DIRENT = 3,
	WEFT_MT_EXTENT = 4,
	WEFT_MT_CHUNK = 5,
	WEFT_MT_GROUP = 6,
	WEFT_MT_ORPHAN = 7,
	WEFT_MT_JOB = 8,
	WEFT_MT_SESSION = 9,
	WEFT_MT_CLIENT = 10,
	WEFT_MT_SLOT = 11,
	WEFT_MT_HOST = 12,
	WEFT_MT_HOST_NAME = 13,
	WEFT_MT_STORE = 14,
	WEFT_MT_STORE_UUID = 15,
	WEFT_MT_VOLUME = 16,
	WEFT_MT_VOLUME_NAME = 17,
	WEFT_MT_EXCEPTION = 18,
	WEFT_MT_CONDEMNED = 19,
	WEFT_MT_DELETING = 20,
	WEFT_MT_DEDUP = 21,
	WEFT_MT_USAGE = 22,
	WEFT_MT_NR
};

/* The second byte of a key of STATE. */
enum weft_m_state {
	WEFT_MS_CLUSTER = 1,
	WEFT_MS_APPLIED = 2,
	WEFT_MS_COUNTERS = 3,
	WEFT_MS_KEYS = 4,
};

struct weft_m_cluster {
	__u8 uuid[16];
	__le32 format;
	__le32 level;
	__le32 incarnation; /* 1 .. 255 */
	__le32 site;
	__le64 created_ns;
	__le32 name_len;
	__le32 reserved;
	/* name */
};
WEFT_ASSERT_SIZE(weft_m_cluster, 48);

/* What the tables hold: everything up to this entry. The only record that is no part of the state hash. */
struct weft_m_applied {
	__le64 index;
	__le64 term;
	__le64 time_ns;
	__le64 hash;      /* sum over all records */
};
WEFT_ASSERT_SIZE(weft_m_applied, 32);

/* The last number given out of each kind, and totals of a metadata group. */
struct weft_m_counters {
	__le64 ino;
	__le64 session;
	__le64 group;
	__le64 volume;
	__le32 host;
	__le32 store;
	__le64 chunks;      /* live */
	__le64 condemned;
	__le64 deleting;
	__le64 exceptions;  /* chunks in the queue */
	__le64 missing;     /* shards that nobody has */
	__le64 plain_bytes; /* of live chunks */
	__le64 files;
	__le64 sessions;
	__le64 orphans;
	__le64 reserved[2];
};
WEFT_ASSERT_SIZE(weft_m_counters, 128);

struct weft_m_inode {
	struct weft_attr attr;
	__le64 entries;         /* of a directory */
	__le64 commit_sequence; /* the newest of its COMMITs */
	__le64 session;         /* of a file: the only one whose extents may lie behind the size; 0: not known (level 1) */
	__le64 reserved;
};
WEFT_ASSERT_SIZE(weft_m_inode, 160);

struct weft_m_dirent {
	__le64 ino;
	__le32 type; /* S_IFMT bits */
	__le16 name_len;
	__le16 reserved;
	/* name */
};
WEFT_ASSERT_SIZE(weft_m_dirent, 16);

struct weft_m_extent {
	__le64 group;
	__le64 number;
	__le64 length;
	__le32 chunk_offset;
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_m_extent, 32);

enum weft_m_chunk_state {
	WEFT_MC_LIVE = 1,      /* extents refer to it */
	WEFT_MC_CONDEMNED = 2, /* none does; a COMMIT may still revive it */
	WEFT_MC_DELETING = 3,  /* its shards are being deleted: no COMMIT may name it */
};

#define WEFT_MCF_CONTENT_ID 0x0001 /* 32 bytes of content id stand at the end */

struct weft_m_chunk {
	struct weft_sid sid;
	__le32 plain_len;
	__le32 stored_len;
	__le32 shard_len;
	__le32 key_id;
	__u8 codec;
	__u8 cipher;
	__u8 k;
	__u8 m;
	__u8 state;           /* enum weft_m_chunk_state */
	__u8 exceptions;      /* how many */
	__le16 flags;         /* WEFT_MCF_* */
	__le64 refs;          /* extents that refer to it */
	__le64 condemned_ns;  /* since when refs is 0; DELETING: since when its shards are where the record says */
	__le32 deleted;       /* DELETING: bit i: shard i is gone */
	__le32 reserved;
	__u8 stored_hash[16];
	/* k + m __le32 table CRCs, exceptions * struct weft_exception ascending by index, content id */
};
WEFT_ASSERT_SIZE(weft_m_chunk, 80);

struct weft_m_group {
	__le64 domain;  /* dedup domain: the id of the volume that it is named after */
	__u8 k;
	__u8 m;
	__le16 flags;   /* WEFT_GF_* */
	__le32 reserved;
	__le64 number;  /* the last chunk number given */
	__le64 chunks;  /* that exist, in any state */
	__le64 created_ns;
	/* k + m __le32 store numbers in slot order */
};
WEFT_ASSERT_SIZE(weft_m_group, 40);

struct weft_m_mark {
	__le64 time_ns; /* when it got here */
};
WEFT_ASSERT_SIZE(weft_m_mark, 8);

struct weft_m_number {
	__le64 number;
};
WEFT_ASSERT_SIZE(weft_m_number, 8);

enum weft_m_job {
	WEFT_MJ_REAP = 1, /* object: an inode without names and users, deleted from its tail */
};

#define WEFT_MSF_READONLY 0x0001
#define WEFT_MSF_CLOSING  0x0002 /* ended; its slots and orphans are being released */

struct weft_m_session {
	__le64 volume;
	__u8 client[16];
	__le64 created_ns;
	__le64 done_below; /* every sid counter below it is committed or given up */
	__le32 flags;      /* WEFT_MSF_* */
	__le32 name_len;
	/* name of the client's host */
};
WEFT_ASSERT_SIZE(weft_m_session, 48);

#define WEFT_MLF_PARTIAL 0x0001 /* the request goes on at .cursor: the answer's numbers are given, not its status */

struct weft_m_slot {
	__le64 sequence;
	__le64 cursor;      /* PARTIAL */
	__le32 request_crc; /* tells a repeat from another request with its number */
	__le32 status;
	__le16 op;
	__le16 flags;       /* WEFT_MLF_* */
	__le32 answer_len;
	/* answer */
};
WEFT_ASSERT_SIZE(weft_m_slot, 32);

/* Strings end with a NUL each, in this order: name, region, datacenter, rack, addresses. */
struct weft_m_host {
	__le32 addresses;
	__le32 strings_len;
	__le64 created_ns;
};
WEFT_ASSERT_SIZE(weft_m_host, 16);

struct weft_m_store {
	__u8 uuid[16];
	__le32 host;
	__le32 flags;      /* none defined: 0 */
	__le64 starts;
	__le64 capacity;
	__le64 disk;
	__le64 created_ns;
	__le32 path_len;
	__le32 reserved;
	/* path */
};
WEFT_ASSERT_SIZE(weft_m_store, 64);

struct weft_m_volume {
	struct weft_volume_info info;
	__u8 name_key[16]; /* of the hash of names */
	__le64 session;    /* that has it mounted; 0: nobody */
	__le64 files;
	__le64 bytes;      /* allocated, before coding */
	__le64 created_ns;
	__le32 name_len;
	__le32 reserved;
	/* name, struct weft_m_packed unless it is all zero */
};
WEFT_ASSERT_SIZE(weft_m_volume, 160);

/* Live chunks of a volume that are compressed. */
struct weft_m_packed {
	__le64 plain_bytes;
	__le64 stored_bytes; /* before coding */
};
WEFT_ASSERT_SIZE(weft_m_packed, 16);

struct weft_m_dedup {
	__le64 group;
	__le64 number;
};
WEFT_ASSERT_SIZE(weft_m_dedup, 16);

/* What the volumes of a dedup domain hold together; chunks: live ones. */
struct weft_m_usage {
	__le64 mapped_bytes; /* of files, in extents */
	__le64 chunks;
	__le64 plain_bytes;
	__le64 stored_bytes; /* before coding */
	__le64 raw_bytes;    /* of shards, without their headers and checksums */
	__le64 ids;          /* records in DEDUP */
	__le64 reserved[2];
};
WEFT_ASSERT_SIZE(weft_m_usage, 64);

/* ---- Entries of the log ---------------------------------------------------------------------------------------- */

#define WEFT_M_ENTRY_MAGIC   0x454d6657u /* "WfME" */
#define WEFT_M_ENTRY_RECORDS 1024u       /* an entry touches at most that many records and goes on in the next one */

enum weft_m_entry_type {
	WEFT_ME_CLUSTER_INIT = 1,  /* weft_e_cluster + name */
	WEFT_ME_VOLUME_CREATE = 2, /* weft_e_volume + name */
	WEFT_ME_HOST_SET = 3,      /* weft_e_host + strings */
	WEFT_ME_STORE_SET = 4,     /* weft_e_store + path */
	WEFT_ME_GROUP_CREATE = 5,  /* weft_e_group + stores */
	WEFT_ME_GROUP_SET = 6,     /* weft_e_group_set */
	WEFT_ME_MOUNT = 7,         /* weft_e_mount + client's name */
	WEFT_ME_SESSION_END = 8,   /* weft_e_object: the session; repeated until it is gone */
	WEFT_ME_REQUEST = 9,       /* weft_e_request_* by .op: a numbered request of a session */
	WEFT_ME_REAP = 10,         /* weft_e_object: the inode; repeated until it is gone */
	WEFT_ME_HEALED = 11,       /* weft_e_shards */
	WEFT_ME_DELETING = 12,     /* weft_e_chunks */
	WEFT_ME_DELETED = 13,      /* weft_e_chunks */
	WEFT_ME_VOLUME_SET = 20,   /* weft_e_volume_set */
	WEFT_ME_KEYS_SET = 22,     /* weft_e_keys + key file */
};

struct weft_m_entry {
	__le32 magic;
	__le16 type;         /* enum weft_m_entry_type */
	__le16 level;        /* feature level that it needs */
	__le64 time_ns;      /* max(leader's clock, last + 1) */
	__le64 session;      /* REQUEST */
	__le64 sequence;
	__le32 slot;
	__le16 op;           /* enum weft_request_op */
	__u8 mgrp;
	__u8 reserved;
	__le32 request_crc;  /* CRC32C of the payload as it came */
	__le32 body_len;
};
WEFT_ASSERT_SIZE(weft_m_entry, 48);

struct weft_e_cluster {
	__u8 uuid[16];
	__le32 incarnation;
	__le32 site;
	__le32 name_len;
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_e_cluster, 32);

/* .info.volume, .root, .incarnation and .mgrp are given in apply. */
struct weft_e_volume {
	struct weft_volume_info info;
	__u8 name_key[16];
	__le32 mode; /* of the root */
	__le32 name_len;
};
WEFT_ASSERT_SIZE(weft_e_volume, 128);

/*
 * .info: how chunks are cut, compressed and coded small, and what is done with too few stores; the rest of it is not looked at.
 * Behind it may stand another struct weft_volume_info, that from which it was made: if the volume is not like that any more,
 * nothing changes.
 */
struct weft_e_volume_set {
	__le64 volume;
	struct weft_volume_info info;
};
WEFT_ASSERT_SIZE(weft_e_volume_set, 112);

struct weft_e_host {
	__le32 addresses;
	__le32 strings_len; /* as in weft_m_host */
};
WEFT_ASSERT_SIZE(weft_e_host, 8);

struct weft_e_store {
	__u8 uuid[16];
	__le32 host;
	__le32 path_len;
	__le64 starts;
	__le64 capacity;
	__le64 disk;
};
WEFT_ASSERT_SIZE(weft_e_store, 48);

struct weft_e_group {
	__le64 domain;
	__u8 k;
	__u8 m;
	__le16 flags;
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_e_group, 16);

struct weft_e_group_set {
	__le64 group;
	__le32 set;   /* WEFT_GF_* */
	__le32 clear;
};
WEFT_ASSERT_SIZE(weft_e_group_set, 16);

struct weft_e_mount {
	__u8 client[16];
	__le64 volume;
	__le32 flags; /* WEFT_MSF_READONLY */
	__le32 name_len;
};
WEFT_ASSERT_SIZE(weft_e_mount, 32);

struct weft_e_object {
	__le64 volume;
	__le64 object;
};
WEFT_ASSERT_SIZE(weft_e_object, 16);

struct weft_e_request_setattr {
	__le64 ino;
	struct weft_setattr set;
	/* __le64 policy, if .set.valid says so */
};
WEFT_ASSERT_SIZE(weft_e_request_setattr, 80);

struct weft_e_request_create {
	__le64 parent;
	struct weft_create create;
	__le16 name_len;
	__le16 target_len;
	__le32 reserved;
	/* name, target */
};
WEFT_ASSERT_SIZE(weft_e_request_create, 56);

/* LINK: .ino gets the name. UNLINK: .ino is what the name must lead to. */
struct weft_e_request_name {
	__le64 parent;
	__le64 ino;
	struct weft_time time;
	__le32 flags; /* WEFT_PF_RMDIR */
	__le16 name_len;
	__le16 reserved;
	/* name */
};
WEFT_ASSERT_SIZE(weft_e_request_name, 40);

struct weft_e_request_rename {
	__le64 parent;
	__le64 parent2;
	struct weft_time time;
	__le32 flags; /* WEFT_PF_NOREPLACE, _EXCHANGE */
	__le16 name_len;
	__le16 name2_len;
	/* name, name2 */
};
WEFT_ASSERT_SIZE(weft_e_request_rename, 40);

struct weft_e_request_forget {
	__le64 ino;
};
WEFT_ASSERT_SIZE(weft_e_request_forget, 8);

struct weft_e_request_commit {
	__le64 ino;
	struct weft_commit commit;
	__le32 data_len;
	__le32 chunks;
	__le32 extents;
	__le32 reserved;
	/* extents * struct weft_extent; chunks * (struct weft_chunk_new, (k + m) * struct weft_shard_new); data */
};
WEFT_ASSERT_SIZE(weft_e_request_commit, 88);

struct weft_e_request_clone {
	__le64 ino; /* of the destination */
	struct weft_clone clone;
};
WEFT_ASSERT_SIZE(weft_e_request_clone, 72);

/* SHARDS_STORED, SHARDS_MISSING and HEALED. HEALED: .status holds the new table CRC. */
struct weft_e_shards {
	__le32 count;
	__le32 reserved;
	/* count * struct weft_shard_report */
};
WEFT_ASSERT_SIZE(weft_e_shards, 8);

struct weft_e_chunk {
	__le64 group;
	__le64 number;
	__le64 condemned_ns; /* as the record has it */
	__le32 deleted;      /* DELETED: bit i: shard i is gone */
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_e_chunk, 32);

struct weft_e_chunks {
	__le32 count;
	__le32 reserved;
	/* count * struct weft_e_chunk */
};
WEFT_ASSERT_SIZE(weft_e_chunks, 8);

/* A new key file of a volume. The first one makes it an encrypted volume: only one without files may become that. */
struct weft_e_keys {
	__le64 volume;
	__le32 len;
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_e_keys, 16);

#endif /* _UAPI_WEFT_META_H */
