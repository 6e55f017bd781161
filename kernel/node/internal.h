/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * internal.h - what the files of node/ share
 *
 * Objects, from the outside in:
 *
 *   jobs (put.c, get.c)   one chunk to store, one range to fetch; each is driven by one work item, never by two threads
 *   weft_rpc              one request to one host, part of a job or of a connection
 *   weft_host             a machine, its stores and its two lanes: bulk, and small requests that must not queue behind bulk
 *   weft_conn             one handed-over socket: owner of the file reference, of the socket's callbacks and of all
 *                         requests that were given to it
 *
 * Locks, outermost first: weft_conn.rx_lock, weft_conn.tx_lock, put job's column lock, job lock; weft_host.lock and
 * weft_node_cluster.lock are innermost and never nested. All requests of a host, and the state of its connections, are
 * under weft_host.lock; the mutexes of a connection say who touches a request's memory right now, so that having had
 * them means that nobody does any more. No code here waits for a peer: sends and receives do not block, everything
 * else is a timer.
 */
#ifndef _WEFT_NODE_INTERNAL_H
#define _WEFT_NODE_INTERNAL_H

#include <linux/bvec.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/uio.h>

#include "weft.h"
#include "node/latency.h"
#include "node/wire.h"

/* --- node.c -------------------------------------------------------------------------------------------------------- */

extern struct workqueue_struct *weft_node_wq; /* jobs */
extern struct workqueue_struct *weft_conn_wq; /* sockets; apart, so that a job that computes does not hold them up */

/* Module parameters, milliseconds. */
unsigned int weft_param_put_hedge(void);
unsigned int weft_param_get_hedge(void);
unsigned int weft_param_peer_timeout(void);

/* A unit, with all its tries, has that long; the same bounds a fetch whose hosts may come back. */
#define WEFT_JOB_TIMEOUT_MS 30000
#define WEFT_JOB_TRIES 3

#define WEFT_NODE_GFP (GFP_NOFS | __GFP_NOWARN)

/* --- buffer.c ------------------------------------------------------------------------------------------------------ */

/*
 * Memory that an answer is received into: @len bytes in pieces of 64 KiB, and @tail_len bytes (the CRCs) behind them in
 * one piece. CRC blocks never cross pieces.
 */
#define WEFT_BUF_PIECE (64u * 1024)

struct weft_buf {
	u32 len;
	u32 tail_len;
	u32 n_pieces;
	void *tail;
	void *pieces[] __counted_by(n_pieces);
};

struct weft_buf *weft_buf_alloc(u32 len, u32 tail_len, gfp_t gfp);
void weft_buf_free(struct weft_buf *buf);
/* Where byte @at of data and tail stands, and how many bytes stand there in one piece (0 at the end). */
void *weft_buf_at(const struct weft_buf *buf, u32 at, u32 *contiguous);

/* --- rpc.c --------------------------------------------------------------------------------------------------------- */

enum weft_lane_kind {
	WEFT_LANE_BULK,
	WEFT_LANE_SMALL,
	WEFT_LANES
};

/* Chunks whose shards, and reads whose ranges, are below this use the small lane. */
#define WEFT_LANE_SMALL_MAX (64u * 1024)

enum weft_rpc_state {
	WEFT_RPC_NEW,
	WEFT_RPC_WAITING,  /* in the lane: there is no connection yet */
	WEFT_RPC_QUEUED,   /* in the connection's queue */
	WEFT_RPC_FLIGHT,   /* its first byte may have been sent */
	WEFT_RPC_ENDED,    /* .done was called or never will be */
};

struct weft_rpc;
struct weft_conn;

/*
 * The next bytes of a request's payload: @len bytes, in @vec (copied) or else in @bv. Filled by .body, sent by
 * transmit.c.
 */
#define WEFT_SPAN_BVECS 33

struct weft_span {
	u32 len;
	struct kvec vec;              /* .iov_base NULL: not this */
	bool splice;                  /* pages of bv[] may be given to the socket as they are */
	unsigned int n;
	struct bio_vec bv[WEFT_SPAN_BVECS];
};

