// SPDX-License-Identifier: GPL-2.0-only
/*
 * dedup.c - contents that are stored already: a unit is hashed and asked for before its bytes are sent
 *
 *   unit --work item--> content id --\                   /--> exists: nothing is sent, it waits for its COMMIT
 *   unit --work item--> content id ---> one CHUNKS ------
 *   unit --work item--> content id --/                   \--> else: compressed, put
 *
 * What must stay true:
 *   - An answer is never needed. Without memory, without a daemon, without an answer in time or with one that makes no sense a
 *     unit goes on as if nothing had been found; while an answer is overdue none is asked for.
 *   - One CHUNKS of a mount is under way: what is hashed meanwhile goes with the next, so that batches form by themselves.
 *   - Who takes a unit out of a list of asks, under weft_io_mount.lock, is the one to let it go on. From then on the unit's job
 *     keeps the mount no longer: who goes on with the mount has one of his own (a weft_ask has one, until ask_free()).
 *   - The folios do not change until then: the unit is under .direct, and goes raw or compressed from what was hashed.
 *   - "exists" is no promise. The COMMIT names the chunk, and may be told NEED: then the unit goes back, and for a while what is
 *     cut of that file is written without being asked for, whatever the daemon would say.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "chunk/content_id.h"
#include "io/internal.h"

#define ASK_TIMEOUT   (5 * HZ)  /* units do not wait longer for an answer */
#define ASK_LOOK      (HZ / 2)
#define UNSHARED_TIME (30 * HZ) /* of a file one of whose chunks was NEEDed */

static struct workqueue_struct *dedup_wq;

struct verdict {
	u32 what;                     /* enum weft_found */
	struct weft_chunk *chunk;     /* EXISTS: a reference */
};

/* A CHUNKS under way. */
struct weft_ask {
	struct weft_mount *mount;
	struct list_head units;       /* by dedup.link, in the order of ASK; under io.lock, empty when they were let go */
	unsigned long started;        /* jiffies */
	unsigned int n;
	struct verdict verdicts[WEFT_CHUNKS_ASKED_MAX];
};

/* --- what was found --------------------------------------------------------------------------------------------------------- */

static const struct weft_chunk_found *found_array(const struct nlattr *attr, unsigned int *n)
{
	*n = attr ? nla_len(attr) / sizeof(struct weft_chunk_found) : 0;
	return attr ? nla_data(attr) : NULL;
}

/* The chunk of the answer that was found for these; a reference, or NULL. */
static struct weft_chunk *found_chunk(const struct weft_request *req, u64 group, u64 number)
{
	const struct nlattr *attr;
	int rem;

	weft_answer_for_each(req, attr, rem, WEFT_P_CHUNK) {
		const struct weft_chunk_info *info = nla_data(attr);
		struct weft_chunk *chunk;

		if (nla_len(attr) < sizeof(*info) || get_unaligned_le64(&info->group) != group ||
		    get_unaligned_le64(&info->number) != number)
			continue;
		chunk = weft_chunk_decode(nla_data(attr), nla_len(attr));
		return IS_ERR(chunk) ? NULL : chunk;
	}
	return NULL;
}

static void answer_read(struct weft_ask *ask, const struct weft_request *req)
{
	const struct weft_chunk_found *found;
	const struct nlattr *tb[WEFT_P_NR];
	unsigned int n;

	if (req->status || weft_answer_parse(req, tb))
		return;
	for (found = found_array(tb[WEFT_P_FOUND], &n); n; n--, found++) {
		u32 index = le32_to_cpu(found->index), what = le32_to_cpu(found->what);
		struct verdict *verdict;

		if (index >= ask->n || ask->verdicts[index].what)
			continue;
		verdict = &ask->verdicts[index];
		if (what == WEFT_FOUND_EXISTS)
			verdict->chunk = found_chunk(req, le64_to_cpu(found->group), le64_to_cpu(found->number));
		if (what == WEFT_FOUND_NEW || verdict->chunk)
			verdict->what = what;
	}
}

