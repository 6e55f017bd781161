/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_ctl.h - frames between weftd processes, and between the command line and weftd
 *
 * A stream (TCP, later with TLS; AF_UNIX for administration) of frames: a header of 64 bytes and length bytes of payload.
 * The side that connected sends CTL_HELLO first and the other answers it; then both may send requests at any time,
 * pipelined, answered in any order. A payload is a run of attributes as in weft_payload.h: enum weft_p for REQUEST,
 * enum weft_c for everything else. A frame with a wrong magic, CRC or length ends the connection.
 *
 *   type            from -> to               payload of the request                  of the answer
 *   HELLO           who connected -> other   CLUSTER INCARNATION ROLE HOST_NR NAME   the same of the other side
 *   REQUEST         bridge -> leader         as the kernel wrote it (enum weft_p)    as the kernel will read it
 *   RENEW           bridge -> leader         SESSION..                               SESSION.. that are still alive, VOLUME..
 *   WATCH_MAP       bridge, store -> leader  -                                       - (then MAP is pushed on changes)
 *   MAP             leader -> bridge, store  HOST.. STORE.. GROUP.. [VERSION]        - (no answer)
 *   STORE_REGISTER  store -> leader          STORE_UUID STARTS CAPACITY PATH ADDRESS.. LABELS.. [DISK]   STORE_NR HOST_NR
 *   HEARTBEAT       store -> leader          HOST_NR STORE_STATE..                   - (request or push)
 *   TASK            leader -> store          TASK (rebuild, delete: see enum)        STATUS, TASK results
 *   ADMIN           CLI -> leader            JSON (command and arguments)            JSON or TEXT
 *   BLOOM           leader -> bridge         [BLOOM] BLOOM_PART.. BLOOM_ID..         - (no answer)
 *
 * A MAP without VERSION adds to what was told before. A whole map may take several frames; the last one has VERSION, and
 * what none of them named is gone. A BLOOM with the attribute BLOOM begins a filter, the parts of which come one behind the
 * other, in several frames; it is used when it is whole. A RENEW names all sessions; a refused request's answer is TEXT (of enum weft_p for
 * REQUEST).
 *
 * All fields are little-endian; reserved fields are zero and checked.
 *
 * Changelog
 *   1  first version
 *      the answer to RENEW says what the volumes of the sessions are like now
 *      BLOOM, pushed to bridges that watch the map; one that does not know it passes it over
 */
#ifndef _UAPI_WEFT_CTL_H
#define _UAPI_WEFT_CTL_H

#include "weft_payload.h"

#define WEFT_CTL_MAGIC   0x43546657u /* "WfTC" */
#define WEFT_CTL_VERSION 1
#define WEFT_CTL_PAYLOAD_MAX (8u * 1024 * 1024)

enum weft_ctl_type {
	WEFT_CTL_HELLO = 1,
	WEFT_CTL_REQUEST = 2,
	WEFT_CTL_RENEW = 3,
	WEFT_CTL_WATCH_MAP = 4,
	WEFT_CTL_MAP = 5,
	WEFT_CTL_STORE_REGISTER = 6,
	WEFT_CTL_HEARTBEAT = 7,
	WEFT_CTL_TASK = 8,
	WEFT_CTL_ADMIN = 9,
	WEFT_CTL_BLOOM = 10,
	WEFT_CTL_NR
};

#define WEFT_CTL_REPLY 0x0001 /* .flags: an answer; otherwise a request */
#define WEFT_CTL_PUSH  0x0002 /* .flags: a request without an answer */

