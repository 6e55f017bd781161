// SPDX-License-Identifier: GPL-2.0-only
/* 7.x: linux/pagevec.h, which had long held nothing but folio batches, took their name. */
#ifdef PROBE_NEW
#include <linux/folio_batch.h>
#else
#include <linux/pagevec.h>
#endif

void probe_init(struct folio_batch *batch);
void probe_init(struct folio_batch *batch)
{
	folio_batch_init(batch);
}
