// SPDX-License-Identifier: GPL-2.0-only
/*
 * extent.c - what is known of where a file's content lies
 *
 * A tree of pieces for each inode: extents that point into a chunk, and known holes. What no piece covers is unknown and
 * has to be asked for (map.c), except behind mapped_end, where nothing lies at all.
 *
 * What must stay true:
 *   - Pieces of a COMMIT replace, pieces of an answer to EXTENTS only fill what is unknown: an answer may be older than
 *     a COMMIT that overtook it. An answer that is older than something forgotten is not used: extents_gen.
 *   - A COMMIT's pieces are there before its folios end writeback, or the range is unknown: a read after eviction never
 *     finds older content.
 *   - Nothing here needs memory to succeed: what cannot be kept is forgotten.
 *   - extent_lock is taken inside weft_io_mount.lock, never the other way round; the shrinker only tries.
 */
#include <linux/highmem.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

#include "io/internal.h"

#define SHRINK_BATCH 256 /* pieces of one inode dropped in one go */

static struct kmem_cache *piece_cache;

static struct weft_piece *piece_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct weft_piece, node);
}

static struct weft_piece *piece_next(struct weft_piece *piece)
{
	return piece_of(rb_next(&piece->node));
}

struct weft_piece *weft_piece_alloc(unsigned int n, gfp_t gfp)
{
	struct weft_piece *spares = NULL;

	while (n--) {
		struct weft_piece *piece = kmem_cache_alloc(piece_cache, gfp | __GFP_NOWARN);

		if (!piece)
			break;
		piece->next = spares;
		spares = piece;
	}
	return spares;
}

void weft_piece_free(struct weft_piece *spares)
{
	while (spares) {
		struct weft_piece *piece = spares;

		spares = piece->next;
		kmem_cache_free(piece_cache, piece);
	}
}

/* The first piece that ends behind pos. */
static struct weft_piece *piece_find(struct weft_io_inode *io, u64 pos)
{
	struct rb_node *node = io->extents.rb_node;
	struct weft_piece *found = NULL;

