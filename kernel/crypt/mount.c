// SPDX-License-Identifier: GPL-2.0-only
/* The keys that a mount has: how they come and go. See crypt.h. */
#include <linux/fs.h>
#include <linux/dcache.h>
#include <linux/writeback.h>

#include "crypt/crypt.h"
#include "io/io.h"
#include "uapi/weft_key.h"
#include "weft.h"

void weft_crypt_mount_prepare(struct weft_mount *mount)
{
	struct weft_crypt_mount *cm = &mount->crypt;

	spin_lock_init(&cm->lock);
	spin_lock_init(&cm->space_lock);
	INIT_LIST_HEAD(&cm->spaces);
	init_waitqueue_head(&cm->space_wait);
}

int weft_crypt_mount_init(struct weft_mount *mount, struct weft_crypt *crypt)
{
	mount->crypt.encrypted = true;
	mount->crypt.crypt = crypt;
	return weft_aead_spaces_init(&mount->crypt);
}

void weft_crypt_mount_exit(struct weft_mount *mount)
{
	weft_aead_spaces_exit(&mount->crypt);
	weft_crypt_put(mount->crypt.crypt);
	mount->crypt.crypt = NULL;
}

int weft_crypt_open(struct weft_mount *mount, bool needs_key)
{
	struct weft_crypt_mount *cm = &mount->crypt;
	struct weft_crypt *crypt;
	int error = 0;

	if (!cm->encrypted)
		return 0;
	crypt = weft_crypt_get_new(mount);
	spin_lock(&cm->lock);
	if (cm->closing || (needs_key && !crypt))
		error = -ENOKEY;
	else
		cm->open++;
	spin_unlock(&cm->lock);
	weft_crypt_put(crypt);
	return error;
}

void weft_crypt_release(struct weft_mount *mount)
{
	struct weft_crypt_mount *cm = &mount->crypt;

	if (!cm->encrypted)
		return;
	spin_lock(&cm->lock);
	cm->open--;
	spin_unlock(&cm->lock);
}

/* New keys; the old ones go with the last who uses them. -EBUSY: keys are being unloaded, and these stay the caller's. */
static int crypt_set(struct weft_crypt_mount *cm, struct weft_crypt *crypt)
{
	int error = 0;

	spin_lock(&cm->lock);
	if (cm->closing)
		error = -EBUSY;
	else
		swap(cm->crypt, crypt);
	spin_unlock(&cm->lock);
	if (!error)
		weft_crypt_put(crypt);
	return error;
}

/* Of whoever made .closing true, which keeps others away. */
static void crypt_forget(struct weft_crypt_mount *cm)
{
	struct weft_crypt *crypt = NULL;

	spin_lock(&cm->lock);
	swap(cm->crypt, crypt);
	spin_unlock(&cm->lock);
	weft_crypt_put(crypt);
	weft_aead_spaces_forget(cm);
}

int weft_crypt_load(struct weft_mount *mount)
{
	struct weft_crypt *crypt, *old;
	u8 uuid[16];
	int error;

	if (!mount->crypt.encrypted)
		return -EOPNOTSUPP;
	crypt = weft_crypt_find(mount, uuid);
	if (IS_ERR_OR_NULL(crypt))
		return crypt ? PTR_ERR(crypt) : -ENOKEY;
	if (memcmp(uuid, mount->sb->s_uuid.b, sizeof(uuid))) {
		weft_crypt_put(crypt);
		return -EKEYREJECTED;
	}
	old = weft_crypt_get(mount);
	/* Names that are cached are bare ones. Those that somebody uses just now stay; they lead to the same inodes. */
	error = crypt_set(&mount->crypt, crypt);
	if (error)
		weft_crypt_put(crypt);
	else if (!old)
		shrink_dcache_sb(mount->sb);
	weft_crypt_put(old);
	return error;
}

/* Nothing new begins. -EBUSY: something is open besides the file by which we were asked. */
static int unload_begin(struct weft_crypt_mount *cm, bool force)
{
	int error = 0;

	spin_lock(&cm->lock);
	if (cm->closing || (cm->open > 1 && !force))
		error = -EBUSY;
	else
		cm->closing = true;
	spin_unlock(&cm->lock);
	return error;
}

static void unload_end(struct weft_crypt_mount *cm)
{
	spin_lock(&cm->lock);
	cm->closing = false;
	spin_unlock(&cm->lock);
}

/* All is written, and no plaintext is in any cache. */
static int unload_evict(struct weft_mount *mount)
{
	struct super_block *sb = mount->sb;
	int error;

	error = down_read_killable(&sb->s_umount);
	if (error)
		return error;
	error = sync_filesystem(sb);
	up_read(&sb->s_umount);
	if (!error && atomic64_read(&mount->io.used))
		error = -EIO;
	if (error)
		return error;
	shrink_dcache_sb(sb);
	evict_inodes(sb);
	/* A directory in which somebody works, or below which something is mounted. */
	return hlist_empty(&sb->s_root->d_children) ? 0 : -EBUSY;
}

int weft_crypt_unload(struct weft_mount *mount, bool force)
{
	struct weft_crypt_mount *cm = &mount->crypt;
	int error;

	if (!cm->encrypted)
		return -EOPNOTSUPP;
	error = unload_begin(cm, force);
	if (error)
		return error;
	error = unload_evict(mount);
	if (error && !force) {
		unload_end(cm);
		return error;
	}
	if (error || cm->open > 1) {
		weft_nl_mount_end(mount, WEFT_MOUNT_FORCED);
		flush_work(&mount->nl.end_work);
	}
	crypt_forget(cm);
	unload_end(cm);
	return 0;
}

void weft_crypt_state(struct weft_mount *mount, struct weft_key_state *state)
{
	struct weft_crypt *crypt = weft_crypt_get(mount);

	*state = (struct weft_key_state){};
	if (crypt) {
		state->loaded = 1;
		state->current_id = crypt->keys[crypt->n_keys - 1].id;
		state->oldest = crypt->keys[0].id;
	}
	spin_lock(&mount->crypt.lock);
	state->open = mount->crypt.open;
	spin_unlock(&mount->crypt.lock);
	weft_crypt_put(crypt);
}
