// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC32C in userspace; the kernel has its own (see crc32c.h), so this file is no part of the
 * module.
 *
 * With SSE4.2 three thirds of a block are summed at the same time: the crc32 instruction takes
 * three cycles and can begin one each cycle. The parts are joined by multiplication with x^n: let
 * L be the bits of a third, then
 *
 *	crc(a b c) = crc(a) * x^2L + crc(b) * x^L + crc(c)	(mod P, all without the inversions)
 *
 * A carry-less product of two reflected 32 bit values is 64 bit wide and is one bit short of being
 * aligned; feeding it to the crc32 instruction multiplies it by x^32 and reduces it. So the factor
 * for x^n is x^(n - 33).
 *
 * Tables and factors are computed before main() and constant from then on.
 */
#include "crc32c.h"

#define POLY	0x82f63b78u	/* x^32 + ... + 1, reflected: bit 31 is x^0 */
#define THIRD	1360u		/* bytes; three of them are a block of 4096 bytes but for 16 */

static u32 crc_table[8][256];

static void __attribute__((constructor)) crc_table_init(void)
{
	for (u32 i = 0; i < 256; i++) {
		u32 crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLY : crc >> 1;
		crc_table[0][i] = crc;
	}
	for (u32 i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			crc_table[t][i] =
				crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 0xff];
}

/* Eight bytes at a time by eight tables: table t advances a byte over t more. */
u32 weft_crc32c_table(u32 crc, const void *buf, size_t len)
{
	const u8 *p = buf;

	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		u32 lo = crc ^ (p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24);

		crc = crc_table[7][lo & 0xff] ^ crc_table[6][lo >> 8 & 0xff] ^
		      crc_table[5][lo >> 16 & 0xff] ^ crc_table[4][lo >> 24] ^ crc_table[3][p[4]] ^
		      crc_table[2][p[5]] ^ crc_table[1][p[6]] ^ crc_table[0][p[7]];
	}
	for (; len; p++, len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#ifdef __x86_64__

#define TARGET __attribute__((target("sse4.2,pclmul")))

typedef long long crc_vec __attribute__((vector_size(16)));

static bool crc_hw;
static u32 crc_factor_l, crc_factor_2l;

/* x^n mod P, reflected. */
static u32 crc_power(unsigned int n)
{
	u32 r = 0x80000000u;

	while (n--)
		r = r & 1 ? r >> 1 ^ POLY : r >> 1;
	return r;
}

static void __attribute__((constructor)) crc_hw_init(void)
{
	__builtin_cpu_init();
	crc_hw = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
	crc_factor_l = crc_power(THIRD * 8 - 33);
	crc_factor_2l = crc_power(2 * THIRD * 8 - 33);
}

TARGET static inline u64 crc_load(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

TARGET static inline u64 crc_multiply(u64 a, u32 b)
{
	crc_vec va = { (long long)a, 0 }, vb = { b, 0 };
	crc_vec product = __builtin_ia32_pclmulqdq128(va, vb, 0);

	return (u64)product[0];
}

TARGET static u32 crc_hw_sum(u32 start, const u8 *p, size_t len)
{
	u64 a = ~start;

	for (; len >= 3 * THIRD; p += 3 * THIRD, len -= 3 * THIRD) {
		u64 b = 0, c = 0, joined;

		for (unsigned int i = 0; i < THIRD; i += 8) {
			a = __builtin_ia32_crc32di(a, crc_load(p + i));
			b = __builtin_ia32_crc32di(b, crc_load(p + THIRD + i));
			c = __builtin_ia32_crc32di(c, crc_load(p + 2 * THIRD + i));
		}
		joined = crc_multiply(a, crc_factor_2l) ^ crc_multiply(b, crc_factor_l);
		a = __builtin_ia32_crc32di(0, joined) ^ c;
	}
	for (; len >= 8; p += 8, len -= 8)
		a = __builtin_ia32_crc32di(a, crc_load(p));
	for (; len; p++, len--)
		a = __builtin_ia32_crc32qi((u32)a, *p);
	return ~(u32)a;
}

u32 weft_crc32c(u32 crc, const void *buf, size_t len)
{
	return crc_hw ? crc_hw_sum(crc, buf, len) : weft_crc32c_table(crc, buf, len);
}

#else

u32 weft_crc32c(u32 crc, const void *buf, size_t len)
{
	return weft_crc32c_table(crc, buf, len);
}

#endif
