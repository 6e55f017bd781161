/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keys from keys: HMAC-SHA-256 (RFC 2104), HKDF (RFC 5869), and what weft derives by them.
 *
 *	volume key of a key id -- extract, salt = the volume's UUID --> root of that key id
 *	root -- expand "weft frame" | seal id ------> key of one chunk's frames
 *	root -- expand "weft value" | salt ---------> key and nonce of one sealed value
 *	root -- expand "weft name mac", "weft name stream" --> keys of names
 *	root -- expand "weft content id" -----------> key of content ids (HMAC-SHA-256)
 *
 * The texts are ASCII without a NUL; numbers behind them are little-endian. docs/formats.md has
 * the same for who writes a reader.
 *
 * Pure: no allocation, any context. Secrets on the stack are wiped before a function returns.
 */
#ifndef WEFT_CRYPT_DERIVE_H
#define WEFT_CRYPT_DERIVE_H

#include "../ec/ec_port.h"
#include "weft_format.h"

#define WEFT_KEY_LEN   32u
#define WEFT_MAC_LEN   32u
#define WEFT_MAC_BLOCK 64u
#define WEFT_MAC_MAX   320u /* bytes of a message, at most: nothing longer is authenticated here */

/* Wipe what was secret, also from memory that nobody reads any more. */
void weft_wipe(void *bytes, size_t len);

/* Equal? Takes as long for different bytes as for equal ones. */
bool weft_same(const void *a, const void *b, size_t len);

/* @key_len is at most WEFT_MAC_BLOCK, @len at most WEFT_MAC_MAX. */
void weft_hmac(const u8 *key, size_t key_len, const void *data, size_t len, u8 out[WEFT_MAC_LEN]);

void weft_hkdf_extract(const u8 *salt, size_t salt_len, const void *secret, size_t len,
		       u8 root[WEFT_KEY_LEN]);
/* @info and what follows it: at most WEFT_MAC_MAX - WEFT_MAC_LEN - 1 bytes; @len at most 8160. */
void weft_hkdf_expand(const u8 root[WEFT_KEY_LEN], const void *info, size_t info_len, u8 *out,
		      size_t len);

/* What is sealed with one volume key hangs on this; @uuid is the volume's. */
void weft_derive_root(const u8 uuid[16], const u8 volume_key[WEFT_KEY_LEN], u8 root[WEFT_KEY_LEN]);
void weft_derive_frame_key(const u8 root[WEFT_KEY_LEN], u64 seal_session, u64 seal_counter,
			   u8 key[WEFT_KEY_LEN]);
void weft_derive_value_key(const u8 root[WEFT_KEY_LEN], const u8 salt[16], u8 key[WEFT_KEY_LEN],
			   u8 nonce[12]);
void weft_derive_content_id_key(const u8 root[WEFT_KEY_LEN], u8 key[WEFT_KEY_LEN]);

#endif
