/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rebuild.h - making shards of one chunk out of the others
 */
#ifndef WEFT_STORE_REBUILD_H
#define WEFT_STORE_REBUILD_H

#include "store/link.h"

/*
 * Carry out a task REBUILD: attribute is struct weft_c_task and its shards, checked here; .flags and .table_crc of what was
 * made are set in place. Blocks, 30 s at most. Returns the task's status: OK if all that was wanted was made.
 */
uint32_t store_rebuild(const struct store_worker_conf *conf, uint8_t *attribute, size_t len);

#endif
