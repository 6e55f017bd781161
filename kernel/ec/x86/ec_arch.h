/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The erasure coder's back-ends on x86-64, best first. ec_port.h has the predicates that say
 * whether a machine can run them. Those with GFNI are there when the assembler knows it, which the
 * build finds out.
 */
#ifndef WEFT_EC_X86_EC_ARCH_H
#define WEFT_EC_X86_EC_ARCH_H

#include "../ec.h"

extern const struct weft_ec_ops weft_ec_avx2_ops;
extern const struct weft_ec_ops weft_ec_avx512_ops;
extern const struct weft_ec_ops weft_ec_gfni_ops;
extern const struct weft_ec_ops weft_ec_ssse3_ops;

void weft_ec_gfni_mul(const struct weft_ec_pass *pass);

#ifdef WEFT_EC_GFNI
#define WEFT_EC_GFNI_BACKENDS	&weft_ec_avx512_ops, &weft_ec_gfni_ops,
#else
#define WEFT_EC_GFNI_BACKENDS
#endif

#define WEFT_EC_ARCH_BACKENDS	WEFT_EC_GFNI_BACKENDS &weft_ec_avx2_ops, &weft_ec_ssse3_ops,

#endif