/*
 * What the owner of a request provides.
 * @body: describe what comes behind .head, from its byte @at on: at least one byte, at most what fits. @span is cleared.
 *	The memory must stay as it is until body is called again, or the request has ended or was detached. Called by the
 *	connection's sender under tx_lock, with @at going from span to span; may compute, must not wait for anybody.
 *	NULL for requests with nothing behind .head.
 * @done: the answer came (error 0, .status set) or it never will (error). Process context, at most once, not after
 *	weft_rpc_detach() has returned unless it was already on its way: must not block or take a connection's locks.
 * @free: the last reference has gone.
 */
struct weft_rpc_ops {
	void (*body)(struct weft_rpc *rpc, u32 at, struct weft_span *span);
	void (*done)(struct weft_rpc *rpc);
	void (*free)(struct weft_rpc *rpc);
};

struct weft_rpc {
	refcount_t ref;
	const struct weft_rpc_ops *ops;
	struct weft_host *host;       /* a reference */
	enum weft_lane_kind lane;
	bool urgent;                  /* somebody waits: before the rest of the lane */

	/* under host->lock */
	enum weft_rpc_state state;
	bool detached;                /* .body and .in are not to be used any more, .done not to be called */
	bool sent;                    /* to the last byte */
	struct weft_conn *conn;       /* a reference, from QUEUED on */
	struct list_head link;
	struct hlist_node flight;

	/* written before submit, read only after */
	struct weft_wire_frame request;
	u32 head_len;                 /* of .head */
	u32 expect_len;               /* GET: the shard's length; an answer that says otherwise is corrupt */
	u32 expect_head;              /* GET: the same of its header; 0: none was asked for */
	u8 head[sizeof(struct weft_wire_header) + sizeof(struct weft_shard_header)];
	struct weft_buf *in;          /* for the payload of the answer; freed with the request */
	ktime_t born;
	ktime_t started;              /* when it left the queue; under host->lock */

	/* results */
	int error;                    /* 0: an answer came, see .status; else the way to the host failed */
	u32 status;
	struct weft_wire_frame answer;
};

/*
 * Make @rpc ready to be submitted: one reference, held by the caller. .request must have been filled but for the
 * request id; the caller may have put a shard header at .head behind the place of the frame header, with its length in
 * @shard_head_len, and sets .in, .expect_len and .urgent afterwards.
 */
void weft_rpc_init(struct weft_rpc *rpc, const struct weft_rpc_ops *ops, struct weft_host *host,
		   enum weft_lane_kind lane, u32 shard_head_len);
void weft_rpc_get(struct weft_rpc *rpc);
void weft_rpc_put(struct weft_rpc *rpc);

/* Give it to its host. .done may run before this returns. */
void weft_rpc_submit(struct weft_rpc *rpc);

/*
 * The owner has lost interest: when this returns nobody reads the body's memory or writes to .in, and .done will not
 * start. What was not begun is not sent; what was begun is filled up with zeros, which no store takes for the shard.
 * Takes mutexes of the connection, which are held for short computations only.
 */
void weft_rpc_detach(struct weft_rpc *rpc);

/*
 * Only let go of the body's memory, keep waiting for the answer. Returns true if .done has run or an answer can still be
 * good, because all of the request was given to the socket; else it is as after weft_rpc_detach().
 */
bool weft_rpc_leave(struct weft_rpc *rpc);

/*
 * For how long, in microseconds, this host has kept it waiting. A request in a queue that moves waits for those before it,
 * not for the host: then it is the time since something moved. *@moved becomes the jiffies of that, if they are later; for a
 * GET that was sent also those of the last answer to somebody else, because answers queue up as well.
 */
u64 weft_rpc_waited(struct weft_rpc *rpc, unsigned long *moved);

/* Ends a request that the caller took out of its list under host->lock (state ENDED): calls .done, drops the reference. */
void weft_rpc_end(struct weft_rpc *rpc, int error, bool detached);

