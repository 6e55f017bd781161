/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SHA-256 by the fastest implementation that the kernel has: the library's since it chooses one by the CPU; before, the
 * library was plain C, and the crypto API knows which of those that registered is best.
 */
#ifndef WEFT_COMPAT_SHA256_H
#define WEFT_COMPAT_SHA256_H

#include <crypto/sha2.h>
#include <linux/err.h>

#include "probed.h"

#ifdef HAVE_SHA256_CTX

/* What all who hash share. */
struct weft_sha256_alg {
};

struct weft_sha256 {
	struct sha256_ctx ctx;
};

static inline int weft_sha256_alg_init(struct weft_sha256_alg *alg)
{
	return 0;
}

static inline void weft_sha256_alg_exit(struct weft_sha256_alg *alg)
{
}

static inline void weft_sha256_begin(struct weft_sha256 *sha, const struct weft_sha256_alg *alg)
{
	sha256_init(&sha->ctx);
}

static inline void weft_sha256_add(struct weft_sha256 *sha, const u8 *bytes, size_t len)
{
	sha256_update(&sha->ctx, bytes, len);
}

static inline void weft_sha256_end(struct weft_sha256 *sha, u8 digest[SHA256_DIGEST_SIZE])
{
	sha256_final(&sha->ctx, digest);
}

#else

#include <crypto/hash.h>
#include <linux/kmod.h>

struct weft_sha256_alg {
	struct crypto_shash *tfm;
};

/* The state is in the descriptor; nothing below can fail with a SHA-256 that has no key. */
struct weft_sha256 {
	u8 desc[sizeof(struct shash_desc) + HASH_MAX_DESCSIZE]
		__aligned(__alignof__(struct shash_desc));
};

static inline struct shash_desc *weft_sha256_desc(struct weft_sha256 *sha)
{
	return (struct shash_desc *)sha->desc;
}

static inline int weft_sha256_alg_init(struct weft_sha256_alg *alg)
{
	/* The generic one is there from the beginning; those of the CPU are in modules. */
	request_module("crypto-sha256");
	alg->tfm = crypto_alloc_shash("sha256", 0, 0);
	return PTR_ERR_OR_ZERO(alg->tfm);
}

static inline void weft_sha256_alg_exit(struct weft_sha256_alg *alg)
{
	crypto_free_shash(alg->tfm);
}

static inline void weft_sha256_begin(struct weft_sha256 *sha, const struct weft_sha256_alg *alg)
{
	weft_sha256_desc(sha)->tfm = alg->tfm;
	crypto_shash_init(weft_sha256_desc(sha));
}

static inline void weft_sha256_add(struct weft_sha256 *sha, const u8 *bytes, size_t len)
{
	crypto_shash_update(weft_sha256_desc(sha), bytes, len);
}

static inline void weft_sha256_end(struct weft_sha256 *sha, u8 digest[SHA256_DIGEST_SIZE])
{
	crypto_shash_final(weft_sha256_desc(sha), digest);
}

#endif

#endif /* WEFT_COMPAT_SHA256_H */
