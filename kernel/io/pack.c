// SPDX-License-Identifier: GPL-2.0-only
/*
 * pack.c - the stored form of a unit: compressed, if its volume wants that and it is worth it; sealed, if it is encrypted
 *
 *   unit (folios under writeback) --work item--> frames --codec--> pages of the unit [--cipher] --> put
 *                                        \--> not worth it, no memory: the folios themselves, raw
 *
 * What must stay true:
 *   - A unit that is not to be sealed can always go raw: nothing here is needed to let dirty pages become clean. Memory for
 *     the stored form is had without effort or not at all.
 *   - A unit that is to be sealed is, or goes back and is dirty again: without a key, or when there is no memory. What was
 *     sealed is in pages of its own; the page cache's never change.
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
#include "io/seal.h"
#include "obs/trace.h"

#define PIECE_ORDER (get_order(64u * 1024))
#define PACK_GFP    (GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN)
/* What is to be sealed does not go without: that is worth some effort. */
#define SEAL_GFP    (GFP_NOFS | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

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
	folio = folio_alloc(PACK_GFP & ~__GFP_DIRECT_RECLAIM, PIECE_ORDER) ?:
		folio_alloc(unit->mount->crypt.encrypted ? SEAL_GFP : PACK_GFP, 0);
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

/* What a unit's frames are made with. */
struct pack_run {
	unsigned int codec;           /* RAW: none, or given up */
	bool guess;                   /* from samples, whether it is worth it */
	struct weft_codec_space *space;
	struct weft_sample *sample;
	struct weft_sealer sealer;
	struct weft_frames frames;
};

/* Whether a unit may go compressed. */
static bool unit_packs(const struct weft_unit *unit)
{
	return unit->codec != WEFT_CODEC_RAW && !unit->copied && unit->len >= READ_ONCE(unit->mount->ec_min);
}

/* The next frame, of @len bytes in one piece: to the pages, sealed if need be. 0 or -errno. */
static int pack_frame(struct weft_unit *unit, struct pack_run *run, const void *plain, u32 len)
{
	static const u8 tag[WEFT_CIPHER_TAG];
	const struct weft_codec_ops *codec = weft_codec(run->codec);
	u32 packed = 0, stored;

	if (codec && (!run->guess || !frame_is_dense(plain, len, run->sample)))
		packed = codec->pack(run->space->work, unit->codec_level, plain, len, run->space->packed,
				     weft_frames_room(len));
	stored = weft_frames_add(&run->frames, packed);
	if (!pack_append(unit, stored == len ? plain : run->space->packed, stored))
		return -ENOMEM;
	if (!run->sealer.crypt)
		return 0;
	if (!pack_append(unit, tag, sizeof(tag)))
		return -ENOMEM;
	return weft_seal_frame(&run->sealer, unit->pack.segs, run->frames.done - 1, stored + sizeof(tag), unit->len,
			       unit->put.codec);
}

/*
 * Makes all frames. 1: they are to be stored; 0: not worth it, or the mount has ended; -errno. Each is progress, for an
 * unmount that waits, unless what was packed before could not be stored: that is packed again and again.
 */
static int pack_frames(struct weft_unit *unit, struct pack_run *run)
{
	struct pack_cursor cursor = { .seg = unit->segs };
	u32 len;
	int error;

	weft_frames_begin(&run->frames, unit->len, unit->pack.ends);
	run->frames.tag = run->sealer.crypt ? WEFT_CIPHER_TAG : 0;
	while ((len = weft_frames_next(&run->frames))) {
		if (weft_mount_dead(unit->mount))
			return run->sealer.crypt ? -EIO : 0;
		if (!READ_ONCE(unit->mount->io.put_failed))
			WRITE_ONCE(unit->mount->io.moved, jiffies);
		error = pack_frame(unit, run, cursor_take(&cursor, len, run->space->plain), len);
		if (error)
			return error;
		if (run->guess && weft_frames_hopeless(&run->frames)) {
			if (!run->sealer.crypt)
				return 0;
			run->codec = WEFT_CODEC_RAW;
		}
		cond_resched();
	}
	return run->sealer.crypt || weft_frames_worth(&run->frames);
}

