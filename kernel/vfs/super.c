// SPDX-License-Identifier: GPL-2.0-only
/*
 * Super blocks: one for each volume of a cluster in a network namespace, shared by all of its
 * mounts.
 *
 * Start: the cluster is found by name, MOUNT opens a session, the answer describes volume and root.
 * End: what is dirty is written (bounded, io/), late answers are shut out, inodes are evicted,
 * UMOUNT closes the session (bounded), whatever is still under way is aborted and waited for, then
 * nothing of the mount is left.
 *
 * umount -f, ABORT, a lost session and the namespace's end all come down to mount_end(), once, from
 * a work queue: every wait ends, dirty data is dropped, and nothing works any more until the last
 * umount.
 */
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>

#include "obs/stats.h"
#include "vfs/vfs.h"

#define UMOUNT_WAIT (10 * HZ)
#define STATFS_WAIT (3 * HZ)

/* --- Session --- */

static u32 end_status(const struct weft_mount *mount)
{
	return READ_ONCE(mount->state) == WEFT_MOUNT_LOST ? WEFT_ST_SESSION_LOST : WEFT_ST_ABORTED;
}

/*
 * Sleeps, but for nobody outside of this kernel. May run beside the end of the super block, and
 * more than once.
 */
static void mount_end(struct weft_mount *mount)
{
	weft_nl_mount_abort(mount, end_status(mount));
	weft_node_mount_abort(mount);
	/* Otherwise the mount is still being made, and finds that it has ended. */
	if (smp_load_acquire(&mount->io_started))
		weft_io_mount_abort(mount);
}

/*
 * A request of the session itself; it is none of the mount's, which may end before it is answered.
 */
static struct weft_request *session_request(struct weft_cluster *cluster, u16 op, u8 class)
{
	return weft_request_alloc(cluster, NULL, op, class, 512, GFP_KERNEL);
}

static void session_closed(struct weft_request *req)
{
	struct completion *closed = xchg(&req->private, NULL);

	if (closed)
		complete(closed);
}

/*
 * MOUNT was answered and nobody is there to use the session: close it. The request for that was
 * made before MOUNT was sent: see session_open().
 */
static void session_unwanted(struct weft_request *req)
{
	struct weft_request *umount = xchg(&req->private, NULL);
	const struct nlattr *tb[WEFT_P_NR];

	if (!req->status && !weft_answer_parse(req, tb) && tb[WEFT_P_SESSION]) {
		umount->session = get_unaligned_le64(nla_data(tb[WEFT_P_SESSION]));
		umount->done = session_closed;
		weft_request_submit(umount);
	}
	weft_request_put(umount);
}

/*
 * Waits for the answer as long as UMOUNT_WAIT says, if there is a daemon to give it and nobody is
 * in a hurry; it may come later, or never: the service closes sessions that are not renewed.
 */
static void session_close(struct weft_mount *mount)
{
	bool wait = READ_ONCE(mount->state) == WEFT_MOUNT_LIVE &&
		    weft_cluster_bound(mount->cluster);
	struct weft_request *req = mount->umount;
	DECLARE_COMPLETION_ONSTACK(closed);

	req->session = mount->session;
	req->pid = current->pid;
	req->done = session_closed;
	req->private = wait ? &closed : NULL;
	if (!weft_request_submit(req) && wait &&
	    !wait_for_completion_timeout(&closed, UMOUNT_WAIT)) {
		/*
		 * Whoever takes the pointer decides: with it gone, session_closed() is about to
		 * complete.
		 */
		if (!xchg(&req->private, NULL))
			wait_for_completion(&closed);
		pr_notice("weft: volume %s: the daemon has not confirmed the end of session %llu\n",
			  mount->volume_name, mount->session);
	}
}

