/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * get.h - a range of a chunk being fetched: the job (get.c), its bands (get_band.c), its frames (get_frames.c)
 *
 * Everything in a job but .lock's fields belongs to its work item. Each band is fetched, if need be decoded, and copied
 * to the caller on its own. Of a compressed chunk whole frames are fetched, into memory of the job; they are unpacked to
 * the caller when all of them are there. Which bytes that are is known when the chunk's frame table is: the first job
 * that has none reads it from the header of a shard, any of them.
 */
#ifndef _WEFT_NODE_GET_H
#define _WEFT_NODE_GET_H

#include "chunk/layout.h"
#include "ec/ec.h"
#include "node/band.h"
#include "node/internal.h"

enum weft_get_state {
	WEFT_GET_UNTRIED,
	WEFT_GET_PENDING,
	WEFT_GET_HAVE,    /* received, its CRCs are right */
	WEFT_GET_AWAY,    /* its host could not be asked: may be back in a moment */
	WEFT_GET_LOST,    /* it is not there, or not good */
};

struct weft_get_job;

/* One range of one shard, asked of one store. */
struct weft_get_fetch {
	struct weft_rpc rpc;
	struct weft_get_job *job;     /* a reference */
	struct list_head ended;       /* in job->ended, under job->lock */
	u8 band;
	u8 shard;
	bool counted_late;
	u32 late_usec;                /* of age, when it is late */
};

struct weft_get_shard {
	enum weft_get_state state;
	u32 status;                   /* enum weft_status: why it is away or lost */
	struct weft_get_fetch *fetch; /* PENDING, HAVE: a reference */
};

struct weft_get_band {
	struct weft_band range;
	bool over;
	bool hedged, degraded;
	unsigned int retries;
	unsigned long retry_at;       /* jiffies: when to ask again those that are away; valid while .retries */
	struct weft_get_shard shards[WEFT_SHARDS_MAX];
};

struct weft_get_job {
	refcount_t ref;
	struct weft_cluster *cluster; /* a reference */
	struct list_head link;        /* in node.gets, under node.job_lock */
	struct list_head waiting;     /* in node.gets_waiting, under node.job_lock */
	u64 bytes;                    /* accounted in node.get_bytes while it runs */
	bool admitted;                /* under node.job_lock */
	struct weft_mount *mount;
	struct weft_get *get;
	struct work_struct work;
	struct delayed_work timer;

	spinlock_t lock;              /* below */
	struct list_head ended;
	bool abort;
	bool answered;                /* .waiter was woken */

	bool over, asking, asked;
	unsigned long moved;          /* jiffies: when something last went forward */
	unsigned long wakes_at;       /* jiffies: its work item runs then, or before */
	struct weft_group_waiter waiter;
	struct weft_group *group;
	struct weft_layout layout;
	struct weft_ec ec;
	u32 offset, length;           /* in the stored form: what is fetched */
	u8 *stored;                   /* of a compressed chunk: these bytes */
	u32 first_frame, n_frames;
	struct weft_frame_table *table; /* room for the chunk's, while it is not known */
	bool wants_table;             /* .bands[0] asks shards for their header */
	unsigned int n_bands;
	struct weft_get_band bands[WEFT_BANDS_MAX];
};

/*
 * When a job that has not moved is given up, jiffies. Not when it began counts: a cluster that is busy answers one after
 * the other. It ends all the same: a request that is passed over for a minute breaks its connection (conn.c).
 */
static inline unsigned long weft_get_deadline(const struct weft_get_job *job)
{
	return job->moved + msecs_to_jiffies(WEFT_JOB_TIMEOUT_MS);
}

/* get.c */
void weft_get_job_get(struct weft_get_job *job);
void weft_get_job_put(struct weft_get_job *job);
void weft_get_job_kick(struct weft_get_job *job);

/* get_band.c: called by the job's work item */
/* Check what came. */
void weft_get_collect(struct weft_get_job *job);
/*
 * Fetch what has to be fetched now, decode if that is needed and possible, copy. Returns 1 when the band's bytes are
 * where they belong, 0 to wait until *next (jiffies, only ever moved to earlier), or a negative errno.
 */
int weft_get_band_advance(struct weft_get_job *job, struct weft_get_band *band, unsigned long *next);
/* The same for a header, whichever shard gives it first. */
int weft_get_header_advance(struct weft_get_job *job, struct weft_get_band *band, unsigned long *next);
/* Nothing is received for the band any more; its buffers are gone. */
void weft_get_band_end(struct weft_get_job *job, struct weft_get_band *band);

/* get_frames.c */
bool weft_get_is_packed(const struct weft_get_job *job);
/* Whether a chunk of this cipher belongs into the volume: -EIO, with an event. -ENOKEY. */
int weft_get_cipher_check(const struct weft_get_job *job);
/* What has to be there before the job may be submitted; which memory it will take. */
int weft_get_frames_prepare(struct weft_get_job *job);
/* The frame table is known: which bytes of the stored form are wanted, and room for them. */
int weft_get_frames_plan(struct weft_get_job *job);
/* Is what came from a shard, with its header in front, this chunk's? Then the table is known. */
bool weft_get_header_take(struct weft_get_job *job, const struct weft_get_fetch *fetch);
/* All bands are there: the plaintext to the caller. -EIO, with an event: it is not what was compressed. */
int weft_get_frames_unpack(struct weft_get_job *job);
void weft_get_frames_free(struct weft_get_job *job);

#endif /* _WEFT_NODE_GET_H */
