// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The erasure coder: field and matrix against their definitions, the generic back-end against
 * multiplication bit by bit, every other back-end against the generic one, every erasure pattern,
 * and buffers whose next byte is forbidden.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ec/ec.h"
#include "ec/gf256.h"

#define MAX_LEN 8192

static u64 rng_state;

static u64 rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static void fill(u8 *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (u8)(rng() >> 24);
}

/* The definition: schoolbook product of two polynomials, reduced by 0x11d. */
static u8 slow_mul(unsigned int a, unsigned int b)
{
	unsigned int product = 0;

	for (int bit = 0; bit < 8; bit++)
		if (b & (1u << bit))
			product ^= a << bit;
	for (int bit = 14; bit >= 8; bit--)
		if (product & (1u << bit))
			product ^= 0x11du << (bit - 8);
	return (u8)product;
}

static u8 slow_inv(u8 a)
{
	for (unsigned int b = 1; b < 256; b++)
		if (slow_mul(a, b) == 1)
			return (u8)b;
	fail_msg("%u has no inverse", a);
	return 0;
}

/* Shards of one stripe; buffers with canaries on both sides. */
#define CANARY 64

struct stripe {
	unsigned int k, m;
	size_t len;
	u8 *mem;
	u8 *shard[WEFT_EC_MAX_SHARDS];
};

static void stripe_init(struct stripe *s, unsigned int k, unsigned int m, size_t len,
			size_t misalign)
{
	size_t each = (len + 3 * CANARY) / CANARY * CANARY + CANARY;

	*s = (struct stripe){ .k = k, .m = m, .len = len };
	s->mem = malloc(each * (k + m));
	assert_non_null(s->mem);
	memset(s->mem, 0xa5, each * (k + m));
	for (unsigned int i = 0; i < k + m; i++)
		s->shard[i] = s->mem + i * each + CANARY + (misalign * (i + 1)) % CANARY;
	for (unsigned int i = 0; i < k; i++)
		fill(s->shard[i], len);
}

static void stripe_canaries_check(const struct stripe *s)
{
	for (unsigned int i = 0; i < s->k + s->m; i++) {
		for (unsigned int b = 1; b <= 32; b++) {
			assert_int_equal(s->shard[i][-(int)b], 0xa5);
			assert_int_equal(s->shard[i][s->len + b - 1], 0xa5);
		}
	}
}

static void stripe_free(struct stripe *s)
{
	free(s->mem);
}

static void stripe_encode(struct stripe *s, const struct weft_ec_ops *ops, const struct weft_ec *ec)
{
	weft_ec_encode_with(ops, ec, s->len, (const void *const *)s->shard,
			    (void *const *)(s->shard + s->k));
}

/* Parity by the definition of the code, without the coder's tables. */
static void parity_assert_by_definition(const struct stripe *s)
{
	for (unsigned int i = 0; i < s->m; i++) {
		for (size_t b = 0; b < s->len; b++) {
			u8 want = 0;

			for (unsigned int j = 0; j < s->k; j++) {
				u8 a = slow_mul(slow_mul(32 ^ j, 32 ^ i),
						slow_inv(slow_mul(32 ^ i ^ j, 32)));

				want ^= slow_mul(a, s->shard[j][b]);
			}
			assert_int_equal(s->shard[s->k + i][b], want);
		}
	}
}

static const struct weft_ec_ops *usable_backend(unsigned int *i)
{
	const struct weft_ec_ops *ops;

	while ((ops = weft_ec_backend_at((*i)++)))
		if (ops->usable())
			return ops;
	return NULL;
}

/*
 * Decode @len bytes from @off on of the shards in @want, from those in @have, into fresh buffers
 * and compare, with every back-end.
 */
static void range_check(const struct stripe *s, const struct weft_ec_plan *plan, size_t off,
			size_t len, const char *seed)
{
	static u8 out[WEFT_EC_MAX_SHARDS][MAX_LEN + 1];
	const void *src[WEFT_EC_MAX_SHARDS];
	void *dst[WEFT_EC_MAX_SHARDS];
	const struct weft_ec_ops *ops;

	for (unsigned int i = 0; i < plan->nsrc; i++)
		src[i] = s->shard[plan->src[i]] + off;
	for (unsigned int j = 0; j < plan->nout; j++)
		dst[j] = out[j];
	for (unsigned int b = 0; (ops = usable_backend(&b));) {
		for (unsigned int j = 0; j < plan->nout; j++)
			memset(out[j], 0x5a, len + 1);
		weft_ec_plan_run_with(ops, plan, len, src, dst);
		for (unsigned int j = 0; j < plan->nout; j++) {
			if (memcmp(out[j], s->shard[plan->out[j]] + off, len) ||
			    out[j][len] != 0x5a)
				fail_msg("%s: (%u,%u), %zu bytes from %zu: shard %u is wrong%s%s",
					 ops->name, s->k, s->m, len, off, plan->out[j],
					 seed ? ", seed " : "", seed ? seed : "");
		}
	}
}

