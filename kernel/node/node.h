/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * node.h - the way to every store: hosts, their connections, groups; storing and fetching stored chunks
 *
 * io/ hands over whole jobs: "store this form of a chunk" (struct weft_put) and "bring these bytes of that chunk", in the
 * plaintext (struct weft_get). Choosing a group, coding, checksums, spares, hedging, degraded reads and their deadlines happen below
 * this line. A job ends exactly once, in process context, by its .done.
 *
 * What a connection receives goes into buffers that belong to the request, never into page cache folios: an answer that
 * comes late has nowhere to do harm. Bytes are copied to the job's destination once, after their CRCs were checked.
 */
#ifndef _WEFT_NODE_H
#define _WEFT_NODE_H

#include <linux/bvec.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "crypt/frame.h"
#include "uapi/weft_wire.h"
#include "uapi/weft_payload.h"

struct weft_cluster;
struct weft_mount;
struct weft_report;
struct netlink_ext_ack;
struct socket;

/* --- cluster: embedded in struct weft_cluster; owned by node/ ------------------------------------------------------ */
#define WEFT_CLASS_BITS 6
#define WEFT_ASK_BITS 6

struct weft_node_cluster {
	/* host.c */
	struct mutex set_lock;        /* orders those who change hosts and stores; readers use RCU */
	struct xarray hosts;          /* struct weft_host by number */
	struct xarray stores;         /* store number -> its host */
	atomic_t conns;               /* sockets that have not been given back, and one */
	atomic_t spare_count;
	u32 spare_turn;               /* the host that was the last spare */
	struct delayed_work reaper;   /* drops connections that nobody has used */

	/* group.c */
	spinlock_t lock;              /* classes, groups in them, asks; readers of .groups use RCU */
	struct rhashtable groups;     /* struct weft_group by id */
	DECLARE_HASHTABLE(classes, WEFT_CLASS_BITS); /* open groups of a (domain, k, m), by domain */
	DECLARE_HASHTABLE(asks, WEFT_ASK_BITS);      /* questions to the daemon that somebody waits for */

	/* put.c, get.c */
	spinlock_t job_lock;          /* below */
	struct list_head puts;        /* jobs that have not been released, oldest first */
	struct list_head gets;        /* jobs that have not ended */
	struct list_head gets_waiting; /* of them, those for which there is no memory now */
	u64 get_bytes;                /* memory of those that run */
	wait_queue_head_t job_wait;   /* a job has ended */

	/* report.c */
	spinlock_t report_lock;
	struct weft_report *reports[2]; /* SHARDS_STORED, SHARDS_MISSING; WEFT_REPORTS_MAX each */
	unsigned int n_reports[2];
	struct delayed_work report_work;
	bool report_closed;
};

int weft_node_cluster_init(struct weft_cluster *cluster);
void weft_node_cluster_exit(struct weft_cluster *cluster);

/* --- commands of the daemon (called by nl/control.c; sleep on memory only) ----------------------------------------- */
/* Takes its own reference on @sock's file when it succeeds. @kind: bulk or small; @sock may be NULL. */
int weft_host_set(struct weft_cluster *cluster, u32 host, const char *name, u32 state, const u32 *stores,
		  unsigned int n_stores, u32 kind, struct socket *sock, struct netlink_ext_ack *extack);
int weft_host_del(struct weft_cluster *cluster, u32 host);
int weft_group_set(struct weft_cluster *cluster, u64 group, u64 domain, u8 k, u8 m, u32 flags, u32 weight,
		   const __le32 *slots, struct netlink_ext_ack *extack);
int weft_group_del(struct weft_cluster *cluster, u64 group);

/* --- info.c: what is known of a host, for dumps --------------------------------------------------------------------- */
#define WEFT_HOST_INFO_COUNTERS 12

struct weft_host_info {
	u32 host;
	u32 state;                    /* as the daemon says */
	bool bulk, small;             /* these connections are there */
	char name[WEFT_NAME_MAX + 1];
	struct {
		u32 id;               /* enum weft_counter_id */
		u64 value;
	} counters[WEFT_HOST_INFO_COUNTERS];
};

/* The host of the lowest number that is not below from; false: there is none. Sleeps on nobody outside of this kernel. */
bool weft_host_info_next(struct weft_cluster *cluster, u32 from, struct weft_host_info *info);

struct weft_frame_table {
	struct rcu_head rcu;
	struct weft_seal seal;        /* as in the shard header; of a sealed chunk it has to prove itself */
	__le32 ends[];                /* likewise, checked */
};

