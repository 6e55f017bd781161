// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening and closing regular files. Reading, writing and syncing are io/'s.
 */
#include <linux/pagemap.h>

#include "vfs/vfs.h"

int weft_file_open(struct inode *inode, struct file *file)
{
	struct weft_mount *mount = weft_mount(inode->i_sb);
	int error = weft_permitted(inode);

	if (!error)
		error = generic_file_open(inode, file);
	return error ?: weft_crypt_open(mount, true);
}

/* close() starts writeback and does not wait for it; who has to know calls fsync(). */
int weft_file_release(struct inode *inode, struct file *file)
{
	if (file->f_mode & FMODE_WRITE)
		weft_io_close(inode);
	weft_crypt_release(weft_mount(inode->i_sb));
	return 0;
}
