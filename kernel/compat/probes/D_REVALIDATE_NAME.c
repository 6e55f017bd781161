// SPDX-License-Identifier: GPL-2.0-only
/* 6.14 "Pass parent directory inode and expected name to ->d_revalidate()" */
#include <linux/dcache.h>

#ifdef PROBE_NEW
static int probe_revalidate(struct inode *dir, const struct qstr *name, struct dentry *dentry,
			    unsigned int flags)
#else
static int probe_revalidate(struct dentry *dentry, unsigned int flags)
#endif
{
	return 1;
}

const struct dentry_operations probe_dops = {
	.d_revalidate = probe_revalidate,
};
