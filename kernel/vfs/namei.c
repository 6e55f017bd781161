// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names: lookup, create, link, unlink, rename.
 *
 * Names are cached without revalidation, which is right as long as every change of a directory goes
 * through this kernel and its outcome is known. It is not known when a waiter is killed whose
 * request a daemon has had already. When the answer comes, late_names() raises the mount's count of
 * late changes and then drops what is cached for the names involved. An answer that was asked for
 * before that may show the older state, and may be on its way to be cached right then: it is asked
 * for again. Who caches looks at the count after it has cached, who raises it drops names after it
 * has raised: one of the two sees the other.
 *
 * A late answer that refuses the change leaves alone what is cached: to drop a directory's name is
 * to unmount what is mounted below it.
 */
#include <linux/namei.h>
#include <linux/slab.h>

#include "nl/internal.h"
#include "vfs/vfs.h"

bool weft_name_valid(const char *name, size_t len)
{
	if (!len || len > WEFT_NAME_MAX || memchr(name, '\0', len) || memchr(name, '/', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

bool weft_dir_answer_stale(struct inode *dir, const struct weft_request *req)
{
	return req->names_seen != atomic64_read(&weft_mount(dir->i_sb)->names_changed);
}

/* --- Answers whose waiter was killed --- */

/* The name below the directory may mean something else now. */
static void late_name(struct super_block *sb, u64 parent, const char *wire, size_t wire_len)
{
	struct inode *dir = weft_inode_find(sb, parent);
	struct dentry *alias, *dentry;
	u8 open[WEFT_NAME_MAX];
	const char *name;
	int len;

	if (!dir)
		return;
	len = weft_name_from_wire(weft_mount(sb), parent, wire, wire_len, open, &name);
	alias = len > 0 ? d_find_any_alias(dir) : NULL;
	if (alias) {
		struct qstr qname = QSTR_INIT(name, len);

		qname.hash = full_name_hash(alias, name, len);
		dentry = d_lookup(alias, &qname);
		if (dentry) {
			d_invalidate(dentry);
			dput(dentry);
		}
		dput(alias);
	}
	iput(dir);
}

static void late_attr(struct super_block *sb, const struct nlattr *attr)
{
	struct inode *inode;

	if (!attr)
		return;
	inode = weft_inode_find(sb, le64_to_cpu(((const struct weft_attr *)nla_data(attr))->ino));
	if (!inode)
		return;
	weft_inode_update_from(inode, attr);
	iput(inode);
}

/* The names may have changed; or what was cached of them was wrong when they were to be changed. */
static bool late_matters(u32 status)
{
	switch (status) {
	case WEFT_ST_NOENT:
	case WEFT_ST_EXIST:
	case WEFT_ST_NOTDIR:
	case WEFT_ST_ISDIR:
	case WEFT_ST_STALE:
		return true;
	}
	return !weft_status_refused(status);
}

/* .abandoned of all requests that change names: what they said is in the request's own payload. */
static void late_names(struct weft_request *req)
{
	static const u16 attrs[] = { WEFT_P_ATTR, WEFT_P_ATTR2, WEFT_P_PATTR, WEFT_P_PATTR2 };
	static const u16 names[][2] = { { WEFT_P_PARENT, WEFT_P_NAME },
					{ WEFT_P_PARENT2, WEFT_P_NAME2 } };
	struct super_block *sb = req->mount->sb;
	const struct nlattr *tb[WEFT_P_NR];

	if (!late_matters(req->status))
		return;
	if (!req->status && !weft_answer_parse(req, tb))
		for (size_t i = 0; i < ARRAY_SIZE(attrs); i++)
			late_attr(sb, tb[attrs[i]]);
	atomic64_inc(&req->mount->names_changed);
	/* Pairs with the barrier in names_cached(). */
	smp_mb();
	/* Nobody sends it any more: it may be brought to the order of netlink's iterators. */
	weft_payload_normalize(req->out, req->out_len);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct nlattr *parent = nla_find(req->out, req->out_len, names[i][0]);
		const struct nlattr *name = nla_find(req->out, req->out_len, names[i][1]);

		if (parent && name)
			late_name(sb, get_unaligned_le64(nla_data(parent)), nla_data(name),
				  nla_len(name));
	}
}

/* --- Lookup --- */

/* new: the name is to be made. ERR_PTR(). */
static struct weft_request *names_request(struct inode *dir, u16 op, const struct qstr *name,
					  bool new)
{
	struct weft_mount *mount = weft_mount(dir->i_sb);
	struct weft_wire_name wire;
	struct weft_request *req;
	int error = weft_name_to_wire(dir, name, new, &wire);

	if (error)
		return ERR_PTR(error);
	req = weft_request_alloc(mount->cluster, mount, op, 3, 512, GFP_KERNEL);
	if (!req)
		return ERR_PTR(-ENOMEM);
	req->ino = weft_inode(dir)->ino;
	weft_request_add_u64(req, WEFT_P_PARENT, req->ino);
	weft_request_add(req, WEFT_P_NAME, wire.name, wire.len);
	return req;
}

/* What was just cached came from this answer; if it was overtaken, out with it. */
static void names_cached(struct inode *dir, struct dentry *dentry, const struct weft_request *req)
{
	/* Pairs with the barrier in late_name(). */
	smp_mb();
	if (weft_dir_answer_stale(dir, req))
		d_drop(dentry);
}

static struct dentry *dir_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	struct weft_request *req = NULL;
	const struct nlattr *tb[WEFT_P_NR];
	struct inode *inode = NULL;
	struct dentry *found;
	int error;

	if (dentry->d_name.len > WEFT_NAME_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	error = weft_permitted(dir);
	if (error)
		return ERR_PTR(error);
	do {
		weft_request_put(req);
		req = names_request(dir, WEFT_REQ_LOOKUP, &dentry->d_name, false);
		if (IS_ERR(req))
			return ERR_CAST(req);
		error = weft_request_call(req);
	} while ((!error || req->status == WEFT_ST_NOENT) && weft_dir_answer_stale(dir, req));
	if (!error)
		error = weft_answer_parse(req, tb);
	if (!error) {
		inode = weft_inode_from(dir->i_sb, tb[WEFT_P_ATTR], req);
		error = PTR_ERR_OR_ZERO(inode);
	}
	if (error && error != -ENOENT) {
		weft_request_put(req);
		return ERR_PTR(error);
	}
	WRITE_ONCE(weft_inode(dir)->readdir_plus, true);
	found = d_splice_alias(error ? NULL : inode, dentry);
	if (!IS_ERR(found))
		names_cached(dir, found ?: dentry, req);
	weft_request_put(req);
	return found;
}

/* --- Changes --- */

/* Sends it, takes in the parents' attributes. On success tb holds the answer. */
static int names_call(struct weft_request *req, struct inode *dir,
		      const struct nlattr *tb[WEFT_P_NR])
{
	int error = weft_permitted(dir);

	if (error)
		return error;
	req->abandoned = late_names;
	error = weft_request_call(req);
	if (!error)
		error = weft_answer_parse(req, tb);
	if (!error)
		error = weft_inode_update_from(dir, tb[WEFT_P_PATTR]);
	return error;
}

static void names_add_time(struct weft_request *req, struct super_block *sb)
{
	struct weft_time now = weft_time_now(sb);

	weft_request_add(req, WEFT_P_TIME, &now, sizeof(now));
}

/* Owner and group of what is made in the directory, as inode_init_owner() has it. */
static void create_describe(struct weft_create *create, const struct inode *dir, umode_t mode,
			    dev_t rdev)
{
	kgid_t gid = current_fsgid();

	if (dir->i_mode & S_ISGID) {
		gid = dir->i_gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
	}
	create->mode = cpu_to_le32(mode);
	create->uid = cpu_to_le32(from_kuid(&init_user_ns, current_fsuid()));
	create->gid = cpu_to_le32(from_kgid(&init_user_ns, gid));
	create->rdev_major = cpu_to_le32(MAJOR(rdev));
	create->rdev_minor = cpu_to_le32(MINOR(rdev));
	create->time = weft_time_now(dir->i_sb);
}

static int dir_make(struct inode *dir, struct dentry *dentry, umode_t mode, dev_t rdev,
		    const char *target)
{
	struct weft_request *req = names_request(dir, WEFT_REQ_CREATE, &dentry->d_name, true);
	const struct nlattr *tb[WEFT_P_NR];
	struct weft_create create = {};
	struct inode *inode;
	int error;

	if (IS_ERR(req))
		return PTR_ERR(req);
	create_describe(&create, dir, mode, rdev);
	weft_request_add(req, WEFT_P_CREATE, &create, sizeof(create));
	if (target)
		weft_request_add(req, WEFT_P_TARGET, target, strlen(target));
	error = names_call(req, dir, tb);
	if (error)
		goto out_put_request;
	inode = weft_inode_from(dir->i_sb, tb[WEFT_P_ATTR], req);
	if (IS_ERR(inode)) {
		error = PTR_ERR(inode);
	} else if ((inode->i_mode ^ mode) & S_IFMT ||
		   (S_ISDIR(mode) && !hlist_empty(&inode->i_dentry))) {
		/* Something else than was asked for, or a directory that has a name already. */
		iput(inode);
		error = -EPROTO;
	} else {
		d_instantiate(dentry, inode);
		names_cached(dir, dentry, req);
	}
out_put_request:
	/* It exists whatever became of the answer, or it did before: a negative name is wrong. */
	if (error == -EPROTO || error == -EEXIST || error == -ENOMEM)
		d_drop(dentry);
	weft_request_put(req);
	return error;
}

static int dir_create(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
		      umode_t mode)
{
	return dir_make(dir, dentry, (mode & S_IALLUGO) | S_IFREG, 0, NULL);
}
WEFT_THUNK_CREATE(dir_create);

static struct dentry *dir_mkdir(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
				umode_t mode)
{
	return ERR_PTR(dir_make(dir, dentry, (mode & S_IALLUGO) | S_IFDIR, 0, NULL));
}
WEFT_THUNK_MKDIR(dir_mkdir);

static int dir_mknod(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
		     umode_t mode, dev_t rdev)
{
	return dir_make(dir, dentry, mode, rdev, NULL);
}

static int dir_symlink(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
		       const char *target)
{
	char *sealed;
	int error;

	if (strlen(target) > WEFT_SYMLINK_MAX)
		return -ENAMETOOLONG;
	if (!weft_mount(dir->i_sb)->crypt.encrypted)
		return dir_make(dir, dentry, S_IFLNK | 0777, 0, target);
	sealed = weft_target_to_wire(dir, target);
	if (IS_ERR(sealed))
		return PTR_ERR(sealed);
	error = dir_make(dir, dentry, S_IFLNK | 0777, 0, sealed);
	kfree(sealed);
	return error;
}

static int dir_link(struct dentry *old, struct inode *dir, struct dentry *dentry)
{
	struct weft_request *req = names_request(dir, WEFT_REQ_LINK, &dentry->d_name, true);
	struct inode *inode = d_inode(old);
	const struct nlattr *tb[WEFT_P_NR];
	int error;

	if (IS_ERR(req))
		return PTR_ERR(req);
	weft_request_add_u64(req, WEFT_P_INO, weft_inode(inode)->ino);
	names_add_time(req, dir->i_sb);
	error = names_call(req, dir, tb);
	if (!error)
		error = weft_inode_update_from(inode, tb[WEFT_P_ATTR]);
	if (!error) {
		ihold(inode);
		d_instantiate(dentry, inode);
		names_cached(dir, dentry, req);
	} else if (error == -EPROTO || error == -EEXIST) {
		d_drop(dentry);
	}
	weft_request_put(req);
	return error;
}

static int dir_remove(struct inode *dir, struct dentry *dentry, u32 flags)
{
	struct inode *inode = d_inode(dentry);
	struct weft_request *req;
	const struct nlattr *tb[WEFT_P_NR];
	int error = weft_inode_prepare_forget(inode);

	if (error)
		return error;
	req = names_request(dir, WEFT_REQ_UNLINK, &dentry->d_name, false);
	if (IS_ERR(req))
		return PTR_ERR(req);
	weft_request_add_u64(req, WEFT_P_INO, weft_inode(inode)->ino);
	weft_request_add_u32(req, WEFT_P_FLAGS, flags);
	names_add_time(req, dir->i_sb);
	error = names_call(req, dir, tb);
	if (!error)
		error = weft_inode_update_from(inode, tb[WEFT_P_ATTR]);
	/* It is gone, or may be: look again. */
	if (error == -ENOENT || error == -ESTALE || (error && weft_request_unclear(req)))
		d_invalidate(dentry);
	weft_request_put(req);
	return error;
}

static int dir_unlink(struct inode *dir, struct dentry *dentry)
{
	return dir_remove(dir, dentry, 0);
}

static int dir_rmdir(struct inode *dir, struct dentry *dentry)
{
	return dir_remove(dir, dentry, WEFT_PF_RMDIR);
}

/* What has to be so before a name is replaced. */
static int rename_prepare(struct inode *moved, struct inode *replaced, unsigned int flags)
{
	int error;

	if (!replaced || (flags & RENAME_EXCHANGE))
		return 0;
	error = weft_inode_prepare_forget(replaced);
	/*
	 * Programs that write a new file and rename it over the old one expect to find one of the
	 * two after a crash.
	 */
	if (!error && S_ISREG(moved->i_mode))
		error = weft_io_flush(moved);
	return error;
}

static int dir_rename(struct mnt_idmap *idmap, struct inode *old_dir, struct dentry *old,
		      struct inode *new_dir, struct dentry *new, unsigned int flags)
{
	u32 wire = (flags & RENAME_NOREPLACE ? WEFT_PF_NOREPLACE : 0) |
		   (flags & RENAME_EXCHANGE ? WEFT_PF_EXCHANGE : 0);
	struct inode *moved = d_inode(old), *replaced = d_inode(new);
	const struct nlattr *tb[WEFT_P_NR];
	struct weft_wire_name to;
	struct weft_request *req;
	int error;

	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	error = weft_name_to_wire(new_dir, &new->d_name, true, &to);
	if (!error)
		error = rename_prepare(moved, replaced, flags);
	if (error)
		return error;
	req = names_request(old_dir, WEFT_REQ_RENAME, &old->d_name, true);
	if (IS_ERR(req))
		return PTR_ERR(req);
	weft_request_add_u64(req, WEFT_P_PARENT2, weft_inode(new_dir)->ino);
	weft_request_add(req, WEFT_P_NAME2, to.name, to.len);
	weft_request_add_u32(req, WEFT_P_FLAGS, wire);
	names_add_time(req, old_dir->i_sb);
	error = names_call(req, old_dir, tb);
	if (!error)
		error = weft_inode_update_from(new_dir, tb[WEFT_P_PATTR2]);
	if (!error)
		error = weft_inode_update_from(moved, tb[WEFT_P_ATTR]);
	if (!error && replaced)
		error = weft_inode_update_from(replaced, tb[WEFT_P_ATTR2]);
	if (error == -EPROTO) {
		/* It may have happened: look again. */
		d_drop(old);
		d_drop(new);
	}
	weft_request_put(req);
	return error;
}

const struct inode_operations weft_dir_iops = {
	.lookup = dir_lookup,
	.create = WEFT_OP_CREATE(dir_create),
	.link = dir_link,
	.unlink = dir_unlink,
	.symlink = dir_symlink,
	.mkdir = WEFT_OP_MKDIR(dir_mkdir),
	.rmdir = dir_rmdir,
	.mknod = dir_mknod,
	.rename = dir_rename,
	.setattr = weft_setattr,
	.getattr = weft_getattr,
	.listxattr = weft_listxattr,
};
