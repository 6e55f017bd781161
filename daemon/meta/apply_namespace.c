// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_namespace.c - requests that change names and attributes
 *
 * All that can be refused is checked before the first change. A directory's nlink is 2 and one for
 * each directory in it; the last link of a file gone makes it an orphan of the session. Who changed
 * a directory's content sets its mtime, ctime and change attribute.
 */
#include <errno.h>
#include <sys/stat.h>

#include "meta/meta.h"

#define DEPTH_MAX 1048576u

struct name {
	const u8 *bytes;
	size_t len;
};

static u64 ino_of(const struct weft_m_inode *inode)
{
	return le64_to_cpu(inode->attr.ino);
}

static int put_inode(struct meta_apply *apply, const struct weft_m_inode *inode)
{
	return meta_inode_put(&apply->state->txn, &apply->tree, inode);
}

static int get_inode(struct meta_apply *apply, u64 ino, struct weft_m_inode *inode)
{
	int err = meta_inode_get(&apply->state->txn, &apply->tree, ino, inode);

	return err == -ENOENT ? WEFT_ST_STALE : err;
}

/* A directory that names may come to and go from. */
static int get_dir(struct meta_apply *apply, u64 ino, struct weft_m_inode *dir)
{
	int ret = get_inode(apply, ino, dir);

	if (ret)
		return ret;
	if (!meta_inode_is_dir(dir))
		return WEFT_ST_NOTDIR;
	return dir->attr.nlink ? WEFT_ST_OK : WEFT_ST_NOENT;
}

/* OK, NOENT or a negative errno. */
static int find(struct meta_apply *apply, u64 dir, const struct name *name,
		struct meta_dirent *dirent)
{
	int err = meta_dirent_find(&apply->state->txn, &apply->tree, apply->volume.head.name_key,
				   dir, name->bytes, name->len, dirent);

	return err == -ENOENT ? WEFT_ST_NOENT : err;
}

static int add(struct meta_apply *apply, struct weft_m_inode *dir, const struct name *name,
	       const struct weft_m_inode *inode)
{
	int err = meta_dirent_add(&apply->state->txn, &apply->tree, apply->volume.head.name_key,
				  ino_of(dir), name->bytes, name->len, ino_of(inode),
				  le32_to_cpu(inode->attr.mode));

	if (err == -EXFULL)
		return WEFT_ST_MLINK;
	if (!err)
		le64_add(&dir->entries, 1);
	return err;
}

static int del(struct meta_apply *apply, struct weft_m_inode *dir, const struct meta_dirent *dirent)
{
	le64_sub(&dir->entries, 1);
	return meta_dirent_del(&apply->state->txn, &apply->tree, ino_of(dir), dirent->position);
}

static void answer_attr(struct meta_apply *apply, enum weft_p type,
			const struct weft_m_inode *inode)
{
	tlv_put(&apply->outcome->answer, (u16)type, &inode->attr, sizeof(inode->attr));
}

/* ---- SETATTR ---- */

static void set_times(struct weft_attr *attr, const struct weft_setattr *set, u32 valid)
{
	if (valid & WEFT_SA_ATIME) {
		attr->atime_sec = set->atime.sec;
		attr->atime_nsec = set->atime.nsec;
	}
	if (valid & WEFT_SA_MTIME) {
		attr->mtime_sec = set->mtime.sec;
		attr->mtime_nsec = set->mtime.nsec;
	}
	if (valid & WEFT_SA_CTIME) {
		attr->ctime_sec = set->ctime.sec;
		attr->ctime_nsec = set->ctime.nsec;
	}
}

/* Inline content follows the size, down always, up as long as it stays inline. */
static int resize_inline(struct meta_apply *apply, struct weft_m_inode *inode, u64 size)
{
	u32 inline_max = le32_to_cpu(apply->volume.head.info.inline_max);
	u8 data[META_VALUE_MAX];
	size_t len = 0;
	u64 keep;
	int err;

	if (!(le32_to_cpu(inode->attr.flags) & WEFT_AF_INLINE))
		return 0;
	err = meta_inline_get(&apply->state->txn, &apply->tree, ino_of(inode), data, sizeof(data),
			      &len);
	if (err && err != -ENOENT)
		return err;
	keep = size <= len || size <= inline_max ? size : len;
	if (keep > len)
		memset(data + len, 0, keep - len);
	if (keep == len)
		return 0;
	le64_add(&inode->attr.bytes, keep - len);
	if (!keep) {
		inode->attr.flags &= ~cpu_to_le32(WEFT_AF_INLINE);
		return meta_inline_del(&apply->state->txn, &apply->tree, ino_of(inode));
	}
	return meta_inline_put(&apply->state->txn, &apply->tree, ino_of(inode), data, keep);
}

