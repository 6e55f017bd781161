// SPDX-License-Identifier: GPL-2.0-only
/*
 * The erasure coder with SSSE3, for machines without AVX2: multiplication by two shuffles, one for
 * each nibble of a byte.
 *
 * The shuffle overwrites its table, so a table is copied for each register that it multiplies.
 */
#define VEC	16
#define TARGET	__attribute__((target("ssse3")))

#include "ec_vec.h"

#define MAX_OUT	4
#define NVEC	2
#define TURN	1
#define AHEAD	0

struct coef_ref {
	const u8 *nib;
};

/* Products with the low and the high nibble. */
struct factor {
	vec lo;
	vec hi;
};

/* A source's bytes split in nibbles. */
struct source {
	vec lo;
	vec hi;
};

/* Byte b of the result is table[index[b]]; no index byte is above 15. */
INLINE vec vec_shuffle(vec table, vec index)
{
	asm("pshufb %1, %0" : "+x" (table) : "x" (index));
	return table;
}

static struct coef_ref coef_find(u8 coef)
{
	return (struct coef_ref){ .nib = weft_gf_nib[coef] };
}

INLINE struct factor factor_load(struct coef_ref ref)
{
	return (struct factor){ .lo = vec_load(ref.nib), .hi = vec_load(ref.nib + 16) };
}

INLINE struct source source_make(vec v)
{
	const u64 m = 0x0f0f0f0f0f0f0f0f;
	const vec mask = { m, m };

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

static void ssse3_mul(const struct weft_ec_pass *pass)
{
	if (pass->len < VEC)
		weft_ec_generic_mul(pass);
	else
		pass_run(pass);
}

const struct weft_ec_ops weft_ec_ssse3_ops = {
	.name = "ssse3",
	.max_out = MAX_OUT,
	.simd = true,
	.usable = weft_cpu_has_ssse3,
	.mul = ssse3_mul,
};
