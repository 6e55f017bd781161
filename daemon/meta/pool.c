// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pool.c - the groups that chunks are written to
 *
 * For each volume, or for those together that share a dedup domain, the pool keeps open groups of two
 * classes, (k, m) and (1, m) for small chunks. When fewer than k + m stores are up there are narrower ones: the same m and the widest k that the
 * stores allow. Below 1 + m stores a volume that allows it gets as many copies as there are stores;
 * the redundancy that a chunk got is that of its group, so COMMIT needs no exception. A group with
 * a store that is not up is closed for new chunks and opened again when all are back; narrow groups
 * are closed while whole ones can be had.
 *
 * Which stores form a group is decided by placement (pure); here is when one is made, opened or
 * closed. At most STEP_MAX entries are proposed in a tick.
 *
 * Groups are never removed, so a mount that wants one without certain stores gets one that is there
 * if any will do, a closed one too, and makes a new one only while the volume's groups have fewer
 * slots than SLOTS_STORE for each store. The pool needs about half of that at most.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/log.h"
#include "cluster/detector.h"
#include "cluster/placement.h"
#include "meta/service.h"

#define STEP_MAX     64u
#define TARGET_MIN   16u
#define TARGET_MAX   256u
#define SLOTS_STORE  100u /* slots of a store, in all groups, that a large cluster aims at */
#define SETTLE_NS    5000000000ull /* a new leader hears of everybody before it closes anything */

struct meta_pool {
	struct placement_store *stores;
	size_t n_stores, size;
	u64 seed;
	u64 turn;
	unsigned int making; /* entries under way that make one */
	unsigned int asked;  /* slots of groups being made for mounts; atomic, see finish_asked() */
};

/* Equal texts in one label of two hosts are one place. 0 for an empty one. */
static u32 place(const char *region, const char *datacenter, const char *rack)
{
	u32 hash = 2166136261u;

	for (const char *part = region; *part; part++)
		hash = (hash ^ (u8)*part) * 16777619u;
	hash = (hash ^ 0xff) * 16777619u;
	for (const char *part = datacenter; *part; part++)
		hash = (hash ^ (u8)*part) * 16777619u;
	hash = (hash ^ 0xff) * 16777619u;
	for (const char *part = rack; *part; part++)
		hash = (hash ^ (u8)*part) * 16777619u;
	return hash ? hash : 1;
}

static void describe(struct meta_brain *brain, const struct cat_store *store,
		     struct placement_store *out)
{
	const struct cat_host *host = catalog_host(&brain->catalog, store->host);
	const char *region = "", *datacenter = "", *rack = "";

	if (host) {
		region = host->strings[META_HOST_REGION];
		datacenter = host->strings[META_HOST_DATACENTER];
		rack = host->strings[META_HOST_RACK];
	}
	*out = (struct placement_store){
		.store = store->store,
		.host = store->host,
		.disk = store->disk,
		.rack = *rack ? place(region, datacenter, rack) : 0,
		.datacenter = *datacenter ? place(region, datacenter, "") : 0,
		.region = *region ? place(region, "", "") : 0,
		.capacity = store->capacity,
		.free = store->free,
		.uptime = detector_uptime(brain->detector, store->host, brain->now_ns),
		.error_rate = store->errors ? (double)store->errors /
						      (double)(store->errors + store->shards + 1)
					    : 0,
		.latency_us = store->usec,
		.slots = store->slots,
		.open_load = store->open_slots,
		.up = catalog_store_up(&brain->catalog, store),
	};
}

