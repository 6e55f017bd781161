/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xfeatures.h - which vector registers are saved, asked of the CPU itself: a kernel that is a process has no answer of
 * its own.
 */
#ifndef WEFT_BENCH_XFEATURES_H
#define WEFT_BENCH_XFEATURES_H

#include <linux/types.h>

#define XFEATURE_MASK_SSE    (1ull << 1)
#define XFEATURE_MASK_YMM    (1ull << 2)
#define XFEATURE_MASK_AVX512 (7ull << 5)

static inline int cpu_has_xfeatures(u64 wanted, const char **name)
{
	u32 low, high;

	(void)name;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (((u64)high << 32 | low) & wanted) == wanted;
}

#endif
