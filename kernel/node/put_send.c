// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shards of one try on their way: to the stores of the group, to spares, and when that is enough.
 *
 * A shard is late when the first k of its chunk are stored, and it has taken longer than its host's usual time allows and
 * twice as long as those k did: when all hosts are slow, or this one is, none is late, and load is not answered with more
 * load. A failed shard goes to a spare at once, one that is late when nothing else is awaited; once each, and whichever
 * store answers first has it. When no more can be hoped for the try is good if a COMMIT's number of shards is stored.
 */
#include <linux/slab.h>

#include "chunk/header.h"
#include "node/put.h"

static void send_done(struct weft_rpc *rpc)
{
	struct weft_put_send *send = container_of(rpc, struct weft_put_send, rpc);
	struct weft_put_job *job = send->job;

	spin_lock(&job->lock);
	/* The list's reference: goes when the job has looked at it. */
	weft_rpc_get(rpc);
	list_add_tail(&send->ended, &job->ended);
	spin_unlock(&job->lock);
	weft_put_job_kick(job);
}

static void send_free(struct weft_rpc *rpc)
{
	struct weft_put_send *send = container_of(rpc, struct weft_put_send, rpc);
	struct weft_put_job *job = send->job;

	if (send->own_columns)
		kvfree(send->columns);
	weft_put_send_free(send);
	weft_put_job_put(job);
}

static const struct weft_rpc_ops send_ops = {
	.body = weft_put_body,
	.done = send_done,
	.free = send_free,
};

/* The header of the try's shards, but for what differs between them. */
static int job_header_write(struct weft_put_job *job)
{
	const struct weft_put *put = job->put;
	struct weft_shard_info info = {
		.k = job->layout.k,
		.m = job->layout.m,
		.codec = put->codec,
		.cipher = put->cipher,
		.sid_session = job->session,
		.sid_counter = job->counter,
		.group = job->group->id,
		.volume = job->mount->volume,
		.ino = put->ino,
		.file_offset = put->file_offset,
		.plain_len = put->plain_len,
		.stored_len = put->stored_len,
		.key_id = put->key_id,
		.seal_session = put->seal.session,
		.seal_counter = put->seal.counter,
		.frames = put->ends,
	};
	int len;

	memcpy(info.salt, put->seal.salt, sizeof(info.salt));
	len = weft_header_encode(&info, job->head, sizeof(job->head), NULL);

	if (WARN_ON_ONCE(len < 0))
		return len;
	job->frames_len = len - sizeof(struct weft_shard_header);
	return 0;
}

static void send_header_write(struct weft_put_send *send)
{
	struct weft_put_job *job = send->job;

	weft_header_stamp(job->head, send->shard);
	memcpy(send->rpc.head + sizeof(struct weft_wire_header), job->head, sizeof(struct weft_shard_header));
}

static struct weft_put_send *send_alloc(struct weft_put_job *job, unsigned int shard, u32 store, struct weft_host *host)
{
	enum weft_lane_kind lane = job->layout.shard_len < WEFT_LANE_SMALL_MAX ? WEFT_LANE_SMALL : WEFT_LANE_BULK;
	struct weft_put_send *send = weft_put_send_alloc();

	if (!send)
		return NULL;
	weft_put_job_get(job);
	send->job = job;
	send->shard = shard;
	send->store = store;
	INIT_LIST_HEAD(&send->ended);
	INIT_LIST_HEAD(&send->coding);
	send->late_usec = weft_latency_put_late(&host->latency[lane], weft_param_put_hedge() * 1000);
	weft_rpc_init(&send->rpc, &send_ops, host, lane, sizeof(struct weft_shard_header));
	send->rpc.request = (struct weft_wire_frame){
		.store = store,
		.group = job->group->id,
		.session = job->session,
		.counter = job->counter,
		.index = shard,
	};
	weft_wire_frame_put(&send->rpc.request, sizeof(struct weft_shard_header) + job->frames_len, job->layout.shard_len);
	send->rpc.urgent = job->put->sync;
	send_header_write(send);
	return send;
}

static bool shard_is_parity(const struct weft_put_job *job, unsigned int shard)
{
	return job->layout.k > 1 && shard >= job->layout.k;
}

static u8 *job_columns(const struct weft_put_job *job, unsigned int shard)
{
	return job->space + job->table_len * weft_put_shards(job) +
	       (shard - job->layout.k) * 2 * job->column_len;
}

