// SPDX-License-Identifier: GPL-2.0-only
/* What has no system call of its own: the keys of an encrypted volume (uapi/weft_key.h). */
#include <linux/capability.h>
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

long weft_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct weft_mount *mount = weft_mount(file_inode(file)->i_sb);

	if (cmd != WEFT_IOC_KEY_STATE && cmd != WEFT_IOC_KEY_LOAD && cmd != WEFT_IOC_KEY_UNLOAD)
		return -ENOTTY;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	switch (cmd) {
	case WEFT_IOC_KEY_STATE:
		return key_state(mount, (void __user *)arg);
	case WEFT_IOC_KEY_LOAD:
		return weft_crypt_load(mount);
	default:
		return key_unload(mount, (void __user *)arg);
	}
}
