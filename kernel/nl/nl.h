/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nl.h - requests to the daemon: the module's only way to ask for what it does not decide itself
 *
 * A request is built by its owner, queued by class, fetched by a bound socket, answered (or taken
 * back when the socket closes, to be fetched by the next), and completed exactly once. While it is
 * queued or fetched the queue holds a reference; an answer whose waiter was killed is still handed
 * to .abandoned, so that what it brought is not lost. Mutating requests take a slot of the session
 * before they are queued and keep it until they are answered.
 */
#ifndef _WEFT_NL_H
#define _WEFT_NL_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/netlink.h>

#include "uapi/weft_payload.h"

struct weft_cluster;
struct weft_mount;
struct weft_nl_sock;
struct weft_request;

/* --- cluster: embedded in struct weft_cluster; owned by nl/ ----------------------------------- */
struct weft_nl_cluster {
	/* all below, and the slots and lists of the cluster's mounts */
	spinlock_t lock;
	u64 generation;                       /* of the sockets in socks */
	struct list_head socks;               /* sockets of this generation */
	/* requests that wait to be fetched, by class, oldest first */
	struct list_head queue[WEFT_CLASSES];
	unsigned int active;                  /* requests that are started and not completed */
	unsigned int unsettled;               /* requests that are started and not settled */
	wait_queue_head_t settled;            /* woken when there are none of these */
	unsigned long unbound_since;          /* jiffies, when socks is empty */
	struct list_head mounts;
	u64 budget;                           /* of mounts to come, bytes; 0: their own default */
	s64 time_offset;                      /* cluster time less CLOCK_REALTIME, nanoseconds */
	bool ended;                           /* no request is taken any more */

	struct xarray requests;               /* every request by its id; has a lock of its own */
	struct delayed_work watchdog;         /* says what waits for 10 s */

	/* under the lock of all clusters, nl/cluster.c */
	u64 serial;                           /* order of dumps */
	unsigned int users;                   /* bound sockets and mounts */
	bool retired;
	/* retires the cluster when nobody has used it for 10 s */
	struct delayed_work linger;
};

/* --- mount: slots of the session, requests under way ------------------------------------------ */
struct weft_nl_mount {
	/* under weft_cluster.nl.lock */
	struct list_head link;                /* in weft_cluster.nl.mounts */
	unsigned long slot_busy[WEFT_SLOTS / BITS_PER_LONG];
	u64 slot_sequence[WEFT_SLOTS];
	/* requests that wait for a slot, oldest first */
	struct list_head slot_waiting[WEFT_CLASSES];
	struct list_head requests;            /* all requests of this mount that have not settled */
	unsigned int late;                    /* .abandoned that run just now */
	bool closing;                         /* answers without a waiter are dropped */
	wait_queue_head_t settled;            /* woken when that list or late becomes empty */
	u64 lease_deadline;                   /* CLOCK_BOOTTIME ns; 0: none was told */

	void (*end)(struct weft_mount *mount);
	struct work_struct end_work;
};

/* --- request.c -------------------------------------------------------------------------------- */
struct weft_request {
	refcount_t ref;
	struct rcu_head rcu;
	/* where it is: a queue, a socket's list or the list of those that wait for a slot */
	struct list_head link;
	struct list_head mount_link;
	struct weft_cluster *cluster;         /* a reference */
	/* NULL for requests of the cluster; lives until the request has settled */
	struct weft_mount *mount;
	u64 id;
	/* the mount's; without a mount what the caller sets, 0 if nothing */
	u64 session;
	u16 op;                               /* enum weft_request_op */
	u8 class;                             /* 1 .. WEFT_CLASSES */
	/* enum weft_request_place, under weft_cluster.nl.lock */
	u8 place;
	bool mutating;                        /* takes a slot; set by alloc from the operation */
	u32 slot;                             /* WEFT_SLOT_NONE */
	u64 sequence;
	struct weft_nl_sock *owner;           /* that has fetched it */
	u64 ino;                              /* for `weft ps`; the caller sets it */
	pid_t pid;
	ktime_t born;
	/* bits, enum weft_request_bit; completion is owned by whoever sets COMPLETED */
	unsigned long state;
	void *out;                            /* payload, attributes of enum weft_p */
	u32 out_len, out_size;
	int out_error;                        /* first failure of weft_request_add*() */
	/* answer's payload: attributes, well formed, their heads in native order */
	void *in;
	u32 in_len;
	u32 status;                           /* enum weft_status */
	u64 applied;
	s64 names_seen;                       /* late changes of names when it was made, vfs/namei.c */
	struct completion done_wait;
	/* async: runs on weft's WQ_MEM_RECLAIM queue, may sleep on memory */
	void (*done)(struct weft_request *req);
	/* the waiter was killed and the answer came; same context */
	void (*abandoned)(struct weft_request *req);
	void *private;
	struct work_struct work;
};

