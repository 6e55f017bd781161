/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The page cache of 7.3, on kernels from 6.12 on. See compat_vfs.h for how thunks are used.
 */
#ifndef WEFT_COMPAT_PAGECACHE_H
#define WEFT_COMPAT_PAGECACHE_H

#include <linux/fs.h>
#include <linux/pagemap.h>

#include "probed.h"

#ifdef HAVE_FOLIO_BATCH_H
#include <linux/folio_batch.h>
#else
#include <linux/pagevec.h>
#endif

/*
 * First argument of write_begin and write_end: the kiocb of the write, the file before 6.17. It may be NULL for
 * writes that come from inside the kernel.
 */
#ifdef HAVE_WRITE_BEGIN_KIOCB
typedef const struct kiocb weft_write_arg;

static inline struct file *weft_write_arg_file(weft_write_arg *arg)
{
	return arg ? arg->ki_filp : NULL;
}
#else
typedef struct file weft_write_arg;

static inline struct file *weft_write_arg_file(weft_write_arg *arg)
{
	return arg;
}
#endif

#endif /* WEFT_COMPAT_PAGECACHE_H */
