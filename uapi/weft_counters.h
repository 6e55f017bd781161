/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_counters.h - what the kernel module counts
 *
 * X(NAME, id, unit, help). Ids are never reused. One table makes the netlink dumps, /proc/PID/mountstats and the manual.
 * WEFT_HOST_COUNTERS are kept for each host, WEFT_MOUNT_COUNTERS for each mount.
 *
 * Changelog
 *   1  first table
 *      what deduplication saves
 */
#ifndef _UAPI_WEFT_COUNTERS_H
#define _UAPI_WEFT_COUNTERS_H

#define WEFT_HOST_COUNTERS(X)                                                                  \
	X(PUTS,            1,  "requests",     "shards sent")                                   \
	X(PUT_BYTES,       2,  "bytes",        "bytes of shards sent")                          \
	X(PUT_ERRORS,      3,  "requests",     "shards that the host did not take")             \
	X(GETS,            4,  "requests",     "shard ranges asked for")                        \
	X(GET_BYTES,       5,  "bytes",        "bytes of shards received")                      \
	X(GET_ERRORS,      6,  "requests",     "shard ranges that the host did not give")       \
	X(GET_CORRUPT,     7,  "requests",     "answers whose checksums were wrong")            \
	X(GET_LATE,        8,  "requests",     "reads that went on without this host's answer") \
	X(PUT_LATE,        9,  "requests",     "shards sent to a spare because this host was late") \
	X(CONNECTS,        10, "connections",  "connections handed over")                       \
	X(DISCONNECTS,     11, "connections",  "connections lost")                              \
	X(LATENCY_USEC,    12, "microseconds", "smoothed time of a small request")

#define WEFT_MOUNT_COUNTERS(X)                                                                 \
	X(READ_BYTES,      100, "bytes",       "bytes that programs read")                      \
	X(WRITE_BYTES,     101, "bytes",       "bytes that programs wrote")                     \
	X(FETCH_BYTES,     102, "bytes",       "bytes of chunks fetched")                       \
	X(CHUNKS_WRITTEN,  103, "chunks",      "chunks stored")                                 \
	X(PATCHES_WRITTEN, 104, "chunks",      "patch chunks stored")                           \
	X(STORED_BYTES,    105, "bytes",       "plaintext bytes of chunks stored")              \
	X(COMMITS,         106, "requests",    "commits answered")                              \
	X(DEGRADED_READS,  107, "reads",       "ranges decoded because a shard was not to be had") \
	X(HEDGED_READS,    108, "reads",       "ranges decoded because a shard was late")       \
	X(SPARE_WRITES,    109, "shards",      "shards that went to a spare store")             \
	X(NARROW_WRITES,   110, "chunks",      "chunks written to narrower groups")             \
	X(UPCALLS,         111, "requests",    "requests to the daemon")                        \
	X(PARKED,          112, "units",       "units of writeback that were put back because nothing could move") \
	X(READ_ERRORS,     113, "reads",       "reads that failed")                             \
	X(WRITE_ERRORS,    114, "units",       "units of writeback that failed")                \
	X(DIRTY_BYTES,     115, "bytes",       "bytes dirty or under way now")                  \
	X(INFLIGHT_BYTES,  116, "bytes",       "memory of units under way now, parity and buffers included") \
	X(INFLIGHT_MAX,    120, "bytes",       "the most that INFLIGHT_BYTES can come to")      \
	X(PACKED_PLAIN,    117, "bytes",       "plaintext bytes of chunks that were compressed") \
	X(PACKED_STORED,   118, "bytes",       "bytes that these were compressed to")          \
	X(PACK_NOMEM,      119, "chunks",      "chunks stored raw because there was no memory to compress them") \
	X(CONTENTS_HASHED, 130, "chunks",      "chunks whose content id was made")              \
	X(CHUNKS_SHARED,   131, "chunks",      "chunks that were not stored because their content was there") \
	X(SHARED_BYTES,    132, "bytes",       "plaintext bytes of these")

enum weft_counter_id {
#define WEFT_COUNTER_ENUM(name, id, unit, help) WEFT_CTR_##name = id,
	WEFT_HOST_COUNTERS(WEFT_COUNTER_ENUM)
	WEFT_MOUNT_COUNTERS(WEFT_COUNTER_ENUM)
#undef WEFT_COUNTER_ENUM
};

#endif /* _UAPI_WEFT_COUNTERS_H */
