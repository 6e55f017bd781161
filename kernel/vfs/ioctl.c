// SPDX-License-Identifier: GPL-2.0-only
/* What has no system call of its own: the keys of an encrypted volume (uapi/weft_key.h). */
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/uaccess.h>

#include "uapi/weft_key.h"
#include "vfs/vfs.h"

static long key_state(struct weft_mount *mount, void __user *to)
{
	struct weft_key_state state;

	weft_crypt_state(mount, &state);
	return copy_to_user(to, &state, sizeof(state)) ? -EFAULT : 0;
}

static long key_unload(struct weft_mount *mount, const __u32 __user *from)
{
	u32 flags;

	if (get_user(flags, from))
		return -EFAULT;
	if (flags & ~WEFT_KEY_FORCE)
		return -EINVAL;
	return weft_crypt_unload(mount, flags & WEFT_KEY_FORCE);
}

static int rewrite_locked(struct inode *inode, struct weft_key_rewrite *range)
{
	struct weft_mount *mount = weft_mount(inode->i_sb);
	struct weft_crypt *crypt = weft_crypt_get(mount);
	u32 newest;
	int error;

	if (!crypt)
		return -ENOKEY;
	newest = crypt->keys[crypt->n_keys - 1].id;
	weft_crypt_put(crypt);
	error = weft_inode_settle(inode);
	if (error)
		return error;
	return weft_io_rewrite(inode, range->offset, range->offset + range->length, newest,
			       &range->done);
}

static long key_rewrite(struct file *file, void __user *arg)
{
	struct inode *inode = file_inode(file);
	struct weft_key_rewrite range;
	int error;

	if (copy_from_user(&range, arg, sizeof(range)))
		return -EFAULT;
	if (!S_ISREG(inode->i_mode) || range.length > WEFT_KEY_REWRITE_MAX ||
	    range.offset > S64_MAX - range.length)
		return -EINVAL;
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	error = mnt_want_write_file(file);
	if (error)
		return error;
	error = down_write_killable(&inode->i_rwsem);
	if (!error) {
		error = rewrite_locked(inode, &range);
		inode_unlock(inode);
	}
	mnt_drop_write_file(file);
	if (!error && copy_to_user(arg, &range, sizeof(range)))
		error = -EFAULT;
	return error;
}

static bool known(unsigned int cmd)
{
	return cmd == WEFT_IOC_KEY_STATE || cmd == WEFT_IOC_KEY_LOAD ||
	       cmd == WEFT_IOC_KEY_UNLOAD || cmd == WEFT_IOC_KEY_REWRITE;
}

long weft_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct weft_mount *mount = weft_mount(file_inode(file)->i_sb);

	if (!known(cmd))
		return -ENOTTY;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	switch (cmd) {
	case WEFT_IOC_KEY_STATE:
		return key_state(mount, (void __user *)arg);
	case WEFT_IOC_KEY_LOAD:
		return weft_crypt_load(mount);
	case WEFT_IOC_KEY_REWRITE:
		return key_rewrite(file, (void __user *)arg);
	default:
		return key_unload(mount, (void __user *)arg);
	}
}