/* --- host.c -------------------------------------------------------------------------------------------------------- */

enum weft_host_counter {
#define WEFT_X(name, id, unit, help) WEFT_HC_##name,
	WEFT_HOST_COUNTERS(WEFT_X)
#undef WEFT_X
	WEFT_HC_NR
};

struct weft_lane {
	struct weft_conn *conn;       /* takes requests; or NULL */
	struct list_head waiting;     /* requests that wait for a connection */
};

struct weft_host {
	struct kref ref;
	struct rcu_head rcu;
	struct weft_cluster *cluster; /* outlives the host's table entry; not to be used when .gone */
	u32 number;

	spinlock_t lock;
	bool gone;
	u32 state;                    /* enum weft_host_state, as the daemon says */
	unsigned long down_at;        /* jiffies: since when it says DOWN */
	struct weft_lane lanes[WEFT_LANES];
	struct list_head conns;       /* all connections until they have ended */
	bool wanted;                  /* HOST_WANT was sent and no connection has come yet */
	u32 upcalls;                  /* bits: what upcall_work has to say */
	unsigned long avoid_until;    /* jiffies: not reachable until then; valid while .avoid */
	bool avoid;
	unsigned int failures;        /* since the last connection that worked */
	unsigned long failed_at;      /* jiffies: last HOST_FAILED */
	u32 failed_status;

	struct weft_latency latency[WEFT_LANES]; /* written racily: a lost sample does no harm */
	atomic64_t counters[WEFT_HC_NR];
	struct work_struct upcall_work;
	struct delayed_work wait_work; /* requests do not wait for a connection for ever */

	/* under node.set_lock; n_stores is read without */
	unsigned int n_stores;
	u32 *stores;
	char name[WEFT_NAME_MAX + 1];
};

void weft_host_get(struct weft_host *host);
void weft_host_put(struct weft_host *host);
/* By number, or by a store's number; NULL if unknown. With a reference. */
struct weft_host *weft_host_find(struct weft_cluster *cluster, u32 number);
struct weft_host *weft_host_of_store(struct weft_cluster *cluster, u32 store);

/* Whether there is reason to believe that a request would get there. */
bool weft_host_usable(const struct weft_host *host);
/* Down for so long that a read which cannot do without it fails now instead of waiting for its return. */
bool weft_host_gone_for_good(struct weft_host *host);
/* A request waits in a lane: ask the daemon for a connection. host->lock held. */
void weft_host_want(struct weft_host *host);
/* A connection broke: remember, and tell the daemon. host->lock held. */
void weft_host_failed(struct weft_host *host, int error);
/* A connection works: requests that wait are sent on it. host->lock held. */
void weft_host_serve(struct weft_host *host, enum weft_lane_kind kind, struct weft_conn *conn);

static inline void weft_host_count(struct weft_host *host, enum weft_host_counter counter, s64 n)
{
	atomic64_add(n, &host->counters[counter]);
}

/* A store on a host that is in none of @used (@n host numbers), for a shard whose own store does not take it; 0: none. */
u32 weft_host_spare(struct weft_cluster *cluster, const u32 *used, unsigned int n, struct weft_host **host);
/* Up to @max stores that cannot be reached now. Returns how many. */
unsigned int weft_host_unusable_stores(struct weft_cluster *cluster, __le32 *stores, unsigned int max);

void weft_host_table_init(struct weft_cluster *cluster);
void weft_host_table_exit(struct weft_cluster *cluster);

/* --- conn.c -------------------------------------------------------------------------------------------------------- */

enum weft_conn_state {
	WEFT_CONN_HELLO,    /* only HELLO is sent */
	WEFT_CONN_READY,
	WEFT_CONN_DRAINING, /* replaced: ends when its last answer has come */
	WEFT_CONN_DEAD,
};

#define WEFT_FLIGHT_BITS 6

struct weft_conn {
	struct kref ref;
	struct weft_host *host;       /* a reference */
	enum weft_lane_kind kind;