static void send_drop(struct weft_put_send **send)
{
	if (*send)
		weft_rpc_put(&(*send)->rpc);
	*send = NULL;
}

int weft_put_send_all(struct weft_put_job *job)
{
	unsigned int n = weft_put_shards(job);
	int err = job_header_write(job);

	if (err)
		return err;
	for (unsigned int i = 0; i < n && !err; i++) {
		struct weft_host *host = weft_host_of_store(job->cluster, job->group->slots[i]);

		memset(&job->shards[i], 0, sizeof(job->shards[i]));
		if (!host) {
			err = -EHOSTUNREACH;
			continue;
		}
		job->shards[i].first = send_alloc(job, i, job->group->slots[i], host);
		weft_host_put(host);
		if (!job->shards[i].first)
			err = -ENOMEM;
		else if (shard_is_parity(job, i))
			job->shards[i].first->columns = job_columns(job, i);
	}
	if (err) {
		for (unsigned int i = 0; i < n; i++)
			send_drop(&job->shards[i].first);
		return err;
	}
	for (unsigned int i = 0; i < n; i++)
		weft_put_send_begin(job->shards[i].first);
	for (unsigned int i = 0; i < n; i++)
		weft_rpc_submit(&job->shards[i].first->rpc);
	return 0;
}

/* --- how they end ------------------------------------------------------------------------------------------------------ */

/* The worst of what happened to its shards becomes the reason why a try failed. */
static int reason_worse(int a, int b)
{
	if (a == -EIO || b == -EIO)
		return -EIO;
	return a == -ENOSPC || b == -ENOSPC ? -ENOSPC : -EAGAIN;
}

static int send_reason(const struct weft_rpc *rpc)
{
	if (rpc->error)
		return -EAGAIN;
	switch (rpc->status) {
	case WEFT_ST_STORE_FULL:
	case WEFT_ST_NOSPC:
		return -ENOSPC;
	case WEFT_ST_FORBIDDEN:
	case WEFT_ST_CONFLICT:
	case WEFT_ST_INVAL:
	case WEFT_ST_PROTO:
		return -EIO;
	default:
		return -EAGAIN;
	}
}

void weft_put_report_late(struct weft_put_job *job)
{
	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		struct weft_shard_report report = {
			.group = cpu_to_le64(job->group ? job->group->id : 0),
			.number = cpu_to_le64(job->number),
			.sid = { .session = cpu_to_le64(job->session), .counter = cpu_to_le64(job->counter) },
			.index = cpu_to_le32(i),
			.store = cpu_to_le32(job->shards[i].late),
		};

		if (job->shards[i].late)
			weft_report_shard(job->cluster, job->session, WEFT_REQ_SHARDS_STORED, &report);
		job->shards[i].late = WEFT_STORE_NONE;
	}
}

static void send_ended(struct weft_put_job *job, struct weft_put_send *send)
{
	struct weft_put_shard *shard = &job->shards[send->shard];
	bool ours = send == shard->first || send == shard->second;
	bool stored = !send->rpc.error && send->rpc.status == WEFT_ST_OK;

	/* Of a try that was given up, or not awaited any more. */
	if (!ours || send->over)
		return;
	send->over = true;
	weft_put_send_end(send);
	if (stored)
		job->moved = jiffies;
	if (stored && !shard->acked) {
		shard->acked = send->store;
		if (job->phase == WEFT_PUT_ENDED)
			shard->late = send->store;
	}
	if (!stored)
		job->reason = reason_worse(job->reason, send_reason(&send->rpc));
}

void weft_put_collect(struct weft_put_job *job)
{
	struct weft_put_send *send;

	for (;;) {
		spin_lock(&job->lock);
		send = list_first_entry_or_null(&job->ended, struct weft_put_send, ended);
		if (send)
			list_del_init(&send->ended);
		spin_unlock(&job->lock);
		if (!send)
			return;
		send_ended(job, send);
		weft_rpc_put(&send->rpc);
	}
}

/* --- spares ------------------------------------------------------------------------------------------------------------- */

/* Hosts that have, or may get, a shard of this try. */
static unsigned int hosts_used(const struct weft_put_job *job, u32 *used)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		used[n++] = job->shards[i].first->rpc.host->number;
		if (job->shards[i].second)
			used[n++] = job->shards[i].second->rpc.host->number;
	}
	return n;
}

