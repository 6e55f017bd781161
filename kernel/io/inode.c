// SPDX-License-Identifier: GPL-2.0-only
/*
 * inode.c - an inode's part of io/, from alloc_inode to evict
 */
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "io/internal.h"

void weft_io_inode_init(struct weft_inode *inode)
{
	struct weft_io_inode *io = &inode->io;

	memset(io, 0, sizeof(*io));
	mutex_init(&io->cut_lock);
	spin_lock_init(&io->extent_lock);
	io->extents = RB_ROOT;
	io->cut_pos = U64_MAX;
	INIT_LIST_HEAD(&io->units);
	INIT_LIST_HEAD(&io->ready);
	INIT_LIST_HEAD(&io->lru);
	INIT_LIST_HEAD(&io->due_link);
	init_waitqueue_head(&io->unit_wait);
}

void weft_io_inode_setup(struct weft_inode *inode, const struct weft_attr *attr)
{
	u64 size = le64_to_cpu(attr->size);

	i_size_write(&inode->vfs, size);
	inode->io.committed_size = size;
	inode->io.mapped_end = size;
	inode->io.is_inline = le32_to_cpu(attr->flags) & WEFT_AF_INLINE;
	inode->vfs.i_fop = &weft_file_fops;
	inode->vfs.i_mapping->a_ops = &weft_aops;
	mapping_set_folio_order_range(inode->vfs.i_mapping, 0, WEFT_FOLIO_ORDER_MAX);
}

static bool units_gone(struct weft_io_inode *io)
{
	bool gone;

	spin_lock(&io->extent_lock);
	gone = list_empty(&io->units);
	spin_unlock(&io->extent_lock);
	return gone;
}

/* No folio is left, so units have ended writeback and are only about to leave; a COMMIT does not need the inode. */
void weft_io_inode_evict(struct weft_inode *inode)
{
	struct weft_io_inode *io = &inode->io;
	struct weft_mount *mount = weft_inode_mount(inode);

	wait_event(io->unit_wait, units_gone(io));
	weft_commit_forget(inode);
	weft_due_del(inode);
	spin_lock(&mount->io.lock);
	list_del_init(&io->lru);
	spin_unlock(&mount->io.lock);
	spin_lock(&io->extent_lock);
	weft_extent_forget(inode, 0, U64_MAX);
	weft_extent_set_inline(inode, NULL, 0);
	spin_unlock(&io->extent_lock);
}

void weft_io_close(struct inode *inode)
{
	if (mapping_tagged(inode->i_mapping, PAGECACHE_TAG_DIRTY))
		weft_due_add(weft_inode(inode), WEFT_DUE_CLOSED);
}

void weft_io_times_take(struct inode *inode)
{
	clear_bit(WEFT_IO_META_DIRTY, &weft_inode(inode)->io.flags);
	/* Before they are read: who changes them later marks the inode again. */
	smp_mb();
}

void weft_io_times_back(struct inode *inode)
{
	set_bit(WEFT_IO_META_DIRTY, &weft_inode(inode)->io.flags);
	mark_inode_dirty_sync(inode);
}

u64 weft_io_times_begin(struct inode *inode)
{
	struct weft_io_inode *io = &weft_inode(inode)->io;
	u64 token;

	spin_lock(&io->extent_lock);
	token = io->commit ? U64_MAX : io->sequence;
	spin_unlock(&io->extent_lock);
	return token;
}

void weft_io_times_end(struct inode *inode, u64 token)
{
	struct weft_io_inode *io = &weft_inode(inode)->io;
	bool same;

	spin_lock(&io->extent_lock);
	same = io->sequence == token;
	spin_unlock(&io->extent_lock);
	if (same)
		return;
	set_bit(WEFT_IO_META_DIRTY, &io->flags);
	mark_inode_dirty_sync(inode);
}
