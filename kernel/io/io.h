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
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "chunk/codec.h"
#include "uapi/weft_payload.h"

struct inode;
struct seq_file;
struct shrinker;
struct weft_ask;
struct weft_commit_job;
struct weft_inode;
struct weft_mount;
struct weft_request;
struct writeback_control;

/* Embedded in struct weft_mount. */
struct weft_io_mount {
	u64 budget;                   /* bytes that may be dirty or under way */
	atomic64_t used;
	u64 bound;                    /* of INFLIGHT_BYTES, as the mount's counters have it; by xchg() */

	spinlock_t lock;              /* all up to lru; also weft_commit_job.inode and .running */
	unsigned int units;           /* whose bytes are on their way to the stores */
	unsigned int units_max;
	u64 unit_bytes;               /* plaintext of these */
	u64 unit_bytes_max;
	unsigned int small;           /* the same for units that were copied: they pin no page */
	unsigned int small_max;
	struct list_head closed;      /* inodes whose last writer has gone: written at once */
	struct list_head held;        /* inodes with a tail that waits for more, oldest first */
	struct list_head parked;      /* inodes whose units came back because nothing could move */
	struct list_head commits;     /* COMMITs under way, oldest first */
	struct list_head lru;         /* inodes with cached extents */
	struct list_head unasked;     /* units whose content is to be asked for; these under the lock as well */
	struct weft_ask *ask;         /* the question under way, until it is overdue */
	bool asking;                  /* one is made or under way */
	bool ask_late;                /* it is overdue */

	atomic_long_t extents;        /* cached */
	struct shrinker *shrinker;    /* of extents */
	atomic_t jobs;                /* reads, units and commits that may still touch the mount */
	wait_queue_head_t wait;       /* for units and small to fall, for jobs to end */
	struct rw_semaphore commit_sem; /* shared: an answer is being worked in; exclusive: stalled commits are detached */
	struct delayed_work due;      /* writes what the lists above name */
	struct delayed_work watch;    /* detaches what is stalled; apart, because writing may wait for slots */
	struct delayed_work ask_watch; /* lets go what waits for an answer for too long */
	struct work_struct flush;     /* the budget is short: write whatever can be written */
	struct workqueue_struct *wq;  /* WQ_MEM_RECLAIM | WQ_UNBOUND, for due */
	mempool_t *unit_pool;         /* the reserve: enough to write without any other memory */
	mempool_t *buffer_pool;
	struct weft_codec_pool pack_pool; /* of a volume with a codec */
	bool stopping;                /* due and watch are not armed any more */
	struct delayed_work expire;   /* from a plain umount on: ends the mount when nothing moves for too long */
	unsigned long moved;          /* jiffies: of the last COMMIT that went well, or of the umount */
	bool put_failed;              /* a unit could not be stored, and no COMMIT went well since */
};

/* Embedded in struct weft_inode. */
struct weft_io_inode {
	struct mutex cut_lock;        /* one cutter an inode; held over a change of size */

	spinlock_t extent_lock;       /* all up to unit_wait */
	struct rb_root extents;       /* cached extents and known holes by offset */
	unsigned int n_extents;
	u64 extents_gen;              /* grows when something known is forgotten: older answers are not believed */
	u64 committed_size;           /* what the metadata service has */
	u64 flushed_size;             /* all below was committed once, an fsync() has seen to that */
	u64 resizes;                  /* how often the size was changed by truncation */
	u64 mapped_end;               /* nothing lies behind this in the metadata service */
	u64 sequence;                 /* of COMMIT and truncation */
	u64 committed;                /* of the last COMMIT that was answered well */
	u64 failed;                   /* of the last that was not */
	void *inline_data;            /* content that came with an answer or went with a COMMIT, or NULL: not known */
	u32 inline_len;
	bool is_inline;               /* the metadata service has the content inline */
	bool no_inline;               /* the content grows out of inline: commit it as chunks */
	bool commit_hold;             /* the size is being changed, or a CLONE is under way: COMMITs wait */
	struct weft_commit_job *commit; /* the one under way, or NULL */
	struct list_head units;       /* open, under way or waiting for their COMMIT, by id */
	struct list_head ready;       /* of these: those that wait for a COMMIT */
	u64 unit_id;                  /* of the youngest */
	u64 redirtied;                /* how many units came back */
	u64 held;                     /* of these: because they may still grow */
	u64 cut_pos;                  /* of the folio that is being cut; U64_MAX: none */
	int commit_error;             /* of .failed */
	wait_queue_head_t unit_wait;  /* units, commit, pages that a unit reads */

	unsigned long unshared_until; /* jiffies | 1; 0: units are asked for. See dedup.c */
	u64 write_end;                /* of the last write(); this and scattered under i_rwsem */
	u8 scattered;                 /* see weft_io_scattered() */

	unsigned long flags;          /* WEFT_IO_* */
	unsigned long tail_since;     /* jiffies | 1 since a tail is held, or 0; under cut_lock, as is: */
	u64 tail_pos;                 /* where it begins */

	struct list_head lru;         /* in weft_io_mount.lru; these under weft_io_mount.lock */
	struct list_head due_link;    /* in weft_io_mount.closed, .held or .parked */
	unsigned long due_time;       /* jiffies */
	u8 due;                       /* enum weft_io_due */
};