/* Nothing that the daemon says about the volume is used before it has passed here. */
static int volume_take(struct weft_mount *mount, const struct weft_volume_info *volume)
{
	const size_t known = offsetofend(struct weft_volume_info, codec_level);
	u32 k = le32_to_cpu(volume->k), m = le32_to_cpu(volume->m);
	int error;

	if (!k || k > WEFT_SHARDS_MAX || m > WEFT_SHARDS_MAX || k + m > WEFT_SHARDS_MAX)
		return -EPROTO;
	if (!volume->root || le32_to_cpu(volume->inline_max) > WEFT_PAYLOAD_MAX / 2)
		return -EPROTO;
	if (le32_to_cpu(volume->cipher) > WEFT_CIPHER_AES256_GCM)
		return -EOPNOTSUPP;
	/* Content stands in chunks, which are sealed, and nowhere else. */
	if (volume->cipher && volume->inline_max)
		return -EPROTO;
	/* What this module does not know might tell of content: ids of it, say. */
	if (volume->cipher && memchr_inv((const u8 *)volume + known, 0, sizeof(*volume) - known))
		return -EOPNOTSUPP;
	error = weft_policy_take(mount, volume);
	if (error)
		return error;
	mount->volume = le64_to_cpu(volume->volume);
	mount->dedup = volume->dedup_domain;
	mount->domain = mount->dedup ? le32_to_cpu(volume->dedup_domain) : mount->volume;
	mount->root = le64_to_cpu(volume->root);
	mount->k = k;
	mount->m = m;
	mount->inline_max = le32_to_cpu(volume->inline_max);
	mount->incarnation = le32_to_cpu(volume->incarnation);
	import_uuid(&mount->sb->s_uuid, volume->uuid);
	return 0;
}

/*
 * The keys of the volume, if whoever mounts has them. Keys say that the volume is encrypted: no
 * daemon can turn that off.
 */
static int crypt_take(struct fs_context *fc, struct weft_mount *mount,
		      const struct weft_volume_info *volume)
{
	u8 uuid[16];
	struct weft_crypt *crypt = weft_crypt_find(mount, uuid);
	int error;

	if (IS_ERR(crypt)) {
		errorf(fc, "weft: volume %s: its key in the keyring cannot be used (error %ld): load it again by 'weft key load'",
		       mount->volume_name, -PTR_ERR(crypt));
		return PTR_ERR(crypt);
	}
	if (crypt && (!volume->cipher || memcmp(uuid, volume->uuid, sizeof(uuid)))) {
		weft_crypt_put(crypt);
		errorf(fc, "weft: volume %s: this host has keys of it, but the metadata service says that it %s: it is not mounted",
		       mount->volume_name, volume->cipher ? "is another volume" : "is not encrypted");
		return -EKEYREJECTED;
	}
	if (!volume->cipher)
		return 0;
	error = weft_crypt_mount_init(mount, crypt);
	if (error)
		errorf(fc, "weft: volume %s is encrypted, and this kernel has no AES-GCM (error %d)",
		       mount->volume_name, -error);
	return error;
}

/* The daemon's own sentence if it sent one. */
static int session_refused(struct fs_context *fc, const struct weft_mount *mount,
			   const struct weft_request *req, int error)
{
	const struct nlattr *tb[WEFT_P_NR];

	if (error == -EINTR)
		return error;
	/* The answer may be coming in just now. */
	if (weft_request_left(req)) {
		errorf(fc, "weft: volume %s: the mount was ended before the daemon had answered",
		       mount->volume_name);
		return error;
	}
	if (!weft_answer_parse(req, tb) && tb[WEFT_P_TEXT])
		errorf(fc, "weft: volume %s: %.*s", mount->volume_name, nla_len(tb[WEFT_P_TEXT]),
		       (const char *)nla_data(tb[WEFT_P_TEXT]));
	else if (!req->status)
		errorf(fc, "weft: volume %s: the mount was ended before the daemon had answered",
		       mount->volume_name);
	else if (req->status == WEFT_ST_VOLUME_BUSY)
		errorf(fc,
		       "weft: volume %s: another client has it mounted: unmount it there, or wait until its session has expired",
		       mount->volume_name);
	else
		errorf(fc, "weft: volume %s: %s", mount->volume_name,
		       weft_status_text(req->status));
	return error;
}

