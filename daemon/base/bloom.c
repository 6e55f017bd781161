// SPDX-License-Identifier: GPL-2.0-or-later
/* bloom.c - see bloom.h */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bloom.h"

#define HASHES_MAX 16u

int bloom_init(struct bloom *bloom, uint64_t n_bits, uint32_t hashes)
{
	*bloom = (struct bloom){ .n_bits = n_bits, .hashes = hashes };
	if (n_bits < BLOOM_BITS_MIN || n_bits > BLOOM_BITS_MAX || !hashes || hashes > HASHES_MAX)
		return -EINVAL;
	bloom->bits = calloc(1, bloom_bytes(bloom));
	return bloom->bits ? 0 : -ENOMEM;
}

void bloom_free(struct bloom *bloom)
{
	free(bloom->bits);
	*bloom = (struct bloom){ 0 };
}

size_t bloom_bytes(const struct bloom *bloom)
{
	return (size_t)((bloom->n_bits + 7) / 8);
}

struct positions {
	uint64_t at, step;
};

static struct positions positions_of(const uint8_t id[BLOOM_ID])
{
	uint64_t parts[2];

	memcpy(parts, id, sizeof(parts));
	/* Never 0, or all positions would be one. */
	return (struct positions){ le64toh(parts[0]), le64toh(parts[1]) | 1 };
}

void bloom_add(struct bloom *bloom, const uint8_t id[BLOOM_ID])
{
	struct positions next = positions_of(id);
	uint64_t bit;

	for (uint32_t i = 0; i < bloom->hashes; i++, next.at += next.step) {
		bit = next.at % bloom->n_bits;
		bloom->bits[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

bool bloom_may_have(const struct bloom *bloom, const uint8_t id[BLOOM_ID])
{
	struct positions next = positions_of(id);
	uint64_t bit;

	if (!bloom->bits)
		return true;
	for (uint32_t i = 0; i < bloom->hashes; i++, next.at += next.step) {
		bit = next.at % bloom->n_bits;
		if (!(bloom->bits[bit / 8] & 1u << bit % 8))
			return false;
	}
	return true;
}

/* (1 - e^(-3 n / bits))^3 = 1/100 for n = bits / 12.364. */
uint64_t bloom_capacity(uint64_t n_bits)
{
	return n_bits * 1000 / 12364;
}

uint64_t bloom_size(uint64_t ids)
{
	uint64_t n_bits = BLOOM_BITS_MIN;

	while (n_bits < BLOOM_BITS_MAX && bloom_capacity(n_bits) < 2 * ids)
		n_bits *= 2;
	return n_bits;
}