extern const struct address_space_operations weft_aops;
extern const struct file_operations weft_file_fops; /* open and release call vfs/file.c's functions */

int weft_io_mount_init(struct weft_mount *mount);     /* after the session is there; sets up sb->s_bdi */
void weft_io_mount_exit(struct weft_mount *mount);    /* after the last inode is gone; also after a failed init */
void weft_io_inode_init(struct weft_inode *inode);    /* at alloc_inode */
/* A new inode of type file: size, operations, folio orders. */
void weft_io_inode_setup(struct weft_inode *inode, const struct weft_attr *attr);
/* Pages are gone already; drops extents; never waits for the daemon. */
void weft_io_inode_evict(struct weft_inode *inode);

/* An answer (LOOKUP, GETATTR, CREATE) brought inline content or extents: keep them. Bad ones are ignored. */
void weft_io_inode_prime(struct weft_inode *inode, const struct weft_request *req);

/*
 * Around a SETATTR that changes the size (i_rwsem held by the caller, exclusively). begin: waits killably for units that touch
 * what is cut, takes invalidate_lock, zeroes the tail when the file grows; returns 0 or -errno (then no end). end: with error 0
 * the new size stands: cuts the page cache and the extents; otherwise leaves all as it was.
 */
int weft_io_resize_begin(struct inode *inode, loff_t size);
void weft_io_resize_end(struct inode *inode, loff_t size, int error);
/*
 * Around CLONEs of ranges of source to pos of inode, which may be the same file, with i_rwsem of both held exclusively; all
 * waits are killable and return 0 or -errno. prepare: commits all that is dirty, with what is inline in chunks where it has to
 * be (len 0: to the end of source). lock: takes invalidate_lock of both, commits what came in between. begin: keeps both from
 * being cut and committed. done: len bytes at pos are new; is_inline: and so is the whole file's content, in the metadata;
 * an error: what the page cache holds is not what the file is now.
 * Source NULL: only the destination, of which nothing is dirty.
 */
int weft_io_clone_prepare(struct inode *source, struct inode *inode, loff_t from, loff_t pos, loff_t len);
int weft_io_clone_lock(struct inode *source, struct inode *inode);
int weft_io_clone_begin(struct inode *source, struct inode *inode);
int weft_io_clone_done(struct inode *inode, loff_t pos, loff_t len, bool is_inline);
void weft_io_clone_end(struct inode *source, struct inode *inode);
void weft_io_clone_unlock(struct inode *source, struct inode *inode);
/* weft_inode.in_doubt has just become false: COMMITs that waited for that go on. */
void weft_io_settled(struct weft_inode *inode);

/* Write back and commit everything of the inode (0: all of it), killable. What fsync and rename-over use. */
int weft_io_flush(struct inode *inode);

/*
 * What of [pos, end) is in chunks under another key than newest is made dirty; *done bytes are. i_rwsem is held exclusively.
 * Killable. 0 or -errno.
 */
int weft_io_rewrite(struct inode *inode, u64 pos, u64 end, u32 newest, u64 *done);

/* The last writer closed the file: its writeback starts, nobody waits. */
void weft_io_close(struct inode *inode);

/*
 * Around a SETATTR of a regular file's times: a COMMIT that is under way carries the old ones and may be applied after it.
 * end: the inode has its new times; they are committed once more if so.
 */
u64 weft_io_times_begin(struct inode *inode);
void weft_io_times_end(struct inode *inode, u64 token);

/* A request that is about to be made says the times as they are now; back: it has not, they are to be committed. */
void weft_io_times_take(struct inode *inode);
void weft_io_times_back(struct inode *inode);

/*
 * --- policy.c: how new content is cut and compressed. take: what a volume's record says, when it is mounted: 0, -EPROTO,
 * -EOPNOTSUPP: not known here, -ENOPKG: a codec without a library. update: it may have changed; told under a spinlock. try: what is
 * wrong with settings of a directory or file, or NULL.
 */
int weft_policy_take(struct weft_mount *mount, const struct weft_volume_info *info);
void weft_policy_update(struct weft_mount *mount, const struct weft_volume_info *info);
const char *weft_policy_try(struct weft_mount *mount, u64 own);
/* For mountstats: chunker, sizes (min, mean, max, random), codec, level. */
void weft_policy_show(struct seq_file *seq, struct weft_mount *mount);

/* For super_operations. write_inode: times that no data carries. sync: waits killably for what was parked. */
int weft_io_write_inode(struct inode *inode, struct writeback_control *wbc);
int weft_io_sync(struct weft_mount *mount);

/* The mount's budget from now on; who waits for a share of it tries again. Does not sleep. */
void weft_io_budget_set(struct weft_mount *mount, u64 budget);

/*
 * umount -f and lost sessions: dirty data is thrown away with an event naming the file; waits end. The caller has set
 * mount->state and aborts requests and jobs of node/ as well. Does not wait.
 */
void weft_io_mount_abort(struct weft_mount *mount);
/*
 * Before a plain umount, with s_umount held: writes everything; when nothing was committed for 30 s the mount ends as by umount -f,
 * and what is left is dropped with an event and a log line. No writeback is left when it returns. That end holds until
 * weft_io_mount_exit(), for whatever the VFS still writes.
 */
void weft_io_mount_drain(struct weft_mount *mount);

int weft_io_init(void);
void weft_io_exit(void);

#endif /* _WEFT_IO_H */
