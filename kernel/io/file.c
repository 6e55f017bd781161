// SPDX-License-Identifier: GPL-2.0-only
/*
 * file.c - the operations of regular files and of their page cache
 */
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/splice.h>

#include "io/internal.h"

/*
 * A first read of something that is not cached asks for the extents around it before folios are locked for readahead. What
 * is in the page cache is read without asking anybody, as long as the inode and the mount are good.
 */
static int read_prepare(struct inode *inode, u64 pos, size_t len)
{
	u64 end = min_t(u64, pos + len, i_size_read(inode));
	struct folio *folio;

	/* What is cached may be others' by now, or was never what the daemon has. */
	if (READ_ONCE(weft_inode(inode)->bad) || weft_mount_dead(weft_mount(inode->i_sb)))
		return -EIO;
	if (pos >= end || weft_extent_covered(weft_inode(inode), pos, end) > pos)
		return 0;
	folio = filemap_get_folio(inode->i_mapping, pos >> PAGE_SHIFT);
	if (!IS_ERR(folio)) {
		folio_put(folio);
		return 0;
	}
	return weft_map_fetch(weft_inode(inode), pos, end);
}

static ssize_t file_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	/*
	 * What a file grows by never stands in a folio that was found before: a clone drops those that reach behind the old
	 * end. So what is read ends where the file ended before folios were looked for.
	 */
	loff_t size = i_size_read(inode);
	size_t behind = 0;
	ssize_t ret;

	/* All that was written is in the page cache: nothing is gained by going past it. */
	iocb->ki_flags &= ~IOCB_DIRECT;
	ret = read_prepare(inode, iocb->ki_pos, iov_iter_count(to));
	if (ret)
		return ret;
	if (iocb->ki_pos >= size)
		return 0;
	if (iov_iter_count(to) > size - iocb->ki_pos) {
		behind = iov_iter_count(to) - (size - iocb->ki_pos);
		iov_iter_truncate(to, size - iocb->ki_pos);
	}
	ret = generic_file_read_iter(iocb, to);
	iov_iter_reexpand(to, iov_iter_count(to) + behind);
	if (ret > 0)
		weft_count(weft_mount(inode->i_sb), WEFT_MC_READ_BYTES, ret);
	return ret;
}

static ssize_t file_splice_read(struct file *in, loff_t *pos, struct pipe_inode_info *pipe, size_t len, unsigned int flags)
{
	struct inode *inode = file_inode(in);
	loff_t size = i_size_read(inode);
	ssize_t ret = read_prepare(inode, *pos, len);

	if (ret || *pos >= size)
		return ret;
	ret = filemap_splice_read(in, pos, pipe, min_t(u64, len, size - *pos), flags);
	if (ret > 0)
		weft_count(weft_mount(inode->i_sb), WEFT_MC_READ_BYTES, ret);
	return ret;
}

static int file_open(struct inode *inode, struct file *file)
{
	file->f_mode |= FMODE_CAN_ODIRECT;
	return weft_file_open(inode, file);
}

/* The range is not looked at: a COMMIT of the whole file costs the same. */
static int file_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	int error = weft_io_flush(file_inode(file));
	int kept = file_check_and_advance_wb_err(file);

	return error ?: kept;
}

const struct file_operations weft_file_fops = {
	.open = file_open,
	.release = weft_file_release,
	.llseek = generic_file_llseek,
	.read_iter = file_read_iter,
	.write_iter = weft_file_write_iter,
	.mmap = weft_file_mmap,
	.fsync = file_fsync,
	.splice_read = file_splice_read,
	.splice_write = iter_file_splice_write,
	.remap_file_range = weft_remap_file_range,
	.unlocked_ioctl = weft_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.setlease = generic_setlease,
};

const struct address_space_operations weft_aops = {
	.read_folio = weft_read_folio,
	.readahead = weft_readahead,
	.write_begin = weft_write_begin,
	.write_end = weft_write_end,
	.writepages = weft_writepages,
	.dirty_folio = weft_dirty_folio,
	.release_folio = weft_release_folio,
	.invalidate_folio = weft_invalidate_folio,
	.migrate_folio = filemap_migrate_folio,
	.error_remove_folio = generic_error_remove_folio,
};
