// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes: shown from the cache, changed through the metadata service, times from the cluster's
 * clock.
 *
 * A change of size whose waiter is killed after a daemon had it is in doubt: it may still happen.
 * Until the answer is there, weft_inode.in_doubt keeps writers and further changes of size away;
 * late_setattr() then does to the page cache what the metadata service has done. The inode stays
 * dirty so long, and so in the cache: a new one would know nothing of the doubt. An answer that
 * leaves it open makes the inode bad. A CLONE does the same to both of its files (clone.c).
 */
#include <linux/wait_bit.h>

#include "vfs/vfs.h"

static struct timespec64 time_now(struct super_block *sb)
{
	s64 offset = READ_ONCE(weft_mount(sb)->cluster->nl.time_offset);

	return ns_to_timespec64(ktime_get_real_ns() + offset);
}

struct weft_time weft_time_encode(struct timespec64 time)
{
	return (struct weft_time){ .sec = cpu_to_le64(time.tv_sec),
				   .nsec = cpu_to_le32(time.tv_nsec) };
}

struct weft_time weft_time_now(struct super_block *sb)
{
	return weft_time_encode(time_now(sb));
}

/* Of a write. Access times are not kept: the super block says so. */
static int file_update_time_cluster(struct inode *inode, enum fs_update_time type,
				    unsigned int flags)
{
	struct timespec64 now = time_now(inode->i_sb);

	if (type == FS_UPD_ATIME)
		return 0;
	inode_set_mtime_to_ts(inode, now);
	inode_set_ctime_to_ts(inode, now);
	__mark_inode_dirty(inode, I_DIRTY_SYNC);
	return 0;
}
WEFT_THUNK_UPDATE_TIME(file_update_time_cluster);

int weft_inode_settle(struct inode *inode)
{
	struct weft_inode *wi = weft_inode(inode);
	/* Of a bad inode the late answer finds nothing. */
	int error = ___wait_var_event(&wi->in_doubt,
				      !READ_ONCE(wi->in_doubt) || READ_ONCE(wi->bad),
				      (TASK_KILLABLE | TASK_FREEZABLE_UNSAFE), 0, 0, schedule());

	return error ? -EINTR : weft_permitted(inode);
}

/*
 * Before the answer can come to nobody; the waiter takes it back if there is an answer for it.
 */
void weft_inode_doubt(struct inode *inode)
{
	WRITE_ONCE(weft_inode(inode)->in_doubt, true);
}

void weft_inode_doubt_end(struct inode *inode)
{
	struct weft_inode *wi = weft_inode(inode);

	smp_store_mb(wi->in_doubt, false); /* before who sleeps is looked for */
	wake_up_var(&wi->in_doubt);
	weft_io_settled(wi);
}

static void setattr_encode(struct weft_setattr *wire, const struct iattr *attr)
{
	u32 valid = WEFT_SA_CTIME;

	wire->ctime = weft_time_encode(attr->ia_ctime);
	if (attr->ia_valid & ATTR_MODE) {
		valid |= WEFT_SA_MODE;
		wire->mode = cpu_to_le32(attr->ia_mode & S_IALLUGO);
	}
	if (attr->ia_valid & ATTR_UID) {
		valid |= WEFT_SA_UID;
		wire->uid = cpu_to_le32(from_kuid(&init_user_ns, attr->ia_uid));
	}
	if (attr->ia_valid & ATTR_GID) {
		valid |= WEFT_SA_GID;
		wire->gid = cpu_to_le32(from_kgid(&init_user_ns, attr->ia_gid));
	}
	if (attr->ia_valid & ATTR_SIZE) {
		valid |= WEFT_SA_SIZE;
		wire->size = cpu_to_le64(attr->ia_size);
	}
	if (attr->ia_valid & ATTR_ATIME) {
		valid |= WEFT_SA_ATIME;
		wire->atime = weft_time_encode(attr->ia_atime);
	}
	if (attr->ia_valid & ATTR_MTIME) {
		valid |= WEFT_SA_MTIME;
		wire->mtime = weft_time_encode(attr->ia_mtime);
	}
	wire->valid = cpu_to_le32(valid);
}