static void unit_go_on(struct weft_unit *unit, const struct verdict *verdict)
{
	struct weft_chunk *chunk = verdict ? verdict->chunk : NULL;

	/* What is said to have the same content has the same length. */
	if (chunk && chunk->plain_len == unit->len && !weft_mount_dead(unit->mount)) {
		weft_chunk_get(chunk);
		weft_unit_found(unit, chunk);
		return;
	}
	unit->dedup.share = verdict && verdict->what == WEFT_FOUND_NEW;
	weft_unit_send(unit);
}

/* ask: NULL, or what was answered for the units, in their order. They are nobody else's any more. */
static void units_go_on(struct list_head *units, const struct weft_ask *ask)
{
	const struct verdict *verdict = ask ? ask->verdicts : NULL;
	struct weft_unit *unit, *next;

	list_for_each_entry_safe(unit, next, units, dedup.link) {
		list_del_init(&unit->dedup.link);
		unit_go_on(unit, verdict);
		if (verdict)
			verdict++;
	}
}

/* --- CHUNKS ----------------------------------------------------------------------------------------------------------------- */

static void ask_free(struct weft_ask *ask)
{
	struct weft_mount *mount = ask->mount;

	for (unsigned int i = 0; i < ask->n; i++)
		if (ask->verdicts[i].chunk)
			weft_chunk_put(ask->verdicts[i].chunk);
	kfree(ask);
	weft_job_end(mount);
}

static struct weft_ask *ask_alloc(struct weft_mount *mount)
{
	struct weft_ask *ask = kzalloc(sizeof(*ask), GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN);

	if (!ask)
		return NULL;
	ask->mount = mount;
	INIT_LIST_HEAD(&ask->units);
	weft_job_begin(mount);
	return ask;
}

/* Takes what waits to be asked for, if it is to be asked for now: then io.asking is ours. */
static bool ask_gather(struct weft_mount *mount, struct weft_ask *ask)
{
	struct weft_io_mount *io = &mount->io;
	struct weft_unit *unit;

	spin_lock(&io->lock);
	if (!io->asking) {
		while (ask->n < WEFT_CHUNKS_ASKED_MAX &&
		       (unit = list_first_entry_or_null(&io->unasked, struct weft_unit, dedup.link))) {
			list_move_tail(&unit->dedup.link, &ask->units);
			ask->n++;
		}
		io->asking = ask->n;
	}
	spin_unlock(&io->lock);
	return ask->n;
}

static void ask_done(struct weft_request *req);

static struct weft_request *ask_request(struct weft_ask *ask)
{
	size_t len = ask->n * sizeof(struct weft_chunk_ask);
	struct weft_request *req;
	struct weft_chunk_ask *to;
	struct weft_unit *unit;

	req = weft_request_alloc(ask->mount->cluster, ask->mount, WEFT_REQ_CHUNKS, 2, NLA_HDRLEN + len, GFP_NOFS);
	if (!req)
		return NULL;
	req->done = ask_done;
	req->private = ask;
	to = weft_request_reserve(req, WEFT_P_ASK, len);
	if (!to)
		return req;
	list_for_each_entry(unit, &ask->units, dedup.link) {
		memcpy(to->content_id, unit->dedup.id, sizeof(to->content_id));
		to->plain_len = cpu_to_le32(unit->len);
		to++;
	}
	return req;
}

/* From here on answer and watch find it. */
static void ask_publish(struct weft_mount *mount, struct weft_ask *ask)
{
	spin_lock(&mount->io.lock);
	ask->started = jiffies;
	mount->io.ask = ask;
	spin_unlock(&mount->io.lock);
	if (!READ_ONCE(mount->io.stopping))
		queue_delayed_work(mount->io.wq, &mount->io.ask_watch, ASK_LOOK);
}

/* It is over: its units, unless they were let go. */
static void ask_withdraw(struct weft_ask *ask, struct list_head *units)
{
	struct weft_io_mount *io = &ask->mount->io;

	spin_lock(&io->lock);
	list_splice_init(&ask->units, units);
	if (io->ask == ask)
		io->ask = NULL;
	io->asking = false;
	io->ask_late = false;
	spin_unlock(&io->lock);
}

