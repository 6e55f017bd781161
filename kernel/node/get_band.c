// SPDX-License-Identifier: GPL-2.0-only
/*
 * One band of a read: fetching the shards that are wanted, and others when one of those does not come.
 *
 * A wanted shard that is late, away or lost is missing. While none is missing nobody else is asked. As soon as one is,
 * so many of the others are asked that k can be expected, and whatever k come first decide: the rest is decoded from
 * them, and what is still on its way is let go of. When fewer than k can still come, and some are only away, they are
 * asked again in growing intervals until the job's deadline.
 */
#include <linux/slab.h>

#include "chunk/crctable.h"
#include "chunk/header.h"
#include "node/get.h"
#include "uapi/weft_ctl.h"

#define RETRY_MS     250
#define RETRY_MAX_MS 2000

/* --- one fetch ---------------------------------------------------------------------------------------------------------- */

static void fetch_done(struct weft_rpc *rpc)
{
	struct weft_get_fetch *fetch = container_of(rpc, struct weft_get_fetch, rpc);
	struct weft_get_job *job = fetch->job;

	spin_lock(&job->lock);
	weft_rpc_get(rpc);
	list_add_tail(&fetch->ended, &job->ended);
	spin_unlock(&job->lock);
	weft_get_job_kick(job);
}

static void fetch_free(struct weft_rpc *rpc)
{
	struct weft_get_fetch *fetch = container_of(rpc, struct weft_get_fetch, rpc);
	struct weft_get_job *job = fetch->job;

	kfree(fetch);
	weft_get_job_put(job);
}

static const struct weft_rpc_ops fetch_ops = {
	.done = fetch_done,
	.free = fetch_free,
};

static u32 shard_store(const struct weft_get_job *job, unsigned int shard)
{
	const struct weft_chunk *chunk = job->get->chunk;

	for (unsigned int i = 0; i < chunk->n_exceptions; i++)
		if (chunk->exceptions[i].index == shard)
			return chunk->exceptions[i].store;
	return job->group->slots[shard];
}

static struct weft_get_fetch *fetch_alloc(struct weft_get_job *job, unsigned int band_nr, unsigned int shard,
					  u32 store, struct weft_host *host)
{
	const struct weft_band *range = &job->bands[band_nr].range;
	const struct weft_chunk *chunk = job->get->chunk;
	u32 len = range->end - range->start;
	u32 head_len = job->wants_table ? weft_header_len(chunk->plain_len, chunk->codec, chunk->cipher) : 0;
	enum weft_lane_kind lane = len < WEFT_LANE_SMALL_MAX ? WEFT_LANE_SMALL : WEFT_LANE_BULK;
	struct weft_get_fetch *fetch = kzalloc(sizeof(*fetch), WEFT_NODE_GFP);
	struct weft_buf *buf = weft_buf_alloc(head_len + len, weft_crctable_len(len), WEFT_NODE_GFP);

	if (!fetch || !buf) {
		kfree(fetch);
		weft_buf_free(buf);
		return NULL;
	}
	weft_get_job_get(job);
	fetch->job = job;
	fetch->band = band_nr;
	fetch->shard = shard;
	INIT_LIST_HEAD(&fetch->ended);
	fetch->late_usec = weft_latency_get_late(&host->latency[lane], weft_param_get_hedge() * 1000);
	weft_rpc_init(&fetch->rpc, &fetch_ops, host, lane, 0);
	fetch->rpc.request = (struct weft_wire_frame){
		.op = WEFT_OP_GET,
		.flags = head_len ? WEFT_WIRE_GET_HEADER : 0,
		.store = store,
		.group = chunk->group,
		.session = chunk->sid_session,
		.counter = chunk->sid_counter,
		.index = shard,
		.offset = range->start,
		.length = len,
	};
	fetch->rpc.expect_len = chunk->shard_len;
	fetch->rpc.expect_head = head_len;
	fetch->rpc.in = buf;
	return fetch;
}