/* The times that the VFS took from the local clock, from the cluster's. */
static void setattr_stamp(struct inode *inode, struct iattr *attr)
{
	struct timespec64 now = time_now(inode->i_sb);

	if ((attr->ia_valid & ATTR_SIZE) && attr->ia_size == i_size_read(inode))
		attr->ia_valid &= ~ATTR_SIZE;
	else if (attr->ia_valid & ATTR_SIZE)
		attr->ia_valid |= ATTR_MTIME;
	attr->ia_valid |= ATTR_CTIME;
	attr->ia_ctime = now;
	if ((attr->ia_valid & ATTR_MTIME) && !(attr->ia_valid & ATTR_MTIME_SET))
		attr->ia_mtime = now;
	if ((attr->ia_valid & ATTR_ATIME) && !(attr->ia_valid & ATTR_ATIME_SET))
		attr->ia_atime = now;
}

/*
 * The page cache follows what the metadata service has done. in_doubt stands for i_rwsem: nobody
 * else changes content.
 */
static void late_resize(struct inode *inode, loff_t size, bool done)
{
	if (done && weft_io_resize_begin(inode, size))
		weft_inode_set_bad(inode,
			"its size could not be changed here after it was changed in the metadata service");
	else if (done)
		weft_io_resize_end(inode, size, 0);
	weft_inode_doubt_end(inode);
}

/* Nobody knows the size any more, nor where the content lies: after errors that say neither. */
static void setattr_unclear(struct inode *inode, const struct weft_request *req)
{
	if (weft_request_unclear(req) && !weft_permitted(inode))
		weft_inode_set_bad(inode,
			"the answer leaves open whether its size was changed in the metadata service");
}

/* .abandoned: the change has happened, or has not. */
static void late_setattr(struct weft_request *req)
{
	const struct weft_setattr *wire = (void *)req->out + 2 * NLA_HDRLEN + sizeof(__le64);
	struct inode *inode = weft_inode_find(req->mount->sb, req->ino);
	const struct nlattr *tb[WEFT_P_NR];

	if (!inode)
		return;
	if (wire->valid & cpu_to_le32(WEFT_SA_SIZE)) {
		if (req->status)
			setattr_unclear(inode, req);
		late_resize(inode, le64_to_cpu(wire->size), !req->status);
	}
	if (!req->status && !weft_answer_parse(req, tb))
		weft_inode_update_from(inode, tb[WEFT_P_ATTR]);
	iput(inode);
}

static int setattr_send(struct inode *inode, const struct iattr *attr)
{
	bool resize = attr->ia_valid & ATTR_SIZE;
	struct weft_mount *mount = weft_mount(inode->i_sb);
	struct weft_inode *wi = weft_inode(inode);
	const struct nlattr *tb[WEFT_P_NR];
	struct weft_setattr wire = {};
	struct weft_request *req;
	int error;

	/*
	 * Of the class of COMMIT where it changes what COMMITs change: they are fetched in the
	 * order in which they are made.
	 */
	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_SETATTR, resize ? 2 : 3, 128,
				 GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	setattr_encode(&wire, attr);
	req->ino = wi->ino;
	weft_request_add_u64(req, WEFT_P_INO, wi->ino);
	weft_request_add(req, WEFT_P_SETATTR, &wire, sizeof(wire));
	req->abandoned = late_setattr;
	if (resize)
		weft_inode_doubt(inode);
	error = weft_request_call(req);
	if (resize && weft_request_left(req))
		mark_inode_dirty_sync(inode);
	else if (resize)
		weft_inode_doubt_end(inode);
	if (!error)
		error = weft_answer_parse(req, tb);
	if (!error)
		error = weft_inode_update_from(inode, tb[WEFT_P_ATTR]);
	if (resize && error && !weft_request_left(req))
		setattr_unclear(inode, req);
	weft_request_put(req);
	return error;
}

int weft_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	u64 token = 0;
	bool resize;
	int error;

	error = setattr_prepare(idmap, dentry, attr);
	if (!error)
		error = attr->ia_valid & ATTR_SIZE ? weft_inode_settle(inode)
						   : weft_permitted(inode);
	if (!error && attr->ia_valid & ATTR_SIZE)
		error = weft_crypt_permitted(weft_mount(inode->i_sb));
	if (error)
		return error;
	setattr_stamp(inode, attr);
	resize = attr->ia_valid & ATTR_SIZE;
	if (resize) {
		error = weft_io_resize_begin(inode, attr->ia_size);
		if (error)
			return error;
	}
	if (S_ISREG(inode->i_mode))
		token = weft_io_times_begin(inode);
	error = setattr_send(inode, attr);
	if (resize)
		weft_io_resize_end(inode, attr->ia_size, error);
	if (!error)
		setattr_copy(idmap, inode, attr);
	if (!error && S_ISREG(inode->i_mode))
		weft_io_times_end(inode, token);
	return error;
}