/*
 * What lies behind the smaller of the two sizes goes. A file that grows keeps what this session has
 * behind the old size: its kernel has committed all that comes before it.
 */
static bool size_cuts(const struct meta_apply *apply, const struct weft_m_inode *inode, u64 size)
{
	u64 old = le64_to_cpu(inode->attr.size);

	if (apply->entry->level < META_LEVEL_LEFT_BEHIND)
		return size < old;
	return size <= old || meta_extent_left_behind(inode, apply->entry->session);
}

/* OK, META_MORE after a step, or a negative errno. */
static int set_size(struct meta_apply *apply, struct weft_m_inode *inode, u64 size)
{
	u64 bytes = le64_to_cpu(inode->attr.bytes), old = le64_to_cpu(inode->attr.size);
	u64 from = size < old ? size : old, reached = from;
	int err;

	if (size_cuts(apply, inode, size)) {
		err = meta_extent_truncate(apply->state, &apply->tree, inode, from, &reached);
		if (err)
			return err;
	}
	if (reached == from) {
		err = resize_inline(apply, inode, size);
		if (err)
			return err;
	}
	err = meta_volume_account(apply->state, apply->tree.volume, 0,
				  (s64)(le64_to_cpu(inode->attr.bytes) - bytes));
	if (err)
		return err;
	if (reached != from) {
		if (reached < old)
			inode->attr.size = cpu_to_le64(reached);
		return META_MORE;
	}
	inode->attr.size = cpu_to_le64(size);
	if (apply->entry->level >= META_LEVEL_LEFT_BEHIND)
		inode->session = cpu_to_le64(apply->entry->session);
	return WEFT_ST_OK;
}

int meta_apply_setattr(struct meta_apply *apply)
{
	const struct weft_e_request_setattr *body;
	struct weft_m_inode inode;
	const u8 *tail;
	size_t len;
	u32 valid;
	int ret, err;

	body = meta_entry_body(apply->entry, sizeof(*body), &tail, &len);
	if (!body)
		return -EBADMSG;
	valid = le32_to_cpu(body->set.valid);
	if (len != (valid & WEFT_SA_POLICY ? sizeof(inode.attr.policy) : 0))
		return -EBADMSG;
	ret = get_inode(apply, le64_to_cpu(body->ino), &inode);
	if (ret)
		return ret;
	if (valid & WEFT_SA_POLICY && !meta_inode_is_file(&inode) && !meta_inode_is_dir(&inode))
		return WEFT_ST_INVAL;
	if (valid & WEFT_SA_SIZE) {
		if (!meta_inode_is_file(&inode))
			return meta_inode_is_dir(&inode) ? WEFT_ST_ISDIR : WEFT_ST_INVAL;
		ret = set_size(apply, &inode, le64_to_cpu(body->set.size));
		if (ret < 0)
			return ret;
	}
	if (valid & WEFT_SA_MODE)
		inode.attr.mode = cpu_to_le32((le32_to_cpu(inode.attr.mode) & S_IFMT) |
					      (le32_to_cpu(body->set.mode) & 07777));
	if (valid & WEFT_SA_UID)
		inode.attr.uid = body->set.uid;
	if (valid & WEFT_SA_GID)
		inode.attr.gid = body->set.gid;
	if (valid & WEFT_SA_POLICY)
		memcpy(&inode.attr.policy, tail, sizeof(inode.attr.policy));
	set_times(&inode.attr, &body->set, valid);
	le64_add(&inode.attr.change, 1);
	err = put_inode(apply, &inode);
	if (err)
		return err;
	if (ret == WEFT_ST_OK)
		answer_attr(apply, WEFT_P_ATTR, &inode);
	return ret;
}

/* ---- CREATE and LINK ---- */

