// SPDX-License-Identifier: GPL-2.0-or-later
/* Chunkers with any parameters, hints and content: refused in words, or the same cuts in any pieces, within bounds. */
#include <stdlib.h>

#include "chunk/chunker.h"

#define require(what) do { if (!(what)) abort(); } while (0)
#define CONTENT_MAX 300000u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* As the numbers stand at the start of an input; content follows, and is repeated up to len. */
struct question {
	u32 kind;
	u32 min;
	u32 target;
	u32 max;
	u32 random;
	u32 len;
	u32 piece;
	u32 flags;
	u64 file_size;
	u64 offset;
};

static void walk(struct weft_chunker *whole, struct weft_chunker *parts, const u8 *buf, u32 len, u32 piece)
{
	u64 done = 0, size = 0;

	while (done < len) {
		u64 n = len - done < piece ? len - done : piece;
		bool cut, whole_cut;

		n = weft_chunker_scan(parts, buf + done, n, &cut);
		require(n > 0 && n <= piece);
		done += n;
		size += n;
		require(size <= parts->params.max && weft_chunker_tail(parts) == (cut ? 0 : size));
		if (!cut && done < len)
			continue;
		require(weft_chunker_scan(whole, buf + done - size, len - done + size, &whole_cut) == size);
		require(whole_cut == cut && whole->offset == parts->offset);
		require(!cut || !parts->ops->looks || size >= parts->params.min);
		size = 0;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct weft_chunker_ops *ops;
	struct weft_chunker whole, parts;
	struct weft_chunker_params params;
	struct weft_chunker_hints hints;
	struct question q;
	int ret;
	u8 *buf;

	if (size <= sizeof(q))
		return 0;
	memcpy(&q, data, sizeof(q));
	ops = weft_chunker_of(q.kind);
	if (!ops)
		return 0;
	params = (struct weft_chunker_params){ q.min, q.target, q.max, q.random };
	hints = (struct weft_chunker_hints){ .file_size = q.file_size, .random = q.flags & 1 };
	ret = weft_chunker_begin(&whole, ops, &params, &hints, q.offset);
	require(ret == (weft_chunker_check(ops, &params) || q.offset > INT64_MAX ? -EINVAL : 0));
	if (ret)
		return 0;
	require(!weft_chunker_begin(&parts, ops, &params, &hints, q.offset));
	require(whole.ops->scan);

	q.len %= CONTENT_MAX;
	buf = malloc(q.len + 1);
	require(buf);
	for (u32 i = 0; i < q.len; i++)
		buf[i] = data[sizeof(q) + i % (size - sizeof(q))];
	/* Not so many pieces that it takes long. */
	walk(&whole, &parts, buf, q.len, 1 + q.len / 4096 + q.piece % CONTENT_MAX);
	free(buf);
	return 0;
}
