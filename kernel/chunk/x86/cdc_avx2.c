// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking for content-defined cuts with AVX2: the filter at 32 positions at a time; for the few
 * that pass, the gear hash.
 *
 * The two halves of a register are two streams, the halves of the range, so that no byte has to
 * cross from one to the other. A step takes 16 bytes of each:
 *
 *	bytes		a0 a1 ... a15              | b0 b1 ... b15
 *	low 16 of gear	a0 .. a7    (first)        | b0 .. b7		by four shuffles, one for each
 *			a8 .. a15   (second)       | b8 .. b15		nibble and byte of the result
 *
 * With w(n) the gear hash of the last n bytes, w(2n) at i is w(n) at i plus w(n) at i - n, shifted
 * by n. Four times that gives w(16), a quarter of the filter, and what was more than 16 bytes ago
 * has left the low 16 bits. The positions before a vector come from the one before it, by vpalignr
 * within each half. The other quarters are w(16) of one, two and three steps ago.
 *
 * The functions carry the target attribute, so the file needs no compiler flags; it must contain
 * nothing but what runs between weft_simd_begin() and weft_simd_end(). Only the instructions that
 * C has no operator for are assembler.
 */
#include "cdc_arch.h"

#define TARGET		__attribute__((target("avx2")))
#define INLINE		TARGET static __always_inline
#define STEP		WEFT_CDC_QUARTER	/* bytes of each stream */

typedef u16 vec __attribute__((vector_size(32), may_alias));

/* One lookup table for each byte of the result and nibble of the index; see weft_cdc_nib. */
struct tables {
	vec low[2];
	vec high[2];
	vec limit;		/* the largest filter that passes */
};

/* w(1), w(2), w(4) and w(8) of the eight positions before. */
struct before {
	vec w1;
	vec w2;
	vec w4;
	vec w8;
};

/*
 * Of the first or the second eight positions of the steps before.
 * @quarter: w(16) one step ago
 * @half: w(16) + MUL1 * w(16) of the step before that, one and two steps ago
 */
struct steps {
	vec quarter;
	vec half[2];
};

/* The place in a stream for which the gear hash was last computed, so that it can go on there. */
struct mark {
	const u8 *at;
	u64 hash;
};

INLINE vec vec_twice(const u8 *p)
{
	vec v;

	asm("vbroadcasti128 %1, %0" : "=x" (v) : "m" (*(const u8 (*)[16])p));
	return v;
}

/*
 * 16 bytes of each stream. A blend runs on any port, where vinserti128 may want the shuffles'; and
 * QEMU (10.0) reads 32 bytes for vinserti128, which faults where the 16 end with the memory.
 */
INLINE vec vec_load(const u8 *a, const u8 *b)
{
	vec v, high = vec_twice(b);

	asm("vmovdqu %1, %x0\n\t"
	    "vpblendd $0xf0, %2, %0, %0"
	    : "=&x" (v) : "m" (*(const u8 (*)[16])a), "x" (high));
	return v;
}

/* Byte b of the result is table[index[b]]; no index byte is above 15. */
INLINE vec vec_shuffle(vec table, vec index)
{
	vec v;

	asm("vpshufb %2, %1, %0" : "=x" (v) : "x" (table), "x" (index));
	return v;
}

/* 16-bit values from their low and high bytes: those of bytes 0 to 7 and 8 to 15 of each half. */
INLINE vec vec_join_first(vec low, vec high)
{
	vec v;

	asm("vpunpcklbw %2, %1, %0" : "=x" (v) : "x" (low), "x" (high));
	return v;
}

INLINE vec vec_join_second(vec low, vec high)
{
	vec v;

	asm("vpunpckhbw %2, %1, %0" : "=x" (v) : "x" (low), "x" (high));
	return v;
}

/* In each half: the last n values of before, then the first 8 - n of v. */
#define VEC_BEHIND(before, v, n)						\
({										\
	vec behind_;								\
										\
	asm("vpalignr %3, %2, %1, %0"						\
	    : "=x" (behind_) : "x" (v), "x" (before), "i" (16 - 2 * (n)));	\
	behind_;								\
})

INLINE vec vec_min(vec a, vec b)
{
	vec v;

	asm("vpminuw %2, %1, %0" : "=x" (v) : "x" (a), "x" (b));
	return v;
}

/* Bit b: byte b has its highest bit set. */
INLINE u32 vec_signs(vec v)
{
	u32 signs;

	asm("vpmovmskb %1, %0" : "=r" (signs) : "x" (v));
	return signs;
}

/* Bytes from words that are all ones or zero: of first, then of second, in each half. */
INLINE vec vec_pack(vec first, vec second)
{
	vec v;

	asm("vpacksswb %2, %1, %0" : "=x" (v) : "x" (first), "x" (second));
	return v;
}

INLINE void tables_load(struct tables *t)
{
	t->low[0] = vec_twice(weft_cdc_nib[0]);
	t->low[1] = vec_twice(weft_cdc_nib[1]);
	t->high[0] = vec_twice(weft_cdc_nib[2]);
	t->high[1] = vec_twice(weft_cdc_nib[3]);
	t->limit = (vec){ 0 } + (u16)(WEFT_CDC_PASS - 1);
}

