/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_payload.h - what a request of the kernel and its answer hold
 *
 * A payload is a run of attributes in the layout of netlink (__u16 length with its 4-byte head, __u16 type, data, padding
 * to 4 bytes), but little-endian whatever the machine, because it travels unchanged: kernel - bridge - metadata leader and
 * back. A payload is at most WEFT_PAYLOAD_MAX bytes. Types are enum weft_p; numbers inside are little-endian; structures
 * are the ones below. An unknown type is refused in requests and ignored in answers.
 *
 *   request        attributes                                       attributes of the answer
 *   MOUNT          NAME(volume) CLIENT FLAGS(ro)                    SESSION VOLUME ATTR(root)
 *   UMOUNT         -                                                -
 *   LOOKUP         PARENT NAME                                      ATTR [TARGET] [DATA] [CHUNK.. EXTENTS]   or NOENT
 *   GETATTR        INO                                              ATTR [TARGET] [DATA]
 *   SETATTR        INO SETATTR [POLICY]                             ATTR
 *   CREATE         PARENT NAME CREATE [TARGET]                      ATTR PATTR
 *   LINK           INO PARENT NAME TIME                             ATTR PATTR
 *   UNLINK         PARENT NAME INO FLAGS(rmdir) TIME                ATTR PATTR
 *   RENAME         PARENT NAME PARENT2 NAME2 FLAGS TIME             ATTR PATTR PATTR2 [ATTR2(replaced)]
 *   READDIR        INO COOKIE LENGTH                                DIRENT.. [FLAGS(eof)]
 *   READLINK       INO                                              TARGET
 *   FORGET         INO                                              -              (class 1: the unlinked inode is unused)
 *   EXTENTS        INO OFFSET LENGTH                                [DATA] CHUNK.. EXTENTS NEXT
 *   COMMIT         INO COMMIT [DATA] NEWCHUNK.. EXTENTS             ATTR NUMBERS [FOUND]   or NEED with NUMBERS
 *   CLONE          INO CLONE                                        ATTR LENGTH(done)
 *   CHUNKS         ASK                                              [CHUNK.. FOUND]   (the bridge may answer it: nothing found)
 *   GROUP          GROUP                                            (GROUP_SET comes before the answer) GROUP
 *   GROUP_WANT     WANT STORES(to avoid)                            (GROUP_SET comes before the answer) GROUP
 *   HOST_WANT      HOST                                             -              (answered by the bridge; HOST_SET follows)
 *   HOST_FAILED    HOST STATUS                                      -              (answered by the bridge)
 *   SHARDS_STORED  SHARD..                                          -
 *   SHARDS_MISSING SHARD..                                          -
 *   STATFS         -                                                STATFS
 *
 * Changelog
 *   1  first version
 *      CLONE and its attribute; a service of metadata level 2 answers OPNOTSUPP
 *      VOLUME says how a codec is chosen, and its level (was: reserved, 0)
 *      VOLUME says whether chunks are deduplicated, and in which domain (was: reserved, 0). CHUNKS asks for contents;
 *      a NEWCHUNK may have a content id and the flag SHARE (was: 0)
 *      ATTR says what of the volume's policies is other for a directory or file (was: reserved, 0); SETATTR sets it
 */
#ifndef _UAPI_WEFT_PAYLOAD_H
#define _UAPI_WEFT_PAYLOAD_H

#include "weft_format.h"

#define WEFT_PAYLOAD_MAX 30720u /* fits a netlink message of 32 KiB with its head */

