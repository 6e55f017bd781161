// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the cache of extents against a model that says of every block what stands there. With
 * enough spare pieces both are the same; without, the cache may know less, never something else.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "io/internal.h"

/* Each step looks from every block to the end of its span: quadratic in them. */
#define BLOCKS 48u
#define CHUNKS 5u
#define STEPS  400u

struct extent_block {
	enum weft_span_kind kind;
	unsigned int chunk;
	u32 chunk_offset;
};

struct extent_world {
	struct weft_inode *inode;
	struct weft_mount *mount;
	struct weft_chunk *chunks[CHUNKS];
	struct extent_block blocks[BLOCKS];
	struct rnd_state rnd;
	u32 seed;
};

static struct extent_world *extent_world_alloc(struct kunit *test, u32 seed)
{
	struct extent_world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	struct super_block *sb = kunit_kzalloc(test, sizeof(*sb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	KUNIT_ASSERT_NOT_NULL(test, sb);
	w->inode = kunit_kzalloc(test, sizeof(*w->inode), GFP_KERNEL);
	w->mount = kunit_kzalloc(test, sizeof(*w->mount), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w->inode);
	KUNIT_ASSERT_NOT_NULL(test, w->mount);
	for (unsigned int i = 0; i < CHUNKS; i++) {
		/* Freed by its last reference. */
		w->chunks[i] = kzalloc(sizeof(*w->chunks[i]), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, w->chunks[i]);
		refcount_set(&w->chunks[i]->ref, 1);
	}
	sb->s_fs_info = w->mount;
	w->inode->vfs.i_sb = sb;
	weft_io_inode_init(w->inode);
	w->inode->io.mapped_end = (u64)BLOCKS << WEFT_BLOCK_SHIFT;
	w->seed = seed;
	prandom_seed_state(&w->rnd, seed);
	kunit_info(test, "seed %u", seed);
	return w;
}

static unsigned int extent_pick(struct extent_world *w, unsigned int n)
{
	return prandom_u32_state(&w->rnd) % n;
}

/* What one of the operations does to the model. */
static void extent_model(struct extent_world *w, unsigned int from, unsigned int to, bool fill,
			 const struct extent_block *what)
{
	for (unsigned int i = from; i < to; i++) {
		if (fill && w->blocks[i].kind != WEFT_SPAN_MISS)
			continue;
		w->blocks[i] = *what;
		w->blocks[i].chunk_offset = what->chunk_offset + ((i - from) << WEFT_BLOCK_SHIFT);
	}
}

/* True: something was forgotten, which may take with it what lies behind it in the same piece. */
static bool extent_step(struct extent_world *w, unsigned int n_spares)
{
	unsigned int from = extent_pick(w, BLOCKS), to = from + 1 + extent_pick(w, BLOCKS - from);
	unsigned int kind = extent_pick(w, 8);
	struct extent_block what = { WEFT_SPAN_CHUNK, extent_pick(w, CHUNKS),
				     extent_pick(w, 64) << WEFT_BLOCK_SHIFT };
	struct weft_piece *spares = weft_piece_alloc(n_spares, GFP_KERNEL);
	u64 pos = (u64)from << WEFT_BLOCK_SHIFT, end = (u64)to << WEFT_BLOCK_SHIFT;
	struct weft_chunk *chunk = w->chunks[what.chunk];

	if (kind == 0)
		what.kind = WEFT_SPAN_MISS;
	if (kind == 1) {
		what.kind = WEFT_SPAN_HOLE;
		chunk = NULL;
	}
	spin_lock(&w->inode->io.extent_lock);
	if (kind == 0)
		weft_extent_forget(w->inode, pos, end);
	else if (kind < 5)
		weft_extent_replace(w->inode, &spares, pos, end, chunk, what.chunk_offset);
	else
		weft_extent_fill(w->inode, &spares, pos, end, chunk, what.chunk_offset);
	spin_unlock(&w->inode->io.extent_lock);
	weft_piece_free(spares);
	extent_model(w, from, to, kind >= 5, &what);
	return what.kind == WEFT_SPAN_MISS;
}

/* The block as the cache has it; a reference is not kept. */
static struct weft_span extent_look(struct extent_world *w, unsigned int block)
{
	struct weft_span span;

	weft_extent_lookup(w->inode, (u64)block << WEFT_BLOCK_SHIFT,
			   (u64)BLOCKS << WEFT_BLOCK_SHIFT, &span);
	if (span.chunk)
		weft_chunk_put(span.chunk);
	return span;
}

static bool extent_agrees(struct extent_world *w, unsigned int block, const struct weft_span *span)
{
	const struct extent_block *b = &w->blocks[block];

	if (b->kind != span->kind)
		return false;
	return b->kind != WEFT_SPAN_CHUNK ||
	       (span->chunk == w->chunks[b->chunk] && span->chunk_offset == b->chunk_offset);
}

/* Every block, and every block that its span says it reaches to. */
static void extent_expect_same(struct kunit *test, struct extent_world *w)
{
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct weft_span span = extent_look(w, i);
		unsigned int to = span.end >> WEFT_BLOCK_SHIFT;

		KUNIT_ASSERT_GT_MSG(test, to, i, "seed %u: an empty span", w->seed);
		for (unsigned int j = i; j < to; j++) {
			KUNIT_ASSERT_TRUE_MSG(test, extent_agrees(w, j, &span),
					      "seed %u: block %u, seen from %u", w->seed, j, i);
			span.chunk_offset += WEFT_BLOCK_SIZE;
		}
	}
}

static void extent_expect_covered(struct kunit *test, struct extent_world *w)
{
	u64 end = (u64)BLOCKS << WEFT_BLOCK_SHIFT;

	for (unsigned int i = 0, to; i < BLOCKS; i++) {
		for (to = i; to < BLOCKS && w->blocks[to].kind != WEFT_SPAN_MISS; to++)
			;
		KUNIT_ASSERT_EQ_MSG(test,
				    weft_extent_covered(w->inode, (u64)i << WEFT_BLOCK_SHIFT, end),
				    (u64)to << WEFT_BLOCK_SHIFT, "seed %u: from block %u", w->seed,
				    i);
	}
}

/* What is not known any more is taken over by the model; what is known has to be right. */
static void extent_expect_no_lie(struct kunit *test, struct extent_world *w)
{
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct weft_span span = extent_look(w, i);

		if (span.kind == WEFT_SPAN_MISS)
			w->blocks[i].kind = WEFT_SPAN_MISS;
		KUNIT_ASSERT_TRUE_MSG(test, extent_agrees(w, i, &span), "seed %u: block %u",
				      w->seed, i);
	}
}

