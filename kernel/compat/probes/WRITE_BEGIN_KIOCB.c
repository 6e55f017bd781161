// SPDX-License-Identifier: GPL-2.0-only
/* 6.17 "fs: change write_begin/write_end interface to take struct kiocb *" */
#include <linux/fs.h>

#ifdef PROBE_NEW
typedef const struct kiocb probe_arg;
#else
typedef struct file probe_arg;
#endif

static int probe_write_begin(probe_arg *arg, struct address_space *mapping, loff_t pos,
			     unsigned int len, struct folio **foliop, void **fsdata)
{
	return 0;
}

const struct address_space_operations probe_aops = {
	.write_begin = probe_write_begin,
};