static int policy_send(struct inode *inode, struct timespec64 now, u64 own)
{
	struct weft_mount *mount = weft_mount(inode->i_sb);
	struct weft_setattr wire = {
		.valid = cpu_to_le32(WEFT_SA_CTIME | WEFT_SA_POLICY),
		.ctime = weft_time_encode(now),
	};
	const struct nlattr *tb[WEFT_P_NR];
	struct weft_request *req;
	int error;

	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_SETATTR, 3, 128, GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	req->ino = weft_inode(inode)->ino;
	weft_request_add_u64(req, WEFT_P_INO, req->ino);
	weft_request_add(req, WEFT_P_SETATTR, &wire, sizeof(wire));
	weft_request_add_u64(req, WEFT_P_POLICY, own);
	req->abandoned = late_setattr;
	error = weft_request_call(req);
	if (!error)
		error = weft_answer_parse(req, tb);
	if (!error)
		error = weft_inode_update_from(inode, tb[WEFT_P_ATTR]);
	weft_request_put(req);
	return error;
}

int weft_setattr_policy(struct inode *inode, u64 own)
{
	struct timespec64 now = time_now(inode->i_sb);
	u64 token = S_ISREG(inode->i_mode) ? weft_io_times_begin(inode) : 0;
	int error = policy_send(inode, now, own);

	if (error)
		return error;
	inode_set_ctime_to_ts(inode, now);
	if (S_ISREG(inode->i_mode))
		weft_io_times_end(inode, token);
	return 0;
}

static bool file_has_unwritten(struct inode *inode)
{
	return S_ISREG(inode->i_mode) &&
	       (mapping_tagged(inode->i_mapping, PAGECACHE_TAG_DIRTY) ||
		mapping_tagged(inode->i_mapping, PAGECACHE_TAG_WRITEBACK));
}

/* Entries of the parent are looked at: READDIR had better bring attributes. */
static void parent_advise(const struct dentry *dentry)
{
	struct inode *dir;

	rcu_read_lock();
	dir = d_inode_rcu(READ_ONCE(dentry->d_parent));
	if (dir && S_ISDIR(dir->i_mode) && !READ_ONCE(weft_inode(dir)->readdir_plus))
		WRITE_ONCE(weft_inode(dir)->readdir_plus, true);
	rcu_read_unlock();
}

int weft_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat, u32 mask,
		 unsigned int flags)
{
	struct inode *inode = d_inode(path->dentry);
	struct weft_inode *wi = weft_inode(inode);
	bool unwritten = file_has_unwritten(inode);
	int error = weft_permitted(inode);

	if (error)
		return error;
	generic_fillattr(idmap, mask, inode, stat);
	stat->ino = wi->ino;
	stat->btime = wi->btime;
	stat->result_mask |= STATX_BTIME;
	/* Programs take a file without blocks for a hole. */
	if (unwritten)
		stat->blocks =
			max(stat->blocks, (blkcnt_t)DIV_ROUND_UP_ULL(stat->size, SECTOR_SIZE));
	/*
	 * The change attribute moves when the data is committed: with unwritten data there is none.
	 */
	if ((mask & STATX_CHANGE_COOKIE) && !unwritten) {
		stat->change_cookie = READ_ONCE(wi->change);
		stat->attributes |= STATX_ATTR_CHANGE_MONOTONIC;
		stat->result_mask |= STATX_CHANGE_COOKIE;
	}
	parent_advise(path->dentry);
	return 0;
}

const struct inode_operations weft_file_iops = {
	.listxattr = weft_listxattr,
	.setattr = weft_setattr,
	.getattr = weft_getattr,
	.update_time = WEFT_OP_UPDATE_TIME(file_update_time_cluster),
};

const struct inode_operations weft_special_iops = {
	.setattr = weft_setattr,
	.getattr = weft_getattr,
};