static void extent_expect_nothing_left(struct kunit *test, struct extent_world *w)
{
	spin_lock(&w->inode->io.extent_lock);
	weft_extent_forget(w->inode, 0, U64_MAX);
	spin_unlock(&w->inode->io.extent_lock);
	KUNIT_EXPECT_EQ(test, w->inode->io.n_extents, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&w->mount->io.extents), 0);
	for (unsigned int i = 0; i < CHUNKS; i++) {
		KUNIT_EXPECT_EQ(test, refcount_read(&w->chunks[i]->ref), 1);
		weft_chunk_put(w->chunks[i]);
	}
}

static void extent_cache_is_the_model(struct kunit *test)
{
	struct extent_world *w = extent_world_alloc(test, get_random_u32());

	for (unsigned int i = 0; i < STEPS; i++) {
		if (extent_step(w, BLOCKS + 2))
			extent_expect_no_lie(test, w);
		extent_expect_same(test, w);
		extent_expect_covered(test, w);
	}
	extent_expect_nothing_left(test, w);
}

static void extent_cache_without_memory_forgets(struct kunit *test)
{
	struct extent_world *w = extent_world_alloc(test, get_random_u32());

	for (unsigned int i = 0; i < STEPS; i++) {
		extent_step(w, extent_pick(w, 3));
		extent_expect_no_lie(test, w);
	}
	extent_expect_nothing_left(test, w);
}

static void extent_split_keeps_both_ends(struct kunit *test)
{
	struct extent_world *w = extent_world_alloc(test, 1);
	struct weft_piece *spares = weft_piece_alloc(3, GFP_KERNEL);
	struct weft_span span;

	spin_lock(&w->inode->io.extent_lock);
	weft_extent_replace(w->inode, &spares, 0, 64 << 10, w->chunks[0], 4096);
	weft_extent_replace(w->inode, &spares, 16 << 10, 20 << 10, w->chunks[1], 0);
	spin_unlock(&w->inode->io.extent_lock);
	weft_piece_free(spares);

	KUNIT_EXPECT_EQ(test, w->inode->io.n_extents, 3);
	span = extent_look(w, 0);
	KUNIT_EXPECT_EQ(test, span.end, 16 << 10);
	span = extent_look(w, 4);
	KUNIT_EXPECT_PTR_EQ(test, span.chunk, w->chunks[1]);
	span = extent_look(w, 5);
	KUNIT_EXPECT_PTR_EQ(test, span.chunk, w->chunks[0]);
	KUNIT_EXPECT_EQ(test, span.chunk_offset, 4096 + (20 << 10));
	extent_expect_nothing_left(test, w);
}

static struct kunit_case extent_kunit_cases[] = {
	KUNIT_CASE(extent_split_keeps_both_ends),
	KUNIT_CASE(extent_cache_is_the_model),
	KUNIT_CASE(extent_cache_without_memory_forgets),
	{}
};

static struct kunit_suite extent_kunit_suite = {
	.name = "weft_extent",
	.test_cases = extent_kunit_cases,
};

kunit_test_suite(extent_kunit_suite);
