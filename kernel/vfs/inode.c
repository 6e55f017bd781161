// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes: from attributes, kept up to date, and their end.
 *
 * Attributes come from a daemon and are checked before anything is changed. An inode whose type
 * changes, or that a number is answered for which is not its own, becomes bad: it leaves the hash
 * and every operation on it fails.
 *
 * Eviction waits for nobody: the request that tells the metadata service that an unlinked inode is
 * unused was made when its last name went.
 */
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "vfs/vfs.h"

static struct kmem_cache *inode_cache;

static void inode_construct(void *object)
{
	struct weft_inode *wi = object;

	inode_init_once(&wi->vfs);
}

struct inode *weft_inode_alloc(struct super_block *sb)
{
	struct weft_inode *wi = alloc_inode_sb(sb, inode_cache, GFP_KERNEL);

	if (!wi)
		return NULL;
	wi->ino = 0;
	wi->change = 0;
	wi->parent = 0;
	wi->flags = 0;
	wi->policy = 0;
	wi->target = NULL;
	wi->btime = (struct timespec64){};
	wi->readdir_plus = false;
	wi->bad = false;
	wi->in_doubt = false;
	wi->forget = NULL;
	weft_io_inode_init(wi);
	return &wi->vfs;
}

/* After a grace period: links are followed under RCU. */
void weft_inode_free(struct inode *inode)
{
	kfree(weft_inode(inode)->target);
	kmem_cache_free(inode_cache, weft_inode(inode));
}

static bool attr_times_valid(const struct weft_attr *attr)
{
	return le32_to_cpu(attr->atime_nsec) < NSEC_PER_SEC &&
	       le32_to_cpu(attr->mtime_nsec) < NSEC_PER_SEC &&
	       le32_to_cpu(attr->ctime_nsec) < NSEC_PER_SEC &&
	       le32_to_cpu(attr->btime_nsec) < NSEC_PER_SEC;
}

static bool attr_type_valid(u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFBLK:
	case S_IFCHR:
	case S_IFIFO:
	case S_IFSOCK:
		return !(mode & ~(S_IFMT | S_IALLUGO));
	}
	return false;
}

/* Nothing of it is used before it has passed here. */
static bool attr_valid(const struct super_block *sb, const struct weft_attr *attr)
{
	u32 mode = le32_to_cpu(attr->mode);

	if (!attr->ino || !attr_type_valid(mode) || !attr_times_valid(attr))
		return false;
	if (le64_to_cpu(attr->size) > (u64)sb->s_maxbytes || le64_to_cpu(attr->bytes) > S64_MAX)
		return false;
	if (!uid_valid(make_kuid(&init_user_ns, le32_to_cpu(attr->uid))) ||
	    !gid_valid(make_kgid(&init_user_ns, le32_to_cpu(attr->gid))))
		return false;
	if (le32_to_cpu(attr->nlink) > S32_MAX || (attr->flags & ~cpu_to_le32(WEFT_AF_KNOWN)))
		return false;
	if ((mode & S_IFMT) == S_IFLNK && le64_to_cpu(attr->size) > WEFT_SYMLINK_MAX)
		return false;
	return !attr->reserved;
}

void weft_inode_set_bad(struct inode *inode, const char *why)
{
	struct weft_inode *wi = weft_inode(inode);

	if (xchg(&wi->bad, true))
		return;
	remove_inode_hash(inode);
	/* Who waits for its size to be known: it never will be. */
	wake_up_var(&wi->in_doubt);
	pr_err_ratelimited("weft: volume %s: inode %llu is not used any more: %s\n",
			   weft_mount(inode->i_sb)->volume_name, wi->ino, why);
}

static struct timespec64 time_decode(__le64 sec, __le32 nsec)
{
	return (struct timespec64){ .tv_sec = le64_to_cpu(sec), .tv_nsec = le32_to_cpu(nsec) };
}