/* The plan that gives @want from @have, looked at. */
static void plan_make(struct weft_ec_plan *plan, const struct weft_ec *ec, u32 have, u32 want)
{
	assert_int_equal(weft_ec_plan_init(plan, ec, have, want), 0);
	assert_int_equal(plan->nsrc, ec->k);
	assert_int_equal(plan->nout, __builtin_popcount(want));
	for (unsigned int i = 0; i < plan->nsrc; i++)
		assert_true(have & (1u << plan->src[i]));
	for (unsigned int j = 0; j < plan->nout; j++) {
		assert_true(want & (1u << plan->out[j]));
		for (unsigned int i = 0; i < plan->nsrc; i++)
			assert_int_not_equal(plan->coef[j * plan->nsrc + i], 0);
	}
}

static void field_tables_match_their_definition(void **state)
{
	for (unsigned int a = 0; a < 256; a++) {
		for (unsigned int b = 0; b < 256; b++) {
			assert_int_equal(weft_gf_mul(a, b), slow_mul(a, b));
			assert_int_equal(weft_gf_nib[a][b & 15] ^ weft_gf_nib[a][16 + (b >> 4)],
					 slow_mul(a, b));
		}
		if (a)
			assert_int_equal(slow_mul(a, weft_gf_inv(a)), 1);
		/* A matrix is known by what it makes of each bit. */
		for (unsigned int bit = 0; bit < 8; bit++) {
			u8 column = 0;

			for (unsigned int i = 0; i < 8; i++)
				column |= (weft_gf_affine[a] >> (8 * (7 - i) + bit) & 1) << i;
			assert_int_equal(column, slow_mul(a, 1u << bit));
		}
	}
	for (unsigned int i = 1; i < 512; i++)
		assert_int_equal(weft_gf_exp[i], slow_mul(weft_gf_exp[i - 1], 2));
	assert_int_equal(weft_gf_exp[0], 1);
}

/* The stored format: whoever changes the matrix makes every parity on disk unreadable. */
static void matrix_of_six_and_three_never_changes(void **state)
{
	static const u8 golden[3][6] = {
		{ 0x01, 0x01, 0x01, 0x01, 0x01, 0x01 },
		{ 0x01, 0xe8, 0xdc, 0xf0, 0xc2, 0x0e },
		{ 0x01, 0xdc, 0x82, 0x20, 0x0a, 0x86 },
	};
	struct weft_ec ec;

	assert_int_equal(weft_ec_init(&ec, 6, 3), 0);
	assert_memory_equal(ec.coef, golden, sizeof(golden));
}

static void matrix_starts_with_ones_and_is_a_corner_of_the_largest(void **state)
{
	for (unsigned int k = 1; k <= 31; k++) {
		for (unsigned int m = 1; k + m <= 32; m++) {
			struct weft_ec ec;

			assert_int_equal(weft_ec_init(&ec, k, m), 0);
			for (unsigned int i = 0; i < m; i++) {
				for (unsigned int j = 0; j < k; j++) {
					u8 c = ec.coef[i * k + j];

					if (!i || !j)
						assert_int_equal(c, 1);
					assert_int_equal(slow_mul(c, slow_mul(32 ^ i ^ j, 32)),
							 slow_mul(32 ^ j, 32 ^ i));
				}
			}
		}
	}
}

static void inversion_refuses_a_singular_matrix_and_survives_a_zero_pivot(void **state)
{
	u8 singular[9] = { 1, 2, 3, 2, 4, 6, 7, 8, 9 };
	u8 pivot[4] = { 0, 3, 5, 7 }, copy[4], inverse[9];

	assert_int_equal(weft_ec_matrix_invert(singular, inverse, 3), -EDOM);

	memcpy(copy, pivot, 4);
	assert_int_equal(weft_ec_matrix_invert(pivot, inverse, 2), 0);
	for (unsigned int r = 0; r < 2; r++)
		for (unsigned int c = 0; c < 2; c++)
			assert_int_equal(slow_mul(copy[2 * r], inverse[c]) ^
						 slow_mul(copy[2 * r + 1], inverse[2 + c]),
					 r == c);
}