	while (node) {
		struct weft_piece *piece = piece_of(node);

		if (piece->end > pos) {
			found = piece;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

static void piece_link(struct weft_inode *inode, struct weft_piece *new)
{
	struct rb_node **link = &inode->io.extents.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = new->pos < piece_of(parent)->pos ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&new->node, parent, link);
	rb_insert_color(&new->node, &inode->io.extents);
	inode->io.n_extents++;
	atomic_long_inc(&weft_inode_mount(inode)->io.extents);
}

static void piece_del(struct weft_inode *inode, struct weft_piece *piece)
{
	rb_erase(&piece->node, &inode->io.extents);
	inode->io.n_extents--;
	atomic_long_dec(&weft_inode_mount(inode)->io.extents);
	if (piece->chunk)
		weft_chunk_put(piece->chunk);
	kmem_cache_free(piece_cache, piece);
}

static struct weft_piece *spare_take(struct weft_piece **spares)
{
	struct weft_piece *piece = *spares;

	if (piece)
		*spares = piece->next;
	return piece;
}

static void piece_set(struct weft_piece *piece, u64 pos, u64 end, struct weft_chunk *chunk, u32 chunk_offset)
{
	piece->pos = pos;
	piece->end = end;
	piece->chunk = chunk;
	piece->chunk_offset = chunk_offset;
	if (chunk)
		weft_chunk_get(chunk);
}

/* Frees [pos, end) of all pieces. A piece around it is split with a spare; without one its back part is forgotten. */
static void pieces_cut(struct weft_inode *inode, struct weft_piece **spares, u64 pos, u64 end)
{
	struct weft_piece *piece = piece_find(&inode->io, pos);

	while (piece && piece->pos < end) {
		struct weft_piece *next = piece_next(piece);

		if (piece->pos < pos && piece->end > end) {
			struct weft_piece *back = spare_take(spares);

			if (back)
				piece_set(back, end, piece->end, piece->chunk, piece->chunk_offset + (end - piece->pos));
			else
				inode->io.extents_gen++;
			piece->end = pos;
			if (back)
				piece_link(inode, back);
			return;
		}
		if (piece->pos < pos) {
			piece->end = pos;
		} else if (piece->end > end) {
			piece->chunk_offset += end - piece->pos;
			piece->pos = end;
		} else {
			piece_del(inode, piece);
		}
		piece = next;
	}
}

void weft_extent_replace(struct weft_inode *inode, struct weft_piece **spares, u64 pos, u64 end,
			 struct weft_chunk *chunk, u32 chunk_offset)
{
	struct weft_piece *piece;

	lockdep_assert_held(&inode->io.extent_lock);
	pieces_cut(inode, spares, pos, end);
	piece = spare_take(spares);
	if (!piece) {
		inode->io.extents_gen++;
		return;
	}
	piece_set(piece, pos, end, chunk, chunk_offset);
	piece_link(inode, piece);
}

void weft_extent_fill(struct weft_inode *inode, struct weft_piece **spares, u64 pos, u64 end,
		      struct weft_chunk *chunk, u32 chunk_offset)
{
	lockdep_assert_held(&inode->io.extent_lock);
	while (pos < end) {
		struct weft_piece *known = piece_find(&inode->io, pos);
		u64 to = known ? min(known->pos, end) : end;

		if (pos < to) {
			struct weft_piece *piece = spare_take(spares);

			if (!piece)
				return;
			piece_set(piece, pos, to, chunk, chunk_offset);
			piece_link(inode, piece);
		}
		if (!known)
			return;
		chunk_offset += known->end - pos;
		pos = known->end;
	}
}

void weft_extent_forget(struct weft_inode *inode, u64 pos, u64 end)
{
	struct weft_piece *none = NULL;

	lockdep_assert_held(&inode->io.extent_lock);
	pieces_cut(inode, &none, pos, end);
	inode->io.extents_gen++;
}

void weft_extent_set_inline(struct weft_inode *inode, void *data, u32 len)
{
	lockdep_assert_held(&inode->io.extent_lock);
	kfree(inode->io.inline_data);
	inode->io.inline_data = data;
	inode->io.inline_len = data ? len : 0;
}

bool weft_extent_copy_inline(struct weft_inode *inode, u64 pos, void *to, size_t len)
{
	struct weft_io_inode *io = &inode->io;
	size_t have = 0;
	bool known;

	spin_lock(&io->extent_lock);
	known = io->inline_data;
	if (known && pos < io->inline_len) {
		have = min_t(size_t, len, io->inline_len - pos);
		memcpy(to, io->inline_data + pos, have);
	}
	spin_unlock(&io->extent_lock);
	memset(to + have, 0, len - have);
	return known;
}

void weft_extent_lookup(struct weft_inode *inode, u64 pos, u64 end, struct weft_span *span)
{
	struct weft_io_inode *io = &inode->io;
	struct weft_piece *piece;

	*span = (struct weft_span){ .pos = pos, .end = end, .kind = WEFT_SPAN_MISS };
	spin_lock(&io->extent_lock);
	piece = piece_find(io, pos);
	if (pos >= io->mapped_end) {
		span->kind = WEFT_SPAN_HOLE;
	} else if (io->is_inline) {
		span->end = min(end, io->mapped_end);
		span->kind = io->inline_data ? WEFT_SPAN_INLINE : WEFT_SPAN_MISS;
	} else if (!piece || piece->pos > pos) {
		span->end = min(end, piece ? min(piece->pos, io->mapped_end) : io->mapped_end);
	} else {
		span->end = min(end, piece->end);
		span->kind = piece->chunk ? WEFT_SPAN_CHUNK : WEFT_SPAN_HOLE;
		span->chunk = piece->chunk;
		span->chunk_offset = piece->chunk_offset + (pos - piece->pos);
		if (span->chunk)
			weft_chunk_get(span->chunk);
	}
	spin_unlock(&io->extent_lock);
}

u64 weft_extent_covered(struct weft_inode *inode, u64 pos, u64 end)
{
	struct weft_io_inode *io = &inode->io;

	spin_lock(&io->extent_lock);
	if (io->is_inline) {
		if (io->inline_data || pos >= io->mapped_end)
			pos = end;
	} else {
		struct weft_piece *piece = piece_find(io, pos);

		while (pos < end && pos < io->mapped_end && piece && piece->pos <= pos) {
			pos = piece->end;
			piece = piece_next(piece);
		}
		if (pos >= io->mapped_end)
			pos = end;
	}
	spin_unlock(&io->extent_lock);
	return min(pos, end);
}

void weft_extent_touch(struct weft_inode *inode)
{
	struct weft_mount *mount = weft_inode_mount(inode);

	if (!list_empty_careful(&inode->io.lru))
		return;
	spin_lock(&mount->io.lock);
	if (list_empty(&inode->io.lru))
		list_add_tail(&inode->io.lru, &mount->io.lru);
	spin_unlock(&mount->io.lock);
}

static unsigned long shrink_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	struct weft_mount *mount = shrinker->private_data;

	return atomic_long_read(&mount->io.extents) ?: SHRINK_EMPTY;
}

static unsigned long shrink_inode(struct weft_inode *inode)
{
	struct rb_node *node;
	unsigned long freed = 0;

	if (!spin_trylock(&inode->io.extent_lock))
		return 0;
	while (freed < SHRINK_BATCH && (node = rb_first(&inode->io.extents))) {
		piece_del(inode, piece_of(node));
		freed++;
	}
	inode->io.extents_gen++;
	spin_unlock(&inode->io.extent_lock);
	return freed;
}

/* An inode that is looked at goes to the end of the list, so each gives some in its turn. */
static unsigned long shrink_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	struct weft_mount *mount = shrinker->private_data;
	unsigned long freed = 0, tries;

	spin_lock(&mount->io.lock);
	for (tries = 0; tries < sc->nr_to_scan && freed < sc->nr_to_scan; tries++) {
		struct weft_io_inode *io = list_first_entry_or_null(&mount->io.lru, struct weft_io_inode, lru);

		if (!io)
			break;
		freed += shrink_inode(container_of(io, struct weft_inode, io));
		if (io->n_extents)
			list_move_tail(&io->lru, &mount->io.lru);
		else
			list_del_init(&io->lru);
	}
	spin_unlock(&mount->io.lock);
	return freed ?: SHRINK_STOP;
}

int weft_extent_shrinker_init(struct weft_mount *mount)
{
	struct shrinker *shrinker = shrinker_alloc(0, "weft-extents:%s", mount->sb->s_id);

	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = shrink_count;
	shrinker->scan_objects = shrink_scan;
	shrinker->private_data = mount;
	shrinker_register(shrinker);
	mount->io.shrinker = shrinker;
	return 0;
}

void weft_extent_shrinker_exit(struct weft_mount *mount)
{
	shrinker_free(mount->io.shrinker);
	mount->io.shrinker = NULL;
}

int weft_extent_init(void)
{
	piece_cache = KMEM_CACHE(weft_piece, SLAB_RECLAIM_ACCOUNT);
	return piece_cache ? 0 : -ENOMEM;
}

void weft_extent_exit(void)
{
	kmem_cache_destroy(piece_cache);
}
