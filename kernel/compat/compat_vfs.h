/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VFS of 7.3, on kernels from 6.12 on.
 *
 * Functions are written in the shape that 7.3 calls. Where an operation had another shape before, its definition is
 * followed by WEFT_THUNK_<OPERATION>(function), and the table of operations names WEFT_OP_<OPERATION>(function):
 *
 *	static struct dentry *dir_mkdir(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry, umode_t mode)
 *	{ ... }
 *	WEFT_THUNK_MKDIR(dir_mkdir);
 *
 *	const struct inode_operations weft_dir_iops = { .mkdir = WEFT_OP_MKDIR(dir_mkdir), ... };
 *
 * Everything else here gives an old kernel the new name.
 */
#ifndef WEFT_COMPAT_VFS_H
#define WEFT_COMPAT_VFS_H

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fileattr.h>

#include "probed.h"

/* What a thunk is where none is needed; it takes the semicolon. */
#define WEFT_NO_THUNK(fn) static_assert(true)

/* inode_operations.create: 7.3 has no "bool excl". */
#ifdef HAVE_CREATE_NO_EXCL
#define WEFT_THUNK_CREATE(fn) WEFT_NO_THUNK(fn)
#define WEFT_OP_CREATE(fn) fn
#else
#define WEFT_THUNK_CREATE(fn)									\
	static int fn##_thunk(struct mnt_idmap *idmap, struct inode *dir,			\
			      struct dentry *dentry, umode_t mode, bool excl)			\
	{											\
		return fn(idmap, dir, dentry, mode);						\
	}											\
	WEFT_NO_THUNK(fn)
#define WEFT_OP_CREATE(fn) fn##_thunk
#endif

/*
 * inode_operations.mkdir: returns NULL, an ERR_PTR, or the dentry that took the place of the one it was given. An old
 * kernel cannot be told of another dentry, it looks the name up again.
 */
#ifdef HAVE_MKDIR_DENTRY
#define WEFT_THUNK_MKDIR(fn) WEFT_NO_THUNK(fn)
#define WEFT_OP_MKDIR(fn) fn
#else
#define WEFT_THUNK_MKDIR(fn)									\
	static int fn##_thunk(struct mnt_idmap *idmap, struct inode *dir,			\
			      struct dentry *dentry, umode_t mode)				\
	{											\
		struct dentry *other = fn(idmap, dir, dentry, mode);				\
												\
		if (!IS_ERR_OR_NULL(other)) {							\
			d_drop(dentry);								\
			dput(other);								\
		}										\
		return PTR_ERR_OR_ZERO(other);							\
	}											\
	WEFT_NO_THUNK(fn)
#define WEFT_OP_MKDIR(fn) fn##_thunk
#endif

/*
 * inode_operations.update_time: 7.3 says by an enum what is updated; flags are IOCB_NOWAIT or nothing. Callers of
 * 6.12 never ask for non-blocking updates here.
 */
#ifdef HAVE_UPDATE_TIME_TYPE
#define WEFT_THUNK_UPDATE_TIME(fn) WEFT_NO_THUNK(fn)
#define WEFT_OP_UPDATE_TIME(fn) fn
#define weft_generic_update_time generic_update_time
#else
enum fs_update_time {
	FS_UPD_ATIME,
	FS_UPD_CMTIME,
};

static inline int weft_generic_update_time(struct inode *inode, enum fs_update_time type,
					   unsigned int flags)
{
	return generic_update_time(inode, type == FS_UPD_ATIME ? S_ATIME :
				   S_MTIME | S_CTIME | S_VERSION);
}

#define WEFT_THUNK_UPDATE_TIME(fn)								\
	static int fn##_thunk(struct inode *inode, int flags)					\
	{											\
		return fn(inode, flags & (S_MTIME | S_CTIME) ? FS_UPD_CMTIME : FS_UPD_ATIME, 0);	\
	}											\
	WEFT_NO_THUNK(fn)
#define WEFT_OP_UPDATE_TIME(fn) fn##_thunk
#endif

/*
 * dentry_operations.d_revalidate: 7.3 hands in the parent's inode and the name that is looked up. The thunk finds the
 * parent by itself; the name it gives may be changing under a rename when LOOKUP_RCU is set, as it always was there.
 */
#ifdef HAVE_D_REVALIDATE_NAME
#define WEFT_THUNK_D_REVALIDATE(fn) WEFT_NO_THUNK(fn)
#define WEFT_OP_D_REVALIDATE(fn) fn
#else
#define WEFT_THUNK_D_REVALIDATE(fn)								\
	static int fn##_thunk(struct dentry *dentry, unsigned int flags)			\
	{											\
		struct dentry *parent;								\
		struct inode *dir;								\
		int ret;									\
												\
		if (flags & LOOKUP_RCU) {							\
			dir = d_inode_rcu(READ_ONCE(dentry->d_parent));				\
			return dir ? fn(dir, &dentry->d_name, dentry, flags) : -ECHILD;		\
		}										\
		parent = dget_parent(dentry);							\
		ret = fn(d_inode(parent), &dentry->d_name, dentry, flags);			\
		dput(parent);									\
		return ret;									\
	}											\
	WEFT_NO_THUNK(fn)
#define WEFT_OP_D_REVALIDATE(fn) fn##_thunk
#endif

/* d_alloc_parallel(): wait is the caller's until the dentry is not in lookup any more; 7.x has no need of it. */
#ifdef HAVE_D_ALLOC_PARALLEL_PAIR
#define weft_d_alloc_parallel(parent, name, wait) ((void)(wait), d_alloc_parallel(parent, name))
#else
#define weft_d_alloc_parallel(parent, name, wait) d_alloc_parallel(parent, name, wait)
#endif

#ifndef HAVE_SET_DEFAULT_D_OP
static inline void set_default_d_op(struct super_block *sb, const struct dentry_operations *ops)
{
	sb->s_d_op = ops;
}
#endif

#ifndef HAVE_INODE_JUST_DROP
#define inode_just_drop generic_delete_inode
#endif

#ifndef HAVE_INODE_STATE_ACCESSORS
static inline unsigned long inode_state_read_once(struct inode *inode)
{
	return READ_ONCE(inode->i_state);
}

/* The inode's i_lock is held. */
static inline unsigned long inode_state_read(struct inode *inode)
{
	lockdep_assert_held(&inode->i_lock);
	return inode->i_state;
}

static inline void inode_state_set(struct inode *inode, unsigned long flags)
{
	lockdep_assert_held(&inode->i_lock);
	WRITE_ONCE(inode->i_state, inode->i_state | flags);
}

static inline void inode_state_clear(struct inode *inode, unsigned long flags)
{
	lockdep_assert_held(&inode->i_lock);
	WRITE_ONCE(inode->i_state, inode->i_state & ~flags);
}
#endif

#ifndef HAVE_FILE_KATTR
#define file_kattr fileattr
#endif

/* i_ino is unsigned long or u64: print it through this, as %llu. */
static inline unsigned long long weft_inode_number(const struct inode *inode)
{
	return inode->i_ino;
}

#endif /* WEFT_COMPAT_VFS_H */