/* Send the shard to a spare store as well. False if there is none, or no memory. */
static bool spare_start(struct weft_put_job *job, unsigned int index)
{
	struct weft_put_shard *shard = &job->shards[index];
	u32 used[2 * WEFT_SHARDS_MAX];
	struct weft_put_send *send;
	struct weft_host *host;
	u32 store;

	shard->spared = true;
	store = weft_host_spare(job->cluster, used, hosts_used(job, used), &host);
	if (store == WEFT_STORE_NONE)
		return false;
	send = send_alloc(job, index, store, host);
	weft_host_put(host);
	if (!send)
		return false;
	send->spare = true;
	if (shard_is_parity(job, index)) {
		send->columns = kvmalloc(2 * job->column_len, WEFT_NODE_GFP | __GFP_NORETRY);
		send->own_columns = true;
		if (!send->columns) {
			weft_rpc_put(&send->rpc);
			return false;
		}
	}
	shard->second = send;
	if (!shard->first->over)
		weft_host_count(shard->first->rpc.host, WEFT_HC_PUT_LATE, 1);
	weft_count(job->mount, WEFT_MC_SPARE_WRITES, 1);
	weft_put_send_begin(send);
	weft_rpc_submit(&send->rpc);
	return true;
}

/* --- when it is enough --------------------------------------------------------------------------------------------------- */

/* Jiffies until @send is late; 0: it is, or has ended. */
static unsigned long send_patience(struct weft_put_job *job, struct weft_put_send *send)
{
	u64 waited, limit;

	if (!send || send->over)
		return 0;
	waited = weft_rpc_waited(&send->rpc, &job->moved);
	if (!job->enough_usec)
		return HZ;
	limit = max_t(u64, send->late_usec, 2 * job->enough_usec);
	return waited < limit ? clamp(usecs_to_jiffies(limit - waited), 1ul, (unsigned long)HZ) : 0;
}

static unsigned long shard_patience(struct weft_put_job *job, const struct weft_put_shard *shard)
{
	return max(send_patience(job, shard->first), send_patience(job, shard->second));
}

static bool shard_pending(const struct weft_put_shard *shard)
{
	return !shard->first->over || (shard->second && !shard->second->over);
}

/* A store that refused will refuse again, one that is late may not answer at all: look for spares. */
static bool spares_start(struct weft_put_job *job, bool late_too)
{
	bool started = false;

	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		struct weft_put_shard *shard = &job->shards[i];

		if (shard->acked || shard->spared || (!shard->first->over && !late_too))
			continue;
		started |= spare_start(job, i);
	}
	return started;
}

int weft_put_judge(struct weft_put_job *job, unsigned long *next)
{
	const unsigned int n = weft_put_shards(job);
	unsigned int acked = 0, pending = 0;
	unsigned long patience = 0;

	spares_start(job, false);
	for (unsigned int i = 0; i < n; i++) {
		const struct weft_put_shard *shard = &job->shards[i];

		acked += shard->acked != WEFT_STORE_NONE;
		if (!shard->acked) {
			pending += shard_pending(shard);
			patience = max(patience, shard_patience(job, shard));
		}
	}
	if (acked == n)
		return 1;
	if (acked >= job->layout.k && !job->enough_usec) {
		job->enough_usec = max_t(s64, ktime_us_delta(ktime_get(), job->try_began), 1);
		*next = jiffies + 1;
		return 0;
	}
	*next = jiffies + patience;
	if (patience && time_before(jiffies, weft_put_try_deadline(job)))
		return 0;
	if (spares_start(job, true)) {
		*next = jiffies + 1;
		return 0;
	}
	if (acked >= weft_put_enough(job->layout.k, job->layout.m))
		return 1;
	if (!pending || time_after_eq(jiffies, weft_put_try_deadline(job)))
		return job->reason ?: -EAGAIN;
	*next = weft_put_try_deadline(job);
	return 0;
}

static void send_leave(struct weft_put_send *send, bool keep_answer)
{
	if (!send || send->over)
		return;
	if (!keep_answer) {
		weft_rpc_detach(&send->rpc);
		send->over = true;
	} else if (!weft_rpc_leave(&send->rpc)) {
		send->over = true;
	}
	weft_put_send_end(send);
}

void weft_put_leave(struct weft_put_job *job, bool keep_answers)
{
	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		send_leave(job->shards[i].first, keep_answers);
		send_leave(job->shards[i].second, keep_answers);
	}
	if (keep_answers)
		return;
	for (unsigned int i = 0; i < weft_put_shards(job); i++) {
		send_drop(&job->shards[i].first);
		send_drop(&job->shards[i].second);
	}
}
