// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clones: FICLONE, FICLONERANGE and copy_file_range(2), for which the VFS tries a clone first.
 *
 * The metadata service makes a range of a file refer to the chunks that a range of another refers
 * to; no data moves. Large ranges go in several requests, so that whoever is killed has made a
 * shorter clone.
 *
 * A CLONE whose waiter is killed after a daemon had it may still happen, as a change of size may
 * (attr.c): both files are in doubt until the answer is there. The source is, because what is
 * cloned has to be what it was when it was asked for.
 */
#include "vfs/vfs.h"

/* Of one request. */
#define CLONE_MAX (16ll << 30)

struct clone {
	struct inode *source, *inode;
	loff_t from, to, len;
};

static void doubt_end(struct inode *source, struct inode *inode)
{
	weft_inode_doubt_end(inode);
	if (source && source != inode)
		weft_inode_doubt_end(source);
}

/* How much was cloned to pos, and whether it is inline now. -EPROTO: that makes no sense. */
static int answer_read(struct inode *inode, const struct weft_request *req, u64 pos, u64 len,
		       loff_t *done, bool *is_inline)
{
	const struct nlattr *tb[WEFT_P_NR];
	const struct weft_attr *attr;
	u64 length;
	int error = weft_answer_parse(req, tb);

	if (!error)
		error = weft_inode_update_from(inode, tb[WEFT_P_ATTR]);
	if (error)
		return error;
	if (!tb[WEFT_P_LENGTH])
		return -EPROTO;
	attr = nla_data(tb[WEFT_P_ATTR]);
	length = get_unaligned_le64(nla_data(tb[WEFT_P_LENGTH]));
	if (!length || length > len)
		return -EPROTO;
	*done = length;
	*is_inline = le32_to_cpu(attr->flags) & WEFT_AF_INLINE;
	if (*is_inline && (pos || length > weft_mount(inode->i_sb)->inline_max))
		return -EPROTO;
	return 0;
}

/* Nobody knows what is in the file any more: after errors that do not say that nothing is. */
static void clone_unclear(struct inode *inode, const struct weft_request *req)
{
	if (weft_request_unclear(req) && !weft_permitted(inode))
		weft_inode_set_bad(inode,
			"the answer leaves open whether it was cloned to in the metadata service");
}

/* The page cache follows; in_doubt stands for i_rwsem. */
static int late_done(struct inode *inode, loff_t pos, loff_t done, bool is_inline)
{
	int error = weft_io_clone_lock(NULL, inode);

	if (error)
		return error;
	error = weft_io_clone_begin(NULL, inode);
	if (!error) {
		error = weft_io_clone_done(inode, pos, done, is_inline);
		weft_io_clone_end(NULL, inode);
	}
	weft_io_clone_unlock(NULL, inode);
	return error;
}

/* .abandoned: the clone was made, or was not. */
static void late_clone(struct weft_request *req)
{
	const struct weft_clone *wire = (void *)req->out + 2 * NLA_HDRLEN + sizeof(__le64);
	struct inode *source = weft_inode_find(req->mount->sb, le64_to_cpu(wire->source));
	struct inode *inode = weft_inode_find(req->mount->sb, req->ino);
	bool is_inline;
	loff_t done;

	if (inode && !req->status &&
	    !answer_read(inode, req, le64_to_cpu(wire->offset), le64_to_cpu(wire->length), &done,
			 &is_inline)) {
		if (late_done(inode, le64_to_cpu(wire->offset), done, is_inline))
			weft_inode_set_bad(inode,
				"it could not be changed here after it was cloned to in the metadata service");
	} else if (inode) {
		clone_unclear(inode, req);
	}
	if (inode)
		doubt_end(source, inode);
	else if (source)
		weft_inode_doubt_end(source);
	iput(inode);
	iput(source);
}

static struct weft_request *clone_request(const struct clone *clone)
{
	struct weft_mount *mount = weft_mount(clone->inode->i_sb);
	struct weft_clone wire = {
		.source = cpu_to_le64(weft_inode(clone->source)->ino),
		.source_offset = cpu_to_le64(clone->from),
		.offset = cpu_to_le64(clone->to),
		.length = cpu_to_le64(min(clone->len, CLONE_MAX)),
		.mtime = weft_time_encode(inode_get_mtime(clone->inode)),
		.ctime = weft_time_encode(inode_get_ctime(clone->inode)),
	};
	struct weft_request *req;

