/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reed-Solomon erasure coding of k data shards into m parity shards.
 *
 * Shards are numbered 0 to k+m-1: data first, then parity. Coding works on columns: byte b of
 * every parity shard depends on byte b of the k data shards and on nothing else. So any range of
 * the shards can be coded on its own, in any order and by several threads, and a degraded read
 * decodes just the range it wants.
 *
 *	data 0     [........|xxxxxxxx|......]
 *	...                  column
 *	data k-1   [........|xxxxxxxx|......]
 *	parity 0   [........|pppppppp|......]   p0 = d0 + d1 + ... + d(k-1), plain XOR
 *	parity i   [........|pppppppp|......]   pi = d0 + a(i,1) d1 + ... + a(i,k-1) d(k-1)
 *
 * The matrix is part of the stored format (see matrix.c). Codecs and plans are plain values
 * without pointers: they may lie on the stack or inside other objects, be copied, and be used by
 * many threads once initialised.
 *
 * Threading: no function here sleeps, locks or allocates. Everything may be called from any
 * context in which the buffers may be touched; where vector registers may not be used, the generic
 * back-end does the work. Call with preemption enabled where possible: vector sections are bounded
 * to some ten microseconds and end in between.
 */
#ifndef WEFT_EC_EC_H
#define WEFT_EC_EC_H

#include "ec_port.h"

#define WEFT_EC_MAX_SHARDS	32	/* k + m */
#define WEFT_EC_MAX_COEFS	256	/* k * m, the most that k + m <= 32 allows */

/*
 * A codec: the parity part of the generator matrix for one (k, m).
 * @coef: m rows of k coefficients; coef[i * k + j] is what data shard j contributes to parity
 *	i, never zero.
 */
struct weft_ec {
	u8 k;
	u8 m;
	u8 coef[WEFT_EC_MAX_COEFS];
};

/*
 * How to compute some shards from k others.
 * @nsrc: number of sources, always k
 * @nout: number of outputs, at most m
 * @src: shard numbers of the sources, ascending: the order of weft_ec_plan_run()'s src[]
 * @out: shard numbers of the outputs, ascending: the order of weft_ec_plan_run()'s dst[]
 * @coef: nout rows of nsrc coefficients, never zero (if one were, k - 1 shards would
 *	determine another)
 */
struct weft_ec_plan {
	u8 nsrc;
	u8 nout;
	u8 src[WEFT_EC_MAX_SHARDS];
	u8 out[WEFT_EC_MAX_SHARDS];
	u8 coef[WEFT_EC_MAX_COEFS];
};

/* ec.c */

/*
 * Make the codec for @k data and @m parity shards: 1 <= k, 0 <= m, k + m <= 32, else -EINVAL. (1,
 * m) makes copies, (k, 0) has no parity.
 */
int weft_ec_init(struct weft_ec *ec, unsigned int k, unsigned int m);

/*
 * Compute @len bytes of all m parities from @len bytes of all k data shards. Any length and any
 * alignment (64 bytes is best for both). @parity buffers must overlap neither each other nor
 * @data; nothing outside of [0, len) is touched.
 */
void weft_ec_encode(const struct weft_ec *ec, size_t len, const void *const data[],
		    void *const parity[]);

/*
 * Choose k sources among the shards in the bit mask @have (data shards first, then the lowest
 * parities) and compute the coefficients that give the shards in @want, data or parity.
 *
 * Returns -EINVAL if a mask names a shard that (k, m) has not, or both name the same one, and
 * -ENODATA if @have has fewer than k. @want may be empty. Takes some microseconds: make one plan
 * for all ranges of a chunk.
 */
int weft_ec_plan_init(struct weft_ec_plan *plan, const struct weft_ec *ec, u32 have, u32 want);

/*
 * Compute @len bytes of every output from the same range of every source. src[i] belongs to shard
 * plan->src[i], dst[j] to shard plan->out[j]. Buffers as in weft_ec_encode().
 */
void weft_ec_plan_run(const struct weft_ec_plan *plan, size_t len, const void *const src[],
		      void *const dst[]);

/* Back-ends */

/*
 * One pass over the sources: dst[j][b] = sum over i of coef[j * nsrc + i] * src[i][b], for off <=
 * b < off + len.
 * @nsrc: 1 to 32
 * @nout: 1 to the back-end's max_out
 * @off: in bytes, added to every source and destination pointer
 * @len: in bytes, greater than zero
 */
struct weft_ec_pass {
	const u8 *coef;
	unsigned int nsrc;
	unsigned int nout;
	const u8 *const *src;
	u8 *const *dst;
	size_t off;
	size_t len;
};

/*
 * A back-end. All give the same bytes; "generic" is the oracle that the others are tested against.
 * @name: for humans and benchmarks
 * @max_out: how many outputs one pass computes
 * @simd: mul() must run between weft_simd_begin() and weft_simd_end()
 * @usable: whether this machine can run it
 * @mul: one pass. Reads and writes nothing outside of the pass's range; keeps no state.
 */
struct weft_ec_ops {
	const char *name;
	u8 max_out;
	bool simd;
	bool (*usable)(void);
	void (*mul)(const struct weft_ec_pass *pass);
};

/*
 * Pick the best usable back-end. The module's init function calls it once, before the first mount;
 * userspace programs get it called before main(). Until then the generic back-end is used.
 */
void weft_ec_start(void);

/* The back-end in use. */
const struct weft_ec_ops *weft_ec_backend(void);

/*
 * The @i-th back-end of this build, best first, usable or not; NULL past the last. For tests and
 * benchmarks.
 */
const struct weft_ec_ops *weft_ec_backend_at(unsigned int i);

/*
 * As weft_ec_encode() and weft_ec_plan_run(), with a given usable back-end. For tests and
 * benchmarks.
 */
void weft_ec_encode_with(const struct weft_ec_ops *ops, const struct weft_ec *ec, size_t len,
			 const void *const data[], void *const parity[]);
void weft_ec_plan_run_with(const struct weft_ec_ops *ops, const struct weft_ec_plan *plan,
			   size_t len, const void *const src[], void *const dst[]);

/* generic.c */

extern const struct weft_ec_ops weft_ec_generic_ops;
void weft_ec_generic_mul(const struct weft_ec_pass *pass);

/* matrix.c */

void weft_ec_matrix_fill(u8 *coef, unsigned int k, unsigned int m);
int weft_ec_matrix_invert(u8 *a, u8 *inverse, unsigned int n);

#endif
