// SPDX-License-Identifier: GPL-2.0-only
/*
 * Symbolic links. The target never changes: it is read once and kept until the inode is freed,
 * after a grace period.
 */
#include <linux/slab.h>

#include "vfs/vfs.h"

int weft_symlink_set(struct inode *inode, const struct nlattr *target)
{
	struct weft_mount *mount = weft_mount(inode->i_sb);
	struct weft_inode *wi = weft_inode(inode);
	size_t len = nla_len(target);
	char *text;

	if (READ_ONCE(wi->target))
		return 0;
	if (memchr(nla_data(target), '\0', len) ||
	    weft_target_len(mount, len) != i_size_read(inode))
		return -EPROTO;
	if (mount->crypt.encrypted)
		text = weft_target_from_wire(mount, nla_data(target), len);
	else
		text = kmemdup_nul(nla_data(target), len, GFP_KERNEL) ?: ERR_PTR(-ENOMEM);
	if (IS_ERR(text))
		return PTR_ERR(text);
	/* Readers under RCU see the bytes once they see the pointer. */
	if (cmpxchg_release(&wi->target, NULL, text))
		kfree(text);
	return 0;
}

static int symlink_read(struct inode *inode)
{
	struct weft_mount *mount = weft_mount(inode->i_sb);
	const struct nlattr *tb[WEFT_P_NR];
	struct weft_request *req;
	int error;

	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_READLINK, 3, 16, GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	req->ino = weft_inode(inode)->ino;
	weft_request_add_u64(req, WEFT_P_INO, req->ino);
	error = weft_request_call(req);
	if (!error)
		error = weft_answer_parse(req, tb);
	if (!error)
		error = tb[WEFT_P_TARGET] ? weft_symlink_set(inode, tb[WEFT_P_TARGET]) : -EPROTO;
	weft_request_put(req);
	return error;
}

static const char *symlink_get_link(struct dentry *dentry, struct inode *inode,
				    struct delayed_call *done)
{
	/* Pairs with the release in weft_symlink_set(): with the pointer the text is there. */
	const char *target = smp_load_acquire(&weft_inode(inode)->target);
	int error;

	if (target)
		return target;
	if (!dentry)
		return ERR_PTR(-ECHILD);
	error = weft_permitted(inode) ?: symlink_read(inode);
	if (error)
		return ERR_PTR(error);
	/* Pairs as above. */
	return smp_load_acquire(&weft_inode(inode)->target);
}

const struct inode_operations weft_symlink_iops = {
	.get_link = symlink_get_link,
	.getattr = weft_getattr,
	.setattr = weft_setattr,
};
