// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunkers: the frame around them, which keeps sizes in bounds, and the fixed one. See chunker.h.
 */
#include "chunker.h"

static u32 fixed_scan(struct weft_chunker *chunker, const u8 *buf, u32 len, bool *cut)
{
	u32 left = chunker->params.target - chunker->offset % chunker->params.target;

	*cut = len >= left;
	return *cut ? left : len;
}

const struct weft_chunker_ops weft_chunker_fixed = {
	.name = "fixed",
	.scan = fixed_scan,
};

static const struct weft_chunker_ops *const chunkers[] = {
	&weft_chunker_fixed,
};

const struct weft_chunker_ops *weft_chunker_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(chunkers); i++)
		if (!strcmp(chunkers[i]->name, name))
			return chunkers[i];
	return NULL;
}

int weft_chunker_begin(struct weft_chunker *chunker, const struct weft_chunker_ops *ops,
		       const struct weft_chunker_params *params, u64 offset)
{
	if (!params->min || params->min > params->target || params->target > params->max ||
	    params->max > WEFT_CHUNK_MAX)
		return -EINVAL;

	*chunker = (struct weft_chunker){ .ops = ops, .params = *params, .offset = offset };
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
	chunker->hash = 0;
}
