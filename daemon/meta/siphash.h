/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * siphash.h - SipHash-2-4 (Aumasson, Bernstein), 64 bits: where a name stands in its directory, and
 * the sums by which two copies of the state are compared. Pure. Both uses are part of formats: the
 * function must never change.
 */
#ifndef WEFT_META_SIPHASH_H
#define WEFT_META_SIPHASH_H

#include <stddef.h>

#include "ec/ec_port.h"

struct siphash {
	u64 v[4];
	u64 tail;	/* bytes that do not fill a word yet, the first lowest */
	u64 length;
};

void siphash_init(struct siphash *hash, const u8 key[16]);
void siphash_add(struct siphash *hash, const void *data, size_t len);
u64 siphash_end(struct siphash *hash);

static inline u64 siphash(const u8 key[16], const void *data, size_t len)
{
	struct siphash hash;

	siphash_init(&hash, key);
	siphash_add(&hash, data, len);
	return siphash_end(&hash);
}

#endif
