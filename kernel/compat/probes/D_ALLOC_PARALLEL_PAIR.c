// SPDX-License-Identifier: GPL-2.0-only
/* 7.1: d_alloc_parallel() keeps its wait queue in the dentry; before, the caller provided one. */
#include <linux/dcache.h>
#include <linux/wait.h>

struct dentry *probe(struct dentry *parent, const struct qstr *name);
struct dentry *probe(struct dentry *parent, const struct qstr *name)
{
#ifdef PROBE_NEW
	return d_alloc_parallel(parent, name);
#else
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(wait);

	return d_alloc_parallel(parent, name, &wait);
#endif
}