/*
 * Under i_lock. Times of a regular file that is known already are only moved on: the last word is
 * the kernel's.
 */
static void inode_take_times(struct inode *inode, const struct weft_attr *attr, bool new)
{
	struct timespec64 ctime = time_decode(attr->ctime_sec, attr->ctime_nsec),
			  own = inode_get_ctime(inode);

	if (!new && S_ISREG(inode->i_mode)) {
		if (timespec64_compare(&own, &ctime) < 0)
			inode_set_ctime_to_ts(inode, ctime);
		return;
	}
	inode_set_atime_to_ts(inode, time_decode(attr->atime_sec, attr->atime_nsec));
	inode_set_mtime_to_ts(inode, time_decode(attr->mtime_sec, attr->mtime_nsec));
	inode_set_ctime_to_ts(inode, ctime);
	weft_inode(inode)->btime = time_decode(attr->btime_sec, attr->btime_nsec);
}

/* Under i_lock, or the inode is new. */
static void inode_take(struct inode *inode, const struct weft_attr *attr, bool new)
{
	struct weft_inode *wi = weft_inode(inode);

	wi->change = le64_to_cpu(attr->change);
	wi->parent = le64_to_cpu(attr->parent);
	wi->flags = le32_to_cpu(attr->flags);
	WRITE_ONCE(wi->policy, le64_to_cpu(attr->policy));
	inode->i_mode = le32_to_cpu(attr->mode);
	i_uid_write(inode, le32_to_cpu(attr->uid));
	i_gid_write(inode, le32_to_cpu(attr->gid));
	inode->i_blocks = le64_to_cpu(attr->bytes) >> SECTOR_SHIFT;
	if (S_ISLNK(inode->i_mode))
		i_size_write(inode, weft_target_len(weft_mount(inode->i_sb),
						    le64_to_cpu(attr->size)));
	else if (!S_ISREG(inode->i_mode))
		i_size_write(inode, le64_to_cpu(attr->size));
	inode_take_times(inode, attr, new);
	if (attr->nlink)
		set_nlink(inode, le32_to_cpu(attr->nlink));
	else
		clear_nlink(inode);
}

int weft_inode_update(struct inode *inode, const struct weft_attr *attr)
{
	struct weft_inode *wi = weft_inode(inode);
	const char *wrong = NULL;

	if (!attr_valid(inode->i_sb, attr))
		return -EPROTO;
	spin_lock(&inode->i_lock);
	if (le64_to_cpu(attr->ino) != wi->ino)
		wrong = "the daemon answered for another inode";
	else if ((le32_to_cpu(attr->mode) ^ inode->i_mode) & S_IFMT)
		wrong = "the daemon changed its type";
	else if (le64_to_cpu(attr->change) >= wi->change) /* answers may overtake each other */
		inode_take(inode, attr, false);
	spin_unlock(&inode->i_lock);
	if (!wrong)
		return 0;
	weft_inode_set_bad(inode, wrong);
	return -EPROTO;
}

int weft_inode_update_from(struct inode *inode, const struct nlattr *attr)
{
	return attr ? weft_inode_update(inode, nla_data(attr)) : -EPROTO;
}

static int inode_test(struct inode *inode, void *data)
{
	return weft_inode(inode)->ino == *(u64 *)data;
}

static int inode_set(struct inode *inode, void *data)
{
	weft_inode(inode)->ino = *(u64 *)data;
	inode->i_ino = *(u64 *)data;
	return 0;
}

static unsigned long inode_hash(u64 ino)
{
	return ino ^ (ino >> 32);
}

struct inode *weft_inode_find(struct super_block *sb, u64 ino)
{
	return ilookup5(sb, inode_hash(ino), inode_test, &ino);
}