/* What was made is what is put. */
static void pack_take(struct weft_unit *unit, const struct pack_run *run)
{
	unit->put.stored_len = run->frames.stored_len;
	unit->put.ends = unit->pack.ends;
	unit->put.bvec = unit->pack.segs;
	unit->put.n_bvec = unit->pack.n_segs;
	if (run->frames.packed) {
		weft_count(unit->mount, WEFT_MC_PACKED_PLAIN, unit->len);
		weft_count(unit->mount, WEFT_MC_PACKED_STORED, run->frames.stored_len);
	}
}

static int pack_seal_begin(struct weft_unit *unit, struct pack_run *run)
{
	int error = weft_seal_begin(&run->sealer, unit->mount);

	if (error)
		return error;
	unit->put.cipher = WEFT_CIPHER_AES256_GCM;
	unit->put.key_id = run->sealer.key->id;
	unit->put.seal = run->sealer.seal;
	return 0;
}

/* Memory for the codec that is wished. What is to be sealed does without: true. */
static bool pack_fit(const struct weft_unit *unit, struct pack_run *run, bool seal)
{
	const struct weft_codec_ops *codec = weft_codec(run->codec);

	if (!codec || weft_codec_space_fit(run->space, codec->pack_size(unit->codec_level)))
		return true;
	run->codec = WEFT_CODEC_RAW;
	return seal;
}

/* Returns 1 if the unit has a stored form of its own now, 0 if it is to go raw, or -errno. */
static int pack_unit(struct weft_unit *unit)
{
	struct pack_run run = { .guess = unit->codec_policy == WEFT_CODEC_ADAPTIVE };
	struct weft_codec_pool *pool = &unit->mount->io.pack_pool;
	bool seal = unit->mount->crypt.encrypted;
	int ret = -ENOMEM;

	run.sample = kmalloc(sizeof(*run.sample), PACK_GFP);
	if (!run.sample)
		return -ENOMEM;
	if (unit_packs(unit))
		run.codec = unit_codec(unit, run.sample);
	if (run.codec == WEFT_CODEC_RAW && !seal) {
		ret = 0;
		goto out_free_sample;
	}
	unit->pack.ends = kmalloc_array(weft_frame_count(unit->len), sizeof(__le32), seal ? SEAL_GFP : PACK_GFP);
	if (!unit->pack.ends)
		goto out_free_sample;
	run.space = weft_codec_space_get(pool);
	ret = pack_fit(unit, &run, seal) ? 0 : -ENOMEM;
	unit->put.codec = run.codec;
	if (!ret && seal)
		ret = pack_seal_begin(unit, &run);
	if (!ret) {
		ret = pack_frames(unit, &run);
		if (seal)
			weft_seal_end(&run.sealer, unit->mount);
	}
	weft_codec_space_put(pool, run.space);
	if (ret > 0) {
		pack_take(unit, &run);
	} else {
		unit->put.codec = WEFT_CODEC_RAW;
		weft_pack_free(unit);
	}
out_free_sample:
	kfree(run.sample);
	return ret;
}

static void pack_work(struct work_struct *work)
{
	struct weft_unit *unit = container_of(work, struct weft_unit, pack.work);
	unsigned int nofs = memalloc_nofs_save();
	/* On a mount that has ended the put is refused at once. */
	int ret = weft_mount_dead(unit->mount) ? 0 : pack_unit(unit);

	if (ret == -ENOMEM)
		weft_count(unit->mount, WEFT_MC_PACK_NOMEM, 1);
	if (ret > 0 && !unit->copied)
		weft_unit_unpin(unit);
	/* Nothing of an encrypted volume goes as it is. */
	if (ret <= 0 && unit->mount->crypt.encrypted) {
		unit->put.error = ret ?: -EIO;
		unit->put.done(&unit->put);
	} else {
		weft_put_submit(&unit->put);
	}
	/* The unit may be gone. */
	memalloc_nofs_restore(nofs);
}

bool weft_pack_wanted(const struct weft_unit *unit)
{
	return unit->mount->crypt.encrypted || unit_packs(unit);
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