/*
 * Make a request. @hint: bytes of payload expected; it grows up to WEFT_PAYLOAD_MAX. @mount may be
 * NULL. The caller owns one reference and drops it with weft_request_put(). NULL when out of
 * memory.
 */
struct weft_request *weft_request_alloc(struct weft_cluster *cluster, struct weft_mount *mount,
					u16 op, u8 class, size_t hint, gfp_t gfp);
void weft_request_put(struct weft_request *req);

/*
 * Add attributes. Failures are kept in the request and returned by call or submit; so no need to
 * check each.
 */
void weft_request_add(struct weft_request *req, u16 type, const void *data, size_t len);
void weft_request_add_u32(struct weft_request *req, u16 type, u32 value);
void weft_request_add_u64(struct weft_request *req, u16 type, u64 value);
/* Room for len bytes to be filled by the caller, zeroed; NULL on failure (kept too). */
void *weft_request_reserve(struct weft_request *req, u16 type, size_t len);

/*
 * Send and wait, killable and freezable. Returns 0 when the answer's status is OK; a negative
 * errno made from the status otherwise (req->status tells which); -EINTR when the waiter was
 * killed (then .abandoned runs when the answer comes and the caller must not touch req but to put
 * it); -EIO after umount -f, ABORT or a lost session. Never called with a folio locked or from
 * reclaim.
 */
int weft_request_call(struct weft_request *req);

/*
 * After a call that failed: a daemon has the request and its waiter was killed, .abandoned is still
 * to run.
 */
bool weft_request_left(const struct weft_request *req);

/*
 * Send; req->done(req) runs exactly once, with req->status set (WEFT_ST_ABORTED,
 * WEFT_ST_SESSION_LOST when ended from here). The queue has its own reference, the caller keeps
 * its one. Returns 0, or a negative errno and done will not run. Never sleeps for the daemon; may
 * sleep for memory. If no slot is free the request waits for one in order.
 */
int weft_request_submit(struct weft_request *req);

/*
 * After a call that failed, or an answer that made no sense: what the request asked for may have
 * happened all the same.
 */
bool weft_request_unclear(const struct weft_request *req);

/* The metadata service has said no: nothing has changed, and nothing will. */
bool weft_status_refused(u32 status);
/* The errno of an answer's status. */
int weft_status_errno(u32 status);
const char *weft_status_text(u32 status);

/*
 * Attributes of the answer: the last of each type in tb[], NULL if absent; every one has the length
 * of its structure (checked by policy). -EPROTO when malformed. Repeated types are walked with
 * weft_answer_for_each().
 */
int weft_answer_parse(const struct weft_request *req, const struct nlattr *tb[WEFT_P_NR]);
#define weft_answer_for_each(req, attr, rem, wanted)				\
	nla_for_each_attr(attr, (struct nlattr *)(req)->in, (req)->in_len, rem)	\
		if (nla_type(attr) == (wanted))

/* --- cluster.c: find and hold clusters -------------------------------------------------------- */
/*
 * By name (or NULL: the only bound one). ERR_PTR: -ENOENT unknown, -ENOTUNIQ several, -ENOTCONN no
 * daemon is bound.
 */
struct weft_cluster *weft_cluster_find(struct net *net, const char *name);
void weft_cluster_get(struct weft_cluster *cluster);
void weft_cluster_put(struct weft_cluster *cluster);
bool weft_cluster_bound(const struct weft_cluster *cluster);

/* --- slot.c ----------------------------------------------------------------------------------- */
/*
 * The mount joins its cluster; -ENOTCONN when that has ended meanwhile. @end is called once, from a
 * work queue, when the mount has to end all that waits below it (umount -f, ABORT, a lost session,
 * the namespace's exit).
 */
int weft_nl_mount_init(struct weft_mount *mount, void (*end)(struct weft_mount *mount));
/* Waits until every request of the mount has settled: they have all been answered or aborted. */
void weft_nl_mount_exit(struct weft_mount *mount);
/* From here on no .abandoned runs for the mount, and none is running. */
void weft_nl_mount_quiesce(struct weft_mount *mount);
/*
 * The mount leaves WEFT_MOUNT_LIVE for state: its end() runs soon. Does not sleep. False: it had
 * been left before.
 */
bool weft_nl_mount_end(struct weft_mount *mount, u32 state);
/*
 * End every wait of the mount: all its requests are completed with status, late answers are
 * dropped.
 */
void weft_nl_mount_abort(struct weft_mount *mount, u32 status);

/* --- family.c --------------------------------------------------------------------------------- */
int weft_nl_init(void);
void weft_nl_exit(void);

#endif /* _WEFT_NL_H */
