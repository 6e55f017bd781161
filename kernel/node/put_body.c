// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a chunk's shards, made as the sockets take them.
 *
 * Data shards are pages of the stored form (of a raw chunk: the page cache's own), given away by reference; what is behind
 * its end is zeros.
 * Parity is made column by column: the sender that comes first to a column makes it for all parity shards that are
 * about to need it, and each has room for two columns, so that one that sends the previous column does not make the
 * other wait. A sender that falls behind makes its columns alone. Memory of a chunk's parity is so bounded by two
 * columns a parity shard, however long its shards are. With k = 1 every shard is the stored form itself.
 *
 * The CRCs of a shard are noted while its bytes pass and sent behind them. Two senders of one shard (the second to a
 * spare) note the same values.
 *
 * Pages must be mapped all the time: kernels with high memory are not supported.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "chunk/crc32c.h"
#include "node/put.h"

static_assert(!IS_ENABLED(CONFIG_HIGHMEM));

/* One unit at a time may use this when there is no other memory, so that dirty pages can always become clean. */
#define RESERVE_SIZE (512u * 1024)

/* Pieces of the stored form but the first and the last are at least that long. */
#define PUT_PIECE_MIN 512u

static u8 *reserve_space;
static unsigned long reserve_busy;

int weft_put_reserve_init(void)
{
	reserve_space = vmalloc(RESERVE_SIZE);
	return reserve_space ? 0 : -ENOMEM;
}

void weft_put_reserve_exit(void)
{
	vfree(reserve_space);
}

static bool put_has_columns(const struct weft_put_job *job)
{
	return job->layout.k > 1 && job->layout.m > 0;
}

int weft_put_space_alloc(struct weft_put_job *job)
{
	u32 tables = job->table_len * weft_put_shards(job);
	u32 columns = put_has_columns(job) ? 2u * job->layout.m : 0;

	job->column_len = min(WEFT_PUT_COLUMN, job->layout.shard_len);
	job->space = kvmalloc(tables + columns * job->column_len, WEFT_NODE_GFP | __GFP_NORETRY);
	if (job->space)
		return 0;
	if (tables >= RESERVE_SIZE || test_and_set_bit(0, &reserve_busy))
		return -ENOMEM;
	if (columns)
		job->column_len = min(job->column_len, rounddown((RESERVE_SIZE - tables) / columns, WEFT_CRC_BLOCK));
	if (!job->column_len) {
		clear_bit(0, &reserve_busy);
		return -ENOMEM;
	}
	job->space = reserve_space;
	job->reserve = true;
	return 0;
}

void weft_put_space_free(struct weft_put_job *job)
{
	if (job->reserve)
		clear_bit_unlock(0, &reserve_busy);
	else
		kvfree(job->space);
	job->reserve = false;
	job->space = NULL;
}

/* --- stored form ------------------------------------------------------------------------------------------------------ */

int weft_put_index(struct weft_put_job *job)
{
	const struct weft_put *put = job->put;
	u32 next = 0;
	u64 at = 0;

	for (unsigned int i = 0; i < put->n_bvec && at < put->stored_len; i++) {
		u32 len = put->bvec[i].bv_len;

		/* A span must hold a CRC block, however it is cut up. */
		if (len < PUT_PIECE_MIN && i && i + 1 < put->n_bvec)
			return -EINVAL;
		while (next < put->stored_len && next < at + len) {
			job->stride[next / WEFT_PUT_STRIDE] = (struct weft_put_cursor){ .index = i, .offset = next - at };
			next += WEFT_PUT_STRIDE;
		}
		at += len;
	}
	return at < put->stored_len ? -EINVAL : 0;
}

/* Move @cursor forward by @len bytes. It may end behind the last byte. */
static void cursor_advance(const struct weft_put *put, struct weft_put_cursor *cursor, u32 len)
{
	cursor->offset += len;
	while (cursor->index < put->n_bvec && cursor->offset >= put->bvec[cursor->index].bv_len) {
		cursor->offset -= put->bvec[cursor->index].bv_len;
		cursor->index++;
	}
}

static void cursor_seek(const struct weft_put_job *job, struct weft_put_cursor *cursor, u32 at)
{
	if (at >= job->put->stored_len)
		return;
	*cursor = job->stride[at / WEFT_PUT_STRIDE];
	cursor_advance(job->put, cursor, at % WEFT_PUT_STRIDE);
}

/* The bytes at @at of the padded stored form that stand in one piece; @cursor points there. */
static const void *cursor_bytes(const struct weft_put_job *job, const struct weft_put_cursor *cursor, u32 at, u32 *len)
{
	const struct weft_put *put = job->put;
	const struct bio_vec *bv;

	if (at >= put->stored_len) {
		*len = min_t(u32, *len, PAGE_SIZE);
		return page_address(ZERO_PAGE(0));
	}
	bv = &put->bvec[cursor->index];
	*len = min3(*len, bv->bv_len - cursor->offset, put->stored_len - at);
	return page_address(bv->bv_page) + bv->bv_offset + cursor->offset;
}

/* --- data shards -------------------------------------------------------------------------------------------------------- */

/* Note the CRCs of @len bytes from byte @at of the padded stored form on, which are blocks from @block on. */
static void data_sum(const struct weft_put_job *job, u8 *table, u32 block, u32 at, u32 len)
{
	struct weft_put_cursor cursor = {};
	u32 crc = 0, in_block = 0;

	cursor_seek(job, &cursor, at);
	while (len) {
		u32 part = min(len, WEFT_CRC_BLOCK - in_block);
		const void *bytes = cursor_bytes(job, &cursor, at, &part);

		crc = weft_crc32c(crc, bytes, part);
		if (at < job->put->stored_len)
			cursor_advance(job->put, &cursor, part);
		at += part;
		len -= part;
		in_block += part;
		if (in_block == WEFT_CRC_BLOCK || !len) {
			put_unaligned_le32(crc, table + 4 * block++);
			crc = 0;
			in_block = 0;
		}
	}
}

static void data_span(const struct weft_put_job *job, u32 at, u32 len, struct weft_span *span)
{
	const struct weft_put *put = job->put;
	struct weft_put_cursor cursor = {};

	cursor_seek(job, &cursor, at);
	span->splice = true;
	while (len && span->n < WEFT_SPAN_BVECS) {
		struct bio_vec *to = &span->bv[span->n++];
		u32 part;

		if (at < put->stored_len) {
			const struct bio_vec *bv = &put->bvec[cursor.index];

			part = min3(len, bv->bv_len - cursor.offset, put->stored_len - at);
			bvec_set_page(to, bv->bv_page, part, bv->bv_offset + cursor.offset);
			span->splice &= sendpage_ok(bv->bv_page);
			cursor_advance(put, &cursor, part);
		} else {
			part = min_t(u32, len, PAGE_SIZE);
			bvec_set_page(to, ZERO_PAGE(0), part, 0);
		}
		span->len += part;
		at += part;
		len -= part;
	}
}

/* A span that ends with a CRC block, or with the shard: so it must find place in the span's bvecs as a whole. */
static u32 data_span_len(const struct weft_put_job *job, u32 at)
{
	u32 pages = min_t(u32, WEFT_PUT_SPAN, (WEFT_SPAN_BVECS - 1) / 2 * WEFT_CRC_BLOCK);

	return min(pages, job->layout.shard_len - at);
}

static void data_body(struct weft_put_send *send, u32 at, struct weft_span *span)
{
	struct weft_put_job *job = send->job;
	u32 source = job->layout.k == 1 ? 0 : send->shard;
	u32 len = data_span_len(job, at);
	u32 start = source * job->layout.shard_len + at;

	data_span(job, start, len, span);
	/* Many small pieces: end with the last whole block that fits. */
	if (span->len < len) {
		span->len = rounddown(span->len, WEFT_CRC_BLOCK);
		len = span->len;
	}
	data_sum(job, weft_put_table(job, send->shard), at / WEFT_CRC_BLOCK, start, len);
}

/* --- parity ------------------------------------------------------------------------------------------------------------- */

/* The codec that makes just the parities of the sends in @sends. */
static void part_choose(struct weft_put_job *job, struct weft_put_send *const *sends, unsigned int n)
{
	const unsigned int k = job->layout.k;

	job->part.k = k;
	job->part.m = n;
	for (unsigned int i = 0; i < n; i++)
		memcpy(job->part.coef + i * k, job->ec.coef + (sends[i]->shard - k) * k, k);
}

/* Make column @column of the parities of @sends, in runs in which every source stands in one piece. */
static void column_make(struct weft_put_job *job, struct weft_put_send *const *sends, unsigned int n, u32 column)
{
	const unsigned int k = job->layout.k;
	const u32 shard_len = job->layout.shard_len;
	u32 at = column * job->column_len;
	u32 end = min(at + job->column_len, shard_len);
	const void *src[WEFT_SHARDS_MAX];
	void *dst[WEFT_SHARDS_MAX];

	part_choose(job, sends, n);
	for (unsigned int i = 0; i < n; i++)
		dst[i] = sends[i]->columns + (column & 1) * job->column_len;
	for (unsigned int i = 0; i < k; i++)
		cursor_seek(job, &job->cursors[i], i * shard_len + at);
	while (at < end) {
		u32 run = end - at;

		for (unsigned int i = 0; i < k; i++)
			src[i] = cursor_bytes(job, &job->cursors[i], i * shard_len + at, &run);
		weft_ec_encode(&job->part, run, src, dst);
		for (unsigned int i = 0; i < k; i++)
			if (i * shard_len + at < job->put->stored_len)
				cursor_advance(job->put, &job->cursors[i], run);
		for (unsigned int i = 0; i < n; i++)
			dst[i] += run;
		at += run;
	}
}

/* Have column @column of @send, and of whoever needs it next. */
static void column_get(struct weft_put_send *send, u32 column)
{
	struct weft_put_job *job = send->job;
	struct weft_put_send *sends[WEFT_SHARDS_MAX], *other;
	unsigned int n = 0;

	lockdep_assert_held(&job->column_lock);
	if (send->filled[column & 1] == column)
		return;
	sends[n++] = send;
	list_for_each_entry(other, &job->coding, coding)
		if (other != send && other->next == column && other->filled[column & 1] != column && n < job->layout.m)
			sends[n++] = other;
	column_make(job, sends, n, column);
	for (unsigned int i = 0; i < n; i++)
		sends[i]->filled[column & 1] = column;
}

static void parity_body(struct weft_put_send *send, u32 at, struct weft_span *span)
{
	struct weft_put_job *job = send->job;
	u32 column = at / job->column_len;
	u8 *bytes = send->columns + (column & 1) * job->column_len;

	mutex_lock(&job->column_lock);
	column_get(send, column);
	send->next = column + 1;
	mutex_unlock(&job->column_lock);

	span->len = min(job->column_len, job->layout.shard_len - at);
	span->vec.iov_base = bytes;
	weft_crctable_fill(weft_put_table(job, send->shard), at / WEFT_CRC_BLOCK, bytes, span->len);
}

void weft_put_send_begin(struct weft_put_send *send)
{
	struct weft_put_job *job = send->job;

	send->filled[0] = U32_MAX;
	send->filled[1] = U32_MAX;
	send->next = 0;
	if (!send->columns)
		return;
	mutex_lock(&job->column_lock);
	list_add_tail(&send->coding, &job->coding);
	mutex_unlock(&job->column_lock);
}

void weft_put_send_end(struct weft_put_send *send)
{
	mutex_lock(&send->job->column_lock);
	list_del_init(&send->coding);
	mutex_unlock(&send->job->column_lock);
}

/* --- both ---------------------------------------------------------------------------------------------------------------- */

void weft_put_body(struct weft_rpc *rpc, u32 at, struct weft_span *span)
{
	struct weft_put_send *send = container_of(rpc, struct weft_put_send, rpc);
	struct weft_put_job *job = send->job;
	u32 shard_len = job->layout.shard_len;

	if (at < job->frames_len) {
		span->vec.iov_base = job->head + sizeof(struct weft_shard_header) + at;
		span->len = job->frames_len - at;
		return;
	}
	at -= job->frames_len;
	if (at < shard_len) {
		if (send->columns)
			parity_body(send, at, span);
		else
			data_body(send, at, span);
		return;
	}
	span->vec.iov_base = weft_put_table(job, send->shard);
	span->len = job->table_len;
	weft_crctable_seal(span->vec.iov_base, weft_block_count(shard_len));
}

u32 weft_put_table_crc(struct weft_put_job *job, unsigned int shard)
{
	u32 shard_len = job->layout.shard_len;
	u8 *table = weft_put_table(job, shard);
	struct weft_put_send *send = job->shards[shard].first;

	if (shard < job->layout.k || job->layout.k == 1) {
		data_sum(job, table, 0, (job->layout.k == 1 ? 0 : shard) * shard_len, shard_len);
	} else {
		/* Nobody sends from its columns any more. */
		mutex_lock(&job->column_lock);
		for (u32 at = 0; at < shard_len; at += job->column_len) {
			u32 column = at / job->column_len;
			u8 *bytes = send->columns + (column & 1) * job->column_len;

			column_make(job, &send, 1, column);
			weft_crctable_fill(table, at / WEFT_CRC_BLOCK, bytes, min(job->column_len, shard_len - at));
		}
		mutex_unlock(&job->column_lock);
	}
	return weft_crctable_seal(table, weft_block_count(shard_len));
}
