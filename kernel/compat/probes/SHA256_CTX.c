// SPDX-License-Identifier: GPL-2.0-only
/* 6.17 "lib/crypto: sha256: Make library API use strongly-typed contexts": the library call is the accelerated one since */
#include <crypto/sha2.h>

#ifdef PROBE_NEW
void probe_begin(struct sha256_ctx *ctx);
void probe_begin(struct sha256_ctx *ctx)
#else
void probe_begin(struct sha256_state *ctx);
void probe_begin(struct sha256_state *ctx)
#endif
{
	sha256_init(ctx);
}
