// SPDX-License-Identifier: GPL-2.0-only
/* 6.17 "fs: rename struct fileattr" (to file_kattr) */
#include <linux/fs.h>
#include <linux/fileattr.h>

#ifdef PROBE_NEW
static int probe_get(struct dentry *dentry, struct file_kattr *fa)
#else
static int probe_get(struct dentry *dentry, struct fileattr *fa)
#endif
{
	fileattr_fill_flags(fa, 0);
	return 0;
}

const struct inode_operations probe_iops = {
	.fileattr_get = probe_get,
};