static void codec_and_plan_refuse_bad_arguments(void **state)
{
	struct weft_ec_plan plan;
	struct weft_ec ec;

	assert_int_equal(weft_ec_init(&ec, 0, 3), -EINVAL);
	assert_int_equal(weft_ec_init(&ec, 30, 3), -EINVAL);
	assert_int_equal(weft_ec_init(&ec, 1, 32), -EINVAL);
	assert_int_equal(weft_ec_init(&ec, 33, 0), -EINVAL);
	assert_int_equal(weft_ec_init(&ec, UINT_MAX, 2), -EINVAL);
	assert_int_equal(weft_ec_init(&ec, 1, UINT_MAX), -EINVAL);
	assert_int_equal(weft_ec_init(&ec, 32, 0), 0);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, ~0u, 0), 0);

	assert_int_equal(weft_ec_init(&ec, 6, 3), 0);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x3ff, 0), -EINVAL);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x0ff, 0x200), -EINVAL);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x0ff, 0x180), -EINVAL);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x1f0, 0x1), -ENODATA);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x1f8, 0), 0);
	assert_int_equal(plan.nout, 0);
	weft_ec_plan_run(&plan, 1, NULL, NULL);
}

static void one_lost_shard_is_the_xor_of_the_others(void **state)
{
	struct weft_ec_plan plan;
	struct weft_ec ec;

	assert_int_equal(weft_ec_init(&ec, 6, 3), 0);
	for (unsigned int lost = 0; lost < 7; lost++) {
		assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x1ff & ~(1u << lost), 1u << lost),
				 0);
		for (unsigned int i = 0; i < 6; i++) {
			assert_in_range(plan.src[i], 0, 6);
			assert_int_equal(plan.coef[i], 1);
		}
	}
}

static void start_picks_the_first_usable_backend(void **state)
{
	const struct weft_ec_ops *ops;
	unsigned int i = 0;

	assert_ptr_equal(weft_ec_backend(), usable_backend(&i));
	print_message("back-end: %s\n", weft_ec_backend()->name);
	for (i = 0; (ops = weft_ec_backend_at(i)); i++)
		print_message("%s: %s\n", ops->name,
			      ops->usable() ? "tested" : "skipped, this machine cannot run it");
}

static const struct {
	unsigned int k, m;
} shapes[] = {{1, 1}, {1, 3},  {1, 31}, {2, 1}, {3, 3},	  {4, 2}, {6, 3},
	      {5, 5}, {10, 4}, {31, 1}, {4, 9}, {16, 16}, {32, 0}};

static const size_t lengths[] = {1,  2,	 7,  8,	  15,  31,  32,	  33,	63,   64,	  65,
				 95, 96, 97, 127, 128, 129, 1000, 4095, 4096, MAX_LEN - 3};

static void every_backend_encodes_as_defined(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		for (unsigned int l = 0; l < ARRAY_SIZE(lengths); l++) {
			const struct weft_ec_ops *ops;
			struct stripe oracle;
			struct weft_ec ec;

			stripe_init(&oracle, shapes[s].k, shapes[s].m, lengths[l], l % 3 ? l : 0);
			assert_int_equal(weft_ec_init(&ec, shapes[s].k, shapes[s].m), 0);
			stripe_encode(&oracle, &weft_ec_generic_ops, &ec);
			if (lengths[l] <= 129)
				parity_assert_by_definition(&oracle);
			stripe_canaries_check(&oracle);

			for (unsigned int b = 0; (ops = usable_backend(&b));) {
				u8 saved[MAX_LEN];

				for (unsigned int i = 0; i < ec.m; i++) {
					u8 *parity = oracle.shard[ec.k + i];

					memcpy(saved, parity, oracle.len);
					memset(parity, 0, oracle.len);
					stripe_encode(&oracle, ops, &ec);
					if (memcmp(saved, parity, oracle.len))
						fail_msg("%s: (%u,%u) parity %u of length %zu "
							 "differs",
							 ops->name, ec.k, ec.m, i, oracle.len);
				}
				stripe_canaries_check(&oracle);
			}
			stripe_free(&oracle);
		}
	}
}