/* The stores as placement sees them now. Returns how many are up and not to be avoided. */
static int collect(struct meta_brain *brain, const u32 *avoid, size_t n_avoid, unsigned int *up)
{
	struct meta_pool *pool = brain->pool;
	struct placement_store *grown;
	bool avoided;

	if (pool->size < brain->catalog.n_stores) {
		grown = realloc(pool->stores, brain->catalog.n_stores * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		pool->stores = grown;
		pool->size = brain->catalog.n_stores;
	}
	pool->n_stores = 0;
	*up = 0;
	for (u32 i = 0; i < brain->catalog.n_stores; i++) {
		if (!brain->catalog.stores[i])
			continue;
		describe(brain, brain->catalog.stores[i], &pool->stores[pool->n_stores]);
		avoided = false;
		for (size_t n = 0; n < n_avoid; n++)
			avoided |= avoid[n] == i;
		*up += pool->stores[pool->n_stores].up && !avoided;
		pool->n_stores++;
	}
	return 0;
}

/* What is to be had with that many stores. False: nothing that the volume allows. */
static bool fit_width(const struct cat_volume *volume, unsigned int up, u8 *k, u8 *m)
{
	if (up >= (unsigned int)*k + *m)
		return true;
	if (up >= 1u + *m) {
		*k = (u8)(up - *m);
		return true;
	}
	if (!up || le32_to_cpu(volume->info.flags) & WEFT_VF_DEGRADED_REFUSE)
		return false;
	*k = 1;
	*m = (u8)(up - 1);
	return true;
}

static u16 group_flags(const struct cat_volume *volume, u8 want_k, u8 k, u8 m)
{
	u16 flags = WEFT_GF_OPEN;

	if (want_k == 1)
		flags |= WEFT_GF_SMALL;
	if (k < want_k || m < le32_to_cpu(volume->info.m))
		flags |= WEFT_GF_NARROW;
	return flags;
}

/*
 * Make an entry for a group. collect() has been called. 0, -ENOSPC with report->text, or -ENOMEM.
 */
static int propose_group(struct meta_brain *brain, struct meta_op *op,
			 const struct cat_volume *volume, u8 want_k, u8 k, u8 m, const u32 *avoid,
			 size_t n_avoid, struct placement_report *report)
{
	struct meta_pool *pool = brain->pool;
	struct weft_e_group body = { .domain = cpu_to_le64(catalog_domain(volume)), .k = k, .m = m,
				      .flags = cpu_to_le16(group_flags(volume, want_k, k, m)) };
	u32 stores[PLACEMENT_MAX];
	__le32 slots[PLACEMENT_MAX];
	int err;

	err = placement_choose(pool->stores, pool->n_stores, k, m, false, avoid, n_avoid,
			       pool->seed++, stores, report);
	if (err)
		return err;
	for (unsigned int i = 0; i < (unsigned int)k + m; i++)
		slots[i] = cpu_to_le32(stores[i]);
	err = meta_entry_begin(&op->entry, WEFT_ME_GROUP_CREATE);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	if (!err)
		err = meta_buffer_put(&op->entry, slots, ((size_t)k + m) * sizeof(*slots));
	op->step = META_SUBMIT;
	return err;
}

static unsigned int count_used(const struct cat_group *group, const u32 *avoid, size_t n_avoid)
{
	unsigned int used = 0;

	for (unsigned int i = 0; i < (unsigned int)group->k + group->m; i++)
		for (size_t n = 0; n < n_avoid; n++)
			used += group->stores[i] == avoid[n];
	return used;
}

static bool uses(const struct cat_group *group, const u32 *avoid, size_t n_avoid)
{
	return count_used(group, avoid, n_avoid);
}

/* Open or not. */
static bool has_shape(struct meta_brain *brain, const struct cat_group *group, u64 domain, u8 k,
		      u8 m)
{
	return group && group->domain == domain && group->k == k && group->m == m &&
	       catalog_group_up(&brain->catalog, group);
}

/* A group of that shape without any of these stores, an open one if there is; another one each time. */
static struct cat_group *find_group(struct meta_brain *brain, u64 domain, u8 k, u8 m,
				    const u32 *avoid, size_t n_avoid)
{
	struct meta_catalog *catalog = &brain->catalog;
	u64 start = catalog->n_groups ? brain->pool->turn++ % catalog->n_groups : 0;
	struct cat_group *group, *closed = NULL;

	for (u64 i = 0; i < catalog->n_groups; i++) {
		group = catalog->groups[(start + i) % catalog->n_groups];
		if (!has_shape(brain, group, domain, k, m) || uses(group, avoid, n_avoid))
			continue;
		if (group->flags & WEFT_GF_OPEN)
			return group;
		if (!closed)
			closed = group;
	}
	return closed;
}

/* With that redundancy, no wider than wanted, and as few of these stores in it as can be. */
static struct cat_group *find_nearest(struct meta_brain *brain, u64 domain, u8 want_k, u8 m,
				      const u32 *avoid, size_t n_avoid)
{
	struct meta_catalog *catalog = &brain->catalog;
	struct cat_group *group, *best = NULL;
	unsigned int n, least = UINT_MAX;

	for (u64 i = 0; i < catalog->n_groups; i++) {
		group = catalog->groups[i];
		if (!group || group->k > want_k || group->m < m ||
		    !has_shape(brain, group, domain, group->k, group->m))
			continue;
		n = count_used(group, avoid, n_avoid);
		if (n >= least)
			continue;
		least = n;
		best = group;
	}
	return best;
}

/* Another group of so many slots may be made because a mount wants it. collect() has been called. */
static bool may_ask_for(const struct meta_brain *brain, u64 domain, unsigned int slots)
{
	u64 used = slots + __atomic_load_n(&brain->pool->asked, __ATOMIC_RELAXED);
	const struct cat_group *group;

	for (u64 i = 0; i < brain->catalog.n_groups; i++) {
		group = brain->catalog.groups[i];
		if (group && group->domain == domain)
			used += (unsigned int)group->k + group->m;
	}
	return used <= (u64)brain->pool->n_stores * SLOTS_STORE;
}

/* Loop thread. However it ended: by now the catalog has the group, or there will be none. */
static void finish_asked(struct meta_service *service, struct meta_op *op)
{
	__atomic_fetch_sub(&service->brain->pool->asked, (unsigned int)op->number,
			   __ATOMIC_RELAXED);
	meta_server_reply(service, op);
}

static void answer_group(struct meta_brain *brain, struct meta_op *op, u64 group)
{
	tlv_writer_reset(&op->outcome.answer);
	tlv_put_u64(&op->outcome.answer, WEFT_P_GROUP, group);
	op->outcome.status = WEFT_ST_OK;
	op->step = META_DONE;
	/* Whoever gets the answer knows the group by then. */
	meta_map_flush(brain);
}

static struct cat_volume *session_volume(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_session *session = catalog_session(&brain->catalog, op->frame.session);

	if (!session) {
		op->outcome.status = WEFT_ST_SESSION_LOST;
		return NULL;
	}
	catalog_session_heard(session, op->arrived_ns);
	return catalog_volume(&brain->catalog, session->volume);
}

void meta_run_group(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_volume *volume = session_volume(brain, op);
	struct cat_group *group;

	if (!volume)
		return;
	group = catalog_group(&brain->catalog, op->ask.group);
	if (group && group->domain == catalog_domain(volume))
		answer_group(brain, op, group->group);
	else
		meta_op_refuse(op, WEFT_ST_NOENT, WEFT_P_TEXT, "the volume has no group %llu",
			       (unsigned long long)op->ask.group);
}

static unsigned int count_full(const struct meta_catalog *catalog)
{
	unsigned int n = 0;

	for (u32 i = 0; i < catalog->n_stores; i++)
		n += catalog_store_readable(catalog, catalog->stores[i]) &&
		     !catalog_store_up(catalog, catalog->stores[i]);
	return n;
}

/*
 * A leader that has just begun has not heard of all stores yet: that is no answer to act upon. What
 * stores that are full would make up for is a matter of space, not of waiting.
 */
static void refuse_too_few(struct meta_brain *brain, struct meta_op *op,
			   const struct cat_volume *volume, unsigned int up)
{
	bool begun = brain->now_ns < brain->leader_since_ns + brain->settings.down_ns;
	unsigned int full = count_full(&brain->catalog), need = 1 + le32_to_cpu(volume->info.m);

	if (!begun && full && up + full >= need) {
		meta_op_refuse(op, WEFT_ST_NOSPC, WEFT_P_TEXT,
			       "volume %s wants at least %u stores to write to, %u can be used and "
			       "%u are full; make room on those, or add stores",
			       volume->name, need, up, full);
		return;
	}
	meta_op_refuse(op, begun ? WEFT_ST_OVERLOADED : WEFT_ST_NO_GROUP, WEFT_P_TEXT,
		       "volume %s wants at least %u stores to write to and %u can be used; start "
		       "the stores that are down",
		       volume->name, need, up);
}

/* A group is made for a mount, if there may be one more. collect() has been called. */
static void ask_for_group(struct meta_brain *brain, struct meta_op *op,
			  const struct cat_volume *volume, u8 k, u8 m)
{
	struct placement_report report = { .found = 0 };
	unsigned int slots = (unsigned int)k + m;
	struct cat_group *group;
	int err;

	if (!may_ask_for(brain, catalog_domain(volume), slots)) {
		group = find_nearest(brain, catalog_domain(volume), op->ask.want_k, m, op->ask.avoid,
				     op->ask.avoids);
		if (group)
			answer_group(brain, op, group->group);
		else
			meta_op_refuse(op, WEFT_ST_OVERLOADED, WEFT_P_TEXT,
				       "volume %s has as many groups as its stores are good for, and "
				       "none fits; ask again when more stores can be used",
				       volume->name);
		return;
	}
	err = propose_group(brain, op, volume, op->ask.want_k, k, m, op->ask.avoid, op->ask.avoids,
			    &report);
	if (err) {
		meta_op_refuse(op, err == -ENOMEM ? WEFT_ST_NOMEM : WEFT_ST_NO_GROUP, WEFT_P_TEXT,
			       "no %u+%u stores can be found for volume %s: %s", k, m, volume->name,
			       report.text);
		return;
	}
	op->phase = 1;
	op->number = slots;
	op->finish = finish_asked;
	__atomic_fetch_add(&brain->pool->asked, slots, __ATOMIC_RELAXED);
}

void meta_run_group_want(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_volume *volume = session_volume(brain, op);
	u8 k = op->ask.want_k, m = op->ask.want_m;
	struct cat_group *group;
	unsigned int up;

	if (!volume || op->failed)
		return;
	if (op->phase) {
		if (op->outcome.status == WEFT_ST_OK)
			answer_group(brain, op, op->outcome.number);
		return;
	}
	if (k > le32_to_cpu(volume->info.k) || m > le32_to_cpu(volume->info.m)) {
		meta_op_refuse(op, WEFT_ST_INVAL, WEFT_P_TEXT, "the volume %s is not coded %u+%u",
			       volume->name, k, m);
		return;
	}
	if (collect(brain, op->ask.avoid, op->ask.avoids, &up)) {
		meta_op_refuse(op, WEFT_ST_NOMEM, WEFT_P_TEXT, "the metadata server is out of memory");
		return;
	}
	if (!fit_width(volume, up, &k, &m)) {
		refuse_too_few(brain, op, volume, up);
		return;
	}
	group = find_group(brain, catalog_domain(volume), k, m, op->ask.avoid, op->ask.avoids);
	if (group)
		answer_group(brain, op, group->group);
	else
		ask_for_group(brain, op, volume, k, m);
}

/* ---- Looking after the pool ---- */

static void run_proposed(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_group *group = op->number ? catalog_group(&brain->catalog, op->number) : NULL;

	/* Not proposed, or refused: looked at again in the next tick. */
	if (group)
		group->pending = false;
	if (!op->number)
		brain->pool->making--;
}

static int propose_flags(struct meta_brain *brain, struct cat_group *group, bool open)
{
	struct weft_e_group_set body = {
		.group = cpu_to_le64(group->group),
		.set = cpu_to_le32(open ? WEFT_GF_OPEN : 0),
		.clear = cpu_to_le32(open ? 0 : WEFT_GF_OPEN),
	};
	struct meta_op *op = meta_op_alloc(run_proposed);
	int err = op ? 0 : -ENOMEM;

	if (!err)
		err = meta_entry_begin(&op->entry, WEFT_ME_GROUP_SET);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	if (err) {
		meta_op_free(op);
		return err;
	}
	group->pending = true;
	op->number = group->group;
	op->step = META_SUBMIT;
	meta_brain_continue(brain, op);
	return 0;
}

static bool wants_open(struct meta_brain *brain, const struct cat_group *group, unsigned int up)
{
	const struct cat_volume *volume = catalog_volume(&brain->catalog, group->domain);
	u8 k, m;

	if (!volume || !catalog_group_up(&brain->catalog, group))
		return false;
	if (!(group->flags & WEFT_GF_NARROW))
		return true;
	/* A narrow one is for as long as there is nothing wider. */
	k = (u8)(group->flags & WEFT_GF_SMALL ? 1 : le32_to_cpu(volume->info.k));
	m = (u8)le32_to_cpu(volume->info.m);
	return fit_width(volume, up, &k, &m) && group->k == k && group->m == m;
}

static unsigned int open_and_close(struct meta_brain *brain, unsigned int up, unsigned int left)
{
	struct meta_catalog *catalog = &brain->catalog;
	struct cat_group *group;
	bool open;

	for (u64 i = 0; i < catalog->n_groups && left; i++) {
		group = catalog->groups[i];
		if (!group || !group->group || group->pending)
			continue;
		open = wants_open(brain, group, up);
		if (open == !!(group->flags & WEFT_GF_OPEN))
			continue;
		if (propose_flags(brain, group, open))
			break;
		left--;
	}
	return left;
}

static unsigned int target(const struct meta_brain *brain, u8 k, u8 m)
{
	unsigned int n =
		(unsigned int)brain->pool->n_stores * SLOTS_STORE / 4 / ((unsigned int)k + m);

	return n < TARGET_MIN ? TARGET_MIN : n > TARGET_MAX ? TARGET_MAX : n;
}

/* Make what is missing of one class. */
static unsigned int fill_class(struct meta_brain *brain, const struct cat_volume *volume, u8 want_k,
			       unsigned int up, unsigned int left)
{
	u8 k = want_k, m = (u8)le32_to_cpu(volume->info.m);
	struct placement_report report;
	unsigned int open = 0, want;
	const struct cat_group *group;
	struct meta_op *op;

	if (!fit_width(volume, up, &k, &m))
		return left;
	/* What is about to be opened counts. */
	for (u64 i = 0; i < brain->catalog.n_groups; i++) {
		group = brain->catalog.groups[i];
		open += has_shape(brain, group, catalog_domain(volume), k, m) &&
			wants_open(brain, group, up);
	}
	want = target(brain, k, m);
	/* What exists only until the stores are back need not be many. */
	if (k < want_k || m < le32_to_cpu(volume->info.m))
		want = TARGET_MIN / 2;
	for (; open < want && left; open++, left--) {
		op = meta_op_alloc(run_proposed);
		if (!op || propose_group(brain, op, volume, want_k, k, m, NULL, 0, &report)) {
			meta_op_free(op);
			return left;
		}
		brain->pool->making++;
		meta_brain_continue(brain, op);
	}
	return left;
}

void meta_pool_tick(struct meta_brain *brain)
{
	struct meta_catalog *catalog = &brain->catalog;
	unsigned int up, left = STEP_MAX;

	if (brain->now_ns < brain->leader_since_ns + SETTLE_NS)
		return;
	if (collect(brain, NULL, 0, &up))
		return;
	left = open_and_close(brain, up, left);
	for (u64 i = 0; i < catalog->n_volumes && left && !brain->pool->making; i++) {
		if (!catalog->volumes[i])
			continue;
		left = fill_class(brain, catalog->volumes[i],
				  (u8)le32_to_cpu(catalog->volumes[i]->info.k), up, left);
		if (le32_to_cpu(catalog->volumes[i]->info.k) > 1)
			left = fill_class(brain, catalog->volumes[i], 1, up, left);
	}
}

int meta_pool_init(struct meta_brain *brain)
{
	brain->pool = calloc(1, sizeof(*brain->pool));
	if (!brain->pool)
		return -ENOMEM;
	brain->pool->seed = meta_clock_real();
	return 0;
}

void meta_pool_free(struct meta_brain *brain)
{
	if (brain->pool)
		free(brain->pool->stores);
	free(brain->pool);
}