	/* Of the class of COMMIT, as what changes a size. */
	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_CLONE, 2, 128, GFP_KERNEL);
	if (!req)
		return NULL;
	req->ino = weft_inode(clone->inode)->ino;
	req->abandoned = late_clone;
	weft_request_add_u64(req, WEFT_P_INO, req->ino);
	weft_request_add(req, WEFT_P_CLONE, &wire, sizeof(wire));
	return req;
}

/* One request. 0 with how much was done, or -errno. */
static int clone_send(const struct clone *clone, loff_t *done, bool *is_inline)
{
	struct weft_request *req;
	int error;

	weft_io_times_take(clone->inode);
	req = clone_request(clone);
	if (!req) {
		weft_io_times_back(clone->inode);
		return -ENOMEM;
	}
	weft_inode_doubt(clone->source);
	weft_inode_doubt(clone->inode);
	error = weft_request_call(req);
	if (weft_request_left(req)) {
		mark_inode_dirty_sync(clone->source);
		mark_inode_dirty_sync(clone->inode);
	} else {
		doubt_end(clone->source, clone->inode);
		if (!error)
			error = answer_read(clone->inode, req, clone->to,
					    min(clone->len, CLONE_MAX), done, is_inline);
		if (error)
			clone_unclear(clone->inode, req);
	}
	if (error)
		weft_io_times_back(clone->inode);
	weft_request_put(req);
	return error;
}

/*
 * All of it, or the error: FICLONE does not look at how much was done. copy_file_range(2) then copies
 * in the common way.
 */
static loff_t clone_range(struct clone clone)
{
	bool is_inline;
	loff_t sum = 0, done;
	int error;

	error = weft_io_clone_begin(clone.source, clone.inode);
	if (error)
		return error;
	while (clone.len) {
		error = fatal_signal_pending(current) ? -EINTR
						       : clone_send(&clone, &done, &is_inline);
		if (!error && weft_io_clone_done(clone.inode, clone.to, done, is_inline)) {
			weft_inode_set_bad(clone.inode,
				"a page of it was written to through a pin while it was cloned to");
			error = -EIO;
		}
		if (error)
			break;
		sum += done;
		clone.from += done;
		clone.to += done;
		clone.len -= done;
	}
	weft_io_clone_end(clone.source, clone.inode);
	return error ?: sum;
}

/* Takes i_rwsem of both when it is known what is in them. */
static int lock_settled(struct inode *source, struct inode *inode)
{
	int error;

	for (;;) {
		error = weft_inode_settle(source);
		if (!error)
			error = weft_inode_settle(inode);
		if (error)
			return error;
		lock_two_nondirectories(source, inode);
		if (!READ_ONCE(weft_inode(source)->in_doubt) &&
		    !READ_ONCE(weft_inode(inode)->in_doubt))
			return 0;
		unlock_two_nondirectories(source, inode);
	}
}

static loff_t remap_locked(struct file *source, struct file *file, struct clone clone,
			   unsigned int flags)
{
	loff_t ret;

	ret = weft_io_clone_lock(clone.source, clone.inode);
	if (ret)
		return ret;
	/* Its waits are none: nothing is dirty. */
	ret = generic_remap_file_range_prep(source, clone.from, file, clone.to, &clone.len, flags);
	if (!ret && clone.len)
		ret = clone_range(clone);
	weft_io_clone_unlock(clone.source, clone.inode);
	return ret;
}

loff_t weft_remap_file_range(struct file *source, loff_t from, struct file *file, loff_t to,
			     loff_t len, unsigned int flags)
{
	struct clone clone = {
		.source = file_inode(source),
		.inode = file_inode(file),
		.from = from,
		.to = to,
		.len = len,
	};
	loff_t ret;

	if (flags & ~REMAP_FILE_ADVISORY)
		return flags & REMAP_FILE_DEDUP ? -EOPNOTSUPP : -EINVAL;
	ret = lock_settled(clone.source, clone.inode);
	if (ret)
		return ret;
	ret = weft_io_clone_prepare(clone.source, clone.inode, from, to, len);
	if (!ret)
		ret = remap_locked(source, file, clone, flags);
	unlock_two_nondirectories(clone.source, clone.inode);
	return ret;
}
