// SPDX-License-Identifier: GPL-2.0-only
/*
 * The content-defined chunker: from one cut to the next, and the loop that drives a back-end.
 *
 *	0          min - 64    min          target                     max
 *	|  not looked at  | window | threshold | 16 times the threshold |
 *	                           ^ first cut                          ^ cut in any case
 *
 * State between two scans is the position in the chunk and the window. It is not emptied at a cut:
 * until min - 64 nobody looks at it, and by then it will be full of bytes of its own chunk.
 */
#include "cdc.h"
#include "chunker.h"

#ifdef WEFT_EC_X86
#include "x86/cdc_arch.h"
#else
#define WEFT_CDC_ARCH_BACKENDS
#endif

/* What is looked at in one vector section: some ten microseconds. */
#define SECTION_BYTES	(32u * 1024)

/* Vector registers are not worth their while for less. */
#define SIMD_BYTES	512u

/* Best first. */
static const struct weft_cdc_ops *const cdc_backends[] = {
	WEFT_CDC_ARCH_BACKENDS
	&weft_cdc_generic_ops,
};

WEFT_EC_CALL_DEFINE(weft_cdc_find, weft_cdc_generic_find);
static const struct weft_cdc_ops *cdc_backend __ro_after_init = &weft_cdc_generic_ops;

void WEFT_EC_START weft_cdc_start(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cdc_backends); i++) {
		if (!cdc_backends[i]->usable())
			continue;
		cdc_backend = cdc_backends[i];
		WEFT_EC_CALL_UPDATE(weft_cdc_find, cdc_backend->find);
		return;
	}
}

const struct weft_cdc_ops *weft_cdc_backend(void)
{
	return cdc_backend;
}

const struct weft_cdc_ops *weft_cdc_backend_at(unsigned int i)
{
	return i < ARRAY_SIZE(cdc_backends) ? cdc_backends[i] : NULL;
}

/* The filter's quarters at the last place that was asked for, so that the next can go on there. */
struct quarters {
	const u8 *at;
	u16 low[4];
};

/* Does the filter pass behind *p? Asked in ascending order. */
static bool quarters_pass(struct quarters *quarters, const u8 *p)
{
	u32 sum;

	if (p - quarters->at >= WEFT_CDC_QUARTER)
		*quarters = (struct quarters){ .at = p - WEFT_CDC_QUARTER };
	for (u32 q = 0; q < 4; q++) {
		const u8 *from = quarters->at + 1 - q * WEFT_CDC_QUARTER;

		quarters->low[q] = weft_cdc_roll(quarters->low[q], from, p - quarters->at);
	}
	quarters->at = p;
	sum = quarters->low[2] + WEFT_CDC_MUL1 * quarters->low[3];
	sum = quarters->low[0] + WEFT_CDC_MUL1 * quarters->low[1] + WEFT_CDC_MUL2 * sum;
	return (u16)sum < WEFT_CDC_PASS;
}

u32 weft_cdc_generic_find(const u8 *buf, u32 len, u32 threshold)
{
	u64 hash = weft_cdc_roll(0, buf - WEFT_CDC_WINDOW, WEFT_CDC_WINDOW);
	struct quarters quarters = { .at = buf - WEFT_CDC_QUARTER };

	/* The other way round than vectors do it: the gear hash costs less here, and passes seldom. */
	for (u32 i = 0; i < len; i++) {
		hash = (hash << 1) + weft_cdc_gear[buf[i]];
		if ((u32)(hash >> 32) < threshold && quarters_pass(&quarters, buf + i))
			return i + 1;
	}
	return 0;
}

static bool generic_usable(void)
{
	return true;
}

const struct weft_cdc_ops weft_cdc_generic_ops = {
	.name = "generic",
	.usable = generic_usable,
	.find = weft_cdc_generic_find,
};

/* One find by @ops; the back-end in use is called without an indirect branch. */
static u32 cdc_find(const struct weft_cdc_ops *ops, const u8 *buf, u32 len, u32 threshold)
{
	if (ops == cdc_backend)
		return WEFT_EC_CALL(weft_cdc_find)(buf, len, threshold);
	return ops->find(buf, len, threshold);
}

