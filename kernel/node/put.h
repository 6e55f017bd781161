/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * put.h - a chunk being stored: the job (put.c), its shards on their way (put_send.c), their bytes (put_body.c)
 *
 * All decisions are taken by the job's work item, which is the only one to touch what is marked (work). The bytes are
 * made by the connections' senders, under column_lock where they share something.
 */
#ifndef _WEFT_NODE_PUT_H
#define _WEFT_NODE_PUT_H

#include "chunk/crctable.h"
#include "chunk/layout.h"
#include "ec/ec.h"
#include "node/internal.h"

/* Parity is made in columns of that many bytes of each shard, two of them in memory for each parity shard. */
#define WEFT_PUT_COLUMN (32u * 1024)
/* Data is described to the socket in spans of that many bytes. */
#define WEFT_PUT_SPAN (64u * 1024)
/* The stored form's pages are found by an index with an entry for each of so many bytes. */
#define WEFT_PUT_STRIDE (64u * 1024)

enum weft_put_phase {
	WEFT_PUT_CHOOSE,  /* a group has to be found */
	WEFT_PUT_ASKING,  /* the daemon was asked for one */
	WEFT_PUT_PAUSE,   /* until the next try */
	WEFT_PUT_SENDING,
	WEFT_PUT_ENDED,   /* .done was called */
};

struct weft_put_job;

/* Where in the caller's bvec a byte of the stored form stands. */
struct weft_put_cursor {
	u32 index;
	u32 offset;
};

/* One shard on its way to one store. */
struct weft_put_send {
	struct weft_rpc rpc;
	struct weft_put_job *job;     /* a reference */
	struct list_head ended;       /* in job->ended, under job->lock */
	u8 shard;
	bool spare;
	bool over;                    /* (work) ended, or given up */
	u32 store;
	u32 late_usec;                /* of age, when it is late */
	/* parity: under job->column_lock */
	struct list_head coding;      /* in job->coding while it needs columns */
	u8 *columns;                  /* two columns, the even and the odd one */
	bool own_columns;             /* they are not part of the job's workspace */
	u32 filled[2];                /* number of the column that is in each, or U32_MAX */
	u32 next;                     /* the column that is to be sent next */
};

struct weft_put_shard {
	struct weft_put_send *first;  /* to the group's store; references */
	struct weft_put_send *second; /* to a spare */
	bool spared;                  /* a spare was looked for */
	u32 acked;                    /* the store that has it, or WEFT_STORE_NONE */
	u32 late;                     /* the store that said so after .done, until it is reported */
};

struct weft_put_job {
	refcount_t ref;
	struct weft_cluster *cluster; /* a reference */
	struct list_head link;        /* in node.puts, under node.job_lock */
	bool idle;                    /* .done has returned; under node.job_lock, as is: */
	bool dropped;                 /* the caller has released it */
	struct weft_mount *mount;     /* not to be looked into after .done */
	struct weft_put *put;         /* until .done */
	u64 first_counter;            /* sids from here on are in use */
	struct work_struct work;
	struct delayed_work timer;

	spinlock_t lock;              /* below */
	struct list_head ended;       /* sends whose end was not looked at */
	bool abort;
	bool answered;                /* .waiter was woken */
	bool committed, released;
	u64 number;                   /* of the chunk, once committed */

	/* (work) */
	enum weft_put_phase phase;
	unsigned int tries;
	unsigned long moved;          /* jiffies: when something last went forward */
	unsigned long began;          /* jiffies; set before it is in a list */
	unsigned long resume_at;      /* jiffies: PAUSE ends */
	u64 enough_usec;              /* how long the first k shards took; 0: they are not there yet */
	ktime_t try_began;
	struct weft_group_waiter waiter;
	struct weft_group *group;
	u64 session, counter;         /* sid of this try */
	int reason;                   /* why the last try failed */
	struct weft_put_shard shards[WEFT_SHARDS_MAX];

	/* set before a try's first send, read by the senders */
	u8 head[WEFT_SHARD_HEADER_MAX]; /* header and frame table; index and CRC are those of the last shard made */
	u32 frames_len;               /* bytes of the frame table, which are the first of a body */
	struct weft_layout layout;
	struct weft_ec ec;
	u32 column_len;
	u8 *space;                    /* CRC tables, then columns */
	u32 table_len;                /* of one shard's CRC table */
	bool reserve;                 /* .space is the module's reserve */

	struct mutex column_lock;     /* below */
	struct list_head coding;
	struct weft_ec part;          /* the rows of the parities that are made together */
	struct weft_put_cursor cursors[WEFT_SHARDS_MAX];

	struct weft_put_cursor stride[WEFT_CHUNK_MAX / WEFT_PUT_STRIDE];
};

static inline unsigned int weft_put_shards(const struct weft_put_job *job)
{
	return job->layout.k + job->layout.m;
}

static inline u8 *weft_put_table(const struct weft_put_job *job, unsigned int shard)
{
	return job->space + shard * job->table_len;
}

/* When a job, or a try, that has not moved is given up, jiffies. */
static inline unsigned long weft_put_deadline(const struct weft_put_job *job)
{
	return job->moved + msecs_to_jiffies(WEFT_JOB_TIMEOUT_MS);
}

static inline unsigned long weft_put_try_deadline(const struct weft_put_job *job)
{
	return job->moved + msecs_to_jiffies(WEFT_JOB_TIMEOUT_MS / WEFT_JOB_TRIES);
}

/* Shards that a COMMIT needs. */
static inline unsigned int weft_put_enough(unsigned int k, unsigned int m)
{
	return m <= 1 ? k + m : k + m - 1;
}

/* put.c */
void weft_put_job_get(struct weft_put_job *job);
void weft_put_job_put(struct weft_put_job *job);
/* Let the job look at what has happened. Any context. */
void weft_put_job_kick(struct weft_put_job *job);
/* Zeroed; NULL when there is neither memory nor anything left of the reserve. */
struct weft_put_send *weft_put_send_alloc(void);
void weft_put_send_free(struct weft_put_send *send);

/* put_send.c: called by the job's work item */
/* Start sending every shard of the job's try. -ENOMEM: nothing was started. */
int weft_put_send_all(struct weft_put_job *job);
/* Note how sends ended. */
void weft_put_collect(struct weft_put_job *job);
/* Start spares. Returns 1 when the try is good, 0 to wait until *next (jiffies), or a negative errno: it has failed. */
int weft_put_judge(struct weft_put_job *job, unsigned long *next);
/* The COMMIT is answered: report who has taken a shard since .done. */
void weft_put_report_late(struct weft_put_job *job);
/* No send touches memory of the job's caller any more; those that were sent completely may still be answered. */
void weft_put_leave(struct weft_put_job *job, bool keep_answers);

/* put_body.c */
/* Find the strides of the stored form. -EINVAL if the bvec holds less than stored_len. */
int weft_put_index(struct weft_put_job *job);
/* Memory for CRC tables and columns of the job's layout. -ENOMEM: not now. */
int weft_put_space_alloc(struct weft_put_job *job);
void weft_put_space_free(struct weft_put_job *job);
void weft_put_send_begin(struct weft_put_send *send);
void weft_put_send_end(struct weft_put_send *send);
void weft_put_body(struct weft_rpc *rpc, u32 at, struct weft_span *span);
/* The table CRC of a shard, of which maybe not all bytes were sent. */
u32 weft_put_table_crc(struct weft_put_job *job, unsigned int shard);
int weft_put_reserve_init(void);
void weft_put_reserve_exit(void);

#endif /* _WEFT_NODE_PUT_H */
