// SPDX-License-Identifier: GPL-2.0-only
/*
 * pack.c - the stored form of a unit: compressed, if its volume wants that and it is worth it
 *
 *   unit (folios under writeback) --work item--> frames --codec--> pages of the unit --> put
 *                                        \--> not worth it, no memory: the folios themselves, raw
 *
 * What must stay true:
 *   - A unit can always go raw: nothing here is needed to let dirty pages become clean. Memory for the stored form is had
 *     without effort or not at all.
 *   - The folios do not change while they are read: the unit is under .direct. Once its stored form is there they may.
 *   - Units on their way are bounded, and a stored form is shorter than its unit; its pages count as in flight. One work
 *     item a unit, so that several CPUs compress; workspaces are a pool of the mount, one at least.
 *   - Pages go to sockets by reference: they come from the page allocator, and are not used again before the last
 *     reference has gone.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "chunk/codec.h"
#include "chunk/frames.h"
#include "chunk/sample.h"
#include "io/internal.h"
#include "obs/trace.h"

#define PIECE_ORDER (get_order(64u * 1024))
#define PACK_GFP    (GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN)

static struct workqueue_struct *pack_wq;

/* Walks the unit's bytes in ascending order. */
struct pack_cursor {
	const struct bio_vec *seg;
	u32 offset;
};

static const void *seg_bytes(const struct bio_vec *seg, u32 offset)
{
	return page_address(seg->bv_page) + seg->bv_offset + offset;
}

/* The next len bytes in one piece: where they stand, or else copied to @to. */
static const void *cursor_take(struct pack_cursor *cursor, u32 len, void *to)
{
	const void *bytes = to;
	u32 done = 0, part;

	if (cursor->seg->bv_len - cursor->offset >= len)
		bytes = seg_bytes(cursor->seg, cursor->offset);
	while (done < len) {
		part = min(len - done, cursor->seg->bv_len - cursor->offset);
		if (bytes == to)
			memcpy(to + done, seg_bytes(cursor->seg, cursor->offset), part);
		done += part;
		cursor->offset += part;
		if (cursor->offset == cursor->seg->bv_len) {
			cursor->seg++;
			cursor->offset = 0;
		}
	}
	return bytes;
}

/* --- which codec ------------------------------------------------------------------------------------------------------------ */

/* The sample's spots of the unit. Its segments are walked once. */
static void unit_sample(const struct weft_unit *unit, struct weft_sample *sample)
{
	const struct bio_vec *seg = unit->segs;
	u32 start = 0;

	weft_sample_begin(sample);
	for (u32 i = 0; i < WEFT_SAMPLE_CHUNK_SPOTS; i++) {
		u32 at = weft_sample_spot(unit->len, i, WEFT_SAMPLE_CHUNK_SPOTS);

		while (at - start >= seg->bv_len)
			start += (seg++)->bv_len;
		weft_sample_add(sample, seg_bytes(seg, at - start), min(WEFT_SAMPLE_SPOT, seg->bv_len - (at - start)));
	}
}

static unsigned int unit_codec(const struct weft_unit *unit, struct weft_sample *sample)
{
	if (unit->codec_policy == WEFT_CODEC_FIXED)
		return unit->codec;
	if (weft_sample_packed(seg_bytes(unit->segs, 0), min(unit->segs->bv_len, WEFT_SAMPLE_HEAD)))
		return WEFT_CODEC_RAW;
	unit_sample(unit, sample);
	switch (weft_sample_judge(sample)) {
	case WEFT_CONTENT_TEXT:
		return unit->codec;
	case WEFT_CONTENT_BINARY:
		return WEFT_CODEC_LZ4;
	default:
		return WEFT_CODEC_RAW;
	}
}

static bool frame_is_dense(const void *plain, u32 len, struct weft_sample *sample)
{
	weft_sample_begin(sample);
	for (u32 i = 0; i < WEFT_SAMPLE_FRAME_SPOTS; i++)
		weft_sample_add(sample, plain + weft_sample_spot(len, i, WEFT_SAMPLE_FRAME_SPOTS),
				min(len, WEFT_SAMPLE_SPOT));
	return weft_sample_judge(sample) == WEFT_CONTENT_DENSE;
}