static void shard_fail(struct weft_get_shard *shard, enum weft_get_state state, u32 status)
{
	shard->state = state;
	shard->status = status;
}

static int shard_fetch(struct weft_get_job *job, struct weft_get_band *band, unsigned int index)
{
	struct weft_get_shard *shard = &band->shards[index];
	u32 store = shard_store(job, index);
	struct weft_get_fetch *fetch;
	struct weft_host *host;

	if (store == WEFT_STORE_NONE) {
		shard_fail(shard, WEFT_GET_LOST, WEFT_ST_ABSENT);
		return 0;
	}
	host = weft_host_of_store(job->cluster, store);
	if (!host) {
		shard_fail(shard, WEFT_GET_AWAY, WEFT_ST_WRONG_STORE);
		return 0;
	}
	fetch = fetch_alloc(job, band - job->bands, index, store, host);
	weft_host_put(host);
	if (!fetch)
		return -ENOMEM;
	shard->state = WEFT_GET_PENDING;
	shard->fetch = fetch;
	weft_rpc_submit(&fetch->rpc);
	return 0;
}

/* --- what came ------------------------------------------------------------------------------------------------------------ */

static bool buf_good(const struct weft_buf *buf)
{
	const u8 *table = buf->tail;
	u32 at = 0, len;

	if (!weft_crctable_sealed(table, weft_block_count(buf->len)))
		return false;
	while (at < buf->len) {
		const void *bytes = weft_buf_at(buf, at, &len);

		if (weft_crctable_check(table + 4 * (at / WEFT_CRC_BLOCK), bytes, len, NULL))
			return false;
		at += len;
	}
	return true;
}

static void shard_report(const struct weft_get_job *job, unsigned int index, u32 store, u32 status)
{
	const struct weft_chunk *chunk = job->get->chunk;
	struct weft_shard_report report = {
		.group = cpu_to_le64(chunk->group),
		.number = cpu_to_le64(chunk->number),
		.sid = { .session = cpu_to_le64(chunk->sid_session), .counter = cpu_to_le64(chunk->sid_counter) },
		.index = cpu_to_le32(index),
		.store = cpu_to_le32(store),
		.status = cpu_to_le32(status),
	};

	weft_report_shard(job->cluster, job->mount->session, WEFT_REQ_SHARDS_MISSING, &report);
}

/* Sort an answer that is no data: is the shard gone for this read, or only out of reach? */
static void shard_refused(struct weft_get_job *job, struct weft_get_shard *shard, const struct weft_get_fetch *fetch)
{
	const struct weft_rpc *rpc = &fetch->rpc;

	if (rpc->error) {
		/* One that was passed over for so long, on a host that served others, would be again. */
		bool gone = weft_host_gone_for_good(rpc->host) ||
			    ktime_ms_delta(ktime_get(), rpc->started) > 2 * WEFT_JOB_TIMEOUT_MS;

		shard_fail(shard, gone ? WEFT_GET_LOST : WEFT_GET_AWAY, WEFT_ST_LOST_PEER);
		return;
	}
	switch (rpc->status) {
	case WEFT_ST_CORRUPT:
		weft_host_count(rpc->host, WEFT_HC_GET_CORRUPT, 1);
		fallthrough;
	case WEFT_ST_ABSENT:
		shard_report(job, fetch->shard, rpc->request.store, rpc->status);
		fallthrough;
	case WEFT_ST_WRONG_STORE:
		if (rpc->status != WEFT_ST_CORRUPT) {
			job->get->remap = true;
			weft_group_refresh(job->mount, job->group->id);
		}
		fallthrough;
	case WEFT_ST_STORE_IO:
	case WEFT_ST_FORBIDDEN:
	case WEFT_ST_INVAL:
		shard_fail(shard, WEFT_GET_LOST, rpc->status);
		break;
	default:
		shard_fail(shard, WEFT_GET_AWAY, rpc->status);
	}
}

