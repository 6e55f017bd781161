// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writes kernel/ec/gf256_tables.c.
 *
 *	cc -o gf256_gen tools/gf256_gen.c && ./gf256_gen > kernel/ec/gf256_tables.c
 *
 * The output is committed, so that neither the module's nor the daemon's build runs a program of
 * its own. The unit test test_ec checks every entry against multiplication bit by bit.
 */
#include <stdio.h>

#define POLY 0x11d

static unsigned int mul(unsigned int a, unsigned int b)
{
	unsigned int product = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			product ^= a;
		a <<= 1;
		if (a & 0x100)
			a ^= POLY;
	}
	return product;
}

/* Bit i of the product with @c is the parity of the other factor and byte 7 - i. */
static unsigned long long affine(unsigned int c)
{
	unsigned long long matrix = 0;

	for (int i = 0; i < 8; i++)
		for (int bit = 0; bit < 8; bit++)
			if (mul(c, 1u << bit) & (1u << i))
				matrix |= 1ull << (8 * (7 - i) + bit);
	return matrix;
}

static void print_row(const unsigned int *v, int n)
{
	for (int i = 0; i < n; i++)
		printf("%s0x%02x,%s", i % 16 ? "" : "\t", v[i], i % 16 == 15 ? "\n" : " ");
}

int main(void)
{
	unsigned int exp[512], log[256] = { 0 }, nib[32];

	exp[0] = 1;
	for (int i = 1; i < 512; i++)
		exp[i] = mul(exp[i - 1], 2);
	for (int i = 0; i < 255; i++)
		log[exp[i]] = i;

	printf("// SPDX-License-Identifier: GPL-2.0-only\n"
	       "/*\n * Tables of GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1 (0x11d).\n"
	       " *\n * Made by tools/gf256_gen.c, do not edit. What the tables hold is said in "
	       "gf256.h.\n */\n"
	       "#include \"gf256.h\"\n\n");

	printf("const u8 weft_gf_exp[512] = {\n");
	print_row(exp, 512);
	printf("};\n\nconst u8 weft_gf_log[256] = {\n");
	print_row(log, 256);
	printf("};\n\nconst u8 weft_gf_nib[256][32] __aligned(64) = {\n");
	for (unsigned int c = 0; c < 256; c++) {
		for (unsigned int x = 0; x < 16; x++) {
			nib[x] = mul(c, x);
			nib[16 + x] = mul(c, x << 4);
		}
		printf("\t{");
		for (int i = 0; i < 32; i++)
			printf(i == 16 ? ",\n\t  0x%02x" : i ? ", 0x%02x" : " 0x%02x", nib[i]);
		printf(" },\n");
	}
	printf("};\n\nconst u64 weft_gf_affine[256] __aligned(64) = {\n");
	for (unsigned int c = 0; c < 256; c++)
		printf("%s0x%016llx,%s", c % 4 ? "" : "\t", affine(c), c % 4 == 3 ? "\n" : " ");
	printf("};\n");
	return 0;
}
