/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io.h - files' content: page cache, extents, writeback, commits
 *
 * i_size, mtime and ctime of a file are this kernel's word while it has the volume; COMMIT and SETATTR carry them to the
 * metadata service. Dirty state is kept in blocks of 4 KiB a folio. A unit is what becomes one chunk; units of one mount
 * are bounded in number and bytes. A folio ends writeback only after the COMMIT that covers it was answered, or when the
 * unit is parked (dirty again) because nothing can move.
 */
#ifndef _WEFT_IO_H
#define _WEFT_IO_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "uapi/weft_payload.h"

struct inode;
struct weft_inode;
struct weft_mount;
struct weft_request;

/* Embedded in struct weft_mount. */
struct weft_io_mount {
	spinlock_t lock;
	u64 budget;                   /* bytes that may be dirty or under way */
	atomic64_t used;
	wait_queue_head_t budget_wait;
	unsigned int units;           /* under way */
	unsigned int units_max;
	wait_queue_head_t units_wait;
	struct list_head parked;      /* inodes with parked units */
	struct delayed_work retry;
	struct workqueue_struct *wq;  /* WQ_MEM_RECLAIM | WQ_UNBOUND */
};

/* Embedded in struct weft_inode. */
struct weft_io_inode {
	struct mutex cut_lock;        /* one cutter an inode */
	spinlock_t extent_lock;       /* extents, known_*, inline_* */
	struct rb_root extents;       /* cached extents and known holes by offset */
	struct list_head lru;         /* in the mount's list of inodes with cached extents, for the shrinker */
	u64 committed_size;           /* what the metadata service has */
	u64 sequence;                 /* of COMMIT and truncation */
	void *inline_data;            /* content that came with an answer, or NULL */
	u32 inline_len;
	bool is_inline;
	unsigned int units;           /* under way or parked; evict waits for zero */
	struct list_head unit_list;
	wait_queue_head_t unit_wait;
	errseq_t commit_err;
};

extern const struct address_space_operations weft_aops;
extern const struct file_operations weft_file_fops; /* open and release call vfs/file.c's functions */

int weft_io_mount_init(struct weft_mount *mount);     /* after the session is there */
void weft_io_mount_exit(struct weft_mount *mount);    /* after the last inode is gone */
void weft_io_inode_init(struct weft_inode *inode);    /* at alloc_inode */
void weft_io_inode_setup(struct weft_inode *inode, const struct weft_attr *attr); /* a new inode of type file: sizes, aops, folio orders */
void weft_io_inode_evict(struct weft_inode *inode);   /* pages are gone already; drops extents; never waits for the daemon */

/* An answer (LOOKUP, GETATTR, CREATE) brought inline content or extents: keep them. Bad ones are ignored. */
void weft_io_inode_prime(struct weft_inode *inode, const struct weft_request *req);

/*
 * Around a SETATTR that changes the size (i_rwsem held by the caller, exclusively). begin: waits killably for units that touch
 * what is cut, takes invalidate_lock, zeroes the tail when the file grows; returns 0 or -errno (then no end). end: with error 0
 * the new size stands: cuts the page cache and the extents; otherwise leaves all as it was.
 */
int weft_io_resize_begin(struct inode *inode, loff_t size);
void weft_io_resize_end(struct inode *inode, loff_t size, int error);

/* Write back and commit everything of the inode (0: all of it), killable. What fsync and rename-over use. */
int weft_io_flush(struct inode *inode);

/* umount -f and lost sessions: dirty data is thrown away with an event naming the file; waits end. */
void weft_io_mount_abort(struct weft_mount *mount);
/* Before a plain umount: tries for 30 s to write everything; then drops what is left with an event and a log line. */
void weft_io_mount_drain(struct weft_mount *mount);

int weft_io_init(void);
void weft_io_exit(void);

#endif /* _WEFT_IO_H */