int meta_apply_create(struct meta_apply *apply)
{
	const struct weft_e_request_create *body;
	struct weft_m_inode dir, inode;
	struct meta_dirent dirent;
	size_t len, target_len;
	struct name name;
	bool is_dir;
	int ret;

	body = meta_entry_body(apply->entry, sizeof(*body), &name.bytes, &len);
	if (!body)
		return -EBADMSG;
	name.len = le16_to_cpu(body->name_len);
	target_len = le16_to_cpu(body->target_len);
	if (name.len + target_len != len)
		return -EBADMSG;
	is_dir = S_ISDIR(le32_to_cpu(body->create.mode));

	ret = get_dir(apply, le64_to_cpu(body->parent), &dir);
	if (ret)
		return ret;
	ret = find(apply, ino_of(&dir), &name, &dirent);
	if (ret != WEFT_ST_NOENT)
		return ret < 0 ? ret : WEFT_ST_EXIST;
	if (is_dir && le32_to_cpu(dir.attr.nlink) >= META_LINK_MAX)
		return WEFT_ST_MLINK;

	meta_inode_init(apply->state, &inode, &body->create);
	ret = add(apply, &dir, &name, &inode);
	if (ret)
		return ret;
	if (apply->entry->level >= META_LEVEL_POLICY && (is_dir || meta_inode_is_file(&inode)))
		inode.attr.policy = dir.attr.policy;
	if (is_dir) {
		inode.attr.parent = dir.attr.ino;
		le32_add(&dir.attr.nlink, 1);
	}
	if (target_len) {
		inode.attr.size = cpu_to_le64(target_len);
		ret = meta_inline_put(&apply->state->txn, &apply->tree, ino_of(&inode),
				      name.bytes + name.len, target_len);
		if (ret)
			return ret;
	}
	meta_inode_touch_dir(&dir, &body->create.time);
	ret = put_inode(apply, &inode);
	if (!ret)
		ret = put_inode(apply, &dir);
	if (!ret)
		ret = meta_volume_account(apply->state, apply->tree.volume, 1, 0);
	answer_attr(apply, WEFT_P_ATTR, &inode);
	answer_attr(apply, WEFT_P_PATTR, &dir);
	return ret;
}

static const struct weft_e_request_name *name_body(const struct meta_apply *apply,
						   struct name *name)
{
	const struct weft_e_request_name *body;
	size_t len;

	body = meta_entry_body(apply->entry, sizeof(*body), &name->bytes, &len);
	if (!body || le16_to_cpu(body->name_len) != len)
		return NULL;
	name->len = len;
	return body;
}

int meta_apply_link(struct meta_apply *apply)
{
	const struct weft_e_request_name *body;
	struct weft_m_inode dir, inode;
	struct meta_dirent dirent;
	struct name name;
	int ret;

	body = name_body(apply, &name);
	if (!body)
		return -EBADMSG;
	ret = get_dir(apply, le64_to_cpu(body->parent), &dir);
	if (!ret)
		ret = get_inode(apply, le64_to_cpu(body->ino), &inode);
	if (ret)
		return ret;
	if (meta_inode_is_dir(&inode))
		return WEFT_ST_PERM;
	/* What nothing names is on its way out; O_TMPFILE files are not made this way. */
	if (!inode.attr.nlink)
		return WEFT_ST_NOENT;
	if (le32_to_cpu(inode.attr.nlink) >= META_LINK_MAX)
		return WEFT_ST_MLINK;
	ret = find(apply, ino_of(&dir), &name, &dirent);
	if (ret != WEFT_ST_NOENT)
		return ret < 0 ? ret : WEFT_ST_EXIST;

	ret = add(apply, &dir, &name, &inode);
	if (ret)
		return ret;
	le32_add(&inode.attr.nlink, 1);
	meta_inode_touch(&inode, &body->time);
	meta_inode_touch_dir(&dir, &body->time);
	ret = put_inode(apply, &inode);
	if (!ret)
		ret = put_inode(apply, &dir);
	answer_attr(apply, WEFT_P_ATTR, &inode);
	answer_attr(apply, WEFT_P_PATTR, &dir);
	return ret;
}

/* ---- UNLINK ---- */

/* One name less for an inode that may go; dir: where the name was. Puts the inode. */
static int drop_link(struct meta_apply *apply, struct weft_m_inode *dir, struct weft_m_inode *inode,
		     const struct weft_time *time)
{
	int err;

	meta_inode_touch(inode, time);
	if (meta_inode_is_dir(inode)) {
		inode->attr.nlink = 0;
		le32_add(&dir->attr.nlink, (u32)-1);
	} else {
		le32_add(&inode->attr.nlink, (u32)-1);
	}
	err = put_inode(apply, inode);
	if (err || inode->attr.nlink)
		return err;
	return meta_orphan_add(apply->state, &apply->tree, apply->entry->session, ino_of(inode));
}

