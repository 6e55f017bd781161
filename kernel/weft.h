/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * weft.h - the objects that all folders of the module share, and the order of locks
 *
 *   weft_cluster   one cluster as one network namespace sees it: the bound daemon, the requests that wait for it (nl/), the
 *                  hosts and groups (node/). Found by (struct net, UUID); lives while a bridge is bound, a mount uses it or
 *                  a host's connections have not been dropped yet.
 *   weft_mount     one super block: a volume of a cluster. One for all mounts of a volume in a network namespace.
 *   weft_inode     a file, directory or link.
 *
 * Dependencies between folders run one way: vfs -> io -> chunk -> ec, io -> node, all of them -> nl (requests) and obs;
 * nothing -> vfs but through what this header declares. Each folder embeds its part of an object as a struct of its own.
 *
 * Order of locks, outermost first (a lock may be taken while those above it are held, never the other way):
 *
 *   sb_start_write
 *   inode->i_rwsem (parent before child)
 *   mmap_lock
 *   sb_start_pagefault
 *   mapping->invalidate_lock      of two files in the order of their mappings' addresses (io/clone.c)
 *   weft_inode.io.cut_lock        one cutter an inode (mutex); of two files in the same order
 *   folio lock                    ascending index, never two in writepages
 *   weft_mount.io.commit_sem      an answer to COMMIT is worked in (shared), stalled ones are detached (workers only)
 *   weft_mount.io.lock            counts and lists of the mount's io
 *   weft_inode.io.extent_lock     extents (rwlock or spinlock; never held over a wait or a copy to user memory)
 *   weft_cluster.node.lock        tables of hosts and groups
 *   weft_host.lock, weft_conn.lock
 *   weft_nl_lock                  clusters of all namespaces and who uses them (nl/internal.h)
 *   weft_cluster.nl.lock          queues of requests
 *   weft_mount.policy_lock        the volume's policies
 *   weft_mount.crypt.lock, .space_lock   keys of a mount, and memory of ciphers; nothing is taken below them
 *   sk_callback_lock of a handed-over socket (outside of weft_conn.lock only in callbacks, which take just queue bits)
 *
 * No request to the daemon is made with a folio locked or a spinlock held. Writeback and all below runs under
 * memalloc_nofs_save() and on WQ_MEM_RECLAIM queues. Nothing here waits unkillably for userspace.
 */
#ifndef _WEFT_H
#define _WEFT_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/uuid.h>
#include <net/net_namespace.h>

#include "uapi/weft_payload.h"
#include "uapi/weft_status.h"
#include "uapi/weft_counters.h"

#include "chunk/policy.h"
#include "crypt/crypt.h"
#include "nl/nl.h"
#include "node/node.h"
#include "io/io.h"
#include <linux/percpu_counter.h>

#define WEFT_CLUSTER_NAME_MAX 63
#define WEFT_BUDGET_MIN (16ULL << 20) /* bytes that a mount needs to write at all */
#define WEFT_BUDGET_MAX (1ULL << 44)

/* obs/stats.c: counters of mounts and hosts; an index a line of the table in uapi/weft_counters.h. */
enum weft_mount_counter {
#define WEFT_X(name, id, unit, help) WEFT_MC_##name,
	WEFT_MOUNT_COUNTERS(WEFT_X)
#undef WEFT_X
	WEFT_MC_NR
};

struct weft_cluster {
	struct kref ref;
	struct net *net;              /* not pinned: cleared by the namespace's exit, which ends all waits */
	uuid_t uuid;
	char name[WEFT_CLUSTER_NAME_MAX + 1];
	u32 incarnation;
	struct list_head link;        /* in the namespace's list, nl/cluster.c */

	struct weft_nl_cluster nl;
	struct weft_node_cluster node;
};

/* Why a mount is no longer of use; 0 while it is. */
enum weft_mount_state {
	WEFT_MOUNT_LIVE = 0,
	WEFT_MOUNT_FORCED,            /* umount -f or ABORT: every wait ends with -EIO until the last umount */
	WEFT_MOUNT_LOST,              /* the session was closed by the metadata service */
};

