// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading chunks that are compressed or sealed: the frame table, which frames a range needs, and their plaintext.
 *
 * The table is in the header of every shard, so any one shard gives it; it is kept with the chunk. Frames that touch the
 * range stand one after the other in the stored form: they are fetched as one range, by the same bands as raw bytes and
 * decoded like them when a shard does not come, and are unpacked at the end. What is unpacked goes to memory of a
 * workspace first: only bytes of the range reach the caller, and only of frames that came out as they should.
 *
 * Nothing that a store says is believed. The header has to be undamaged, obey the format (so that every frame lies in the
 * stored form and none is longer than its plaintext) and agree with the chunk's record; a codec gets exactly its frame,
 * and has to make exactly the frame's plaintext of it. A sealed frame is opened first, with what the header says of its seal: if that
 * is not right, it does not open.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunk/codec.h"
#include "chunk/crctable.h"
#include "chunk/frames.h"
#include "chunk/header.h"
#include "node/get.h"
#include "uapi/weft_netlink.h"

bool weft_get_is_packed(const struct weft_get_job *job)
{
	return weft_header_has_frames(job->get->chunk->codec, job->get->chunk->cipher);
}

/* Without the key nothing has to be fetched to find out that it is of no use. */
static int sealed_readable(const struct weft_get_job *job)
{
	const struct weft_get *get = job->get;
	struct weft_crypt *crypt = weft_crypt_get(job->mount);
	bool readable = crypt && weft_crypt_key(crypt, get->chunk->key_id);

	if (crypt && !readable)
		weft_event(job->cluster, WEFT_EVENT_READ_FAILED, job->mount->session, get->ino, get->file_offset,
			   get->chunk->group,
			   "inode %llu has a chunk %llu:%llu that is sealed by key %u, which this host has not: load the volume's keys again by 'weft key load'",
			   get->ino, get->chunk->group, get->chunk->number, get->chunk->key_id);
	weft_crypt_put(crypt);
	return readable ? 0 : -ENOKEY;
}

/* The volume's cipher is what the mount knows, not what a daemon says of a chunk. */
int weft_get_cipher_check(const struct weft_get_job *job)
{
	const struct weft_get *get = job->get;
	const struct weft_chunk *chunk = get->chunk;
	bool sealed = chunk->cipher != WEFT_CIPHER_NONE;

	if (sealed == job->mount->crypt.encrypted)
		return sealed ? sealed_readable(job) : 0;
	weft_event(job->cluster, WEFT_EVENT_READ_FAILED, job->mount->session, get->ino, get->file_offset, chunk->group,
		   "inode %llu has a chunk %llu:%llu that is %s, in a volume that is %s: it is not used",
		   get->ino, chunk->group, chunk->number, sealed ? "sealed" : "not sealed",
		   sealed ? "not encrypted" : "encrypted");
	return -EIO;
}

int weft_get_frames_prepare(struct weft_get_job *job)
{
	const struct weft_get *get = job->get;
	const struct weft_chunk *chunk = get->chunk;
	u64 plain;
	int err;

	if (chunk->codec != WEFT_CODEC_RAW && !weft_codec(chunk->codec)) {
		weft_event(job->cluster, WEFT_EVENT_READ_FAILED, job->mount->session, get->ino, get->file_offset, chunk->group,
			   "inode %llu has chunks compressed by codec %u, which the kernel of this host has not: read it on a host whose kernel has it",
			   get->ino, chunk->codec);
		return -EIO;
	}
	err = weft_frame_range(chunk->plain_len, get->offset, get->length, &job->first_frame, &job->n_frames);
	if (err)
		return err;
	/* As if nothing were saved: the frames as they are fetched, in blocks of their shards, and in one piece. */
	plain = (u64)job->n_frames * WEFT_FRAME_SIZE;
	job->bytes = 2 * plain + job->n_frames * WEFT_CIPHER_TAG + weft_crctable_len(plain) + 2 * (u64)chunk->k * WEFT_CRC_BLOCK;
	if (weft_chunk_frames(chunk))
		return 0;
	job->table = weft_frame_table_alloc(chunk->plain_len, WEFT_NODE_GFP);
	if (!job->table)
		return -ENOMEM;
	/* A header comes with some data: the first block is the least. */
	job->wants_table = true;
	job->n_bands = 1;
	job->bands[0].range.end = min(job->layout.shard_len, WEFT_CRC_BLOCK);
	return 0;
}

bool weft_get_header_take(struct weft_get_job *job, const struct weft_get_fetch *fetch)
{
	struct weft_chunk *chunk = job->get->chunk;
	struct weft_shard_info info;
	const void *head;
	u32 len;

	if (!job->table)
		return true;
	/* At the start of the first piece, which is longer than any header. */
	head = weft_buf_at(fetch->rpc.in, 0, &len);
	if (weft_header_decode(&info, head, min(len, fetch->rpc.expect_head), NULL))
		return false;
	if (info.index != fetch->shard || info.sid_session != chunk->sid_session ||
	    info.sid_counter != chunk->sid_counter || info.group != chunk->group || info.k != chunk->k ||
	    info.m != chunk->m || info.codec != chunk->codec || info.cipher != chunk->cipher ||
	    info.plain_len != chunk->plain_len || info.stored_len != chunk->stored_len || info.key_id != chunk->key_id)
		return false;
	job->table->seal = (struct weft_seal){ .session = info.seal_session, .counter = info.seal_counter };
	memcpy(job->table->seal.salt, info.salt, sizeof(info.salt));
	memcpy(job->table->ends, info.frames, info.frame_count * sizeof(job->table->ends[0]));
	weft_chunk_frames_set(chunk, job->table);
	job->table = NULL;
	return true;
}