	/* under host->lock */
	enum weft_conn_state state;
	struct list_head link;        /* host->conns */
	struct list_head urgent;      /* queued requests, in order */
	struct list_head queue;
	DECLARE_HASHTABLE(flight, WEFT_FLIGHT_BITS);
	unsigned int n_flight;
	unsigned int max_flight;      /* agreed on in HELLO */
	u32 payload_max;
	u64 next_id;
	bool pinging;
	unsigned long busy_since;     /* jiffies: when n_flight left 0 */
	unsigned long ticked_at;      /* jiffies */
	unsigned long used_at;        /* jiffies: last request */

	/* socket.c */
	struct socket *sock;          /* a reference on its file */
	bool tls;
	void (*saved_data_ready)(struct sock *sk);
	void (*saved_write_space)(struct sock *sk);
	void (*saved_state_change)(struct sock *sk);
	void (*saved_error_report)(struct sock *sk);

	/* transmit.c */
	struct work_struct tx_work;
	struct mutex tx_lock;         /* below */
	struct weft_rpc *tx_rpc;      /* what is being sent; a reference */
	u32 tx_at;                    /* bytes of it that are described by spans so far */
	bool tx_void;                 /* the rest of it is zeros */
	struct iov_iter tx_iter;      /* what is left of .tx_span */
	struct weft_span tx_span;
	unsigned long tx_moved;       /* jiffies: the socket took bytes */

	/* receive.c */
	struct work_struct rx_work;
	struct mutex rx_lock;         /* below */
	struct weft_rpc *rx_rpc;      /* whose payload is coming; a reference, or NULL: to the sink */
	struct weft_wire_frame rx_frame;
	u32 rx_at;                    /* bytes of the header, then of the payload */
	bool rx_payload;
	bool rx_bad;                  /* the payload goes to the sink, the request fails as corrupt */
	struct weft_wire_header rx_header;
	struct weft_wire_hello rx_hello;
	void *rx_sink;                /* a page that nobody reads */
	unsigned long rx_moved;       /* jiffies: bytes came */
	unsigned long served;         /* jiffies: an answer other than to PING, or bytes of one, came */

	struct delayed_work tick_work;
	struct work_struct end_work;
};

struct weft_conn *weft_conn_alloc(struct weft_host *host, enum weft_lane_kind kind);
void weft_conn_get(struct weft_conn *conn);
void weft_conn_put(struct weft_conn *conn);
/* The socket is attached: say HELLO. */
void weft_conn_start(struct weft_conn *conn);
/* Give @rpc to @conn. host->lock held, state READY. */
void weft_conn_queue(struct weft_conn *conn, struct weft_rpc *rpc);
/* The next request to send, now in flight, with a reference; NULL if there is none or none may be sent. */
struct weft_rpc *weft_conn_next(struct weft_conn *conn);
/* The socket had no memory: try again soon. Returns 0. */
int weft_conn_starved(struct weft_conn *conn);
/* The request in flight that @frame answers, with a reference; NULL if it answers none. */
struct weft_rpc *weft_conn_match(struct weft_conn *conn, const struct weft_wire_frame *frame);
/* Its answer has come completely: end it with @error. rx_lock held. */
void weft_conn_finish(struct weft_conn *conn, struct weft_rpc *rpc, int error);
/* The last byte of @rpc was taken by the socket. tx_lock held. */
void weft_conn_sent(struct weft_conn *conn, struct weft_rpc *rpc);
/*
 * End the connection; its requests fail. @error: what happened; 0: it is not needed any more. The end itself, with the
 * calls of .done, runs from a work item. The first is not to be called under host->lock, the second is.
 */
void weft_conn_break(struct weft_conn *conn, int error, const char *why);
void weft_conn_close(struct weft_conn *conn, int error);
/* Nothing was asked of it since @before (jiffies) and nothing is under way. host->lock held. */
bool weft_conn_idle(const struct weft_conn *conn, unsigned long before);

/* --- socket.c ------------------------------------------------------------------------------------------------------ */