static void inode_set_ops(struct inode *inode, const struct weft_attr *attr)
{
	switch (inode->i_mode & S_IFMT) {
	case S_IFREG:
		inode->i_op = &weft_file_iops;
		weft_io_inode_setup(weft_inode(inode), attr);
		break;
	case S_IFDIR:
		inode->i_op = &weft_dir_iops;
		inode->i_fop = &weft_dir_fops;
		break;
	case S_IFLNK:
		inode->i_op = &weft_symlink_iops;
		break;
	default:
		inode->i_op = &weft_special_iops;
		init_special_inode(inode, inode->i_mode,
				   MKDEV(le32_to_cpu(attr->rdev_major),
					 le32_to_cpu(attr->rdev_minor)));
	}
}

struct inode *weft_inode_get(struct super_block *sb, const struct weft_attr *attr,
			     const struct weft_request *req)
{
	const struct nlattr *tb[WEFT_P_NR];
	u64 ino = le64_to_cpu(attr->ino);
	struct inode *inode;
	int error;

	if (!attr_valid(sb, attr))
		return ERR_PTR(-EPROTO);
	inode = iget5_locked(sb, inode_hash(ino), inode_test, inode_set, &ino);
	if (!inode)
		return ERR_PTR(-ENOMEM);
	if (inode_state_read_once(inode) & I_NEW) {
		inode_take(inode, attr, true);
		inode_set_ops(inode, attr);
		unlock_new_inode(inode);
	} else {
		error = weft_inode_update(inode, attr);
		if (error) {
			iput(inode);
			return ERR_PTR(error);
		}
	}
	if (!req)
		return inode;
	if (S_ISREG(inode->i_mode)) {
		weft_io_inode_prime(weft_inode(inode), req);
	} else if (S_ISLNK(inode->i_mode) && !weft_answer_parse(req, tb) && tb[WEFT_P_TARGET]) {
		error = weft_symlink_set(inode, tb[WEFT_P_TARGET]);
		/* Without the key there is a link all the same. */
		if (error && error != -ENOKEY) {
			iput(inode);
			return ERR_PTR(error);
		}
	}
	return inode;
}

struct inode *weft_inode_from(struct super_block *sb, const struct nlattr *attr,
			      const struct weft_request *req)
{
	return attr ? weft_inode_get(sb, nla_data(attr), req) : ERR_PTR(-EPROTO);
}

/* 0: operations on the inode make sense. */
int weft_permitted(struct inode *inode)
{
	if (READ_ONCE(weft_inode(inode)->bad) ||
	    READ_ONCE(weft_mount(inode->i_sb)->state) != WEFT_MOUNT_LIVE)
		return -EIO;
	return 0;
}

/* Nobody looks at the answer: a lost FORGET is made good for when the session ends. */
static void forget_done(struct weft_request *req)
{
}

int weft_inode_prepare_forget(struct inode *inode)
{
	struct weft_mount *mount = weft_mount(inode->i_sb);
	struct weft_inode *wi = weft_inode(inode);
	struct weft_request *req;

	if (READ_ONCE(wi->forget))
		return 0;
	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_FORGET, 1, 16, GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	req->ino = wi->ino;
	req->done = forget_done;
	weft_request_add_u64(req, WEFT_P_INO, wi->ino);
	if (cmpxchg(&wi->forget, NULL, req))
		weft_request_put(req);
	return 0;
}

void weft_inode_evict(struct inode *inode)
{
	struct weft_inode *wi = weft_inode(inode);

	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	if (S_ISREG(inode->i_mode))
		weft_io_inode_evict(wi);
	if (wi->forget && !inode->i_nlink && !wi->bad)
		weft_request_submit(wi->forget);
	weft_request_put(wi->forget);
	wi->forget = NULL;
}

int weft_inodes_init(void)
{
	inode_cache = kmem_cache_create("weft_inode", sizeof(struct weft_inode), 0,
					SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, inode_construct);
	return inode_cache ? 0 : -ENOMEM;
}

void weft_inodes_exit(void)
{
	/* Inodes are freed by RCU. */
	rcu_barrier();
	kmem_cache_destroy(inode_cache);
}
