// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading directories. Positions are the daemon's (struct weft_dirent): 0 is ".", 1 is "..",
 * entries begin at 3 and keep their position as long as they live.
 *
 * Attributes come along with the names. They are kept as dentries and inodes when somebody looks at
 * them: always for the beginning of a directory, then as long as entries of this directory are
 * looked up or asked for their attributes.
 */
#include <linux/filelock.h>
#include <linux/slab.h>

#include "vfs/vfs.h"

#define DIR_FIRST 2 /* what is asked for behind ".." */

/* Whether the entry makes sense behind position last. */
static bool entry_valid(const struct weft_dirent *entry, size_t len, u64 wanted)
{
	size_t name_len = le16_to_cpu(entry->name_len);
	u64 cookie = le64_to_cpu(entry->cookie);

	return len == sizeof(*entry) + name_len && cookie >= wanted && cookie > DIR_FIRST &&
	       cookie < S64_MAX && entry->attr.ino &&
	       weft_name_valid((const char *)(entry + 1), name_len);
}

/*
 * Keeps the entry as a dentry if there is none; what fails is not kept. The directory is locked
 * shared.
 */
static void entry_keep(struct dentry *parent, const struct weft_dirent *entry, const char *shown,
		       u32 len, const struct weft_request *req)
{
	struct qstr name = QSTR_INIT(shown, len);
	DECLARE_WAIT_QUEUE_HEAD_ONSTACK(wait);
	struct dentry *dentry, *alias;
	struct inode *inode;

	name.hash = full_name_hash(parent, name.name, name.len);
	dentry = d_lookup(parent, &name);
	if (dentry) {
		/* A known name: its inode is as new as any answer. */
		dput(dentry);
		return;
	}
	dentry = weft_d_alloc_parallel(parent, &name, &wait);
	if (IS_ERR(dentry))
		return;
	if (d_in_lookup(dentry)) {
		inode = weft_inode_get(parent->d_sb, &entry->attr, NULL);
		if (!IS_ERR(inode)) {
			alias = d_splice_alias(inode, dentry);
			/* Pairs with the barrier in late_name(). */
			smp_mb();
			if (!IS_ERR(alias) && weft_dir_answer_stale(d_inode(parent), req))
				d_drop(alias ?: dentry);
			if (!IS_ERR_OR_NULL(alias))
				dput(alias);
		}
		d_lookup_done(dentry);
	}
	dput(dentry);
}

/*
 * Hands out one answer's entries. 1: the caller has enough; 0: go on at ctx->pos; negative errno.
 */
static int page_emit(struct file *file, struct dir_context *ctx, const struct weft_request *req,
		     bool keep)
{
	struct inode *dir = file_inode(file);
	const struct nlattr *attr;
	unsigned int count = 0;
	u8 open[WEFT_NAME_MAX];
	const char *shown;
	int rem, len;

	weft_answer_for_each(req, attr, rem, WEFT_P_DIRENT) {
		const struct weft_dirent *entry = nla_data(attr);

		if (nla_len(attr) < sizeof(*entry) || !entry_valid(entry, nla_len(attr), ctx->pos))
			return -EPROTO;
		len = weft_name_from_wire(weft_mount(dir->i_sb), weft_inode(dir)->ino,
					  (const char *)(entry + 1), le16_to_cpu(entry->name_len),
					  open, &shown);
		if (len < 0)
			return len;
		if (keep)
			entry_keep(file->f_path.dentry, entry, shown, len, req);
		ctx->pos = le64_to_cpu(entry->cookie);
		if (!dir_emit(ctx, shown, len, le64_to_cpu(entry->attr.ino),
			      fs_umode_to_dtype(le32_to_cpu(entry->attr.mode))))
			return 1;
		ctx->pos++;
		count++;
	}
	return count ? 0 : -ENODATA;
}

static struct weft_request *page_request(struct inode *dir, u64 position)
{
	struct weft_mount *mount = weft_mount(dir->i_sb);
	struct weft_request *req =
		weft_request_alloc(mount->cluster, mount, WEFT_REQ_READDIR, 3, 64, GFP_KERNEL);

	if (!req)
		return NULL;
	req->ino = weft_inode(dir)->ino;
	weft_request_add_u64(req, WEFT_P_INO, req->ino);
	weft_request_add_u64(req, WEFT_P_COOKIE, position);
	weft_request_add_u64(req, WEFT_P_LENGTH, WEFT_PAYLOAD_MAX);
	return req;
}

static int dir_iterate(struct file *file, struct dir_context *ctx)
{
	struct inode *dir = file_inode(file);
	struct weft_inode *wi = weft_inode(dir);
	const struct nlattr *tb[WEFT_P_NR];
	struct weft_request *req;
	bool eof = false, keep;
	int error = weft_permitted(dir);

	if (error || !dir_emit_dots(file, ctx))
		return error;
	while (!error && !eof && ctx->pos < S64_MAX) {
		keep = ctx->pos == DIR_FIRST || xchg(&wi->readdir_plus, false);
		req = page_request(dir, ctx->pos);
		if (!req)
			return -ENOMEM;
		error = weft_request_call(req);
		if (!error)
			error = weft_answer_parse(req, tb);
		if (!error) {
			eof = tb[WEFT_P_FLAGS] &&
			      (get_unaligned_le32(nla_data(tb[WEFT_P_FLAGS])) & WEFT_PF_EOF);
			error = page_emit(file, ctx, req, keep && !weft_dir_answer_stale(dir, req));
			/*
			 * A page without entries has to be the last one, or this would never end.
			 */
			if (error == -ENODATA)
				error = eof ? 0 : -EPROTO;
		}
		weft_request_put(req);
	}
	if (!error && eof)
		ctx->pos = S64_MAX;
	return error < 0 ? error : 0;
}

static int dir_open(struct inode *inode, struct file *file)
{
	return weft_permitted(inode) ?: weft_crypt_open(weft_mount(inode->i_sb), false);
}

static int dir_release(struct inode *inode, struct file *file)
{
	weft_crypt_release(weft_mount(inode->i_sb));
	return 0;
}

/* Changes of names are durable when they have been answered. */
static int dir_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	return weft_permitted(file_inode(file));
}

const struct file_operations weft_dir_fops = {
	.open = dir_open,
	.release = dir_release,
	.unlocked_ioctl = weft_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.read = generic_read_dir,
	.iterate_shared = dir_iterate,
	.llseek = generic_file_llseek,
	.fsync = dir_fsync,
	.setlease = generic_setlease,
};
