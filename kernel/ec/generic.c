// SPDX-License-Identifier: GPL-2.0-only
/*
 * The erasure coder in plain C: the oracle that every other back-end is compared with, and the
 * fallback where vector registers may not be used. One output at a time, one source at a time; the
 * only cleverness is that the coefficient 1 is a word-wise XOR.
 */
#include "ec.h"
#include "gf256.h"

static void generic_xor(u8 *dst, const u8 *src, size_t len)
{
	size_t b = 0;

	for (; b + sizeof(u64) <= len; b += sizeof(u64)) {
		u64 d, s;

		/* Buffers have any alignment; these become single loads and stores. */
		memcpy(&d, dst + b, sizeof(d));
		memcpy(&s, src + b, sizeof(s));
		d ^= s;
		memcpy(dst + b, &d, sizeof(d));
	}
	for (; b < len; b++)
		dst[b] ^= src[b];
}

static void generic_mul_add(u8 *dst, const u8 *src, size_t len, const u8 *nib)
{
	for (size_t b = 0; b < len; b++)
		dst[b] ^= nib[src[b] & 15] ^ nib[16 + (src[b] >> 4)];
}

void weft_ec_generic_mul(const struct weft_ec_pass *pass)
{
	for (unsigned int j = 0; j < pass->nout; j++) {
		u8 *dst = pass->dst[j] + pass->off;

		memset(dst, 0, pass->len);
		for (unsigned int i = 0; i < pass->nsrc; i++) {
			const u8 *src = pass->src[i] + pass->off;
			u8 c = pass->coef[j * pass->nsrc + i];

			if (c == 1)
				generic_xor(dst, src, pass->len);
			else
				generic_mul_add(dst, src, pass->len, weft_gf_nib[c]);
		}
	}
}

static bool generic_usable(void)
{
	return true;
}

const struct weft_ec_ops weft_ec_generic_ops = {
	.name = "generic",
	.max_out = WEFT_EC_MAX_SHARDS,
	.simd = false,
	.usable = generic_usable,
	.mul = weft_ec_generic_mul,
};