int meta_apply_unlink(struct meta_apply *apply)
{
	const struct weft_e_request_name *body;
	struct weft_m_inode dir, inode;
	struct meta_dirent dirent;
	struct name name;
	bool rmdir;
	int ret;

	body = name_body(apply, &name);
	if (!body)
		return -EBADMSG;
	rmdir = le32_to_cpu(body->flags) & WEFT_PF_RMDIR;
	ret = get_dir(apply, le64_to_cpu(body->parent), &dir);
	if (!ret)
		ret = find(apply, ino_of(&dir), &name, &dirent);
	if (ret)
		return ret;
	/*
	 * The kernel speaks of the inode that it knows under the name; another one is not its to
	 * delete.
	 */
	if (body->ino && le64_to_cpu(body->ino) != dirent.ino)
		return WEFT_ST_STALE;
	ret = get_inode(apply, dirent.ino, &inode);
	if (ret)
		return ret;
	if (rmdir && !meta_inode_is_dir(&inode))
		return WEFT_ST_NOTDIR;
	if (!rmdir && meta_inode_is_dir(&inode))
		return WEFT_ST_ISDIR;
	if (rmdir && inode.entries)
		return WEFT_ST_NOTEMPTY;

	ret = del(apply, &dir, &dirent);
	if (!ret)
		ret = drop_link(apply, &dir, &inode, &body->time);
	if (ret)
		return ret;
	meta_inode_touch_dir(&dir, &body->time);
	ret = put_inode(apply, &dir);
	answer_attr(apply, WEFT_P_ATTR, &inode);
	answer_attr(apply, WEFT_P_PATTR, &dir);
	return ret;
}

/* ---- RENAME ---- */

/* OK, or LOOP if ino is top or stands above it. */
static int check_not_above(struct meta_apply *apply, u64 ino, u64 top)
{
	u64 root = le64_to_cpu(apply->volume.head.info.root);
	struct weft_m_inode inode;
	int ret;

	for (unsigned int depth = 0; depth < DEPTH_MAX; depth++) {
		if (top == ino)
			return WEFT_ST_LOOP;
		if (top == root)
			return WEFT_ST_OK;
		ret = get_inode(apply, top, &inode);
		if (ret)
			return ret;
		top = le64_to_cpu(inode.attr.parent);
	}
	return -EBADMSG;
}

struct rename {
	const struct weft_e_request_rename *body;
	struct name name, name2;
	struct weft_m_inode dir;
	struct weft_m_inode dir2;      /* unused when both are one: to() */
	struct weft_m_inode inode;     /* that moves */
	struct weft_m_inode target;    /* that has the new name */
	struct meta_dirent from;
	struct meta_dirent over;
	bool same_dir;
	bool has_target;
};

static struct weft_m_inode *to(struct rename *rename)
{
	return rename->same_dir ? &rename->dir : &rename->dir2;
}

static int rename_load(struct meta_apply *apply, struct rename *rename)
{
	const struct weft_e_request_rename *body;
	size_t len;
	int ret;

	body = meta_entry_body(apply->entry, sizeof(*body), &rename->name.bytes, &len);
	if (!body || (size_t)le16_to_cpu(body->name_len) + le16_to_cpu(body->name2_len) != len)
		return -EBADMSG;
	rename->body = body;
	rename->name.len = le16_to_cpu(body->name_len);
	rename->name2.bytes = rename->name.bytes + rename->name.len;
	rename->name2.len = le16_to_cpu(body->name2_len);
	rename->same_dir = body->parent == body->parent2;
	ret = get_dir(apply, le64_to_cpu(body->parent), &rename->dir);
	if (!ret && !rename->same_dir)
		ret = get_dir(apply, le64_to_cpu(body->parent2), &rename->dir2);
	if (!ret)
		ret = find(apply, ino_of(&rename->dir), &rename->name, &rename->from);
	if (!ret)
		ret = get_inode(apply, rename->from.ino, &rename->inode);
	if (ret)
		return ret;
	ret = find(apply, ino_of(to(rename)), &rename->name2, &rename->over);
	if (ret == WEFT_ST_NOENT)
		return WEFT_ST_OK;
	rename->has_target = !ret;
	return ret ? ret : get_inode(apply, rename->over.ino, &rename->target);
}

static int rename_check(struct meta_apply *apply, struct rename *rename)
{
	u32 flags = le32_to_cpu(rename->body->flags);
	bool is_dir = meta_inode_is_dir(&rename->inode);
	bool target_dir = rename->has_target && meta_inode_is_dir(&rename->target);
	bool exchange = flags & WEFT_PF_EXCHANGE;
	int ret = WEFT_ST_OK;

	if (exchange && !rename->has_target)
		return WEFT_ST_NOENT;
	if (flags & WEFT_PF_NOREPLACE && rename->has_target)
		return WEFT_ST_EXIST;
	if (is_dir)
		ret = check_not_above(apply, ino_of(&rename->inode), ino_of(to(rename)));
	if (!ret && exchange && target_dir)
		ret = check_not_above(apply, ino_of(&rename->target), ino_of(&rename->dir));
	if (ret)
		return ret;
	if (is_dir && !target_dir && !rename->same_dir &&
	    le32_to_cpu(to(rename)->attr.nlink) >= META_LINK_MAX)
		return WEFT_ST_MLINK;
	if (exchange || !rename->has_target)
		return WEFT_ST_OK;
	if (is_dir && !target_dir)
		return WEFT_ST_NOTDIR;
	if (!is_dir && target_dir)
		return WEFT_ST_ISDIR;
	return target_dir && rename->target.entries ? WEFT_ST_NOTEMPTY : WEFT_ST_OK;
}

