/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * internal.h - what the files of nl/ share
 *
 * Locks: weft_nl_lock (clusters of all namespaces, who uses them) is outside of
 * weft_cluster.nl.lock (queues, slots, sockets of the generation). Neither is held over a wait, an
 * allocation that may sleep or a callback.
 *
 * A request is in one place at a time:
 *
 *	IDLE -> SLOT -> QUEUED <-> FETCHED -> DONE
 *
 * and becomes DONE from any of them. Whoever moves it to DONE has set WEFT_REQUEST_COMPLETED
 * before, and hands it to weft_requests_settle() once the lock is dropped: the waiter is woken, or
 * .done or .abandoned runs.
 */
#ifndef _WEFT_NL_INTERNAL_H
#define _WEFT_NL_INTERNAL_H

#include <net/genetlink.h>

#include "weft.h"
#include "nl/generated.h"

enum weft_request_place {
	WEFT_REQUEST_IDLE,
	WEFT_REQUEST_SLOT,    /* waits for a slot */
	WEFT_REQUEST_QUEUED,  /* waits to be fetched */
	WEFT_REQUEST_FETCHED, /* waits for its answer */
	WEFT_REQUEST_DONE,
};

enum weft_request_bit {
	WEFT_REQUEST_COMPLETED, /* status and answer are set, or being set by whoever set the bit */
	/* the waiter was killed or sent away; set under the cluster's lock, never after COMPLETED */
	WEFT_REQUEST_GONE,
	WEFT_REQUEST_SENT,      /* a socket has had it: the daemon may have done what it says */
	WEFT_REQUEST_TOLD,      /* the watchdog has named it */
};

/* A socket that is bound to a cluster. Found by its port under RCU. */
struct weft_nl_sock {
	refcount_t ref;
	struct rcu_head rcu;
	struct hlist_node hash;       /* in weft_nl_net.socks; under weft_nl_lock */
	struct weft_cluster *cluster; /* a reference, and one of its users */
	u32 portid;
	u64 generation;
	/* under weft_cluster.nl.lock */
	/* in weft_cluster.nl.socks while it is of the present generation */
	struct list_head link;
	struct list_head fetched;     /* requests, in the order in which they were fetched */
	bool stale;                   /* another daemon has taken over, or the socket was closed */
	bool told;                    /* READY was sent and no FETCH came since */
	bool missed;                  /* told, but READY could not be sent */
	u8 class_max;                 /* of the last FETCH: what the socket wants to hear of */
};

#define WEFT_NL_SOCK_BITS 6

/* A network namespace's part. */
struct weft_nl_net {
	struct list_head clusters; /* under weft_nl_lock */
	DECLARE_HASHTABLE(socks, WEFT_NL_SOCK_BITS);
	bool exiting;
};

extern spinlock_t weft_nl_lock;

/* --- family.c */
struct weft_nl_net *weft_nl_net(const struct net *net);
/* To one socket; never sleeps. Consumes the skb. */
int weft_nl_unicast(struct weft_cluster *cluster, struct sk_buff *skb, u32 portid);

/* --- cluster.c */
struct weft_cluster *weft_cluster_make(struct net *net, const uuid_t *uuid,
				       struct netlink_ext_ack *extack);
/* With a reference; NULL: there is none. */
struct weft_cluster *weft_cluster_by_uuid(struct net *net, const uuid_t *uuid);
/* The next one of the namespace after the serial, with a reference; NULL: that was the last. */
struct weft_cluster *weft_cluster_next(struct net *net, u64 serial);
/* One more user; false: the cluster has ended. */
bool weft_cluster_use(struct weft_cluster *cluster);
void weft_cluster_unuse(struct weft_cluster *cluster);
/* The namespace goes: all of its clusters end. */
void weft_clusters_orphan(struct net *net);
int weft_clusters_init(void);
void weft_clusters_exit(void);

extern struct workqueue_struct *weft_cluster_wq; /* retires clusters and ends mounts */

/* --- bind.c */
struct weft_nl_sock *weft_nl_sock_find(struct net *net, u32 portid);
void weft_nl_sock_put(struct weft_nl_sock *sock);
void weft_nl_sock_release(struct net *net, u32 portid);
void weft_nl_socks_release(struct net *net);

/* --- queue.c; those with a list put what completes on it, for weft_requests_settle() */
void weft_queue_add(struct weft_request *req);
void weft_queue_put_back(struct weft_nl_sock *sock);
void weft_queue_announce(struct weft_cluster *cluster);
/* Sockets that could not be told may be told again. */
void weft_queue_untell(struct weft_cluster *cluster);

/* --- request.c */
extern struct workqueue_struct *weft_request_wq; /* .done; waits for nothing but memory */
extern struct workqueue_struct *weft_late_wq;    /* .abandoned; may take i_rwsem */
int weft_requests_init(void);
void weft_requests_exit(void);
struct weft_request *weft_request_by_id(struct weft_cluster *cluster, u64 id);
/* The first whose id is not below; with a reference. For dumps and the watchdog. */
struct weft_request *weft_request_next(struct weft_cluster *cluster, u64 id);
bool weft_request_finish(struct weft_request *req, u32 status, struct list_head *finished);
void weft_requests_settle(struct list_head *finished);
void weft_cluster_abort(struct weft_cluster *cluster, u32 status);
/* Who waits for a request that is no mount's, mount(2) above all, lets go of it. */
void weft_cluster_desert(struct weft_cluster *cluster);
const char *weft_request_name(u16 op);

/* --- payload.c */
/* Checks the frames of the attributes and brings their heads to native order. */
int weft_payload_normalize(void *payload, size_t len);

/* --- slot.c; both under weft_cluster.nl.lock */
bool weft_slot_take(struct weft_request *req);
void weft_slot_release(struct weft_request *req, bool sent);

/* --- watchdog.c */
void weft_watchdog_work(struct work_struct *work);
void weft_watchdog_arm(struct weft_cluster *cluster);

#endif /* _WEFT_NL_INTERNAL_H */
