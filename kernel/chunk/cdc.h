/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hashes that decide where content-defined chunks end, and the back-ends that look for cuts.
 *
 * Both depend on the last 64 bytes, the window, and on nothing else. The gear hash has 64 bits: a
 * byte turns hash into 2 * hash + gear[byte], and has left it after 64 more. The filter has 16,
 * and is made from the gear hash of each quarter of the window alone:
 *
 *	window		| quarter 3 | quarter 2 | quarter 1 | quarter 0 |  the last byte is at the end
 *	low 16 bits	      q3	  q2	      q1	  q0
 *	filter = q0 + MUL1 * q1 + MUL2 * (q2 + MUL1 * q3), modulo 2^16
 *
 * A cut is behind a byte when filter < PASS and the upper half of the gear hash is below a
 * threshold, which sets how often cuts come. The filter passes once in 4096 bytes. Its 16 bits are
 * what vectors are good at: the low 16 bits of gear[] are low[byte % 16] ^ high[byte / 16], which
 * shuffles look up, and its quarters are sums of what was computed for the bytes before. The gear
 * hash is then computed for one byte in 4096.
 *
 * Where a file is cut is a promise for all time and between machines: two that cut otherwise share
 * no chunks. docs/formats.md says it in full.
 */
#ifndef WEFT_CHUNK_CDC_H
#define WEFT_CHUNK_CDC_H

#include "../ec/ec_port.h"

#define WEFT_CDC_WINDOW		64u	/* bytes; weft_chunker.window has room for them */
#define WEFT_CDC_QUARTER	16u
#define WEFT_CDC_PASS		16u	/* of 65536: one byte in 4096 */
#define WEFT_CDC_MUL1		0x79b1u
#define WEFT_CDC_MUL2		0x9e35u

/*
 * What a threshold is made of: u * 2^44, where u is the solution of u = 1 - 15/16 * e^-u. With
 * cuts as frequent as u / (target - min) up to the target and 16 times that behind it, the mean is
 * the target.
 */
#define WEFT_CDC_RATE	0x514e2058582ull
#define WEFT_CDC_EASIER	16u

/* target - min, at least: else cuts behind the target would be more than the filter passes. */
#define WEFT_CDC_SPREAD	(32u * 1024)

/* cdc_table.c */

extern const u64 weft_cdc_gear[256];
/* The low 16 bits of gear[] by nibbles: the low and high bytes of low[], then those of high[]. */
extern const u8 weft_cdc_nib[4][16];

/* cdc.c */

/*
 * A back-end. All find the same cuts; "generic" is the oracle that the others are tested against.
 * @name: for humans and benchmarks
 * @simd: find() must run between weft_simd_begin() and weft_simd_end()
 * @usable: whether this machine can run it
 * @find: the lowest n, 0 < n <= @len, with a cut behind buf[n - 1], or 0 if there is none. Reads
 *	the WEFT_CDC_WINDOW bytes before @buf too, and nothing else; keeps no state.
 */
struct weft_cdc_ops {
	const char *name;
	bool simd;
	bool (*usable)(void);
	u32 (*find)(const u8 *buf, u32 len, u32 threshold);
};

extern const struct weft_cdc_ops weft_cdc_generic_ops;
u32 weft_cdc_generic_find(const u8 *buf, u32 len, u32 threshold);

static inline u64 weft_cdc_roll(u64 hash, const u8 *buf, u32 len)
{
	for (u32 i = 0; i < len; i++)
		hash = (hash << 1) + weft_cdc_gear[buf[i]];
	return hash;
}

/*
 * Pick the best usable back-end. The module's init function calls it once, before the first mount;
 * userspace programs get it called before main(). Until then the generic back-end is used.
 */
void weft_cdc_start(void);

/* The back-end in use. */
const struct weft_cdc_ops *weft_cdc_backend(void);

/*
 * The @i-th back-end of this build, best first, usable or not; NULL past the last. For tests and
 * benchmarks.
 */
const struct weft_cdc_ops *weft_cdc_backend_at(unsigned int i);

/*
 * The scan() of the chunker "cdc" with a given usable back-end. For tests and benchmarks.
 */
struct weft_chunker;
u32 weft_cdc_scan_with(const struct weft_cdc_ops *ops, struct weft_chunker *chunker, const u8 *buf,
		       u32 len, bool *cut);

#endif