/* What a request asks for; the same numbers in netlink and between daemons. */
enum weft_request_op {
	WEFT_REQ_MOUNT = 1,
	WEFT_REQ_UMOUNT = 2,
	WEFT_REQ_LOOKUP = 3,
	WEFT_REQ_GETATTR = 4,
	WEFT_REQ_SETATTR = 5,
	WEFT_REQ_CREATE = 6,
	WEFT_REQ_LINK = 7,
	WEFT_REQ_UNLINK = 8,
	WEFT_REQ_RENAME = 9,
	WEFT_REQ_READDIR = 10,
	WEFT_REQ_READLINK = 11,
	WEFT_REQ_FORGET = 12,
	WEFT_REQ_EXTENTS = 13,
	WEFT_REQ_COMMIT = 14,
	WEFT_REQ_GROUP = 15,
	WEFT_REQ_GROUP_WANT = 16,
	WEFT_REQ_HOST_WANT = 17,
	WEFT_REQ_HOST_FAILED = 18,
	WEFT_REQ_SHARDS_STORED = 19,
	WEFT_REQ_SHARDS_MISSING = 20,
	WEFT_REQ_STATFS = 21,
	WEFT_REQ_CHUNKS = 36,
	WEFT_REQ_CLONE = 37,
	/* reserved numbers of later parts: leases, locks, xattrs, quota, watches */
	WEFT_REQ_XATTR = 32,
	WEFT_REQ_OPEN = 33,
	WEFT_REQ_CLOSE = 34,
	WEFT_REQ_LEASE_RETURN = 35,
	WEFT_REQ_FALLOCATE = 38,
	WEFT_REQ_LOCK = 39,
	WEFT_REQ_QUOTA = 40,
	WEFT_REQ_WATCH = 41,
	WEFT_REQ_SYNC = 42,
	WEFT_REQ_CANCEL = 43,
};

/*
 * Classes: a fetch returns lower ones first, and slots are kept for 1 and 2 that 3 cannot take.
 *   1  gives something back: FORGET, UMOUNT, lease returns
 *   2  lets dirty data become clean: COMMIT, CHUNKS, GROUP, GROUP_WANT, SHARDS_STORED, EXTENTS for writeback
 *   3  everything else
 */
#define WEFT_CLASSES 3

/*
 * Mutating requests are numbered by the kernel as (slot, sequence), as NFSv4.1 does (RFC 8881, 2.10.6): a slot has one
 * request under way; its sequence starts at 1 and grows by one with each new request; a repeat has the number of the
 * request that it repeats and is answered from the slot's saved answer. Reads take no slot: WEFT_SLOT_NONE.
 */
#define WEFT_SLOTS         1024u /* a session's slots, 0 .. 1023 */
#define WEFT_SLOTS_RESERVE 256u  /* slots 0 .. 255 serve classes 1 and 2 only */
#define WEFT_SLOT_NONE     0xffffffffu
#define WEFT_SLOT_ANSWER   8192u /* bytes of a saved answer, at most: the longest is that of a COMMIT */

