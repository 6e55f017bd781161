// SPDX-License-Identifier: GPL-2.0-only
/*
 * due.c - inodes that want writeback without the kernel's flusher: closed, with a held tail, parked
 *
 * One worker a mount takes them from the mount's lists, each list oldest first, and starts their writeback. It holds the
 * inode only while it does so, and is stopped before the last umount looks for inodes in use.
 */
#include <linux/backing-dev.h>
#include <linux/pagemap.h>
#include <linux/writeback.h>

#include "io/internal.h"

static struct list_head *due_list(struct weft_mount *mount, enum weft_io_due due)
{
	switch (due) {
	case WEFT_DUE_CLOSED:
		return &mount->io.closed;
	case WEFT_DUE_PARKED:
		return &mount->io.parked;
	default:
		return &mount->io.held;
	}
}

static unsigned long due_delay(enum weft_io_due due)
{
	switch (due) {
	case WEFT_DUE_CLOSED:
		return 0;
	case WEFT_DUE_PARKED:
		return WEFT_PARK_TIME;
	default:
		return WEFT_TAIL_AGE;
	}
}

void weft_due_kick(struct weft_mount *mount, unsigned long delay)
{
	if (READ_ONCE(mount->io.stopping))
		return;
	if (delay)
		queue_delayed_work(mount->io.wq, &mount->io.due, delay);
	else
		mod_delayed_work(mount->io.wq, &mount->io.due, 0);
}

void weft_due_add(struct weft_inode *inode, enum weft_io_due due)
{
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_io_inode *io = &inode->io;
	unsigned long delay = due_delay(due);
	bool added = false;

	spin_lock(&mount->io.lock);
	if (due > io->due) {
		io->due = due;
		io->due_time = jiffies + delay;
		list_move_tail(&io->due_link, due_list(mount, due));
		added = true;
	}
	spin_unlock(&mount->io.lock);
	if (added)
		weft_due_kick(mount, min_t(unsigned long, delay, WEFT_PARK_TIME));
}

void weft_due_del(struct weft_inode *inode)
{
	struct weft_mount *mount = weft_inode_mount(inode);

	spin_lock(&mount->io.lock);
	list_del_init(&inode->io.due_link);
	inode->io.due = WEFT_DUE_NONE;
	spin_unlock(&mount->io.lock);
}

/* The next inode of the list whose time has come, with a reference, and out of the list; NULL: none. */
static struct inode *due_next(struct weft_mount *mount, enum weft_io_due due)
{
	struct list_head *list = due_list(mount, due);
	struct inode *inode = NULL;
	struct weft_io_inode *io;

	spin_lock(&mount->io.lock);
	while (!inode && (io = list_first_entry_or_null(list, struct weft_io_inode, due_link))) {
		if (time_before(jiffies, io->due_time))
			break;
		list_del_init(&io->due_link);
		io->due = WEFT_DUE_NONE;
		/* One that is being evicted has no dirty pages that matter. */
		inode = igrab(&container_of(io, struct weft_inode, io)->vfs);
	}
	spin_unlock(&mount->io.lock);
	return inode;
}

/* A tail is held that began not long ago: the one for which the inode is here was cut since. */
static bool due_is_young(const struct weft_io_inode *io)
{
	unsigned long since = READ_ONCE(io->tail_since);

	return since && time_before(jiffies, since + WEFT_TAIL_AGE);
}

static void due_write(struct weft_mount *mount, enum weft_io_due due)
{
	struct inode *inode;

	while (!READ_ONCE(mount->io.stopping) && (inode = due_next(mount, due))) {
		if (due == WEFT_DUE_HELD && due_is_young(&weft_inode(inode)->io)) {
			weft_due_add(weft_inode(inode), WEFT_DUE_HELD);
			iput(inode);
			continue;
		}
		set_bit(WEFT_IO_CUT_TAIL, &weft_inode(inode)->io.flags);
		filemap_flush(inode->i_mapping);
		/* Another cutter was there first, or a writer goes on: look again, later. */
		if (mapping_tagged(inode->i_mapping, PAGECACHE_TAG_DIRTY))
			weft_due_add(weft_inode(inode), WEFT_DUE_HELD);
		/* Who waits for it looks again. */
		wake_up_all(&weft_inode(inode)->io.unit_wait);
		iput(inode);
		cond_resched();
	}
}

void weft_due_work(struct work_struct *work)
{
	struct weft_mount *mount = container_of(to_delayed_work(work), struct weft_mount, io.due);
	bool more;

	due_write(mount, WEFT_DUE_CLOSED);
	due_write(mount, WEFT_DUE_HELD);
	/* Without a daemon nothing parked can be committed. */
	if (weft_cluster_bound(mount->cluster) || weft_mount_dead(mount))
		due_write(mount, WEFT_DUE_PARKED);
	spin_lock(&mount->io.lock);
	more = !list_empty(&mount->io.closed) || !list_empty(&mount->io.held) || !list_empty(&mount->io.parked);
	spin_unlock(&mount->io.lock);
	if (more)
		weft_due_kick(mount, WEFT_PARK_TIME);
}

/* The budget is short, or the mount is dead: the flusher is to look at every dirty inode now. */
void weft_flush_work(struct work_struct *work)
{
	struct weft_mount *mount = container_of(work, struct weft_mount, io.flush);

	if (!READ_ONCE(mount->io.stopping))
		try_to_writeback_inodes_sb(mount->sb, WB_REASON_FS_FREE_SPACE);
}