/* The cut in [from, end) of @buf, or 0; a window is before @from. */
static u32 cdc_sections(const struct weft_cdc_ops *ops, const u8 *buf, u32 from, u32 end,
			u32 threshold)
{
	while (from < end) {
		u32 len = end - from < SECTION_BYTES ? end - from : SECTION_BYTES;
		u32 n;

		if (weft_simd_begin()) {
			n = cdc_find(ops, buf + from, len, threshold);
			weft_simd_end();
		} else {
			n = weft_cdc_generic_find(buf + from, len, threshold);
		}
		if (n)
			return from + n;
		from += len;
	}
	return 0;
}

/* As cdc_sections(), where a part of the window of the first bytes is not in @buf any more. */
static u32 cdc_range(const struct weft_cdc_ops *ops, const struct weft_chunker *chunker,
		     const u8 *buf, u32 from, u32 end, u32 threshold)
{
	u32 n = 0;

	if (from < WEFT_CDC_WINDOW && from < end) {
		u32 joint = end < WEFT_CDC_WINDOW ? end : WEFT_CDC_WINDOW;
		u8 joined[2 * WEFT_CDC_WINDOW];

		memcpy(joined, chunker->window, WEFT_CDC_WINDOW);
		memcpy(joined + WEFT_CDC_WINDOW, buf, joint);
		n = weft_cdc_generic_find(joined + WEFT_CDC_WINDOW + from, joint - from, threshold);
		if (n)
			return from + n;
		from = joint;
	}
	if (ops->simd && end - from >= SIMD_BYTES)
		return cdc_sections(ops, buf, from, end, threshold);
	if (from < end)
		n = weft_cdc_generic_find(buf + from, end - from, threshold);
	return n ? from + n : 0;
}

/* The next scan needs the last bytes of this one. */
static void cdc_keep(struct weft_chunker *chunker, const u8 *buf, u32 len)
{
	u32 kept = len < WEFT_CDC_WINDOW ? WEFT_CDC_WINDOW - len : 0;

	memmove(chunker->window, chunker->window + WEFT_CDC_WINDOW - kept, kept);
	memcpy(chunker->window + kept, buf + len - (WEFT_CDC_WINDOW - kept),
	       WEFT_CDC_WINDOW - kept);
}

/* How many of @len bytes, at @pos of the chunk, are before @limit of it. */
static u32 cdc_before(u32 limit, u32 pos, u32 len)
{
	if (pos >= limit)
		return 0;
	return len < limit - pos ? len : limit - pos;
}

u32 weft_cdc_scan_with(const struct weft_cdc_ops *ops, struct weft_chunker *chunker, const u8 *buf,
		       u32 len, bool *cut)
{
	const struct weft_chunker_params *params = &chunker->params;
	/* A cut is behind a byte, so the first that may end a chunk of min bytes is min - 1. */
	const u32 hard = cdc_before(params->min - 1, chunker->pos, len);
	const u32 easy = cdc_before(params->target - 1, chunker->pos, len);
	u32 n;

	n = cdc_range(ops, chunker, buf, hard, easy, chunker->threshold);
	if (!n)
		n = cdc_range(ops, chunker, buf, easy, len,
			      chunker->threshold * WEFT_CDC_EASIER);
	*cut = n;
	if (n)
		return n;
	cdc_keep(chunker, buf, len);
	return len;
}

static u32 cdc_scan(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut)
{
	return weft_cdc_scan_with(cdc_backend, chunker, buf, len, cut);
}

static const char *cdc_check(const struct weft_chunker_params *params)
{
	if (params->min < WEFT_CDC_WINDOW)
		return "min must be at least 64 bytes, the window of content-defined cuts";
	if (params->target - params->min < WEFT_CDC_SPREAD)
		return "target must be at least 32 KiB above min, so that content can decide";
	if (params->max / 2 < params->target)
		return "max must be at least twice the target, else chunks are shorter than that";
	return NULL;
}

static void cdc_begin(struct weft_chunker *chunker, const struct weft_chunker_hints *hints)
{
	chunker->threshold = WEFT_CDC_RATE / (chunker->params.target - chunker->params.min);
}

const struct weft_chunker_ops weft_chunker_cdc = {
	.name = "cdc",
	.kind = WEFT_CHUNKER_CDC,
	.looks = true,
	.check = cdc_check,
	.begin = cdc_begin,
	.scan = cdc_scan,
};