/*
 * Longer than several vector sections, with lengths around the seams between them. Three outputs
 * are one pass of every back-end, five are not, and sections are shorter then.
 */
static void sections_join(unsigned int m, size_t len)
{
	const struct weft_ec_ops *ops;
	struct stripe s, t;
	struct weft_ec ec;

	assert_int_equal(weft_ec_init(&ec, 6, m), 0);
	stripe_init(&s, 6, m, len, 1);
	stripe_init(&t, 6, m, len, 0);
	stripe_encode(&s, &weft_ec_generic_ops, &ec);
	for (unsigned int b = 0; (ops = usable_backend(&b));) {
		for (unsigned int i = 0; i < 6; i++)
			memcpy(t.shard[i], s.shard[i], len);
		stripe_encode(&t, ops, &ec);
		for (unsigned int i = 6; i < 6 + m; i++)
			assert_memory_equal(s.shard[i], t.shard[i], len);
		stripe_canaries_check(&t);
	}
	stripe_free(&s);
	stripe_free(&t);
}

static void sections_join_without_a_seam(void **state)
{
	for (size_t len = 32768; len <= 3 * 32768 + 128; len += 8171) {
		sections_join(3, len);
		sections_join(5, len);
	}
}

static void invariant_3_every_erasure_pattern_decodes(void **state)
{
	static const struct {
		unsigned int k, m;
	} whole[] = {{1, 1}, {1, 2}, {1, 3}, {2, 2},  {3, 3},
		     {4, 2}, {6, 3}, {8, 3}, {10, 4}, {7, 7}};
	/* Shorter and longer than a step of every back-end, and parts of the shards. */
	static const struct {
		size_t off, len;
	} ranges[] = { { 0, 601 }, { 3, 29 }, { 64, 64 }, { 601 - 77, 77 }, { 129, 333 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(whole); i++) {
		unsigned int n = whole[i].k + whole[i].m, patterns = 0;
		struct weft_ec ec;
		struct stripe s;

		assert_int_equal(weft_ec_init(&ec, whole[i].k, whole[i].m), 0);
		stripe_init(&s, whole[i].k, whole[i].m, 601, 5);
		stripe_encode(&s, &weft_ec_generic_ops, &ec);
		for (u32 lost = 0; lost < 1u << n; lost++) {
			struct weft_ec_plan plan;

			if ((unsigned int)__builtin_popcount(lost) > whole[i].m)
				continue;
			plan_make(&plan, &ec, ((1u << n) - 1) & ~lost, lost);
			for (unsigned int r = 0; r < ARRAY_SIZE(ranges); r++)
				range_check(&s, &plan, ranges[r].off, ranges[r].len, NULL);
			patterns++;
		}
		print_message("(%u,%u): %u patterns\n", whole[i].k, whole[i].m, patterns);
		stripe_free(&s);
	}
}

static void random_patterns_of_wide_codes_decode(void **state)
{
	static const struct {
		unsigned int k, m;
	} wide[] = { { 16, 4 }, { 28, 4 }, { 16, 16 }, { 20, 12 }, { 3, 29 }, { 1, 31 } };
	char seed[32];

	snprintf(seed, sizeof(seed), "%#llx", (unsigned long long)rng_state);
	for (unsigned int i = 0; i < ARRAY_SIZE(wide); i++) {
		unsigned int n = wide[i].k + wide[i].m;
		struct weft_ec ec;
		struct stripe s;

		assert_int_equal(weft_ec_init(&ec, wide[i].k, wide[i].m), 0);
		stripe_init(&s, wide[i].k, wide[i].m, 1 + rng() % 600, rng() % CANARY);
		stripe_encode(&s, &weft_ec_generic_ops, &ec);
		for (unsigned int round = 0; round < 1000; round++) {
			u32 all = ~0u >> (32 - n), lost = 0;
			struct weft_ec_plan plan;
			size_t off = rng() % s.len;

			for (unsigned int e = rng() % (wide[i].m + 1); e; e--)
				lost |= 1u << rng() % n;
			/*
			 * Want any of what is lost: a reader wants one shard, a rebuild all of
			 * them.
			 */
			plan_make(&plan, &ec, all & ~lost, lost & (u32)rng());
			range_check(&s, &plan, off, s.len - off, seed);
		}
		stripe_free(&s);
	}
}

static void part_of_a_range_decodes_alone(void **state)
{
	const void *src[6];
	struct weft_ec_plan plan;
	struct weft_ec ec;
	struct stripe s;
	u8 out[500];
	void *dst[1] = { out };

	assert_int_equal(weft_ec_init(&ec, 6, 3), 0);
	stripe_init(&s, 6, 3, 5000, 0);
	stripe_encode(&s, &weft_ec_generic_ops, &ec);
	assert_int_equal(weft_ec_plan_init(&plan, &ec, 0x1ff & ~0x0e, 0x04), 0);
	for (unsigned int i = 0; i < 6; i++)
		src[i] = s.shard[plan.src[i]] + 1234;
	weft_ec_plan_run(&plan, 500, src, dst);
	assert_memory_equal(out, s.shard[2] + 1234, 500);
	stripe_free(&s);
}

/* A buffer of @len bytes whose next byte (or, @front, whose previous one) may not be touched. */
static u8 *guarded(size_t len, bool front)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (len + page - 1) / page * page;
	u8 *p = mmap(NULL, body + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p, page, PROT_NONE), 0);
	assert_int_equal(mprotect(p + page + body, page, PROT_NONE), 0);
	return front ? p + page : p + page + body - len;
}

