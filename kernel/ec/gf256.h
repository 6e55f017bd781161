/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic in GF(2^8), polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), generator 2.
 *
 * Addition is XOR. The field is part of the stored format: parity written with another polynomial
 * cannot be read. All tables are const data; everything here may be called from any context.
 */
#ifndef WEFT_EC_GF256_H
#define WEFT_EC_GF256_H

#include "ec_port.h"

/* weft_gf_exp[i] = 2^i, for i up to 511, so that the sum of two logarithms needs no reduction. */
extern const u8 weft_gf_exp[512];

/*
 * weft_gf_log[a] = i with 2^i = a, 0 <= i < 255. Zero has no logarithm; its entry is 0 and must
 * not be used.
 */
extern const u8 weft_gf_log[256];

/*
 * Products with one nibble: weft_gf_nib[c][x] = c * x and weft_gf_nib[c][16 + x] = c * (x << 4),
 * for x < 16, so that c * b = nib[c][b & 15] ^ nib[c][16 + (b >> 4)]. The two halves are what a
 * byte shuffle takes as its table; one coefficient lies within one cache line.
 */
extern const u8 weft_gf_nib[256][32];

/*
 * Multiplication by c as a matrix of bits, as vgf2p8affineqb takes it: bit i of c * x is the
 * parity of x & byte 7 - i of weft_gf_affine[c].
 */
extern const u64 weft_gf_affine[256];

static inline u8 weft_gf_mul(u8 a, u8 b)
{
	if (!a || !b)
		return 0;
	return weft_gf_exp[weft_gf_log[a] + weft_gf_log[b]];
}

/* The inverse of @a, which must not be zero. */
static inline u8 weft_gf_inv(u8 a)
{
	return weft_gf_exp[255 - weft_gf_log[a]];
}

#endif