/*
 * The request that ends the session is made before there is one: without memory for it later, the
 * volume would be busy until the session has expired. It is the mount's, or goes with MOUNT when
 * its waiter is killed.
 */
static int session_open(struct fs_context *fc, struct weft_mount *mount, struct inode **root)
{
	struct weft_request *req = session_request(mount->cluster, WEFT_REQ_MOUNT, 3);
	const struct nlattr *tb[WEFT_P_NR];
	int error = -ENOMEM;

	if (!req)
		return error;
	req->private = session_request(mount->cluster, WEFT_REQ_UMOUNT, 1);
	if (!req->private)
		goto out_put_request;
	weft_request_add(req, WEFT_P_NAME, mount->volume_name, strlen(mount->volume_name));
	weft_request_add(req, WEFT_P_CLIENT, &mount->client, sizeof(mount->client));
	weft_request_add_u32(req, WEFT_P_FLAGS, mount->readonly ? WEFT_PF_READONLY : 0);
	req->abandoned = session_unwanted;
	error = weft_request_call(req);
	if (!weft_request_left(req))
		mount->umount = xchg(&req->private, NULL);
	if (error) {
		session_refused(fc, mount, req, error);
		goto out_put_request;
	}
	error = weft_answer_parse(req, tb);
	if (!error && tb[WEFT_P_SESSION])
		mount->session = get_unaligned_le64(nla_data(tb[WEFT_P_SESSION]));
	if (!error && (!mount->session || !tb[WEFT_P_VOLUME] || !tb[WEFT_P_ATTR]))
		error = -EPROTO;
	if (!error)
		error = volume_take(mount, nla_data(tb[WEFT_P_VOLUME]));
	if (!error)
		error = crypt_take(fc, mount, nla_data(tb[WEFT_P_VOLUME]));
	if (error == -EOPNOTSUPP)
		errorf(fc,
		       "weft: volume %s uses a codec, cipher or chunker that this module does not have: install a newer one",
		       mount->volume_name);
	if (error == -ENOPKG)
		errorf(fc,
		       "weft: volume %s is compressed by a codec for which this kernel has no library (zstd, LZ4 or deflate): use Debian's, or one with CONFIG_CRYPTO_ZSTD, _LZ4 and _DEFLATE",
		       mount->volume_name);
	if (!error) {
		*root = weft_inode_from(mount->sb, tb[WEFT_P_ATTR], NULL);
		error = PTR_ERR_OR_ZERO(*root);
	}
	if (error == -EPROTO)
		errorf(fc,
		       "weft: volume %s: the daemon's answer makes no sense; do the versions of module and weftd fit?",
		       mount->volume_name);
out_put_request:
	weft_request_put(req);
	return error;
}

/* --- super_operations --- */

static void statfs_answered(struct weft_request *req)
{
	struct weft_mount *mount = req->mount;
	const struct nlattr *tb[WEFT_P_NR];
	struct completion *waiter;

	if (!req->status && !weft_answer_parse(req, tb) && tb[WEFT_P_STATFS]) {
		spin_lock(&mount->statfs_lock);
		memcpy(&mount->statfs, nla_data(tb[WEFT_P_STATFS]), sizeof(mount->statfs));
		spin_unlock(&mount->statfs_lock);
	}
	clear_and_wake_up_bit(0, &mount->statfs_asked);
	waiter = xchg(&req->private, NULL);
	if (waiter)
		complete(waiter);
}

/* Killable. 0 also when no answer came within STATFS_WAIT: the last one has to do. */
static int statfs_ask(struct weft_mount *mount)
{
	DECLARE_COMPLETION_ONSTACK(answered);
	struct weft_request *req;
	long left;
	int error;

	/*
	 * One at a time: whoever looks often at a daemon that hangs must not pile them up. The
	 * answer is for all who wait.
	 */
	if (test_and_set_bit_lock(0, &mount->statfs_asked)) {
		error = wait_on_bit_timeout(&mount->statfs_asked, 0, TASK_KILLABLE, STATFS_WAIT);
		return error == -EINTR ? error : 0;
	}
	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_STATFS, 3, 0, GFP_KERNEL);
	if (!req) {
		clear_and_wake_up_bit(0, &mount->statfs_asked);
		return -ENOMEM;
	}
	req->done = statfs_answered;
	req->private = &answered;
	error = weft_request_submit(req);
	if (error) {
		clear_and_wake_up_bit(0, &mount->statfs_asked);
		goto out_put_request;
	}
	left = wait_for_completion_killable_timeout(&answered, STATFS_WAIT);
	if (left <= 0 && xchg(&req->private, NULL)) {
		error = left ? -EINTR : 0;
	} else {
		/* Whoever has the pointer is about to complete. */
		if (left <= 0)
			wait_for_completion(&answered);
		error = weft_status_errno(req->status);
	}