static void fetch_ended(struct weft_get_job *job, struct weft_get_fetch *fetch)
{
	struct weft_get_band *band = &job->bands[fetch->band];
	struct weft_get_shard *shard = &band->shards[fetch->shard];
	struct weft_rpc *rpc = &fetch->rpc;

	if (job->over || band->over || shard->fetch != fetch)
		return;
	if (!rpc->error && rpc->status == WEFT_ST_OK) {
		if (rpc->expect_head ? weft_get_header_take(job, fetch) : buf_good(rpc->in)) {
			job->moved = jiffies;
			shard->state = WEFT_GET_HAVE;
			return;
		}
		rpc->status = WEFT_ST_CORRUPT;
	}
	shard->fetch = NULL;
	shard_refused(job, shard, fetch);
	weft_rpc_put(rpc);
}

void weft_get_collect(struct weft_get_job *job)
{
	struct weft_get_fetch *fetch;

	for (;;) {
		spin_lock(&job->lock);
		fetch = list_first_entry_or_null(&job->ended, struct weft_get_fetch, ended);
		if (fetch)
			list_del_init(&fetch->ended);
		spin_unlock(&job->lock);
		if (!fetch)
			return;
		fetch_ended(job, fetch);
		weft_rpc_put(&fetch->rpc);
	}
}

/* --- what is there ---------------------------------------------------------------------------------------------------------- */

/* Bit masks of a band's shards. */
struct band_view {
	u32 have, coming, late, away, untried;
	unsigned long patience;       /* jiffies until the next of those that are coming is late */
};

static void view_pending(struct band_view *view, struct weft_get_fetch *fetch, u32 bit)
{
	u64 age = weft_rpc_waited(&fetch->rpc, &fetch->job->moved);

	if (age >= fetch->late_usec) {
		view->late |= bit;
		return;
	}
	view->coming |= bit;
	view->patience = min(view->patience, max(usecs_to_jiffies(fetch->late_usec - age), 1ul));
}

static void band_look(const struct weft_get_job *job, const struct weft_get_band *band, struct band_view *view)
{
	*view = (struct band_view){ .patience = MAX_JIFFY_OFFSET };
	for (unsigned int i = 0; i < job->layout.k + job->layout.m; i++) {
		const struct weft_get_shard *shard = &band->shards[i];

		switch (shard->state) {
		case WEFT_GET_HAVE:
			view->have |= 1U << i;
			break;
		case WEFT_GET_PENDING:
			view_pending(view, shard->fetch, 1U << i);
			break;
		case WEFT_GET_AWAY:
			view->away |= 1U << i;
			break;
		case WEFT_GET_UNTRIED:
			view->untried |= 1U << i;
			break;
		case WEFT_GET_LOST:
			break;
		}
	}
}

static void late_count(struct weft_get_band *band, u32 late)
{
	for (unsigned int i = 0; i < WEFT_SHARDS_MAX && late >> i; i++) {
		struct weft_get_fetch *fetch = band->shards[i].fetch;

		if (!(late & 1U << i) || fetch->counted_late)
			continue;
		fetch->counted_late = true;
		weft_host_count(fetch->rpc.host, WEFT_HC_GET_LATE, 1);
	}
}

/* --- decode and copy ---------------------------------------------------------------------------------------------------------- */

/* Compute the shards of @missing into @out, in the order of their indexes, from those that are there. */
static void band_decode(const struct weft_get_job *job, const struct weft_get_band *band,
			const struct weft_ec_plan *plan, struct weft_buf *const *out)
{
	u32 len = band->range.end - band->range.start;
	const void *src[WEFT_SHARDS_MAX];
	void *dst[WEFT_SHARDS_MAX];
	u32 at = 0, run = 0;

	while (at < len) {
		for (unsigned int i = 0; i < plan->nsrc; i++)
			src[i] = weft_buf_at(band->shards[plan->src[i]].fetch->rpc.in, at, &run);
		for (unsigned int i = 0; i < plan->nout; i++)
			dst[i] = weft_buf_at(out[i], at, &run);
		weft_ec_plan_run(plan, run, src, dst);
		at += run;
	}
}

