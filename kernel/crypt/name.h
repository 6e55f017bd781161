/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sealed names: what the metadata service has for a name of an encrypted volume.
 *
 * Deterministic in (key, directory, name), so that the service can find a name that it cannot
 * read; built as SIV (Rogaway and Shrimpton; RFC 5297) is, with HMAC-SHA-256 both as the PRF that
 * makes the initial vector of directory and name, and, block by block, as the stream that hides
 * the name:
 *
 *	padded = name, zeros up to a multiple of 16, but not above WEFT_NAME_OPEN_MAX
 *	iv     = first 16 bytes of HMAC(mac key, directory u64 | try u32 | padded)
 *	stored = iv | padded ^ (HMAC(stream key, iv | 0 u32) | HMAC(stream key, iv | 1 u32) | ...)
 *
 * try counts from 0 up to the first for which neither NUL nor '/' is in the stored form: so it is
 * a legal name of any file system, of at most 255 bytes, whatever it is that passes it on.
 *
 * Opening makes the name, seals it again, and wants the same bytes: a name that this key did not
 * seal for this directory is none.
 *
 * Without the key names are shown *bare*: the stored form in base64url, without padding, if that
 * has at most 255 bytes, else the stored form itself. Both ways are told apart: no stored form
 * that is too long for base64url is made of its letters only.
 *
 * Pure.
 */
#ifndef WEFT_CRYPT_NAME_H
#define WEFT_CRYPT_NAME_H

#include "derive.h"

#define WEFT_NAME_IV       16u
#define WEFT_NAME_OPEN_MAX (WEFT_NAME_MAX - WEFT_NAME_IV) /* 239: longer names cannot be sealed */

struct weft_name_keys {
	u8 mac[WEFT_KEY_LEN];
	u8 stream[WEFT_KEY_LEN];
};

void weft_name_keys_init(struct weft_name_keys *keys, const u8 root[WEFT_KEY_LEN]);

/*
 * @out has room for WEFT_NAME_MAX bytes. Returns the length, or -ENAMETOOLONG, or -EINVAL for what
 * is no name.
 */
int weft_name_seal(const struct weft_name_keys *keys, u64 dir, const void *name, size_t len,
		   u8 *out);
/* Returns the length, or -EBADMSG: this key has not sealed it for this directory. */
int weft_name_open(const struct weft_name_keys *keys, u64 dir, const void *stored, size_t len,
		   u8 *out);

/* Between the stored form and how it is shown without the key. Return the length. */
int weft_name_bare(const void *stored, size_t len, u8 *out);
/* -ENOENT: no stored name is shown so. */
int weft_name_unbare(const void *bare, size_t len, u8 *out);

/* base64url (RFC 4648, 5) without padding. Decoding returns the length or -EBADMSG. */
size_t weft_base64url_len(size_t len);
size_t weft_base64url_encode(const void *bytes, size_t len, u8 *out);
int weft_base64url_decode(const void *text, size_t len, u8 *out);

#endif
