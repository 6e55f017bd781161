/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the vector back-ends start from: their vector type and how it is loaded and stored.
 *
 * A back-end is one file: it defines VEC and TARGET, includes this, says how bytes are multiplied,
 * and includes ec_pass.h, which makes the loops and the operations from that.
 * @VEC: bytes in a vector register
 * @TARGET: the attribute that lets the compiler use the instruction set. With it the files need no
 *	compiler flags; they must contain nothing but what runs between weft_simd_begin() and
 *	weft_simd_end(), but for the choice of what to run.
 */
#ifndef WEFT_EC_X86_EC_VEC_H
#define WEFT_EC_X86_EC_VEC_H

#include "ec_arch.h"
#include "../gf256.h"

#define INLINE	TARGET static __always_inline

/*
 * The loops over outputs and registers must be unrolled for the accumulators to be registers; -O2
 * alone does not.
 */
#ifdef __clang__
#define UNROLL	_Pragma("unroll")
#else
#define UNROLL	_Pragma("GCC unroll 8")
#endif

typedef u64 vec __attribute__((vector_size(VEC), may_alias));
typedef u64 vec_mem __attribute__((vector_size(VEC), may_alias, aligned(1)));

INLINE vec vec_load(const u8 *p)
{
	return *(const vec_mem *)p;
}

INLINE void vec_store(u8 *p, vec v)
{
	*(vec_mem *)p = v;
}

#endif
