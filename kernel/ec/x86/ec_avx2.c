// SPDX-License-Identifier: GPL-2.0-only
/*
 * The erasure coder with AVX2: multiplication by two shuffles, one for each nibble of a byte.
 *
 * The sixteen registers are used up: eight sums, four for the nibbles, one for the mask, and three
 * for a table and what comes out of the shuffles. Only the two instructions that C has no operator
 * for are assembler.
 */
#define VEC	32
#define TARGET	__attribute__((target("avx2")))

#include "ec_vec.h"

#define MAX_OUT	4
#define NVEC	2
#define TURN	1
#define AHEAD	0

struct coef_ref {
	const u8 *nib;
};

/* Products with the low and the high nibble, the same 16 bytes in both halves of a register. */
struct factor {
	vec lo;
	vec hi;
};

/* A source's bytes split in nibbles. */
struct source {
	vec lo;
	vec hi;
};

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

static struct coef_ref coef_find(u8 coef)
{
	return (struct coef_ref){ .nib = weft_gf_nib[coef] };
}

INLINE struct factor factor_load(struct coef_ref ref)
{
	return (struct factor){ .lo = vec_table(ref.nib), .hi = vec_table(ref.nib + 16) };
}

INLINE struct source source_make(vec v)
{
	const u64 m = 0x0f0f0f0f0f0f0f0f;
	const vec mask = { m, m, m, m };

	return (struct source){ .lo = v & mask, .hi = (v >> 4) & mask };
}

INLINE vec source_mul(struct factor f, struct source s)
{
	return vec_shuffle(f.lo, s.lo) ^ vec_shuffle(f.hi, s.hi);
}

INLINE vec vec_add3(vec a, vec b, vec c)
{
	return a ^ b ^ c;
}

#include "ec_pass.h"

static void avx2_mul(const struct weft_ec_pass *pass)
{
	if (pass->len < VEC)
		weft_ec_generic_mul(pass);
	else
		pass_run(pass);
}

const struct weft_ec_ops weft_ec_avx2_ops = {
	.name = "avx2",
	.max_out = MAX_OUT,
	.simd = true,
	.usable = weft_cpu_has_avx2,
	.mul = avx2_mul,
};