/* All that waits to be asked for is not. */
static void asks_give_up(struct weft_mount *mount)
{
	LIST_HEAD(units);

	spin_lock(&mount->io.lock);
	list_splice_init(&mount->io.unasked, &units);
	spin_unlock(&mount->io.lock);
	units_go_on(&units, NULL);
}

/* Asks for what waits, unless an answer is under way: then it goes with the next. The caller has a job of the mount. */
static void asks_send(struct weft_mount *mount)
{
	struct weft_ask *ask = ask_alloc(mount);
	struct weft_request *req;
	LIST_HEAD(units);

	if (!ask) {
		asks_give_up(mount);
		return;
	}
	if (!ask_gather(mount, ask)) {
		ask_free(ask);
		return;
	}
	req = ask_request(ask);
	if (req)
		ask_publish(mount, ask);
	if (!req || weft_request_submit(req)) {
		ask_withdraw(ask, &units);
		units_go_on(&units, NULL);
		asks_give_up(mount);
		ask_free(ask);
	}
	weft_request_put(req);
}

static void ask_done(struct weft_request *req)
{
	struct weft_ask *ask = req->private;
	struct weft_mount *mount = ask->mount;
	unsigned int nofs = memalloc_nofs_save();
	LIST_HEAD(units);

	answer_read(ask, req);
	ask_withdraw(ask, &units);
	asks_send(mount);
	units_go_on(&units, ask);
	ask_free(ask);
	memalloc_nofs_restore(nofs);
}

/* The answer does not come: whoever waits for it, or to be asked for, goes on. */
static bool ask_is_late(const struct weft_mount *mount)
{
	const struct weft_ask *ask = mount->io.ask;

	return ask && (!weft_cluster_bound(mount->cluster) || time_after(jiffies, ask->started + ASK_TIMEOUT));
}

void weft_dedup_watch_work(struct work_struct *work)
{
	struct weft_mount *mount = container_of(to_delayed_work(work), struct weft_mount, io.ask_watch);
	struct weft_io_mount *io = &mount->io;
	unsigned int nofs = memalloc_nofs_save();
	LIST_HEAD(units);
	bool more;

	spin_lock(&io->lock);
	if (ask_is_late(mount)) {
		list_splice_init(&io->ask->units, &units);
		list_splice_tail_init(&io->unasked, &units);
		io->ask = NULL;
		io->ask_late = true;
	}
	more = io->ask && !io->stopping;
	spin_unlock(&io->lock);
	if (more)
		queue_delayed_work(io->wq, &io->ask_watch, ASK_LOOK);
	units_go_on(&units, NULL);
	memalloc_nofs_restore(nofs);
}

/* --- a unit ------------------------------------------------------------------------------------------------------------------ */

static void unit_hash(struct weft_unit *unit)
{
	struct weft_content_hash hash;

	weft_content_id_begin(&hash);
	for (unsigned int i = 0; i < unit->n_segs; i++) {
		const struct bio_vec *seg = &unit->segs[i];

		weft_content_id_add(&hash, page_address(seg->bv_page) + seg->bv_offset, seg->bv_len);
		cond_resched();
	}
	weft_content_id_end(&hash, unit->dedup.id);
	unit->dedup.hashed = true;
	weft_count(unit->mount, WEFT_MC_CONTENTS_HASHED, 1);
}

static bool may_ask(const struct weft_unit *unit)
{
	unsigned long until = READ_ONCE(unit->inode->io.unshared_until);

	return !weft_mount_dead(unit->mount) && weft_cluster_bound(unit->mount->cluster) &&
	       (!until || time_after(jiffies, until));
}

static void dedup_work(struct work_struct *work)
{
	struct weft_unit *unit = container_of(work, struct weft_unit, dedup.work);
	struct weft_mount *mount = unit->mount;
	unsigned int nofs = memalloc_nofs_save();
	bool ask = false;

	/* The unit's own may end as soon as it is in the list: with an answer that another one's question brings. */
	weft_job_begin(mount);
	if (!weft_mount_dead(mount))
		unit_hash(unit);
	if (may_ask(unit)) {
		spin_lock(&mount->io.lock);
		ask = !mount->io.ask_late;
		if (ask)
			list_add_tail(&unit->dedup.link, &mount->io.unasked);
		spin_unlock(&mount->io.lock);
	}
	/* In a list it is not ours any more. */
	if (ask)
		asks_send(mount);
	else
		unit_go_on(unit, NULL);
	weft_job_end(mount);
	memalloc_nofs_restore(nofs);
}

