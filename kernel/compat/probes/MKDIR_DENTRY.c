// SPDX-License-Identifier: GPL-2.0-only
/* 6.15 "Change inode_operations.mkdir to return struct dentry *" */
#include <linux/fs.h>

#ifdef PROBE_NEW
static struct dentry *probe_mkdir(struct mnt_idmap *idmap, struct inode *dir,
				  struct dentry *dentry, umode_t mode)
{
	return NULL;
}
#else
static int probe_mkdir(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
		       umode_t mode)
{
	return 0;
}
#endif

const struct inode_operations probe_iops = {
	.mkdir = probe_mkdir,
};
