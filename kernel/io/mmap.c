// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap.c - shared writable mappings
 *
 * Reading faults are the page cache's own. A store into a clean page comes to page_mkwrite(), which marks every block of
 * the folio dirty: what a mapping changed is known by folio only. Its waits (budget, units that read the folio) are
 * killable and made without the folio lock; the task keeps mmap_lock for reading.
 */
#include <linux/mm.h>

#include "io/internal.h"

/* VM_FAULT_LOCKED with the folio locked and dirty; -EAGAIN: again; -errno. The reserve is used or given back. */
static int folio_make_writable(struct weft_inode *inode, struct folio *folio, u64 reserve)
{
	struct address_space *mapping = inode->vfs.i_mapping;
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_folio *state;
	u64 used = 0;
	int error;

	filemap_invalidate_lock_shared(mapping);
	/* Whoever changes size or content was killed and has left the lock: what it asked for may still happen. */
	if (READ_ONCE(inode->in_doubt)) {
		filemap_invalidate_unlock_shared(mapping);
		weft_budget_give(mount, reserve);
		return weft_inode_settle(&inode->vfs) ?: -EAGAIN;
	}
	folio_lock(folio);
	if (folio->mapping != mapping || folio_pos(folio) >= i_size_read(&inode->vfs)) {
		folio_unlock(folio);
		error = -EFAULT;
		goto out_invalidate;
	}
	state = weft_folio_make(folio);
	if (!state) {
		folio_unlock(folio);
		error = -ENOMEM;
		goto out_invalidate;
	}
	if (atomic_read(&state->direct)) {
		filemap_invalidate_unlock_shared(mapping);
		weft_budget_give(mount, reserve);
		return weft_folio_wait_direct(inode, folio, state) ?: -EAGAIN;
	}
	used = (u64)weft_folio_set(state, weft_folio_mask(0, folio_size(folio))) << WEFT_BLOCK_SHIFT;
	filemap_dirty_folio(mapping, folio);
	error = 0;
out_invalidate:
	filemap_invalidate_unlock_shared(mapping);
	if (used > reserve)
		weft_budget_force(mount, used - reserve);
	else
		weft_budget_give(mount, reserve - used);
	return error;
}

static vm_fault_t page_mkwrite(struct vm_fault *vmf)
{
	struct folio *folio = page_folio(vmf->page);
	struct inode *inode = file_inode(vmf->vma->vm_file);
	int error;

	sb_start_pagefault(inode->i_sb);
	error = weft_inode_settle(inode);
	if (!error)
		error = file_update_time(vmf->vma->vm_file);
	/* A file that was made longer without writing may be inline still. */
	if (!error)
		error = weft_inline_unpack(weft_inode(inode), i_size_read(inode));
	if (!error) {
		set_bit(WEFT_IO_META_DIRTY, &weft_inode(inode)->io.flags);
		do {
			u64 reserve = folio_size(folio);

			error = weft_budget_take(weft_mount(inode->i_sb), reserve);
			if (!error)
				error = folio_make_writable(weft_inode(inode), folio, reserve);
		} while (error == -EAGAIN);
	}
	sb_end_pagefault(inode->i_sb);
	switch (error) {
	case 0:
		return VM_FAULT_LOCKED;
	case -EFAULT: /* truncated: fault again and see */
	case -EINTR:
		return VM_FAULT_NOPAGE;
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		return VM_FAULT_SIGBUS;
	}
}

static const struct vm_operations_struct file_vm_ops = {
	.fault = filemap_fault,
	.map_pages = filemap_map_pages,
	.page_mkwrite = page_mkwrite,
};

int weft_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	file_accessed(file);
	vma->vm_ops = &file_vm_ops;
	return 0;
}
