/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernel and userspace for the files that are compiled into both: the
 * coder (kernel/ec) and the pure files of kernel/chunk. Nothing else in these files asks which of
 * the two it is built for.
 *
 * weft_simd_begin()/weft_simd_end() bracket code that uses vector registers. In the kernel the
 * section between them does not sleep, is not preempted and must be short; begin returns false
 * where vector registers must not be touched (an interrupt that hit such a section), and the
 * caller then takes the generic code.
 */
#ifndef WEFT_EC_PORT_H
#define WEFT_EC_PORT_H

#ifdef __KERNEL__

#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/unaligned.h>
#include <asm/byteorder.h>
#include <asm/simd.h>

#ifdef CONFIG_X86_64
#define WEFT_EC_X86 1
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>

static inline bool weft_simd_begin(void)
{
	if (!may_use_simd())
		return false;
	kernel_fpu_begin();
	return true;
}

static inline void weft_simd_end(void)
{
	kernel_fpu_end();
}

static inline bool weft_cpu_has_ssse3(void)
{
	return boot_cpu_has(X86_FEATURE_SSSE3);
}

static inline bool weft_cpu_has_avx2(void)
{
	return boot_cpu_has(X86_FEATURE_AVX2) &&
	       cpu_has_xfeatures(XFEATURE_MASK_SSE | XFEATURE_MASK_YMM, NULL);
}

static inline bool weft_cpu_has_gfni(void)
{
	return weft_cpu_has_avx2() && boot_cpu_has(X86_FEATURE_GFNI);
}

static inline bool weft_cpu_has_avx512(void)
{
	return weft_cpu_has_gfni() && boot_cpu_has(X86_FEATURE_AVX512F) &&
	       cpu_has_xfeatures(XFEATURE_MASK_AVX512, NULL);
}
#else
static inline bool weft_simd_begin(void)
{
	return false;
}

static inline void weft_simd_end(void)
{
}
#endif

/* Code that runs once when the coder starts, called by the module's init function. */
#define WEFT_EC_START __init

/*
 * A function that is chosen once, at start: patched into its call sites in the kernel, a pointer
 * in userspace.
 */
#define WEFT_EC_CALL_DEFINE(name, func)	DEFINE_STATIC_CALL(name, func)
#define WEFT_EC_CALL_UPDATE(name, func)	static_call_update(name, func)
#define WEFT_EC_CALL(name)		static_call(name)

#else /* userspace */

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define __ro_after_init
#ifndef noinline
#define noinline __attribute__((noinline))
#endif
#ifndef __aligned
#define __aligned(n) __attribute__((aligned(n)))
#endif
#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif
#ifndef static_assert
#define static_assert _Static_assert
#endif

#if defined(__x86_64__)
#define WEFT_EC_X86 1

/* What the operating system does not save is not reported. */
static inline bool weft_cpu_has_ssse3(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("ssse3");
}

static inline bool weft_cpu_has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}

static inline bool weft_cpu_has_gfni(void)
{
	return weft_cpu_has_avx2() && __builtin_cpu_supports("gfni");
}

static inline bool weft_cpu_has_avx512(void)
{
	return weft_cpu_has_gfni() && __builtin_cpu_supports("avx512f");
}
#endif

static inline bool weft_simd_begin(void)
{
	return true;
}

static inline void weft_simd_end(void)
{
}

static inline unsigned int hweight32(u32 w)
{
	return (unsigned int)__builtin_popcount(w);
}

static inline u16 le16_to_cpu(__le16 v)
{
	return le16toh((__u16)v);
}

static inline u32 le32_to_cpu(__le32 v)
{
	return le32toh((__u32)v);
}

static inline u64 le64_to_cpu(__le64 v)
{
	return le64toh((__u64)v);
}

static inline __le16 cpu_to_le16(u16 v)
{
	return (__le16)htole16(v);
}

static inline __le32 cpu_to_le32(u32 v)
{
	return (__le32)htole32(v);
}

static inline __le64 cpu_to_le64(u64 v)
{
	return (__le64)htole64(v);
}

/* Run before main(), so that a program cannot forget it. */
#define WEFT_EC_START __attribute__((constructor))

#define WEFT_EC_CALL_DEFINE(name, func)	static __typeof__(func) *name = func
#define WEFT_EC_CALL_UPDATE(name, func)	(name = (func))
#define WEFT_EC_CALL(name)		(name)

#endif

#endif