struct weft_ctl_header {
	__le32 magic;
	__u8 version;
	__u8 reserved0;
	__le16 type;          /* enum weft_ctl_type */
	__le32 flags;
	__le32 length;        /* of the payload, bytes, at most WEFT_CTL_PAYLOAD_MAX */
	__le64 tag;           /* chosen by who asks, repeated in the answer */
	__le64 session;       /* REQUEST: of the mount; 0 for MOUNT */
	__le64 sequence;      /* REQUEST: of the slot */
	__le32 slot;          /* REQUEST: or WEFT_SLOT_NONE */
	__le16 op;            /* REQUEST: enum weft_request_op */
	__le16 request_class; /* REQUEST: 1 .. WEFT_CLASSES */
	__le32 status;        /* answers: enum weft_status */
	__le32 payload_crc;   /* CRC32C of the payload; 0 when it is empty */
	__le32 reserved1;
	__le32 crc;           /* CRC32C of this header with this field as zero */
};
WEFT_ASSERT_SIZE(weft_ctl_header, 64);
WEFT_ASSERT_OFFSET(weft_ctl_header, tag, 16);
WEFT_ASSERT_OFFSET(weft_ctl_header, status, 48);
WEFT_ASSERT_OFFSET(weft_ctl_header, crc, 60);

/* Attributes of all types but REQUEST. */
enum weft_c {
	WEFT_C_UNSPEC = 0,
	WEFT_C_CLUSTER = 1,     /* 16 bytes: UUID */
	WEFT_C_INCARNATION = 2, /* __le32 */
	WEFT_C_ROLE = 3,        /* __le32: enum weft_ctl_role */
	WEFT_C_HOST = 4,        /* struct weft_c_host and strings: see below */
	WEFT_C_HOST_NR = 5,     /* __le32 */
	WEFT_C_NAME = 6,        /* of the host or of what asks; no NUL */
	WEFT_C_TEXT = 7,        /* a sentence for a person */
	WEFT_C_SESSION = 8,     /* __le64, repeated */
	WEFT_C_VERSION = 9,     /* __le64: of the map; stands in its last frame only: then what no frame named is gone */
	WEFT_C_STORE = 10,      /* struct weft_c_store, repeated */
	WEFT_C_GROUP = 11,      /* struct weft_c_group and its slots, repeated */
	WEFT_C_STORE_UUID = 12, /* 16 bytes */
	WEFT_C_STARTS = 13,     /* __le64: how often the store was started */
	WEFT_C_PATH = 14,       /* of the store's directory */
	WEFT_C_ADDRESS = 15,    /* "IP:PORT", "[IP6]:PORT" or "unix:/path"; repeated, best first */
	WEFT_C_LABELS = 16,     /* "region=R", "datacenter=D" or "rack=K"; repeated */
	WEFT_C_STORE_NR = 17,   /* __le32 */
	WEFT_C_STORE_STATE = 18,/* struct weft_c_store_state, repeated */
	WEFT_C_TASK = 19,       /* struct weft_c_task and its shards */
	WEFT_C_JSON = 20,       /* UTF-8; a long text is cut over several, in order */
	WEFT_C_DISK = 21,       /* __le64: device number of the store's file system, to tell disks apart */
	WEFT_C_CAPACITY = 22,   /* __le64: bytes that the store may fill */
	WEFT_C_BLOOM = 23,      /* struct weft_c_bloom: a filter of all content ids begins */
	WEFT_C_BLOOM_PART = 24, /* its next bytes */
	WEFT_C_BLOOM_ID = 25,   /* 16 bytes: the beginning of a content id that was added since; repeated */
	WEFT_C_VOLUME = 30,     /* struct weft_c_volume, repeated */
	WEFT_C_NR
};

/* What the volume that a session has mounted is like now. */
struct weft_c_volume {
	__le64 session;
	struct weft_volume_info info;
};
WEFT_ASSERT_SIZE(weft_c_volume, 112);

enum weft_ctl_role {
	WEFT_CTL_ROLE_BRIDGE = 1,
	WEFT_CTL_ROLE_STORE = 2,
	WEFT_CTL_ROLE_META = 3,
	WEFT_CTL_ROLE_CLI = 4,
};

