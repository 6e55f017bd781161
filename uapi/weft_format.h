/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_format.h - identities, the stored form of a chunk and the header that every shard carries
 *
 * A stored chunk is one encoding of a run of file content. Its frames (128 KiB of plaintext each, coded one by one) stand
 * one after the other, padded with zeros to k * S; shard i < k is bytes [i * S, (i + 1) * S), shard k + j is the j-th
 * parity. S is a multiple of 4096, or of 64 when the stored form is no longer than one frame.
 *
 *      stored form   | frame 0 | frame 1 | ...            | frame n-1 | 0 |
 *      shards        |<---- S: shard 0 ---->|<---- S: shard 1 ---->| ...      + m parity shards of S bytes
 *
 * Parity j, byte by byte, is the sum over i of a(j, i) times shard i in GF(2^8) with polynomial 0x11d, where
 * a(j, i) = (32 ^ i) * (32 ^ j) / ((32 ^ i ^ j) * 32), ^ being exclusive or: parity 0 is the XOR of the data, and with
 * k = 1 every parity is a copy.
 *
 * A codec of "raw" without a cipher makes a frame equal to its plaintext, so the stored form equals the chunk. A codec
 * never makes a frame longer than its plaintext (such a frame is stored raw: as long as its plaintext); a cipher adds
 * WEFT_CIPHER_TAG bytes to each frame. A frame that is shorter than its plaintext is, by codec: one zstd frame (RFC 8878)
 * without a dictionary; one LZ4 block; one zlib stream (RFC 1950) of deflate.
 *
 * All fields are little-endian. Reserved fields are written as zero and refused when they are not. Numbers are never
 * reused.
 *
 * Changelog
 *   1  first format
 */
#ifndef _UAPI_WEFT_FORMAT_H
#define _UAPI_WEFT_FORMAT_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#else
#include <assert.h>
#include <stddef.h>
#endif

#define WEFT_ASSERT_SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)
#define WEFT_ASSERT_OFFSET(type, field, off) static_assert(offsetof(struct type, field) == (off), #type "." #field)

/* Sizes that are part of the format. */
#define WEFT_FRAME_SIZE      (128u * 1024)        /* plaintext bytes of a frame, but the last */
#define WEFT_CRC_BLOCK       4096u                /* a CRC32C covers that much of a shard; the last block may be shorter */
#define WEFT_CHUNK_MAX       (16u * 1024 * 1024)  /* plaintext bytes of a chunk, at most */
#define WEFT_SHARDS_MAX      32u                  /* k + m, at most */
#define WEFT_SHARD_ALIGN     4096u                /* of S */
#define WEFT_SHARD_ALIGN_ONE 64u                  /* of S, for a stored form of at most one frame */
#define WEFT_CIPHER_TAG      16u                  /* bytes that a cipher adds to each frame */
#define WEFT_NAME_MAX        255u
#define WEFT_SYMLINK_MAX     4095u

/*
 * Identities. An inode number and a session id hold
 *    63        54 53      48 47         40 39                   0
 *   | site  (10) | mgrp (6) | incarn. (8) | counter          (40) |
 * site: the cluster among several that replicate a volume; mgrp: the metadata group; incarnation: raised by restore and
 * recovery, so that numbers handed out after the backup was taken never come back. A group id is mgrp (6) | counter (58).
 */
#define WEFT_ID_COUNTER_BITS 40
#define WEFT_ID_INCARN_BITS  8
#define WEFT_ID_MGRP_BITS    6
#define WEFT_ID_SITE_BITS    10
#define WEFT_GROUP_COUNTER_BITS 58

/* The name of a stored chunk: made by whoever writes it, never used twice. */
struct weft_sid {
	__le64 session;
	__le64 counter;
};
WEFT_ASSERT_SIZE(weft_sid, 16);

enum weft_codec {
	WEFT_CODEC_RAW = 0,
	WEFT_CODEC_ZSTD = 1,
	WEFT_CODEC_LZ4 = 2,
	WEFT_CODEC_DEFLATE = 3,
};

enum weft_cipher {
	WEFT_CIPHER_NONE = 0,
	WEFT_CIPHER_AES256_GCM = 1,
};

#define WEFT_SHARD_MAGIC   0x48536657u /* "WfSH" */
#define WEFT_SHARD_VERSION 1

