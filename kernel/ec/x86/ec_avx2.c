// SPDX-License-Identifier: GPL-2.0-only
/*
 * The erasure coder with AVX2: multiplication by two shuffles, one for each nibble of a byte.
 *
 * A step takes 64 bytes of every source and keeps the 64 bytes of up to four outputs in registers,
 * so that each source is loaded and split into nibbles once a step and each output is stored once.
 * The sixteen registers are used up: eight accumulators, four for the nibbles, one for the mask,
 * and three for a table and what comes out of the shuffles.
 *
 * In the encoding matrix the first row and the first column are ones. Both are free here: the
 * first source of such a pass is what the accumulators start from, and the first row takes an XOR
 * per source. This is a third of the work of 6+3.
 *
 * The functions carry the target attribute, so the file needs no compiler flags; it must contain
 * nothing but what runs between weft_simd_begin() and weft_simd_end(). Only the two instructions
 * that C has no operator for are assembler.
 */
#include "ec_arch.h"
#include "../gf256.h"

#define TARGET		__attribute__((target("avx2")))
#define INLINE		TARGET static __always_inline
#define VEC		32	/* bytes in a vector register */
#define MAX_OUT		4

/*
 * The loops over outputs and registers must be unrolled for the accumulators to be registers; -O2
 * alone does not.
 */
#ifdef __clang__
#define UNROLL		_Pragma("unroll")
#else
#define UNROLL		_Pragma("GCC unroll 4")
#endif

typedef u64 vec __attribute__((vector_size(VEC), may_alias));
typedef u64 vec_mem __attribute__((vector_size(VEC), may_alias, aligned(1)));
typedef u8 vec_u8 __attribute__((vector_size(VEC), may_alias));

/* A source's bytes split in nibbles. */
struct nibbles {
	vec lo;
	vec hi;
};

INLINE vec vec_load(const u8 *p)
{
	return *(const vec_mem *)p;
}

INLINE void vec_store(u8 *p, vec v)
{
	*(vec_mem *)p = v;
}

/* The same 16 bytes in both halves of a register. */
INLINE vec vec_table(const u8 *p)
{
	vec v;

	asm("vbroadcasti128 %1, %0" : "=x" (v) : "m" (*(const u8 (*)[16])p));
	return v;
}

/* Byte b of the result is table[index[b]]; no index byte is above 15. */
INLINE vec vec_shuffle(vec table, vec index)
{
	vec v;

	asm("vpshufb %2, %1, %0" : "=x" (v) : "x" (table), "x" (index));
	return v;
}

INLINE vec vec_nibble_mask(void)
{
	const u64 m = 0x0f0f0f0f0f0f0f0f;

	return (vec){ m, m, m, m };
}

INLINE struct nibbles vec_split(vec v)
{
	return (struct nibbles){ .lo = v & vec_nibble_mask(), .hi = (v >> 4) & vec_nibble_mask() };
}

/*
 * Code nvec * 32 bytes at @off. All but @pass and @off are constants where this is inlined.
 * @nout: rows
 * @nvec: registers per source and step, 1 or 2
 * @ones: the first row and the first column are ones
 */
