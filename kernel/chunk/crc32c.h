/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * CRC32C (Castagnoli), the checksum of everything that weft stores or sends.
 *
 * One convention everywhere: the value is the finished CRC as RFC 3720, appendix B.4, defines it
 * (start with all ones, reflected, inverted at the end), and passing the CRC of some bytes
 * continues behind them:
 *
 *	weft_crc32c(0, "123456789", 9) == 0xe3069283
 *	weft_crc32c(weft_crc32c(0, a, n), b, m) == CRC of a followed by b
 *	weft_crc32c(crc, NULL, 0) == crc
 *
 * Callers never invert anything themselves. May be called from any context.
 */
#ifndef WEFT_CHUNK_CRC32C_H
#define WEFT_CHUNK_CRC32C_H

#ifdef __KERNEL__

#include <linux/crc32c.h>

/* The kernel's function neither starts with ones nor inverts. */
static inline u32 weft_crc32c(u32 crc, const void *buf, size_t len)
{
	return ~crc32c(~crc, buf, len);
}

#else

#include "../ec/ec_port.h"

u32 weft_crc32c(u32 crc, const void *buf, size_t len);

/*
 * The same without the CPU's instructions: the oracle of the test, and what runs where there are
 * none.
 */
u32 weft_crc32c_table(u32 crc, const void *buf, size_t len);

#endif

#endif