static void guarded_free(u8 *p, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (len + page - 1) / page * page;
	u8 *start = (u8 *)((uintptr_t)p / page * page);

	munmap(start - page, body + 2 * page);
}

/*
 * Encode the last four of @shard from the first three, then make the first three and the last from
 * the others again.
 */
static void guarded_run(const struct weft_ec_ops *ops, const struct weft_ec *ec, size_t len,
			u8 *const shard[7])
{
	struct weft_ec_plan plan;
	const void *src[3];
	void *dst[4];
	u8 saved[4200];

	weft_ec_encode_with(ops, ec, len, (const void *const *)shard, (void *const *)shard + 3);

	plan_make(&plan, ec, 0x38, 0x47);
	for (unsigned int i = 0; i < 3; i++)
		src[i] = shard[plan.src[i]];
	for (unsigned int j = 0; j < 4; j++)
		dst[j] = shard[plan.out[j]];
	memcpy(saved, shard[2], len);
	memset(shard[2], 0, len);
	weft_ec_plan_run_with(ops, &plan, len, src, dst);
	if (memcmp(saved, shard[2], len))
		fail_msg("%s: %zu bytes beside a guard page: shard 2 is wrong", ops->name, len);
}

static void nothing_outside_of_the_buffers_is_touched(void **state)
{
	for (size_t len = 1; len <= 4200; len += len < 400 ? 1 : 475) {
		for (int front = 0; front < 2; front++) {
			const struct weft_ec_ops *ops;
			struct weft_ec ec;
			u8 *shard[7];

			assert_int_equal(weft_ec_init(&ec, 3, 4), 0);
			for (unsigned int i = 0; i < 7; i++)
				shard[i] = guarded(len, front);
			for (unsigned int i = 0; i < 3; i++)
				fill(shard[i], len);
			for (unsigned int b = 0; (ops = usable_backend(&b));)
				guarded_run(ops, &ec, len, shard);
			for (unsigned int i = 0; i < 7; i++)
				guarded_free(shard[i], len);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(field_tables_match_their_definition),
		cmocka_unit_test(matrix_of_six_and_three_never_changes),
		cmocka_unit_test(matrix_starts_with_ones_and_is_a_corner_of_the_largest),
		cmocka_unit_test(inversion_refuses_a_singular_matrix_and_survives_a_zero_pivot),
		cmocka_unit_test(codec_and_plan_refuse_bad_arguments),
		cmocka_unit_test(one_lost_shard_is_the_xor_of_the_others),
		cmocka_unit_test(start_picks_the_first_usable_backend),
		cmocka_unit_test(every_backend_encodes_as_defined),
		cmocka_unit_test(sections_join_without_a_seam),
		cmocka_unit_test(invariant_3_every_erasure_pattern_decodes),
		cmocka_unit_test(random_patterns_of_wide_codes_decode),
		cmocka_unit_test(part_of_a_range_decodes_alone),
		cmocka_unit_test(nothing_outside_of_the_buffers_is_touched),
	};
	const char *seed = getenv("WEFT_TEST_SEED");

	rng_state = seed ? strtoull(seed, NULL, 0) : ((u64)time(NULL) << 20 ^ (u64)getpid()) | 1;
	print_message("seed: WEFT_TEST_SEED=%#llx\n", (unsigned long long)rng_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