enum weft_p {
	WEFT_P_UNSPEC = 0,
	WEFT_P_INO = 1,         /* __le64 */
	WEFT_P_PARENT = 2,      /* __le64 */
	WEFT_P_PARENT2 = 3,     /* __le64: the directory that a rename moves to */
	WEFT_P_NAME = 4,        /* 1 .. 255 bytes, no NUL, no '/', not "." or ".." */
	WEFT_P_NAME2 = 5,
	WEFT_P_TARGET = 6,      /* of a symbolic link: 1 .. WEFT_SYMLINK_MAX bytes, no NUL */
	WEFT_P_ATTR = 7,        /* struct weft_attr */
	WEFT_P_ATTR2 = 8,
	WEFT_P_PATTR = 9,       /* of the parent */
	WEFT_P_PATTR2 = 10,
	WEFT_P_SETATTR = 11,    /* struct weft_setattr */
	WEFT_P_CREATE = 12,     /* struct weft_create */
	WEFT_P_TIME = 13,       /* struct weft_time: when the operation happened */
	WEFT_P_FLAGS = 14,      /* __le32: WEFT_PF_* */
	WEFT_P_OFFSET = 15,     /* __le64, bytes in the file */
	WEFT_P_LENGTH = 16,     /* __le64, bytes */
	WEFT_P_NEXT = 17,       /* __le64: EXTENTS: everything below was answered */
	WEFT_P_COOKIE = 18,     /* __le64: READDIR: the first position wanted */
	WEFT_P_DIRENT = 19,     /* repeated: struct weft_dirent and the name */
	WEFT_P_DATA = 20,       /* inline content: the whole file */
	WEFT_P_EXTENTS = 21,    /* array of struct weft_extent, ascending, disjoint */
	WEFT_P_CHUNK = 22,      /* repeated: struct weft_chunk_info and its exceptions */
	WEFT_P_NEWCHUNK = 23,   /* repeated: struct weft_chunk_new and its shards */
	WEFT_P_COMMIT = 24,     /* struct weft_commit */
	WEFT_P_NUMBERS = 25,    /* array of __le64: chunk numbers, one a NEWCHUNK in their order; with NEED: the chunks to write anew */
	WEFT_P_GROUP = 26,      /* __le64 */
	WEFT_P_WANT = 27,       /* struct weft_group_want */
	WEFT_P_STORES = 28,     /* array of __le32 */
	WEFT_P_HOST = 29,       /* __le32 */
	WEFT_P_STATUS = 30,     /* __le32, enum weft_status */
	WEFT_P_SHARD = 31,      /* repeated: struct weft_shard_report */
	WEFT_P_STATFS = 32,     /* struct weft_statfs */
	WEFT_P_CLIENT = 33,     /* 16 bytes: UUID of the mount, made by its kernel */
	WEFT_P_SESSION = 34,    /* __le64 */
	WEFT_P_VOLUME = 35,     /* struct weft_volume_info */
	WEFT_P_TEXT = 36,       /* a sentence for a person; no NUL */
	WEFT_P_CLONE = 37,      /* struct weft_clone */
	WEFT_P_ASK = 40,        /* array of struct weft_chunk_ask, 1 .. WEFT_CHUNKS_ASKED_MAX */
	WEFT_P_FOUND = 41,      /* array of struct weft_chunk_found */
	WEFT_P_POLICY = 46,     /* __le64: .policy of weft_attr */
	WEFT_P_NR
};

#define WEFT_PF_READONLY  0x0001 /* MOUNT */
#define WEFT_PF_RMDIR     0x0002 /* UNLINK: the name must be a directory; without: must not */
#define WEFT_PF_NOREPLACE 0x0004 /* RENAME */
#define WEFT_PF_EXCHANGE  0x0008 /* RENAME */
#define WEFT_PF_EOF       0x0010 /* READDIR answer: nothing behind the last entry */

struct weft_time {
	__le64 sec;  /* signed, since 1970 */
	__le32 nsec; /* 0 .. 999999999 */
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_time, 16);

#define WEFT_AF_INLINE 0x0001 /* the content is inline */
#define WEFT_AF_KNOWN  0x0001

struct weft_attr {
	__le64 ino;
	__le64 size;
	__le64 bytes;         /* allocated: for st_blocks */
	__le64 change;        /* grows with every change of the inode: the change attribute */
	__le64 parent;        /* of a directory; else 0 */
	__le64 atime_sec;
	__le64 mtime_sec;
	__le64 ctime_sec;
	__le64 btime_sec;
	__le32 atime_nsec;
	__le32 mtime_nsec;
	__le32 ctime_nsec;
	__le32 btime_nsec;
	__le32 mode;          /* type and permissions, as S_IF* */
	__le32 uid;
	__le32 gid;
	__le32 nlink;
	__le32 rdev_major;
	__le32 rdev_minor;
	__le32 flags;         /* WEFT_AF_* */
	__le32 reserved;
	__le64 policy;        /* of a directory or file: enum weft_own_setting */
};
WEFT_ASSERT_SIZE(weft_attr, 128);

