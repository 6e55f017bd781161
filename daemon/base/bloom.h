/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bloom.h - a Bloom filter over content ids: "surely not among them", or "maybe"
 *
 * Content ids are hashes already, so their first 16 bytes are two numbers from which all positions are made, as Kirsch and
 * Mitzenmacher have it ("Less Hashing, Same Performance", 2006): bit (a + i * b) modulo the size, for each i. Whoever holds
 * another copy of a filter needs nothing but its size, the number of positions and the ids.
 *
 * Pure. A filter starts with a million bits and three positions and is made twice as large when more than
 * bloom_capacity() ids are in it: then one in a hundred of those that are not would be taken for one that is.
 */
#ifndef WEFT_BASE_BLOOM_H
#define WEFT_BASE_BLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOOM_ID       16u
#define BLOOM_HASHES   3u
#define BLOOM_BITS_MIN 1000000u
#define BLOOM_BITS_MAX (BLOOM_BITS_MIN << 9) /* 64 MB: enough for 40 million ids */

struct bloom {
	uint8_t *bits; /* NULL: there is none, and everything may be among them */
	uint64_t n_bits;
	uint32_t hashes;
};

/* All zero. -EINVAL: sizes that no filter has; -ENOMEM. */
int bloom_init(struct bloom *bloom, uint64_t n_bits, uint32_t hashes);
void bloom_free(struct bloom *bloom);
size_t bloom_bytes(const struct bloom *bloom);
void bloom_add(struct bloom *bloom, const uint8_t id[BLOOM_ID]);
bool bloom_may_have(const struct bloom *bloom, const uint8_t id[BLOOM_ID]);
/* How many ids a filter of three positions holds with at most one false answer in a hundred. */
uint64_t bloom_capacity(uint64_t n_bits);
/* The size for so many ids, and as many again. */
uint64_t bloom_size(uint64_t ids);

#endif
