// SPDX-License-Identifier: GPL-2.0-only
/*
 * The erasure coder with GFNI in the encoding of AVX: multiplication by an 8x8 matrix of bits,
 * for machines that have no AVX-512.
 *
 * GFNI also multiplies in a field, but that field has another polynomial than ours (0x11b);
 * multiplication by a constant of any field is linear in the bits, so the matrix serves.
 *
 * The sixteen registers are used up: eight sums, the bytes of two sources, their matrices, and two
 * products.
 */
#define VEC	32
#define TARGET	__attribute__((target("avx2")))

#include "ec_vec.h"

#define MAX_OUT	4
#define NVEC	2
#define TURN	2
#define AHEAD	512

struct coef_ref {
	u64 matrix;
};

/* The matrix, in each quarter of the register. */
struct factor {
	vec matrix;
};

struct source {
	vec bytes;
};

static struct coef_ref coef_find(u8 coef)
{
	return (struct coef_ref){ .matrix = weft_gf_affine[coef] };
}

INLINE struct factor factor_load(struct coef_ref ref)
{
	const u64 m = ref.matrix;

	return (struct factor){ .matrix = { m, m, m, m } };
}

INLINE struct source source_make(vec v)
{
	return (struct source){ .bytes = v };
}

INLINE vec source_mul(struct factor f, struct source s)
{
	vec v;

	asm("vgf2p8affineqb $0, %2, %1, %0" : "=x" (v) : "x" (s.bytes), "x" (f.matrix));
	return v;
}

INLINE vec vec_add3(vec a, vec b, vec c)
{
	return a ^ b ^ c;
}

#include "ec_pass.h"

void weft_ec_gfni_mul(const struct weft_ec_pass *pass)
{
	if (pass->len < VEC)
		weft_ec_generic_mul(pass);
	else
		pass_run(pass);
}

const struct weft_ec_ops weft_ec_gfni_ops = {
	.name = "gfni",
	.max_out = MAX_OUT,
	.simd = true,
	.usable = weft_cpu_has_gfni,
	.mul = weft_ec_gfni_mul,
};
