// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writes kernel/chunk/cdc_table.c.
 *
 *	cc -o cdc_gen tools/cdc_gen.c && ./cdc_gen > kernel/chunk/cdc_table.c
 *
 * The output is committed: what it holds decides where files are cut, and never changes. The unit test test_cdc makes
 * the table again by the text of docs/formats.md and compares.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SEED 0x9e3779b1u
/* Of the filter, as in kernel/chunk/cdc.h. */
#define MUL1 0x79b1u
#define MUL2 0x9e35u
#define PASS 16

static uint64_t state = SEED;

/* splitmix64 */
static uint64_t draw(void)
{
	uint64_t x = state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* No two bytes are alike to the filter, and it passes in no run of one byte. */
static bool filter_is_good(const uint16_t *low, const uint16_t *high)
{
	static bool seen[65536];

	memset(seen, 0, sizeof(seen));
	for (unsigned int b = 0; b < 256; b++) {
		uint32_t value = low[b & 15] ^ high[b >> 4];

		if (seen[value] || (uint16_t)-(value * (1 + MUL1) * (1 + MUL2)) < PASS)
			return false;
		seen[value] = true;
	}
	return true;
}

static void print_nibbles(const uint16_t *value, int shift)
{
	printf("\t{");
	for (int i = 0; i < 16; i++)
		printf("%s0x%02x%s", i % 8 ? " " : i ? "\n\t " : " ", value[i] >> shift & 0xff, i < 15 ? "," : " },\n");
}

int main(void)
{
	uint16_t low[16], high[16];
	uint64_t gear[256];

	for (int b = 0; b < 256; b++)
		gear[b] = draw() & ~0xffffull;
	do {
		for (int i = 0; i < 16; i++)
			low[i] = (uint16_t)draw();
		for (int i = 0; i < 16; i++)
			high[i] = (uint16_t)draw();
	} while (!filter_is_good(low, high));

	printf("// SPDX-License-Identifier: GPL-2.0-only\n"
	       "/*\n * The gear table of content-defined chunking.\n"
	       " *\n * Made by tools/cdc_gen.c, do not edit: chunks would be cut elsewhere. See docs/formats.md.\n */\n"
	       "#include \"cdc.h\"\n\n"
	       "const u64 weft_cdc_gear[256] __aligned(64) = {\n");
	for (int b = 0; b < 256; b++)
		printf("%s0x%016llx,%s", b % 4 ? "" : "\t",
		       (unsigned long long)(gear[b] | (low[b & 15] ^ high[b >> 4])), b % 4 == 3 ? "\n" : " ");
	printf("};\n\nconst u8 weft_cdc_nib[4][16] __aligned(64) = {\n");
	print_nibbles(low, 0);
	print_nibbles(low, 8);
	print_nibbles(high, 0);
	print_nibbles(high, 8);
	printf("};\n");
	return 0;
}