/* Check @sock and make @conn its owner, with a reference of its own. */
int weft_socket_attach(struct weft_conn *conn, struct socket *sock, struct netlink_ext_ack *extack);
/* Give the callbacks back; none of ours runs any more when this returns. */
void weft_socket_detach(struct weft_conn *conn);
/* Shut down and drop the file. */
void weft_socket_release(struct weft_conn *conn);

/* --- transmit.c, receive.c ----------------------------------------------------------------------------------------- */

void weft_conn_tx_work(struct work_struct *work);
void weft_conn_rx_work(struct work_struct *work);

/* --- group.c ------------------------------------------------------------------------------------------------------- */

struct weft_group_class;

/* A group as the daemon last described it; never changes, a new description is a new object. */
struct weft_group {
	struct rhash_head node;
	struct rcu_head rcu;
	refcount_t ref;
	u64 id;
	u64 domain;
	u8 k, m;
	u32 flags, weight;
	struct weft_group_class *class; /* under node.lock: where it is offered, or NULL */
	struct list_head open;          /* in class->groups */
	u64 pass;                       /* of its turn */
	u32 slots[];
};

/* Somebody who waits for the daemon's answer about groups. .wake runs once, in process context, after .error was set. */
struct weft_group_waiter {
	struct list_head link;
	void (*wake)(struct weft_group_waiter *waiter);
	int error;
	u64 group;                      /* that the daemon named; 0: none */
};

void weft_group_get(struct weft_group *group);
void weft_group_put(struct weft_group *group);
struct weft_group *weft_group_find(struct weft_cluster *cluster, u64 id);
/* The next open group of @domain with k + m slots, or else a narrower one, whose hosts are all usable; NULL: none. */
struct weft_group *weft_group_choose(struct weft_cluster *cluster, u64 domain, unsigned int k, unsigned int m);
/* Whether the hosts of all slots are known and usable. */
bool weft_group_usable(struct weft_cluster *cluster, const struct weft_group *group);

/* Ask what @id is; ask for an open group. Fails at once with -ENOMEM only, and the waiter is not used then. */
int weft_group_ask(struct weft_mount *mount, u64 id, struct weft_group_waiter *waiter);
int weft_group_ask_open(struct weft_mount *mount, u64 domain, unsigned int k, unsigned int m, u64 bytes,
			struct weft_group_waiter *waiter);
/* True if the waiter was taken back: .wake will not run. */
bool weft_group_unask(struct weft_cluster *cluster, struct weft_group_waiter *waiter);
/* A store denied having what its group says: ask anew; nobody waits. */
void weft_group_refresh(struct weft_mount *mount, u64 id);

int weft_group_table_init(struct weft_cluster *cluster);
void weft_group_table_exit(struct weft_cluster *cluster);

/* --- record.c ------------------------------------------------------------------------------------------------------ */

/* Room for the table of a compressed chunk. */
struct weft_frame_table *weft_frame_table_alloc(u32 plain_len, gfp_t gfp);
/* The chunk's table is known. Takes @table, which is complete. */
void weft_chunk_frames_set(struct weft_chunk *chunk, struct weft_frame_table *table);

/* --- report.c ------------------------------------------------------------------------------------------------------ */

/* Tell the metadata service about shards; collected, sent some moments later; dropped when there are too many. */
void weft_report_shard(struct weft_cluster *cluster, u64 session, u16 op, const struct weft_shard_report *report);
#define WEFT_REPORTS_MAX 256u

struct weft_report {
	u64 session;                  /* in whose name */
	struct weft_shard_report shard;
};

int weft_report_init(struct weft_cluster *cluster);
void weft_report_exit(struct weft_cluster *cluster);

/* --- put.c, get.c -------------------------------------------------------------------------------------------------- */

void weft_put_abort(struct weft_mount *mount);
bool weft_put_busy(struct weft_mount *mount);
void weft_get_abort(struct weft_mount *mount);
bool weft_get_busy(struct weft_mount *mount);

int weft_put_init(void);
void weft_put_exit(void);

#endif /* _WEFT_NODE_INTERNAL_H */
