// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decode plans: which k shards to use, and with which coefficients they give the wanted ones.
 *
 * Let L be the data shards that are not available and P as many available parities. Each parity p
 * in P says
 *
 *	p = sum over available data d of a(p,d) d  +  sum over l in L of a(p,l) l
 *
 * so with A = a(P,L), which has an inverse as every square submatrix of the generator has, l =
 * A^-1 (p + sum a(p,d) d). Only A is inverted: |L| <= m rows, not k. A wanted parity is then its
 * own row of the generator with the rows of L put in. With one data shard gone and parity 0 there,
 * A is (1) and the row all ones: plain XOR.
 */
#include "ec.h"
#include "gf256.h"

/*
 * What plan_init works with. The first @nd sources are data, the other @e are the parities in P.
 * @lost: the e data shards in L
 * @row: for each of them its nsrc coefficients over the sources
 */
struct plan_solver {
	unsigned int nd;
	unsigned int e;
	u8 lost[WEFT_EC_MAX_SHARDS];
	u8 row[WEFT_EC_MAX_COEFS];
};

static void plan_sources_choose(struct weft_ec_plan *plan, struct plan_solver *s,
				const struct weft_ec *ec, u32 have)
{
	plan->nsrc = 0;
	s->nd = 0;
	s->e = 0;
	for (unsigned int i = 0; plan->nsrc < ec->k; i++) {
		if (have & (1U << i)) {
			plan->src[plan->nsrc++] = i;
			s->nd += i < ec->k;
		} else if (i < ec->k) {
			s->lost[s->e++] = i;
		}
	}
}

/* The row of the generator of the @r-th parity among the sources. */
static const u8 *parity_row(const struct weft_ec_plan *plan, const struct plan_solver *s,
			    const struct weft_ec *ec, unsigned int r)
{
	return ec->coef + (plan->src[s->nd + r] - ec->k) * ec->k;
}

/* Fill s->row: the lost data shards in terms of the sources. */
static int plan_lost_solve(const struct weft_ec_plan *plan, struct plan_solver *s,
			   const struct weft_ec *ec)
{
	u8 a[WEFT_EC_MAX_COEFS], inverse[WEFT_EC_MAX_COEFS];
	unsigned int k = ec->k, e = s->e;
	int ret;

	for (unsigned int r = 0; r < e; r++)
		for (unsigned int c = 0; c < e; c++)
			a[r * e + c] = parity_row(plan, s, ec, r)[s->lost[c]];

	ret = weft_ec_matrix_invert(a, inverse, e);
	if (ret)
		return ret;

	for (unsigned int c = 0; c < e; c++) {
		u8 *row = s->row + c * k;

		for (unsigned int d = 0; d < s->nd; d++) {
			row[d] = 0;
			for (unsigned int r = 0; r < e; r++)
				row[d] ^= weft_gf_mul(inverse[c * e + r],
						      parity_row(plan, s, ec, r)[plan->src[d]]);
		}
		for (unsigned int r = 0; r < e; r++)
			row[s->nd + r] = inverse[c * e + r];
	}
	return 0;
}

static void plan_data_row(u8 *row, const struct plan_solver *s, const struct weft_ec *ec,
			  unsigned int shard)
{
	for (unsigned int c = 0; c < s->e; c++)
		if (s->lost[c] == shard)
			memcpy(row, s->row + c * ec->k, ec->k);
}

static void plan_parity_row(u8 *row, const struct weft_ec_plan *plan, const struct plan_solver *s,
			    const struct weft_ec *ec, unsigned int shard)
{
	const u8 *coef = ec->coef + (shard - ec->k) * ec->k;

	memset(row, 0, ec->k);
	for (unsigned int d = 0; d < s->nd; d++)
		row[d] = coef[plan->src[d]];
	for (unsigned int c = 0; c < s->e; c++)
		for (unsigned int i = 0; i < ec->k; i++)
			row[i] ^= weft_gf_mul(coef[s->lost[c]], s->row[c * ec->k + i]);
}

int weft_ec_plan_init(struct weft_ec_plan *plan, const struct weft_ec *ec, u32 have, u32 want)
{
	u32 all = ~0U >> (WEFT_EC_MAX_SHARDS - ec->k - ec->m);
	struct plan_solver s;
	int ret;

	if (((have | want) & ~all) || (have & want))
		return -EINVAL;
	if (hweight32(have) < ec->k)
		return -ENODATA;

	plan_sources_choose(plan, &s, ec, have);
	ret = plan_lost_solve(plan, &s, ec);
	if (ret)
		return ret;

	plan->nout = 0;
	for (unsigned int i = 0; i < (unsigned int)ec->k + ec->m; i++) {
		u8 *row = plan->coef + plan->nout * plan->nsrc;

		if (!(want & (1U << i)))
			continue;
		if (i < ec->k)
			plan_data_row(row, &s, ec, i);
		else
			plan_parity_row(row, plan, &s, ec, i);
		plan->out[plan->nout++] = i;
	}
	return 0;
}