/* The wanted bytes of @shard, from @buf, which holds the band's range of it: to the caller, or to the frames. */
static int shard_copy(const struct weft_get_job *job, const struct weft_band *range, unsigned int shard,
		      const struct weft_buf *buf)
{
	const struct weft_get *get = job->get;
	u32 base = shard * job->layout.shard_len;
	u32 from = max(base + range->start, job->offset);
	u32 to = min(base + range->end, job->offset + job->length);
	struct kvec stored = { .iov_base = job->stored, .iov_len = job->length };
	struct iov_iter iter;
	u32 at, len;

	if (from >= to)
		return 0;
	if (job->stored)
		iov_iter_kvec(&iter, ITER_DEST, &stored, 1, job->length);
	else
		iov_iter_bvec(&iter, ITER_DEST, get->bvec, get->n_bvec, get->length);
	iov_iter_advance(&iter, from - job->offset);
	for (at = from; at < to; at += len) {
		const void *bytes = weft_buf_at(buf, at - base - range->start, &len);

		len = min(len, to - at);
		if (copy_to_iter(bytes, len, &iter) != len)
			return -EIO;
	}
	return 0;
}

/* @missing: wanted shards that have to be computed; @have holds at least k if there are any. */
static int band_deliver(struct weft_get_job *job, struct weft_get_band *band, u32 have, u32 missing)
{
	struct weft_buf *out[WEFT_SHARDS_MAX] = {};
	struct weft_ec_plan *plan = NULL;
	unsigned int n = 0;
	int err = 0;

	if (missing) {
		plan = kmalloc(sizeof(*plan), WEFT_NODE_GFP);
		err = plan ? weft_ec_plan_init(plan, &job->ec, have, missing) : -ENOMEM;
		for (; !err && n < plan->nout; n++) {
			out[n] = weft_buf_alloc(band->range.end - band->range.start, 0, WEFT_NODE_GFP);
			if (!out[n])
				err = -ENOMEM;
		}
		if (!err)
			band_decode(job, band, plan, out);
	}
	for (unsigned int i = 0, j = 0; i < job->layout.k && !err; i++) {
		if (!(band->range.want & 1U << i))
			continue;
		if (missing & 1U << i)
			err = shard_copy(job, &band->range, i, out[j++]);
		else
			err = shard_copy(job, &band->range, i, band->shards[i].fetch->rpc.in);
	}
	for (unsigned int i = 0; i < n; i++)
		weft_buf_free(out[i]);
	kfree(plan);
	return err;
}

static void band_count(struct weft_get_job *job, struct weft_get_band *band, const struct band_view *view, u32 missing)
{
	if (!missing)
		return;
	job->get->degraded = true;
	weft_count(job->mount, missing & view->late ? WEFT_MC_HEDGED_READS : WEFT_MC_DEGRADED_READS, 1);
}

/* --- steps ------------------------------------------------------------------------------------------------------------------ */

static bool shard_usable(const struct weft_get_job *job, unsigned int index)
{
	u32 store = shard_store(job, index);
	const struct weft_host *host;
	bool usable;

	rcu_read_lock();
	host = store == WEFT_STORE_NONE ? NULL : xa_load(&job->cluster->node.stores, store);
	usable = host && weft_host_usable(host);
	rcu_read_unlock();
	return usable;
}

/* Ask for @n more shards that nobody was asked for, those first whose hosts look well. */
static int band_ask_more(struct weft_get_job *job, struct weft_get_band *band, unsigned int n)
{
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < job->layout.k + job->layout.m && n; i++) {
			int err;

			if (band->shards[i].state != WEFT_GET_UNTRIED || (!round && !shard_usable(job, i)))
				continue;
			err = shard_fetch(job, band, i);
			if (err)
				return err;
			if (band->shards[i].state == WEFT_GET_PENDING)
				n--;
		}
	}
	return 0;
}