/*
 * What a directory or file sets itself of how new content is cut and compressed. What is 0 is as the volume has it. What is
 * made in a directory begins with the directory's. Numbers of bits from the lowest; sizes count units of 4 KiB:
 *   0-2 CHUNKER       enum weft_chunker_kind
 *   3-5 CODEC         enum weft_codec + 1, or 7: ADAPTIVE
 *   6-10 LEVEL
 *   11-23 CHUNK_SIZE, 24-36 CHUNK_MIN, 37-49 CHUNK_MAX, 50-62 CHUNK_RANDOM
 */
enum weft_own_setting {
	WEFT_OWN_CHUNKER = 0,
	WEFT_OWN_CODEC = 1,
	WEFT_OWN_LEVEL = 2,
	WEFT_OWN_CHUNK_SIZE = 3,
	WEFT_OWN_CHUNK_MIN = 4,
	WEFT_OWN_CHUNK_MAX = 5,
	WEFT_OWN_CHUNK_RANDOM = 6,
	WEFT_OWN_NR
};

/* .valid of weft_setattr */
#define WEFT_SA_MODE  0x0001
#define WEFT_SA_UID   0x0002
#define WEFT_SA_GID   0x0004
#define WEFT_SA_SIZE  0x0008
#define WEFT_SA_ATIME 0x0010
#define WEFT_SA_MTIME 0x0020
#define WEFT_SA_CTIME 0x0040 /* always set by the kernel */
#define WEFT_SA_POLICY 0x0080 /* a POLICY comes along */
#define WEFT_SA_KNOWN 0x00ff

struct weft_setattr {
	__le32 valid;
	__le32 mode;          /* permissions only */
	__le32 uid;
	__le32 gid;
	__le64 size;
	struct weft_time atime;
	struct weft_time mtime;
	struct weft_time ctime;
};
WEFT_ASSERT_SIZE(weft_setattr, 72);

struct weft_create {
	__le32 mode;          /* type and permissions */
	__le32 uid;
	__le32 gid;
	__le32 rdev_major;
	__le32 rdev_minor;
	__le32 reserved;
	struct weft_time time;
};
WEFT_ASSERT_SIZE(weft_create, 40);

/*
 * An entry of READDIR. The position of an entry is 63 bits: 55 bits of the keyed hash of its name, then a number of 8 bits
 * that tells apart names with the same hash; positions 0, 1 and 2 are never used by entries (".", ".." and the first).
 * It does not move as long as the entry lives, whatever else comes and goes.
 */
struct weft_dirent {
	__le64 cookie;        /* position of this entry; ask for cookie + 1 to go on behind it */
	struct weft_attr attr;
	__le16 name_len;
	__le16 reserved[3];
	/* name: name_len bytes */
};
WEFT_ASSERT_SIZE(weft_dirent, 144);

/*
 * A piece of a file. (group, number) names a chunk that exists; in a COMMIT, group 0 and number N name the N-th NEWCHUNK
 * of the same COMMIT. What no extent covers below the size is a hole.
 */
struct weft_extent {
	__le64 offset;        /* in the file, bytes */
	__le64 length;        /* bytes, > 0 */
	__le64 group;
	__le64 number;
	__le32 chunk_offset;  /* in the chunk's plaintext */
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_extent, 40);

/* A shard that is not where its group says. */
#define WEFT_STORE_NONE 0u /* nobody has it: missing */
struct weft_exception {
	__le32 index;
	__le32 store;         /* WEFT_STORE_NONE, or the spare that has it */
};
WEFT_ASSERT_SIZE(weft_exception, 8);

/* What a reader must know of a chunk. */
struct weft_chunk_info {
	__le64 group;
	__le64 number;
	struct weft_sid sid;
	__le32 plain_len;
	__le32 stored_len;
	__le32 shard_len;
	__le32 key_id;
	__u8 codec;
	__u8 cipher;
	__u8 k;
	__u8 m;
	__le32 exceptions;    /* how many struct weft_exception follow, ascending by index */
};
WEFT_ASSERT_SIZE(weft_chunk_info, 56);

