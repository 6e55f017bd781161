/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loops of a vector back-end, made from what its file defines before it includes this:
 * @MAX_OUT: outputs whose accumulators, NVEC each, fit into the registers; at most 4
 * @NVEC: registers a source and step
 * @TURN: sources that are multiplied before they are added up, 1 or 2
 * @struct coef_ref, coef_find(coef): where a coefficient's factor is, found once a pass
 * @struct factor, factor_load(coef_ref): a coefficient as the instructions want it, loaded once a
 *	step
 * @struct source, source_make(vec): a source's bytes as the instructions want them
 * @source_mul(factor, source): the product
 * @vec_add3(a, b, c): the sum of three
 * @AHEAD: how many bytes ahead the lines of outputs are asked for when the multiplications are too
 *	few to hide that stores wait for them; 0 where they never are
 *
 * A step takes NVEC registers of every source and keeps those of all outputs in registers, so that
 * each source is loaded and prepared once a step and each output is stored once.
 *
 * In the encoding matrix the first row and the first column are ones. Both are free here: the
 * first source of such a pass is what the accumulators start from, and the first row takes an XOR
 * per source. This is a third of the work of 6+3.
 */
#ifndef WEFT_EC_X86_EC_PASS_H
#define WEFT_EC_X86_EC_PASS_H

/* Coefficients of a pass, found: those of source i are ref[i * nout] to ref[i * nout + nout - 1]. */
struct coefs {
	struct coef_ref ref[WEFT_EC_MAX_SHARDS * MAX_OUT];
};

/*
 * A pass as the steps take it. It is a copy in the frame of the function that steps, so that stores
 * to the outputs, which might be anywhere, do not make the compiler load all of it again.
 */
struct plain_pass {
	const struct coef_ref *coef;
	const u8 *const *src;
	const u8 *const *src_end;
	u8 *dst[MAX_OUT];
};

/* What accumulates: the registers of every output. */
struct sums {
	vec out[MAX_OUT][NVEC];
};

/* Add @turn sources, 1 or 2, whose pointers are at @src and whose coefficients at @coef. */
INLINE void pass_turn(struct sums *sums, const u8 *const *src, const struct coef_ref *coef,
		      size_t off, const unsigned int turn, const unsigned int nout,
		      const unsigned int nvec, const bool ones)
{
	struct source s[TURN][NVEC];

	UNROLL
	for (unsigned int v = 0; v < nvec; v++) {
		vec *sum = &sums->out[0][v];
		vec a = vec_load(src[0] + off + v * VEC);
		vec b = turn == 2 ? vec_load(src[1] + off + v * VEC) : (vec){ 0 };

		s[0][v] = source_make(a);
		if (turn == 2)
			s[TURN - 1][v] = source_make(b);
		if (ones && turn == 2)
			*sum = vec_add3(*sum, a, b);
		else if (ones)
			*sum ^= a;
	}
	UNROLL
	for (unsigned int j = ones; j < nout; j++) {
		struct factor a = factor_load(coef[j]);
		struct factor b = factor_load(coef[(turn - 1) * nout + j]);

		UNROLL
		for (unsigned int v = 0; v < nvec; v++) {
			vec *sum = &sums->out[j][v];

			if (turn == 2)
				*sum = vec_add3(*sum, source_mul(a, s[0][v]),
						source_mul(b, s[TURN - 1][v]));
			else
				*sum ^= source_mul(a, s[0][v]);
		}
	}
}

/*
 * Code nvec * VEC bytes at @off. All but @pass and @off are constants where this is inlined.
 * @nout: rows
 * @nvec: registers per source and step
 * @ones: the first row and the first column are ones
 */