/*
 * A Bloom filter: bit n is bit n % 8 of byte n / 8. A content id whose first 16 bytes are the numbers a and b (little-endian) is
 * in it only if the bits (a + i * (b | 1)) modulo 2^64 modulo .bits are set, i from 0 to .hashes - 1.
 */
struct weft_c_bloom {
	__le64 bits;
	__le32 hashes;
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_c_bloom, 16);

/*
 * What the map says of a host: followed by its name and its addresses ("IP:PORT" or "unix:/path", best first), each with a
 * NUL behind it.
 */
struct weft_c_host {
	__le32 host;
	__le32 state;         /* enum weft_host_state */
	/* name NUL address NUL [address NUL].. */
};
WEFT_ASSERT_SIZE(weft_c_host, 8);

enum weft_host_state {
	WEFT_HOST_UP = 1,
	WEFT_HOST_SUSPECT = 2,
	WEFT_HOST_DOWN = 3,
	WEFT_HOST_DRAINING = 4,
};

struct weft_c_store {
	__le32 store;
	__le32 host;
	__le32 state;         /* enum weft_host_state */
	__le32 reserved;
	__le64 capacity;      /* bytes */
	__le64 free;
};
WEFT_ASSERT_SIZE(weft_c_store, 32);

#define WEFT_GF_OPEN   0x0001 /* new chunks may go here */
#define WEFT_GF_SMALL  0x0002 /* k = 1: for chunks below ec_min */
#define WEFT_GF_NARROW 0x0004 /* narrower than its volume asks for */

/* A group as it is now: followed by k + m __le32 store numbers in slot order. */
struct weft_c_group {
	__le64 group;
	__le64 domain;        /* dedup domain: the id of the volume that it is named after */
	__u8 k;
	__u8 m;
	__le16 flags;         /* WEFT_GF_* */
	__le32 weight;        /* free space, for taking open groups in turn; 1 .. 1000 */
};
WEFT_ASSERT_SIZE(weft_c_group, 24);

struct weft_c_store_state {
	__le32 store;
	__le32 status;        /* enum weft_status: OK, STORE_FULL, STORE_IO, CORRUPT */
	__le64 capacity;
	__le64 free;
	__le64 shards;
	__le64 errors;        /* since start */
	__le32 load;          /* requests in flight, mean of the last second */
	__le32 usec;          /* mean answer time of the last second, microseconds */
};
WEFT_ASSERT_SIZE(weft_c_store_state, 48);

enum weft_task_kind {
	WEFT_TASK_REBUILD = 1, /* make the shards marked wanted from k of the others, store them, answer their table CRCs */
	WEFT_TASK_DELETE = 2,  /* delete this shard from this host's store */
};

/*
 * A task for a store's worker. REBUILD: followed by k + m struct weft_c_task_shard in index order; the answer repeats it
 * with .flags DONE and .table_crc set for what was made. DELETE: followed by one struct weft_c_task_shard; several DELETE
 * tasks may share a frame.
 */
struct weft_c_task {
	__le32 kind;
	__le32 status;        /* answers */
	__le64 group;
	__le64 number;
	struct weft_sid sid;
	__le32 plain_len;
	__le32 stored_len;
	__le32 shard_len;
	__u8 k;
	__u8 m;
	__u8 codec;
	__u8 cipher;
	__le32 shards;        /* how many struct weft_c_task_shard follow */
	__le32 reserved;
};
WEFT_ASSERT_SIZE(weft_c_task, 64);

#define WEFT_TASK_SHARD_WANTED 0x01 /* make it and put it on .store */
#define WEFT_TASK_SHARD_DONE   0x02

struct weft_c_task_shard {
	__u8 index;
	__u8 flags;
	__u8 reserved[2];
	__le32 store;         /* where it is, or where it shall go; 0: nowhere */
	__le32 table_crc;     /* as the chunk record has it; 0 when not known */
	__le32 reserved1;
};
WEFT_ASSERT_SIZE(weft_c_task_shard, 16);

#endif /* _UAPI_WEFT_CTL_H */