/* A chunk that a COMMIT brings. Followed by k + m struct weft_shard_new in the order of their indexes. */
struct weft_chunk_new {
	struct weft_sid sid;
	__le64 group;
	__le32 plain_len;
	__le32 stored_len;
	__le32 shard_len;
	__le32 key_id;
	__u8 codec;
	__u8 cipher;
	__u8 k;               /* of the group, for checking */
	__u8 m;
	__le32 flags;         /* WEFT_NF_* */
	__u8 stored_hash[16]; /* of the stored form; zero where nothing was hashed */
	__u8 content_id[32];  /* zero without dedup, and of chunks below WEFT_DEDUP_MIN */
};
WEFT_ASSERT_SIZE(weft_chunk_new, 96);

/*
 * Nobody had this content when its writer asked (WEFT_FOUND_NEW): if there is a whole chunk of it by now, that one counts, this
 * one is condemned, and the answer's FOUND says so.
 */
#define WEFT_NF_SHARE 0x0001
#define WEFT_NF_KNOWN 0x0001

/*
 * Deduplication. The content id of a chunk is SHA-256 of its plaintext (HMAC-SHA-256 by the volume's key where it is
 * encrypted). Shorter chunks have none. A COMMIT that brings one with an id brings WEFT_COMMIT_HASHED_MAX chunks at most. Nobody
 * but the writer verifies an id: who shares a domain trusts every writer of it.
 */
#define WEFT_DEDUP_MIN         65536u
#define WEFT_CHUNKS_ASKED_MAX  64u
#define WEFT_COMMIT_HASHED_MAX 128u

struct weft_chunk_ask {
	__u8 content_id[32];
	__le32 plain_len;
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_chunk_ask, 40);

enum weft_found {
	WEFT_FOUND_NOTHING = 0, /* write it; so is what no FOUND names */
	WEFT_FOUND_NEW = 1,     /* write it: the metadata service knows of no chunk with this content */
	WEFT_FOUND_EXISTS = 2,  /* that chunk has it; a CHUNK of the same answer describes it */
};

/* CHUNKS: of ASK number .index. COMMIT: the content of NEWCHUNK number .index is in that chunk, and its extents refer to it. */
struct weft_chunk_found {
	__le32 index;
	__le32 what;          /* enum weft_found */
	__le64 group;         /* EXISTS */
	__le64 number;
};
WEFT_ASSERT_SIZE(weft_chunk_found, 24);

struct weft_shard_new {
	__le32 store;         /* that acknowledged it, or WEFT_STORE_NONE */
	__le32 table_crc;     /* CRC32C of its CRC table */
};
WEFT_ASSERT_SIZE(weft_shard_new, 8);

#define WEFT_CF_INLINE 0x0001 /* DATA is the whole content: extents go */
#define WEFT_CF_SIZE   0x0002 /* the size becomes .size if that is more */
#define WEFT_CF_MTIME  0x0004 /* .mtime counts */
#define WEFT_CF_KNOWN  0x0007

/*
 * New content of a file. The extents replace whatever they overlap. The kernel takes care that .size never runs past the
 * first byte that is dirty or under way, so that a crash shows no zeros that nobody wrote. done_below: every sid counter
 * of this session below it is committed or given up; a chunk with one is NEEDed.
 */
struct weft_commit {
	__le32 flags;
	__le32 reserved;
	__le64 size;
	__le64 done_below;
	__le64 sequence;      /* per inode, grows with each COMMIT and truncation */
	struct weft_time mtime;
	struct weft_time ctime;
};
WEFT_ASSERT_SIZE(weft_commit, 64);

/*
 * A range of a file becomes what a range of another, or of the same one, is: its extents refer to the same chunks, its holes
 * are holes. The ranges lie below the source's size and do not overlap; the destination grows if the range ends behind its
 * size. Inline content is no chunk: of an inline source all is cloned that the destination will have, to its beginning, and
 * of an inline destination all is replaced; else the answer is INVAL, and content has to go into chunks first. A clone is
 * made in steps from its beginning; it is shorter than was asked (LENGTH) only if the source became shorter between them.
 */