/* --- chunks as readers know them ------------------------------------------------------------------------------------ */
/* Immutable once published; shared by the extents that point into it. */
struct weft_chunk {
	refcount_t ref;
	struct rcu_head rcu;
	u64 group;
	u64 number;
	u64 sid_session;
	u64 sid_counter;
	u32 plain_len, stored_len, shard_len;
	u32 key_id;
	u8 codec, cipher, k, m;
	struct weft_frame_table *frames; /* of a chunk that has one: set once, when it is known; weft_chunk_frames() */
	u8 n_exceptions;
	struct {
		u8 index;
		u32 store;            /* WEFT_STORE_NONE: missing */
	} exceptions[];
};

/* From an answer; everything is checked (lengths, k and m, geometry). ERR_PTR(-EPROTO), ERR_PTR(-ENOMEM). */
struct weft_chunk *weft_chunk_decode(const void *info, size_t len);
/* From a put that ended well and the number that COMMIT gave. */
struct weft_put;
struct weft_chunk *weft_chunk_from_put(const struct weft_put *put, u64 number, gfp_t gfp);
void weft_chunk_get(struct weft_chunk *chunk);
void weft_chunk_put(struct weft_chunk *chunk);

/* The frame table of a chunk that has one; NULL: a shard's header has to be read for it. */
static inline const __le32 *weft_chunk_frames(const struct weft_chunk *chunk)
{
	/* Pairs with weft_chunk_frames_set(): what the table holds was there before it. */
	const struct weft_frame_table *table = smp_load_acquire(&chunk->frames);

	return table ? table->ends : NULL;
}

/* --- fetching --------------------------------------------------------------------------------------------------------- */
struct weft_get {
	struct weft_mount *mount;
	struct weft_chunk *chunk;     /* the caller's reference, held until done */
	u32 offset, length;           /* in the plaintext */
	const struct bio_vec *bvec;   /* destination: length bytes; the caller's until done */
	unsigned int n_bvec;
	u64 ino, file_offset;         /* for messages */
	void (*done)(struct weft_get *get);
	void *private;
	/* results */
	int error;                    /* 0, -EIO (too many shards gone; an event was sent), -EILSEQ, -ENOMEM, -EINTR aborted */
	bool remap;                   /* a store said "not here": ask EXTENTS again, an error only if nothing changed */
	bool degraded;                /* some bytes were decoded */
};

/* Starts the job; never fails at once, never sleeps for a peer. */
void weft_get_submit(struct weft_get *get);

/* --- storing ----------------------------------------------------------------------------------------------------------- */
struct weft_put {
	struct weft_mount *mount;
	u64 ino, file_offset;         /* for the shard header */
	u32 plain_len;
	u32 stored_len;               /* plain_len for a raw chunk */
	u8 codec;                     /* enum weft_codec */
	u8 cipher;                    /* enum weft_cipher; if any: */
	u32 key_id;
	struct weft_seal seal;
	const __le32 *ends;           /* the frame table; NULL for a raw chunk. The caller's until released */
	const struct bio_vec *bvec;   /* the stored form; must not change until done (copied or under writeback) */
	unsigned int n_bvec;
	bool sync;                    /* somebody waits: goes before background work */
	void (*done)(struct weft_put *put);
	void *private;
	/* results */
	int error;                    /* 0; -EAGAIN: nothing can move now, park; -ENOSPC; -EIO; -ENOMEM; aborted: -EINTR */
	u64 sid_session, sid_counter;
	u64 group;
	u32 shard_len;
	u8 k, m;
	struct {
		u32 store;            /* that acknowledged, or WEFT_STORE_NONE */
		u32 slot;             /* the store that the group has for it */
		u32 table_crc;
	} shards[WEFT_SHARDS_MAX];
	/* private to node/ */
	void *state;
};

/*
 * Starts the job. The sid is made here. Chooses an open group of the volume's k + m (1 + m below ec_min) whose stores are
 * all reachable, else asks the daemon for another or a narrower one. Ends when enough shards are acknowledged: all of them,
 * or, past the hedge time with a spare tried, k + max(1, m - 1) (all if m <= 1).
 */
void weft_put_submit(struct weft_put *put);
/* After the COMMIT of the put was answered: acknowledgements that come from now on are reported as SHARDS_STORED. */
void weft_put_committed(struct weft_put *put, u64 number);
/* Frees what node/ keeps for a put that is done (after committed, or instead of it). */
void weft_put_release(struct weft_put *put);

/* The lowest sid counter of the mount that is still in use, for COMMIT's done_below. */
u64 weft_put_lowest(struct weft_mount *mount);
/* The jiffies when something last went forward in what the mount has stored just now; @since if nothing has since then. */
unsigned long weft_put_moved(struct weft_mount *mount, unsigned long since);

/* End every job of the mount with -EINTR; returns when the last .done has run. May sleep. */
void weft_node_mount_abort(struct weft_mount *mount);

int weft_node_init(void);
void weft_node_exit(void);

#endif /* _WEFT_NODE_H */
