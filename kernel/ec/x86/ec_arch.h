/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The erasure coder's back-ends on x86-64, best first, and the predicates that say whether a
 * machine can run them.
 */
#ifndef WEFT_EC_X86_EC_ARCH_H
#define WEFT_EC_X86_EC_ARCH_H

#include "../ec.h"

extern const struct weft_ec_ops weft_ec_avx2_ops;

#define WEFT_EC_ARCH_BACKENDS	&weft_ec_avx2_ops,

#endif