struct weft_mount {
	struct super_block *sb;
	struct weft_cluster *cluster; /* a reference */
	char volume_name[WEFT_NAME_MAX + 1];
	uuid_t client;                /* made here; names the mount to the metadata service */
	u64 session;
	struct weft_request *umount;  /* made with the session, for its end */
	u64 volume;
	u64 domain;                   /* whose groups it writes to: its own number, or that of a volume that it shares with */
	u64 root;
	u32 k, m;
	spinlock_t policy_lock;       /* policy; the innermost lock */
	struct weft_policy policy;    /* of the volume, as it is now: io/policy.c */
	int policy_error;             /* of the last change of it; under weft_cluster.nl.lock */
	u32 ec_min;                   /* this and .flags may change: READ_ONCE */
	u32 inline_max;
	u32 flags;                    /* WEFT_VF_* */
	u32 incarnation;
	bool readonly;
	bool dedup;                   /* chunks have content ids, and are asked for */
	enum weft_mount_state state;  /* WRITE_ONCE/READ_ONCE */
	bool nl_joined, io_started;   /* how far the mount has come; for its end */
	atomic64_t sid_counter;       /* next counter for a stored chunk */
	atomic64_t names_changed;     /* late answers that changed names; see vfs/namei.c */

	spinlock_t statfs_lock;
	struct weft_statfs statfs;    /* the last answer */
	unsigned long statfs_asked;   /* bit 0: a question is under way */

	struct weft_crypt_mount crypt; /* of an encrypted volume: its keys */
	struct weft_nl_mount nl;      /* slots and requests */
	struct weft_io_mount io;      /* budget, units under way */
	struct percpu_counter counters[WEFT_MC_NR];
};

struct weft_inode {
	struct inode vfs;
	u64 ino;
	u64 change;                   /* change attribute of the last answer; under vfs.i_lock */
	u64 parent;                   /* of a directory */
	u32 flags;                    /* WEFT_AF_* */
	u64 policy;                   /* what it sets itself: chunk/policy.h; READ_ONCE */
	char *target;                 /* of a symbolic link, or NULL: not read yet; set once */
	struct timespec64 btime;
	bool readdir_plus;            /* of a directory: somebody looks at what READDIR brings */
	bool bad;                     /* the daemon contradicts itself about this inode: every operation is -EIO */
	bool in_doubt;                /* a change of size, or a CLONE from or to it, was sent and its waiter killed; see vfs/attr.c */
	struct weft_request *forget;  /* made when the last name goes, sent when the inode goes */
	struct weft_io_inode io;
};

static inline struct weft_inode *weft_inode(const struct inode *inode)
{
	return container_of(inode, struct weft_inode, vfs);
}

static inline struct weft_mount *weft_mount(const struct super_block *sb)
{
	return sb->s_fs_info;
}

static inline void weft_count(struct weft_mount *mount, enum weft_mount_counter counter, s64 n)
{
	percpu_counter_add(&mount->counters[counter], n);
}

/* vfs/inode.c, for io/: an answer brought attributes. Size and times of a file that has dirty data are not touched. */
int weft_inode_update(struct inode *inode, const struct weft_attr *attr);

/*
 * vfs/attr.c, for what changes content: waits killably until it is known whether a change of size or a CLONE happened whose
 * waiter was killed. i_rwsem must not be held by a caller that such a change waits for. 0, -EINTR, -EIO when the inode or mount is dead.
 */
int weft_inode_settle(struct inode *inode);

/* vfs/file.c, for weft_file_fops. */
int weft_file_open(struct inode *inode, struct file *file);
int weft_file_release(struct inode *inode, struct file *file);
/* vfs/ioctl.c, likewise. */
long weft_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
/* vfs/clone.c, likewise. */
loff_t weft_remap_file_range(struct file *source, loff_t from, struct file *file, loff_t to, loff_t len,
			     unsigned int flags);

/* obs/event.c: tell the daemon and whoever listens; never sleeps, drops when it cannot. */
__printf(7, 8)
void weft_event(struct weft_cluster *cluster, u32 event, u64 session, u64 ino, u64 offset, u64 group,
		const char *fmt, ...);

#endif /* _WEFT_H */