int weft_get_frames_plan(struct weft_get_job *job)
{
	const struct weft_get *get = job->get;
	const __le32 *ends = weft_chunk_frames(get->chunk);
	int err;

	err = weft_frames_range(ends, get->chunk->plain_len, get->offset, get->length, &job->first_frame, &job->n_frames,
				&job->offset, &job->length);
	if (err)
		return err;
	job->stored = kvmalloc(job->length, WEFT_NODE_GFP);
	return job->stored ? 0 : -ENOMEM;
}

/* The bytes of a frame's plaintext that the caller wants. */
static int frame_copy(const struct weft_get *get, const struct weft_frame *frame, const u8 *plain)
{
	u32 from = max(frame->plain_start, get->offset);
	u32 to = min(frame->plain_start + frame->plain_len, get->offset + get->length);
	struct iov_iter iter;

	iov_iter_bvec(&iter, ITER_DEST, get->bvec, get->n_bvec, get->length);
	iov_iter_advance(&iter, from - get->offset);
	return copy_to_iter(plain + from - frame->plain_start, to - from, &iter) == to - from ? 0 : -EIO;
}

/* The chunk is to be forgotten with its table: another shard may have a better one. */
static void frame_refuse(struct weft_get_job *job, u32 index, bool sealed)
{
	struct weft_get *get = job->get;
	const struct weft_chunk *chunk = get->chunk;

	weft_event(job->cluster, WEFT_EVENT_READ_FAILED, job->mount->session, get->ino, get->file_offset, chunk->group,
		   "%u bytes at %llu of inode %llu cannot be read: frame %u of chunk %llu:%llu (sid %llx.%llx) has right checksums, but is not what the %s made; whoever wrote it has stored something else",
		   get->length, get->file_offset, get->ino, index, chunk->group, chunk->number, chunk->sid_session,
		   chunk->sid_counter, sealed ? "cipher" : "codec");
	get->remap = true;
}

/* The frames' key, in a space of the mount's. ERR_PTR(-ENOKEY): it is not there any more. */
static struct weft_aead *frames_aead(struct weft_get_job *job)
{
	const struct weft_chunk *chunk = job->get->chunk;
	const struct weft_seal *seal = &chunk->frames->seal;
	struct weft_crypt *crypt = weft_crypt_get(job->mount);
	const struct weft_crypt_key *key = crypt ? weft_crypt_key(crypt, chunk->key_id) : NULL;
	struct weft_aead *aead = ERR_PTR(-ENOKEY);
	u8 frame_key[WEFT_KEY_LEN];
	int err;

	if (key) {
		weft_derive_frame_key(key->root, seal->session, seal->counter, frame_key);
		aead = weft_aead_get(&job->mount->crypt);
		err = weft_aead_set_key(aead, frame_key);
		weft_wipe(frame_key, sizeof(frame_key));
		if (err) {
			weft_aead_put(&job->mount->crypt, aead);
			aead = ERR_PTR(err);
		}
	}
	weft_crypt_put(crypt);
	return aead;
}

/* Opens a frame where it stands; then it is as long as what the codec made. */
static int frame_open(struct weft_get_job *job, struct weft_aead *aead, u32 index, struct weft_frame *frame)
{
	const struct weft_chunk *chunk = job->get->chunk;
	const struct weft_seal *seal = &chunk->frames->seal;
	u8 nonce[WEFT_NONCE_LEN];
	struct weft_frame_ad ad;
	int err;

	weft_frame_nonce(seal, index, nonce);
	weft_frame_ad(seal, index, chunk->plain_len, chunk->codec, chunk->key_id, &ad);
	weft_aead_begin(aead, &ad, sizeof(ad));
	weft_aead_add(aead, job->stored + frame->start - job->offset, frame->len);
	err = weft_aead_run(aead, nonce, false);
	frame->len -= WEFT_CIPHER_TAG;
	frame->raw = frame->len == frame->plain_len;
	return err;
}

static int frame_unpack(struct weft_get_job *job, struct weft_aead *aead, struct weft_codec_space *space, u32 index)
{
	const struct weft_get *get = job->get;
	const struct weft_codec_ops *codec = weft_codec(get->chunk->codec);
	struct weft_frame frame;
	const u8 *from;
	int err = 0;

	weft_frame_get(weft_chunk_frames(get->chunk), get->chunk->plain_len, index, &frame);
	from = job->stored + frame.start - job->offset;
	if (aead)
		err = frame_open(job, aead, index, &frame);
	if (err && err != -EBADMSG)
		return err;
	if (err) {
		frame_refuse(job, index, true);
		return -EIO;
	}
	if (!frame.raw) {
		err = codec ? codec->unpack(space->work, from, frame.len, space->plain, frame.plain_len) : -EBADMSG;
		from = space->plain;
	}
	if (err) {
		frame_refuse(job, index, false);
		return -EIO;
	}
	return frame_copy(get, &frame, from);
}

int weft_get_frames_unpack(struct weft_get_job *job)
{
	struct weft_aead *aead = job->get->chunk->cipher != WEFT_CIPHER_NONE ? frames_aead(job) : NULL;
	struct weft_codec_space *space;
	int err = 0;

	if (IS_ERR(aead))
		return PTR_ERR(aead);
	space = weft_codec_space_get(&weft_codec_unpackers);
	for (u32 i = job->first_frame; i < job->first_frame + job->n_frames && !err; i++) {
		err = frame_unpack(job, aead, space, i);
		cond_resched();
	}
	weft_codec_space_put(&weft_codec_unpackers, space);
	if (aead)
		weft_aead_put(&job->mount->crypt, aead);
	return err;
}

void weft_get_frames_free(struct weft_get_job *job)
{
	kvfree(job->stored);
	kfree(job->table);
	job->stored = NULL;
	job->table = NULL;
}