out_put_request:
	weft_request_put(req);
	return error;
}

/*
 * umount(8) asks before it does anything else, and must not wait for a daemon that is away or
 * hangs.
 */
static int super_statfs(struct dentry *dentry, struct kstatfs *buf)
{
	struct weft_mount *mount = weft_mount(dentry->d_sb);
	unsigned char bits = dentry->d_sb->s_blocksize_bits;
	struct weft_statfs statfs;
	int error = weft_cluster_bound(mount->cluster) ? statfs_ask(mount) : 0;

	if (error)
		return error;
	spin_lock(&mount->statfs_lock);
	statfs = mount->statfs;
	spin_unlock(&mount->statfs_lock);
	buf->f_type = WEFT_SUPER_MAGIC;
	buf->f_bsize = dentry->d_sb->s_blocksize;
	buf->f_blocks = le64_to_cpu(statfs.bytes_total) >> bits;
	buf->f_bfree = le64_to_cpu(statfs.bytes_free) >> bits;
	buf->f_bavail = le64_to_cpu(statfs.bytes_avail) >> bits;
	buf->f_files = le64_to_cpu(statfs.files);
	buf->f_ffree = le64_to_cpu(statfs.files_free);
	buf->f_namelen = mount->crypt.encrypted ? WEFT_NAME_OPEN_MAX : WEFT_NAME_MAX;
	buf->f_fsid = uuid_to_fsid(dentry->d_sb->s_uuid.b);
	return 0;
}

static void super_umount_begin(struct super_block *sb)
{
	struct weft_mount *mount = weft_mount(sb);

	weft_nl_mount_end(mount, WEFT_MOUNT_FORCED);
	flush_work(&mount->nl.end_work);
}

static int super_sync_fs(struct super_block *sb, int wait)
{
	return wait ? weft_io_sync(weft_mount(sb)) : 0;
}

static int super_show_options(struct seq_file *seq, struct dentry *root)
{
	seq_printf(seq, ",budget=%lluK", READ_ONCE(weft_mount(root->d_sb)->io.budget) >> 10);
	return 0;
}

static int super_show_stats(struct seq_file *seq, struct dentry *root)
{
	static const char *const states[] = {
		[WEFT_MOUNT_LIVE] = "live",
		[WEFT_MOUNT_FORCED] = "ended by force",
		[WEFT_MOUNT_LOST] = "session lost",
	};
	struct weft_mount *mount = weft_mount(root->d_sb);

	seq_printf(seq, "\n\tcluster: %s %pU\n\tsession: %llu %s", mount->cluster->name,
		   &mount->cluster->uuid, mount->session, states[READ_ONCE(mount->state)]);
	weft_policy_show(seq, mount);
	weft_stats_show_mount(seq, mount);
	return 0;
}

static const struct super_operations super_ops = {
	.alloc_inode = weft_inode_alloc,
	.free_inode = weft_inode_free,
	.evict_inode = weft_inode_evict,
	.write_inode = weft_io_write_inode,
	.sync_fs = super_sync_fs,
	.statfs = super_statfs,
	.umount_begin = super_umount_begin,
	.show_options = super_show_options,
	.show_stats = super_show_stats,
};

/* --- Making and ending a super block --- */