/* --- the stored form ---------------------------------------------------------------------------------------------------------- */

static bool pack_grow(struct weft_pack *pack)
{
	unsigned int max = max(2 * pack->max_segs, 16u);
	struct bio_vec *segs = kvmalloc_array(max, sizeof(*segs), PACK_GFP);

	if (!segs)
		return false;
	if (pack->n_segs)
		memcpy(segs, pack->segs, pack->n_segs * sizeof(*segs));
	kvfree(pack->segs);
	pack->segs = segs;
	pack->max_segs = max;
	return true;
}

static bool pack_add_piece(struct weft_unit *unit)
{
	struct weft_pack *pack = &unit->pack;
	struct folio *folio;

	if (pack->n_segs == pack->max_segs && !pack_grow(pack))
		return false;
	/* A large one only if that costs nothing: others wait for the space that we hold. */
	folio = folio_alloc(PACK_GFP & ~__GFP_DIRECT_RECLAIM, PIECE_ORDER) ?: folio_alloc(PACK_GFP, 0);
	if (!folio)
		return false;
	bvec_set_folio(&pack->segs[pack->n_segs++], folio, 0, 0);
	pack->bytes += folio_size(folio);
	weft_count(unit->mount, WEFT_MC_INFLIGHT_BYTES, folio_size(folio));
	return true;
}

/* Behind what is there. Pieces but the last are full. */
static bool pack_append(struct weft_unit *unit, const void *bytes, u32 len)
{
	struct weft_pack *pack = &unit->pack;

	while (len) {
		struct bio_vec *seg = pack->n_segs ? &pack->segs[pack->n_segs - 1] : NULL;
		u32 room = seg ? folio_size(page_folio(seg->bv_page)) - seg->bv_len : 0;
		u32 part = min(len, room);

		if (!room) {
			if (!pack_add_piece(unit))
				return false;
			continue;
		}
		memcpy(page_address(seg->bv_page) + seg->bv_len, bytes, part);
		seg->bv_len += part;
		bytes += part;
		len -= part;
	}
	return true;
}

static void pack_drop(struct weft_unit *unit)
{
	struct weft_pack *pack = &unit->pack;

	for (unsigned int i = 0; i < pack->n_segs; i++)
		folio_put(page_folio(pack->segs[i].bv_page));
	kvfree(pack->segs);
	pack->segs = NULL;
	pack->n_segs = 0;
	pack->max_segs = 0;
	weft_count(unit->mount, WEFT_MC_INFLIGHT_BYTES, -(s64)pack->bytes);
	pack->bytes = 0;
}

void weft_pack_release(struct weft_unit *unit)
{
	if (unit->pack.segs)
		pack_drop(unit);
}

void weft_pack_free(struct weft_unit *unit)
{
	weft_pack_release(unit);
	kfree(unit->pack.ends);
	unit->pack.ends = NULL;
}

/*
 * Makes all frames. False: not worth it, or the mount has ended, or -ENOMEM in *error. Each is progress, for an unmount that
 * waits, unless what was packed before could not be stored: that is packed again and again.
 */
static bool pack_frames(struct weft_unit *unit, unsigned int codec_id, struct weft_codec_space *space,
			struct weft_sample *sample, struct weft_frames *frames, int *error)
{
	const struct weft_codec_ops *codec = weft_codec(codec_id);
	bool guess = unit->codec_policy == WEFT_CODEC_ADAPTIVE;
	struct pack_cursor cursor = { .seg = unit->segs };
	u32 len;

