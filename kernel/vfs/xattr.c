// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes weft.NAME of directories and files: what they set themselves of the volume's
 * policies. They are no stored attributes but settings of the inode: a fixed list of names, values
 * that are checked, and what is made in a directory begins with the directory's.
 *
 * Whoever may read the inode sees them; its owner and CAP_SYS_ADMIN set them. What is wrong with a
 * value is said in the kernel's log, for setxattr(2) has room for a number only.
 */
#include <linux/xattr.h>

#include "vfs/vfs.h"

#define XATTR_WEFT_PREFIX "weft."

static bool own_allowed(const struct inode *inode)
{
	return S_ISREG(inode->i_mode) || S_ISDIR(inode->i_mode);
}

static int own_get(const struct xattr_handler *handler, struct dentry *dentry, struct inode *inode,
		   const char *name, void *buffer, size_t size)
{
	int setting = weft_own_find(name);
	char text[WEFT_OWN_TEXT_MAX];
	size_t len;

	if (!own_allowed(inode))
		return -EOPNOTSUPP;
	len = setting < 0 ? 0 : weft_own_show(READ_ONCE(weft_inode(inode)->policy), setting, text);
	if (!len)
		return -ENODATA;
	if (!buffer)
		return len;
	if (size < len)
		return -ERANGE;
	memcpy(buffer, text, len);
	return len;
}

static int own_refused(struct inode *inode, const char *name, const char *wrong)
{
	pr_notice_ratelimited("weft: volume %s: %s%.64s of inode %llu was not set: %s\n",
			      weft_mount(inode->i_sb)->volume_name, XATTR_WEFT_PREFIX, name,
			      weft_inode(inode)->ino, wrong);
	return -EINVAL;
}

/* What the settings are to be. i_rwsem is held: nobody else changes them. */
static int own_change(struct inode *inode, const char *name, const void *value, size_t size,
		      int flags, u64 *own)
{
	int setting = weft_own_find(name);
	char text[WEFT_OWN_TEXT_MAX];
	const char *wrong;
	bool is_set;

	*own = weft_inode(inode)->policy;
	is_set = setting >= 0 && weft_own_show(*own, setting, text);
	if ((flags & XATTR_CREATE) && is_set)
		return -EEXIST;
	if (((flags & XATTR_REPLACE) || !value) && !is_set)
		return -ENODATA;
	if (setting < 0)
		return own_refused(inode, name, "there is no such setting");
	if (!value) {
		/* What is left may be of no use alone, and does no harm then. */
		weft_own_unset(own, setting);
		return 0;
	}
	wrong = weft_own_set(own, setting, value, size);
	if (!wrong)
		wrong = weft_policy_try(weft_mount(inode->i_sb), *own);
	return wrong ? own_refused(inode, name, wrong) : 0;
}

static int own_set(const struct xattr_handler *handler, struct mnt_idmap *idmap,
		   struct dentry *dentry, struct inode *inode, const char *name, const void *value,
		   size_t size, int flags)
{
	u64 own;
	int error;

	if (!own_allowed(inode))
		return -EOPNOTSUPP;
	if (!inode_owner_or_capable(idmap, inode) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	error = weft_permitted(inode);
	if (!error)
		error = own_change(inode, name, value, size, flags, &own);
	return error ?: weft_setattr_policy(inode, own);
}

static const struct xattr_handler own_handler = {
	.prefix = XATTR_WEFT_PREFIX,
	.get = own_get,
	.set = own_set,
};

const struct xattr_handler *const weft_xattr_handlers[] = {
	&own_handler,
	NULL
};

/* The names of what is set, each with its NUL; how many bytes that are or would be. */
static ssize_t own_list(struct inode *inode, char *buffer, size_t size)
{
	u64 own = READ_ONCE(weft_inode(inode)->policy);
	char text[WEFT_OWN_TEXT_MAX];
	ssize_t done = 0;

	for (unsigned int i = 0; i < WEFT_OWN_NR; i++) {
		size_t len = strlen(XATTR_WEFT_PREFIX) + strlen(weft_own_name(i)) + 1;

		if (!weft_own_show(own, i, text))
			continue;
		if (buffer && len > size - done)
			return -ERANGE;
		if (buffer)
			snprintf(buffer + done, len, "%s%s", XATTR_WEFT_PREFIX, weft_own_name(i));
		done += len;
	}
	return done;
}

ssize_t weft_listxattr(struct dentry *dentry, char *buffer, size_t size)
{
	struct inode *inode = d_inode(dentry);

	return weft_permitted(inode) ?: own_list(inode, buffer, size);
}
