// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_clone.c - a range of a file becomes what a range of another one is
 *
 * The extents of the source's range are put into the destination, clipped at its edges, and each is
 * one more reference of its chunk; what lay there goes. Holes become holes.
 *
 * It is done from the beginning of the range to its end, and the size grows with it: each step is
 * the clone of a shorter range, so one that never goes on has left nothing behind the size. The
 * slot keeps how far that went. Whoever asks keeps others from changing the source meanwhile; if it
 * has become shorter all the same, the clone ends there, and says so.
 *
 * Inline content belongs to an inode and is no chunk that two could refer to. So it is copied, if
 * all that the destination will have is inline; and inline content of the destination goes if all
 * of it is replaced. Anything else is refused before the first change.
 */
#include <errno.h>

#include "meta/meta.h"

/* Records for cutting and adding one extent and for what ends a step. */
#define RECORDS_LAST 20u

struct clone {
	struct meta_apply *apply;
	u64 source;               /* inode */
	u64 from, to, length;     /* in the source, in the destination */
	u64 done;                 /* bytes of length */
	bool is_inline;           /* the source is */
	struct weft_m_inode inode; /* the destination */
	u64 bytes;                /* inode.bytes before */
};

static bool inode_is_inline(const struct weft_m_inode *inode)
{
	return le32_to_cpu(inode->attr.flags) & WEFT_AF_INLINE;
}

/* OK, a status, or a negative errno. */
static int get_file(struct meta_apply *apply, u64 ino, struct weft_m_inode *inode)
{
	int err = meta_inode_get(&apply->state->txn, &apply->tree, ino, inode);

	if (err)
		return err == -ENOENT ? WEFT_ST_STALE : err;
	if (!meta_inode_is_file(inode))
		return meta_inode_is_dir(inode) ? WEFT_ST_ISDIR : WEFT_ST_INVAL;
	return WEFT_ST_OK;
}

static int get_inline(struct clone *clone, u64 ino, u8 *data, size_t max, size_t *len)
{
	struct meta_apply *apply = clone->apply;
	int err = meta_inline_get(&apply->state->txn, &apply->tree, ino, data, max, len);

	if (err == -ENOENT)
		*len = 0;
	return err == -ENOENT ? 0 : err;
}

/* Whether inline content does not stand in the way: OK, INVAL or a negative errno. */
static int check_inline(struct clone *clone)
{
	const struct weft_attr *attr = &clone->inode.attr;
	u8 data[META_VALUE_MAX];
	size_t len;
	int err;

	if (clone->is_inline)
		return !clone->from && !clone->to && clone->length >= le64_to_cpu(attr->size)
			       ? WEFT_ST_OK
			       : WEFT_ST_INVAL;
	if (!inode_is_inline(&clone->inode))
		return WEFT_ST_OK;
	err = get_inline(clone, le64_to_cpu(attr->ino), data, sizeof(data), &len);
	if (err)
		return err;
	return !clone->to && clone->length >= len ? WEFT_ST_OK : WEFT_ST_INVAL;
}

/* The source has the range, and what is inline is no obstacle: OK, a status or a negative errno. */
static int check_source(struct clone *clone)
{
	struct weft_m_inode source;
	int ret;

	ret = get_file(clone->apply, clone->source, &source);
	if (ret)
		return ret;
	if (clone->from + clone->length > le64_to_cpu(source.attr.size))
		return WEFT_ST_INVAL;
	clone->is_inline = inode_is_inline(&source);
	return check_inline(clone);
}

/* ---- Inline content ---- */

/* OK, META_MORE or a negative errno. */
static int put_inline(struct clone *clone)
{
	struct meta_apply *apply = clone->apply;
	u64 ino = le64_to_cpu(clone->inode.attr.ino), reached;
	u8 data[META_VALUE_MAX], old[META_VALUE_MAX];
	size_t len, old_len;
	int err;

	err = meta_extent_truncate(apply->state, &apply->tree, &clone->inode, 0, &reached);
	if (err || reached)
		return err ? err : META_MORE;
	err = get_inline(clone, clone->source, data, sizeof(data), &len);
	if (!err)
		err = get_inline(clone, ino, old, sizeof(old), &old_len);
	if (err)
		return err;
	if (len > clone->length)
		len = clone->length;
	le64_add(&clone->inode.attr.bytes, (u64)len - old_len);
	clone->done = clone->length;
	if (!len) {
		clone->inode.attr.flags &= ~cpu_to_le32(WEFT_AF_INLINE);
		return meta_inline_del(&apply->state->txn, &apply->tree, ino);
	}
	clone->inode.attr.flags |= cpu_to_le32(WEFT_AF_INLINE);
	return meta_inline_put(&apply->state->txn, &apply->tree, ino, data, len);
}

/* The destination's goes; what replaces all of it follows in the same step. */
static int drop_inline(struct clone *clone)
{
	struct meta_apply *apply = clone->apply;
	u64 ino = le64_to_cpu(clone->inode.attr.ino);
	u8 old[META_VALUE_MAX];
	size_t len;
	int err;

	if (!inode_is_inline(&clone->inode))
		return 0;
	err = get_inline(clone, ino, old, sizeof(old), &len);
	if (err)
		return err;
	le64_sub(&clone->inode.attr.bytes, len);
	clone->inode.attr.flags &= ~cpu_to_le32(WEFT_AF_INLINE);
	return meta_inline_del(&apply->state->txn, &apply->tree, ino);
}

/* ---- Extents ---- */