	weft_frames_begin(frames, unit->len, unit->pack.ends);
	while ((len = weft_frames_next(frames))) {
		const void *plain = cursor_take(&cursor, len, space->plain);
		u32 packed = 0, stored;

		if (weft_mount_dead(unit->mount))
			return false;
		if (!READ_ONCE(unit->mount->io.put_failed))
			WRITE_ONCE(unit->mount->io.moved, jiffies);
		if (!guess || !frame_is_dense(plain, len, sample))
			packed = codec->pack(space->work, unit->codec_level, plain, len, space->packed,
					     weft_frames_room(len));
		stored = weft_frames_add(frames, packed);
		if (guess && weft_frames_hopeless(frames))
			return false;
		if (!pack_append(unit, stored == len ? plain : space->packed, stored)) {
			*error = -ENOMEM;
			return false;
		}
		cond_resched();
	}
	return weft_frames_worth(frames);
}

/* Returns whether the unit has a stored form of its own now, 0 if it is to go raw, or -ENOMEM: raw as well. */
static int pack_unit(struct weft_unit *unit)
{
	struct weft_codec_pool *pool = &unit->mount->io.pack_pool;
	struct weft_sample *sample = kmalloc(sizeof(*sample), PACK_GFP);
	struct weft_codec_space *space;
	struct weft_frames frames;
	unsigned int codec;
	bool worth = false;
	int error = 0;

	if (!sample)
		return -ENOMEM;
	codec = unit_codec(unit, sample);
	if (codec == WEFT_CODEC_RAW)
		goto out_free_sample;
	unit->pack.ends = kmalloc_array(weft_frame_count(unit->len), sizeof(__le32), PACK_GFP);
	if (!unit->pack.ends) {
		error = -ENOMEM;
		goto out_free_sample;
	}
	space = weft_codec_space_get(pool);
	if (weft_codec_space_fit(space, weft_codec(codec)->pack_size(unit->codec_level)))
		worth = pack_frames(unit, codec, space, sample, &frames, &error);
	else
		error = -ENOMEM;
	weft_codec_space_put(pool, space);
	if (!worth) {
		weft_pack_free(unit);
		goto out_free_sample;
	}
	unit->put.codec = codec;
	unit->put.stored_len = frames.stored_len;
	unit->put.ends = unit->pack.ends;
	unit->put.bvec = unit->pack.segs;
	unit->put.n_bvec = unit->pack.n_segs;
	weft_count(unit->mount, WEFT_MC_PACKED_PLAIN, unit->len);
	weft_count(unit->mount, WEFT_MC_PACKED_STORED, frames.stored_len);
out_free_sample:
	kfree(sample);
	return error ?: worth;
}

static void pack_work(struct work_struct *work)
{
	struct weft_unit *unit = container_of(work, struct weft_unit, pack.work);
	unsigned int nofs = memalloc_nofs_save();
	/* On a mount that has ended the put is refused at once. */
	int ret = weft_mount_dead(unit->mount) ? 0 : pack_unit(unit);

	if (ret == -ENOMEM)
		weft_count(unit->mount, WEFT_MC_PACK_NOMEM, 1);
	if (ret > 0)
		weft_unit_unpin(unit);
	weft_put_submit(&unit->put);
	/* The unit may be gone. */
	memalloc_nofs_restore(nofs);
}

bool weft_pack_wanted(const struct weft_unit *unit)
{
	return unit->codec != WEFT_CODEC_RAW && !unit->copied && unit->len >= READ_ONCE(unit->mount->ec_min);
}

void weft_pack_submit(struct weft_unit *unit)
{
	INIT_WORK(&unit->pack.work, pack_work);
	queue_work(pack_wq, &unit->pack.work);
}

int weft_pack_mount_init(struct weft_mount *mount)
{
	const struct weft_codec_ops *codec = weft_codec(mount->policy.codec);

	if (mount->readonly)
		return 0;
	/* For what the volume has now; files of other policies, and later ones, make them larger. */
	return weft_codec_pool_init(&mount->io.pack_pool, codec ? codec->pack_size(mount->policy.codec_level ?: 3) : 0, true);
}

void weft_pack_mount_exit(struct weft_mount *mount)
{
	weft_codec_pool_exit(&mount->io.pack_pool);
}

int weft_pack_init(void)
{
	pack_wq = alloc_workqueue("weft_pack", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return pack_wq ? 0 : -ENOMEM;
}

void weft_pack_exit(void)
{
	destroy_workqueue(pack_wq);
}
