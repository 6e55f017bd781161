/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_store.h - what stands in a store's directory
 *
 *   STORE                          struct weft_store_file; replaced by rename; also the lock
 *   shards/GROUP/HH/NAME           one file a shard of WEFT_STORE_FILE_MIN bytes and more
 *   segments/ID.seg                append-only files for smaller shards
 *   index/                         LMDB: where in the segments a shard stands; can be deleted, is then made again
 *   bad/                           shards that failed their own checksums, moved aside
 *
 * GROUP is 16 hexadecimal digits, HH two that spread the shards of a group, NAME is SESSION-COUNTER-INDEX in 16, 16 and 2
 * hexadecimal digits. A shard file:
 *
 *      | struct weft_shard_header, frame table | [CRCs] | zeros up to 4096 |        data        |
 *      0                                                                   multiple of 4096     + shard_len
 *
 * [CRCs] as in weft_wire.h. A segment is a header of 64 bytes and records, each a multiple of 64 bytes long:
 *
 *      | struct weft_segment_record | shard header, frame table | [CRCs] | data | zeros up to 64 |
 *
 * A later record of a shard counts instead of an earlier one, in the order of segment ids and offsets. What lies behind
 * a record that does not check is found again at the next multiple of 64.
 *
 * All fields are little-endian. Reserved fields are written as zero and refused when they are not.
 *
 * Changelog
 *   1  first format
 */
#ifndef _UAPI_WEFT_STORE_H
#define _UAPI_WEFT_STORE_H

#include "weft_format.h"

#define WEFT_STORE_MAGIC    0x54536657u /* "WfST" */
#define WEFT_STORE_FORMAT   1
#define WEFT_STORE_FILE_MIN (256u * 1024)          /* data bytes from which on a shard is a file */
#define WEFT_STORE_HEAD_ALIGN 4096u                /* where the data of a shard file begins: a multiple of it */

struct weft_store_file {
	__le32 magic;
	__le16 format;        /* WEFT_STORE_FORMAT; a newer one is refused */
	__le16 reserved0;
	__u8 uuid[16];        /* of the store */
	__u8 cluster[16];     /* UUID of the cluster it belongs to */
	__le64 starts;        /* how often the store was started; told to the metadata service */
	__le64 features;      /* bits; none defined; unknown ones are refused */
	__le32 incarnation;   /* of the cluster, the highest seen */
	__le32 number;        /* of the store in the cluster; 0: not given yet */
	__le32 host;          /* number of the host that had it last; 0: not known */
	__u8 reserved1[56];
	__le32 crc;           /* CRC32C of this struct with this field as zero */
};
WEFT_ASSERT_SIZE(weft_store_file, 128);
WEFT_ASSERT_OFFSET(weft_store_file, starts, 40);
WEFT_ASSERT_OFFSET(weft_store_file, crc, 124);

#define WEFT_SEGMENT_MAGIC  0x67536657u            /* "WfSg" */
#define WEFT_RECORD_MAGIC   0x63526657u            /* "WfRc" */
#define WEFT_SEGMENT_SIZE   (64u * 1024 * 1024)    /* a segment takes no record that would end behind this */
#define WEFT_SEGMENT_ALIGN  64u

struct weft_segment_header {
	__le32 magic;
	__le16 format;        /* 1 */
	__le16 reserved0;
	__le64 id;            /* ascending, never reused in a store */
	__u8 uuid[16];        /* of the store */
	__u8 reserved1[28];
	__le32 crc;           /* CRC32C of this struct with this field as zero */
};
WEFT_ASSERT_SIZE(weft_segment_header, 64);

enum weft_record_kind {
	WEFT_RECORD_SHARD = 1,
	WEFT_RECORD_DELETE = 2, /* nothing behind the record: the shard is gone */
};

struct weft_segment_record {
	__le32 magic;
	__u8 kind;            /* enum weft_record_kind */
	__u8 index;           /* of the shard */
	__le16 reserved0;
	__le64 segment;       /* id of the segment: blocks of a file that was here before are not taken for records */
	__le64 group;
	struct weft_sid sid;
	__le32 head_len;      /* bytes of shard header and frame table; 0: DELETE */
	__le32 shard_len;     /* bytes of data; 0: DELETE */
	/*
	 * CRC32C of shard header, frame table and [CRCs], but for the last of these: that is the CRC of those before it, and
	 * with it at the end the sum would be the same for any data. Tells contents apart.
	 */
	__le32 body_crc;
	__le32 reserved1;
	__le32 reserved2;
	__le32 crc;           /* CRC32C of this struct with this field as zero */
};
WEFT_ASSERT_SIZE(weft_segment_record, 64);
WEFT_ASSERT_OFFSET(weft_segment_record, sid, 24);
WEFT_ASSERT_OFFSET(weft_segment_record, crc, 60);

#endif /* _UAPI_WEFT_STORE_H */