/* inode, a directory or not, now stands in `to` instead of `from`. */
static void move_parent(struct weft_m_inode *inode, struct weft_m_inode *from,
			struct weft_m_inode *dest)
{
	if (!meta_inode_is_dir(inode))
		return;
	inode->attr.parent = dest->attr.ino;
	le32_add(&from->attr.nlink, (u32)-1);
	le32_add(&dest->attr.nlink, 1);
}

static int rename_exchange(struct meta_apply *apply, struct rename *rename)
{
	struct meta_txn *txn = &apply->state->txn;
	int err;

	err = meta_dirent_set(txn, &apply->tree, ino_of(&rename->dir), rename->from.position,
			      rename->name.bytes, rename->name.len, ino_of(&rename->target),
			      le32_to_cpu(rename->target.attr.mode));
	if (!err)
		err = meta_dirent_set(txn, &apply->tree, ino_of(to(rename)), rename->over.position,
				      rename->name2.bytes, rename->name2.len,
				      ino_of(&rename->inode), le32_to_cpu(rename->inode.attr.mode));
	if (err)
		return err;
	move_parent(&rename->inode, &rename->dir, to(rename));
	move_parent(&rename->target, to(rename), &rename->dir);
	meta_inode_touch(&rename->target, &rename->body->time);
	return put_inode(apply, &rename->target);
}

static int rename_move(struct meta_apply *apply, struct rename *rename)
{
	struct meta_txn *txn = &apply->state->txn;
	int err;

	if (rename->has_target) {
		err = meta_dirent_set(txn, &apply->tree, ino_of(to(rename)), rename->over.position,
				      rename->name2.bytes, rename->name2.len,
				      ino_of(&rename->inode), le32_to_cpu(rename->inode.attr.mode));
		if (!err)
			err = drop_link(apply, to(rename), &rename->target, &rename->body->time);
	} else {
		err = add(apply, to(rename), &rename->name2, &rename->inode);
	}
	if (!err)
		err = del(apply, &rename->dir, &rename->from);
	if (!err)
		move_parent(&rename->inode, &rename->dir, to(rename));
	return err;
}

int meta_apply_rename(struct meta_apply *apply)
{
	struct rename rename = { .has_target = false };
	int ret;

	ret = rename_load(apply, &rename);
	if (!ret)
		ret = rename_check(apply, &rename);
	if (ret)
		return ret;
	/* Two names of one inode: POSIX wants nothing to happen. */
	if (!rename.has_target || ino_of(&rename.target) != ino_of(&rename.inode)) {
		if (le32_to_cpu(rename.body->flags) & WEFT_PF_EXCHANGE)
			ret = rename_exchange(apply, &rename);
		else
			ret = rename_move(apply, &rename);
		if (ret)
			return ret;
		meta_inode_touch(&rename.inode, &rename.body->time);
		meta_inode_touch_dir(&rename.dir, &rename.body->time);
		if (!rename.same_dir)
			meta_inode_touch_dir(&rename.dir2, &rename.body->time);
		ret = put_inode(apply, &rename.inode);
		if (!ret)
			ret = put_inode(apply, &rename.dir);
		if (!ret && !rename.same_dir)
			ret = put_inode(apply, &rename.dir2);
	}
	answer_attr(apply, WEFT_P_ATTR, &rename.inode);
	answer_attr(apply, WEFT_P_PATTR, &rename.dir);
	answer_attr(apply, WEFT_P_PATTR2, to(&rename));
	if (rename.has_target)
		answer_attr(apply, WEFT_P_ATTR2, &rename.target);
	return ret;
}

int meta_apply_forget(struct meta_apply *apply)
{
	const struct weft_e_request_forget *body;
	const u8 *tail;
	size_t len;
	int err;

	body = meta_entry_body(apply->entry, sizeof(*body), &tail, &len);
	if (!body)
		return -EBADMSG;
	err = meta_orphan_release(apply->state, &apply->tree, apply->entry->session,
				  le64_to_cpu(body->ino));
	return err == -ENOENT ? WEFT_ST_OK : err;
}