INLINE void avx2_step(const struct weft_ec_pass *pass, size_t off, const unsigned int nout,
		      const unsigned int nvec, const bool ones)
{
	const unsigned int nsrc = pass->nsrc;
	vec acc[MAX_OUT][2];

	UNROLL
	for (unsigned int v = 0; v < nvec; v++) {
		vec first = ones ? vec_load(pass->src[0] + off + v * VEC) : (vec){ 0 };

		UNROLL
		for (unsigned int j = 0; j < nout; j++)
			acc[j][v] = first;
	}

	for (unsigned int i = ones; i < nsrc; i++) {
		const u8 *src = pass->src[i] + off;
		struct nibbles n[2];

		UNROLL
		for (unsigned int v = 0; v < nvec; v++) {
			vec data = vec_load(src + v * VEC);

			if (ones)
				acc[0][v] ^= data;
			n[v] = vec_split(data);
		}
		UNROLL
		for (unsigned int j = ones; j < nout; j++) {
			const u8 *nib = weft_gf_nib[pass->coef[j * nsrc + i]];
			vec lo = vec_table(nib), hi = vec_table(nib + 16);

			UNROLL
			for (unsigned int v = 0; v < nvec; v++)
				acc[j][v] ^= vec_shuffle(lo, n[v].lo) ^ vec_shuffle(hi, n[v].hi);
		}
	}

	UNROLL
	for (unsigned int j = 0; j < nout; j++)
		UNROLL
		for (unsigned int v = 0; v < nvec; v++)
			vec_store(pass->dst[j] + off + v * VEC, acc[j][v]);
}

/*
 * The whole range of a pass, which has at least VEC bytes. What is left at the end is done by a
 * step that overlaps the one before: outputs depend on the sources alone, so writing some bytes
 * twice is harmless.
 */
INLINE void avx2_range(const struct weft_ec_pass *pass, const unsigned int nout, const bool ones)
{
	size_t off = pass->off, end = pass->off + pass->len;

	for (; off + 2 * VEC <= end; off += 2 * VEC)
		avx2_step(pass, off, nout, 2, ones);
	if (off + VEC <= end) {
		avx2_step(pass, off, nout, 1, ones);
		off += VEC;
	}
	if (off < end)
		avx2_step(pass, end - VEC, nout, 1, ones);
}

static bool avx2_ones(const struct weft_ec_pass *pass)
{
	for (unsigned int i = 0; i < pass->nsrc; i++)
		if (pass->coef[i] != 1)
			return false;
	for (unsigned int j = 1; j < pass->nout; j++)
		if (pass->coef[j * pass->nsrc] != 1)
			return false;
	return true;
}

/* One function each, so that the compiler gives every variant registers of its own. */
#define VARIANT(name, nout, ones)					\
TARGET static noinline void name(const struct weft_ec_pass *pass)	\
{									\
	avx2_range(pass, nout, ones);					\
}

VARIANT(avx2_mul_any_1, 1, false)
VARIANT(avx2_mul_any_2, 2, false)
VARIANT(avx2_mul_any_3, 3, false)
VARIANT(avx2_mul_any_4, 4, false)
VARIANT(avx2_mul_ones_1, 1, true)
VARIANT(avx2_mul_ones_2, 2, true)
VARIANT(avx2_mul_ones_3, 3, true)
VARIANT(avx2_mul_ones_4, 4, true)

static void avx2_mul_ones(const struct weft_ec_pass *pass)
{
	switch (pass->nout) {
	case 1:
		avx2_mul_ones_1(pass);
		break;
	case 2:
		avx2_mul_ones_2(pass);
		break;
	case 3:
		avx2_mul_ones_3(pass);
		break;
	default:
		avx2_mul_ones_4(pass);
	}
}

static void avx2_mul_any(const struct weft_ec_pass *pass)
{
	switch (pass->nout) {
	case 1:
		avx2_mul_any_1(pass);
		break;
	case 2:
		avx2_mul_any_2(pass);
		break;
	case 3:
		avx2_mul_any_3(pass);
		break;
	default:
		avx2_mul_any_4(pass);
	}
}

static void avx2_mul(const struct weft_ec_pass *pass)
{
	if (pass->len < VEC)
		weft_ec_generic_mul(pass);
	else if (avx2_ones(pass))
		avx2_mul_ones(pass);
	else
		avx2_mul_any(pass);
}

const struct weft_ec_ops weft_ec_avx2_ops = {
	.name = "avx2",
	.max_out = MAX_OUT,
	.simd = true,
	.usable = weft_cpu_has_avx2,
	.mul = avx2_mul,
};
