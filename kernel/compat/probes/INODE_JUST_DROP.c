// SPDX-License-Identifier: GPL-2.0-only
/* 6.18 "fs: rename generic_delete_inode() and generic_drop_inode()" */
#include <linux/fs.h>

const struct super_operations probe_sops = {
#ifdef PROBE_NEW
	.drop_inode = inode_just_drop,
#else
	.drop_inode = generic_delete_inode,
#endif
};
