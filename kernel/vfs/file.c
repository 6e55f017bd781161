// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening and closing regular files. Reading, writing and syncing are io/'s.
 */
#include <linux/pagemap.h>

#include "vfs/vfs.h"

int weft_file_open(struct inode *inode, struct file *file)
{
	int error = weft_permitted(inode);

	return error ?: generic_file_open(inode, file);
}

/* close() starts writeback and does not wait for it; who has to know calls fsync(). */
int weft_file_release(struct inode *inode, struct file *file)
{
	if (file->f_mode & FMODE_WRITE)
		weft_io_close(inode);
	return 0;
}
