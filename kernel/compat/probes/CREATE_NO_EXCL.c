// SPDX-License-Identifier: GPL-2.0-only
/* 7.x: inode_operations.create lost its bool excl, which was always true for who looks at it. */
#include <linux/fs.h>

#ifdef PROBE_NEW
static int probe_create(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
			umode_t mode)
#else
static int probe_create(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
			umode_t mode, bool excl)
#endif
{
	return 0;
}

const struct inode_operations probe_iops = {
	.create = probe_create,
};