INLINE void pass_step(const struct plain_pass *pass, size_t off, const unsigned int nout,
		      const unsigned int nvec, const bool ones)
{
	const u8 *const *src = pass->src + ones;
	const struct coef_ref *coef = pass->coef + ones * nout;
	struct sums sums;

	/* An address behind the end does no harm. With a third output it costs more than it brings. */
	if (AHEAD && ones && nout <= 2)
		UNROLL
		for (unsigned int j = 0; j < nout; j++)
			__builtin_prefetch(pass->dst[j] + off + AHEAD, 1);

	UNROLL
	for (unsigned int v = 0; v < nvec; v++) {
		vec first = ones ? vec_load(pass->src[0] + off + v * VEC) : (vec){ 0 };

		UNROLL
		for (unsigned int j = 0; j < nout; j++)
			sums.out[j][v] = first;
	}

	for (; src + TURN <= pass->src_end; src += TURN, coef += TURN * nout)
		pass_turn(&sums, src, coef, off, TURN, nout, nvec, ones);
	if (TURN > 1 && src < pass->src_end)
		pass_turn(&sums, src, coef, off, 1, nout, nvec, ones);

	UNROLL
	for (unsigned int j = 0; j < nout; j++)
		UNROLL
		for (unsigned int v = 0; v < nvec; v++)
			vec_store(pass->dst[j] + off + v * VEC, sums.out[j][v]);
}

/*
 * The whole range of a pass, which has at least VEC bytes. What is left at the end is done by a
 * step that overlaps the one before: outputs depend on the sources alone, so writing some bytes
 * twice is harmless.
 */
INLINE void pass_range(const struct weft_ec_pass *pass, const struct coefs *coefs,
		       const unsigned int nout, const bool ones)
{
	struct plain_pass plain = {
		.coef = coefs->ref,
		.src = pass->src,
		.src_end = pass->src + pass->nsrc,
	};
	size_t off = pass->off, end = pass->off + pass->len;

	UNROLL
	for (unsigned int j = 0; j < nout; j++)
		plain.dst[j] = pass->dst[j];

	for (; off + NVEC * VEC <= end; off += NVEC * VEC)
		pass_step(&plain, off, nout, NVEC, ones);
	for (; off + VEC <= end; off += VEC)
		pass_step(&plain, off, nout, 1, ones);
	if (off < end)
		pass_step(&plain, end - VEC, nout, 1, ones);
}

static bool pass_has_ones(const struct weft_ec_pass *pass)
{
	for (unsigned int i = 0; i < pass->nsrc; i++)
		if (pass->coef[i] != 1)
			return false;
	for (unsigned int j = 1; j < pass->nout; j++)
		if (pass->coef[j * pass->nsrc] != 1)
			return false;
	return true;
}

/* One function each, so that the compiler gives every variant registers of its own. */
#define VARIANT(name, nout, ones)							\
TARGET static noinline void name(const struct weft_ec_pass *pass,			\
				 const struct coefs *coefs)				\
{											\
	pass_range(pass, coefs, nout, ones);						\
}

VARIANT(pass_any_1, 1, false)
VARIANT(pass_any_2, 2, false)
VARIANT(pass_any_3, 3, false)
VARIANT(pass_any_4, 4, false)
VARIANT(pass_ones_1, 1, true)
VARIANT(pass_ones_2, 2, true)
VARIANT(pass_ones_3, 3, true)
VARIANT(pass_ones_4, 4, true)

static void pass_ones(const struct weft_ec_pass *pass, const struct coefs *coefs)
{
	switch (pass->nout) {
	case 1:
		pass_ones_1(pass, coefs);
		break;
	case 2:
		pass_ones_2(pass, coefs);
		break;
	case 3:
		pass_ones_3(pass, coefs);
		break;
	default:
		pass_ones_4(pass, coefs);
	}
}

static void pass_any(const struct weft_ec_pass *pass, const struct coefs *coefs)
{
	switch (pass->nout) {
	case 1:
		pass_any_1(pass, coefs);
		break;
	case 2:
		pass_any_2(pass, coefs);
		break;
	case 3:
		pass_any_3(pass, coefs);
		break;
	default:
		pass_any_4(pass, coefs);
	}
}

/* One pass of at least VEC bytes. */
static void pass_run(const struct weft_ec_pass *pass)
{
	struct coefs coefs;

	for (unsigned int j = 0; j < pass->nout; j++)
		for (unsigned int i = 0; i < pass->nsrc; i++)
			coefs.ref[i * pass->nout + j] = coef_find(pass->coef[j * pass->nsrc + i]);

	if (pass_has_ones(pass))
		pass_ones(pass, &coefs);
	else
		pass_any(pass, &coefs);
}

#endif
