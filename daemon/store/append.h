/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * append.h - inside the segments: shared by segment.c (requests), append.c (batches), recent.c and compact.c (keeper's work)
 */
#ifndef WEFT_STORE_APPEND_H
#define WEFT_STORE_APPEND_H

#include <pthread.h>

#include "store/segment.h"

struct store_append;

/* A shard of which the index may not know what is durable by now, or to which something is being appended. */
struct store_recent {
	struct store_key key;
	struct store_recent *next;
	bool live; /* durable: at .place; else absent */
	struct store_place place;
	bool dirty;		     /* the index does not know */
	unsigned int version;	     /* of what is durable; to see changes during a flush */
	unsigned int pending;	     /* appends queued or under way */
	struct store_append *newest; /* the last of these */
};

/* A record on its way into the active segment. */
struct store_append {
	struct store_append *next;
	struct store_append *joined; /* the same shard again: answered together */
	struct store_recent *recent;
	bool deleted;
	const uint8_t *head, *table, *data;
	struct weft_segment_record record;
	struct store_place
		place; /* head_len, shard_len, body_crc by the caller; the rest when it is written */
	void (*done)(struct store_append *append, int err); /* any thread */
	void *owner;
};

struct store_segment {
	uint64_t id;
	uint64_t size, dead;	 /* bytes */
	bool dead_changed, keep; /* keep: damaged, is not compacted */
};

struct store_segments {
	struct store *store;
	struct store_loop *home;
	struct store_index *index;
	int dir;
	pthread_mutex_t flush_lock; /* taken before .lock; changes of the index */

	pthread_mutex_t lock;	    /* all below */
	struct store_segment *list; /* ascending ids */
	size_t n, room;
	int active; /* descriptor of the last one, or -1: the next batch begins a new one */
	uint64_t next_id;
	uint64_t durable_segment, durable_offset;
	uint64_t flushes;
	struct store_recent **table; /* hash */
	size_t buckets, n_recent;
	int64_t small_shards;
	struct store_append *queue, **queue_end;
	bool committing;
	bool clean; /* when opened: closed in order before, so the counters hold */

	/* the batch under way; its own thread only */
	struct store_op op;
	struct store_append *batch;
	uint64_t batch_end;
	struct iovec *iov;
	bool tight; /* the next batch: deletions alone, with what room.c keeps for them */

	_Atomic bool room_kept; /* room.c */
};

#define STORE_BATCH_APPENDS 200
#define STORE_BATCH_BYTES   (8u << 20)
#define STORE_BATCH_IOV	    (5 * STORE_BATCH_APPENDS) /* below IOV_MAX */

/* recent.c */
struct store_recent *store_recent_find(struct store_segments *segments,
				       const struct store_key *key);
/* Add what is not there yet. NULL: no memory. */
struct store_recent *store_recent_add(struct store_segments *segments, const struct store_key *key);
/*
 * What is known of key: recent, or, if that knows nothing, the index. Takes and releases the lock around the index and
 * returns with it held. 0: *place is where the shard stands; -ENOENT; or another negative errno.
 */
int store_recent_lookup_locked(struct store_segments *segments, const struct store_key *key,
			       struct store_place *place);

/* append.c; the lock is held */
struct store_segment *store_segment_of(struct store_segments *segments, uint64_t id);
struct store_segment *store_segment_add(struct store_segments *segments, uint64_t id,
					uint64_t size);
/* Queue a record. place: what lookup gave for the key, NULL: absent. 0 or -ENOMEM. The batch starts by itself. */
int store_append_queue(struct store_segments *segments, struct store_append *append,
		       const struct store_key *key, const struct store_place *place);
void store_append_dead(struct store_segments *segments, uint64_t segment, uint32_t bytes);

/* room.c; blocking. Keep room for deletions, if there is some; give it up. */
void store_room_take(struct store_segments *segments);
void store_room_give(struct store_segments *segments);
/* Gives up what a former start has kept in the store's directory. */
void store_room_clear(int store_dir);

/* segment.c */
void store_segment_name(char name[24], uint64_t id);
/* Read and check the record at place into a buffer of STORE_RECORD_MAX bytes: 0, -ENOENT (segment gone), -EBADMSG. */
#define STORE_RECORD_MAX ((size_t)WEFT_STORE_FILE_MIN + STORE_AREA_MAX)
int store_segment_read(struct store_segments *segments, const struct store_place *place,
		       uint8_t *buffer, struct store_scan_record *record, const char **why);

#endif
