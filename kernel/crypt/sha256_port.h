/* SPDX-License-Identifier: GPL-2.0-only */
/* SHA-256 of one piece of memory: the kernel's, or libsodium's. */
#ifndef WEFT_CRYPT_SHA256_PORT_H
#define WEFT_CRYPT_SHA256_PORT_H

#ifdef __KERNEL__
#include <crypto/sha2.h>

static inline void weft_sha256(const void *data, size_t len, u8 out[32])
{
	sha256(data, len, out);
}
#else
#include <sodium.h>

static inline void weft_sha256(const void *data, size_t len, u8 out[32])
{
	crypto_hash_sha256(out, data, len);
}
#endif

#endif