bool weft_dedup_wanted(const struct weft_unit *unit)
{
	return unit->mount->dedup && !unit->copied && unit->len >= WEFT_DEDUP_MIN;
}

void weft_dedup_submit(struct weft_unit *unit)
{
	INIT_LIST_HEAD(&unit->dedup.link);
	INIT_WORK(&unit->dedup.work, dedup_work);
	queue_work(dedup_wq, &unit->dedup.work);
}

/* --- the COMMIT ---------------------------------------------------------------------------------------------------------------- */

void weft_dedup_merged(struct weft_commit_job *commit, const struct nlattr *attr)
{
	const struct weft_chunk_found *found;
	struct weft_unit *unit;
	unsigned int n;

	for (found = found_array(attr, &n); n; n--, found++) {
		u32 index = le32_to_cpu(found->index);

		list_for_each_entry(unit, &commit->units, ready_link) {
			if (unit->dedup.chunk)
				continue;
			if (!index--) {
				unit->dedup.merged = true;
				break;
			}
		}
	}
}

static bool is_needed(const struct nlattr *numbers, u64 number)
{
	const __le64 *wanted = nla_data(numbers);

	for (unsigned int i = 0; i < nla_len(numbers) / sizeof(*wanted); i++)
		if (get_unaligned_le64(&wanted[i]) == number)
			return true;
	return false;
}

/*
 * Of those that were found the others wait for the next COMMIT: nothing was sent for them. Each NEED takes one of these at
 * least, so this comes to an end. What was stored does not: the COMMIT may have ended between two of its steps, and then there are
 * chunks with these shards, which are on their way out, or will be.
 */
static void units_keep(struct weft_commit_job *commit, const struct nlattr *numbers)
{
	struct weft_io_inode *io = &commit->inode->io;
	struct weft_unit *unit, *next;

	spin_lock(&io->extent_lock);
	list_for_each_entry_safe(unit, next, &commit->units, ready_link) {
		if (!unit->dedup.chunk || is_needed(numbers, unit->dedup.chunk->number) ||
		    unit->state == WEFT_UNIT_DETACHED)
			continue;
		unit->state = WEFT_UNIT_READY;
		list_move_tail(&unit->ready_link, &io->ready);
	}
	spin_unlock(&io->extent_lock);
}

void weft_dedup_need(struct weft_commit_job *commit, const struct weft_request *req)
{
	const struct nlattr *tb[WEFT_P_NR];
	const struct weft_unit *unit;
	bool gone = false;

	if (!commit->inode || weft_answer_parse(req, tb) || !tb[WEFT_P_NUMBERS])
		return;
	/* Indexes of those that were stored stand in the same list: at worst one more is written. */
	list_for_each_entry(unit, &commit->units, ready_link)
		gone |= unit->dedup.chunk && is_needed(tb[WEFT_P_NUMBERS], unit->dedup.chunk->number);
	if (!gone)
		return;
	/* 0 stands for "never". */
	WRITE_ONCE(commit->inode->io.unshared_until, (jiffies + UNSHARED_TIME) | 1);
	units_keep(commit, tb[WEFT_P_NUMBERS]);
}

/* --- mounts ------------------------------------------------------------------------------------------------------------------- */

void weft_dedup_mount_init(struct weft_mount *mount)
{
	INIT_LIST_HEAD(&mount->io.unasked);
	INIT_DELAYED_WORK(&mount->io.ask_watch, weft_dedup_watch_work);
}

int weft_dedup_init(void)
{
	dedup_wq = alloc_workqueue("weft_dedup", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return dedup_wq ? 0 : -ENOMEM;
}

void weft_dedup_exit(void)
{
	destroy_workqueue(dedup_wq);
}
