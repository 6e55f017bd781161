// SPDX-License-Identifier: GPL-2.0-only
/*
 * weft: a distributed file system. Start and stop of the module.
 *
 * This file only orders the subsystems: each one's init may use those above it, exit is the mirror.
 */
#include <linux/fs.h>
#include <linux/module.h>

#include "chunk/cdc.h"
#include "chunk/codec.h"
#include "chunk/content_id.h"
#include "ec/ec.h"
#include "vfs/vfs.h"

static int __init weft_init(void)
{
	int error;

	weft_ec_start();
	weft_cdc_start();
	error = weft_codec_init();
	if (error)
		return error;
	error = weft_content_id_init();
	if (error)
		goto err_codec_exit;
	error = weft_node_init();
	if (error)
		goto err_content_id_exit;
	error = weft_io_init();
	if (error)
		goto err_node_exit;
	/* Clusters come into being from here on; their ends need node/. */
	error = weft_nl_init();
	if (error)
		goto err_io_exit;
	error = weft_vfs_init();
	if (error)
		goto err_nl_exit;
	return 0;

err_nl_exit:
	weft_nl_exit();
err_io_exit:
	weft_io_exit();
err_node_exit:
	weft_node_exit();
err_content_id_exit:
	weft_content_id_exit();
err_codec_exit:
	weft_codec_exit();
	return error;
}

static void __exit weft_exit(void)
{
	weft_vfs_exit();
	weft_nl_exit();
	weft_io_exit();
	weft_node_exit();
	weft_content_id_exit();
	weft_codec_exit();
}

module_init(weft_init);
module_exit(weft_exit);

MODULE_DESCRIPTION("weft distributed file system");
MODULE_AUTHOR("The weft authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(WEFT_VERSION);
MODULE_ALIAS_FS("weft");
MODULE_SOFTDEP("pre: gcm");
