// SPDX-License-Identifier: GPL-2.0-only
/*
 * Erasure coding: codecs, decode plans, and the loop that drives a back-end over the shards.
 *
 * A column is coded in strips. A strip is one vector section, so that the kernel is not kept from
 * scheduling for longer than the coding of SECTION_BYTES. When a strip needs more outputs than one
 * pass of the back-end computes, its sources fit into the first level cache, where the later
 * passes find them.
 */
#include "ec.h"

#ifdef WEFT_EC_X86
#include "x86/ec_arch.h"
#else
#define WEFT_EC_ARCH_BACKENDS
#endif

/* Bytes of all sources together in one strip, coded in one pass or in several. */
#define SECTION_BYTES	(128 * 1024)
#define CACHED_BYTES	(32 * 1024)

/*
 * A last strip shorter than this is done together with the one before: back-ends are slow on a few
 * bytes.
 */
#define STRIP_ALIGN	64

/* Best first. */
static const struct weft_ec_ops *const ec_backends[] = {
	WEFT_EC_ARCH_BACKENDS
	&weft_ec_generic_ops,
};

WEFT_EC_CALL_DEFINE(weft_ec_mul, weft_ec_generic_mul);
static const struct weft_ec_ops *ec_backend __ro_after_init = &weft_ec_generic_ops;

void WEFT_EC_START weft_ec_start(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ec_backends); i++) {
		if (!ec_backends[i]->usable())
			continue;
		ec_backend = ec_backends[i];
		WEFT_EC_CALL_UPDATE(weft_ec_mul, ec_backend->mul);
		return;
	}
}

const struct weft_ec_ops *weft_ec_backend(void)
{
	return ec_backend;
}

const struct weft_ec_ops *weft_ec_backend_at(unsigned int i)
{
	return i < ARRAY_SIZE(ec_backends) ? ec_backends[i] : NULL;
}

/* One pass by @ops; the back-end in use is called without an indirect branch. */
static void ec_mul(const struct weft_ec_ops *ops, const struct weft_ec_pass *pass)
{
	if (ops == ec_backend)
		WEFT_EC_CALL(weft_ec_mul)(pass);
	else
		ops->mul(pass);
}

/* Code one strip, in as many passes as the outputs need. */
static void ec_strip(const struct weft_ec_ops *ops, const struct weft_ec_pass *all)
{
	struct weft_ec_pass pass = *all;

	for (unsigned int j = 0; j < all->nout; j += pass.nout) {
		pass.nout = all->nout - j < ops->max_out ? all->nout - j : ops->max_out;
		pass.coef = all->coef + j * all->nsrc;
		pass.dst = all->dst + j;
		ec_mul(ops, &pass);
	}
}

/* With one data shard all coefficients are 1: every shard is a copy of every other. */
static void ec_copy(const struct weft_ec_pass *pass, size_t len)
{
	for (unsigned int j = 0; j < pass->nout; j++)
		memcpy(pass->dst[j], pass->src[0], len);
}

/* pass->off and pass->len are set here; the rest is the caller's. */
static void ec_run(const struct weft_ec_ops *ops, struct weft_ec_pass *pass, size_t len)
{
	size_t bytes = pass->nout <= ops->max_out ? SECTION_BYTES : CACHED_BYTES;
	size_t strip = bytes / pass->nsrc / STRIP_ALIGN * STRIP_ALIGN;

	if (!pass->nout)
		return;
	if (pass->nsrc == 1) {
		ec_copy(pass, len);
		return;
	}

	for (pass->off = 0; pass->off < len; pass->off += pass->len) {
		size_t left = len - pass->off;

		pass->len = left < strip + STRIP_ALIGN ? left : strip;
		if (!ops->simd) {
			ec_strip(ops, pass);
		} else if (weft_simd_begin()) {
			ec_strip(ops, pass);
			weft_simd_end();
		} else {
			ec_strip(&weft_ec_generic_ops, pass);
		}
	}
}

int weft_ec_init(struct weft_ec *ec, unsigned int k, unsigned int m)
{
	if (k < 1 || k > WEFT_EC_MAX_SHARDS || m > WEFT_EC_MAX_SHARDS - k)
		return -EINVAL;

	ec->k = k;
	ec->m = m;
	weft_ec_matrix_fill(ec->coef, k, m);
	return 0;
}

void weft_ec_encode_with(const struct weft_ec_ops *ops, const struct weft_ec *ec, size_t len,
			 const void *const data[], void *const parity[])
{
	struct weft_ec_pass pass = {
		.coef = ec->coef,
		.nsrc = ec->k,
		.nout = ec->m,
		.src = (const u8 *const *)data,
		.dst = (u8 *const *)parity,
	};

	ec_run(ops, &pass, len);
}

void weft_ec_encode(const struct weft_ec *ec, size_t len, const void *const data[],
		    void *const parity[])
{
	weft_ec_encode_with(ec_backend, ec, len, data, parity);
}

void weft_ec_plan_run_with(const struct weft_ec_ops *ops, const struct weft_ec_plan *plan,
			   size_t len, const void *const src[], void *const dst[])
{
	struct weft_ec_pass pass = {
		.coef = plan->coef,
		.nsrc = plan->nsrc,
		.nout = plan->nout,
		.src = (const u8 *const *)src,
		.dst = (u8 *const *)dst,
	};

	ec_run(ops, &pass, len);
}

void weft_ec_plan_run(const struct weft_ec_plan *plan, size_t len, const void *const src[],
		      void *const dst[])
{
	weft_ec_plan_run_with(ec_backend, plan, len, src, dst);
}
