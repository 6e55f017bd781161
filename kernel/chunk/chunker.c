// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunkers: the frame around them, which keeps sizes in bounds, and those that do not look at the
 * content. See chunker.h; cdc.c has the one that does.
 */
#include "chunker.h"

/* Into about how many chunks variable cuts a file; part of the format. */
#define VARIABLE_CHUNKS	64

/* Blocks in which files are dirty: chunks of files written at random should not share one. */
#define BLOCK_SIZE_MIN	4096

const struct weft_chunker_params weft_chunker_defaults = {
	.min = 256 * 1024,
	.target = 4 * 1024 * 1024,
	.max = 16 * 1024 * 1024,
	.random = 256 * 1024,
};

static void fixed_begin(struct weft_chunker *chunker, const struct weft_chunker_hints *hints)
{
	chunker->size = chunker->params.target;
}

static u32 multiple_scan(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut)
{
	u32 left = chunker->size - chunker->offset % chunker->size;

	*cut = len >= left;
	return *cut ? left : len;
}

const struct weft_chunker_ops weft_chunker_fixed = {
	.name = "fixed",
	.kind = WEFT_CHUNKER_FIXED,
	.begin = fixed_begin,
	.scan = multiple_scan,
};

/*
 * The smallest min * 2^n that makes at most VARIABLE_CHUNKS of the file, up to max. All of them
 * divide each other, so a file that grows keeps the cuts that a larger size would have made.
 */
static void variable_begin(struct weft_chunker *chunker, const struct weft_chunker_hints *hints)
{
	const struct weft_chunker_params *params = &chunker->params;
	u32 size = params->min;

	if (!hints->file_size) {
		chunker->size = params->target;
		return;
	}
	while (size <= params->max / 2 && (hints->file_size - 1) / VARIABLE_CHUNKS >= size)
		size *= 2;
	chunker->size = size;
}

static const char *variable_check(const struct weft_chunker_params *params)
{
	if (params->min % BLOCK_SIZE_MIN)
		return "min must be a multiple of 4 KiB, the blocks in which files are written";
	if (params->target % params->min)
		return "target must be a multiple of min, so that their chunks end at the same places";
	return NULL;
}

const struct weft_chunker_ops weft_chunker_variable = {
	.name = "variable",
	.kind = WEFT_CHUNKER_VARIABLE,
	.check = variable_check,
	.begin = variable_begin,
	.scan = multiple_scan,
};

/* The chunker becomes what was picked, so hybrid itself never scans. */
static void hybrid_begin(struct weft_chunker *chunker, const struct weft_chunker_hints *hints)
{
	if (hints->random) {
		chunker->ops = &weft_chunker_fixed;
		chunker->params.target = chunker->params.random;
	} else {
		chunker->ops = &weft_chunker_cdc;
	}
	chunker->ops->begin(chunker, hints);
}

static const char *hybrid_check(const struct weft_chunker_params *params)
{
	if (!params->random || params->random % BLOCK_SIZE_MIN)
		return "random must be a multiple of 4 KiB, the blocks in which files are written";
	if (params->random > params->max)
		return "random must not be above max";
	return weft_chunker_cdc.check(params);
}

const struct weft_chunker_ops weft_chunker_hybrid = {
	.name = "hybrid",
	.kind = WEFT_CHUNKER_HYBRID,
	.check = hybrid_check,
	.begin = hybrid_begin,
};

static const struct weft_chunker_ops *const chunkers[] = {
	&weft_chunker_fixed,
	&weft_chunker_cdc,
	&weft_chunker_variable,
	&weft_chunker_hybrid,
};

const struct weft_chunker_ops *weft_chunker_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(chunkers); i++)
		if (!strcmp(chunkers[i]->name, name))
			return chunkers[i];
	return NULL;
}

const struct weft_chunker_ops *weft_chunker_of(u32 kind)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(chunkers); i++)
		if (chunkers[i]->kind == kind)
			return chunkers[i];
	return NULL;
}

const char *weft_chunker_check(const struct weft_chunker_ops *ops,
			       const struct weft_chunker_params *params)
{
	if (!params->min)
		return "min must not be zero";
	if (params->min > params->target)
		return "min must not be above target";
	if (params->target > params->max)
		return "target must not be above max";
	if (params->max > WEFT_CHUNK_MAX)
		return "max must not be above 16 MiB, the largest chunk that can be stored";
	return ops->check ? ops->check(params) : NULL;
}

int weft_chunker_begin(struct weft_chunker *chunker, const struct weft_chunker_ops *ops,
		       const struct weft_chunker_params *params,
		       const struct weft_chunker_hints *hints, u64 offset)
{
	static const struct weft_chunker_hints nothing;

	if (weft_chunker_check(ops, params) || offset >> 63)
		return -EINVAL;

	*chunker = (struct weft_chunker){ .ops = ops, .params = *params, .offset = offset };
	if (ops->begin)
		ops->begin(chunker, hints ? hints : &nothing);
	return 0;
}

size_t weft_chunker_scan(struct weft_chunker *chunker, const void *buf, size_t len, bool *cut)
{
	u32 left = chunker->params.max - chunker->pos;
	u32 n = len < left ? len : left;

	*cut = false;
	if (!n)
		return 0;

	n = chunker->ops->scan(chunker, buf, n, cut);
	chunker->pos += n;
	chunker->offset += n;
	if (chunker->pos == chunker->params.max)
		*cut = true;
	if (*cut)
		weft_chunker_reset(chunker);
	return n;
}

u32 weft_chunker_tail(const struct weft_chunker *chunker)
{
	return chunker->pos;
}

void weft_chunker_reset(struct weft_chunker *chunker)
{
	chunker->pos = 0;
}