static int super_same(struct super_block *sb, struct fs_context *fc)
{
	const struct weft_fs_context *ctx = fc->fs_private;
	const struct weft_mount *mount = weft_mount(sb);

	/* A volume that was ended by force is mounted anew. */
	return mount->cluster == ctx->cluster && READ_ONCE(mount->state) == WEFT_MOUNT_LIVE &&
	       !strcmp(mount->volume_name, ctx->volume_name);
}

static struct weft_mount *mount_alloc(struct fs_context *fc)
{
	const struct weft_fs_context *ctx = fc->fs_private;
	struct weft_mount *mount = kvzalloc(sizeof(*mount), GFP_KERNEL);

	if (!mount)
		return NULL;
	if (weft_stats_mount_init(mount)) {
		kvfree(mount);
		return NULL;
	}
	mount->cluster = ctx->cluster;
	weft_cluster_get(mount->cluster);
	strscpy(mount->volume_name, ctx->volume_name, sizeof(mount->volume_name));
	uuid_gen(&mount->client);
	mount->readonly = fc->sb_flags & SB_RDONLY;
	mount->io.budget = ctx->budget ?: READ_ONCE(mount->cluster->nl.budget);
	atomic64_set(&mount->sid_counter, 1);
	spin_lock_init(&mount->statfs_lock);
	spin_lock_init(&mount->policy_lock);
	weft_crypt_mount_prepare(mount);
	return mount;
}

static void mount_free(struct weft_mount *mount)
{
	weft_crypt_mount_exit(mount);
	weft_stats_mount_exit(mount);
	weft_request_put(mount->umount);
	weft_cluster_put(mount->cluster);
	kvfree(mount);
}

static int super_fill(struct super_block *sb, struct fs_context *fc)
{
	struct weft_mount *mount = weft_mount(sb);
	struct inode *root;
	int error;

	mount->sb = sb;
	sb->s_magic = WEFT_SUPER_MAGIC;
	sb->s_op = &super_ops;
	sb->s_xattr = weft_xattr_handlers;
	sb->s_maxbytes = MAX_LFS_FILESIZE;
	sb->s_blocksize = 4096;
	sb->s_blocksize_bits = 12;
	sb->s_time_gran = 1;
	sb->s_flags |= SB_NOATIME;
	error = weft_nl_mount_init(mount, mount_end);
	if (error) {
		errorf(fc, "weft: the daemon of cluster %s has just gone: start weftd",
		       mount->cluster->name);
		return error;
	}
	mount->nl_joined = true;
	error = session_open(fc, mount, &root);
	if (error)
		return error;
	error = weft_io_mount_init(mount);
	if (error) {
		iput(root);
		weft_io_mount_exit(mount);
		return error;
	}
	/* Pairs with the acquire of whoever ends the mount: with the mark io/ is there as well. */
	smp_store_release(&mount->io_started, true);
	/* Pairs with the change of state before mount_end(): one of the two sees the other. */
	smp_mb();
	if (READ_ONCE(mount->state) != WEFT_MOUNT_LIVE) {
		errorf(fc, "weft: volume %s: the mount was ended before it was complete",
		       mount->volume_name);
		iput(root);
		return -EIO;
	}
	if (!S_ISDIR(root->i_mode) || weft_inode(root)->ino != mount->root) {
		errorf(fc, "weft: volume %s: the daemon's answer has no root directory",
		       mount->volume_name);
		iput(root);
		return -EPROTO;
	}
	sb->s_root = d_make_root(root);
	if (!sb->s_root)
		return -ENOMEM;
	sb->s_flags |= SB_ACTIVE;
	return 0;
}

static int cluster_choose(struct fs_context *fc)
{
	struct weft_fs_context *ctx = fc->fs_private;
	const char *name = *ctx->cluster_name ? ctx->cluster_name : NULL;
	struct weft_cluster *cluster = weft_cluster_find(fc->net_ns, name);

	if (!IS_ERR(cluster)) {
		ctx->cluster = cluster;
		return 0;
	}
	switch (PTR_ERR(cluster)) {
	case -ENOENT:
		errorf(fc,
		       "weft: no cluster %s is known in this network namespace: start its weftd, or correct the source",
		       name);
		break;
	case -ENOTUNIQ:
		errorf(fc, "weft: daemons of several clusters are running: name one, as CLUSTER:%s",
		       ctx->volume_name);
		break;
	case -ENOTCONN:
		errorf(fc, "weft: no weftd is connected%s%s: start weftd",
		       name ? " for cluster " : "", name ?: "");
		break;
	}
	return PTR_ERR(cluster);
}

