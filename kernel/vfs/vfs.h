/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfs.h - what the files of vfs/ share
 *
 * A volume is mounted by one client at a time, so names (negative ones too), attributes and
 * directory contents stay valid in the VFS's own caches as long as the session lives: nothing is
 * revalidated. i_size, mtime and ctime of regular files are this kernel's word; everything about
 * directories is the metadata service's.
 *
 * Requests are made with at most i_rwsem of the directories and the inode held. Each wait can be
 * ended by a signal that kills, by umount -f and by ABORT.
 */
#ifndef _WEFT_VFS_H
#define _WEFT_VFS_H

#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/unaligned.h>

#include "compat/compat_vfs.h"
#include "weft.h"

#define WEFT_SUPER_MAGIC 0x77656674 /* "weft" */

/* --- params.c: a mount as the administrator asks for it */
struct weft_fs_context {
	struct weft_cluster *cluster;		      /* a reference, once it was found */
	char cluster_name[WEFT_CLUSTER_NAME_MAX + 1]; /* "": the only one */
	char volume_name[WEFT_NAME_MAX + 1];
	u64 budget; /* bytes; 0: not given */
};

int weft_init_fs_context(struct fs_context *fc);

/* --- super.c */
extern struct file_system_type weft_fs_type;
int weft_get_tree(struct fs_context *fc);
int weft_reconfigure(struct fs_context *fc);
int weft_vfs_init(void);
void weft_vfs_exit(void);

/* --- inode.c */
int weft_inodes_init(void);
void weft_inodes_exit(void);
struct inode *weft_inode_alloc(struct super_block *sb);
void weft_inode_free(struct inode *inode);
void weft_inode_evict(struct inode *inode);
/*
 * The inode that the attributes are of, made or brought up to date; with a reference. req: the
 * answer, whose other attributes (target, inline content, extents) come along, or NULL.
 * ERR_PTR(-EPROTO): the attributes are nonsense.
 */
struct inode *weft_inode_get(struct super_block *sb, const struct weft_attr *attr,
			     const struct weft_request *req);
/* The same from an answer's attribute, which may be missing: -EPROTO. */
struct inode *weft_inode_from(struct super_block *sb, const struct nlattr *attr,
			      const struct weft_request *req);
/* The cached inode of that number, or NULL. */
struct inode *weft_inode_find(struct super_block *sb, u64 ino);
int weft_inode_update_from(struct inode *inode, const struct nlattr *attr);
/* From here on every operation on the inode fails; why is said in the kernel's log. */
void weft_inode_set_bad(struct inode *inode, const char *why);
/*
 * A request that tells that the inode is unused, kept in the inode until then. Before an operation
 * that may drop its last name.
 */
int weft_inode_prepare_forget(struct inode *inode);
int weft_permitted(struct inode *inode);

/* --- attr.c */
int weft_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr);
int weft_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat, u32 mask,
		 unsigned int flags);
extern const struct inode_operations weft_file_iops, weft_special_iops;
/* What the inode sets itself becomes own. i_rwsem is held. */
int weft_setattr_policy(struct inode *inode, u64 own);
/*
 * What will become of its content is in doubt from before a request is sent until its answer came;
 * if that is to come to nobody, the inode is marked dirty and .abandoned ends it.
 */
void weft_inode_doubt(struct inode *inode);
void weft_inode_doubt_end(struct inode *inode);
/* The present time of the cluster, as the wire has it. */
struct weft_time weft_time_now(struct super_block *sb);
struct weft_time weft_time_encode(struct timespec64 time);

/* --- xattr.c */
extern const struct xattr_handler *const weft_xattr_handlers[];
ssize_t weft_listxattr(struct dentry *dentry, char *buffer, size_t size);

/* --- namei.c, dir.c, symlink.c */
extern const struct inode_operations weft_dir_iops, weft_symlink_iops;
extern const struct file_operations weft_dir_fops;
/* 1 .. 255 bytes, no NUL, no '/', not "." or "..". */
bool weft_name_valid(const char *name, size_t len);
/*
 * An answer came that shows the directory before what is known of it: what it brought is not to be
 * cached.
 */
bool weft_dir_answer_stale(struct inode *dir, const struct weft_request *req);
/* Keeps the target that an answer brought. -EPROTO, -ENOMEM, -ENOKEY. */
int weft_symlink_set(struct inode *inode, const struct nlattr *target);


/*
 * --- seal.c: names and targets of an encrypted volume, as the metadata service has them; of others they are what they are
 */
struct weft_wire_name {
	const char *name;
	size_t len;
	u8 sealed[WEFT_NAME_MAX];
};
/* new: a name that is to be made, for which there has to be a key. -ENOKEY, -ENAMETOOLONG. */
int weft_name_to_wire(struct inode *dir, const struct qstr *name, bool new, struct weft_wire_name *wire);
/*
 * What programs see of a name that an answer has: at @out, room for WEFT_NAME_MAX bytes, or where it stood. Returns its
 * length, or -EPROTO: nobody with this key has made it.
 */
int weft_name_from_wire(struct weft_mount *mount, u64 dir, const char *name, size_t len, u8 *out, const char **shown);
/* A target sealed: kmalloc()ed text. */
char *weft_target_to_wire(struct inode *dir, const char *target);
/* The same opened. ERR_PTR(-EPROTO), -ENOKEY, -ENOMEM. */
char *weft_target_from_wire(struct weft_mount *mount, const void *text, size_t len);
/* How long a target is that is so long sealed. */
u64 weft_target_len(const struct weft_mount *mount, u64 wire_len);

#endif /* _WEFT_VFS_H */
