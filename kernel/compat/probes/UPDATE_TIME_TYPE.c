// SPDX-License-Identifier: GPL-2.0-only
/* 7.x: inode_operations.update_time says what is updated by an enum, and takes IOCB flags beside it. */
#include <linux/fs.h>

#ifdef PROBE_NEW
static int probe_update_time(struct inode *inode, enum fs_update_time type, unsigned int flags)
{
	return generic_update_time(inode, FS_UPD_CMTIME, flags);
}
#else
static int probe_update_time(struct inode *inode, int flags)
{
	return generic_update_time(inode, S_MTIME | S_CTIME);
}
#endif

const struct inode_operations probe_iops = {
	.update_time = probe_update_time,
};
