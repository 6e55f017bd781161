// SPDX-License-Identifier: GPL-2.0-only
/*
 * weft: a distributed file system. Start and stop of the module.
 *
 * This file only orders the subsystems: each one's init may use those above it, exit is the mirror.
 */
#include <linux/fs.h>
#include <linux/module.h>

#include "ec/ec.h"

static int __init weft_init(void)
{
	weft_ec_start();
	return 0;
}

static void __exit weft_exit(void)
{
}

module_init(weft_init);
module_exit(weft_exit);

MODULE_DESCRIPTION("weft distributed file system");
MODULE_AUTHOR("The weft authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(WEFT_VERSION);
MODULE_ALIAS_FS("weft");
