// SPDX-License-Identifier: GPL-2.0-only
/* Keys of a volume from the keyrings of the current task. See crypt.h and uapi/weft_key.h. */
#include <linux/err.h>
#include <linux/key.h>
#include <linux/slab.h>

#include "crypt/crypt.h"
#include "uapi/weft_key.h"
#include "weft.h"

#ifdef CONFIG_KEYS
#include <keys/user-type.h>

static bool ring_valid(const struct weft_key_ring *ring, size_t len)
{
	const struct weft_key_plain *keys = (const void *)(ring + 1);
	u32 last = 0;

	if (len < sizeof(*ring) || le32_to_cpu(ring->magic) != WEFT_KEY_RING_MAGIC || !ring->keys ||
	    le32_to_cpu(ring->keys) > WEFT_KEYS_MAX || len != sizeof(*ring) + le32_to_cpu(ring->keys) * sizeof(*keys))
		return false;
	for (u32 i = 0; i < le32_to_cpu(ring->keys); i++) {
		if (le32_to_cpu(keys[i].id) <= last)
			return false;
		last = le32_to_cpu(keys[i].id);
	}
	return true;
}

static struct weft_crypt *crypt_make(const struct weft_key_ring *ring)
{
	const struct weft_key_plain *keys = (const void *)(ring + 1);
	struct weft_crypt *crypt;

	crypt = kzalloc(struct_size(crypt, keys, le32_to_cpu(ring->keys)), GFP_KERNEL);
	if (!crypt)
		return ERR_PTR(-ENOMEM);
	refcount_set(&crypt->ref, 1);
	crypt->n_keys = le32_to_cpu(ring->keys);
	for (unsigned int i = 0; i < crypt->n_keys; i++) {
		crypt->keys[i].id = le32_to_cpu(keys[i].id);
		weft_derive_root(ring->volume, keys[i].key, crypt->keys[i].root);
	}
	weft_name_keys_init(&crypt->names, crypt->keys[0].root);
	return crypt;
}

static struct weft_crypt *key_read(struct key *key, u8 volume_uuid[16])
{
	const struct user_key_payload *payload;
	struct weft_crypt *crypt = ERR_PTR(-EKEYREVOKED);

	down_read(&key->sem);
	payload = user_key_payload_locked(key);
	if (payload && ring_valid((const void *)payload->data, payload->datalen)) {
		memcpy(volume_uuid, ((const struct weft_key_ring *)payload->data)->volume, 16);
		crypt = crypt_make((const void *)payload->data);
	} else if (payload) {
		crypt = ERR_PTR(-EBADMSG);
	}
	up_read(&key->sem);
	return crypt;
}

struct weft_crypt *weft_crypt_find(struct weft_mount *mount, u8 volume_uuid[16])
{
	char *description = kasprintf(GFP_KERNEL, "weft:%pU:%s", &mount->cluster->uuid, mount->volume_name);
	struct weft_crypt *crypt;
	struct key *key;

	if (!description)
		return ERR_PTR(-ENOMEM);
	key = request_key(&key_type_logon, description, NULL);
	kfree(description);
	if (IS_ERR(key))
		return PTR_ERR(key) == -ENOKEY ? NULL : ERR_CAST(key);
	crypt = key_read(key, volume_uuid);
	if (IS_ERR(crypt))
		key_put(key);
	else
		crypt->key = key;
	return crypt;
}

static bool crypt_valid(const struct weft_crypt *crypt)
{
	return !key_validate(crypt->key);
}

#else /* a kernel without keyrings has no keys of volumes */

struct weft_crypt *weft_crypt_find(struct weft_mount *mount, u8 volume_uuid[16])
{
	return NULL;
}

static bool crypt_valid(const struct weft_crypt *crypt)
{
	return true;
}

#endif

void weft_crypt_put(struct weft_crypt *crypt)
{
	if (!crypt || !refcount_dec_and_test(&crypt->ref))
		return;
	key_put(crypt->key);
	kfree_sensitive(crypt);
}

const struct weft_crypt_key *weft_crypt_key(const struct weft_crypt *crypt, u32 id)
{
	for (unsigned int i = 0; i < crypt->n_keys; i++)
		if (crypt->keys[i].id == id)
			return &crypt->keys[i];
	return NULL;
}

static struct weft_crypt *crypt_get(struct weft_mount *mount, bool new)
{
	struct weft_crypt_mount *cm = &mount->crypt;
	struct weft_crypt *crypt;

	spin_lock(&cm->lock);
	crypt = new && cm->closing ? NULL : cm->crypt;
	if (crypt && crypt_valid(crypt))
		refcount_inc(&crypt->ref);
	else
		crypt = NULL;
	spin_unlock(&cm->lock);
	return crypt;
}

struct weft_crypt *weft_crypt_get(struct weft_mount *mount)
{
	return crypt_get(mount, false);
}

struct weft_crypt *weft_crypt_get_new(struct weft_mount *mount)
{
	return crypt_get(mount, true);
}

int weft_crypt_permitted(struct weft_mount *mount)
{
	struct weft_crypt *crypt;

	if (!mount->crypt.encrypted)
		return 0;
	crypt = weft_crypt_get_new(mount);
	weft_crypt_put(crypt);
	return crypt ? 0 : -ENOKEY;
}
