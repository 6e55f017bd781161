// SPDX-License-Identifier: GPL-2.0-only
/* 6.17 "new helper: set_default_d_op()"; sb->s_d_op went with it. */
#include <linux/dcache.h>
#include <linux/fs.h>

void probe_set(struct super_block *sb, const struct dentry_operations *ops);
void probe_set(struct super_block *sb, const struct dentry_operations *ops)
{
#ifdef PROBE_NEW
	set_default_d_op(sb, ops);
#else
	sb->s_d_op = ops;
#endif
}
