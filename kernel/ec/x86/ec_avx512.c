// SPDX-License-Identifier: GPL-2.0-only
/*
 * The erasure coder with GFNI and AVX-512: multiplication by an 8x8 matrix of bits, see ec_gfni.c.
 *
 * One instruction adds the products of two sources to a sum. A step is one cache line of each shard.
 * There are registers for more, but the one unit that multiplies is busy as it is, and two lines of
 * a source at a time were 3 % slower when the shards come from beyond the second level cache.
 */
#define VEC	64
#define TARGET	__attribute__((target("avx512f")))

#include "ec_vec.h"

#define MAX_OUT	4
#define NVEC	1
#define TURN	2
#define AHEAD	512

struct coef_ref {
	u64 matrix;
};

/* The matrix, in each eighth of the register. */
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

	return (struct factor){ .matrix = { m, m, m, m, m, m, m, m } };
}

INLINE struct source source_make(vec v)
{
	return (struct source){ .bytes = v };
}

INLINE vec source_mul(struct factor f, struct source s)
{
	vec v;

	asm("vgf2p8affineqb $0, %2, %1, %0" : "=v" (v) : "v" (s.bytes), "v" (f.matrix));
	return v;
}

INLINE vec vec_add3(vec a, vec b, vec c)
{
	/* 0x96 is the truth table of a ^ b ^ c. */
	asm("vpternlogq $0x96, %2, %1, %0" : "+v" (a) : "v" (b), "v" (c));
	return a;
}

#include "ec_pass.h"

static void avx512_mul(const struct weft_ec_pass *pass)
{
	if (pass->len < VEC)
		weft_ec_gfni_mul(pass);
	else
		pass_run(pass);
}

const struct weft_ec_ops weft_ec_avx512_ops = {
	.name = "avx512",
	.max_out = MAX_OUT,
	.simd = true,
	.usable = weft_cpu_has_avx512,
	.mul = avx512_mul,
};
