/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_log.h - the directory of a voter: replicated log, term, vote, checkpoint
 *
 *	state			two slots of WEFT_LOG_STATE_SLOT bytes, struct weft_log_state each
 *	0000000000000001.log	segments, the number in hexadecimal; all of the same size, written with zeros when made
 *	0000000000000002.log
 *
 * A segment:
 *
 *	0            4096                                                          size - 4096
 *	| header | 0 | record record .. 0 | record .. 0 | record 0 |      ...         | header | 0 |
 *	             |<---- batch ------->|<- batch --->|<- batch ->|
 *
 * A batch is what one write made durable: it begins at a multiple of 4096 and is padded with zeros to one, so a durable
 * block is never written again. Records follow each other at multiples of 64. The header stands at both ends, so that one
 * bad block does not take the segment with it.
 *
 * A segment is only ever appended to, by one run of one voter: a start, and a leader that replaces entries, begin a new
 * one. Segment n holds the indexes from its first_index to the smallest first_index of any later segment, minus one; a
 * header with WEFT_LOG_RESET voids everything before it. So a bad record is
 *  - in any but the last segment: damage;
 *  - in the last: damage, if any later record of the segment says that its index was durable; else a torn write that
 *    nobody was told of, and the log ends before it.
 * A file whose headers are not valid, or carry another number than its name, is prepared and not yet in use.
 *
 * A record carries the random salt of its segment: what a segment held in an earlier life, or what somebody wrote into
 * an entry, is never taken for a record.
 *
 * Both state slots are written for each change, one after the other, each synced: a torn write and a rotten slot both
 * leave one that is right. The higher sequence counts.
 *
 * All fields are little-endian; reserved fields are zero and checked. Configurations are as libraft encodes them.
 *
 * Changelog
 *   1  first format
 */
#ifndef _UAPI_WEFT_LOG_H
#define _UAPI_WEFT_LOG_H

#include "weft_format.h"

#define WEFT_LOG_BLOCK		4096u
#define WEFT_LOG_ALIGN		64u
#define WEFT_LOG_VERSION	1
#define WEFT_LOG_SEGMENT_MIN	(16u * WEFT_LOG_BLOCK)
#define WEFT_LOG_SEGMENT_MAX	(1u << 30)
#define WEFT_LOG_STATE_SLOT	16384u

#define WEFT_LOG_SEGMENT_MAGIC	0x47536657u /* "WfSG" */
#define WEFT_LOG_RECORD_MAGIC	0x45526657u /* "WfRE" */
#define WEFT_LOG_STATE_MAGIC	0x41566657u /* "WfVA" */

#define WEFT_LOG_RESET    0x0001 /* segment .flags: all earlier segments are void (a snapshot replaced them) */
#define WEFT_LOG_REPLACED 0x0001 /* state .flags: the checkpoint came from elsewhere; a log that does not hold it is void */

struct weft_log_segment {
	__le32 magic;
	__le16 format;       /* WEFT_LOG_VERSION */
	__le16 flags;        /* WEFT_LOG_RESET */
	__u8 cluster[16];    /* UUID */
	__le64 server;       /* raft id */
	__le64 segment;      /* its number, as in the file name */
	__le64 size;         /* of the file */
	__le64 first_index;
	__le64 prev_term;    /* of first_index - 1; 0 when first_index is 1 */
	__le64 salt;         /* random, not 0 */
	__le64 time_ms;      /* wall clock when it came into use, ms since 1970 */
	__le32 prev_crc;     /* .crc of the record first_index - 1; 0 for first_index 1 and after a reset */
	__u8 reserved[40];
	__le32 crc;          /* CRC32C of this struct, this field as zero */
};
WEFT_ASSERT_SIZE(weft_log_segment, 128);
WEFT_ASSERT_OFFSET(weft_log_segment, server, 24);
WEFT_ASSERT_OFFSET(weft_log_segment, prev_crc, 80);
WEFT_ASSERT_OFFSET(weft_log_segment, crc, 124);

enum weft_log_type {
	WEFT_LOG_COMMAND = 1, /* an entry of the state machine */
	WEFT_LOG_BARRIER = 2, /* empty */
	WEFT_LOG_CHANGE = 3,  /* a configuration */
};

struct weft_log_record {
	__le32 magic;
	__u8 type;           /* enum weft_log_type */
	__u8 reserved[3];
	__le64 index;
	__le64 term;
	__le64 durable;      /* last index that was durable when this batch was written: below the batch's first */
	__le64 salt;         /* of the segment */
	__le32 length;       /* of the data that follows; zeros up to the next multiple of 64 */
	__le32 data_crc;     /* CRC32C of the data */
	__le32 prev_crc;     /* .crc of the record before, or .prev_crc of the segment */
	__le32 reserved2;
	__le32 reserved3;
	__le32 crc;          /* CRC32C of this struct, this field as zero */
};
WEFT_ASSERT_SIZE(weft_log_record, 64);
WEFT_ASSERT_OFFSET(weft_log_record, index, 8);
WEFT_ASSERT_OFFSET(weft_log_record, length, 40);
WEFT_ASSERT_OFFSET(weft_log_record, crc, 60);

/* Followed by conf_len bytes of configuration: the one in force at checkpoint_index. */
struct weft_log_state {
	__le32 magic;
	__le16 format;           /* WEFT_LOG_VERSION */
	__le16 flags;            /* WEFT_LOG_REPLACED */
	__u8 cluster[16];        /* UUID */
	__le64 server;           /* raft id */
	__le64 sequence;         /* raised with each write */
	__le64 term;
	__le64 vote;             /* raft id voted for in this term; 0: none */
	__le64 checkpoint_index; /* the state machine's durable state contains it; 0: none */
	__le64 checkpoint_term;
	__le64 conf_index;       /* where that configuration was an entry; 0 with no checkpoint */
	__le32 conf_len;
	__le32 crc;              /* CRC32C of this struct (this field as zero) and the configuration */
};
WEFT_ASSERT_SIZE(weft_log_state, 88);
WEFT_ASSERT_OFFSET(weft_log_state, sequence, 32);
WEFT_ASSERT_OFFSET(weft_log_state, crc, 84);

#define WEFT_LOG_CONF_MAX (WEFT_LOG_STATE_SLOT - (__u32)sizeof(struct weft_log_state))

#endif /* _UAPI_WEFT_LOG_H */
