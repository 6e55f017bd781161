/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_wire.h - the chunk protocol between whoever reads and writes shards and a host's stores
 *
 * A stream (TCP, later with kTLS; AF_UNIX on one host) of frames: a header of 128 bytes and payload_len bytes. The side
 * that connected sends requests and the first is HELLO; the side that accepted says nothing before. Requests are
 * pipelined and answered in any order, at most the number that HELLO agreed on is in flight. An answer repeats op,
 * request id, store, group, sid and index and sets WEFT_WIRE_REPLY.
 *
 *   op      request payload                           answer payload
 *   HELLO   struct weft_wire_hello                    struct weft_wire_hello
 *   PING    -                                         -
 *   PUT     [shard header][data][CRCs]                -                       (durable, name included)
 *   GET     -                                         [shard header if asked][data][CRCs]
 *   STAT    -                                         [shard header][CRCs of the whole shard]
 *   DEL     -                                         -                       (durable; ok if it was absent)
 *   LIST    -                                         struct weft_wire_list_entry ...
 *   VERIFY  -                                         -                       (the store reads and checks the shard)
 *   DIGEST  -                                         struct weft_wire_digest
 *
 * DEL, LIST, VERIFY and DIGEST are refused to clients. LIST gives the group's shards in the order of (session, counter,
 * index), those behind the sid and index of the request (all zero: from the start). The range of a GET is rounded up to
 * whole blocks and ends at the shard's end; one that starts there or behind it is answered INVAL.
 *
 * [CRCs] is a CRC32C for each 4096-byte block of the data that came before it (the last block of a shard may be shorter),
 * then the CRC32C of those entries as they stand in the frame; of a whole shard this last one is the "table CRC" that the
 * chunk record keeps. It stands behind the data so that a sender can make parity and checksums column by column. A store
 * checks every CRC before it answers a PUT and drops a mismatch without an answer that counts (the sender may have changed
 * a page that was on its way to a host that it no longer waits for). A broken frame (magic, version, CRC, lengths) ends
 * the connection: nothing behind it can be trusted.
 *
 * All fields are little-endian; reserved fields are zero and checked.
 *
 * Changelog
 *   1  first protocol
 */
#ifndef _UAPI_WEFT_WIRE_H
#define _UAPI_WEFT_WIRE_H

#include "weft_format.h"

#define WEFT_WIRE_MAGIC   0x31546657u /* "WfT1" */
#define WEFT_WIRE_VERSION 1

enum weft_wire_op {
	WEFT_OP_HELLO = 1,
	WEFT_OP_PING = 2,
	WEFT_OP_PUT = 3,
	WEFT_OP_GET = 4,
	WEFT_OP_STAT = 5,
	WEFT_OP_DEL = 6,
	WEFT_OP_LIST = 7,
	WEFT_OP_VERIFY = 8,
	WEFT_OP_DIGEST = 9,
	WEFT_OP_NR
};

/* Flags of a frame. */
#define WEFT_WIRE_REPLY       0x0001 /* this is an answer */
#define WEFT_WIRE_GET_HEADER  0x0002 /* GET: send the shard header too */
#define WEFT_WIRE_MORE        0x0004 /* LIST answer: there is more behind the last entry */
#define WEFT_WIRE_FLAGS_KNOWN 0x0007

struct weft_wire_header {
	__le32 magic;
	__u8 version;
	__u8 op;              /* enum weft_wire_op */
	__le16 flags;
	__le64 request_id;    /* chosen by the requester; unique among its requests in flight on this connection */
	__le32 status;        /* answers: enum weft_status; requests: 0 */
	__le32 store;         /* number of the store in the cluster; 0 in HELLO and PING */
	__le64 group;
	struct weft_sid sid;
	__u8 index;           /* of the shard */
	__u8 reserved0[3];
	__le32 shard_len;     /* S; PUT, and the answers to GET and STAT */
	__le64 offset;        /* GET: first byte of the shard's data, a multiple of 4096 */
	__le32 length;        /* GET: bytes of data asked for; PUT and answer to GET: bytes of data in this frame */
	__le32 head_len;      /* bytes of shard header (with frame table) in this frame */
	__le32 crc_len;       /* bytes of [CRCs] in this frame: 4 * (DIV_ROUND_UP(data length, 4096) + 1) */
	__le32 payload_len;   /* bytes behind this header; head_len + length + crc_len for PUT, GET and STAT */
	__le32 payload_crc;   /* CRC32C of the payload; 0 for PUT, GET and STAT, whose parts have CRCs of their own */
	__le32 usec;          /* answers: how long the store took, microseconds, saturating */
	__u8 reserved1[36];
	__le32 crc;           /* CRC32C of this header with this field as zero */
};
WEFT_ASSERT_SIZE(weft_wire_header, 128);
WEFT_ASSERT_OFFSET(weft_wire_header, sid, 32);
WEFT_ASSERT_OFFSET(weft_wire_header, offset, 56);
WEFT_ASSERT_OFFSET(weft_wire_header, payload_len, 76);
WEFT_ASSERT_OFFSET(weft_wire_header, crc, 124);

/* The longest payload: PUT of the one shard of a k = 1 chunk. */
#define WEFT_WIRE_PAYLOAD_MAX \
	(WEFT_SHARD_HEADER_MAX + WEFT_SHARD_LEN_MAX + 4u * (WEFT_SHARD_LEN_MAX / WEFT_CRC_BLOCK + 1))

enum weft_wire_role {
	WEFT_ROLE_CLIENT = 1, /* a mount's kernel */
	WEFT_ROLE_STORE = 2,  /* a worker that rebuilds */
	WEFT_ROLE_META = 3,
};

/* Exchanged once. The answer holds what was agreed on: the lower version, the features of both, the smaller limits. */
struct weft_wire_hello {
	__u8 cluster[16];     /* UUID; of another cluster: WRONG_CLUSTER */
	__le32 incarnation;   /* of the cluster; a store refuses an older one than it has seen */
	__u8 version_min;
	__u8 version_max;
	__u8 role;            /* enum weft_wire_role */
	__u8 reserved0;
	__le64 features;      /* bits; none defined */
	__le32 in_flight;     /* requests in flight at most, 1 .. 65535 */
	__le32 payload_max;   /* longest payload that this side accepts */
	__le32 host;          /* answer: the number of the host */
	__u8 reserved1[20];
};
WEFT_ASSERT_SIZE(weft_wire_hello, 64);

struct weft_wire_list_entry {
	struct weft_sid sid;
	__le32 shard_len;
	__u8 index;
	__u8 reserved[3];
};
WEFT_ASSERT_SIZE(weft_wire_list_entry, 24);

struct weft_wire_digest {
	__le64 count;         /* shards of the group on this store */
	__le64 xor_session;   /* XOR of sid.session over all of them */
	__le64 xor_counter;   /* XOR of sid.counter ^ index << 56 */
	__le64 bytes;         /* sum of shard_len */
};
WEFT_ASSERT_SIZE(weft_wire_digest, 32);

#endif /* _UAPI_WEFT_WIRE_H */