static int band_ask_wanted(struct weft_get_job *job, struct weft_get_band *band)
{
	for (unsigned int i = 0; i < job->layout.k; i++) {
		int err;

		if (!(band->range.want & 1U << i) || band->shards[i].state != WEFT_GET_UNTRIED)
			continue;
		err = shard_fetch(job, band, i);
		if (err)
			return err;
	}
	return 0;
}

/* Fewer than k can come. Those that are away are asked again after a while. Returns 0 to wait, or -EIO. */
static int band_wait_away(struct weft_get_job *job, struct weft_get_band *band, u32 away, unsigned long *next)
{
	if (!away || time_after_eq(jiffies, weft_get_deadline(job)))
		return -EIO;
	if (!band->retries) {
		band->retries = 1;
		band->retry_at = jiffies + msecs_to_jiffies(RETRY_MS);
	} else if (time_after_eq(jiffies, band->retry_at)) {
		for (unsigned int i = 0; i < WEFT_SHARDS_MAX && away >> i; i++)
			if (away & 1U << i)
				band->shards[i].state = WEFT_GET_UNTRIED;
		band->retry_at = jiffies + msecs_to_jiffies(min(RETRY_MS << band->retries, RETRY_MAX_MS));
		band->retries = min(band->retries + 1, 8u);
		*next = jiffies + 1;
		return 0;
	}
	if (time_before(band->retry_at, *next))
		*next = band->retry_at;
	return 0;
}

int weft_get_band_advance(struct weft_get_job *job, struct weft_get_band *band, unsigned long *next)
{
	const unsigned int k = job->layout.k;
	struct band_view view;
	unsigned int sure;
	u32 missing;
	int err = band_ask_wanted(job, band);

	if (err)
		return err;
	band_look(job, band, &view);
	missing = band->range.want & ~(view.have | view.coming);
	if (!(band->range.want & ~view.have) || (missing && hweight32(view.have) >= k)) {
		missing = band->range.want & ~view.have;
		band_count(job, band, &view, missing);
		err = band_deliver(job, band, view.have, missing);
		return err ?: 1;
	}
	if (missing) {
		late_count(band, view.late);
		sure = hweight32(view.have | view.coming);
		if (sure < k && view.untried) {
			err = band_ask_more(job, band, k - sure);
			if (err)
				return err;
			band_look(job, band, &view);
		}
		if (hweight32(view.have | view.coming | view.late | view.untried) < k)
			return band_wait_away(job, band, view.away, next);
	}
	if (view.patience != MAX_JIFFY_OFFSET && time_before(jiffies + view.patience, *next))
		*next = jiffies + view.patience;
	return 0;
}

int weft_get_header_advance(struct weft_get_job *job, struct weft_get_band *band, unsigned long *next)
{
	struct band_view view;
	int err;

	band_look(job, band, &view);
	if (view.have)
		return 1;
	late_count(band, view.late);
	if (!view.coming && view.untried) {
		err = band_ask_more(job, band, 1);
		if (err)
			return err;
		band_look(job, band, &view);
	}
	if (!(view.coming | view.late | view.untried))
		return band_wait_away(job, band, view.away, next);
	if (view.patience != MAX_JIFFY_OFFSET && time_before(jiffies + view.patience, *next))
		*next = jiffies + view.patience;
	return 0;
}

void weft_get_band_end(struct weft_get_job *job, struct weft_get_band *band)
{
	band->over = true;
	for (unsigned int i = 0; i < WEFT_SHARDS_MAX; i++) {
		struct weft_get_shard *shard = &band->shards[i];

		if (!shard->fetch)
			continue;
		if (shard->state == WEFT_GET_PENDING)
			weft_rpc_detach(&shard->fetch->rpc);
		weft_rpc_put(&shard->fetch->rpc);
		shard->fetch = NULL;
	}
}
