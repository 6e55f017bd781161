// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names and targets of links in an encrypted volume: how they look to programs and to the metadata
 * service. With the keys names are opened and sealed (crypt/name.h), without them shown bare.
 * Targets are sealed values in base64url, since the service takes no NUL in them.
 */
#include <linux/slab.h>

#include "vfs/vfs.h"

int weft_name_to_wire(struct inode *dir, const struct qstr *name, bool new,
		      struct weft_wire_name *wire)
{
	struct weft_mount *mount = weft_mount(dir->i_sb);
	struct weft_crypt *crypt;
	int len;

	wire->name = name->name;
	wire->len = name->len;
	if (!mount->crypt.encrypted)
		return 0;
	crypt = weft_crypt_get_new(mount);
	if (crypt)
		len = weft_name_seal(&crypt->names, weft_inode(dir)->ino, name->name, name->len,
				     wire->sealed);
	else if (new || READ_ONCE(mount->crypt.closing) || name->len > WEFT_NAME_MAX)
		len = -ENOKEY;
	else
		len = weft_name_unbare(name->name, name->len, wire->sealed);
	weft_crypt_put(crypt);
	if (len < 0)
		return len == -ENOENT ? -ENOKEY : len;
	wire->name = wire->sealed;
	wire->len = len;
	return 0;
}

int weft_name_from_wire(struct weft_mount *mount, u64 dir, const char *name, size_t len, u8 *out,
			const char **shown)
{
	struct weft_crypt *crypt;
	int ret;

	*shown = name;
	if (!mount->crypt.encrypted)
		return len;
	*shown = out;
	crypt = weft_crypt_get_new(mount);
	if (crypt)
		ret = weft_name_open(&crypt->names, dir, name, len, out);
	else
		ret = weft_name_bare(name, len, out);
	weft_crypt_put(crypt);
	return ret < 0 ? -EPROTO : ret;
}

char *weft_target_to_wire(struct inode *dir, const char *target)
{
	struct weft_mount *mount = weft_mount(dir->i_sb);
	static const struct weft_value_ad ad;
	u32 len = strlen(target);
	u8 *sealed;
	char *text;
	int ret;

	if (weft_base64url_len(len + WEFT_VALUE_OVERHEAD) > WEFT_SYMLINK_MAX)
		return ERR_PTR(-ENAMETOOLONG);
	sealed = kmalloc(len + WEFT_VALUE_OVERHEAD, GFP_KERNEL);
	text = kmalloc(WEFT_SYMLINK_MAX + 1, GFP_KERNEL);
	ret = sealed && text ? weft_value_seal(mount, WEFT_VALUE_SYMLINK, &ad, target, len, sealed)
			     : -ENOMEM;
	if (ret > 0)
		text[weft_base64url_encode(sealed, ret, text)] = '\0';
	kfree(sealed);
	if (ret > 0)
		return text;
	kfree(text);
	return ERR_PTR(ret);
}

char *weft_target_from_wire(struct weft_mount *mount, const void *text, size_t len)
{
	static const struct weft_value_ad ad;
	u8 *sealed = kmalloc(len + 1, GFP_KERNEL);
	char *target;
	int ret;

	if (!sealed)
		return ERR_PTR(-ENOMEM);
	ret = weft_base64url_decode(text, len, sealed);
	if (ret > 0)
		ret = weft_value_open(mount, WEFT_VALUE_SYMLINK, &ad, sealed, ret);
	if (ret > 0 && memchr(sealed + sizeof(struct weft_value), '\0', ret))
		ret = -EPROTO;
	if (ret > 0)
		target = kmemdup_nul(sealed + sizeof(struct weft_value), ret, GFP_KERNEL) ?:
			 ERR_PTR(-ENOMEM);
	else
		target = ERR_PTR(ret == -ENOKEY || ret == -ENOMEM ? ret : -EPROTO);
	kfree_sensitive(sealed);
	return target;
}

u64 weft_target_len(const struct weft_mount *mount, u64 wire_len)
{
	u64 sealed = wire_len * 3 / 4;

	if (!mount->crypt.encrypted)
		return wire_len;
	return sealed > WEFT_VALUE_OVERHEAD ? sealed - WEFT_VALUE_OVERHEAD : 0;
}