/* w(16) of eight positions of each stream from their gear values. */
INLINE vec avx2_window(vec w1, struct before *before)
{
	vec w2 = w1 + (VEC_BEHIND(before->w1, w1, 1) << 1);
	vec w4 = w2 + (VEC_BEHIND(before->w2, w2, 2) << 2);
	vec w8 = w4 + (VEC_BEHIND(before->w4, w4, 4) << 4);
	vec w16 = w8 + (before->w8 << 8);

	before->w1 = w1;
	before->w2 = w2;
	before->w4 = w4;
	before->w8 = w8;
	return w16;
}

/* The filter from w(16). */
INLINE vec avx2_filter(vec quarter, struct steps *steps)
{
	vec half = quarter + steps->quarter * (u16)WEFT_CDC_MUL1;
	vec filter = half + steps->half[1] * (u16)WEFT_CDC_MUL2;

	steps->quarter = quarter;
	steps->half[1] = steps->half[0];
	steps->half[0] = half;
	return filter;
}

/* Which of 16 positions of each stream pass: bits 0 to 15 for a, 16 to 31 for b. */
INLINE u32 avx2_step(const struct tables *t, struct before *before, struct steps steps[2],
		     const u8 *a, const u8 *b)
{
	const vec nibble = (vec){ 0 } + (u16)0x0f0f;
	vec bytes = vec_load(a, b);
	vec lo = bytes & nibble, hi = (bytes >> 4) & nibble;
	vec low = vec_shuffle(t->low[0], lo) ^ vec_shuffle(t->high[0], hi);
	vec high = vec_shuffle(t->low[1], lo) ^ vec_shuffle(t->high[1], hi);
	vec first = avx2_filter(avx2_window(vec_join_first(low, high), before), &steps[0]);
	vec second = avx2_filter(avx2_window(vec_join_second(low, high), before), &steps[1]);
	vec least = vec_min(first, second);

	if (__builtin_expect(!vec_signs((vec)(vec_min(least, t->limit) == least)), 1))
		return 0;
	return vec_signs(vec_pack((vec)(vec_min(first, t->limit) == first),
				  (vec)(vec_min(second, t->limit) == second)));
}

/* Is there a cut behind *p, where the filter passes? Asked in ascending order. */
static noinline bool mark_is_cut(struct mark *mark, const u8 *p, u32 threshold)
{
	if (p - mark->at >= WEFT_CDC_WINDOW) {
		mark->at = p - WEFT_CDC_WINDOW;
		mark->hash = 0;
	}
	mark->hash = weft_cdc_roll(mark->hash, mark->at + 1, p - mark->at);
	mark->at = p;
	return (u32)(mark->hash >> 32) < threshold;
}

/* The first cut among the candidates in @bits: its position from @p plus 1, or 0. */
static noinline u32 mark_first(struct mark *mark, const u8 *p, u32 bits, u32 threshold)
{
	for (; bits; bits &= bits - 1) {
		u32 i = __builtin_ctz(bits);

		if (mark_is_cut(mark, p + i, threshold))
			return i + 1;
	}
	return 0;
}

/* Both streams, @len bytes each, a multiple of STEP: a is [0, len) of @buf, b what follows. */
TARGET static noinline u32 avx2_streams(const u8 *buf, u32 len, u32 threshold)
{
	const u8 *a = buf, *b = buf + len;
	/* So far back that the first candidate begins from nothing. */
	struct mark mark_a = { .at = a - WEFT_CDC_WINDOW };
	struct mark mark_b = { .at = b - WEFT_CDC_WINDOW };
	struct before before = { 0 };
	struct steps steps[2] = { 0 };
	struct tables t;
	u32 cut_b = 0;

	tables_load(&t);
	/* The window before the first position; w(16) is right from its 16th byte on. */
	for (u32 i = WEFT_CDC_WINDOW; i; i -= STEP)
		avx2_step(&t, &before, steps, a - i, b - i);
	for (u32 i = 0; i < len; i += STEP) {
		u32 n, bits = avx2_step(&t, &before, steps, a + i, b + i);

		if (__builtin_expect(!bits, 1))
			continue;
		n = mark_first(&mark_a, a + i, bits & 0xffff, threshold);
		if (n)
			return i + n;
		if (cut_b)
			continue;
		n = mark_first(&mark_b, b + i, bits >> 16, threshold);
		if (n)
			cut_b = len + i + n;
	}
	return cut_b;
}

static u32 avx2_find(const u8 *buf, u32 len, u32 threshold)
{
	u32 half = len / (2 * STEP) * STEP;
	u32 n = half ? avx2_streams(buf, half, threshold) : 0;

	if (n || 2 * half == len)
		return n;
	n = weft_cdc_generic_find(buf + 2 * half, len - 2 * half, threshold);
	return n ? 2 * half + n : 0;
}

const struct weft_cdc_ops weft_cdc_avx2_ops = {
	.name = "avx2",
	.simd = true,
	.usable = weft_cpu_has_avx2,
	.find = avx2_find,
};