/*
 * The header of a shard: the same on all shards of a chunk but for .index and .crc. It is followed by the frame table
 * (nothing for raw chunks without a cipher; else frame_count __le32: the end of each frame in the stored form).
 * header_len counts both.
 * volume, ino, file_offset and version serve salvage only: they say where the bytes once stood.
 */
struct weft_shard_header {
	__le32 magic;
	__le16 format;        /* WEFT_SHARD_VERSION */
	__u8 index;           /* 0 .. k + m - 1 */
	__u8 flags;           /* none defined: 0 */
	__u8 k;
	__u8 m;
	__u8 codec;           /* enum weft_codec */
	__u8 cipher;          /* enum weft_cipher */
	__le32 header_len;    /* this struct and the frame table, bytes */
	struct weft_sid sid;
	__le64 group;
	__le64 volume;
	__le64 ino;
	__le64 file_offset;
	__le64 version;
	__le32 plain_len;     /* 1 .. WEFT_CHUNK_MAX */
	__le32 stored_len;    /* frames, without padding */
	__le32 shard_len;     /* S: DIV_ROUND_UP(stored_len, k), rounded up to its alignment */
	__le32 frame_count;   /* DIV_ROUND_UP(plain_len, WEFT_FRAME_SIZE) */
	__le32 key_id;        /* 0 without cipher */
	__le32 reserved0;
	__u8 salt[8];         /* zero without cipher */
	struct weft_sid seal; /* the sid under which the frames were sealed; zero without cipher */
	__le32 reserved1;
	__le32 crc;           /* CRC32C of the header (this field as zero) and the frame table */
};
WEFT_ASSERT_SIZE(weft_shard_header, 128);
WEFT_ASSERT_OFFSET(weft_shard_header, sid, 16);
WEFT_ASSERT_OFFSET(weft_shard_header, plain_len, 72);
WEFT_ASSERT_OFFSET(weft_shard_header, seal, 104);
WEFT_ASSERT_OFFSET(weft_shard_header, crc, 124);

/* What is authenticated with each sealed frame besides its bytes. */
struct weft_frame_ad {
	struct weft_sid seal;
	__le32 frame;         /* index */
	__le32 frame_count;
	__le32 plain_len;     /* of the chunk */
	__le32 codec;
	__le32 key_id;
	__le32 reserved;      /* 0 */
};
WEFT_ASSERT_SIZE(weft_frame_ad, 40);

/*
 * A value that is sealed by itself: the target of a symbolic link, and what else is no chunk. Ciphertext and tag stand
 * behind this; the additional data is this struct and struct weft_value_ad. Key and nonce are derived of .salt, which is
 * random for each seal.
 */
enum weft_value_kind {
	WEFT_VALUE_SYMLINK = 1, /* .object is 0: the inode has no number yet */
	WEFT_VALUE_XATTR = 2,
	WEFT_VALUE_INLINE = 3,
};

struct weft_value {
	__u8 format;          /* 1 */
	__u8 kind;            /* enum weft_value_kind */
	__u8 reserved[2];
	__le32 key_id;
	__u8 salt[16];
};
WEFT_ASSERT_SIZE(weft_value, 24);

struct weft_value_ad {
	__le64 object;        /* what it belongs to: an inode, or 0 */
	__le64 name_hash;     /* of an extended attribute: the first 8 bytes of SHA-256 of its name; else 0 */
};
WEFT_ASSERT_SIZE(weft_value_ad, 16);

#define WEFT_VALUE_OVERHEAD ((__u32)sizeof(struct weft_value) + WEFT_CIPHER_TAG)

/* The longest stored form, and the longest shard: that of a k = 1 chunk. */
#define WEFT_STORED_MAX    (WEFT_CHUNK_MAX + WEFT_CIPHER_TAG * (WEFT_CHUNK_MAX / WEFT_FRAME_SIZE))
#define WEFT_SHARD_LEN_MAX (WEFT_STORED_MAX + (0u - WEFT_STORED_MAX) % WEFT_SHARD_ALIGN)

/* The largest header: a chunk of WEFT_CHUNK_MAX with a frame table. */
#define WEFT_SHARD_HEADER_MAX \
	((__u32)sizeof(struct weft_shard_header) + 4u * (WEFT_CHUNK_MAX / WEFT_FRAME_SIZE))

#endif /* _UAPI_WEFT_FORMAT_H */