struct weft_clone {
	__le64 source;        /* inode; INO is the destination */
	__le64 source_offset;
	__le64 offset;        /* in the destination */
	__le64 length;        /* bytes, > 0 */
	struct weft_time mtime;
	struct weft_time ctime;
};
WEFT_ASSERT_SIZE(weft_clone, 64);

struct weft_group_want {
	__u8 k;               /* the width that the volume asks for; the answer may be narrower */
	__u8 m;
	__u8 reserved[6];
	__le64 bytes;         /* about how much will be written */
};
WEFT_ASSERT_SIZE(weft_group_want, 16);

struct weft_shard_report {
	__le64 group;
	__le64 number;        /* of the chunk */
	struct weft_sid sid;
	__le32 index;
	__le32 store;         /* that has it (SHARDS_STORED) or should (SHARDS_MISSING) */
	__le32 status;        /* SHARDS_MISSING: ABSENT, CORRUPT */
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_shard_report, 48);

struct weft_statfs {
	__le64 bytes_total;   /* after coding, of what the volume may use */
	__le64 bytes_free;
	__le64 bytes_avail;
	__le64 files;
	__le64 files_free;
};
WEFT_ASSERT_SIZE(weft_statfs, 40);

enum weft_chunker_kind {
	WEFT_CHUNKER_FIXED = 1,
	WEFT_CHUNKER_CDC = 2,
	WEFT_CHUNKER_VARIABLE = 3,
	WEFT_CHUNKER_HYBRID = 4,
};

/* Which codec a chunk gets. Whatever the policy, a chunk that a codec does not make a sixteenth shorter is raw. */
enum weft_codec_policy {
	WEFT_CODEC_FIXED = 0,    /* the volume's */
	WEFT_CODEC_ADAPTIVE = 1, /* what looks like text: the volume's; other content: LZ4; what is compressed already: none */
};

#define WEFT_LEVEL_ZSTD_MAX    19u
#define WEFT_LEVEL_DEFLATE_MAX 9u

struct weft_volume_info {
	__u8 uuid[16];
	__le64 volume;        /* id */
	__le64 root;          /* inode */
	__le32 k;
	__le32 m;
	__le32 chunker;       /* enum weft_chunker_kind */
	__le32 chunk_size;    /* bytes: fixed: of a chunk, a multiple of 128 KiB; else the mean that is aimed at */
	__le32 ec_min;        /* shorter chunks go to groups of 1 + m */
	__le32 inline_max;    /* files up to this stay in the metadata */
	__le32 codec;         /* enum weft_codec; ADAPTIVE: that of content that looks like text */
	__le32 cipher;
	__le32 flags;         /* WEFT_VF_* */
	__le32 incarnation;
	__le32 mgrp;          /* metadata group */
	__le32 chunk_min;     /* bytes; fixed: as chunk_size, like chunk_max */
	__le32 chunk_max;     /* up to WEFT_CHUNK_MAX */
	__le32 chunk_random;  /* hybrid: of chunks of files that are written at random */
	__le16 codec_policy;  /* enum weft_codec_policy */
	__le16 codec_level;   /* of zstd and deflate; 0: the codec's own */
	/*
	 * 0: chunks are not deduplicated; else the number of the volume that the dedup domain is named after, often this one.
	 * Groups and chunks belong to the domain, and volumes that share one share chunks.
	 */
	__le32 dedup_domain;
	__le32 reserved[2];
};
WEFT_ASSERT_SIZE(weft_volume_info, 104);

#define WEFT_DEDUP_OWN 0xffffffffu /* .dedup_domain of a volume that has no number yet: its own */

#define WEFT_VF_DEGRADED_REFUSE 0x0001 /* refuse writes that fewer than 1 + m stores would hold */

#endif /* _UAPI_WEFT_PAYLOAD_H */