/*
 * What stands in the source at pos: 0 and the extent (length 0: a hole); *end: how far, in the
 * source.
 */
static int look(struct clone *clone, u64 pos, struct meta_extent *extent, u64 *end)
{
	struct meta_apply *apply = clone->apply;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &apply->state->txn, WEFT_MT_EXTENT);
	if (err)
		return err;
	err = meta_extent_first(&walk, &apply->tree, clone->source, pos, extent);
	meta_walk_end(&walk);
	if (err && err != -ENOENT)
		return err;
	*end = clone->from + clone->length;
	if (err || extent->offset > pos) {
		if (!err && extent->offset < *end)
			*end = extent->offset;
		extent->length = 0;
	} else if (extent->offset + extent->length < *end) {
		*end = extent->offset + extent->length;
	}
	return 0;
}

/* One extent of the source, or one hole, or as much of it as the budget allows. */
static int clone_piece(struct clone *clone)
{
	struct meta_apply *apply = clone->apply;
	u64 pos = clone->from + clone->done, at = clone->to + clone->done, end, reached;
	struct meta_extent extent;
	int err;

	err = look(clone, pos, &extent, &end);
	if (err)
		return err;
	err = meta_extent_cut(apply->state, &apply->tree, &clone->inode, at,
			      end - clone->from + clone->to, &reached);
	if (err || reached == at)
		return err;
	clone->done = reached - clone->to;
	if (!extent.length)
		return 0;
	extent.chunk_offset += (u32)(pos - extent.offset);
	extent.offset = at;
	extent.length = reached - at;
	return meta_extent_add(apply->state, &apply->tree, &clone->inode, &extent);
}

/* OK, META_MORE or a negative errno. */
static int put_extents(struct clone *clone)
{
	struct meta_state *state = clone->apply->state;
	int err;

	if (meta_budget_left(state) <= 2 * RECORDS_LAST)
		return META_MORE;
	err = drop_inline(clone);
	while (!err && clone->done < clone->length) {
		if (meta_budget_left(state) <= RECORDS_LAST)
			return META_MORE;
		err = clone_piece(clone);
	}
	return err;
}

/* ---- The request ---- */

static int run_step(struct clone *clone)
{
	struct meta_apply *apply = clone->apply;
	bool claimed;
	int ret;

	ret = meta_extent_claim(apply->state, &apply->tree, &clone->inode, apply->entry->session,
				&claimed);
	if (ret)
		return ret;
	if (!claimed)
		return META_MORE;
	return clone->is_inline ? put_inline(clone) : put_extents(clone);
}

/* What the step has changed, in the inode and the volume. */
static int end_step(struct clone *clone, const struct weft_clone *wire)
{
	struct meta_apply *apply = clone->apply;
	struct weft_attr *attr = &clone->inode.attr;
	int err;

	if (clone->done && clone->to + clone->done > le64_to_cpu(attr->size))
		attr->size = cpu_to_le64(clone->to + clone->done);
	attr->mtime_sec = wire->mtime.sec;
	attr->mtime_nsec = wire->mtime.nsec;
	meta_inode_touch(&clone->inode, &wire->ctime);
	apply->slot.head.cursor = cpu_to_le64(clone->done);
	err = meta_volume_account(apply->state, apply->tree.volume, 0,
				  (s64)(le64_to_cpu(attr->bytes) - clone->bytes));
	return err ? err : meta_inode_put(&apply->state->txn, &apply->tree, &clone->inode);
}

static void answer(struct clone *clone)
{
	struct tlv_writer *to = &clone->apply->outcome->answer;

	tlv_put(to, WEFT_P_ATTR, &clone->inode.attr, sizeof(clone->inode.attr));
	tlv_put_u64(to, WEFT_P_LENGTH, clone->done);
}

/* The parser has seen to it that both ranges are there. */
static bool load(struct clone *clone, const struct weft_clone *wire)
{
	clone->source = le64_to_cpu(wire->source);
	clone->from = le64_to_cpu(wire->source_offset);
	clone->to = le64_to_cpu(wire->offset);
	clone->length = le64_to_cpu(wire->length);
	clone->done = le64_to_cpu(clone->apply->slot.head.cursor);
	return clone->length && clone->done <= clone->length && clone->length <= META_SIZE_MAX &&
	       clone->from <= META_SIZE_MAX - clone->length &&
	       clone->to <= META_SIZE_MAX - clone->length;
}

int meta_apply_clone(struct meta_apply *apply)
{
	const struct weft_e_request_clone *body;
	struct clone clone = { .apply = apply };
	const u8 *tail;
	size_t len;
	int ret, err;

	body = meta_entry_body(apply->entry, sizeof(*body), &tail, &len);
	if (!body || !load(&clone, &body->clone))
		return -EBADMSG;
	ret = get_file(apply, le64_to_cpu(body->ino), &clone.inode);
	if (ret)
		return ret;
	clone.bytes = le64_to_cpu(clone.inode.attr.bytes);
	ret = check_source(&clone);
	if (ret > 0 && clone.done) {
		/* It is not what it was in the step before: so much has been done. */
		answer(&clone);
		return WEFT_ST_OK;
	}
	if (ret)
		return ret;
	ret = run_step(&clone);
	if (ret != WEFT_ST_OK && ret != META_MORE)
		return ret;
	err = end_step(&clone, &body->clone);
	if (err)
		return err;
	if (ret == WEFT_ST_OK)
		answer(&clone);
	return ret;
}
