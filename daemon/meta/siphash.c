// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * siphash.c - SipHash-2-4 over input that comes in pieces. How it is cut makes no difference to the
 * result.
 */
#include "meta/siphash.h"

static inline u64 rotate(u64 x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static void round_once(u64 v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void take_word(struct siphash *hash, u64 word)
{
	hash->v[3] ^= word;
	round_once(hash->v);
	round_once(hash->v);
	hash->v[0] ^= word;
}

static u64 load_word(const u8 *p)
{
	__le64 word;

	memcpy(&word, p, sizeof(word));
	return le64_to_cpu(word);
}

void siphash_init(struct siphash *hash, const u8 key[16])
{
	u64 k0 = load_word(key), k1 = load_word(key + 8);

	hash->v[0] = k0 ^ 0x736f6d6570736575ULL;
	hash->v[1] = k1 ^ 0x646f72616e646f6dULL;
	hash->v[2] = k0 ^ 0x6c7967656e657261ULL;
	hash->v[3] = k1 ^ 0x7465646279746573ULL;
	hash->tail = 0;
	hash->length = 0;
}

void siphash_add(struct siphash *hash, const void *data, size_t len)
{
	const u8 *p = data;

	for (; len && hash->length % 8; len--, hash->length++) {
		hash->tail |= (u64)*p++ << 8 * (hash->length % 8);
		if (hash->length % 8 == 7) {
			take_word(hash, hash->tail);
			hash->tail = 0;
		}
	}
	for (; len >= 8; p += 8, len -= 8, hash->length += 8)
		take_word(hash, load_word(p));
	for (; len; len--, hash->length++)
		hash->tail |= (u64)*p++ << 8 * (hash->length % 8);
}

u64 siphash_end(struct siphash *hash)
{
	take_word(hash, hash->tail | hash->length << 56);
	hash->v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		round_once(hash->v);
	return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}