static int tree_share(struct fs_context *fc, struct super_block *sb)
{
	const struct weft_fs_context *ctx = fc->fs_private;

	if ((fc->sb_flags ^ sb->s_flags) & SB_RDONLY) {
		errorf(fc,
		       "weft: volume %s is mounted %s already: mount it the same way, or use a read-only bind mount",
		       ctx->volume_name, sb_rdonly(sb) ? "read-only" : "writable");
		return -EBUSY;
	}
	if (ctx->budget && ctx->budget != READ_ONCE(weft_mount(sb)->io.budget)) {
		errorf(fc,
		       "weft: volume %s is mounted already with another budget: change it by a remount",
		       ctx->volume_name);
		return -EBUSY;
	}
	return 0;
}

int weft_get_tree(struct fs_context *fc)
{
	struct super_block *sb;
	struct weft_mount *mount;
	int error;

	if (!fc->source)
		return invalf(fc, "weft: no source: it is [CLUSTER:]VOLUME");
	error = cluster_choose(fc);
	if (error)
		return error;
	mount = mount_alloc(fc);
	if (!mount)
		return -ENOMEM;
	fc->s_fs_info = mount;
	sb = sget_fc(fc, super_same, set_anon_super_fc);
	if (IS_ERR(sb) || fc->s_fs_info) {
		/* There was one already; otherwise the new one owns it. */
		fc->s_fs_info = NULL;
		mount_free(mount);
	}
	if (IS_ERR(sb))
		return PTR_ERR(sb);
	error = sb->s_root ? tree_share(fc, sb) : super_fill(sb, fc);
	if (error) {
		deactivate_locked_super(sb);
		return error;
	}
	fc->root = dget(sb->s_root);
	return 0;
}

int weft_reconfigure(struct fs_context *fc)
{
	const struct weft_fs_context *ctx = fc->fs_private;
	struct super_block *sb = fc->root->d_sb;
	struct weft_mount *mount = weft_mount(sb);

	if (mount->readonly && !(fc->sb_flags & SB_RDONLY)) {
		errorf(fc,
		       "weft: volume %s was mounted read-only: unmount it and mount it writable",
		       mount->volume_name);
		return -EROFS;
	}
	sync_filesystem(sb);
	fc->sb_flags |= SB_NOATIME;
	if (ctx->budget)
		weft_io_budget_set(mount, ctx->budget);
	return 0;
}

static void super_kill(struct super_block *sb)
{
	struct weft_mount *mount = weft_mount(sb);

	if (sb->s_root)
		weft_io_mount_drain(mount);
	if (mount->nl_joined)
		weft_nl_mount_quiesce(mount);
	kill_anon_super(sb);
	if (mount->session)
		session_close(mount);
	if (mount->nl_joined) {
		cmpxchg(&mount->state, WEFT_MOUNT_LIVE, WEFT_MOUNT_FORCED);
		weft_nl_mount_abort(mount, end_status(mount));
		weft_node_mount_abort(mount);
	}
	if (mount->io_started)
		weft_io_mount_exit(mount);
	if (mount->nl_joined)
		weft_nl_mount_exit(mount);
	mount_free(mount);
}

struct file_system_type weft_fs_type = {
	.owner = THIS_MODULE,
	.name = "weft",
	.init_fs_context = weft_init_fs_context,
	.kill_sb = super_kill,
};

int weft_vfs_init(void)
{
	int error = weft_inodes_init();

	if (error)
		return error;
	error = register_filesystem(&weft_fs_type);
	if (error)
		weft_inodes_exit();
	return error;
}

void weft_vfs_exit(void)
{
	unregister_filesystem(&weft_fs_type);
	weft_inodes_exit();
}
