// SPDX-License-Identifier: GPL-2.0-only
/* 6.19 "fs: provide accessors for ->i_state" */
#include <linux/fs.h>

bool probe_new(struct inode *inode);
bool probe_new(struct inode *inode)
{
#ifdef PROBE_NEW
	return inode_state_read_once(inode) & I_NEW;
#else
	return READ_ONCE(inode->i_state) & I_NEW;
#endif
}
